//! Errors of making and using bundles.

use crate::apt::archive;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::fetch;
use crate::oci;
use crate::oci::registry;
use crate::store;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;

/// Most problems that a message names.
const SHOWN: usize = 20;

/// A bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock names an archive or pocket that the definition does not have.
    #[error("cannot bundle image `{image}`: {cause}")]
    StaleLock {
        /// Image name.
        image: String,
        /// What the definition lacks.
        cause: String,
    },
    /// The lock's InRelease file is not available any more, and the current one does not list the locked packages.
    #[error(
        "cannot bundle pocket `{pocket}`: nobody has its InRelease file {locked} any more, and the one of {date} does not list{}",
        list(packages)
    )]
    Unproven {
        /// Archive and pocket.
        pocket: String,
        /// Digest of the InRelease file that the lock names.
        locked: Digest,
        /// `Date` of the current file.
        date: crate::values::Epoch,
        /// `name version architecture`
        packages: Vec<String>,
    },
    /// The lock's InRelease file is not available any more, and the current one cannot be used.
    #[error("cannot bundle pocket `{pocket}`: nobody has its InRelease file {locked} any more: {cause}")]
    Gone {
        /// Archive and pocket.
        pocket: String,
        /// Digest of the InRelease file that the lock names.
        locked: Digest,
        /// Why the current one cannot be used.
        cause: Box<archive::Error>,
    },
    /// The state that the lock names is not trusted, or no longer.
    #[error(transparent)]
    Pocket(Box<archive::Error>),
    /// Packages cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Two different files would have one title.
    #[error("cannot write bundle: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// The artifact is not a bundle, or was changed.
    #[error("cannot use bundle `{place}`:{}", list(problems))]
    Damaged {
        /// Where it is.
        place: String,
        /// All problems.
        problems: Vec<String>,
    },
    /// A file of a bundle does not have its digest.
    #[error("cannot use bundle `{place}`: `{title}` has digest {found} instead of {expected}")]
    WrongDigest {
        /// Where it is.
        place: String,
        /// The file.
        title: String,
        /// The digest in the list of contents.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The bundle lacks something that the build needs.
    #[error("cannot build from bundle `{place}`: it does not have{}", list(missing))]
    Missing {
        /// Where it is.
        place: String,
        /// Packages (`name version architecture`), states of pockets, indexes.
        missing: Vec<String>,
    },
    /// A bundle was made for other locks.
    #[error("cannot build from bundle `{place}`: it was made for other locks of {}", images.join(", "))]
    OtherLocks {
        /// Where it is.
        place: String,
        /// Image names.
        images: Vec<String>,
    },
    /// No signed index of the bundle lists these packages.
    #[error("cannot build from bundle `{place}`: no signed index in it lists{}", list(packages))]
    NotSigned {
        /// Where it is.
        place: String,
        /// `name version architecture`
        packages: Vec<String>,
    },
    /// A pocket in a bundle is not trusted.
    #[error("cannot build from bundle `{place}`: {cause}")]
    Archive {
        /// Where it is.
        place: String,
        /// Why it is not trusted.
        cause: Box<archive::Error>,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout or archive cannot be read or written.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// The HTTP client could not be started.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
            Self::Oci(error) => error.turn(),
            Self::Http(error) => error.turn(),
            Self::Fetch(error) => error.turn(),
            // without the lock's InRelease file only a new lock helps, unless a server just did not answer
            Self::Gone { cause, .. } if cause.turn() != Turn::Input && cause.is_outside() => Turn::Outside,
            // a bundle that was refused once is refused always
            _ => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::StaleLock { image, .. } => return vec![format!("lock again with `sockel lock {image}`")],
            Self::Unproven { .. } => {
                "archives keep only the newest state: lock anew with `sockel lock`, and bundle soon after"
            }
            Self::Damaged { .. } | Self::WrongDigest { .. } => {
                "transfer the bundle again, or make it anew with `sockel bundle`"
            }
            Self::Missing { .. } | Self::OtherLocks { .. } => {
                "make the bundle anew with `sockel bundle` from the locks of this project"
            }
            Self::NotSigned { .. } => "do not use this bundle: nobody vouches for these packages",
            // what another stage says about its own failure is better than anything said here
            Self::Gone { cause, .. } | Self::Pocket(cause) | Self::Archive { cause, .. } => return cause.hints(),
            Self::Fetch(error) => return error.hints(),
            Self::Registry(error) => return error.hints(),
            Self::Http(error) => return error.hints(),
            Self::File(error) => return error.hints(),
            Self::Store(error) => return error.hints(),
            Self::Unsound(_) | Self::Oci(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Lists the first items after a colon or verb.
fn list(items: &[String]) -> String {
    let mut text = items.iter().take(SHOWN).map(|item| format!(" {item}")).collect::<Vec<_>>().join(",");
    if items.len() > SHOWN {
        text += &format!(", and {} more", items.len() - SHOWN);
    }
    text
}
