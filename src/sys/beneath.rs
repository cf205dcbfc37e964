//! Opens files below a folder that others can write to, such as a project or a checkout, without following links.
//!
//! - **In**: a folder, and a path below it, as text with `/`.
//! - **What holds**: no symbolic link is followed below the folder, neither at the end of the path nor on the way, and
//!   only regular files are read. So nothing outside the folder is read, and nothing in it under another name
//!   (`.git/config` may hold a token). The folder itself may be reached through links: the operator names it.
//! - **How**: each name of the path is opened from the folder before it with `O_NOFOLLOW` (open(2)). The checks look at
//!   the open file, so that a file that becomes a link in the meantime is refused as well. `openat2(2)` would do the
//!   same in one call, but older container runtimes refuse it.
//!
//! # Which files are which
//! - **Of the project**, opened here: `recipes/*`, what recipes name, `base-images/*` with locks and `registry.yaml`, and
//!   what that file names by a path below the project ([`ConfinedFolder::check`]).
//! - **Of the operator**, opened by [`crate::sys::fs`]: what a flag or the environment names, and what `registry.yaml`
//!   names by an absolute path or one that begins with `..`. Kubernetes mounts secrets as links, so links are followed.

use crate::sys::fs;
use crate::sys::fs::Error;
use crate::sys::fs::Result;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// Never follows a link, never waits for the other end of a pipe, never takes over a terminal.
const CAREFUL: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A folder whose files are opened without following links.
#[derive(Debug, Clone)]
pub struct ConfinedFolder {
    folder: PathBuf,
}

impl ConfinedFolder {
    /// Names the folder; nothing is opened yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        // to `Path` the empty path is the working folder, to the system it is none
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Self { folder: folder.to_owned() }
    }

    /// Returns a file's bytes, at most `limit` of them.
    ///
    /// # Errors
    /// When the path leads through a link or to something else than a regular file, or the file is larger than `limit`
    /// or cannot be read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.open_file(path).and_then(|file| fs::read_limited(file, limit));
        bytes.map_err(|cause| self.error("read", path, cause))
    }

    /// Returns a file's text, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is not UTF-8.
    pub fn read_text(&self, path: &str, limit: u64) -> Result<String> {
        String::from_utf8(self.read(path, limit)?)
            .map_err(|_| self.error("read", path, io::Error::other("the text is not UTF-8")))
    }

    /// Tells whether a path is a regular file that its owner may execute; what cannot be opened is none.
    #[must_use]
    pub fn is_executable(&self, path: &str) -> bool {
        let found = self.open_file(path).and_then(|file| Ok(rustix::fs::fstat(&file)?.st_mode));
        found.is_ok_and(|mode| Mode::from_raw_mode(mode).contains(Mode::XUSR))
    }

    /// Returns the names in a folder in byte order, or none when there is no such folder. Names that are not UTF-8 are
    /// left out.
    ///
    /// # Errors
    /// When the path leads through a link or cannot be listed.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let listed = self.open(path).and_then(|folder| names_in(&folder));
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|cause| self.error("list", path, cause)),
        }
    }

    /// Checks that a path leads through no link, for callers that open it by its name later. A missing file is fine.
    ///
    /// # Errors
    /// When the path leads through a link, or when that cannot be determined.
    pub fn check(&self, path: &str) -> Result<()> {
        let found = self.open_parent(path).and_then(|(folder, name)| file_type(&folder, name, path));
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop).map_err(|cause| self.error("open", path, cause)),
        }
    }

    /// Opens a regular file.
    fn open_file(&self, path: &str) -> io::Result<File> {
        let opened = self.open(path)?;
        // checks the open file: the name may lead to another one by now
        match FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) {
            FileType::RegularFile => Ok(File::from(opened)),
            other => Err(not_a_file(path, other)),
        }
    }

    /// Opens a regular file or a folder.
    fn open(&self, path: &str) -> io::Result<OwnedFd> {
        let (folder, name) = self.open_parent(path)?;
        // looks before it opens: merely opening a device may set something off
        match file_type(&folder, name, path)? {
            FileType::RegularFile | FileType::Directory => enter(&folder, name, CAREFUL, path),
            other => Err(not_a_file(path, other)),
        }
    }

    /// Opens the folders of a path one after the other; returns the last of them, and the name that follows it.
    fn open_parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        if !stays_below(path) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }

        // the operator names this folder, so links to it are followed
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat(CWD, &self.folder, flags, Mode::empty())?;

        let mut start = 0;
        for (end, _) in path.match_indices('/') {
            folder = enter(&folder, &path[start..end], CAREFUL | OFlags::DIRECTORY, &path[..end])?;
            start = end + 1;
        }
        Ok((folder, &path[start..]))
    }

    /// Ties a system error to a path below the folder.
    fn error(&self, verb: &'static str, path: &str, cause: io::Error) -> Error {
        Error::new(verb, &self.folder.join(path), cause)
    }
}

/// Tells whether a path is relative and has only plain names.
fn stays_below(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

/// Returns the names in an open folder in byte order, without `.` and `..`.
fn names_in(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }

    // the system lists a folder in any order, and no result may depend on the machine
    names.sort();
    Ok(names)
}

/// Opens `name` in `folder`; `shown` is its path for messages.
fn enter(folder: &OwnedFd, name: &str, flags: OFlags, shown: &str) -> io::Result<OwnedFd> {
    rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|errno| match errno {
        // open(2): a link at the end is ELOOP, with O_DIRECTORY it is ENOTDIR
        Errno::LOOP => linked(shown),
        // a file in place of a folder has the same error: a second look tells them apart
        Errno::NOTDIR => file_type(folder, name, shown).err().unwrap_or_else(|| errno.into()),
        other => other.into(),
    })
}

/// Returns the type of `name` in `folder`; a link is an error.
fn file_type(folder: &OwnedFd, name: &str, shown: &str) -> io::Result<FileType> {
    let status = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Symlink => Err(linked(shown)),
        other => Ok(other),
    }
}

fn linked(path: &str) -> io::Error {
    io::Error::other(format!(
        "`{path}` is a symbolic link, and links in a project are not followed: replace it with what it points to"
    ))
}

fn not_a_file(path: &str, kind: FileType) -> io::Error {
    let kind = match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    io::Error::other(format!("`{path}` is {kind}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A project beside a secret, with links of every kind.
    fn project() -> (tempfile::TempDir, ConfinedFolder) {
        let outside = tempfile::tempdir().expect("made");
        let project = outside.path().join("project");
        let make = |path: &str, text: &str| {
            let path = outside.path().join(path);
            crate::sys::fs::create_dir(path.parent().expect("in a folder")).expect("made");
            crate::sys::fs::write_atomic(&path, text.as_bytes()).expect("written");
        };
        make("secret/key", "SECRET");
        make("project/recipes/a/own", "own");
        make("project/.git/config", "SECRET");
        let secret = outside.path().join("secret");
        let links: [(PathBuf, &str); 7] = [
            (secret.join("key"), "absolute"),
            ("../../secret/key".into(), "relative"),
            ("../.git/config".into(), "inside"),
            ("a/own".into(), "beside"),
            ("/proc/self/environ".into(), "process"),
            ("nowhere".into(), "dangling"),
            (secret, "folder"),
        ];
        for (target, name) in links {
            symlink(target, project.join("recipes").join(name)).expect("linked");
        }
        symlink("recipes/folder", project.join("way")).expect("linked");
        let beneath = ConfinedFolder::new(&project);
        (outside, beneath)
    }

    #[test]
    fn what_is_there_itself_is_read() {
        let (outside, beneath) = project();
        assert_eq!(beneath.read("recipes/a/own", 3).expect("read"), b"own");
        assert_eq!(beneath.read_text("recipes/a/own", 100).expect("read"), "own");
        assert!(beneath.read("recipes/a/own", 2).expect_err("too large").to_string().contains("larger than 2 bytes"));
        assert_eq!(beneath.list("recipes/a").expect("listed"), ["own"]);
        assert_eq!(beneath.list("no/such/folder").expect("empty"), [""; 0]);
        assert!(beneath.read("recipes/no", 9).expect_err("missing").is_missing());
        // the project itself may be reached through a link
        symlink(outside.path().join("project"), outside.path().join("named")).expect("linked");
        let named = ConfinedFolder::new(&outside.path().join("named"));
        assert_eq!(named.read("recipes/a/own", 3).expect("read"), b"own");
    }

    #[test]
    fn no_link_is_followed() {
        let (_outside, beneath) = project();
        let links = ["absolute", "relative", "inside", "beside", "process", "dangling", "folder", "folder/key"];
        for path in links.map(|name| format!("recipes/{name}")).into_iter().chain(["way/key".to_owned()]) {
            let error = beneath.read(&path, 100).expect_err(&path).to_string();
            assert!(error.contains("is a symbolic link") && !error.contains("SECRET"), "{path}: {error}");
            assert!(beneath.check(&path).is_err(), "{path}");
        }
        assert!(beneath.list("recipes/folder").is_err() && beneath.list("way").is_err());
        for path in ["", "/etc/passwd", "../secret/key", "recipes/../../secret/key", "recipes//a", "./recipes", "a\0b"]
        {
            assert!(beneath.read(path, 100).is_err() && beneath.check(path).is_err(), "{path:?}");
        }
        for path in ["recipes/a/own", "recipes/a", "recipes/no", "no/such/folder"] {
            beneath.check(path).expect(path);
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let (outside, beneath) = project();
        let folder = outside.path().join("project");
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).expect("bound");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, folder.join("pipe"), FileType::Fifo, mode, 0).expect("made");
        for (path, what) in [("pipe", "a named pipe"), ("socket", "a socket"), ("recipes", "a folder")] {
            let error = beneath.read(path, 100).expect_err(path).to_string();
            assert!(error.ends_with(&format!("`{path}` is {what}, not a regular file")), "{error}");
        }
        assert!(ConfinedFolder::new(Path::new("/dev")).read("null", 1).is_err());
    }
}
