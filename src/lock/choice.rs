//! Chooses the packages of one level: the newest, and where some of them cannot be taken, everything else.
//!
//! A package cannot be taken when its scripts have effects that nobody has decided about, or when there is no choice of
//! packages with it. It stays at the version of the earlier lock then, and with it what needs to stay with it. The earlier
//! lock names packages only; their relations come from the signed states that it names.

use crate::lock::Error;
use crate::lock::blocked::BlockedPackage;
use crate::lock::earlier::LockedCandidates;
use crate::lock::earlier::Settled;
use crate::lock::earlier::has;
use crate::lock::earlier::settled;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::images::LockRun;
use crate::lock::resolve::Held;
use crate::lock::resolve::LevelAddition;
use crate::lock::resolve::LevelRequest;
use crate::lock::resolve::PlatformChoice;
use crate::lock::resolve::resolve_level;
use crate::lock::scripts::UndecidedScript;
use crate::lock::search::KeptSearch;
use crate::lock::told::KeptBack;
use crate::lock::universe::CandidatePolicy;
use crate::lock::universe::KeptVersions;
use crate::lock::universe::PackageCandidate;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most rounds in which other packages turn out to have undecided scripts: each comes in only because of the one before.
const MOST_ROUNDS: usize = 8;

/// A level that is chosen.
pub(super) struct LevelTask<'t> {
    /// Its number, from the root.
    pub(super) number: usize,
    /// Packages of the levels below.
    pub(super) held: &'t BTreeMap<Platform, Held>,
    /// What it asks for.
    pub(super) requests: &'t BTreeMap<Platform, LevelRequest>,
}

/// What is chosen for a level.
pub(super) struct ChosenLevel {
    pub(super) additions: BTreeMap<Platform, LevelAddition>,
    pub(super) level: LockedLevel,
    pub(super) warnings: Vec<String>,
    /// Scripts that nobody has decided about.
    pub(super) undecided: Vec<UndecidedScript>,
    /// Updates that are not taken.
    pub(super) blocked: Vec<BlockedPackage>,
}

impl LockRun<'_, '_> {
    /// Chooses the packages of a level.
    pub(super) fn choose(&mut self, task: &LevelTask<'_>) -> Result<ChosenLevel, Error> {
        if let Some(claim) = self.claim {
            return self.as_claimed(task, claim);
        }

        let free = self.attempt(task, &Settled::new());
        match &free {
            Ok(chosen) if chosen.undecided.is_empty() => return free,
            Ok(_) | Err(Error::Unresolvable { .. }) => (),
            Err(_) => return free,
        }
        let Some(earlier) = self.images.previous.get(&self.definition.image) else { return free };
        match self.around(task, earlier, &free) {
            Ok(Some(chosen)) => Ok(chosen),
            // what is wrong with the newest versions is what people must hear
            Ok(None) | Err(Error::Effort { .. }) => free,
            Err(error) => Err(error),
        }
    }

    pub(super) fn solve(
        &self,
        task: &LevelTask<'_>,
        settled: &Settled,
    ) -> Result<(BTreeMap<Platform, LevelAddition>, Vec<String>), Error> {
        let nothing = KeptVersions::new();
        let mut choices = BTreeMap::new();
        for platform in &self.definition.platforms {
            let (universe, held) = (&self.universes[platform], &task.held[platform]);
            let (request, kept) = (&task.requests[platform], settled.get(platform).unwrap_or(&nothing));
            choices.insert(*platform, PlatformChoice { universe, held, request, kept });
        }
        resolve_level(&choices, &CandidatePolicy::default())
    }

    /// Chooses packages, and reads their scripts.
    pub(super) fn attempt(&mut self, task: &LevelTask<'_>, settled: &Settled) -> Result<ChosenLevel, Error> {
        let (additions, warnings) = self.solve(task, settled)?;
        let (level, undecided) = self.level(task.number, &additions)?;
        Ok(ChosenLevel { additions, level, warnings, undecided, blocked: Vec::new() })
    }

    /// Returns packages that need not stay: those of a source without which there is a choice as well. Packages of
    /// `undecided` must stay.
    pub(super) fn needless(
        &self,
        task: &LevelTask<'_>,
        locked: &LockedCandidates,
        kept: &BTreeSet<String>,
        undecided: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for name in kept.difference(undecided) {
            match locked.values().find_map(|known| known.get(name)) {
                Some(candidate) => _ = groups.entry(&candidate.package.source).or_default().insert(name.clone()),
                // only an effect can be in the way of what was never there
                None => return Ok(BTreeSet::from([name.clone()])),
            }
        }
        for group in groups.into_values() {
            let fewer = kept.difference(&group).cloned().collect();
            match self.solve(task, &settled(locked, &fewer, undecided)) {
                Ok(_) => return Ok(group),
                Err(Error::Unresolvable { .. }) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(BTreeSet::new())
    }

    /// Chooses packages around those that cannot be taken; none when that is not possible.
    fn around(
        &mut self,
        task: &LevelTask<'_>,
        earlier: &Lock,
        free: &Result<ChosenLevel, Error>,
    ) -> Result<Option<ChosenLevel>, Error> {
        let recipe = self.recipe(task.number);
        let Some(known) = earlier.levels.iter().find(|level| level.recipe == recipe) else { return Ok(None) };
        let locked = self.locked(known, earlier)?;

        let mut scripts = BTreeMap::new();
        let mut familiar: BTreeSet<String> = locked.values().flat_map(BTreeMap::keys).cloned().collect();
        let reasons = match free {
            Ok(chosen) => {
                by_package(&chosen.undecided, &mut scripts);
                familiar.extend(names(&chosen.additions));
                &[][..]
            }
            Err(Error::Unresolvable { reasons, .. }) => reasons,
            Err(_) => return Ok(None),
        };

        for _ in 0..MOST_ROUNDS {
            let refused: BTreeSet<String> = scripts.keys().cloned().collect();
            let Some(kept) = self.smallest(task, &locked, &refused)? else { return Ok(None) };
            let Some((kept, settled)) = self.settle(task, &locked, &refused, kept)? else { return Ok(None) };
            let mut chosen = self.attempt(task, &settled)?;

            // a second choice in place of a package that was never decided about would decide without a person
            let strange = names(&chosen.additions).any(|name| !familiar.contains(&name));
            if strange && free.is_ok() && refused.iter().any(|name| !has(&locked, name)) {
                return Ok(None);
            }
            if chosen.undecided.is_empty() {
                let names: BTreeSet<String> = kept.union(&refused).cloned().collect();
                let kept = KeptBack { names: &names, refused: &refused, scripts: &scripts, reasons };
                self.tell(task, &kept, &settled, &mut chosen)?;
                return Ok(Some(chosen));
            }
            // what is undecided in the version that stays, no choice of packages can mend
            if chosen.undecided.iter().flat_map(|script| &script.packages).all(|name| scripts.contains_key(name)) {
                return Ok(None);
            }
            by_package(&chosen.undecided, &mut scripts);
        }
        Ok(None)
    }

    /// Finds the packages that stay, so that none of `refused` is taken.
    fn smallest(
        &self,
        task: &LevelTask<'_>,
        locked: &LockedCandidates,
        refused: &BTreeSet<String>,
    ) -> Result<Option<BTreeSet<String>>, Error> {
        let all = locked.values().flatten();
        let sources: BTreeMap<String, String> =
            all.map(|(name, candidate)| (name.clone(), candidate.package.source.clone())).collect();
        let needs = |name: &str| self.relates_to(name);
        let mut has_choice = |kept: &BTreeSet<String>| match self.solve(task, &settled(locked, kept, refused)) {
            Ok(_) => Ok(true),
            Err(Error::Unresolvable { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        KeptSearch::new(&sources, &needs, &mut has_choice).smallest(refused)
    }

    /// Returns the names that the newest version of a package relates to.
    fn relates_to(&self, name: &str) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        for universe in self.universes.values() {
            if let Some(candidate) = universe.candidate(name, &CandidatePolicy::default())? {
                names.extend(candidate.package.depends.into_iter().flatten().map(|relation| relation.name));
            }
        }
        Ok(names)
    }

    /// Leaves only those packages settled that really stay behind, so that the lock names no others, and everybody who
    /// reads it chooses the same.
    fn settle(
        &self,
        task: &LevelTask<'_>,
        locked: &LockedCandidates,
        refused: &BTreeSet<String>,
        mut kept: BTreeSet<String>,
    ) -> Result<Option<(BTreeSet<String>, Settled)>, Error> {
        loop {
            let settled = settled(locked, &kept, refused);
            let additions = match self.solve(task, &settled) {
                Ok((additions, _)) => additions,
                Err(Error::Unresolvable { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut behind = BTreeSet::new();
            for name in &kept {
                if names(&additions).any(|chosen| chosen == *name) && self.newer(name, &settled, &additions)?.is_some()
                {
                    behind.insert(name.clone());
                }
            }
            // whoever proves the lock asks the same
            let needless = self.needless(task, locked, &behind, refused)?;
            if behind == kept && needless.is_empty() {
                return Ok(Some((kept, settled)));
            }
            kept = behind.difference(&needless).cloned().collect();
        }
    }

    /// Returns the newest version of a package that is not taken, and the platforms for which that holds.
    pub(super) fn newer(
        &self,
        name: &str,
        settled: &Settled,
        additions: &BTreeMap<Platform, LevelAddition>,
    ) -> Result<Option<(PackageCandidate, Vec<Platform>)>, Error> {
        let mut newest: Option<PackageCandidate> = None;
        let mut platforms = Vec::new();
        for (platform, kept) in settled {
            let Some(kept) = kept.get(name) else { continue };
            let today = self.universes[platform].candidate(name, &CandidatePolicy::default())?;
            let Some(today) = today else { continue };
            let is_behind = match kept {
                Some(kept) => {
                    let chosen = additions.get(platform).and_then(|addition| addition.packages.get(name));
                    chosen.is_some_and(|chosen| chosen.candidate.package.sha256 == kept.package.sha256)
                        && kept.package.sha256 != today.package.sha256
                }
                None => true,
            };
            if is_behind {
                platforms.push(*platform);
                let is_newer = |known: &PackageCandidate| known.package.version < today.package.version;
                if newest.as_ref().is_none_or(is_newer) {
                    newest = Some(today);
                }
            }
        }
        Ok(newest.map(|newest| (newest, platforms)))
    }

    /// Returns the recipe of a level.
    pub(super) fn recipe(&self, number: usize) -> String {
        let platform = self.definition.platforms.first().copied();
        let levels = platform.map_or(&[][..], |platform| self.definition.levels_for(platform));
        levels.get(number).map(|level| level.recipe.clone()).unwrap_or_default()
    }
}

/// Sorts scripts by package.
fn by_package(scripts: &[UndecidedScript], all: &mut BTreeMap<String, Vec<UndecidedScript>>) {
    for script in scripts {
        for name in &script.packages {
            let own = all.entry(name.clone()).or_default();
            if !own.iter().any(|known| known.sha256 == script.sha256 && known.kind == script.kind) {
                own.push(UndecidedScript { packages: vec![name.clone()], ..script.clone() });
            }
        }
    }
}

/// Returns the names of all chosen packages.
fn names(additions: &BTreeMap<Platform, LevelAddition>) -> impl Iterator<Item = String> {
    additions.values().flat_map(|addition| addition.packages.keys().cloned())
}
