//! One authorised request to a registry: finds out which scheme the registry wants, fetches tokens, and replaces a refused
//! token once.

use crate::oci::registry::RegistryClient;
use crate::oci::registry::challenge;
use crate::oci::registry::challenge::AuthChallenge;
use crate::oci::registry::error;
use crate::oci::registry::error::BODY_LIMIT;
use crate::oci::registry::error::Error;
use crate::oci::registry::error::RegistryProblem;
use crate::oci::registry::error::refusal;
use crate::oci::registry::token;
use crate::oci::registry::token::BearerToken;
use crate::oci::registry::token::TokenScope;
use crate::sys::http::FailedAttempt;
use crate::sys::http::FailureStreak;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::Patience;
use crate::sys::http::RequestBody;
use crate::sys::http::RetryAdvice;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Login;
use crate::values::Secret;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Name of Harbor's registry at its token server.
const HARBOR: &str = "harbor-registry";

/// A request with its purpose and the rights that it needs.
#[derive(Debug, Clone)]
pub(super) struct RegistryRequest<'a> {
    /// What the request does, as messages name it after "cannot": `read manifest …`.
    pub(super) action: &'a str,
    pub(super) scope: &'a TokenScope,
    pub(super) request: HttpRequest,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// A retry may succeed.
    Transient(Error, Delay),
    /// A retry fails in the same way.
    Permanent(Error),
}

/// How much time an attempt cost, and will cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delay {
    advice: RetryAdvice,
    /// Time spent waiting for a host that sent nothing.
    silence: Duration,
}

impl From<FailedAttempt> for AttemptError {
    fn from(failure: FailedAttempt) -> Self {
        let may_pass = failure.may_pass();
        let delay = Delay { advice: failure.advice(), silence: failure.silence() };
        let error = Error::Http(failure.error);
        if may_pass { Self::Transient(error, delay) } else { Self::Permanent(error) }
    }
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self::Permanent(error)
    }
}

impl From<crate::sys::http::Error> for AttemptError {
    fn from(error: crate::sys::http::Error) -> Self {
        Self::Permanent(error.into())
    }
}

/// How a request is authorised.
#[derive(Debug)]
enum Authorization {
    Nobody,
    Basic(Secret),
    Token(Arc<BearerToken>),
}

impl RegistryClient {
    /// Sends a request until it is answered, attempts and time are used up, or it takes longer than a document may.
    pub(super) async fn send(&self, call: &RegistryRequest<'_>) -> Result<HttpResponse, Error> {
        self.send_within(call, &mut self.host.patience()).await
    }

    /// Sends a request as [`RegistryClient::send`] does, with the patience that is left for its document.
    pub(super) async fn send_within(
        &self,
        call: &RegistryRequest<'_>,
        patience: &mut Patience,
    ) -> Result<HttpResponse, Error> {
        let mut failures = FailureStreak::default();
        loop {
            match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(AttemptError::Transient(error, delay)) if !patience.lose(delay.silence) => return Err(error),
                Err(trouble) => self.pause(trouble, &mut failures).await?,
            }
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The cause of the failure, when a retry cannot help, or attempts and time are used up.
    pub(super) async fn pause(&self, trouble: AttemptError, failures: &mut FailureStreak) -> Result<(), Error> {
        match trouble {
            AttemptError::Permanent(error) => Err(error),
            AttemptError::Transient(error, delay) if !self.host.rest(failures, delay.advice).await => Err(error),
            AttemptError::Transient(..) => Ok(()),
        }
    }

    /// Sends a request once. Credentials are sent to the registry alone: another host gets the request without them.
    pub(super) async fn send_once(&self, call: &RegistryRequest<'_>) -> Result<HttpResponse, AttemptError> {
        if !self.is_own_origin(&call.request.url) {
            return self.exchange(call, &call.request).await;
        }

        // Whoever has a login expects a challenge. Of many parallel requests, one finds out which scheme the registry
        // wants, and the others wait for the result instead of being refused each.
        let mut discovery = if self.logins.is_empty() { None } else { self.passes.discovery().await };
        let mut pass = self.authorize(call, None).await?;

        // two rounds: the second one has answered the challenge, or has a new token
        for is_last in [false, true] {
            let mut request = call.request.clone();
            if let Some(value) = pass.header()? {
                request.headers.insert(header::AUTHORIZATION, value);
            }
            let answer = self.exchange(call, &request).await?;

            if discovery.is_some() && answer.status() != 401 {
                self.passes.note_open();
            }
            // after a redirect the 401 may be another host's, which must not decide how we log in
            if answer.status() != 401 || !answer.url().parse().is_ok_and(|url| self.is_own_origin(&url)) {
                return Ok(answer);
            }

            let challenges = header_values(&answer, header::WWW_AUTHENTICATE.as_str());
            let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
            pass = match &pass {
                Authorization::Nobody if !is_last => {
                    self.learn(&challenges)?;
                    // the scheme is known: the waiting requests may go on while this one fetches its token
                    drop(discovery.take());
                    self.authorize(call, None).await?
                }
                Authorization::Token(token) if !is_last => self.authorize(call, Some(token.serial)).await?,
                _ => return Err(self.unauthorized(call, &pass, &body).into()),
            };
        }
        unreachable!("the last round returns")
    }

    /// Makes one request. What a server says that is too busy now becomes a part of the error.
    async fn exchange(&self, call: &RegistryRequest<'_>, request: &HttpRequest) -> Result<HttpResponse, AttemptError> {
        self.host.send_once(request).await.map_err(|failure| self.failed(call, failure))
    }

    /// Returns the error of a failed attempt, with the words of a server that is too busy now.
    fn failed(&self, call: &RegistryRequest<'_>, failure: FailedAttempt) -> AttemptError {
        let status = match &failure.error {
            crate::sys::http::Error::Status { status, .. } => *status,
            // behind a proxy, an answer in the registry's format is the registry's
            crate::sys::http::Error::Proxy { status, .. } if !error::problems(&failure.said).is_empty() => *status,
            _ => return failure.into(),
        };

        let error = self.refusal(call.action, call.scope, status, &failure.said);
        match AttemptError::from(failure) {
            AttemptError::Transient(_, delay) => AttemptError::Transient(error, delay),
            AttemptError::Permanent(_) => AttemptError::Permanent(error),
        }
    }

    /// Tells whether an address belongs to this registry: scheme, host and port.
    fn is_own_origin(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }

    /// Asks which scheme the registry wants (distribution-spec, "Determining Support"), so that of many parallel requests
    /// not each one is refused first. Without a login there is nothing to find out.
    pub(super) async fn discover_challenge(&self) -> Result<(), Error> {
        if self.logins.is_empty() || self.passes.is_discovered() {
            return Ok(());
        }

        let answer = self.host.send(&HttpRequest::new(Method::GET, self.path(""), RequestBody::Empty)).await?;
        let challenges = header_values(&answer, header::WWW_AUTHENTICATE.as_str());
        let is_challenged = answer.status() == 401;
        answer.drain().await;

        if is_challenged {
            return self.learn(&challenges);
        }
        self.passes.note_open();
        Ok(())
    }

    /// Tells whether the registry names itself as Harbor's registry where it asks for a login. Only Harbor's token server
    /// knows that name (`src/core/service/token`).
    ///
    /// # Errors
    /// When the registry cannot be reached, or asks for a login in a way that is not understood.
    pub async fn claims_to_be_harbor(&self) -> Result<bool, Error> {
        self.discover_challenge().await?;
        let challenge = self.passes.challenge();
        Ok(matches!(challenge, Some(AuthChallenge::Bearer { service: Some(service), .. }) if service == HARBOR))
    }

    /// Remembers the challenge in these `WWW-Authenticate` headers.
    fn learn(&self, challenges: &[String]) -> Result<(), Error> {
        let challenge = challenge::parse(challenges.iter().map(String::as_str), &self.url).map_err(|cause| {
            let host = challenge::shown_host(&self.url);
            Error::Challenge { host, cause: self.scrub(&cause) }
        })?;
        self.passes.learn(challenge);
        Ok(())
    }

    /// Returns the error for a request that was refused with its authorisation.
    fn unauthorized(&self, call: &RegistryRequest<'_>, pass: &Authorization, body: &[u8]) -> Error {
        match (pass, self.login_of(call.scope.repository())) {
            // the password itself was refused; a refused token lacks rights
            (Authorization::Basic(_), Some(login)) => Error::LoginRefused {
                host: challenge::shown_host(&self.url),
                user: login.user.clone(),
                problems: self.words(body),
            },
            _ => self.refusal(call.action, call.scope, 401, body),
        }
    }

    /// Returns the authorisation of a request. `refused` is the serial number of the token that the registry refused.
    async fn authorize(&self, call: &RegistryRequest<'_>, refused: Option<u64>) -> Result<Authorization, AttemptError> {
        let (realm, service) = match (self.passes.challenge(), self.login_of(call.scope.repository())) {
            (None, _) => return Ok(Authorization::Nobody),
            (Some(AuthChallenge::Basic), Some(login)) if login.identity_token().is_some() => {
                let cause = "it takes name and password, and the login that was found is an identity token";
                let host = challenge::shown_host(&self.url);
                return Err(Error::Challenge { host, cause: cause.to_owned() }.into());
            }
            (Some(AuthChallenge::Basic), Some(login)) => return Ok(Authorization::Basic(login.basic())),
            (Some(AuthChallenge::Basic), None) => {
                return Err(Error::LoginNeeded { action: call.action.to_owned() }.into());
            }
            (Some(AuthChallenge::Bearer { realm, service }), _) => (realm, service),
        };

        // locked until the token is here: parallel requests with the same scope share one token
        let slot = self.passes.slot(call.scope);
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.is_good(refused)) {
            return Ok(Authorization::Token(Arc::clone(token)));
        }

        // the lifetime counts from before the request, so that a slow answer does not prolong it
        let requested_at = Instant::now();
        let answer = self.fetch_token(call, realm, service.as_deref()).await?;
        let token = self.passes.issue(answer, requested_at);
        *slot = Some(Arc::clone(&token));
        Ok(Authorization::Token(token))
    }

    /// Asks the token server for a token with the scope of a request.
    async fn fetch_token(
        &self,
        call: &RegistryRequest<'_>,
        realm: Url,
        service: Option<&str>,
    ) -> Result<token::TokenResponse, AttemptError> {
        let host = challenge::shown_host(&realm);
        let action = format!("get a token from `{host}`");
        let asking = RegistryRequest { action: &action, ..call.clone() };
        let answer = self.exchange(&asking, &self.token_request(call, realm, service)?).await?;

        let user = self.login_of(call.scope.repository()).map(|login| login.user.clone());
        match (answer.status(), user) {
            (200, user) => {
                let body = answer.bytes(token::ANSWER_LIMIT).await?;
                let answer = token::parse(&body).map_err(|cause| Error::Challenge { host: host.clone(), cause })?;
                // Harbor refuses no login here: a wrong password gets a token without rights
                if answer.is_empty {
                    let (scope, problems) = (call.scope.to_string(), Vec::new());
                    return Err(Error::NoRights { host, user, scope, problems }.into());
                }
                Ok(answer)
            }
            // a proxy may answer in place of the token server; its 403 says nothing about our login
            (403, _) if answer.proxy().is_some() => Err(self.refused(&action, call.scope, answer).await.into()),
            (401 | 403, None) => Err(Error::LoginNeeded { action: call.action.to_owned() }.into()),
            (status, Some(user)) => {
                let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
                let problems = self.words(&body);
                Err(match status {
                    401 => Error::LoginRefused { host, user, problems }.into(),
                    // the login is right (RFC 9110, 15.5.4), but does not give these rights
                    403 => {
                        let (user, scope) = (Some(user), call.scope.to_string());
                        Error::NoRights { host, user, scope, problems }.into()
                    }
                    // OAuth 2.0 says so about a refresh token (RFC 6749, 5.2)
                    400 if self.has_identity_token(call) => Error::LoginRefused { host, user, problems }.into(),
                    _ => self.refusal(&action, call.scope, status, &body).into(),
                })
            }
            (status, None) => {
                let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
                Err(self.refusal(&action, call.scope, status, &body).into())
            }
        }
    }

    /// Tells whether the login for a request is an identity token.
    fn has_identity_token(&self, call: &RegistryRequest<'_>) -> bool {
        self.login_of(call.scope.repository()).is_some_and(|login| login.identity_token().is_some())
    }

    /// Returns the request for a token (distribution's token specification, "Requesting a Token").
    fn token_request(
        &self,
        call: &RegistryRequest<'_>,
        mut realm: Url,
        service: Option<&str>,
    ) -> Result<HttpRequest, Error> {
        let login = self.login_of(call.scope.repository());
        if let Some(token) = login.and_then(Login::identity_token) {
            return Ok(refresh_request(call.scope, realm, service, token));
        }

        // appended, because the realm may have parameters of its own
        if let Some(service) = service {
            realm.query_pairs_mut().append_pair("service", service);
        }
        for scope in call.scope.parameters() {
            realm.query_pairs_mut().append_pair("scope", &scope);
        }

        let mut request = HttpRequest::new(Method::GET, realm, RequestBody::Empty);
        if let Some(login) = login {
            request.headers.insert(header::AUTHORIZATION, sensitive_header(&login.basic())?);
        }
        Ok(request)
    }

    /// Turns an answer that refuses a request into an error.
    pub(super) async fn refused(&self, action: &str, scope: &TokenScope, answer: HttpResponse) -> Error {
        let status = answer.status();
        let (url, proxy) = (answer.url().to_owned(), answer.proxy().map(str::to_owned));
        if (300..400).contains(&status) {
            return self.redirected(action, scope, answer).await;
        }
        let names_registry = answer.headers().contains_key("docker-distribution-api-version");
        let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();

        // Behind a proxy, an answer is the registry's if it has the registry's header or error format. A 404 counts as the
        // registry's in any case: it means that something does not exist, which callers expect.
        let is_registrys = names_registry || !error::problems(&body).is_empty() || status == 404;
        match proxy.filter(|_| !is_registrys) {
            Some(proxy) => crate::sys::http::Error::Proxy { url, proxy, status }.into(),
            None => self.refusal(action, scope, status, &body),
        }
    }

    /// Returns the error for a redirect that is not followed, with where it leads.
    async fn redirected(&self, action: &str, scope: &TokenScope, answer: HttpResponse) -> Error {
        let target = answer.header(header::LOCATION.as_str()).map(crate::sys::http::mask);
        let mut error = self.refusal(action, scope, answer.status(), b"");
        answer.drain().await;
        if let (Error::Refused { problems, .. }, Some(target)) = (&mut error, target) {
            let message = self.scrub(&error::shown(&format!("it redirects to `{target}`")));
            problems.push(RegistryProblem { code: String::new(), message });
        }
        error
    }

    /// Turns status and body of a refusal into an error.
    pub(super) fn refusal(&self, action: &str, scope: &TokenScope, status: u16, body: &[u8]) -> Error {
        let user = self.login_of(scope.repository()).map(|login| login.user.as_str());
        refusal(action.to_owned(), status, self.words(body), user)
    }

    /// Returns what a server says in the body of a refusal, without our passwords.
    fn words(&self, body: &[u8]) -> Vec<RegistryProblem> {
        let mut problems = error::words(body);
        for problem in &mut problems {
            problem.code = self.scrub(&problem.code);
            problem.message = self.scrub(&problem.message);
        }
        problems
    }

    /// Removes our passwords from a text of the registry, in case it repeats what it was sent.
    fn scrub(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for login in self.logins.all() {
            // as it is, and encoded as in the header
            let basic = login.basic();
            for secret in [login.password.expose(), basic.expose().trim_start_matches("Basic ")] {
                // `replace` finds an empty text everywhere
                if !secret.is_empty() {
                    scrubbed = scrubbed.replace(secret, "***");
                }
            }
        }
        scrubbed
    }
}

impl Authorization {
    /// Returns the value of the `Authorization` header; none for anonymous requests.
    fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Nobody => Ok(None),
            Self::Basic(value) => sensitive_header(value).map(Some),
            Self::Token(token) => sensitive_header(&Secret::new(format!("Bearer {}", token.text.expose()))).map(Some),
        }
    }
}

/// Returns the request that turns an identity token into a token (distribution's token specification, "OAuth2 Token
/// Authentication"). It is a POST, so the identity token stands in no address.
fn refresh_request(scope: &TokenScope, realm: Url, service: Option<&str>, token: &Secret) -> HttpRequest {
    let scopes: Vec<String> = scope.parameters().collect();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("client_id", "sockel");
    form.append_pair("service", service.unwrap_or_default());
    form.append_pair("scope", &scopes.join(" "));
    form.append_pair("refresh_token", token.expose());

    let body = RequestBody::Bytes(form.finish().into());
    let mut request = HttpRequest::new(Method::POST, realm, body);
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(header::CONTENT_TYPE, form_type);
    request
}

/// Returns all values of a header that are text.
fn header_values(answer: &HttpResponse, name: &str) -> Vec<String> {
    let values = answer.headers().get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

/// Returns a header value that no log shows.
fn sensitive_header(secret: &Secret) -> Result<HeaderValue, Error> {
    // neither the value nor a cause that may quote it belongs into the message
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| Error::Malformed {
        action: "log in".to_owned(),
        cause: "the password or token cannot be sent in a header".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
