//! Which vulnerabilities the upgrades of an update fix.

use crate::advisory;
use crate::advisory::PackageUpgrade;
use crate::advisory::UpgradeExplanation;
use crate::advisory::feed;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::update::UpdateOutcome;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
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

/// Adds to every image what its upgrades fix. Advisories that cannot be read are kept as a failure of the run: patches
/// must reach people whether or not somebody can explain them.
pub(crate) fn add_fixes(
    outcome: &mut UpdateOutcome,
    definitions: &[ImageDefinition],
    locks: LocksBeforeAndAfter<'_>,
    session: &Session,
) -> Result<(), Error> {
    match explained(outcome, definitions, locks, session) {
        Ok(fixes) => {
            for image in &mut outcome.images {
                if let Some(fixes) = fixes.get(&image.update.image) {
                    image.update.explain(fixes.clone());
                }
            }
            Ok(())
        }
        Err(Error::Advisory(error)) => {
            outcome.advisories = Some(error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Returns what the upgrades of each image fix; images without upgrades are left out.
fn explained(
    outcome: &UpdateOutcome,
    definitions: &[ImageDefinition],
    locks: LocksBeforeAndAfter<'_>,
    session: &Session,
) -> Result<BTreeMap<String, Vec<UpgradeExplanation>>, Error> {
    let mut upgrades: BTreeMap<String, Vec<PackageUpgrade>> = BTreeMap::new();
    for (definition, image) in definitions.iter().zip(&outcome.images) {
        let name = &definition.image;
        if let (Some(old), Some(new)) = (locks.previous.get(name), locks.new.get(name)) {
            upgrades.insert(name.clone(), image.update.upgrades(definition, old, new));
        }
    }
    upgrades.retain(|_, list| !list.is_empty());
    if upgrades.is_empty() {
        return Ok(BTreeMap::new());
    }

    // images share their upgrades: each list is looked up once
    let store = session.store()?;
    let feeds = feed::fetch(&session.registry_file().advisories, store, session.http())?;
    let mut known: BTreeMap<Vec<Digest>, Vec<UpgradeExplanation>> = BTreeMap::new();
    let mut fixes = BTreeMap::new();
    for (image, list) in upgrades {
        let key: Vec<Digest> = list.iter().map(|upgrade| upgrade.deb).collect();
        if !known.contains_key(&key) {
            known.insert(key.clone(), advisory::explain(&list, &feeds, store)?);
        }
        fixes.insert(image, known[&key].clone());
    }
    Ok(fixes)
}
