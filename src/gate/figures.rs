//! The figures of one report, told three times, and where they contradict each other.
//!
//! Harbor keeps one record for a vulnerability, package, version and scanner, whatever the image. The last scan of *any*
//! image writes its severity, and the version that fixes it only together with severity or status
//! (`src/pkg/scan/postprocessors/report_converters.go`). So the list of one image can change by the scan of another one,
//! while the report keeps the severity that its own scanner gave it.

use crate::gate::Severity;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many vulnerabilities there are, and of which kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeverityCounts {
    /// All of them.
    pub total: u64,
    /// Those that a newer version fixes, as Harbor counts: the ones with a version (`src/pkg/scan/vuln`).
    pub fixable: u64,
    /// How many are how bad.
    pub by_severity: BTreeMap<Severity, u64>,
}

/// What the overview of an artifact announces about a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnouncedFigures {
    /// The worst severity.
    pub severity: Option<Severity>,
    /// How many of which kind; none when one of the figures is missing.
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
    /// What the other place says.
    pub said: String,
    /// The other place.
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

    /// Returns the worst severity that is one, `none` where nothing is rated.
    fn worst(&self) -> Severity {
        let rated = self.by_severity.iter().filter(|(severity, count)| severity.is_rated() && **count > 0);
        rated.map(|(severity, _)| level(severity)).max().unwrap_or(Severity::None)
    }

    /// Returns the counts by the words that Harbor keeps.
    fn by_level(&self) -> BTreeMap<Severity, u64> {
        let mut levels = BTreeMap::new();
        for (severity, count) in self.by_severity.iter().filter(|(_, count)| **count > 0) {
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

/// Returns how bad a whole report is by its own word. Scanners call the worst of nothing `unknown` or `none`.
fn overall(severity: &Severity) -> Severity {
    match severity {
        Severity::Unknown => Severity::None,
        other => level(other),
    }
}

/// Compares the list of a report with its own severity and with what the overview announces. Words that are no severity
/// are a matter of their own.
pub(super) fn contradictions(
    listed: &SeverityCounts,
    own: Option<&Severity>,
    announced: &AnnouncedFigures,
) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let worst = listed.worst();
    let words = [(own, "the report itself"), (announced.severity.as_ref(), OVERVIEW)];
    for (said, by) in words.into_iter().filter_map(|(said, by)| Some((said?, by))) {
        if !matches!(said, Severity::Unrecognised(_)) && overall(said) != worst {
            let subject = "the worst severity".to_owned();
            found.push(Contradiction { subject, listed: worst.to_string(), said: said.to_string(), by });
        }
    }
    let Some(counts) = &announced.counts else { return found };
    let mut compare = |subject: String, listed: u64, said: u64| {
        if listed != said {
            let (listed, said) = (listed.to_string(), said.to_string());
            found.push(Contradiction { subject, listed, said, by: OVERVIEW });
        }
    };
    compare("the number of vulnerabilities".to_owned(), listed.total, counts.total);
    compare("the number of those with a fix".to_owned(), listed.fixable, counts.fixable);
    let (here, there) = (listed.by_level(), counts.by_level());
    let mut levels: Vec<&Severity> = here.keys().chain(there.keys()).collect();
    levels.sort();
    levels.dedup();
    for severity in levels {
        let count = |levels: &BTreeMap<Severity, u64>| levels.get(severity).copied().unwrap_or(0);
        compare(format!("the number of `{severity}` ones"), count(&here), count(&there));
    }
    found
}

/// The place of the summary.
const OVERVIEW: &str = "the scan's summary";
