//! HTTP: downloads from any server ([`HttpClient`]: retry, timeout, size limit, resume), and requests to one host ([`HttpHost`]:
//! uploads, budget). Both have an offline switch.
//!
//! Client and runtime are created on first use, so that commands without network access do not pay for them.

mod budget;
mod download;
mod error;
mod exchange;
mod host;
mod login;
mod pace;
mod proxy;
mod pulse;
mod retry;
mod streak;

pub use bytes::Bytes;
pub use download::DownloadPiece;
pub use download::DownloadTarget;
pub use error::Error;
pub use error::mask;
pub use exchange::HttpRequest;
pub use exchange::HttpResponse;
pub use exchange::RequestBody;
pub use exchange::SentBytes;
pub use host::HostOptions;
pub use host::HttpHost;
pub use login::HostLogin;
pub use login::LoginTable;
pub use pace::DOCUMENT_TIME;
pub use pace::LEAST;
pub use pace::MinimumPace;
pub(crate) use pace::Patience;
pub use proxy::FallbackProxies;
pub use proxy::is_loopback;
pub use reqwest::Method;
pub use reqwest::header;
pub(crate) use retry::FailedAttempt;
pub use retry::retry_after;
pub(crate) use streak::FailureStreak;
pub use streak::OUTAGE;
pub(crate) use streak::RetryAdvice;

use crate::sys::fs;
use crate::sys::http::pace::BodyPace;
use crate::sys::http::proxy::ProxySettings;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::AsHeaderName;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use reqwest::redirect;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// Largest file of certificates or keys. The bundle of a whole system has less than 1 MiB.
const CERTIFICATES_LIMIT: u64 = 16 << 20;

/// Most redirects of one request.
const REDIRECTS: usize = 5;

/// How to make requests. There is no default: the caller decides.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Refuse every request.
    pub offline: bool,
    /// PEM file of certificate authorities to trust in addition to the system's.
    pub extra_ca: Option<PathBuf>,
    /// Longest time to establish a connection.
    pub connect_timeout: Duration,
    /// Longest time without a single byte, and the span of [`HttpOptions::least_bytes`].
    pub idle_timeout: Duration,
    /// Least bytes of a body in each such span of time; see [`MinimumPace`].
    pub least_bytes: u64,
    /// Longest time that waiting for one document takes, all attempts together.
    pub document_time: Duration,
    /// Most attempts of one request, if its failures may pass.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one.
    pub backoff: Duration,
}

impl HttpOptions {
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

/// What a client knows about single hosts.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    /// Logins, each for its own host.
    pub logins: LoginTable,
    /// Proxies where the environment names none.
    pub proxies: FallbackProxies,
    /// Files with client certificate and key in PEM, by host; shown to that host alone.
    pub certificates: BTreeMap<String, Vec<PathBuf>>,
}

/// The door to the network.
#[derive(Debug)]
pub struct HttpClient {
    options: HttpOptions,
    known: KnownHosts,
    /// Clients with a certificate, by host.
    identified: BTreeMap<String, OnceLock<Result<ProxiedClient, Error>>>,
    runtime: OnceLock<Result<Runtime, String>>,
    client: OnceLock<Result<ProxiedClient, Error>>,
}

/// The HTTP client with the proxies that it uses.
#[derive(Debug)]
struct ProxiedClient {
    client: reqwest::Client,
    proxies: ProxySettings,
}

/// Validators of the known version of a file (RFC 9110, 8.8), for conditional requests (RFC 9110, 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CacheValidators {
    /// `ETag` of the known version.
    pub etag: Option<String>,
    /// `Last-Modified` of the known version.
    pub last_modified: Option<String>,
}

impl CacheValidators {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: header_text(headers, header::ETAG).map(str::to_owned),
            last_modified: header_text(headers, header::LAST_MODIFIED).map(str::to_owned),
        }
    }

    /// Returns the headers of a conditional request.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let conditions = [(header::IF_NONE_MATCH, &self.etag), (header::IF_MODIFIED_SINCE, &self.last_modified)];
        for (name, value) in conditions {
            // without the header the server sends the file, which is never wrong
            if let Some(value) = value.as_ref().and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// Answer to a conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionalResponse {
    /// The known version is the current one.
    Unchanged,
    /// The server has another version.
    Changed {
        /// Bytes of the new version.
        bytes: Vec<u8>,
        /// Validators of the new version, for the next request.
        validators: CacheValidators,
    },
}

impl HttpClient {
    /// Returns a door without opening it; costs nothing.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        let (known, identified) = Default::default();
        Self { options, known, identified, runtime: OnceLock::new(), client: OnceLock::new() }
    }

    /// Adds what is known about single hosts.
    #[must_use]
    pub fn knowing(self, known: KnownHosts) -> Self {
        let identified = known.certificates.keys().map(|host| (host.clone(), OnceLock::new())).collect();
        Self { known, identified, ..self }
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
        match self.runtime.get_or_init(start_runtime) {
            Ok(runtime) => Ok(runtime.block_on(future)),
            Err(cause) => Err(Error::Client { cause: cause.clone() }),
        }
    }

    /// Returns the body at an address.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the server has no such file, [`Error::TooLarge`] above `limit` bytes, others as named.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
        match self.get_if_changed(url, limit, &CacheValidators::default()).await? {
            ConditionalResponse::Changed { bytes, .. } => Ok(bytes),
            // "not modified" answers a question that was not asked
            ConditionalResponse::Unchanged => Err(Error::Status { url: mask(url), status: 304 }),
        }
    }

    /// Returns the body at an address unless it is the known version.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn get_if_changed(
        &self,
        url: &str,
        limit: u64,
        known: &CacheValidators,
    ) -> Result<ConditionalResponse, Error> {
        self.get_within(url, limit, known, self.options.attempts).await
    }

    /// As [`HttpClient::get_if_changed`], without further attempts.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn get_if_changed_once(
        &self,
        url: &str,
        limit: u64,
        known: &CacheValidators,
    ) -> Result<ConditionalResponse, Error> {
        self.get_within(url, limit, known, 1).await
    }

    async fn get_within(
        &self,
        url: &str,
        limit: u64,
        known: &CacheValidators,
        attempts: u32,
    ) -> Result<ConditionalResponse, Error> {
        let mut headers = known.headers();
        // an old version from a cache that is behind would look like a rollback attack
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));

        let (mut failures, mut patience) = (0, Patience::new(self.options.document_time));
        loop {
            match patience.during(url, self.get_once(url, limit, &headers)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failures + 1 >= attempts => return Err(failure.error),
                Err(failure) => retry::pause(failure, &mut failures, &self.options).await?,
            }
        }
    }

    async fn get_once(
        &self,
        url: &str,
        limit: u64,
        headers: &HeaderMap,
    ) -> Result<ConditionalResponse, retry::FailedAttempt> {
        let mut response = self.request(url, headers.clone()).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(ConditionalResponse::Unchanged);
        }
        if response.status() != StatusCode::OK {
            return Err(Error::Status { url: mask(url), status: response.status().as_u16() }.into());
        }

        // saves the transfer where the server tells the length
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { url: mask(url), limit }.into());
        }
        let validators = CacheValidators::of(response.headers());

        let mut bytes = Vec::new();
        let mut paced = BodyPace::new(self.pace());
        while let Some(chunk) = self.part(url, &mut response, &mut paced).await? {
            // counted before it is kept: an endless body must not fill the memory
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { url: mask(url), limit }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(ConditionalResponse::Changed { bytes, validators })
    }

    /// Makes one request, and turns the statuses that are failures for every caller into errors.
    async fn request(&self, url: &str, mut headers: HeaderMap) -> Result<Response, retry::FailedAttempt> {
        if self.options.offline {
            return Err(Error::Offline { url: mask(url) }.into());
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::Address { url: mask(url) }.into());
        }

        let parsed = Url::parse(url).ok();
        // a redirect to another host leaves the login behind: the client drops it there
        if let Some(login) = parsed.as_ref().and_then(|url| self.known.logins.header(url)) {
            headers.insert(header::AUTHORIZATION, login);
        }
        let ProxiedClient { client, proxies } = self.client_for(parsed.as_ref())?;
        let response = client.get(url).headers(headers).send().await.map_err(|cause| {
            // after a redirect the address may have another proxy than at first
            let proxy = cause.url().and_then(|url| proxies.of(url));
            retry::FailedAttempt::of(url, &cause).through(proxy, &cause)
        })?;

        let proxy = proxies.of(response.url());
        match response.status().as_u16() {
            404 | 410 => Err(Error::NotFound { url: mask(url) }.into()),
            429 | 500..=599 => Err(retry::FailedAttempt::busy(url, &response, proxy)),
            // all other refusals; 416 is left to downloads, which then begin again
            status @ (400..=415 | 417..=499) => Err(Error::of_status(url, status, proxy).into()),
            _ => Ok(response),
        }
    }

    /// Returns the client for an address: one of its own for a host that is to see a certificate.
    fn client_for(&self, url: Option<&Url>) -> Result<&ProxiedClient, Error> {
        let host = url.filter(|url| url.scheme() == "https").and_then(Url::host_str);
        let made = match host.and_then(|host| Some((self.identified.get(host)?, self.known.certificates.get(host)?))) {
            Some((cell, files)) => cell.get_or_init(|| client(&self.options, &self.known.proxies, Some(files))),
            None => self.client.get_or_init(|| client(&self.options, &self.known.proxies, None)),
        };
        made.as_ref().map_err(Error::again)
    }

    fn pace(&self) -> MinimumPace {
        let HttpOptions { idle_timeout, least_bytes, document_time, .. } = self.options;
        MinimumPace { span: idle_timeout, least: least_bytes, document: document_time }
    }

    /// Returns the next bytes of a body.
    async fn part(
        &self,
        url: &str,
        response: &mut Response,
        paced: &mut BodyPace,
    ) -> Result<Option<Bytes>, retry::FailedAttempt> {
        let part = paced.next(response).await.ok_or_else(|| retry::FailedAttempt::slow(url, self.pace()))?;
        part.map_err(|cause| retry::FailedAttempt::of(url, &cause))
    }
}

/// Starts the runtime. Its threads wait for the network; work on bytes has threads of its own.
fn start_runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("sockel-http").enable_all().build().map_err(|cause| cause.to_string())
}

/// Returns a header that is text.
fn header_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The one place that chooses the TLS provider.
fn choose_tls_provider() {
    // an error only tells that another thread was faster with the same choice
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// Returns the certificate authorities of a PEM file, or none without a file.
fn authorities(path: Option<&Path>) -> Result<Vec<reqwest::Certificate>, Error> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let pem = fs::read(path, CERTIFICATES_LIMIT)?;
    let parsed = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|certificates| !certificates.is_empty());
    // an empty file is a mistake that would show much later, as a server that is not trusted
    parsed.ok_or_else(|| Error::Certificates { path: path.to_owned() })
}

fn client(
    options: &HttpOptions,
    fallback: &FallbackProxies,
    certificate: Option<&Vec<PathBuf>>,
) -> Result<ProxiedClient, Error> {
    choose_tls_provider();
    let proxies = ProxySettings::of_environment()?.with_fallback(fallback);
    let identity = certificate.map(|files| identity(files)).transpose()?;
    let builder = |options: &HttpOptions, proxies: &ProxySettings| match &identity {
        // no other host is to see the certificate
        Some(identity) => {
            let stays = redirect::Policy::custom(follow_on_same_host);
            builder(options, proxies).identity(identity.clone()).redirect(stays)
        }
        None => builder(options, proxies),
    };
    let authorities = authorities(options.extra_ca.as_deref())?;

    // a machine without any system certificates can still use http:// archives: trust comes from signatures
    let merged = builder(options, &proxies).tls_certs_merge(authorities.clone()).build();
    let built = merged.or_else(|_| builder(options, &proxies).tls_certs_only(authorities).build());
    let client = built.map_err(|cause| Error::Client { cause: error::chain(&cause) })?;
    Ok(ProxiedClient { client, proxies })
}

/// Returns the builder of the client, which still has to learn its authorities.
fn builder(options: &HttpOptions, proxies: &ProxySettings) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("sockel/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        // the client would read the environment by rules of its own; ours are in `proxies`
        .no_proxy()
        .proxy(proxies.for_client())
        // an address may have a key in its query, which is for its own host alone
        .referer(false)
        // retries are decided here, where progress is known
        .retry(reqwest::retry::never())
        .redirect(redirect::Policy::custom(follow))
}

/// Reads a client certificate and its key, which may be in one file or in two.
fn identity(files: &[PathBuf]) -> Result<reqwest::Identity, Error> {
    let mut pem = Vec::new();
    for file in files {
        pem.extend(fs::read(file, CERTIFICATES_LIMIT)?);
        pem.push(b'\n');
    }
    let path = files.first().cloned().unwrap_or_default();
    reqwest::Identity::from_pem(&pem).map_err(|_| Error::Identity { path })
}

/// As [`follow`], to the same host alone.
fn follow_on_same_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let host = attempt.previous().last().and_then(Url::host_str);
    if host == attempt.url().host_str() {
        follow(attempt)
    } else {
        attempt.error("redirect to a host that is not to see the client certificate")
    }
}

/// Follows a few redirects, never from an encrypted to an unencrypted connection.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else if attempt.url().scheme() != "https" && (was_encrypted || attempt.url().scheme() != "http") {
        attempt.error("redirect from https to an unencrypted connection")
    } else {
        attempt.follow()
    }
}
