//! Harbor's own API, version 2.0: everything that the OCI distribution API does not cover.
//!
//! - **In**: a connection, an address, a login.
//! - **Out**: projects set up ([`setup`]), scan reports for the gate ([`scan`]), released images ([`promote`]), events
//!   ([`webhook`]).
//! - **Invariants**: every call may be repeated; the size of responses is limited; no error contains a secret; a
//!   registry of another kind is distinguished from a Harbor that does not answer ([`Harbor::discover`]).
//! - **Not here**: pushing and pulling (`oci::registry`), the verdict ([`crate::gate`]).

mod artifact;
mod discover;
mod error;
mod name;
mod project;
pub mod promote;
pub mod report;
pub mod rights;
pub mod scan;
pub mod setup;
mod time;
pub mod webhook;

pub use artifact::HarborArtifact;
pub use artifact::ScanOverview;
pub use discover::Discovered;
pub use discover::HarborVersion;
pub use error::Error;
pub use name::Repository;
pub use project::HarborProject;
pub use project::OwnRights;
pub use project::StorageRoom;

pub use crate::oci::registry::HarborRefusal;

use crate::harbor::error::Refusal;
use crate::oci::registry::credentials::LoginAudience;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::HttpHost;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header::ACCEPT;
use crate::sys::http::header::AUTHORIZATION;
use crate::sys::http::header::CONTENT_TYPE;
use crate::sys::http::header::HeaderValue;
use crate::values::Login;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use url::Url;

/// Largest response, except reports and logs.
const LIMIT: u64 = 8 << 20;

/// Entries per page; Harbor's own limit.
const PAGE: usize = 100;

/// Most pages of one list.
const PAGES: usize = 50;

/// The report format that is read (`pkg/scan/rest/v1`); without this header Harbor may send an older format.
pub(crate) const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";

/// A client of one Harbor, with an account.
#[derive(Debug)]
pub struct Harbor<'a> {
    host: &'a HttpHost,
    origin: Url,
    login: Login,
    started: i64,
    requests: AtomicU64,
}

/// A call to Harbor's API.
pub(crate) struct HarborRequest {
    action: String,
    method: Method,
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    limit: u64,
    /// Media type of the response.
    accept: &'static str,
    /// Whether the call is never retried: a retry could create a second object, or miss the response to the first.
    once: bool,
}

/// A successful response.
pub(crate) struct HarborReply {
    action: String,
    body: Vec<u8>,
}

impl HarborRequest {
    /// Returns a call; `action` completes "cannot …", and the segments of the path are not encoded yet.
    pub(crate) fn new<const N: usize>(method: Method, action: impl Into<String>, segments: [&str; N]) -> Self {
        Self {
            action: action.into(),
            method,
            segments: segments.into_iter().map(str::to_owned).collect(),
            query: Vec::new(),
            body: None,
            limit: LIMIT,
            accept: "application/json",
            once: false,
        }
    }

    pub(crate) fn get<const N: usize>(action: impl Into<String>, segments: [&str; N]) -> Self {
        Self::new(Method::GET, action, segments)
    }

    pub(crate) fn post<const N: usize>(action: impl Into<String>, segments: [&str; N]) -> Self {
        Self::new(Method::POST, action, segments)
    }

    pub(crate) fn put<const N: usize>(action: impl Into<String>, segments: [&str; N]) -> Self {
        Self::new(Method::PUT, action, segments)
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Allows a larger response.
    pub(crate) fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Asks for plain text instead of JSON.
    pub(crate) fn text(mut self) -> Self {
        self.accept = "text/plain";
        self
    }

    /// Excludes the call from retries.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Returns the address. Segments are encoded here; a repository name comes encoded once already, so it ends up
    /// encoded twice, as Harbor requires (`a/b` is `a%252Fb`).
    fn url(&self, origin: &Url) -> Url {
        let mut url = origin.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["api", "v2.0"]).extend(&self.segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Returns the error for a call that got no usable response.
    fn unreachable(&self, identifier: &str, cause: http::Error) -> Error {
        Error::Unreachable { action: self.action.clone(), request: identifier.to_owned(), cause }
    }
}

impl HarborReply {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|cause| Error::malformed(&self.action, &cause))
    }

    /// Returns the body unchanged.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }
}

impl<'a> Harbor<'a> {
    /// Returns a client; nothing is sent yet. Of the address only scheme, host and port are used.
    #[must_use]
    pub fn new(host: &'a HttpHost, url: Url, login: Login) -> Self {
        Self { host, origin: url, login, started: clock::now().0, requests: AtomicU64::new(0) }
    }

    /// Returns the registry that the secrets of new robots are for.
    #[must_use]
    pub fn audience(&self) -> LoginAudience {
        LoginAudience::of(&self.origin)
    }

    /// Returns the account's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.login.user
    }

    /// Makes a call. Any status other than 2xx becomes an error.
    pub(crate) async fn call(&self, call: HarborRequest) -> Result<HarborReply, Error> {
        let (status, reply, request) = self.exchange(&call, Some(&self.login)).await?;
        if (200..300).contains(&status) {
            return Ok(reply);
        }
        let user = &self.login.user;
        Err(Refusal { action: &call.action, user, request: &request, status, body: &reply.body }.error())
    }

    /// Makes a call and accepts any status; also returns the identifier of the request.
    async fn exchange(&self, call: &HarborRequest, login: Option<&Login>) -> Result<(u16, HarborReply, String), Error> {
        // time and number find a request in Harbor's log; nothing random, so that runs can be compared
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut identifier = format!("sockel-{:x}-{number}", self.started);

        let request = self.request(call, login, &identifier);
        let sent = if call.once {
            self.host.send_once(&request).await.map_err(|failure| failure.error)
        } else {
            self.host.send(&request).await
        };
        let answer: HttpResponse = sent.map_err(|cause| call.unreachable(&identifier, cause))?;

        // a proxy may replace the identifier: what comes back is what the log has
        if let Some(echoed) = answer.header("x-request-id") {
            identifier = error::harmless(echoed, 80);
        }
        let status = answer.status();
        let body = answer.bytes(call.limit).await.map_err(|cause| call.unreachable(&identifier, cause))?;
        Ok((status, HarborReply { action: call.action.clone(), body }, identifier))
    }

    /// Returns the HTTP request of a call, with its headers.
    fn request(&self, call: &HarborRequest, login: Option<&Login>, identifier: &str) -> HttpRequest {
        let body = match &call.body {
            Some(value) => RequestBody::Bytes(value.to_string().into()),
            None => RequestBody::Empty,
        };
        let has_body = call.body.is_some();
        let mut request = HttpRequest::new(call.method.clone(), call.url(&self.origin), body);

        // without `x-is-resource-name` a project whose name is a number would be taken for an identifier
        let headers = &mut request.headers;
        headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
        headers.insert("x-is-resource-name", HeaderValue::from_static("true"));
        headers.insert("x-accept-vulnerabilities", HeaderValue::from_static(REPORT));
        let identifier = HeaderValue::from_str(identifier).expect("digits, letters and hyphens are a header value");
        headers.insert("x-request-id", identifier);

        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // sent with the first request: nothing asks for it with a challenge
        if let Some(login) = login {
            let basic = HeaderValue::from_str(login.basic().expose());
            let mut basic = basic.expect("`Basic` and Base64 are a header value");
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        request
    }

    /// Reads all pages of a list.
    pub(crate) async fn list<T: DeserializeOwned>(&self, call: impl Fn() -> HarborRequest) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let call = call().query("page", page.to_string()).query("page_size", PAGE.to_string());
            // an empty list comes as `null` from some versions
            let part: Option<Vec<T>> = self.call(call).await?.json()?;
            let part = part.unwrap_or_default();

            // a full page may be the last one: then the next is empty
            let is_last = part.len() < PAGE;
            all.extend(part);
            if is_last {
                return Ok(all);
            }
        }
        // a server that ignores `page` would be asked again and again
        Err(Error::malformed(&call().action, &"the list has no end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_addresses() {
        let origin: Url = "https://harbor.example:8443/ignored?x#y".parse().unwrap();
        let repository = Repository::parse("staging/base/java 25").unwrap_err();
        assert!(repository.to_string().starts_with("cannot use `staging/base/java 25` as repository"));
        let repository = Repository::parse("staging/base/java-25").unwrap();
        let segments = ["projects", repository.project(), "repositories", &repository.encoded(), "artifacts"];
        let table = [
            (HarborRequest::get("x", ["systeminfo"]), "https://harbor.example:8443/api/v2.0/systeminfo"),
            (
                HarborRequest::get("x", segments).query("from", "a/b@sha256:1"),
                "https://harbor.example:8443/api/v2.0/projects/staging/repositories/base%252Fjava-25/artifacts?from=a%2Fb%40sha256%3A1",
            ),
            (
                HarborRequest::get("x", ["labels", "a/../b?c"]),
                "https://harbor.example:8443/api/v2.0/labels/a%2F..%2Fb%3Fc",
            ),
        ];
        for (call, expected) in table {
            assert_eq!(call.url(&origin).as_str(), expected);
        }
    }
}
