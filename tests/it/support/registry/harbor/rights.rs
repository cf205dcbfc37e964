//! What the caller may do, and the setting of the whole Harbor that decides about names of robots.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;

/// Rights in a project (`src/common/rbac/const.go`); the project itself has no word.
const PROJECT: &[(&str, &str)] = &[
    ("accessory", "list"),
    ("artifact", "create"),
    ("artifact", "delete"),
    ("artifact", "list"),
    ("artifact", "read"),
    ("artifact-addition", "read"),
    ("artifact-label", "create"),
    ("artifact-label", "delete"),
    ("immutable-tag", "create"),
    ("immutable-tag", "list"),
    ("immutable-tag", "update"),
    ("label", "create"),
    ("label", "list"),
    ("notification-policy", "create"),
    ("notification-policy", "list"),
    ("project", "read"),
    ("project", "update"),
    ("quota", "read"),
    ("repository", "delete"),
    ("repository", "pull"),
    ("repository", "push"),
    ("scan", "create"),
    ("scan", "read"),
    ("scanner", "read"),
    ("tag", "create"),
    ("tag", "delete"),
    ("tag", "list"),
    ("tag-retention", "create"),
    ("tag-retention", "read"),
    ("tag-retention", "update"),
];

/// Lists the caller's rights in a scope; nothing in one that is none (`src/server/v2.0/handler/user.go`).
pub(crate) fn permissions(state: &mut State, call: &Call) -> Response {
    let scope = call.request.query("scope").unwrap_or_default();
    let number = scope.strip_prefix("/project/").and_then(|number| number.parse::<i64>().ok());
    let Some(number) = number else {
        // resources of the system have another path there, so that robots are told of none; the admin may do everything
        let is_told = scope == "/system" && !call.is_robot();
        let shown = if is_told { json!([{ "resource": "catalog", "action": "read" }]) } else { json!([]) };
        return Response::json(200, &shown);
    };
    let namespace = state.name_of(number);
    let held =
        PROJECT.iter().filter(|(resource, action)| state.claims_all_rights || call.may(&namespace, resource, action));
    let show = |(resource, action): &(&str, &str)| {
        let path = if *resource == "project" { scope.clone() } else { format!("{scope}/{resource}") };
        json!({ "resource": path, "action": action })
    };
    let shown: Vec<Value> = held.map(show).collect();
    Response::json(200, &json!(shown))
}

pub(crate) fn configurations(state: &mut State, _: &Call) -> Response {
    let text = |value: &str| json!({ "editable": true, "value": value });
    Response::json(200, &json!({ "robot_name_prefix": text(&state.robot_prefix), "auth_mode": text("db_auth") }))
}

/// Changes settings. All robots get another name at once: Harbor keeps their names without the prefix
/// (`src/controller/robot/controller.go`).
pub(crate) fn configure(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    if let Some(read_only) = wanted["read_only"].as_bool() {
        state.is_read_only = read_only;
    }
    let Some(prefix) = wanted["robot_name_prefix"].as_str() else { return Response::new(200) };
    if prefix.trim().is_empty() {
        return bad_request("robot_name_prefix cannot be empty or contain only spaces");
    }
    state.rename_robots(prefix);
    Response::new(200)
}
