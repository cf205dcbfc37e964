//! Locks to the files of a bundle: everything that they name, fetched, verified and proven.

use crate::apt::archive;
use crate::apt::archive::IndexFile;
use crate::apt::archive::PastPocket;
use crate::apt::archive::Pocket;
use crate::bundle::BundleContents;
use crate::bundle::BundledFile;
use crate::bundle::BundledFileKind;
use crate::bundle::BundledImage;
use crate::bundle::BundledIndex;
use crate::bundle::BundledKey;
use crate::bundle::BundledPackage;
use crate::bundle::BundledPin;
use crate::bundle::BundledPocket;
use crate::bundle::Error;
use crate::bundle::PackageProof;
use crate::bundle::title;
use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::WantedPackage;
use crate::fetch::archives;
use crate::fetch::states::FoundState;
use crate::fetch::states::StateReader;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::HttpClient;
use crate::values::Architecture;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Where everything comes from.
#[derive(Clone, Copy)]
pub struct BundleGathering<'a> {
    /// Where files are kept; those of the bundle become blobs in it.
    pub store: &'a Store,
    /// Door to the archives.
    pub http: &'a HttpClient,
    /// Where archives may be found.
    pub mirrors: &'a Mirrors,
    /// Only these platforms; empty means all.
    pub platforms: &'a [Platform],
    /// What time it is, to judge keys, and a state that stands in for a lost one.
    pub now: Epoch,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
}

/// The state of a pocket that locks name: archive, pocket, suite, InRelease file.
pub(super) type StateKey<'a> = (&'a str, &'a str, &'a str, Digest);

/// What locks want of a state.
pub(super) struct GatheredPocket<'a> {
    pub(super) archives: Vec<&'a ArchiveDefinition>,
    pub(super) pocket: &'a PocketDefinition,
    pub(super) locked: &'a LockedPocket,
    /// Latest epoch of the locks that name it.
    pub(super) epoch: Epoch,
    /// The packages that must be proven, with the architecture whose index lists them.
    pub(super) packages: BTreeMap<(Digest, Architecture), &'a LockedPackage>,
    architectures: BTreeSet<Architecture>,
}

impl GatheredPocket<'_> {
    /// Returns the pocket with the needs of all images, which may read other components.
    pub(super) fn wanted(&self, mirrors: &Mirrors) -> Pocket {
        let one = |archive: &ArchiveDefinition| archives::pocket(archive, self.pocket, &self.architectures, mirrors);
        let mut pocket = one(self.archives[0]);
        for other in self.archives[1..].iter().map(|archive| one(archive)) {
            let new = |component: &String| !pocket.components.contains(component);
            let new: Vec<String> = other.components.into_iter().filter(new).collect();
            pocket.components.extend(new);
        }
        pocket
    }

    /// Returns the packages that a state of the pocket does not list.
    pub(super) fn unproven(&self, past: &PastPocket) -> Vec<String> {
        let is_proven = |architecture: &Architecture, package: &LockedPackage| {
            past.proves(&package.name, &package.version, &package.sha256, architecture.debian())
        };
        let missing = self.packages.iter().filter(|((_, architecture), package)| !is_proven(architecture, package));
        missing.map(|(_, package)| title(package)).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Returns `name version architecture`.
pub(super) fn title(package: &LockedPackage) -> String {
    format!("{} {} {}", package.name, package.version, package.architecture)
}

/// Returns the platforms of an order that are wanted.
pub(super) fn platforms(order: &BundledPin<'_>, wanted: &[Platform]) -> Vec<Platform> {
    let is_wanted = |platform: &Platform| wanted.is_empty() || wanted.contains(platform);
    order.definition.platforms.iter().copied().filter(is_wanted).collect()
}

/// Returns what all locks want of every state that they name.
///
/// # Errors
/// [`Error::StaleLock`]
pub(super) fn states<'a>(
    orders: &[BundledPin<'a>],
    wanted: &[Platform],
) -> Result<BTreeMap<StateKey<'a>, GatheredPocket<'a>>, Error> {
    let mut states: BTreeMap<StateKey<'a>, GatheredPocket<'a>> = BTreeMap::new();
    for order in orders {
        let BundledPin { definition, lock } = *order;
        let stale = |cause: String| Error::StaleLock { image: definition.image.clone(), cause };
        let platforms = platforms(order, wanted);
        for locked in &lock.archives {
            let name = locked.title();
            let archive = definition.archives.iter().find(|archive| archive.name == locked.archive);
            let archive = archive.ok_or_else(|| stale(format!("there is no archive `{}`", locked.archive)))?;
            let pocket = archive.pockets.iter().find(|pocket| pocket.name == locked.pocket);
            let pocket = pocket.filter(|pocket| pocket.suite == locked.suite);
            let pocket =
                pocket.ok_or_else(|| stale(format!("there is no pocket `{name}` with suite `{}`", locked.suite)))?;
            let key = (&*locked.archive, &*locked.pocket, &*locked.suite, locked.inrelease);
            let state = states.entry(key).or_insert_with(|| GatheredPocket {
                archives: Vec::new(),
                pocket,
                locked,
                epoch: lock.epoch,
                packages: BTreeMap::new(),
                architectures: BTreeSet::new(),
            });
            state.epoch = state.epoch.max(lock.epoch);
            if !state.archives.contains(&archive) {
                state.archives.push(archive);
            }
            for platform in &platforms {
                let architecture = platform.architecture();
                state.architectures.insert(architecture);
                let is_proven_by = |package: &&LockedPackage| lock.state(package) == Some(locked);
                let own = lock.packages(*platform).filter(is_proven_by);
                state.packages.extend(own.map(|package| ((package.sha256, architecture), package)));
            }
        }
    }
    Ok(states)
}

/// Brings everything that these locks name into the store, and lists it.
///
/// # Errors
/// [`Error`]; what is not proven is not bundled.
pub fn gather(orders: &[BundledPin<'_>], gathering: &BundleGathering<'_>) -> Result<BundleContents, Error> {
    let mut contents = BundleContents {
        format: 0,
        images: Vec::new(),
        pockets: Vec::new(),
        keys: Vec::new(),
        packages: Vec::new(),
        files: Vec::new(),
    };
    let states = states(orders, gathering.platforms)?;
    packages(orders, gathering, &mut contents)?;
    for state in states.values() {
        pocket(state, gathering, &mut contents)?;
    }
    for order in orders {
        let BundledPin { definition, lock } = *order;
        let image = lock.image.clone();
        let digest =
            add(lock.to_yaml().as_bytes(), title::lock(&image), BundledFileKind::Lock, gathering.store, &mut contents)?;
        let platforms = platforms(order, gathering.platforms);
        contents.images.push(BundledImage { image, lock: digest, decisions: lock.digest(), platforms });
        for archive in &definition.archives {
            for key in &archive.keys {
                let bundled = BundledKey { archive: archive.name.clone(), digest: Digest::of(key) };
                add(key, title::key(&bundled), BundledFileKind::Key, gathering.store, &mut contents)?;
                if !contents.keys.contains(&bundled) {
                    contents.keys.push(bundled);
                }
            }
        }
    }
    Ok(contents.sorted())
}

/// Makes bytes a blob, and lists them unless they are listed.
fn add(
    bytes: &[u8],
    title: String,
    kind: BundledFileKind,
    store: &Store,
    contents: &mut BundleContents,
) -> Result<Digest, Error> {
    let digest = store.add(bytes)?;
    list(BundledFile { title, digest, size: bytes.len() as u64, kind }, contents);
    Ok(digest)
}

fn list(file: BundledFile, contents: &mut BundleContents) {
    if contents.file(&file.digest).is_none() {
        contents.files.push(file);
    }
}

fn packages(
    orders: &[BundledPin<'_>],
    gathering: &BundleGathering<'_>,
    contents: &mut BundleContents,
) -> Result<(), Error> {
    let mut all: BTreeMap<Digest, (WantedPackage, &LockedPackage)> = BTreeMap::new();
    for order in orders {
        let mut wanted = fetch::wanted(order.definition, order.lock, gathering.mirrors);
        for platform in platforms(order, gathering.platforms) {
            for package in order.lock.packages(platform) {
                if let Some(wanted) = wanted.remove(&package.sha256) {
                    all.entry(package.sha256).or_insert((wanted, package));
                }
            }
        }
    }
    let wanted: Vec<WantedPackage> = all.values().map(|(wanted, _)| wanted.clone()).collect();
    fetch::fetch(&wanted, gathering.store, gathering.http, gathering.reporter)?;
    for (digest, (_, package)) in all {
        let LockedPackage { name, version, architecture, size, .. } = package.clone();
        let package = BundledPackage { name, version, architecture, digest };
        contents.files.push(BundledFile {
            title: title::package(&package),
            digest,
            size,
            kind: BundledFileKind::Package,
        });
        contents.packages.push(package);
    }
    Ok(())
}

/// Finds, verifies and lists one state.
fn pocket(
    state: &GatheredPocket<'_>,
    gathering: &BundleGathering<'_>,
    contents: &mut BundleContents,
) -> Result<(), Error> {
    let locked = state.locked;
    let BundleGathering { store, http, mirrors, now, reporter, .. } = *gathering;
    let finder = StateReader { http, store, mirrors, now, reporter };
    let pocket = state.wanted(mirrors);
    let exact = finder.exact(pocket.clone(), state.archives[0], locked);
    let (bytes, past, proof) = match exact.map_err(|cause| Error::Pocket(Box::new(cause)))? {
        Some(FoundState { bytes, pocket }) => (bytes, pocket, PackageProof::Locked),
        None => {
            let gone = |cause| Error::Gone { pocket: pocket.title(), locked: locked.inrelease, cause: Box::new(cause) };
            let FoundState { bytes, pocket: past } = finder.newest(&pocket).map_err(gone)?;
            let text = format!(
                "nobody has the InRelease file {} of pocket `{}/{}` any more: its packages are proven by the one of {}",
                locked.inrelease, locked.archive, locked.pocket, past.facts.date
            );
            gathering.reporter.event(ProgressEvent::Warning(text));
            (bytes, past, PackageProof::Later)
        }
    };
    let unproven = state.unproven(&past);
    if !unproven.is_empty() {
        let pocket = locked.title();
        let (locked, date) = (locked.inrelease, past.facts.date);
        return Err(Error::Unproven { pocket, locked, date, packages: unproven });
    }
    let mut bundled = BundledPocket {
        archive: locked.archive.clone(),
        pocket: locked.pocket.clone(),
        suite: locked.suite.clone(),
        locked: locked.inrelease,
        in_release: past.facts.inrelease,
        proof,
        date: past.facts.date,
        signed_by: past.facts.signed_by.clone(),
        indexes: Vec::new(),
    };
    add(&bytes, title::in_release(&bundled), BundledFileKind::InRelease, store, contents)?;

    for file in &past.files {
        if !store.has_blob(&file.sha256, file.size) {
            fs::copy(&archive::kept(&store.archives(), &file.sha256), &store.blob(&file.sha256))?;
        }
        let title = title::index(&bundled, &file.path);
        list(BundledFile { title, digest: file.sha256, size: file.size, kind: BundledFileKind::Index }, contents);
        bundled.indexes.push(BundledIndex::of(file));
    }
    contents.pockets.push(bundled);
    Ok(())
}

impl BundledIndex {
    /// Describes an index file that a signed state lists.
    pub(super) fn of(file: &IndexFile) -> Self {
        let IndexFile { component, architecture, path, sha256, .. } = file.clone();
        Self { component, architecture, path, digest: sha256 }
    }
}
