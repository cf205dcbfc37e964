//! Files below a folder that others write to, such as a project or a checkout: they are opened themselves, or not at all.
//!
//! - **In**: a folder, and a path below it, as text with `/`.
//! - **What holds**: no symbolic link is followed below the folder, neither at the end of the path nor on the way, and
//!   only regular files are read. So nothing outside the folder is read, and nothing in it under another name (`.git/config`
//!   may hold a token). The folder itself may be reached through links: the operator names it.
//! - **How**: each part of the path is opened from the folder before it with `O_NOFOLLOW` (open(2)). What is judged is
//!   what is open, so that a file that becomes a link in the meantime is refused as well. `openat2(2)` would do the same in
//!   one call, but older container runtimes refuse it.
//!
//! # Which files are which
//! - **Of the project**, opened here: `recipes/*`, what recipes name, `base-images/*` with locks and `registry.yaml`, and
//!   what that file names by a path below the project ([`Beneath::check`]).
//! - **Of the operator**, opened by [`crate::sys::fs`]: what a flag or the environment names, and what `registry.yaml` names
//!   by an absolute path or one that begins with `..`. Kubernetes mounts secrets as links, so links are followed.

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
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// Never waits for the other end of a pipe, never becomes a controlling terminal, never follows a link.
const CAREFUL: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A folder whose files are opened without following links.
#[derive(Debug, Clone)]
pub struct Beneath {
    folder: PathBuf,
}

impl Beneath {
    /// Names the folder; nothing is opened yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        // the empty path stands for the working folder, but not to the system
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Self { folder: folder.to_owned() }
    }

    /// Returns a file's bytes, at most `limit` of them.
    ///
    /// # Errors
    /// When the path leads through a link, or to something that is no regular file, cannot be read or is larger.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let tie = |cause| Error::new("read", &self.folder.join(path), cause);
        let mut bytes = Vec::new();
        let file = self.file(path).map_err(tie)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(tie)?;
        if bytes.len() as u64 > limit {
            return Err(tie(io::Error::other(format!("larger than {limit} bytes"))));
        }
        Ok(bytes)
    }

    /// Returns a file's text, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is not UTF-8.
    pub fn read_text(&self, path: &str, limit: u64) -> Result<String> {
        let tie = |_| Error::new("read", &self.folder.join(path), io::Error::other("the text is not UTF-8"));
        String::from_utf8(self.read(path, limit)?).map_err(tie)
    }

    /// Returns the names in a folder in byte order; a missing folder has none. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// When the path leads through a link or cannot be listed.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let tie = |cause| Error::new("list", &self.folder.join(path), cause);
        let entries = match self.open(path).and_then(|folder| Ok(rustix::fs::Dir::read_from(&folder)?)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(tie)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|cause| tie(cause.into()))?.file_name().to_str().map(str::to_owned);
            names.extend(name.ok().filter(|name| !matches!(name.as_str(), "." | "..")));
        }
        names.sort();
        Ok(names)
    }

    /// Looks whether a path leads through no link, for those who open it by its name later. What is not there is fine.
    ///
    /// # Errors
    /// When it does, or when that cannot be found out.
    pub fn check(&self, path: &str) -> Result<()> {
        let parts = parts(path).ok_or(io::ErrorKind::InvalidFilename);
        let tie = |cause: io::Error| Error::new("open", &self.folder.join(path), cause);
        let last = parts.map_err(|kind| tie(kind.into()))?.len().saturating_sub(1);
        match self.walk(path, last).and_then(|(folder, name, shown)| kind(&folder, name, &shown)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop).map_err(tie),
        }
    }

    /// Opens a regular file.
    fn file(&self, path: &str) -> io::Result<File> {
        let opened = self.open(path)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) {
            FileType::RegularFile => Ok(File::from(opened)),
            other => Err(not_a_file(path, other)),
        }
    }

    /// Opens a regular file or a folder.
    fn open(&self, path: &str) -> io::Result<OwnedFd> {
        let last = parts(path).ok_or(io::ErrorKind::InvalidFilename)?.len().saturating_sub(1);
        let (folder, name, shown) = self.walk(path, last)?;
        // looked at before, because opening a device may do something
        match kind(&folder, name, &shown)? {
            FileType::RegularFile | FileType::Directory => enter(&folder, name, CAREFUL, &shown),
            other => Err(not_a_file(path, other)),
        }
    }

    /// Opens the first so many folders of a path; returns the last of them, the name that follows, and the path with it.
    fn walk<'a>(&self, path: &'a str, folders: usize) -> io::Result<(OwnedFd, &'a str, String)> {
        let parts = parts(path).ok_or(io::ErrorKind::InvalidFilename)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat(CWD, &self.folder, flags, Mode::empty())?;
        let shown = |count: usize| parts.iter().take(count).copied().collect::<Vec<_>>().join("/");
        for (count, name) in parts.iter().enumerate().take(folders) {
            folder = enter(&folder, name, CAREFUL | OFlags::DIRECTORY, &shown(count + 1))?;
        }
        let name = parts.get(folders).copied().unwrap_or(".");
        Ok((folder, name, shown(folders + 1)))
    }
}

/// Returns the names of a path that stays below its folder.
fn parts(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_plain = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains('\0');
    parts.iter().all(is_plain).then_some(parts)
}

/// Opens what `name` is in `folder`; `shown` is its path for messages.
fn enter(folder: &OwnedFd, name: &str, flags: OFlags, shown: &str) -> io::Result<OwnedFd> {
    rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|errno| match errno {
        // open(2): a link at the end is ELOOP, with O_DIRECTORY it is ENOTDIR
        Errno::LOOP => linked(shown),
        Errno::NOTDIR => kind(folder, name, shown).err().unwrap_or_else(|| errno.into()),
        other => other.into(),
    })
}

/// Returns what `name` is in `folder`; a link is an error.
fn kind(folder: &OwnedFd, name: &str, shown: &str) -> io::Result<FileType> {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => Err(linked(shown)),
        other => Ok(other),
    }
}

fn linked(path: &str) -> io::Error {
    io::Error::other(format!(
        "`{path}` is a symbolic link, and links in a project are not followed: put there what it leads to"
    ))
}

fn not_a_file(path: &str, kind: FileType) -> io::Error {
    let what = match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    io::Error::other(format!("`{path}` is {what}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A project beside a secret, with links of every kind.
    fn project() -> (tempfile::TempDir, Beneath) {
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
        let beneath = Beneath::new(&project);
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
        let named = Beneath::new(&outside.path().join("named"));
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
        assert!(Beneath::new(Path::new("/dev")).read("null", 1).is_err());
    }
}
