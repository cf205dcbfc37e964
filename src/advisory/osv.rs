//! OSV records (<https://ossf.github.io/osv-schema/>, 1.7): of each only what an upgrade is compared with.

use crate::apt::changelog::cves;
use crate::apt::version::Version;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::str::FromStr;

/// Rank from which a vulnerability makes an upgrade urgent.
pub(super) const HIGH: u8 = 4;

/// One record's statement about one source package of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advisory {
    /// `Debian:13`
    pub(super) ecosystem: String,
    /// Source package.
    pub(super) source: String,
    /// CVE numbers that the record stands for.
    pub(super) cves: BTreeSet<String>,
    /// Versions at which it began and ended: `(introduced, fixed)`.
    pub(super) ranges: Vec<(String, String)>,
    /// Rating.
    pub(super) severity: Option<String>,
}

impl Advisory {
    /// Tells whether the old version was affected and the new one is not any more.
    pub(super) fn is_fixed_between(&self, old: &str, new: &str) -> bool {
        let (old, new) = (Version::new(old), Version::new(new));
        self.ranges.iter().any(|(introduced, fixed)| {
            let began = introduced == "0" || Version::new(introduced) <= old;
            let fixed = Version::new(fixed);
            began && old < fixed && fixed <= new
        })
    }
}

/// Puts ratings in order; words that say nothing come last.
pub(super) fn rank(severity: Option<&str>) -> u8 {
    match severity.map(str::to_ascii_lowercase).as_deref() {
        Some("critical") => 5,
        Some("high") => HIGH,
        Some("medium" | "moderate") => 3,
        Some("low") => 2,
        Some("negligible" | "unimportant" | "none") => 1,
        _ => 0,
    }
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    severity: Vec<Severity>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Deserialize)]
struct Severity {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct Affected {
    package: Option<Package>,
    #[serde(default)]
    severity: Vec<Severity>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    ecosystem_specific: serde_json::Value,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Reads one record, of which only statements about the asked source packages are kept; withdrawn ones say nothing.
pub(super) fn read(bytes: &[u8], asked: &BTreeSet<&str>) -> Result<Vec<Advisory>, serde_json::Error> {
    // most records of a feed are about other packages: their names are not even in the text
    if !asked.iter().any(|name| memchr::memmem::find(bytes, name.as_bytes()).is_some()) {
        return Ok(Vec::new());
    }
    let record: Record = serde_json::from_slice(bytes)?;
    if record.withdrawn.is_some() {
        return Ok(Vec::new());
    }
    let names = std::iter::once(&record.id).chain(&record.aliases).chain(&record.upstream);
    // `UBUNTU-CVE-2026-1` and `DEBIAN-CVE-2026-1` name it after a prefix
    let numbers: BTreeSet<String> =
        names.flat_map(|name| cves(name.trim_start_matches("UBUNTU-").trim_start_matches("DEBIAN-"))).collect();
    let overall = rating(&record.severity);
    let affected = record.affected.into_iter().filter_map(|affected| {
        let package = affected.package?;
        if !asked.contains(package.name.as_str()) {
            return None;
        }
        let word = affected.ecosystem_specific.get("urgency").and_then(|word| word.as_str());
        let word = word.filter(|word| rank(Some(word)) > 0).map(str::to_owned);
        Some(Advisory {
            ecosystem: package.ecosystem,
            source: package.name,
            cves: numbers.clone(),
            ranges: affected.ranges.iter().flat_map(pairs).collect(),
            severity: rating(&affected.severity).or_else(|| overall.clone()).or(word),
        })
    });
    Ok(affected.collect())
}

/// Returns where the affected versions begin and end.
fn pairs(range: &Range) -> Vec<(String, String)> {
    let (mut begin, mut pairs) = ("0".to_owned(), Vec::new());
    if range.kind != "ECOSYSTEM" {
        return pairs;
    }
    for event in &range.events {
        let text = |key: &str| event.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        if let Some(introduced) = text("introduced") {
            begin = introduced;
        } else if let Some(fixed) = text("fixed") {
            pairs.push((begin.clone(), fixed));
        }
    }
    pairs
}

/// Returns the distribution's own rating, else that of the highest CVSS vector.
fn rating(severities: &[Severity]) -> Option<String> {
    let own = severities.iter().find(|severity| !severity.kind.starts_with("CVSS"));
    if let Some(own) = own.filter(|own| rank(Some(&own.score)) > 0) {
        return Some(own.score.to_ascii_lowercase());
    }
    let word = |severity: &Severity| {
        let vector = cvss::Cvss::from_str(&severity.score).ok()?;
        Some(vector.severity().as_str().to_owned())
    };
    severities.iter().filter_map(word).max_by_key(|word| rank(Some(word)))
}
