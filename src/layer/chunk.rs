//! A chunk: the files of one package (or recipe, or the folders of a layer) as one piece of a layer's tar stream.
//!
//! A chunk is compressed on its own, so a patched package costs its own chunk and nothing else.

use crate::layer::ENGINE_FORMAT;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use crate::tree::compress::Compression;
use crate::tree::tar;
use crate::values::Digest;
use crate::values::DigestHasher;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;

/// Entries that are written one after the other, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerChunk {
    /// For people: a package, `folders`, or the other origin of the entries.
    pub name: String,
    /// Entries, sorted so that hard links follow their target.
    pub entries: Vec<TreeEntry>,
}

impl LayerChunk {
    /// Makes a chunk: byte order of paths, every hard link after its target. A hard link whose target is not in the
    /// chunk becomes a file of its own.
    #[must_use]
    pub fn new(name: &str, mut entries: Vec<TreeEntry>) -> Self {
        let mut targets: BTreeSet<String> =
            entries.iter().filter(|entry| !is_hard_link(entry)).map(|entry| entry.path.clone()).collect();
        for entry in &mut entries {
            if let EntryKind::Hardlink { target, content } = &entry.kind
                && !targets.contains(target)
            {
                entry.kind = EntryKind::File(content.clone());
                // the next link to the lost target does not find this name, but links to this name do
                targets.insert(entry.path.clone());
            }
        }

        // whoever unpacks an archive links to a file that exists already
        entries.sort_by(|a, b| (is_hard_link(a), &a.path).cmp(&(is_hard_link(b), &b.path)));
        Self { name: name.to_owned(), entries }
    }

    /// Returns the key under which the compressed form is known: a digest of all that decides its bytes.
    #[must_use]
    pub fn key(&self, compression: Compression) -> Digest {
        let mut hasher = DigestHasher::default();
        feed(&mut hasher, format_args!("chunk {ENGINE_FORMAT} {}\n", compression.fingerprint()));

        // origins are not in the key: they are not in the archive
        for TreeEntry { path, kind, mode, uid, gid, mtime, .. } in &self.entries {
            // paths and targets have no NUL, so the text is unambiguous
            feed(&mut hasher, format_args!("{path}\0{mode:o} {uid} {gid} {mtime} "));
            match kind {
                EntryKind::Directory => feed(&mut hasher, format_args!("folder\n")),
                EntryKind::File(content) => {
                    feed(&mut hasher, format_args!("file {} {}\n", content.size, content.digest));
                }
                EntryKind::Symlink(target) => feed(&mut hasher, format_args!("link {target}\0\n")),
                EntryKind::Hardlink { target, .. } => feed(&mut hasher, format_args!("same {target}\0\n")),
            }
        }
        hasher.finish()
    }

    /// Returns the length of the chunk in the uncompressed tar stream.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.entries.iter().map(length).sum()
    }
}

fn is_hard_link(entry: &TreeEntry) -> bool {
    matches!(entry.kind, EntryKind::Hardlink { .. })
}

fn feed(hasher: &mut DigestHasher, text: fmt::Arguments<'_>) {
    hasher.write_fmt(text).expect("hashing does not fail");
}

/// Returns the length of one entry in the tar stream.
fn length(entry: &TreeEntry) -> u64 {
    let content = match &entry.kind {
        EntryKind::File(content) => content.size + tar::padding(content.size),
        _ => 0,
    };
    tar::header(entry).len() as u64 + content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::EntryOrigin;
    use crate::tree::FileContent;

    fn entry(path: &str, kind: EntryKind) -> TreeEntry {
        let origin = EntryOrigin::Package("p".to_owned());
        TreeEntry { path: path.to_owned(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, origin }
    }

    #[test]
    fn hard_links_follow_their_target_or_stand_alone() {
        let link = |path: &str, target: &str| {
            entry(path, EntryKind::Hardlink { target: target.to_owned(), content: FileContent::inline(*b"x") })
        };
        let file = entry("b", EntryKind::File(FileContent::inline(*b"x")));
        let chunk = LayerChunk::new("p", vec![link("a", "b"), file, link("c", "gone"), link("d", "c")]);
        let seen: Vec<_> =
            chunk.entries.iter().map(|e| (e.path.as_str(), matches!(e.kind, EntryKind::Hardlink { .. }))).collect();
        assert_eq!(seen, [("b", false), ("c", false), ("a", true), ("d", true)]);
    }

    #[test]
    fn the_key_knows_everything_that_decides_bytes() {
        let base = entry("a", EntryKind::File(FileContent::inline(*b"x")));
        let key = |entry: &TreeEntry| LayerChunk::new("p", vec![entry.clone()]).key(Compression::Gzip);
        let variants = [
            TreeEntry { path: "b".to_owned(), ..base.clone() },
            TreeEntry { mode: 0o755, ..base.clone() },
            TreeEntry { uid: 1, ..base.clone() },
            TreeEntry { gid: 1, ..base.clone() },
            TreeEntry { mtime: 1, ..base.clone() },
            TreeEntry { kind: EntryKind::File(FileContent::inline(*b"y")), ..base.clone() },
            TreeEntry { kind: EntryKind::Symlink("x".to_owned()), ..base.clone() },
        ];
        for variant in variants {
            assert_ne!(key(&variant), key(&base), "{variant:?}");
        }
        let other_origin = TreeEntry { origin: EntryOrigin::Recipe("r".to_owned()), ..base.clone() };
        assert_eq!(key(&other_origin), key(&base));
        assert_ne!(LayerChunk::new("p", vec![base.clone()]).key(Compression::Zstd), key(&base));
    }
}
