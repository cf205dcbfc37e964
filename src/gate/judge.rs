//! The verdict over a report: doubts first, then findings, exemptions and what they cover.

use crate::gate::Contradiction;
use crate::gate::Exemption;
use crate::gate::Finding;
use crate::gate::GatePolicy;
use crate::gate::Repair;
use crate::gate::ScanFacts;
use crate::gate::ScanReport;
use crate::gate::ScannerInfo;
use crate::gate::Severity;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Serialize;
use std::collections::BTreeSet;

/// How far the clocks of registry, scanner and this machine may be apart, in seconds.
const SKEW: i64 = 300;

/// The gate's verdict on an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateVerdict {
    /// Reasons not to trust the report; a single one refuses the image.
    pub doubts: Vec<ReportDoubt>,
    /// Findings that stop the image.
    pub findings: Vec<Finding>,
    /// Findings that would stop it, but are exempted.
    pub exempted: Vec<Exempted>,
    /// Expired exemptions whose vulnerability the image still has.
    pub expired: Vec<Exemption>,
    /// Exemptions whose vulnerability the image does not have (any more).
    pub unused: Vec<Exemption>,
    /// Number of findings that do not stop the image: below the threshold or, if the policy says so, not fixable.
    pub tolerated: usize,
}

/// A verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateOutcome {
    /// The image may be released.
    Passed,
    /// It has vulnerabilities that the policy does not tolerate.
    Refused,
    /// The report cannot be right, or it cannot be told whether it is.
    NotTrusted,
}

/// A finding that an exemption covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exempted {
    /// The finding.
    pub finding: Finding,
    /// The exemption, with its reason and end.
    pub exemption: Exemption,
}

/// Why a report cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportDoubt {
    /// The report is about another manifest.
    #[error("the report is about {reported} and not about {wanted}")]
    OtherDigest {
        /// Digest of the report.
        reported: String,
        /// Digest of the image.
        wanted: Digest,
    },
    /// The scan did not succeed.
    #[error("the scan has status `{0}`")]
    Status(String),
    /// The report does not name its scanner.
    #[error("the report does not name its scanner")]
    NoScanner,
    /// The report has no time.
    #[error("the report does not say when it was made")]
    NoTime,
    /// The report is older than the image, or than the start of its scan.
    #[error("the report is of {generated} but the image was pushed or its scan begun at {after}")]
    BeforeImage {
        /// Time of the report.
        generated: Epoch,
        /// The push, or the start of the scan: the later one.
        after: Epoch,
    },
    /// A time is in the future, so one of the clocks is wrong.
    #[error("the time of the {what} is in the future: {time}")]
    Future {
        /// `report` or `vulnerability database`.
        what: &'static str,
        /// The time given.
        time: Epoch,
    },
    /// The vulnerability database is older than the policy allows.
    #[error("the scanner's vulnerability database is of {updated}, older than {limit} hours")]
    OldDatabase {
        /// Last update.
        updated: Epoch,
        /// The policy's limit.
        limit: u32,
    },
    /// The age of the vulnerability database is unknown.
    #[error("the age of the scanner's vulnerability database is unknown")]
    UnknownDatabase,
    /// The scanner cannot have recognised the distribution, so it has judged no Debian package.
    #[error("the image has no file by which the scanner recognises `{distribution}`")]
    NotRecognisable {
        /// `ID` of os-release.
        distribution: String,
    },
    /// The scanner cannot have seen the packages.
    #[error("the image has {packages} packages but no package database that the scanner reads")]
    NoPackageDatabase {
        /// How many there are.
        packages: usize,
    },
    /// The report is empty, so it cannot be told whether the scanner saw the packages at all.
    #[error(
        "the report has no finding of any severity, so it does not show whether the scanner saw the {packages} packages of `{distribution}`"
    )]
    NothingFound {
        /// How many there are.
        packages: usize,
        /// `ID` of os-release.
        distribution: String,
    },
    /// Two figures of the report contradict each other.
    #[error("it contradicts itself: {0}")]
    Contradiction(Contradiction),
    /// The report lacks a field that every report has.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A finding without a name cannot be judged or exempted.
    #[error("a vulnerability has no {0}")]
    Unnamed(&'static str),
    /// A severity is not one of the known words.
    #[error("the severity of {subject} is the unknown word `{word}`")]
    Severity {
        /// The vulnerability, or the report as a whole.
        subject: String,
        /// The unknown word.
        word: String,
    },
}

impl ReportDoubt {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherDigest { .. } => "scan the image again",
            Self::Status(_) | Self::BeforeImage { .. } => "scan the image again, and check the scanner's log",
            Self::NoScanner | Self::NoTime | Self::Severity { .. } | Self::Missing(_) | Self::Unnamed(_) => {
                "check whether Harbor and its scanner adapter have supported versions"
            }
            Self::Future { .. } => "check the clocks of this machine, of Harbor and of its scanner",
            Self::OldDatabase { .. } => {
                "let the scanner update its database, or allow an older one with `database-age` in `gate`"
            }
            Self::UnknownDatabase => {
                "give the robot `scanner: read` on system level, or set `unknown-database-age-pass: true`"
            }
            Self::NotRecognisable { .. } | Self::NoPackageDatabase { .. } => {
                "build the image with the files that scanners look for"
            }
            Self::NothingFound { .. } => {
                "check whether the scanner supports this release of the distribution: an older image of it should have findings; if it does, set `nothing-found-pass: true` in `gate`"
            }
            Self::Contradiction(_) => {
                "the image was scanned twice; Harbor keeps one record per vulnerability and package, which the scan of any image overwrites: publish again while nothing else is being scanned; if that does not help, delete the other images whose scans give other severities"
            }
        }
    }
}

impl Serialize for ReportDoubt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl GateVerdict {
    /// Returns the verdict in one word. Doubts come first: a report that is not trusted may lack findings.
    #[must_use]
    pub fn outcome(&self) -> GateOutcome {
        // a refusal for doubts has another remedy: nobody should exempt findings of a wrong report
        match (self.doubts.is_empty(), self.findings.is_empty()) {
            (false, _) => GateOutcome::NotTrusted,
            (true, false) => GateOutcome::Refused,
            (true, true) => GateOutcome::Passed,
        }
    }

    /// Tells whether the image may be released.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.outcome() == GateOutcome::Passed
    }

    /// Returns what a person can do about a refusal, each hint once.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let mut hints: BTreeSet<String> = self.doubts.iter().map(|doubt| doubt.hint().to_owned()).collect();
        for finding in &self.findings {
            let hint = match finding.repair() {
                Repair::Fixed => "lock and build again: some findings are fixed in newer packages",
                Repair::Open => {
                    "findings without a fix need an exemption with a reason and an end, or another threshold"
                }
                Repair::Unknown => {
                    "for some findings the scanner does not say whether a fix exists, so they count as fixable: lock and build again, or exempt them with a reason and an end"
                }
            };
            hints.insert(hint.to_owned());
        }

        if !self.expired.is_empty() {
            hints.insert("review the expired exemptions".to_owned());
        }
        hints.into_iter().collect()
    }
}

/// Judges a report. The same arguments give the same verdict.
#[must_use]
pub fn judge(report: &ScanReport, facts: &ScanFacts, policy: &GatePolicy, now: Epoch) -> GateVerdict {
    let mut verdict = GateVerdict {
        doubts: doubts(report, facts, policy, now),
        findings: Vec::new(),
        exempted: Vec::new(),
        expired: Vec::new(),
        unused: Vec::new(),
        tolerated: 0,
    };

    for finding in &report.findings {
        let mut exemptions = policy.exemptions.iter();
        let exemption = exemptions.find(|exemption| exemption.covers(finding) && !exemption.is_expired(now));
        match (stops(finding, policy), exemption) {
            (false, _) => verdict.tolerated += 1,
            (true, None) => verdict.findings.push(finding.clone()),
            (true, Some(exemption)) => {
                verdict.exempted.push(Exempted { finding: finding.clone(), exemption: exemption.clone() });
            }
        }
    }

    // exemptions that cover nothing, or no longer, are reported: a long list hides those that matter
    for exemption in &policy.exemptions {
        let is_used = report.findings.iter().any(|finding| exemption.covers(finding));
        match (is_used, exemption.is_expired(now)) {
            (false, _) => verdict.unused.push(exemption.clone()),
            (true, true) => verdict.expired.push(exemption.clone()),
            (true, false) => {}
        }
    }
    verdict
}

/// Tells whether a finding stops the image, unless it is exempted.
fn stops(finding: &Finding, policy: &GatePolicy) -> bool {
    // a threshold that is no severity would let everything through
    let threshold = if policy.severity.is_rated() { &policy.severity } else { &Severity::Negligible };

    // an unknown word stops in any case: it may mean anything
    let is_severe = if finding.severity.is_rated() {
        finding.severity >= *threshold && finding.severity != Severity::None
    } else {
        !policy.unrated_pass || finding.severity != Severity::Unknown
    };

    // what may be fixed counts as fixable: only a finding that certainly is not may pass
    is_severe && (!policy.fixable_only || finding.repair() != Repair::Open)
}

/// Returns every reason not to trust the report.
fn doubts(report: &ScanReport, facts: &ScanFacts, policy: &GatePolicy, now: Epoch) -> Vec<ReportDoubt> {
    let mut doubts = Vec::new();

    // a report about another image says nothing about this one, in its head or in its findings
    if report.digest != facts.digest {
        doubts.push(ReportDoubt::OtherDigest { reported: report.digest.to_string(), wanted: facts.digest });
    }
    if let Some(reported) = report.foreign.first() {
        doubts.push(ReportDoubt::OtherDigest { reported: reported.clone(), wanted: facts.digest });
    }

    // a scan that failed or goes on may leave a report of some findings
    if report.status != "Success" {
        doubts.push(ReportDoubt::Status(report.status.clone()));
    }
    if !report.scanner.as_ref().is_some_and(is_named) {
        doubts.push(ReportDoubt::NoScanner);
    }

    doubts.extend(doubts_of_time(report, facts, now));
    doubts.extend(doubts_of_database(report, policy, now));
    doubts.extend(doubts_of_content(report, facts, policy));
    doubts
}

/// Tells whether a scanner gives its name and version.
fn is_named(scanner: &ScannerInfo) -> bool {
    !scanner.name.is_empty() && !scanner.version.is_empty()
}

/// Returns doubts about the time of the report.
fn doubts_of_time(report: &ScanReport, facts: &ScanFacts, now: Epoch) -> Vec<ReportDoubt> {
    let Some(generated) = report.generated_at else { return vec![ReportDoubt::NoTime] };
    let mut doubts = Vec::new();

    // an old report about the same digest would not know of what was found since
    let after = facts.pushed_at.max(report.started_at);
    if let Some(after) = after.filter(|after| generated.0.saturating_add(SKEW) < after.0) {
        doubts.push(ReportDoubt::BeforeImage { generated, after });
    }
    // a report from the future would pass the check above after every later push
    doubts.extend(is_future(generated, now).then_some(ReportDoubt::Future { what: "report", time: generated }));
    doubts
}

/// Returns doubts about the age of the scanner's vulnerability database.
fn doubts_of_database(report: &ScanReport, policy: &GatePolicy, now: Epoch) -> Option<ReportDoubt> {
    let limit = policy.max_database_age_hours;
    match report.database_updated_at {
        None => (!policy.unknown_database_age_pass).then_some(ReportDoubt::UnknownDatabase),
        // a database from the future would count as fresh, however old it is
        Some(time) if is_future(time, now) => Some(ReportDoubt::Future { what: "vulnerability database", time }),
        Some(updated) => {
            let age = now.0.saturating_sub(updated.0);
            (age > i64::from(limit) * 3600).then_some(ReportDoubt::OldDatabase { updated, limit })
        }
    }
}

/// Returns doubts about what the scanner can have seen of the image, and about its figures and findings.
fn doubts_of_content(report: &ScanReport, facts: &ScanFacts, policy: &GatePolicy) -> Vec<ReportDoubt> {
    let mut doubts = Vec::new();
    let packages = facts.packages;

    // findings of other kinds of packages say nothing about Debian packages, so their number does not matter
    if packages > 0 && !facts.is_recognisable() {
        doubts.push(ReportDoubt::NotRecognisable { distribution: facts.distribution.clone() });
    }
    if packages > 0 && !facts.has_package_database {
        doubts.push(ReportDoubt::NoPackageDatabase { packages });
    }

    // of what a scanner saw, Harbor passes on the findings only: one of any severity shows that it saw packages
    if packages > 0 && report.findings.is_empty() && !policy.nothing_found_pass {
        doubts.push(ReportDoubt::NothingFound { packages, distribution: facts.distribution.clone() });
    }

    doubts.extend(doubts_of_figures(report));
    doubts.extend(report.findings.iter().flat_map(doubts_of_finding));
    doubts
}

/// Returns doubts about the severities and counts of the report as a whole.
fn doubts_of_figures(report: &ScanReport) -> Vec<ReportDoubt> {
    let words = [
        (&report.severity, "the report", "the report's own severity"),
        (&report.announced.severity, "the scan's summary", "the severity in the scan's summary"),
    ];

    let mut doubts = Vec::new();
    for (severity, subject, missing) in words {
        match severity {
            None => doubts.push(ReportDoubt::Missing(missing)),
            Some(Severity::Unrecognised(word)) => {
                doubts.push(ReportDoubt::Severity { subject: subject.to_owned(), word: word.clone() });
            }
            Some(_) => {}
        }
    }

    // without counts the list cannot be held against anything
    if report.announced.counts.is_none() {
        doubts.push(ReportDoubt::Missing("the number of vulnerabilities in the scan's summary"));
    }
    doubts.extend(report.contradictions().into_iter().map(ReportDoubt::Contradiction));
    doubts
}

/// Returns doubts about one finding: without these fields no exemption could ever cover it.
fn doubts_of_finding(finding: &Finding) -> Vec<ReportDoubt> {
    let mut doubts = Vec::new();
    if finding.vulnerability.is_empty() {
        doubts.push(ReportDoubt::Unnamed("identifier"));
    }
    if finding.package.is_empty() {
        doubts.push(ReportDoubt::Unnamed("package"));
    }
    if let Severity::Unrecognised(word) = &finding.severity {
        doubts.push(ReportDoubt::Severity { subject: finding.vulnerability.clone(), word: word.clone() });
    }
    doubts
}

/// Tells whether a time is later than now, beyond what clocks differ by.
fn is_future(time: Epoch, now: Epoch) -> bool {
    time.0 > now.0.saturating_add(SKEW)
}
