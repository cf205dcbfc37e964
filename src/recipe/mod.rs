//! Recipes and base-image files (YAML) to the [`Definition`] of each image.
//!
//! **In**: the project folder with `recipes/*.yaml`, `base-images/*.yaml`, `recipes/scripts.yaml` and the files that they name.
//! **Out**: [`Definition`]s, parents before children; the script [`Ledger`]; the JSON Schema for editors.
//! **Invariants**: every problem of every file is reported at once, with its place; no order of keys changes a definition;
//! no clock, environment or network.
//! **Not here**: which package versions are chosen (`lock`), what generators write (`layer`).
//!
//! `schema` is the one table of keys; `parse` makes trees with places; `validate` holds trees against the table;
//! `parameters` fills in `${…}`; `plan` finds chains and parents; `level` and `project` read the values.
//! `registry` reads `base-images/registry.yaml`, which says where images are published.

mod definition;
mod files;
mod identity;
mod ledger;
pub(crate) mod level;
mod merge;
mod parameters;
pub(crate) mod parse;
mod plan;
mod project;
pub(crate) mod scalar;
pub(crate) mod schema;
pub(crate) mod source;
mod suggest;
mod tags;
pub(crate) mod validate;

pub use definition::*;
pub use ledger::Decision;
pub use ledger::Ledger;
pub use ledger::LedgerEntry;
pub use merge::merged_config;
pub use project::Project;
pub use schema::SchemaKind;
pub use schema::json_schema;
pub use tags::is_moving;

pub use crate::values::diagnostic::Diagnostic;
pub use crate::values::diagnostic::Severity;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use std::path::PathBuf;

/// Recipes cannot become definitions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files have problems; warnings may be among them.
    #[error("cannot use the recipes: {} found", count(.0))]
    Invalid(Vec<Diagnostic>),
    /// No base-image file makes this image.
    #[error("cannot find image `{image}`: no base image has this name")]
    UnknownImage {
        /// The name asked for.
        image: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// The folder holds neither recipes nor base images.
    #[error("cannot find recipes in `{}`: there is neither `recipes/*.yaml` nor `base-images/*.yaml`", .0.display())]
    NoProject(PathBuf),
    /// A folder or file cannot be read.
    #[error(transparent)]
    Files(#[from] fs::Error),
}

fn count(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.iter().filter(|problem| problem.severity == Severity::Error).count() {
        1 => "1 error".to_owned(),
        number => format!("{number} errors"),
    }
}

impl Error {
    /// Returns what to do next, where that is known.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownImage { suggestion: Some(name), .. } => vec![format!("did you mean `{name}`?")],
            Self::UnknownImage { known, .. } if !known.is_empty() => vec![format!("there are {}", known.join(", "))],
            Self::NoProject(_) => {
                vec!["name the project folder, which has `recipes/` and `base-images/`, with `-C DIR`".to_owned()]
            }
            Self::UnknownImage { .. } | Self::Invalid(_) | Self::Files(_) => Vec::new(),
        }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Files(error) => error.turn(),
            Self::Invalid(_) | Self::UnknownImage { .. } | Self::NoProject(_) => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }
}
