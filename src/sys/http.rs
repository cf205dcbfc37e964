//! HTTP downloads with retry, timeout, size limit and resume, and the offline switch.
//!
//! Client and runtime are made when the first request is sent: commands that need no network do not pay for them.

use crate::sys::fs;
use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header;
use std::future::Future;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How requests are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Refuse every request.
    pub offline: bool,
    /// PEM file with further certificate authorities.
    pub extra_ca: Option<PathBuf>,
    /// Longest wait for a connection or for the next bytes.
    pub patience: Duration,
    /// How often a request is tried.
    pub attempts: u32,
}

impl Options {
    /// Returns the settings of normal commands.
    #[must_use]
    pub fn new(offline: bool, extra_ca: Option<PathBuf>) -> Self {
        Self { offline, extra_ca, patience: Duration::from_secs(30), attempts: 4 }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The offline switch is on.
    #[error("cannot fetch `{0}`: offline")]
    Offline(String),
    /// The server has no such thing.
    #[error("cannot fetch `{url}`: the server answered {status}")]
    Status {
        /// Address, credentials masked.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// No answer, or it broke off.
    #[error("cannot fetch `{url}`: {cause}")]
    Transport {
        /// Address, credentials masked.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The answer is longer than it may be.
    #[error("cannot fetch `{url}`: the answer has more than {limit} bytes")]
    TooLarge {
        /// Address, credentials masked.
        url: String,
        /// Most bytes.
        limit: u64,
    },
    /// The client cannot be set up.
    #[error("cannot set up HTTPS: {0}")]
    Setup(String),
    /// The downloaded bytes cannot be written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Tells whether the server said that there is no such thing.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status: 403 | 404 | 410, .. })
    }

    fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// An answer that may be "not changed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The thing itself, and the `Last-Modified` and `ETag` that the server gave with it.
    New(Vec<u8>, Stamp),
    /// What the caller has is current.
    NotModified,
}

/// What to send along to learn whether something changed (RFC 9110 §13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// `Last-Modified`
    pub last_modified: Option<String>,
    /// `ETag`
    pub etag: Option<String>,
}

/// Makes requests.
#[derive(Debug)]
pub struct Http {
    options: Options,
    client: OnceLock<Result<reqwest::Client, String>>,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl Http {
    /// Returns a door that opens with the first request.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, client: OnceLock::new(), runtime: OnceLock::new() }
    }

    /// Tells whether requests are refused.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.options.offline
    }

    /// Runs a future to its end on this door's runtime.
    ///
    /// # Panics
    /// When the system gives no threads, or when called from inside the runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let make = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_all().build().expect("the system has threads left")
        };
        self.runtime.get_or_init(make).block_on(future)
    }

    /// Returns the whole answer, at most `limit` bytes.
    ///
    /// # Errors
    /// Any [`Error`], after the last attempt.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
        match self.get_if_modified(url, limit, &Stamp::default()).await? {
            Answer::New(bytes, _) => Ok(bytes),
            Answer::NotModified => Err(Error::Status { url: masked(url), status: 304 }),
        }
    }

    /// Returns the whole answer unless the server says that it did not change since `stamp`.
    ///
    /// # Errors
    /// Any [`Error`], after the last attempt.
    pub async fn get_if_modified(&self, url: &str, limit: u64, stamp: &Stamp) -> Result<Answer, Error> {
        self.retry(async || {
            let mut request = self.client()?.get(url);
            if let Some(etag) = &stamp.etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            if let Some(date) = &stamp.last_modified {
                request = request.header(header::IF_MODIFIED_SINCE, date);
            }
            let response = request.send().await.map_err(|error| transport(url, &error))?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Answer::NotModified);
            }
            let response = succeeded(url, response).await?;
            let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let stamp = Stamp { last_modified: text(header::LAST_MODIFIED), etag: text(header::ETAG) };
            let mut bytes = Vec::new();
            let mut body = response.bytes_stream();
            while let Some(part) = body.next().await {
                bytes.extend_from_slice(&part.map_err(|error| transport(url, &error))?);
                if bytes.len() as u64 > limit {
                    return Err(Error::TooLarge { url: masked(url), limit });
                }
            }
            Ok(Answer::New(bytes, stamp))
        })
        .await
    }

    /// Appends to a file until it has `size` bytes, resuming behind what it already has. `take` sees every byte that
    /// is appended; when the server starts from the beginning again, it sees `None` first.
    ///
    /// # Errors
    /// Any [`Error`], after the last attempt; what arrived stays in the file.
    pub async fn download(
        &self,
        url: &str,
        path: &Path,
        size: u64,
        take: &mut (dyn FnMut(Option<&[u8]>) + Send),
    ) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let before = fs::size(path).unwrap_or(0);
            match self.append(url, path, size, take).await {
                Err(error) if error.is_worth_another_try() => {
                    // progress earns another round, a dead server does not
                    if fs::size(path).unwrap_or(0) > before {
                        attempt = 1;
                    }
                    if attempt >= self.options.attempts {
                        return Err(error);
                    }
                    self.pause(attempt).await;
                }
                other => return other,
            }
        }
    }

    async fn append(
        &self,
        url: &str,
        path: &Path,
        size: u64,
        take: &mut (dyn FnMut(Option<&[u8]>) + Send),
    ) -> Result<(), Error> {
        let have = fs::size(path).unwrap_or(0);
        if have >= size {
            return Ok(());
        }
        let mut request = self.client()?.get(url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|error| transport(url, &error))?;
        let continues = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response, have);
        let response = match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => {
                fs::remove(path)?;
                return Err(Error::Transport { url: masked(url), cause: "the server cannot resume".to_owned() });
            }
            _ => succeeded(url, response).await?,
        };
        if have > 0 && !continues {
            take(None);
        }
        let tie = |cause: io::Error| fs::Error::new("write", path, cause);
        let mut options = tokio::fs::OpenOptions::new();
        options.create(true).write(true).append(continues).truncate(!continues);
        let mut file = options.open(path).await.map_err(tie)?;
        let mut written = if continues { have } else { 0 };
        let mut body = response.bytes_stream();
        let result = loop {
            let part = match body.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(transport(url, &error)),
                Some(Ok(part)) => part,
            };
            if written + part.len() as u64 > size {
                break Err(Error::TooLarge { url: masked(url), limit: size });
            }
            if let Err(cause) = file.write_all(&part).await {
                break Err(tie(cause).into());
            }
            written += part.len() as u64;
            take(Some(&part));
        };
        file.flush().await.map_err(tie)?;
        result?;
        if written < size {
            let cause = format!("it ended after {written} of {size} bytes");
            return Err(Error::Transport { url: masked(url), cause });
        }
        Ok(())
    }

    async fn retry<T>(&self, request: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match request().await {
                Err(error) if error.is_worth_another_try() && attempt < self.options.attempts => {
                    self.pause(attempt).await;
                }
                other => return other,
            }
        }
    }

    /// Waits longer each time: 0.2 s, 0.8 s, 3.2 s.
    async fn pause(&self, attempt: u32) {
        let unit = Duration::from_millis(50).min(self.options.patience);
        tokio::time::sleep(unit * 4_u32.saturating_pow(attempt.min(5))).await;
    }

    fn client(&self) -> Result<&reqwest::Client, Error> {
        if self.options.offline {
            return Err(Error::Offline("the network".to_owned()));
        }
        self.client.get_or_init(|| self.make_client()).as_ref().map_err(|cause| Error::Setup(cause.clone()))
    }

    fn make_client(&self) -> Result<reqwest::Client, String> {
        // a second installation fails and changes nothing
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let secure = |attempt: reqwest::redirect::Attempt<'_>| {
            let was_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            match attempt.previous().len() {
                0..=5 if was_secure && attempt.url().scheme() != "https" => attempt.stop(),
                0..=5 => attempt.follow(),
                _ => attempt.error("too many redirects"),
            }
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sockel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.options.patience)
            .read_timeout(self.options.patience)
            .redirect(reqwest::redirect::Policy::custom(secure));
        if let Some(path) = &self.options.extra_ca {
            let pem = fs::read(path, 4 << 20).map_err(|error| error.to_string())?;
            let bundle = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string())?;
            builder = builder.tls_certs_merge(bundle);
        }
        builder.build().map_err(|error| error.to_string())
    }
}

/// Returns the answer if the server says success; else waits as long as the server asks, up to 30 s, and fails.
async fn succeeded(url: &str, response: reqwest::Response) -> Result<reqwest::Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(seconds) = wait.filter(|_| matches!(status.as_u16(), 429 | 503)) {
        tokio::time::sleep(Duration::from_secs(seconds.min(30))).await;
    }
    Err(Error::Status { url: masked(url), status: status.as_u16() })
}

fn starts_at(response: &reqwest::Response, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

fn transport(url: &str, error: &reqwest::Error) -> Error {
    // the innermost cause says it plainly; the outer ones repeat the address
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::Transport { url: masked(url), cause: cause.to_string() }
}

/// Returns the address without user name and password.
#[must_use]
pub fn masked(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            let _cannot_fail_with_a_host = parsed.set_username("***").and_then(|()| parsed.set_password(None));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_credentials() {
        assert_eq!(masked("https://me:secret@host/x"), "https://***@host/x");
        assert_eq!(masked("http://host/x"), "http://host/x");
    }

    #[test]
    fn offline_means_offline() {
        let http = Http::new(Options::new(true, None));
        let error = http.block_on(http.get("http://127.0.0.1:9/", 1)).unwrap_err();
        assert!(matches!(error, Error::Offline(_)));
    }
}
