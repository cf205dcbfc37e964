//! Which vulnerabilities the upgrades of an update fix.

use crate::advisory;
use crate::advisory::AdvisoryFeed;
use crate::advisory::PackageUpgrade;
use crate::advisory::UpgradeExplanation;
use crate::advisory::feed;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::update::UpdateOutcome;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::store::Store;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Locks by image, before and after.
#[derive(Clone, Copy)]
pub(crate) struct LocksBeforeAndAfter<'a> {
    /// Those that are committed.
    pub(crate) previous: &'a BTreeMap<String, Lock>,
    /// Those that were made in this run.
    pub(crate) new: &'a BTreeMap<String, Lock>,
}

/// Adds to every image what its upgrades fix, and what those would fix that are not taken. Advisories that cannot be
/// read are kept as a failure of the run, and change logs alone count then: patches must reach people whether or not
/// somebody can explain them.
pub(crate) fn add_fixes(
    outcome: &mut UpdateOutcome,
    definitions: &[ImageDefinition],
    locks: LocksBeforeAndAfter<'_>,
    session: &Session,
) -> Result<(), Error> {
    let mut upgrades: Vec<[Vec<PackageUpgrade>; 2]> = Vec::new();
    for (definition, image) in definitions.iter().zip(&outcome.images) {
        let name = &definition.image;
        let taken = match (locks.previous.get(name), locks.new.get(name)) {
            (Some(old), Some(new)) => image.update.upgrades(definition, old, new),
            _ => Vec::new(),
        };
        upgrades.push([taken, image.update.held_upgrades(definition)]);
    }
    if upgrades.iter().flatten().all(Vec::is_empty) {
        return Ok(());
    }

    let store = session.store()?;
    let feeds = feed::fetch(&session.registry_file().advisories, store, session.http());
    let explained = match feeds.and_then(|feeds| explained(&upgrades, &feeds, store)) {
        Err(error) => {
            outcome.advisories = Some(error);
            explained(&upgrades, &[], store)?
        }
        explained => explained?,
    };
    for (image, [taken, held]) in outcome.images.iter_mut().zip(explained) {
        image.update.explain(taken);
        image.update.explain_held_back(held);
    }
    Ok(())
}

/// Explains lists of upgrades.
fn explained(
    upgrades: &[[Vec<PackageUpgrade>; 2]],
    feeds: &[AdvisoryFeed],
    store: &Store,
) -> Result<Vec<[Vec<UpgradeExplanation>; 2]>, advisory::Error> {
    // images share their upgrades: each list is looked up once
    let mut known: BTreeMap<Vec<(Digest, &str)>, Vec<UpgradeExplanation>> = BTreeMap::new();
    let mut all = Vec::new();
    for lists in upgrades {
        let mut both = [Vec::new(), Vec::new()];
        for (list, explained) in lists.iter().zip(&mut both) {
            let key: Vec<(Digest, &str)> = list.iter().map(|upgrade| (upgrade.deb, upgrade.old.as_str())).collect();
            if !list.is_empty() && !known.contains_key(&key) {
                known.insert(key.clone(), advisory::explain(list, feeds, store)?);
            }
            explained.extend(known.get(&key).into_iter().flatten().cloned());
        }
        all.push(both);
    }
    Ok(all)
}
