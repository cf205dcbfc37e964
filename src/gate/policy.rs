//! The gate's policy, as people write it down.

use crate::gate::Finding;
use crate::gate::Severity;
use crate::values::Epoch;
use crate::values::WaiverTerms;
use serde::Serialize;

/// Scanners update their database several times a day; two days bridge a weekend's maintenance.
const DATABASE_HOURS: u32 = 48;

/// What the gate lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePolicy {
    /// The lowest severity that stops an image: `negligible` to `critical`.
    pub severity: Severity,
    /// Only findings that an update would fix stop an image.
    pub fixable_only: bool,
    /// Vulnerabilities that are not rated yet do not stop an image. (Unknown words always do.)
    pub unrated_pass: bool,
    /// Oldest vulnerability database that is trusted, in hours.
    pub max_database_age_hours: u32,
    /// A report is trusted even if the age of the scanner's database is unknown.
    pub unknown_database_age_pass: bool,
    /// A report without any finding is trusted, although it does not show whether the scanner saw the packages.
    pub nothing_found_pass: bool,
    /// Findings that are accepted for a time.
    pub exemptions: Vec<Exemption>,
}

/// A vulnerability that somebody has assessed and accepts for a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exemption {
    /// Such as `CVE-2026-1234`.
    pub vulnerability: String,
    /// Only in this package; in any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Why, who agreed, until when.
    #[serde(flatten)]
    pub terms: WaiverTerms,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// The threshold would stop everything or nothing.
    #[error("cannot use `{0}` as threshold: it must be `negligible`, `low`, `medium`, `high` or `critical`")]
    Threshold(String),
    /// The text is not an identifier of a vulnerability.
    #[error("cannot exempt `{0}`: it does not look like an identifier such as `CVE-2026-1234`")]
    Identifier(String),
    /// The exemption has no reason.
    #[error("cannot exempt `{0}`: it needs a reason")]
    Reason(String),
    /// Two exemptions cover the same, so one of them would never be used.
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

        // `none` would act as `negligible` does, though it reads as if nothing stopped
        if !self.severity.is_rated() || self.severity == Severity::None {
            problems.push(PolicyProblem::Threshold(self.severity.to_string()));
        }

        for (number, exemption) in self.exemptions.iter().enumerate() {
            let name = &exemption.vulnerability;
            if !is_identifier(name) {
                problems.push(PolicyProblem::Identifier(name.clone()));
            }
            if exemption.terms.reason.trim().is_empty() {
                problems.push(PolicyProblem::Reason(name.clone()));
            }

            // only the earlier ones are compared, so that a pair is reported once
            if self.exemptions[..number].iter().any(|earlier| earlier.is_same_scope(exemption)) {
                problems.push(PolicyProblem::Twice(name.clone()));
            }
        }
        problems
    }
}

impl Exemption {
    /// Tells whether two exemptions cover the same findings.
    fn is_same_scope(&self, other: &Self) -> bool {
        self.vulnerability.eq_ignore_ascii_case(&other.vulnerability) && self.package == other.package
    }

    /// Tells whether it covers a finding, whatever the time.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        self.vulnerability.eq_ignore_ascii_case(&finding.vulnerability)
            && self.package.as_ref().is_none_or(|package| *package == finding.package)
    }

    /// Tells whether it no longer holds.
    pub(crate) fn is_expired(&self, now: Epoch) -> bool {
        self.terms.is_expired(now)
    }
}

/// Tells whether a text looks like `CVE-2026-1234`, `GHSA-abcd-efgh-ijkl`, `TEMP-0841856-B18BAF`, `DSA-5000-1`, …
fn is_identifier(text: &str) -> bool {
    // no patterns: an exemption for `CVE-2026-*` would cover what nobody has assessed
    let Some((kind, number)) = text.split_once('-') else { return false };
    text.len() <= 64 && kind.len() >= 2 && is_identifier_part(kind) && number.split('-').all(is_identifier_part)
}

/// Tells whether a text can stand between the hyphens of an identifier; advisories of Red Hat have colons.
fn is_identifier_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let exemption = |vulnerability: &str, reason: &str| Exemption {
            vulnerability: vulnerability.to_owned(),
            package: None,
            terms: WaiverTerms { reason: reason.to_owned(), agreed_by: None, expires: Epoch(0) },
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
