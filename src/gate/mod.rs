//! The CVE gate: from a scanner's report, what we know of the image, and a policy to a verdict.
//!
//! - **In**: [`ScanReport`] (what the scanner said), [`ScanFacts`] (what we know), [`GatePolicy`] (what is allowed), the time.
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
    /// The manifest that was asked about.
    pub digest: Digest,
    /// How the scan ended, in Harbor's words; only `Success` is a report.
    pub status: String,
    /// Which scanner, when the report says so.
    pub scanner: Option<ScannerInfo>,
    /// When the scan began.
    pub started_at: Option<Epoch>,
    /// When the report was made.
    pub generated_at: Option<Epoch>,
    /// When the scanner's vulnerability database was last updated, where that is known.
    pub database_updated_at: Option<Epoch>,
    /// How bad it is as a whole, in its scanner's own word.
    pub severity: Option<Severity>,
    /// What the artifact's overview announces.
    pub announced: AnnouncedFigures,
    /// What the list has; the same finding may be listed for several files.
    pub listed: SeverityCounts,
    /// Digests of other manifests that findings are said to be about.
    pub foreign: BTreeSet<String>,
    /// The vulnerabilities, in order.
    pub findings: BTreeSet<Finding>,
}

impl ScanReport {
    /// Returns what contradicts itself in it. Another scan may write it anew.
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
    /// Its version in the image.
    pub version: String,
    /// Version that repairs it, where there is one.
    pub fixed_in: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What the distribution says about it (`affected`, `fixed`, `will_not_fix`), where known.
    pub status: Option<String>,
}

/// What a scanner says about the repair of a vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// An update would help.
    Fixed,
    /// The distribution has none (yet).
    Open,
    /// Nobody says: no version, and no status or one that is no known word.
    Unknown,
}

/// The words for vulnerabilities without a repair (Trivy `pkg/types/status.go`, which Harbor hands on).
const OPEN: [&str; 6] =
    ["affected", "will_not_fix", "fix_deferred", "end_of_life", "under_investigation", "not_affected"];

impl Finding {
    /// Tells whether an update would help. Version and status count together: Harbor may keep an old version, and
    /// scanners may give one of the two only.
    #[must_use]
    pub fn repair(&self) -> Repair {
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

/// What we know of the image ourselves, to tell whether a report can be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFacts {
    /// The manifest that is to be released.
    pub digest: Digest,
    /// When the registry got it.
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
    /// Tells whether scanners can find out which distribution it is (Trivy `pkg/fanal/analyzer/os/{debian,ubuntu}`).
    pub(crate) fn is_recognisable(&self) -> bool {
        match self.distribution.as_str() {
            "debian" => self.has_debian_version,
            "ubuntu" => self.has_lsb_release,
            _ => self.has_debian_version || self.has_lsb_release,
        }
    }
}

#[cfg(test)]
mod tests;
