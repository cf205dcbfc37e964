//! Why a job failed: the error of the stage that stopped it, or a request that cannot be carried out.

use crate::advisory;
use crate::announce::webhook;
use crate::announce::writeback;
use crate::build;
use crate::bundle;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::fetch::proof;
use crate::keys;
use crate::lock;
use crate::oci;
use crate::oci::registry;
use crate::oci::registry::credentials;
use crate::plan;
use crate::publish;
use crate::rebase;
use crate::recipe;
use crate::shared;
use crate::store;
use crate::sys::fs;
use crate::sys::http;
use crate::update::lease;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be carried out with this project and these settings.
    #[error("{message}")]
    Request {
        /// Who has to act.
        turn: Turn,
        /// What cannot be done, and why: `cannot …: …`.
        message: String,
        /// What helps.
        hints: Vec<String>,
    },
    /// Lock files do not answer their recipes.
    #[error("cannot use the lock files of {}: they do not answer the recipes", names(.0))]
    StaleLocks(BTreeMap<String, Vec<String>>),
    /// A lock file cannot be read.
    #[error("{cause} (`{}`)", path.display())]
    LockFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        cause: lock::Error,
    },
    /// Recipes, base images, the ledger or the registry file.
    #[error(transparent)]
    Recipe(#[from] recipe::Error),
    /// Choosing packages.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// Proving locks.
    #[error(transparent)]
    Proof(#[from] proof::Error),
    /// Building images.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// Gathering or reading a bundle.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The shared cache.
    #[error(transparent)]
    Cache(#[from] shared::Error),
    /// Publishing images.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// Writing digests back into a Git checkout.
    #[error(transparent)]
    WriteBack(#[from] writeback::Error),
    /// Telling a receiver.
    #[error(transparent)]
    Webhook(#[from] webhook::Error),
    /// Reading advisories.
    #[error(transparent)]
    Advisory(#[from] advisory::Error),
    /// Another run updates the same project.
    #[error(transparent)]
    Lease(#[from] lease::Error),
    /// Moving an application onto a new base image.
    #[error(transparent)]
    Rebase(#[from] rebase::Error),
    /// Writing a pipeline.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// A key that signs or verifies.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// Logins.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The network itself.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Image layouts and archives.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] fs::Error),
}

fn names(stale: &BTreeMap<String, Vec<String>>) -> String {
    stale.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// Returns an error for a request that the project or the settings cannot serve.
    #[must_use]
    pub fn input(message: impl Into<String>) -> Self {
        Self::Request { turn: Turn::Input, message: message.into(), hints: Vec::new() }
    }

    /// Returns an error for a request that makes no sense, whatever the project says.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Request { turn: Turn::Usage, message: message.into(), hints: Vec::new() }
    }

    /// Adds what helps to an error about a request.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Request { hints, .. } = &mut self {
            hints.push(hint.into());
        }
        self
    }

    /// Returns the error of the stage, or this one where no stage has failed.
    fn explained(&self) -> Option<&dyn Explain> {
        Some(match self {
            Self::Request { .. } | Self::StaleLocks(_) => return None,
            Self::LockFile { cause, .. } => cause,
            Self::Recipe(error) => error,
            Self::Lock(error) => error,
            Self::Proof(error) => error,
            Self::Build(error) => error,
            Self::Bundle(error) => error,
            Self::Cache(error) => error,
            Self::Publish(error) => error,
            Self::WriteBack(error) => error,
            Self::Webhook(error) => error,
            Self::Advisory(error) => error,
            Self::Lease(error) => error,
            Self::Rebase(error) => error,
            Self::Plan(error) => error,
            Self::Key(error) => error,
            Self::Credentials(error) => error,
            Self::Registry(error) => error,
            Self::Http(error) => error,
            Self::Oci(error) => error,
            Self::Store(error) => error,
            Self::File(error) => error,
        })
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match (self, self.explained()) {
            (_, Some(error)) => error.turn(),
            (Self::Request { turn, .. }, None) => *turn,
            (_, None) => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        match (self, self.explained()) {
            (_, Some(error)) => error.hints(),
            (Self::Request { hints, .. }, None) => hints.clone(),
            (Self::StaleLocks(stale), None) => vec![format!("run `sockel lock {}`", names(stale).replace(", ", " "))],
            (_, None) => Vec::new(),
        }
    }

    fn lists_reasons(&self) -> bool {
        self.explained().is_some_and(Explain::lists_reasons)
    }

    fn asks_for_new_lock(&self) -> bool {
        self.explained().is_some_and(Explain::asks_for_new_lock)
    }
}
