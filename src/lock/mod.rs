//! Definition and archives to Lock.
//!
//! - **In**: [`ImageDefinition`]s, opened archives, the earlier locks, the script
//!   ledger.
//! - **Out**: a [`Lock`] for each image, or all reasons why there is none.
//! - **Invariants**: the result does not depend on the order of any input; a child's lower levels are its parent's.
//! - **Not here**: what a package contains (`layer`), downloads (`fetch`).

pub mod blocked;
mod choice;
mod claim;
pub mod diff;
mod earlier;
mod explain;
pub mod file;
mod graph;
pub mod images;
pub mod layers;
mod level;
pub mod outcome;
mod print;
pub mod proof;
pub mod resolve;
pub mod scripts;
mod search;
mod solve;
mod told;
pub mod universe;
pub mod verify;

pub use blocked::BlockedPackage;
pub use blocked::BrokenPocket;
pub use images::ArchiveAccess;
pub use images::LockInput;
pub use images::lock;
pub use images::lock_each;
pub use outcome::LockOutcome;
pub use outcome::LockResults;
pub use outcome::Results;

use crate::fault::AnyError;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::values::Platform;

/// An image with its lock: to prove, to bundle or to build.
#[derive(Debug, Clone, Copy)]
pub struct LockedImage<'a> {
    /// What the recipes say.
    pub definition: &'a ImageDefinition,
    /// What was locked.
    pub lock: &'a Lock,
}

/// Why a lock cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock file cannot be read.
    #[error(transparent)]
    File(#[from] crate::sys::fs::Error),
    /// The lock file was written by a newer engine.
    #[error("cannot read lock file: it was written by a newer sockel (lock format {found}, known up to {known})")]
    Newer {
        /// Format of the file.
        found: u64,
        /// The newest known format.
        known: u32,
    },
    /// The file is not a lock file.
    #[error("cannot read lock file: {cause}")]
    Syntax {
        /// What the parser said, with the place.
        cause: String,
    },
    /// The lock file holds values that sockel never writes.
    #[error("cannot use lock file: {}", problems.join("; "))]
    Invalid {
        /// Each invalid value, with its place.
        problems: Vec<String>,
    },
    /// An index holds a stanza that cannot be read.
    #[error("`{from}`: {cause}")]
    Index {
        /// Archive and pocket.
        from: String,
        /// What is wrong.
        cause: Box<crate::apt::index::Error>,
    },
    /// A recipe asks for something that is no package relation.
    #[error("cannot read requested package of level `{recipe}`: {cause}")]
    Request {
        /// Recipe of the level.
        recipe: String,
        /// What is wrong.
        cause: crate::apt::relation::InvalidRelation,
    },
    /// The ledger has no decision about these maintainer scripts.
    #[error("cannot lock: {} maintainer scripts are not in the script ledger", .0.len())]
    Scripts(Vec<scripts::UndecidedScript>),
    /// An archive could not be opened, or a package could not be fetched.
    #[error(transparent)]
    Outside(AnyError),
    /// The parent image could not be locked.
    #[error("cannot lock: parent image `{parent}` could not be locked")]
    Below {
        /// Name of the parent image.
        parent: String,
    },
    /// The archives could not be opened; the error of another image has the reason.
    #[error("cannot open archives: the same problem as with image `{first}`")]
    Archives {
        /// Name of the image that has the reason.
        first: String,
    },
    /// A lock keeps a package back, and that cannot be right.
    #[error("cannot keep back `{package}` of level `{recipe}`: {cause}")]
    KeptBack {
        /// Recipe of the level.
        recipe: String,
        /// Package name.
        package: String,
        /// Why not.
        cause: String,
    },
    /// The search for a choice of packages takes too much work.
    #[error("cannot choose packages: {most} {what} have not led to an end")]
    Effort {
        /// The limit that was reached.
        most: u64,
        /// What the limit counts: `looks at packages`, `choices`, or `relations between packages`.
        what: &'static str,
    },
    /// There is no choice of packages.
    #[error("cannot choose packages of level `{recipe}` for {platform}: {}", reasons.join("; "))]
    Unresolvable {
        /// Recipe of the level.
        recipe: String,
        /// Platform for which there is none.
        platform: Platform,
        /// All reasons.
        reasons: Vec<String>,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::File(error) => error.turn(),
            Self::Outside(error) => error.turn(),
            // another try reads the same index
            Self::Index { cause, .. } if cause.is_of_one_package() => Turn::Input,
            Self::Index { .. } => Turn::Outside,
            Self::Newer { .. }
            | Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::Request { .. }
            | Self::Scripts(_)
            | Self::Below { .. }
            | Self::Archives { .. }
            | Self::KeptBack { .. }
            | Self::Effort { .. }
            | Self::Unresolvable { .. } => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Newer { .. } => "update sockel, or lock again with this one",
            Self::Syntax { .. } | Self::Invalid { .. } => "run `sockel lock`: lock files are written, never edited",
            Self::Unresolvable { .. } => "change `packages` or `exclude` of the recipe",
            Self::Effort { .. } => {
                "the archives leave too many ways open: name the packages that you want in `packages` of the recipe, or take some out with `exclude`"
            }
            Self::KeptBack { .. } => {
                "choose again with `sockel lock`; a cache repository, a bundle or a snapshot service keeps the states that old locks need"
            }
            Self::Scripts(_) => {
                "decide about these effects in `recipes/scripts.yaml`, or in a `recipes/scripts.project.yaml` of your own"
            }
            Self::Request { .. } => "write package names as in a control file: `tomcat10 (>= 10.1)`",
            Self::File(error) => return error.hints(),
            Self::Outside(error) => return error.hints(),
            Self::Index { cause, .. } if cause.is_of_one_package() => {
                "tell whoever runs the archive; until then leave the package out with `exclude`, or take it from another archive"
            }
            Self::Index { .. } | Self::Below { .. } | Self::Archives { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    fn asks_for_new_lock(&self) -> bool {
        match self {
            Self::Outside(error) => error.asks_for_new_lock(),
            Self::KeptBack { .. } => true,
            _ => false,
        }
    }

    fn note_still_listed(&mut self) {
        if let Self::Outside(error) = self {
            error.note_still_listed();
        }
    }
}
