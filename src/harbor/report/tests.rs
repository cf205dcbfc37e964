//! Reports as Harbor hands them on, captured and changed, and what the gate makes of them.

use super::*;
use crate::gate::GateOutcome;
use crate::gate::GatePolicy;
use crate::gate::ScanFacts;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

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

fn overview() -> ScanOverview {
    serde_json::from_str(r#"{"scan_status":"Success","start_time":"2026-11-23T05:30:56Z","severity":"High","summary":{"total":3,"fixable":1,"summary":{"High":1,"Low":1,"":1}}}"#)
        .unwrap()
}

fn parse(body: &str) -> Result<gate::ScanReport, String> {
    read(body.as_bytes(), Digest::of(b""), &overview(), Some(Epoch(7)))
}

#[test]
fn reads_reports() {
    let report = parse(REAL).unwrap();
    assert_eq!((&report.severity, &report.announced.severity), (&Some(Severity::High), &Some(Severity::High)));
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let expected = [
        "CVE-2011-3374 (low) in apt 2.6.1",
        "CVE-2026-1234 (high) in libssl3 3.0.17-1, fixed in 3.0.17-2",
        "CVE-2026-9 () in zlib1g 1:1.2.13",
    ];
    assert_eq!(lines, expected);
    assert_eq!(report.scanner.as_ref().unwrap().version, "v0.66.0");
    assert_eq!(report.generated_at.unwrap().to_string(), "2026-11-23T05:31:00Z");
    assert_eq!(report.started_at.unwrap().to_string(), "2026-11-23T05:30:56Z");
    assert_eq!((report.announced.counts.as_ref(), report.foreign.len()), (Some(&report.listed), 0));
    assert_eq!((report.listed.total, report.listed.fixable, report.contradictions().len()), (3, 1, 0));

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

/// The captured answers about a scanned image: its overview, its report, and what is known besides.
struct Case {
    overview: Value,
    report: Value,
    database: Option<Epoch>,
    facts: ScanFacts,
    policy: GatePolicy,
}

const NOW: &str = "2026-11-27T16:45:00Z";

fn item(id: &str, severity: &str, fix: &str, status: &str) -> Value {
    json!({
        "id": id, "package": "libc6", "version": "2.39-1", "fix_version": fix, "severity": severity, "status": status,
        "description": "d", "links": ["https://x/3"], "artifact_digests": [Digest::of(b"").to_string()],
        "preferred_cvss": {"score_v3": null, "score_v2": null, "vector_v3": "", "vector_v2": ""}, "cwe_ids": [""],
        "vendor_attributes": null,
    })
}

impl Case {
    /// Seven packages with one harmless finding, as captured from Harbor 2.16.
    fn new() -> Self {
        let facts = ScanFacts {
            digest: Digest::of(b""),
            pushed_at: time::parse("2026-11-27T16:41:12.755Z"),
            distribution: "ubuntu".to_owned(),
            packages: 7,
            has_debian_version: true,
            has_lsb_release: true,
            has_package_database: true,
        };
        let overview = json!({
            "complete_percent": 100, "duration": 7, "end_time": "2026-11-27T16:41:22.000Z",
            "report_id": "29151f51-bc35-4dfc-a8e8-1d6ba1d9884d", "scan_status": "Success",
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.66.0"}, "severity": "Low",
            "start_time": "2026-11-27T16:41:15.000Z", "summary": {"fixable": 0, "summary": {"Low": 1}, "total": 1},
        });
        let report = json!({
            "generated_at": "2026-11-27T16:41:21.924899Z", "severity": "Low",
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.66.0"}, "vulnerabilities": [],
        });
        let database = time::parse("2026-11-27T13:41:48Z");
        Self { overview, report, database, facts, policy: GatePolicy::usual() }.items(&[item("CVE-1-1", "Low", "", "")])
    }

    /// Has these findings, and figures that fit.
    fn items(mut self, items: &[Value]) -> Self {
        let order = ["None", "Unknown", "Negligible", "Low", "Medium", "High", "Critical"];
        let place = |item: &Value| order.iter().position(|word| Some(*word) == item["severity"].as_str());
        let worst =
            items.iter().max_by_key(|item| place(item)).map_or(json!("Unknown"), |item| item["severity"].clone());
        let mut counts = BTreeMap::<&str, u64>::new();
        for item in items {
            *counts.entry(item["severity"].as_str().unwrap_or("")).or_default() += 1;
        }
        let fixable = items.iter().filter(|item| item["fix_version"] != json!("")).count();
        self.overview["summary"] = json!({"fixable": fixable, "summary": counts, "total": items.len()});
        (self.overview["severity"], self.report["severity"]) = (worst.clone(), worst);
        self.report["vulnerabilities"] = items.to_vec().into();
        self
    }

    /// Differs in one place of the overview (`o/…`) or the report (`r/…`).
    fn with(mut self, place: &str, value: Value) -> Self {
        let (document, pointer) = place.split_at(1);
        let document = if document == "o" { &mut self.overview } else { &mut self.report };
        *document.pointer_mut(pointer).unwrap() = value;
        self
    }

    /// Lacks a field.
    fn without(mut self, place: &str) -> Self {
        let (document, pointer) = place.split_at(1);
        let document = if document == "o" { &mut self.overview } else { &mut self.report };
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        self
    }

    fn database(self, time: &str) -> Self {
        Self { database: time::parse(time), ..self }
    }

    fn policy(mut self, change: fn(&mut GatePolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn facts(mut self, change: fn(&mut ScanFacts)) -> Self {
        change(&mut self.facts);
        self
    }

    /// Returns the verdict in one word and all reasons; a report that cannot be read is none.
    fn judged(&self) -> (&'static str, String) {
        let overview: ScanOverview = serde_json::from_value(self.overview.clone()).unwrap();
        let body = json!({"application/vnd.security.vulnerability.report; version=1.1": self.report}).to_string();
        let report = match read(body.as_bytes(), Digest::of(b""), &overview, self.database) {
            Ok(report) => report,
            Err(cause) => return ("unreadable", cause),
        };
        let verdict = gate::judge(&report, &self.facts, &self.policy, time::parse(NOW).unwrap());
        let reasons = verdict.doubts.iter().map(ToString::to_string);
        let reasons: Vec<String> = reasons.chain(verdict.findings.iter().map(ToString::to_string)).collect();
        assert_eq!(verdict.hints().is_empty(), verdict.is_pass(), "every no has a remedy");
        let word = match verdict.outcome() {
            GateOutcome::Passed => "passed",
            GateOutcome::Refused => "refused",
            GateOutcome::NotTrusted => "not trusted",
        };
        (word, reasons.join("; "))
    }
}

/// What a security officer expects of the gate, report by report.
#[test]
fn judges_reports_as_a_security_officer_would() {
    let one = |severity, fix, status| Case::new().items(&[item("CVE-2026-3333", severity, fix, status)]);
    let nothing = || Case::new().items(&[]);
    let fixable = |case: Case| case.policy(|policy| policy.fixable_only = true);
    let first = "r/vulnerabilities/0";
    let at = |key: &str| format!("{first}/{key}");
    let negligible = |own| one("None", "", "affected").with("r/severity", json!(own));
    let table: Vec<(&str, Case, &str, &str)> = vec![
        // captured shapes
        ("one low finding", Case::new(), "passed", ""),
        ("a critical one", one("Critical", "", "affected"), "refused", "CVE-2026-3333 (critical) in libc6 2.39-1"),
        ("a high one with a fix", one("High", "2.39-2", "fixed"), "refused", "fixed in 2.39-2"),
        ("a medium one", one("Medium", "2.39-2", "fixed"), "passed", ""),
        ("one that nobody rated", one("Unknown", "", "affected"), "refused", "(unknown)"),
        ("a space less in the type's version", Case::new().with("o/report_id", json!("")), "passed", ""),
        ("negligible is kept as none, but not in the report's own word", negligible("Negligible"), "passed", ""),
        ("the worst of what has no rating", negligible("Unknown"), "passed", ""),
        ("capitals do not matter", Case::new().with("r/severity", json!("LOW")), "passed", ""),
        // shared records
        (
            "another image lowered the finding (captured)",
            one("Low", "1.1", "fixed").with("r/severity", json!("Critical")),
            "not trusted",
            "the worst severity is low in the list and critical in the report itself",
        ),
        (
            "another image raised the finding",
            one("Critical", "1.1", "fixed").with("r/severity", json!("Low")),
            "not trusted",
            "the worst severity is critical in the list and low in the report itself",
        ),
        (
            "the report itself says high though nothing is listed",
            nothing().with("r/severity", json!("High")),
            "not trusted",
            "the worst severity is none in the list and high in the report itself",
        ),
        (
            "the fix is missing in the record (captured), only fixable ones stop",
            fixable(one("Critical", "", "")),
            "refused",
            "CVE-2026-3333 (critical)",
        ),
        ("the fix is missing, but the status tells", fixable(one("Critical", "", "fixed")), "refused", "not named"),
        ("no fix, says the status", fixable(one("Critical", "", "affected")), "passed", ""),
        ("no fix, and there will be none", fixable(one("Critical", "", "will_not_fix")), "passed", ""),
        ("a status that is no known word", fixable(one("Critical", "", "perhaps")), "refused", "CVE-2026-3333"),
        ("an old fix version, an unfixed status", fixable(one("Critical", "1.1", "affected")), "refused", "1.1"),
        ("only fixable ones stop, low and without status", fixable(one("Low", "", "")), "passed", ""),
        (
            "the summary counts a fix that no entry has",
            fixable(one("Critical", "", "affected")).with("o/summary/fixable", json!(1)),
            "not trusted",
            "the number of those with a fix is 0 in the list and 1 in the scan's summary",
        ),
        (
            "the summary counts no fix, an entry has one",
            one("Low", "2", "fixed").with("o/summary/fixable", json!(0)),
            "not trusted",
            "the number of those with a fix is 1 in the list and 0 in the scan's summary",
        ),
        // contradictions
        (
            "the overview is worse",
            Case::new().with("o/severity", json!("Critical")),
            "not trusted",
            "low in the list and critical in the scan's summary",
        ),
        (
            "more are announced",
            Case::new().with("o/summary/total", json!(3)),
            "not trusted",
            "the number of vulnerabilities is 1 in the list and 3 in the scan's summary",
        ),
        (
            "fewer are announced",
            Case::new().with("o/summary/total", json!(0)),
            "not trusted",
            "the number of vulnerabilities is 1 in the list and 0",
        ),
        (
            "other severities are counted",
            Case::new().with("o/summary/summary", json!({"High": 1})),
            "not trusted",
            "the number of `low` ones is 1 in the list and 0 in the scan's summary; it contradicts itself: the number of `high` ones is 0",
        ),
        ("absurd counts", Case::new().with("o/summary/total", json!(u64::MAX)), "not trusted", "18446744073709551615"),
        (
            "it is about another image",
            Case::new().with(&at("artifact_digests"), json!(["sha256:other"])),
            "not trusted",
            "the report is about sha256:other",
        ),
        (
            "it is older than the image",
            Case::new().with("r/generated_at", json!("2026-11-27T16:30:00Z")),
            "not trusted",
            "the image was pushed",
        ),
        (
            "it is of the future",
            Case::new().with("r/generated_at", json!("2026-11-27T17:00:00Z")),
            "not trusted",
            "in the future",
        ),
        // missing fields
        ("no own severity", Case::new().without("r/severity"), "not trusted", "the report's own severity is missing"),
        (
            "no severity in the overview",
            Case::new().without("o/severity"),
            "not trusted",
            "in the scan's summary is missing",
        ),
        (
            "no summary",
            Case::new().without("o/summary"),
            "not trusted",
            "the number of vulnerabilities in the scan's summary is missing",
        ),
        ("no total", Case::new().without("o/summary/total"), "not trusted", "is missing"),
        ("no count of fixes", Case::new().without("o/summary/fixable"), "not trusted", "is missing"),
        (
            "no counts by severity",
            Case::new().without("o/summary/summary"),
            "not trusted",
            "`low` ones is 1 in the list and 0",
        ),
        ("no scanner", Case::new().without("r/scanner"), "not trusted", "does not name its scanner"),
        (
            "no version of the scanner",
            Case::new().with("r/scanner/version", json!("")),
            "not trusted",
            "does not name its scanner",
        ),
        ("no time", Case::new().without("r/generated_at"), "not trusted", "does not say when"),
        (
            "Go's zero time",
            Case::new().with("r/generated_at", json!("0001-01-01T00:00:00.000Z")),
            "not trusted",
            "does not say when",
        ),
        (
            "a finding without severity",
            Case::new().without(&at("severity")),
            "not trusted",
            "the severity of CVE-1-1 is the unknown word ``",
        ),
        (
            "a finding without package",
            Case::new().without(&at("package")),
            "not trusted",
            "a vulnerability has no package",
        ),
        (
            "a finding with an empty name",
            Case::new().with(&at("id"), json!("")),
            "not trusted",
            "a vulnerability has no identifier",
        ),
        ("a finding without name", Case::new().without(&at("id")), "unreadable", "missing field `id`"),
        ("no list", Case::new().without("r/vulnerabilities"), "unreadable", "missing field `vulnerabilities`"),
        ("a list that is none", Case::new().with("r/vulnerabilities", json!("many")), "unreadable", "invalid type"),
        // unknown words
        (
            "an unknown severity",
            one("Grave", "", ""),
            "not trusted",
            "the severity of CVE-2026-3333 is the unknown word `Grave`",
        ),
        (
            "an unknown word for the whole",
            Case::new().with("r/severity", json!("Grave")),
            "not trusted",
            "the severity of the report is the unknown word `Grave`",
        ),
        (
            "an unknown word in the overview",
            Case::new().with("o/severity", json!("Grave")),
            "not trusted",
            "the severity of the scan's summary is",
        ),
        (
            "an unknown word in the counts",
            Case::new().with("o/summary/summary", json!({"Grave": 1})),
            "not trusted",
            "the number of `Grave` ones is 0 in the list and 1",
        ),
        // states of the scan and of the scanner
        (
            "still running",
            Case::new().with("o/scan_status", json!("Running")),
            "not trusted",
            "the scan has status `Running`",
        ),
        (
            "a state that nobody knows",
            Case::new().with("o/scan_status", json!("Done")),
            "not trusted",
            "the scan has status `Done`",
        ),
        ("an old database", Case::new().database("2026-11-20T00:00:00Z"), "not trusted", "older than 48 hours"),
        ("a database of unknown age", Case::new().database(""), "not trusted", "vulnerability database is unknown"),
        (
            "a database of unknown age, accepted",
            Case::new().database("").policy(|policy| policy.unknown_database_age_pass = true),
            "passed",
            "",
        ),
        ("a database of the future", Case::new().database("2026-11-28T00:00:00Z"), "not trusted", "in the future"),
        // nothing found
        ("nothing found", nothing(), "not trusted", "does not show whether the scanner saw the 7 packages of `ubuntu`"),
        (
            "nothing found in a list that is null",
            nothing().with("r/vulnerabilities", Value::Null),
            "not trusted",
            "no finding of any severity",
        ),
        (
            "nothing found, and the team knows its scanner",
            nothing().policy(|policy| policy.nothing_found_pass = true),
            "passed",
            "",
        ),
        ("nothing found in an image of files", nothing().facts(|facts| facts.packages = 0), "passed", ""),
        (
            "nothing found, known scanner, but the distribution cannot be recognised",
            nothing().policy(|policy| policy.nothing_found_pass = true).facts(|facts| facts.has_lsb_release = false),
            "not trusted",
            "no file by which the scanner recognises `ubuntu`",
        ),
        (
            "no package database",
            Case::new().facts(|facts| facts.has_package_database = false),
            "not trusted",
            "no package database",
        ),
    ];
    assert!(table.len() >= 40);
    for (name, case, outcome, words) in table {
        let (word, reasons) = case.judged();
        assert!(word == outcome && reasons.contains(words), "{name}: {word}: {reasons}");
    }
}

proptest! {
    #[test]
    fn survives_broken_reports(cut in 0..REAL.len(), byte: u8, end in 0..REAL.len(), any in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = REAL.as_bytes().to_vec();
        bytes[cut] = byte;
        let whole = read(&bytes, Digest::of(b""), &overview(), None);
        if let Ok(report) = whole {
            prop_assert!(report.findings.len() as u64 <= report.listed.total && report.listed.total <= 3);
        }
        prop_assert!(read(&bytes[..end.min(REAL.len() - 2)], Digest::of(b""), &overview(), None).is_err());
        prop_assert!(read(&any, Digest::of(b""), &overview(), None).is_err());
    }
}
