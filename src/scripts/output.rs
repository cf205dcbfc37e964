//! What a few commands print, as far as it follows from their arguments.

use crate::scripts::value::NAME;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;

/// Returns what a command prints; `None` if that is not known.
pub(crate) fn output_of(arguments: &[String]) -> Option<String> {
    let (name, rest) = arguments.split_first()?;
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (name.as_str(), words.as_slice()) {
        ("echo", [first, ..]) if first.starts_with('-') || first.starts_with(UNKNOWN) => None,
        // dash's echo knows escapes
        ("echo", words) if words.iter().all(|word| !word.contains('\\')) => Some(words.join(" ")),
        ("printf", ["%s" | "%s\\n", text]) => Some((*text).to_owned()),
        ("printf", [text]) if !text.contains(['%', '\\']) => Some((*text).to_owned()),
        ("basename", [path]) => base_name(path).map(str::to_owned),
        ("basename", [path, suffix]) => {
            let base = base_name(path)?;
            is_known(base).then(|| base.strip_suffix(suffix).unwrap_or(base).to_owned())
        }
        ("dirname", [path]) => folder_of(path),
        ("mktemp", words) => Some(temporary(words)),
        ("id", ["-u"]) => Some("0".to_owned()),
        ("id", ["-un"]) => Some("root".to_owned()),
        _ => None,
    }
}

/// Returns the last name of a path, if nothing before it could end in another one.
fn base_name(path: &str) -> Option<&str> {
    let base = path.trim_end_matches('/').rsplit('/').next()?;
    (!base.is_empty() && !base.contains(UNKNOWN)).then_some(base)
}

/// Returns the folder of a path.
fn folder_of(path: &str) -> Option<String> {
    let (folder, base) = path.trim_end_matches('/').rsplit_once('/')?;
    if base.contains(UNKNOWN) {
        return None;
    }
    Some(if folder.is_empty() { "/".to_owned() } else { folder.to_owned() })
}

/// Returns the path that `mktemp` makes: letters of its template are replaced (mktemp(1)).
pub(crate) fn temporary(words: &[&str]) -> String {
    let mut folder = None;
    let mut template = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-p" => folder = words.next().copied(),
            "--suffix" => drop(words.next()),
            "-t" | "--tmpdir" => folder = folder.or(Some("/tmp")),
            word if word.starts_with("--tmpdir=") => folder = word.split_once('=').map(|(_, value)| value),
            word if word.starts_with('-') => (),
            word => template = Some(word),
        }
    }

    let Some(template) = template else { return format!("{}/tmp.{NAME}", folder.unwrap_or("/tmp")) };
    let start = template.trim_end_matches('X');
    // a suffix may follow the letters
    let name = match (start == template).then(|| template.rfind("XXX")).flatten() {
        Some(last) => format!("{}{NAME}{}", template[..last].trim_end_matches('X'), &template[last + 3..]),
        None => format!("{start}{NAME}"),
    };
    match folder {
        Some(folder) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name,
    }
}
