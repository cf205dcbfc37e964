//! Unpacked packages: a folder with `tree.json`, `payload`, and `sum`, which has the digest of `tree.json`. The tree has
//! the digests of all that is in the payload, so the three are bound together.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::own::Stamp;
use crate::values::Digest;
use std::path::PathBuf;

/// Largest `tree.json` that is read back.
const TREE_LIMIT: u64 = 512 << 20;

impl Store {
    /// Returns the folder of an unpacked package, which may not exist.
    #[must_use]
    pub fn package(&self, key: &Digest) -> PathBuf {
        self.folder.join("packages").join(key.hex())
    }

    /// Returns the `tree.json` of a package, if it is the one that was written and there is a payload.
    #[must_use]
    pub fn package_tree(&self, key: &Digest) -> Option<Vec<u8>> {
        let folder = self.package(key);
        Stamp::of(&folder.join("payload"))?;
        let sum = fs::read_text(&folder.join("sum"), 100).ok()?;
        let bytes = fs::read(&folder.join("tree.json"), TREE_LIMIT).ok()?;
        (sum.trim_end().parse() == Ok(Digest::of(&bytes))).then_some(bytes)
    }

    /// Tells whether the payload is the very file that was last seen to be whole.
    #[must_use]
    pub fn payload_is_stamped(&self, key: &Digest) -> bool {
        Stamp::of(&self.package(key).join("payload")).is_some_and(|stamp| self.is_stamped(key, stamp))
    }

    /// Remembers that the payload is whole.
    pub fn stamp_payload(&self, key: &Digest) {
        if let Some(stamp) = Stamp::of(&self.package(key).join("payload")) {
            self.stamp(key, stamp);
        }
    }

    /// Makes an empty temporary folder, for [`Store::publish_package`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn package_draft(&self) -> Result<tempfile::TempDir, Error> {
        Ok(fs::temporary_dir(&self.folder.join("tmp"))?)
    }

    /// Gives a finished package folder its name; when another command was faster, its result is kept. What is there but
    /// damaged makes room.
    ///
    /// # Errors
    /// When it cannot be written or renamed.
    pub fn publish_package(&self, draft: tempfile::TempDir, tree: &[u8], key: &Digest) -> Result<(), Error> {
        fs::write_atomic(&draft.path().join("tree.json"), tree)?;
        fs::write_atomic(&draft.path().join("sum"), format!("{}\n", Digest::of(tree)).as_bytes())?;
        let target = self.package(key);
        let mut renamed = fs::rename(draft.path(), &target);
        if renamed.is_err() && self.package_tree(key).is_none() {
            fs::remove_any(&target)?;
            renamed = fs::rename(draft.path(), &target);
        }
        match renamed {
            Ok(()) => {
                let _renamed = draft.keep();
                self.stamp_payload(key);
                Ok(())
            }
            Err(_) if self.package_tree(key).is_some() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a package, so that it is unpacked anew.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_package(&self, key: &Digest) -> Result<(), Error> {
        self.doubt(key);
        Ok(fs::remove_any(&self.package(key))?)
    }
}
