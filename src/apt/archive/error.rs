//! The reasons not to open a pocket.

use crate::apt::index;
use crate::apt::release;
use crate::apt::release::signature;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;
use crate::values::Epoch;

/// A pocket cannot be opened. The variants before [`Self::IndexGone`] are reasons not to trust it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No pinned key signed the InRelease file.
    #[error("cannot open pocket `{pocket}`: {}{cause}", at(url))]
    Signature {
        /// Archive and pocket.
        pocket: String,
        /// Address of the file; empty where no server has just sent it.
        url: String,
        /// What is wrong with the signature.
        cause: signature::Error,
    },
    /// Something else than a signed file came, such as the page of a portal.
    #[error(
        "cannot open pocket `{pocket}`: {}what came is no signed Release file: it begins with `{beginning}`",
        at(url)
    )]
    NotRelease {
        /// Archive and pocket.
        pocket: String,
        /// Address of the file; empty where no server has just sent it.
        url: String,
        /// Its first words.
        beginning: String,
    },
    /// The signed text is not a Release file.
    #[error("cannot open pocket `{pocket}`: {}{cause}", at(url))]
    Release {
        /// Archive and pocket.
        pocket: String,
        /// Address of the file; empty where no server has just sent it.
        url: String,
        /// What is wrong with the text.
        cause: release::Error,
    },
    /// The file describes another suite or archive than the recipe.
    #[error("cannot open pocket `{pocket}`: field `{field}` must be `{expected}` but is `{found}`")]
    Identity {
        /// Archive and pocket.
        pocket: String,
        /// `Suite`, `Codename`, `Origin` or `Label`.
        field: &'static str,
        /// The recipe's value.
        expected: String,
        /// The archive's value.
        found: String,
    },
    /// The file says something about itself that the recipe does not ask for.
    #[error("cannot open pocket `{pocket}`: its Release file has `{field}: {found}`, which the recipe does not name")]
    Unpinned {
        /// Archive and pocket.
        pocket: String,
        /// `Suite`, `Codename`, `Origin` or `Label`.
        field: &'static str,
        /// The archive's value.
        found: String,
    },
    /// `Valid-Until` has passed.
    #[error("cannot open pocket `{pocket}`: it expired on {valid_until}")]
    Expired {
        /// Archive and pocket.
        pocket: String,
        /// `Valid-Until` of the Release file.
        valid_until: Epoch,
    },
    /// `Date` lies in the future.
    #[error("cannot open pocket `{pocket}`: its date {date} is in the future, now is {now}")]
    FromTheFuture {
        /// Archive and pocket.
        pocket: String,
        /// `Date` of the Release file.
        date: Epoch,
        /// This machine's time.
        now: Epoch,
    },
    /// The state is older than the recipe allows: somebody may be holding updates back.
    #[error("cannot open pocket `{pocket}`: its date {date} is older than the {limit} hours that the recipe allows")]
    Stale {
        /// Archive and pocket.
        pocket: String,
        /// `Date` of the Release file.
        date: Epoch,
        /// Largest age in hours.
        limit: u64,
    },
    /// The state is older than one that was seen before.
    #[error("cannot open pocket `{pocket}`: its date {found} is older than {remembered}, which was seen before")]
    Rollback {
        /// Archive and pocket.
        pocket: String,
        /// Date of the state seen before.
        remembered: Epoch,
        /// Date of the served state.
        found: Epoch,
    },
    /// The state has the date of one that was seen before, but other bytes.
    #[error("cannot open pocket `{pocket}`: two different InRelease files with date {date}: {remembered} and {found}")]
    TwoFaces {
        /// Archive and pocket.
        pocket: String,
        /// Date of both files.
        date: Epoch,
        /// Digest of the file seen before.
        remembered: Digest,
        /// Digest of the served file.
        found: Digest,
    },
    /// A frozen pocket has changed.
    #[error("cannot open pocket `{pocket}`: it is frozen but its InRelease changed from {pinned} to {found}")]
    FrozenChanged {
        /// Archive and pocket.
        pocket: String,
        /// Digest of the file in the lock or the memory.
        pinned: Digest,
        /// Digest of the served file.
        found: Digest,
    },
    /// An index file is not the one that the Release file lists.
    #[error("cannot open pocket `{pocket}`: `{url}` has digest {found} instead of {expected}")]
    WrongDigest {
        /// Archive and pocket.
        pocket: String,
        /// Address of the file, or its path when it was in the folder.
        url: String,
        /// The signed digest.
        expected: String,
        /// The file's digest.
        found: String,
    },
    /// An index file does not decompress to what the Release file lists.
    #[error(
        "cannot open pocket `{pocket}`: index `{path}` does not decompress to the bytes that the release file lists"
    )]
    WrongContent {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite.
        path: String,
    },
    /// An index cannot be read.
    #[error("cannot open pocket `{pocket}`: `{path}`: {cause}")]
    Index {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite.
        path: String,
        /// What is wrong with the index.
        cause: Box<index::Error>,
    },
    /// The Release file lists no such index.
    #[error("cannot open pocket `{pocket}`: it has no component `{component}` for `{architecture}`")]
    NoComponent {
        /// Archive and pocket.
        pocket: String,
        /// Component.
        component: String,
        /// Architecture.
        architecture: String,
    },
    /// No mirror has a listed index.
    #[error("cannot open pocket `{pocket}`: no mirror has index `{path}`: {}", .causes.join("; "))]
    IndexGone {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite.
        path: String,
        /// One cause for each mirror.
        causes: Vec<String>,
    },
    /// Servers answered, and none has a Release file of the suite.
    #[error("cannot open pocket `{pocket}`: no server has its Release file: {}", .causes.join("; "))]
    NoRelease {
        /// Archive and pocket.
        pocket: String,
        /// One cause for each address.
        causes: Vec<String>,
    },
    /// No mirror answered.
    #[error("cannot open pocket `{pocket}`: no mirror answered: {}", .causes.join("; "))]
    Unreachable {
        /// Archive and pocket.
        pocket: String,
        /// One cause for each mirror.
        causes: Vec<String>,
        /// What helps against them.
        hints: Vec<String>,
    },
    /// The pocket has no address for an architecture.
    #[error("cannot open pocket `{pocket}`: it has no address")]
    NoAddress {
        /// Archive and pocket.
        pocket: String,
    },
    /// The run is offline, and a file was not fetched before.
    #[error("cannot open pocket `{pocket}`: offline, and `{what}` was not fetched before")]
    Offline {
        /// Archive and pocket.
        pocket: String,
        /// The missing file.
        what: String,
    },
    /// The HTTP client itself failed.
    #[error(transparent)]
    Http(http::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Tells whether the network or a server is to blame, so that a later attempt may work without any change.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        matches!(
            self,
            Self::IndexGone { .. }
                | Self::NoRelease { .. }
                | Self::NotRelease { .. }
                | Self::Unreachable { .. }
                | Self::Stale { .. }
                | Self::Http(_)
        )
    }

    /// Adds the address that the file came from.
    pub(super) fn at(mut self, address: &str) -> Self {
        if let Self::Signature { url, .. } | Self::NotRelease { url, .. } | Self::Release { url, .. } = &mut self {
            address.clone_into(url);
        }
        self
    }

    /// Tells whether a server simply has something else: files of another key, of another suite, or no archive.
    pub(super) fn is_about_another_archive(&self) -> bool {
        matches!(
            self,
            Self::Signature { .. }
                | Self::NotRelease { .. }
                | Self::Release { .. }
                | Self::Identity { .. }
                | Self::Unpinned { .. }
        )
    }

    /// Returns the message without the pocket's name.
    pub(super) fn cause(&self) -> String {
        let text = self.to_string();
        match text.split_once("`: ") {
            Some((_, cause)) => cause.to_owned(),
            None => text,
        }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            // key files that cannot be read, or without the key that is pinned
            Self::Signature { cause, .. } if cause.is_input() => Turn::Input,
            Self::Http(error) => error.turn(),
            Self::File(error) => error.turn(),
            // the recipe has to name it, or another archive
            Self::Unpinned { .. } => Turn::Input,
            _ => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreachable { hints, .. } if !hints.is_empty() => return hints.clone(),
            Self::Unpinned { field, found, .. } => {
                let key = match *field {
                    "Suite" => "expected-suite".to_owned(),
                    field => field.to_lowercase(),
                };
                return vec![format!(
                    "if that is the archive that is meant, pin it: add `{key}: {found}` to the recipe"
                )];
            }
            Self::Identity { field, found, .. } if found.is_empty() => {
                let key = if *field == "Suite" { "expected-suite".to_owned() } else { field.to_lowercase() };
                return vec![format!(
                    "its Release file has no such field: if that is the archive that is meant, leave `{key}` out of the recipe"
                )];
            }
            Self::NotRelease { .. } => {
                "a portal or proxy may have answered in the archive's place: open the address in a browser, and see whether the network wants a login there"
            }
            Self::NoRelease { .. } => {
                "compare `uri` and `suite` with the archive's own `deb` line; the suite of a flat repository ends with a slash, as in `suite: ./`"
            }
            Self::Signature { cause: signature::Error::Key(_), .. } => {
                "write the key file again, from the distribution's own keys, with `gpg --armor --export`"
            }
            Self::Signature { cause: signature::Error::NoKey(_), .. } => {
                "the key files and the fingerprints in the recipe do not fit together: correct one of them"
            }
            Self::Signature { cause, .. } if cause.is_weak_hash() => {
                "the fingerprints are those of the recipe, but anybody can forge such a signature: ask whoever runs the archive for a key and signatures with SHA-256 or SHA-512"
            }
            Self::Signature { .. } => {
                "compare the fingerprints in the recipe with those that the distribution publishes"
            }
            Self::Identity { field: "Suite", .. } => {
                "if the distribution renamed the suite, set `expected-suite` in the recipe; else the mirror is wrong"
            }
            Self::Identity { .. } => "check the archive's address: the mirror may serve another suite in its place",
            Self::Expired { .. } => {
                "the mirror may be behind: try again later or use another one; it may also be an attack. A dated snapshot expires by nature: name the live archive in `uri`, and sockel itself asks the service in `snapshot` for what a lock needs"
            }
            Self::Stale { .. } | Self::Rollback { .. } => {
                "the mirror may be behind: try again later or use another one; it may also be an attack"
            }
            Self::FromTheFuture { .. } => "check this machine's clock",
            Self::TwoFaces { .. } => "compare both files with the distribution's own server before you continue",
            Self::FrozenChanged { .. } => "remove `frozen` if the distribution changes this suite, as Debian does",
            Self::WrongDigest { .. } => "a proxy or mirror serves other bytes than were signed: tell its operator",
            Self::Unreachable { .. } => "name a mirror that this machine reaches with `SOCKEL_MIRRORS`",
            Self::Offline { .. } => "run once without `--offline`; what is fetched is kept",
            Self::Http(cause) => return cause.hints(),
            // the message says it all
            Self::File(error) => return error.hints(),
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Returns the beginning of a message about a file that a server sent.
fn at(url: &str) -> String {
    if url.is_empty() { String::new() } else { format!("`{url}`: ") }
}
