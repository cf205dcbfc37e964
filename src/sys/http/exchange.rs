//! One request and its answer, as values.

use crate::sys::fs;
use crate::sys::http::Error;
use crate::sys::http::download::content_range;
use crate::sys::http::mask;
use crate::sys::http::pace::Pace;
use crate::sys::http::pace::Paced;
use crate::sys::http::pace::Patience;
use crate::sys::http::pulse::Pulse;
use crate::sys::http::retry::Failure;
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
use tokio::io::AsyncReadExt;
use tokio::io::AsyncSeekExt;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

/// Bytes of a file that are handed over at once.
const PART: usize = 256 << 10;

/// Longest rest of a body that is read only to keep the connection.
const DRAINED: usize = 64 << 10;

/// What is asked of a host. Can be sent again: a file's bytes are read anew each time.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, HEAD, POST, …
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Besides those that the client sets (Host, User-Agent, Content-Length).
    pub headers: HeaderMap,
    /// What is sent along.
    pub body: Body,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing; POST and PUT then say `Content-Length: 0`.
    Empty,
    /// Bytes.
    Bytes(Bytes),
    /// A part of a file.
    File {
        /// The file.
        path: PathBuf,
        /// Where the part begins, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// Hears what leaves.
        sent: Sent,
    },
}

/// Counts the bytes of a body that leave; bytes that leave again in another attempt count once.
#[derive(Clone)]
pub struct Sent {
    most: Arc<AtomicU64>,
    hear: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Sent {
    /// Returns a counter that calls `hear` with the number of further bytes.
    pub fn new(hear: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { most: Arc::default(), hear: Arc::new(hear) }
    }

    /// Notes that all bytes up to this one have left.
    fn up_to(&self, position: u64) {
        let before = self.most.fetch_max(position, Ordering::Relaxed);
        if position > before {
            (self.hear)(position - before);
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({})", self.most.load(Ordering::Relaxed))
    }
}

impl Request {
    /// Returns a request without headers of its own.
    #[must_use]
    pub fn new(method: Method, url: Url, body: Body) -> Self {
        Self { method, url, headers: HeaderMap::new(), body }
    }

    pub(super) fn prepare(&self, client: &reqwest::Client, pulse: &Pulse) -> Result<RequestBuilder, Error> {
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(Error::Address { url: mask(self.url.as_str()) });
        }
        let builder = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        Ok(match &self.body {
            Body::Empty if self.method == Method::GET || self.method == Method::HEAD => builder,
            Body::Empty => builder.header(header::CONTENT_LENGTH, 0),
            Body::Bytes(bytes) => builder.body(bytes.clone()),
            Body::File { path, offset, length, sent } => {
                let (path, sent, pulse) = (path.clone(), sent.clone(), pulse.clone());
                let part = Part { path, offset: *offset, length: *length, done: 0, sent, pulse };
                if *length > 0 {
                    part.pulse.begins_body();
                } else {
                    part.pulse.ends_body();
                }
                builder.header(header::CONTENT_LENGTH, *length).body(part.stream())
            }
        })
    }
}

/// A part of a file on its way.
struct Part {
    path: PathBuf,
    offset: u64,
    length: u64,
    done: u64,
    sent: Sent,
    pulse: Pulse,
}

impl Part {
    fn stream(self) -> reqwest::Body {
        let next = |(mut part, file): (Self, Option<tokio::fs::File>)| async move {
            match part.next(file).await {
                Ok(Some((bytes, file))) => Ok(Some((bytes, (part, Some(file))))),
                Ok(None) => Ok(None),
                Err(cause) => {
                    // the client would tell it as a broken connection
                    let kind = cause.kind();
                    part.pulse.fails(fs::Error::new("read", &part.path, cause));
                    Err(io::Error::from(kind))
                }
            }
        };
        reqwest::Body::wrap_stream(stream::try_unfold((self, None), next))
    }

    async fn next(&mut self, file: Option<tokio::fs::File>) -> io::Result<Option<(Vec<u8>, tokio::fs::File)>> {
        let mut file = match file {
            Some(file) => file,
            None => self.open().await?,
        };
        let rest = usize::try_from(self.length - self.done).unwrap_or(usize::MAX);
        if rest == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(rest.min(PART));
        (&mut file).take(rest.min(PART) as u64).read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        self.done += bytes.len() as u64;
        self.sent.up_to(self.offset + self.done);
        // the client does not ask for more than the length that was told
        if self.done == self.length {
            self.pulse.ends_body();
        } else {
            self.pulse.beat();
        }
        Ok(Some((bytes, file)))
    }

    async fn open(&self) -> io::Result<tokio::fs::File> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        file.seek(io::SeekFrom::Start(self.offset)).await?;
        Ok(file)
    }
}

/// What a host answered. While it lives, it counts as one request of the host's budget.
#[derive(Debug)]
pub struct Answer {
    url: String,
    proxy: Option<String>,
    response: Response,
    pace: Pace,
    paced: Paced,
    permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn new(
        (url, proxy): (String, Option<&Url>),
        response: Response,
        pace: Pace,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let proxy = proxy.map(|proxy| mask(proxy.as_str()));
        Self { url, proxy, response, pace, paced: Paced::new(pace), permit }
    }

    /// Returns the address without credentials, for messages.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address of the proxy that it came through, without credentials.
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
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns all headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns which bytes a partial answer has: the first one, and how many there are in all where that is told.
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

    /// As [`Answer::bytes`], for callers that ask again when it breaks off.
    pub(crate) async fn read(&mut self, limit: u64, patience: &mut Patience) -> Result<Vec<u8>, Failure> {
        let url = self.url.clone();
        patience.during(&url, self.read_all(limit)).await
    }

    async fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(part) = self.part().await? {
            if (bytes.len() + part.len()) as u64 > limit {
                return Err(Error::TooLarge { url: self.url.clone(), limit }.into());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    /// Returns the next bytes of the body, or `None` at its end.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.paced.next(&mut self.response).await {
            Some(part) => part.map_err(|cause| Failure::of(&self.url, &cause)),
            None => Err(Failure::slow(&self.url, self.pace)),
        }
    }

    /// Reads what is left, as far as that is worth a connection that can be used again.
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
