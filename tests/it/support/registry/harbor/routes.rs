//! Everything of Harbor's API that is served: method, path, right.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::artifacts;
use crate::support::registry::harbor::projects;
use crate::support::registry::harbor::promotion;
use crate::support::registry::harbor::rights;
use crate::support::registry::harbor::robots;
use crate::support::registry::harbor::routes::Right::Known;
use crate::support::registry::harbor::routes::Right::Open;
use crate::support::registry::harbor::routes::Right::Project;
use crate::support::registry::harbor::routes::Right::System;
use crate::support::registry::harbor::rules;
use crate::support::registry::harbor::scans;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use crate::support::registry::message::decoded;
use std::collections::BTreeMap;

/// Who may ask.
#[derive(Clone, Copy)]
pub(crate) enum Right {
    /// Everybody.
    Open,
    /// Whoever is known; the handler decides.
    Known,
    /// A right on the system: resource, action.
    System(&'static str, &'static str),
    /// A right in the project of the path: resource, action.
    Project(&'static str, &'static str),
}

type Handler = fn(&mut State, &Call) -> Response;

/// Method, path as Harbor's definition writes it, right, and what answers.
pub(crate) type Route = (&'static str, &'static str, Right, Handler);

const REPOSITORY: &str = "/projects/{project_name}/repositories/{repository_name}";

/// Everything this Harbor serves; `@` stands for [`REPOSITORY`].
pub(crate) const ROUTES: &[Route] = &[
    ("GET", "/systeminfo", Open, projects::system_info),
    ("GET", "/ping", Open, projects::ping),
    ("GET", "/health", Open, projects::health),
    ("HEAD", "/projects", Known, projects::exists),
    ("GET", "/projects", Open, projects::list),
    ("POST", "/projects", System("project", "create"), projects::create),
    ("GET", "/projects/{project_name_or_id}", Project("project", "read"), projects::get),
    ("GET", "/projects/{project_name_or_id}/summary", Project("project", "read"), projects::summary),
    ("GET", "/users/current/permissions", Known, rights::permissions),
    ("GET", "/configurations", System("configuration", "read"), rights::configurations),
    ("PUT", "/configurations", System("configuration", "update"), rights::configure),
    ("PUT", "/projects/{project_name_or_id}", Project("project", "update"), projects::update),
    ("DELETE", "/projects/{project_name_or_id}", Project("project", "delete"), projects::delete),
    ("GET", "/projects/{project_name}/repositories", Project("repository", "list"), projects::list_repositories),
    ("DELETE", REPOSITORY, Project("repository", "delete"), projects::delete_repository),
    (
        "PUT",
        "/projects/{project_name_or_id}/metadatas/{meta_name}",
        Project("metadata", "update"),
        projects::put_metadata,
    ),
    ("GET", "/projects/{project_name_or_id}/scanner", Project("scanner", "read"), scans::project_scanner),
    ("GET", "/scanners/{registration_id}/metadata", System("scanner", "read"), scans::metadata),
    ("GET", "/quotas", System("quota", "list"), projects::list_quotas),
    ("PUT", "/quotas/{id}", System("quota", "update"), projects::update_quota),
    ("GET", "/robots", System("robot", "list"), robots::list),
    ("POST", "/robots", Known, robots::create),
    ("GET", "/robots/{robot_id}", System("robot", "read"), robots::get),
    ("PUT", "/robots/{robot_id}", System("robot", "update"), robots::update),
    ("PATCH", "/robots/{robot_id}", System("robot", "update"), robots::renew_secret),
    ("DELETE", "/robots/{robot_id}", System("robot", "delete"), robots::delete),
    ("GET", "/labels", Open, rules::list_labels),
    ("POST", "/labels", Known, rules::create_label),
    (
        "GET",
        "/projects/{project_name_or_id}/immutabletagrules",
        Project("immutable-tag", "list"),
        rules::list_immutable,
    ),
    (
        "POST",
        "/projects/{project_name_or_id}/immutabletagrules",
        Project("immutable-tag", "create"),
        rules::create_immutable,
    ),
    (
        "PUT",
        "/projects/{project_name_or_id}/immutabletagrules/{immutable_rule_id}",
        Project("immutable-tag", "update"),
        rules::update_immutable,
    ),
    ("POST", "/retentions", Known, rules::create_retention),
    ("GET", "/retentions/{id}", Known, rules::get_retention),
    ("PUT", "/retentions/{id}", Known, rules::update_retention),
    (
        "GET",
        "/projects/{project_name_or_id}/webhook/policies",
        Project("notification-policy", "list"),
        rules::list_webhooks,
    ),
    (
        "POST",
        "/projects/{project_name_or_id}/webhook/policies",
        Project("notification-policy", "create"),
        rules::create_webhook,
    ),
    (
        "PUT",
        "/projects/{project_name_or_id}/webhook/policies/{webhook_policy_id}",
        Project("notification-policy", "update"),
        rules::update_webhook,
    ),
    ("GET", "@/artifacts", Project("artifact", "list"), artifacts::list),
    ("POST", "@/artifacts", Project("artifact", "create"), promotion::copy),
    ("GET", "@/artifacts/{reference}", Project("artifact", "read"), artifacts::get),
    ("DELETE", "@/artifacts/{reference}", Project("artifact", "delete"), artifacts::delete),
    ("GET", "@/artifacts/{reference}/accessories", Project("accessory", "list"), artifacts::list_accessories),
    ("GET", "@/artifacts/{reference}/tags", Project("tag", "list"), artifacts::list_tags),
    ("POST", "@/artifacts/{reference}/tags", Project("tag", "create"), artifacts::create_tag),
    ("DELETE", "@/artifacts/{reference}/tags/{tag_name}", Project("tag", "delete"), artifacts::delete_tag),
    ("POST", "@/artifacts/{reference}/labels", Project("artifact-label", "create"), artifacts::add_label),
    (
        "DELETE",
        "@/artifacts/{reference}/labels/{label_id}",
        Project("artifact-label", "delete"),
        artifacts::remove_label,
    ),
    ("POST", "@/artifacts/{reference}/scan", Project("scan", "create"), scans::begin),
    ("GET", "@/artifacts/{reference}/scan/{report_id}/log", Project("scan", "read"), scans::log),
    ("GET", "@/artifacts/{reference}/additions/vulnerabilities", Project("artifact-addition", "read"), scans::report),
];

/// Returns method and path template of everything that is served, as the definition writes them.
pub(crate) fn routes() -> Vec<(&'static str, String)> {
    ROUTES.iter().map(|(method, template, ..)| (*method, template.replace('@', REPOSITORY))).collect()
}

/// Returns the variables of a path if it has the form of a template.
pub(crate) fn variables(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let template = template.replace('@', REPOSITORY);
    let (names, values): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    if names.len() != values.len() {
        return None;
    }
    let mut found = BTreeMap::new();
    for (name, value) in names.into_iter().zip(values) {
        // the web server decodes once; a slash that appears then is one like any other
        let once = decoded(value);
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            _ if once.contains('/') => return None,
            Some("repository_name") => found.insert("repository_name".to_owned(), decoded(&once)),
            Some(name) => found.insert(name.to_owned(), once),
            None if name == once => None,
            None => return None,
        };
    }
    Some(found)
}
