//! Robots: made once, secret shown once, rights by project.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::forbidden;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use sockel::values::Digest;

const SECONDS_A_DAY: i64 = 86_400;

/// A robot as the API shows it, and what it does not show.
pub(crate) struct Robot {
    /// Without the secret.
    pub(crate) shown: Value,
    secret: String,
}

impl Robot {
    fn is_accepted(&self) -> bool {
        let end = self.shown["expires_at"].as_i64().unwrap_or(-1);
        self.shown["disable"] != true && (end == -1 || end > sockel::sys::clock::now().0)
    }
}

/// Lists robots as Harbor does: those of the system, or with `q=Level=project,ProjectID=N` those of a project.
pub(crate) fn list(state: &mut State, call: &Call) -> Response {
    let query = call.request.query("q").unwrap_or_default();
    let asked = |key: &str| query.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    let level = asked("Level").unwrap_or("system");
    let project = asked("ProjectID").and_then(|number| number.parse().ok()).map(|number| state.name_of(number));
    let fits = |robot: &Value| {
        let namespace = &robot["permissions"][0]["namespace"];
        robot["level"] == level && project.as_ref().is_none_or(|project| namespace == project.as_str())
    };
    let all: Vec<Value> = state.robots.values().map(|robot| robot.shown.clone()).filter(fits).collect();
    call.page(&all)
}

pub(crate) fn get(state: &mut State, call: &Call) -> Response {
    let robot = state.robots.get(&call.number("robot_id"));
    robot.map_or_else(|| not_found("robot"), |robot| Response::json(200, &robot.shown))
}

/// Tells whether a short name is one: `^[a-z0-9]+(?:[._-][a-z0-9]+)*$`.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.split(['.', '_', '-']).all(is_word)
}

/// Returns what is wrong with a robot that is to be made or changed.
fn problem(request: &Value) -> Option<String> {
    let permissions = request["permissions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has_no_access = |one: &Value| one["access"].as_array().is_none_or(Vec::is_empty);
    let accesses = permissions.iter().flat_map(|one| one["access"].as_array().into_iter().flatten());
    // robots never change robots (goharbor/harbor#23299)
    let is_forbidden = |one: &Value| one["resource"] == "robot" && one["action"] == "update";
    let days = &request["duration"];
    let problem = if !days.as_i64().is_some_and(|days| days == -1 || days > 0) {
        return Some(format!(
            "bad request error duration input: {days}, duration must be either -1(Never) or a positive integer"
        ));
    } else if !matches!(request["level"].as_str(), Some("system" | "project")) {
        return Some(format!("bad request error level input: {}", request["level"].as_str().unwrap_or_default()));
    } else if accesses.into_iter().any(is_forbidden) {
        Some("bad request permission: robot:update")
    } else if permissions.is_empty() || permissions.iter().any(has_no_access) {
        Some("bad request empty permission")
    } else if request["level"] == "project" && (permissions.len() > 1 || permissions[0]["kind"] != "project") {
        Some("bad request permission: a project robot has one project")
    } else {
        None
    };
    problem.map(str::to_owned)
}

pub(crate) fn create(state: &mut State, call: &Call) -> Response {
    let request = call.request.json();
    let name = request["name"].as_str().unwrap_or_default();
    if !is_name(name) {
        return bad_request("robot name is not in lower case or contains illegal characters");
    }
    if let Some(problem) = problem(&request) {
        return bad_request(&problem);
    }
    let project = request["permissions"][0]["namespace"].as_str().unwrap_or_default();
    let mut namespaces = request["permissions"].as_array().into_iter().flatten();
    let is_absent = |one: &&Value| {
        let name = one["namespace"].as_str().unwrap_or_default();
        one["kind"] == "project" && name != "*" && state.project_number(name).is_none()
    };
    if let Some(absent) = namespaces.find(is_absent) {
        return not_found(&format!("project {}", absent["namespace"].as_str().unwrap_or_default()));
    }
    let (full, namespace) = match request["level"].as_str() {
        Some("project") => (format!("{}{project}+{name}", state.robot_prefix), project),
        _ => (format!("{}{name}", state.robot_prefix), "/"),
    };
    if !call.may(namespace, "robot", "create") {
        return forbidden();
    }
    if state.robots.values().any(|robot| robot.shown["name"] == full.as_str()) {
        let number = state.project_number(project).unwrap_or(0);
        let shown = full.trim_start_matches(&state.robot_prefix);
        return conflict(&format!("robot account {number}:{shown} already exists"));
    }
    // what the request says about a secret is ignored
    let secret = state.fresh_secret();
    let number = state.add_robot(&full, &secret, &request);
    let shown = &state.robots[&number].shown;
    let answer = json!({
        "id": number, "name": full, "secret": secret, "expires_at": shown["expires_at"],
        "creation_time": shown["creation_time"],
    });
    Response::json(201, &answer).with("location", &format!("/api/v2.0/robots/{number}"))
}

/// Replaces rights, duration and description; level and name stay.
pub(crate) fn update(state: &mut State, call: &Call) -> Response {
    let request = call.request.json();
    if let Some(problem) = problem(&request) {
        return bad_request(&problem);
    }
    let Some(robot) = state.robots.get_mut(&call.number("robot_id")) else { return not_found("robot") };
    if request["name"] != robot.shown["name"] || request["level"] != robot.shown["level"] {
        return bad_request("cannot update the level or name of robot");
    }
    let begun = robot.shown["expires_at"].as_i64().unwrap_or(-1) - days(&robot.shown);
    for key in ["permissions", "duration", "description", "disable"] {
        if !request[key].is_null() {
            robot.shown[key] = request[key].clone();
        }
    }
    let end = if request["duration"] == -1 { -1 } else { begun + days(&request) };
    robot.shown["expires_at"] = end.into();
    state.let_robots_in();
    Response::new(200)
}

fn days(robot: &Value) -> i64 {
    robot["duration"].as_i64().unwrap_or(0) * SECONDS_A_DAY
}

/// Gives a new secret: the one asked for, or a fresh one.
pub(crate) fn renew_secret(state: &mut State, call: &Call) -> Response {
    // robots can never hold `robot:update`
    if call.is_robot() {
        return forbidden();
    }
    let asked = call.request.json()["secret"].as_str().filter(|secret| !secret.is_empty()).map(str::to_owned);
    let secret = asked.unwrap_or_else(|| state.fresh_secret());
    let Some(robot) = state.robots.get_mut(&call.number("robot_id")) else { return not_found("robot") };
    robot.secret.clone_from(&secret);
    state.let_robots_in();
    Response::json(200, &json!({ "secret": secret }))
}

pub(crate) fn delete(state: &mut State, call: &Call) -> Response {
    let Some(robot) = state.robots.remove(&call.number("robot_id")) else { return not_found("robot") };
    let mut door = state.heart.door.lock().unwrap();
    if let (Some(tokens), Some(name)) = (&mut door.tokens, robot.shown["name"].as_str()) {
        tokens.disable(name);
    }
    Response::new(200)
}

impl State {
    /// Adds a robot with this full name; returns its number.
    pub(crate) fn add_robot(&mut self, name: &str, secret: &str, request: &Value) -> i64 {
        let number = self.number();
        let now = sockel::sys::clock::now();
        let end = if request["duration"] == -1 { -1 } else { now.0 + days(request) };
        let shown = json!({
            "id": number, "name": name, "description": request["description"].as_str().unwrap_or_default(),
            "level": request["level"], "duration": request["duration"], "editable": true,
            "disable": request["disable"].as_bool().unwrap_or(false), "expires_at": end,
            "permissions": request["permissions"], "creation_time": now.to_string(), "update_time": now.to_string(),
        });
        self.robots.insert(number, Robot { shown, secret: secret.to_owned() });
        self.let_robots_in();
        number
    }

    /// Gives all robots another prefix; under their old names nobody can log in any more.
    pub(crate) fn rename_robots(&mut self, prefix: &str) {
        let mut door = self.heart.door.lock().unwrap();
        for robot in self.robots.values_mut() {
            let old = robot.shown["name"].as_str().unwrap_or_default().to_owned();
            if let Some(tokens) = &mut door.tokens {
                tokens.disable(&old);
            }
            let name = old.strip_prefix(&self.robot_prefix).unwrap_or(&old);
            robot.shown["name"] = format!("{prefix}{name}").into();
        }
        drop(door);
        prefix.clone_into(&mut self.robot_prefix);
        self.let_robots_in();
    }

    /// Takes a right from a robot, or gives it back.
    pub(crate) fn set_right(&mut self, robot: &str, namespace: &str, right: [&str; 2], is_held: bool) {
        let access = json!({ "resource": right[0], "action": right[1] });
        let robot = self.robots.values_mut().find(|one| one.shown["name"] == robot).expect("it was made");
        let permissions = robot.shown["permissions"].as_array_mut().expect("they are a list");
        let place = permissions.iter_mut().find(|one| one["namespace"] == namespace).expect("it has rights there");
        let held = place["access"].as_array_mut().expect("they are a list");
        held.retain(|one| *one != access);
        held.extend(is_held.then_some(access));
        self.let_robots_in();
    }

    /// Returns the permissions of a robot whose secret is right.
    pub(crate) fn robot_permissions(&self, name: &str, secret: &str) -> Option<Value> {
        let mut robots = self.robots.values();
        let robot = robots.find(|robot| robot.shown["name"] == name && robot.secret == secret)?;
        robot.is_accepted().then(|| robot.shown["permissions"].clone())
    }

    fn fresh_secret(&mut self) -> String {
        let number = self.number();
        Digest::of(format!("secret {number}").as_bytes()).hex()[..32].to_owned()
    }

    /// Tells the registry's door what robots may pull and push.
    fn let_robots_in(&self) {
        let mut door = self.heart.door.lock().unwrap();
        let Some(tokens) = &mut door.tokens else { return };
        for robot in self.robots.values() {
            let name = robot.shown["name"].as_str().unwrap_or_default();
            let mut rights = Vec::new();
            for permission in robot.shown["permissions"].as_array().into_iter().flatten() {
                let namespace = permission["namespace"].as_str().unwrap_or_default();
                let has = |action: &str| {
                    let is = |one: &Value| one["resource"] == "repository" && one["action"] == action;
                    permission["access"].as_array().is_some_and(|all| all.iter().any(is))
                };
                // only robots of a project may read because they may push (`src/common/security/robot/context.go`)
                let is_implied = robot.shown["level"] == "project" && has("push");
                for (action, is_given) in
                    [("pull", has("pull") || is_implied), ("push", has("push")), ("delete", has("delete"))]
                {
                    rights.extend(is_given.then(|| format!("{namespace}:{action}")));
                }
            }
            tokens.set_user(name, &robot.secret, &rights);
            if !robot.is_accepted() {
                tokens.disable(name);
            }
        }
    }
}
