//! Applies the layers of an image one after the other, whoever built it.
//!
//! An image has the files of its lowest layer, changed by every layer above. A layer adds and replaces paths, and it
//! deletes paths of the layers below with whiteouts: empty files whose name alone counts.
//!
//! Source: OCI image-spec layer.md, "Applying Changesets" and "Whiteouts".

use crate::sys::archive;
use crate::sys::archive::ArchiveLimits;
use crate::sys::archive::MeteredReader;
use crate::sys::archive::VisitControl;
use crate::tree::WHITEOUT;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;
use tar::Entry;

/// Path of the root folder itself, which archives call `./` or `/` if they have an entry for it at all.
pub const ROOT: &str = ".";

/// Name of the whiteout that hides everything that lower layers have in its folder ("Opaque Whiteout").
const OPAQUE: &str = ".wh..wh..opq";

/// Applies one layer to `files`, the paths of the layers below, and returns the paths that its whiteouts hide.
///
/// `describe` makes the value of each path from its archive member. Paths have no slash at either end; the root is
/// [`ROOT`]. The returned paths are those that whiteouts name, and the folders whose content opaque whiteouts hide. They
/// matter to callers that do not have all lower layers: something may be hidden there that `files` does not know of.
///
/// # Errors
/// What the stream or `describe` says, or an [`io::Error`] with an [`archive::ArchiveLimitExceeded`] inside when the layer has more
/// than `limits` allow. Then `files` is as before.
pub fn apply<R: Read, T>(
    stream: R,
    limits: &mut ArchiveLimits,
    files: &mut BTreeMap<String, T>,
    mut describe: impl FnMut(&str, &mut Entry<'_, MeteredReader<R>>) -> io::Result<T>,
) -> io::Result<BTreeSet<String>> {
    let mut added = BTreeMap::new();
    let mut whiteouts = Vec::new();
    archive::each(stream, limits, |member| {
        let path = normal(&String::from_utf8_lossy(&member.path_bytes()));

        if is_whiteout(&path) {
            whiteouts.extend(Whiteout::parse(&path));
        } else {
            let is_folder = member.header().entry_type().is_dir();
            let value = describe(&path, member)?;
            added.insert(path, (is_folder, value));
        }
        Ok(VisitControl::Go)
    })?;

    // whiteouts apply to lower layers only, wherever in the archive they are: so they come before the layer's own paths
    let mut hidden = BTreeSet::new();
    for whiteout in whiteouts {
        let path = match whiteout {
            Whiteout::Path(path) => {
                files.remove(&path);
                path
            }
            Whiteout::Content(folder) => folder,
        };
        remove_below(files, &path);
        hidden.insert(path);
    }

    // in byte order a folder comes before its content, so nothing of this layer is removed again
    for (path, (is_folder, value)) in added {
        // a folder over a folder changes its attributes only; all else replaces the path with everything below it
        if !is_folder {
            remove_below(files, &path);
        }
        files.insert(path, value);
    }
    Ok(hidden)
}

/// What a whiteout hides of the layers below.
enum Whiteout {
    /// A path, with everything below it.
    Path(String),
    /// Everything in a folder, but not the folder.
    Content(String),
}

impl Whiteout {
    /// Reads the path of a whiteout.
    fn parse(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((ROOT, path));
        if name == OPAQUE {
            return Some(Self::Content(folder.to_owned()));
        }

        let hidden = name.strip_prefix(WHITEOUT)?;
        // a bare `.wh.`, `.wh..` or `.wh...` would mean a folder, not a file in it; `.wh..wh.…` are notes of AUFS
        if matches!(hidden, "" | "." | "..") || hidden.starts_with(WHITEOUT) {
            return None;
        }
        Some(Self::Path(if folder == ROOT { hidden.to_owned() } else { format!("{folder}/{hidden}") }))
    }
}

fn is_whiteout(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(WHITEOUT))
}

/// Returns a path as it is after unpacking: `./etc//passwd` and `/etc/passwd` are `etc/passwd`.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() { ROOT.to_owned() } else { parts.join("/") }
}

/// Removes what is below a folder. A layer may have many whiteouts, so this never looks at the other paths.
fn remove_below<T>(files: &mut BTreeMap<String, T>, folder: &str) {
    if folder == ROOT {
        return files.retain(|path, _| path == ROOT);
    }

    let prefix = format!("{folder}/");
    let below = files.range(prefix.clone()..).map(|(path, _)| path).take_while(|path| path.starts_with(&prefix));
    let below: Vec<String> = below.cloned().collect();
    for path in below {
        files.remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a layer; a path with a slash at its end is a folder.
    fn layer(paths: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for path in paths {
            let mut header = tar::Header::new_ustar();
            let is_folder = path.ends_with('/');
            header.set_entry_type(if is_folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
            // set as bytes: the library refuses or changes some of the paths that hostile layers have
            header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(0);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, &b""[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// Applies layers from the bottom up; returns the paths, each with the number of its layer, and what the last hides.
    fn applied(layers: &[&[&str]]) -> (Vec<String>, Vec<String>) {
        let (mut files, mut hidden) = (BTreeMap::new(), BTreeSet::new());
        let mut limits = ArchiveLimits::new(100, 10_000, 1 << 20);
        for (number, paths) in layers.iter().enumerate() {
            hidden = apply(&layer(paths)[..], &mut limits, &mut files, |_, _| Ok(number)).unwrap();
        }
        let files = files.into_iter().map(|(path, number)| format!("{path} {number}"));
        (files.collect(), hidden.into_iter().collect())
    }

    #[test]
    fn whiteouts_hide_paths_of_lower_layers() {
        let lower = ["./", "a", "ab", "etc/", "etc/x", "etc/y", "opt/", "opt/d/", "opt/d/e", "opt/f"];
        let table: [(&[&str], &[&str], &[&str]); 7] = [
            // at the root
            (
                &[".wh.a"],
                &[". 0", "ab 0", "etc 0", "etc/x 0", "etc/y 0", "opt 0", "opt/d 0", "opt/d/e 0", "opt/f 0"],
                &["a"],
            ),
            (&["./.wh.opt"], &[". 0", "a 0", "ab 0", "etc 0", "etc/x 0", "etc/y 0"], &["opt"]),
            // in folders, with what is below
            (
                &["etc/.wh.x", "opt/.wh.d"],
                &[". 0", "a 0", "ab 0", "etc 0", "etc/y 0", "opt 0", "opt/f 0"],
                &["etc/x", "opt/d"],
            ),
            // opaque: the folder stays
            (&["opt/.wh..wh..opq", "etc/.wh..wh..opq"], &[". 0", "a 0", "ab 0", "etc 0", "opt 0"], &["etc", "opt"]),
            // opaque at the root
            (&[".wh..wh..opq", "new"], &[". 0", "new 1"], &["."]),
            // the layer's own paths stay, before and behind the whiteout
            (
                &["etc/z", "etc/x", "etc/.wh.x", "etc/.wh..wh..opq", "etc/w", ".wh.a", "a", ".wh.opt"],
                &[". 0", "a 1", "ab 0", "etc 0", "etc/w 1", "etc/x 1", "etc/z 1"],
                &["a", "etc", "etc/x", "opt"],
            ),
            // names that hide nothing
            (
                &[".wh.", ".wh..", "etc/.wh...", ".wh..wh.plnk", "opt/.wh..wh.aufs"],
                &[". 0", "a 0", "ab 0", "etc 0", "etc/x 0", "etc/y 0", "opt 0", "opt/d 0", "opt/d/e 0", "opt/f 0"],
                &[],
            ),
        ];
        for (upper, files, hidden) in table {
            let (found, found_hidden) = applied(&[&lower, upper]);
            assert_eq!(found, files, "{upper:?}");
            assert_eq!(found_hidden, hidden, "{upper:?}");
        }
    }

    #[test]
    fn a_folder_over_a_folder_keeps_its_content_and_nothing_else_does() {
        let lower = ["etc/", "etc/x", "opt/", "opt/y"];
        assert_eq!(applied(&[&lower, &["etc/", "opt"]]).0, ["etc 1", "etc/x 0", "opt 1"]);
        assert_eq!(applied(&[&["opt"], &["opt/", "opt/y"]]).0, ["opt 1", "opt/y 1"]);
    }

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        assert_eq!(applied(&[&["etc/x", "a"], &["./etc//x", "/a", "./"]]).0, [". 1", "a 1", "etc/x 1"]);
        assert_eq!(applied(&[&["etc/x"], &[".//etc/./.wh.x"]]).0, Vec::<String>::new());
    }

    #[test]
    fn a_refused_layer_changes_nothing() {
        let mut files = BTreeMap::from([("a".to_owned(), 0)]);
        let mut limits = ArchiveLimits::new(1, 100, 1 << 20);
        assert!(apply(&layer(&[".wh.a", "b"])[..], &mut limits, &mut files, |_, _| Ok(1)).is_err());
        assert_eq!(files, BTreeMap::from([("a".to_owned(), 0)]));
    }
}
