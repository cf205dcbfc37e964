//! The locale that the environment names is in the image: without it, programs silently speak English and sort by bytes.
//!
//! Source: setlocale(3), locale(7); the C library's manual, "Locale Names", for how a name becomes a folder.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::store::Error;

const LOCALE: CheckKind =
    warning("locale-missing", "The environment names a locale that is not, or not completely, in the image.");

pub(super) const KINDS: &[&CheckKind] = &[&LOCALE];

/// Where compiled locales are.
const FOLDER: &str = "/usr/lib/locale";

/// All locales in one file, which `localedef` makes.
const ARCHIVE: &str = "/usr/lib/locale/locale-archive";

/// Parts of a locale, with their files.
const PARTS: [(&str, &str); 6] = [
    ("LC_CTYPE", "LC_CTYPE"),
    ("LC_COLLATE", "LC_COLLATE"),
    ("LC_MESSAGES", "LC_MESSAGES/SYS_LC_MESSAGES"),
    ("LC_MONETARY", "LC_MONETARY"),
    ("LC_NUMERIC", "LC_NUMERIC"),
    ("LC_TIME", "LC_TIME"),
];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    // what is in the file only the C library knows
    if image.resolve(FOLDER).is_none() || image.resolve(ARCHIVE).is_some() {
        return Ok(());
    }

    for (variable, name) in &image.config.env {
        let is_built_in = name.is_empty() || name == "C" || name == "POSIX" || name.starts_with("C.");
        let parts: Vec<(&str, &str)> = match variable.as_str() {
            "LANG" | "LC_ALL" => PARTS.to_vec(),
            one => PARTS.into_iter().filter(|(part, _)| *part == one).collect(),
        };
        if is_built_in || parts.is_empty() {
            continue;
        }

        let folders = folders(name);
        let is_there =
            |file: &str| folders.iter().any(|folder| image.resolve(&format!("{FOLDER}/{folder}/{file}")).is_some());
        let missing: Vec<&str> = parts.iter().filter(|(_, file)| !is_there(file)).map(|(part, _)| *part).collect();
        if missing.is_empty() {
            continue;
        }
        let cause = match missing.len() == parts.len() {
            true => format!("locale `{name}` is not in the image, so programs use `C`"),
            false => format!("locale `{name}` lacks {}, so programs use `C`", missing.join(", ")),
        };
        let remedy = "package `locales-all` has it: see docs/images/base.md; `C.UTF-8` is there without any".to_owned();
        findings.add(&LOCALE, FindingDetails { path: format!("config.env.{variable}"), origin: None, cause, remedy });
    }
    Ok(())
}

/// Returns the folders in which the C library looks for a locale: as written, with a normalised character set, and without.
fn folders(name: &str) -> Vec<String> {
    let (locale, modifier) =
        name.split_once('@').map_or((name, String::new()), |(rest, word)| (rest, format!("@{word}")));
    let Some((language, codeset)) = locale.split_once('.') else { return vec![name.to_owned()] };
    let mut normal: String =
        codeset.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if normal.chars().all(|c| c.is_ascii_digit()) {
        normal.insert_str(0, "iso");
    }
    vec![name.to_owned(), format!("{language}.{normal}{modifier}"), format!("{language}{modifier}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_folders() {
        let table = [
            ("de_DE.UTF-8", vec!["de_DE.UTF-8", "de_DE.utf8", "de_DE"]),
            ("de_DE.UTF-8@euro", vec!["de_DE.UTF-8@euro", "de_DE.utf8@euro", "de_DE@euro"]),
            ("ja_JP.8859-1", vec!["ja_JP.8859-1", "ja_JP.iso88591", "ja_JP"]),
            ("de_DE", vec!["de_DE"]),
        ];
        for (name, expected) in table {
            assert_eq!(folders(name), expected);
        }
    }
}
