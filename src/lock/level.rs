//! Chosen packages to a locked level and back: layer plan, digests, script decisions, what earlier locks know already.

use crate::apt::BinaryPackage;
use crate::apt::MultiArch;
use crate::apt::Priority;
use crate::apt::version::DebianVersion;
use crate::lock::Error;
use crate::lock::file::ExcludedPackage;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedScript;
use crate::lock::images::ArchiveAccess;
use crate::lock::images::PackageContent;
use crate::lock::layers::plan;
use crate::lock::resolve::Held;
use crate::lock::resolve::LevelAddition;
use crate::lock::resolve::LevelChoice;
use crate::lock::scripts::KINDS;
use crate::lock::scripts::MaintainerScript;
use crate::lock::scripts::UndecidedScript;
use crate::lock::scripts::decision;
use crate::lock::scripts::review;
use crate::lock::universe::PackageCandidate;
use crate::lock::universe::Universe;
use crate::recipe::LevelDefinition;
use crate::recipe::ScriptLedger;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What is known about packages by the digest of their `.deb`: from earlier locks, and from what was read in this run.
pub(crate) struct EarlierLocks<'a> {
    ledger: &'a ScriptLedger,
    sha512: BTreeMap<Digest, String>,
    /// Package and script kinds with digests, of packages that an earlier lock had.
    scripts: BTreeMap<Digest, Vec<(String, Digest)>>,
    read: BTreeMap<Digest, PackageContent>,
}

impl<'a> EarlierLocks<'a> {
    pub(crate) fn new(previous: &BTreeMap<String, Lock>, ledger: &'a ScriptLedger) -> Self {
        let mut past = Self { ledger, sha512: BTreeMap::new(), scripts: BTreeMap::new(), read: BTreeMap::new() };
        for level in previous.values().flat_map(|lock| &lock.levels) {
            for package in level.packages.values().flatten() {
                // scripts of one package may differ between architectures, and the lock lists them together
                let all = level.scripts.iter().filter(|script| script.package == package.name);
                past.sha512.insert(package.sha256, package.sha512.clone());
                past.scripts.insert(package.sha256, all.map(|s| (s.script.clone(), s.sha256)).collect());
            }
        }
        past
    }

    /// Tells whether the package itself must be looked at: it is new, or the ledger dropped a decision about it, or it is
    /// at hand. Earlier locks are believed only where a download is saved, until the new lock is proven.
    pub(crate) fn must_be_read(&self, package: &BinaryPackage, outside: &dyn ArchiveAccess) -> bool {
        if self.read.contains_key(&package.sha256) {
            return false;
        }
        if outside.is_at_hand(package) {
            return true;
        }
        let scripts = self.scripts.get(&package.sha256);
        scripts.is_none_or(|scripts| scripts.iter().any(|(_, digest)| self.ledger.entry(digest).is_none()))
    }

    /// Takes what was read.
    pub(crate) fn learn(&mut self, contents: BTreeMap<Digest, PackageContent>) {
        self.read.extend(contents);
    }

    fn sha512(&self, package: &BinaryPackage) -> String {
        let read = self.read.get(&package.sha256).map(|content| content.sha512.clone());
        let known = read.or_else(|| self.sha512.get(&package.sha256).cloned());
        known.or_else(|| package.sha512.clone()).unwrap_or_default()
    }

    fn decide(&self, digest: &Digest) -> Option<String> {
        decision(self.ledger, digest)
    }
}

/// Makes the locked form of a level, and lists the scripts that nobody has decided about.
pub(crate) fn to_locked(
    level: &LevelDefinition,
    additions: &BTreeMap<Platform, LevelAddition>,
    previous: &[Vec<String>],
    past: &EarlierLocks<'_>,
) -> (LockedLevel, Vec<UndecidedScript>) {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut packages: BTreeMap<Platform, Vec<LockedPackage>> = BTreeMap::new();
    let mut excluded: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut scripts = BTreeSet::new();
    let mut read = Vec::new();
    for (platform, addition) in additions {
        let mut here: BTreeMap<String, u64> = BTreeMap::new();
        for choice in addition.packages.values() {
            let package = &choice.candidate.package;
            *here.entry(package.source.clone()).or_default() += package.installed_kib;
            collect_scripts(package, past, &mut scripts, &mut read);
        }
        // one plan for all platforms: the larger size counts
        for (source, size) in here {
            let known = sizes.entry(source).or_default();
            *known = size.max(*known);
        }
        packages.insert(*platform, addition.packages.values().map(|choice| locked(choice, past)).collect());
        for ExcludedPackage { name, reason, wanted_by } in &addition.excluded {
            let entry = excluded.entry(name.clone()).or_insert_with(|| (reason.clone(), BTreeSet::new()));
            entry.1.extend(wanted_by.iter().cloned());
        }
    }
    let reviewed = review(&read, &|_, _, digest| past.decide(digest));
    scripts.extend(reviewed.known);
    let record = |(name, (reason, by)): (String, (String, BTreeSet<String>))| ExcludedPackage {
        name,
        reason,
        wanted_by: by.into_iter().collect(),
    };
    let locked = LockedLevel {
        recipe: level.recipe.clone(),
        layers: plan(&sizes, level.layers, previous),
        packages,
        excluded: excluded.into_iter().map(record).collect(),
        scripts: scripts.into_iter().collect(),
    };
    (locked, reviewed.unknown)
}

/// Scripts of a package: read in this run, else as the earlier lock lists them with the ledger's decision of today.
fn collect_scripts(
    package: &BinaryPackage,
    past: &EarlierLocks<'_>,
    known: &mut BTreeSet<LockedScript>,
    read: &mut Vec<MaintainerScript>,
) {
    if let Some(content) = past.read.get(&package.sha256) {
        for kind in KINDS {
            if let Some(bytes) = content.members.get(kind) {
                read.push(MaintainerScript {
                    package: package.name.clone(),
                    kind: kind.to_owned(),
                    bytes: bytes.to_vec(),
                });
            }
        }
        return;
    }
    for (kind, sha256) in past.scripts.get(&package.sha256).into_iter().flatten() {
        let decision = past.decide(sha256).unwrap_or_default();
        known.insert(LockedScript { package: package.name.clone(), script: kind.clone(), sha256: *sha256, decision });
    }
}

fn locked(choice: &LevelChoice, past: &EarlierLocks<'_>) -> LockedPackage {
    let PackageCandidate { package, from, component } = &choice.candidate;
    let differs = package.source_version.as_str() != package.version.as_str();
    LockedPackage {
        name: package.name.clone(),
        version: package.version.to_string(),
        architecture: package.architecture.clone(),
        source: package.source.clone(),
        source_version: differs.then(|| package.source_version.to_string()),
        from: from.clone(),
        component: component.clone(),
        path: package.filename.clone(),
        size: package.size,
        sha256: package.sha256,
        sha512: past.sha512(package),
        why: choice.why.clone(),
        phased: package.phased.filter(|percent| *percent != 100),
        state: None,
    }
}

/// Adds the packages of a level that is locked already to what stands below.
///
/// Their relations come from the archive: from that very version, else (it was superseded meanwhile) from the newest one.
///
/// # Errors
/// When an index cannot be read.
pub(crate) fn take_over(
    held: &mut Held,
    recipe: &str,
    packages: &[LockedPackage],
    universe: &Universe<'_>,
) -> Result<(), Error> {
    for locked in packages {
        let versions = universe.versions(&locked.name)?;
        let exact = versions.iter().find(|candidate| candidate.package.version.as_str() == locked.version);
        let mut package =
            exact.or(versions.first()).map_or_else(|| bare(locked), |candidate| candidate.package.clone());
        package.version = DebianVersion::new(&locked.version);
        package.sha256 = locked.sha256;
        let candidate = PackageCandidate { package, from: locked.from.clone(), component: locked.component.clone() };
        held.insert(locked.name.clone(), (recipe.to_owned(), candidate));
    }
    Ok(())
}

/// A package that no archive has any more: what the lock knows about it.
fn bare(locked: &LockedPackage) -> BinaryPackage {
    let source_version = locked.source_version.as_deref().unwrap_or(&locked.version);
    BinaryPackage {
        name: locked.name.clone(),
        version: DebianVersion::new(&locked.version),
        architecture: locked.architecture.clone(),
        source: locked.source.clone(),
        source_version: DebianVersion::new(source_version),
        priority: Priority::Optional,
        essential: false,
        multi_arch: MultiArch::No,
        depends: Vec::new(),
        recommends: Vec::new(),
        conflicts: Vec::new(),
        provides: Vec::new(),
        replaces: Vec::new(),
        filename: locked.path.clone(),
        size: locked.size,
        installed_kib: 0,
        sha256: locked.sha256,
        sha512: Some(locked.sha512.clone()),
        phased: locked.phased,
    }
}
