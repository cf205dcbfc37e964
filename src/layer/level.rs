//! One level as a tree: packages, then the recipe's own files, then generators, each checked against the others.

use crate::layer::Error;
use crate::layer::dpkg;
use crate::layer::exclude::Exclusions;
use crate::layer::generate;
use crate::layer::unpack::Unpacked;
use crate::recipe::Attributes;
use crate::recipe::Level;
use crate::recipe::PackageDatabase;
use crate::tree;
use crate::tree::Content;
use crate::tree::Contents;
use crate::tree::Entry;
use crate::tree::Kind;
use crate::tree::Origin;
use crate::tree::Tree;
use crate::values::Architecture;
use crate::values::CONTENT_MTIME;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a level is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The recipe levels from the root to this one.
    pub levels: &'a [Level],
    /// Packages of every level so far by name, this level's last: `packages.last()` belongs to `levels.last()`.
    pub packages: &'a [BTreeMap<String, Arc<Unpacked>>],
    /// All lower levels, merged.
    pub lower: &'a Tree,
    /// For which processor.
    pub architecture: Architecture,
    /// No file may be younger.
    pub epoch: Epoch,
}

/// Builds the tree of the last level of `parts`.
///
/// # Errors
/// [`Error::Tree`] with everything that does not fit together, or what a generator or the store says.
pub fn assemble(parts: &Parts<'_>, contents: &Contents<'_>) -> Result<Tree, Error> {
    let level = parts.levels.last().ok_or(Error::NoLevel)?;
    let packages = parts.packages.last().ok_or(Error::NoLevel)?;
    let mut merge = Merge {
        level,
        levels: parts.levels,
        packages: parts.packages,
        lower: parts.lower,
        tree: Tree::default(),
        problems: Vec::new(),
    };
    let exclusions = Exclusions::new(parts.levels)?;
    merge.packages(packages, &exclusions, contents)?;
    merge.recipe();
    merge.check()?;
    let input = generate::Input {
        levels: parts.levels,
        architecture: parts.architecture,
        lower: parts.lower,
        level: &merge.tree,
        contents,
    };
    for entry in generate::generate(&input)? {
        merge.generated(entry);
    }
    merge.folders();
    merge.check()?;
    for entry in database(parts, level, &merge.tree, contents)? {
        merge.generated(entry);
    }
    merge.folders();
    merge.check()?;
    let entries = merge.tree.into_entries().into_iter();
    Ok(entries.map(|entry| Entry { mtime: entry.mtime.min(parts.epoch.0), ..entry }).collect())
}

/// The records of installed packages.
fn database(parts: &Parts<'_>, level: &Level, tree: &Tree, contents: &Contents<'_>) -> Result<Vec<Entry>, Error> {
    let is_there = |path: &str| tree.get(path).is_some();
    match level.package_database {
        PackageDatabase::StatusD => {
            let packages = parts.packages.last().into_iter().flatten();
            let mut entries = Vec::new();
            for (_, package) in packages {
                entries.extend(dpkg::status_d(package, contents, &is_there)?);
            }
            Ok(entries)
        }
        PackageDatabase::Dpkg => {
            let all: Vec<&Unpacked> = parts.packages.iter().flat_map(BTreeMap::values).map(Arc::as_ref).collect();
            let is_there = |path: &str| is_there(path) || parts.lower.get(path).is_some();
            Ok(dpkg::database(&all, contents, &is_there)?)
        }
    }
}

/// A level's tree while it grows.
struct Merge<'a> {
    level: &'a Level,
    levels: &'a [Level],
    packages: &'a [BTreeMap<String, Arc<Unpacked>>],
    lower: &'a Tree,
    tree: Tree,
    problems: Vec<tree::Error>,
}

impl Merge<'_> {
    /// Adds what packages bring, less what is excluded.
    fn packages(
        &mut self,
        packages: &BTreeMap<String, Arc<Unpacked>>,
        exclusions: &Exclusions,
        contents: &Contents<'_>,
    ) -> Result<(), Error> {
        for (name, package) in packages {
            let replaced = dpkg::replaced(package, contents)?;
            for entry in exclusions.keep(&package.entries) {
                let old = self.tree.get(&entry.path).or_else(|| self.lower.get(&entry.path));
                match old {
                    // dpkg lets a package take over files of packages that it replaces (policy 7.6.1)
                    Some(Entry { origin: Origin::Package(other), kind, .. })
                        if replaced.contains(other) && *kind != Kind::Directory =>
                    {
                        self.put(entry.clone());
                    }
                    // and the other way round: the replaced package comes later in the alphabet
                    Some(Entry { origin: Origin::Package(other), kind, .. })
                        if *kind != Kind::Directory
                            && packages.get(other).is_some_and(|other| {
                                dpkg::replaced(other, contents).is_ok_and(|replaced| replaced.contains(name))
                            }) => {}
                    _ => self.add(entry.clone()),
                }
            }
        }
        Ok(())
    }

    /// Adds the recipe's folders, files, copies and links.
    fn recipe(&mut self) {
        let level = self.level;
        let origin = Origin::Recipe(level.recipe.clone());
        let entry = |path: &str, kind, attributes: Attributes| {
            let Attributes { mode, uid, gid } = attributes;
            Entry { path: normal(path), kind, mode, uid, gid, mtime: CONTENT_MTIME, origin: origin.clone() }
        };
        for (path, attributes) in &level.directories {
            self.folder(entry(path, Kind::Directory, *attributes));
        }
        for (path, file) in &level.files {
            self.add(entry(path, Kind::File(Content::inline(file.content.clone())), file.attributes));
        }
        for (path, copy) in &level.copies {
            match self.find(&normal(&copy.from)).and_then(Entry::content).cloned() {
                Some(content) => self.add(entry(path, Kind::File(content), copy.attributes)),
                None => self.problems.push(tree::Error::NothingToCopy { from: copy.from.clone(), to: path.clone() }),
            }
        }
        let everybody = Attributes { mode: 0o777, uid: 0, gid: 0 };
        for (path, target) in &level.links {
            self.add(entry(path, Kind::Symlink(target.clone()), everybody));
        }
    }

    /// Looks a path up in this level, then below, following links; then among what packages bring but recipes left out,
    /// so that an upper level can have it back.
    fn find(&self, path: &str) -> Option<&Entry> {
        let left_out = || {
            let mut entries = self.packages.iter().flat_map(BTreeMap::values).flat_map(|package| &package.entries);
            entries.find(|entry| entry.path == path)
        };
        self.tree.resolve(path).or_else(|| self.lower.resolve(path)).or_else(left_out)
    }

    /// Adds an entry; what is already there must be named in the recipe's `replaces`.
    fn add(&mut self, entry: Entry) {
        let may_replace = self.level.replaces.contains_key(&format!("/{}", entry.path));
        let below = self.lower.get(&entry.path);
        match below {
            _ if may_replace => self.put(entry),
            Some(Entry { kind: Kind::Directory, .. }) if entry.kind == Kind::Directory => {
                // the folder is there already, with the attributes that it keeps
            }
            Some(old) => {
                let (path, first, second) = (entry.path, old.origin.clone(), entry.origin);
                self.problems.push(tree::Error::Duplicate { path, first, second });
            }
            None => self.problems.extend(self.tree.add(entry).err()),
        }
    }

    /// Puts an entry in, whatever was there.
    fn put(&mut self, entry: Entry) {
        self.problems.extend(self.tree.replace(entry).err());
    }

    /// Makes a folder or gives one its attributes.
    fn folder(&mut self, entry: Entry) {
        match self.tree.get(&entry.path).or_else(|| self.lower.get(&entry.path)) {
            Some(old) if old.kind != Kind::Directory => self.add(entry),
            _ => self.put(entry),
        }
    }

    /// Adds what a generator wrote; it may take the place of what generators wrote before, and of its own targets, unless a
    /// recipe wrote them: nobody's own `/etc/shadow` is lost silently.
    fn generated(&mut self, entry: Entry) {
        let own = self.tree.get(&entry.path);
        match own.or_else(|| self.lower.get(&entry.path)) {
            // of a folder only the attributes change
            Some(Entry { origin: first @ Origin::Recipe(_), kind, .. })
                if *kind != Kind::Directory || entry.kind != Kind::Directory =>
            {
                let is_named = own.is_none() && self.level.replaces.contains_key(&format!("/{}", entry.path));
                if is_named {
                    return self.put(entry);
                }
                let (path, first, second) = (entry.path, first.clone(), entry.origin);
                self.problems.push(tree::Error::Duplicate { path, first, second });
            }
            Some(Entry { origin: Origin::Generator(_), .. }) => self.put(entry),
            Some(_) if is_target(&entry, self.levels) => self.put(entry),
            _ => self.add(entry),
        }
    }

    /// Adds the folders that paths need and nobody brings: 0755, owned by root.
    fn folders(&mut self) {
        match self.tree.missing_folders(self.lower) {
            Err(problems) => self.problems.extend(problems),
            Ok(missing) => {
                let origin = Origin::Generator("filesystem".to_owned());
                for path in missing {
                    let (kind, origin) = (Kind::Directory, origin.clone());
                    self.add(Entry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin });
                }
            }
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        let mut problems = std::mem::take(&mut self.problems);
        let mut seen = BTreeSet::new();
        problems.retain(|problem| seen.insert(problem.to_string()));
        if problems.is_empty() { Ok(()) } else { Err(Error::Tree { recipe: self.level.recipe.clone(), problems }) }
    }
}

/// Tells whether the entry is what its generator exists to write.
fn is_target(entry: &Entry, levels: &[Level]) -> bool {
    matches!(&entry.origin, Origin::Generator(name) if generate::may_replace(name, &entry.path, levels))
}

/// Returns an absolute path in the form of [`Entry::path`], with `/bin`, `/sbin`, `/lib*` moved below `/usr` like those
/// of packages.
fn normal(path: &str) -> String {
    crate::layer::unpack::merged(path.trim_matches('/'))
}
