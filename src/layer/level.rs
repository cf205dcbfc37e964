//! One level as a tree: packages, then the recipe's own files, then generators, each checked against the others.

use crate::layer::Error;
use crate::layer::dpkg;
use crate::layer::generate;
use crate::layer::placing;
use crate::layer::placing::PackageRanks;
use crate::layer::placing::PathWinner;
use crate::layer::unpack;
use crate::layer::unpack::UnpackedPackage;
use crate::recipe::FileAttributes;
use crate::recipe::LevelDefinition;
use crate::recipe::PackageDatabase;
use crate::tree;
use crate::tree::ContentReader;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use crate::tree::parent;
use crate::values::Architecture;
use crate::values::CONTENT_MTIME;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a level is made of.
#[derive(Debug, Clone, Copy)]
pub struct LevelParts<'a> {
    /// The recipe levels from the root to this one.
    pub levels: &'a [LevelDefinition],
    /// Packages of every level so far by name, this level's last: `packages.last()` belongs to `levels.last()`.
    pub packages: &'a [BTreeMap<String, Arc<UnpackedPackage>>],
    /// All lower levels, merged.
    pub lower: &'a Tree,
    /// Architecture of the image.
    pub architecture: Architecture,
    /// Latest modification time that a file may have.
    pub epoch: Epoch,
}

/// Builds the tree of the last level of `parts`.
///
/// # Errors
/// [`Error::Tree`] with all conflicting paths, or an error of a generator or of the store.
pub fn assemble(parts: &LevelParts<'_>, contents: &ContentReader<'_>) -> Result<Tree, Error> {
    let level = parts.levels.last().ok_or(Error::NoLevel)?;
    let mut merge = LevelMerge { parts, level, tree: Tree::default(), problems: Vec::new() };

    merge.packages(contents)?;
    merge.recipe();
    merge.check()?;

    // generators derive their files from those of packages and recipes, so these must be right before
    let input = generate::GeneratorInput {
        levels: parts.levels,
        architecture: parts.architecture,
        lower: parts.lower,
        level: &merge.tree,
        contents,
    };
    let generated = generate::generate(&input)?;
    merge.generated(generated)?;

    // the package database comes last, because it lists only paths that the image really has
    let records = merge.package_records(contents)?;
    merge.generated(records)?;

    // reproducible-builds.org, SOURCE_DATE_EPOCH: files of packages that are older keep their time
    merge.tree.clamp_mtimes(parts.epoch.0);
    Ok(merge.tree)
}

/// A level's tree while it grows.
struct LevelMerge<'a> {
    parts: &'a LevelParts<'a>,
    level: &'a LevelDefinition,
    tree: Tree,
    /// Conflicts so far: people want to see all of them at once.
    problems: Vec<tree::Error>,
}

impl LevelMerge<'_> {
    /// Adds the files of packages.
    fn packages(&mut self, contents: &ContentReader<'_>) -> Result<(), Error> {
        let ranks = PackageRanks::read(self.parts.packages, contents)?;
        for entry in placing::placed(self.parts)? {
            let (Some(holder), EntryOrigin::Package(name)) = (self.package_with_file(&entry.path), &entry.origin)
            else {
                self.add(entry);
                continue;
            };
            match ranks.winner(name, holder) {
                PathWinner::First => self.put(entry),
                // packages come in order of their names, so the one that was replaced may come second
                PathWinner::Second => {}
                // a recipe may put its own package over one of a lower level, but not choose between two by chance
                PathWinner::Neither if self.tree.get(&entry.path).is_none() => self.add(entry),
                PathWinner::Neither => {
                    let (first, second) = (EntryOrigin::Package(holder.to_owned()), entry.origin);
                    self.problems.push(tree::Error::Contested { path: entry.path, first, second });
                }
            }
        }
        Ok(())
    }

    /// Returns the package that brings a path, unless that is a folder, which packages share.
    fn package_with_file(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            TreeEntry { kind: EntryKind::Directory, .. } => None,
            TreeEntry { origin: EntryOrigin::Package(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Adds the recipe's folders, files, copies and links.
    fn recipe(&mut self) {
        let level = self.level;
        for (path, attributes) in &level.directories {
            self.folder(self.recipe_entry(path, EntryKind::Directory, *attributes));
        }
        for (path, file) in &level.files {
            let content = FileContent::inline(file.content.clone());
            self.add(self.recipe_entry(path, EntryKind::File(content), file.attributes));
        }

        // after the files, so that a recipe can copy its own
        for (path, copy) in &level.copies {
            match self.find(&unpack::normal(&copy.from)).and_then(TreeEntry::content).cloned() {
                Some(content) => self.add(self.recipe_entry(path, EntryKind::File(content), copy.attributes)),
                None => self.problems.push(tree::Error::NothingToCopy { from: copy.from.clone(), to: path.clone() }),
            }
        }

        // links have no permissions of their own: 0777 is what the kernel shows
        let attributes = FileAttributes { mode: 0o777, uid: 0, gid: 0 };
        for (path, target) in &level.links {
            self.add(self.recipe_entry(path, EntryKind::Symlink(target.clone()), attributes));
        }
    }

    fn recipe_entry(&self, path: &str, kind: EntryKind, attributes: FileAttributes) -> TreeEntry {
        let FileAttributes { mode, uid, gid } = attributes;
        let origin = EntryOrigin::Recipe(self.level.recipe.clone());
        let mtime = match &kind {
            EntryKind::File(content) => mtime_of(content),
            _ => CONTENT_MTIME,
        };
        TreeEntry { path: self.through_links(path), kind, mode, uid, gid, mtime, origin }
    }

    /// Returns where a path of the recipe really is: packages may have links on the way, which are followed as they are
    /// when anybody writes there.
    fn through_links(&self, path: &str) -> String {
        let path = unpack::normal(path);
        let Some(folder) = parent(&path) else { return path };
        let real = tree::follow(folder, |path| self.get(path).and_then(TreeEntry::link));
        real.map_or_else(
            || path.clone(),
            |real| format!("{real}{}", &path[folder.len()..]).trim_start_matches('/').to_owned(),
        )
    }

    /// Returns the records of installed packages in the form that the level asks for.
    fn package_records(&self, contents: &ContentReader<'_>) -> Result<Vec<TreeEntry>, Error> {
        match self.level.package_database {
            // a record per package lies in the layer of its package, so each level writes its own
            PackageDatabase::StatusD => {
                let mut entries = Vec::new();
                for package in self.parts.packages.last().into_iter().flat_map(BTreeMap::values) {
                    entries.extend(dpkg::status_d(package, contents, &|path| self.tree.get(path).is_some())?);
                }
                Ok(entries)
            }
            // dpkg has one status file for all packages, so every level replaces that of the level below
            PackageDatabase::Dpkg => {
                let all: Vec<&UnpackedPackage> =
                    self.parts.packages.iter().flat_map(BTreeMap::values).map(AsRef::as_ref).collect();
                Ok(dpkg::database(&all, contents, &|path| self.get(path).is_some())?)
            }
        }
    }

    /// Returns what the image has at a path so far, this level before those below it.
    fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.tree.get(path).or_else(|| self.parts.lower.get(path))
    }

    /// Looks a path up in this level, then below, following links; then among what packages bring but recipes left out,
    /// so that an upper level can have it back.
    fn find(&self, path: &str) -> Option<&TreeEntry> {
        self.tree.resolve(path).or_else(|| self.parts.lower.resolve(path)).or_else(|| {
            let packages = self.parts.packages.iter().flat_map(BTreeMap::values);
            packages.map(AsRef::as_ref).find_map(|package: &UnpackedPackage| package.entry(path))
        })
    }

    /// Adds an entry; to take the place of another, its path must be in the recipe's `replaces`.
    fn add(&mut self, entry: TreeEntry) {
        if self.may_replace(&entry) {
            return self.put(entry);
        }
        match self.parts.lower.get(&entry.path) {
            // levels share folders, which keep the attributes of the lowest level
            Some(old) if old.kind == EntryKind::Directory && entry.kind == EntryKind::Directory => {}
            Some(old) => self.problems.push(duplicate(old, &entry)),
            None => self.problems.extend(self.tree.add(entry).err()),
        }
    }

    fn may_replace(&self, entry: &TreeEntry) -> bool {
        self.level.replaces.contains_key(&format!("/{}", entry.path))
    }

    /// Puts an entry in, whatever has its path now.
    fn put(&mut self, entry: TreeEntry) {
        self.problems.extend(self.tree.replace(entry).err());
    }

    /// Makes a folder, or gives an existing one new attributes.
    fn folder(&mut self, entry: TreeEntry) {
        match self.get(&entry.path) {
            Some(old) if old.kind != EntryKind::Directory => self.add(entry),
            _ => self.put(entry),
        }
    }

    /// Adds what generators wrote, and the folders that it needs.
    fn generated(&mut self, entries: Vec<TreeEntry>) -> Result<(), Error> {
        for entry in entries {
            self.generated_entry(entry);
        }
        self.missing_folders();
        self.check()
    }

    /// Adds an entry of a generator. It may replace what generators wrote before, and the generator's own targets, unless
    /// a recipe wrote them: nobody's own `/etc/shadow` is lost silently.
    fn generated_entry(&mut self, entry: TreeEntry) {
        let own = self.tree.get(&entry.path);
        let Some(old) = own.or_else(|| self.parts.lower.get(&entry.path)) else { return self.add(entry) };

        let only_attributes_change = old.kind == EntryKind::Directory && entry.kind == EntryKind::Directory;
        match &old.origin {
            EntryOrigin::Recipe(_) if !only_attributes_change => {
                // `replaces` is about lower levels: a recipe that writes a file and lets it be replaced is a mistake
                if own.is_none() && self.may_replace(&entry) {
                    self.put(entry);
                } else {
                    self.problems.push(duplicate(old, &entry));
                }
            }
            EntryOrigin::Generator(_) => self.put(entry),
            _ if is_target(&entry, self.parts.levels) => self.put(entry),
            _ => self.add(entry),
        }
    }

    /// Adds the folders that paths need and nobody brings: 0755, owned by root.
    fn missing_folders(&mut self) {
        match self.tree.missing_folders(self.parts.lower) {
            Err(problems) => self.problems.extend(problems),
            Ok(missing) => {
                let origin = EntryOrigin::Generator("filesystem".to_owned());
                for path in missing {
                    let (kind, origin) = (EntryKind::Directory, origin.clone());
                    self.add(TreeEntry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin });
                }
            }
        }
    }

    /// Returns the problems found so far as an error, each once.
    fn check(&mut self) -> Result<(), Error> {
        let mut problems = std::mem::take(&mut self.problems);
        // every path below a file has the same problem
        let mut seen = BTreeSet::new();
        problems.retain(|problem| seen.insert(problem.to_string()));
        if problems.is_empty() { Ok(()) } else { Err(Error::Tree { recipe: self.level.recipe.clone(), problems }) }
    }
}

/// Returns a modification time that follows from the content. Web servers and browsers compare times to see whether a
/// file has changed (RFC 9110 §8.8), and a constant would hide a change of the same length. Between 1980 and 2010, in
/// steps of two seconds, which ZIP and FAT can hold.
fn mtime_of(content: &FileContent) -> i64 {
    const STEPS: u64 = 30 * 365 * 86_400 / 2;
    let digits = u64::from_str_radix(&content.digest.hex()[..15], 16).expect("digests are hexadecimal");
    CONTENT_MTIME + 2 * i64::try_from(digits % STEPS).expect("the remainder is small")
}

fn duplicate(first: &TreeEntry, second: &TreeEntry) -> tree::Error {
    let (first_origin, second_origin) = (first.origin.clone(), second.origin.clone());
    tree::Error::Duplicate { path: second.path.clone(), first: first_origin, second: second_origin }
}

/// Tells whether the entry is what its generator exists to write.
fn is_target(entry: &TreeEntry, levels: &[LevelDefinition]) -> bool {
    matches!(&entry.origin, EntryOrigin::Generator(name) if generate::may_replace(name, &entry.path, levels))
}
