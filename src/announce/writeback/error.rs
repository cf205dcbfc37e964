//! Why nothing is written back.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use crate::sys::process;
use std::path::PathBuf;

/// Files of a checkout cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is no checkout.
    #[error("cannot write back to `{}`: it is in no Git checkout: {cause}", folder.display())]
    NoCheckout {
        /// The folder.
        folder: PathBuf,
        /// What Git said.
        cause: String,
    },
    /// The checkout's own configuration would have Git run a program.
    #[error("cannot write back to `{}`: its own configuration has Git run programs: {}", folder.display(), keys.join(", "))]
    RunsCode {
        /// The folder.
        folder: PathBuf,
        /// The settings.
        keys: Vec<String>,
    },
    /// Files that would be changed have changes that are not committed.
    #[error("cannot write back to `{}`: not committed changes in {}", folder.display(), files.join(", "))]
    Dirty {
        /// The folder.
        folder: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// The author is not `NAME <MAIL>`.
    #[error("cannot write back: `{0}` is not an author of the form `NAME <MAIL>`")]
    Author(String),
    /// Git refused.
    #[error("cannot {verb} in `{}`: {cause}", folder.display())]
    Git {
        /// `list files`, `commit`, …
        verb: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What Git said.
        cause: String,
    },
    /// The remote did not take the commit, which stays in the checkout.
    #[error("cannot push `{}`: {cause}", folder.display())]
    Push {
        /// The folder.
        folder: PathBuf,
        /// What Git said.
        cause: String,
    },
    /// Git cannot be run.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Tells whether another try may help without any change.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Push { .. })
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoCheckout { .. } => "name a folder of a Git checkout",
            Self::RunsCode { .. } => {
                "nothing of a checkout is executed: take them out of it, or write what you need into your own configuration \
                 (`git config --global`)"
            }
            Self::Dirty { .. } => "commit or discard those changes, then publish again: what is published stays",
            Self::Git { cause, .. } if cause.contains("user.email") || cause.contains("identity") => {
                "name an author with `--write-back-author 'NAME <MAIL>'`"
            }
            Self::Push { .. } => "the commit is in the checkout: bring it up to date with its remote and push again",
            Self::Process(_) => "install `git`",
            Self::File(error) => return error.hints(),
            Self::Author(_) | Self::Git { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
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
        Self::hints(self)
    }
}
