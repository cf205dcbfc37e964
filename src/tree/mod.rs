//! A root file system as a value: paths with their attributes, held in memory, built without root rights.
//!
//! A tree does not hold file contents. Each entry records where its bytes are ([`ContentSource`]); they are read when a layer is
//! written.

pub mod compress;
mod content;
mod entry;
pub mod inventory;
pub mod layers;
pub mod tar;
pub mod text;

pub use content::ContentReader;
pub use entry::ContentSource;
pub use entry::EntryKind;
pub use entry::EntryOrigin;
pub use entry::FileContent;
pub use entry::TreeEntry;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::btree_map;

/// Longest path (Linux `PATH_MAX`) and longest name in it (`NAME_MAX`), in bytes.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// Most symbolic links that one lookup follows, as in Linux (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Entries in byte order of their paths. Parent folders may be absent; [`Tree::missing_folders`] lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, TreeEntry>,
}

/// Why an entry cannot be part of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two origins provide the same path.
    #[error("cannot put `/{path}` from {second} into the tree: {first} brings it too")]
    Duplicate {
        /// The path.
        path: String,
        /// Origin of the entry that is already in the tree.
        first: EntryOrigin,
        /// Origin of the entry that was added.
        second: EntryOrigin,
    },
    /// Two packages of one level bring the same path, and neither replaces the other.
    #[error("cannot put `/{path}` into the tree: {first} and {second} both bring it, and neither replaces the other")]
    Contested {
        /// The path.
        path: String,
        /// One package.
        first: EntryOrigin,
        /// The other package.
        second: EntryOrigin,
    },
    /// A path lies below something that is not a folder.
    #[error("cannot put `/{path}` from {origin} into the tree: `/{parent}` is not a folder")]
    NotAFolder {
        /// The path.
        path: String,
        /// The path above it that is not a folder.
        parent: String,
        /// Origin of the path.
        origin: EntryOrigin,
    },
    /// A recipe copies a file that no entry provides.
    #[error("cannot copy `{from}` to `{to}`: there is no such file in this level or below")]
    NothingToCopy {
        /// Path of the missing source.
        from: String,
        /// Path of the copy.
        to: String,
    },
    /// The path leaves the root, or is not in normal form.
    #[error("cannot use path `{0}`: it is empty, absolute, not in normal form or leaves the root")]
    BadPath(String),
    /// A name in the path is a whiteout, which deletes files when the layer is unpacked.
    #[error("cannot use path `{0}`: names that begin with `{WHITEOUT}` delete files of lower layers")]
    Whiteout(String),
}

/// Prefix of whiteouts: names that delete files of lower layers (image-spec layer.md, "Whiteouts"). Names that repeat the
/// prefix (`.wh..wh..opq`, `.wh..wh.plnk`, …) are opaque whiteouts, or reserved by AUFS.
pub const WHITEOUT: &str = ".wh.";

/// Tells whether any name in a path is a whiteout. No recipe, package or generator may write one.
#[must_use]
pub fn has_whiteout(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with(WHITEOUT))
}

/// Refuses paths that are not in the form of [`TreeEntry::path`]: a hostile package may contain any path.
///
/// # Errors
/// [`Error::BadPath`] or [`Error::Whiteout`].
pub fn check_path(path: &str) -> Result<(), Error> {
    if path.len() > PATH_MAX || path.contains('\0') || !path.split('/').all(is_normal_name) {
        return Err(Error::BadPath(excerpt(path)));
    }

    check_target(path)
}

/// Tells whether one name of a path is in normal form and fits into a directory entry.
fn is_normal_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && name.len() <= NAME_MAX
}

/// Returns the beginning of a path for messages: a hostile one may be megabytes long.
fn excerpt(path: &str) -> String {
    path.chars().take(200).collect()
}

/// Refuses link targets with whiteouts in them: no path of an image has such a name.
///
/// # Errors
/// [`Error::Whiteout`].
pub fn check_target(target: &str) -> Result<(), Error> {
    if has_whiteout(target) { Err(Error::Whiteout(excerpt(target))) } else { Ok(()) }
}

/// Checks the path of an entry, and the target if it is a link.
fn check_entry(entry: &TreeEntry) -> Result<(), Error> {
    check_path(&entry.path)?;
    match &entry.kind {
        EntryKind::Symlink(target) | EntryKind::Hardlink { target, .. } => check_target(target),
        EntryKind::Directory | EntryKind::File(_) => Ok(()),
    }
}

/// Returns the folder that contains a path; `None` for names directly below the root.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// Returns the path that a link leads to, by its text alone: links on the way are not followed. The root is empty.
#[must_use]
pub fn link_target(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { path.split('/').collect() };
    // the target is relative to the link's folder
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // above the root is the root
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Follows symbolic links in every part of a path, whether or not anything is where they lead; `target` tells where the
/// link at a path leads. Returns `None` if there is no link on the way, or too many.
pub fn follow<'a>(path: &'a str, target: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    walk(path, target).filter(|(_, links)| *links > 0).map(|(walked, _)| walked)
}

/// As [`follow`], for any path, with the number of links on the way; `None` if there are too many.
fn walk<'a>(path: &'a str, target: impl Fn(&str) -> Option<&'a str>) -> Option<(String, u32)> {
    // the names still to be walked, the next one last
    let mut remaining: Vec<&str> = path.rsplit('/').collect();
    // one text that grows and shrinks: paths may be deep, and joining their names at every step costs the square
    let mut walked = String::new();
    let mut links = 0;

    while let Some(name) = remaining.pop() {
        match name {
            "" | "." => continue,
            ".." => {
                // at the root this does nothing: the kernel stays there, too
                walked.truncate(parent(&walked).map_or(0, str::len));
                continue;
            }
            _ => {}
        }

        let before = walked.len();
        if !walked.is_empty() {
            walked.push('/');
        }
        walked.push_str(name);
        if let Some(target) = target(&walked) {
            // links may form a loop
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            // the target takes the place of the link's name: relative to its folder, or from the root
            walked.truncate(if target.starts_with('/') { 0 } else { before });
            remaining.extend(target.rsplit('/'));
        }
    }
    Some((walked, links))
}

impl Tree {
    /// Adds an entry. Several origins may provide the same folder; the attributes of the first one are kept.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::BadPath`] or [`Error::Whiteout`].
    pub fn add(&mut self, entry: TreeEntry) -> Result<(), Error> {
        check_entry(&entry)?;

        match self.entries.entry(entry.path.clone()) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
            btree_map::Entry::Occupied(existing) => match (&existing.get().kind, &entry.kind) {
                // nearly every package ships `/usr`; Debian expects them to share it
                (EntryKind::Directory, EntryKind::Directory) => Ok(()),
                _ => {
                    let first = existing.get().origin.clone();
                    Err(Error::Duplicate { path: entry.path, first, second: entry.origin })
                }
            },
        }
    }

    /// Adds an entry in place of any other with its path; returns the entry that was replaced.
    ///
    /// # Errors
    /// [`Error::BadPath`] or [`Error::Whiteout`].
    pub fn replace(&mut self, entry: TreeEntry) -> Result<Option<TreeEntry>, Error> {
        check_entry(&entry)?;
        Ok(self.entries.insert(entry.path.clone(), entry))
    }

    /// Removes the entry at a path and returns it. Entries below a folder stay.
    pub fn remove(&mut self, path: &str) -> Option<TreeEntry> {
        self.entries.remove(path)
    }

    /// Keeps only the entries for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreeEntry) -> bool) {
        self.entries.retain(|_, entry| keep(entry));
    }

    /// Lowers every modification time that is later than this one, in seconds since 1970.
    pub fn clamp_mtimes(&mut self, latest: i64) {
        for entry in self.entries.values_mut() {
            entry.mtime = entry.mtime.min(latest);
        }
    }

    /// Returns the entry at a path (without leading slash).
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.entries.get(path)
    }

    /// Follows the symbolic links in every part of a path, as the kernel would with this tree as root; returns the final
    /// entry. At most 40 links are followed (path_resolution(7)); `..` never leads above the root.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<&TreeEntry> {
        let (walked, _) = walk(path, |path| self.get(path).and_then(TreeEntry::link))?;
        self.get(&walked)
    }

    /// Returns all entries in byte order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &TreeEntry> {
        self.entries.values()
    }

    /// Returns the entries below a folder in byte order, without the folder itself.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a TreeEntry> + use<'a> {
        let prefix = format!("{folder}/");

        // byte order keeps all paths with one prefix together
        self.entries
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(_, entry)| entry)
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether the tree has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns all entries in byte order of paths.
    #[must_use]
    pub fn into_entries(self) -> Vec<TreeEntry> {
        self.entries.into_values().collect()
    }

    /// Checks that everything stands in a folder, looking for folders here and then in `lower`; returns the paths of
    /// folders that neither has, parents first.
    ///
    /// # Errors
    /// One [`Error::NotAFolder`] for each path that lies below something else.
    pub fn missing_folders(&self, lower: &Self) -> Result<Vec<String>, Vec<Error>> {
        // byte order puts a folder before everything in it
        let mut missing = BTreeSet::new();
        let mut errors = Vec::new();

        for entry in self.iter() {
            let mut path = entry.path.as_str();
            while let Some(folder) = parent(path) {
                // this tree is laid over `lower`, so its own entry decides
                match self.get(folder).or_else(|| lower.get(folder)).map(|found| &found.kind) {
                    Some(EntryKind::Directory) => {}
                    Some(_) => {
                        let (path, origin) = (entry.path.clone(), entry.origin.clone());
                        errors.push(Error::NotAFolder { path, parent: folder.to_owned(), origin });
                    }
                    None => {
                        missing.insert(folder.to_owned());
                    }
                }
                path = folder;
            }
        }

        if errors.is_empty() { Ok(missing.into_iter().collect()) } else { Err(errors) }
    }
}

impl FromIterator<TreeEntry> for Tree {
    /// Collects entries without checking them; of two with the same path the later one is kept.
    fn from_iter<T: IntoIterator<Item = TreeEntry>>(entries: T) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect() }
    }
}

impl Extend<TreeEntry> for Tree {
    /// Adds entries, each in place of the one that had its path.
    fn extend<T: IntoIterator<Item = TreeEntry>>(&mut self, entries: T) {
        self.entries.extend(entries.into_iter().map(|entry| (entry.path.clone(), entry)));
    }
}

#[cfg(test)]
mod tests;
