//! HTTP: downloads from any server ([`Http`]: retry, timeout, size limit, resume), and conversations with one host
//! ([`Host`]: uploads, budget). Both know an offline switch.
//!
//! Client and runtime are made on first use: commands that stay on this machine do not pay for them.

mod budget;
mod download;
mod error;
mod exchange;
mod host;
mod pace;
mod proxy;
mod pulse;
mod retry;

pub use bytes::Bytes;
pub use download::Piece;
pub use download::Target;
pub use error::Error;
pub use error::mask;
pub use exchange::Answer;
pub use exchange::Body;
pub use exchange::Request;
pub use exchange::Sent;
pub use host::Host;
pub use host::HostOptions;
pub use pace::DOCUMENT_TIME;
pub use pace::LEAST;
pub use pace::Pace;
pub(crate) use pace::Patience;
pub use proxy::is_loopback;
pub use reqwest::Method;
pub use reqwest::header;
pub(crate) use retry::Failure;
pub use retry::retry_after;

use crate::sys::fs;
use crate::sys::http::pace::Paced;
use crate::sys::http::proxy::Proxies;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use reqwest::redirect;
use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// Largest file of additional certificates.
const CERTIFICATES_LIMIT: u64 = 16 << 20;

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// How requests are made. No default: the caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Refuse every request.
    pub offline: bool,
    /// PEM file of certificate authorities that are trusted besides the system's.
    pub extra_ca: Option<PathBuf>,
    /// Longest time to build a connection.
    pub connect_timeout: Duration,
    /// Longest time without a single byte, and for [`Options::least_bytes`].
    pub idle_timeout: Duration,
    /// Least bytes of a body in each such span of time; see [`Pace`].
    pub least_bytes: u64,
    /// Longest time that waiting for one document takes, all attempts together.
    pub document_time: Duration,
    /// How often one request is made when the cause may pass.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one.
    pub backoff: Duration,
}

impl Options {
    /// Returns the settings of normal commands.
    #[must_use]
    pub fn usual(offline: bool, extra_ca: Option<PathBuf>) -> Self {
        Self {
            offline,
            extra_ca,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            least_bytes: LEAST,
            document_time: DOCUMENT_TIME,
            attempts: 4,
            backoff: Duration::from_millis(500),
        }
    }
}

/// The door to the network.
#[derive(Debug)]
pub struct Http {
    options: Options,
    runtime: OnceLock<Result<Runtime, String>>,
    client: OnceLock<Result<Client, Error>>,
}

/// The HTTP client, and the proxies that it uses.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    proxies: Proxies,
}

/// What tells a server which version of a file is known already (RFC 9110, 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Validators {
    /// `ETag` of the known version.
    pub etag: Option<String>,
    /// `Last-Modified` of the known version.
    pub last_modified: Option<String>,
}

/// Answer to a conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conditional {
    /// The known version is the current one.
    Unchanged,
    /// There is another version.
    Changed {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What identifies it next time.
        validators: Validators,
    },
}

impl Http {
    /// Returns a door that nobody has gone through yet; costs nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, runtime: OnceLock::new(), client: OnceLock::new() }
    }

    /// Tells whether every request is refused.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.options.offline
    }

    /// Runs a future to its end on this thread.
    ///
    /// # Errors
    /// [`Error::Client`] when the runtime cannot be started.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let start = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).thread_name("sockel-http").enable_all().build().map_err(|cause| cause.to_string())
        };
        match self.runtime.get_or_init(start) {
            Ok(runtime) => Ok(runtime.block_on(future)),
            Err(cause) => Err(Error::Client { cause: cause.clone() }),
        }
    }

    /// Returns the body at an address.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the server has no such file, [`Error::TooLarge`] above `limit` bytes, others as named.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
        match self.get_if_changed(url, limit, &Validators::default()).await? {
            Conditional::Changed { bytes, .. } => Ok(bytes),
            Conditional::Unchanged => Err(Error::Status { url: mask(url), status: 304 }),
        }
    }

    /// Returns the body at an address unless it is the known version.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn get_if_changed(&self, url: &str, limit: u64, known: &Validators) -> Result<Conditional, Error> {
        let mut headers = HeaderMap::new();
        let given = [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.last_modified)];
        for (name, value) in given {
            if let Some(value) = value.as_ref().and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        // the same file through a cache that is behind would look like an attack
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("max-age=0"));
        let (mut failures, mut patience) = (0, Patience::new(self.options.document_time));
        loop {
            match patience.during(url, self.get_once(url, limit, &headers)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => retry::pause(failure, &mut failures, &self.options).await?,
            }
        }
    }

    async fn get_once(&self, url: &str, limit: u64, headers: &HeaderMap) -> Result<Conditional, retry::Failure> {
        let mut response = self.request(url, headers.clone()).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Conditional::Unchanged);
        }
        if response.status() != StatusCode::OK {
            return Err(Error::Status { url: mask(url), status: response.status().as_u16() }.into());
        }
        let too_large = || Error::TooLarge { url: mask(url), limit };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large().into());
        }
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let validators = Validators { etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED) };
        let mut bytes = Vec::new();
        let mut paced = Paced::new(self.pace());
        while let Some(chunk) = self.part(url, &mut response, &mut paced).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large().into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Conditional::Changed { bytes, validators })
    }

    /// Makes one request and sorts out the answers that are failures everywhere.
    async fn request(&self, url: &str, headers: HeaderMap) -> Result<Response, retry::Failure> {
        if self.options.offline {
            return Err(Error::Offline { url: mask(url) }.into());
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::Address { url: mask(url) }.into());
        }
        let Client { client, proxies } =
            self.client.get_or_init(|| client(&self.options)).as_ref().map_err(Error::again)?;
        let proxy = |url: Option<&Url>| url.and_then(|url| proxies.of(url));
        let sent = client.get(url).headers(headers).send().await;
        let response = sent.map_err(|cause| retry::Failure::of(url, &cause).through(proxy(cause.url()), &cause))?;
        let status = response.status();
        let proxy = proxy(Some(response.url()));
        match status.as_u16() {
            404 | 410 => Err(Error::NotFound { url: mask(url) }.into()),
            429 | 500..=599 => Err(retry::Failure::busy(url, &response, proxy)),
            400..=415 | 417..=428 | 430..=499 => Err(Error::of_status(url, status.as_u16(), proxy).into()),
            _ => Ok(response),
        }
    }

    fn pace(&self) -> Pace {
        let Options { idle_timeout, least_bytes, document_time, .. } = self.options;
        Pace { span: idle_timeout, least: least_bytes, document: document_time }
    }

    /// Returns the next bytes of a body.
    async fn part(
        &self,
        url: &str,
        response: &mut Response,
        paced: &mut Paced,
    ) -> Result<Option<Bytes>, retry::Failure> {
        let part = paced.next(response).await.ok_or_else(|| retry::Failure::slow(url, self.pace()))?;
        part.map_err(|cause| retry::Failure::of(url, &cause))
    }
}

/// The one place that chooses the TLS provider.
fn choose_tls_provider() {
    // an error only says that somebody was faster with the same choice
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// Returns the certificate authorities of a PEM file.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<reqwest::Certificate>, Error> {
    let parsed = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|certificates| !certificates.is_empty());
    parsed.ok_or_else(|| Error::Certificates { path: path.to_owned() })
}

fn client(options: &Options) -> Result<Client, Error> {
    choose_tls_provider();
    let proxies = Proxies::of_environment()?;
    let mut extra = Vec::new();
    if let Some(path) = &options.extra_ca {
        extra = certificates(path, &fs::read(path, CERTIFICATES_LIMIT)?)?;
    }
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("sockel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.idle_timeout)
            .no_proxy()
            .proxy(proxies.for_client())
            .referer(false)
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::custom(follow))
    };
    // a machine without any system certificates can still use http:// archives: trust comes from signatures
    let built = builder().tls_certs_merge(extra.clone()).build();
    let built = built.or_else(|_| builder().tls_certs_only(extra).build());
    let client = built.map_err(|cause| Error::Client { cause: error::chain(&cause) })?;
    Ok(Client { client, proxies })
}

/// Follows a few redirects, never from an encrypted to an open connection.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else if attempt.url().scheme() != "https" && (was_encrypted || attempt.url().scheme() != "http") {
        attempt.error("redirect from https to an open connection")
    } else {
        attempt.follow()
    }
}
