//! What a registry refuses, in words and with a remedy; reads its error envelope (distribution-spec, "Error Codes").

use crate::oci::registry::cause::Cause;
use crate::oci::registry::cause::Turn;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;
use oci_distribution::errors::OciErrorCode;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// Largest error body that is read.
pub(super) const BODY_LIMIT: u64 = 64 << 10;

/// Most problems that are kept of one answer, and characters of a message.
const MOST_PROBLEMS: usize = 8;
const LONGEST_MESSAGE: usize = 400;

/// What can go wrong between us and a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or only failures, as often as was tried.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A local file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The text is no repository, tag or digest.
    #[error("cannot use `{text}` as {kind}: {cause}")]
    Name {
        /// What was given.
        text: String,
        /// What it should have been.
        kind: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The registry has no such thing (404).
    #[error("cannot {what}: {}", words("the registry has no such thing", problems))]
    Missing {
        /// What was tried.
        what: String,
        /// What the registry says.
        problems: Vec<Problem>,
    },
    /// Harbor refuses it for a known reason.
    #[error("cannot {what}: {cause}{}", words_after(problems))]
    Known {
        /// What was tried.
        what: String,
        /// Why.
        cause: Cause,
        /// What the registry says.
        problems: Vec<Problem>,
    },
    /// The tag is immutable and stands for another image.
    #[error("cannot move tag `{tag}` of `{repository}`: it is immutable and stands for another image")]
    Immutable {
        /// Repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// This account may not do that (401 or 403).
    #[error("cannot {what}: {} may not do that{}", account(user.as_deref()), words_after(problems))]
    Denied {
        /// What was tried.
        what: String,
        /// Who tried; `None` without a login.
        user: Option<String>,
        /// What the registry says.
        problems: Vec<Problem>,
    },
    /// The registry wants to know who we are, and we have no login.
    #[error("cannot {what}: the registry asks for a login")]
    LoginNeeded {
        /// What was tried.
        what: String,
    },
    /// User and password are not accepted.
    #[error("cannot log in at `{host}` as `{user}`: name or password is not accepted")]
    LoginRefused {
        /// Who refused: the registry or its token server.
        host: String,
        /// User or robot account.
        user: String,
    },
    /// The token has no rights: Harbor's answer to a wrong, disabled or expired robot account.
    #[error("cannot log in at `{host}`: {} gets a token without any rights on {scope}", account(user.as_deref()))]
    NoRights {
        /// The token server.
        host: String,
        /// User or robot account; `None` without a login.
        user: Option<String>,
        /// What was asked for.
        scope: String,
    },
    /// The registry asks for a login in a way that is not understood.
    #[error("cannot log in at `{host}`: {cause}")]
    Challenge {
        /// The registry.
        host: String,
        /// What is wrong.
        cause: String,
    },
    /// Any other refusal.
    #[error("cannot {what}: {} (status {status})", words("the registry refused", problems))]
    Refused {
        /// What was tried.
        what: String,
        /// HTTP status code.
        status: u16,
        /// What the registry says.
        problems: Vec<Problem>,
    },
    /// An answer does not follow the specification.
    #[error("cannot {what}: {cause}")]
    Malformed {
        /// What was tried.
        what: String,
        /// What is wrong with the answer.
        cause: String,
    },
    /// Bytes do not have the digest that they were asked for under.
    #[error("cannot {what}: its bytes have digest {found} instead of {expected}")]
    WrongDigest {
        /// What was tried.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A blob that was to be mounted cannot be, and is not here to be sent.
    #[error("cannot push blob {digest}: the registry does not mount it, and it is not in the store")]
    Absent {
        /// Which.
        digest: Digest,
    },
    /// A local image is not complete or not sound.
    #[error("cannot push `{}`: {cause}", path.display())]
    Damaged {
        /// File of the layout.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// One entry of an error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `DENIED`, `BLOB_UNKNOWN`, …; empty when the registry gave none.
    pub code: String,
    /// Its message, shortened and without control characters.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (meaning(&self.code), self.message.as_str()) {
            ("", "") => f.write_str(&self.code),
            ("", message) if self.code.is_empty() => f.write_str(message),
            ("", message) => write!(f, "{}: {message}", self.code),
            (meaning, "") => f.write_str(meaning),
            (meaning, message) if message.eq_ignore_ascii_case(meaning) => f.write_str(meaning),
            (meaning, message) => write!(f, "{meaning}: {message}"),
        }
    }
}

/// Returns what a code says, or nothing for those that say nothing or are not known.
fn meaning(code: &str) -> &'static str {
    let Ok(known) = serde_json::from_value::<OciErrorCode>(Value::String(code.to_owned())) else { return "" };
    match known {
        OciErrorCode::BlobUnknown => "blob unknown",
        OciErrorCode::BlobUploadInvalid => "the upload is broken",
        OciErrorCode::BlobUploadUnknown => "the upload is not known any more",
        OciErrorCode::DigestInvalid => "the digest does not fit the bytes",
        OciErrorCode::ManifestBlobUnknown => "the manifest names a blob that is not there",
        OciErrorCode::ManifestInvalid => "the manifest is not accepted",
        OciErrorCode::ManifestUnknown => "manifest unknown",
        OciErrorCode::NameInvalid => "the repository name is not accepted",
        OciErrorCode::NameUnknown => "repository or project unknown",
        OciErrorCode::SizeInvalid => "the size does not fit the bytes",
        OciErrorCode::Unauthorized => "login required",
        OciErrorCode::Denied => "access denied",
        OciErrorCode::Unsupported => "not supported by this registry",
        OciErrorCode::Toomanyrequests => "too many requests",
        OciErrorCode::Other(code) if code == "PROJECTPOLICYVIOLATION" => "the project's policy forbids it",
        OciErrorCode::Other(code) if code == "REQUEST_ENTITY_TOO_LARGE" => "too large for this registry",
        _ => "",
    }
}

/// Reads an error envelope; an answer that is none has no problems.
#[must_use]
pub fn problems(body: &[u8]) -> Vec<Problem> {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Value>,
    }
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return Vec::new() };
    let text = |entry: &Value, key| entry.get(key).and_then(Value::as_str).map(shown).unwrap_or_default();
    let problem = |entry: &Value| Problem { code: text(entry, "code"), message: text(entry, "message") };
    let known = |problem: &Problem| !problem.code.is_empty() || !problem.message.is_empty();
    envelope.errors.iter().map(problem).filter(known).take(MOST_PROBLEMS).collect()
}

/// Returns a foreign text so that it can be shown: one line, not too long.
pub(super) fn shown(text: &str) -> String {
    let printable = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut shown: String = printable.take(LONGEST_MESSAGE + 1).collect();
    if shown.chars().count() > LONGEST_MESSAGE {
        shown.pop();
        shown.push('…');
    }
    shown.trim().to_owned()
}

fn words(otherwise: &str, problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if texts.is_empty() { otherwise.to_owned() } else { texts.join("; ") }
}

fn words_after(problems: &[Problem]) -> String {
    // what it says about a missing right is always the same
    let telling: Vec<String> =
        problems.iter().filter(|problem| !problem.message.is_empty()).map(ToString::to_string).collect();
    if telling.is_empty() { String::new() } else { format!(" ({})", telling.join("; ")) }
}

fn account(user: Option<&str>) -> String {
    user.map_or_else(|| "an anonymous user".to_owned(), |user| format!("`{user}`"))
}

/// Returns what a status and an envelope mean for somebody who tried `what`.
#[must_use]
pub fn refusal(what: String, status: u16, problems: Vec<Problem>, user: Option<&str>) -> Error {
    if let Some(cause) = problems.iter().find_map(|problem| Cause::of(status, &problem.code, &problem.message)) {
        return Error::Known { what, cause, problems };
    }
    match status {
        401 | 403 => Error::Denied { what, user: user.map(str::to_owned), problems },
        404 => Error::Missing { what, problems },
        _ => Error::Refused { what, status, problems },
    }
}

impl Error {
    /// Tells whether the input or the rights have to change: another try alone fails as well.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.turn() != Turn::Outside
    }

    /// Tells whose turn it is, for the exit code.
    #[must_use]
    pub fn turn(&self) -> Turn {
        match self {
            Self::Known { cause, .. } => cause.turn(),
            // certificates of ours
            Self::Http(error) if error.is_input() => Turn::Input,
            Self::Http(_)
            | Self::Malformed { .. }
            | Self::WrongDigest { .. }
            | Self::Refused { status: 408 | 425 | 429 | 500.., .. } => Turn::Outside,
            // the registry's rule, not a fault of anybody; answers to HEAD have no words
            Self::Immutable { .. } | Self::Refused { status: 412, .. } => Turn::Policy,
            _ => Turn::Input,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Http(error) => return error.hints(),
            Self::File(error) => return error.hints(),
            Self::Known { cause, .. } => cause.hint(),
            Self::Immutable { .. } => "give the new image a new tag; an immutable one is never moved",
            Self::Denied { user: None, .. } | Self::LoginNeeded { .. } => {
                "log in: `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD` with the registry's host in `SOCKEL_REGISTRY`, a robot file, or Docker's `config.json`"
            }
            Self::Denied { .. } => "give the account push and pull rights on the project, or use another account",
            Self::LoginRefused { .. } => "check name and password; a robot's full name has its prefix: `robot$…`",
            Self::NoRights { user: Some(_), .. } => {
                "the robot's secret is wrong, or it is disabled, expired, or has no rights on this project: make a new one"
            }
            Self::NoRights { .. } => "log in with an account that has rights on this project",
            Self::Missing { problems, .. } if problems.iter().any(|problem| problem.code == "NAME_UNKNOWN") => {
                "make the project first, or check its name"
            }
            Self::Refused { status: 413, .. } => {
                "something before the registry limits the size of requests: raise that, or upload in chunks"
            }
            Self::Refused { status: 412, .. } => {
                "the registry's policy forbids it: see the project's configuration there"
            }
            Self::Damaged { .. } => "build the image again",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(status: u16, body: &str) -> String {
        refusal("push x".to_owned(), status, problems(body.as_bytes()), Some("robot$a")).to_string()
    }

    #[test]
    fn refusals_in_words() {
        let quota = r#"{"errors":[{"code":"DENIED","message":"adding 84.0 MiB of storage resource, which when updated to current usage of 20.0 MiB will exceed the configured upper limit of 100.0 MiB."}]}"#;
        let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        let table = [
            (
                403,
                quota,
                "cannot push x: the project's storage quota is used up (access denied: adding 84.0 MiB of storage resource, which when updated to current usage of 20.0 MiB will exceed the configured upper limit of 100.0 MiB.)",
            ),
            (
                403,
                denied,
                "cannot push x: `robot$a` may not do that (access denied: requested access to the resource is denied)",
            ),
            (403, "<html>", "cannot push x: `robot$a` may not do that"),
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"project base not found"}]}"#,
                "cannot push x: there is no such project (repository or project unknown: project base not found)",
            ),
            (404, "", "cannot push x: the registry has no such thing"),
            (
                400,
                r#"{"errors":[{"code":"MANIFEST_INVALID"},{"code":"WEIRD","message":"a\nb"}]}"#,
                "cannot push x: the manifest is not accepted; WEIRD: a b (status 400)",
            ),
            (413, "<html>413</html>", "cannot push x: the registry refused (status 413)"),
            (400, r#"{"errors":"text"}"#, "cannot push x: the registry refused (status 400)"),
            (400, r#"{"errors":[1,null,{"code":5},[]]}"#, "cannot push x: the registry refused (status 400)"),
        ];
        for (status, body, expected) in table {
            assert_eq!(told(status, body), expected);
        }
        let error = refusal(String::new(), 403, problems(quota.as_bytes()), None);
        assert!(
            matches!(error, Error::Known { cause: Cause::Quota, .. }) && !error.is_ours() && !error.hints().is_empty()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_body_is_bounded(body in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,900}", count in 0_usize..40) {
            let entry = serde_json::json!({"code": text, "message": text, "detail": {"a": [1]}});
            let envelope = serde_json::json!({"errors": vec![entry; count]}).to_string();
            for body in [body.as_slice(), envelope.as_bytes()] {
                let found = problems(body);
                prop_assert!(found.len() <= MOST_PROBLEMS);
                prop_assert!(words("", &found).chars().count() <= MOST_PROBLEMS * (2 * LONGEST_MESSAGE + 80));
            }
        }
    }
}
