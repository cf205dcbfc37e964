//! One .deb to one package tree in the store: read once, verified, normalised, never again.
//!
//! The rules ("normalised"): paths below `/bin`, `/sbin`, `/lib*` move below `/usr` and those of `/var/run` and
//! `/var/lock` below `/run`, as on every system since the /usr merge; owners are numeric; setuid, setgid and extended
//! attributes are dropped; folders have [`CONTENT_MTIME`]. Devices, FIFOs and paths that
//! leave the root are refused.

use crate::apt::deb;
use crate::apt::deb::Deb as Archive;
use crate::layer::ahead;
use crate::layer::verify;
use crate::store;
use crate::store::Store;
use crate::sys::archive;
use crate::sys::archive::Excess;
use crate::sys::archive::Limits;
use crate::sys::archive::Next;
use crate::sys::fs;
use crate::tree;
use crate::tree::Content;
use crate::tree::Entry;
use crate::tree::Kind;
use crate::tree::Origin;
use crate::tree::Source;
use crate::tree::Tree;
use crate::values::CONTENT_MTIME;
use crate::values::Digest;
use crate::values::Hasher;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use tempfile::TempDir;

/// A package as a tree of normalised entries, kept in the store as `tree.json` beside its `payload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Members of the control archive by name (`control`, `md5sums`, `conffiles`, `postinst`, …).
    pub control: BTreeMap<String, Content>,
    /// Everything the package brings, in byte order of paths.
    pub entries: Vec<Entry>,
}

/// Version of the rules above: a new number makes every package tree anew.
pub const NORMALISER: u32 = 1;

/// Most bytes that one package may unpack to.
pub const SIZE_LIMIT: u64 = 4 << 30;

/// Most paths that one package may bring, and their bytes; the largest packages of Debian have some 60,000. What is kept
/// of them while an image is built stays below 256 MiB: some 2 KB a path.
const ENTRY_LIMIT: u64 = 100_000;
const NAMES_LIMIT: u64 = 12 << 20;

/// Why a .deb cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container or one of its members is malformed.
    #[error("cannot unpack package `{package}`: {cause}")]
    Deb {
        /// Package name.
        package: String,
        /// What is wrong.
        cause: deb::Error,
    },
    /// The data archive is malformed or cut off.
    #[error("cannot unpack package `{package}`: {cause}")]
    Tar {
        /// Package name.
        package: String,
        /// What is wrong.
        cause: io::Error,
    },
    /// A path is not acceptable.
    #[error("cannot unpack package `{package}`: {cause}")]
    Path {
        /// Package name.
        package: String,
        /// What is wrong.
        cause: tree::Error,
    },
    /// Something that images must not have.
    #[error("cannot unpack package `{package}`: `/{path}` is a {kind}, which images must not have")]
    Forbidden {
        /// Package name.
        package: String,
        /// Which path.
        path: String,
        /// `character device`, …
        kind: &'static str,
    },
    /// More than a package may hold.
    #[error("cannot unpack package `{package}`: {excess}")]
    TooLarge {
        /// Package name.
        package: String,
        /// What it has too much of.
        excess: Excess,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A .deb in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Package name.
    pub name: String,
    /// SHA-256 of the .deb.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Returns the key under which the package tree of a .deb is kept.
#[must_use]
pub fn key(deb: &Digest) -> Digest {
    Digest::of(format!("package tree {NORMALISER} {deb}").as_bytes())
}

/// Returns the package tree that the store already has, undamaged. A damaged one is removed.
#[must_use]
pub fn find(deb: &Digest, store: &Store) -> Option<Unpacked> {
    let key = key(deb);
    let found = store.package_tree(&key).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let found = found.filter(|unpacked| store.payload_is_stamped(&key) || verify::is_whole(&key, unpacked, store));
    if found.is_none() {
        // one that cannot be removed cannot be made again either, and that is said then
        let _stays = store.remove_package(&key);
    }
    found
}

/// Tells whether the package tree of a .deb still has to be made.
#[must_use]
pub fn is_missing(deb: &Digest, store: &Store) -> bool {
    let key = key(deb);
    !(store.payload_is_stamped(&key) && store.package_tree(&key).is_some()) && find(deb, store).is_none()
}

/// Unpacks one .deb of the store into the store.
///
/// # Errors
/// Any [`Error`]; then nothing is kept.
pub fn unpack(deb: &Deb, threads: usize, store: &Store) -> Result<Unpacked, Error> {
    let (unpacked, draft) = draft(deb, threads, store)?;
    let json = serde_json::to_vec(&unpacked).expect("trees have string keys and serialise");
    store.publish_package(draft, &json, &key(&deb.digest))?;
    Ok(unpacked)
}

/// Unpacks one .deb of the store into a temporary folder, which goes when it is dropped.
pub(super) fn draft(deb: &Deb, threads: usize, store: &Store) -> Result<(Unpacked, TempDir), Error> {
    let package = || deb.name.clone();
    let wrap = |cause| Error::Deb { package: package(), cause };
    let file = fs::open(&store.blob(&deb.digest)).map_err(store::Error::from)?;
    // bytes may have lain in the store for long: they are verified each time they are used
    let file = Hashing { file, hasher: Hasher::default() };
    let archive = Archive::open(file).map_err(wrap)?;
    let draft = store.package_draft()?;
    let path = draft.path().join("payload");
    let mut payload = Payload {
        // smaller than the buffer below: large parts go straight to the file
        file: BufWriter::with_capacity(1 << 16, fs::create(&path).map_err(store::Error::from)?),
        key: key(&deb.digest),
        offset: 0,
        package: &deb.name,
        buffer: vec![0; 1 << 18],
    };
    let mut control = BTreeMap::new();
    for (name, bytes) in archive.control().iter() {
        control.insert(name.to_owned(), payload.add(&mut &bytes[..], bytes.len() as u64)?);
    }
    let data = archive.data(u32::try_from(threads).unwrap_or(1), SIZE_LIMIT).map_err(wrap)?;
    let (entries, data) = ahead::read(data, |stream| entries(stream, &mut payload));
    let entries = entries?;
    let found = data.finish().map_err(wrap)?.hasher.finish();
    if found != deb.digest {
        store.doubt(&deb.digest);
        return Err(store::Error::WrongDigest { expected: deb.digest, found }.into());
    }
    payload.file.flush().map_err(|cause| store::Error::from(fs::Error::new("write", &path, cause)))?;
    Ok((Unpacked { control, entries }, draft))
}

/// Hashes what is read.
struct Hashing {
    file: File,
    hasher: Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

/// The file that holds the bytes of all regular files, one after the other.
struct Payload<'a> {
    file: BufWriter<File>,
    key: Digest,
    offset: u64,
    package: &'a str,
    buffer: Vec<u8>,
}

impl Payload<'_> {
    fn add(&mut self, bytes: &mut dyn Read, size: u64) -> Result<Content, Error> {
        let tar = |cause| broken(self.package, cause);
        let mut hasher = Hasher::default();
        while hasher.length() < size {
            let length = usize::try_from(size - hasher.length()).unwrap_or(usize::MAX).min(self.buffer.len());
            let part = &mut self.buffer[..length];
            bytes.read_exact(part).map_err(tar)?;
            hasher.update(part);
            let write = |cause| store::Error::from(fs::Error::new("write", std::path::Path::new("payload"), cause));
            self.file.write_all(part).map_err(write)?;
        }
        let source = Source::Payload { key: self.key, offset: self.offset };
        self.offset += size;
        Ok(Content { digest: hasher.finish(), size, source })
    }
}

/// Reads the data archive to its end.
fn entries(data: impl Read, payload: &mut Payload<'_>) -> Result<Vec<Entry>, Error> {
    let package = payload.package.to_owned();
    let mut limits = Limits::new(ENTRY_LIMIT, NAMES_LIMIT, SIZE_LIMIT);
    let mut tree = Tree::default();
    let read = archive::each(data, &mut limits, |member| {
        add(member, payload, &mut tree).map_err(io::Error::other)?;
        Ok(Next::Go)
    });
    read.map_err(|cause| broken(&package, cause))?;
    Ok(tree.into_entries())
}

fn add<R: Read>(member: &mut ::tar::Entry<'_, R>, payload: &mut Payload<'_>, tree: &mut Tree) -> Result<(), Error> {
    let Some(path) = path_of(&member.path_bytes(), payload.package)? else { return Ok(()) };
    let entry = entry(member, path, payload, tree)?;
    // the links of the /usr merge itself would hide the folders that they point to
    if matches!(entry.kind, Kind::Directory) && tree.get(&entry.path).is_some() {
        return Ok(());
    }
    tree.add(entry).map_err(|cause| Error::Path { package: payload.package.to_owned(), cause })
}

fn entry<R: Read>(
    member: &mut ::tar::Entry<'_, R>,
    path: String,
    payload: &mut Payload<'_>,
    tree: &Tree,
) -> Result<Entry, Error> {
    let package = payload.package.to_owned();
    let tar = |cause| broken(&package, cause);
    let header = member.header().clone();
    let kind = match header.entry_type() {
        ::tar::EntryType::Regular | ::tar::EntryType::Continuous => {
            let size = member.size();
            Kind::File(payload.add(member, size)?)
        }
        ::tar::EntryType::Directory => Kind::Directory,
        ::tar::EntryType::Symlink => Kind::Symlink(link_of(member, &package)?),
        ::tar::EntryType::Link => {
            let link = link_of(member, &package)?;
            let target = path_of(link.as_bytes(), &package)?.unwrap_or_default();
            let content = tree.get(&target).and_then(Entry::content).cloned().ok_or_else(|| {
                tar(io::Error::other(format!("hard link `{path}` points to `{link}`, which comes not before it")))
            })?;
            let target = match &tree.get(&target).map(|entry| &entry.kind) {
                Some(Kind::Hardlink { target, .. }) => target.clone(),
                _ => target,
            };
            Kind::Hardlink { target, content }
        }
        other => return Err(Error::Forbidden { package, path, kind: name_of(other) }),
    };
    // chown(2): 4294967295 means "unchanged" and is nobody's number
    let number = |what: &str, value: io::Result<u64>| {
        let value = value.map_err(tar)?;
        let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| tar(io::Error::other(format!("`/{path}` has the {what} {value}, which no system knows"))))
    };
    let (uid, gid) = (number("owner", header.uid())?, number("group", header.gid())?);
    let mode = header.mode().map_err(tar)? & 0o1777;
    let is_folder = kind == Kind::Directory;
    Ok(Entry {
        path: if is_folder { merged_folder(&path) } else { path },
        mode: if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode },
        uid,
        gid,
        mtime: if is_folder { CONTENT_MTIME } else { i64::try_from(header.mtime().map_err(tar)?).unwrap_or(0) },
        origin: Origin::Package(package.clone()),
        kind,
    })
}

/// Takes out of an error what was put into it: readers and visitors hand theirs through the archive.
fn broken(package: &str, cause: io::Error) -> Error {
    let name = package.to_owned();
    if let Some(excess) = Excess::of(&cause) {
        return Error::TooLarge { package: name, excess };
    }
    match cause.downcast::<Error>() {
        Ok(own) => own,
        Err(cause) => match cause.get_ref() {
            Some(inner) if inner.is::<deb::Error>() => Error::Deb { package: name, cause: deb::Error::from_io(cause) },
            _ => Error::Tar { package: name, cause },
        },
    }
}

fn link_of<R: Read>(member: &::tar::Entry<'_, R>, package: &str) -> Result<String, Error> {
    let bytes = member.link_name_bytes().unwrap_or_default();
    let bad = |text: String| Error::Path { package: package.to_owned(), cause: tree::Error::BadPath(text) };
    let text = String::from_utf8(bytes.into_owned()).map_err(|error| bad(error.to_string()))?;
    if text.is_empty() || text.contains('\0') {
        return Err(bad(text));
    }
    tree::check_target(&text).map_err(|cause| Error::Path { package: package.to_owned(), cause })?;
    Ok(text)
}

/// Returns the path in our form, or `None` for the root itself.
fn path_of(bytes: &[u8], package: &str) -> Result<Option<String>, Error> {
    let bad = |text: &str| Error::Path { package: package.to_owned(), cause: tree::Error::BadPath(text.to_owned()) };
    let text = std::str::from_utf8(bytes).map_err(|_| bad(&String::from_utf8_lossy(bytes)))?;
    let path = text.strip_prefix("./").unwrap_or(text);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() || path == "." {
        return Ok(None);
    }
    tree::check_path(path).map_err(|cause| Error::Path { package: package.to_owned(), cause })?;
    Ok(Some(merged(path)))
}

/// Moves a path to where it is on a system with merged `/usr` (Debian's usrmerge) and merged `/run`.
#[must_use]
pub fn merged(path: &str) -> String {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" if !rest.is_empty() => format!("usr/{path}"),
        "var" => match rest.split_once('/').unwrap_or((rest, "")) {
            ("run", inner) if !inner.is_empty() => format!("run/{inner}"),
            ("lock", inner) if !inner.is_empty() => format!("run/lock/{inner}"),
            _ => path.to_owned(),
        },
        _ => path.to_owned(),
    }
}

/// Like [`merged`] for a folder itself: `/lib` as a real folder means `/usr/lib`.
fn merged_folder(path: &str) -> String {
    let inside = merged(&format!("{path}/x"));
    inside[..inside.len() - 2].to_owned()
}

fn name_of(kind: ::tar::EntryType) -> &'static str {
    match kind {
        ::tar::EntryType::Char => "character device",
        ::tar::EntryType::Block => "block device",
        ::tar::EntryType::Fifo => "named pipe",
        ::tar::EntryType::GNUSparse => "sparse file",
        _ => "thing of unknown type",
    }
}
