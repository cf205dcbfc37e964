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
            by_hash: paragraph.get("Acquire-By-Hash").is_some_and(|value| value.trim() == "yes"),
            components: words(&paragraph, "Components"),
            architectures: words(&paragraph, "Architectures"),
            listed: digest_tables(&paragraph)?,
        })
    }
}

fn word(paragraph: &Paragraph<'_>, field: &str) -> Option<String> {
    paragraph.get(field).map(|value| value.trim().to_owned())
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

/// Reads the digest tables.
fn digest_tables(paragraph: &Paragraph<'_>) -> Result<BTreeMap<String, ListedFile>, Error> {
    let mut listed = BTreeMap::new();
    for Row { hash, size, path } in rows(paragraph, "SHA256")? {
        let sha256 = Digest::from_hex(hash).map_err(|_| invalid("SHA256", path, "has no SHA-256 digest"))?;
        if listed.insert(path.to_owned(), ListedFile { size, sha256, sha512: None }).is_some() {
            return Err(invalid("SHA256", path, "is listed twice"));
        }
    }

    // a Release file with MD5Sum and SHA1 alone proves nothing today
    if listed.is_empty() {
        return Err(Error::Missing("SHA256"));
    }

    for Row { hash, size, path } in rows(paragraph, "SHA512")? {
        if hash.len() != 128 || !hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid("SHA512", path, "has no SHA-512 digest"));
        }
        match listed.get_mut(path) {
            Some(known) if known.size != size => {
                return Err(invalid("SHA512", path, "is listed with two sizes"));
            }
            Some(known) => known.sha512 = Some(hash.to_owned()),
            // a file without SHA-256 is never fetched
            None => {}
        }
    }
    Ok(listed)
}

/// A row of a digest table.
struct Row<'a> {
    hash: &'a str,
    size: u64,
    path: &'a str,
}

/// Splits a digest table into rows.
fn rows<'a>(paragraph: &'a Paragraph<'_>, field: &'static str) -> Result<Vec<Row<'a>>, Error> {
    let mut rows = Vec::new();
    let lines = paragraph.get(field).unwrap_or_default().lines();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let &[hash, size, path] = parts.as_slice() else {
            return Err(invalid(field, line, "is not digest, size and path"));
        };
        let size = size.parse().map_err(|_| invalid(field, line, "has no valid size"))?;

        // the path becomes a part of addresses
        if index::check_path(path).is_err() {
            return Err(invalid(field, line, "is not a path below the suite"));
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
    fn refuses_what_means_nothing() {
        let table = [
            (String::new(), "field `SHA256` is missing"),
            ("MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/a\n".to_owned(), "field `SHA256` is missing"),
            ("SHA256:\n 00 12 main/a\n".to_owned(), "has no SHA-256 digest"),
            (format!("SHA256:\n {HASH} -1 main/a\n"), "has no valid size"),
            (format!("SHA256:\n {HASH} 1 ../../etc/passwd\n"), "is not a path below the suite"),
            (format!("SHA256:\n {HASH} 1 /etc/passwd\n"), "is not a path below the suite"),
            (format!("SHA256:\n {HASH} 1 a b\n"), "is not digest, size and path"),
            (format!("SHA256:\n {HASH} 1 a\n {HASH} 1 a\n"), "is listed twice"),
            (format!("SHA256:\n {HASH} 1 a\nSHA512:\n {} 2 a\n", "0".repeat(128)), "is listed with two sizes"),
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
