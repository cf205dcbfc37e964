//! Conversations with one host: parallel requests within a budget, retries with jitter, one pause for all.
//!
//! Made for registries: HTTP/1.1, because parallel uploads over one HTTP/2 connection hold each other up; no cookies,
//! because Harbor's session cookie switches its CSRF protection on; credentials never follow a redirect elsewhere.

use crate::sys::fs;
use crate::sys::http::Answer;
use crate::sys::http::Error;
use crate::sys::http::Request;
use crate::sys::http::budget::Budget;
use crate::sys::http::error;
use crate::sys::http::mask;
use crate::sys::http::pace::DOCUMENT_TIME;
use crate::sys::http::pace::LEAST;
use crate::sys::http::pace::Pace;
use crate::sys::http::pace::Patience;
use crate::sys::http::proxy::Proxies;
use crate::sys::http::pulse::Pulse;
use crate::sys::http::retry;
use crate::sys::http::retry::Failure;
use reqwest::Method;
use reqwest::header;
use reqwest::redirect;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use url::Url;

/// Largest file of certificates or keys.
const CERTIFICATES_LIMIT: u64 = 16 << 20;

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// How one host is talked to.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Refuse every request.
    pub offline: bool,
    /// PEM file of certificate authorities that are trusted besides the system's.
    pub extra_ca: Option<PathBuf>,
    /// PEM file with a client certificate, its chain and its key (mutual TLS).
    pub identity: Option<PathBuf>,
    /// Longest time to build a connection.
    pub connect_timeout: Duration,
    /// Longest time without a single byte in either direction, and for [`HostOptions::least_bytes`].
    pub idle_timeout: Duration,
    /// Least bytes of an answer's body in each such span of time; see [`Pace`].
    pub least_bytes: u64,
    /// Longest time that waiting for one document takes, all attempts together.
    pub document_time: Duration,
    /// How often one request is made when the cause may pass.
    pub attempts: u32,
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
            identity: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            least_bytes: LEAST,
            document_time: DOCUMENT_TIME,
            attempts: 6,
            backoff: Duration::from_millis(500),
            parallel: 4,
        }
    }
}

/// One host and what is known about how busy it is.
#[derive(Debug)]
pub struct Host {
    options: HostOptions,
    plain: OnceLock<Result<reqwest::Client, Error>>,
    encrypted: OnceLock<Result<reqwest::Client, Error>>,
    proxies: OnceLock<Result<Proxies, Error>>,
    budget: Budget,
    lookups: Budget,
}

/// Requests without bodies in either direction cost a host little: so many at a time for each one of the others.
const LOOKUPS: usize = 4;

impl Host {
    /// Returns a host that nobody has talked to yet; costs nothing.
    #[must_use]
    pub fn new(options: HostOptions) -> Self {
        let (budget, lookups) = (Budget::new(options.parallel), Budget::new(options.parallel.saturating_mul(LOOKUPS)));
        let (plain, encrypted, proxies) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { options, plain, encrypted, proxies, budget, lookups }
    }

    /// Makes a request, again when the cause may pass (no connection, 408, 429, 5xx).
    ///
    /// # Errors
    /// The last failure. Any other status is an answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let (mut failures, mut patience) = (0, self.patience());
        loop {
            match self.send_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if !patience.lose(failure.silence()) => return Err(failure.error),
                Err(failure) => self.pause(failure, &mut failures).await?,
            }
        }
    }

    /// Makes a request once, following redirects of GET and HEAD. For work of several requests that has to be begun
    /// anew as a whole, together with [`Host::pause`].
    pub(crate) async fn send_once(&self, request: &Request) -> Result<Answer, Failure> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(&request).await?;
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

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure> {
        let url = request.url.as_str();
        if self.options.offline {
            return Err(Error::Offline { url: mask(url) }.into());
        }
        let client = self.client(request)?;
        let proxy = self.proxies()?.of(&request.url);
        let budget = if request.method == Method::HEAD { &self.lookups } else { &self.budget };
        let permit = budget.permit().await;
        let pulse = Pulse::new();
        let sending = request.prepare(client, &pulse)?.send();
        let sent = tokio::select! {
            sent = sending => sent.map_err(|cause| Failure::of(url, &cause).through(proxy, &cause)),
            () = pulse.stops(self.options.idle_timeout) => Err(Failure::silent(url, self.options.idle_timeout)),
        };
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                if let Some(error) = pulse.failure() {
                    return Err(Error::from(error).into());
                }
                budget.busy(permit, None);
                return Err(failure);
            }
        };
        match response.status().as_u16() {
            407 => Err(Error::of_status(url, 407, proxy).into()),
            408 | 429 | 500..=599 => {
                let failure = Failure::busy(url, &response, proxy);
                budget.busy(permit, failure.asked_pause());
                // the pause is for everything that the host is asked
                self.budget.rest(failure.asked_pause());
                self.lookups.rest(failure.asked_pause());
                Err(failure)
            }
            _ => {
                let HostOptions { idle_timeout, least_bytes, document_time, .. } = self.options;
                let pace = Pace { span: idle_timeout, least: least_bytes, document: document_time };
                Ok(Answer::new((mask(url), proxy), response, pace, permit))
            }
        }
    }

    /// Reading the system's certificates takes longer than several requests, so plain http does not wait for it.
    fn client(&self, request: &Request) -> Result<&reqwest::Client, Error> {
        let is_plain = request.url.scheme() == "http";
        let cell = if is_plain { &self.plain } else { &self.encrypted };
        let proxies = self.proxies()?;
        cell.get_or_init(|| client(&self.options, is_plain, proxies)).as_ref().map_err(Error::again)
    }

    fn proxies(&self) -> Result<&Proxies, Error> {
        self.proxies.get_or_init(Proxies::of_environment).as_ref().map_err(Error::again)
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure itself when it cannot pass or the attempts are used up.
    pub(crate) async fn pause(&self, failure: Failure, failures: &mut u32) -> Result<(), Error> {
        if failure.may_pass() && self.rest(failures, failure.asked_pause()).await { Ok(()) } else { Err(failure.error) }
    }

    /// Waits before the next attempt; tells whether there is one.
    pub(crate) async fn rest(&self, failures: &mut u32, asked_pause: Option<Duration>) -> bool {
        *failures += 1;
        if *failures >= self.options.attempts {
            return false;
        }
        retry::jitter(self.options.backoff, *failures, asked_pause).await;
        true
    }

    /// Returns the patience for one document.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.options.document_time)
    }

    /// Takes an answer that only a busy host gives: fewer requests from now on.
    pub(crate) fn was_busy(&self, answer: Answer) {
        self.budget.busy(answer.into_permit(), None);
    }

    /// Returns how many requests there may be at one time.
    #[must_use]
    pub fn parallel(&self) -> usize {
        self.options.parallel.max(1)
    }
}

/// Returns the request for the next address; credentials stay with the host they were meant for.
fn redirected(mut request: Request, target: Option<Url>) -> Result<Request, Failure> {
    let refuse = |cause: &str| Error::Unreachable { url: mask(request.url.as_str()), cause: cause.to_owned() };
    let target = target.ok_or_else(|| refuse("a redirect without a sound address"))?;
    if target.scheme() != "https" && (request.url.scheme() == "https" || target.scheme() != "http") {
        return Err(refuse("redirect from https to an open connection").into());
    }
    if target.origin() != request.url.origin() {
        request.headers.remove(header::AUTHORIZATION);
    }
    request.url = target;
    Ok(request)
}

fn client(options: &HostOptions, is_plain: bool, proxies: &Proxies) -> Result<reqwest::Client, Error> {
    crate::sys::http::choose_tls_provider();
    let read = |path: &Option<PathBuf>| match path {
        Some(path) => fs::read(path, CERTIFICATES_LIMIT).map(Some),
        None => Ok(None),
    };
    let mut authorities = Vec::new();
    if let (Some(path), Some(pem)) = (&options.extra_ca, read(&options.extra_ca)?) {
        authorities = crate::sys::http::certificates(path, &pem)?;
    }
    let mut identity = None;
    if let (Some(path), Some(pem)) = (&options.identity, read(&options.identity)?) {
        let parsed = reqwest::Identity::from_pem(&pem).map_err(|_| Error::Identity { path: path.clone() })?;
        identity = Some(parsed);
    }
    let builder = || {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sockel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .http1_only()
            .no_proxy()
            .proxy(proxies.for_client())
            .referer(false)
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none());
        if let Some(identity) = &identity {
            builder = builder.identity(identity.clone());
        }
        builder
    };
    let built = if is_plain {
        builder().tls_certs_only(authorities).build()
    } else {
        let built = builder().tls_certs_merge(authorities.clone()).build();
        built.or_else(|_| builder().tls_certs_only(authorities).build())
    };
    built.map_err(|cause| Error::Client { cause: error::chain(&cause) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::http::Body;

    fn request(url: &str) -> Request {
        let mut request = Request::new(Method::GET, url.parse().unwrap(), Body::Empty);
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
