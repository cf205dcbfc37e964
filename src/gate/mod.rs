//! The CVE gate: judges a scanner's report by a policy, and by what sockel knows about the image itself.
//!
//! - **In**: the scanner's [`ScanReport`], the build's [`ScanFacts`], a [`GatePolicy`], the current time.
//! - **Out**: [`GateVerdict`].
//! - **Invariants**: pure; fails closed. A report that cannot be right is never a pass, because scanners say "no
//!   vulnerabilities" about systems that they do not recognise (goharbor/harbor#14384, #22986).
//! - **Not here**: where reports come from ([`crate::harbor`]).

mod figures;
mod judge;
mod policy;
mod severity;

pub use figures::AnnouncedFigures;
pub use figures::Contradiction;
pub use figures::SeverityCounts;
pub use judge::Exempted;
pub use judge::GateOutcome;
pub use judge::GateVerdict;
pub use judge::ReportDoubt;
pub use judge::judge;
pub use policy::Exemption;
pub use policy::GatePolicy;
pub use policy::PolicyProblem;
pub use severity::Severity;

use crate::values::Digest;
use crate::values::Epoch;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// What a scanner reports about one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScanReport {
    /// The manifest whose report was requested.
    pub digest: Digest,
    /// How the scan ended, in Harbor's words; only `Success` counts.
    pub status: String,
    /// The scanner, if the report names it.
    pub scanner: Option<ScannerInfo>,
    /// When the scan began.
    pub started_at: Option<Epoch>,
    /// When the report was made.
    pub generated_at: Option<Epoch>,
    /// When the scanner's vulnerability database was last updated, where that is known.
    pub database_updated_at: Option<Epoch>,
    /// Severity of the whole report, in the scanner's own word.
    pub severity: Option<Severity>,
    /// What the artifact's overview announces.
    pub announced: AnnouncedFigures,
    /// Counts of the list; the same finding may be listed for several files.
    pub listed: SeverityCounts,
    /// Digests of other manifests that findings name.
    pub foreign: BTreeSet<String>,
    /// The vulnerabilities, sorted and without duplicates.
    pub findings: BTreeSet<Finding>,
}

impl ScanReport {
    /// Returns the contradictions within the report. Another scan may resolve them.
    #[must_use]
    pub fn contradictions(&self) -> Vec<Contradiction> {
        figures::contradictions(&self.listed, self.severity.as_ref(), &self.announced)
    }
}

/// A scanner, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScannerInfo {
    /// Such as `Trivy`.
    pub name: String,
    /// Such as `v0.66.0`.
    pub version: String,
}

/// A vulnerability of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Such as `CVE-2026-1234`.
    pub vulnerability: String,
    /// Package name as the scanner knows it.
    pub package: String,
    /// Version of the package in the image.
    pub version: String,
    /// Version that fixes it, where there is one.
    pub fixed_in: Option<String>,
    /// Its severity.
    pub severity: Severity,
    /// What the distribution says about it (`affected`, `fixed`, `will_not_fix`), where known.
    pub status: Option<String>,
}

/// Whether a fix for a vulnerability is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// A newer package fixes it.
    Fixed,
    /// The distribution has no fix (yet).
    Open,
    /// The scanner does not say: it gives no version, and no status or an unknown one.
    Unknown,
}

/// Statuses of vulnerabilities without a fix (Trivy `pkg/types/status.go`, passed on by Harbor).
const OPEN: [&str; 6] =
    ["affected", "will_not_fix", "fix_deferred", "end_of_life", "under_investigation", "not_affected"];

impl Finding {
    /// Tells whether an update would help. Version and status count together: Harbor may keep an old version, and
    /// scanners may give only one of the two.
    #[must_use]
    pub fn repair(&self) -> Repair {
        // scanners write the same status with and without capitals
        let status = self.status.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
        match (&self.fixed_in, status.as_str()) {
            (Some(_), _) | (None, "fixed") => Repair::Fixed,
            (None, word) if OPEN.contains(&word) => Repair::Open,
            (None, _) => Repair::Unknown,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) in {} {}", self.vulnerability, self.severity, self.package, self.version)?;
        match &self.fixed_in {
            Some(version) => write!(f, ", fixed in {version}"),
            None if self.repair() == Repair::Fixed => f.write_str(", fixed in a version that is not named"),
            None => Ok(()),
        }
    }
}

/// What the build knows about an image, to tell whether a report can be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFacts {
    /// The manifest that is to be released.
    pub digest: Digest,
    /// When it was pushed.
    pub pushed_at: Option<Epoch>,
    /// `ID` of os-release: `debian`, `ubuntu`, …
    pub distribution: String,
    /// Number of Debian packages in it.
    pub packages: usize,
    /// It has `/etc/debian_version`, by which Trivy recognises Debian.
    pub has_debian_version: bool,
    /// It has `/etc/lsb-release`, by which Trivy recognises Ubuntu.
    pub has_lsb_release: bool,
    /// It has a package database: `/var/lib/dpkg/status.d/*` or `/var/lib/dpkg/status`.
    pub has_package_database: bool,
}

impl ScanFacts {
    /// Tells whether scanners can recognise the distribution (Trivy `pkg/fanal/analyzer/os/{debian,ubuntu}`).
    pub(crate) fn is_recognisable(&self) -> bool {
        match self.distribution.as_str() {
            "debian" => self.has_debian_version,
            "ubuntu" => self.has_lsb_release,
            // which of the two files counts is not known for other distributions
            _ => self.has_debian_version || self.has_lsb_release,
        }
    }
}

#[cfg(test)]
mod tests;
