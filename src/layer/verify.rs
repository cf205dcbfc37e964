//! Reads unpacked packages again: are they still what their .deb files and their trees say?

use crate::apt::deb;
use crate::layer::unpack;
use crate::layer::unpack::Deb;
use crate::layer::unpack::Unpacked;
use crate::store::Error;
use crate::store::Store;
use crate::store::Verified;
use crate::sys::fs;
use crate::tree::Content;
use crate::tree::Contents;
use crate::tree::Entry;
use crate::values::Digest;
use crate::values::Hasher;
use std::collections::BTreeMap;

/// Compares every unpacked package with its tree, and with its .deb where the store has it; damaged ones are removed and
/// will be unpacked anew when needed.
///
/// # Errors
/// When a folder cannot be listed or a package not be removed.
pub fn verify(store: &Store, threads: usize) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let debs = debs(store)?;
    for name in fs::list(&store.folder().join("packages"))? {
        verified.checked += 1;
        let key = Digest::from_hex(&name);
        let found = key.as_ref().ok().and_then(|key| read(key, store));
        let deb = key.as_ref().ok().and_then(|key| debs.get(key));
        let is_right = |unpacked: &Unpacked| deb.is_none_or(|deb| is_of(unpacked, deb, threads, store));
        if found.is_some_and(|unpacked| is_right(&unpacked)) {
            continue;
        }
        match key {
            Ok(key) => store.remove_package(&key)?,
            Err(_) => fs::remove_any(&store.folder().join("packages").join(&name))?,
        }
        verified.removed.push(format!("packages/{name}"));
    }
    Ok(verified)
}

/// Returns the .deb files of the store by the keys of their trees. A blob that is none is told from its first bytes.
fn debs(store: &Store) -> Result<BTreeMap<Digest, Deb>, Error> {
    let mut debs = BTreeMap::new();
    for name in fs::list(&store.folder().join("blobs/sha256"))? {
        let Ok(digest) = Digest::from_hex(&name) else { continue };
        let path = store.blob(&digest);
        let Some(size) = fs::size(&path) else { continue };
        if let Ok(archive) = deb::Deb::open(fs::open(&path)?)
            && let Ok(control) = archive.control().paragraph()
            && let Some(name) = control.get("Package").map(str::to_owned)
        {
            debs.insert(unpack::key(&digest), Deb { name, digest, size });
        }
    }
    Ok(debs)
}

/// Returns the tree of a package whose payload fits it.
fn read(key: &Digest, store: &Store) -> Option<Unpacked> {
    let unpacked = serde_json::from_slice(&store.package_tree(key)?).ok()?;
    is_whole(key, &unpacked, store).then_some(unpacked)
}

/// Tells whether a tree is that of this .deb.
fn is_of(unpacked: &Unpacked, deb: &Deb, threads: usize, store: &Store) -> bool {
    // a .deb that cannot be unpacked says nothing about the tree
    unpack::draft(deb, threads, store).map_or(true, |(again, _draft)| again == *unpacked)
}

/// Tells whether all that a tree names is in the payload, and remembers it.
pub(super) fn is_whole(key: &Digest, Unpacked { control, entries }: &Unpacked, store: &Store) -> bool {
    let contents = Contents::new(store);
    let mut all = control.values().chain(entries.iter().filter_map(Entry::content));
    let is_whole = all.all(|content| is_same(content, &contents));
    if is_whole {
        store.stamp_payload(key);
    }
    is_whole
}

fn is_same(content: &Content, contents: &Contents<'_>) -> bool {
    let mut hasher = Hasher::default();
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
