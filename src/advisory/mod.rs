//! Package upgrades to the vulnerabilities that they fix: change logs of the packages, and OSV data.
//!
//! - **In**: [`Upgrade`]s whose new packages are in the store; OSV feeds, where some are configured.
//! - **Out**: one [`Explained`] a source package: CVE numbers, who names them, how urgent the upgrade is.
//! - **Invariants**: nothing is invented: a log that is missing or cut off is said to be so; where log and feed differ,
//!   both are shown.
//! - **Not here**: whether a vulnerability matters to an image (`publish::gate` judges reports of scanners).

pub mod feed;
pub mod log;
mod osv;

pub use feed::Feed;

use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A feed cannot be read.
    #[error("cannot read advisories `{feed}`: {cause}")]
    Feed {
        /// Path or address.
        feed: String,
        /// Why.
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

impl Error {
    /// Tells whether a file or a setting must change: a feed that lies on this machine is one.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Feed { feed, .. } => !feed::is_address(feed),
            Self::Http(error) => error.is_input(),
            Self::File(error) => error.is_input(),
            Self::Store(_) => false,
        }
    }
}

/// A distribution release as OSV calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distribution {
    /// `Ubuntu` or `Debian`, as the archive's signed `Origin`.
    pub origin: String,
    /// `26.04`, `13`.
    pub release: String,
}

impl Distribution {
    /// Tells whether an OSV ecosystem (`Ubuntu:26.04:LTS`, `Debian:13`) is this one; paid additions are not.
    #[must_use]
    fn is(&self, ecosystem: &str) -> bool {
        let mut parts = ecosystem.split(':');
        let is_base = parts.next() == Some(self.origin.as_str()) && parts.next() == Some(self.release.as_str());
        is_base && parts.all(|part| part == "LTS")
    }
}

/// A package whose version rises.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// Source package.
    pub source: String,
    /// Binary package.
    pub package: String,
    /// Version before.
    pub old: String,
    /// Version now.
    pub new: String,
    /// Source versions, where they differ from the package's.
    pub sources: (Option<String>, Option<String>),
    /// Archive and pocket of the new version, `ubuntu/security`.
    pub from: String,
    /// SHA-256 of the new `.deb`.
    pub deb: Digest,
    /// Which release it belongs to.
    pub distribution: Distribution,
}

impl Upgrade {
    fn source_versions(&self) -> (&str, &str) {
        let (old, new) = &self.sources;
        (old.as_deref().unwrap_or(&self.old), new.as_deref().unwrap_or(&self.new))
    }
}

/// How soon an upgrade should reach people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// It fixes no known vulnerability.
    Routine,
    /// It fixes vulnerabilities, or comes from a security pocket.
    Security,
    /// It fixes one that is rated high or critical, or its maintainers call it urgent.
    Urgent,
}

/// One vulnerability that an upgrade fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fix {
    /// CVE number.
    pub cve: String,
    /// The change log names it.
    pub in_log: bool,
    /// The feeds name it; none where there is no feed.
    pub in_feed: Option<bool>,
    /// Rating in the feeds: `low`, `medium`, `high`, `critical` or the distribution's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
}

/// What the upgrade of one source package brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explained {
    /// Source package.
    pub source: String,
    /// Its binary packages that rise.
    pub packages: Vec<String>,
    /// Source version before.
    pub old: String,
    /// Source version now.
    pub new: String,
    /// Fixed vulnerabilities, by number.
    pub fixes: Vec<Fix>,
    /// How soon it should reach people.
    pub urgency: Urgency,
    /// What is not known, and where sources disagree.
    pub notes: Vec<String>,
}

/// Explains upgrades, one entry a source package, by name.
///
/// # Errors
/// When a feed or the store cannot be read; a package without a log is no error.
pub fn explain(upgrades: &[Upgrade], feeds: &[Feed], store: &Store) -> Result<Vec<Explained>, Error> {
    let mut sources: BTreeMap<(&str, (&str, &str)), Vec<&Upgrade>> = BTreeMap::new();
    for upgrade in upgrades {
        sources.entry((&upgrade.source, upgrade.source_versions())).or_default().push(upgrade);
    }
    let asked: BTreeSet<&str> = sources.keys().map(|(source, _)| *source).collect();
    let advisories = feed::read_all(feeds, &asked)?;
    let mut explained = Vec::new();
    for ((source, (old, new)), group) in sources {
        let log = log::of(&group, store)?;
        let known = (!feeds.is_empty()).then_some(advisories.as_slice());
        explained.push(one(source, (old, new), &group, log.as_deref(), known));
    }
    Ok(explained)
}

fn one(
    source: &str,
    (old, new): (&str, &str),
    group: &[&Upgrade],
    log: Option<&[crate::apt::changelog::Entry]>,
    advisories: Option<&[osv::Advisory]>,
) -> Explained {
    let mut notes = Vec::new();
    let mut fixes: BTreeMap<String, Fix> = BTreeMap::new();
    let none = advisories.map(|_| false);
    let mut urgent = false;
    match log {
        None => notes.push("its packages have no change log".to_owned()),
        Some(entries) => {
            let between = crate::apt::changelog::between(entries, old, new);
            if !between.is_complete {
                notes.push(format!("the change log does not go back to {old}: older entries are not known"));
            }
            for entry in between.entries {
                urgent |= matches!(entry.urgency.as_str(), "high" | "emergency" | "critical");
                for cve in &entry.cves {
                    let fix = Fix { cve: cve.clone(), in_log: true, in_feed: none, severity: None };
                    fixes.entry(cve.clone()).or_insert(fix);
                }
            }
        }
    }
    let distribution = group.first().map(|upgrade| &upgrade.distribution);
    for advisory in advisories.into_iter().flatten().filter(|advisory| advisory.source == source) {
        let is_ours = distribution.is_some_and(|distribution| distribution.is(&advisory.ecosystem));
        if !is_ours || !advisory.is_fixed_between(old, new) {
            continue;
        }
        for cve in &advisory.cves {
            let fix = Fix { cve: cve.clone(), in_log: false, in_feed: Some(true), severity: None };
            let fix = fixes.entry(cve.clone()).or_insert(fix);
            fix.in_feed = Some(true);
            if osv::rank(advisory.severity.as_deref()) > osv::rank(fix.severity.as_deref()) {
                fix.severity.clone_from(&advisory.severity);
            }
        }
    }
    let fixes: Vec<Fix> = fixes.into_values().collect();
    disagreements(&fixes, log.is_some(), &mut notes);
    urgent = urgent && !fixes.is_empty() || fixes.iter().any(|fix| osv::rank(fix.severity.as_deref()) >= osv::HIGH);
    let is_security = !fixes.is_empty() || group.iter().any(|upgrade| upgrade.from.ends_with("/security"));
    let urgency = match (urgent, is_security) {
        (true, _) => Urgency::Urgent,
        (false, true) => Urgency::Security,
        _ => Urgency::Routine,
    };
    let packages: BTreeSet<String> = group.iter().map(|upgrade| upgrade.package.clone()).collect();
    let (source, old, new) = (source.to_owned(), old.to_owned(), new.to_owned());
    Explained { source, packages: packages.into_iter().collect(), old, new, fixes, urgency, notes }
}

fn disagreements(fixes: &[Fix], has_log: bool, notes: &mut Vec<String>) {
    let list = |wanted: fn(&Fix) -> bool| {
        let names: Vec<&str> = fixes.iter().filter(|fix| wanted(fix)).map(|fix| fix.cve.as_str()).collect();
        names.join(", ")
    };
    let only_log = list(|fix| fix.in_log && fix.in_feed == Some(false));
    let only_feed = list(|fix| !fix.in_log && fix.in_feed == Some(true));
    if !only_log.is_empty() {
        notes.push(format!("only the change log names {only_log}"));
    }
    if has_log && !only_feed.is_empty() {
        notes.push(format!("only the advisories name {only_feed}"));
    }
}

#[cfg(test)]
mod tests;
