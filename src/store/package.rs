//! Unpacked packages: a folder with `tree.json`, `payload`, and `sum`, which holds the digest of `tree.json`. The tree
//! holds the digests of all contents of the payload, so the three are bound together.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::own::FileStamp;
use crate::values::Digest;
use std::path::PathBuf;

/// Largest `tree.json` that is read back: far above that of any package, and still one that memory can hold.
const TREE_LIMIT: u64 = 512 << 20;

impl Store {
    /// Returns the folder of an unpacked package, which may not exist.
    #[must_use]
    pub fn package(&self, key: &Digest) -> PathBuf {
        self.folder.join("packages").join(key.hex())
    }

    /// Returns the `tree.json` of a package, if it is undamaged and has a payload.
    #[must_use]
    pub fn package_tree(&self, key: &Digest) -> Option<Vec<u8>> {
        let folder = self.package(key);
        // a payload that is a link or a folder has no stamp; its bytes are checked when they are read
        FileStamp::of(&folder.join("payload"))?;

        let sum = fs::read_text(&folder.join("sum"), 100).ok()?;
        let bytes = fs::read(&folder.join("tree.json"), TREE_LIMIT).ok()?;
        (sum.trim_end().parse() == Ok(Digest::of(&bytes))).then_some(bytes)
    }

    /// Tells whether the payload is unchanged since it was last found whole.
    #[must_use]
    pub fn payload_is_stamped(&self, key: &Digest) -> bool {
        FileStamp::of(&self.package(key).join("payload")).is_some_and(|stamp| self.is_stamped(key, stamp))
    }

    /// Remembers that the payload is whole.
    pub fn stamp_payload(&self, key: &Digest) {
        if let Some(stamp) = FileStamp::of(&self.package(key).join("payload")) {
            self.stamp(key, stamp);
        }
    }

    /// Creates an empty temporary folder, for [`Store::publish_package`].
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn package_draft(&self) -> Result<tempfile::TempDir, Error> {
        Ok(fs::temporary_dir(&self.folder.join("tmp"))?)
    }

    /// Gives a finished package folder its name. When another command was faster, its result is kept; a damaged one is
    /// replaced.
    ///
    /// # Errors
    /// When it cannot be written or renamed.
    pub fn publish_package(&self, draft: tempfile::TempDir, tree: &[u8], key: &Digest) -> Result<(), Error> {
        fs::write_atomic(&draft.path().join("tree.json"), tree)?;
        fs::write_atomic(&draft.path().join("sum"), format!("{}\n", Digest::of(tree)).as_bytes())?;

        let target = self.package(key);
        let mut renamed = fs::rename(draft.path(), &target);
        // rename(2) replaces no folder that has something in it
        if renamed.is_err() && self.package_tree(key).is_none() {
            fs::remove_any(&target)?;
            renamed = fs::rename(draft.path(), &target);
        }

        match renamed {
            Ok(()) => {
                // the folder has moved: dropping the draft must not remove anything
                let _renamed = draft.keep();
                self.stamp_payload(key);
                Ok(())
            }
            // between the two renames another command may have published the same package
            Err(_) if self.package_tree(key).is_some() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a package, so that it is unpacked again.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    pub fn remove_package(&self, key: &Digest) -> Result<(), Error> {
        self.doubt(key);
        Ok(fs::remove_any(&self.package(key))?)
    }
}
