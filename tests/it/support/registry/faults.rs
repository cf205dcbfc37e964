//! What goes wrong, and when: by method, path pattern and how many-th request.

use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use globset::Glob;
use std::time::Duration;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Reads the body, then gives this answer instead of doing anything.
    Answer(Response),
    /// Gives this answer before the body is read, and closes, as proxies do.
    Early(Response),
    /// Closes the connection after so many bytes of the request's body.
    CutRequest(u64),
    /// Reads the request's body with this pause before every 16 KiB.
    SlowRequest(Duration),
    /// Does what was asked, but closes the connection after so many bytes of the answer's body.
    CutAnswer(u64),
    /// Does what was asked, and sends the body piece by piece (bytes) with pauses.
    SlowAnswer { piece: usize, pause: Duration },
    /// Does what was asked, and answers after this pause.
    Late(Duration),
    /// Does what was asked, and closes the connection without an answer.
    Silence,
    /// Does what was asked, and gives this answer: somebody else was faster, or a proxy gave up.
    Instead(Response),
    /// Does what was asked, sends these bytes as the answer, head and all, and closes.
    Raw(Vec<u8>),
    /// Sends the client to the same path below another address, with 307.
    Redirect(String),
    /// Begins an upload (202) instead of mounting.
    NoMount,
}

impl Trouble {
    /// A status with an error body that fits.
    pub(crate) fn status(status: u16) -> Self {
        let code = match status {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            404 => "NOT_FOUND",
            409 => "CONFLICT",
            412 => "PRECONDITION",
            429 => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        Self::Answer(Response::error(status, code, "made to fail"))
    }

    /// 429 with `Retry-After` (seconds or a date, as it is).
    pub(crate) fn busy(retry_after: &str) -> Self {
        let answer = Response::error(429, "TOOMANYREQUESTS", "too many requests");
        Self::Answer(answer.with("retry-after", retry_after))
    }

    /// 403 as Harbor's quota middleware says it.
    pub(crate) fn quota() -> Self {
        let words = "adding 12.0 MiB of storage resource, which when updated to current usage of 95.0 MiB will exceed \
                     the configured upper limit of 100.0 MiB.";
        Self::Answer(Response::error(403, "DENIED", words))
    }

    /// 412 as Harbor's immutable middleware says it.
    pub(crate) fn immutable(repository: &str, tag: &str) -> Self {
        let words = format!("Failed to process request due to '{repository}:{tag}' configured as immutable.");
        Self::Answer(Response::error(412, "PRECONDITION", &words))
    }

    /// 404 for an upload session that was lost.
    pub(crate) fn upload_unknown() -> Self {
        Self::Answer(Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))
    }

    /// 200 with a body that is not what it says it is.
    pub(crate) fn malformed(content_type: &str, body: &[u8]) -> Self {
        Self::Answer(Response::new(200).with("content-type", content_type).body(body.to_vec()))
    }
}

/// A trouble for some requests.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// `*` for any.
    pub(crate) method: &'static str,
    /// See [`matches`].
    pub(crate) path: String,
    /// The first request that is struck, counted from 1 among those that fit.
    pub(crate) nth: usize,
    /// How many in a row are struck.
    pub(crate) times: usize,
    pub(crate) trouble: Trouble,
}

impl Fault {
    /// The first request that fits is struck.
    pub(crate) fn new(method: &'static str, path: &str, trouble: Trouble) -> Self {
        Self { method, path: path.to_owned(), nth: 1, times: 1, trouble }
    }

    /// The nth request that fits is the first that is struck.
    pub(crate) fn nth(self, nth: usize) -> Self {
        Self { nth, ..self }
    }

    /// So many requests in a row are struck.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// All requests are struck from the first on.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

/// Tells whether a request fits a method (`*`: any) and a pattern. `*` in a pattern stands for any text, slashes too;
/// the pattern is held against the path and against `path?query`.
pub(crate) fn matches(wanted: &str, pattern: &str, method: &str, path: &str, query: &str) -> bool {
    let glob = Glob::new(pattern).expect("tests write valid patterns").compile_matcher();
    let fits_method = wanted == "*" || wanted == method;
    fits_method && (glob.is_match(path) || glob.is_match(format!("{path}?{query}")))
}

/// All faults of a server with how often each was met.
#[derive(Default)]
pub(crate) struct Faults(Vec<(Fault, usize)>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    /// Returns the trouble of this request: the first fault that is due; all that fit count it.
    pub(crate) fn strike(&mut self, request: &Request) -> Option<Trouble> {
        let mut trouble = None;
        for (fault, seen) in &mut self.0 {
            if !matches(fault.method, &fault.path, &request.method, &request.path, &request.query) {
                continue;
            }
            *seen += 1;
            if trouble.is_none() && *seen >= fault.nth && *seen - fault.nth < fault.times {
                trouble = Some(fault.trouble.clone());
            }
        }
        trouble
    }

    /// Returns how many faults have not struck as often as they were to; those without end count if they never did.
    pub(crate) fn pending(&self) -> usize {
        let wanted = |fault: &Fault| if fault.times == usize::MAX { fault.nth } else { fault.nth + fault.times - 1 };
        self.0.iter().filter(|(fault, seen)| *seen < wanted(fault)).count()
    }
}
