//! The files of a level's packages, each where dpkg would put it, with the owner that dpkg would give it.
//!
//! - Excluded paths are gone; a hard link whose first name is excluded takes its place.
//! - A diverted path goes elsewhere, unless it comes from the package that diverts it (dpkg-divert(1)).
//! - A path below another package's symbolic link goes to where the link leads (dpkg unpacks through links).
//! - Owners are looked up by name in the image's accounts; the number counts where there is no such name
//!   (dpkg `lib/dpkg/tarfn.c`).
//! - Of two packages with one path the one wins that replaces the other's version (policy 7.6.1).

use crate::apt::relation::Relation;
use crate::apt::version::DebianVersion;
use crate::layer::Error;
use crate::layer::dpkg;
use crate::layer::exclude::PathExclusions;
use crate::layer::generate;
use crate::layer::level::LevelParts;
use crate::layer::unpack;
use crate::layer::unpack::UnpackedPackage;
use crate::recipe::LevelDefinition;
use crate::recipe::PathDiversion;
use crate::tree;
use crate::tree::ContentReader;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use crate::tree::parent;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A package's `Replaces` and its own version.
struct PackageRank {
    version: DebianVersion,
    replaces: Vec<Relation>,
}

/// Which packages may take over paths of which others, over all levels so far.
pub(super) struct PackageRanks<'a> {
    ranks: BTreeMap<&'a str, PackageRank>,
}

/// Which of two packages keeps a path that both bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathWinner {
    First,
    Second,
    /// Neither replaces the other, or both do.
    Neither,
}

impl<'a> PackageRanks<'a> {
    /// Reads the control data of all packages.
    pub(super) fn read(
        levels: &'a [BTreeMap<String, Arc<UnpackedPackage>>],
        contents: &ContentReader<'_>,
    ) -> Result<Self, Error> {
        let mut ranks = BTreeMap::new();
        for (name, package) in levels.iter().flatten() {
            let (version, replaces) = dpkg::version_and_replaces(package, contents)?;
            ranks.insert(name.as_str(), PackageRank { version, replaces });
        }
        Ok(Self { ranks })
    }

    /// Decides by the `Replaces` fields with their versions, never by names.
    pub(super) fn winner(&self, first: &str, second: &str) -> PathWinner {
        match (self.takes_over(first, second), self.takes_over(second, first)) {
            (true, false) => PathWinner::First,
            (false, true) => PathWinner::Second,
            _ => PathWinner::Neither,
        }
    }

    fn takes_over(&self, package: &str, other: &str) -> bool {
        let (Some(package), Some(found)) = (self.ranks.get(package), self.ranks.get(other)) else { return false };
        package.replaces.iter().any(|relation| relation.name == other && relation.satisfied_by(&found.version))
    }
}

/// Returns the entries of all packages of the last level, with their final paths and owners.
pub(super) fn placed(parts: &LevelParts<'_>) -> Result<Vec<TreeEntry>, Error> {
    let exclusions = PathExclusions::new(parts.levels)?;
    let accounts = generate::account_ids(parts.levels)?;
    let packages = parts.packages.last().ok_or(Error::NoLevel)?;

    let diversions = diversions(parts.levels);
    let mut kept: Vec<PackageEntries<'_>> = Vec::new();
    for (name, package) in packages {
        let mut entries: Vec<TreeEntry> = exclusions.keep(&package.entries).into_iter().cloned().collect();
        relink(&mut entries);
        let shipped = entries.iter().map(|entry| entry.path.clone()).collect();
        for entry in &mut entries {
            if let Some(names) = package.owners.get(&entry.path) {
                accounts.own(entry, names);
            }
            divert(entry, name, &diversions);
        }
        kept.push(PackageEntries { package: name, shipped, entries });
    }

    let links = ForeignLinks::new(&kept, parts);
    let mut placed = Vec::new();
    for mut package in kept {
        package.follow(&links);
        package.keep_hard_links();
        // packages agree that a folder is one if a link of another package leads there
        let name = package.package;
        let is_wanted =
            |entry: &TreeEntry| entry.kind != EntryKind::Directory || links.target(&entry.path, name).is_none();
        placed.extend(package.entries.into_iter().filter(is_wanted));
    }
    Ok(placed)
}

/// What a package brings to an image.
struct PackageEntries<'a> {
    package: &'a str,
    /// Path of each entry in the package.
    shipped: Vec<String>,
    entries: Vec<TreeEntry>,
}

impl PackageEntries<'_> {
    /// Moves entries below links of others to where those lead.
    fn follow(&mut self, links: &ForeignLinks<'_>) {
        // entries of one folder come one after the other
        let mut last = (String::new(), None);
        for entry in &mut self.entries {
            let Some(folder) = parent(&entry.path) else { continue };
            if last.0 != folder {
                last = (folder.to_owned(), tree::follow(folder, |path| links.target(path, self.package)));
            }
            if let Some(real) = &last.1 {
                entry.path = format!("{real}/{}", &entry.path[folder.len() + 1..]).trim_start_matches('/').to_owned();
            }
        }
    }

    /// Lets hard links name their first name where it is now.
    fn keep_hard_links(&mut self) {
        let paths = self.shipped.iter().zip(&self.entries);
        let moved: BTreeMap<&str, String> = paths
            .filter(|(shipped, entry)| **shipped != entry.path)
            .map(|(shipped, entry)| (shipped.as_str(), entry.path.clone()))
            .collect();
        for entry in &mut self.entries {
            if let EntryKind::Hardlink { target, .. } = &mut entry.kind
                && let Some(path) = moved.get(target.as_str())
            {
                target.clone_from(path);
            }
        }
    }
}

/// Makes the first remaining name of a file the file, and the others links to it.
fn relink(entries: &mut [TreeEntry]) {
    let present: BTreeSet<String> = entries.iter().map(|entry| entry.path.clone()).collect();
    let mut first_names: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        let EntryKind::Hardlink { target, content } = &mut entry.kind else { continue };
        if present.contains(target) {
            continue;
        }
        match first_names.get(target) {
            Some(first) => target.clone_from(first),
            None => {
                first_names.insert(target.clone(), entry.path.clone());
                entry.kind = EntryKind::File(content.clone());
            }
        }
    }
}

/// Returns the diversions of all levels by path, for each path those of lower levels first.
fn diversions(levels: &[LevelDefinition]) -> BTreeMap<String, Vec<&PathDiversion>> {
    let mut diversions: BTreeMap<String, Vec<&PathDiversion>> = BTreeMap::new();
    for (path, diversion) in levels.iter().flat_map(|level| &level.diversions) {
        diversions.entry(unpack::normal(path)).or_default().push(diversion);
    }
    diversions
}

/// Moves an entry that a recipe diverts.
fn divert(entry: &mut TreeEntry, package: &str, diversions: &BTreeMap<String, Vec<&PathDiversion>>) {
    let diversion = diversions.get(&entry.path).and_then(|all| all.iter().find(|diversion| diversion.by != package));
    if let Some(diversion) = diversion {
        entry.path = unpack::normal(&diversion.to);
    }
}

/// Symbolic links of other packages and of lower levels.
struct ForeignLinks<'a> {
    /// Package and target, by path.
    own: BTreeMap<String, (String, String)>,
    parts: &'a LevelParts<'a>,
}

impl<'a> ForeignLinks<'a> {
    fn new(kept: &[PackageEntries<'_>], parts: &'a LevelParts<'a>) -> Self {
        let mut own = BTreeMap::new();
        for PackageEntries { package, entries, .. } in kept {
            for entry in entries {
                own.extend(entry.link().map(|to| (entry.path.clone(), ((*package).to_owned(), to.to_owned()))));
            }
        }
        Self { own, parts }
    }

    /// Returns the target of a link that another package or a lower level has at a path. A package with a link and
    /// something below it contradicts itself, and is refused later.
    fn target(&self, path: &str, package: &str) -> Option<&str> {
        if let Some((owner, target)) = self.own.get(path) {
            return (owner != package).then_some(target);
        }
        self.parts.lower.get(path).and_then(TreeEntry::link)
    }
}
