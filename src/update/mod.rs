//! What is new in the archives, and what it means for every image.
//!
//! - **In**: definitions, the locks that are committed, and what came of locking anew ([`crate::lock::lock_each`]).
//! - **Out**: one [`ImageUpdate`] an image, parents first: changes, what they fix, who is affected, what it costs
//!   consumers; one image's failure is an entry like the others.
//! - **Invariants**: nothing is written; the answer depends on nothing but its input.
//! - **Not here**: which vulnerabilities a change fixes (`advisory`), building, publishing (`build`, `publish`), the
//!   order of a whole scheduled run (`jobs::update`).

pub mod lease;
pub mod memory;
pub mod repull;

use crate::advisory::DistributionRelease;
use crate::advisory::PackageUpgrade;
use crate::advisory::UpgradeExplanation;
use crate::advisory::UpgradeUrgency;
use crate::apt::version::DebianVersion;
use crate::lock;
use crate::lock::BlockedPackage;
use crate::lock::BrokenPocket;
use crate::lock::LockOutcome;
use crate::lock::diff::LockDifference;
use crate::lock::diff::PackageChange;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::update::repull::Repull;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What is new for one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageUpdate {
    /// Image name.
    pub image: String,
    /// What came of looking.
    pub state: UpdateState,
    /// All differences of the new lock, when there was one before.
    pub difference: Option<LockDifference>,
    /// Levels that come from an image below: their changes are listed there.
    pub inherited: BTreeMap<String, String>,
    /// Images that stand on this one and change with it, parents before children.
    pub above: Vec<String>,
    /// What the upgrades fix, a source package each; those of lower images, too.
    pub fixes: Vec<UpgradeExplanation>,
    /// How soon they should reach people; none without upgrades.
    pub urgency: Option<UpgradeUrgency>,
    /// What consumers pull again, by platform.
    pub repull: Vec<Repull>,
    /// Packages whose updates are not taken; those of lower images, too.
    pub blocked: Vec<BlockedPackage>,
    /// Pockets that cannot be read, so that nothing newer of them is known.
    pub broken_pockets: Vec<BrokenPocket>,
    /// What those updates would fix, a source package each.
    pub held_back: Vec<UpgradeExplanation>,
    /// How soon they should reach people; none where none is blocked.
    pub held_back_urgency: Option<UpgradeUrgency>,
    /// Why there is no answer.
    #[serde(skip)]
    pub failure: Option<lock::Error>,
}

/// What came of looking for news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateState {
    /// There is nothing new.
    Current,
    /// The lock changes.
    Changed,
    /// There was no lock before.
    New,
    /// It cannot be locked.
    Failed,
}

/// Judges what came of locking, image by image; returns the new locks, too.
///
/// `sizes` tells what layers of an image weigh that was built from its old lock, where that is known.
#[must_use]
pub fn assess(
    definitions: &[ImageDefinition],
    previous: &BTreeMap<String, Lock>,
    results: lock::Results,
    sizes: &dyn Fn(&ImageDefinition) -> Option<repull::Sizes>,
) -> (Vec<ImageUpdate>, BTreeMap<String, Lock>) {
    let mut updates = Vec::new();
    let mut locks = BTreeMap::new();
    for (definition, (image, result)) in definitions.iter().zip(results) {
        let (outcome, failure) = match result {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(error)),
        };
        let state = outcome.as_ref().map_or(UpdateState::Failed, state);
        let mut repull = Vec::new();
        if let (Some(outcome), Some(old), UpdateState::Changed) = (&outcome, previous.get(&image), state) {
            let sizes = sizes(definition);
            let one = |platform| repull::estimate(old, &outcome.lock, sizes.as_ref(), platform);
            repull = definition.platforms.iter().copied().map(one).collect();
        }
        let difference = outcome.as_ref().and_then(|outcome| outcome.difference.clone());
        let inherited = inherited(definition, definitions);
        let (mut blocked, mut broken_pockets) = (Vec::new(), Vec::new());
        if let Some(outcome) = outcome {
            (blocked, broken_pockets) = (outcome.blocked, outcome.broken);
            locks.insert(image.clone(), outcome.lock);
        }
        updates.push(ImageUpdate {
            image,
            state,
            difference,
            inherited,
            above: Vec::new(),
            fixes: Vec::new(),
            urgency: None,
            repull,
            blocked,
            broken_pockets,
            held_back: Vec::new(),
            held_back_urgency: None,
            failure,
        });
    }
    let changed: BTreeSet<String> = updates
        .iter()
        .filter(|update| update.state == UpdateState::Changed)
        .map(|update| update.image.clone())
        .collect();
    for update in updates.iter_mut().filter(|update| update.state == UpdateState::Changed) {
        update.above = above(&update.image, definitions).into_iter().filter(|image| changed.contains(image)).collect();
    }
    (updates, locks)
}

fn state(outcome: &LockOutcome) -> UpdateState {
    match &outcome.difference {
        None => UpdateState::New,
        Some(_) if outcome.is_unchanged() => UpdateState::Current,
        Some(_) => UpdateState::Changed,
    }
}

/// Returns the levels of an image that belong to an image below, with that image: the lowest one that has the level.
fn inherited(definition: &ImageDefinition, definitions: &[ImageDefinition]) -> BTreeMap<String, String> {
    let mut levels = BTreeMap::new();
    let mut parent = definition.parent.as_ref();
    // parents come first, so there are not more rounds than images
    for _ in definitions {
        let Some(below) = parent.and_then(|name| definitions.iter().find(|other| other.image == *name)) else { break };
        for level in below.levels.values().flatten() {
            levels.insert(level.recipe.clone(), below.image.clone());
        }
        parent = below.parent.as_ref();
    }
    levels
}

/// Returns all images that stand on this one, in the order of the definitions.
#[must_use]
pub fn above(image: &str, definitions: &[ImageDefinition]) -> Vec<String> {
    let mut names: Vec<String> = vec![image.to_owned()];
    for definition in definitions {
        if definition.parent.as_ref().is_some_and(|parent| names.contains(parent)) {
            names.push(definition.image.clone());
        }
    }
    names.split_off(1)
}

impl ImageUpdate {
    /// Returns the packages whose version rises, as `advisory` wants them; those of lower images, too.
    #[must_use]
    pub fn upgrades(&self, definition: &ImageDefinition, old: &Lock, new: &Lock) -> Vec<PackageUpgrade> {
        let levels = self.difference.iter().flat_map(|difference| &difference.levels);
        let changes = levels.flat_map(|level| &level.packages);
        changes.filter_map(|change| upgrade(change, definition, old, new)).collect()
    }

    /// Adds what the upgrades fix.
    pub fn explain(&mut self, fixes: Vec<UpgradeExplanation>) {
        self.urgency = fixes.iter().map(|explained| explained.urgency).max();
        self.fixes = fixes;
    }

    /// Returns the updates that are not taken, as `advisory` wants them.
    #[must_use]
    pub fn held_upgrades(&self, definition: &ImageDefinition) -> Vec<PackageUpgrade> {
        let upgrade = |blocked: &BlockedPackage| {
            Some(PackageUpgrade {
                source: blocked.source.clone(),
                package: blocked.package.clone(),
                old: blocked.locked.clone()?,
                new: blocked.newer.clone(),
                sources: blocked.source_versions.clone(),
                from: blocked.from.clone(),
                deb: blocked.deb,
                distribution: distribution(definition, *blocked.platforms.first()?)?,
            })
        };
        self.blocked.iter().filter_map(upgrade).collect()
    }

    /// Adds what the updates that are not taken would fix.
    pub fn explain_held_back(&mut self, fixes: Vec<UpgradeExplanation>) {
        self.held_back_urgency = fixes.iter().map(|explained| explained.urgency).max();
        self.held_back = fixes;
    }

    /// Tells whether something newer is known, or may be there, that the image does not get.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || !self.broken_pockets.is_empty()
    }

    /// Returns the CVE numbers that the image keeps because updates are not taken.
    #[must_use]
    pub fn held_back_cves(&self) -> BTreeSet<&str> {
        self.held_back.iter().flat_map(|explained| &explained.fixes).map(|fix| fix.cve.as_str()).collect()
    }

    /// Returns the CVE numbers that the image gets rid of.
    #[must_use]
    pub fn cves(&self) -> BTreeSet<&str> {
        self.fixes.iter().flat_map(|explained| &explained.fixes).map(|fix| fix.cve.as_str()).collect()
    }
}

fn upgrade(change: &PackageChange, definition: &ImageDefinition, old: &Lock, new: &Lock) -> Option<PackageUpgrade> {
    let (was, is) = (change.old.as_deref()?, change.new.as_deref()?);
    let platform = change.platforms.first()?;
    let find = |lock: &Lock, version: &str| {
        lock.packages(*platform).find(|package| package.name == change.name && package.version == version).cloned()
    };
    let (before, now) = (find(old, was)?, find(new, is)?);
    if DebianVersion::new(was) >= DebianVersion::new(is) {
        return None;
    }
    Some(PackageUpgrade {
        source: now.source,
        package: now.name,
        old: was.to_owned(),
        new: is.to_owned(),
        sources: (before.source_version, now.source_version),
        from: now.from,
        deb: now.sha256,
        distribution: distribution(definition, *platform)?,
    })
}

fn distribution(definition: &ImageDefinition, platform: Platform) -> Option<DistributionRelease> {
    // the root recipe is named after the distribution, and its parameter is the release
    let root = definition.levels_for(platform).first().map(|level| level.recipe.as_str())?;
    Some(DistributionRelease {
        origin: definition.archives.first().and_then(|archive| archive.origin.clone()).unwrap_or_default(),
        release: definition.parameters.get(root).cloned().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::LevelDefinition;

    fn definition(image: &str, parent: Option<&str>, levels: &[&str]) -> ImageDefinition {
        let level = |recipe: &&str| LevelDefinition { recipe: (*recipe).to_owned(), ..LevelDefinition::default() };
        let platform: Platform = "linux/amd64".parse().unwrap();
        ImageDefinition {
            image: image.to_owned(),
            parent: parent.map(str::to_owned),
            platforms: vec![platform],
            parameters: BTreeMap::new(),
            archives: Vec::new(),
            levels: [(platform, levels.iter().map(level).collect())].into(),
            inputs: BTreeMap::new(),
            publish: Default::default(),
            version_of: None,
            purpose: String::new(),
            owner: Default::default(),
            rebuild: Default::default(),
        }
    }

    #[test]
    fn finds_images_above_and_levels_below() {
        let all = [
            definition("ubuntu", None, &["ubuntu"]),
            definition("java", Some("ubuntu"), &["ubuntu", "java"]),
            definition("debian", None, &["debian"]),
            definition("tomcat", Some("java"), &["ubuntu", "java", "tomcat"]),
        ];
        assert_eq!(above("ubuntu", &all), ["java", "tomcat"]);
        assert_eq!(above("java", &all), ["tomcat"]);
        assert!(above("debian", &all).is_empty());
        let text = |levels: BTreeMap<String, String>| format!("{levels:?}");
        assert_eq!(text(inherited(&all[3], &all)), r#"{"java": "java", "ubuntu": "ubuntu"}"#);
        assert_eq!(text(inherited(&all[0], &all)), "{}");
    }
}
