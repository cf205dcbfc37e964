//! Content-addressed store: one folder per user, shared by all builds, safe against `kill -9` and parallel use.
//!
//! ```text
//! <store>/version            format of this folder, a number
//!         in-use             lock file: shared by every running command, exclusive for prune
//!         blobs/sha256/<hex> packages, layers, configurations, manifests (shaped like an OCI layout)
//!         packages/<hex>/    one unpacked package: `tree.json`, its `sum`, and `payload`
//!         results/<kind>/<hex>   small JSON records by cache key, each with a seal
//!         archives/          InRelease memory and indexes, also decoded (owned by `apt::archive`); OSV feeds (`advisory`)
//!         leases/            locks of scheduled runs (owned by `update`)
//!         partial/<hex>      incomplete downloads
//!         tmp/               files being written; emptied when no other command is running
//! ```
//! Every file appears by rename, complete or not at all. Correctness needs nothing of this: an empty store only means
//! more work. A read-only store serves all commands that add nothing to it.
//!
//! # Whom it trusts
//! - **Other users**: not at all. The store is a folder of mode 0700 that sockel made for its user, below the configured
//!   one where others can change that (see `place`). Links in place of its parts, parts that belong to another user, and
//!   parts that others may write to are refused before anything is removed, and nothing outside is ever removed. One
//!   risk remains: the owner of a folder above the store can take the store away while a command runs; sockel warns of
//!   such a folder.
//! - **Disks, and people who edit files**: not at all. Blobs, package trees and records have digests; what does not match
//!   is made again from its sources (see `whole`), and what leaves the store is hashed on its way.
//! - **Processes with the user's own rights** can change the store, the recipes and sockel itself: no store can stop them.

mod package;
mod place;
mod prune;
mod record;
mod whole;
mod writer;

pub use prune::PrunedFiles;
pub use prune::StoreUsage;
pub use prune::StoreVerification;
pub use writer::BlobWriter;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::store::place::StorePlace;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::FileStamp;
use crate::values::Digest;
use crate::values::shown::shown;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// File with the format of the store; created last.
const VERSION: &str = "version";

/// Lock file; created first.
const IN_USE: &str = "in-use";

/// Format of the store folder. A store with a higher number is a newer sockel's and is left alone.
pub const FORMAT: u32 = 1;

/// A store cannot be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A newer sockel made the folder.
    #[error("cannot use store `{}`: it has format {found}, this sockel supports up to {FORMAT}", folder.display())]
    Newer {
        /// Folder of the store.
        folder: PathBuf,
        /// Format of the store.
        found: String,
    },
    /// The file with the format says something else.
    #[error("cannot use store: `{}` says `{found}`, which is no format", path.display())]
    Version {
        /// Path of that file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Others can change the folder or a part of it.
    #[error("cannot use store `{}`: {cause}", path.display())]
    Unsafe {
        /// Path of the folder.
        path: PathBuf,
        /// Who can change it, or what it is instead of a folder.
        cause: String,
    },
    /// Bytes do not have the digest that they were stored or asked for under.
    #[error("cannot use {expected}: its bytes have digest {found}")]
    WrongDigest {
        /// The digest that the bytes should have.
        expected: Digest,
        /// The digest that they have.
        found: Digest,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::File(error) => error.turn(),
            Self::Newer { .. } | Self::Version { .. } | Self::Unsafe { .. } => Turn::Input,
            Self::WrongDigest { .. } => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Newer { .. } => vec!["use the newer sockel, or another folder with `--store DIR`".to_owned()],
            Self::Version { path, .. } => vec![format!(
                "if the folder is a store, remove `{}`: everything in it has a digest of its own; otherwise name another folder with `--store DIR`",
                path.display()
            )],
            Self::File(error) => error.hints(),
            Self::Unsafe { path, .. } => vec![format!(
                "look at `{}` and remove it if it is not needed, or name another folder with `--store DIR`",
                path.display()
            )],
            Self::WrongDigest { .. } => {
                vec![
                    "the store is damaged: run the command again to replace the damaged part; `sockel cache verify` checks the whole store".to_owned(),
                ]
            }
        }
    }
}

/// An open store. Holds a shared lock, so that no `prune` removes files from under a running command.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    warning: Option<String>,
    _in_use: Option<File>,
}

impl Store {
    /// Opens the store in `folder`, or below it, and creates it if needed.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unsafe`], or when the folder cannot be created or locked.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let StorePlace { folder, warning } = place::find(folder)?;
        let is_new = is_new(&folder)?;

        let in_use = folder.join(IN_USE);
        let exclusive = match fs::try_lock(&in_use) {
            // a read-only store: no other command can write here either, with or without a lock
            Err(error) if error.is_read_only() => {
                place::parts(&folder)?;
                return Ok(Self { folder, warning, _in_use: fs::lock_existing(&in_use).ok() });
            }
            other => other?,
        };

        // the parts are checked before anything in them is removed: one may be a link to somewhere else
        place::parts(&folder)?;
        if exclusive.is_some() {
            clean(&folder)?;
        }
        // flock(2) cannot turn an exclusive lock into a shared one atomically, so it is released first
        drop(exclusive);
        let store = Self { folder, warning, _in_use: Some(fs::lock(&in_use, fs::LockMode::Shared)?) };

        if is_new {
            store.put(&store.folder.join(VERSION), format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(store)
    }

    /// Returns what people should know about the place of the store.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Removes a folder that stands where a file of the store belongs. A file is replaced by the one that takes its name.
    fn make_way(path: &Path) -> Result<(), Error> {
        if own::look(path)?.is_some_and(|found| found.is_dir) {
            fs::remove_dir(path)?;
        }
        Ok(())
    }

    /// Writes a file by way of `tmp/`, where the leftovers of a killed command are cleaned up.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        Self::make_way(path)?;
        let mut file = fs::temporary(&self.folder.join("tmp"))?;
        file.write_all(bytes).map_err(|cause| fs::Error::new("write", path, cause))?;
        Ok(fs::publish(file, path)?)
    }

    /// Returns the store's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a blob, which may not exist.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Stores small bytes as a blob and returns their digest.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        // a damaged blob counts as missing and is written again
        if !self.has_blob(&digest, bytes.len() as u64) {
            let mut writer = self.writer()?;
            writer.write(bytes)?;
            writer.finish()?;
        }
        Ok(digest)
    }

    /// Remembers that a blob is in a repository, so that its bytes are not needed here; `place` identifies registry and
    /// repository, `name` is their name for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_elsewhere(&self, digest: &Digest, place: &Digest, name: &str) -> Result<(), Error> {
        self.keep(ELSEWHERE, &elsewhere(digest, place), &name)
    }

    /// Tells whether a blob is remembered to be in this repository.
    #[must_use]
    pub fn is_elsewhere(&self, digest: &Digest, place: &Digest) -> bool {
        self.result::<String>(ELSEWHERE, &elsewhere(digest, place)).is_some()
    }

    /// Forgets that a blob is in this repository, because it was not found there.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget_elsewhere(&self, digest: &Digest, place: &Digest) -> Result<(), Error> {
        self.forget(ELSEWHERE, &elsewhere(digest, place))
    }

    /// Starts to write a blob whose digest is not known yet.
    ///
    /// # Errors
    /// When no temporary file can be created.
    pub fn writer(&self) -> Result<BlobWriter<'_>, Error> {
        BlobWriter::new(self)
    }

    /// Returns the path of an incomplete download.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.folder.join("partial").join(digest.hex())
    }

    /// Turns a completed and verified download into a blob.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn adopt(&self, partial: &Path, digest: &Digest) -> Result<(), Error> {
        Self::make_way(&self.blob(digest))?;
        fs::rename(partial, &self.blob(digest))?;
        self.stamp_blob(digest);
        Ok(())
    }

    /// Returns the folder of archive memory and indexes.
    #[must_use]
    pub fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    /// Remembers that a blob that was just written is whole.
    fn stamp_blob(&self, digest: &Digest) {
        if let Some(stamp) = FileStamp::of(&self.blob(digest)) {
            self.stamp(digest, stamp);
        }
    }
}

/// Kind of records that tell where else a blob is.
const ELSEWHERE: &str = "elsewhere";

/// Returns the key of the record about one blob in one repository.
fn elsewhere(digest: &Digest, place: &Digest) -> Digest {
    Digest::of(format!("{digest} at {place}").as_bytes())
}

/// Tells whether a store has no format yet; a newer format is an error.
fn is_new(folder: &Path) -> Result<bool, Error> {
    let path = folder.join(VERSION);
    let text = match fs::read_text(&path, 64) {
        Err(error) if error.is_missing() => return Ok(true),
        other => other?,
    };

    match text.trim().parse::<u32>() {
        Ok(format) if format <= FORMAT => Ok(false),
        Ok(_) => Err(Error::Newer { folder: folder.to_owned(), found: text.trim().to_owned() }),
        // a machine that lost power may leave an empty file; what is in the store has digests of its own
        Err(_) if text.trim().is_empty() => Ok(true),
        Err(_) => Err(Error::Version { path, found: shown(text.trim()) }),
    }
}

/// Removes what killed commands left behind. Only for a command that has the store to itself: to any other the temporary
/// files of a running one look the same.
fn clean(folder: &Path) -> Result<(), Error> {
    for part in ["tmp", "archives", "archives/by-hash", "archives/decoded"] {
        let part = folder.join(part);
        for name in fs::list(&part)?.iter().filter(|name| name.starts_with(fs::TEMPORARY)) {
            fs::remove_any(&part.join(name))?;
        }
    }

    // partial downloads stay and are resumed; nobody would remove the lock of one that was completed
    let partial = folder.join("partial");
    for name in fs::list(&partial)?.iter().filter(|name| name.ends_with(".lock")) {
        fs::remove_any(&partial.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
