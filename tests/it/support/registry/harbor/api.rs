//! How Harbor's API is entered: authorization, CSRF, errors, pages.

use crate::support::registry::harbor::ADMIN;
use crate::support::registry::harbor::routes::ROUTES;
use crate::support::registry::harbor::routes::Right;
use crate::support::registry::harbor::routes::variables;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use crate::support::registry::server::Service;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;

const BASE: &str = "/api/v2.0";

/// Who asks.
pub(crate) struct Caller {
    /// Permissions of a robot; `None` for the admin.
    permissions: Option<Value>,
}

impl Caller {
    /// Tells whether the caller has a right in a namespace: a project's name, or `/` for the system.
    pub(crate) fn may(&self, namespace: &str, resource: &str, action: &str) -> bool {
        let Some(permissions) = &self.permissions else { return true };
        let covers = |one: &Value| one["namespace"] == namespace || one["namespace"] == "*" && namespace != "/";
        let grants = |one: &Value| one["resource"] == resource && one["action"] == action;
        let accesses = |one: &Value| one["access"].as_array().is_some_and(|all| all.iter().any(grants));
        permissions.as_array().is_some_and(|all| all.iter().any(|one| covers(one) && accesses(one)))
    }
}

/// One request with the variables of its path.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    parts: BTreeMap<String, String>,
    /// `None` only on open routes.
    pub(crate) caller: Option<Caller>,
}

impl Call<'_> {
    /// Returns a variable of the path, decoded; repository names are encoded twice.
    pub(crate) fn part(&self, name: &str) -> &str {
        &self.parts[name]
    }

    /// Returns a number of the path; 0 where it is none.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.part(name).parse().unwrap_or(0)
    }

    /// Returns `project/repository` of the path.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.part("project_name"), self.part("repository_name"))
    }

    /// Tells whether the caller has a right in a project.
    pub(crate) fn may(&self, namespace: &str, resource: &str, action: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.may(namespace, resource, action))
    }

    pub(crate) fn is_robot(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.permissions.is_some())
    }

    /// Answers with one page of a list, as the query asks.
    pub(crate) fn page(&self, all: &[Value]) -> Response {
        let number = |name: &str, usual: usize| self.request.query(name).map_or(Some(usual), |text| text.parse().ok());
        let (Some(page @ 1..), Some(size @ 1..=100)) = (number("page", 1), number("page_size", 10)) else {
            return invalid("page_size in query should be less than or equal to 100");
        };
        let items: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
        let answer = Response::json(200, &serde_json::json!(items)).with("x-total-count", &all.len().to_string());
        if page * size >= all.len() {
            return answer;
        }
        // all other parameters are kept
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(self.request.query.as_bytes()) {
            if !matches!(&*name, "page" | "page_size") {
                query.append_pair(&name, &value);
            }
        }
        query.append_pair("page", &(page + 1).to_string()).append_pair("page_size", &size.to_string());
        answer.with("link", &format!("<{}?{}>; rel=\"next\"", self.request.path, query.finish()))
    }
}

pub(crate) fn not_found(what: &str) -> Response {
    Response::error(404, "NOT_FOUND", &format!("{what} not found"))
}

pub(crate) fn forbidden() -> Response {
    Response::error(403, "FORBIDDEN", "forbidden")
}

pub(crate) fn conflict(words: &str) -> Response {
    Response::error(409, "CONFLICT", words)
}

pub(crate) fn bad_request(words: &str) -> Response {
    Response::error(400, "BAD_REQUEST", words)
}

/// What the API's definition itself forbids.
pub(crate) fn invalid(words: &str) -> Response {
    Response::error(422, "UNPROCESSABLE_ENTITY", &format!("validation failure list:\n{words}"))
}

/// What is forbidden in a body; the list is in a list.
pub(crate) fn invalid_body(words: &str) -> Response {
    invalid(&format!("validation failure list:\n{words}"))
}

/// Calls that Harbor 2.16 has and this double has not: nobody shall take a 404 or 405 for Harbor's word.
pub(crate) const UNMODELLED: &str = include_str!("unmodelled.txt");

/// Tells whether a call is one of those.
fn is_unmodelled(method: &str, path: &str) -> bool {
    let mut calls = UNMODELLED.lines().filter_map(|line| line.split_once(' '));
    calls.any(|(known, template)| known == method && variables(template, path).is_some())
}

pub(crate) fn unauthorized() -> Response {
    Response::error(401, "UNAUTHORIZED", "unauthorized")
}

/// Answers every write in read-only mode.
pub(crate) fn read_only() -> Response {
    let words = "The system is in read only mode. Any modification is prohibited.";
    Response::error(403, "DENIED", words)
}

/// Names what is absent under `/v2` as Harbor does, which looks before its registry is asked.
fn named(request: &Request, answer: Response, is_known: impl Fn(&str) -> bool) -> Response {
    let code = answer.code();
    if answer.status != 404
        || !matches!(code.as_str(), "MANIFEST_UNKNOWN" | "NAME_UNKNOWN")
        || answer.says("accept header")
    {
        return answer;
    }
    let rest = request.path.trim_start_matches("/v2/");
    let what = match rest.rsplit_once("/manifests/") {
        Some((name, _)) if !is_known(name) => format!("repository {name}"),
        Some((name, reference)) if reference.contains(':') => format!("artifact {name}@{reference}"),
        Some((name, reference)) => format!("artifact {name}:{reference}"),
        None => format!("repository {}", rest.trim_end_matches("/tags/list")),
    };
    not_found(&what)
}

/// The whole of Harbor as a service.
pub(crate) struct Api {
    pub(crate) state: Mutex<State>,
}

impl Api {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    fn call(&self, request: &Request, path: &str) -> Result<Response, Response> {
        let mut state = self.state.lock().unwrap();
        let is_writing = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let has_session = request.header("cookie").is_some_and(|cookies| cookies.contains("sid="));
        if is_writing && has_session && request.header("x-harbor-csrf-token").is_none() {
            return Err(Response::error(403, "FORBIDDEN", "CSRF token not found in request"));
        }
        let fitting: Vec<_> =
            ROUTES.iter().filter_map(|route| variables(route.1, path).map(|parts| (route, parts))).collect();
        if !fitting.iter().any(|(route, _)| route.0 == request.method) && is_unmodelled(&request.method, path) {
            return Err(Response::error(501, "NOT_MODELLED", "this double does not model this call"));
        }
        if fitting.is_empty() {
            let decoded = crate::support::registry::message::decoded(&request.path);
            return Err(Response::error(404, "NOT_FOUND", &format!("path {decoded} was not found")));
        }
        let of_method = fitting.into_iter().find(|(route, _)| route.0 == request.method);
        let Some((&(_, _, right, handler), parts)) = of_method else {
            let mut methods: Vec<&str> =
                ROUTES.iter().filter(|one| variables(one.1, path).is_some()).map(|one| one.0).collect();
            methods.sort_unstable();
            let words = format!("method {} is not allowed, but [{}] are", request.method, methods.join(","));
            return Err(Response::error(405, "METHOD_NOT_ALLOWED", &words));
        };
        // whoever ends the mode must be able to (`src/core/middlewares`)
        if state.is_read_only && is_writing && path != "/configurations" {
            return Err(read_only());
        }
        // who cannot log in is nobody: that matters where nobody may not ask
        let caller = state.caller(request).ok().flatten();
        let call = Call { request, parts, caller };
        let is_allowed = match right {
            Right::Open => true,
            Right::Project(resource, "read" | "list") if call.caller.is_none() && resource != "robot" => {
                let number = state.project_at(&call).map_err(|_| unauthorized())?;
                state.projects[&number]["metadata"]["public"] == "true" || return Err(unauthorized())
            }
            _ if call.caller.is_none() => return Err(unauthorized()),
            Right::Known => true,
            Right::System(resource, action) if !call.may("/", resource, action) => {
                // the message of these is the caller's name
                let name = request.basic().map(|(name, _)| name).unwrap_or_default();
                return Err(Response::error(403, "FORBIDDEN", &name));
            }
            Right::System(..) => true,
            Right::Project(resource, action) => call.may(&state.project_name(&call)?, resource, action),
        };
        if is_allowed { Ok(handler(&mut state, &call)) } else { Err(forbidden()) }
    }
}

impl Service for Api {
    fn answer(&self, request: &Request) -> Response {
        if let Some(path) = request.path.strip_prefix(BASE) {
            let answer = self.call(request, path).unwrap_or_else(|refused| refused);
            // a client that keeps cookies gets into trouble with its next POST
            let answer = answer.with("set-cookie", "sid=0123456789abcdef; Path=/; HttpOnly");
            return answer.with("x-request-id", request.header("x-request-id").unwrap_or("generated"));
        }
        let heart = {
            let state = self.state.lock().unwrap();
            if let Some(refused) = state.refuse(request) {
                return refused;
            }
            state.heart.clone()
        };
        let answer = named(request, heart.answer(request), |name| {
            heart.contents.lock().unwrap().repositories.contains_key(name)
        });
        if answer.status == 201 {
            self.state.lock().unwrap().pushed(request);
        }
        answer
    }

    fn broken(&self, request: &Request) {
        let heart = self.state.lock().unwrap().heart.clone();
        heart.broken(request);
    }
}

impl State {
    /// Returns who asks; an error for wrong credentials.
    fn caller(&self, request: &Request) -> Result<Option<Caller>, Response> {
        if request.header("authorization").is_none() {
            return Ok(None);
        }
        let unauthorized = || Response::error(401, "UNAUTHORIZED", "unauthorized");
        let (name, secret) = request.basic().ok_or_else(unauthorized)?;
        if (name.as_str(), secret.as_str()) == ADMIN {
            return Ok(Some(Caller { permissions: None }));
        }
        let permissions = self.robot_permissions(&name, &secret).ok_or_else(unauthorized)?;
        Ok(Some(Caller { permissions: Some(permissions) }))
    }
}
