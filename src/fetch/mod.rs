//! Wanted packages to verified blobs in the store, in parallel, resumable.
//!
//! - **In**: packages with size, digests and addresses, from a lock or an index.
//! - **Out**: blobs in the store, [`Fetched`].
//! - **Invariants**: only bytes with the wanted size and digests become blobs; one failure lets the others finish; two
//!   commands may fetch the same package at the same time.
//! - **Not here**: which packages (`lock`), which mirrors (`apt::host`, `build`).

pub mod archives;
mod control;
mod mirrors;
mod packages;
pub mod proof;
pub mod states;

pub use mirrors::Mirrors;
pub use packages::snapshot;
pub use packages::wanted;

use crate::apt::index;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::recipe::ArchiveDefinition;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::DownloadPiece;
use crate::sys::http::DownloadTarget;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use crate::values::DigestHasher;
use futures_util::StreamExt;
use futures_util::stream;
use sha2::Digest as _;
use sha2::Sha512;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Returns the addresses of the pocket that a package was found in (`ubuntu/security`), best first.
#[must_use]
pub fn addresses(archives: &[ArchiveDefinition], from: &str, architecture: &str, mirrors: &Mirrors) -> Vec<String> {
    let (name, pocket) = from.split_once('/').unwrap_or((from, ""));
    let Some(archive) = archives.iter().find(|archive| archive.name == name) else { return Vec::new() };
    let pocket = archive.pockets.iter().find(|known| known.name == pocket);
    pocket.map(|pocket| mirrors.of(archive, pocket, architecture)).unwrap_or_default()
}

/// Downloads at the same time.
const PARALLEL: usize = 8;

/// Pause between two looks at a file that another command is fetching.
const WAIT: Duration = Duration::from_millis(100);

/// A package that must be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPackage {
    /// Package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Path below the archive root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// SHA-512 as 128 hexadecimal digits, where known.
    pub sha512: Option<String>,
    /// Archive roots without trailing slash, best first: mirrors, official address, snapshot.
    pub uris: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that came over the network.
    pub downloaded: u64,
    /// How many packages were in the store already.
    pub reused: usize,
    /// SHA-512 of all wanted packages, 128 hexadecimal digits, by SHA-256.
    pub sha512: BTreeMap<Digest, String>,
}

/// Why packages are not in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address has these packages any more; everything else arrived.
    #[error("cannot fetch packages: no archive has {} any more", .packages.join(", "))]
    Gone {
        /// `name version architecture`
        packages: Vec<String>,
        /// The newest index that there is lists them nevertheless, so that another choice leads to the same.
        is_listed: bool,
    },
    /// Several things, or something worse, happened.
    #[error("cannot fetch packages: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Failed(Vec<FetchProblem>),
    /// The network door itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
}

/// What happened to one package.
#[derive(Debug, thiserror::Error)]
pub enum FetchProblem {
    /// No address has it.
    #[error("no archive has {0} any more")]
    Gone(String),
    /// The bytes are not those of the lock or index.
    #[error("{package}: `{url}` has digest {found} instead of {expected}")]
    WrongDigest {
        /// `name version architecture`
        package: String,
        /// Where they came from.
        url: String,
        /// Wanted digest.
        expected: String,
        /// Their digest.
        found: String,
    },
    /// No address answered.
    #[error("{package}: {}", .causes.join(", "))]
    Unreachable {
        /// `name version architecture`
        package: String,
        /// One cause an address.
        causes: Vec<String>,
    },
    /// The path cannot be a path in an archive.
    #[error("{package}: `{path}` is not a path in an archive")]
    Path {
        /// `name version architecture`
        package: String,
        /// The path.
        path: String,
    },
    /// The network door itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl FetchProblem {
    /// Tells whether a file of this machine must change.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Http(error) => error.is_input(),
            Self::File(error) => error.is_input(),
            _ => false,
        }
    }
}

impl Error {
    /// Returns the packages that no archive has any more, `name version architecture`.
    #[must_use]
    pub fn gone(&self) -> Vec<String> {
        match self {
            Self::Gone { packages, .. } => packages.clone(),
            Self::Failed(problems) => {
                let gone = |problem: &FetchProblem| match problem {
                    FetchProblem::Gone(package) => Some(package.clone()),
                    _ => None,
                };
                problems.iter().filter_map(gone).collect()
            }
            Self::Http(_) => Vec::new(),
        }
    }

    /// Tells whether all that went wrong is the network's or a server's doing, so that a later attempt may work.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Gone { .. } => false,
            Self::Failed(problems) => {
                problems.iter().all(|one| matches!(one, FetchProblem::Unreachable { .. } | FetchProblem::Http(_)))
            }
            Self::Http(_) => true,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let gone =
            "archives keep only the newest version: choose again with `sockel lock IMAGE`, or `sockel build --refresh`";
        let listed = "the archive's own index lists them, so choosing again does not help: the mirror is not complete. Name another one with `SOCKEL_MIRRORS`, or try again when it has caught up";
        let digest = "a proxy or mirror serves other bytes than were locked: tell its operator";
        let mut hints: Vec<String> = match self {
            Self::Gone { is_listed: true, .. } => vec![listed.to_owned()],
            Self::Gone { .. } => vec![gone.to_owned()],
            Self::Http(error) => error.hints(),
            Self::Failed(problems) => {
                let hint = |problem: &FetchProblem| match problem {
                    FetchProblem::Gone(_) => vec![gone.to_owned()],
                    FetchProblem::WrongDigest { .. } => vec![digest.to_owned()],
                    FetchProblem::Http(error) => error.hints(),
                    FetchProblem::Store(error) => error.hints(),
                    FetchProblem::File(error) => error.hints(),
                    _ => Vec::new(),
                };
                problems.iter().flat_map(hint).collect()
            }
        };
        hints.sort();
        hints.dedup();
        hints
    }
}

impl Explain for Error {
    /// The archive is outside, though only a new lock helps where a package is gone.
    fn turn(&self) -> Turn {
        match self {
            Self::Http(error) => error.turn(),
            Self::Failed(problems) if problems.iter().any(FetchProblem::is_input) => Turn::Input,
            Self::Gone { .. } | Self::Failed(_) => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }

    fn asks_for_new_lock(&self) -> bool {
        !self.gone().is_empty()
    }

    fn note_still_listed(&mut self) {
        if let Self::Gone { is_listed, .. } = self {
            *is_listed = true;
        }
    }
}

impl WantedPackage {
    fn title(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

/// Brings all wanted packages into the store.
///
/// # Errors
/// [`Error`] with every package that is not there; the others are.
pub fn fetch(
    wanted: &[WantedPackage],
    store: &Store,
    http: &HttpClient,
    reporter: &dyn ProgressReporter,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut problems = Vec::new();
    let mut missing: BTreeMap<Digest, &WantedPackage> = BTreeMap::new();
    for one in wanted {
        if !store.has_blob(&one.sha256, one.size) {
            missing.insert(one.sha256, one);
            continue;
        }
        fetched.reused += 1;
        match one.sha512.clone().map_or_else(|| sha512_of(&store.blob(&one.sha256)), Ok) {
            Ok(sha512) => _ = fetched.sha512.insert(one.sha256, sha512),
            Err(error) => problems.push(FetchProblem::File(error)),
        }
    }
    if !missing.is_empty() {
        for one in missing.values() {
            reporter.event(ProgressEvent::Started {
                stage: ProgressStage::Download,
                total: one.size,
                what: one.title(),
            });
        }
        let work = stream::iter(missing.values().map(|one| DownloadJob { wanted: one, store, http, reporter }.run()));
        let results = http.block_on(work.buffer_unordered(PARALLEL).collect::<Vec<_>>())?;
        for result in results {
            match result {
                Ok((digest, sha512, bytes)) => {
                    fetched.downloaded += bytes;
                    fetched.sha512.insert(digest, sha512);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok(fetched) } else { Err(sorted_out(problems)) }
}

fn sorted_out(mut problems: Vec<FetchProblem>) -> Error {
    // downloads end in any order, messages do not
    problems.sort_by_key(ToString::to_string);
    let gone = |problem: &FetchProblem| match problem {
        FetchProblem::Gone(package) => Some(package.clone()),
        _ => None,
    };
    match problems.iter().map(gone).collect::<Option<Vec<String>>>() {
        Some(packages) => Error::Gone { packages, is_listed: false },
        None => Error::Failed(problems),
    }
}

/// One package on its way.
struct DownloadJob<'a> {
    wanted: &'a WantedPackage,
    store: &'a Store,
    http: &'a HttpClient,
    reporter: &'a dyn ProgressReporter,
}

impl DownloadJob<'_> {
    /// Returns digest, SHA-512, and how many bytes were downloaded.
    async fn run(self) -> Result<(Digest, String, u64), FetchProblem> {
        let WantedPackage { sha256, size, .. } = *self.wanted;
        if index::check_path(&self.wanted.path).is_err() {
            return Err(FetchProblem::Path { package: self.wanted.title(), path: self.wanted.path.clone() });
        }
        let partial = self.store.partial(&sha256);
        let lock_path = partial.with_extension("lock");
        // never wait inside the system: the other command may be waiting for a file that is fetched here
        let _lock = loop {
            match fs::try_lock(&lock_path)? {
                Some(lock) => break lock,
                None => tokio::time::sleep(WAIT).await,
            }
        };
        let mut count = DownloadCount::default();
        let sha512 = if self.store.has_blob(&sha256, size) {
            match self.wanted.sha512.clone() {
                Some(known) => known,
                None => sha512_of(&self.store.blob(&sha256))?,
            }
        } else {
            let sha512 = self.try_addresses(&partial, &mut count).await?;
            self.store.adopt(&partial, &sha256)?;
            sha512
        };
        fs::remove(&lock_path)?;
        self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Download, what: self.wanted.title() });
        Ok((sha256, sha512, count.downloaded))
    }

    /// Tries one address after the other; a miss or a silent server leads on, wrong bytes do not.
    async fn try_addresses(&self, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        let mut causes = Vec::new();
        let mut all_missed = true;
        for base in &self.wanted.uris {
            let url = format!("{}/{}", base.trim_end_matches('/'), self.wanted.path);
            match self.try_address(&url, partial, count).await {
                Err(FetchProblem::Http(error)) if error.is_servers() => {
                    all_missed &= error.is_miss();
                    causes.push(error.to_string());
                }
                other => return other,
            }
        }
        match all_missed {
            true => Err(FetchProblem::Gone(self.wanted.title())),
            false => Err(FetchProblem::Unreachable { package: self.wanted.title(), causes }),
        }
    }

    async fn try_address(&self, url: &str, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        let resumed = fs::size(partial).is_some_and(|size| size > 0);
        match self.attempt(url, partial, count).await {
            Err(FetchProblem::WrongDigest { .. }) if resumed => {
                // the beginning may be damaged by a crash: it was never verified
                let what = self.wanted.title();
                let text = format!("{what}: the part from an earlier download does not fit; fetching all of it");
                self.reporter.event(ProgressEvent::Warning(text));
                self.attempt(url, partial, count).await
            }
            other => other,
        }
    }

    async fn attempt(&self, url: &str, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        let mut sums = Sums::default();
        if fs::size(partial).is_some_and(|size| size <= self.wanted.size) {
            sums.read(partial)?;
            count.advance(sums.sha256.length(), self.reporter);
        }
        let mut sink = |piece: DownloadPiece<'_>| match piece {
            DownloadPiece::Restarted => sums = Sums::default(),
            DownloadPiece::Bytes(piece) => {
                sums.update(piece);
                count.downloaded += piece.len() as u64;
                count.advance(sums.sha256.length(), self.reporter);
            }
        };
        let target = DownloadTarget { path: partial, size: self.wanted.size };
        self.http.download(url, target, &mut sink).await?;
        let (sha256, sha512) = sums.finish();
        let wrong = |expected, found| FetchProblem::WrongDigest {
            package: self.wanted.title(),
            url: http::mask(url),
            expected,
            found,
        };
        if sha256 != self.wanted.sha256 {
            fs::remove(partial)?;
            return Err(wrong(self.wanted.sha256.to_string(), sha256.to_string()));
        }
        if let Some(expected) = self.wanted.sha512.as_ref().filter(|expected| **expected != sha512) {
            fs::remove(partial)?;
            return Err(wrong(format!("sha512:{expected}"), format!("sha512:{sha512}")));
        }
        Ok(sha512)
    }
}

/// What came over the network, and what of the file was reported as done: bytes that come twice count once.
#[derive(Default)]
struct DownloadCount {
    downloaded: u64,
    reported: u64,
}

impl DownloadCount {
    fn advance(&mut self, done: u64, reporter: &dyn ProgressReporter) {
        if done > self.reported {
            reporter.event(ProgressEvent::Advanced { stage: ProgressStage::Download, by: done - self.reported });
            self.reported = done;
        }
    }
}

/// Both digests of a stream.
#[derive(Default)]
struct Sums {
    sha256: DigestHasher,
    sha512: Sha512,
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
    }

    /// Takes all of a file.
    fn read(&mut self, path: &Path) -> Result<(), fs::Error> {
        let mut file: File = fs::open(path)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(|cause| fs::Error::new("read", path, cause))? {
                0 => return Ok(()),
                count => self.update(&buffer[..count]),
            }
        }
    }

    fn finish(self) -> (Digest, String) {
        let sha512 = self.sha512.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.sha256.finish(), sha512)
    }
}

fn sha512_of(path: &Path) -> Result<String, fs::Error> {
    let mut sums = Sums::default();
    sums.read(path)?;
    Ok(sums.finish().1)
}
