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
            return Response::error(
                422,
                "UNPROCESSABLE_ENTITY",
                "page_size in query should be less than or equal to 100",
            );
        };
        let items: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
        let answer = Response::json(200, &serde_json::json!(items)).with("x-total-count", &all.len().to_string());
        if page * size >= all.len() {
            return answer;
        }
        let next = format!("<{}?page={}&page_size={size}>; rel=\"next\"", self.request.path, page + 1);
        answer.with("link", &next)
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
        if fitting.is_empty() {
            return Err(not_found("path"));
        }
        let of_method = fitting.into_iter().find(|(route, _)| route.0 == request.method);
        let Some((&(_, _, right, handler), parts)) = of_method else {
            return Err(Response::error(405, "METHOD_NOT_ALLOWED", "method not allowed"));
        };
        let caller = match (state.caller(request), right) {
            // who cannot log in is nobody: that matters where nobody may not ask
            (Err(_), Right::Open) => None,
            (caller, _) => caller?,
        };
        let call = Call { request, parts, caller };
        let is_allowed = match right {
            Right::Open => true,
            _ if call.caller.is_none() => return Err(Response::error(401, "UNAUTHORIZED", "unauthorized")),
            Right::Known => true,
            Right::System(resource, action) => call.may("/", resource, action),
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
        let answer = heart.answer(request);
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
