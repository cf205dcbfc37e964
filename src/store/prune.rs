//! Measures a store, removes unused files, and checks all bytes against their names.

use crate::store::Error;
use crate::store::IN_USE;
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
pub struct StoreUsage {
    /// Name of the part: `blobs`, `packages`, `results`, `archives`, `partial`.
    pub part: &'static str,
    /// Number of files.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Files that [`Store::prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrunedFiles {
    /// Number of files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Result of [`Store::verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreVerification {
    /// Blobs and unpacked packages whose bytes were read.
    pub checked: u64,
    /// Names of damaged ones. They were removed, and are made again when needed.
    pub removed: Vec<String>,
}

/// The parts whose size is shown: `leases` and `tmp` hold nothing to speak of.
const PARTS: [&str; 5] = ["blobs", "packages", "results", "archives", "partial"];

/// Kinds of records that no build can make again: what receivers were told and must still be told (`announce::webhook`), and
/// what earlier updates saw (`update::memory`).
const STATE: [&str; 3] = ["told", "seen", "success"];

/// InRelease files and compressed indexes by digest, see `apt::archive`.
const INDEXES: &str = "archives/by-hash";

/// The same indexes in their decoded form, under the same names.
const DECODED: &str = "archives/decoded";

impl Store {
    /// Returns the size of each part of the store.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn usage(&self) -> Result<Vec<StoreUsage>, Error> {
        let mut usage = Vec::new();
        for part in PARTS {
            let files = fs::walk(&self.folder.join(part))?;
            let bytes = files.iter().map(|file| file.size).sum();
            usage.push(StoreUsage { part, files: files.len() as u64, bytes });
        }
        Ok(usage)
    }

    /// Removes files that were not used for `age` seconds; 0 removes all that can be made again. The memory of archives stays,
    /// because it protects against rollback, and so do the `kept` InRelease files and indexes, which prove locks. What no
    /// build can make again (`STATE`) stays, too.
    ///
    /// # Errors
    /// When another command is running, or a file cannot be removed.
    pub fn prune(self, age: u64, kept: &BTreeSet<Digest>) -> Result<PrunedFiles, Error> {
        // our own shared lock would keep the exclusive one away
        let Self { folder, _in_use, .. } = self;
        drop(_in_use);
        let _exclusive = fs::lock(&folder.join(IN_USE), fs::LockMode::Exclusive)?;

        let limit = clock::now().0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        let mut pruned = PrunedFiles::default();
        for part in ["blobs", "packages", "results", "partial", INDEXES] {
            for file in fs::walk(&folder.join(part))? {
                let is_kept = match part {
                    INDEXES => digest_in_name(&file.path).is_some_and(|name| kept.contains(&name)),
                    "results" => is_state(&file.path),
                    _ => false,
                };
                // age 0 removes files of this very second, too, and those whose time is in the future
                if !is_kept && (age == 0 || last_use(&file, &folder) < limit) {
                    pruned.remove(&file)?;
                }
            }
        }

        // these need the final state of what was pruned above
        remove_orphans(&folder, &mut pruned)?;
        remove_incomplete_packages(&folder)?;
        Ok(pruned)
    }

    /// Reads every blob and record and compares it with its name; damaged ones are removed.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn verify(&self) -> Result<StoreVerification, Error> {
        let mut verified = StoreVerification::default();

        // stamps are not trusted here: the point is to find what they cannot show
        let blobs = self.folder.join("blobs/sha256");
        for name in fs::list(&blobs)? {
            let path = blobs.join(&name);
            verified.checked += 1;
            // a folder in place of a blob has no size, and goes as well
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
            if !is_sound_record(&file, kind, key) {
                fs::remove(&file.path)?;
                verified.removed.push(format!("results/{name}"));
            }
        }
        Ok(verified)
    }
}

impl PrunedFiles {
    fn remove(&mut self, file: &fs::FoundFile) -> Result<(), Error> {
        fs::remove(&file.path)?;
        self.files += 1;
        self.bytes += file.size;
        Ok(())
    }
}

/// Removes the decoded indexes whose compressed index is gone: nothing would read or prune them any more.
fn remove_orphans(store: &Path, pruned: &mut PrunedFiles) -> Result<(), Error> {
    for file in fs::walk(&store.join(DECODED))? {
        // a stamp is named as the index that it is for
        let index = file.path.file_stem().map(|name| store.join(INDEXES).join(name));
        if index.and_then(|index| fs::size(&index)).is_none() {
            pruned.remove(&file)?;
        }
    }
    Ok(())
}

/// Removes the packages that have lost a file: the three files of a package have uses, and so ages, of their own.
fn remove_incomplete_packages(store: &Path) -> Result<(), Error> {
    let packages = store.join("packages");
    for name in fs::list(&packages)? {
        let package = packages.join(name);
        if ["tree.json", "payload", "sum"].iter().any(|name| fs::size(&package.join(name)).is_none()) {
            fs::remove_any(&package)?;
        }
    }
    Ok(())
}

/// Tells whether a record is undamaged and its name is a key.
fn is_sound_record(file: &fs::FoundFile, kind: &str, key: &str) -> bool {
    let Ok(key) = Digest::from_hex(key) else { return false };
    fs::read(&file.path, file.size).is_ok_and(|bytes| !record::is_damaged(&bytes, kind, &key))
}

/// Tells whether a record is state, by the folder of its kind.
fn is_state(path: &Path) -> bool {
    let kind = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    kind.is_some_and(|kind| STATE.contains(&kind))
}

fn digest_in_name(path: &Path) -> Option<Digest> {
    Digest::from_hex(path.file_name()?.to_str()?).ok()
}

/// Returns when a file was last used. An index is read in its decoded form, so a use of that counts for it.
fn last_use(file: &fs::FoundFile, store: &Path) -> i64 {
    let decoded = file.path.strip_prefix(store.join(INDEXES)).ok().map(|name| store.join(DECODED).join(name));
    let used = decoded.and_then(|decoded| fs::used(&decoded));
    used.map_or(file.used, |used| used.max(file.used))
}
