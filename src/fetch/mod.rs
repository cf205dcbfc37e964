//! Fetches packages into the store as verified blobs, in parallel, resumable.
//!
//! - **In**: packages with size, digests and addresses, from a lock or an index.
//! - **Out**: blobs in the store, [`Fetched`].
//! - **Invariants**: only bytes with the wanted size and digests become blobs; after a failure the other downloads
//!   still finish; two commands may fetch the same package at the same time.
//! - **Not here**: which packages (`lock`), which mirrors the host has (`apt::host`).

pub mod archives;
mod control;
mod mirrors;
mod packages;
pub mod proof;
pub mod states;

pub use mirrors::Mirrors;
pub use packages::snapshot;
pub use packages::wanted;

use crate::apt::archive;
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
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// Returns the addresses of the pocket that lists a package (`ubuntu/security`), best first, and which of them are guessed.
#[must_use]
pub fn addresses(
    archives: &[ArchiveDefinition],
    from: &str,
    architecture: &str,
    mirrors: &Mirrors,
) -> (Vec<String>, BTreeSet<String>) {
    let (name, pocket) = from.split_once('/').unwrap_or((from, ""));
    let Some(archive) = archives.iter().find(|archive| archive.name == name) else { return Default::default() };
    let Some(pocket) = archive.pockets.iter().find(|known| known.name == pocket) else { return Default::default() };
    (mirrors.of(archive, pocket, architecture), mirrors.guessed(archive, pocket, architecture))
}

/// Concurrent downloads: enough that small packages do not wait for each other's round trips, few enough for a mirror.
const PARALLEL: usize = 8;

/// Pause before looking again whether another command has finished fetching a file.
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
    /// Those of them that were only guessed to mirror the archive.
    pub guessed: BTreeSet<String>,
}

/// Summary of a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that came over the network.
    pub downloaded: u64,
    /// Number of packages that were in the store already.
    pub reused: usize,
    /// SHA-512 of all wanted packages, 128 hexadecimal digits, by SHA-256.
    pub sha512: BTreeMap<Digest, String>,
}

/// Why packages cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address has these packages any more; everything else arrived.
    #[error("cannot fetch packages: no archive has {} any more", .packages.join(", "))]
    Gone {
        /// `name version architecture`
        packages: Vec<String>,
        /// The newest index still lists them, so that locking again would choose the same.
        is_listed: bool,
    },
    /// Packages failed for other or for several reasons.
    #[error("cannot fetch packages: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Failed(Vec<FetchProblem>),
    /// The HTTP client itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
}

/// Why one package cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchProblem {
    /// No address has the package.
    #[error("no archive has {0} any more")]
    Gone(String),
    /// The bytes do not have the digest that lock or index state.
    #[error("{package}: `{url}` has digest {found} instead of {expected}")]
    WrongDigest {
        /// `name version architecture`
        package: String,
        /// Address that served the bytes.
        url: String,
        /// Expected digest.
        expected: String,
        /// Digest of the served bytes.
        found: String,
    },
    /// No address answered.
    #[error("{package}: {}", .causes.join(", "))]
    Unreachable {
        /// `name version architecture`
        package: String,
        /// One cause for each address.
        causes: Vec<String>,
        /// What helps against them.
        hints: Vec<String>,
    },
    /// The path cannot be a path in an archive.
    #[error("{package}: `{path}` is not a path in an archive")]
    Path {
        /// `name version architecture`
        package: String,
        /// The path.
        path: String,
    },
    /// The HTTP client itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl FetchProblem {
    /// Returns the package, where no archive has it any more.
    fn gone(&self) -> Option<&String> {
        match self {
            Self::Gone(package) => Some(package),
            _ => None,
        }
    }
}

impl Explain for FetchProblem {
    fn turn(&self) -> Turn {
        match self {
            // a file or a setting of this machine
            Self::Http(error) => error.turn(),
            Self::File(error) => error.turn(),
            _ => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Gone(_) => vec![HINT_GONE.to_owned()],
            Self::WrongDigest { .. } => vec![HINT_DIGEST.to_owned()],
            Self::Http(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Unreachable { hints, .. } => hints.clone(),
            Self::Path { .. } => Vec::new(),
        }
    }
}

/// Hint for packages that the archive has replaced.
const HINT_GONE: &str =
    "archives keep only the newest version: choose again with `sockel lock IMAGE`, or `sockel build --refresh`";

/// Hint for packages that a mirror lists and does not have.
const HINT_LISTED: &str = "the archive's own index lists them, so choosing again does not help: the mirror is not complete. Name another one with `SOCKEL_MIRRORS`, or try again when it has caught up";

/// Hint for bytes that are not what was locked.
const HINT_DIGEST: &str = "a proxy or mirror serves other bytes than were locked: tell its operator";

impl Error {
    /// Returns the packages that no archive has any more, `name version architecture`.
    #[must_use]
    pub fn gone(&self) -> Vec<String> {
        match self {
            Self::Gone { packages, .. } => packages.clone(),
            Self::Failed(problems) => problems.iter().filter_map(FetchProblem::gone).cloned().collect(),
            Self::Http(_) => Vec::new(),
        }
    }
}

impl Explain for Error {
    /// A package that is gone is the archive's doing, even though only a new lock helps.
    fn turn(&self) -> Turn {
        match self {
            Self::Http(error) => error.turn(),
            Self::Failed(problems) if problems.iter().any(|problem| problem.turn() == Turn::Input) => Turn::Input,
            Self::Gone { .. } | Self::Failed(_) => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = match self {
            Self::Gone { is_listed: true, .. } => vec![HINT_LISTED.to_owned()],
            Self::Gone { .. } => vec![HINT_GONE.to_owned()],
            Self::Http(error) => error.hints(),
            Self::Failed(problems) => problems.iter().flat_map(FetchProblem::hints).collect(),
        };

        // many packages fail for the same reason
        hints.sort();
        hints.dedup();
        hints
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
    /// Returns the package as messages name it.
    fn title(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

/// Fetches all wanted packages into the store.
///
/// # Errors
/// [`Error`] with every package that failed; the store has the others.
pub fn fetch(
    wanted: &[WantedPackage],
    store: &Store,
    http: &HttpClient,
    reporter: &dyn ProgressReporter,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut problems = Vec::new();

    // by digest: two platforms may want the same package of architecture `all`
    let mut missing: BTreeMap<Digest, &WantedPackage> = BTreeMap::new();
    for package in wanted {
        if !store.has_blob(&package.sha256, package.size) {
            missing.insert(package.sha256, package);
            continue;
        }
        fetched.reused += 1;
        match sha512_in_store(package, store) {
            Ok(sha512) => _ = fetched.sha512.insert(package.sha256, sha512),
            Err(error) => problems.push(FetchProblem::File(error)),
        }
    }

    for result in download(&missing, store, http, reporter)? {
        match result {
            Ok((digest, sha512, bytes)) => {
                fetched.downloaded += bytes;
                fetched.sha512.insert(digest, sha512);
            }
            Err(problem) => problems.push(problem),
        }
    }

    if problems.is_empty() { Ok(fetched) } else { Err(summarized(problems)) }
}

/// What comes of a download: digest, SHA-512, and how many bytes came over the network.
type DownloadResult = Result<(Digest, String, u64), FetchProblem>;

/// Downloads packages, some at a time; one that fails does not stop the others.
fn download(
    missing: &BTreeMap<Digest, &WantedPackage>,
    store: &Store,
    http: &HttpClient,
    reporter: &dyn ProgressReporter,
) -> Result<Vec<DownloadResult>, Error> {
    // the common case: no runtime, no thread
    if missing.is_empty() {
        return Ok(Vec::new());
    }

    let useless = UselessGuesses::default();
    // all at the beginning, so that the total is known while the first downloads run
    for package in missing.values() {
        reporter.event(ProgressEvent::Started {
            stage: ProgressStage::Download,
            total: package.size,
            what: package.title(),
        });
    }
    let useless = &useless;
    let jobs = missing.values().map(|package| DownloadJob { wanted: package, store, http, reporter, useless }.run());
    // collected, not stopped at the first error: the next run resumes with fewer packages
    Ok(http.block_on(stream::iter(jobs).buffer_unordered(PARALLEL).collect::<Vec<_>>())?)
}

/// Turns the problems of single packages into one error.
fn summarized(mut problems: Vec<FetchProblem>) -> Error {
    // downloads end in any order; messages must not
    problems.sort_by_key(ToString::to_string);

    let gone: Vec<String> = problems.iter().filter_map(FetchProblem::gone).cloned().collect();
    if gone.len() == problems.len() {
        return Error::Gone { packages: gone, is_listed: false };
    }
    Error::Failed(problems)
}

/// One package to download.
struct DownloadJob<'a> {
    wanted: &'a WantedPackage,
    store: &'a Store,
    http: &'a HttpClient,
    reporter: &'a dyn ProgressReporter,
    useless: &'a UselessGuesses,
}

/// Guessed addresses that have failed before they served anything: each of them may cost one try, not one for every
/// package.
#[derive(Default)]
struct UselessGuesses(Mutex<BTreeMap<String, bool>>);

impl UselessGuesses {
    /// Notes whether a guessed address had a package; its first answer counts.
    fn note(&self, base: &str, was_useful: bool) {
        let mut known = self.0.lock().expect("no thread panics while it holds this");
        *known.entry(base.to_owned()).or_insert(was_useful) |= was_useful;
    }

    fn has(&self, base: &str) -> bool {
        self.0.lock().expect("no thread panics while it holds this").get(base) == Some(&false)
    }
}

impl DownloadJob<'_> {
    /// Downloads the package unless another command does so first.
    async fn run(self) -> DownloadResult {
        let WantedPackage { sha256, size, .. } = *self.wanted;
        if index::check_path(&self.wanted.path).is_err() {
            return Err(FetchProblem::Path { package: self.wanted.title(), path: self.wanted.path.clone() });
        }

        let partial = self.store.partial(&sha256);
        let lock_path = partial.with_extension("lock");
        // never block on the lock: the other command may be waiting for a file that is fetched here
        let _lock = loop {
            match fs::try_lock(&lock_path)? {
                Some(lock) => break lock,
                None => tokio::time::sleep(WAIT).await,
            }
        };

        let mut count = DownloadCount::default();
        // the other command may have fetched it while this one waited
        let sha512 = if self.store.has_blob(&sha256, size) {
            sha512_in_store(self.wanted, self.store)?
        } else {
            let sha512 = self.try_addresses(&partial, &mut count).await?;
            self.store.adopt(&partial, &sha256)?;
            sha512
        };
        fs::remove(&lock_path)?;
        self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Download, what: self.wanted.title() });
        Ok((sha256, sha512, count.downloaded))
    }

    /// Tries one address after the other. A miss or a silent server leads to the next address; wrong bytes do not,
    /// because somebody must hear about them.
    async fn try_addresses(&self, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        let (mut causes, mut hints) = (Vec::new(), Vec::new());
        let mut all_missed = true;
        for base in &self.wanted.uris {
            let is_guessed = self.wanted.guessed.contains(base);
            if is_guessed && self.useless.has(base) {
                continue;
            }
            let url = archive::file_address(base, &self.wanted.path);
            let answer = self.try_address(&url, partial, count).await;
            if is_guessed {
                self.useless.note(base, answer.is_ok());
            }
            match answer {
                Err(FetchProblem::Http(error)) if error.is_servers() => {
                    // what was only guessed to have it says nothing about whether it is gone
                    all_missed &= error.is_miss() || is_guessed;
                    causes.push(error.to_string());
                    hints.extend(error.hints());
                }
                // a package of this name in the archive of somebody else
                Err(FetchProblem::WrongDigest { .. }) if is_guessed => {}
                other => return other,
            }
        }
        hints.sort();
        hints.dedup();

        // a package is gone only if every server said so: one that was silent may still have it
        match all_missed {
            true => Err(FetchProblem::Gone(self.wanted.title())),
            false => Err(FetchProblem::Unreachable { package: self.wanted.title(), causes, hints }),
        }
    }

    /// Downloads from one address, once more from the beginning if a partial file proves damaged.
    async fn try_address(&self, url: &str, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        let resumed = fs::size(partial).is_some_and(|size| size > 0);
        match self.attempt(url, partial, count).await {
            Err(FetchProblem::WrongDigest { .. }) if resumed => {
                // a crash may have damaged the partial file, which is verified only as a whole
                let what = self.wanted.title();
                let text = format!("{what}: the part from an earlier download does not fit; fetching all of it");
                self.reporter.event(ProgressEvent::Warning(text));
                self.attempt(url, partial, count).await
            }
            other => other,
        }
    }

    /// Downloads from one address, resuming a partial file, and verifies the whole.
    async fn attempt(&self, url: &str, partial: &Path, count: &mut DownloadCount) -> Result<String, FetchProblem> {
        // the digests go over the whole file, so a partial one is read first; one that is too large is no beginning
        // of it
        let mut sums = Sums::default();
        if fs::size(partial).is_some_and(|size| size <= self.wanted.size) {
            sums.read(partial)?;
            count.advance(sums.sha256.length(), self.reporter);
        }

        let target = DownloadTarget { path: partial, size: self.wanted.size };
        self.http
            .download(url, target, &mut |piece: DownloadPiece<'_>| match piece {
                // the server does not resume: what was hashed so far is not in the file any more
                DownloadPiece::Restarted => sums = Sums::default(),
                DownloadPiece::Bytes(piece) => {
                    sums.update(piece);
                    count.downloaded += piece.len() as u64;
                    count.advance(sums.sha256.length(), self.reporter);
                }
            })
            .await?;

        // wrong bytes are removed, else the next attempt would resume them
        let (sha256, sha512) = sums.finish();
        if sha256 != self.wanted.sha256 {
            fs::remove(partial)?;
            return Err(self.wrong_digest(url, self.wanted.sha256.to_string(), sha256.to_string()));
        }
        if let Some(expected) = self.wanted.sha512.as_ref().filter(|expected| **expected != sha512) {
            fs::remove(partial)?;
            return Err(self.wrong_digest(url, format!("sha512:{expected}"), format!("sha512:{sha512}")));
        }
        Ok(sha512)
    }

    /// Returns the problem for bytes that are not the package.
    fn wrong_digest(&self, url: &str, expected: String, found: String) -> FetchProblem {
        // an address may contain a password
        FetchProblem::WrongDigest { package: self.wanted.title(), url: http::mask(url), expected, found }
    }
}

/// Bytes that came over the network, and bytes of the file that were reported as done: those that come twice are
/// reported once.
#[derive(Default)]
struct DownloadCount {
    downloaded: u64,
    reported: u64,
}

impl DownloadCount {
    /// Reports progress up to a number of bytes of the file.
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

    /// Hashes a whole file.
    fn read(&mut self, path: &Path) -> Result<(), fs::Error> {
        let mut file: File = fs::open(path)?;
        // in pieces: a package may have hundreds of megabytes
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

/// Returns the SHA-512 of a package whose blob is in the store; hashes the blob only where nobody has stated the
/// digest.
fn sha512_in_store(package: &WantedPackage, store: &Store) -> Result<String, fs::Error> {
    match &package.sha512 {
        Some(known) => Ok(known.clone()),
        None => sha512_of(&store.blob(&package.sha256)),
    }
}

/// Returns the SHA-512 of a file as 128 hexadecimal digits.
fn sha512_of(path: &Path) -> Result<String, fs::Error> {
    let mut sums = Sums::default();
    sums.read(path)?;
    Ok(sums.finish().1)
}
