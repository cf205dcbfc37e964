//! Builds the images of an update so that one's failure does not stop the others, and so that several machines can share
//! the work.

use crate::build;
use crate::build::BuiltImage;
use crate::build::LayerLocation;
use crate::build::record;
use crate::fault::Explain;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::publish::by_name;
use crate::jobs::target::PublishTarget;
use crate::jobs::update::Worker;
use crate::jobs::workspace::is_asked_for;
use crate::jobs::workspace::locked_images;
use crate::lock::LockedImage;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::recipe::ScriptLedger;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Images that a worker builds and publishes before it looks again what others have done meanwhile: few enough that
/// two workers seldom build the same one, enough that looking costs little.
const PART: usize = 20;

/// A part of an update's images, with all their parents.
pub(crate) struct UpdateBuilder<'a> {
    /// The images with all their parents, parents first.
    pub(crate) definitions: Vec<ImageDefinition>,
    /// Those that are wanted; none named means all.
    pub(crate) images: Vec<String>,
    /// Where layers of finished images may be.
    pub(crate) layers: LayerLocation,
    /// Decisions about maintainer scripts.
    pub(crate) ledger: &'a ScriptLedger,
    /// Store, network and reporter.
    pub(crate) session: &'a Session,
}

/// What came of building each image.
pub(crate) struct BuildResults {
    /// Images that are built.
    pub(crate) built: BTreeMap<String, BuiltImage>,
    /// Why the others are not.
    pub(crate) failed: BTreeMap<String, Error>,
}

impl<'a> UpdateBuilder<'a> {
    /// Returns the parts of the work in the order of this worker. Alone it does everything at once; with others it takes
    /// small parts, beginning where nobody else does.
    pub(crate) fn parts(&self, worker: Option<Worker>) -> Vec<UpdateBuilder<'a>> {
        let names: Vec<&String> = self.definitions.iter().map(|definition| &definition.image).collect();
        let Some(Worker { number, of }) = worker else { return vec![self.part(&names)] };

        let mut parts: Vec<UpdateBuilder<'a>> = names.chunks(PART).map(|names| self.part(names)).collect();
        let begin = (number - 1) * parts.len() / of;
        parts.rotate_left(begin);
        parts
    }

    fn part(&self, names: &[&String]) -> UpdateBuilder<'a> {
        UpdateBuilder {
            definitions: with_parents(&self.definitions, names).into_iter().cloned().collect(),
            images: names.iter().copied().cloned().collect(),
            layers: self.layers,
            ledger: self.ledger,
            session: self.session,
        }
    }

    /// Returns how this part is built.
    fn options(&self) -> build::BuildOptions {
        build::BuildOptions { images: self.images.clone(), ..self.session.build_options(self.layers) }
    }

    /// Returns the images that the store has for these locks.
    pub(crate) fn known(&self, locks: &BTreeMap<String, Lock>) -> Result<BTreeMap<String, BuiltImage>, Error> {
        let store = self.session.store()?;
        let keys = build::keys(&locked_images(&self.definitions, locks), &self.options());
        Ok(by_name(keys.iter().filter_map(|key| record::find(key, self.layers, store)).collect()))
    }

    /// Brings what other machines have built of this part into the store.
    pub(crate) fn take_from_cache(
        &self,
        target: &PublishTarget<'_>,
        locks: &BTreeMap<String, Lock>,
    ) -> Result<(), Error> {
        target.take_from_cache(&locked_images(&self.definitions, locks), &self.options(), false)
    }

    /// Builds all images that have a lock, as far as that is possible.
    pub(crate) fn build_each(&self, locks: &BTreeMap<String, Lock>) -> BuildResults {
        let orders = locked_images(&self.definitions, locks);
        let mut results = BuildResults { built: BTreeMap::new(), failed: BTreeMap::new() };

        if let Ok(built) = self.build(&orders) {
            results.built = by_name(built);
        } else {
            // what is finished is found in the store, so looking for the one that fails costs little
            for LockedImage { definition, .. } in orders {
                match self.build_one(definition, locks, &results.failed) {
                    Ok(built) => results.built.extend(by_name(built)),
                    Err(error) => drop(results.failed.insert(definition.image.clone(), error)),
                }
            }
        }

        // what nobody asked for may not be finished
        results.built.retain(|image, _| is_asked_for(&self.images, image));
        results
    }

    /// Builds one image with its parents, unless one of them has failed.
    fn build_one(
        &self,
        definition: &ImageDefinition,
        locks: &BTreeMap<String, Lock>,
        failed: &BTreeMap<String, Error>,
    ) -> Result<Vec<BuiltImage>, Error> {
        if let Some(parent) = definition.parent.as_ref().filter(|parent| failed.contains_key(*parent)) {
            return Err(Error::input(format!("cannot build image `{}`: `{parent}` is not built", definition.image)));
        }
        let line = with_parents(&self.definitions, &[&definition.image]);
        self.build(&locked_images(line, locks))
    }

    fn build(&self, orders: &[LockedImage<'_>]) -> Result<Vec<BuiltImage>, Error> {
        let equipment = self.session.equipment(self.session.http(), self.ledger)?;
        // these locks were chosen in this run
        Ok(build::build(orders, &self.options(), equipment).map_err(Explain::still_listed)?)
    }
}

/// Returns these images with all their parents, in the order of the definitions: parents first.
fn with_parents<'d>(definitions: &'d [ImageDefinition], names: &[&String]) -> Vec<&'d ImageDefinition> {
    let mut needed: BTreeSet<&String> = names.iter().copied().collect();
    // parents come before their children, so one walk from the end meets every child first
    for definition in definitions.iter().rev() {
        if needed.contains(&definition.image) {
            needed.extend(&definition.parent);
        }
    }
    definitions.iter().filter(|definition| needed.contains(&definition.image)).collect()
}
