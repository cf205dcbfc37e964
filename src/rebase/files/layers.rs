//! Untrusted layers, read and stacked: what they contain at every path, and which package owns it.

use crate::oci;
use crate::rebase::Error;
use crate::rebase::files::PathEntries;
use crate::rebase::files::PathEntry;
use crate::rebase::files::PathOwners;
use crate::sys::archive::ArchiveLimits;
use crate::sys::fs;
use crate::tree::layers;
use crate::values::Digest;
use crate::values::DigestHasher;
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
pub(crate) fn limits() -> ArchiveLimits {
    ArchiveLimits::new(MOST_PATHS, MOST_PATH_BYTES, MOST_UNPACKED_BYTES)
}

/// Layers on top of one another.
#[derive(Debug)]
pub struct StackedLayers {
    /// What they contain.
    pub entries: PathEntries,
    /// Packages, if they are asked for: only then are files hashed.
    pub owners: Option<PathOwners>,
    /// What further layers may contain.
    pub limits: ArchiveLimits,
}

impl StackedLayers {
    /// Begins a stack whose files are not hashed.
    #[must_use]
    pub fn new(limits: ArchiveLimits) -> Self {
        Self { entries: PathEntries::new(), owners: None, limits }
    }

    /// Begins a stack whose files are hashed. Lists of packages are added to `owners`.
    #[must_use]
    pub fn with_owners(limits: ArchiveLimits, owners: PathOwners) -> Self {
        Self { owners: Some(owners), ..Self::new(limits) }
    }

    /// Puts a compressed layer on top. This blocks while all of it is read, and must not run in a future.
    pub(crate) fn add_blob(mut self, path: &Path, media_type: &str) -> Result<Self, Error> {
        let stream = oci::decompressed(media_type, fs::open(path)?)?;
        self.add(stream).map_err(|cause| fs::Error::new("read", path, cause))?;
        Ok(self)
    }

    /// Puts a layer on top.
    ///
    /// # Errors
    /// What the stream says; an [`io::Error`] with a [`crate::sys::archive::ArchiveLimitExceeded`] inside when there is more than the
    /// limits allow. Then the stack is as before.
    pub fn add(&mut self, stream: impl Read) -> io::Result<()> {
        let Self { entries, owners, limits } = self;
        let hidden_before: Vec<String> =
            entries.iter().filter(|(_, entry)| **entry == PathEntry::Gone).map(|(path, _)| path.clone()).collect();
        let hidden = layers::apply(stream, limits, entries, |path, member| read_entry(path, member, owners.as_mut()))?;

        // lower layers may have more below these paths than is known here. A folder, in the same layer or in a later one,
        // does not bring that back; a file takes its place
        for path in hidden_before {
            if entries.get(&path) == Some(&PathEntry::Folder) {
                entries.insert(path, PathEntry::Gone);
            }
        }
        for path in hidden {
            if entries.get(&path).is_none_or(|entry| *entry == PathEntry::Folder) {
                entries.insert(path, PathEntry::Gone);
            }
        }
        // the root itself is in every image
        if entries.get(layers::ROOT) == Some(&PathEntry::Folder) {
            entries.remove(layers::ROOT);
        }
        Ok(())
    }
}

/// Reads a member of a layer, with its content if owners are asked for.
fn read_entry<R: Read>(
    path: &str,
    member: &mut tar::Entry<'_, R>,
    owners: Option<&mut PathOwners>,
) -> io::Result<PathEntry> {
    let header = member.header().clone();
    let target = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
    Ok(match header.entry_type() {
        tar::EntryType::Directory => PathEntry::Folder,
        tar::EntryType::Symlink => PathEntry::Link(target),
        // a hard link has no content of its own: it is as good as the name of the other file
        tar::EntryType::Link => PathEntry::File { mode: 0, digest: Some(Digest::of(target.as_bytes())) },
        kind if kind.is_file() => {
            let mode = header.mode()? & 0o7777;
            let digest = match owners {
                Some(owners) => Some(hash_content(path, member, owners)?),
                None => None,
            };
            PathEntry::File { mode, digest }
        }
        _ => PathEntry::Other,
    })
}

/// Hashes a file, and notes the owners of paths if it lists the files of a package.
fn hash_content<R: Read>(path: &str, member: &mut tar::Entry<'_, R>, owners: &mut PathOwners) -> io::Result<Digest> {
    let Some(package) = listed_package(path).filter(|_| member.size() <= LARGEST_FILE_LIST) else {
        let mut hasher = DigestHasher::default();
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

    fn file(content: &str) -> PathEntry {
        PathEntry::File { mode: 0o644, digest: Some(Digest::of(content.as_bytes())) }
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
        let mut stack = StackedLayers::with_owners(ArchiveLimits::new(100, 1000, 1 << 20), PathOwners::new());
        for layer in [&lower, &upper, &last] {
            stack.add(&layer[..]).unwrap();
        }
        let expected = [
            ("a", PathEntry::Folder),
            ("a/b", PathEntry::Gone),
            ("a/c", file("1")),
            ("d", file("2")),
            ("e", PathEntry::Gone),
            ("e/f", file("")),
            ("g", file("1")),
            (list.0, file(list.1)),
        ];
        let expected: PathEntries = expected.into_iter().map(|(path, entry)| (path.to_owned(), entry)).collect();
        assert_eq!(stack.entries, expected);
        assert_eq!(stack.owners.unwrap()["usr/lib/libc.so.6"], "libc6");
        assert!(StackedLayers::new(ArchiveLimits::new(100, 1000, 3)).add(&lower[..]).is_err());
    }

    #[test]
    fn a_layer_may_hide_all_below_it() {
        let lower = layer(&[("a/", ""), ("a/b", "1"), ("a/c/d", "1"), ("e", "1")]);
        let plain = PathEntry::File { mode: 0o644, digest: None };
        let hides_all = [(layers::ROOT, PathEntry::Gone), ("g", plain.clone())];
        let hides_folder = [("a", PathEntry::Gone), ("e", plain)];
        for (upper, expected) in
            [(&[(".wh..wh..opq", ""), ("g", "")][..], &hides_all), (&[("a/.wh..wh..opq", "")], &hides_folder)]
        {
            let mut stack = StackedLayers::new(ArchiveLimits::new(100, 1000, 1 << 20));
            stack.add(&lower[..]).unwrap();
            stack.add(&layer(upper)[..]).unwrap();
            let expected: PathEntries =
                expected.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone())).collect();
            assert_eq!(stack.entries, expected);
        }
    }
}
