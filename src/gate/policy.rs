//! What the gate lets through, as people write it down.

use crate::gate::Finding;
use crate::gate::Severity;
use crate::values::Epoch;
use serde::Serialize;

/// Scanners update their database several times a day; two days bridge a weekend's maintenance.
const DATABASE_HOURS: u32 = 48;

/// What the gate lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePolicy {
    /// The least severity that stops an image: `negligible` to `critical`.
    pub severity: Severity,
    /// Only what an update would mend stops an image.
    pub fixable_only: bool,
    /// Vulnerabilities that nobody has rated yet do not stop an image. (Words that are no severity always do.)
    pub unrated_pass: bool,
    /// Oldest vulnerability database that is trusted, in hours.
    pub max_database_age_hours: u32,
    /// A report is trusted though nobody says how old the scanner's database is.
    pub unknown_database_age_pass: bool,
    /// A report without any finding of any severity is trusted, though nobody says whether the scanner saw the packages.
    pub nothing_found_pass: bool,
    /// What was looked at and is accepted for a time.
    pub exemptions: Vec<Exemption>,
}

/// A vulnerability that somebody has looked at and accepts for a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exemption {
    /// Such as `CVE-2026-1234`.
    pub vulnerability: String,
    /// Only in this package; in any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Why, for the next person.
    pub reason: String,
    /// From this moment on it does not hold.
    pub expires: Epoch,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// The threshold would stop everything or nothing.
    #[error("cannot use `{0}` as threshold: it must be `negligible`, `low`, `medium`, `high` or `critical`")]
    Threshold(String),
    /// Nobody can look that up.
    #[error("cannot exempt `{0}`: it does not look like an identifier such as `CVE-2026-1234`")]
    Identifier(String),
    /// Nobody will know why.
    #[error("cannot exempt `{0}`: it needs a reason")]
    Reason(String),
    /// One of them would never be looked at.
    #[error("cannot exempt `{0}` twice for the same package")]
    Twice(String),
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self::usual()
    }
}

impl GatePolicy {
    /// Returns a policy that stops what is `high` or worse, with a database not older than two days.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            severity: Severity::High,
            fixable_only: false,
            unrated_pass: false,
            max_database_age_hours: DATABASE_HOURS,
            unknown_database_age_pass: false,
            nothing_found_pass: false,
            exemptions: Vec::new(),
        }
    }

    /// Returns everything that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        if !self.severity.is_rated() || self.severity == Severity::None {
            problems.push(PolicyProblem::Threshold(self.severity.to_string()));
        }
        for (number, exemption) in self.exemptions.iter().enumerate() {
            let name = || exemption.vulnerability.clone();
            if !is_identifier(&exemption.vulnerability) {
                problems.push(PolicyProblem::Identifier(name()));
            }
            if exemption.reason.trim().is_empty() {
                problems.push(PolicyProblem::Reason(name()));
            }
            let same = |other: &Exemption| {
                other.vulnerability.eq_ignore_ascii_case(&exemption.vulnerability) && other.package == exemption.package
            };
            if self.exemptions[..number].iter().any(same) {
                problems.push(PolicyProblem::Twice(name()));
            }
        }
        problems
    }
}

impl Exemption {
    /// Tells whether it speaks of a finding.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        self.vulnerability.eq_ignore_ascii_case(&finding.vulnerability)
            && self.package.as_ref().is_none_or(|package| *package == finding.package)
    }

    /// Tells whether its time is over.
    pub(crate) fn is_expired(&self, now: Epoch) -> bool {
        now >= self.expires
    }
}

/// `CVE-2026-1234`, `GHSA-abcd-efgh-ijkl`, `TEMP-0841856-B18BAF`, `DSA-5000-1`, …
fn is_identifier(text: &str) -> bool {
    let mut parts = text.split('-');
    let kind = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
    text.len() <= 64 && kind.len() >= 2 && word(kind) && !rest.is_empty() && rest.iter().all(|part| word(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let exemption = |vulnerability: &str, reason: &str| Exemption {
            vulnerability: vulnerability.to_owned(),
            package: None,
            reason: reason.to_owned(),
            expires: Epoch(0),
        };
        let mut policy = GatePolicy { severity: Severity::Unknown, ..GatePolicy::usual() };
        policy.exemptions = vec![
            exemption("CVE-2026-1", "x"),
            exemption("cve-2026-1", " "),
            exemption("CVE", "x"),
            exemption("CVE-2026-*", "x"),
            exemption("DLA-1-1", "x"),
        ];
        let expected = [
            PolicyProblem::Threshold("unknown".to_owned()),
            PolicyProblem::Reason("cve-2026-1".to_owned()),
            PolicyProblem::Twice("cve-2026-1".to_owned()),
            PolicyProblem::Identifier("CVE".to_owned()),
            PolicyProblem::Identifier("CVE-2026-*".to_owned()),
        ];
        assert_eq!(policy.problems(), expected);
    }
}
