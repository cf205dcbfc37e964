//! Requests to one host: in parallel within a budget, retried with jitter, and with one pause for all.
//!
//! Made for registries: HTTP/1.1, because parallel uploads over one HTTP/2 connection hold each other up; no cookies,
//! because Harbor's session cookie switches its CSRF protection on; credentials never follow a redirect to another host.

use crate::sys::fs;
use crate::sys::http::CERTIFICATES_LIMIT;
use crate::sys::http::Error;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::REDIRECTS;
use crate::sys::http::authorities;
use crate::sys::http::budget::HostBudget;
use crate::sys::http::choose_tls_provider;
use crate::sys::http::error;
use crate::sys::http::mask;
use crate::sys::http::pace::DOCUMENT_TIME;
use crate::sys::http::pace::LEAST;
use crate::sys::http::pace::MinimumPace;
use crate::sys::http::pace::Patience;
use crate::sys::http::proxy::ProxySettings;
use crate::sys::http::pulse::RequestPulse;
use crate::sys::http::retry;
use crate::sys::http::retry::FailedAttempt;
use crate::sys::http::streak::FailureStreak;
use crate::sys::http::streak::OUTAGE;
use crate::sys::http::streak::RetryAdvice;
use crate::sys::http::streak::RetryLimits;
use reqwest::Client;
use reqwest::ClientBuilder;
use reqwest::Identity;
use reqwest::Method;
use reqwest::Response;
use reqwest::header;
use reqwest::redirect;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use url::Url;

/// Requests without bodies in either direction are cheap: allow this many per ordinary request.
const LOOKUPS: usize = 4;

/// Most bytes that are read of a busy host's words, and the longest time for them.
const SAID: usize = 16 << 10;
const SAID_TIME: Duration = Duration::from_secs(2);

/// How to talk to one host.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Refuse every request.
    pub offline: bool,
    /// PEM file of certificate authorities to trust in addition to the system's.
    pub extra_ca: Option<PathBuf>,
    /// PEM files of authorities to trust for this host as well.
    pub authorities: Vec<PathBuf>,
    /// PEM file with a client certificate, its chain and its key (mutual TLS).
    pub identity: Option<PathBuf>,
    /// PEM file with the key, where it is in a file of its own.
    pub identity_key: Option<PathBuf>,
    /// Longest time to establish a connection.
    pub connect_timeout: Duration,
    /// Longest time without a single byte in either direction, and the span of [`HostOptions::least_bytes`].
    pub idle_timeout: Duration,
    /// Least bytes of an answer's body in each such span of time; see [`MinimumPace`].
    pub least_bytes: u64,
    /// Longest time that waiting for one document takes, all attempts together.
    pub document_time: Duration,
    /// How often one request is made when the cause may pass.
    pub attempts: u32,
    /// How long an outage of a host that answered before is waited for, however many attempts that takes.
    pub outage: Duration,
    /// Pause before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// Most requests at one time.
    pub parallel: usize,
}

impl HostOptions {
    /// Returns the settings of normal commands: registries lose upload sessions under more than a few parallel ones.
    #[must_use]
    pub fn usual(offline: bool) -> Self {
        Self {
            offline,
            extra_ca: None,
            authorities: Vec::new(),
            identity: None,
            identity_key: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            least_bytes: LEAST,
            document_time: DOCUMENT_TIME,
            attempts: 6,
            outage: OUTAGE,
            backoff: Duration::from_millis(500),
            parallel: 4,
        }
    }
}

/// One host, and how many requests it takes at present.
#[derive(Debug)]
pub struct HttpHost {
    options: HostOptions,
    plain: OnceLock<Result<Client, Error>>,
    encrypted: OnceLock<Result<Client, Error>>,
    proxies: OnceLock<Result<ProxySettings, Error>>,
    /// Budget of requests that move bodies.
    budget: HostBudget,
    /// Budget of requests without bodies.
    lookups: HostBudget,
    /// It has answered a request, so that silence from now on is an outage.
    has_answered: AtomicBool,
}

impl HttpHost {
    /// Returns a host without connecting to it; costs nothing.
    #[must_use]
    pub fn new(options: HostOptions) -> Self {
        let budget = HostBudget::new(options.parallel);
        let lookups = HostBudget::new(options.parallel.saturating_mul(LOOKUPS));
        let (plain, encrypted, proxies) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { options, plain, encrypted, proxies, budget, lookups, has_answered: AtomicBool::new(false) }
    }

    /// Makes a request, and repeats it while its failures may pass (no connection, 408, 429, 5xx): a number of times, or
    /// for a time where the host is away ([`HostOptions::outage`]).
    ///
    /// # Errors
    /// The last failure. Any other status is an answer.
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Error> {
        let (mut failures, mut patience) = (FailureStreak::default(), self.patience());
        loop {
            match self.send_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if !patience.lose(failure.silence()) => return Err(failure.error),
                Err(failure) => self.pause(failure, &mut failures).await?,
            }
        }
    }

    /// Makes a request once, following redirects of GET and HEAD. Together with [`HttpHost::pause`] it serves operations of
    /// several requests that must be restarted as a whole.
    pub(crate) async fn send_once(&self, request: &HttpRequest) -> Result<HttpResponse, FailedAttempt> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(&request).await?;
            // other methods change something, and nobody asked for that change at another address
            let follows = request.method == Method::GET || request.method == Method::HEAD;
            if !follows || !matches!(answer.status(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }

            let target = answer.header("location").and_then(|location| request.url.join(location).ok());
            request = redirected(request, target)?;
        }

        let cause = "too many redirects".to_owned();
        Err(Error::Unreachable { url: mask(request.url.as_str()), cause }.into())
    }

    /// Makes one request within the host's budget, and separates answers from failures.
    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, FailedAttempt> {
        let url = request.url.as_str();
        if self.options.offline {
            return Err(Error::Offline { url: mask(url) }.into());
        }
        let client = self.client(request)?;
        let proxy = self.proxies()?.of(&request.url);

        let budget = if request.method == Method::HEAD { &self.lookups } else { &self.budget };
        let permit = budget.permit().await;
        let response = match self.transmit(request, client, proxy).await {
            Ok(response) => response,
            Err(failure) => {
                // connections break under load, too; what fails on this side tells nothing about the host
                if matches!(failure.error, Error::Unreachable { .. }) {
                    budget.busy(permit, None);
                }
                return Err(failure);
            }
        };

        match response.status().as_u16() {
            // comes from the proxy alone, and another attempt has no login either
            407 => Err(Error::of_status(url, 407, proxy).into()),
            408 | 429 | 500..=599 => {
                let mut failure = FailedAttempt::busy(url, &response, proxy);
                failure.said = said(response).await.into();
                budget.busy(permit, failure.asked_pause());
                // the host asks for a pause of all requests, whichever budget they are in
                self.budget.rest(failure.asked_pause());
                self.lookups.rest(failure.asked_pause());
                Err(failure)
            }
            _ => {
                self.has_answered.store(true, Ordering::Relaxed);
                let HostOptions { idle_timeout, least_bytes, document_time, .. } = self.options;
                let pace = MinimumPace { span: idle_timeout, least: least_bytes, document: document_time };
                Ok(HttpResponse::new(url, proxy, response, pace, permit))
            }
        }
    }

    /// Sends a request and waits for the head of its answer, as long as bytes move.
    async fn transmit(
        &self,
        request: &HttpRequest,
        client: &Client,
        proxy: Option<&Url>,
    ) -> Result<Response, FailedAttempt> {
        let url = request.url.as_str();
        let pulse = RequestPulse::new();
        let sending = request.prepare(client, &pulse)?.send();
        // a limit on the whole request would also end a large upload that makes progress
        let sent = tokio::select! {
            sent = sending => sent.map_err(|cause| FailedAttempt::of(url, &cause).through(proxy, &cause)),
            () = pulse.stops(self.options.idle_timeout) => Err(FailedAttempt::silent(url, self.options.idle_timeout)),
        };

        // a file that cannot be read looks like a broken connection to the client
        match pulse.failure() {
            Some(error) if sent.is_err() => Err(Error::from(error).into()),
            _ => sent,
        }
    }

    /// Returns the client for a request. Reading the system's certificates takes longer than several requests, so plain
    /// http has a client without them.
    fn client(&self, request: &HttpRequest) -> Result<&Client, Error> {
        let is_plain = request.url.scheme() == "http";
        let cell = if is_plain { &self.plain } else { &self.encrypted };
        let proxies = self.proxies()?;
        cell.get_or_init(|| client(&self.options, is_plain, proxies)).as_ref().map_err(Error::again)
    }

    fn proxies(&self) -> Result<&ProxySettings, Error> {
        self.proxies.get_or_init(ProxySettings::of_environment).as_ref().map_err(Error::again)
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure itself when it cannot pass, or attempts and time are used up.
    pub(crate) async fn pause(&self, failure: FailedAttempt, failures: &mut FailureStreak) -> Result<(), Error> {
        if failure.may_pass() && self.rest(failures, failure.advice()).await { Ok(()) } else { Err(failure.error) }
    }

    /// Waits before the next attempt; tells whether one is left.
    pub(crate) async fn rest(&self, failures: &mut FailureStreak, advice: RetryAdvice) -> bool {
        let HostOptions { attempts, outage, backoff, .. } = self.options;
        let outage = if self.has_answered.load(Ordering::Relaxed) { outage } else { Duration::ZERO };
        if !failures.grow(advice, RetryLimits { attempts, outage }, Instant::now()) {
            return false;
        }
        retry::jitter(backoff, failures.count(), advice.asked_pause).await;
        true
    }

    /// Returns the patience for one document.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.options.document_time)
    }

    /// Takes an answer that only a busy host gives: fewer requests from now on.
    pub(crate) fn was_busy(&self, answer: HttpResponse) {
        self.budget.busy(answer.into_permit(), None);
    }

    /// Returns how many requests may run at one time.
    #[must_use]
    pub fn parallel(&self) -> usize {
        self.options.parallel.max(1)
    }
}

/// Reads the beginning of what a busy host says about itself; nothing where that does not come at once.
async fn said(mut response: Response) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = async {
        while let Ok(Some(part)) = response.chunk().await {
            said.extend_from_slice(&part[..part.len().min(SAID - said.len())]);
            if said.len() == SAID {
                break;
            }
        }
    };
    // the words serve a message only: the request is repeated with or without them
    let _may_be_late = tokio::time::timeout(SAID_TIME, reading).await;
    said
}

/// Returns the request for the target of a redirect; credentials stay with the host that they are for.
fn redirected(mut request: HttpRequest, target: Option<Url>) -> Result<HttpRequest, FailedAttempt> {
    let Some(target) = target else {
        return Err(refused_redirect(&request, "a redirect without a valid address"));
    };
    // never from https to plain http, and never to another scheme, such as `file:`
    if target.scheme() != "https" && (request.url.scheme() == "https" || target.scheme() != "http") {
        let cause = format!("redirect from https to an unencrypted connection, `{}`", mask(target.as_str()));
        return Err(refused_redirect(&request, &cause));
    }

    // an origin is scheme, host and port: registries redirect blobs to object stores, which need no login
    if target.origin() != request.url.origin() {
        request.headers.remove(header::AUTHORIZATION);
    }
    request.url = target;
    Ok(request)
}

fn refused_redirect(request: &HttpRequest, cause: &str) -> FailedAttempt {
    Error::Unreachable { url: mask(request.url.as_str()), cause: cause.to_owned() }.into()
}

fn client(options: &HostOptions, is_plain: bool, proxies: &ProxySettings) -> Result<Client, Error> {
    choose_tls_provider();
    let mut authorities = authorities(options.extra_ca.as_deref())?;
    for path in &options.authorities {
        authorities.extend(crate::sys::http::authorities(Some(path))?);
    }
    let identity = options.identity.as_deref();
    let identity = identity.map(|path| self::identity(path, options.identity_key.as_deref())).transpose()?;

    let merged = builder(options, proxies, identity.as_ref()).tls_certs_merge(authorities.clone());
    let only = builder(options, proxies, identity.as_ref()).tls_certs_only(authorities);
    // merging reads the system's certificates, and fails where there are none
    let built = if is_plain { only.build() } else { merged.build().or_else(|_| only.build()) };
    built.map_err(|cause| Error::Client { cause: error::chain(&cause) })
}

/// Reads a client certificate with its key, which may be in a file of its own.
fn identity(path: &Path, key: Option<&Path>) -> Result<Identity, Error> {
    let mut pem = fs::read(path, CERTIFICATES_LIMIT)?;
    if let Some(key) = key {
        pem.push(b'\n');
        pem.extend(fs::read(key, CERTIFICATES_LIMIT)?);
    }
    Identity::from_pem(&pem).map_err(|_| Error::Identity { path: path.to_owned() })
}

/// Returns the builder of a client, which still has to learn its authorities.
fn builder(options: &HostOptions, proxies: &ProxySettings, identity: Option<&Identity>) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("sockel/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .http1_only()
        // the client would read the environment by rules of its own; ours are in `proxies`
        .no_proxy()
        .proxy(proxies.for_client())
        // an address may have a key in its query, which is for its own host alone
        .referer(false)
        // retries and redirects are decided here, where the budget and the credentials are known
        .retry(reqwest::retry::never())
        .redirect(redirect::Policy::none());
    match identity {
        Some(identity) => builder.identity(identity.clone()),
        None => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::http::RequestBody;

    fn request(url: &str) -> HttpRequest {
        let mut request = HttpRequest::new(Method::GET, url.parse().unwrap(), RequestBody::Empty);
        request.headers.insert(header::AUTHORIZATION, "Basic x".parse().unwrap());
        request
    }

    #[test]
    fn credentials_stay_with_their_host() {
        // from, to, still has credentials
        let cases = [
            ("https://a.example/x", "https://a.example/y", Some(true)),
            ("https://a.example/x", "https://a.example:8443/y", Some(false)),
            ("https://a.example/x", "https://b.example/y", Some(false)),
            ("http://a.example/x", "https://a.example/y", Some(false)),
            ("https://a.example/x", "http://a.example/y", None),
            ("https://a.example/x", "file:///etc/passwd", None),
        ];
        for (from, to, expected) in cases {
            let next = redirected(request(from), to.parse().ok()).ok();
            assert_eq!(next.map(|next| next.headers.contains_key(header::AUTHORIZATION)), expected, "{from} {to}");
        }
        assert!(redirected(request("https://a.example"), None).is_err());
    }
}
