//! Content-addressed store: one folder a user, shared by all builds, safe against `kill -9` and parallel use.
//!
//! ```text
//! <store>/version            format of this folder, a number
//!         in-use             lock file: shared by every running command, exclusive for prune
//!         blobs/sha256/<hex> packages, layers, configurations, manifests (shaped like an OCI layout)
//!         packages/<hex>/    one unpacked package: `tree.json`, its `sum`, and `payload`
//!         results/<kind>/<hex>   small JSON answers by cache key, each with a seal
//!         archives/          InRelease memory and indexes, also decoded (owned by `apt::archive`)
//!         partial/<hex>      downloads that are not complete yet
//!         tmp/               files being written; emptied when nobody else is running
//! ```
//! Every file appears by rename, complete or not at all. Nothing here is needed for correctness: an empty store only
//! means more work. A store that cannot be written is read: what is complete in it is enough where nothing is made.
//!
//! # Whom it trusts
//! - **Other users**: nobody. The store is a folder of mode 0700 that sockel made for its user, below the given one where
//!   others can change that (see `place`). Links in place of its parts, parts of somebody else and parts that others may
//!   write to are refused before anything is removed, and nothing outside is ever removed. One thing remains: who owns
//!   a folder above the store can take the store away while a command runs; sockel warns of such a folder.
//! - **Disks, and people who edit files**: neither. Blobs, package trees and records have digests; what does not fit is
//!   made again from what it was made of (see `whole`), and what leaves is hashed on its way.
//! - **Who has the user's own rights** can change store, recipes and sockel itself: no store can stop them.

mod package;
mod place;
mod prune;
mod record;
mod whole;
mod writer;

pub use prune::Pruned;
pub use prune::Usage;
pub use prune::Verified;
pub use writer::BlobWriter;

use crate::store::place::Place;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::Stamp;
use crate::values::Digest;
use crate::values::shown::shown;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// File with the format of the store; made last.
const VERSION: &str = "version";

/// Lock file; made first.
const IN_USE: &str = "in-use";

/// Format of the store folder. A store with a higher number was written by a newer sockel and is left alone.
pub const FORMAT: u32 = 1;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The folder belongs to a newer version.
    #[error("cannot use store `{}`: it has format {found}, this sockel knows up to {FORMAT}", folder.display())]
    Newer {
        /// The store.
        folder: PathBuf,
        /// Its format.
        found: String,
    },
    /// The file with the format says something else.
    #[error("cannot use store: `{}` says `{found}`, which is no format", path.display())]
    Version {
        /// That file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The folder, or a part of it, is not ours alone to change.
    #[error("cannot use store `{}`: {cause}", path.display())]
    Unsafe {
        /// Which folder.
        path: PathBuf,
        /// Whose it is, or what.
        cause: String,
    },
    /// Bytes do not have the digest that they were stored or asked for under.
    #[error("cannot use {expected}: its bytes have digest {found}")]
    WrongDigest {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Newer { .. } => vec!["use the newer sockel, or another folder with `--store DIR`".to_owned()],
            Self::Version { path, .. } => vec![format!(
                "if the folder is a store, remove `{}`: everything in it has a digest of its own; else name another one with `--store DIR`",
                path.display()
            )],
            Self::File(error) => error.hints(),
            Self::Unsafe { path, .. } => vec![format!(
                "look at `{}` and remove it if it is not needed, or name another folder with `--store DIR`",
                path.display()
            )],
            Self::WrongDigest { .. } => {
                vec!["the store is damaged: another try makes the damaged part again; `sockel cache verify` looks at all of it".to_owned()]
            }
        }
    }
}

/// An open store. Holds a shared lock, so that nothing is pruned under a running command.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    warning: Option<String>,
    _in_use: Option<File>,
}

impl Store {
    /// Opens the store in `folder`, or below it, making it when it is not there.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unsafe`], or when the folder cannot be made or locked.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let Place { folder, warning } = place::find(folder)?;
        let version = folder.join(VERSION);
        let is_new = match fs::read_text(&version, 64) {
            // a machine that lost power may leave an empty file; what is in the store has digests of its own
            Ok(text) if text.trim().is_empty() => true,
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(number) if number <= FORMAT => false,
                Ok(_) => return Err(Error::Newer { folder, found: text.trim().to_owned() }),
                Err(_) => return Err(Error::Version { path: version, found: shown(text.trim()) }),
            },
            Err(error) if error.is_missing() => true,
            Err(error) => return Err(error.into()),
        };
        let in_use = folder.join(IN_USE);
        let alone = match fs::try_lock(&in_use) {
            // no lock file means that nobody can write here either
            Err(error) if error.is_read_only() => {
                place::parts(&folder)?;
                return Ok(Self { folder, warning, _in_use: fs::lock_existing(&in_use).ok() });
            }
            other => other?,
        };
        place::parts(&folder)?;
        if alone.is_some() {
            clean(&folder)?;
        }
        drop(alone);
        let store = Self { folder, warning, _in_use: Some(fs::lock(&in_use, fs::Lock::Shared)?) };
        if is_new {
            store.put(&version, format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(store)
    }

    /// Returns what a person should know about the place of the store.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Removes a folder that stands where a file of the store belongs; a file is replaced by the one that takes its name.
    fn make_way(path: &Path) -> Result<(), Error> {
        if own::look(path)?.is_some_and(|found| found.is_dir) {
            fs::remove_dir(path)?;
        }
        Ok(())
    }

    /// Writes a file by way of `tmp/`, where a killed command's left-overs are found.
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

    /// Returns where a blob is, or would be.
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
        if !self.has_blob(&digest, bytes.len() as u64) {
            let mut writer = self.writer()?;
            writer.write(bytes)?;
            writer.finish()?;
        }
        Ok(digest)
    }

    /// Remembers that a blob is in a repository, so that its bytes are not needed here; `place` stands for registry and
    /// repository, `name` is for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_elsewhere(&self, digest: &Digest, place: &Digest, name: &str) -> Result<(), Error> {
        self.keep(ELSEWHERE, &elsewhere(digest, place), &name)
    }

    /// Tells whether a blob was said to be at this place.
    #[must_use]
    pub fn is_elsewhere(&self, digest: &Digest, place: &Digest) -> bool {
        self.result::<String>(ELSEWHERE, &elsewhere(digest, place)).is_some()
    }

    /// Forgets that a blob is at this place: it was not.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget_elsewhere(&self, digest: &Digest, place: &Digest) -> Result<(), Error> {
        self.forget(ELSEWHERE, &elsewhere(digest, place))
    }

    /// Starts a blob whose digest is not known yet.
    ///
    /// # Errors
    /// When no temporary file can be made.
    pub fn writer(&self) -> Result<BlobWriter<'_>, Error> {
        BlobWriter::new(self)
    }

    /// Returns where a download that is not complete yet is kept.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.folder.join("partial").join(digest.hex())
    }

    /// Makes a completed and verified partial download a blob.
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

    /// Remembers that a blob is whole that was just written.
    fn stamp_blob(&self, digest: &Digest) {
        if let Some(stamp) = Stamp::of(&self.blob(digest)) {
            self.stamp(digest, stamp);
        }
    }
}

/// Kind of records that say where else a blob is.
const ELSEWHERE: &str = "elsewhere";

fn elsewhere(digest: &Digest, place: &Digest) -> Digest {
    Digest::of(format!("{digest} at {place}").as_bytes())
}

/// Removes what killed commands left, when nobody else is running.
fn clean(folder: &Path) -> Result<(), Error> {
    let remove = |part: &str, is_litter: fn(&String) -> bool| {
        let part = folder.join(part);
        for name in fs::list(&part)?.into_iter().filter(is_litter) {
            fs::remove_any(&part.join(name))?;
        }
        Ok(())
    };
    for part in ["tmp", "archives", "archives/by-hash", "archives/decoded"] {
        remove(part, |name| name.starts_with(fs::TEMPORARY))?;
    }
    // partial downloads are gone on with; a lock whose download was completed would stay for ever
    remove("partial", |name| name.ends_with(".lock"))
}

#[cfg(test)]
mod tests;
