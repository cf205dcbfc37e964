//! Reads unpacked packages again: are their bytes still what their trees say?

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

/// Largest `tree.json` that is read.
const TREE_LIMIT: u64 = 512 << 20;

/// Compares every unpacked package with its tree; damaged ones are removed and will be unpacked anew when needed.
///
/// # Errors
/// When one cannot be removed.
pub fn verify(store: &Store) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let folder = store.folder().join("packages");
    for name in fs::list(&folder)? {
        verified.checked += 1;
        if !is_whole(&name, store) {
            fs::remove_any(&folder.join(&name))?;
            verified.removed.push(format!("packages/{name}"));
        }
    }
    Ok(verified)
}

fn is_whole(name: &str, store: &Store) -> bool {
    let Ok(key) = Digest::from_hex(name) else { return false };
    let Ok(bytes) = fs::read(&store.package(&key).join("tree.json"), TREE_LIMIT) else { return false };
    let Ok(Unpacked { control, entries }) = serde_json::from_slice(&bytes) else { return false };
    let contents = Contents::new(store);
    let mut all = control.values().chain(entries.iter().filter_map(Entry::content));
    fs::size(&store.package(&key).join("payload")).is_some() && all.all(|content| is_same(content, &contents))
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
