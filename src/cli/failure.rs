//! Every error of every stage to message, hints and exit code; the only such mapping.

use crate::apt::archive;
use crate::build;
use crate::fetch;
use crate::image;
use crate::layer;
use crate::lock;
use crate::oci;
use crate::recipe;
use crate::recipe::Diagnostic;
use crate::store;
use crate::sys::fs;
use std::fmt;

/// What kind of failure it is; decides the exit code, which pipelines and schedules rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The input must change.
    User,
    /// Wrong use of the command line.
    Usage,
    /// Network, archive, disk: a retry may help.
    Outside,
    /// A policy said no.
    Policy,
    /// A mistake in sockel.
    Internal,
}

impl Kind {
    /// Returns the exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Usage => 2,
            Self::Outside => 3,
            Self::Policy => 4,
            Self::Internal => 70,
        }
    }

    /// Returns the word for it in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "input",
            Self::Usage => "usage",
            Self::Outside => "outside",
            Self::Policy => "policy",
            Self::Internal => "internal",
        }
    }
}

/// Why a command ended.
#[derive(Debug)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// `cannot <verb> <thing>: <cause>`
    pub message: String,
    /// Longer texts that explain it, each for itself.
    pub details: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Problems with their places in files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// Makes a failure of the input.
    #[must_use]
    pub fn user(message: String) -> Self {
        Self { kind: Kind::User, message, details: Vec::new(), hints: Vec::new(), diagnostics: Vec::new() }
    }

    /// Makes a failure of the command line.
    #[must_use]
    pub fn usage(message: String) -> Self {
        Self { kind: Kind::Usage, ..Self::user(message) }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn new(kind: Kind, error: &dyn fmt::Display, hints: Vec<String>) -> Self {
        Self { hints, kind, ..Self::user(error.to_string()) }
    }
}

impl From<recipe::Error> for Failure {
    fn from(error: recipe::Error) -> Self {
        let mut failure = Self::new(Kind::User, &error, error.hints());
        if let recipe::Error::Invalid(diagnostics) = error {
            failure.diagnostics = diagnostics;
        }
        failure
    }
}

impl From<lock::Error> for Failure {
    fn from(error: lock::Error) -> Self {
        let mut hints = error.hints();
        let kind = match &error {
            lock::Error::Outside(cause) => {
                if let Some(cause) = cause.downcast_ref::<archive::Error>() {
                    hints.extend(cause.hints());
                } else if let Some(cause) = cause.downcast_ref::<fetch::Error>() {
                    hints.extend(cause.hints());
                }
                Kind::Outside
            }
            lock::Error::Index { .. } => Kind::Outside,
            lock::Error::Scripts(_) => Kind::Policy,
            _ => Kind::User,
        };
        let mut failure = Self::new(kind, &error, hints);
        if let lock::Error::Scripts(unknown) = &error {
            failure.details = unknown.iter().map(ToString::to_string).collect();
        }
        failure
    }
}

impl From<build::Error> for Failure {
    fn from(error: build::Error) -> Self {
        let (kind, hints) = match &error {
            build::Error::Fetch(cause) => (Kind::Outside, cause.hints()),
            build::Error::Layer { cause, .. } => (of_layer(cause), cause.hints()),
            build::Error::Image(image::Error::NoUser(_) | image::Error::BadUser { .. }) => (Kind::Policy, Vec::new()),
            build::Error::StaleLock { image, .. } => {
                (Kind::User, vec![format!("lock again with `sockel lock {image}`")])
            }
            build::Error::Store(cause) => return Self::new(of_store(cause), &error, cause.hints()),
            build::Error::Output(cause) => return Self::new(of_output(cause), &error, Vec::new()),
        };
        Self::new(kind, &error, hints)
    }
}

fn of_layer(error: &layer::Error) -> Kind {
    match error {
        layer::Error::Store(cause) => of_store(cause),
        layer::Error::Unpack(layer::unpack::Error::Store(cause)) => of_store(cause),
        _ => Kind::User,
    }
}

fn of_store(error: &store::Error) -> Kind {
    match error {
        store::Error::Newer { .. } => Kind::User,
        store::Error::File(_) | store::Error::WrongDigest { .. } => Kind::Outside,
    }
}

fn of_output(error: &oci::Error) -> Kind {
    match error {
        oci::Error::Store(cause) => of_store(cause),
        oci::Error::File(_) => Kind::Outside,
        oci::Error::Damaged { .. } | oci::Error::Unfit { .. } => Kind::User,
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::new(of_store(&error), &error, error.hints())
    }
}

impl From<oci::Error> for Failure {
    fn from(error: oci::Error) -> Self {
        Self::new(of_output(&error), &error, Vec::new())
    }
}

impl From<fs::Error> for Failure {
    fn from(error: fs::Error) -> Self {
        let kind = if error.is_missing() { Kind::User } else { Kind::Outside };
        let hints = if error.is_full() { vec!["free space, or use another disk".to_owned()] } else { Vec::new() };
        Self::new(kind, &error, hints)
    }
}
