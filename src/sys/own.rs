//! Owner, rights and identity of a file by lstat(2), which never follows a symbolic link.
#![expect(clippy::disallowed_methods, reason = "this is a door to std::fs, as `fs` is")]

use crate::sys::fs::Error;
use crate::sys::fs::Result;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The status of a file, folder or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus {
    /// It is a folder, not a link to one.
    pub is_dir: bool,
    /// It is a regular file, not a link to one.
    pub is_file: bool,
    /// It is a symbolic link.
    pub is_link: bool,
    /// User id of the owner.
    pub owner: u32,
    /// Permission bits with setuid, setgid and sticky bit.
    pub mode: u32,
    /// Number of names (hard links) that the file has.
    pub names: u64,
    /// Facts that change when the bytes do.
    pub stamp: FileStamp,
}

/// Facts about a file that change when its bytes are changed in place, or when another file takes its name: a cheap sign
/// that it still has the digest that it had. A writer cannot choose the time of the last change (`st_ctime`).
///
/// Two changes within one tick of the file system's clock (some milliseconds) go unnoticed, and so does a failing disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970 of the last change of the bytes, which a writer can set.
    modified: (i64, i64),
    /// Seconds and nanoseconds since 1970 of the last change of anything, which only the system sets.
    changed: (i64, i64),
}

/// Returns the status of a path, or `None` when there is nothing.
///
/// # Errors
/// When the system refuses the look.
pub fn look(path: &Path) -> Result<Option<FileStatus>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(FileStatus::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new("look at", path, error)),
    }
}

impl FileStatus {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            is_dir: metadata.is_dir(),
            is_file: metadata.is_file(),
            is_link: metadata.is_symlink(),
            owner: metadata.uid(),
            // the upper bits of st_mode are the type of the file (inode(7))
            mode: metadata.mode() & 0o7777,
            names: metadata.nlink(),
            stamp: FileStamp::from(metadata),
        }
    }
}

impl FileStamp {
    /// Returns the stamp of a regular file; a link to one has none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        look(path).ok().flatten().filter(|look| look.is_file).map(|look| look.stamp)
    }

    /// Returns the stamp of an open file, whatever its name leads to by now.
    #[must_use]
    pub fn of_open(file: &fs::File) -> Option<Self> {
        file.metadata().ok().as_ref().map(Self::from)
    }
}

impl From<&fs::Metadata> for FileStamp {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            size: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Returns the user id that owns new files.
///
/// # Errors
/// When there is neither a `/proc` nor a folder for temporary files.
pub fn me() -> Result<u32> {
    // proc_pid_status(5): real, effective, saved and file system id; the last one owns new files
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    if let Some(id) = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()) {
        return Ok(id);
    }

    // without /proc a new file tells it
    let folder = std::env::temp_dir();
    let file = tempfile::tempfile_in(&folder).and_then(|file| file.metadata());
    file.map(|file| file.uid()).map_err(|cause| Error::new("write in", &folder, cause))
}

/// Makes a folder that only its owner can enter, whatever the umask; an existing folder keeps its rights.
///
/// # Errors
/// When it cannot be made.
pub fn create_dir(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::new("create", path, error)),
        _ => Ok(()),
    }
}

/// Takes all rights on a folder away from group and others.
///
/// # Errors
/// When the system refuses.
pub fn close(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|cause| Error::new("close", path, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs as files;

    #[test]
    fn looks_at_links_and_not_through_them() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        files::write_atomic(&file, b"x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let found = look(&link).unwrap().unwrap();
        assert!(found.is_link && !found.is_file && !found.is_dir);
        assert_eq!((FileStamp::of(&link), look(&folder.path().join("gone")).unwrap()), (None, None));
        let found = look(&file).unwrap().unwrap();
        assert!(found.is_file && found.owner == me().unwrap() && found.stamp.size == 1);
    }

    #[test]
    fn a_stamp_notices_what_keeps_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        files::write_atomic(&path, b"good").unwrap();
        let before = FileStamp::of(&path).unwrap();
        assert_eq!(FileStamp::of(&path), Some(before));
        // a file of the same size and the same time of modification
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        files::write_atomic(&path, b"evil").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_ne!(FileStamp::of(&path), Some(before));
    }

    #[test]
    fn new_folders_are_their_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own");
        create_dir(&path).unwrap();
        create_dir(&path).unwrap();
        assert_eq!(look(&path).unwrap().unwrap().mode & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        close(&path).unwrap();
        assert_eq!(look(&path).unwrap().unwrap().mode & 0o777, 0o700);
    }
}
