//! Untrusted layers, read and stacked: what they contain at every path, and which package owns it.

use crate::oci;
use crate::rebase::Error;
use crate::rebase::files::Fact;
use crate::rebase::files::PathEntries;
use crate::rebase::files::PathOwners;
use crate::sys::archive;
use crate::sys::archive::Limits;
use crate::sys::archive::Next;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Hasher;
use std::io;
use std::io::Read;
use std::path::Path;

/// Most paths in all layers of one platform. Large applications have some 100,000.
const MOST_PATHS: u64 = 500_000;

/// Most bytes of these paths and of link targets: with the entries of a map, less than 256 MiB are kept in memory. Paths have
/// some 80 bytes.
const MOST_PATH_BYTES: u64 = 48 << 20;

/// Most bytes that all layers of one platform unpack to. Nothing of it is kept, but it takes time.
const MOST_UNPACKED_BYTES: u64 = 32 << 30;

/// Most paths whose package is remembered. A base image has some 10,000.
const MOST_OWNED_PATHS: usize = 200_000;

/// Largest list of a package's files that is read. A line has some 100 bytes: a package with 80,000 files still fits.
const LARGEST_FILE_LIST: u64 = 8 << 20;

/// Returns the limits for all layers of one platform.
pub(crate) fn limits() -> Limits {
    Limits::new(MOST_PATHS, MOST_PATH_BYTES, MOST_UNPACKED_BYTES)
}

/// Layers on top of one another.
#[derive(Debug)]
pub(crate) struct StackedLayers {
    /// What they contain.
    pub(crate) entries: PathEntries,
    /// Packages, if they are asked for: only then are files hashed.
    pub(crate) owners: Option<PathOwners>,
    /// What further layers may contain.
    pub(crate) limits: Limits,
}

impl StackedLayers {
    /// Begins a stack whose files are not hashed.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { entries: PathEntries::new(), owners: None, limits }
    }

    /// Begins a stack whose files are hashed. Lists of packages are added to `owners`.
    pub(crate) fn with_owners(limits: Limits, owners: PathOwners) -> Self {
        Self { owners: Some(owners), ..Self::new(limits) }
    }

    /// Puts a compressed layer on top. This blocks while all of it is read, and must not run in a future.
    pub(crate) fn add_blob(mut self, path: &Path, media_type: &str) -> Result<Self, Error> {
        let stream = oci::decompressed(media_type, fs::open(path)?)?;
        self.add(stream).map_err(|cause| fs::Error::new("read", path, cause))?;
        Ok(self)
    }

    /// Puts a layer on top.
    fn add(&mut self, stream: impl Read) -> io::Result<()> {
        let (mut upper, mut hidden_paths) = (PathEntries::new(), Vec::new());
        let Self { owners, limits, .. } = self;
        archive::each(stream, limits, |member| {
            let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
            let path = path.trim_start_matches("./").trim_matches('/').to_owned();
            if path.is_empty() || path == "." {
                return Ok(Next::Go);
            }

            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if let Some(hidden) = name.strip_prefix(".wh.") {
                hidden_paths.push(match (hidden, folder) {
                    // an opaque whiteout hides the content of its folder
                    (".wh..opq", folder) => folder.to_owned(),
                    (hidden, "") => hidden.to_owned(),
                    (hidden, folder) => format!("{folder}/{hidden}"),
                });
            } else {
                let entry = read_entry(&path, member, owners.as_mut())?;
                upper.insert(path, entry);
            }
            Ok(Next::Go)
        })?;

        // whiteouts hide lower layers only, whatever their position in the archive: they are applied after all members are read
        for hidden in hidden_paths {
            self.hide(hidden, &mut upper);
        }
        // a folder that exists again does not bring back what a whiteout hid below it
        upper.retain(|path, entry| *entry != Fact::Folder || self.entries.get(path) != Some(&Fact::Gone));
        self.entries.append(&mut upper);
        Ok(())
    }

    /// Applies a whiteout: lower layers have nothing at or below the path any more.
    fn hide(&mut self, hidden: String, upper: &mut PathEntries) {
        let below = format!("{hidden}/");
        let lower =
            self.entries.range(below.clone()..).map(|(path, _)| path).take_while(|path| path.starts_with(&below));
        for path in lower.cloned().collect::<Vec<_>>() {
            self.entries.remove(&path);
        }

        // a folder in the same layer does not cancel the whiteout, a file takes its place
        if upper.get(&hidden).is_none_or(|entry| *entry == Fact::Folder) {
            upper.insert(hidden, Fact::Gone);
        }
    }
}

/// Reads a member of a layer, with its content if owners are asked for.
fn read_entry<R: Read>(
    path: &str,
    member: &mut tar::Entry<'_, R>,
    owners: Option<&mut PathOwners>,
) -> io::Result<Fact> {
    let header = member.header().clone();
    let target = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
    Ok(match header.entry_type() {
        tar::EntryType::Directory => Fact::Folder,
        tar::EntryType::Symlink => Fact::Link(target),
        // a hard link has no content of its own: it is as good as the name of the other file
        tar::EntryType::Link => Fact::File { mode: 0, digest: Some(Digest::of(target.as_bytes())) },
        kind if kind.is_file() => {
            let mode = header.mode()? & 0o7777;
            let digest = match owners {
                Some(owners) => Some(hash_content(path, member, owners)?),
                None => None,
            };
            Fact::File { mode, digest }
        }
        _ => Fact::Other,
    })
}

/// Hashes a file, and notes the owners of paths if it lists the files of a package.
fn hash_content<R: Read>(path: &str, member: &mut tar::Entry<'_, R>, owners: &mut PathOwners) -> io::Result<Digest> {
    let Some(package) = listed_package(path).filter(|_| member.size() <= LARGEST_FILE_LIST) else {
        let mut hasher = Hasher::default();
        io::copy(member, &mut hasher)?;
        return Ok(hasher.finish());
    };

    let mut list = String::new();
    member.read_to_string(&mut list)?;
    // `<md5>  <path>`, as md5sum(1) writes it
    for (_, owned) in list.lines().filter_map(|line| line.split_once("  ")) {
        owners.insert(owned.trim().to_owned(), package.to_owned());
        if owners.len() > MOST_OWNED_PATHS {
            return Err(io::Error::other(format!("its packages have more than {MOST_OWNED_PATHS} files")));
        }
    }
    Ok(Digest::of(list.as_bytes()))
}

/// Returns the package whose files are listed at a path: where distroless images and ours keep such lists, and where dpkg
/// does.
fn listed_package(path: &str) -> Option<&str> {
    let folders = ["var/lib/dpkg/status.d/", "var/lib/dpkg/info/"];
    let name = folders.iter().find_map(|folder| path.strip_prefix(folder))?.strip_suffix(".md5sums")?;
    // dpkg adds the architecture for packages with `Multi-Arch: same`
    Some(name.split(':').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Fact {
        Fact::File { mode: 0o644, digest: Some(Digest::of(content.as_bytes())) }
    }

    fn layer(members: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(if path.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn layers_lie_upon_one_another() {
        let last = layer(&[("e/", ""), ("g", "1")]);
        let lower = layer(&[("./a/", ""), ("a/b", "1"), ("a/c", "1"), ("d", "1"), ("e/", ""), ("e/old", "1")]);
        let list = ("var/lib/dpkg/status.d/libc6.md5sums", "0123  usr/lib/libc.so.6\n");
        let upper = layer(&[("a/.wh.b", ""), ("d", "2"), ("e/", ""), ("e/f", ""), ("e/.wh..wh..opq", ""), list]);
        let mut stack = StackedLayers::with_owners(Limits::new(100, 1000, 1 << 20), PathOwners::new());
        for layer in [&lower, &upper, &last] {
            stack.add(&layer[..]).unwrap();
        }
        let expected = [
            ("a", Fact::Folder),
            ("a/b", Fact::Gone),
            ("a/c", file("1")),
            ("d", file("2")),
            ("e", Fact::Gone),
            ("e/f", file("")),
            ("g", file("1")),
            (list.0, file(list.1)),
        ];
        let expected: PathEntries = expected.into_iter().map(|(path, entry)| (path.to_owned(), entry)).collect();
        assert_eq!(stack.entries, expected);
        assert_eq!(stack.owners.unwrap()["usr/lib/libc.so.6"], "libc6");
        assert!(StackedLayers::new(Limits::new(100, 1000, 3)).add(&lower[..]).is_err());
    }
}
