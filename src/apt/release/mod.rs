//! InRelease files: identity, dates and index digests of a suite, and their signature (Debian repository
//! format, "Release" files).

pub mod signature;

use crate::apt::control;
use crate::apt::control::Paragraph;
use crate::apt::index;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::date;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Largest InRelease file; Debian's are about 300 KiB.
pub const SIZE_LIMIT: u64 = 8 << 20;

/// Most index files that a Release file may list; Debian's list about 2,500.
const LISTED_LIMIT: usize = 50_000;

/// The signed facts about a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// `Origin`, optional.
    pub origin: Option<String>,
    /// `Label`, optional.
    pub label: Option<String>,
    /// `Suite`, optional.
    pub suite: Option<String>,
    /// `Codename`, optional.
    pub codename: Option<String>,
    /// `Date`, required.
    pub date: Epoch,
    /// `Valid-Until`, optional.
    pub valid_until: Option<Epoch>,
    /// `Acquire-By-Hash: yes`: indexes can be fetched under their digests.
    pub by_hash: bool,
    /// `No-Support-for-Architecture-all: Packages`: packages of `all` are in the indexes of every architecture.
    pub all_is_everywhere: bool,
    /// `Components`
    pub components: Vec<String>,
    /// `Architectures`
    pub architectures: Vec<String>,
    /// `SHA256`, with `SHA512` where given: index files by path below the suite. `MD5Sum` and `SHA1` do not count.
    pub listed: BTreeMap<String, ListedFile>,
}

/// Size and digests of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// SHA-512 as 128 hexadecimal digits, where the archive gives it.
    pub sha512: Option<String>,
}

/// The signed text is not a Release file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not one deb822 paragraph.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// A required field is missing.
    #[error("cannot read release file: field `{0}` is missing")]
    Missing(&'static str),
    /// A field has an invalid value.
    #[error("cannot read release file: field `{field}`: `{value}` {problem}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// The offending text.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ReleaseFile {
    /// Reads the signed text of an InRelease file.
    ///
    /// # Errors
    /// [`Error`] for the first field that is missing or invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let paragraph = Paragraph::parse(text)?;
        Ok(Self {
            origin: word(&paragraph, "Origin"),
            label: word(&paragraph, "Label"),
            suite: word(&paragraph, "Suite"),
            codename: word(&paragraph, "Codename"),
            date: time(&paragraph, "Date")?.ok_or(Error::Missing("Date"))?,
            valid_until: time(&paragraph, "Valid-Until")?,
            by_hash: paragraph.get("Acquire-By-Hash").is_some_and(is_yes),
            all_is_everywhere: words(&paragraph, "No-Support-for-Architecture-all")
                .iter()
                .any(|word| word == "Packages"),
            components: words(&paragraph, "Components"),
            architectures: words(&paragraph, "Architectures"),
            listed: digest_tables(&paragraph)?,
        })
    }
}

impl ReleaseFile {
    /// Tells whether packages of architecture `all` have an index of their own, which is to be read.
    #[must_use]
    pub fn has_own_index_of_all(&self) -> bool {
        !self.all_is_everywhere && self.architectures.iter().any(|name| name == "all")
    }
}

/// Tells whether a field is on, in one of the words that apt knows (`StringToBool`).
fn is_yes(value: &str) -> bool {
    ["yes", "true", "with", "on", "enable", "1"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

/// Returns a field that says something; an empty one counts as absent, as repository managers write it.
fn word(paragraph: &Paragraph<'_>, field: &str) -> Option<String> {
    paragraph.get(field).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn words(paragraph: &Paragraph<'_>, field: &str) -> Vec<String> {
    paragraph.get(field).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn time(paragraph: &Paragraph<'_>, field: &'static str) -> Result<Option<Epoch>, Error> {
    let Some(value) = paragraph.get(field) else { return Ok(None) };
    match date::parse(value) {
        Some(time) => Ok(Some(time)),
        // an unreadable `Valid-Until` must not count as absent
        None => Err(invalid(field, value, "is not a date")),
    }
}

/// Reads the digest tables. A path with two descriptions is left out: nobody can tell which is meant.
fn digest_tables(paragraph: &Paragraph<'_>) -> Result<BTreeMap<String, ListedFile>, Error> {
    let (mut listed, mut doubtful) = (BTreeMap::new(), BTreeSet::new());
    for Row { hash, size, path } in rows(paragraph, "SHA256")? {
        let sha256 = Digest::from_hex(&hash.to_ascii_lowercase());
        let sha256 = sha256.map_err(|_| invalid("SHA256", path, "has no SHA-256 digest"))?;
        let file = ListedFile { size, sha256, sha512: None };
        if listed.insert(path.to_owned(), file.clone()).is_some_and(|before| before != file) {
            doubtful.insert(path.to_owned());
        }
    }

    // a Release file with MD5Sum and SHA1 alone proves nothing today
    if listed.is_empty() {
        return Err(Error::Missing("SHA256"));
    }

    for Row { hash, size, path } in rows(paragraph, "SHA512")? {
        let hash = hash.to_ascii_lowercase();
        if hash.len() != 128 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid("SHA512", path, "has no SHA-512 digest"));
        }
        // a file without SHA-256 is never fetched
        let Some(known) = listed.get_mut(path) else { continue };
        if known.size != size || known.sha512.as_ref().is_some_and(|before| *before != hash) {
            doubtful.insert(path.to_owned());
        }
        known.sha512 = Some(hash);
    }

    listed.retain(|path, _| !doubtful.contains(path));
    Ok(listed)
}

/// A row of a digest table.
struct Row<'a> {
    hash: &'a str,
    size: u64,
    path: &'a str,
}

/// Splits a digest table into rows. Rows whose path leads out of the suite are skipped: such a file is never fetched.
fn rows<'a>(paragraph: &'a Paragraph<'_>, field: &'static str) -> Result<Vec<Row<'a>>, Error> {
    let mut rows = Vec::new();
    let lines = paragraph.get(field).unwrap_or_default().lines();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let not_three = || invalid(field, line, "is not digest, size and path");
        let (hash, rest) = line.split_once([' ', '\t']).ok_or_else(not_three)?;
        let (size, path) = rest.trim_start().split_once([' ', '\t']).ok_or_else(not_three)?;
        let size = size.parse().map_err(|_| invalid(field, line, "has no valid size"))?;

        let path = path.trim_start();
        let path = path.strip_prefix("./").unwrap_or(path);
        if index::check_path(path).is_err() {
            continue;
        }
        if rows.len() == LISTED_LIMIT {
            return Err(invalid(field, line, "exceeds the limit on listed files"));
        }
        rows.push(Row { hash, size, path });
    }
    Ok(rows)
}

fn invalid(field: &'static str, value: &str, problem: &'static str) -> Error {
    Error::Value { field, value: shown(value), problem }
}

/// Returns the beginning of a text from outside, for use in a message.
fn shown(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text(extra: &str) -> String {
        format!("Origin: Ubuntu\nSuite: noble\nDate: Thu, 25 Apr 2024 15:10:33 UTC\n{extra}")
    }

    #[test]
    fn reads_a_release_file() {
        let extra = format!(
            "Acquire-By-Hash: yes\nComponents: main universe\nMD5Sum:\n x 1 main/a\nSHA256:\n {HASH}   12 main/a\nSHA512:\n {} 12 main/a\n {} 3 main/b\n",
            "0".repeat(128),
            "1".repeat(128)
        );
        let release = ReleaseFile::parse(&text(&extra)).unwrap();
        assert_eq!(release.date.to_string(), "2024-04-25T15:10:33Z");
        assert_eq!((release.by_hash, release.valid_until, release.label), (true, None, None));
        assert_eq!(release.components, ["main", "universe"]);
        assert_eq!(release.listed.len(), 1);
        assert_eq!(release.listed["main/a"].size, 12);
        assert_eq!(release.listed["main/a"].sha512, Some("0".repeat(128)));
    }

    #[test]
    fn one_bad_row_costs_only_its_file() {
        let (other, long) = (HASH.replace('e', "a"), "A".repeat(128));
        let extra = format!(
            "SHA256:\n {} 1 ./a\n {HASH} 1 a\n {HASH} 1 b\n {other} 1 b\n {HASH} 2 c\n {HASH} 1 ../d\n {HASH} 1 e f\n\
             SHA512:\n {long} 1 a\n {long} 3 c\n",
            HASH.to_uppercase()
        );
        let listed = ReleaseFile::parse(&text(&extra)).unwrap().listed;
        assert_eq!(listed.keys().collect::<Vec<_>>(), ["a", "e f"]);
        assert_eq!(listed["a"].sha512.as_deref(), Some(&*"a".repeat(128)));
        let release = ReleaseFile::parse(&text(&format!("Label:\nCodename: \nSHA256:\n {HASH} 1 a\n"))).unwrap();
        assert_eq!((release.label, release.codename), (None, None));
    }

    #[test]
    fn packages_of_all_are_where_the_archive_says() {
        let table = [
            ("Architectures: amd64\n", false),
            ("Architectures: all amd64\n", true),
            ("Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n", false),
            ("Architectures: all amd64\nNo-Support-for-Architecture-all: Sources\n", true),
        ];
        for (extra, expected) in table {
            let release = ReleaseFile::parse(&text(&format!("{extra}SHA256:\n {HASH} 1 a\n"))).unwrap();
            assert_eq!(release.has_own_index_of_all(), expected, "{extra}");
        }
    }

    #[test]
    fn refuses_what_means_nothing() {
        let table = [
            (String::new(), "field `SHA256` is missing"),
            ("MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/a\n".to_owned(), "field `SHA256` is missing"),
            ("SHA256:\n 00 12 main/a\n".to_owned(), "has no SHA-256 digest"),
            (format!("SHA256:\n {HASH} -1 main/a\n"), "has no valid size"),
            (format!("SHA256:\n {HASH} 1 ../../etc/passwd\n"), "field `SHA256` is missing"),
            (format!("SHA256:\n {HASH} 1 /etc/passwd\n"), "field `SHA256` is missing"),
            (format!("SHA256:\n {HASH} 1\n"), "is not digest, size and path"),
            (format!("SHA256:\n {HASH} 1 a\nSHA256:\n {HASH} 1 b\n"), "field `SHA256` is repeated"),
            (format!("SHA256:\n {HASH} 1 a\nValid-Until: never\n"), "`never` is not a date"),
            (format!("SHA256:\n {HASH} 1 a\n\nDate: x\n"), "more than one paragraph"),
        ];
        for (extra, expected) in table {
            let error = ReleaseFile::parse(&text(&extra)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _any = ReleaseFile::parse(&text);
        }
    }
}
