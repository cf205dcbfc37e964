//! What findings say to people.

use crate::support::plant::Plant;
use crate::support::plant::done;
use sockel::check::CheckFinding;

#[test]
fn a_program_that_is_not_there_is_explained() {
    let cause = |plant: fn(&mut Plant)| {
        let mut image = Plant::good();
        plant(&mut image);
        let report = image.check();
        report.findings.iter().find(|finding| finding.finding == "start-missing").expect("found").to_string()
    };
    insta::assert_snapshot!(cause(|p| done(p.link("usr/bin/x", "y").start(&["/usr/bin/x"]))), @"start-missing: `config.entrypoint`: `/usr/bin/x` is a link, and its target `y` is not in the image; exclude it, or add the package that brings its target");
    insta::assert_snapshot!(cause(|p| done(p.link("usr/bin/x", "y").brought("usr/bin/y").start(&["/usr/bin/x"]))), @"start-missing: `config.entrypoint`: `/usr/bin/x` is a link, and its target `y` is not in the image; `/usr/bin/y` of package app is excluded: exclude the link as well, or include its target");
    insta::assert_snapshot!(cause(|p| done(p.brought("usr/bin/x").start(&["/usr/bin/x"]))), @"start-missing: `config.entrypoint`: `/usr/bin/x` of package app is excluded; name it under `include-paths`, or correct the line under `exclude.paths` that covers it");
}

#[test]
fn findings_with_one_cause_share_a_line() {
    let mut image = Plant::good();
    for name in ["a", "b", "c", "d", "e"] {
        image.file(&format!("usr/bin/{name}"), b"#!/bin/sh\n", 0o755);
    }
    image.file("usr/bin/p", b"#!/usr/bin/perl\n", 0o755);
    let report = image.check();
    insta::assert_snapshot!(CheckFinding::lines(&report.findings).join("\n"), @"
    interpreter-missing: `/usr/bin/a`, `/usr/bin/b`, `/usr/bin/c` and 2 more (package app): it is a script for `/bin/sh`, which is not in the image; exclude the script if nothing runs it, or add the package that brings the interpreter
    interpreter-missing: `/usr/bin/p` (package app): it is a script for `/usr/bin/perl`, which is not in the image; exclude the script if nothing runs it, or add the package that brings the interpreter
    ");
}
