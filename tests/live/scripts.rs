//! Prints the effects of the maintainer scripts of packages: `live-scripts FILE.deb …`, one effect a line, as
//! `package version member effect` between tabs. `tests/live/scripts.py` compares them with installations by dpkg.

use sockel::apt::deb::DebPackage;
use sockel::scripts::effects_of;
use sockel::sys::fs;
use std::path::Path;
use std::time::Instant;

fn main() {
    let start = Instant::now();
    let mut files = 0;
    for argument in std::env::args().skip(1) {
        let file = fs::open(Path::new(&argument)).expect("opened");
        let Ok(deb) = DebPackage::open(std::io::BufReader::new(file)) else { continue };
        let control = deb.control();
        let paragraph = control.paragraph().expect("a control file");
        let (package, version) = (paragraph.get("Package").unwrap_or(""), paragraph.get("Version").unwrap_or(""));
        files += 1;
        for (member, effects) in effects_of(package, &|name| control.get(name)) {
            for effect in effects {
                println!("{package}\t{version}\t{member}\t{effect}");
            }
        }
    }
    eprintln!("{files} packages in {:?}", start.elapsed());
}
