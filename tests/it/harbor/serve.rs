//! The double for other programs, such as `tests/live/harbor.sh`.

use crate::support::registry::Course;
use crate::support::registry::Report;
use crate::support::registry::harbor::ADMIN;
use crate::support::registry::harbor::Harbor as Double;
use std::io::Read;

/// Serves until its standard input ends. Prints address, user and password of the administrator.
#[test]
#[ignore = "serves other programs until its input ends"]
fn serves_other_programs() {
    let double = Double::start("v2.16.0");
    double.scans(Course::success(1, Report::clean().finding("CVE-2026-1", "libc6", "Low")));
    println!("SERVES {} {} {}", double.url(), ADMIN.0, ADMIN.1);
    let _ended = std::io::stdin().read_to_end(&mut Vec::new());
}
