//! Which paths of packages are excluded: the recipes' `exclude.paths` less their `include-paths`.

use crate::layer::Error;
use crate::recipe::LevelDefinition;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use crate::tree::parent;
use globset::Glob;
use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;
use std::collections::BTreeSet;

/// The patterns for one level: its own and those of all levels below it.
#[derive(Debug, Clone)]
pub(super) struct PathExclusions {
    excluded: GlobSet,
    included: GlobSet,
    /// Folders in which an included path may be: a link in place of one leads to it, and stays.
    leading: GlobSet,
}

impl PathExclusions {
    /// Collects the patterns of all these levels.
    ///
    /// # Errors
    /// [`Error::Pattern`] for one that is no glob.
    pub(super) fn new(levels: &[LevelDefinition]) -> Result<Self, Error> {
        let included = || levels.iter().flat_map(|level| &level.include_paths);
        // a slash within braces ends no folder
        let leading = included().flat_map(|pattern| folders_of(pattern)).filter(|folder| glob(folder).is_ok());
        Ok(Self {
            leading: pattern_set(leading)?,
            excluded: pattern_set(levels.iter().flat_map(|level| level.exclude_paths.keys()).map(String::as_str))?,
            included: pattern_set(included().map(String::as_str))?,
        })
    }

    /// Tells whether a path (without leading slash) is excluded.
    #[must_use]
    pub(super) fn has(&self, path: &str) -> bool {
        // recipes write absolute paths
        let path = format!("/{path}");
        self.excluded.is_match(&path) && !self.included.is_match(&path)
    }

    /// Returns the entries that stay. A folder stays unless everything that the package had in it is excluded; a link
    /// in place of a folder stays if a path below it may be included, as with dpkg (`--path-include`, dpkg(1)).
    #[must_use]
    pub(super) fn keep<'a>(&self, entries: &'a [TreeEntry]) -> Vec<&'a TreeEntry> {
        let mut nonempty = BTreeSet::new();
        let mut needed = BTreeSet::new();
        let mut kept = Vec::new();
        // in byte order a folder comes before its content, which decides about it: so backwards
        for entry in entries.iter().rev() {
            let path = entry.path.as_str();
            nonempty.extend(parent(path));

            // a folder that the package brings empty is wanted as such, unless a pattern names it
            let is_filled_folder = entry.kind == EntryKind::Directory && nonempty.contains(path);
            let leads = matches!(entry.kind, EntryKind::Symlink(_)) && self.leading.is_match(format!("/{path}"));
            let stays = if is_filled_folder { needed.contains(path) } else { leads || !self.has(path) };
            if stays {
                needed.extend(parent(path));
                kept.push(entry);
            }
        }
        kept.reverse();
        kept
    }
}

/// Returns the patterns of all folders above the paths that a pattern names.
fn folders_of(pattern: &str) -> impl Iterator<Item = &str> {
    // a folder pattern with `**` stands for every deeper one
    let end = pattern.find("**").map_or(pattern.len(), |place| place + 2);
    let slashes = pattern.match_indices('/').map(|(place, _)| place);
    slashes.filter(move |place| *place > 0 && *place <= end).map(|place| &pattern[..place])
}

/// Compiles patterns of recipes; a match tells the index of each.
///
/// # Errors
/// [`Error::Pattern`] for one that is no glob.
pub fn pattern_set<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, Error> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(glob(pattern).map_err(|error| Error::Pattern(error.to_string()))?);
    }
    builder.build().map_err(|error| Error::Pattern(error.to_string()))
}

/// `*` and `?` stay inside one path part, `**` does not.
fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::EntryOrigin;
    use crate::tree::FileContent;

    #[test]
    fn drops_folders_with_their_content_but_keeps_empty_ones() {
        let entry = |path: &str| {
            let kind = match path.strip_suffix('/') {
                Some(_) => EntryKind::Directory,
                None => EntryKind::File(FileContent::inline(*b"x")),
            };
            let origin = EntryOrigin::Package("p".to_owned());
            TreeEntry {
                path: path.trim_end_matches('/').to_owned(),
                kind,
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: 0,
                origin,
            }
        };
        let level = LevelDefinition {
            exclude_paths: [("/usr/share/doc/**".to_owned(), "why".to_owned())].into(),
            include_paths: vec!["/usr/share/doc/*/copyright".to_owned()],
            ..LevelDefinition::default()
        };
        let exclusions = PathExclusions::new(&[level]).unwrap();
        let kept = |paths: &[&str]| -> Vec<String> {
            let entries: Vec<TreeEntry> = paths.iter().map(|path| entry(path)).collect();
            exclusions.keep(&entries).iter().map(|entry| entry.path.clone()).collect()
        };
        let doc = ["usr/", "usr/share/", "usr/share/doc/", "usr/share/doc/p/", "usr/share/doc/p/changelog.gz"];
        assert_eq!(kept(&doc), Vec::<String>::new());
        let with = [&doc[..], &["usr/share/doc/p/copyright"]].concat();
        assert_eq!(kept(&with).last().map(String::as_str), Some("usr/share/doc/p/copyright"));
        assert_eq!(kept(&with).len(), 5);
        assert_eq!(kept(&["var/", "var/cache/", "var/cache/p/"]).len(), 3);
    }
}
