//! Why an application is not moved.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::oci;
use crate::oci::registry;
use crate::store;
use crate::sys::fs;
use crate::values::shown::shown;

/// Most reasons that a message lists.
const MOST_LISTED: usize = 40;

/// Why an application is not moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A registry failed or refused.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout folder is damaged or cannot be used.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The reference names something else than a container image, or a broken one.
    #[error("cannot rebase `{image}`: {cause}")]
    NotAnImage {
        /// Reference of the image.
        image: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The image does not exist.
    #[error("cannot rebase `{image}`: there is no such image")]
    Missing {
        /// Reference of the image.
        image: String,
    },
    /// A repository has too many images to search.
    #[error("cannot look for bases in `{place}`: it has more than {limit} images")]
    TooMany {
        /// The repository or folder.
        place: String,
        /// Most images that are searched.
        limit: usize,
    },
    /// There are objections to the move.
    #[error("cannot rebase `{image}`: {}", listed(reasons))]
    Refused {
        /// Reference of the application.
        image: String,
        /// Every objection, with its platform.
        reasons: Vec<String>,
    },
    /// The application's tag moved while the new documents were made.
    #[error("cannot rebase `{image}`: its tag was moved to another image in the meantime")]
    Moved {
        /// Reference of the application.
        image: String,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::Oci(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
            Self::Refused { .. } => Turn::Policy,
            Self::Moved { .. } => Turn::Outside,
            Self::TooMany { .. } | Self::NotAnImage { .. } | Self::Missing { .. } => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Registry(error) => return error.hints(),
            Self::File(error) => return error.hints(),
            Self::Store(error) => return error.hints(),
            Self::Refused { .. } => {
                "name the right base with `--base` or `--onto`, or rebuild the application on the new base"
            }
            Self::TooMany { .. } => "remove old tags from the repository",
            Self::Moved { .. } => "run the command again",
            Self::Oci(_) | Self::NotAnImage { .. } | Self::Missing { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    fn lists_reasons(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Lists reasons, each on a line of its own unless there is only one.
fn listed(reasons: &[String]) -> String {
    // reasons repeat names and labels of strangers: none of them may begin a line
    if let [reason] = reasons {
        return shown(reason);
    }
    let mut text = format!("{} reasons", reasons.len());
    for reason in reasons.iter().take(MOST_LISTED) {
        text += &format!("\n  {}", shown(reason));
    }
    if reasons.len() > MOST_LISTED {
        text += &format!("\n  and {} more", reasons.len() - MOST_LISTED);
    }
    text
}
