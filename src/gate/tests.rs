//! Reports, facts and policies in tables, and what the gate says.

use super::*;
use crate::values::WaiverTerms;
use proptest::prelude::*;

const NOW: Epoch = Epoch(1_795_000_000);
const HOUR: i64 = 3600;

fn digest() -> Digest {
    Digest::of(b"image")
}

fn finding(vulnerability: &str, package: &str, severity: &str, fixed_in: &str) -> Finding {
    Finding {
        vulnerability: vulnerability.to_owned(),
        package: package.to_owned(),
        version: "1.0-1".to_owned(),
        fixed_in: Some(fixed_in.to_owned()).filter(|version| !version.is_empty()),
        severity: Severity::of(severity),
        status: Some(if fixed_in.is_empty() { "affected" } else { "fixed" }.to_owned()),
    }
}

/// Returns a report whose figures fit.
fn report(findings: impl IntoIterator<Item = Finding>) -> ScanReport {
    let findings: BTreeSet<Finding> = findings.into_iter().collect();
    let mut listed = SeverityCounts::default();
    for finding in &findings {
        listed.add(&finding.severity, finding.fixed_in.is_some());
    }
    let rated = findings.iter().map(|finding| &finding.severity).filter(|severity| severity.is_rated());
    let severity = Some(rated.max().cloned().unwrap_or(Severity::Unknown));
    ScanReport {
        digest: digest(),
        status: "Success".to_owned(),
        scanner: Some(ScannerInfo { name: "Trivy".to_owned(), version: "v0.66.0".to_owned() }),
        started_at: Some(Epoch(NOW.0 - 120)),
        generated_at: Some(Epoch(NOW.0 - 60)),
        database_updated_at: Some(Epoch(NOW.0 - 6 * HOUR)),
        announced: AnnouncedFigures { severity: severity.clone(), counts: Some(listed.clone()) },
        severity,
        listed,
        foreign: BTreeSet::new(),
        findings,
    }
}

fn facts() -> ScanFacts {
    ScanFacts {
        digest: digest(),
        pushed_at: Some(Epoch(NOW.0 - 300)),
        distribution: "debian".to_owned(),
        packages: 80,
        has_debian_version: true,
        has_lsb_release: false,
        has_package_database: true,
    }
}

fn exemption(vulnerability: &str, package: Option<&str>, expires: i64) -> Exemption {
    Exemption {
        vulnerability: vulnerability.to_owned(),
        package: package.map(str::to_owned),
        terms: WaiverTerms { reason: "not reachable".to_owned(), agreed_by: None, expires: Epoch(expires) },
    }
}

#[test]
fn stops_by_severity_and_fixability() {
    let findings = || {
        [
            finding("CVE-1-1", "a", "Critical", ""),
            finding("CVE-1-2", "b", "High", "2"),
            finding("CVE-1-3", "c", "Medium", "2"),
            finding("CVE-1-4", "d", "Unknown", ""),
            finding("CVE-1-5", "e", "Unknown", "2"),
            finding("CVE-1-6", "f", "Negligible", ""),
            finding("CVE-1-7", "g", "None", ""),
        ]
    };
    // threshold, only fixable, unrated pass; what stops
    let table: [(&str, bool, bool, &[&str]); 7] = [
        ("critical", false, true, &["1"]),
        ("high", false, true, &["1", "2"]),
        ("high", false, false, &["1", "2", "4", "5"]),
        ("high", true, false, &["2", "5"]),
        ("medium", true, true, &["2", "3"]),
        ("negligible", false, true, &["1", "2", "3", "6"]),
        // no severity at all lets nothing through
        ("unknown", false, true, &["1", "2", "3", "6"]),
    ];
    for (severity, fixable_only, unrated_pass, expected) in table {
        let policy = GatePolicy { severity: Severity::of(severity), fixable_only, unrated_pass, ..GatePolicy::usual() };
        let verdict = judge(&report(findings()), &facts(), &policy, NOW);
        let stopped: Vec<&str> = verdict.findings.iter().map(|finding| &finding.vulnerability[6..]).collect();
        assert_eq!(stopped, expected, "{severity} {fixable_only} {unrated_pass}");
        assert_eq!(verdict.outcome(), GateOutcome::Refused);
        assert_eq!(verdict.tolerated, 7 - expected.len());
        assert!(!verdict.hints().is_empty());
    }
}

#[test]
fn exempts_for_a_time() {
    let findings = [finding("CVE-1-1", "a", "Critical", ""), finding("CVE-1-1", "b", "High", "")];
    let later = NOW.0 + 1;
    // exemptions; outcome, number of findings, exempted, expired, unused
    let table = [
        (vec![], GateOutcome::Refused, (2, 0, 0, 0)),
        (vec![exemption("CVE-1-1", None, later)], GateOutcome::Passed, (0, 2, 0, 0)),
        (vec![exemption("cve-1-1", Some("a"), later)], GateOutcome::Refused, (1, 1, 0, 0)),
        (
            vec![exemption("CVE-1-1", Some("a"), later), exemption("CVE-1-1", Some("b"), later)],
            GateOutcome::Passed,
            (0, 2, 0, 0),
        ),
        (vec![exemption("CVE-1-1", None, NOW.0)], GateOutcome::Refused, (2, 0, 1, 0)),
        (vec![exemption("CVE-1-1", Some("c"), later)], GateOutcome::Refused, (2, 0, 0, 1)),
        (vec![exemption("CVE-1-2", None, NOW.0 - 1)], GateOutcome::Refused, (2, 0, 0, 1)),
        (
            vec![exemption("CVE-1-1", None, later), exemption("CVE-1-1", Some("a"), 0)],
            GateOutcome::Passed,
            (0, 2, 1, 0),
        ),
    ];
    for (exemptions, outcome, counts) in table {
        let policy = GatePolicy { exemptions: exemptions.clone(), ..GatePolicy::usual() };
        let verdict = judge(&report(findings.clone()), &facts(), &policy, NOW);
        let found = (verdict.findings.len(), verdict.exempted.len(), verdict.expired.len(), verdict.unused.len());
        assert_eq!((verdict.outcome(), found), (outcome, counts), "{exemptions:?}");
    }
}

type Change = fn(&mut ScanReport, &mut ScanFacts, &mut GatePolicy);

#[test]
fn never_trusts_what_cannot_be_right() {
    // change; beginnings of the doubts
    let table: [(Change, &[&str]); 29] = [
        (|_, _, _| {}, &[]),
        (|report, _, _| report.digest = Digest::of(b"other"), &["the report is about sha256:d9298a10"]),
        (|report, _, _| report.foreign = BTreeSet::from(["sha256:x".to_owned()]), &["the report is about sha256:x"]),
        (|report, _, _| report.status = "Error".to_owned(), &["the scan has status `Error`"]),
        (|report, _, _| report.status.clear(), &["the scan has status ``"]),
        (|report, _, _| report.scanner = None, &["the report does not name its scanner"]),
        (|report, _, _| report.scanner.as_mut().unwrap().version.clear(), &["the report does not name its scanner"]),
        (|report, _, _| report.generated_at = None, &["the report does not say when"]),
        (|_, facts, _| facts.pushed_at = Some(NOW), &[]),
        (|_, facts, _| facts.pushed_at = Some(Epoch(NOW.0 + 241)), &["the report is of 2026-"]),
        (|_, facts, _| facts.pushed_at = None, &[]),
        (|report, _, _| report.started_at = Some(Epoch(i64::MAX)), &["the report is of 2026-"]),
        (|report, _, _| report.generated_at = Some(Epoch(i64::MIN)), &["the report is of"]),
        (|report, _, _| report.generated_at = Some(Epoch(NOW.0 + 301)), &["the time of the report is in the future"]),
        (
            |report, _, _| report.database_updated_at = None,
            &["the age of the scanner's vulnerability database is unknown"],
        ),
        (|report, _, policy| (report.database_updated_at, policy.unknown_database_age_pass) = (None, true), &[]),
        (|report, _, _| report.database_updated_at = Some(Epoch(NOW.0 - 48 * HOUR)), &[]),
        (
            |report, _, _| report.database_updated_at = Some(Epoch(NOW.0 - 48 * HOUR - 1)),
            &["the scanner's vulnerability database is"],
        ),
        (
            |report, _, _| report.database_updated_at = Some(Epoch(NOW.0 + 301)),
            &["the time of the vulnerability database"],
        ),
        (
            |_, facts, _| facts.has_debian_version = false,
            &["the image has no file by which the scanner recognises `debian`"],
        ),
        (|_, facts, _| (facts.has_debian_version, facts.has_lsb_release) = (false, true), &["the image has no file"]),
        (|_, facts, _| facts.distribution = "ubuntu".to_owned(), &["the image has no file"]),
        (|_, facts, _| facts.has_package_database = false, &["the image has 80 packages but no package database"]),
        (|_, facts, _| (facts.packages, facts.has_package_database, facts.has_debian_version) = (0, false, false), &[]),
        (|_, _, policy| policy.nothing_found_pass = false, &["the report has no finding of any severity"]),
        (
            |report, _, _| report.announced.counts.as_mut().unwrap().total = 3,
            &["it contradicts itself: the number of vulnerabilities is 0 in the list and 3 in the scan's summary"],
        ),
        (|report, _, _| report.announced.counts = None, &["the number of vulnerabilities in the scan's summary is"]),
        (
            |report, _, _| report.severity = Some(Severity::Critical),
            &["it contradicts itself: the worst severity is none in the list and critical in the report itself"],
        ),
        (
            |report, facts, _| {
                report.findings.insert(finding("CVE-1-1", "a", "Wow", ""));
                (facts.has_debian_version, facts.has_package_database) = (false, false);
            },
            &["the image has no file", "the image has 80", "the severity of CVE-1-1 is the unknown word `Wow`"],
        ),
    ];
    for (number, (change, expected)) in table.into_iter().enumerate() {
        let (mut report, mut facts, mut policy) =
            (report([]), facts(), GatePolicy { nothing_found_pass: true, ..GatePolicy::usual() });
        change(&mut report, &mut facts, &mut policy);
        let verdict = judge(&report, &facts, &policy, NOW);
        let doubts: Vec<String> = verdict.doubts.iter().map(ToString::to_string).collect();
        let fits = doubts.len() == expected.len()
            && doubts.iter().zip(expected).all(|(doubt, start)| doubt.starts_with(start));
        assert!(fits, "{number}: {doubts:?}");
        assert_eq!(verdict.is_pass(), expected.is_empty(), "{number}");
        assert_eq!(verdict.hints().is_empty(), expected.is_empty(), "{number}");
    }
}

#[test]
fn no_exemption_mends_a_report() {
    let mut report = report([finding("CVE-1-1", "a", "Wow", "")]);
    report.database_updated_at = None;
    let policy = GatePolicy { exemptions: vec![exemption("CVE-1-1", None, NOW.0 + 1)], ..GatePolicy::usual() };
    let verdict = judge(&report, &facts(), &policy, NOW);
    assert_eq!(verdict.outcome(), GateOutcome::NotTrusted);
    assert_eq!((verdict.doubts.len(), verdict.exempted.len()), (2, 1));
}

#[test]
fn is_written_as_json() {
    let policy = GatePolicy { exemptions: vec![exemption("CVE-1-2", Some("b"), NOW.0 + 1)], ..GatePolicy::usual() };
    let findings = [finding("CVE-1-1", "a", "High", "2"), finding("CVE-1-2", "b", "Critical", "")];
    let verdict = judge(&report(findings), &ScanFacts { has_package_database: false, ..facts() }, &policy, NOW);
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["doubts"][0], "the image has 80 packages but no package database that the scanner reads");
    assert_eq!(json["findings"][0]["severity"], "high");
    assert_eq!(json["exempted"][0]["exemption"]["reason"], "not reachable");
}

fn any_report() -> impl Strategy<Value = ScanReport> {
    let word = prop_oneof![Just("Low"), Just("High"), Just("Critical"), Just("Unknown"), Just("None"), Just("?")];
    let findings = prop::collection::vec((0..9_u8, 0..3_u8, word, any::<bool>()), 0..12);
    let time = || prop::option::of(prop_oneof![any::<i64>().prop_map(Epoch), Just(NOW)]);
    (findings, time(), time(), time(), prop::option::of(0..12_u64)).prop_map(
        |(findings, started, made, base, total)| {
            let findings = findings.into_iter().map(|(id, package, word, fixed)| {
                finding(&format!("CVE-1-{id}"), &package.to_string(), word, if fixed { "2" } else { "" })
            });
            let mut report = report(findings);
            if let (Some(total), Some(counts)) = (total, &mut report.announced.counts) {
                counts.total = total;
            }
            ScanReport { started_at: started, generated_at: made, database_updated_at: base, ..report }
        },
    )
}

proptest! {
    #[test]
    fn nothing_severe_ever_passes(report in any_report(), fixable_only: bool, unrated_pass: bool) {
        let policy = GatePolicy { fixable_only, unrated_pass, ..GatePolicy::usual() };
        let verdict = judge(&report, &facts(), &policy, NOW);
        let severe = |finding: &&Finding| matches!(finding.severity, Severity::High | Severity::Critical);
        if verdict.is_pass() {
            prop_assert!(report.findings.iter().filter(severe).all(|finding| fixable_only && finding.repair() == Repair::Open));
            prop_assert!(report.database_updated_at.is_some() && report.generated_at.is_some());
        }
        // every finding is accounted for once
        let counted = verdict.findings.len() + verdict.exempted.len() + verdict.tolerated;
        prop_assert_eq!(counted, report.findings.len());
        prop_assert_eq!(&verdict, &judge(&report, &facts(), &policy, NOW));
    }
}
