//! Which path goes to which layer: packages of one source stay together, folders come first in every layer.

use crate::layer::chunk::LayerChunk;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use crate::tree::parent;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Member of a group that means all packages that no group names.
const REST: &str = "*";

/// A layer before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// For people and the image history: recipe and source packages.
    pub title: String,
    /// Its chunks, in order.
    pub chunks: Vec<LayerChunk>,
}

/// Splits a level's tree into layers.
///
/// `groups` says which source packages share a layer (`*`: all the rest; files of recipe and generators go with the
/// rest too), `sources` gives the source of each binary package. Each layer carries the folders that its paths need, so
/// that it does not depend on other layers; within a layer no folder is repeated, because consumers refuse that.
/// Layers without any path are left out.
#[must_use]
pub fn split(
    recipe: &str,
    tree: &Tree,
    lower: &Tree,
    groups: &[Vec<String>],
    sources: &BTreeMap<String, String>,
) -> Vec<LayerPlan> {
    // without a group for the rest, that becomes one layer more, on top
    let rest = groups.iter().position(|group| group.iter().any(|name| name == REST)).unwrap_or(groups.len());
    let mut layers: Vec<LayerEntries<'_>> = vec![LayerEntries::default(); groups.len().max(rest + 1)];
    for entry in tree.iter() {
        layers[group_of(&entry.origin, groups, sources).unwrap_or(rest)].add(entry);
    }

    let mut plans = Vec::new();
    for (index, layer) in layers.into_iter().enumerate() {
        let chunks = layer.into_chunks(tree, lower);
        if !chunks.is_empty() {
            let title = groups.get(index).map_or_else(|| format!("{recipe}: rest"), |group| title(recipe, group));
            plans.push(LayerPlan { title, chunks });
        }
    }
    plans
}

/// Returns the index of the group that names the source package of an entry.
fn group_of(origin: &EntryOrigin, groups: &[Vec<String>], sources: &BTreeMap<String, String>) -> Option<usize> {
    match origin {
        EntryOrigin::Package(name) => {
            let source = sources.get(name).unwrap_or(name);
            groups.iter().position(|group| group.contains(source))
        }
        EntryOrigin::Recipe(_) | EntryOrigin::Generator(_) => None,
    }
}

/// What one layer gets of a tree.
#[derive(Debug, Clone, Default)]
struct LayerEntries<'a> {
    /// Folders that it has, or needs on the way to its paths.
    folders: BTreeSet<&'a str>,
    /// Everything but folders.
    files: BTreeMap<ChunkOwner<'a>, Vec<&'a TreeEntry>>,
}

impl<'a> LayerEntries<'a> {
    fn add(&mut self, entry: &'a TreeEntry) {
        let mut path = entry.path.as_str();
        while let Some(folder) = parent(path) {
            self.folders.insert(folder);
            path = folder;
        }

        if entry.kind == EntryKind::Directory {
            self.folders.insert(&entry.path);
        } else {
            self.files.entry(ChunkOwner::of(&entry.origin)).or_default().push(entry);
        }
    }

    /// Makes a chunk of the folders and one of each owner's files. Folders come first and together: tar archives need
    /// them before their content, and those that packages share would otherwise move from chunk to chunk.
    fn into_chunks(self, tree: &Tree, lower: &Tree) -> Vec<LayerChunk> {
        // folders of lower levels are repeated with the same attributes, so that this layer does not change them
        let folders = self.folders.into_iter().filter_map(|path| tree.get(path).or_else(|| lower.get(path)).cloned());
        let mut chunks = vec![LayerChunk::new("folders", folders.collect())];
        for (owner, entries) in self.files {
            chunks.push(LayerChunk::new(owner.name(), entries.into_iter().cloned().collect()));
        }
        chunks.retain(|chunk| !chunk.entries.is_empty());
        chunks
    }
}

/// Returns what people call the layer of a group of source packages.
#[must_use]
pub fn title(recipe: &str, group: &[String]) -> String {
    format!("{recipe}: {}", group.join(" ").replace(REST, "other packages and configuration"))
}

/// The owner of a chunk's files, in the order of chunks: packages, then the recipe, then the generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ChunkOwner<'a> {
    Package(&'a str),
    Recipe(&'a str),
    Generator,
}

impl<'a> ChunkOwner<'a> {
    fn of(origin: &'a EntryOrigin) -> Self {
        match origin {
            EntryOrigin::Package(name) => Self::Package(name),
            EntryOrigin::Recipe(name) => Self::Recipe(name),
            // their files are few and small, so a chunk for each generator would only cost
            EntryOrigin::Generator(_) => Self::Generator,
        }
    }

    fn name(self) -> &'a str {
        match self {
            Self::Package(name) | Self::Recipe(name) => name,
            Self::Generator => "generated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::FileContent;

    fn entry(path: &str, origin: EntryOrigin, kind: EntryKind) -> TreeEntry {
        TreeEntry { path: path.to_owned(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, origin }
    }

    #[test]
    fn every_layer_stands_alone_and_repeats_no_folder() {
        let package = |name: &str| EntryOrigin::Package(name.to_owned());
        let file = || EntryKind::File(FileContent::inline(*b"x"));
        let lower: Tree = [entry("usr", package("base"), EntryKind::Directory)].into_iter().collect();
        let tree: Tree = [
            entry("usr/lib", package("a"), EntryKind::Directory),
            entry("usr/lib/a", package("a"), file()),
            entry("usr/lib/b", package("b"), file()),
            entry("etc", EntryOrigin::Generator("g".to_owned()), EntryKind::Directory),
            entry("etc/g", EntryOrigin::Generator("g".to_owned()), file()),
        ]
        .into_iter()
        .collect();
        let sources = [("a".to_owned(), "src".to_owned()), ("b".to_owned(), "other".to_owned())].into();
        let groups = [vec!["src".to_owned()], vec!["*".to_owned()]];
        let seen: Vec<Vec<Vec<String>>> = split("r", &tree, &lower, &groups, &sources)
            .iter()
            .map(|plan| plan.chunks.iter().map(|c| c.entries.iter().map(|e| e.path.clone()).collect()).collect())
            .collect();
        let expected: [&[&[&str]]; 2] =
            [&[&["usr", "usr/lib"], &["usr/lib/a"]], &[&["etc", "usr", "usr/lib"], &["usr/lib/b"], &["etc/g"]]];
        assert_eq!(seen, expected);
    }
}
