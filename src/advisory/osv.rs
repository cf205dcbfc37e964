//! OSV records (<https://ossf.github.io/osv-schema/>, 1.7): the fields that upgrades are compared with.

use crate::apt::changelog::cves;
use crate::apt::version::DebianVersion;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::str::FromStr;

/// Rank from which a vulnerability makes an upgrade urgent.
pub(super) const HIGH: u8 = 4;

/// One record's statement about one source package of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OsvAdvisory {
    /// Distribution and release: `Debian:13`.
    pub(super) ecosystem: String,
    /// Source package.
    pub(super) source: String,
    /// CVE numbers of the vulnerability.
    pub(super) cves: BTreeSet<String>,
    /// Versions at which the vulnerability begins and ends: `(introduced, fixed)`.
    pub(super) ranges: Vec<(String, String)>,
    /// Rating of the vulnerability for this package.
    pub(super) severity: Option<String>,
}

impl OsvAdvisory {
    /// Tells whether the old version is affected and the new one no longer is.
    pub(super) fn is_fixed_between(&self, old: &str, new: &str) -> bool {
        let (old, new) = (DebianVersion::new(old), DebianVersion::new(new));
        self.ranges.iter().any(|(introduced, fixed)| {
            // "0" is before every version (OSV schema, `affected[].ranges[].events`)
            let began = introduced == "0" || DebianVersion::new(introduced) <= old;
            let fixed = DebianVersion::new(fixed);
            began && old < fixed && fixed <= new
        })
    }
}

/// Returns the place of a rating in their order; 0 for unknown words.
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
struct OsvRecord {
    id: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    severity: Vec<OsvSeverity>,
    #[serde(default)]
    affected: Vec<OsvAffected>,
}

#[derive(Deserialize)]
struct OsvSeverity {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct OsvAffected {
    package: Option<OsvPackage>,
    #[serde(default)]
    severity: Vec<OsvSeverity>,
    #[serde(default)]
    ranges: Vec<OsvRange>,
    #[serde(default)]
    ecosystem_specific: serde_json::Value,
}

#[derive(Deserialize)]
struct OsvPackage {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct OsvRange {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Reads the statements of one record about the `wanted` source packages. A withdrawn record has none.
pub(super) fn read(bytes: &[u8], wanted: &BTreeSet<&str>) -> Result<Vec<OsvAdvisory>, serde_json::Error> {
    // most records of a feed are about other packages, and searching their text is far cheaper than parsing it
    if !wanted.iter().any(|name| memchr::memmem::find(bytes, name.as_bytes()).is_some()) {
        return Ok(Vec::new());
    }
    let record: OsvRecord = serde_json::from_slice(bytes)?;
    if record.withdrawn.is_some() {
        return Ok(Vec::new());
    }

    let names = std::iter::once(&record.id).chain(&record.aliases).chain(&record.upstream);
    // `UBUNTU-CVE-2026-1` and `DEBIAN-CVE-2026-1` have the number behind a prefix
    let numbers: BTreeSet<String> =
        names.flat_map(|name| cves(name.trim_start_matches("UBUNTU-").trim_start_matches("DEBIAN-"))).collect();

    let overall = rating(&record.severity);
    let mut advisories = Vec::new();
    for affected in record.affected {
        let Some(package) = affected.package.as_ref().filter(|package| wanted.contains(package.name.as_str())) else {
            continue;
        };
        // a rating for this very package is better than one for all
        let severity = rating(&affected.severity).or_else(|| overall.clone()).or_else(|| affected.urgency());
        advisories.push(OsvAdvisory {
            ecosystem: package.ecosystem.clone(),
            source: package.name.clone(),
            cves: numbers.clone(),
            ranges: affected.ranges.iter().flat_map(fixed_ranges).collect(),
            severity,
        });
    }
    Ok(advisories)
}

impl OsvAffected {
    /// Returns the distribution's word for the urgency, if it is a rating.
    fn urgency(&self) -> Option<String> {
        let word = self.ecosystem_specific.get("urgency")?.as_str()?;
        // Debian also writes `not yet assigned` here
        (rank(Some(word)) > 0).then(|| word.to_owned())
    }
}

/// Returns the versions at which a vulnerability begins and ends; a range without an end is not fixed by any upgrade.
fn fixed_ranges(range: &OsvRange) -> Vec<(String, String)> {
    let mut ranges = Vec::new();
    // the other kinds have commits (`GIT`) or versions of another order (`SEMVER`)
    if range.kind != "ECOSYSTEM" {
        return ranges;
    }

    let mut begin = "0".to_owned();
    for event in &range.events {
        if let Some(introduced) = event.get("introduced").and_then(|value| value.as_str()) {
            introduced.clone_into(&mut begin);
        } else if let Some(fixed) = event.get("fixed").and_then(|value| value.as_str()) {
            ranges.push((begin.clone(), fixed.to_owned()));
        }
    }
    ranges
}

/// Returns the distribution's own rating, or else that of the highest CVSS vector.
fn rating(severities: &[OsvSeverity]) -> Option<String> {
    // a distribution knows how it builds and uses the package, a CVSS vector does not
    let own = severities.iter().find(|severity| !severity.kind.starts_with("CVSS"));
    if let Some(own) = own.filter(|own| rank(Some(&own.score)) > 0) {
        return Some(own.score.to_ascii_lowercase());
    }

    let vectors = severities.iter().filter_map(|severity| cvss::Cvss::from_str(&severity.score).ok());
    vectors.map(|vector| vector.severity().as_str().to_owned()).max_by_key(|word| rank(Some(word)))
}
