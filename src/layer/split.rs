//! Which path goes to which layer: packages of one source stay together, folders come first in every layer.

use crate::layer::chunk::Chunk;
use crate::tree::Entry;
use crate::tree::Kind;
use crate::tree::Origin;
use crate::tree::Tree;
use crate::tree::parent;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A layer before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For people and the image history: recipe and source packages.
    pub what: String,
    /// Its parts, in order.
    pub chunks: Vec<Chunk>,
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
) -> Vec<Plan> {
    let rest = groups.iter().position(|group| group.iter().any(|name| name == "*")).unwrap_or(groups.len());
    let count = groups.len().max(rest + 1);
    let layer_of = |origin: &Origin| match origin {
        Origin::Package(name) => {
            let source = sources.get(name).unwrap_or(name);
            groups.iter().position(|group| group.contains(source)).unwrap_or(rest)
        }
        Origin::Recipe(_) | Origin::Generator(_) => rest,
    };
    let mut layers: Vec<BTreeMap<Owner<'_>, Vec<Entry>>> = vec![BTreeMap::new(); count];
    let mut folders: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); count];
    for entry in tree.iter() {
        let layer = layer_of(&entry.origin);
        let mut path = entry.path.as_str();
        while let Some(folder) = parent(path) {
            folders[layer].insert(folder);
            path = folder;
        }
        if entry.kind == Kind::Directory {
            folders[layer].insert(&entry.path);
        } else {
            layers[layer].entry(Owner::of(&entry.origin)).or_default().push(entry.clone());
        }
    }
    let plans = layers.into_iter().zip(folders).enumerate().map(|(index, (owners, folders))| {
        let folders = folders.into_iter().filter_map(|path| tree.get(path).or_else(|| lower.get(path)).cloned());
        let folders = Chunk::new("folders", folders.collect());
        let owned = owners.into_iter().map(|(owner, entries)| Chunk::new(owner.name(), entries));
        let what = groups.get(index).map_or_else(|| format!("{recipe}: rest"), |group| title(recipe, group));
        Plan { what, chunks: std::iter::once(folders).chain(owned).filter(|chunk| !chunk.entries.is_empty()).collect() }
    });
    plans.filter(|plan| !plan.chunks.is_empty()).collect()
}

/// Returns what people call the layer of a group of source packages.
#[must_use]
pub fn title(recipe: &str, group: &[String]) -> String {
    format!("{recipe}: {}", group.join(" ").replace('*', "other packages and configuration"))
}

/// Whose files make a chunk: every package its own, then the recipe's, then the generators'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    Package(&'a str),
    Recipe(&'a str),
    Generator,
}

impl<'a> Owner<'a> {
    fn of(origin: &'a Origin) -> Self {
        match origin {
            Origin::Package(name) => Self::Package(name),
            Origin::Recipe(name) => Self::Recipe(name),
            Origin::Generator(_) => Self::Generator,
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
    use crate::tree::Content;

    fn entry(path: &str, origin: Origin, kind: Kind) -> Entry {
        Entry { path: path.to_owned(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, origin }
    }

    #[test]
    fn every_layer_stands_alone_and_repeats_no_folder() {
        let package = |name: &str| Origin::Package(name.to_owned());
        let file = || Kind::File(Content::inline(*b"x"));
        let lower: Tree = [entry("usr", package("base"), Kind::Directory)].into_iter().collect();
        let tree: Tree = [
            entry("usr/lib", package("a"), Kind::Directory),
            entry("usr/lib/a", package("a"), file()),
            entry("usr/lib/b", package("b"), file()),
            entry("etc", Origin::Generator("g".to_owned()), Kind::Directory),
            entry("etc/g", Origin::Generator("g".to_owned()), file()),
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
