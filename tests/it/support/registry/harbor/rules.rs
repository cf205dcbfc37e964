//! Labels, immutable tags, retention and webhooks.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::forbidden;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::api::unauthorized;
use crate::support::registry::harbor::state::State;
use crate::support::registry::harbor::state::Table;
use crate::support::registry::message::Response;
use serde_json::Value;

/// Answers 201 with the address of what was made.
fn created(path: &str, number: i64) -> Response {
    Response::new(201).with("location", &format!("{path}/{number}"))
}

/// Returns the entries of one project.
fn of_project(table: &Table, project: i64) -> Vec<Value> {
    table.values().filter(|one| one["project_id"] == project).cloned().collect()
}

/// Adds what was asked for to a table, as belonging to a project.
fn add(table: &mut Table, number: i64, project: i64, mut wanted: Value) {
    wanted["id"] = number.into();
    wanted["project_id"] = project.into();
    table.insert(number, wanted);
}

pub(crate) fn list_labels(state: &mut State, call: &Call) -> Response {
    let query = |name: &str| call.request.query(name);
    let project = query("project_id").and_then(|number| number.parse().ok()).unwrap_or(0);
    let Some(scope) = query("scope").filter(|scope| scope == "g" || scope == "p" && project > 0) else {
        return bad_request("scope is required: g, or p with project_id");
    };
    let is_public = state.projects.get(&project).is_some_and(|shown| shown["metadata"]["public"] == "true");
    if scope == "p" && !is_public && !call.may(&state.name_of(project), "label", "list") {
        return if call.caller.is_none() { unauthorized() } else { forbidden() };
    }
    let name = query("name").unwrap_or_default();
    let mut labels = of_project(&state.labels, if scope == "p" { project } else { 0 });
    labels.retain(|label| label["name"].as_str().is_some_and(|own| own.contains(&name)));
    call.page(&labels)
}

pub(crate) fn create_label(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    let project = if wanted["scope"] == "p" { wanted["project_id"].as_i64().unwrap_or(0) } else { 0 };
    let is_named = wanted["name"].as_str().is_some_and(|name| !name.is_empty());
    if !matches!(wanted["scope"].as_str(), Some("g" | "p")) {
        return bad_request("unsupported label scope");
    }
    if !is_named || wanted["scope"] == "p" && !state.projects.contains_key(&project) {
        return bad_request("a label has a name, a scope and a project");
    }
    let namespace = if project == 0 { "/".to_owned() } else { state.name_of(project) };
    if !call.may(&namespace, "label", "create") {
        return forbidden();
    }
    if of_project(&state.labels, project).iter().any(|label| label["name"] == wanted["name"]) {
        return conflict(&format!("label {} already exists", wanted["name"].as_str().unwrap_or_default()));
    }
    let number = state.number();
    add(&mut state.labels, number, project, wanted);
    created("/api/v2.0/labels", number)
}

pub(crate) fn list_immutable(state: &mut State, call: &Call) -> Response {
    let project = match state.project_at(call) {
        Ok(project) => project,
        Err(error) => return error,
    };
    let mut rules = of_project(&state.immutable, project);
    for rule in &mut rules {
        rule.as_object_mut().expect("rules are objects").remove("project_id");
    }
    call.page(&rules)
}

pub(crate) fn create_immutable(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    // neither selectors nor template are looked at
    let project = match state.project_at(call) {
        Ok(project) => project,
        Err(error) => return error,
    };
    // `src/pkg/immutable/dao/dao.go`: whether it is disabled does not count
    let is_same = |rule: &Value| {
        rule["tag_selectors"] == wanted["tag_selectors"] && rule["scope_selectors"] == wanted["scope_selectors"]
    };
    if of_project(&state.immutable, project).iter().any(is_same) {
        return conflict("immutable rule already exists");
    }
    let number = state.number();
    add(&mut state.immutable, number, project, wanted);
    state.apply_immutable();
    created(&call.request.path, number)
}

/// Changes a rule. Where the body only switches it, the rest stays (`src/server/v2.0/handler/immutable.go`).
pub(crate) fn update_immutable(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    let number = call.number("immutable_rule_id");
    let project = match state.project_at(call) {
        Ok(project) => project,
        Err(error) => return error,
    };
    let Some(rule) = state.immutable.get_mut(&number).filter(|rule| rule["project_id"] == project) else {
        return not_found("immutable rule");
    };
    if wanted["tag_selectors"].is_array() {
        *rule = wanted;
        (rule["id"], rule["project_id"]) = (number.into(), project.into());
    } else {
        rule["disabled"] = wanted["disabled"].clone();
    }
    state.apply_immutable();
    Response::new(200)
}

/// Returns the project's number of a retention policy.
fn retained(policy: &Value) -> i64 {
    policy["scope"]["ref"].as_i64().unwrap_or(0)
}

pub(crate) fn create_retention(state: &mut State, call: &Call) -> Response {
    let mut wanted = call.request.json();
    let project = retained(&wanted);
    if wanted["scope"].is_null() {
        return Response::new(500);
    }
    let Some(shown) = state.projects.get(&project).filter(|_| wanted["scope"]["level"] == "project") else {
        return bad_request("scope: level `project` with the project's number as ref");
    };
    if wanted["algorithm"] != "or" || !wanted["rules"].is_array() {
        return bad_request("Algorithm must be `or`");
    }
    if let Some(old) = shown["metadata"]["retention_id"].as_str() {
        return bad_request(&format!("bad request: project {project} already has retention policy {old}"));
    }
    if !call.may(&state.name_of(project), "tag-retention", "create") {
        return forbidden();
    }
    let number = state.number();
    wanted["id"] = number.into();
    state.retentions.insert(number, wanted);
    state.projects.get_mut(&project).expect("it was found")["metadata"]["retention_id"] = number.to_string().into();
    created("/api/v2.0/retentions", number)
}

pub(crate) fn get_retention(state: &mut State, call: &Call) -> Response {
    let Some(policy) = state.retentions.get(&call.number("id")) else { return not_found("retention policy") };
    let is_allowed = call.may(&state.name_of(retained(policy)), "tag-retention", "read");
    if is_allowed { Response::json(200, policy) } else { forbidden() }
}

pub(crate) fn update_retention(state: &mut State, call: &Call) -> Response {
    let number = call.number("id");
    let Some(policy) = state.retentions.get(&number) else { return not_found("retention policy") };
    if !call.may(&state.name_of(retained(policy)), "tag-retention", "update") {
        return forbidden();
    }
    let mut wanted = call.request.json();
    if retained(&wanted) != retained(policy) {
        return bad_request("scope cannot be changed");
    }
    wanted["id"] = number.into();
    state.retentions.insert(number, wanted);
    Response::new(200)
}

pub(crate) fn list_webhooks(state: &mut State, call: &Call) -> Response {
    state.project_at(call).map_or_else(|error| error, |project| call.page(&of_project(&state.webhooks, project)))
}

/// Returns what is wrong with a webhook policy.
fn webhook_problem(wanted: &Value) -> Option<&'static str> {
    let target = &wanted["targets"][0];
    if wanted["event_types"].as_array().is_none_or(Vec::is_empty) {
        Some("empty event type")
    } else if wanted["name"].as_str().is_none_or(str::is_empty) {
        Some("name is required")
    } else if !matches!(target["type"].as_str(), Some("http" | "slack" | "teams")) {
        Some("unsupported notify type")
    } else if !target["address"].as_str().is_some_and(|address| address.starts_with("http")) {
        Some("invalid webhook target address")
    } else {
        None
    }
}

pub(crate) fn create_webhook(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    let project = match (webhook_problem(&wanted), state.project_at(call)) {
        (Some(problem), _) => return bad_request(problem),
        (None, Ok(project)) => project,
        (None, Err(error)) => return error,
    };
    if of_project(&state.webhooks, project).iter().any(|policy| policy["name"] == wanted["name"]) {
        let name = wanted["name"].as_str().unwrap_or_default();
        return conflict(&format!("notification policy named {name} already exists"));
    }
    let number = state.number();
    add(&mut state.webhooks, number, project, wanted);
    created(&call.request.path, number)
}

pub(crate) fn update_webhook(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    let number = call.number("webhook_policy_id");
    let project = match (webhook_problem(&wanted), state.project_at(call)) {
        (Some(problem), _) => return bad_request(problem),
        (None, Ok(project)) => project,
        (None, Err(error)) => return error,
    };
    if state.webhooks.get(&number).is_none_or(|policy| policy["project_id"] != project) {
        return not_found("notification policy");
    }
    add(&mut state.webhooks, number, project, wanted);
    Response::new(200)
}
