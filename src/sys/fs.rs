//! Files: read, atomic write, sorted listing, lock. Every error names the path and what was tried.
#![expect(clippy::disallowed_methods, reason = "this is the door to std::fs")]

use crate::values::Digest;
use crate::values::Hasher;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: {cause}", path.display())]
pub struct Error {
    /// What was tried: `read`, `write`, …
    pub verb: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl Error {
    /// Ties a system error to what was tried.
    #[must_use]
    pub fn new(verb: &'static str, path: &Path, cause: io::Error) -> Self {
        Self { verb, path: path.to_owned(), cause }
    }

    /// Tells whether the file simply is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }

    /// Tells whether a file must change, because it is not there, of another kind, or not what was expected; everything else
    /// is the disk's.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(
            self.cause.kind(),
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
                | io::ErrorKind::Other
        )
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

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let full = "free space with `sockel cache prune`, or use another disk with `--store DIR`";
        let read_only =
            "the file system is mounted read-only: write elsewhere, with `--store DIR` where it is the store";
        match self.cause.kind() {
            _ if self.is_full() => vec![full.to_owned()],
            io::ErrorKind::ReadOnlyFilesystem => vec![read_only.to_owned()],
            _ => Vec::new(),
        }
    }
}

/// Result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns a file's bytes, at most `limit` of them.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let tie = |cause| Error::new("read", path, cause);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(tie)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(tie)?;
    if bytes.len() as u64 > limit {
        return Err(tie(io::Error::other(format!("larger than {limit} bytes"))));
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

/// Writes a file so that readers see the old or the new bytes, never a mixture: temporary file beside it, then rename.
///
/// # Errors
/// When it cannot be written; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let tie = |cause| Error::new("write", path, cause);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary(folder)?;
    file.write_all(bytes).map_err(tie)?;
    publish(file, path)
}

/// How the names of unfinished files begin.
pub const TEMPORARY: &str = ".tmp-";

/// Returns an unnamed-to-others temporary file in a folder, gone unless [`publish`]ed.
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
    use std::os::unix::fs::PermissionsExt;
    let tie = |cause| Error::new("write", path, cause);
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(tie)?;
    file.persist(path).map(drop).map_err(|error| tie(error.error))
}

/// Returns the names in a folder in byte order; a missing folder has none. Names that are not UTF-8 are left out.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let tie = |cause| Error::new("list", path, cause);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(tie)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(tie)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Returns a file's size, or `None` when there is no such file.
#[must_use]
pub fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Returns when a file was last read or written, seconds since 1970, or `None` when there is no such file.
#[must_use]
pub fn used(path: &Path) -> Option<i64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    metadata.map(|metadata| metadata.atime().max(metadata.mtime()))
}

/// Removes a file; a missing one is fine.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|cause| Error::new("remove", path, cause)),
    }
}

/// Removes a symbolic link of this name, so that what is written here does not land where it leads.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => remove(path),
        _ => Ok(()),
    }
}

/// Returns the path from the root, without links and dots.
///
/// # Errors
/// When there is nothing of this name.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|cause| Error::new("find", path, cause))
}

/// Tells whether there is a folder of this name.
#[must_use]
pub fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Tells whether a symbolic link has this name.
#[must_use]
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Removes a folder with all in it; a missing one is fine.
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

/// Makes `to` a file of its own with the bytes of `from`, which share the disk where the file system can do that
/// (copy_file_range(2)) and never the inode: a change in place of one is none of the other. An existing `to` is replaced.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    publish(copied(from, to)?, to)
}

/// Does what [`copy`] does when the copy has this digest, and nothing else; returns whether it had.
///
/// # Errors
/// As [`copy`].
pub fn copy_verified(from: &Path, to: &Path, digest: &Digest) -> Result<bool> {
    let file = copied(from, to)?;
    let is_right = digest_of(file.path())? == *digest;
    if is_right {
        publish(file, to)?;
    }
    Ok(is_right)
}

fn copied(from: &Path, to: &Path) -> Result<tempfile::NamedTempFile> {
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
    let mut hasher = Hasher::default();
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

/// Opens (creating it) and locks a file, waiting for others; the lock ends with the returned handle or the process.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn lock(path: &Path, kind: Lock) -> Result<fs::File> {
    let tie = |cause| Error::new("lock", path, cause);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path).map_err(tie)?;
    match kind {
        Lock::Shared => file.lock_shared(),
        Lock::Exclusive => file.lock(),
    }
    .map_err(tie)?;
    Ok(file)
}

/// Locks a file that is there, without writing to it: shared with others, on a read-only file system, too.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn lock_existing(path: &Path) -> Result<fs::File> {
    let file = open(path)?;
    file.lock_shared().map_err(|cause| Error::new("lock", path, cause))?;
    Ok(file)
}

/// Opens and locks a file for this command alone, or returns `None` when somebody else holds it.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn try_lock(path: &Path) -> Result<Option<fs::File>> {
    let tie = |cause| Error::new("lock", path, cause);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path).map_err(tie)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(cause)) => Err(tie(cause)),
    }
}

/// Makes a temporary folder, gone when dropped.
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
    let open = fs::OpenOptions::new().create(true).truncate(true).write(true).read(true).open(path);
    open.map_err(|cause| Error::new("create", path, cause))
}

/// Removes a file or a folder with all in it; a missing one is fine.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_any(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove_dir(path),
        _ => remove(path),
    }
}

/// A regular file found by [`walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When it was last read or written, seconds since 1970.
    pub used: i64,
}

/// Returns all regular files below a folder in byte order; symbolic links are not followed. A missing folder has none.
///
/// # Errors
/// When a folder cannot be read.
pub fn walk(path: &Path) -> Result<Vec<Found>> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for name in list(path)? {
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => found.extend(walk(&path)?),
            Ok(metadata) if metadata.is_file() => {
                let used = metadata.atime().max(metadata.mtime());
                found.push(Found { path, size: metadata.len(), used });
            }
            // a socket, a link, or gone in the meantime
            _ => {}
        }
    }
    Ok(found)
}

/// Who else may hold a [`lock`] at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Other shared holders.
    Shared,
    /// Nobody.
    Exclusive,
}
