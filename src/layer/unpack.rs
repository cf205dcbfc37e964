//! One .deb to one package tree in the store: read once, verified, normalised, never again.
//!
//! The rules ("normalised"): paths below `/bin`, `/sbin`, `/lib*` move below `/usr` and those of `/var/run` and
//! `/var/lock` below `/run`, as on every system since the /usr merge; owners are numeric, with their names beside them; setuid, setgid and extended
//! attributes are dropped; folders have [`CONTENT_MTIME`]. Devices, FIFOs and paths that
//! leave the root are refused.

use crate::apt::deb;
use crate::apt::deb::DebPackage as Archive;
use crate::layer::ahead;
use crate::layer::verify;
use crate::store;
use crate::store::Store;
use crate::sys::archive;
use crate::sys::archive::ArchiveLimitExceeded;
use crate::sys::archive::ArchiveLimits;
use crate::sys::archive::VisitControl;
use crate::sys::fs;
use crate::tree;
use crate::tree::ContentSource;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use crate::values::CONTENT_MTIME;
use crate::values::Digest;
use crate::values::DigestHasher;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use tar::EntryType;
use tar::Header;
use tempfile::TempDir;

/// A package as a tree of normalised entries, kept in the store as `tree.json` beside its `payload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackedPackage {
    /// Members of the control archive by name (`control`, `md5sums`, `conffiles`, `postinst`, …).
    pub control: BTreeMap<String, FileContent>,
    /// Everything the package brings, in byte order of paths.
    pub entries: Vec<TreeEntry>,
    /// Names of owners, by path, where they are not root's: the image's accounts decide what they mean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners: BTreeMap<String, OwnerNames>,
}

impl UnpackedPackage {
    /// Returns what the package brings at a path.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&TreeEntry> {
        let place = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(place)
    }
}

/// Owner and group as a package names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerNames {
    /// Name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Version of the rules above: with a new number, every package is unpacked again.
pub const NORMALISER: u32 = 2;

/// Most bytes that one package may unpack to.
pub const SIZE_LIMIT: u64 = 4 << 30;

/// Most paths that one package may bring, and their bytes; the largest packages of Debian have some 60,000. With these
/// limits, building an image takes less than 256 MiB of memory for its paths: some 2 KB for each.
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
    /// A device, a named pipe or the like, which images must not have.
    #[error("cannot unpack package `{package}`: `/{path}` is a {kind}, which images must not have")]
    Forbidden {
        /// Package name.
        package: String,
        /// Path in the image.
        path: String,
        /// `character device`, …
        kind: &'static str,
    },
    /// More than a package may hold.
    #[error("cannot unpack package `{package}`: {excess}")]
    TooLarge {
        /// Package name.
        package: String,
        /// The limit that it exceeds.
        excess: ArchiveLimitExceeded,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A .deb in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeb {
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
pub fn find(deb: &Digest, store: &Store) -> Option<UnpackedPackage> {
    let key = key(deb);
    let found = store.package_tree(&key).and_then(|bytes| serde_json::from_slice(&bytes).ok());

    // a stamp saves hashing a payload that has not changed since it was last hashed
    let found = found.filter(|unpacked| store.payload_is_stamped(&key) || verify::is_whole(&key, unpacked, store));
    if found.is_none() {
        // if it cannot be removed, it cannot be replaced either, and that error is reported
        let _stays = store.remove_package(&key);
    }
    found
}

/// Tells whether the package tree of a .deb still has to be made.
#[must_use]
pub fn is_missing(deb: &Digest, store: &Store) -> bool {
    let key = key(deb);
    // the quick answer first: the tree of a stamped package need not be parsed
    !(store.payload_is_stamped(&key) && store.package_tree(&key).is_some()) && find(deb, store).is_none()
}

/// Unpacks one .deb of the store into the store.
///
/// # Errors
/// Any [`Error`]; then nothing is kept.
pub fn unpack(deb: &StoredDeb, threads: usize, store: &Store) -> Result<UnpackedPackage, Error> {
    let (unpacked, draft) = draft(deb, threads, store)?;
    let json = serde_json::to_vec(&unpacked).expect("trees have string keys and serialise");
    store.publish_package(draft, &json, &key(&deb.digest))?;
    Ok(unpacked)
}

/// Unpacks one .deb of the store into a temporary folder, which is removed when it is dropped.
pub(super) fn draft(deb: &StoredDeb, threads: usize, store: &Store) -> Result<(UnpackedPackage, TempDir), Error> {
    // bytes may have lain in the store for long: they are verified each time they are used
    let file = HashingFile { file: fs::open(&store.blob(&deb.digest))?, hasher: DigestHasher::default() };
    let archive = Archive::open(file).map_err(|cause| malformed(&deb.name, cause))?;

    let draft = store.package_draft()?;
    let path = draft.path().join("payload");
    let mut payload = PayloadWriter::new(deb, fs::create(&path)?);
    let mut control = BTreeMap::new();
    for (name, bytes) in archive.control().iter() {
        control.insert(name.to_owned(), payload.add(&mut &bytes[..], bytes.len() as u64)?);
    }

    let data = archive.data(u32::try_from(threads).unwrap_or(1), SIZE_LIMIT);
    let data = data.map_err(|cause| malformed(&deb.name, cause))?;
    let (tree, data) = ahead::read(data, |stream| entries(stream, &mut payload));
    let (entries, owners) = tree?;

    // the digest is known only now, so nothing above has left the draft
    let found = data.finish().map_err(|cause| malformed(&deb.name, cause))?.hasher.finish();
    if found != deb.digest {
        store.doubt(&deb.digest);
        return Err(store::Error::WrongDigest { expected: deb.digest, found }.into());
    }

    payload.file.flush().map_err(|cause| fs::Error::new("write", &path, cause))?;
    Ok((UnpackedPackage { control, entries, owners }, draft))
}

impl From<fs::Error> for Error {
    fn from(error: fs::Error) -> Self {
        Self::Store(error.into())
    }
}

fn malformed(package: &str, cause: deb::Error) -> Error {
    Error::Deb { package: package.to_owned(), cause }
}

/// Hashes what is read.
struct HashingFile {
    file: File,
    hasher: DigestHasher,
}

impl Read for HashingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

/// The file that holds the bytes of all regular files, one after the other.
struct PayloadWriter<'a> {
    file: BufWriter<File>,
    key: Digest,
    offset: u64,
    package: &'a str,
    buffer: Vec<u8>,
}

impl<'a> PayloadWriter<'a> {
    fn new(deb: &'a StoredDeb, file: File) -> Self {
        Self {
            // smaller than the buffer below: large parts go straight to the file
            file: BufWriter::with_capacity(1 << 16, file),
            key: key(&deb.digest),
            offset: 0,
            package: &deb.name,
            buffer: vec![0; 1 << 18],
        }
    }

    /// Appends a file of this size.
    fn add(&mut self, bytes: &mut dyn Read, size: u64) -> Result<FileContent, Error> {
        let mut hasher = DigestHasher::default();
        while hasher.length() < size {
            let length = usize::try_from(size - hasher.length()).unwrap_or(usize::MAX).min(self.buffer.len());
            let part = &mut self.buffer[..length];
            bytes.read_exact(part).map_err(|cause| broken(self.package, cause))?;
            hasher.update(part);

            let written = self.file.write_all(part);
            written.map_err(|cause| fs::Error::new("write", std::path::Path::new("payload"), cause))?;
        }

        let source = ContentSource::Payload { key: self.key, offset: self.offset };
        self.offset += size;
        Ok(FileContent { digest: hasher.finish(), size, source })
    }
}

/// Entries in byte order, and the names of their owners by path.
type PackageEntries = (Vec<TreeEntry>, BTreeMap<String, OwnerNames>);

/// Reads the data archive to its end.
fn entries(data: impl Read, payload: &mut PayloadWriter<'_>) -> Result<PackageEntries, Error> {
    let package = payload.package.to_owned();
    let mut limits = ArchiveLimits::new(ENTRY_LIMIT, NAMES_LIMIT, SIZE_LIMIT);
    let mut tree = Tree::default();
    let mut owners = BTreeMap::new();
    let read = archive::each(data, &mut limits, |member| {
        let names = owner_names(member.header());
        let path = add(member, payload, &mut tree).map_err(io::Error::other)?;
        owners.extend(path.zip(names));
        Ok(VisitControl::Go)
    });
    read.map_err(|cause| broken(&package, cause))?;
    Ok((tree.into_entries(), owners))
}

/// Returns the names of a member's owners, unless they say what root's number says.
fn owner_names(header: &Header) -> Option<OwnerNames> {
    let name = |name: Result<Option<&str>, std::str::Utf8Error>, id: io::Result<u64>| {
        let name = name.ok().flatten().filter(|name| !name.is_empty())?;
        (name != "root" || id.is_ok_and(|id| id != 0)).then(|| name.to_owned())
    };
    let user = name(header.username(), header.uid());
    let group = name(header.groupname(), header.gid());
    (user.is_some() || group.is_some()).then_some(OwnerNames { user, group })
}

/// Adds one member of the data archive to the tree; returns its path if it is in the tree now.
fn add<R: Read>(
    member: &mut tar::Entry<'_, R>,
    payload: &mut PayloadWriter<'_>,
    tree: &mut Tree,
) -> Result<Option<String>, Error> {
    // the root itself belongs to no package
    let Some(path) = path_of(&member.path_bytes(), payload.package)? else { return Ok(None) };
    let kind = kind(member, &path, payload, tree)?;
    let mut entry = entry(member.header(), path, kind, payload.package)?;
    if let EntryKind::Hardlink { target, .. } = &entry.kind
        && let Some(TreeEntry { mode, uid, gid, mtime, .. }) = tree.get(target)
    {
        // all names of a file share its attributes (link(2)), whatever their headers say
        (entry.mode, entry.uid, entry.gid, entry.mtime) = (*mode, *uid, *gid, *mtime);
    }

    // folders of both sides of the /usr merge get the same path, where the package may also have a link: the first stays
    if matches!(entry.kind, EntryKind::Directory) && tree.get(&entry.path).is_some() {
        return Ok(None);
    }
    let path = entry.path.clone();
    tree.add(entry).map_err(|cause| bad_path(payload.package, cause))?;
    Ok(Some(path))
}

/// Reads what a member is; the bytes of a file go to the payload.
fn kind<R: Read>(
    member: &mut tar::Entry<'_, R>,
    path: &str,
    payload: &mut PayloadWriter<'_>,
    tree: &Tree,
) -> Result<EntryKind, Error> {
    match member.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            let size = member.size();
            Ok(EntryKind::File(payload.add(member, size)?))
        }
        EntryType::Directory => Ok(EntryKind::Directory),
        EntryType::Symlink => Ok(EntryKind::Symlink(link_of(member, payload.package)?)),
        EntryType::Link => hard_link(path, &link_of(member, payload.package)?, payload.package, tree),
        other => {
            let (package, path) = (payload.package.to_owned(), path.to_owned());
            Err(Error::Forbidden { package, path, kind: name_of(other) })
        }
    }
}

/// Makes a hard link to a file that the archive had before (POSIX pax: the first name carries the bytes).
fn hard_link(path: &str, link: &str, package: &str, tree: &Tree) -> Result<EntryKind, Error> {
    let target = path_of(link.as_bytes(), package)?.unwrap_or_default();
    let old = tree.get(&target);
    let Some(content) = old.and_then(TreeEntry::content).cloned() else {
        return Err(bad_tar(package, format!("hard link `{path}` points to `{link}`, which does not come before it")));
    };

    // links to links would depend on the order in which they are written: all name the file itself
    match old.map(|entry| &entry.kind) {
        Some(EntryKind::Hardlink { target, .. }) => Ok(EntryKind::Hardlink { target: target.clone(), content }),
        _ => Ok(EntryKind::Hardlink { target, content }),
    }
}

/// Makes the normalised entry of a member.
fn entry(header: &Header, path: String, kind: EntryKind, package: &str) -> Result<TreeEntry, Error> {
    let uid = owner("owner", header.uid(), &path, package)?;
    let gid = owner("group", header.gid(), &path, package)?;
    // the sticky bit is the only special one that an image needs; setuid and setgid go
    let mode = header.mode().map_err(|cause| broken(package, cause))? & 0o1777;

    let is_folder = kind == EntryKind::Directory;
    let mtime = if is_folder {
        // several packages bring the same folder, each with a time of its own
        CONTENT_MTIME
    } else {
        i64::try_from(header.mtime().map_err(|cause| broken(package, cause))?).unwrap_or(0)
    };
    Ok(TreeEntry {
        path: if is_folder { merged_folder(&path) } else { path },
        // links have no permissions of their own: 0777 is what the kernel shows
        mode: if matches!(kind, EntryKind::Symlink(_)) { 0o777 } else { mode },
        uid,
        gid,
        mtime,
        origin: EntryOrigin::Package(package.to_owned()),
        kind,
    })
}

/// Checks a numeric owner or group.
fn owner(field: &str, value: io::Result<u64>, path: &str, package: &str) -> Result<u32, Error> {
    let value = value.map_err(|cause| broken(package, cause))?;
    // chown(2): 4294967295 means "unchanged" and is nobody's number
    let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| bad_tar(package, format!("`/{path}` has the {field} {value}, which is not a valid id")))
}

fn bad_tar(package: &str, cause: String) -> Error {
    Error::Tar { package: package.to_owned(), cause: io::Error::other(cause) }
}

fn bad_path(package: &str, cause: tree::Error) -> Error {
    Error::Path { package: package.to_owned(), cause }
}

/// Takes out of an error what was put into it: readers and visitors hand theirs through the archive.
fn broken(package: &str, cause: io::Error) -> Error {
    let name = package.to_owned();
    if let Some(excess) = ArchiveLimitExceeded::of(&cause) {
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

/// Returns the target of a link as it was written, if an image may have it.
fn link_of<R: Read>(member: &tar::Entry<'_, R>, package: &str) -> Result<String, Error> {
    let bytes = member.link_name_bytes().unwrap_or_default();
    let text = String::from_utf8(bytes.into_owned())
        .map_err(|error| bad_path(package, tree::Error::BadPath(error.to_string())))?;
    // symlink(2) refuses both
    if text.is_empty() || text.contains('\0') {
        return Err(bad_path(package, tree::Error::BadPath(text)));
    }
    tree::check_target(&text).map_err(|cause| bad_path(package, cause))?;
    Ok(text)
}

/// Returns the path in our form, or `None` for the root itself.
fn path_of(bytes: &[u8], package: &str) -> Result<Option<String>, Error> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(bad_path(package, tree::Error::BadPath(String::from_utf8_lossy(bytes).into_owned())));
    };

    // dpkg-deb writes `./usr/` and `./usr/bin/x`
    let path = text.strip_prefix("./").unwrap_or(text);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() || path == "." {
        return Ok(None);
    }
    tree::check_path(path).map_err(|cause| bad_path(package, cause))?;
    Ok(Some(merged(path)))
}

/// Returns an absolute path of a recipe in the form of [`TreeEntry::path`], with `/bin`, `/sbin`, `/lib*` moved below `/usr`
/// like those of packages.
#[must_use]
pub fn normal(path: &str) -> String {
    merged(path.trim_matches('/'))
}

/// Moves a path to where it is on a system with merged `/usr` (Debian's usrmerge) and merged `/run`.
#[must_use]
pub fn merged(path: &str) -> String {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        // `lib` alone stays: it may be the link of the merge itself
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

fn name_of(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Char => "character device",
        EntryType::Block => "block device",
        EntryType::Fifo => "named pipe",
        EntryType::GNUSparse => "sparse file",
        _ => "file of unknown type",
    }
}
