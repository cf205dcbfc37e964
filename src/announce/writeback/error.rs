//! Why a checkout is not changed.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use crate::sys::process;
use std::path::PathBuf;

/// Why a checkout is not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not part of a Git checkout.
    #[error("cannot write back to `{}`: it is not in a Git checkout: {cause}", folder.display())]
    NoCheckout {
        /// The folder.
        folder: PathBuf,
        /// Git's message.
        cause: String,
    },
    /// The checkout's own configuration would have Git run a program.
    #[error("cannot write back to `{}`: its own Git configuration runs programs: {}", folder.display(), keys.join(", "))]
    RunsCode {
        /// The folder.
        folder: PathBuf,
        /// The settings that do.
        keys: Vec<String>,
    },
    /// Files that have to be changed have uncommitted changes.
    #[error("cannot write back to `{}`: uncommitted changes in {}", folder.display(), files.join(", "))]
    Dirty {
        /// The folder.
        folder: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// The author is not `NAME <MAIL>`.
    #[error("cannot write back: `{0}` is not an author of the form `NAME <MAIL>`")]
    Author(String),
    /// A Git command failed.
    #[error("cannot {verb} in `{}`: {cause}", folder.display())]
    Git {
        /// `list files`, `commit`, …
        verb: &'static str,
        /// The folder.
        folder: PathBuf,
        /// Git's message.
        cause: String,
    },
    /// The remote refused the commit, which stays in the checkout.
    #[error("cannot push `{}`: {cause}", folder.display())]
    Push {
        /// The folder.
        folder: PathBuf,
        /// Git's message.
        cause: String,
    },
    /// Git cannot be run.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::File(error) => error.turn(),
            Self::Push { .. } => Turn::Outside,
            _ => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoCheckout { .. } => "name a folder of a Git checkout",
            Self::RunsCode { .. } => {
                // whoever can write to a checkout must not run programs here; the operator's own configuration may
                "nothing of a checkout is executed: remove these settings, or move what you need to your own configuration \
                 (`git config --global`)"
            }
            Self::Dirty { .. } => {
                "commit or discard these changes, then publish again: what is published stays published"
            }
            // messages of git-commit(1) without a name or address of the committer
            Self::Git { cause, .. } if cause.contains("user.email") || cause.contains("identity") => {
                "name an author with `--write-back-author 'NAME <MAIL>'`"
            }
            Self::Push { .. } => "the commit is in the checkout: update the checkout from its remote and push again",
            Self::Process(_) => "install `git`",
            Self::File(error) => return error.hints(),
            Self::Author(_) | Self::Git { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
