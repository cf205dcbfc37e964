//! Content-addressed store: one folder a machine, shared by all builds, safe against `kill -9` and parallel use.
//!
//! ```text
//! <store>/version            format of this folder, a number
//!         in-use             lock file: shared by every running command, exclusive for prune
//!         blobs/sha256/<hex> packages, layers, configurations, manifests (shaped like an OCI layout)
//!         packages/<hex>/    one unpacked package: `tree.json` and `payload`
//!         results/<kind>/<hex>   small JSON answers by cache key
//!         archives/          InRelease memory and indexes, also decoded (owned by `apt::archive`)
//!         partial/<hex>      downloads that are not complete yet
//!         tmp/               files being written; emptied when nobody else is running
//! ```
//! Every file appears by rename, complete or not at all. Nothing here is needed for correctness: an empty store only
//! means more work.

mod prune;
mod writer;

pub use prune::Pruned;
pub use prune::Usage;
pub use prune::Verified;
pub use writer::BlobWriter;

use crate::sys::fs;
use crate::values::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// Format of the store folder. A store with a higher number was written by a newer sockel and is left alone.
pub const FORMAT: u32 = 1;

/// Largest JSON record that is read back.
const RECORD_LIMIT: u64 = 256 << 20;

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
            Self::File(error) => error.hints(),
            Self::WrongDigest { .. } => vec!["the store is damaged: mend it with `sockel cache verify`".to_owned()],
        }
    }
}

/// An open store. Holds a shared lock, so that nothing is pruned under a running command.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _in_use: File,
}

impl Store {
    /// Opens the store in `folder`, making it when it is not there.
    ///
    /// # Errors
    /// [`Error::Newer`], or when the folder cannot be made or locked.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let version = folder.join("version");
        let is_new = match fs::read_text(&version, 64) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(number) if number <= FORMAT => false,
                _ => return Err(Error::Newer { folder: folder.to_owned(), found: text.trim().to_owned() }),
            },
            Err(error) if error.is_missing() => true,
            Err(error) => return Err(error.into()),
        };
        for part in ["blobs/sha256", "packages", "results", "archives", "partial", "tmp"] {
            fs::create_dir(&folder.join(part))?;
        }
        // left-overs of killed commands can go when nobody else is running
        let lock = folder.join("in-use");
        if let Some(_alone) = fs::try_lock(&lock)? {
            for name in fs::list(&folder.join("tmp"))? {
                fs::remove_any(&folder.join("tmp").join(name))?;
            }
            // partial downloads are gone on with; a lock whose download was completed would stay for ever
            for name in fs::list(&folder.join("partial"))?.iter().filter(|name| name.ends_with(".lock")) {
                fs::remove(&folder.join("partial").join(name))?;
            }
        }
        let store = Self { folder: folder.to_owned(), _in_use: fs::lock(&lock, fs::Lock::Shared)? };
        if is_new {
            store.put(&version, format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(store)
    }

    /// Writes a file by way of `tmp/`, where a killed command's left-overs are found.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
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

    /// Tells whether a blob of this size is there. Bytes are verified when they are written and by `cache verify`.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        fs::size(&self.blob(digest)) == Some(size)
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

    /// Remembers that a blob is in a repository of the registry, so that its bytes are not needed here.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_elsewhere(&self, digest: &Digest, repository: &str) -> Result<(), Error> {
        self.keep("elsewhere", digest, &repository)
    }

    /// Tells whether a blob was said to be elsewhere.
    #[must_use]
    pub fn is_elsewhere(&self, digest: &Digest) -> bool {
        self.result::<String>("elsewhere", digest).is_some()
    }

    /// Starts a blob whose digest is not known yet.
    ///
    /// # Errors
    /// When no temporary file can be made.
    pub fn writer(&self) -> Result<BlobWriter, Error> {
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
        Ok(fs::rename(partial, &self.blob(digest))?)
    }

    /// Returns the folder of archive memory and indexes.
    #[must_use]
    pub fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    /// Returns the folder of an unpacked package, which may not exist.
    #[must_use]
    pub fn package(&self, key: &Digest) -> PathBuf {
        self.folder.join("packages").join(key.hex())
    }

    /// Tells whether a package still has to be unpacked.
    #[must_use]
    pub fn package_is_missing(&self, key: &Digest) -> bool {
        let folder = self.package(key);
        fs::size(&folder.join("tree.json")).is_none() || fs::size(&folder.join("payload")).is_none()
    }

    /// Makes an empty temporary folder, for [`Store::publish_package`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn package_draft(&self) -> Result<tempfile::TempDir, Error> {
        Ok(fs::temporary_dir(&self.folder.join("tmp"))?)
    }

    /// Gives a finished package folder its name; when another command was faster, its result is kept. What is there but
    /// not complete makes room.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn publish_package(&self, draft: tempfile::TempDir, key: &Digest) -> Result<(), Error> {
        let target = self.package(key);
        let mut renamed = fs::rename(draft.path(), &target);
        if renamed.is_err() && self.package_is_missing(key) {
            fs::remove_any(&target)?;
            renamed = fs::rename(draft.path(), &target);
        }
        match renamed {
            Ok(()) => {
                let _renamed = draft.keep();
                Ok(())
            }
            Err(_) if !self.package_is_missing(key) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the answer kept under a cache key. A record that cannot be read counts as not there.
    #[must_use]
    pub fn result<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.record(kind, key), RECORD_LIMIT).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps an answer under a cache key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep<T: Serialize>(&self, kind: &str, key: &Digest, answer: &T) -> Result<(), Error> {
        let path = self.record(kind, key);
        fs::create_dir(&self.folder.join("results").join(kind))?;
        let bytes = serde_json::to_vec(answer).expect("records have string keys and serialise");
        self.put(&path, &bytes)
    }

    fn record(&self, kind: &str, key: &Digest) -> PathBuf {
        self.folder.join("results").join(kind).join(key.hex())
    }
}

#[cfg(test)]
mod tests;
