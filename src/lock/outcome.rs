//! Results of locking images: whether the new lock or the old one counts, and which images failed because of others.

use crate::lock::Error;
use crate::lock::blocked::BlockedPackage;
use crate::lock::blocked::BrokenPocket;
use crate::lock::diff::LockDifference;
use crate::lock::diff::diff;
use crate::lock::file::FIRST_REVISION;
use crate::lock::file::FORMAT;
use crate::lock::file::Lock;
use crate::lock::file::LockedPocket;
use crate::lock::images::MadeLock;
use crate::recipe::ImageDefinition;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The result of locking one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOutcome {
    /// Image name.
    pub image: String,
    /// The lock to use from now on: the old one, with its dates, if nothing changed that decides about the image.
    pub lock: Lock,
    /// What changed since the old lock; `None` when there was none before.
    pub difference: Option<LockDifference>,
    /// Updates that are not taken, those of the parent first.
    pub blocked: Vec<BlockedPackage>,
    /// Pockets of which no newer state can be read.
    pub broken: Vec<BrokenPocket>,
}

impl LockOutcome {
    /// Tells whether the lock file on disk is still right.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.difference.as_ref().is_some_and(LockDifference::is_empty)
    }
}

/// The result of every image, by name, in the order of the definitions.
pub type Results = Vec<(String, Result<LockOutcome, Error>)>;

/// The results of all images, and warnings.
pub struct LockResults {
    /// By image, in the order of the definitions.
    pub images: Results,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// Results so far. An image with undecided scripts is both done and failed.
#[derive(Default)]
pub(super) struct LockProgress {
    pub(super) done: BTreeMap<String, LockOutcome>,
    pub(super) failed: BTreeMap<String, Error>,
    pub(super) warnings: BTreeSet<String>,
}

impl LockProgress {
    /// Tells whether an image failed so that nothing can be locked on top of it.
    pub(super) fn has_no_lock(&self, image: &str) -> bool {
        self.failed.contains_key(image) && !self.done.contains_key(image)
    }

    /// Takes the result of one image.
    pub(super) fn record(
        &mut self,
        definition: &ImageDefinition,
        made: Result<MadeLock, Error>,
        previous: Option<&Lock>,
    ) {
        let image = &definition.image;
        let MadeLock { lock, warnings, undecided, blocked, broken } = match made {
            Ok(made) => made,
            Err(error) => {
                self.failed.insert(image.clone(), error);
                return;
            }
        };

        self.warnings.extend(warnings);
        if !undecided.is_empty() {
            self.failed.insert(image.clone(), Error::Scripts(undecided));
        } else if let Some(parent) = definition.parent.as_ref().filter(|parent| self.failed.contains_key(*parent)) {
            // a lock on a parent that nobody may use is of no use either
            self.failed.insert(image.clone(), Error::Below { parent: parent.clone() });
        }

        // also where scripts are undecided: the children's scripts must be collected, too
        self.done.insert(image.clone(), LockOutcome { blocked, broken, ..outcome(lock, previous) });
    }

    /// Returns the result of every image, in the order of the definitions.
    pub(super) fn into_results(mut self, definitions: &[ImageDefinition]) -> LockResults {
        let mut images = Vec::new();
        for ImageDefinition { image, .. } in definitions {
            let result = match (self.failed.remove(image), self.done.remove(image)) {
                (None, Some(outcome)) => Ok(outcome),
                (Some(error), _) => Err(error),
                (None, None) => unreachable!("every image was locked, or failed"),
            };
            images.push((image.clone(), result));
        }
        LockResults { images, warnings: self.warnings.into_iter().collect() }
    }
}

/// Chooses between the new lock and the old one. Later archive dates alone are no reason for a new lock: the old one
/// stays, and with it every digest. So it does when recipes changed but led to the same decisions; then only the
/// identity of the definition is updated.
fn outcome(mut lock: Lock, previous: Option<&Lock>) -> LockOutcome {
    let (blocked, broken) = (Vec::new(), Vec::new());
    let Some(old) = previous else {
        return LockOutcome { image: lock.image.clone(), lock, difference: None, blocked, broken };
    };

    // the old states are kept only if an honest run could have written them: people can edit a lock
    let mut difference = diff(old, &lock);
    difference.states = !has_sound_states(old, &lock);
    if difference.keeps_decisions() {
        // today's definition, or the lock would be stale at once
        lock = Lock { format: FORMAT, files: None, definition: lock.definition, ..old.clone() };
    }
    // a changed lock makes a changed image, which needs a version of its own
    if !difference.is_empty() {
        lock.revision = revision(&lock, old);
    }
    LockOutcome { image: lock.image.clone(), lock, difference: Some(difference), blocked, broken }
}

/// Tells whether the states of an older lock are plausible: those of the same pockets, none newer than today's, and
/// none that contradicts today's about the same file.
fn has_sound_states(old: &Lock, new: &Lock) -> bool {
    old.newest_states().count() == new.newest_states().count()
        && old.newest_states().zip(new.newest_states()).all(|(old, new)| can_precede(old, new))
        && old.newest_states().map(|state| state.date).max() == Some(old.epoch)
}

/// Tells whether one state of a pocket can be an earlier one than the other, or the same.
fn can_precede(old: &LockedPocket, new: &LockedPocket) -> bool {
    old.title() == new.title()
        && old.suite == new.suite
        && old.codename == new.codename
        && old.signed_by == new.signed_by
        && old.date <= new.date
        // the same file means the same facts, and one date has one file
        && (old.inrelease == new.inrelease) == (old == new)
        && (old.date < new.date || old.inrelease == new.inrelease)
}

/// Returns the revision of a lock that differs from an older one. Each later date of the archives starts from the first
/// revision again, because the date is part of the version.
fn revision(lock: &Lock, old: &Lock) -> u32 {
    if lock.epoch.date() > old.epoch.date() { FIRST_REVISION } else { old.revision.saturating_add(1) }
}
