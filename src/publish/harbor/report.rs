//! Vulnerability reports as Harbor hands them on, read into the gate's form.

use crate::publish::gate;
use crate::publish::gate::Finding;
use crate::publish::gate::Severity;
use crate::publish::harbor::artifact::Overview;
use crate::publish::harbor::artifact::is_vulnerability_report;
use crate::publish::harbor::time;
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
struct Native {
    generated_at: Option<String>,
    scanner: Option<NativeScanner>,
    // `null` is no vulnerability; that the key is missing is no report
    #[serde(deserialize_with = "present")]
    vulnerabilities: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct NativeScanner {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct Item {
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

/// A field with this function must be there, though it may be `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Item>>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads the answer of `…/additions/vulnerabilities`.
///
/// # Errors
/// What does not fit.
pub(crate) fn read(
    body: &[u8],
    digest: Digest,
    overview: &Overview,
    database_updated_at: Option<Epoch>,
) -> Result<gate::Report, String> {
    let by_kind: BTreeMap<String, Native> = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    let native = by_kind.into_iter().find(|(kind, _)| is_vulnerability_report(kind));
    let (_, native) = native.ok_or("it has no vulnerability report of a known kind")?;
    let items = native.vulnerabilities.unwrap_or_default();
    if items.len() > ENTRIES {
        return Err(format!("it has more than {ENTRIES} vulnerabilities"));
    }
    let own = digest.to_string();
    let digests = items.iter().flat_map(|item| item.artifact_digests.iter().flatten());
    let foreign: BTreeSet<String> = digests.filter(|other| **other != own).map(|other| word(other)).collect();
    let time_of = |text: &Option<String>| text.as_deref().and_then(time::parse);
    Ok(gate::Report {
        digest,
        status: overview.scan_status.clone(),
        scanner: native.scanner.map(|scanner| gate::Scanner {
            name: word(&scanner.name.unwrap_or_default()),
            version: word(&scanner.version.unwrap_or_default()),
        }),
        started_at: time_of(&overview.start_time),
        generated_at: time_of(&native.generated_at),
        database_updated_at,
        announced: overview.summary.as_ref().and_then(|summary| summary.total),
        listed: items.len(),
        foreign,
        findings: items.into_iter().map(finding).collect(),
    })
}

fn finding(item: Item) -> Finding {
    let some = |text: Option<String>| text.map(|text| word(&text)).filter(|text| !text.is_empty());
    Finding {
        vulnerability: word(&item.id),
        package: word(&item.package.unwrap_or_default()),
        version: word(&item.version.unwrap_or_default()),
        fixed_in: some(item.fix_version),
        severity: Severity::of(&item.severity.unwrap_or_default()),
        status: some(item.status),
    }
}

/// Returns a text as it may be shown.
fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &str = r#"{"application/vnd.security.vulnerability.report; version=1.1": {
        "generated_at": "2026-11-23T05:31:00.529Z",
        "artifact": null,
        "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.66.0"},
        "severity": "High",
        "vulnerabilities": [
            {"id": "CVE-2026-1234", "package": "libssl3", "version": "3.0.17-1", "fix_version": "3.0.17-2",
             "severity": "High", "status": "fixed", "description": "…", "links": ["https://avd.example/CVE-2026-1234"],
             "artifact_digests": ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
             "preferred_cvss": {"score_v3": 8.1, "score_v2": null, "vector_v3": "CVSS:3.1/AV:N", "vector_v2": ""},
             "cwe_ids": ["CWE-787"], "vendor_attributes": {"CVSS": {"nvd": {"V3Score": 8.1}}}},
            {"id": "CVE-2011-3374", "package": "apt", "version": "2.6.1", "fix_version": "", "severity": "Low",
             "status": "affected", "description": "", "links": null, "artifact_digests": null},
            {"id": "CVE-2026-9", "package": "zlib1g", "version": "1:1.2.13"}
        ]}}"#;

    fn overview() -> Overview {
        serde_json::from_str(r#"{"scan_status":"Success","start_time":"2026-11-23T05:30:56Z","summary":{"total":3}}"#)
            .unwrap()
    }

    fn parse(body: &str) -> Result<gate::Report, String> {
        read(body.as_bytes(), Digest::of(b""), &overview(), Some(Epoch(7)))
    }

    #[test]
    fn reads_reports() {
        let report = parse(REAL).unwrap();
        let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let expected = [
            "CVE-2011-3374 (low) in apt 2.6.1",
            "CVE-2026-1234 (high) in libssl3 3.0.17-1, fixed in 3.0.17-2",
            "CVE-2026-9 () in zlib1g 1:1.2.13",
        ];
        assert_eq!(lines, expected);
        assert_eq!(report.scanner.unwrap().version, "v0.66.0");
        assert_eq!(report.generated_at.unwrap().to_string(), "2026-11-23T05:31:00Z");
        assert_eq!(report.started_at.unwrap().to_string(), "2026-11-23T05:30:56Z");
        assert_eq!((report.announced, report.listed, report.foreign.len()), (Some(3), 3, 0));
        assert_eq!(report.database_updated_at, Some(Epoch(7)));
    }

    #[test]
    fn notices_other_images() {
        let report = parse(&REAL.replace("sha256:e3b0", "sha256:e3b1")).unwrap();
        assert_eq!(report.foreign.len(), 1);
    }

    #[test]
    fn tells_no_vulnerability_from_no_report() {
        let table = [
            (r#"{"application/vnd.security.vulnerability.report;version=1.1":{"vulnerabilities":null}}"#, true),
            (r#"{"application/vnd.security.vulnerability.report; version=1.1":{"vulnerabilities":[]}}"#, true),
            (r#"{"application/vnd.security.vulnerability.report; version=1.1":{}}"#, false),
            (r#"{"application/vnd.security.vulnerability.report; version=1.1":null}"#, false),
            (r#"{"application/vnd.security.sbom.report+json":{"vulnerabilities":[]}}"#, false),
            (r#"{"application/vnd.security.vulnerability.report":{"vulnerabilities":[{"package":"no id"}]}}"#, false),
            (r#"{"application/vnd.security.vulnerability.report":{"vulnerabilities":{}}}"#, false),
            ("{}", false),
            ("null", false),
            ("", false),
        ];
        for (body, expected) in table {
            assert_eq!(parse(body).is_ok(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn survives_broken_reports(cut in 0..REAL.len(), byte: u8, end in 0..REAL.len(), any in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = REAL.as_bytes().to_vec();
            bytes[cut] = byte;
            let whole = read(&bytes, Digest::of(b""), &overview(), None);
            if let Ok(report) = whole {
                prop_assert!(report.findings.len() <= report.listed && report.listed <= 3);
            }
            prop_assert!(read(&bytes[..end.min(REAL.len() - 2)], Digest::of(b""), &overview(), None).is_err());
            prop_assert!(read(&any, Digest::of(b""), &overview(), None).is_err());
        }
    }
}
