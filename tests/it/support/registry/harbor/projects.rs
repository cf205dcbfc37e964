//! Harbor itself, its projects and their quotas.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::invalid;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;

pub(crate) fn system_info(state: &mut State, call: &Call) -> Response {
    let host = call.request.header("host").unwrap_or_default();
    let mut info = json!({
        "auth_mode": "db_auth", "primary_auth_mode": false, "self_registration": false, "banner_message": "",
        "oidc_provider_name": "",
    });
    // strangers learn nothing more
    if call.caller.is_some() {
        info["external_url"] = format!("http://{host}").into();
        info["registry_url"] = host.into();
        info["has_ca_root"] = false.into();
        info["project_creation_restriction"] = "everyone".into();
        info["read_only"] = state.is_read_only.into();
        info["notification_enable"] = true.into();
        info["harbor_version"] = format!("{}-0123abcd", state.version).into();
        info["registry_storage_provider_name"] = "filesystem".into();
        info["current_time"] = sockel::sys::clock::now().to_string().into();
    }
    Response::json(200, &info)
}

pub(crate) fn ping(_: &mut State, _: &Call) -> Response {
    Response::new(200).with("content-type", "text/plain; charset=utf-8").body(b"Pong".to_vec())
}

pub(crate) fn health(_: &mut State, _: &Call) -> Response {
    let names = ["core", "database", "jobservice", "portal", "redis", "registry", "registryctl", "trivy"];
    let components: Vec<Value> = names.iter().map(|name| json!({ "name": name, "status": "healthy" })).collect();
    Response::json(200, &json!({ "status": "healthy", "components": components }))
}

pub(crate) fn exists(state: &mut State, call: &Call) -> Response {
    let name = call.request.query("project_name").unwrap_or_default();
    state.project_number(&name).map_or_else(|| not_found("project"), |_| Response::new(200))
}

/// Lists the projects the caller may read; `name` is a part of the name.
pub(crate) fn list(state: &mut State, call: &Call) -> Response {
    let part = call.request.query("name").unwrap_or_default();
    let fits = |project: &&Value| {
        let name = project["name"].as_str().unwrap_or_default();
        name.contains(&part) && (project["metadata"]["public"] == "true" || call.may(name, "project", "read"))
    };
    let all: Vec<Value> = state.projects.values().filter(fits).cloned().collect();
    call.page(&all)
}

pub(crate) fn get(state: &mut State, call: &Call) -> Response {
    state.project_at(call).map_or_else(|error| error, |number| Response::json(200, &state.projects[&number]))
}

/// Shows how full a project is, to whoever may know.
pub(crate) fn summary(state: &mut State, call: &Call) -> Response {
    let number = match state.project_at(call) {
        Ok(number) => number,
        Err(error) => return error,
    };
    let name = state.name_of(number);
    let mut shown = json!({ "repo_count": state.repositories(&name) });
    if call.may(&name, "quota", "read") {
        let used = state.used(&name);
        shown["quota"] = json!({ "hard": state.quotas[&number]["hard"], "used": { "storage": used } });
    }
    Response::json(200, &shown)
}

pub(crate) fn create(state: &mut State, call: &Call) -> Response {
    let request = call.request.json();
    let name = request["project_name"].as_str().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(is_plain) {
        return bad_request("project name is not in lower case or contains illegal characters");
    }
    if let Some(problem) = metadata_problem(&request["metadata"]) {
        return invalid(&problem);
    }
    if state.project_number(name).is_some() {
        return conflict(&format!("The project named {name} already exists"));
    }
    let mut wanted = request.clone();
    if call.is_robot() {
        // honoured for admins only
        wanted["storage_limit"] = Value::Null;
    }
    let number = state.add_project(&wanted);
    Response::new(201).with("location", &format!("/api/v2.0/projects/{number}"))
}

/// Returns what is wrong with a project's metadata: all values are strings.
fn metadata_problem(metadata: &Value) -> Option<String> {
    for (key, value) in metadata.as_object().into_iter().flatten() {
        // words that are no flag are taken as they are
        if !value.is_string() {
            let value = if value.is_boolean() { "bool" } else { "number" };
            return Some(format!(
                "parsing project body from \"\" failed, because json: cannot unmarshal {value} into Go struct field ProjectMetadata.metadata.{key} of type string"
            ));
        }
    }
    None
}

/// Lays new settings over old ones.
fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

pub(crate) fn update(state: &mut State, call: &Call) -> Response {
    let request = call.request.json();
    if let Some(problem) = metadata_problem(&request["metadata"]) {
        return invalid(&problem);
    }
    let number = match state.project_at(call) {
        Ok(number) => number,
        Err(error) => return error,
    };
    let project = state.projects.get_mut(&number).expect("it was found");
    merge(&mut project["metadata"], &request["metadata"]);
    if request["cve_allowlist"].is_object() {
        project["cve_allowlist"] = request["cve_allowlist"].clone();
    }
    Response::new(200)
}

/// Deletes an empty project, with its rules, labels and what robots may do there.
pub(crate) fn delete(state: &mut State, call: &Call) -> Response {
    let number = match state.project_at(call) {
        Ok(number) => number,
        Err(error) => return error,
    };
    let name = state.name_of(number);
    if state.repositories(&name) > 0 {
        let words = "precondition failed: the project contains repositories, can not be deleted";
        return Response::error(412, "PRECONDITION", words);
    }
    state.forget_project(number);
    Response::new(200)
}

pub(crate) fn list_repositories(state: &mut State, call: &Call) -> Response {
    let prefix = format!("{}/", call.part("project_name"));
    let contents = state.heart.contents.lock().unwrap();
    let all: Vec<Value> = contents
        .repositories
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, repository)| json!({ "name": name, "artifact_count": repository.manifests.len() }))
        .collect();
    drop(contents);
    call.page(&all)
}

/// Deletes a repository, unless one of its tags never moves.
pub(crate) fn delete_repository(state: &mut State, call: &Call) -> Response {
    let name = call.repository();
    let mut contents = state.heart.contents.lock().unwrap();
    let Some(repository) = contents.repositories.get(&name) else {
        return not_found(&format!("repository {name}"));
    };
    if let Some(tag) = repository.tags.keys().find(|tag| state.heart.is_immutable(&name, tag)) {
        let words = format!("the tag {tag} configured as immutable, cannot be deleted");
        return Response::error(412, "PRECONDITION", &words);
    }
    contents.repositories.remove(&name);
    Response::new(200)
}

/// One setting: `{"prevent_vul": "true"}`.
pub(crate) fn put_metadata(state: &mut State, call: &Call) -> Response {
    let request = call.request.json();
    let name = call.part("meta_name");
    let problem = metadata_problem(&request);
    if problem.is_some() || !request[name].is_string() {
        return bad_request(&problem.unwrap_or_else(|| "invalid value: ".into()));
    }
    match state.project_at(call) {
        Ok(number) => state.projects.get_mut(&number).expect("it was found")["metadata"][name] = request[name].clone(),
        Err(error) => return error,
    }
    Response::new(200)
}

/// Lists quotas, of one project where `reference_id` asks for it.
pub(crate) fn list_quotas(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.query("reference_id");
    let fits = |number: &i64| wanted.as_ref().is_none_or(|wanted| *wanted == number.to_string());
    let numbers: Vec<i64> = state.quotas.keys().copied().filter(fits).collect();
    let mut all = Vec::new();
    for number in numbers {
        let mut quota = state.quotas[&number].clone();
        quota["used"]["storage"] = state.used(&state.name_of(number)).into();
        all.push(quota);
    }
    call.page(&all)
}

pub(crate) fn update_quota(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json()["hard"]["storage"].clone();
    if !wanted.as_i64().is_some_and(|bytes| bytes == -1 || bytes > 0) {
        return bad_request(&format!("invalid non-positive value for quota limit, value={wanted}"));
    }
    match state.quotas.values_mut().find(|quota| quota["id"] == call.number("id")) {
        Some(quota) => quota["hard"]["storage"] = wanted,
        None => return not_found("quota"),
    }
    Response::new(200)
}

impl State {
    /// Removes a project and everything that belongs to it.
    fn forget_project(&mut self, number: i64) {
        let name = self.name_of(number);
        self.projects.remove(&number);
        self.quotas.remove(&number);
        for table in [&mut self.labels, &mut self.immutable, &mut self.webhooks] {
            table.retain(|_, one| one["project_id"] != number);
        }
        self.retentions.retain(|_, policy| policy["scope"]["ref"] != number);
        for robot in self.robots.values_mut() {
            if let Some(permissions) = robot.shown["permissions"].as_array_mut() {
                permissions.retain(|one| one["namespace"] != name.as_str());
            }
        }
        self.apply_immutable();
    }

    /// Adds a project as asked for, with Harbor's defaults; returns its number.
    pub(crate) fn add_project(&mut self, request: &Value) -> i64 {
        let (number, quota) = (self.number(), self.number());
        let mut metadata = json!({ "public": "false" });
        merge(&mut metadata, &request["metadata"]);
        let now = sockel::sys::clock::now().to_string();
        let allowlist = request["cve_allowlist"].as_object().cloned();
        let allowlist =
            allowlist.map_or_else(|| json!({ "id": number, "project_id": number, "items": [] }), Value::Object);
        let name = &request["project_name"];
        let project = json!({
            "project_id": number, "name": name, "owner_id": 1, "owner_name": "admin", "repo_count": 0,
            "creation_time": now, "update_time": now, "metadata": metadata, "cve_allowlist": allowlist,
        });
        self.projects.insert(number, project);
        let storage = request["storage_limit"].as_i64().filter(|bytes| *bytes != 0).unwrap_or(-1);
        // a quota has a number of its own
        let quota = json!({
            "id": quota, "ref": { "id": number, "name": name, "owner_name": "admin" },
            "hard": { "storage": storage }, "used": { "storage": 0 }, "creation_time": now, "update_time": now,
        });
        self.quotas.insert(number, quota);
        number
    }
}
