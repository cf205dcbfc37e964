//! The inventory: the complete list of an image's paths with attributes, digests and origins, as a blob of the store.
//!
//! The build writes it once. Whoever asks later what is in an image reads it, and nobody assembles a tree again. It has a
//! line for every path, in byte order, each a JSON value (JSON Lines), so that writing and reading hold one path in
//! memory at a time. The digest of the blob stands in the record of the image, so whoever reads it to its end
//! notices a change.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use crate::values::Digest;
use crate::values::DigestHasher;
use serde::Deserialize;
use serde::Serialize;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::ops::ControlFlow;

/// Longest line that is read: a path and a link target of `PATH_MAX` bytes each, escaped, and some hundred bytes.
const LINE_LIMIT: u64 = 64 << 10;

/// One path of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Path without leading slash.
    pub path: String,
    /// File type, with what belongs to it.
    pub kind: InventoryKind,
    /// Permission bits.
    pub mode: u32,
    /// Numeric user ID of the owner.
    pub uid: u32,
    /// Numeric group ID.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// The package, recipe or generator that it comes from.
    pub origin: EntryOrigin,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// SHA-256 of its bytes.
        digest: Digest,
        /// Length in bytes.
        size: u64,
    },
    /// A symbolic link, with its target as written.
    Symlink(String),
    /// Another name for a regular file.
    Hardlink {
        /// The first name, without leading slash.
        target: String,
        /// SHA-256 of the file's bytes.
        digest: Digest,
        /// Length in bytes.
        size: u64,
    },
}

impl InventoryEntry {
    /// Returns the length of a regular file in bytes; 0 for everything else, and for its further names.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            InventoryKind::File { size, .. } => size,
            _ => 0,
        }
    }
}

impl From<&TreeEntry> for InventoryEntry {
    fn from(entry: &TreeEntry) -> Self {
        let kind = match &entry.kind {
            EntryKind::Directory => InventoryKind::Directory,
            EntryKind::File(content) => InventoryKind::File { digest: content.digest, size: content.size },
            EntryKind::Symlink(target) => InventoryKind::Symlink(target.clone()),
            EntryKind::Hardlink { target, content } => {
                InventoryKind::Hardlink { target: target.clone(), digest: content.digest, size: content.size }
            }
        };
        let TreeEntry { path, mode, uid, gid, mtime, origin, .. } = entry;
        let (mode, uid, gid, mtime) = (*mode, *uid, *gid, *mtime);
        Self { path: path.clone(), kind, mode, uid, gid, mtime, origin: origin.clone() }
    }
}

/// Writes the inventory of these entries as a blob; returns its digest and size.
///
/// # Errors
/// When the store cannot be written.
pub fn write<'a>(entries: impl Iterator<Item = &'a TreeEntry>, store: &Store) -> Result<(Digest, u64), Error> {
    let mut blob = store.writer()?;
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, &InventoryEntry::from(entry)).expect("entries have string keys");
        lines.push(b'\n');

        // few large writes instead of one a path
        if lines.len() >= 1 << 16 {
            blob.write(&lines)?;
            lines.clear();
        }
    }
    blob.write(&lines)?;
    blob.finish()
}

/// Reads an inventory path by path, until `visit` breaks or the list ends.
///
/// # Errors
/// When the blob is missing, or was read to its end and does not have its digest.
pub fn read(
    blob: &Digest,
    store: &Store,
    mut visit: impl FnMut(InventoryEntry) -> ControlFlow<()>,
) -> Result<(), Error> {
    let path = store.blob(blob);
    let mut lines = BufReader::with_capacity(1 << 16, fs::open(&path)?);
    let mut hasher = DigestHasher::default();
    let mut line = Vec::new();

    loop {
        line.clear();
        let read = lines.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line);
        if read.map_err(|cause| fs::Error::new("read", &path, cause))? == 0 {
            break;
        }
        hasher.update(&line);

        // written by us: what is no entry was damaged since
        let Ok(entry) = serde_json::from_slice(&line) else { return Err(damaged(blob, fs::digest_of(&path)?, store)) };
        if visit(entry).is_break() {
            return Ok(());
        }
    }

    let found = hasher.finish();
    if found == *blob { Ok(()) } else { Err(damaged(blob, found, store)) }
}

/// Returns the error for a blob with other bytes, which counts as missing from now on.
fn damaged(blob: &Digest, found: Digest, store: &Store) -> Error {
    store.doubt(blob);
    Error::WrongDigest { expected: *blob, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::FileContent;

    fn entry(path: &str, kind: EntryKind) -> TreeEntry {
        let origin = EntryOrigin::Package("p".to_owned());
        TreeEntry { path: path.to_owned(), kind, mode: 0o755, uid: 1, gid: 2, mtime: 3, origin }
    }

    fn all(blob: &Digest, store: &Store) -> Result<Vec<InventoryEntry>, Error> {
        let mut all = Vec::new();
        read(blob, store, |entry| {
            all.push(entry);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    #[test]
    fn reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let content = FileContent::inline(*b"bytes");
        let entries = [
            entry("a", EntryKind::Directory),
            entry("a/ö\n", EntryKind::File(content.clone())),
            entry("a/h", EntryKind::Hardlink { target: "a/f".to_owned(), content }),
            entry("l", EntryKind::Symlink("../x".to_owned())),
        ];
        let (blob, size) = write(entries.iter(), &store).unwrap();
        let expected: Vec<InventoryEntry> = entries.iter().map(InventoryEntry::from).collect();
        assert_eq!(all(&blob, &store).unwrap(), expected);
        assert_eq!(expected.iter().map(InventoryEntry::size).collect::<Vec<_>>(), [0, 5, 0, 0]);
        assert!(store.has_blob(&blob, size));

        // a changed byte is noticed, and the blob then counts as missing
        let bytes = fs::read(&store.blob(&blob), 1 << 20).unwrap();
        let changed = String::from_utf8(bytes).unwrap().replace("../x", "../y");
        fs::write_atomic(&store.blob(&blob), changed.as_bytes()).unwrap();
        assert!(matches!(all(&blob, &store), Err(Error::WrongDigest { .. })));
        assert!(!store.has_blob(&blob, size));
    }
}
