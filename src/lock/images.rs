//! Locks images, parents first: opens each archive once, resolves level by level, reads the scripts of what is new.

use crate::apt::BinaryPackage;
use crate::apt::deb::ControlFiles;
use crate::apt::index::PackageIndex;
use crate::apt::relation::Relation;
use crate::lock::Error;
use crate::lock::blocked::BlockedPackage;
use crate::lock::blocked::BrokenPocket;
use crate::lock::choice::ChosenLevel;
use crate::lock::choice::LevelTask;
use crate::lock::file::FIRST_REVISION;
use crate::lock::file::FORMAT;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPocket;
use crate::lock::level::EarlierLocks;
use crate::lock::level::take_over;
use crate::lock::level::to_locked;
use crate::lock::outcome::LockOutcome;
use crate::lock::outcome::LockProgress;
use crate::lock::outcome::LockResults;
use crate::lock::resolve::Held;
use crate::lock::resolve::LevelAddition;
use crate::lock::resolve::LevelRequest;
use crate::lock::scripts::UndecidedScript;
use crate::lock::scripts::merge;
use crate::lock::universe::CandidateOrigin;
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

/// Access to archives and packages: over the network, or in a test.
pub trait ArchiveAccess {
    /// Opens all pockets of some archives for some architectures, verified and complete, and returns one value for each
    /// definition. `locked` are the states that locks name: a new state must not be older, and a proof needs those very
    /// states.
    ///
    /// # Errors
    /// When an archive cannot be read or trusted.
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
        locked: &[LockedPocket],
    ) -> Result<Vec<OpenArchive>, Error>;

    /// Opens the very state of a pocket that a lock names, with this pocket alone; none if no place has it any more.
    ///
    /// # Errors
    /// When the state exists and cannot be trusted.
    fn past(
        &self,
        archive: &ArchiveDefinition,
        architectures: &BTreeSet<Architecture>,
        state: &LockedPocket,
    ) -> Result<Option<OpenArchive>, Error>;

    /// Tells whether a package can be read without fetching it.
    fn is_at_hand(&self, package: &BinaryPackage) -> bool;

    /// Fetches packages and reads their control members; each `.deb` is verified against its digest first.
    ///
    /// # Errors
    /// When one cannot be had, or is not what the index says.
    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, Error>;
}

/// An opened archive.
#[derive(Default)]
pub struct OpenArchive {
    /// State of every pocket, in the recipe's order.
    pub pockets: Vec<LockedPocket>,
    /// Its indexes.
    pub indexes: Vec<OpenIndex>,
    /// Warnings for people: age, weak keys.
    pub warnings: Vec<String>,
    /// Pockets that are in the state that a lock names because no newer one can be read.
    pub broken: Vec<BrokenPocket>,
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
    /// The archives of the image; [`Self::from`] names one of their pockets.
    pub archives: &'a [ArchiveDefinition],
    /// Archive and pocket, `ubuntu/security`.
    pub from: &'a str,
    /// Platform of the image.
    pub platform: Platform,
    /// The package as the index describes it.
    pub package: &'a BinaryPackage,
}

/// The control data of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageContent {
    /// SHA-512 of the `.deb`, 128 hexadecimal digits.
    pub sha512: String,
    /// Files of the control archive.
    pub members: ControlFiles,
}

/// The images to lock, and what is known about them.
#[derive(Clone, Copy)]
pub struct LockInput<'a> {
    /// Images, parents before children.
    pub definitions: &'a [ImageDefinition],
    /// Earlier locks by image, including those of images that are not locked now.
    pub previous: &'a BTreeMap<String, Lock>,
    /// Decisions about maintainer scripts.
    pub ledger: &'a ScriptLedger,
    /// Engine format version.
    pub engine: u32,
}

/// Locks images and returns the result of each, in the order of the definitions, and warnings.
///
/// # Errors
/// When an archive cannot be trusted, there is no choice of packages, or maintainer scripts are undecided. The last
/// error lists the undecided scripts of all images.
pub fn lock(images: LockInput<'_>, outside: &dyn ArchiveAccess) -> Result<(Vec<LockOutcome>, Vec<String>), Error> {
    let LockResults { images, warnings } = lock_each(images, outside);
    let mut outcomes = Vec::new();
    let mut unknown: BTreeMap<(String, Digest), UndecidedScript> = BTreeMap::new();
    for (_, result) in images {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(Error::Scripts(scripts)) => scripts.iter().for_each(|script| merge(script, &mut unknown)),
            // the parent's own error has the reason
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

/// Locks every image on its own: if one cannot be locked, all images but its descendants still are.
pub fn lock_each(images: LockInput<'_>, outside: &dyn ArchiveAccess) -> LockResults {
    let mut progress = LockProgress::default();
    let mut past = EarlierLocks::new(images.previous, images.ledger);

    // images that share their archives go together, so that only one set of indexes is in memory at a time
    let mut waiting: Vec<&ImageDefinition> = images.definitions.iter().collect();
    while let Some(archives) = waiting.first().map(|definition| &definition.archives) {
        let (group, rest): (Vec<_>, Vec<_>) = waiting.iter().copied().partition(|other| other.archives == *archives);
        waiting = rest;

        let locked = newest(group.iter().filter_map(|definition| images.previous.get(&definition.image)));
        let opened = match open(&group, outside, &locked, &mut progress.warnings) {
            Ok(opened) => opened,
            Err(error) => {
                refuse(&group, error, &mut progress.failed);
                continue;
            }
        };

        let universes = universes(&group, &opened);
        for definition in group {
            let parent = definition.parent.as_ref();
            // a parent that is in both has undecided scripts: its children are locked on it, to collect theirs as well
            if let Some(parent) = parent.filter(|parent| progress.has_no_lock(parent)) {
                progress.failed.insert(definition.image.clone(), Error::Below { parent: parent.clone() });
                continue;
            }
            // a parent that is not locked in this run has its earlier lock
            let below = parent.and_then(|parent| {
                progress.done.get(parent).map(|outcome| &outcome.lock).or_else(|| images.previous.get(parent))
            });
            let (opened, universes) = (&opened, &universes);
            let (claim, kept_states) = (None, BTreeMap::new());
            let past = &mut past;
            let mut run = LockRun { images, definition, below, opened, universes, outside, past, claim, kept_states };
            let mut made = run.image();
            if let Ok(made) = &mut made {
                // what the parent lacks its children lack as well
                let below = parent.and_then(|parent| progress.done.get(parent));
                made.blocked.splice(0..0, below.iter().flat_map(|outcome| outcome.blocked.iter().cloned()));
                made.broken = opened.iter().flat_map(|(_, open)| open.broken.iter().cloned()).collect();
            }
            progress.record(definition, made, images.previous.get(&definition.image));
        }
    }
    progress.into_results(images.definitions)
}

/// Returns the newest state of every pocket among some locks.
fn newest<'a>(locks: impl Iterator<Item = &'a Lock>) -> Vec<LockedPocket> {
    // images are locked at different times: the latest lock sets the bar for all that share an archive
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
    // the images of a group have the same archives, but perhaps other platforms
    let architectures = group.iter().flat_map(|d| &d.platforms).map(|platform| platform.architecture()).collect();
    let archives = group.first().map_or(&[][..], |definition| &definition.archives);
    let opened = outside.open(archives, &architectures, locked)?;
    warnings.extend(opened.iter().flat_map(|open| open.warnings.iter().cloned()));
    Ok(archives.iter().map(|archive| archive.name.clone()).zip(opened).collect())
}

/// Fails a whole group: its first image gets the reason, the others refer to it.
fn refuse(group: &[&ImageDefinition], error: Error, failed: &mut BTreeMap<String, Error>) {
    // one message with the reason is enough: all images have the same archives
    let first = group.first().map(|definition| definition.image.clone()).unwrap_or_default();
    for definition in group.iter().skip(1) {
        failed.insert(definition.image.clone(), Error::Archives { first: first.clone() });
    }
    failed.insert(first, error);
}

/// One image being locked.
pub(crate) struct LockRun<'r, 'a> {
    pub(crate) images: LockInput<'a>,
    pub(crate) definition: &'a ImageDefinition,
    /// The lock of the parent image.
    pub(crate) below: Option<&'r Lock>,
    pub(crate) opened: &'r [(String, OpenArchive)],
    pub(crate) universes: &'r BTreeMap<Platform, Universe<'r>>,
    pub(crate) outside: &'r dyn ArchiveAccess,
    pub(crate) past: &'r mut EarlierLocks<'a>,
    /// The lock to prove: what it keeps back is kept back.
    pub(crate) claim: Option<&'r Lock>,
    /// States of packages that stay at earlier versions, by the digest of the `.deb`.
    pub(crate) kept_states: BTreeMap<Digest, LockedPocket>,
}

/// A lock, and what people should know about it.
pub(crate) struct MadeLock {
    pub(crate) lock: Lock,
    pub(crate) warnings: Vec<String>,
    /// Scripts that nobody has decided about.
    pub(crate) undecided: Vec<UndecidedScript>,
    /// Updates that are not taken.
    pub(crate) blocked: Vec<BlockedPackage>,
    /// Pockets of which no newer state can be read.
    pub(crate) broken: Vec<BrokenPocket>,
}

impl LockRun<'_, '_> {
    /// Locks the image: inherits the levels of its parent, and resolves its own.
    pub(crate) fn image(&mut self) -> Result<MadeLock, Error> {
        let (definition, universes) = (self.definition, self.universes);

        // what the parent has stays as it is: its layers are shared, so a child cannot update its packages
        let mut held: BTreeMap<Platform, Held> = BTreeMap::new();
        let mut levels = self.inherited();
        for level in &levels {
            for (platform, packages) in &level.packages {
                let universe = &universes[platform];
                take_over(held.entry(*platform).or_default(), &level.recipe, packages, universe)?;
            }
        }

        let (mut warnings, mut unknown, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        // a definition has the same levels for all platforms
        let count = definition.platforms.first().map_or(0, |platform| definition.levels_for(*platform).len());
        for number in levels.len()..count {
            let requests = self.requests(number)?;
            for platform in &definition.platforms {
                held.entry(*platform).or_default();
            }
            let chosen = self.choose(&LevelTask { number, held: &held, requests: &requests })?;
            let ChosenLevel { additions, level, undecided, warnings: warned, blocked: stays } = chosen;
            warnings.extend(warned);
            levels.push(level);
            unknown.extend(undecided);
            blocked.extend(stays);

            // the next level sees this one's packages as installed
            for (platform, addition) in additions {
                let recipe = &requests[&platform].recipe;
                let below = held.entry(platform).or_default();
                below.extend(
                    addition.packages.into_iter().map(|(name, choice)| (name, (recipe.clone(), choice.candidate))),
                );
            }
        }
        let lock = self.assemble(levels, universes)?;
        Ok(MadeLock { lock, warnings, undecided: unknown, blocked, broken: Vec::new() })
    }

    /// Returns the parent's levels as they are in its lock; none if the lock does not fit, so that all levels are
    /// resolved.
    fn inherited(&self) -> Vec<LockedLevel> {
        let Some(lock) = self.below else { return Vec::new() };

        // the parent may have more platforms than its child, never fewer
        let mut levels = lock.levels.clone();
        for level in &mut levels {
            level.packages.retain(|platform, _| self.definition.platforms.contains(platform));
            if level.packages.len() != self.definition.platforms.len() {
                return Vec::new();
            }
        }

        // the recipes may have moved to another root, or the child may have lost its own levels
        let wanted =
            self.definition.platforms.first().map_or(&[][..], |platform| self.definition.levels_for(*platform));
        let same = wanted.len() > levels.len() && wanted.iter().zip(&levels).all(|(a, b)| a.recipe == b.recipe);
        if same { levels } else { Vec::new() }
    }

    /// Returns what one level asks for on each platform.
    fn requests(&self, number: usize) -> Result<BTreeMap<Platform, LevelRequest>, Error> {
        let mut requests = BTreeMap::new();
        for platform in &self.definition.platforms {
            requests.insert(*platform, request(self.definition.levels_for(*platform), number)?);
        }
        Ok(requests)
    }

    /// Returns the locked form of a level, and its scripts that nobody has decided about.
    pub(super) fn level(
        &mut self,
        number: usize,
        additions: &BTreeMap<Platform, LevelAddition>,
    ) -> Result<(LockedLevel, Vec<UndecidedScript>), Error> {
        // all packages of a level in one call, so that they are fetched concurrently, and each once for all platforms
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

        // the earlier plan of the same level keeps layers where they are, whatever its position is now
        let platform = self.definition.platforms.first().copied();
        let levels = platform.map_or(&[][..], |platform| self.definition.levels_for(platform));
        let previous = self.images.previous.get(&self.definition.image);
        let plan = previous.and_then(|lock| lock.levels.iter().find(|level| level.recipe == levels[number].recipe));
        Ok(to_locked(&levels[number], additions, plan.map_or(&[][..], |level| &level.layers), self.past))
    }

    /// Puts the lock together. Its epoch is the newest date of the archives, so no file is newer than what was signed.
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

    /// Names the state of every package that today's archives no longer list: of inherited ones that of the parent's
    /// lock, of those that stay behind that of the earlier lock.
    fn name_states(
        &self,
        levels: &mut [LockedLevel],
        archives: &mut Vec<LockedPocket>,
        universes: &BTreeMap<Platform, Universe<'_>>,
    ) -> Result<(), Error> {
        let mut older: Vec<LockedPocket> = Vec::new();
        let count = self.inherited().len();
        for package in levels[count..].iter_mut().flat_map(|level| level.packages.values_mut()).flatten() {
            let Some(state) = self.kept_states.get(&package.sha256) else { continue };
            package.state = Some(state.inrelease);
            if !archives.contains(state) && !older.contains(state) {
                older.push(state.clone());
            }
        }

        let below = self.below.map_or(&[][..], |below| &below.levels);
        for (level, inherited) in levels[..count].iter_mut().zip(below) {
            for (platform, packages) in &mut level.packages {
                let known = inherited.packages.get(platform).into_iter().flatten();
                for (package, known) in packages.iter_mut().zip(known) {
                    // the parent may have named an older state for it, which is not needed if today's state lists it
                    package.state = None;
                    // listed today: the newest state of the pocket proves it
                    if universes[platform].lists(package)? {
                        continue;
                    }
                    let Some(state) = self.below.and_then(|below| below.state(known)) else { continue };
                    package.state = Some(state.inrelease);
                    if !archives.contains(state) && !older.contains(state) {
                        older.push(state.clone());
                    }
                }
            }
        }

        // older states stand behind the newest one of their pocket, in an order that no input changes
        older.sort_by_key(|state| (state.title(), std::cmp::Reverse(state.date)));
        archives.extend(older);
        Ok(())
    }
}

/// Returns the packages that may be chosen for each platform of some images.
pub(crate) fn universes<'a>(
    group: &[&ImageDefinition],
    opened: &'a [(String, OpenArchive)],
) -> BTreeMap<Platform, Universe<'a>> {
    let platforms: BTreeSet<Platform> = group.iter().flat_map(|definition| &definition.platforms).copied().collect();
    platforms.into_iter().map(|platform| (platform, universe(opened, platform))).collect()
}

/// Returns the packages of all indexes for one platform.
pub(super) fn universe(opened: &[(String, OpenArchive)], platform: Platform) -> Universe<'_> {
    let architecture = platform.architecture().debian();
    let mut origins = Vec::new();
    for (archive, open) in opened {
        // packages of architecture `all` may have an index of their own
        for index in
            open.indexes.iter().filter(|index| index.architecture == architecture || index.architecture == "all")
        {
            let from = format!("{archive}/{}", index.pocket);
            origins.push(CandidateOrigin { from, component: index.component.clone(), shelf: &index.index });
        }
    }
    Universe::new(origins).of_architecture(architecture)
}

/// Returns what a level asks for. An exclusion holds for all levels above its own. Only an explicit request of a
/// higher level lifts it.
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

    // the order matters: a request lifts only exclusions of lower levels, since this level's own are added after it
    let mut exclude: BTreeMap<String, String> = BTreeMap::new();
    for below in &levels[..number] {
        exclude.extend(below.exclude_packages.clone());
    }
    exclude.retain(|name, _| !packages.iter().flatten().any(|relation| relation.name == *name));
    exclude.extend(level.exclude_packages.clone());
    Ok(LevelRequest { recipe: level.recipe.clone(), packages, exclude })
}
