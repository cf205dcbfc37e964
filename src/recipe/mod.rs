//! Turns recipes and base-image files (YAML) into the [`ImageDefinition`] of each image.
//!
//! **In**: the project folder with `recipes/*.yaml`, `base-images/*.yaml`, `recipes/scripts.yaml` and the files they name.
//! **Out**: [`ImageDefinition`]s, parents before children; the script [`ScriptLedger`]; the JSON Schema for editors.
//! **Invariants**: all problems of all files are reported together, each with its place; the order of keys never changes a
//! definition; no clock, environment or network is used.
//! **Not here**: choosing package versions (`lock`), writing what generators generate (`layer`).
//!
//! `schema` is the one table of keys; `parse` makes trees with places; `validate` checks trees against the table;
//! `parameters` fills in `${…}`; `conditions` adds what holds for some values only; `plan` finds chains and parents; `level`
//! and `project` read the values.
//! `registry` reads `base-images/registry.yaml`, which says where images are published.

mod conditions;
mod definition;
mod effects;
mod files;
mod identity;
mod ledger;
mod ledger_schema;
pub(crate) mod level;
mod merge;
mod parameters;
pub(crate) mod parse;
mod plan;
mod project;
mod reference;
pub(crate) mod request;
pub(crate) mod scalar;
pub(crate) mod schema;
pub(crate) mod source;
mod suggest;
mod tags;
pub(crate) mod validate;

pub use definition::*;
pub use effects::EffectPattern;
pub use effects::EffectRule;
pub use ledger::ScriptDecision;
pub use ledger::ScriptLedger;
pub use ledger::ScriptLedgerEntry;
pub use merge::DEFAULT_PATH;
pub use merge::merged_config;
pub use project::RecipeProject;
pub use reference::key_reference;
pub use schema::SchemaKind;
pub use schema::json_schema;
pub use tags::is_moving;

pub use crate::values::diagnostic::Diagnostic;
pub use crate::values::diagnostic::DiagnosticSeverity;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use std::path::PathBuf;

/// Why recipes cannot become definitions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files have errors. The list may contain warnings too.
    #[error("cannot use the recipes: {} found", error_count(.0))]
    Invalid(Vec<Diagnostic>),
    /// No base-image file defines this image.
    #[error("cannot find image `{image}`: no base image has this name")]
    UnknownImage {
        /// The requested name.
        image: String,
        /// The known name that is nearest to it.
        suggestion: Option<String>,
        /// The names of all images.
        known: Vec<String>,
    },
    /// The folder holds neither recipes nor base images.
    #[error("cannot find recipes in `{}`: there is neither `recipes/*.yaml` nor `base-images/*.yaml`", .0.display())]
    NoProject(PathBuf),
    /// A folder or file cannot be read.
    #[error(transparent)]
    Files(#[from] fs::Error),
}

/// Returns the number of errors in words; warnings do not count.
fn error_count(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.iter().filter(|problem| problem.severity == DiagnosticSeverity::Error).count() {
        1 => "1 error".to_owned(),
        number => format!("{number} errors"),
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
        match self {
            Self::UnknownImage { suggestion: Some(name), .. } => vec![format!("did you mean `{name}`?")],
            Self::UnknownImage { known, .. } if !known.is_empty() => {
                vec![format!("known images: {}", known.join(", "))]
            }
            Self::NoProject(_) => {
                vec!["name the project folder, which has `recipes/` and `base-images/`, with `-C DIR`".to_owned()]
            }
            Self::UnknownImage { .. } | Self::Invalid(_) | Self::Files(_) => Vec::new(),
        }
    }
}
