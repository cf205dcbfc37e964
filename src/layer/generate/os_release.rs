//! Owns the `/etc/os-release` link (os-release(5)) and the check that scanners can tell which distribution this is.

use crate::layer::generate::Error;
use crate::layer::generate::Scene;
use crate::layer::generate::link;
use crate::tree::Entry;

const NAME: &str = "os-release";

/// The file itself; `/etc/os-release` leads there.
const FILE: &str = "usr/lib/os-release";

const CONSEQUENCE: &str = "scanners would report no vulnerabilities at all";

pub(super) fn run(scene: &Scene<'_>) -> Result<Vec<Entry>, Error> {
    let mut problems = Vec::new();
    let text = scene.read(FILE)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let missing = |path: &str| Error::Missing { generator: NAME, path: path.to_owned(), consequence: CONSEQUENCE };
    let lacks = |path: &str, field| Error::MissingField {
        generator: NAME,
        path: path.to_owned(),
        field,
        consequence: CONSEQUENCE,
    };
    let Some(text) = text else { return Err(missing(FILE)) };
    for field in ["NAME", "ID", "VERSION_ID"] {
        if value(&text, field).is_none() {
            problems.push(lacks(FILE, field));
        }
    }
    // Trivy recognises the two distributions by these files and by nothing else
    match value(&text, "ID") {
        Some("debian") if !scene.is_file("etc/debian_version") => problems.push(missing("etc/debian_version")),
        Some("ubuntu") => match scene.read("etc/lsb-release")? {
            None => problems.push(missing("etc/lsb-release")),
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let fields =
                    ["DISTRIB_ID", "DISTRIB_RELEASE"].into_iter().filter(|field| value(&text, field).is_none());
                problems.extend(fields.map(|field| lacks("etc/lsb-release", field)));
            }
        },
        _ => {}
    }
    Error::gather(problems)?;
    let path = "etc/os-release";
    Ok(if scene.get(path).is_none() { vec![link(NAME, path, "../usr/lib/os-release")] } else { Vec::new() })
}

/// Returns the value of a shell-like assignment, without its quotes; an empty one counts as absent.
fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let of_line = |line: &'a str| line.trim().strip_prefix(field)?.strip_prefix('=');
    let value = text.lines().find_map(of_line)?.trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}
