//! A pocket as it was when a lock was made: opened from a given InRelease file instead of the newest one.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::PocketState;
use crate::apt::archive::indexes::EVERY_ARCHITECTURE;
use crate::apt::archive::indexes::IndexFetcher;
use crate::apt::archive::indexes::SelectedIndex;
use crate::apt::archive::judge;
use crate::apt::archive::memory;
use crate::apt::archive::mirrors::ServedInRelease;
use crate::report::ProgressReporter;
use crate::sys::http::HttpClient;
use crate::sys::own;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// How a pocket of the past is opened: where its indexes come from, and for which time it is judged.
#[derive(Clone, Copy)]
pub struct PastContext<'a> {
    /// Fetches indexes that are not in the folder. When it is offline, a missing index is an error.
    pub http: &'a HttpClient,
    /// Folder of archive memory and indexes. The memory is neither read nor changed.
    pub folder: &'a Path,
    /// The time for which `Valid-Until` and the largest age are judged.
    pub at: Epoch,
    /// The time for which keys and signatures are judged.
    pub now: Epoch,
    /// Receives progress events.
    pub reporter: &'a dyn ProgressReporter,
}

/// An index file that the Release file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// `main`, `universe`, …
    pub component: String,
    /// `amd64`, `arm64`; `all` for an index that holds for every architecture.
    pub architecture: String,
    /// Path below the suite.
    pub path: String,
    /// SHA-256 of the file as it is kept, compressed.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A verified pocket of the past.
#[derive(Debug)]
pub struct PastPocket {
    /// What a lock file records about it.
    pub facts: PocketState,
    /// What a person should look at.
    pub warnings: Vec<String>,
    /// The index files, all in the folder.
    pub files: Vec<IndexFile>,
    indexes: Vec<ComponentIndex>,
}

impl PastPocket {
    /// Returns facts, warnings, and the indexes, one for each component and architecture.
    #[must_use]
    pub fn into_indexes(self) -> (PocketState, Vec<String>, Vec<ComponentIndex>) {
        (self.facts, self.warnings, self.indexes)
    }

    /// Tells whether the signed indexes for an architecture list a package of this name, version and digest.
    #[must_use]
    pub fn proves(&self, name: &str, version: &str, sha256: &Digest, architecture: &str) -> bool {
        self.indexes
            .iter()
            .filter(|index| index.architecture == architecture || index.architecture == EVERY_ARCHITECTURE)
            .flat_map(|index| index.index.by_name(name))
            // one unreadable version does not take the proof from the others
            .flatten()
            // the text decides: versions that are equal in the order of dpkg may be different packages
            .any(|package| package.sha256 == *sha256 && package.version.to_string() == version)
    }
}

/// Returns where an InRelease file or index is kept by its digest.
#[must_use]
pub fn kept(folder: &Path, digest: &Digest) -> PathBuf {
    memory::by_hash(folder, digest)
}

/// Remembers a state as the newest one that was seen, unless a newer one is known.
///
/// # Errors
/// When the memory cannot be written.
pub fn remember(pocket: &Pocket, inrelease: &[u8], opened: &PastPocket, past: &PastContext<'_>) -> Result<(), Error> {
    let indexes = opened.files.iter().map(|file| file.sha256).collect();
    memory::keep(past.folder, pocket, &ServedInRelease::from_bytes(inrelease), &opened.facts, indexes)
}

/// Opens a pocket from an InRelease file. It verifies everything that [`open`](crate::apt::archive::open)
/// verifies, except for the memory that protects against rollback, since a lock names an older state on
/// purpose.
///
/// # Errors
/// [`Error`]; [`Error::Offline`] for an index that is not in the folder and must not be fetched.
pub async fn open_past(pocket: &Pocket, inrelease: &[u8], past: &PastContext<'_>) -> Result<PastPocket, Error> {
    let PastContext { http, folder, at, now, reporter } = *past;
    own::create_dir(&folder.join(memory::BY_HASH))?;

    let judged = judge::judge_at(pocket, inrelease, now, at)?;
    let refused = BTreeSet::new();
    let stock = IndexFetcher { pocket, http, folder, release: &judged.release, reporter, refused: &refused };
    let choices = stock.complete().await?;
    let indexes = stock.read(&choices)?;

    let files = choices.into_iter().map(IndexFile::from).collect();
    Ok(PastPocket { facts: judged.facts, warnings: judged.warnings, files, indexes })
}

impl From<SelectedIndex> for IndexFile {
    fn from(choice: SelectedIndex) -> Self {
        let SelectedIndex { component, architecture, path, listed, .. } = choice;
        Self { component, architecture, path, sha256: listed.sha256, size: listed.size }
    }
}
