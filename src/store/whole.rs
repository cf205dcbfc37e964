//! Tells whether bytes are unchanged, without reading them each time.
//!
//! Bytes that were hashed once have a [`FileStamp`], which is kept; as long as the file still has it, the bytes count as
//! unchanged. Otherwise they are hashed again, and damaged ones are removed, so that they are made again. What leaves the
//! store is hashed in any case.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::own::FileStamp;
use crate::values::Digest;
use std::path::Path;

/// Kind of the records.
const WHOLE: &str = "whole";

impl Store {
    /// Tells whether the store has an undamaged blob of this size. A damaged one is removed.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        FileStamp::of(&self.blob(digest)).is_some_and(|stamp| stamp.size == size) && self.has_whole_blob(digest)
    }

    /// Tells whether the store has an undamaged blob. A damaged one is removed.
    #[must_use]
    pub fn has_whole_blob(&self, digest: &Digest) -> bool {
        let path = self.blob(digest);
        let Some(stamp) = FileStamp::of(&path) else { return false };
        if self.is_stamped(digest, stamp) {
            return true;
        }

        let is_whole = fs::digest_of(&path).is_ok_and(|found| found == *digest);
        // another command may have put a whole blob there in the meantime, which must not be removed, and a stamp from
        // before the hashing must not vouch for bytes from after it
        let is_same = FileStamp::of(&path) == Some(stamp);
        match (is_whole, is_same) {
            (true, true) => self.stamp(digest, stamp),
            (false, true) => drop(fs::remove(&path)),
            _ => {}
        }
        is_whole
    }

    /// Writes a blob to a file outside the store, and verifies its digest on the way.
    ///
    /// # Errors
    /// [`Error::WrongDigest`] when the blob is damaged: it is removed, and the file is left as it was.
    pub fn give(&self, digest: &Digest, to: &Path) -> Result<(), Error> {
        let path = self.blob(digest);
        if fs::copy_verified(&path, to, digest)? {
            return Ok(());
        }
        Err(self.damaged(digest))
    }

    /// Removes a blob whose bytes have just proved wrong; returns the error to report.
    #[must_use]
    pub fn damaged(&self, digest: &Digest) -> Error {
        let found = fs::digest_of(&self.blob(digest)).unwrap_or_else(|_| Digest::of(b""));

        // without its stamp the check hashes the blob, and removes it unless another command has replaced it
        self.doubt(digest);
        let _is_gone = self.has_whole_blob(digest);
        Error::WrongDigest { expected: *digest, found }
    }

    /// Forgets that a blob or package was whole: the next check reads all of it.
    pub fn doubt(&self, key: &Digest) {
        // a record that cannot be removed is on a read-only disk, where nothing can be repaired
        let _stays = self.forget(WHOLE, key);
    }

    /// Tells whether bytes with this stamp were found whole.
    #[must_use]
    pub fn is_stamped(&self, key: &Digest, stamp: FileStamp) -> bool {
        self.result(WHOLE, key) == Some(stamp)
    }

    /// Remembers that bytes with this stamp are whole.
    pub fn stamp(&self, key: &Digest, stamp: FileStamp) {
        // a stamp that cannot be kept only costs another hashing
        let _not_kept = self.keep(WHOLE, key, &stamp);
    }
}
