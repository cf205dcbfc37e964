//! Is a lock what signed archives say? A lock is a choice, not a proof: people can edit it. So its packages are chosen
//! again from the signed states that it names, their scripts are read again, and the result must be the same.
//!
//! Choosing is a function of recipes, ledger and signed states alone, so an honest lock always comes out again. That one
//! comparison covers every field: name, version, architecture, size and digests of each package stand in an index whose
//! digest stands in an InRelease file signed by a pinned key; nothing that is needed is missing, nothing is there that
//! nobody needs, no version is older than the best one of those states, and every maintainer script is decided.
//!
//! # When the archive has moved on
//! Where nobody has a locked state any more, a later one proves the same packages as long as it leads to the same choice.
//! Its own date is then no proof of the date in the lock, which is only known to be older, by 400 days at most. A wrong one
//! gives files and tags an older date, and it lets an archive go back to that date on a machine that has nothing else to
//! remember by: whoever may change a lock can weaken what the lock protects, but not bring in what no archive signed.
//!
//! # What nobody can check, and nobody needs to
//! - `layers`: which packages share a layer; the files are the same.
//! - `revision`: a number in the name of the image; a fixed tag that names something else already is an error.
//! - of a package proven by a later state, the place (`from`, `component`, `path`): the digest decides about its bytes;
//!   and `phased`, which changes every day.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::lock::ArchiveAccess;
use crate::lock::Error;
use crate::lock::LockInput;
use crate::lock::diff::diff;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use crate::lock::images::LockRun;
use crate::lock::images::OpenArchive;
use crate::lock::images::open;
use crate::lock::images::universes;
use crate::lock::level::EarlierLocks;
use crate::lock::universe::Universe;
use crate::recipe::ArchiveDefinition;
use crate::recipe::ImageDefinition;
use crate::recipe::ScriptLedger;
use crate::values::Digest;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How many seconds before a later state the date of a lost one is still believed: nobody can prove it, and it is what
/// protects against older archives on a machine that has nothing.
const LONGEST_AGO: i64 = 400 * 86_400;

/// A lock to prove, with what it was made for.
#[derive(Debug, Clone, Copy)]
pub struct LockClaim<'a> {
    /// What the recipes say.
    pub definition: &'a ImageDefinition,
    /// What was locked.
    pub lock: &'a Lock,
}

/// What proves a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockProof {
    /// The signed state of every pocket that was read, by the pocket's name: its InRelease file.
    pub states: BTreeMap<String, Digest>,
    /// Pockets for which that is a later state than the lock names.
    pub later: Vec<String>,
}

/// Why a lock is not proven.
#[derive(Debug)]
pub enum ProofDoubt {
    /// The states that it names, or later ones, lead to something else.
    Differs {
        /// All differences.
        differences: Vec<String>,
        /// Pockets whose locked state nobody has any more; without any, the lock was edited.
        later: Vec<String>,
    },
    /// The image that it stands on is not proven.
    Below {
        /// Its name.
        parent: String,
    },
    /// Nothing can be chosen, or the archives cannot be read.
    Failed(Error),
}

impl ProofDoubt {
    /// Returns who has to act. What is said of another lock counts there, not here.
    #[must_use]
    pub fn turn(&self) -> Turn {
        match self {
            Self::Differs { .. } => Turn::Input,
            Self::Below { .. } | Self::Failed(Error::Archives { .. }) => Turn::Outside,
            Self::Failed(error) => error.turn(),
        }
    }
}

/// Proves locks; parents stand before their children. Returns what came of each, in the same order.
pub fn prove(
    claims: &[LockClaim<'_>],
    ledger: &ScriptLedger,
    engine: u32,
    outside: &dyn ArchiveAccess,
) -> Vec<Result<LockProof, ProofDoubt>> {
    let locks: BTreeMap<String, Lock> =
        claims.iter().map(|claim| (claim.definition.image.clone(), claim.lock.clone())).collect();
    let images = LockInput { definitions: &[], previous: &locks, ledger, engine };
    // what earlier locks say about packages counts for nothing here
    let nothing = BTreeMap::new();
    let mut past = EarlierLocks::new(&nothing, ledger);
    let mut results: Vec<Option<Result<LockProof, ProofDoubt>>> = claims.iter().map(|_| None).collect();

    // one set of indexes is in memory at a time
    while let Some(first) = results.iter().position(Option::is_none) {
        let group: Vec<usize> = (first..claims.len())
            .filter(|index| results[*index].is_none() && same_states(&claims[first], &claims[*index]))
            .collect();
        let definitions: Vec<&ImageDefinition> = group.iter().map(|index| claims[*index].definition).collect();
        let states: Vec<LockedPocket> = claims[first].lock.newest_states().cloned().collect();
        let opened = match open(&definitions, outside, &states, &mut BTreeSet::new()) {
            Ok(opened) => opened,
            Err(error) => {
                for index in &group[1..] {
                    let first = claims[first].definition.image.clone();
                    results[*index] = Some(Err(ProofDoubt::Failed(Error::Archives { first })));
                }
                results[first] = Some(Err(ProofDoubt::Failed(error)));
                continue;
            }
        };
        let archives = ProofArchives { opened: &opened, universes: &universes(&definitions, &opened), outside };
        for index in group {
            results[index] = Some(one(&claims[index], images, &archives, &mut past));
        }
    }
    let results = results.into_iter().flatten().collect();
    with_parents(claims, results)
}

/// Tells whether two locks were chosen from the same archives in the same state.
fn same_states(one: &LockClaim<'_>, other: &LockClaim<'_>) -> bool {
    let archives = |claim: &LockClaim<'_>| -> Vec<ArchiveDefinition> { claim.definition.archives.clone() };
    one.lock.newest_states().eq(other.lock.newest_states()) && archives(one) == archives(other)
}

/// The archives of a group of locks, opened.
struct ProofArchives<'r> {
    opened: &'r [(String, OpenArchive)],
    universes: &'r BTreeMap<Platform, Universe<'r>>,
    outside: &'r dyn ArchiveAccess,
}

fn one<'a>(
    claim: &LockClaim<'a>,
    images: LockInput<'a>,
    archives: &ProofArchives<'_>,
    past: &mut EarlierLocks<'a>,
) -> Result<LockProof, ProofDoubt> {
    let LockClaim { definition, lock } = *claim;
    let ProofArchives { opened, universes, outside } = *archives;
    let below = definition.parent.as_ref().and_then(|parent| images.previous.get(parent));
    let mut run = LockRun { images, definition, below, opened, universes, outside, past };
    let (derived, _, undecided) = run.image().map_err(ProofDoubt::Failed)?;
    if !undecided.is_empty() {
        return Err(ProofDoubt::Failed(Error::Scripts(undecided)));
    }

    judge(lock, &derived)
}

/// Compares a lock with what was chosen anew from signed states.
///
/// # Errors
/// [`ProofDoubt::Differs`] with all differences that are no free choice.
pub fn judge(lock: &Lock, derived: &Lock) -> Result<LockProof, ProofDoubt> {
    let proof = proof(lock, derived);
    let differences = match proof.later.is_empty() {
        true => exact(lock, derived),
        false => by_later_states(lock, derived, &proof),
    };
    if differences.is_empty() { Ok(proof) } else { Err(ProofDoubt::Differs { differences, later: proof.later }) }
}

/// Names the states that were read, and those that are not the locked ones.
fn proof(lock: &Lock, derived: &Lock) -> LockProof {
    let states: BTreeMap<String, Digest> =
        derived.newest_states().map(|state| (state.title(), state.inrelease)).collect();
    let is_other = |state: &&LockedPocket| states.get(&state.title()) != Some(&state.inrelease);
    let later = lock.newest_states().filter(is_other).map(LockedPocket::title).collect();
    LockProof { states, later }
}

/// Compares everything but the free choices.
fn exact(lock: &Lock, derived: &Lock) -> Vec<String> {
    let mut differences = differences(lock, derived);
    if lock.archives != derived.archives {
        differences.push("its states of the archives are not what the signed files say".to_owned());
    }
    if lock.epoch != derived.epoch {
        differences.push(format!("its epoch is {}, the newest date of its archives is {}", lock.epoch, derived.epoch));
    }
    let levels = |lock: &Lock| -> Vec<LockedLevel> { lock.levels.iter().map(without_layers).collect() };
    if differences.is_empty() && levels(lock) != levels(derived) {
        differences.push("details of its packages are not what the signed indexes say".to_owned());
    }
    differences
}

/// Compares what a later state can say about an older lock.
fn by_later_states(lock: &Lock, derived: &Lock, proof: &LockProof) -> Vec<String> {
    let mut differences = Vec::new();
    for (locked, read) in lock.newest_states().zip(derived.newest_states()) {
        let title = locked.title();
        if !proof.later.contains(&title) {
            if locked != read {
                differences.push(format!("its state of `{title}` is not what the signed file says"));
            }
        } else if read.date <= locked.date {
            differences.push(format!(
                "it names a state of `{title}` of {} that is not the signed one of {}",
                locked.date, read.date
            ));
        } else if read.date.0 - locked.date.0 > LONGEST_AGO {
            differences.push(format!(
                "it names a state of `{title}` of {}, which is too long before the signed one of {} to believe the date",
                locked.date, read.date
            ));
        }
    }
    let relaxed = |lock: &Lock| Lock { levels: lock.levels.iter().map(without_place).collect(), ..lock.clone() };
    let (lock, derived) = (relaxed(lock), relaxed(derived));
    differences.extend(self::differences(&lock, &derived));
    if differences.is_empty() && lock.levels != derived.levels {
        differences.push("details of its packages are not what the signed indexes say".to_owned());
    }
    differences
}

/// Says for people which packages, exclusions and scripts differ.
fn differences(lock: &Lock, derived: &Lock) -> Vec<String> {
    let mut differences = Vec::new();
    for level in diff(lock, derived).levels {
        let recipe = &level.recipe;
        for change in &level.packages {
            let name = &change.name;
            // a later state may list a package in another place, which is left out then
            let place = if change.from.is_empty() { String::new() } else { format!(" in {}", change.from) };
            differences.push(match (&change.old, &change.new) {
                (Some(locked), Some(signed)) if locked == signed => {
                    format!("level `{recipe}`: `{name}` {locked} is listed with other details{place}")
                }
                (Some(locked), Some(signed)) => {
                    format!("level `{recipe}`: `{name}` is locked at {locked}, the archives have {signed}{place}")
                }
                (Some(locked), None) => format!("level `{recipe}`: `{name}` {locked} is locked, but nothing needs it"),
                (None, Some(signed)) => format!("level `{recipe}`: `{name}` {signed} is needed, but not locked"),
                (None, None) => format!("level `{recipe}`: `{name}` differs"),
            });
        }
        if level.excluded {
            differences.push(format!("level `{recipe}`: the excluded dependencies are other ones"));
        }
        if level.scripts {
            differences.push(format!("level `{recipe}`: the maintainer scripts of its packages are other ones"));
        }
    }
    differences
}

fn without_layers(level: &LockedLevel) -> LockedLevel {
    LockedLevel { layers: Vec::new(), ..level.clone() }
}

/// Returns a level without what says only where a package was found.
fn without_place(level: &LockedLevel) -> LockedLevel {
    let mut level = without_layers(level);
    for package in level.packages.values_mut().flatten() {
        let LockedPackage { from, component, path, phased, state, .. } = package;
        for place in [from, component, path] {
            place.clear();
        }
        (*phased, *state) = (None, None);
    }
    level
}

/// An image is proven only with those that it stands on.
fn with_parents(
    claims: &[LockClaim<'_>],
    results: Vec<Result<LockProof, ProofDoubt>>,
) -> Vec<Result<LockProof, ProofDoubt>> {
    let mut doubted: BTreeSet<&String> = BTreeSet::new();
    let mut all = Vec::new();
    for (claim, result) in claims.iter().zip(results) {
        let parent = claim.definition.parent.as_ref().filter(|parent| doubted.contains(parent));
        let result = match (result, parent) {
            (Ok(_), Some(parent)) => Err(ProofDoubt::Below { parent: parent.clone() }),
            (result, _) => result,
        };
        if result.is_err() {
            doubted.insert(&claim.definition.image);
        }
        all.push(result);
    }
    all
}
