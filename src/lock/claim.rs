//! Chooses a level again for a proof: what its lock keeps back stays, if something is in the way.

use crate::lock::Error;
use crate::lock::choice::ChosenLevel;
use crate::lock::choice::LevelTask;
use crate::lock::earlier::Settled;
use crate::lock::earlier::settled;
use crate::lock::file::KeptBackPackage;
use crate::lock::file::Lock;
use crate::lock::file::LockedPackage;
use crate::lock::images::LockRun;
use crate::lock::universe::PackageCandidate;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

impl LockRun<'_, '_> {
    /// Chooses packages while those stay that a lock says are kept back, and checks that something is in the way of each.
    /// What the archives have instead is said as the signed indexes say it.
    pub(super) fn as_claimed(&mut self, task: &LevelTask<'_>, claim: &Lock) -> Result<ChosenLevel, Error> {
        let recipe = self.recipe(task.number);
        let claimed = claim.levels.iter().find(|level| level.recipe == recipe);
        let Some(claimed) = claimed.filter(|level| !level.kept_back.is_empty()) else {
            return self.attempt(task, &Settled::new());
        };

        let names: BTreeSet<String> = claimed.kept_back.iter().map(|kept| kept.package.clone()).collect();
        let mut wanted = claimed.clone();
        wanted.packages.values_mut().for_each(|packages| packages.retain(|package| names.contains(&package.name)));
        let locked = self.locked(&wanted, claim)?;
        for (platform, packages) in &wanted.packages {
            let known = locked.get(platform);
            let is_lost = |package: &&LockedPackage| !known.is_some_and(|known| known.contains_key(&package.name));
            if let Some(LockedPackage { name, version, from, .. }) = packages.iter().find(is_lost) {
                let cause = format!("nobody has the locked state of `{from}` that lists {version}");
                return Err(Error::KeptBack { recipe, package: name.clone(), cause });
            }
        }

        let settled = settled(&locked, &names, &names);
        let mut chosen = self.attempt(task, &settled)?;
        let (mut stay, mut undecided) = (BTreeSet::new(), BTreeSet::new());
        for kept in &claimed.kept_back {
            let Some((newer, platforms)) = self.newer(&kept.package, &settled, &chosen.additions)? else { continue };
            stay.insert(kept.package.clone());
            if !kept.effects.is_empty() && self.may_be_undecided(&newer, &platforms) {
                undecided.insert(kept.package.clone());
            }
            let newer = newer.package.version.to_string();
            chosen.level.kept_back.push(KeptBackPackage { newer, ..kept.clone() });
        }
        if let Some(package) = self.needless(task, &locked, &stay, &undecided)?.into_iter().next() {
            return Err(Error::KeptBack {
                recipe,
                package,
                cause: "nothing is in the way of its newest version".to_owned(),
            });
        }
        Ok(chosen)
    }

    /// Tells whether scripts of a package have effects that nobody has decided about. Where nobody has the package, it
    /// may be so.
    fn may_be_undecided(&mut self, candidate: &PackageCandidate, platforms: &[Platform]) -> bool {
        let newer = BTreeMap::from([(candidate.package.name.clone(), (candidate.clone(), platforms.to_vec()))]);
        self.read_newer(&newer);
        self.past.is_undecided(&candidate.package).unwrap_or(true)
    }
}
