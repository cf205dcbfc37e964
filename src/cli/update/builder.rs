//! Builds the images of an update so that one's failure does not stop the others, and so that several machines can share
//! the work.

use crate::build;
use crate::build::Built;
use crate::build::Whereabouts;
use crate::build::record;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::workspace::Hands;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use crate::recipe::Ledger;
use crate::tree::compress::Compression;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Images that a worker builds and publishes before it looks what others have done meanwhile.
const PART: usize = 20;

/// Builds images so that one's failure does not stop the others.
pub(super) struct Builder<'a> {
    /// The images with all that they stand on, parents first.
    pub(super) definitions: Vec<Definition>,
    /// Those that are wanted; none named means all.
    pub(super) images: Vec<String>,
    pub(super) hands: &'a Hands,
    pub(super) layers: Whereabouts,
    pub(super) ledger: &'a Ledger,
    pub(super) context: &'a Context,
}

impl<'a> Builder<'a> {
    /// Returns the parts of the work in the order of this worker: alone, everything at once; with others, small parts,
    /// beginning where nobody else does.
    pub(super) fn parts(&self, worker: Option<(usize, usize)>) -> Vec<Builder<'a>> {
        let names: Vec<&String> = self.definitions.iter().map(|definition| &definition.image).collect();
        let Some((number, of)) = worker else { return vec![self.part(&names)] };
        let mut parts: Vec<Builder<'a>> = names.chunks(PART).map(|names| self.part(names)).collect();
        let begin = (number - 1) * parts.len() / of;
        parts.rotate_left(begin);
        parts
    }

    fn part(&self, names: &[&String]) -> Builder<'a> {
        let mut needed: BTreeSet<&String> = names.iter().copied().collect();
        for definition in self.definitions.iter().rev() {
            if needed.contains(&definition.image) {
                needed.extend(&definition.parent);
            }
        }
        let definitions = self.definitions.iter().filter(|definition| needed.contains(&definition.image));
        Builder {
            definitions: definitions.cloned().collect(),
            images: names.iter().copied().cloned().collect(),
            hands: self.hands,
            layers: self.layers,
            ledger: self.ledger,
            context: self.context,
        }
    }

    pub(super) fn options(&self) -> build::Options {
        build::Options {
            compression: Compression::Gzip,
            threads: self.context.settings.threads,
            images: self.images.clone(),
            platforms: Vec::new(),
            layers: self.layers,
            mirrors: self.hands.mirrors.clone(),
        }
    }

    pub(super) fn orders<'o>(&'o self, locks: &'o BTreeMap<String, Lock>) -> Vec<build::Order<'o>> {
        let order = |definition: &'o Definition| Some(build::Order { definition, lock: locks.get(&definition.image)? });
        self.definitions.iter().filter_map(order).collect()
    }

    /// Returns the images that the store knows for these locks.
    pub(super) fn known(&self, locks: &BTreeMap<String, Lock>) -> BTreeMap<String, Built> {
        let orders = self.orders(locks);
        let keys = build::keys(&orders, &self.options());
        let find = |key| record::find(&key, self.layers, &self.hands.store);
        let known = keys.into_iter().filter_map(find).map(|built| (built.image.clone(), built));
        known.collect()
    }

    /// Builds all images that have a lock; returns those that are built, and why the others are not.
    pub(super) fn each(&self, locks: &BTreeMap<String, Lock>) -> (BTreeMap<String, Built>, BTreeMap<String, Failure>) {
        let all: Vec<&Definition> =
            self.definitions.iter().filter(|definition| locks.contains_key(&definition.image)).collect();
        let (mut done, mut failed) = (BTreeMap::new(), BTreeMap::new());
        if let Ok(built) = self.build(&all, locks) {
            done.extend(built.into_iter().map(|built| (built.image.clone(), built)));
        } else {
            // what is finished is found, so looking for the one that fails costs little
            for definition in all {
                let below = definition.parent.as_ref().filter(|parent| failed.contains_key(*parent));
                let result = match below {
                    Some(parent) => {
                        let message = format!("cannot build image `{}`: `{parent}` is not built", definition.image);
                        Err(Failure::new(Kind::Input, message))
                    }
                    None => self.build(&self.line(definition, locks), locks),
                };
                match result {
                    Ok(built) => done.extend(built.into_iter().map(|built| (built.image.clone(), built))),
                    Err(failure) => drop(failed.insert(definition.image.clone(), failure)),
                }
            }
        }
        self.hands.progress.close();
        // what nobody wanted may not be finished
        done.retain(|image, _| self.images.is_empty() || self.images.contains(image));
        (done, failed)
    }

    /// Returns an image with all that it stands on, lowest first.
    fn line(&self, definition: &Definition, locks: &BTreeMap<String, Lock>) -> Vec<&Definition> {
        let mut names = BTreeSet::from([&definition.image]);
        for other in self.definitions.iter().rev() {
            if names.contains(&other.image) {
                names.extend(&other.parent);
            }
        }
        let wanted = |other: &&Definition| names.contains(&other.image) && locks.contains_key(&other.image);
        self.definitions.iter().filter(wanted).collect()
    }

    fn build<'o>(
        &self,
        definitions: &[&'o Definition],
        locks: &'o BTreeMap<String, Lock>,
    ) -> Result<Vec<Built>, Failure> {
        let order =
            |definition: &&'o Definition| Some(build::Order { definition, lock: locks.get(&definition.image)? });
        let orders: Vec<build::Order<'_>> = definitions.iter().filter_map(order).collect();
        let built = build::build(&orders, &self.options(), self.hands.equipment(&self.hands.http, self.ledger));
        // these locks were chosen in this run
        Ok(built.map_err(build::Error::just_listed)?)
    }
}
