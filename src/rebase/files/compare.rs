//! An application's files compared with what its base changes.

use crate::rebase::files::BaseDifferences;
use crate::rebase::files::FileCheckResult;
use crate::rebase::files::PathEntries;
use crate::rebase::files::PathEntry;
use crate::tree;
use crate::tree::layers::ROOT;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most paths that one message names.
const MOST_NAMED: usize = 3;

/// Folders with files that applications replace on purpose, whatever the base does: configuration, documentation, and
/// translations of messages.
const FREE_FOLDERS: [&str; 4] = ["etc/", "usr/share/doc/", "usr/share/man/", "usr/share/locale/"];

/// Compares an application's own entries with the differences between its bases.
#[must_use]
pub fn compare(application: &PathEntries, bases: &BaseDifferences) -> FileCheckResult {
    let mut comparison = FileComparison { application, bases, problems: BTreeMap::new() };
    for (path, entry) in application {
        comparison.add_entry(path, entry);
        comparison.add_ancestors(path);
    }
    comparison.finish()
}

/// Whether a problem prevents the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ObjectionWeight {
    Reason,
    Note,
}

struct FileComparison<'a> {
    application: &'a PathEntries,
    bases: &'a BaseDifferences,
    /// Paths with the same problem, each as people write it.
    problems: BTreeMap<(ObjectionWeight, &'static str), BTreeSet<String>>,
}

impl FileComparison<'_> {
    /// Compares what the application has at a path.
    fn add_entry(&mut self, path: &str, entry: &PathEntry) {
        match entry {
            PathEntry::Gone => self.add_whiteout(path),
            // folders are merged, so that only a change to something else matters
            PathEntry::Folder if self.becomes_no_folder(path) => {
                self.add(ObjectionWeight::Reason, "it has a folder where the new base has a file or link", path);
            }
            PathEntry::Folder => {}
            _ if self.is_changed(path) => {
                self.add(weight_of(path), "it replaces files that the new base changes", path);
            }
            PathEntry::Link(target) => self.add_link(path, target),
            PathEntry::File { .. } | PathEntry::Other => {}
        }
    }

    /// Looks for files that the new base adds where the application hides everything.
    fn add_whiteout(&mut self, path: &str) {
        for added in added_below(path, self.bases) {
            // a file of the application there is compared by itself
            let is_replaced = self.application.get(added).is_some_and(|entry| *entry != PathEntry::Gone);
            if !is_replaced {
                self.add(weight_of(added), "it hides files that the new base adds", added);
            }
        }
    }

    /// Looks for a link's target among the files that the new base removes.
    fn add_link(&mut self, path: &str, target: &str) {
        let target = tree::link_target(path, target);
        let is_removed = self.bases.old.contains_key(&target) && !self.bases.new.contains_key(&target);
        if is_removed && !self.application.contains_key(&target) {
            self.add(ObjectionWeight::Reason, "it has links to files that the new base removes", &target);
        }
    }

    /// Looks for something else than a folder above a path.
    fn add_ancestors(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let ancestor = &path[..end];
            if self.becomes_no_folder(ancestor) {
                self.add(
                    ObjectionWeight::Reason,
                    "it has files below a path that is not a folder in the new base",
                    ancestor,
                );
            }
        }
    }

    fn is_changed(&self, path: &str) -> bool {
        self.bases.old.get(path) != self.bases.new.get(path)
    }

    fn becomes_no_folder(&self, path: &str) -> bool {
        self.bases.new.get(path).is_some_and(|entry| *entry != PathEntry::Folder) && self.is_changed(path)
    }

    fn add(&mut self, weight: ObjectionWeight, problem: &'static str, path: &str) {
        self.problems.entry((weight, problem)).or_default().insert(with_owner(path, self.bases));
    }

    fn finish(self) -> FileCheckResult {
        let mut checked = FileCheckResult { is_checked: true, ..FileCheckResult::default() };
        for ((weight, problem), paths) in self.problems {
            let text = format!("{problem}: {}", first_of(&paths));
            match weight {
                ObjectionWeight::Reason => checked.reasons.push(text),
                ObjectionWeight::Note => checked.notes.push(text),
            }
        }
        checked
    }
}

/// Returns how much a problem at a path matters.
fn weight_of(path: &str) -> ObjectionWeight {
    if FREE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        ObjectionWeight::Note
    } else {
        ObjectionWeight::Reason
    }
}

/// Returns the paths of files, at or below a path, that only the new base has.
fn added_below<'a>(path: &str, bases: &'a BaseDifferences) -> Vec<&'a str> {
    // everything is below the root
    let (path, below) = if path == ROOT { ("", String::new()) } else { (path, format!("{path}/")) };
    let mut added = Vec::new();
    for (known, entry) in bases.new.range(path.to_owned()..).take_while(|(known, _)| known.starts_with(path)) {
        // `a-b` sorts between `a` and `a/b`
        let is_below = known == path || known.starts_with(&below);
        if is_below && *entry != PathEntry::Folder && !bases.old.contains_key(known) {
            added.push(known.as_str());
        }
    }
    added
}

/// Returns a path for a message, with the package of the base that owns it.
fn with_owner(path: &str, bases: &BaseDifferences) -> String {
    // lists of packages may have paths from before /usr was merged: /lib/x for what is in /usr/lib/x
    let unmerged = path.strip_prefix("usr/").and_then(|unmerged| bases.owners.get(unmerged));
    let owner = bases.owners.get(path).or(unmerged);

    let shown = shown(path);
    owner.map_or_else(|| format!("`/{shown}`"), |owner| format!("`/{shown}` of package `{owner}`"))
}

/// Lists the first paths and the number of the others.
fn first_of(paths: &BTreeSet<String>) -> String {
    let first: Vec<&str> = paths.iter().map(String::as_str).take(MOST_NAMED).collect();
    let more = paths.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Digest;

    fn file(content: &str) -> PathEntry {
        PathEntry::File { mode: 0o644, digest: Some(Digest::of(content.as_bytes())) }
    }

    fn entries(list: &[(&str, PathEntry)]) -> PathEntries {
        list.iter().map(|(path, fact)| ((*path).to_owned(), fact.clone())).collect()
    }

    fn bases() -> BaseDifferences {
        let old = [
            ("usr/lib/x", PathEntry::Folder),
            ("usr/lib/x/libssl.so.3", file("1")),
            ("usr/lib/x/libz.so.1", file("same")),
            ("usr/lib/x/gone.so", file("1")),
            ("usr/lib/becomes-link", PathEntry::Folder),
            ("var/lib/dpkg/status.d/libssl", file("Version: 1")),
            ("etc/ssl/openssl.cnf", file("1")),
        ];
        let new = [
            ("usr/lib/x", PathEntry::Folder),
            ("usr/lib/x/libssl.so.3", file("2")),
            ("usr/lib/x/libz.so.1", file("same")),
            ("usr/lib/x/new.so", file("2")),
            ("usr/lib/becomes-link", PathEntry::Link("x".to_owned())),
            ("var/lib/dpkg/status.d/libssl", file("Version: 2")),
            ("etc/ssl/openssl.cnf", file("2")),
            ("etc/ssl/new.cnf", file("2")),
        ];
        let owners = [("usr/lib/x/libssl.so.3".to_owned(), "libssl3t64".to_owned())].into();
        BaseDifferences { old: entries(&old), new: entries(&new), owners }
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let own = || PathEntry::File { mode: 0o644, digest: None };
        let table: [(&str, PathEntry, &str, &str); 16] = [
            ("opt/app.jar", own(), "", ""),
            ("usr/lib/x", PathEntry::Folder, "", ""),
            ("usr/lib/x/libz.so.1", own(), "", ""),
            (
                "usr/lib/x/libssl.so.3",
                own(),
                "it replaces files that the new base changes: `/usr/lib/x/libssl.so.3` of package `libssl3t64`",
                "",
            ),
            ("usr/lib/x/libssl.so.3", PathEntry::Link("/opt/libssl".to_owned()), "it replaces files", ""),
            ("usr/lib/x/libssl.so.3", PathEntry::Gone, "", ""),
            ("usr/lib/x/new.so", own(), "it replaces files", ""),
            ("var/lib/dpkg/status.d/libssl", own(), "it replaces files", ""),
            ("etc/ssl/openssl.cnf", own(), "", "it replaces files that the new base changes: `/etc/ssl/openssl.cnf`"),
            ("usr/lib/x", PathEntry::Gone, "it hides files that the new base adds: `/usr/lib/x/new.so`", ""),
            ("etc/ssl", PathEntry::Gone, "", "it hides files that the new base adds: `/etc/ssl/new.cnf`"),
            (
                "usr/lib/becomes-link/mine",
                own(),
                "below a path that is not a folder in the new base: `/usr/lib/becomes-link`",
                "",
            ),
            ("usr/lib/becomes-link", PathEntry::Folder, "it has a folder where the new base has a file or link", ""),
            (
                "opt/lib",
                PathEntry::Link("../usr/lib/x/gone.so".to_owned()),
                "that the new base removes: `/usr/lib/x/gone.so`",
                "",
            ),
            ("opt/lib", PathEntry::Link("/usr/lib/x/libz.so.1".to_owned()), "", ""),
            ("opt/lib", PathEntry::Link("../../../..//".to_owned()), "", ""),
        ];
        for (path, fact, reason, note) in table {
            let found = compare(&entries(&[(path, fact.clone())]), &bases());
            let fits = |found: &[String], expected: &str| match expected {
                "" => found.is_empty(),
                expected => found.len() == 1 && found[0].contains(expected),
            };
            assert!(fits(&found.reasons, reason), "{path} {fact:?}: {:?}", found.reasons);
            assert!(fits(&found.notes, note), "{path} {fact:?}: {:?}", found.notes);
        }
    }
}
