//! A tree as text, one line per path: tests and golden files then show *which* attribute differs.

use crate::tree::EntryKind;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use std::fmt::Write as _;

/// Returns one line: path, mode and owner, then size and digest or the link target. Times are left out.
#[must_use]
pub fn line(entry: &TreeEntry) -> String {
    let TreeEntry { path, mode, uid, gid, .. } = entry;
    match &entry.kind {
        EntryKind::Directory => format!("/{path}/ {mode:04o} {uid}:{gid}"),
        EntryKind::File(content) => {
            format!("/{path} {mode:04o} {uid}:{gid} {} {}", content.size, content.digest.short())
        }
        EntryKind::Symlink(target) => format!("/{path} -> {target}"),
        EntryKind::Hardlink { target, .. } => format!("/{path} {mode:04o} {uid}:{gid} = /{target}"),
    }
}

/// Returns the lines of all entries in byte order of their paths.
#[must_use]
pub fn dump(tree: &Tree) -> String {
    let mut text = String::new();
    for entry in tree.iter() {
        let _infallible = writeln!(text, "{}", line(entry));
    }
    text
}
