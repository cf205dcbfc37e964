//! InRelease files (Debian repository format, "Release" files): what an archive says about itself, once it is verified.

mod signature;

pub use signature::Certificates;
pub use signature::SignatureError;
pub use signature::Signed;

use crate::apt::control;
use crate::apt::index::is_safe_path;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// An index file as the Release file lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// The parsed fields of a Release file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`
    pub origin: String,
    /// `Label`
    pub label: String,
    /// `Suite`
    pub suite: String,
    /// `Codename`
    pub codename: String,
    /// `Date`
    pub date: Epoch,
    /// `Valid-Until`
    pub valid_until: Option<Epoch>,
    /// `Acquire-By-Hash: yes`
    pub by_hash: bool,
    /// `Components`
    pub components: Vec<String>,
    /// `Architectures`
    pub architectures: Vec<String>,
    /// The `SHA256` table: path below the suite to size and digest. MD5 and SHA-1 tables are not read.
    pub files: BTreeMap<String, Listed>,
}

/// Why a Release file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one deb822 paragraph.
    #[error("the Release file is malformed: {0}")]
    Control(#[from] control::Error),
    /// A field is missing or malformed.
    #[error("the Release file is malformed: field `{field}`: {cause}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        cause: String,
    },
}

impl Release {
    /// Parses the signed text.
    ///
    /// # Errors
    /// When it is malformed or lacks what trust needs: a date and a SHA-256 table.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let paragraph = control::paragraph(text)?;
        let text = |field: &str| paragraph.get(field).unwrap_or_default().to_owned();
        let words = |field: &str| text(field).split_whitespace().map(str::to_owned).collect();
        let date = |field: &'static str| {
            paragraph
                .get(field)
                .map(|value| date(value).ok_or_else(|| wrong(field, format!("`{value}` is not a date"))))
                .transpose()
        };
        let missing = || wrong("Date", "it is missing".to_owned());
        let table = paragraph.get("SHA256").ok_or_else(|| wrong("SHA256", "it is missing".to_owned()))?;
        let files = table.lines().filter(|line| !line.trim().is_empty()).map(listed).collect::<Result<_, _>>()?;
        Ok(Self {
            origin: text("Origin"),
            label: text("Label"),
            suite: text("Suite"),
            codename: text("Codename"),
            date: date("Date")?.ok_or_else(missing)?,
            valid_until: date("Valid-Until")?,
            by_hash: text("Acquire-By-Hash") == "yes",
            components: words("Components"),
            architectures: words("Architectures"),
            files,
        })
    }
}

fn wrong(field: &'static str, cause: String) -> Error {
    Error::Field { field, cause }
}

fn listed(line: &str) -> Result<(String, Listed), Error> {
    let bad = || wrong("SHA256", format!("`{}` is not `digest size path`", line.chars().take(120).collect::<String>()));
    let mut words = line.split_whitespace();
    let (Some(digest), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let sha256 = Digest::from_hex(digest).map_err(|_| bad())?;
    let size = size.parse().map_err(|_| bad())?;
    if is_safe_path(path) { Ok((path.to_owned(), Listed { size, sha256 })) } else { Err(bad()) }
}

/// Reads a date as archives write it: RFC 5322 form in UTC, `Sat, 21 Nov 2026 00:45:00 UTC`.
#[must_use]
pub fn date(text: &str) -> Option<Epoch> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, zone] = words[..] else { return None };
    let month = u32::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let time = (parts.next()??, parts.next()??, parts.next()??);
    let day = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year = year.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let in_range = time.0 < 24 && time.1 < 60 && time.2 <= 60;
    (in_range && matches!(zone, "UTC" | "GMT" | "Z" | "+0000")).then(|| Epoch::from_civil((year, month, day), time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "Origin: Ubuntu\nLabel: Ubuntu\nSuite: noble-updates\nCodename: noble\nDate: Sat, 21 Nov 2026  0:45:07 UTC\n\
        Acquire-By-Hash: yes\nComponents: main universe\nArchitectures: amd64 arm64\nMD5Sum:\n abc 1 main/x\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  12 main/binary-amd64/Packages.xz\n";

    #[test]
    fn reads_a_release_file() {
        let release = Release::parse(TEXT).unwrap();
        assert_eq!(release.date.to_string(), "2026-11-21T00:45:07Z");
        assert_eq!((release.suite.as_str(), release.by_hash, release.valid_until), ("noble-updates", true, None));
        assert_eq!(release.files["main/binary-amd64/Packages.xz"].size, 12);
    }

    #[test]
    fn refuses_what_is_incomplete_or_odd() {
        let table = [
            TEXT.replace("SHA256", "SHA1"),
            TEXT.replace("Date: Sat", "X: Sat"),
            TEXT.replace("UTC", "CET"),
            TEXT.replace("21 Nov", "32 Nov"),
            TEXT.replace("main/binary", "../binary"),
            TEXT.replace(" 12 ", " -1 "),
            TEXT.replace("\nSHA256", "\n\nSHA256"),
        ];
        for text in table {
            assert!(Release::parse(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}", date_text in "[A-Za-z, 0-9:]{0,40}") {
            let _any = Release::parse(&text);
            let _any = Release::parse(&format!("Date: {date_text}\nSHA256: {text}"));
            let _any = date(&date_text);
        }
    }
}
