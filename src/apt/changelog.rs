//! Change logs of Debian packages (deb-changelog(5)): the changes of a version in its maintainers' words.
//!
//! ```text
//! zlib (1:1.3.dfsg-3.1ubuntu2.1) noble-security; urgency=medium
//!
//!   * SECURITY UPDATE: …
//!     - CVE-2024-12345
//!
//!  -- Name <mail>  Mon, 01 Jan 2024 00:00:00 +0000
//! ```

use crate::apt::version::DebianVersion;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeSet;

/// Most bytes of a change log that are read. A larger log is cut off there, and lacks its oldest entries.
pub const MOST_BYTES: usize = 4 << 20;

/// The entry of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangelogEntry {
    /// Source package name.
    pub source: String,
    /// Version of the source package.
    pub version: String,
    /// Target suites, such as `noble-security`.
    pub distributions: Vec<String>,
    /// `urgency=` of the entry in lower case, `low` or `medium` for ordinary changes; empty if absent.
    pub urgency: String,
    /// CVE numbers in the text, sorted.
    pub cves: BTreeSet<String>,
}

/// Reads a change log, newest entry first. Other text is skipped: people have written these logs by hand for decades.
#[must_use]
pub fn parse(text: &str) -> Vec<ChangelogEntry> {
    let mut entries: Vec<ChangelogEntry> = Vec::new();
    for line in text.lines() {
        if let Some(entry) = heading(line) {
            entries.push(entry);
        } else if let Some(entry) = entries.last_mut() {
            entry.cves.extend(cves(line));
        }
    }
    entries
}

/// Reads `source (version) suites; key=value, key=value`.
fn heading(line: &str) -> Option<ChangelogEntry> {
    // headings alone begin in the first column
    if line.starts_with([' ', '\t', '#']) {
        return None;
    }

    let (source, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let (distributions, metadata) = rest.split_once(';')?;
    DebianVersion::parse(version).ok()?;
    if source.is_empty() || !source.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return None;
    }

    Some(ChangelogEntry {
        source: source.to_owned(),
        version: version.to_owned(),
        distributions: distributions.split_whitespace().map(str::to_owned).collect(),
        urgency: metadata.split(',').find_map(urgency).unwrap_or_default(),
        cves: BTreeSet::new(),
    })
}

/// Reads `urgency=high`; returns `None` for another key.
fn urgency(pair: &str) -> Option<String> {
    let (key, value) = pair.split_once('=')?;
    // old entries have a remark behind it: `urgency=high (HIGH)`
    let value = value.split_whitespace().next()?;
    key.trim().eq_ignore_ascii_case("urgency").then(|| value.to_ascii_lowercase())
}

/// Returns the CVE numbers in a text (<https://www.cve.org/ResourcesSupport/AllResources/CNARules>: `CVE-`, a year, a
/// number of four digits or more).
#[must_use]
pub fn cves(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let bytes = text.as_bytes();
    for (at, prefix) in text.match_indices("CVE-").chain(text.match_indices("cve-")) {
        // the end of a longer word, such as `XCVE-2026-5555`
        let before = at.checked_sub(1).map(|place| bytes[place]);
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }

        let rest = &text[at + prefix.len()..];
        let year = rest.as_bytes().get(..4).is_some_and(|year| year.iter().all(u8::is_ascii_digit));
        if !year || rest.as_bytes().get(4) != Some(&b'-') {
            continue;
        }

        // there is no upper limit, but longer ones are typing errors
        let digits = rest[5..].bytes().take_while(u8::is_ascii_digit).count();
        if (4..=12).contains(&digits) {
            found.insert(format!("CVE-{}", &rest[..5 + digits]));
        }
    }
    found
}

/// The entries of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogRange<'a> {
    /// Entries newer than the old version and not newer than the new one, newest first.
    pub entries: Vec<&'a ChangelogEntry>,
    /// Whether the log goes back to the old version, so that no entry is missing.
    pub is_complete: bool,
}

/// Returns the entries of the changes that an upgrade contains.
#[must_use]
pub fn between<'a>(entries: &'a [ChangelogEntry], old: &str, new: &str) -> ChangelogRange<'a> {
    let (old, new) = (DebianVersion::new(old), DebianVersion::new(new));

    // a log that was cut off ends with an entry newer than the old version
    let is_complete = entries.iter().any(|entry| is_in(entry, &old));
    let entries = entries.iter().filter(|entry| is_in(entry, &new) && !is_in(entry, &old)).collect();
    ChangelogRange { entries, is_complete }
}

/// Tells whether a version contains the changes of an entry: it is not older, or it is a rebuild of that version for a
/// release. Rebuilds are named `<version>~deb13u1`, which sorts before the version.
fn is_in(entry: &ChangelogEntry, version: &DebianVersion) -> bool {
    let rest = version.as_str().strip_prefix(&*entry.version);
    rest.is_some_and(|rest| rest.starts_with('~')) || DebianVersion::new(&entry.version) <= *version
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOG: &str = "\
zlib (1:1.3-2ubuntu1.2) noble-security; urgency=high

  * SECURITY UPDATE: overflow (LP: #2012345)
    - debian/patches/CVE-2026-1234.patch: check the length
    - CVE-2026-1234, CVE-2026-99999
    - XCVE-2026-5555 CVE-26-1 CVE-2026-12

 -- A Person <a@example.org>  Mon, 02 Nov 2026 10:00:00 +0000

zlib (1:1.3-2ubuntu1.1) noble-updates noble-security; Urgency=MEDIUM, binary-only=yes

  * Fix cve-2025-0001.

 -- A Person <a@example.org>  Mon, 02 Nov 2025 10:00:00 +0000

zlib (1:1.3-2) unstable; urgency=low (whatever)

  * CVE-2024-0001

 -- A Person <a@example.org>  Mon, 02 Nov 2024 10:00:00 +0000
";

    #[test]
    fn reads_entries() {
        let entries = parse(LOG);
        let seen: Vec<String> =
            entries.iter().map(|e| format!("{} {:?} {} {:?}", e.version, e.distributions, e.urgency, e.cves)).collect();
        assert_eq!(
            seen,
            [
                r#"1:1.3-2ubuntu1.2 ["noble-security"] high {"CVE-2026-1234", "CVE-2026-99999"}"#,
                r#"1:1.3-2ubuntu1.1 ["noble-updates", "noble-security"] medium {"CVE-2025-0001"}"#,
                r#"1:1.3-2 ["unstable"] low {"CVE-2024-0001"}"#,
            ]
        );
    }

    #[test]
    fn finds_what_lies_between() {
        let entries = parse(LOG);
        let versions = |old: &str, new: &str| {
            let found = between(&entries, old, new);
            (found.entries.iter().map(|e| e.version.as_str()).collect::<Vec<_>>().join(" "), found.is_complete)
        };
        let table = [
            ("1:1.3-2", "1:1.3-2ubuntu1.2", "1:1.3-2ubuntu1.2 1:1.3-2ubuntu1.1", true),
            ("1:1.3-2ubuntu1", "1:1.3-2ubuntu1.1", "1:1.3-2ubuntu1.1", true),
            ("1:1.3-1", "1:1.3-2", "1:1.3-2", false),
            ("1:1.3-2ubuntu1.2", "1:1.3-2ubuntu1.2", "", true),
        ];
        for (old, new, expected, complete) in table {
            assert_eq!(versions(old, new), (expected.to_owned(), complete), "{old} {new}");
        }
    }

    #[test]
    fn rebuilds_for_a_release_have_what_they_rebuild() {
        let log = "j (21.1-1~deb13u1) trixie-security; urgency=medium\nj (21.1-1) unstable; urgency=medium\n\
                   j (21.0-2) unstable; urgency=medium\nj (21.0-1) unstable; urgency=medium\n";
        let entries = parse(log);
        let found = between(&entries, "21.0-1~deb13u2", "21.1-1~deb13u1");
        let versions: Vec<&str> = found.entries.iter().map(|entry| entry.version.as_str()).collect();
        assert_eq!((versions, found.is_complete), (vec!["21.1-1~deb13u1", "21.1-1", "21.0-2"], true));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).{0,400}") {
            let entries = parse(&text);
            prop_assert!(entries.len() <= text.lines().count());
        }

        #[test]
        fn numbers_are_found_where_they_stand(year in 1999u32..2100, number in 1000u64..99_999_999, before in "[ (,]{0,3}", after in "[ ),.a-z]{0,3}") {
            let text = format!("{before}CVE-{year}-{number}{after}");
            prop_assert!(cves(&text).contains(&format!("CVE-{year}-{number}")), "{}", text);
        }
    }
}
