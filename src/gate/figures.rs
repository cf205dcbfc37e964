//! The figures of a report, which Harbor gives in three places, and the contradictions between them.
//!
//! Harbor keeps one record per vulnerability, package, version and scanner, whatever the image. The last scan of *any*
//! image writes its severity; it writes the fixed version only together with severity or status
//! (`src/pkg/scan/postprocessors/report_converters.go`). So the scan of another image can change the list of this one,
//! while the report keeps the severity that its own scanner gave it.

use crate::gate::Severity;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// How many vulnerabilities there are, and of which kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeverityCounts {
    /// Number of vulnerabilities.
    pub total: u64,
    /// How many of them have a fixed version, as Harbor counts (`src/pkg/scan/vuln`).
    pub fixable: u64,
    /// Number of vulnerabilities by severity.
    pub by_severity: BTreeMap<Severity, u64>,
}

/// What the overview of an artifact announces about a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnouncedFigures {
    /// The worst severity.
    pub severity: Option<Severity>,
    /// The counts; `None` when one of the figures is missing.
    pub counts: Option<SeverityCounts>,
}

/// Two figures about one thing that cannot both be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contradiction {
    /// What the figures are about.
    pub subject: String,
    /// What the list of vulnerabilities says.
    pub listed: String,
    /// What the other source says.
    pub said: String,
    /// Name of the other source.
    pub by: &'static str,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, listed, said, by } = self;
        write!(f, "{subject} is {listed} in the list and {said} in {by}")
    }
}

impl SeverityCounts {
    /// Counts one vulnerability.
    pub(crate) fn add(&mut self, severity: &Severity, has_fix: bool) {
        self.total += 1;
        self.fixable += u64::from(has_fix);
        *self.by_severity.entry(severity.clone()).or_default() += 1;
    }

    /// Returns the worst severity of the rated vulnerabilities; `none` where nothing is rated.
    fn worst(&self) -> Severity {
        let rated = self.by_severity.iter().filter(|(severity, count)| severity.is_rated() && **count > 0);
        rated.map(|(severity, _)| level(severity)).max().unwrap_or(Severity::None)
    }

    /// Returns the counts by the words that Harbor keeps.
    fn by_level(&self) -> BTreeMap<Severity, u64> {
        let mut levels = BTreeMap::new();
        for (severity, count) in self.by_severity.iter().filter(|(_, count)| **count > 0) {
            // `none` and `negligible` are one level; a sum from outside must not overflow
            let sum: &mut u64 = levels.entry(level(severity)).or_default();
            *sum = sum.saturating_add(*count);
        }
        levels
    }
}

/// Returns the word that Harbor keeps for a severity: `negligible` becomes `none` in its records, but not in the
/// report's own severity.
fn level(severity: &Severity) -> Severity {
    match severity {
        Severity::Negligible => Severity::None,
        other => other.clone(),
    }
}

/// Returns the severity of a whole report in comparable form. Scanners call an empty report `unknown` or `none`.
fn overall(severity: &Severity) -> Severity {
    match severity {
        Severity::Unknown => Severity::None,
        other => level(other),
    }
}

/// Compares the list of a report with its own severity and with what the overview announces. Words that are no severity
/// are not compared: they are a doubt of their own.
pub(super) fn contradictions(
    listed: &SeverityCounts,
    own: Option<&Severity>,
    announced: &AnnouncedFigures,
) -> Vec<Contradiction> {
    let mut found = Vec::new();

    // a changed record of the list shows in the worst severity first
    let worst = listed.worst();
    let words = [(own, "the report itself"), (announced.severity.as_ref(), OVERVIEW)];
    for (said, by) in words.into_iter().filter_map(|(said, by)| Some((said?, by))) {
        if !matches!(said, Severity::Unrecognised(_)) && overall(said) != worst {
            let subject = "the worst severity".to_owned();
            found.push(Contradiction { subject, listed: worst.to_string(), said: said.to_string(), by });
        }
    }

    // missing counts are a doubt of their own
    let Some(counts) = &announced.counts else { return found };
    let mut figures = vec![
        ("the number of vulnerabilities".to_owned(), listed.total, counts.total),
        ("the number of those with a fix".to_owned(), listed.fixable, counts.fixable),
    ];

    // a severity that only one of the two knows counts as 0 in the other
    let (here, there) = (listed.by_level(), counts.by_level());
    let levels: BTreeSet<&Severity> = here.keys().chain(there.keys()).collect();
    for severity in levels {
        let subject = format!("the number of `{severity}` ones");
        figures.push((subject, count_of(severity, &here), count_of(severity, &there)));
    }

    for (subject, listed, said) in figures {
        if listed != said {
            let (listed, said) = (listed.to_string(), said.to_string());
            found.push(Contradiction { subject, listed, said, by: OVERVIEW });
        }
    }
    found
}

/// Returns the count of a severity, 0 where it is not mentioned.
fn count_of(severity: &Severity, levels: &BTreeMap<Severity, u64>) -> u64 {
    levels.get(severity).copied().unwrap_or(0)
}

/// Name of the overview in messages.
const OVERVIEW: &str = "the scan's summary";
