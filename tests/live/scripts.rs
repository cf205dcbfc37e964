//! Prints the effects of the maintainer scripts of packages: `live-scripts FILE.deb …`, one effect a line, as
//! `package version member effect decided` between tabs, where `decided` is `general`, `package` or `no` by the ledger
//! of this repository. `tests/live/scripts.py` compares them with installations by dpkg, `tests/live/pairs.py` old ones
//! with new ones.

use sockel::apt::deb::DebPackage;
use sockel::recipe::ScriptLedger;
use sockel::scripts::effects_of;
use sockel::sys::fs;
use std::path::Path;
use std::time::Instant;

fn main() {
    let start = Instant::now();
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/scripts.yaml");
    let text = fs::read_text(&ledger, 1 << 20).expect("read");
    let ledger = ScriptLedger::parse("recipes/scripts.yaml", &text).expect("a ledger");

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
                let decided = match ledger.rule(package, &effect.to_string()) {
                    None => "no",
                    Some(rule) if rule.packages.is_empty() => "general",
                    Some(_) => "package",
                };
                println!("{package}\t{version}\t{member}\t{effect}\t{decided}");
            }
        }
    }
    eprintln!("{files} packages in {:?}", start.elapsed());
}
