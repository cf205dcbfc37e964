//! One request to a host and its answer, as values.

use crate::sys::fs;
use crate::sys::http::Error;
use crate::sys::http::download::content_range;
use crate::sys::http::header_text;
use crate::sys::http::mask;
use crate::sys::http::pace::BodyPace;
use crate::sys::http::pace::MinimumPace;
use crate::sys::http::pace::Patience;
use crate::sys::http::pulse::RequestPulse;
use crate::sys::http::retry::FailedAttempt;
use bytes::Bytes;
use futures_util::stream;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::Response;
use reqwest::header;
use reqwest::header::HeaderMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncSeekExt;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

/// Bytes of a file that are handed to the client at once.
const PART: usize = 256 << 10;

/// Longest rest of a body that is read only to keep the connection: more costs more than a new connection.
const DRAINED: usize = 64 << 10;

/// A request to a host. It can be sent again: the bytes of a file are then read again.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// GET, HEAD, POST, …
    pub method: Method,
    /// Address.
    pub url: Url,
    /// Headers in addition to those that the client sets (Host, User-Agent, Content-Length).
    pub headers: HeaderMap,
    /// Body.
    pub body: RequestBody,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub enum RequestBody {
    /// No bytes; POST and PUT then send `Content-Length: 0`.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A part of a file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Position of the part's first byte.
        offset: u64,
        /// Length of the part in bytes.
        length: u64,
        /// Counts the bytes that are sent.
        sent: SentBytes,
    },
}

/// Counts the sent bytes of a body; bytes that a further attempt sends again count once.
#[derive(Clone)]
pub struct SentBytes {
    /// Position behind the last byte that was ever sent.
    furthest: Arc<AtomicU64>,
    listener: Arc<dyn Fn(u64) + Send + Sync>,
}

impl SentBytes {
    /// Returns a counter that calls `listener` with the number of further bytes.
    pub fn new(listener: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { furthest: Arc::default(), listener: Arc::new(listener) }
    }

    /// Notes that all bytes before this position were sent.
    fn up_to(&self, position: u64) {
        let before = self.furthest.fetch_max(position, Ordering::Relaxed);
        if position > before {
            (self.listener)(position - before);
        }
    }
}

impl fmt::Debug for SentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({})", self.furthest.load(Ordering::Relaxed))
    }
}

impl HttpRequest {
    /// Returns a request without headers of its own.
    #[must_use]
    pub fn new(method: Method, url: Url, body: RequestBody) -> Self {
        Self { method, url, headers: HeaderMap::new(), body }
    }

    /// Returns the request in the client's form; `pulse` follows its body.
    pub(super) fn prepare(&self, client: &reqwest::Client, pulse: &RequestPulse) -> Result<RequestBuilder, Error> {
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(Error::Address { url: mask(self.url.as_str()) });
        }

        let builder = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        Ok(match &self.body {
            RequestBody::Empty if self.method == Method::GET || self.method == Method::HEAD => builder,
            // without it a server may answer 411 (RFC 9110, 8.6 and 15.5.12)
            RequestBody::Empty => builder.header(header::CONTENT_LENGTH, 0),
            RequestBody::Bytes(bytes) => builder.body(bytes.clone()),
            RequestBody::File { path, offset, length, sent } => {
                let (path, sent, pulse) = (path.clone(), sent.clone(), pulse.clone());
                let part = FilePart { path, offset: *offset, length: *length, file: None, done: 0, sent, pulse };
                // no byte of an empty part passes, so nothing would note its end later
                if *length > 0 {
                    part.pulse.begins_body();
                } else {
                    part.pulse.ends_body();
                }
                // without a length the client would use chunked coding (RFC 9112, 7.1)
                builder.header(header::CONTENT_LENGTH, *length).body(part.stream())
            }
        })
    }
}

/// A part of a file that is being sent.
struct FilePart {
    path: PathBuf,
    offset: u64,
    length: u64,
    /// The file, once it is open.
    file: Option<File>,
    /// Bytes of the part that the client has taken.
    done: u64,
    sent: SentBytes,
    pulse: RequestPulse,
}

impl FilePart {
    fn stream(self) -> reqwest::Body {
        reqwest::Body::wrap_stream(stream::try_unfold(self, Self::advance))
    }

    /// Returns the next bytes with the rest of the part, or `None` at its end.
    async fn advance(mut self) -> io::Result<Option<(Vec<u8>, Self)>> {
        match self.next().await {
            Ok(bytes) => Ok(bytes.map(|bytes| (bytes, self))),
            Err(cause) => {
                // the client reports it as a broken connection, which would be tried again: the pulse keeps the truth
                let kind = cause.kind();
                self.pulse.fails(fs::Error::new("read", &self.path, cause));
                Err(io::Error::from(kind))
            }
        }
    }

    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open().await?,
        };
        let rest = usize::try_from(self.length - self.done).unwrap_or(usize::MAX);
        if rest == 0 {
            return Ok(None);
        }

        let mut bytes = Vec::with_capacity(rest.min(PART));
        (&mut file).take(rest.min(PART) as u64).read_to_end(&mut bytes).await?;
        // the length was announced already: a shorter body would hang until the server gives up
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }

        self.done += bytes.len() as u64;
        self.sent.up_to(self.offset + self.done);
        // the client does not ask again once it has the announced length, so the end is noted here
        if self.done == self.length {
            self.pulse.ends_body();
        } else {
            self.pulse.beat();
        }
        self.file = Some(file);
        Ok(Some(bytes))
    }

    async fn open(&self) -> io::Result<File> {
        let mut file = File::open(&self.path).await?;
        file.seek(io::SeekFrom::Start(self.offset)).await?;
        Ok(file)
    }
}

/// The answer of a host. As long as it lives, it counts as one request of the host's budget.
#[derive(Debug)]
pub struct HttpResponse {
    url: String,
    proxy: Option<String>,
    response: Response,
    pace: MinimumPace,
    paced: BodyPace,
    permit: OwnedSemaphorePermit,
}

impl HttpResponse {
    pub(super) fn new(
        url: &str,
        proxy: Option<&Url>,
        response: Response,
        pace: MinimumPace,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let proxy = proxy.map(|proxy| mask(proxy.as_str()));
        Self { url: mask(url), proxy, response, pace, paced: BodyPace::new(pace), permit }
    }

    /// Returns the address without credentials, for messages.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address of the proxy in between, without credentials.
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Returns the HTTP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns a header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_text(self.headers(), name)
    }

    /// Returns all headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the position of the first byte of a partial answer, and the size of the whole where the host tells it.
    #[must_use]
    pub fn content_range(&self) -> Option<(u64, Option<u64>)> {
        content_range(self.headers())
    }

    /// Reads a document to its end.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above `limit` bytes, [`Error::Unreachable`] when it breaks off or takes too long.
    pub async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut patience = Patience::new(self.pace.document);
        self.read(limit, &mut patience).await.map_err(|failure| failure.error)
    }

    /// As [`HttpResponse::bytes`], for callers that ask again when it breaks off.
    pub(crate) async fn read(&mut self, limit: u64, patience: &mut Patience) -> Result<Vec<u8>, FailedAttempt> {
        let url = self.url.clone();
        patience.during(&url, self.read_all(limit)).await
    }

    async fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, FailedAttempt> {
        let mut bytes = Vec::new();
        // counts what arrives: the announced length may be missing or wrong
        while let Some(part) = self.part().await? {
            if (bytes.len() + part.len()) as u64 > limit {
                return Err(Error::TooLarge { url: self.url.clone(), limit }.into());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    /// Returns the next bytes of the body, or `None` at its end.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, FailedAttempt> {
        match self.paced.next(&mut self.response).await {
            Some(part) => part.map_err(|cause| FailedAttempt::of(&self.url, &cause)),
            None => Err(FailedAttempt::slow(&self.url, self.pace)),
        }
    }

    /// Reads the rest of a body if it is short, so that its connection can be used again.
    pub async fn drain(mut self) {
        let mut left = DRAINED;
        while let Ok(Some(part)) = self.part().await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                break;
            }
        }
    }

    pub(super) fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}
