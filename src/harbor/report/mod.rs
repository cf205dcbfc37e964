//! Reads vulnerability reports, as Harbor serves them, into the gate's types.

use crate::gate;
use crate::gate::Finding;
use crate::gate::Severity;
use crate::harbor::artifact::ScanOverview;
use crate::harbor::artifact::is_vulnerability_report;
use crate::harbor::time;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Deserializer;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most entries of a report; the largest images have some thousands.
const ENTRIES: usize = 200_000;

/// Most characters of a name or version.
const WORD: usize = 256;

/// A report of version 1.1 (`src/pkg/scan/vuln/report.go`).
#[derive(Deserialize)]
struct NativeReport {
    generated_at: Option<String>,
    scanner: Option<NativeScanner>,
    severity: Option<String>,
    // `null` means no vulnerabilities; a document without the key is no report
    #[serde(deserialize_with = "present")]
    vulnerabilities: Option<Vec<ReportedFinding>>,
}

#[derive(Deserialize)]
struct NativeScanner {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct ReportedFinding {
    id: String,
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    fix_version: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    artifact_digests: Option<Vec<String>>,
}

/// Requires the field to exist, though it may be `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<ReportedFinding>>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads the response of `…/additions/vulnerabilities`.
///
/// # Errors
/// A description of what is malformed.
pub fn read(
    body: &[u8],
    digest: Digest,
    overview: &ScanOverview,
    database_updated_at: Option<Epoch>,
) -> Result<gate::ScanReport, String> {
    let by_kind: BTreeMap<String, NativeReport> = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    let native = by_kind.into_iter().find(|(kind, _)| is_vulnerability_report(kind));
    let (_, native) = native.ok_or("it has no vulnerability report of a known kind")?;
    let items = native.vulnerabilities.unwrap_or_default();
    // a limit on work, not on memory: the size of the response is limited as well
    if items.len() > ENTRIES {
        return Err(format!("it has more than {ENTRIES} vulnerabilities"));
    }

    // Harbor's records are shared by images: a finding that names another digest does not belong to this image
    let own = digest.to_string();
    let digests = items.iter().flat_map(|item| item.artifact_digests.iter().flatten());
    let foreign: BTreeSet<String> = digests.filter(|other| **other != own).map(|other| word(other)).collect();

    // counted before findings are sorted out: Harbor's own counts have an entry per file as well
    let mut listed = gate::SeverityCounts::default();
    for item in &items {
        listed.add(&severity(item.severity.as_deref()), item.fix_version.as_ref().is_some_and(|fix| !fix.is_empty()));
    }

    Ok(gate::ScanReport {
        digest,
        status: overview.scan_status.clone(),
        scanner: native.scanner.map(|scanner| gate::ScannerInfo {
            name: word(&scanner.name.unwrap_or_default()),
            version: word(&scanner.version.unwrap_or_default()),
        }),
        started_at: overview.start_time.as_deref().and_then(time::parse),
        generated_at: native.generated_at.as_deref().and_then(time::parse),
        database_updated_at,
        severity: native.severity.as_deref().map(Severity::of),
        announced: announced(overview),
        listed,
        foreign,
        findings: items.into_iter().map(finding).collect(),
    })
}

/// Returns what the overview announces. An empty report may come without counts by severity.
fn announced(overview: &ScanOverview) -> gate::AnnouncedFigures {
    let counts = overview.summary.as_ref().and_then(|summary| {
        let mut by_severity = BTreeMap::new();
        for (word, count) in &summary.summary {
            // two words may mean one severity, such as `High` and `high`
            let sum: &mut u64 = by_severity.entry(Severity::of(word)).or_default();
            *sum = sum.saturating_add(*count);
        }
        Some(gate::SeverityCounts { total: summary.total?, fixable: summary.fixable?, by_severity })
    });
    gate::AnnouncedFigures { severity: overview.severity.as_deref().map(Severity::of), counts }
}

/// Reads a severity; a missing one counts as an unknown word.
fn severity(text: Option<&str>) -> Severity {
    Severity::of(text.unwrap_or_default())
}

/// Reads a vulnerability; the gate doubts one without identifier or package.
fn finding(item: ReportedFinding) -> Finding {
    Finding {
        vulnerability: word(&item.id),
        package: word(&item.package.unwrap_or_default()),
        version: word(&item.version.unwrap_or_default()),
        fixed_in: item.fix_version.and_then(|version| nonempty_word(&version)),
        severity: severity(item.severity.as_deref()),
        status: item.status.and_then(|status| nonempty_word(&status)),
    }
}

/// Returns a word; `None` when nothing is left of it. Go writes a missing text as an empty one.
fn nonempty_word(text: &str) -> Option<String> {
    Some(word(text)).filter(|text| !text.is_empty())
}

/// Returns a text from outside that is safe to show: cut, and without control characters.
fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD).collect()
}

#[cfg(test)]
mod tests;
