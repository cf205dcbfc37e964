//! Finds the vulnerabilities that package upgrades fix, in the change logs of the packages and in OSV data.
//!
//! - **In**: [`PackageUpgrade`]s whose new packages are in the store; OSV feeds, where some are configured.
//! - **Out**: one [`UpgradeExplanation`] per source package: CVE numbers, which sources name them, how urgent the upgrade is.
//! - **Invariants**: nothing is invented: a log that is missing or cut off is reported as such; where log and feed differ,
//!   both are shown.
//! - **Not here**: whether a vulnerability matters to an image (`gate` judges reports of scanners).

pub mod feed;
pub mod log;
mod osv;

pub use feed::AdvisoryFeed;

use crate::advisory::osv::OsvAdvisory;
use crate::apt::changelog;
use crate::apt::changelog::ChangelogEntry;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Upgrades cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A feed cannot be read.
    #[error("cannot read advisories `{feed}`: {cause}")]
    Feed {
        /// Path or address of the feed.
        feed: String,
        /// The reason.
        cause: String,
    },
    /// The network door itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The feed's file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            // a feed that lies on this machine is a file of the input
            Self::Feed { feed, .. } if !feed::is_address(feed) => Turn::Input,
            Self::Feed { .. } => Turn::Outside,
            Self::Http(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Feed { .. } => Vec::new(),
            Self::Http(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }
}

/// A release of a distribution, in the names of OSV.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DistributionRelease {
    /// `Ubuntu` or `Debian`, from the archive's signed `Origin`.
    pub origin: String,
    /// Number of the release: `26.04`, `13`.
    pub release: String,
}

impl DistributionRelease {
    /// Tells whether an OSV ecosystem (`Ubuntu:26.04:LTS`, `Debian:13`) is this release. Those of paid support
    /// (`Ubuntu:Pro:26.04:LTS`) are not: their fixes are in archives of their own.
    #[must_use]
    fn is(&self, ecosystem: &str) -> bool {
        let mut parts = ecosystem.split(':');
        let is_base = parts.next() == Some(self.origin.as_str()) && parts.next() == Some(self.release.as_str());
        is_base && parts.all(|part| part == "LTS")
    }
}

/// The upgrade of a package to a newer version.
#[derive(Debug, Clone)]
pub struct PackageUpgrade {
    /// Source package.
    pub source: String,
    /// Binary package.
    pub package: String,
    /// Version before the upgrade.
    pub old: String,
    /// Version after the upgrade.
    pub new: String,
    /// Source versions before and after, where they differ from the package's.
    pub sources: (Option<String>, Option<String>),
    /// Archive and pocket of the new version, `ubuntu/security`.
    pub from: String,
    /// SHA-256 of the new `.deb`.
    pub deb: Digest,
    /// Release that the package belongs to.
    pub distribution: DistributionRelease,
}

impl PackageUpgrade {
    /// Returns the versions of the source package before and after.
    fn source_versions(&self) -> (&str, &str) {
        let (old, new) = &self.sources;
        (old.as_deref().unwrap_or(&self.old), new.as_deref().unwrap_or(&self.new))
    }
}

/// How soon an upgrade should be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeUrgency {
    /// It fixes no known vulnerability.
    Routine,
    /// It fixes vulnerabilities, or comes from a security pocket.
    Security,
    /// It fixes a vulnerability that is rated high or critical, or whose fix its maintainers call urgent.
    Urgent,
}

/// One vulnerability that an upgrade fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FixedVulnerability {
    /// CVE number.
    pub cve: String,
    /// The change log names it.
    pub in_log: bool,
    /// The feeds name it; `None` where no feed is configured.
    pub in_feed: Option<bool>,
    /// Rating in the feeds: `low`, `medium`, `high`, `critical` or the distribution's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
}

/// Explanation of the upgrade of one source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UpgradeExplanation {
    /// Source package.
    pub source: String,
    /// Its upgraded binary packages.
    pub packages: Vec<String>,
    /// Source version before the upgrade.
    pub old: String,
    /// Source version after the upgrade.
    pub new: String,
    /// Fixed vulnerabilities, in the order of their numbers.
    pub fixes: Vec<FixedVulnerability>,
    /// How soon it should be published.
    pub urgency: UpgradeUrgency,
    /// Gaps of the explanation, and disagreements of its sources.
    pub notes: Vec<String>,
}

/// Explains upgrades, with one entry per source package, in the order of their names.
///
/// # Errors
/// When a feed or the store cannot be read; a package without a log is no error.
pub fn explain(
    upgrades: &[PackageUpgrade],
    feeds: &[AdvisoryFeed],
    store: &Store,
) -> Result<Vec<UpgradeExplanation>, Error> {
    // the binary packages of one source share its log and its advisories; platforms may have different versions of it
    let mut sources: BTreeMap<(&str, (&str, &str)), Vec<&PackageUpgrade>> = BTreeMap::new();
    for upgrade in upgrades {
        sources.entry((&upgrade.source, upgrade.source_versions())).or_default().push(upgrade);
    }

    let names: BTreeSet<&str> = sources.keys().map(|(source, _)| *source).collect();
    let advisories = feed::read_all(feeds, &names)?;
    // without a feed nothing is known, which is not the same as no advisory
    let advisories = (!feeds.is_empty()).then_some(advisories.as_slice());

    let mut explained = Vec::new();
    for ((source, (old, new)), upgrades) in sources {
        let log = log::of(&upgrades, store)?;
        let source = SourceUpgrade { source, old, new, upgrades };
        explained.push(source.explain(log.as_deref(), advisories));
    }
    Ok(explained)
}

/// The upgrade of one source package.
struct SourceUpgrade<'a> {
    source: &'a str,
    old: &'a str,
    new: &'a str,
    /// The upgrades of its binary packages.
    upgrades: Vec<&'a PackageUpgrade>,
}

impl SourceUpgrade<'_> {
    fn explain(&self, log: Option<&[ChangelogEntry]>, advisories: Option<&[OsvAdvisory]>) -> UpgradeExplanation {
        let mut notes = Vec::new();
        let mut fixes = BTreeMap::new();

        let is_called_urgent = match log {
            Some(entries) => self.read_log(entries, &mut fixes, &mut notes),
            None => {
                notes.push("its packages have no change log".to_owned());
                false
            }
        };
        // with feeds, a vulnerability is not in them until one names it
        for fix in fixes.values_mut() {
            fix.in_feed = advisories.map(|_| false);
        }
        self.read_advisories(advisories.unwrap_or_default(), &mut fixes);

        let fixes: Vec<FixedVulnerability> = fixes.into_values().collect();
        note_disagreements(&fixes, log.is_some(), &mut notes);
        let packages: BTreeSet<String> = self.upgrades.iter().map(|upgrade| upgrade.package.clone()).collect();
        UpgradeExplanation {
            source: self.source.to_owned(),
            packages: packages.into_iter().collect(),
            old: self.old.to_owned(),
            new: self.new.to_owned(),
            urgency: self.urgency(&fixes, is_called_urgent),
            fixes,
            notes,
        }
    }

    /// Collects the vulnerabilities that the change log names; tells whether its maintainers call the upgrade urgent.
    fn read_log(
        &self,
        entries: &[ChangelogEntry],
        fixes: &mut BTreeMap<String, FixedVulnerability>,
        notes: &mut Vec<String>,
    ) -> bool {
        let between = changelog::between(entries, self.old, self.new);
        if !between.is_complete {
            notes.push(format!("the change log does not go back to {}: older entries are not known", self.old));
        }

        for cve in between.entries.iter().flat_map(|entry| &entry.cves) {
            let fix = FixedVulnerability { cve: cve.clone(), in_log: true, in_feed: None, severity: None };
            fixes.entry(cve.clone()).or_insert(fix);
        }
        // the urgencies above `medium` (Debian Policy 5.6.17)
        between.entries.iter().any(|entry| matches!(entry.urgency.as_str(), "high" | "emergency" | "critical"))
    }

    /// Adds the vulnerabilities that the feeds name, and their ratings.
    fn read_advisories(&self, advisories: &[OsvAdvisory], fixes: &mut BTreeMap<String, FixedVulnerability>) {
        let Some(distribution) = self.upgrades.first().map(|upgrade| &upgrade.distribution) else { return };
        for advisory in advisories.iter().filter(|advisory| advisory.source == self.source) {
            // one feed has the records of all releases, with versions of their own
            if !distribution.is(&advisory.ecosystem) || !advisory.is_fixed_between(self.old, self.new) {
                continue;
            }

            for cve in &advisory.cves {
                let fix = FixedVulnerability { cve: cve.clone(), in_log: false, in_feed: None, severity: None };
                let fix = fixes.entry(cve.clone()).or_insert(fix);
                fix.in_feed = Some(true);
                // several records may rate one vulnerability: the highest rating counts
                if osv::rank(advisory.severity.as_deref()) > osv::rank(fix.severity.as_deref()) {
                    fix.severity.clone_from(&advisory.severity);
                }
            }
        }
    }

    fn urgency(&self, fixes: &[FixedVulnerability], is_called_urgent: bool) -> UpgradeUrgency {
        let is_rated_high = fixes.iter().any(|fix| osv::rank(fix.severity.as_deref()) >= osv::HIGH);
        // maintainers hurry for a bad regression as well: without a vulnerability their word alone is not enough
        if is_rated_high || is_called_urgent && !fixes.is_empty() {
            return UpgradeUrgency::Urgent;
        }

        // not every security fix has a CVE number
        if !fixes.is_empty() || self.upgrades.iter().any(|upgrade| upgrade.from.ends_with("/security")) {
            UpgradeUrgency::Security
        } else {
            UpgradeUrgency::Routine
        }
    }
}

/// Notes the vulnerabilities that only one of log and feed names.
fn note_disagreements(fixes: &[FixedVulnerability], has_log: bool, notes: &mut Vec<String>) {
    let only_log = cves_of(fixes, |fix| fix.in_log && fix.in_feed == Some(false));
    if !only_log.is_empty() {
        notes.push(format!("only the change log names {only_log}"));
    }

    // without a log there is a note already
    let only_feed = cves_of(fixes, |fix| !fix.in_log && fix.in_feed == Some(true));
    if has_log && !only_feed.is_empty() {
        notes.push(format!("only the advisories name {only_feed}"));
    }
}

/// Returns the numbers of some vulnerabilities as one text.
fn cves_of(fixes: &[FixedVulnerability], is_wanted: fn(&FixedVulnerability) -> bool) -> String {
    let cves: Vec<&str> = fixes.iter().filter(|fix| is_wanted(fix)).map(|fix| fix.cve.as_str()).collect();
    cves.join(", ")
}

#[cfg(test)]
mod tests;
