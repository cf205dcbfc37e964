//! Locks images, parents first: opens each archive once, resolves level by level, reads the scripts of what is new.

use crate::apt::BinaryPackage;
use crate::apt::deb::ControlFiles;
use crate::apt::index::PackageIndex;
use crate::apt::relation::Relation;
use crate::lock::Error;
use crate::lock::diff::LockDifference;
use crate::lock::diff::diff;
use crate::lock::file::FIRST_REVISION;
use crate::lock::file::FORMAT;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPocket;
use crate::lock::level::EarlierLocks;
use crate::lock::level::take_over;
use crate::lock::level::to_locked;
use crate::lock::resolve::Held;
use crate::lock::resolve::LevelAddition;
use crate::lock::resolve::LevelRequest;
use crate::lock::resolve::PlatformChoice;
use crate::lock::resolve::resolve_level;
use crate::lock::scripts::UndecidedScript;
use crate::lock::universe::CandidateOrigin;
use crate::lock::universe::CandidatePolicy;
use crate::lock::universe::Universe;
use crate::lock::verify::identity;
use crate::recipe::ArchiveDefinition;
use crate::recipe::ImageDefinition;
use crate::recipe::LevelDefinition;
use crate::recipe::ScriptLedger;
use crate::values::Architecture;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Archives and packages, as the network (or a test) has them.
pub trait ArchiveAccess {
    /// Opens all pockets of some archives for some architectures: verified and complete. Returns one a definition. `locked`
    /// are the states that locks name: what is new must not be older than they are, and what proves a lock is them.
    ///
    /// # Errors
    /// Whatever stands against trusting them.
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
        locked: &[LockedPocket],
    ) -> Result<Vec<OpenArchive>, Error>;

    /// Tells whether a package can be read without fetching it.
    fn is_at_hand(&self, package: &BinaryPackage) -> bool;

    /// Fetches packages and reads their control members; each `.deb` is verified against its digest first.
    ///
    /// # Errors
    /// When one cannot be had, or is not what the index says.
    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, Error>;
}

/// An opened archive.
pub struct OpenArchive {
    /// State of every pocket, in the recipe's order.
    pub pockets: Vec<LockedPocket>,
    /// Its indexes.
    pub indexes: Vec<OpenIndex>,
    /// What should be looked at: age, weak keys.
    pub warnings: Vec<String>,
}

/// One component of a pocket for one architecture.
pub struct OpenIndex {
    /// Pocket name.
    pub pocket: String,
    /// Component.
    pub component: String,
    /// Debian architecture, or `all`.
    pub architecture: String,
    /// Its packages.
    pub index: PackageIndex,
}

/// A package that must be read because no earlier lock knows it.
pub struct NeededPackage<'a> {
    /// The archives of the image, to find its addresses by [`Self::from`].
    pub archives: &'a [ArchiveDefinition],
    /// Archive and pocket, `ubuntu/security`.
    pub from: &'a str,
    /// Platform that it is for.
    pub platform: Platform,
    /// The package as the index describes it.
    pub package: &'a BinaryPackage,
}

/// What is in a package besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageContent {
    /// SHA-512 of the `.deb`, 128 hexadecimal digits.
    pub sha512: String,
    /// Files of the control archive.
    pub members: ControlFiles,
}

/// What to lock, and what is known already.
#[derive(Clone, Copy)]
pub struct LockInput<'a> {
    /// Images, parents before children.
    pub definitions: &'a [ImageDefinition],
    /// Locks of last time, by image; also of images that are not locked now.
    pub previous: &'a BTreeMap<String, Lock>,
    /// Decisions about maintainer scripts.
    pub ledger: &'a ScriptLedger,
    /// Engine format version.
    pub engine: u32,
}

/// What came of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOutcome {
    /// Image name.
    pub image: String,
    /// The lock to use from now on; the old one, with its dates, when nothing that matters changed.
    pub lock: Lock,
    /// What changed against the old lock; `None` when there was none before.
    pub difference: Option<LockDifference>,
}

impl LockOutcome {
    /// Tells whether the lock file on disk is still right.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.difference.as_ref().is_some_and(LockDifference::is_empty)
    }
}

/// Locks images and returns what came of each, in the order of the definitions, and warnings.
///
/// # Errors
/// When an archive is not to be trusted, there is no choice of packages, or maintainer scripts are undecided: then all of
/// them, over all images.
pub fn lock(images: LockInput<'_>, outside: &dyn ArchiveAccess) -> Result<(Vec<LockOutcome>, Vec<String>), Error> {
    let LockResults { images, warnings } = lock_each(images, outside);
    let mut outcomes = Vec::new();
    let mut unknown: BTreeMap<(String, Digest), UndecidedScript> = BTreeMap::new();
    for (_, result) in images {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(Error::Scripts(scripts)) => scripts.into_iter().for_each(|script| merge(script, &mut unknown)),
            // what stands in the way of the image below is said there
            Err(Error::Below { .. }) => (),
            Err(error) => return Err(error),
        }
    }
    if unknown.is_empty() {
        return Ok((outcomes, warnings));
    }
    let mut scripts: Vec<UndecidedScript> = unknown.into_values().collect();
    scripts.sort_by(|a, b| (&a.packages, &a.kind).cmp(&(&b.packages, &b.kind)));
    Err(Error::Scripts(scripts))
}

/// One script that several packages have is decided about once.
fn merge(script: UndecidedScript, unknown: &mut BTreeMap<(String, Digest), UndecidedScript>) {
    let entry = unknown.entry((script.kind.clone(), script.sha256)).or_insert_with(|| script.clone());
    let names: BTreeSet<String> = entry.packages.drain(..).chain(script.packages).collect();
    entry.packages = names.into_iter().collect();
}

/// What came of every image, by name, in the order of the definitions.
pub type Results = Vec<(String, Result<LockOutcome, Error>)>;

/// What came of every image by itself.
pub struct LockResults {
    /// By image, in the order of the definitions.
    pub images: Results,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// Locks every image by itself: where one cannot be locked, those that do not stand on it still are.
pub fn lock_each(images: LockInput<'_>, outside: &dyn ArchiveAccess) -> LockResults {
    let mut done: BTreeMap<String, LockOutcome> = BTreeMap::new();
    let mut failed: BTreeMap<String, Error> = BTreeMap::new();
    let mut warnings: BTreeSet<String> = BTreeSet::new();
    let mut past = EarlierLocks::new(images.previous, images.ledger);
    let mut waiting: Vec<&ImageDefinition> = images.definitions.iter().collect();
    // images that share their archives go together, so that only one set of indexes is in memory at a time
    while let Some(archives) = waiting.first().map(|definition| &definition.archives) {
        let (group, rest): (Vec<_>, Vec<_>) = waiting.iter().copied().partition(|other| other.archives == *archives);
        waiting = rest;
        let locked = newest(group.iter().filter_map(|definition| images.previous.get(&definition.image)));
        let opened = match open(&group, outside, &locked, &mut warnings) {
            Ok(opened) => opened,
            Err(error) => {
                refuse(&group, error, &mut failed);
                continue;
            }
        };
        let universes = universes(&group, &opened);
        for definition in group {
            let parent = definition.parent.as_ref();
            if let Some(parent) = parent.filter(|parent| failed.contains_key(*parent) && !done.contains_key(*parent)) {
                failed.insert(definition.image.clone(), Error::Below { parent: parent.clone() });
                continue;
            }
            let below = parent.and_then(|parent| {
                done.get(parent).map(|outcome| &outcome.lock).or_else(|| images.previous.get(parent))
            });
            let (opened, universes) = (&opened, &universes);
            let mut run = LockRun { images, definition, below, opened, universes, outside, past: &mut past };
            match run.image() {
                Ok((lock, warned, undecided)) => {
                    warnings.extend(warned);
                    if !undecided.is_empty() {
                        failed.insert(definition.image.clone(), Error::Scripts(undecided));
                    } else if let Some(parent) = parent.filter(|parent| failed.contains_key(*parent)) {
                        failed.insert(definition.image.clone(), Error::Below { parent: parent.clone() });
                    }
                    // also where scripts are undecided: those of the images above are asked about, too
                    done.insert(definition.image.clone(), outcome(lock, images.previous.get(&definition.image)));
                }
                Err(error) => drop(failed.insert(definition.image.clone(), error)),
            }
        }
    }
    let images = images.definitions.iter().map(|definition| {
        let (image, outcome) = (&definition.image, done.remove(&definition.image));
        let result = match (failed.remove(image), outcome) {
            (None, Some(outcome)) => Ok(outcome),
            (Some(error), _) => Err(error),
            (None, None) => unreachable!("every image was locked, or failed"),
        };
        (image.clone(), result)
    });
    LockResults { images: images.collect(), warnings: warnings.into_iter().collect() }
}

/// Returns the newest state of every pocket among some locks.
fn newest<'a>(locks: impl Iterator<Item = &'a Lock>) -> Vec<LockedPocket> {
    let mut newest: BTreeMap<String, &LockedPocket> = BTreeMap::new();
    for state in locks.flat_map(Lock::newest_states) {
        let known = newest.entry(state.title()).or_insert(state);
        if state.date > known.date {
            *known = state;
        }
    }
    newest.into_values().cloned().collect()
}

/// Opens all archives of images that share them.
pub(crate) fn open(
    group: &[&ImageDefinition],
    outside: &dyn ArchiveAccess,
    locked: &[LockedPocket],
    warnings: &mut BTreeSet<String>,
) -> Result<Vec<(String, OpenArchive)>, Error> {
    let architectures = group.iter().flat_map(|d| &d.platforms).map(|platform| platform.architecture()).collect();
    let archives = group.first().map_or(&[][..], |definition| &definition.archives);
    let opened = outside.open(archives, &architectures, locked)?;
    warnings.extend(opened.iter().flat_map(|open| open.warnings.iter().cloned()));
    Ok(archives.iter().map(|archive| archive.name.clone()).zip(opened).collect())
}

/// The first image of the group gets the reason, the others refer to it.
fn refuse(group: &[&ImageDefinition], error: Error, failed: &mut BTreeMap<String, Error>) {
    let first = group.first().map(|definition| definition.image.clone()).unwrap_or_default();
    for definition in group.iter().skip(1) {
        failed.insert(definition.image.clone(), Error::Archives { first: first.clone() });
    }
    failed.insert(first, error);
}

/// Later archive dates alone are no reason for a new lock: the old one stays, and with it every digest; also where
/// recipes changed that led to the same decisions, which is noted.
fn outcome(mut lock: Lock, previous: Option<&Lock>) -> LockOutcome {
    let Some(old) = previous else { return LockOutcome { image: lock.image.clone(), lock, difference: None } };
    let mut difference = diff(old, &lock);
    difference.states = !has_sound_states(old, &lock);
    if difference.keeps_decisions() {
        lock = Lock { format: FORMAT, files: None, definition: lock.definition, ..old.clone() };
    }
    if !difference.is_empty() {
        lock.revision = revision(&lock, old);
    }
    LockOutcome { image: lock.image.clone(), lock, difference: Some(difference) }
}

/// Tells whether the states of an older lock can be what it was chosen from: those of the same pockets, none of them newer
/// than today's, none that says something else about the same file.
fn has_sound_states(old: &Lock, new: &Lock) -> bool {
    let pairs = || old.newest_states().zip(new.newest_states());
    let fits = |(old, new): (&LockedPocket, &LockedPocket)| {
        let place = |state: &LockedPocket| (state.title(), state.suite.clone(), state.codename.clone());
        place(old) == place(new)
            && old.date <= new.date
            && old.signed_by == new.signed_by
            && (old.inrelease == new.inrelease) == (old == new)
            && (old.date < new.date || old.inrelease == new.inrelease)
    };
    old.newest_states().count() == new.newest_states().count()
        && pairs().all(fits)
        && old.newest_states().map(|state| state.date).max() == Some(old.epoch)
}

/// Returns the revision of a lock that differs from an older one: it begins anew with every later date of the archives.
fn revision(lock: &Lock, old: &Lock) -> u32 {
    if lock.epoch.date() > old.epoch.date() { FIRST_REVISION } else { old.revision.saturating_add(1) }
}

/// One image being locked.
pub(crate) struct LockRun<'r, 'a> {
    pub(crate) images: LockInput<'a>,
    pub(crate) definition: &'a ImageDefinition,
    /// The lock of the image that it stands on.
    pub(crate) below: Option<&'r Lock>,
    pub(crate) opened: &'r [(String, OpenArchive)],
    pub(crate) universes: &'r BTreeMap<Platform, Universe<'r>>,
    pub(crate) outside: &'r dyn ArchiveAccess,
    pub(crate) past: &'r mut EarlierLocks<'a>,
}

/// A lock, warnings, and scripts to decide about.
pub(crate) type Made = (Lock, Vec<String>, Vec<UndecidedScript>);

impl LockRun<'_, '_> {
    pub(crate) fn image(&mut self) -> Result<Made, Error> {
        let (definition, universes) = (self.definition, self.universes);
        let mut held: BTreeMap<Platform, Held> = BTreeMap::new();
        let mut levels = self.inherited();
        for level in &levels {
            for (platform, packages) in &level.packages {
                let universe = &universes[platform];
                take_over(held.entry(*platform).or_default(), &level.recipe, packages, universe)?;
            }
        }
        let (mut warnings, mut unknown) = (Vec::new(), Vec::new());
        let count = definition.platforms.first().map_or(0, |platform| definition.levels_for(*platform).len());
        for number in levels.len()..count {
            let requests = self.requests(number)?;
            let mut sides = BTreeMap::new();
            for platform in &definition.platforms {
                let held = &*held.entry(*platform).or_default();
                sides.insert(*platform, (&universes[platform], held.clone()));
            }
            let sides = sides.iter().map(|(platform, (universe, held))| {
                (*platform, PlatformChoice { universe, held, request: &requests[platform] })
            });
            let (additions, warned) = resolve_level(&sides.collect(), &CandidatePolicy::default())?;
            warnings.extend(warned);
            let (level, undecided) = self.level(number, &additions)?;
            levels.push(level);
            unknown.extend(undecided);
            for (platform, addition) in additions {
                let recipe = &requests[&platform].recipe;
                let below = held.entry(platform).or_default();
                below.extend(
                    addition.packages.into_iter().map(|(name, choice)| (name, (recipe.clone(), choice.candidate))),
                );
            }
        }
        Ok((self.assemble(levels, universes)?, warnings, unknown))
    }

    /// The levels of the image below, as they are in its lock.
    fn inherited(&self) -> Vec<LockedLevel> {
        let Some(lock) = self.below else { return Vec::new() };
        let mut levels = lock.levels.clone();
        for level in &mut levels {
            level.packages.retain(|platform, _| self.definition.platforms.contains(platform));
            if level.packages.len() != self.definition.platforms.len() {
                return Vec::new();
            }
        }
        let wanted =
            self.definition.platforms.first().map_or(&[][..], |platform| self.definition.levels_for(*platform));
        let same = wanted.len() > levels.len() && wanted.iter().zip(&levels).all(|(a, b)| a.recipe == b.recipe);
        if same { levels } else { Vec::new() }
    }

    fn requests(&self, number: usize) -> Result<BTreeMap<Platform, LevelRequest>, Error> {
        let one = |platform: &Platform| Ok((*platform, request(self.definition.levels_for(*platform), number)?));
        self.definition.platforms.iter().map(one).collect()
    }

    fn level(
        &mut self,
        number: usize,
        additions: &BTreeMap<Platform, LevelAddition>,
    ) -> Result<(LockedLevel, Vec<UndecidedScript>), Error> {
        let mut needed = Vec::new();
        let mut seen = BTreeSet::new();
        for (platform, addition) in additions {
            for choice in addition.packages.values() {
                let package = &choice.candidate.package;
                if self.past.must_be_read(package, self.outside) && seen.insert(package.sha256) {
                    let from = choice.candidate.from.as_str();
                    needed.push(NeededPackage {
                        archives: &self.definition.archives,
                        from,
                        platform: *platform,
                        package,
                    });
                }
            }
        }
        if !needed.is_empty() {
            self.past.learn(self.outside.read(&needed)?);
        }
        let platform = self.definition.platforms.first().copied();
        let levels = platform.map_or(&[][..], |platform| self.definition.levels_for(platform));
        let previous = self.images.previous.get(&self.definition.image);
        let plan = previous.and_then(|lock| lock.levels.iter().find(|level| level.recipe == levels[number].recipe));
        Ok(to_locked(&levels[number], additions, plan.map_or(&[][..], |level| &level.layers), self.past))
    }

    fn assemble(
        &self,
        mut levels: Vec<LockedLevel>,
        universes: &BTreeMap<Platform, Universe<'_>>,
    ) -> Result<Lock, Error> {
        let mut archives: Vec<LockedPocket> = self.opened.iter().flat_map(|(_, open)| &open.pockets).cloned().collect();
        let epoch = archives.iter().map(|pocket| pocket.date).max().unwrap_or(Epoch(0));
        self.name_states(&mut levels, &mut archives, universes)?;

        Ok(Lock {
            format: FORMAT,
            engine: self.images.engine,
            image: self.definition.image.clone(),
            epoch,
            revision: FIRST_REVISION,
            parameters: self.definition.parameters.clone(),
            definition: identity(self.definition, self.below),
            files: None,
            archives,
            levels,
        })
    }

    /// Names the state of every package that was inherited and that today's archives do not list any more: it is the one
    /// that the lock of the image below names.
    fn name_states(
        &self,
        levels: &mut [LockedLevel],
        archives: &mut Vec<LockedPocket>,
        universes: &BTreeMap<Platform, Universe<'_>>,
    ) -> Result<(), Error> {
        let Some(below) = self.below else { return Ok(()) };
        let mut older: Vec<LockedPocket> = Vec::new();
        let count = self.inherited().len();
        for (level, inherited) in levels[..count].iter_mut().zip(&below.levels) {
            for (platform, packages) in &mut level.packages {
                let known = inherited.packages.get(platform).into_iter().flatten();
                for (package, known) in packages.iter_mut().zip(known) {
                    package.state = None;
                    if universes[platform].lists(package)? {
                        continue;
                    }
                    let Some(state) = below.state(known) else { continue };
                    package.state = Some(state.inrelease);
                    if !archives.contains(state) && !older.contains(state) {
                        older.push(state.clone());
                    }
                }
            }
        }
        older.sort_by_key(|state| (state.title(), std::cmp::Reverse(state.date)));
        archives.extend(older);
        Ok(())
    }
}

/// Returns what may be chosen for each platform of some images.
pub(crate) fn universes<'a>(
    group: &[&ImageDefinition],
    opened: &'a [(String, OpenArchive)],
) -> BTreeMap<Platform, Universe<'a>> {
    let platforms: BTreeSet<Platform> = group.iter().flat_map(|definition| &definition.platforms).copied().collect();
    platforms.into_iter().map(|platform| (platform, universe(opened, platform))).collect()
}

/// All indexes for one platform.
fn universe(opened: &[(String, OpenArchive)], platform: Platform) -> Universe<'_> {
    let architecture = platform.architecture().debian();
    let mut origins = Vec::new();
    for (archive, open) in opened {
        for index in
            open.indexes.iter().filter(|index| index.architecture == architecture || index.architecture == "all")
        {
            let from = format!("{archive}/{}", index.pocket);
            origins.push(CandidateOrigin { from, component: index.component.clone(), shelf: &index.index });
        }
    }
    Universe::new(origins)
}

/// What a level asks for. Exclusions hold for all levels above; only an explicit request lifts one, and not in the same
/// recipe.
///
/// # Errors
/// When a request is no package relation.
pub fn request(levels: &[LevelDefinition], number: usize) -> Result<LevelRequest, Error> {
    let level = &levels[number];
    let mut packages = Vec::new();
    for text in &level.packages {
        let groups = Relation::parse_groups(text);
        packages.extend(groups.map_err(|cause| Error::Request { recipe: level.recipe.clone(), cause })?);
    }
    let mut exclude: BTreeMap<String, String> = BTreeMap::new();
    for below in &levels[..number] {
        exclude.extend(below.exclude_packages.clone());
    }
    exclude.retain(|name, _| !packages.iter().flatten().any(|relation| relation.name == *name));
    exclude.extend(level.exclude_packages.clone());
    Ok(LevelRequest { recipe: level.recipe.clone(), packages, exclude })
}
