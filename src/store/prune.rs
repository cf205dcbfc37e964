//! What a store holds, what may go, and whether its bytes are still what their names say.

use crate::store::Error;
use crate::store::Store;
use crate::store::record;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Digest;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Bytes and files of one part of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Part: `blobs`, `packages`, `results`, `archives`, `partial`.
    pub part: &'static str,
    /// Number of files.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What [`Store::prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Number of files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Blobs and unpacked packages whose bytes were read.
    pub checked: u64,
    /// Names of those that were damaged; they were removed and will be made anew when needed.
    pub removed: Vec<String>,
}

const PARTS: [&str; 5] = ["blobs", "packages", "results", "archives", "partial"];

/// InRelease files and compressed indexes by digest, see `apt::archive`.
const INDEXES: &str = "archives/by-hash";

/// Indexes in their decoded form, under the same names.
const DECODED: &str = "archives/decoded";

impl Store {
    /// Returns what the store holds, part by part.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn usage(&self) -> Result<Vec<Usage>, Error> {
        let mut usage = Vec::new();
        for part in PARTS {
            let files = fs::walk(&self.folder.join(part))?;
            let bytes = files.iter().map(|file| file.size).sum();
            usage.push(Usage { part, files: files.len() as u64, bytes });
        }
        Ok(usage)
    }

    /// Removes what was not used for `age` seconds; 0 empties the store. The memory of archives stays, because it
    /// protects against rollback, and so do the `kept` InRelease files and indexes, which prove locks.
    ///
    /// # Errors
    /// When another command is running, or a file cannot be removed.
    pub fn prune(self, age: u64, kept: &BTreeSet<Digest>) -> Result<Pruned, Error> {
        let Self { folder, _in_use, .. } = self;
        drop(_in_use);
        let _alone = fs::lock(&folder.join("in-use"), fs::Lock::Exclusive)?;
        let limit = clock::now().0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        let mut pruned = Pruned::default();
        for part in ["blobs", "packages", "results", "partial", INDEXES] {
            for file in fs::walk(&folder.join(part))? {
                let name = file.path.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok());
                if part == INDEXES && name.is_some_and(|name| kept.contains(&name)) {
                    continue;
                }
                if age == 0 || last_use(&file, &folder) < limit {
                    fs::remove(&file.path)?;
                    pruned.files += 1;
                    pruned.bytes += file.size;
                }
            }
        }
        // what was made from an index goes with it
        for file in fs::walk(&folder.join(DECODED))? {
            // a stamp is named as the index that it is for
            let index = file.path.file_stem().map(|name| folder.join(INDEXES).join(name));
            if index.and_then(|index| fs::size(&index)).is_none() {
                fs::remove(&file.path)?;
                pruned.files += 1;
                pruned.bytes += file.size;
            }
        }
        for name in fs::list(&folder.join("packages"))? {
            let package = folder.join("packages").join(name);
            let is_gone = |name: &&str| fs::size(&package.join(name)).is_none();
            if ["tree.json", "payload", "sum"].iter().any(is_gone) {
                fs::remove_any(&package)?;
            }
        }
        Ok(pruned)
    }

    /// Reads every blob and record and compares it with its name; damaged ones are removed.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn verify(&self) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let blobs = self.folder.join("blobs/sha256");
        for name in fs::list(&blobs)? {
            let path = blobs.join(&name);
            verified.checked += 1;
            let is_right = fs::size(&path).is_some() && Digest::from_hex(&name) == Ok(fs::digest_of(&path)?);
            if !is_right {
                fs::remove_any(&path)?;
                verified.removed.push(format!("blobs/sha256/{name}"));
            }
        }
        let results = self.folder.join("results");
        for file in fs::walk(&results)? {
            let name = file.path.strip_prefix(&results).unwrap_or(&file.path).display().to_string();
            let Some((kind, key)) = name.split_once('/') else { continue };
            let is_right =
                |key| fs::read(&file.path, file.size).is_ok_and(|read| !record::is_damaged(&read, kind, &key));
            if !Digest::from_hex(key).is_ok_and(is_right) {
                fs::remove(&file.path)?;
                verified.removed.push(format!("results/{name}"));
            }
        }
        Ok(verified)
    }
}

/// Returns when a file was used last. An index is read in its decoded form, so use of that counts for it.
fn last_use(file: &fs::Found, store: &Path) -> i64 {
    let decoded = file.path.strip_prefix(store.join(INDEXES)).ok().map(|name| store.join(DECODED).join(name));
    let used = decoded.and_then(|decoded| fs::used(&decoded));
    used.map_or(file.used, |used| used.max(file.used))
}
