//! Writes a blob: into a temporary file, hashed while writing, then renamed.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::DigestHasher;
use std::io::Write;

/// A blob being written; removed without a trace unless finished.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: tempfile::NamedTempFile,
    hasher: DigestHasher,
}

impl<'a> BlobWriter<'a> {
    pub(crate) fn new(store: &'a Store) -> Result<Self, Error> {
        // in the store itself, so that the rename at the end stays within one file system
        let file = fs::temporary(&store.folder().join("tmp"))?;
        Ok(Self { store, file, hasher: DigestHasher::default() })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When they cannot be written, with the blob's temporary path.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|cause| fs::Error::new("write", self.file.path(), cause).into())
    }

    /// Returns how many bytes were written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// Completes the blob under the digest of its bytes; returns digest and size.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn finish(self) -> Result<(Digest, u64), Error> {
        let size = self.hasher.length();
        let digest = self.hasher.finish();
        let path = self.store.blob(&digest);
        Store::make_way(&path)?;
        fs::publish(self.file, &path)?;
        self.store.stamp_blob(&digest);
        Ok((digest, size))
    }

    /// Completes the blob, which must have this digest.
    ///
    /// # Errors
    /// [`Error::WrongDigest`]; nothing is then kept.
    pub fn finish_as(self, expected: &Digest) -> Result<u64, Error> {
        // before the rename: a wrong blob never has a name in the store
        let found = self.hasher.clone().finish();
        if found != *expected {
            return Err(Error::WrongDigest { expected: *expected, found });
        }

        let (_, size) = self.finish()?;
        Ok(size)
    }
}
