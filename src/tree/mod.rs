//! A root file system as a value: paths with attributes, no root rights and no disk needed.
//!
//! A tree does not hold file contents but says where they are ([`Source`]); they are read when a layer is written.

pub mod compress;
mod content;
mod entry;
pub mod tar;
pub mod text;

pub use content::Contents;
pub use entry::Content;
pub use entry::Entry;
pub use entry::Kind;
pub use entry::Origin;
pub use entry::Source;

use std::collections::BTreeMap;
use std::collections::btree_map;

/// Paths in byte order, each with its entry. Folders on the way to a path may be left out; [`Tree::missing_folders`] names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

/// Why a tree cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two origins bring the same path.
    #[error("cannot put `/{path}` from {second} into the tree: {first} brings it too")]
    Duplicate {
        /// The path.
        path: String,
        /// Who had it first.
        first: Origin,
        /// Who came second.
        second: Origin,
    },
    /// Something stands below a path that is no folder.
    #[error("cannot put `/{path}` from {origin} into the tree: `/{parent}` is not a folder")]
    NotAFolder {
        /// The path.
        path: String,
        /// Its would-be parent.
        parent: String,
        /// Who brings the path.
        origin: Origin,
    },
    /// A recipe copies a file that nobody brings.
    #[error("cannot copy `{from}` to `{to}`: there is no such file in this level or below")]
    NothingToCopy {
        /// What was to be copied.
        from: String,
        /// Where to.
        to: String,
    },
    /// The path leaves the root, or is not in normal form.
    #[error("cannot use path `{0}`: it is empty, absolute, not in normal form or leaves the root")]
    BadPath(String),
    /// A name in the path is an order to whoever unpacks the layer.
    #[error("cannot use path `{0}`: names that begin with `{WHITEOUT}` delete files of lower layers")]
    Whiteout(String),
}

/// How names begin that delete files of lower layers instead of bringing any (image-spec layer.md, "Whiteouts"). Names
/// that go on with `.wh.` again (`.wh..wh..opq`, `.wh..wh.plnk`, …) are orders as well or kept for them.
pub const WHITEOUT: &str = ".wh.";

/// Tells whether a part of a path is a whiteout: no recipe, package or generator may write one.
#[must_use]
pub fn has_whiteout(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with(WHITEOUT))
}

/// Refuses paths that are not in the form of [`Entry::path`]: hostile packages may bring any.
///
/// # Errors
/// [`Error::BadPath`] or [`Error::Whiteout`].
pub fn check_path(path: &str) -> Result<(), Error> {
    let part_is_good = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
    if path.len() > 4096 || path.contains('\0') || !path.split('/').all(part_is_good) {
        return Err(Error::BadPath(path.chars().take(200).collect()));
    }
    check_target(path)
}

/// Refuses targets of links that no path of an image can have.
///
/// # Errors
/// [`Error::Whiteout`].
pub fn check_target(target: &str) -> Result<(), Error> {
    if has_whiteout(target) { Err(Error::Whiteout(target.chars().take(200).collect())) } else { Ok(()) }
}

fn check(entry: &Entry) -> Result<(), Error> {
    check_path(&entry.path)?;
    match &entry.kind {
        Kind::Symlink(target) | Kind::Hardlink { target, .. } => check_target(target),
        Kind::Directory | Kind::File(_) => Ok(()),
    }
}

/// Returns the folder that a path is in, or `None` at the root.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

impl Tree {
    /// Adds an entry. A folder may come from several origins: the first one's attributes stay.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::BadPath`] or [`Error::Whiteout`].
    pub fn add(&mut self, entry: Entry) -> Result<(), Error> {
        check(&entry)?;
        match self.entries.entry(entry.path.clone()) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
            btree_map::Entry::Occupied(old) => match (&old.get().kind, &entry.kind) {
                (Kind::Directory, Kind::Directory) => Ok(()),
                _ => Err(Error::Duplicate { path: entry.path, first: old.get().origin.clone(), second: entry.origin }),
            },
        }
    }

    /// Puts an entry in, whatever was there; returns what was.
    ///
    /// # Errors
    /// [`Error::BadPath`] or [`Error::Whiteout`].
    pub fn replace(&mut self, entry: Entry) -> Result<Option<Entry>, Error> {
        check(&entry)?;
        Ok(self.entries.insert(entry.path.clone(), entry))
    }

    /// Removes a path.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.entries.remove(path)
    }

    /// Keeps only the entries that the function says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(|_, entry| keep(entry));
    }

    /// Returns the entry at a path (without leading slash).
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Follows symbolic links in every part of a path, as the kernel would from this root; returns the final entry.
    /// At most 40 links (path_resolution(7)); a link that leaves the root ends at the root.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<&Entry> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            if let Some(Entry { kind: Kind::Symlink(target), .. }) = self.entries.get(&done.join("/")) {
                links += 1;
                if links > 40 {
                    return None;
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                rest.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        self.entries.get(&done.join("/"))
    }

    /// Returns all entries in byte order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Returns the entries below a folder, in byte order, the folder itself left out.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let prefix = format!("{folder}/");
        self.entries
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(_, entry)| entry)
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns all entries in byte order of paths.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries.into_values().collect()
    }

    /// Checks that everything stands in a folder, looking for folders here and then in `lower`; returns the paths of
    /// folders that neither has, parents first.
    ///
    /// # Errors
    /// All [`Error::NotAFolder`]s.
    pub fn missing_folders(&self, lower: &Self) -> Result<Vec<String>, Vec<Error>> {
        let mut missing = std::collections::BTreeSet::new();
        let mut errors = Vec::new();
        for entry in self.iter() {
            let mut path = entry.path.as_str();
            while let Some(folder) = parent(path) {
                match self.get(folder).or_else(|| lower.get(folder)).map(|found| &found.kind) {
                    Some(Kind::Directory) => {}
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

impl FromIterator<Entry> for Tree {
    /// Collects entries; of two with one path the later stays.
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect() }
    }
}

#[cfg(test)]
mod tests;
