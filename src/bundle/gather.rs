//! From locks to the files of a bundle: fetches, verifies and proves everything that the locks name.

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
use crate::lock::LockedImage;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use crate::recipe::ArchiveDefinition;
use crate::recipe::ImageDefinition;
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

/// The resources for making a bundle.
#[derive(Clone, Copy)]
pub struct BundleGathering<'a> {
    /// Where files are kept; those of the bundle become blobs in it.
    pub store: &'a Store,
    /// The HTTP client for the archives.
    pub http: &'a HttpClient,
    /// Mirrors of the archives.
    pub mirrors: &'a Mirrors,
    /// Only these platforms; empty means all.
    pub platforms: &'a [Platform],
    /// The current time, for the expiry of keys, and of a state that replaces one that is gone.
    pub now: Epoch,
    /// Receives progress and warnings.
    pub reporter: &'a dyn ProgressReporter,
}

/// Identity of a state that locks name: archive, pocket, suite, digest of the InRelease file.
pub(super) type StateKey<'a> = (&'a str, &'a str, &'a str, Digest);

/// A state, with everything that locks want to be proven by it.
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
    /// Returns the pocket with the components of all images: each image may read others.
    pub(super) fn wanted(&self, mirrors: &Mirrors) -> Pocket {
        let mut pocket = archives::pocket(self.archives[0], self.pocket, &self.architectures, mirrors);
        for archive in &self.archives[1..] {
            let other = archives::pocket(archive, self.pocket, &self.architectures, mirrors);
            for component in other.components {
                if !pocket.components.contains(&component) {
                    pocket.components.push(component);
                }
            }
        }
        pocket
    }

    /// Returns the packages that a state of the pocket does not list.
    pub(super) fn unproven(&self, past: &PastPocket) -> Vec<String> {
        // a package of `Architecture: all` may be wanted from several indexes: it is named once
        let mut missing = BTreeSet::new();
        for ((_, architecture), package) in &self.packages {
            if !past.proves(&package.name, &package.version, &package.sha256, architecture.debian()) {
                missing.insert(title(package));
            }
        }
        missing.into_iter().collect()
    }
}

/// Returns `name version architecture`.
pub(super) fn title(package: &LockedPackage) -> String {
    format!("{} {} {}", package.name, package.version, package.architecture)
}

/// Returns every state that the locks name, with everything that they want to be proven by it.
///
/// # Errors
/// [`Error::StaleLock`]
pub(super) fn states<'a>(
    orders: &[LockedImage<'a>],
    wanted: &[Platform],
) -> Result<BTreeMap<StateKey<'a>, GatheredPocket<'a>>, Error> {
    let mut states: BTreeMap<StateKey<'a>, GatheredPocket<'a>> = BTreeMap::new();
    for order in orders {
        let lock = order.lock;
        let platforms = order.definition.platforms_among(wanted);
        for locked in &lock.archives {
            let (archive, pocket) = defined(order.definition, locked)?;

            // images share most states, and each is read once
            let key = (&*locked.archive, &*locked.pocket, &*locked.suite, locked.inrelease);
            let state = states.entry(key).or_insert_with(|| GatheredPocket {
                archives: Vec::new(),
                pocket,
                locked,
                epoch: lock.epoch,
                packages: BTreeMap::new(),
                architectures: BTreeSet::new(),
            });

            // the latest epoch is the strictest: the state must have been valid for every lock that names it
            state.epoch = state.epoch.max(lock.epoch);
            if !state.archives.contains(&archive) {
                state.archives.push(archive);
            }

            for platform in &platforms {
                let architecture = platform.architecture();
                state.architectures.insert(architecture);
                let own = lock.packages(*platform).filter(|package| lock.state(package) == Some(locked));
                state.packages.extend(own.map(|package| ((package.sha256, architecture), package)));
            }
        }
    }
    Ok(states)
}

/// Returns the archive and pocket of the definition that a locked state belongs to.
///
/// # Errors
/// [`Error::StaleLock`] when the recipes have changed since.
fn defined<'a>(
    definition: &'a ImageDefinition,
    locked: &LockedPocket,
) -> Result<(&'a ArchiveDefinition, &'a PocketDefinition), Error> {
    let stale = |cause| Error::StaleLock { image: definition.image.clone(), cause };
    let archive = definition.archives.iter().find(|archive| archive.name == locked.archive);
    let archive = archive.ok_or_else(|| stale(format!("there is no archive `{}`", locked.archive)))?;

    let is_it = |pocket: &&PocketDefinition| pocket.name == locked.pocket && pocket.suite == locked.suite;
    let pocket = archive.pockets.iter().find(is_it);
    let pocket = pocket
        .ok_or_else(|| stale(format!("there is no pocket `{}` with suite `{}`", locked.title(), locked.suite)))?;
    Ok((archive, pocket))
}

/// Brings everything that these locks name into the store, and lists it.
///
/// # Errors
/// [`Error`]; what is not proven is not bundled.
pub fn gather(orders: &[LockedImage<'_>], gathering: &BundleGathering<'_>) -> Result<BundleContents, Error> {
    let mut contents = BundleContents {
        format: 0,
        images: Vec::new(),
        pockets: Vec::new(),
        keys: Vec::new(),
        packages: Vec::new(),
        files: Vec::new(),
    };

    // a stale lock is found before anything is fetched
    let states = states(orders, gathering.platforms)?;
    packages(orders, gathering, &mut contents)?;
    for state in states.values() {
        pocket(state, gathering, &mut contents)?;
    }

    for order in orders {
        let LockedImage { definition, lock } = *order;
        let image = lock.image.clone();
        let digest =
            add(lock.to_yaml().as_bytes(), title::lock(&image), BundledFileKind::Lock, gathering.store, &mut contents)?;
        let platforms = order.definition.platforms_among(gathering.platforms);
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

/// Adds bytes to the store, and lists them once.
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

/// Lists a file, unless one with its bytes is listed already.
fn list(file: BundledFile, contents: &mut BundleContents) {
    if contents.file(&file.digest).is_none() {
        contents.files.push(file);
    }
}

/// Fetches and lists all packages, each once.
fn packages(
    orders: &[LockedImage<'_>],
    gathering: &BundleGathering<'_>,
    contents: &mut BundleContents,
) -> Result<(), Error> {
    // by digest: images share most of their packages
    let mut all: BTreeMap<Digest, (WantedPackage, &LockedPackage)> = BTreeMap::new();
    for order in orders {
        let mut wanted = fetch::wanted(order.definition, order.lock, gathering.mirrors);
        for platform in order.definition.platforms_among(gathering.platforms) {
            for package in order.lock.packages(platform) {
                // the first image that has a package decides where it is fetched from: the digest is the same for all
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

/// Finds the state that the locks name; if it is gone, the newest one instead.
fn find(state: &GatheredPocket<'_>, gathering: &BundleGathering<'_>) -> Result<(FoundState, PackageProof), Error> {
    let locked = state.locked;
    let BundleGathering { store, http, mirrors, now, reporter, .. } = *gathering;
    let reader = StateReader { http, store, mirrors, now, reporter };

    let pocket = state.wanted(mirrors);
    let exact = reader.exact(pocket.clone(), state.archives[0], locked);
    if let Some(found) = exact.map_err(|cause| Error::Pocket(Box::new(cause)))? {
        return Ok((found, PackageProof::Locked));
    }

    let newest = reader.newest(&pocket).map_err(|cause| Error::Gone {
        pocket: pocket.title(),
        locked: locked.inrelease,
        cause: Box::new(cause),
    })?;
    let text = format!(
        "nobody has the InRelease file {} of pocket `{}/{}` any more: its packages are proven by the one of {}",
        locked.inrelease, locked.archive, locked.pocket, newest.pocket.facts.date
    );
    reporter.event(ProgressEvent::Warning(text));
    Ok((newest, PackageProof::Later))
}

/// Finds, verifies and lists one state.
fn pocket(
    state: &GatheredPocket<'_>,
    gathering: &BundleGathering<'_>,
    contents: &mut BundleContents,
) -> Result<(), Error> {
    let (locked, store) = (state.locked, gathering.store);
    let (FoundState { bytes, pocket: past }, proof) = find(state, gathering)?;

    // a later state may have dropped a package for a newer version: then it proves nothing about the locked one
    let unproven = state.unproven(&past);
    if !unproven.is_empty() {
        let pocket = locked.title();
        let (locked, date) = (locked.inrelease, past.facts.date);
        return Err(Error::Unproven { pocket, locked, date, packages: unproven });
    }

    // titles of indexes contain the digest of their InRelease file, so that one is listed first
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

    // verified indexes are kept beside the store: only copied, never fetched again
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
    /// Describes an index file that a signed state lists, for the list of contents.
    pub(super) fn of(file: &IndexFile) -> Self {
        let IndexFile { component, architecture, path, sha256, .. } = file.clone();
        Self { component, architecture, path, digest: sha256 }
    }
}
