//! Why there is no bundle, or nothing is built from it.

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
    /// A pocket of a lock is none of its definition, or a platform is not locked.
    #[error("cannot bundle image `{image}`: {cause}")]
    StaleLock {
        /// Image name.
        image: String,
        /// What does not fit.
        cause: String,
    },
    /// The lock's InRelease file is gone, and the current one does not prove what was locked.
    #[error(
        "cannot bundle pocket `{pocket}`: nobody has its InRelease file {locked} any more, and the one of {date} does not list{}",
        list(packages)
    )]
    Unproven {
        /// Archive and pocket.
        pocket: String,
        /// What the lock names.
        locked: Digest,
        /// `Date` of the current file.
        date: crate::values::Epoch,
        /// `name version architecture`
        packages: Vec<String>,
    },
    /// The lock's InRelease file is gone, and there is no other.
    #[error("cannot bundle pocket `{pocket}`: nobody has its InRelease file {locked} any more: {cause}")]
    Gone {
        /// Archive and pocket.
        pocket: String,
        /// What the lock names.
        locked: Digest,
        /// Why the current one cannot be used.
        cause: Box<archive::Error>,
    },
    /// The lock's own state is not trusted, or not any more.
    #[error(transparent)]
    Pocket(Box<archive::Error>),
    /// Packages cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Two different files would have one title.
    #[error("cannot write bundle: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// What is named as a bundle is none, or was changed.
    #[error("cannot use bundle `{place}`:{}", list(problems))]
    Damaged {
        /// Where it is.
        place: String,
        /// All that is wrong.
        problems: Vec<String>,
    },
    /// A file of a bundle does not have its digest.
    #[error("cannot use bundle `{place}`: `{title}` has digest {found} instead of {expected}")]
    WrongDigest {
        /// Where it is.
        place: String,
        /// The file.
        title: String,
        /// What the bundle promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A bundle does not have all that a build needs.
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
    /// The signed indexes of a bundle do not list packages.
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
        /// Why not.
        cause: Box<archive::Error>,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout or archive cannot be read or written.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// The network door itself failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Tells whether network, archive or registry are to blame, so that a later attempt may work.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Fetch(_) | Self::Http(_) => true,
            // with the lock's file gone, only a new lock helps, unless nobody answered
            Self::Gone { cause, .. } => cause.is_outside(),
            Self::Registry(error) => !error.is_ours(),
            _ => false,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::StaleLock { image, .. } => vec![format!("lock again with `sockel lock {image}`")],
            Self::Unproven { .. } => {
                one("archives keep only the newest state: lock anew with `sockel lock`, and bundle soon after")
            }
            Self::Gone { cause, .. } | Self::Pocket(cause) => cause.hints(),
            Self::Fetch(error) => error.hints(),
            Self::Damaged { .. } | Self::WrongDigest { .. } => {
                one("transfer the bundle again, or make it anew with `sockel bundle`")
            }
            Self::Missing { .. } | Self::OtherLocks { .. } => {
                one("make the bundle anew with `sockel bundle` from the locks of this project")
            }
            Self::NotSigned { .. } => one("do not use this bundle: nobody vouches for these packages"),
            Self::Archive { cause, .. } => cause.hints(),
            Self::Registry(error) => error.hints(),
            Self::Http(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Unsound(_) | Self::Oci(_) => Vec::new(),
        }
    }
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
            Self::Gone { cause, .. } | Self::Pocket(cause) | Self::Archive { cause, .. } if cause.is_input() => {
                Turn::Input
            }
            error if error.is_outside() => Turn::Outside,
            _ => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }
}

fn list(items: &[String]) -> String {
    let mut text = items.iter().take(SHOWN).map(|item| format!(" {item}")).collect::<Vec<_>>().join(",");
    if items.len() > SHOWN {
        text += &format!(", and {} more", items.len() - SHOWN);
    }
    text
}
