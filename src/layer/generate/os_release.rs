//! Owns the `/etc/os-release` link (os-release(5)) and the check that scanners can tell which distribution this is.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::link;
use crate::tree::TreeEntry;

const NAME: &str = "os-release";

/// The file itself; `/etc/os-release` leads there.
const FILE: &str = "usr/lib/os-release";

const CONSEQUENCE: &str = "scanners would report no vulnerabilities at all";

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let Some(text) = read_text(scene, FILE)? else { return Err(missing(FILE)) };
    let mut problems = missing_fields(FILE, &text, &["NAME", "ID", "VERSION_ID"]);

    // Trivy recognises the two distributions by these files and by nothing else
    match value(&text, "ID") {
        Some("debian") if !scene.is_file("etc/debian_version") => problems.push(missing("etc/debian_version")),
        Some("ubuntu") => match read_text(scene, "etc/lsb-release")? {
            None => problems.push(missing("etc/lsb-release")),
            Some(text) => {
                problems.extend(missing_fields("etc/lsb-release", &text, &["DISTRIB_ID", "DISTRIB_RELEASE"]));
            }
        },
        _ => {}
    }
    Error::gather(problems)?;

    // Debian's base-files brings the link itself, unless a recipe excludes it
    let path = "etc/os-release";
    Ok(if scene.get(path).is_none() { vec![link(NAME, path, "../usr/lib/os-release")] } else { Vec::new() })
}

fn read_text(scene: &MergedView<'_>, path: &str) -> Result<Option<String>, Error> {
    Ok(scene.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn missing(path: &str) -> Error {
    Error::Missing { generator: NAME, path: path.to_owned(), consequence: CONSEQUENCE }
}

/// Returns an error for each field that a file lacks.
fn missing_fields(path: &str, text: &str, fields: &[&'static str]) -> Vec<Error> {
    let mut problems = Vec::new();
    for field in fields.iter().filter(|field| value(text, field).is_none()) {
        let path = path.to_owned();
        problems.push(Error::MissingField { generator: NAME, path, field, consequence: CONSEQUENCE });
    }
    problems
}

/// Returns the value of a shell-like assignment, without its quotes; an empty one counts as absent.
fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix('='))?;
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}
