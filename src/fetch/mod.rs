//! Lock to verified packages in the store: in parallel, resumable, from the first address that has them.
//!
//! - **In**: what is wanted, with every address where it may be.
//! - **Out**: the .debs as blobs in the store.
//! - **Invariants**: a byte enters the store only under its own digest; a download that was cut continues where it was.
//! - **Not here**: which packages (`lock`), what is in them (`layer`).

pub mod archives;
mod mirrors;

pub use mirrors::Mirrors;

use crate::recipe::ArchiveDefinition;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Http;
use crate::values::Digest;
use crate::values::Hasher;
use futures_util::StreamExt;
use futures_util::stream;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::io;

/// How many packages are fetched at once; archives are shared, so few.
const PARALLEL: usize = 6;

/// A package to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// Path below an archive address.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 that it must have.
    pub sha256: Digest,
    /// SHA-512 that it must have, when known.
    pub sha512: Option<String>,
    /// Archive addresses, best first.
    pub uris: Vec<String>,
}

/// What fetching did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that came over the network.
    pub downloaded: u64,
    /// Packages that were there already.
    pub reused: usize,
    /// SHA-512 of the packages that were wanted without one.
    pub sha512: BTreeMap<Digest, String>,
}

/// Why packages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address has them any more: archives drop superseded versions within days.
    #[error("cannot fetch {}: no archive has {} any more", packages.join(", "), if packages.len() == 1 { "it" } else { "them" })]
    Gone {
        /// `name version architecture`
        packages: Vec<String>,
    },
    /// Something else went wrong with some.
    #[error("cannot fetch {} package(s): {}", causes.len(), causes.join("; "))]
    Failed {
        /// One line a package.
        causes: Vec<String>,
        /// Packages that are gone as well.
        gone: Vec<String>,
        /// A wrong digest was among the causes.
        tampered: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Gone { .. } => vec![
                "lock the newer versions with `sockel lock IMAGE` and review the difference".to_owned(),
                "or do both in one step with `sockel build IMAGE --refresh`".to_owned(),
            ],
            Self::Failed { tampered: true, .. } => {
                vec!["a mirror or proxy serves other bytes than the archive signed: try another mirror".to_owned()]
            }
            Self::Failed { .. } => {
                vec!["check network and proxy, or name a mirror with `--mirror ARCHIVE=URL`".to_owned()]
            }
            Self::Store(error) => error.hints(),
        }
    }
}

/// Why one package could not be had.
#[derive(Debug)]
enum Miss {
    Gone,
    Failed(String),
    Tampered(String),
    Store(store::Error),
}

/// Returns the addresses of the pocket that a package was found in (`ubuntu/security`), best first.
#[must_use]
pub fn addresses(archives: &[ArchiveDefinition], from: &str, architecture: &str, mirrors: &Mirrors) -> Vec<String> {
    let (name, pocket) = from.split_once('/').unwrap_or((from, ""));
    let Some(archive) = archives.iter().find(|archive| archive.name == name) else { return Vec::new() };
    let pocket = archive.pockets.iter().find(|known| known.name == pocket);
    pocket.map(|pocket| mirrors.of(archive, pocket, architecture)).unwrap_or_default()
}

/// Fetches what the store does not have.
///
/// # Errors
/// All that could not be had, after everything else was fetched.
pub fn fetch(wanted: &[Wanted], store: &Store, http: &Http, reporter: &dyn Reporter) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut missing = Vec::new();
    for package in wanted {
        if store.has_blob(&package.sha256, package.size) {
            fetched.reused += 1;
            if package.sha512.is_none() {
                fetched.sha512.insert(package.sha256, sha512_of(package, store)?);
            }
        } else {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(fetched);
    }
    let total = missing.iter().map(|package| package.size).sum();
    let what = format!("{} packages", missing.len());
    reporter.event(Event::Started { stage: Stage::Download, total, what: what.clone() });
    let downloads = missing.iter().map(|package| async move { (*package, one(package, store, http, reporter).await) });
    let results: Vec<_> = http.block_on(stream::iter(downloads).buffer_unordered(PARALLEL).collect());
    reporter.event(Event::Finished { stage: Stage::Download, what });
    let (mut gone, mut causes, mut tampered) = (Vec::new(), Vec::new(), false);
    for (package, result) in results {
        let Wanted { name, version, architecture, .. } = package;
        match result {
            Ok(sha512) => {
                fetched.downloaded += package.size;
                fetched.sha512.insert(package.sha256, sha512);
            }
            Err(Miss::Gone) => gone.push(format!("{name} {version} {architecture}")),
            Err(Miss::Store(error)) => return Err(error.into()),
            Err(Miss::Failed(cause)) => causes.push(format!("{name} {version}: {cause}")),
            Err(Miss::Tampered(cause)) => {
                tampered = true;
                causes.push(format!("{name} {version}: {cause}"));
            }
        }
    }
    gone.sort();
    causes.sort();
    match (gone.is_empty(), causes.is_empty()) {
        (true, true) => Ok(fetched),
        (false, true) => Err(Error::Gone { packages: gone }),
        (_, false) => Err(Error::Failed { causes, gone, tampered }),
    }
}

/// Fetches one package from the first address that has it; returns its SHA-512.
async fn one(package: &Wanted, store: &Store, http: &Http, reporter: &dyn Reporter) -> Result<String, Miss> {
    let partial = store.partial(&package.sha256);
    // another command may be fetching the same package: wait, then look again
    let lock = partial.with_extension("lock");
    let for_lock = lock.clone();
    let locked = tokio::task::spawn_blocking(move || fs::lock(&for_lock, fs::Lock::Exclusive)).await;
    let _alone = locked.map_err(|error| Miss::Failed(error.to_string()))?.map_err(|error| Miss::Store(error.into()))?;
    if store.has_blob(&package.sha256, package.size) {
        reporter.event(Event::Advanced { stage: Stage::Download, by: package.size });
        return sha512_of(package, store).map_err(Miss::Store);
    }
    let mut causes = Vec::new();
    for base in &package.uris {
        let url = format!("{base}/{}", package.path);
        match attempt(package, &url, store, http, reporter).await {
            Err(Miss::Gone) => {}
            Err(Miss::Failed(cause)) => causes.push(cause),
            other => {
                let _left_over = fs::remove(&lock);
                return other;
            }
        }
    }
    if causes.is_empty() { Err(Miss::Gone) } else { Err(Miss::Failed(causes.join(", "))) }
}

async fn attempt(
    package: &Wanted,
    url: &str,
    store: &Store,
    http: &Http,
    reporter: &dyn Reporter,
) -> Result<String, Miss> {
    let partial = store.partial(&package.sha256);
    let mut hashers = Hashers::default();
    if let Some(have) = fs::size(&partial) {
        if have > package.size {
            fs::remove(&partial).map_err(|error| Miss::Store(error.into()))?;
        } else {
            hashers = Hashers::of(&partial).map_err(Miss::Store)?;
            reporter.event(Event::Advanced { stage: Stage::Download, by: have });
        }
    }
    let mut take = |bytes: Option<&[u8]>| match bytes {
        None => hashers = Hashers::default(),
        Some(bytes) => {
            hashers.update(bytes);
            reporter.event(Event::Advanced { stage: Stage::Download, by: bytes.len() as u64 });
        }
    };
    match http.download(url, &partial, package.size, &mut take).await {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Err(Miss::Gone),
        Err(http::Error::File(error)) => return Err(Miss::Store(error.into())),
        Err(http::Error::TooLarge { .. }) => {
            fs::remove(&partial).map_err(|error| Miss::Store(error.into()))?;
            return Err(Miss::Tampered(format!("`{}` is larger than the signed index says", http::masked(url))));
        }
        Err(error) => return Err(Miss::Failed(error.to_string())),
    }
    let (sha256, sha512) = hashers.finish();
    let matches = sha256 == package.sha256 && package.sha512.as_ref().is_none_or(|expected| *expected == sha512);
    if !matches {
        fs::remove(&partial).map_err(|error| Miss::Store(error.into()))?;
        return Err(Miss::Tampered(format!("`{}` has other bytes than the signed index says", http::masked(url))));
    }
    store.adopt(&partial, &package.sha256).map_err(Miss::Store)?;
    Ok(sha512)
}

fn sha512_of(package: &Wanted, store: &Store) -> Result<String, store::Error> {
    Ok(Hashers::of(&store.blob(&package.sha256))?.finish().1)
}

/// Both digests that locks carry, in one pass.
#[derive(Default)]
struct Hashers {
    sha256: Hasher,
    sha512: sha2::Sha512,
}

impl Hashers {
    fn of(path: &std::path::Path) -> Result<Self, store::Error> {
        let mut hashers = Self::default();
        let mut file = fs::open(path)?;
        io::copy(&mut file, &mut hashers).map_err(|cause| fs::Error::new("read", path, cause))?;
        Ok(hashers)
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
    }

    fn finish(self) -> (Digest, String) {
        let bytes = self.sha512.finalize();
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (self.sha256.finish(), hex)
    }
}

impl io::Write for Hashers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
