//! What earlier runs saw of a pocket: protects against rollback and saves downloads.
//!
//! ```text
//! <folder>/<key>.json       the newest state of a pocket, see `Memory`; `cache prune` keeps it
//!          <key>.lock       held while that file changes
//!          by-hash/<hex>    InRelease files and compressed indexes by their SHA-256; may be removed at any time.
//!                           Files of older states stay until `cache prune`: they prove the locks that name them
//!          decoded/<hex>    the decoded form of such an index, see `decoded`; removed with it
//! ```

use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::PocketState;
use crate::apt::archive::mirrors::ServedInRelease;
use crate::apt::release::signature;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Folder of files by digest.
pub(super) const BY_HASH: &str = "by-hash";

/// Folder of decoded indexes, by the digest of the compressed file.
pub(super) const DECODED: &str = "decoded";

/// How the names of stamps of decoded indexes end.
pub(super) const STAMP: &str = "stamp";

/// Format of the memory file.
const FORMAT: u32 = 1;

/// Largest memory file.
const SIZE_LIMIT: u64 = 1 << 20;

/// The newest state of a pocket that was verified completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PocketMemory {
    format: u32,
    archive: String,
    pocket: String,
    suite: String,
    /// `Date` of the Release file.
    pub(super) date: Epoch,
    /// Its InRelease file.
    pub(super) inrelease: Digest,
    /// Address of that file; the validators below belong to it.
    pub(super) url: String,
    /// `ETag` of the answer.
    pub(super) etag: Option<String>,
    /// `Last-Modified` of the answer.
    pub(super) last_modified: Option<String>,
    /// Indexes of this state that any run has read: commands differ in the architectures and components they ask for.
    indexes: BTreeSet<Digest>,
}

impl PocketMemory {
    /// Returns what is remembered of a pocket. A file that cannot be read counts as missing, with a warning.
    pub(super) fn load(folder: &Path, pocket: &Pocket, reporter: &dyn ProgressReporter) -> Option<Self> {
        let path = memory_file(folder, pocket);
        let problem = match fs::read(&path, SIZE_LIMIT) {
            Err(error) if error.is_missing() => return None,
            Err(error) => error.to_string(),
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(memory) if memory.format <= FORMAT => return Some(memory),
                // a newer version of sockel wrote it
                Ok(memory) => format!("it has format {}", memory.format),
                Err(error) => error.to_string(),
            },
        };

        // an error would stop the build for good; without the memory the state in the lock still protects
        let title = pocket.title();
        reporter.event(ProgressEvent::Warning(format!(
            "pocket `{title}`: the memory that protects against rollback cannot be read and is replaced: {problem}"
        )));
        None
    }
}

/// Returns where a file is kept by its digest.
pub(super) fn by_hash(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(BY_HASH).join(digest.hex())
}

/// Returns where the decoded form of an index is kept.
pub(super) fn decoded(folder: &Path, index: &Digest) -> PathBuf {
    folder.join(DECODED).join(index.hex())
}

/// Remembers a state after all of it was verified. A newer state that another command has written meanwhile stays.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn keep(
    folder: &Path,
    pocket: &Pocket,
    served: &ServedInRelease,
    facts: &PocketState,
    mut indexes: BTreeSet<Digest>,
) -> Result<(), Error> {
    let path = memory_file(folder, pocket);
    let _lock = fs::lock(&path.with_extension("lock"), fs::LockMode::Exclusive)?;

    // read again under the lock, as another command may have changed it since `Memory::load`
    let before = fs::read(&path, SIZE_LIMIT).ok().and_then(|bytes| serde_json::from_slice::<PocketMemory>(&bytes).ok());
    if before.as_ref().is_some_and(|before| before.date > facts.date && !pocket.accept_older) {
        return Ok(());
    }

    // the file before the memory that names it: a kill in between must not leave a memory without its file
    let inrelease = facts.inrelease;
    let kept = by_hash(folder, &inrelease);
    if fs::size(&kept) != Some(served.bytes.len() as u64) {
        fs::write_atomic(&kept, &served.bytes)?;
    }

    if let Some(before) = before.as_ref().filter(|before| before.inrelease == inrelease) {
        indexes.extend(&before.indexes);
    }
    let memory = PocketMemory {
        format: FORMAT,
        archive: pocket.archive.clone(),
        pocket: pocket.name.clone(),
        suite: pocket.suite.clone(),
        date: facts.date,
        inrelease,
        url: served.url.clone(),
        etag: served.validators.etag.clone(),
        last_modified: served.validators.last_modified.clone(),
        indexes,
    };

    // most runs see the state that they know
    if before.as_ref() != Some(&memory) {
        let bytes = serde_json::to_vec_pretty(&memory).expect("strings and digests always serialise");
        fs::write_atomic(&path, &bytes)?;
    }
    Ok(())
}

/// Returns where the memory of a pocket is kept. What was seen belongs to an address and the keys that sign there, not to a
/// name: two projects may give one name to two archives, or two names to one. All mirrors of an archive share the memory.
fn memory_file(folder: &Path, pocket: &Pocket) -> PathBuf {
    let mut keys: Vec<String> = pocket.fingerprints.iter().map(|text| signature::normalized(text)).collect();
    keys.sort();
    let key = format!("{}\n{}\n{}", pocket.official, pocket.suite, keys.join("\n"));
    folder.join(format!("{}.json", Digest::of(key.as_bytes()).hex()))
}
