//! Packages at the versions of an earlier lock, as candidates. A lock has no relations between packages: they come from
//! the signed states that it names.

use crate::lock::Error;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPocket;
use crate::lock::images::LockRun;
use crate::lock::images::OpenArchive;
use crate::lock::images::universe;
use crate::lock::universe::KeptVersions;
use crate::lock::universe::PackageCandidate;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Packages at the versions of an earlier lock.
pub(super) type LockedCandidates = BTreeMap<Platform, BTreeMap<String, PackageCandidate>>;

/// Settled versions on each platform.
pub(super) type Settled = BTreeMap<Platform, KeptVersions>;

impl LockRun<'_, '_> {
    /// Returns the packages of a locked level as signed states list them: today's, or those that the lock names. Those
    /// that no state lists are left out. Remembers the states.
    pub(super) fn locked(&mut self, level: &LockedLevel, lock: &Lock) -> Result<LockedCandidates, Error> {
        let mut all = LockedCandidates::new();
        let mut states: BTreeMap<Digest, Vec<(String, OpenArchive)>> = BTreeMap::new();
        for (platform, packages) in &level.packages {
            let Some(today) = self.universes.get(platform) else { continue };
            all.entry(*platform).or_default();
            for package in packages {
                let mut found = today.listed(package)?;
                if found.is_none() {
                    // a package may have moved to another pocket
                    let same = |candidate: &&PackageCandidate| candidate.package.sha256 == package.sha256;
                    found = today.versions(&package.name)?.iter().find(same).cloned();
                }
                if found.is_none()
                    && let Some(state) = lock.state(package)
                {
                    let opened = match states.remove(&state.inrelease) {
                        Some(opened) => opened,
                        None => self.opened_past(state)?.into_iter().collect(),
                    };
                    found = universe(&opened, *platform).listed(package)?;
                    states.insert(state.inrelease, opened);
                    if found.is_some() {
                        self.kept_states.insert(package.sha256, state.clone());
                    }
                }
                all.entry(*platform).or_default().extend(found.map(|found| (package.name.clone(), found)));
            }
        }
        Ok(all)
    }

    /// Opens a state that a lock names.
    fn opened_past(&self, state: &LockedPocket) -> Result<Option<(String, OpenArchive)>, Error> {
        let archive = self.definition.archives.iter().find(|archive| archive.name == state.archive);
        let Some(archive) = archive else { return Ok(None) };
        let architectures = self.definition.platforms.iter().map(|platform| platform.architecture()).collect();
        match self.outside.past(archive, &architectures, state) {
            Ok(opened) => Ok(opened.map(|opened| (archive.name.clone(), opened))),
            // for a new lock the state is one of several ways out; a proof needs it
            Err(_) if self.claim.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns what is settled: `kept` packages at their locked versions, and nothing of the names in `refused` that have
/// none.
pub(super) fn settled(locked: &LockedCandidates, kept: &BTreeSet<String>, refused: &BTreeSet<String>) -> Settled {
    let mut settled = Settled::new();
    for (platform, candidates) in locked {
        let versions = settled.entry(*platform).or_default();
        for name in kept.union(refused) {
            match candidates.get(name).filter(|_| kept.contains(name)) {
                Some(candidate) => _ = versions.insert(name.clone(), Some(candidate.clone())),
                None if refused.contains(name) => _ = versions.insert(name.clone(), None),
                None => (),
            }
        }
    }
    settled
}

/// Tells whether a package has a locked version.
pub(super) fn has(locked: &LockedCandidates, name: &str) -> bool {
    locked.values().any(|candidates| candidates.contains_key(name))
}
