//! What can go wrong while generating, and what to do about it.

use crate::store;
use crate::tree;
use std::collections::BTreeSet;
use std::fmt;

/// Why a generator cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than one problem; never nested.
    #[error("{}", ErrorLines(.0))]
    Several(Vec<Error>),
    /// The recipe names a generator that does not exist.
    #[error("cannot generate `{name}` for recipe `{recipe}`: there is no such generator")]
    Unknown {
        /// The name.
        name: String,
        /// Recipe that names it.
        recipe: String,
    },
    /// A file of the trees cannot be read.
    #[error("cannot read `/{path}`: {cause}")]
    Read {
        /// Path in the image.
        path: String,
        /// Error of the store.
        cause: store::Error,
    },
    /// Two generators bring one path, or a name makes no path.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A user or group cannot be added.
    #[error("cannot add {kind} `{name}`: {cause}")]
    Account {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// A folder that must become a link holds something.
    #[error("cannot make `/{folder}` a link to `{target}`: {origin} brings `/{path}`")]
    NotEmpty {
        /// Path of the link.
        folder: String,
        /// Target of the link.
        target: String,
        /// First path in the folder.
        path: String,
        /// Origin of that path.
        origin: tree::EntryOrigin,
    },
    /// The image lacks a file that the generator needs.
    #[error("cannot generate `{generator}`: `/{path}` is missing, {consequence}")]
    Missing {
        /// The generator.
        generator: &'static str,
        /// The path.
        path: String,
        /// What would happen without it.
        consequence: &'static str,
    },
    /// A file lacks a field.
    #[error("cannot generate `{generator}`: `/{path}` has no `{field}`, {consequence}")]
    MissingField {
        /// The generator.
        generator: &'static str,
        /// The path.
        path: String,
        /// The field.
        field: &'static str,
        /// What would happen without it.
        consequence: &'static str,
    },
    /// The time zone is not a zone name.
    #[error("cannot use time zone `{0}`: it is not the name of a zone")]
    BadZone(String),
    /// A certificate of the organisation, or of a package, cannot be used.
    #[error("cannot trust `{name}`: {cause}")]
    Certificate {
        /// File name or path.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// A certificate file holds a private key.
    #[error("cannot trust `{0}`: it holds a private key")]
    PrivateKey(String),
}

impl Error {
    /// Turns a list of problems into one error, or none. A problem that two generators find is reported once.
    pub(super) fn gather(problems: Vec<Self>) -> Result<(), Self> {
        let mut flat = Vec::new();
        for problem in problems {
            match problem {
                Self::Several(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }

        // bundle and trust store read the same certificates, and find the same problems
        let mut seen = BTreeSet::new();
        flat.retain(|problem| seen.insert(problem.to_string()));
        match flat.len() {
            0 => Ok(()),
            1 => Err(flat.remove(0)),
            _ => Err(Self::Several(flat)),
        }
    }

    /// Returns remedies, where there are any.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Several(all) => {
                // problems of one kind come together, so neighbours have the same hint
                let mut hints: Vec<String> = all.iter().flat_map(Self::hints).collect();
                hints.dedup();
                return hints;
            }
            Self::Unknown { .. } => {
                let names: Vec<&str> = crate::layer::generate::plain_names().collect();
                format!("known generators: {}", names.join(", "))
            }
            // a pushed key is out of hand, and so is one in the history of a repository
            Self::PrivateKey(name) => {
                format!("remove the key from `{name}` at once and treat it as published: images are readable by all")
            }
            Self::Missing { generator: "localtime", .. } => "add package `tzdata`, or name another zone".to_owned(),
            Self::Missing { generator: "locale", .. } => {
                "add package `libc-bin` and do not exclude `C.utf8`".to_owned()
            }
            Self::Missing { generator: "certificates", .. } => "add package `ca-certificates`".to_owned(),
            Self::Missing { generator: "os-release", .. } => "add package `base-files`".to_owned(),
            _ => return Vec::new(),
        };
        vec![hint]
    }
}

/// Shows one problem a line.
struct ErrorLines<'a>(&'a [Error]);

impl fmt::Display for ErrorLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
