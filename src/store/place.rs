//! Where a store is: a folder that is ours alone, and parts that are folders of ours.
//!
//! A folder that others can change is no store. Where the given one is such a folder (a Kubernetes volume belongs to
//! root and its group may write to it, a group shares a disk), or has other files in it, or is a symbolic link, the store
//! is the folder `sockel-<uid>` in it, which sockel makes for its user alone. What would be used and is a link, belongs
//! to somebody else or is open to others is refused before anything in it is touched.

use crate::store::Error;
use crate::store::IN_USE;
use crate::store::VERSION;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::Look;
use std::path::Path;
use std::path::PathBuf;

/// Rights of group and others to write.
const OPEN: u32 = 0o022;

/// Rights of group and others to do anything.
const SHARED: u32 = 0o077;

/// Folders of a store, parents first. Those of `archives` and the leases are filled by stages, whose own folders would
/// have the rights that the umask leaves.
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
pub(super) struct Place {
    /// The folder.
    pub(super) folder: PathBuf,
    /// What a person should know about it.
    pub(super) warning: Option<String>,
}

/// Finds the folder of the store, and makes it when it is not there.
///
/// # Errors
/// [`Error::Unsafe`], or when it cannot be made.
pub(super) fn find(given: &Path) -> Result<Place, Error> {
    let me = own::me()?;
    if own::look(given)?.is_none() {
        if let Some(parent) = given.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir(parent)?;
        }
        own::create_dir(given)?;
    }
    // what was just made is looked at as well: somebody else may have been faster
    let look = look(given)?;
    if objection(&look, me).is_none() && is_store(given)? {
        close(given, &look)?;
        return Ok(Place { folder: given.to_owned(), warning: None });
    }
    let folder = given.join(format!("sockel-{me}"));
    own::create_dir(&folder)?;
    check(&folder, me)?;
    let real = fs::absolute(given)?;
    let owners = [look.owner, self::look(&real)?.owner];
    let warning = owners.into_iter().find(|owner| *owner != me && *owner != 0).map(|owner| {
        let (given, folder) = (given.display(), folder.display());
        format!("`{given}` belongs to user {owner}, who can take away what is in it: the store is `{folder}`")
    });
    Ok(Place { folder, warning })
}

/// Makes the parts of a store that are not there, and refuses those that are not ours.
///
/// # Errors
/// [`Error::Unsafe`], or when one cannot be made.
pub(super) fn parts(folder: &Path) -> Result<(), Error> {
    let me = own::me()?;
    for part in PARTS {
        let part = folder.join(part);
        match own::look(&part)? {
            Some(_) => check(&part, me)?,
            None => match own::create_dir(&part) {
                // nothing is missed in a store that is only read
                Err(error) if error.is_read_only() => {}
                made => made.map_err(Error::from).and_then(|()| check(&part, me))?,
            },
        }
    }
    Ok(())
}

/// Makes a folder within a part, unless it is there and ours.
///
/// # Errors
/// As [`parts`].
pub(super) fn within(path: &Path) -> Result<(), Error> {
    own::create_dir(path)?;
    match look(path)? {
        Look { is_dir: true, .. } => Ok(()),
        _ => Err(Error::Unsafe { path: path.to_owned(), cause: NO_FOLDER.to_owned() }),
    }
}

const NO_FOLDER: &str = "it is a symbolic link or no folder";

fn check(path: &Path, me: u32) -> Result<(), Error> {
    let look = look(path)?;
    match objection(&look, me) {
        Some(cause) => Err(Error::Unsafe { path: path.to_owned(), cause }),
        None => close(path, &look),
    }
}

/// Says why a folder is not ours alone to change.
fn objection(look: &Look, me: u32) -> Option<String> {
    match look {
        Look { is_dir: false, .. } => Some(NO_FOLDER.to_owned()),
        Look { owner, .. } if *owner != me => Some(format!("it belongs to user {owner}, and this is user {me}")),
        Look { mode, .. } if mode & OPEN != 0 => Some(format!("others may write to it (mode {:04o})", mode & 0o7777)),
        _ => None,
    }
}

/// Older versions let everybody read.
fn close(path: &Path, look: &Look) -> Result<(), Error> {
    if look.mode & SHARED == 0 {
        return Ok(());
    }
    match own::close(path) {
        Err(error) if !error.is_read_only() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells whether a folder is a store, or may become one because nothing is in it.
fn is_store(folder: &Path) -> Result<bool, Error> {
    let has = |name: &str| own::look(&folder.join(name)).map(|look| look.is_some_and(|look| look.is_file));
    // what is made first, and what is made last
    Ok(has(IN_USE)? || has(VERSION)? || fs::list(folder)?.is_empty())
}

fn look(path: &Path) -> Result<Look, Error> {
    let gone = || fs::Error::new("look at", path, std::io::ErrorKind::NotFound.into());
    Ok(own::look(path)?.ok_or_else(gone)?)
}
