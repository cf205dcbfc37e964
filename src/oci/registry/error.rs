//! Errors of registries: their messages and hints, and the error format of the specification (distribution-spec, "Error
//! Codes").

use crate::fault::Explain;
use crate::fault::Turn;
use crate::oci::registry::cause::HarborRefusal;
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

/// Most problems that are kept of one answer, and most characters of a message: a registry must not flood a terminal.
const MOST_PROBLEMS: usize = 8;
const LONGEST_MESSAGE: usize = 400;

/// What can go wrong in the communication with a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No attempt got an answer that is not a failure.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A local file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The text is not a valid repository, tag, digest or target.
    #[error("cannot use `{text}` as {kind}: {cause}")]
    Name {
        /// The invalid text.
        text: String,
        /// What it should be: `repository`, `tag` or `target`.
        kind: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The registry does not have it (404).
    #[error("cannot {action}: {}", describe(problems, "not found in the registry"))]
    Missing {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// What the registry says.
        problems: Vec<RegistryProblem>,
    },
    /// Harbor refuses the request for a known reason.
    #[error("cannot {action}: {cause}{}", describe_in_parentheses(problems))]
    Known {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// The reason.
        cause: HarborRefusal,
        /// What the registry says.
        problems: Vec<RegistryProblem>,
    },
    /// The tag is immutable and points to another image.
    #[error("cannot move tag `{tag}` of `{repository}`: it is immutable and points to another image")]
    Immutable {
        /// Repository of the tag.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// The account lacks the right (401 or 403).
    #[error("cannot {action}: {} may not do that{}", account(user.as_deref()), describe_in_parentheses(problems))]
    Denied {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// User or robot account; `None` without a login.
        user: Option<String>,
        /// What the registry says.
        problems: Vec<RegistryProblem>,
    },
    /// The registry requires a login, and none was found.
    #[error("cannot {action}: the registry asks for a login")]
    LoginNeeded {
        /// What was tried, as messages name it after "cannot".
        action: String,
    },
    /// The registry or its token server rejects user or password.
    #[error(
        "cannot log in at `{host}` as `{user}`: {} is not accepted{}",
        secret_of(user),
        describe_in_parentheses(problems)
    )]
    LoginRefused {
        /// Host of the registry or token server that rejects them.
        host: String,
        /// User or robot account.
        user: String,
        /// What the server says.
        problems: Vec<RegistryProblem>,
    },
    /// There is no token with these rights. Harbor gives one without any to a wrong secret, and to a disabled or expired
    /// robot account; other servers refuse to give one (403).
    #[error("cannot log in at `{host}`: {} gets {} {scope}{}", account(user.as_deref()), if problems.is_empty() { "a token without any rights on" } else { "no rights on" }, describe_in_parentheses(problems))]
    NoRights {
        /// Host of the token server.
        host: String,
        /// User or robot account; `None` without a login.
        user: Option<String>,
        /// Repositories that the token was requested for.
        scope: String,
        /// What the server says.
        problems: Vec<RegistryProblem>,
    },
    /// The registry's challenge or its token server's answer cannot be used.
    #[error("cannot log in at `{host}`: {cause}")]
    Challenge {
        /// Host of the registry or token server.
        host: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The registry refuses the request for any other reason.
    #[error("cannot {action}: {} (status {status})", describe(problems, "the registry refused"))]
    Refused {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// HTTP status code.
        status: u16,
        /// What the registry says.
        problems: Vec<RegistryProblem>,
    },
    /// The registry took the manifests of an image, but not the OCI index of its platforms.
    #[error("{0}; it took the image's manifests, but not its OCI index")]
    IndexRefused(Box<Error>),
    /// An answer violates the specification or exceeds a limit.
    #[error("cannot {action}: {cause}")]
    Malformed {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// What is wrong with the answer.
        cause: String,
    },
    /// A blob or manifest does not have the expected digest.
    #[error("cannot {action}: its bytes have digest {found} instead of {expected}")]
    WrongDigest {
        /// What was tried, as messages name it after "cannot".
        action: String,
        /// The digest that was requested or sent.
        expected: Digest,
        /// The digest of the bytes, or the one that the registry announces.
        found: Digest,
    },
    /// A blob can neither be mounted nor be sent.
    #[error("cannot push blob {digest}: the registry cannot mount it, and it is not in the store")]
    Absent {
        /// Digest of the blob.
        digest: Digest,
    },
    /// The local image is incomplete or damaged.
    #[error("cannot push `{}`: {cause}", path.display())]
    Damaged {
        /// File of the layout that is missing or damaged.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// One entry of the list `errors` in a registry's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryProblem {
    /// Its code: `DENIED`, `BLOB_UNKNOWN`, …; empty when the registry gave none.
    pub code: String,
    /// Its message, shortened and without control characters.
    pub message: String,
}

impl fmt::Display for RegistryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // many registries repeat the meaning of the code as message
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

/// Returns what a code means in words; empty for unknown codes and those without a meaning (`UNKNOWN`).
fn meaning(code: &str) -> &'static str {
    let Ok(known) = serde_json::from_value::<OciErrorCode>(Value::String(code.to_owned())) else { return "" };

    match known {
        OciErrorCode::BlobUnknown => "blob unknown",
        OciErrorCode::BlobUploadInvalid => "the upload is invalid",
        OciErrorCode::BlobUploadUnknown => "the upload session is unknown",
        OciErrorCode::DigestInvalid => "the digest does not match the bytes",
        OciErrorCode::ManifestBlobUnknown => "the manifest refers to a blob that does not exist",
        OciErrorCode::ManifestInvalid => "the manifest is not accepted",
        OciErrorCode::ManifestUnknown => "manifest unknown",
        OciErrorCode::NameInvalid => "the repository name is not accepted",
        OciErrorCode::NameUnknown => "repository or project unknown",
        OciErrorCode::SizeInvalid => "the size does not match the bytes",
        OciErrorCode::Unauthorized => "login required",
        OciErrorCode::Denied => "access denied",
        OciErrorCode::Unsupported => "not supported by this registry",
        OciErrorCode::Toomanyrequests => "too many requests",
        // beyond the specification, as Harbor gives them
        OciErrorCode::Other(code) if code == "PROJECTPOLICYVIOLATION" => "the project's policy forbids it",
        OciErrorCode::Other(code) if code == "REQUEST_ENTITY_TOO_LARGE" => "too large for this registry",
        _ => "",
    }
}

/// Reads the problems in the body of an answer; a body in another format has none.
#[must_use]
pub fn problems(body: &[u8]) -> Vec<RegistryProblem> {
    #[derive(Deserialize)]
    struct RegistryErrorBody {
        errors: Vec<Value>,
    }
    let Ok(envelope) = serde_json::from_slice::<RegistryErrorBody>(body) else { return Vec::new() };

    // entries are read one by one, so that a malformed one does not hide the others
    let mut problems = Vec::new();
    for entry in &envelope.errors {
        let problem = RegistryProblem { code: text_field(entry, "code"), message: text_field(entry, "message") };
        if !problem.code.is_empty() || !problem.message.is_empty() {
            problems.push(problem);
        }
    }
    problems.truncate(MOST_PROBLEMS);
    problems
}

/// Reads what a server says in the body of a refusal: the problems of the specification's format, otherwise a message in
/// another JSON format, a page's title, or plain text.
#[must_use]
pub fn words(body: &[u8]) -> Vec<RegistryProblem> {
    let problems = problems(body);
    if !problems.is_empty() {
        return problems;
    }

    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => MESSAGE_KEYS.iter().map(|key| text_field(&value, key)).find(|text| !text.is_empty()),
        Err(_) => std::str::from_utf8(body).ok().and_then(|text| match text.trim_start().chars().next() {
            Some('<') => title(text),
            // JSON that broke off says nothing to a person
            Some('{' | '[') | None => None,
            Some(_) => Some(shown(text)),
        }),
    };
    let message = said.filter(|text| !text.is_empty());
    message.map(|message| RegistryProblem { code: String::new(), message }).into_iter().collect()
}

/// Keys under which servers that are no registries say what is wrong: token servers (RFC 6749, 5.2), gateways.
const MESSAGE_KEYS: [&str; 6] = ["error_description", "message", "details", "detail", "error", "reason"];

/// Returns the title of an HTML page; proxies say there what is wrong.
fn title(page: &str) -> Option<String> {
    // in ASCII, so that positions stay the same
    let small = page.to_ascii_lowercase();
    let start = small.find("<title>")? + "<title>".len();
    let end = start + small[start..].find("</title>")?;
    Some(shown(&page[start..end]))
}

/// Returns a field of a JSON object if it is text, ready to be shown.
fn text_field(entry: &Value, key: &str) -> String {
    entry.get(key).and_then(Value::as_str).map(shown).unwrap_or_default()
}

/// Returns a foreign text in a form that can be shown: one line of limited length.
pub(super) fn shown(text: &str) -> String {
    // control characters could move the cursor, or fake lines of our own
    let printable = text.chars().map(|character| if character.is_control() { ' ' } else { character });

    // one more character than allowed tells whether something is cut off
    let mut shown: String = printable.take(LONGEST_MESSAGE + 1).collect();
    if shown.chars().count() > LONGEST_MESSAGE {
        shown.pop();
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Returns the problems as text; `otherwise` when there are none.
fn describe(problems: &[RegistryProblem], otherwise: &str) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if texts.is_empty() { otherwise.to_owned() } else { texts.join("; ") }
}

/// Returns the problems in parentheses, to follow a cause that is already known.
fn describe_in_parentheses(problems: &[RegistryProblem]) -> String {
    // a code without a message only repeats the cause
    let texts: Vec<String> =
        problems.iter().filter(|problem| !problem.message.is_empty()).map(ToString::to_string).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
}

/// Returns the name of an account for messages.
fn account(user: Option<&str>) -> String {
    user.map_or_else(|| "an anonymous user".to_owned(), |user| format!("`{user}`"))
}

/// Names what a login consists of. The user name of an identity token is only a mark.
fn secret_of(user: &str) -> &'static str {
    if is_token_user(user) { "the identity token" } else { "name or password" }
}

fn is_token_user(user: &str) -> bool {
    user == "<token>"
}

/// Returns the error for a refused request. `action` is what was tried, as messages name it after "cannot".
#[must_use]
pub fn refusal(action: String, status: u16, problems: Vec<RegistryProblem>, user: Option<&str>) -> Error {
    // Harbor gives the same status and code for different reasons, so its words are looked at first
    if let Some(cause) = problems.iter().find_map(|problem| HarborRefusal::of(status, &problem.code, &problem.message))
    {
        return Error::Known { action, cause, problems };
    }

    match status {
        401 | 403 => Error::Denied { action, user: user.map(str::to_owned), problems },
        404 => Error::Missing { action, problems },
        _ => Error::Refused { action, status, problems },
    }
}

impl Error {
    /// Returns a refusal as one of another request, whose purpose people know.
    pub(super) fn about(mut self, new: &str) -> Self {
        match &mut self {
            Self::Missing { action, .. }
            | Self::Known { action, .. }
            | Self::Denied { action, .. }
            | Self::LoginNeeded { action }
            | Self::Refused { action, .. } => new.clone_into(action),
            _ => {}
        }
        self
    }

    /// Says that what was refused is an index. A registry that does not know its media type answers in many ways.
    pub(super) fn at_index(self) -> Self {
        let (status, problems) = match &self {
            Self::Missing { problems, .. } => (404, problems),
            Self::Refused { status, problems, .. } => (*status, problems),
            _ => return self,
        };
        // these say that something is not there, which has other causes
        let is_other = problems.iter().any(|problem| problem.code.ends_with("_UNKNOWN"));
        let is_index = !is_other && matches!(status, 400 | 404 | 405 | 406 | 415 | 422 | 500 | 501);
        if is_index { Self::IndexRefused(Box::new(self)) } else { self }
    }

    /// Tells whether input, rights or settings must change: a retry alone fails again.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.turn() != Turn::Outside
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Known { cause, .. } => cause.turn(),
            Self::IndexRefused(error) => error.turn(),
            Self::Http(error) => error.turn(),
            Self::Malformed { .. }
            | Self::WrongDigest { .. }
            | Self::Refused { status: 408 | 425 | 429 | 500.., .. } => Turn::Outside,
            // A rule of the registry. A bare 412 is one, too: answers to HEAD have no body that could explain it.
            Self::Immutable { .. } | Self::Refused { status: 412, .. } => Turn::Policy,
            _ => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Http(error) => return error.hints(),
            Self::File(error) => return error.hints(),
            Self::Known { cause, .. } => cause.hint(),
            Self::IndexRefused(_) => {
                "for a registry without OCI indexes, set `media-types: docker` in the registry file: the image then gets another digest there"
            }
            Self::Immutable { .. } => "give the new image a new tag; an immutable tag is never moved",
            Self::Denied { user: None, .. } | Self::LoginNeeded { .. } => {
                "log in: `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD` with the registry's host in `SOCKEL_REGISTRY`, a robot file, or Docker's `config.json`"
            }
            Self::Denied { .. } => "give the account push and pull rights on the project, or use another account",
            Self::LoginRefused { user, .. } if is_token_user(user) => {
                "the identity token has expired or was withdrawn: log in again with the tool that left it"
            }
            Self::LoginRefused { .. } => "check name and password; a robot's full name has its prefix: `robot$…`",
            Self::NoRights { user: Some(_), problems, .. } if !problems.is_empty() => {
                "give the account push and pull rights on the project, or use another account"
            }
            Self::NoRights { user: Some(_), .. } => {
                "the robot's secret is wrong, or the robot is disabled, expired or without rights on this project: create a new one"
            }
            Self::NoRights { .. } => "log in with an account that has rights on this project",
            Self::Missing { problems, .. } if problems.iter().any(|problem| problem.code == "NAME_UNKNOWN") => {
                "create the project first, or check its name"
            }
            Self::Refused { status: 413, .. } => {
                "a proxy in front of the registry limits the size of requests: raise the limit, or upload in chunks"
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

    fn message(status: u16, body: &str) -> String {
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
            (404, "", "cannot push x: not found in the registry"),
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
            assert_eq!(message(status, body), expected);
        }
        let error = refusal(String::new(), 403, problems(quota.as_bytes()), None);
        assert!(
            matches!(error, Error::Known { cause: HarborRefusal::Quota, .. })
                && !error.is_ours()
                && !error.hints().is_empty()
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
                prop_assert!(describe(&found, "").chars().count() <= MOST_PROBLEMS * (2 * LONGEST_MESSAGE + 80));
            }
        }
    }
}
