//! What was seen of a pocket before: protects against rollback and saves downloads.
//!
//! ```text
//! <folder>/<key>.json       the newest state of a pocket, see `Memory`; kept by `cache prune`
//!          <key>.lock       held while that file changes
//!          by-hash/<hex>    InRelease files and compressed indexes by their SHA-256; may be removed at any time. States of
//!                           the past stay until `cache prune`: they prove the locks that name them
//!          decoded/<hex>    what became of such an index, see `decoded`; goes with it
//!          decoded/<hex>.stamp   what that file was like when all of it was right
//! ```

use crate::apt::archive::Error;
use crate::apt::archive::Facts;
use crate::apt::archive::Pocket;
use crate::apt::archive::mirrors::Served;
use crate::report::Event;
use crate::report::Reporter;
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
pub(super) struct Memory {
    format: u32,
    archive: String,
    pocket: String,
    suite: String,
    /// `Date` of the Release file.
    pub(super) date: Epoch,
    /// Its InRelease file.
    pub(super) inrelease: Digest,
    /// Where that came from; the validators below belong to this address.
    pub(super) url: String,
    /// `ETag` of the answer.
    pub(super) etag: Option<String>,
    /// `Last-Modified` of the answer.
    pub(super) last_modified: Option<String>,
    /// Indexes of this state that were read, for all architectures and components so far.
    indexes: BTreeSet<Digest>,
}

impl Memory {
    /// Returns what is remembered of a pocket. A file that cannot be read counts as none, with a warning.
    pub(super) fn load(folder: &Path, pocket: &Pocket, reporter: &dyn Reporter) -> Option<Self> {
        let path = file(folder, pocket);
        let problem = match fs::read(&path, SIZE_LIMIT) {
            Err(error) if error.is_missing() => return None,
            Err(error) => error.to_string(),
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(memory) if memory.format <= FORMAT => return Some(memory),
                Ok(memory) => format!("it has format {}", memory.format),
                Err(error) => error.to_string(),
            },
        };
        let title = pocket.title();
        reporter.event(Event::Warning(format!(
            "pocket `{title}`: the memory that protects against rollback is lost and begins anew: {problem}"
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

/// Remembers a state after all of it was verified. A newer state, written by another command meanwhile, stays.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn keep(
    folder: &Path,
    pocket: &Pocket,
    served: &Served,
    facts: &Facts,
    mut indexes: BTreeSet<Digest>,
) -> Result<(), Error> {
    let path = file(folder, pocket);
    let _lock = fs::lock(&path.with_extension("lock"), fs::Lock::Exclusive)?;
    let before = fs::read(&path, SIZE_LIMIT).ok().and_then(|bytes| serde_json::from_slice::<Memory>(&bytes).ok());
    if before.as_ref().is_some_and(|before| before.date > facts.date && !pocket.accept_older) {
        return Ok(());
    }
    let inrelease = facts.inrelease;
    let kept = by_hash(folder, &inrelease);
    if fs::size(&kept) != Some(served.bytes.len() as u64) {
        fs::write_atomic(&kept, &served.bytes)?;
    }
    if let Some(before) = before.as_ref().filter(|before| before.inrelease == inrelease) {
        indexes.extend(&before.indexes);
    }
    let memory = Memory {
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
    if before.as_ref() != Some(&memory) {
        let bytes = serde_json::to_vec_pretty(&memory).expect("strings and digests always serialise");
        fs::write_atomic(&path, &bytes)?;
    }
    Ok(())
}

/// Origin and label are part of the key: two archives of one name do not share a memory.
fn file(folder: &Path, pocket: &Pocket) -> PathBuf {
    let parts = [&pocket.archive, &pocket.name, &pocket.suite, &pocket.origin, &pocket.label];
    let key = parts.map(String::as_str).join("\n");
    folder.join(format!("{}.json", Digest::of(key.as_bytes()).hex()))
}
