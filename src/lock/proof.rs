//! Proves that a lock matches the signed archives. A lock is a choice, not a proof: people can edit it. So its
//! packages are chosen again from the signed states that it names, their scripts are read again, and the result must
//! be the same.
//!
//! The choice is a function of recipes, ledger and signed states alone, so an honest lock always comes out again.
//! That one comparison covers every field: an index lists name, version, architecture, size and digests of each
//! package, and a pinned key signed the InRelease file that has the index's digest. No needed package is missing,
//! none is superfluous, no version is older than the best one of those states, and every maintainer script is decided.
//!
//! # When the archive has moved on
//! If nobody has a locked state any more, a later one proves the same packages as long as it leads to the same
//! choice. It does not prove the date in the lock: that is only known to be older, by 400 days at most. A wrong date
//! gives files and tags an older date, and on a machine without any memory of the archive, it lets the archive go
//! back to that date. So whoever may change a lock can weaken its protection, but cannot bring in anything that no
//! archive signed.
//!
//! # Packages that are kept back
//! A lock may say that packages stay behind the newest version (`kept-back`), because that cannot be taken. Their
//! versions are proven by the older states that the lock names for them; the rest is chosen around them, and what the
//! archives have instead must be what the lock says. Something must be in the way of each: scripts of the newest version
//! that the ledger does not decide about, or there is no choice of packages when those of its source are released.
//! The scripts are read again where the newer package can be had. Where it cannot (a machine without network, an archive
//! that has dropped it), the lock is believed in this point; the next update takes everything that can be taken.
//!
//! # What is not checked, and need not be
//! - `layers`: which packages share a layer; the files are the same.
//! - `revision`: a number in the name of the image; publishing refuses a fixed tag that already names another image.
//! - for a package proven by a later state: the place (`from`, `component`, `path`), since the digest decides about its
//!   bytes, and `phased`, which changes every day.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::lock::ArchiveAccess;
use crate::lock::Error;
use crate::lock::LockInput;
use crate::lock::LockedImage;
use crate::lock::diff::diff;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use crate::lock::images::LockRun;
use crate::lock::images::MadeLock;
use crate::lock::images::OpenArchive;
use crate::lock::images::open;
use crate::lock::images::universes;
use crate::lock::level::EarlierLocks;
use crate::lock::universe::Universe;
use crate::recipe::ImageDefinition;
use crate::recipe::ScriptLedger;
use crate::values::Digest;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How many seconds the date of a lost state may lie before the later state that proves the lock. Nobody can prove that
/// date, and on a machine with an empty store it is the only protection against older archives.
const LONGEST_AGO: i64 = 400 * 86_400;

/// The proof of a lock: the states that it was derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockProof {
    /// Digest of the InRelease file that was read, by the pocket's name.
    pub states: BTreeMap<String, Digest>,
    /// Pockets whose state is later than the one that the lock names.
    pub later: Vec<String>,
}

/// Why a lock is not proven.
#[derive(Debug)]
pub enum ProofDoubt {
    /// The locked states, or later ones, lead to another choice.
    Differs {
        /// All differences.
        differences: Vec<String>,
        /// Pockets whose locked state nobody has any more. If there are none, the lock was edited.
        later: Vec<String>,
    },
    /// The lock of the parent image is not proven.
    Below {
        /// Name of the parent image.
        parent: String,
    },
    /// There is no choice of packages, or the archives cannot be read.
    Failed(Error),
}

impl ProofDoubt {
    /// Returns who has to act. A reason that belongs to another lock counts for that lock only.
    #[must_use]
    pub fn turn(&self) -> Turn {
        match self {
            Self::Differs { .. } => Turn::Input,
            Self::Below { .. } | Self::Failed(Error::Archives { .. }) => Turn::Outside,
            Self::Failed(error) => error.turn(),
        }
    }
}

/// Proves locks, parents before their children, and returns the result of each, in the same order.
pub fn prove(
    claims: &[LockedImage<'_>],
    ledger: &ScriptLedger,
    engine: u32,
    outside: &dyn ArchiveAccess,
) -> Vec<Result<LockProof, ProofDoubt>> {
    let locks: BTreeMap<String, Lock> =
        claims.iter().map(|claim| (claim.definition.image.clone(), claim.lock.clone())).collect();
    let images = LockInput { definitions: &[], previous: &locks, ledger, engine };

    // no earlier lock is believed here: scripts and digests come from the packages themselves
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
                // the first lock of the group gets the reason, the others refer to it
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
            results[index] = Some(prove_one(&claims[index], images, &archives, &mut past));
        }
    }

    let results = results.into_iter().flatten().collect();
    with_parents(claims, results)
}

/// Tells whether two locks were chosen from the same archives in the same state.
fn same_states(claim: &LockedImage<'_>, other: &LockedImage<'_>) -> bool {
    claim.lock.newest_states().eq(other.lock.newest_states()) && claim.definition.archives == other.definition.archives
}

/// The archives of a group of locks, opened.
struct ProofArchives<'r> {
    opened: &'r [(String, OpenArchive)],
    universes: &'r BTreeMap<Platform, Universe<'r>>,
    outside: &'r dyn ArchiveAccess,
}

/// Derives one lock again and compares the two.
fn prove_one<'a>(
    claim: &LockedImage<'a>,
    images: LockInput<'a>,
    archives: &ProofArchives<'_>,
    past: &mut EarlierLocks<'a>,
) -> Result<LockProof, ProofDoubt> {
    let LockedImage { definition, lock } = *claim;
    let ProofArchives { opened, universes, outside } = *archives;
    let below = definition.parent.as_ref().and_then(|parent| images.previous.get(parent));

    let (claim, kept_states) = (Some(lock), BTreeMap::new());
    let mut run = LockRun { images, definition, below, opened, universes, outside, past, claim, kept_states };
    // the warnings were reported when the lock was made
    let MadeLock { lock: derived, undecided, .. } = run.image().map_err(ProofDoubt::Failed)?;
    if !undecided.is_empty() {
        return Err(ProofDoubt::Failed(Error::Scripts(undecided)));
    }

    judge(lock, &derived)
}

/// Compares a lock with the one derived from signed states.
///
/// # Errors
/// [`ProofDoubt::Differs`] with all differences that the module's documentation does not allow.
pub fn judge(lock: &Lock, derived: &Lock) -> Result<LockProof, ProofDoubt> {
    let proof = proof(lock, derived);
    let differences = match proof.later.is_empty() {
        true => exact(lock, derived),
        false => by_later_states(lock, derived, &proof),
    };
    if differences.is_empty() { Ok(proof) } else { Err(ProofDoubt::Differs { differences, later: proof.later }) }
}

/// Returns the states that were read, and which of them are not the locked ones.
fn proof(lock: &Lock, derived: &Lock) -> LockProof {
    let states: BTreeMap<String, Digest> =
        derived.newest_states().map(|state| (state.title(), state.inrelease)).collect();
    let later = lock
        .newest_states()
        .filter(|state| states.get(&state.title()) != Some(&state.inrelease))
        .map(LockedPocket::title)
        .collect();
    LockProof { states, later }
}

/// Compares everything but layers and revision.
fn exact(lock: &Lock, derived: &Lock) -> Vec<String> {
    let mut differences = differences(lock, derived);
    if lock.archives != derived.archives {
        differences.push("its states of the archives are not what the signed files say".to_owned());
    }
    if lock.epoch != derived.epoch {
        differences.push(format!("its epoch is {}, the newest date of its archives is {}", lock.epoch, derived.epoch));
    }

    for (level, other) in lock.levels.iter().zip(&derived.levels).filter(|(a, b)| a.kept_back != b.kept_back) {
        let differs = level.kept_back.iter().filter(|kept| !other.kept_back.contains(kept));
        differences.extend(differs.map(|kept| {
            let (recipe, package, newer) = (&level.recipe, &kept.package, &kept.newer);
            format!("level `{recipe}`: `{package}` is kept back from {newer}, which is not what the archives have")
        }));
    }

    // whatever the comparison for people does not name
    if differences.is_empty() && !has_same_levels(lock, derived) {
        differences.push("details of its packages are not what the signed indexes say".to_owned());
    }
    differences
}

/// Tells whether two locks have the same levels, apart from their layer plans.
fn has_same_levels(lock: &Lock, other: &Lock) -> bool {
    lock.levels.iter().map(without_layers).eq(other.levels.iter().map(without_layers))
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
            // neither the locked state nor a later one: the lock states what was never published
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

    // packages move between pockets: a security update turns up in `updates` later
    let (lock, derived) = (without_places(lock), without_places(derived));
    differences.extend(self::differences(&lock, &derived));

    // whatever the comparison for people does not name
    if differences.is_empty() && lock.levels != derived.levels {
        differences.push("details of its packages are not what the signed indexes say".to_owned());
    }
    differences
}

/// Lists for people which packages, exclusions and scripts differ.
fn differences(lock: &Lock, derived: &Lock) -> Vec<String> {
    // `old` is the lock here, `new` is what the archives say
    let mut differences = Vec::new();
    for level in diff(lock, derived).levels {
        let recipe = &level.recipe;
        for change in &level.packages {
            let name = &change.name;
            // empty where the place was removed, because a later state may list the package elsewhere
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
        if !level.effects.is_empty() {
            differences.push(format!("level `{recipe}`: the effects of maintainer scripts are other ones"));
        }
    }
    differences
}

/// Returns a level without its layer plan, which nobody has to prove.
fn without_layers(level: &LockedLevel) -> LockedLevel {
    LockedLevel { layers: Vec::new(), ..level.clone() }
}

/// Returns a lock without the places where its packages were found.
fn without_places(lock: &Lock) -> Lock {
    Lock { levels: lock.levels.iter().map(without_place).collect(), ..lock.clone() }
}

/// Returns a level without layer plan and without the places where its packages were found.
fn without_place(level: &LockedLevel) -> LockedLevel {
    let mut level = without_layers(level);
    // by now the archives may have something else that is newer, or nothing
    level.kept_back.clear();
    for package in level.packages.values_mut().flatten() {
        let LockedPackage { from, component, path, phased, state, .. } = package;
        for place in [from, component, path] {
            place.clear();
        }
        (*phased, *state) = (None, None);
    }
    level
}

/// Refuses locks whose parent is not proven: a child's proof takes its lower levels from the parent's lock.
fn with_parents(
    claims: &[LockedImage<'_>],
    results: Vec<Result<LockProof, ProofDoubt>>,
) -> Vec<Result<LockProof, ProofDoubt>> {
    // parents come first, so doubt reaches all descendants in one pass
    let mut doubted: BTreeSet<&String> = BTreeSet::new();
    let mut all = Vec::new();
    for (claim, result) in claims.iter().zip(results) {
        let parent = claim.definition.parent.as_ref().filter(|parent| doubted.contains(parent));
        let result = match (result, parent) {
            (Ok(_), Some(parent)) => Err(ProofDoubt::Below { parent: parent.clone() }),
            // its own reason says more than its parent's
            (result, _) => result,
        };
        if result.is_err() {
            doubted.insert(&claim.definition.image);
        }
        all.push(result);
    }
    all
}
