//! Says of a chosen level what is not taken: from which version to which, why, and what differs in the scripts.

use crate::apt::BinaryPackage;
use crate::lock::Error;
use crate::lock::blocked::BlockReason;
use crate::lock::blocked::BlockedPackage;
use crate::lock::blocked::BlockedScript;
use crate::lock::choice::ChosenLevel;
use crate::lock::choice::LevelTask;
use crate::lock::earlier::Settled;
use crate::lock::file::KeptBackPackage;
use crate::lock::images::LockRun;
use crate::lock::images::NeededPackage;
use crate::lock::scripts::UndecidedScript;
use crate::lock::universe::PackageCandidate;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Packages that stay, and what is known about the reason.
pub(super) struct KeptBack<'k> {
    pub(super) names: &'k BTreeSet<String>,
    /// Those that must not be taken, whatever else is chosen.
    pub(super) refused: &'k BTreeSet<String>,
    pub(super) scripts: &'k BTreeMap<String, Vec<UndecidedScript>>,
    /// Why there is no choice with the newest versions of all packages.
    pub(super) reasons: &'k [String],
}

impl LockRun<'_, '_> {
    /// Says what is not taken, and why.
    pub(super) fn tell(
        &mut self,
        task: &LevelTask<'_>,
        kept: &KeptBack<'_>,
        settled: &Settled,
        chosen: &mut ChosenLevel,
    ) -> Result<(), Error> {
        let mut newer = BTreeMap::new();
        for name in kept.names {
            newer.extend(self.newer(name, settled, &chosen.additions)?.map(|found| (name.clone(), found)));
        }
        self.read_newer(&newer);

        for (name, (candidate, platforms)) in newer {
            let stays = platforms.iter().find_map(|platform| settled.get(platform)?.get(&name)?.as_ref());
            let reason = if kept.scripts.contains_key(&name) {
                BlockReason::UndecidedEffects
            } else if kept.refused.is_empty() {
                BlockReason::NoSolution { reasons: kept.reasons.to_vec() }
            } else {
                BlockReason::StaysWith { packages: kept.refused.iter().cloned().collect() }
            };

            let scripts = kept.scripts.get(&name).map_or(&[][..], Vec::as_slice);
            let effects: BTreeSet<String> = scripts.iter().flat_map(|script| script.effects.clone()).collect();
            chosen.level.kept_back.push(KeptBackPackage {
                package: name.clone(),
                newer: candidate.package.version.to_string(),
                because: reason.title(),
                effects: effects.into_iter().collect(),
            });
            let old = stays.map(|stays| &stays.package);
            chosen.blocked.push(BlockedPackage {
                level: self.recipe(task.number),
                source: candidate.package.source.clone(),
                locked: old.map(|package| package.version.to_string()),
                newer: candidate.package.version.to_string(),
                from: candidate.from.clone(),
                platforms,
                reason,
                scripts: scripts.iter().map(|script| self.compared(script, old, &candidate.package)).collect(),
                gone: old.map_or_else(Vec::new, |old| self.past.effects_gone(old, &candidate.package)),
                source_versions: (old.and_then(source_version), source_version(&candidate.package)),
                deb: candidate.package.sha256,
                package: name,
            });
        }
        Ok(())
    }

    /// Fetches packages that are not taken: their change logs say what is missing in the image.
    pub(super) fn read_newer(&mut self, newer: &BTreeMap<String, (PackageCandidate, Vec<Platform>)>) {
        let mut needed = Vec::new();
        for (candidate, platforms) in newer.values() {
            let Some(platform) = platforms.first().copied() else { continue };
            let (from, package) = (candidate.from.as_str(), &candidate.package);
            if self.past.must_be_read(package, self.outside) {
                needed.push(NeededPackage { archives: &self.definition.archives, from, platform, package });
            }
        }
        // without it less is known about the update, which is no reason to stop the others
        if let Ok(contents) = self.outside.read(&needed) {
            self.past.learn(contents);
        }
    }

    /// Compares a script with that of the version that stays.
    fn compared(&self, script: &UndecidedScript, old: Option<&BinaryPackage>, new: &BinaryPackage) -> BlockedScript {
        let text = |package: &BinaryPackage| self.past.member(&package.sha256, &script.kind);
        BlockedScript::new(script.clone(), old.and_then(|old| Some((text(old)?, text(new)?))))
    }
}

/// Returns the version of the source package, where it differs from the package's.
fn source_version(package: &BinaryPackage) -> Option<String> {
    (package.source_version != package.version).then(|| package.source_version.to_string())
}
