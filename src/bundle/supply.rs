//! From a bundle to packages in the store: those that the project's locks name, proven by the project's own keys.

use crate::apt::archive;
use crate::apt::archive::PastContext;
use crate::bundle::Bundle;
use crate::bundle::BundledFile;
use crate::bundle::BundledFileKind;
use crate::bundle::BundledPocket;
use crate::bundle::Error;
use crate::bundle::PackageProof;
use crate::bundle::gather::GatheredPocket;
use crate::bundle::gather::states;
use crate::bundle::gather::title;
use crate::bundle::statement;
use crate::fetch::Mirrors;
use crate::lock::LockedImage;
use crate::lock::file::LockedPackage;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::HttpClient;
use crate::sys::own;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The resources for using a bundle.
#[derive(Clone, Copy)]
pub struct BundleSupplying<'a> {
    /// The store that gets the packages.
    pub store: &'a Store,
    /// Only these platforms; empty means all.
    pub platforms: &'a [Platform],
    /// The current time, for the expiry of keys.
    pub now: Epoch,
    /// Receives progress and warnings.
    pub reporter: &'a dyn ProgressReporter,
}

/// What a bundle has supplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BundleSupply {
    /// Digest of the bundle.
    pub digest: Digest,
    /// Number of packages that the images need.
    pub packages: usize,
    /// How many of them were not in the store.
    pub brought: usize,
    /// Number of pockets that were proven.
    pub pockets: usize,
    /// Those of them whose packages are proven by a later InRelease file than the lock names.
    pub later: Vec<String>,
}

/// Brings all packages of these images from a bundle into the store, after each was found in a signed index.
///
/// # Errors
/// [`Error`] for anything that the bundle lacks or that is not proven.
pub fn supply(
    bundle: &Bundle<'_>,
    orders: &[LockedImage<'_>],
    supplying: &BundleSupplying<'_>,
) -> Result<BundleSupply, Error> {
    same_locks(bundle, orders)?;
    let states = states(orders, supplying.platforms)?;
    let packages = needed(orders, supplying.platforms);

    // everything that is missing is reported at once, before anything is read
    let (files, mut missing) = package_files(bundle, packages.values().copied());
    let mut pockets: Vec<(&GatheredPocket<'_>, &BundledPocket)> = Vec::new();
    for state in states.values() {
        match find(bundle, state) {
            Some(pocket) => pockets.push((state, pocket)),
            None => missing.push(format!("the signed state of {}/{}", state.locked.archive, state.locked.pocket)),
        }
    }
    missing.extend(without_image(bundle, orders, supplying.platforms));
    if !missing.is_empty() {
        return Err(Error::Missing { place: bundle.place.clone(), missing });
    }

    let problems = statement::problems(&bundle.contents, orders, packages.values().copied());
    if !problems.is_empty() {
        return Err(Error::Damaged { place: bundle.place.clone(), problems });
    }

    // packages come last: none gets into the store before a signed index lists it
    let mut later = Vec::new();
    for (state, pocket) in &pockets {
        prove(bundle, state, pocket, supplying)?;
        if pocket.proof == PackageProof::Later {
            later.push(pocket.title());
            warn_of_later(pocket, supplying.reporter);
        }
    }
    let brought = files.iter().filter(|file| !supplying.store.has_blob(&file.digest, file.size)).count();
    bring(bundle, &files, supplying)?;
    let (digest, packages, pockets) = (bundle.digest, packages.len(), pockets.len());
    Ok(BundleSupply { digest, packages, brought, pockets, later })
}

/// Returns the files of the packages, and the packages that the bundle lacks.
fn package_files<'b, 'a>(
    bundle: &'b Bundle<'_>,
    packages: impl Iterator<Item = &'a LockedPackage>,
) -> (Vec<&'b BundledFile>, Vec<String>) {
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for package in packages {
        // the lock decides about digest and size, the bundle only says where the file is
        match bundle.contents.file(&package.sha256) {
            Some(file) if file.kind == BundledFileKind::Package && file.size == package.size => files.push(file),
            _ => missing.push(title(package)),
        }
    }
    (files, missing)
}

/// Warns that the packages of a pocket are proven by a later state than the locked one.
fn warn_of_later(pocket: &BundledPocket, reporter: &dyn ProgressReporter) {
    let text = format!(
        "pocket `{}`: the bundle does not have the InRelease file {} of the lock; its packages are proven by the one of {}",
        pocket.title(),
        pocket.locked,
        pocket.date
    );
    reporter.event(ProgressEvent::Warning(text));
}

/// Refuses a bundle that names other decisions for an image that is to be built: it lacks packages, or somebody has
/// changed it.
fn same_locks(bundle: &Bundle<'_>, orders: &[LockedImage<'_>]) -> Result<(), Error> {
    let mut images = Vec::new();
    for LockedImage { lock, .. } in orders {
        // an image that the bundle does not name at all is reported as missing, with all the others
        let bundled = bundle.contents.images.iter().find(|image| image.image == lock.image);
        if bundled.is_some_and(|image| [image.decisions, image.lock] != [lock.digest(); 2]) {
            images.push(lock.image.clone());
        }
    }
    if images.is_empty() { Ok(()) } else { Err(Error::OtherLocks { place: bundle.place.clone(), images }) }
}

/// Returns the images and platforms to build that the bundle does not name.
fn without_image(bundle: &Bundle<'_>, orders: &[LockedImage<'_>], wanted: &[Platform]) -> Vec<String> {
    let mut missing = Vec::new();
    for order in orders {
        let image = &order.lock.image;
        match bundle.contents.images.iter().find(|bundled| bundled.image == *image) {
            None => missing.push(format!("image `{image}`")),
            Some(bundled) => {
                let platforms = order.definition.platforms_among(wanted).into_iter();
                let absent = platforms.filter(|platform| !bundled.platforms.contains(platform));
                missing.extend(absent.map(|platform| format!("image `{image}` for {platform}")));
            }
        }
    }
    missing
}

/// Returns every package of the wanted platforms.
fn needed<'a>(orders: &[LockedImage<'a>], wanted: &[Platform]) -> BTreeMap<Digest, &'a LockedPackage> {
    let mut packages = BTreeMap::new();
    for order in orders {
        let lock = order.lock;
        for platform in order.definition.platforms_among(wanted) {
            packages.extend(lock.packages(platform).map(|package| (package.sha256, package)));
        }
    }
    packages
}

/// Returns the bundle's entry for a state that locks name.
fn find<'b>(bundle: &'b Bundle<'_>, state: &GatheredPocket<'_>) -> Option<&'b BundledPocket> {
    let locked = state.locked;
    bundle.contents.pockets.iter().find(|pocket| {
        (&pocket.archive, &pocket.pocket, &pocket.suite, pocket.locked)
            == (&locked.archive, &locked.pocket, &locked.suite, locked.inrelease)
    })
}

/// Brings InRelease file and indexes of a pocket to where the archives' own are kept.
fn bring_indexes(bundle: &Bundle<'_>, pocket: &BundledPocket, supplying: &BundleSupplying<'_>) -> Result<(), Error> {
    let digests = std::iter::once(pocket.in_release).chain(pocket.indexes.iter().map(|index| index.digest));
    let digests: BTreeSet<Digest> = digests.collect();
    let files: Vec<&BundledFile> = digests.iter().filter_map(|digest| bundle.contents.file(digest)).collect();
    bring(bundle, &files, supplying)?;

    // the reader of archives finds files only there, by digest
    let folder = supplying.store.archives();
    for file in files {
        let kept = archive::kept(&folder, &file.digest);
        if fs::size(&kept) != Some(file.size) {
            own::create_dir(kept.parent().unwrap_or(&folder))?;
            fs::copy(&supplying.store.blob(&file.digest), &kept)?;
        }
    }
    Ok(())
}

/// Brings InRelease file and indexes, and proves every package: from the pinned key to the index that lists it.
fn prove(
    bundle: &Bundle<'_>,
    state: &GatheredPocket<'_>,
    pocket: &BundledPocket,
    supplying: &BundleSupplying<'_>,
) -> Result<(), Error> {
    bring_indexes(bundle, pocket, supplying)?;
    let (place, folder) = (&bundle.place, supplying.store.archives());
    let bytes = fs::read(&archive::kept(&folder, &pocket.in_release), BundledFileKind::InRelease.largest())?;
    // the kept file may come from an earlier run, and may be damaged since
    let found = Digest::of(&bytes);
    if found != pocket.in_release {
        let (title, expected) = (format!("InRelease of {}", pocket.title()), pocket.in_release);
        return Err(Error::WrongDigest { place: place.clone(), title, expected, found });
    }

    // an index that the bundle lacks must not be fetched behind the user's back
    let offline = HttpClient::new(http::HttpOptions::usual(true, None));
    let BundleSupplying { now, reporter, .. } = *supplying;
    let past = PastContext { http: &offline, folder: &folder, at: state.epoch, now, reporter };
    let wanted = state.wanted(&Mirrors::default());
    let opened = offline.block_on(archive::open_past(&wanted, &bytes, &past))?;
    let opened = opened.map_err(|cause| match cause {
        archive::Error::Offline { pocket, what } => {
            Error::Missing { place: place.clone(), missing: vec![format!("index `{what}` of {pocket}")] }
        }
        cause => Error::Archive { place: place.clone(), cause: Box::new(cause) },
    })?;
    for warning in &opened.warnings {
        reporter.event(ProgressEvent::Warning(warning.clone()));
    }
    if pocket.proof == PackageProof::Later {
        // the build that follows finds a later state only where the archives' newest states are kept
        archive::remember(&wanted, &bytes, &opened, &past)
            .map_err(|cause| Error::Archive { place: place.clone(), cause: Box::new(cause) })?;
    }

    // signatures and digests are right: now the packages must be in these indexes
    let packages = state.unproven(&opened);
    if !packages.is_empty() {
        return Err(Error::NotSigned { place: place.clone(), packages });
    }
    let problems = statement::problems_of(pocket, &opened);
    if problems.is_empty() { Ok(()) } else { Err(Error::Damaged { place: place.clone(), problems }) }
}

/// Brings files into the store; the bundle must have them all.
fn bring(bundle: &Bundle<'_>, files: &[&BundledFile], supplying: &BundleSupplying<'_>) -> Result<(), Error> {
    let missing = bundle.opened.bring(files, &bundle.place, supplying.store, supplying.reporter)?;
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing { place: bundle.place.clone(), missing }) }
}
