//! Where a store is: a folder that only its user can change, with parts that only its user can change.
//!
//! A folder that others can change is no store. The configured folder may be such a folder (a Kubernetes volume belongs
//! to root and its group may write to it, a group shares a disk), it may hold other files, or be a symbolic link. The
//! store is then the folder `sockel-<uid>` in it, which sockel creates for its user alone. Any part that is a link,
//! belongs to another user or is open to others is refused before anything in it is touched.

use crate::store::Error;
use crate::store::IN_USE;
use crate::store::VERSION;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::FileStatus;
use std::path::Path;
use std::path::PathBuf;

/// Rights of group and others to write.
const OPEN: u32 = 0o022;

/// All rights of group and others.
const SHARED: u32 = 0o077;

/// Folders of a store, parents first. Those of `archives` and the leases are filled by stages, which would create them
/// with the rights that the umask leaves.
const PARTS: [&str; 11] = [
    "blobs",
    "blobs/sha256",
    "packages",
    "results",
    "archives",
    "archives/by-hash",
    "archives/decoded",
    "archives/advisories",
    "leases",
    "partial",
    "tmp",
];

/// A place for a store.
pub(super) struct StorePlace {
    /// The folder.
    pub(super) folder: PathBuf,
    /// What people should know about it.
    pub(super) warning: Option<String>,
}

/// Finds the folder of the store, and creates it if needed.
///
/// # Errors
/// [`Error::Unsafe`], or when it cannot be created.
pub(super) fn find(configured: &Path) -> Result<StorePlace, Error> {
    let me = own::me()?;
    if own::look(configured)?.is_none() {
        if let Some(parent) = configured.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir(parent)?;
        }
        own::create_dir(configured)?;
    }

    // a new folder is checked as well: another user may have been faster
    let status = status(configured)?;
    if objection(&status, me).is_none() && is_store(configured)? {
        close(configured, &status)?;
        return Ok(StorePlace { folder: configured.to_owned(), warning: None });
    }

    let folder = configured.join(format!("sockel-{me}"));
    own::create_dir(&folder)?;
    check(&folder, me)?;
    let warning = owner_above(configured, &status, me)?.map(|owner| {
        let (configured, folder) = (configured.display(), folder.display());
        format!("`{configured}` belongs to user {owner}, who can remove its contents: the store is `{folder}`")
    });
    Ok(StorePlace { folder, warning })
}

/// Returns the user, other than root and ourselves, who owns the configured folder or the link that leads to it.
fn owner_above(configured: &Path, status: &FileStatus, me: u32) -> Result<Option<u32>, Error> {
    let target = self::status(&fs::absolute(configured)?)?;
    // root can do anything anyway, so a warning about it tells nothing
    Ok([status.owner, target.owner].into_iter().find(|owner| *owner != me && *owner != 0))
}

/// Creates the missing parts of a store, and refuses those that others can change.
///
/// # Errors
/// [`Error::Unsafe`], or when one cannot be created.
pub(super) fn parts(folder: &Path) -> Result<(), Error> {
    let me = own::me()?;
    for part in PARTS {
        let part = folder.join(part);
        if own::look(&part)?.is_some() {
            check(&part, me)?;
            continue;
        }

        match own::create_dir(&part) {
            // a store that is only read does not miss it
            Err(error) if error.is_read_only() => {}
            // also checked when new: another command, or another user, may have been faster
            created => created.map_err(Error::from).and_then(|()| check(&part, me))?,
        }
    }
    Ok(())
}

/// Creates a folder within a part, unless it exists.
///
/// # Errors
/// As [`parts`].
pub(super) fn within(path: &Path) -> Result<(), Error> {
    own::create_dir(path)?;
    // the part above belongs to us alone, so nobody else can have made this folder: its type is enough
    match status(path)? {
        FileStatus { is_dir: true, .. } => Ok(()),
        _ => Err(Error::Unsafe { path: path.to_owned(), cause: NO_FOLDER.to_owned() }),
    }
}

const NO_FOLDER: &str = "it is a symbolic link or no folder";

fn check(path: &Path, me: u32) -> Result<(), Error> {
    let status = status(path)?;
    match objection(&status, me) {
        Some(cause) => Err(Error::Unsafe { path: path.to_owned(), cause }),
        None => close(path, &status),
    }
}

/// Returns why others can change a folder, if they can.
fn objection(status: &FileStatus, me: u32) -> Option<String> {
    match status {
        FileStatus { is_dir: false, .. } => Some(NO_FOLDER.to_owned()),
        FileStatus { owner, .. } if *owner != me => Some(format!("it belongs to user {owner}, and this is user {me}")),
        FileStatus { mode, .. } if mode & OPEN != 0 => {
            Some(format!("others may write to it (mode {:04o})", mode & 0o7777))
        }
        _ => None,
    }
}

/// Takes the rights of group and others away: older versions of sockel let everybody read.
fn close(path: &Path, status: &FileStatus) -> Result<(), Error> {
    if status.mode & SHARED == 0 {
        return Ok(());
    }
    match own::close(path) {
        // a read-only store keeps its rights: others can read it, but not change it
        Err(error) if !error.is_read_only() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells whether a folder is a store, or may become one because it is empty.
fn is_store(folder: &Path) -> Result<bool, Error> {
    // the file that is created first and the one that is created last: a killed command leaves the first one alone
    for name in [IN_USE, VERSION] {
        if own::look(&folder.join(name))?.is_some_and(|status| status.is_file) {
            return Ok(true);
        }
    }
    Ok(fs::list(folder)?.is_empty())
}

fn status(path: &Path) -> Result<FileStatus, Error> {
    match own::look(path)? {
        Some(status) => Ok(status),
        None => Err(fs::Error::new("look at", path, std::io::ErrorKind::NotFound.into()).into()),
    }
}
