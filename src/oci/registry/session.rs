//! One request to a registry with what it wants to know about us: learns how, fetches tokens, renews a refused one once.

use crate::oci::registry::Registry;
use crate::oci::registry::challenge;
use crate::oci::registry::challenge::Challenge;
use crate::oci::registry::error;
use crate::oci::registry::error::BODY_LIMIT;
use crate::oci::registry::error::Error;
use crate::oci::registry::error::refusal;
use crate::oci::registry::token;
use crate::oci::registry::token::Scope;
use crate::oci::registry::token::Token;
use crate::sys::http::Answer;
use crate::sys::http::Body;
use crate::sys::http::Failure;
use crate::sys::http::Method;
use crate::sys::http::Patience;
use crate::sys::http::Request;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Secret;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// A request, what it is for, and the rights that it needs.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    /// `read manifest …`: what follows "cannot" in messages.
    pub(super) what: &'a str,
    pub(super) scope: &'a Scope,
    pub(super) request: Request,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another attempt may mend it.
    Passing(Error, Delay),
    /// It does not.
    Final(Error),
}

/// How much time an attempt cost, and will cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delay {
    /// The pause that the host asked for.
    asked: Option<Duration>,
    /// How long was waited for a host that said nothing.
    silence: Duration,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let (passes, delay) = (failure.may_pass(), Delay { asked: failure.asked_pause(), silence: failure.silence() });
        let error = Error::Http(failure.error);
        if passes { Self::Passing(error, delay) } else { Self::Final(error) }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<crate::sys::http::Error> for Trouble {
    fn from(error: crate::sys::http::Error) -> Self {
        Self::Final(error.into())
    }
}

/// How a request says who it comes from.
#[derive(Debug)]
enum Pass {
    Nobody,
    Basic(Secret),
    Token(Arc<Token>),
}

impl Registry {
    /// Sends a request without a file until it is answered, or the attempts are used up.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, Error> {
        self.send_within(call, &mut self.host.patience()).await
    }

    /// As [`Registry::send`], where the answer is not the first thing that was waited for.
    pub(super) async fn send_within(&self, call: &Call<'_>, patience: &mut Patience) -> Result<Answer, Error> {
        let mut failures = 0;
        loop {
            match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Passing(error, delay)) if !patience.lose(delay.silence) => return Err(error),
                Err(trouble) => self.rest(trouble, &mut failures).await?,
            }
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// What is wrong, when it does not pass or the attempts are used up.
    pub(super) async fn rest(&self, trouble: Trouble, failures: &mut u32) -> Result<(), Error> {
        match trouble {
            Trouble::Final(error) => Err(error),
            Trouble::Passing(error, delay) if !self.host.rest(failures, delay.asked).await => Err(error),
            Trouble::Passing(..) => Ok(()),
        }
    }

    /// Sends a request once. Credentials go to the registry alone: another host gets the bare request.
    pub(super) async fn send_once(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        if !self.is_here(&call.request.url) {
            return Ok(self.host.send_once(&call.request).await?);
        }
        // with a login it is known that the registry will ask: one request finds out how, the others wait for that
        let mut first = if self.login.is_some() { self.passes.first().await } else { None };
        let mut pass = self.pass(call, None).await?;
        for is_last in [false, true] {
            let mut request = call.request.clone();
            if let Some(value) = pass.header()? {
                request.headers.insert(header::AUTHORIZATION, value);
            }
            let answer = self.host.send_once(&request).await?;
            if first.is_some() && answer.status() != 401 {
                self.passes.is_open();
            }
            if answer.status() != 401 || !answer.url().parse().is_ok_and(|url| self.is_here(&url)) {
                return Ok(answer);
            }
            let challenges = texts(&answer, header::WWW_AUTHENTICATE.as_str());
            let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
            pass = match &pass {
                Pass::Nobody if !is_last => {
                    self.learn(&challenges)?;
                    drop(first.take());
                    self.pass(call, None).await?
                }
                Pass::Token(token) if !is_last => self.pass(call, Some(token.serial)).await?,
                _ => return Err(self.refused_pass(call, &pass, &body).into()),
            };
        }
        unreachable!("the last round returns")
    }

    fn is_here(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }

    /// Asks how the registry wants to know who comes (distribution-spec, "Determining Support"), so that of many requests
    /// at once not each is refused first.
    pub(super) async fn greet(&self) -> Result<(), Error> {
        if self.login.is_none() || self.passes.challenge().is_some() {
            return Ok(());
        }
        let answer = self.host.send(&Request::new(Method::GET, self.path(""), Body::Empty)).await?;
        let challenges = texts(&answer, header::WWW_AUTHENTICATE.as_str());
        let is_asked = answer.status() == 401;
        answer.drain().await;
        if is_asked { self.learn(&challenges) } else { Ok(()) }
    }

    fn learn(&self, challenges: &[String]) -> Result<(), Error> {
        let host = challenge::shown_host(&self.url);
        let found = challenge::parse(challenges.iter().map(String::as_str), &self.url);
        self.passes.learn(found.map_err(|cause| Error::Challenge { host, cause: self.scrub(&cause) })?);
        Ok(())
    }

    fn refused_pass(&self, call: &Call<'_>, pass: &Pass, body: &[u8]) -> Error {
        match (pass, &self.login) {
            (Pass::Basic(_), Some(login)) => {
                Error::LoginRefused { host: challenge::shown_host(&self.url), user: login.user.clone() }
            }
            _ => self.refusal(call.what, 401, body),
        }
    }

    /// Returns what goes with a request for this, after the registry refused the token with that serial number.
    async fn pass(&self, call: &Call<'_>, refused: Option<u64>) -> Result<Pass, Trouble> {
        let (realm, service) = match (self.passes.challenge(), &self.login) {
            (None, _) => return Ok(Pass::Nobody),
            (Some(Challenge::Basic), Some(login)) => return Ok(Pass::Basic(login.basic())),
            (Some(Challenge::Basic), None) => return Err(Error::LoginNeeded { what: call.what.to_owned() }.into()),
            (Some(Challenge::Bearer { realm, service }), _) => (realm, service),
        };
        let slot = self.passes.slot(call.scope);
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.is_good(refused)) {
            return Ok(Pass::Token(Arc::clone(token)));
        }
        let asked_at = Instant::now();
        let answer = self.token(call, realm, service.as_deref()).await?;
        let token = self.passes.issue(answer, asked_at);
        *slot = Some(Arc::clone(&token));
        Ok(Pass::Token(token))
    }

    async fn token(&self, call: &Call<'_>, mut realm: Url, service: Option<&str>) -> Result<token::Answer, Trouble> {
        let host = challenge::shown_host(&realm);
        let user = self.login.as_ref().map(|login| login.user.clone());
        for (name, value) in service.map(|service| ("service", service.to_owned())).into_iter().chain(scopes(call)) {
            realm.query_pairs_mut().append_pair(name, &value);
        }
        let mut request = Request::new(Method::GET, realm, Body::Empty);
        if let Some(login) = &self.login {
            request.headers.insert(header::AUTHORIZATION, sensitive(&login.basic())?);
        }
        let answer = self.host.send_once(&request).await?;
        match (answer.status(), user) {
            (200, user) => {
                let body = answer.bytes(token::ANSWER_LIMIT).await?;
                let answer = token::parse(&body).map_err(|cause| Error::Challenge { host: host.clone(), cause })?;
                if answer.is_empty {
                    return Err(Error::NoRights { host, user, scope: call.scope.to_string() }.into());
                }
                Ok(answer)
            }
            (403, _) if answer.proxy().is_some() => {
                Err(self.refused(&format!("get a token from `{host}`"), answer).await.into())
            }
            (401 | 403, Some(user)) => Err(Error::LoginRefused { host, user }.into()),
            (401 | 403, None) => Err(Error::LoginNeeded { what: call.what.to_owned() }.into()),
            (status, _) => {
                let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
                Err(self.refusal(&format!("get a token from `{host}`"), status, &body).into())
            }
        }
    }

    /// Turns an answer that refuses into an error.
    pub(super) async fn refused(&self, what: &str, answer: Answer) -> Error {
        let status = answer.status();
        let (url, proxy) = (answer.url().to_owned(), answer.proxy().map(str::to_owned));
        // registries say who they are, or speak in their own envelope
        let is_registry = answer.headers().contains_key("docker-distribution-api-version");
        let body = answer.bytes(BODY_LIMIT).await.unwrap_or_default();
        match proxy.filter(|_| !is_registry && error::problems(&body).is_empty() && status != 404) {
            Some(proxy) => crate::sys::http::Error::Proxy { url, proxy, status }.into(),
            None => self.refusal(what, status, &body),
        }
    }

    pub(super) fn refusal(&self, what: &str, status: u16, body: &[u8]) -> Error {
        let mut problems = error::problems(body);
        for problem in &mut problems {
            problem.code = self.scrub(&problem.code);
            problem.message = self.scrub(&problem.message);
        }
        refusal(what.to_owned(), status, problems, self.login.as_ref().map(|login| login.user.as_str()))
    }

    /// Returns a text of the registry's without our password, should it have repeated that.
    fn scrub(&self, text: &str) -> String {
        let Some(login) = &self.login else { return text.to_owned() };
        let basic = login.basic();
        let secrets = [login.password.expose(), basic.expose().trim_start_matches("Basic ")];
        let secrets = secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl Pass {
    fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Nobody => Ok(None),
            Self::Basic(value) => sensitive(value).map(Some),
            Self::Token(token) => sensitive(&Secret::new(format!("Bearer {}", token.text.expose()))).map(Some),
        }
    }
}

fn scopes(call: &Call<'_>) -> impl Iterator<Item = (&'static str, String)> {
    call.scope.parameters().map(|scope| ("scope", scope))
}

fn texts(answer: &Answer, name: &str) -> Vec<String> {
    let values = answer.headers().get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

fn sensitive(secret: &Secret) -> Result<HeaderValue, Error> {
    let unsound = |_| Error::Malformed {
        what: "log in".to_owned(),
        cause: "the password or token cannot be sent in a header".to_owned(),
    };
    let mut value = HeaderValue::from_str(secret.expose()).map_err(unsound)?;
    value.set_sensitive(true);
    Ok(value)
}
