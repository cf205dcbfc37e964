//! Turns chosen packages into a locked level and back: layer plan, digests, script decisions, and what earlier locks
//! know.

use crate::apt::BinaryPackage;
use crate::apt::MultiArch;
use crate::apt::Priority;
use crate::apt::version::DebianVersion;
use crate::lock::Error;
use crate::lock::file::BY_EFFECTS;
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
use crate::lock::scripts::ScriptReview;
use crate::lock::scripts::UndecidedScript;
use crate::lock::scripts::decision;
use crate::lock::universe::PackageCandidate;
use crate::lock::universe::Universe;
use crate::recipe::LevelDefinition;
use crate::recipe::ScriptLedger;
use crate::scripts::READER;
use crate::scripts::effects_of;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Knowledge about packages by the digest of their `.deb`, from earlier locks and from packages read in this run.
pub(crate) struct EarlierLocks<'a> {
    ledger: &'a ScriptLedger,
    sha512: BTreeMap<Digest, String>,
    /// Scripts and effects of packages in earlier locks.
    scripts: BTreeMap<Digest, EarlierScripts>,
    read: BTreeMap<Digest, PackageContent>,
}

/// What an earlier lock says about the scripts of a package.
#[derive(Default)]
struct EarlierScripts {
    scripts: Vec<LockedScript>,
    effects: Vec<String>,
}

impl<'a> EarlierLocks<'a> {
    pub(crate) fn new(previous: &BTreeMap<String, Lock>, ledger: &'a ScriptLedger) -> Self {
        let mut past = Self { ledger, sha512: BTreeMap::new(), scripts: BTreeMap::new(), read: BTreeMap::new() };
        for level in previous.values().flat_map(|lock| &lock.levels) {
            for package in level.packages.values().flatten() {
                // scripts of one package may differ between architectures, and the lock lists them together
                let scripts = level.scripts.iter().filter(|script| script.package == package.name);
                let decided = level.effects.iter().filter(|decided| decided.package == package.name);
                past.sha512.insert(package.sha256, package.sha512.clone());

                // another version of the reader may find other effects
                let is_current = level.reader.is_none_or(|reader| reader == READER);
                if is_current {
                    let effects = decided.flat_map(|decided| decided.effects.iter().cloned()).collect();
                    past.scripts
                        .insert(package.sha256, EarlierScripts { scripts: scripts.cloned().collect(), effects });
                }
            }
        }
        past
    }

    /// Tells whether the package itself must be read: it is new, the ledger dropped a decision about it, or reading
    /// it costs no download. Earlier locks are believed only to save a download, until the new lock is proven.
    pub(crate) fn must_be_read(&self, package: &BinaryPackage, outside: &dyn ArchiveAccess) -> bool {
        if self.read.contains_key(&package.sha256) {
            return false;
        }
        if outside.is_at_hand(package) {
            return true;
        }

        self.scripts.get(&package.sha256).is_none_or(|known| !self.decides(&package.name, known))
    }

    /// Tells whether the ledger decides about all that an earlier lock says of a package.
    fn decides(&self, package: &str, known: &EarlierScripts) -> bool {
        // whole or by effects, as before: a script that is decided the other way now has other effects in its lock
        let is_known =
            |script: &LockedScript| (script.decision == BY_EFFECTS) != self.ledger.entry(&script.sha256).is_some();
        known.scripts.iter().all(is_known)
            && known.effects.iter().all(|effect| self.ledger.rule(package, effect).is_some())
    }

    /// Adds packages that were read.
    pub(crate) fn learn(&mut self, contents: BTreeMap<Digest, PackageContent>) {
        self.read.extend(contents);
    }

    /// Returns a control file of a package that was read in this run.
    pub(crate) fn member(&self, deb: &Digest, name: &str) -> Option<&[u8]> {
        self.read.get(deb)?.members.get(name)
    }

    /// Tells whether a package that was read in this run has scripts that nobody has decided about.
    pub(crate) fn is_undecided(&self, package: &BinaryPackage) -> Option<bool> {
        let mut review = ScriptReview::default();
        review.add(&package.name, &self.read.get(&package.sha256)?.members, self.ledger);
        Some(!review.unknown.is_empty())
    }

    /// Returns all effects of a package that was read in this run, or that an earlier lock knows.
    fn effects(&self, package: &BinaryPackage) -> Option<BTreeSet<String>> {
        if let Some(content) = self.read.get(&package.sha256) {
            let effects = effects_of(&package.name, &|name| content.members.get(name));
            return Some(effects.into_values().flatten().map(|effect| effect.to_string()).collect());
        }
        let known = self.scripts.get(&package.sha256)?;
        Some(known.effects.iter().cloned().collect())
    }

    /// Returns the effects that a newer version of a package does not have any more, where both are known.
    pub(crate) fn effects_gone(&self, old: &BinaryPackage, new: &BinaryPackage) -> Vec<String> {
        match (self.effects(old), self.effects(new)) {
            (Some(old), Some(new)) => old.difference(&new).cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn sha512(&self, package: &BinaryPackage) -> String {
        let read = self.read.get(&package.sha256).map(|content| content.sha512.clone());
        let known = read.or_else(|| self.sha512.get(&package.sha256).cloned());
        known.or_else(|| package.sha512.clone()).unwrap_or_default()
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
    // one review for all platforms, so that each undecided script is asked about once
    let mut review = ScriptReview::default();

    for (platform, addition) in additions {
        let mut here: BTreeMap<String, u64> = BTreeMap::new();
        for choice in addition.packages.values() {
            let package = &choice.candidate.package;
            *here.entry(package.source.clone()).or_default() += package.installed_kib;
            collect_scripts(package, past, &mut review);
        }

        // one plan for all platforms, or a package would lie in another layer on each: the larger size counts
        for (source, size) in here {
            let known = sizes.entry(source).or_default();
            *known = size.max(*known);
        }
        packages.insert(*platform, addition.packages.values().map(|choice| locked(choice, past)).collect());

        // platforms drop mostly the same dependencies, which are listed together
        for ExcludedPackage { name, reason, wanted_by } in &addition.excluded {
            let entry = excluded.entry(name.clone()).or_insert_with(|| (reason.clone(), BTreeSet::new()));
            entry.1.extend(wanted_by.iter().cloned());
        }
    }

    let effects = review.effects.into_locked();
    let locked = LockedLevel {
        recipe: level.recipe.clone(),
        layers: plan(&sizes, level.layers, previous),
        packages,
        excluded: excluded
            .into_iter()
            .map(|(name, (reason, by))| ExcludedPackage { name, reason, wanted_by: by.into_iter().collect() })
            .collect(),
        reader: review.known.iter().any(|script| script.decision == BY_EFFECTS).then_some(READER),
        scripts: review.known.into_iter().collect(),
        effects,
        kept_back: Vec::new(),
    };

    let mut unknown: Vec<UndecidedScript> = review.unknown.into_values().collect();
    unknown.sort_by(|a, b| (&a.packages, &a.kind, a.sha256).cmp(&(&b.packages, &b.kind, b.sha256)));
    (locked, unknown)
}

/// Reviews the scripts of a package: from the package if it was read in this run, else from the earlier lock, with the
/// ledger's current decisions.
fn collect_scripts(package: &BinaryPackage, past: &EarlierLocks<'_>, review: &mut ScriptReview) {
    let name = &package.name;
    if let Some(content) = past.read.get(&package.sha256) {
        review.add(name, &content.members, past.ledger);
        return;
    }

    // `must_be_read` has made sure that the ledger decides about all of it
    let Some(known) = past.scripts.get(&package.sha256) else { return };
    for script in &known.scripts {
        let decision = decision(past.ledger, &script.sha256).unwrap_or_else(|| BY_EFFECTS.to_owned());
        review.known.insert(LockedScript { decision, ..script.clone() });
    }
    for effect in &known.effects {
        review.effects.decide(past.ledger, name, effect);
    }
}

/// Returns a chosen package as locks write it.
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
        // a package of this lock's own levels is always in the newest state
        state: None,
    }
}

/// Adds the packages of a locked level to those that are installed below.
///
/// Locks have no relations between packages; they come from the archive's entry for that version, or for the newest
/// one if the version was superseded.
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
        // relations rarely change within a release, so the newest entry is the best guess
        let mut package =
            exact.or(versions.first()).map_or_else(|| bare(locked), |candidate| candidate.package.clone());

        // whatever the relations came from, it is the locked package that is installed
        package.version = DebianVersion::new(&locked.version);
        package.sha256 = locked.sha256;
        let candidate = PackageCandidate { package, from: locked.from.clone(), component: locked.component.clone() };
        held.insert(locked.name.clone(), (recipe.to_owned(), candidate));
    }
    Ok(())
}

/// Returns what the lock knows about a package that no archive has any more.
fn bare(locked: &LockedPackage) -> BinaryPackage {
    let source_version = locked.source_version.as_deref().unwrap_or(&locked.version);
    BinaryPackage {
        name: locked.name.clone(),
        version: DebianVersion::new(&locked.version),
        architecture: locked.architecture.clone(),
        source: locked.source.clone(),
        source_version: DebianVersion::new(source_version),
        // no lock has relations: nothing is demanded of the levels above, as if its dependencies were complete
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
