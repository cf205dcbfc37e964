//! Files: read, atomic write, sorted listing, lock. Every error names the path and the operation.
#![expect(clippy::disallowed_methods, reason = "this is the door to std::fs")]

use crate::fault::Explain;
use crate::fault::Turn;
use crate::values::Digest;
use crate::values::DigestHasher;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: {cause}", path.display())]
pub struct Error {
    /// The operation: `read`, `write`, …
    pub verb: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub cause: io::Error,
}

impl Error {
    /// Ties a system error to the operation and its path.
    #[must_use]
    pub fn new(verb: &'static str, path: &Path, cause: io::Error) -> Self {
        Self { verb, path: path.to_owned(), cause }
    }

    /// Tells whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }

    /// Returns the same error once more.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        let cause = io::Error::new(self.cause.kind(), self.cause.to_string());
        Self { verb: self.verb, path: self.path.clone(), cause }
    }

    /// Tells whether the disk is full or a quota is used up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self.cause.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Tells whether the file system is mounted read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.cause.kind() == io::ErrorKind::ReadOnlyFilesystem
    }
}

impl Explain for Error {
    /// People mend a missing file or a wrong name; everything else is the disk's.
    fn turn(&self) -> Turn {
        match self.cause.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            // what is said here: too large, not UTF-8
            | io::ErrorKind::Other => Turn::Input,
            _ => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = if self.is_full() {
            "free space with `sockel cache prune`, or use another disk with `--store DIR`"
        } else if self.is_read_only() {
            "the file system is mounted read-only: write elsewhere; for the store, name another folder with `--store DIR`"
        } else {
            return Vec::new();
        };
        vec![hint.to_owned()]
    }
}

/// Result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns a file's bytes, at most `limit` of them.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let bytes = fs::File::open(path).and_then(|file| read_limited(file, limit));
    bytes.map_err(|cause| Error::new("read", path, cause))
}

/// Reads a stream to its end, at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub(crate) fn read_limited(stream: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // one byte more tells a file of exactly this size from a larger one
    stream.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;

    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Returns a file's text, at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| Error::new("read", path, io::Error::other("the text is not UTF-8")))
}

/// Opens a file for reading.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|cause| Error::new("open", path, cause))
}

/// Returns this many bytes of an open file from a place in it on.
///
/// # Errors
/// When they cannot be read, or the file ends before.
pub fn read_at(file: &fs::File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Makes a folder and its parents; an existing one is fine.
///
/// # Errors
/// When it cannot be made.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|cause| Error::new("create", path, cause))
}

/// Writes a file by way of a temporary file beside it and a rename, so that readers see either the old or the new bytes.
///
/// # Errors
/// When it cannot be written; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    // rename(2) is atomic within one file system alone, so the temporary file is in the same folder
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary(folder)?;
    file.write_all(bytes).map_err(|cause| Error::new("write", path, cause))?;
    publish(file, path)
}

/// Beginning of the names of unfinished files.
pub const TEMPORARY: &str = ".tmp-";

/// Returns a temporary file in a folder that only its owner can read. It is removed unless it is [`publish`]ed.
///
/// # Errors
/// When it cannot be made.
pub fn temporary(folder: &Path) -> Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(|cause| Error::new("write in", folder, cause))
}

/// Gives a temporary file its final name and makes it readable for everybody.
///
/// # Errors
/// When permissions or name cannot be set.
pub fn publish(file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    // before the rename: under its final name nobody should find a file that they cannot read
    let permissions = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(|cause| Error::new("write", path, cause))?;
    file.persist(path).map(drop).map_err(|error| Error::new("write", path, error.error))
}

/// Returns the names in a folder in byte order, or none when there is no such folder. Names that are not UTF-8 are left
/// out.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(path: &Path) -> Result<Vec<String>> {
    match names_in(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|cause| Error::new("list", path, cause)),
    }
}

fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string().ok());
    }

    // the system lists a folder in any order, and no result may depend on the machine
    names.sort();
    Ok(names)
}

/// Returns a file's size, or `None` when there is no such file.
#[must_use]
pub fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Returns when a file was last read or written, in seconds since 1970, or `None` when there is no such file.
#[must_use]
pub fn used(path: &Path) -> Option<i64> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    metadata.as_ref().map(last_use)
}

/// Returns the later of last read and last write: with `noatime` (mount(8)) a read leaves no trace.
fn last_use(metadata: &fs::Metadata) -> i64 {
    metadata.atime().max(metadata.mtime())
}

/// Removes a file; a missing one is fine.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|cause| Error::new("remove", path, cause)),
    }
}

/// Removes a symbolic link of this name, so that a write to the name does not change the target of the link.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_link(path: &Path) -> Result<()> {
    if is_link(path) { remove(path) } else { Ok(()) }
}

/// Returns the path from the root, without links and dots.
///
/// # Errors
/// When nothing has this name.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|cause| Error::new("find", path, cause))
}

/// Tells whether a folder, or a link to one, has this name.
#[must_use]
pub fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Tells whether a symbolic link has this name.
#[must_use]
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Removes a folder with all its contents; a missing one is fine.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|cause| Error::new("remove", path, cause)),
    }
}

/// Renames a file or folder, replacing a file of the new name.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|cause| Error::new("rename", from, cause))
}

/// Copies a file, replacing an existing `to`. Both share disk space where the file system can do that
/// (copy_file_range(2)) but never the inode: changing one in place leaves the other as it is.
///
/// # Errors
/// When one cannot be read or the other cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    publish(temporary_copy(from, to)?, to)
}

/// Copies a file as [`copy`] does, but only if the copy has this digest; returns whether it had.
///
/// # Errors
/// As [`copy`].
pub fn copy_verified(from: &Path, to: &Path, digest: &Digest) -> Result<bool> {
    let file = temporary_copy(from, to)?;
    // hashes the copy: the original may change between a check and the copying
    let is_right = digest_of(file.path())? == *digest;
    if is_right {
        publish(file, to)?;
    }
    Ok(is_right)
}

/// Copies a file into a temporary one beside `to`.
fn temporary_copy(from: &Path, to: &Path) -> Result<tempfile::NamedTempFile> {
    let mut source = open(from)?;
    let mut file = temporary(to.parent().unwrap_or(Path::new(".")))?;
    io::copy(&mut source, file.as_file_mut()).map_err(|cause| Error::new("write", to, cause))?;
    Ok(file)
}

/// Returns the digest of a file's bytes.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(path: &Path) -> Result<Digest> {
    let mut file = open(path)?;
    let mut hasher = DigestHasher::default();
    // large enough that the system calls cost little beside the hashing
    let mut buffer = vec![0; 1 << 18];

    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::new("read", path, cause)),
        }
    }
}

/// Opens (creating it) and locks a file, waiting for other holders. The lock ends with the returned handle or the
/// process.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn lock(path: &Path, kind: LockMode) -> Result<fs::File> {
    let file = open_lock(path)?;
    let locked = match kind {
        LockMode::Shared => file.lock_shared(),
        LockMode::Exclusive => file.lock(),
    };
    locked.map_err(|cause| Error::new("lock", path, cause))?;
    Ok(file)
}

/// Locks an existing file, shared with others, without writing to it; works on a read-only file system.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn lock_existing(path: &Path) -> Result<fs::File> {
    let file = open(path)?;
    file.lock_shared().map_err(|cause| Error::new("lock", path, cause))?;
    Ok(file)
}

/// Opens and locks a file exclusively, or returns `None` when another process holds it.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn try_lock(path: &Path) -> Result<Option<fs::File>> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(cause)) => Err(Error::new("lock", path, cause)),
    }
}

/// Opens a lock file, and creates it if needed. Its bytes are left alone: another process may hold it.
fn open_lock(path: &Path) -> Result<fs::File> {
    let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path);
    opened.map_err(|cause| Error::new("lock", path, cause))
}

/// Makes a temporary folder, which is removed when the handle is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_dir(folder: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(folder).map_err(|cause| Error::new("write in", folder, cause))
}

/// Makes a new file for writing and reading, replacing an old one.
///
/// # Errors
/// When it cannot be made.
pub fn create(path: &Path) -> Result<fs::File> {
    let opened = fs::OpenOptions::new().create(true).truncate(true).write(true).read(true).open(path);
    opened.map_err(|cause| Error::new("create", path, cause))
}

/// Removes a file or a folder with all its contents; a missing one is fine.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove_any(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove_dir(path),
        _ => remove(path),
    }
}

/// A regular file found by [`walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last read or write, in seconds since 1970.
    pub used: i64,
}

/// Returns all regular files below a folder in byte order, or none when there is no such folder. Symbolic links are not
/// followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn walk(path: &Path) -> Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    for name in list(path)? {
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => files.extend(walk(&path)?),
            Ok(metadata) if metadata.is_file() => {
                files.push(FoundFile { path, size: metadata.len(), used: last_use(&metadata) });
            }
            // a socket, a link, or removed by another command in the meantime
            _ => {}
        }
    }
    Ok(files)
}

/// Who else may hold a [`lock`] at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Other shared holders.
    Shared,
    /// Nobody.
    Exclusive,
}
