//! Packages to trees to layers.
//!
//! - **In**: recipe levels and the locked packages' .deb files in the store.
//! - **Out**: per level a [`Tree`](crate::tree::Tree) with the origin of every path, and finished layer blobs.
//! - **Invariants**: nothing of a package is executed; no setuid, device or path escape gets through; the same input
//!   gives the same bytes; work is proportional to what changed.
//! - **Not here**: choosing packages (`lock`), fetching them (`fetch`), the image around the layers (`image`).

mod ahead;
pub mod chunk;
pub mod dpkg;
pub mod elf;
pub mod exclude;
pub mod generate;
pub mod level;
pub mod loader;
mod placing;
pub mod split;
pub mod unpack;
pub mod unpacking;
pub mod verify;
pub mod write;

use crate::fault;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::store;
use crate::tree;

/// Engine format version: a new number means that the same lock may give images with other bytes.
pub const ENGINE_FORMAT: u32 = 2;

/// Returns a text that changes whenever the same lock could give other layers: versions of engine, normaliser, package
/// database and generators.
#[must_use]
pub fn fingerprint() -> String {
    let generators: Vec<String> = generate::versions().map(|(name, version)| format!("{name} {version}")).collect();
    let (normaliser, database) = (unpack::NORMALISER, dpkg::VERSION);
    format!("engine {ENGINE_FORMAT}, normaliser {normaliser}, database {database}, {}", generators.join(", "))
}

/// Why a level cannot become layers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image has no levels.
    #[error("cannot assemble an image without levels")]
    NoLevel,
    /// Paths of a level conflict.
    #[error("cannot assemble level `{recipe}`: {}", list(problems))]
    Tree {
        /// Recipe of the level.
        recipe: String,
        /// All conflicts.
        problems: Vec<tree::Error>,
    },
    /// A path pattern of a recipe is not a valid glob.
    #[error("cannot exclude paths: {0}")]
    Pattern(String),
    /// A .deb cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] unpack::Error),
    /// A generator cannot do its work.
    #[error(transparent)]
    Generate(#[from] generate::Error),
    /// The package database cannot be written.
    #[error(transparent)]
    Database(#[from] dpkg::Error),
    /// A setuid or setgid file, which would give whoever starts it the rights of another.
    #[error(
        "cannot write layer: `/{path}` from {origin} has mode {mode:04o}, and images must not have setuid or setgid files"
    )]
    Privileged {
        /// The path.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// Origin of the file.
        origin: tree::EntryOrigin,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Store(error) | Self::Unpack(unpack::Error::Store(error)) => error.turn(),
            _ => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Tree { recipe, problems } => tree_hints(recipe, problems),
            Self::Store(error) | Self::Unpack(unpack::Error::Store(error)) => error.hints(),
            _ => Vec::new(),
        }
    }

    fn lists_reasons(&self) -> bool {
        matches!(self, Self::Tree { .. } | Self::Generate(generate::Error::Several(_)))
    }
}

/// Says what helps against each kind of conflict that there is.
fn tree_hints(recipe: &str, problems: &[tree::Error]) -> Vec<String> {
    let mut hints = Vec::new();
    if problems.iter().any(|problem| matches!(problem, tree::Error::Contested { .. })) {
        hints.push(format!(
            "if one of the packages diverts the path (dpkg-divert(1)), write that under `divert` in `recipes/{recipe}.yaml`; otherwise they cannot be in one image"
        ));
    }
    if problems.iter().any(|problem| matches!(problem, tree::Error::Duplicate { .. })) {
        hints.push(format!(
            "a level may replace a path of another only if `recipes/{recipe}.yaml` names it under `replaces`, with a reason"
        ));
    }
    if problems.iter().any(|problem| matches!(problem, tree::Error::NotAFolder { .. })) {
        hints.push("name the folder by the path that the link leads to".to_owned());
    }
    hints
}

fn list(problems: &[tree::Error]) -> String {
    format!("{} problem(s){}", problems.len(), fault::reasons(problems))
}
