//! Who may do what: anonymous, Basic, or bearer tokens with a token server as Harbor's.

use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

/// A user or robot and what it may do.
#[derive(Clone, Debug)]
struct User {
    secret: String,
    rights: Vec<String>,
    is_disabled: bool,
}

/// How tokens are asked for and given, and the users of Basic and token registries.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    users: BTreeMap<String, User>,
    /// Projects from which everybody may pull, but not without a token.
    public: Vec<String>,
    /// What `expires_in` says and what is kept, in seconds.
    pub(crate) expires_in: u64,
    /// A token is good for so many requests, whatever `expires_in` says.
    pub(crate) uses: Option<usize>,
    /// Wrong credentials get 401 as from most registries, not Harbor's token without rights.
    pub(crate) is_strict: bool,
    /// The token endpoint is refused to everybody: Basic is the only way.
    is_basic: bool,
    /// What becomes of a request for more than one scope.
    manner: Manner,
    /// A user's secret is an identity token, which comes by POST.
    takes_identity: bool,
}

/// How a token server treats scopes that it does not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As Harbor: a token with what may be given.
    #[default]
    Generous,
    /// 403 for all of it.
    AllOrNothing,
    /// Of several scopes only the last one counts.
    Last,
}

impl Tokens {
    /// Bearer tokens for 1,800 seconds, no users yet.
    pub(crate) fn new() -> Self {
        Self {
            users: BTreeMap::new(),
            public: Vec::new(),
            expires_in: 1800,
            uses: None,
            is_strict: false,
            is_basic: false,
            manner: Manner::Generous,
            takes_identity: false,
        }
    }

    /// Treats scopes in this manner.
    pub(crate) fn with_manner(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// Takes users' secrets as identity tokens alone.
    pub(crate) fn by_identity(self) -> Self {
        Self { takes_identity: true, ..self }
    }

    /// No tokens: Basic authorization with every request.
    pub(crate) fn basic() -> Self {
        Self { is_basic: true, ..Self::new() }
    }

    /// Adds a user with rights: `staging` is all in that project, `staging:pull` only reading, `*` everything.
    pub(crate) fn user(mut self, name: &str, secret: &str, rights: &[&str]) -> Self {
        self.set_user(name, secret, &rights.iter().map(|&right| right.to_owned()).collect::<Vec<_>>());
        self
    }

    /// Everybody may pull from this project.
    pub(crate) fn public(mut self, project: &str) -> Self {
        self.public.push(format!("{project}:pull"));
        self
    }

    pub(crate) fn set_user(&mut self, name: &str, secret: &str, rights: &[String]) {
        let user = User { secret: secret.to_owned(), rights: rights.to_vec(), is_disabled: false };
        self.users.insert(name.to_owned(), user);
    }

    /// The user's secret is right, but is not accepted any more.
    pub(crate) fn disable(&mut self, name: &str) {
        if let Some(user) = self.users.get_mut(name) {
            user.is_disabled = true;
        }
    }

    /// Tokens say that they are good for so many seconds, and are.
    pub(crate) fn expires_in(self, seconds: u64) -> Self {
        Self { expires_in: seconds, ..self }
    }

    /// Tokens are good for so many requests.
    pub(crate) fn uses(self, requests: usize) -> Self {
        Self { uses: Some(requests), ..self }
    }

    /// Wrong credentials get 401 from the token endpoint.
    pub(crate) fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// Returns the rights of a user whose secret is right.
    pub(crate) fn rights(&self, login: Option<&(String, String)>) -> Option<&[String]> {
        let (name, secret) = login?;
        let user = self.users.get(name).filter(|user| !user.is_disabled && user.secret == *secret)?;
        Some(&user.rights)
    }
}

#[derive(Debug)]
struct Issued {
    until: Instant,
    uses: Option<usize>,
    rights: Vec<String>,
}

/// The door of a registry.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// `None`: open to everybody.
    pub(crate) tokens: Option<Tokens>,
    issued: BTreeMap<String, Issued>,
    count: usize,
}

/// Returns the project of a repository.
fn project(repository: &str) -> &str {
    repository.split('/').next().unwrap_or_default()
}

/// What a request needs to be allowed.
#[derive(Clone, Copy)]
pub(crate) enum Need<'a> {
    Pull(&'a str),
    Push(&'a str),
    Delete(&'a str),
}

impl<'a> Need<'a> {
    fn repository(self) -> &'a str {
        match self {
            Self::Pull(name) | Self::Push(name) | Self::Delete(name) => name,
        }
    }

    /// Harbor decides by project, whatever the repository.
    fn is_met(self, rights: &[String]) -> bool {
        let project = project(self.repository());
        let single = match self {
            Self::Pull(_) => format!("{project}:pull"),
            Self::Push(_) => format!("{project}:push"),
            Self::Delete(_) => format!("{project}:delete"),
        };
        rights.iter().any(|right| right == "*" || right == project || *right == single)
    }
}

impl Door {
    /// Returns how many tokens were given out.
    pub(crate) fn issued(&self) -> usize {
        self.count
    }

    /// All tokens given out so far are worth nothing from now on.
    pub(crate) fn revoke(&mut self) {
        self.issued.clear();
    }

    /// Lets a request in that has these needs (none: a known user), or says why not.
    pub(crate) fn enter(&mut self, request: &Request, needs: &[Need]) -> Result<(), Response> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        // Basic is accepted on /v2 by Harbor as well
        let is_good = if let Some(rights) = tokens.rights(request.basic().as_ref()) {
            needs.iter().all(|need| need.is_met(rights))
        } else {
            request.bearer().is_some_and(|token| self.accept(token, needs))
        };
        if is_good { Ok(()) } else { Err(self.challenge(request, needs)) }
    }

    /// Tells whether a token is good for these needs, and uses it up by one if so.
    fn accept(&mut self, token: &str, needs: &[Need]) -> bool {
        let Some(issued) = self.issued.get_mut(token) else { return false };
        let is_over = issued.until <= Instant::now() || issued.uses == Some(0);
        if is_over || !needs.iter().all(|need| need.is_met(&issued.rights)) {
            return false;
        }
        issued.uses = issued.uses.map(|uses| uses - 1);
        true
    }

    /// Harbor names the token server only where no authorization was sent, else it asks for Basic.
    fn challenge(&self, request: &Request, needs: &[Need]) -> Response {
        let (is_basic, is_strict) = self.tokens.as_ref().map_or((false, false), |one| (one.is_basic, one.is_strict));
        let scope = |need: &Need| match need {
            Need::Pull(name) => format!("repository:{name}:pull"),
            Need::Push(name) => format!("repository:{name}:pull,push"),
            Need::Delete(name) => format!("repository:{name}:delete"),
        };
        let scopes = needs.iter().map(scope).collect::<Vec<_>>().join(" ");
        let scopes = if needs.is_empty() { String::new() } else { format!(r#",scope="{scopes}""#) };
        let host = request.header("host").unwrap_or_default();
        let challenge = if is_basic || request.header("authorization").is_some() && !is_strict {
            r#"Basic realm="harbor""#.to_owned()
        } else {
            format!(r#"Bearer realm="http://{host}/service/token",service="harbor-registry"{scopes}"#)
        };
        let action = |need: &Need| match need {
            Need::Pull(name) => format!("unauthorized to access repository: {name}, action: pull"),
            Need::Push(name) => format!("unauthorized to access repository: {name}, action: push"),
            Need::Delete(name) => format!("unauthorized to access repository: {name}, action: delete"),
        };
        let words = needs.first().map_or_else(|| "unauthorized: unauthorized".to_owned(), action);
        Response::error(401, "UNAUTHORIZED", &words).with("www-authenticate", &challenge)
    }

    /// Answers `GET /service/token`.
    pub(crate) fn token(&mut self, request: &Request) -> Response {
        let Some(tokens) = self.tokens.clone().filter(|tokens| !tokens.is_basic) else {
            return Response::error(404, "NOT_FOUND", "no token service here");
        };
        if tokens.takes_identity && request.method == "POST" {
            return self.refresh(&tokens, request);
        }
        if request.method != "GET" || tokens.takes_identity {
            return Response::new(405).with("content-type", "text/plain").body(b"Method Not Allowed\n".to_vec());
        }
        let login = request.basic();
        let rights = if login.is_some() { tokens.rights(login.as_ref()) } else { Some(tokens.public.as_slice()) };
        if rights.is_none() && tokens.is_strict {
            return Response::error(401, "UNAUTHORIZED", "authentication required");
        }
        let mut scopes = request.query_all("scope");
        if tokens.manner == Manner::Last {
            scopes.drain(..scopes.len().saturating_sub(1));
        }
        self.give(&tokens, rights, &scopes, &login.map(|(name, _)| name).unwrap_or_default())
    }

    /// Answers a POST with an identity token.
    fn refresh(&mut self, tokens: &Tokens, request: &Request) -> Response {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let secret = form.get("refresh_token").cloned().unwrap_or_default();
        let user = tokens.users.iter().find(|(_, user)| user.secret == secret && !user.is_disabled);
        let is_sound = form.get("grant_type").is_some_and(|kind| kind == "refresh_token");
        let Some((name, user)) = user.filter(|_| is_sound) else {
            return Response::json(400, &json!({ "error": "invalid_grant", "error_description": "token is expired" }));
        };
        let scopes: Vec<String> = form["scope"].split(' ').map(str::to_owned).collect();
        let rights = user.rights.clone();
        self.give(tokens, Some(&rights), &scopes, name)
    }

    /// Gives a token for these scopes to a user with these rights.
    fn give(&mut self, tokens: &Tokens, rights: Option<&[String]>, scopes: &[String], user: &str) -> Response {
        // Harbor: a wrong login without a scope is refused, with one it gets a token without rights
        if rights.is_none() && scopes.is_empty() {
            return Response::new(401);
        }
        let names = scopes.iter().flat_map(|scope| scope.split(' ')).filter_map(|scope| {
            // `repository:NAME:ACTIONS`
            scope.strip_prefix("repository:")?.rsplit_once(':').map(|(name, _)| name)
        });
        // Harbor gives all the user may do on that project, whatever was asked
        let (mut granted, mut access) = (Vec::new(), Vec::new());
        for name in names {
            let may = |need: Need| need.is_met(rights.unwrap_or_default());
            let all = [("pull", Need::Pull(name)), ("push", Need::Push(name)), ("delete", Need::Delete(name))];
            let actions: Vec<&str> = all.into_iter().filter(|(_, need)| may(*need)).map(|(action, _)| action).collect();
            if actions.is_empty() && tokens.manner == Manner::AllOrNothing {
                let words = json!({ "details": format!("no right on {name}") });
                return Response::json(403, &words);
            }
            if actions.is_empty() {
                continue;
            }
            granted.extend(actions.iter().map(|action| format!("{}:{action}", project(name))));
            access.push(json!({ "type": "repository", "name": name, "actions": actions }));
        }
        let token = self.issue(tokens, granted, user, &access);
        let issued_at = sockel::sys::clock::now().to_string();
        let lasting = tokens.expires_in;
        let body = json!({ "token": token, "access_token": "", "expires_in": lasting, "issued_at": issued_at });
        Response::json(200, &body)
    }

    fn issue(&mut self, tokens: &Tokens, rights: Vec<String>, user: &str, access: &[Value]) -> String {
        self.count += 1;
        let now = sockel::sys::clock::now().0;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": "harbor-token-issuer", "sub": user, "aud": "harbor-registry", "jti": self.count.to_string(),
            "iat": now, "nbf": now, "exp": now + tokens.expires_in.cast_signed(), "access": access,
        });
        let token = format!("{}.{}.c2lnbmF0dXJl", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
        let until = Instant::now() + Duration::from_secs(tokens.expires_in);
        self.issued.insert(token.clone(), Issued { until, uses: tokens.uses, rights });
        token
    }
}
