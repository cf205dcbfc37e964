//! Errors of calls to Harbor, with hints. Harbor's own messages are quoted, without control characters.

use crate::fault;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::oci::registry::HarborRefusal;
use crate::sys::fs;
use crate::sys::http;
use crate::values::Digest;
use serde::Deserialize;
use std::fmt;

/// Most characters of a server's message that are shown.
const MESSAGE_LIMIT: usize = 300;

/// Most characters of a scanner's log that are kept, from its end: the cause comes last.
const LOG_LIMIT: usize = 4000;

/// A call to Harbor failed. `action` completes "cannot …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Harbor does not answer, or with an error of its own.
    #[error("cannot {action}: {cause}")]
    Unreachable {
        /// What was tried.
        action: String,
        /// Identifier of the request in Harbor's log.
        request: String,
        /// The failure of the connection.
        cause: http::Error,
    },
    /// Harbor does not know the account, or it is disabled or expired (401).
    #[error("cannot {action}: Harbor does not accept the login `{user}`")]
    Login {
        /// What was tried.
        action: String,
        /// The account.
        user: String,
    },
    /// The account has no right to do that (403).
    #[error("cannot {action}: `{user}` has no right to do that{}", quoted(message))]
    NotPermitted {
        /// What was tried.
        action: String,
        /// The account.
        user: String,
        /// Harbor's own message.
        message: String,
    },
    /// The account lacks rights that publishing needs.
    #[error("cannot publish{}: `{user}` lacks {} right(s):{}", place(project.as_deref()), rights.len(), fault::reasons(rights))]
    MissingRights {
        /// The account.
        user: String,
        /// The project; `None` for rights on the whole system.
        project: Option<String>,
        /// The rights, each with what it is for.
        rights: Vec<String>,
    },
    /// Harbor refuses it for a known reason.
    #[error("cannot {action}: {cause}{}", quoted(message))]
    Known {
        /// What was tried.
        action: String,
        /// The reason.
        cause: HarborRefusal,
        /// Harbor's own message.
        message: String,
    },
    /// The thing does not exist (404).
    #[error("cannot {action}: not found{}", quoted(message))]
    NotFound {
        /// What was tried.
        action: String,
        /// Harbor's own message.
        message: String,
    },
    /// The thing exists already, or another request is changing it (409).
    #[error("cannot {action}: it exists already, or another request is changing it{}", quoted(message))]
    Conflict {
        /// What was tried.
        action: String,
        /// Harbor's own message.
        message: String,
    },
    /// A rule of the project forbids it (412).
    #[error("cannot {action}: a rule of the project forbids it{}", quoted(message))]
    Rule {
        /// What was tried.
        action: String,
        /// Harbor's own message.
        message: String,
    },
    /// Harbor answered with another status.
    #[error("cannot {action}: Harbor answered with status {status}{}", quoted(message))]
    Status {
        /// What was tried.
        action: String,
        /// HTTP status code.
        status: u16,
        /// Harbor's own message.
        message: String,
        /// Identifier of the request in Harbor's log.
        request: String,
    },
    /// The response does not match Harbor's API definition.
    #[error("cannot {action}: the answer is malformed: {cause}")]
    Malformed {
        /// What was tried.
        action: String,
        /// What is malformed.
        cause: String,
    },
    /// The text is not a valid name of a project, repository, label or robot.
    #[error("cannot use `{name}` as {kind}: {rule}")]
    Name {
        /// `repository`, `project`, `robot name`, …
        kind: &'static str,
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The registry has no Harbor API.
    #[error("cannot use {step}: `{registry}` is no Harbor")]
    NotHarbor {
        /// The step that needs Harbor.
        step: &'static str,
        /// Address of the registry.
        registry: String,
    },
    /// Harbor or its scanner does not scan this kind of artifact.
    #[error("cannot scan {image}: Harbor does not scan it{}", quoted(message))]
    NotScannable {
        /// `repository@digest`.
        image: String,
        /// Harbor's own message.
        message: String,
    },
    /// The scanner failed.
    #[error("cannot scan {image}: the scanner failed")]
    ScanFailed {
        /// `repository@digest`.
        image: String,
        /// End of the scanner's log.
        log: String,
    },
    /// Somebody stopped the scan.
    #[error("cannot scan {image}: the scan was stopped")]
    ScanStopped {
        /// `repository@digest`.
        image: String,
    },
    /// Harbor accepted the request, but reports no scan.
    #[error("cannot scan {image}: Harbor knows of no scan, although it took the request")]
    NeverScanned {
        /// `repository@digest`.
        image: String,
    },
    /// The scan did not end in time.
    #[error("cannot scan {image}: after {seconds} seconds the scan still has status `{status}`")]
    ScanTooLong {
        /// `repository@digest`.
        image: String,
        /// Time waited.
        seconds: u64,
        /// State of the scan, in Harbor's word.
        status: String,
    },
    /// A copy would include tags that must not exist in the release project.
    #[error("cannot release {image}: it has tags that would be copied along: {}", tags.join(", "))]
    UnexpectedTags {
        /// `repository@digest`.
        image: String,
        /// Those tags.
        tags: Vec<String>,
    },
    /// A tag that never moves names another image.
    #[error("cannot release {image}: tag `{tag}` is {digest} already{}", if *immutable { " and immutable" } else { "" })]
    TagTaken {
        /// `repository@digest`.
        image: String,
        /// The tag.
        tag: String,
        /// The digest that it names.
        digest: Digest,
        /// Whether a rule of the project forbids moving it.
        immutable: bool,
    },
    /// The copy in the release project differs from the original.
    #[error("cannot release {image}: the release project then has {found}")]
    WrongCopy {
        /// `repository@digest`.
        image: String,
        /// What the release project has.
        found: String,
    },
    /// A file with a robot's secret could not be written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Returns the error for a response that cannot be read.
    pub(crate) fn malformed(action: &str, cause: &dyn fmt::Display) -> Self {
        Self::Malformed { action: action.to_owned(), cause: harmless(&cause.to_string(), MESSAGE_LIMIT) }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Login { .. }
            | Self::NotPermitted { .. }
            | Self::MissingRights { .. }
            | Self::NotFound { .. }
            | Self::Name { .. }
            | Self::NotHarbor { .. }
            | Self::NotScannable { .. }
            | Self::Status { status: 400 | 405 | 406 | 415 | 422, .. }
            | Self::File(_) => Turn::Input,
            Self::Known { cause, .. } => cause.turn(),
            Self::Unreachable { cause, .. } => cause.turn(),
            // refused on purpose: another try changes nothing until a person decides
            Self::Rule { .. } | Self::UnexpectedTags { .. } | Self::TagTaken { .. } => Turn::Policy,
            _ => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreachable { cause, request, .. } => {
                let mut hints = cause.hints();
                if matches!(cause, http::Error::Status { status: 500..=599, .. }) {
                    hints.push(format!("Harbor's log says more under request `{request}`"));
                }
                return hints;
            }
            Self::File(error) => return error.hints(),
            Self::Status { request, .. } => format!("Harbor's log says more under request `{request}`"),
            Self::Login { user, .. } => {
                // Harbor's default prefix of robots is `robot$`, and users cannot have a `$`
                let kind = if user.contains('$') { "robot" } else { "user" };
                format!(
                    "check whether the {kind} exists, is enabled and not expired, and whether its full name (such as `robot$pipeline`) and secret are the ones in use"
                )
            }
            Self::NotPermitted { message, .. } if message.contains("CSRF") => {
                "Harbor took the request for a browser's: no proxy may add Harbor's `sid` cookie".to_owned()
            }
            Self::MissingRights { .. } => {
                "give the account these rights; `sockel publish --setup` gives them to the robots that it made"
                    .to_owned()
            }
            Self::NotPermitted { .. } => {
                "give the account the right; robots made by `sockel publish --setup` have all that they need".to_owned()
            }
            Self::Known { cause, .. } => cause.hint().to_owned(),
            Self::NotFound { .. } => {
                "projects are made by `sockel publish --setup`; to an account without rights they look missing"
                    .to_owned()
            }
            Self::Malformed { .. } => "check whether a proxy answers in place of Harbor".to_owned(),
            Self::NotScannable { .. } => {
                "check whether the project has a scanner that is enabled; scan images, not indexes".to_owned()
            }
            Self::ScanFailed { log, .. } if log.is_empty() => "Harbor has no log of the scan".to_owned(),
            Self::ScanFailed { log, .. } => format!("the scanner's log ends with: {}", log.replace('\n', " | ")),
            Self::ScanTooLong { .. } => "check Harbor's job queue, or allow more time".to_owned(),
            Self::UnexpectedTags { .. } => {
                "remove them in the staging project: Harbor copies all tags of an artifact".to_owned()
            }
            Self::TagTaken { immutable: true, .. } => "choose a new tag: this one can never be moved".to_owned(),
            Self::TagTaken { .. } => "choose a new tag, or name this one among the tags that move".to_owned(),
            Self::Rule { .. } => "check the immutability and deployment rules of the project".to_owned(),
            Self::Conflict { .. } | Self::ScanStopped { .. } | Self::NeverScanned { .. } => "try again".to_owned(),
            Self::Name { .. } | Self::NotHarbor { .. } | Self::WrongCopy { .. } => return Vec::new(),
        };
        vec![hint]
    }

    fn lists_reasons(&self) -> bool {
        matches!(self, Self::MissingRights { .. })
    }
}

/// The form of all of Harbor's errors (`src/lib/errors`).
#[derive(Deserialize)]
struct ErrorEnvelope {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A response whose status is not a success.
pub(crate) struct Refusal<'a> {
    pub(crate) action: &'a str,
    pub(crate) user: &'a str,
    pub(crate) request: &'a str,
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Refusal<'_> {
    /// Returns the error that this answer means.
    pub(crate) fn error(&self) -> Error {
        let (code, message) = read(self.body);
        let action = self.action.to_owned();
        let user = self.user.to_owned();

        // whether a missing thing is an error, only the caller knows
        if let Some(cause) = HarborRefusal::of(self.status, &code, &message).filter(|_| self.status != 404) {
            return Error::Known { action, cause, message };
        }

        match self.status {
            401 => Error::Login { action, user },
            403 => Error::NotPermitted { action, user, message },
            404 => Error::NotFound { action, message },
            409 => Error::Conflict { action, message },
            412 => Error::Rule { action, message },
            status => Error::Status { action, status, message, request: self.request.to_owned() },
        }
    }
}

/// Reads the first code and all messages of Harbor's error document. Other documents are ignored: the page of a proxy
/// does not help anybody.
fn read(body: &[u8]) -> (String, String) {
    let Ok(envelope) = serde_json::from_slice::<ErrorEnvelope>(body) else { return (String::new(), String::new()) };
    let code = envelope.errors.first().map(|entry| entry.code.clone()).unwrap_or_default();

    let texts: Vec<&str> = envelope
        .errors
        .iter()
        .take(8)
        .map(|entry| if entry.message.is_empty() { entry.code.as_str() } else { entry.message.as_str() })
        .collect();
    (code, harmless(&texts.join("; "), MESSAGE_LIMIT))
}

/// Returns a text on one line, cut, and without characters that control a terminal.
pub(crate) fn harmless(text: &str, most: usize) -> String {
    // spaces instead of control characters, so that words stay apart
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let words: String = clean.take(most).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the end of a log, line by line [`harmless`]: from its first error on, where Harbor marks one. What comes before
/// are the scanner's and the image's descriptions (`src/pkg/scan/job.go`).
pub(crate) fn log_end(log: &[u8]) -> String {
    // Harbor wraps the log into JSON for clients that accept JSON (`src/server/v2.0/handler/scan.go`)
    let text = serde_json::from_slice::<String>(log).unwrap_or_else(|_| String::from_utf8_lossy(log).into_owned());
    let text = first_error(&text).unwrap_or(&text);
    let skipped = text.chars().count().saturating_sub(LOG_LIMIT);
    let end: String = text.chars().skip(skipped).collect();

    // a log is printed to terminals: no escape sequence of an attacker's package name gets there
    let lines = end.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
    lines.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

/// Names the place of missing rights.
fn place(project: Option<&str>) -> String {
    project.map_or_else(|| " with this Harbor".to_owned(), |project| format!(" into project `{project}`"))
}

/// Returns a log from the first line on that Harbor marks as an error.
fn first_error(text: &str) -> Option<&str> {
    let marked = text.find("[ERROR]")?;
    // the mark comes after the time
    let begin = text[..marked].rfind('\n').map_or(0, |end| end + 1);
    Some(&text[begin..])
}

/// Puts Harbor's message in parentheses, if there is one.
fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(status: u16, body: &[u8]) -> Error {
        Refusal { action: "copy it", user: "robot$a", request: "r-1", status, body }.error()
    }

    #[test]
    fn translates_answers() {
        let form = |code: &str, message: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        let table = [
            (
                401,
                form("UNAUTHORIZED", "unauthorized"),
                "cannot copy it: Harbor does not accept the login `robot$a`",
                Turn::Input,
            ),
            (
                403,
                form("FORBIDDEN", "forbidden"),
                "cannot copy it: `robot$a` has no right to do that (forbidden)",
                Turn::Input,
            ),
            (
                403,
                form(
                    "DENIED",
                    "adding 1 MiB of storage resource, which when updated to current usage of 9 MiB will exceed the configured upper limit of 9 MiB.",
                ),
                "cannot copy it: the project's storage quota is used up (adding 1 MiB of storage resource",
                Turn::Outside,
            ),
            (
                404,
                form("NOT_FOUND", "artifact x not found"),
                "cannot copy it: not found (artifact x not found)",
                Turn::Input,
            ),
            (404, "<html>".to_owned(), "cannot copy it: not found", Turn::Input),
            (
                409,
                form("CONFLICT", ""),
                "cannot copy it: it exists already, or another request is changing it (CONFLICT)",
                Turn::Outside,
            ),
            (
                412,
                form("PRECONDITION", "tag is immutable"),
                "cannot copy it: a rule of the project forbids it (tag is immutable)",
                Turn::Policy,
            ),
            (
                400,
                form("BAD_REQUEST", "a\\u001b[31m\\nb"),
                "cannot copy it: Harbor answered with status 400 (a [31m b)",
                Turn::Input,
            ),
            (302, String::new(), "cannot copy it: Harbor answered with status 302", Turn::Outside),
        ];
        for (status, body, expected, turn) in table {
            let error = refusal(status, body.as_bytes());
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(error.turn(), turn, "{error}");
            assert_eq!(error.hints().len(), 1, "{error}");
        }
    }

    #[test]
    fn keeps_the_end_of_a_log() {
        assert_eq!(log_end(b"a\r\n\n\x1b[2Jb\xff\n"), "a\n[2Jb\u{fffd}");
        assert_eq!(log_end(&vec![b'x'; 10_000]).len(), LOG_LIMIT);
        assert_eq!(log_end(br#""2026 [INFO] begun\n2026 [ERROR] \"the\" end\n""#), "2026 [ERROR] \"the\" end");
    }

    proptest! {
        #[test]
        fn any_answer_is_an_error(status in 100..600_u16, body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"errors":(\[(\{"(code|message)":("\PC{0,40}"|null|3)\},?){0,3}\]|null|\{\})\}"#.prop_map(String::into_bytes),
        ]) {
            let error = refusal(status, &body);
            let text = error.to_string();
            prop_assert!(!text.chars().any(char::is_control) && text.chars().count() < 2 * MESSAGE_LIMIT);
            let _any = (error.hints(), error.turn());
        }
    }
}
