//! Reads unpacked packages again and compares them with their trees and their .deb files.

use crate::apt::deb;
use crate::layer::unpack;
use crate::layer::unpack::StoredDeb;
use crate::layer::unpack::UnpackedPackage;
use crate::store::Error;
use crate::store::Store;
use crate::store::StoreVerification;
use crate::sys::fs;
use crate::tree::ContentReader;
use crate::tree::FileContent;
use crate::tree::TreeEntry;
use crate::values::Digest;
use crate::values::DigestHasher;
use std::collections::BTreeMap;

/// Compares every unpacked package with its tree, and with its .deb where the store has it; damaged ones are removed and
/// will be unpacked again when needed.
///
/// # Errors
/// When a folder cannot be listed, or a package cannot be removed.
pub fn verify(store: &Store, threads: usize) -> Result<StoreVerification, Error> {
    let mut verified = StoreVerification::default();
    let debs = debs(store)?;
    for name in fs::list(&store.folder().join("packages"))? {
        verified.checked += 1;
        let key = Digest::from_hex(&name).ok();
        if key.as_ref().is_some_and(|key| is_right(key, debs.get(key), threads, store)) {
            continue;
        }

        match key {
            Some(key) => store.remove_package(&key)?,
            // nothing of ours has such a name
            None => fs::remove_any(&store.folder().join("packages").join(&name))?,
        }
        verified.removed.push(format!("packages/{name}"));
    }
    Ok(verified)
}

/// Tells whether an unpacked package is whole and, where its .deb is known, has what that has.
fn is_right(key: &Digest, deb: Option<&StoredDeb>, threads: usize, store: &Store) -> bool {
    let Some(unpacked) = read(key, store) else { return false };
    deb.is_none_or(|deb| is_of(&unpacked, deb, threads, store))
}

/// Returns the .deb files of the store by the keys of their trees. Other blobs are recognised by their first bytes.
fn debs(store: &Store) -> Result<BTreeMap<Digest, StoredDeb>, Error> {
    let mut debs = BTreeMap::new();
    for name in fs::list(&store.folder().join("blobs/sha256"))? {
        let Ok(digest) = Digest::from_hex(&name) else { continue };
        let path = store.blob(&digest);
        let Some(size) = fs::size(&path) else { continue };
        if let Ok(archive) = deb::DebPackage::open(fs::open(&path)?)
            && let Ok(control) = archive.control().paragraph()
            && let Some(name) = control.get("Package").map(str::to_owned)
        {
            debs.insert(unpack::key(&digest), StoredDeb { name, digest, size });
        }
    }
    Ok(debs)
}

/// Returns the tree of a package whose payload fits it.
fn read(key: &Digest, store: &Store) -> Option<UnpackedPackage> {
    let unpacked = serde_json::from_slice(&store.package_tree(key)?).ok()?;
    is_whole(key, &unpacked, store).then_some(unpacked)
}

/// Tells whether a tree is that of this .deb.
fn is_of(unpacked: &UnpackedPackage, deb: &StoredDeb, threads: usize, store: &Store) -> bool {
    // a .deb that cannot be unpacked proves nothing about the tree
    unpack::draft(deb, threads, store).map_or(true, |(again, _draft)| again == *unpacked)
}

/// Tells whether all that a tree names is in the payload, and remembers it.
pub(super) fn is_whole(
    key: &Digest,
    UnpackedPackage { control, entries, .. }: &UnpackedPackage,
    store: &Store,
) -> bool {
    let contents = ContentReader::new(store);
    let mut all = control.values().chain(entries.iter().filter_map(TreeEntry::content));

    let is_whole = all.all(|content| is_same(content, &contents));
    if is_whole {
        store.stamp_payload(key);
    }
    is_whole
}

fn is_same(content: &FileContent, contents: &ContentReader<'_>) -> bool {
    let mut hasher = DigestHasher::default();
    let mut buffer = vec![0; 1 << 18];
    while hasher.length() < content.size {
        let left = usize::try_from(content.size - hasher.length()).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        if contents.read_at(content, hasher.length(), &mut buffer[..length]).is_err() {
            return false;
        }
        hasher.update(&buffer[..length]);
    }
    hasher.finish() == content.digest
}
