//! Scans from the request to the verdict: all states, and reports that cannot be right.

use crate::harbor::admin;
use crate::harbor::host;
use crate::harbor::login;
use crate::harbor::push;
use crate::harbor::repository;
use crate::support::registry::Course;
use crate::support::registry::Fault;
use crate::support::registry::Report;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use crate::support::registry::harbor::Harbor as Double;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::gate;
use sockel::gate::GateOutcome;
use sockel::gate::GatePolicy;
use sockel::gate::GateVerdict;
use sockel::gate::ScanFacts;
use sockel::harbor::Error;
use sockel::harbor::Harbor;
use sockel::harbor::HarborRefusal;
use sockel::harbor::scan::ScanPatience;
use sockel::harbor::scan::Scanned;
use sockel::sys::clock;
use sockel::values::Digest;
use std::time::Duration;

const NAME: &str = "staging/base/debian";

fn patience() -> ScanPatience {
    let pause = Duration::from_millis(2);
    ScanPatience { first_pause: pause, longest_pause: pause, limit: Duration::from_secs(60) }
}

fn hasty() -> ScanPatience {
    ScanPatience { limit: Duration::from_millis(100), ..patience() }
}

/// A Harbor with an image to scan.
fn start() -> (Double, Digest) {
    let double = Double::start("v2.15.2");
    double.project("staging");
    let digest = push(&double, NAME, &["1"], b"layer");
    (double, digest)
}

async fn scan(double: &Double, digest: &Digest) -> Result<Scanned, Error> {
    scan_with(double, digest, &patience()).await
}

async fn scan_with(double: &Double, digest: &Digest, patience: &ScanPatience) -> Result<Scanned, Error> {
    let host = host();
    admin(&host, double).scan(&repository(NAME), digest, patience).await
}

fn judge(scanned: &Scanned, policy: &GatePolicy) -> GateVerdict {
    let facts = ScanFacts {
        digest: scanned.report.digest,
        pushed_at: scanned.pushed_at,
        distribution: "debian".to_owned(),
        packages: 80,
        has_debian_version: true,
        has_lsb_release: false,
        has_package_database: true,
    };
    gate::judge(&scanned.report, &facts, policy, clock::now())
}

#[tokio::test]
async fn waits_for_the_report() {
    let (double, digest) = start();
    let report = Report::silent().finding("CVE-1-1", "apt", "Low").fixed("CVE-1-2", "zlib1g", "High", "2");
    double.scans(Course::success(30, report));
    let scanned = scan(&double, &digest).await.unwrap();
    assert!(double.log().count("GET", "*/artifacts/sha256:*") >= 30);
    assert_eq!(double.log().count("POST", "*/base%252Fdebian/artifacts/sha256:*/scan"), 1);
    assert_eq!((scanned.report.listed.total, scanned.report.listed.fixable), (2, 1));
    assert_eq!(scanned.report.announced.counts.as_ref(), Some(&scanned.report.listed));
    let verdict = judge(&scanned, &GatePolicy::usual());
    assert_eq!((verdict.outcome(), verdict.findings.len(), verdict.tolerated), (GateOutcome::Refused, 1, 1));
    assert_eq!(verdict.findings[0].fixed_in.as_deref(), Some("2"));
    double.scans(Course::success(1, Report::clean().finding("CVE-1-1", "apt", "Low")));
    assert!(judge(&scan(&double, &digest).await.unwrap(), &GatePolicy::usual()).is_pass());
}

#[tokio::test]
async fn every_state_has_its_end() {
    // states, how the error ends
    let table: [(&[&'static str], &str); 6] = [
        (&["Pending", "Error"], "the scanner failed"),
        (&["Pending", "Running", "Stopped"], "the scan was stopped"),
        (&[""], "Harbor knows of no scan, although it took the request"),
        (&["Pending"], "seconds the scan still has status `Pending`"),
        (&["Scheduled"], "seconds the scan still has status `Scheduled`"),
        (&["Confused"], "seconds the scan still has status `Confused`"),
    ];
    for (states, expected) in table {
        let (double, digest) = start();
        double.scans(Course::new(states));
        let patience = if expected.contains("seconds") { hasty() } else { patience() };
        let error = scan_with(&double, &digest, &patience).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot scan `{NAME}@{digest}`: ")) && text.ends_with(expected), "{text}");
        assert_eq!(error.turn(), Turn::Outside);
        if let Error::ScanFailed { log, .. } = &error {
            assert!(log.ends_with("[ERROR] the end"), "{log}");
            assert!(error.hints()[0].contains(&log.replace("\n", " | ")));
        }
    }
    // between a report's place and its job Harbor says `Error`
    let (double, digest) = start();
    double.scans(Course::new(&["Error", "Pending", "", "Running", "Success"]));
    assert!(scan(&double, &digest).await.is_ok());
}

#[tokio::test]
async fn refusals_and_races() {
    let (double, digest) = start();
    double.scans(Course::success(20, Report::clean()));
    let host = host();
    let (name, patience) = (repository(NAME), patience());
    let (one, two) = (admin(&host, &double), admin(&host, &double));
    let both = futures_util::future::join(one.scan(&name, &digest, &patience), two.scan(&name, &digest, &patience));
    let (first, second) = both.await;
    assert_eq!(first.unwrap().report, second.unwrap().report, "the second waits for the scan of the first");
    let statuses = |double: &Double| {
        let mut statuses: Vec<u16> = double.log().of("POST", "*/scan").iter().map(|entry| entry.status).collect();
        statuses.sort_unstable();
        statuses
    };
    assert_eq!(statuses(&double), [202, 409]);
    // the answer is lost and the request made again
    double.fault(Fault::new("POST", "*/scan", Trouble::Silence));
    scan(&double, &digest).await.unwrap();
    assert_eq!(statuses(&double), [202, 202, 409, 409]);

    double.has_no_scanner();
    let error = scan(&double, &digest).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotScannable { message, .. } if message.contains("no available scanner")),
        "{error}"
    );
    let unsupported = Response::error(422, "UNPROCESSABLE_ENTITY", "it is an index");
    double.fault(Fault::new("POST", "*/scan", Trouble::Answer(unsupported)));
    assert!(matches!(scan(&double, &digest).await, Err(Error::NotScannable { .. })));
    let error = scan(&double, &Digest::of(b"absent")).await.unwrap_err();
    assert!(
        matches!(error, Error::Known { cause: HarborRefusal::Gone, .. }) && error.turn() == Turn::Outside,
        "{error}"
    );
}

#[tokio::test]
async fn a_scanner_that_does_not_answer_is_named() {
    let (double, digest) = start();
    double.scanner_is_unhealthy();
    let error = scan(&double, &digest).await.unwrap_err();
    assert!(matches!(error, Error::Known { cause: HarborRefusal::UnhealthyScanner, .. }), "{error}");
    assert_eq!(error.turn(), Turn::Outside);
    assert_eq!(double.log().count("GET", "*/metadata"), 0, "that would be tried again and again");
    // whoever may not ask hears it from the refusal
    let rights = ["artifact:read", "scan:create", "scan:read", "artifact-addition:read"];
    double.robot("robot$ci", "secret", &[("staging", &rights)]);
    let host = host();
    let robot = Harbor::new(&host, double.url().parse().unwrap(), login("robot$ci", "secret"));
    let error = robot.scan(&repository(NAME), &digest, &patience()).await.unwrap_err();
    assert!(matches!(error, Error::Known { cause: HarborRefusal::UnhealthyScanner, .. }), "{error}");
}

#[tokio::test]
async fn read_only_mode_stops_scans_and_says_so() {
    let (double, digest) = start();
    double.scans(Course::new(&["Running"]));
    let error = scan_with(&double, &digest, &hasty()).await.unwrap_err();
    assert!(matches!(error, Error::ScanTooLong { .. }), "{error}");
    let running = Response::error(409, "CONFLICT", "a previous scan process is Running");
    double.fault(Fault::new("POST", "*/scan", Trouble::Answer(running)));
    double.is_read_only();
    let error = scan_with(&double, &digest, &hasty()).await.unwrap_err();
    assert!(
        matches!(error, Error::Known { cause: HarborRefusal::ReadOnly, .. }) && error.turn() == Turn::Outside,
        "{error}"
    );
}

#[tokio::test]
async fn an_earlier_report_is_not_taken_for_the_new_one() {
    let (double, digest) = start();
    double.scans(Course::success(0, Report::clean()));
    scan(&double, &digest).await.unwrap();
    // Harbor takes the request, but nothing happens
    double.fault(Fault::new("POST", "*/scan", Trouble::Answer(Response::new(202))));
    assert!(matches!(scan_with(&double, &digest, &hasty()).await, Err(Error::ScanTooLong { .. })));
}

#[tokio::test]
async fn reports_that_cannot_be_right_are_not_trusted() {
    let old = "2020-01-01T00:00:00Z";
    let low = || Report::clean().finding("CVE-1-1", "apt", "Low");
    // report, database's time, beginning of the doubt
    let table = [
        (low(), Some(old), "the scanner's vulnerability database is of 2020-01-01"),
        (low(), Some("soon"), "the age of the scanner's vulnerability database is unknown"),
        (low(), None, "the age of the scanner's vulnerability database is unknown"),
        (low().generated_at(old), Some(""), "the report is of 2020-01-01"),
        (low().generated_at(""), Some(""), "the report does not say when"),
        (low().by("", ""), Some(""), "the report does not name its scanner"),
        (low().calls_itself("Strange"), Some(""), "the severity of the report is the unknown word `Strange`"),
        (low().calls_itself("High"), Some(""), "it contradicts itself: the worst severity is low in the list and high"),
        (
            Report::silent(),
            Some(""),
            "the report has no finding of any severity, so it does not show whether the scanner saw the 80 packages",
        ),
    ];
    for (report, database, expected) in table {
        let (double, digest) = start();
        if database != Some("") {
            double.database_updated_at(database);
        }
        double.scans(Course::success(1, report));
        let scanned = scan(&double, &digest).await.unwrap();
        let verdict = judge(&scanned, &GatePolicy::usual());
        let doubts: Vec<String> = verdict.doubts.iter().map(ToString::to_string).collect();
        assert_eq!(verdict.outcome(), GateOutcome::NotTrusted, "{expected}");
        assert!(doubts.len() == 1 && doubts[0].starts_with(expected), "{expected}: {doubts:?}");
    }
}

/// Harbor has one record for what two images share, and the last scan writes it.
#[tokio::test]
async fn what_another_scan_has_written_is_scanned_once_more() {
    let finding = |severity: &str| Report::silent().finding("CVE-1-1", "libx", severity);
    let requests = |double: &Double| double.log().count("POST", "*/scan");
    // how often another image's scan gets between; severity of this image, of the other one; outcome, scans
    let table = [
        (0, "Critical", "Low", GateOutcome::Refused, 1),
        (1, "Critical", "Low", GateOutcome::Refused, 2),
        (1, "Low", "Critical", GateOutcome::Passed, 2),
        (2, "Critical", "Low", GateOutcome::NotTrusted, 2),
        (2, "Low", "Critical", GateOutcome::NotTrusted, 2),
    ];
    for (times, own, other, outcome, scans) in table {
        let (double, digest) = start();
        double.scans(Course::success(1, finding(own)));
        (0..times).for_each(|_| double.another_scan_follows(finding(other)));
        let verdict = judge(&scan(&double, &digest).await.unwrap(), &GatePolicy::usual());
        assert_eq!((verdict.outcome(), requests(&double)), (outcome, scans), "{times} {own} {other}");
        let told: Vec<String> = verdict.doubts.iter().map(ToString::to_string).collect();
        let both = |text: &String| text.contains(&own.to_lowercase()) && text.contains(&other.to_lowercase());
        assert_eq!(told.iter().any(both), outcome == GateOutcome::NotTrusted, "{told:?}");
    }
}

#[tokio::test]
async fn reports_that_are_none_are_refused() {
    let bodies: [&[u8]; 5] =
        [b"{}", b"[]", b"", b"<html>", b"{\"application/vnd.security.vulnerability.report; version=1.1\":{}}"];
    for body in bodies {
        let (double, digest) = start();
        double.scans(Course::success(1, Report::clean()));
        double.fault(Fault::new("GET", "*/vulnerabilities", Trouble::malformed("application/json", body)));
        let error = scan(&double, &digest).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.turn() == Turn::Outside, "{error}");
    }
}

#[tokio::test]
async fn robots_without_the_right_do_not_know_the_age() {
    let (double, digest) = start();
    let rights = ["artifact:read", "scan:create", "scan:read", "artifact-addition:read"];
    double.robot("robot$ci", "secret", &[("staging", &rights)]);
    double.scans(Course::success(1, Report::clean().finding("CVE-1-1", "apt", "Low")));
    let host = host();
    let robot = Harbor::new(&host, double.url().parse().unwrap(), login("robot$ci", "secret"));
    let scanned = robot.scan(&repository(NAME), &digest, &patience()).await.unwrap();
    assert_eq!(judge(&scanned, &GatePolicy::usual()).outcome(), GateOutcome::NotTrusted);
    assert!(judge(&scanned, &GatePolicy { unknown_database_age_pass: true, ..GatePolicy::usual() }).is_pass());
    double.robot("robot$blind", "secret", &[("staging", &["artifact:read"])]);
    let robot = Harbor::new(&host, double.url().parse().unwrap(), login("robot$blind", "secret"));
    let error = robot.scan(&repository(NAME), &digest, &patience()).await.unwrap_err();
    assert!(matches!(error, Error::NotPermitted { .. }) && error.turn() == Turn::Input, "{error}");
}
