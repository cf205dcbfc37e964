//! The Harbor double behaves as the source of Harbor 2.15 says it does.

use crate::double::MANIFEST;
use crate::double::digest;
use crate::double::manifest;
use crate::double::push_blob;
use crate::double::put_manifest;
use crate::support::registry::Harbor;
use crate::support::registry::client::Client;
use crate::support::registry::client::Reply;
use crate::support::registry::harbor::ADMIN;
use serde_json::Value;
use serde_json::json;

pub(crate) fn admin(harbor: &Harbor) -> Client {
    Client::connect(&harbor.address()).login(ADMIN.0, ADMIN.1)
}

pub(crate) fn get(client: &mut Client, path: &str) -> Reply {
    client.ask("GET", &format!("/api/v2.0{path}"), b"")
}

pub(crate) fn send(client: &mut Client, method: &str, path: &str, body: &Value) -> u16 {
    client.json(method, &format!("/api/v2.0{path}"), body).status
}

/// Pushes an image to `repository:tag`; returns its digest.
pub(crate) fn push(harbor: &Harbor, repository: &str, tag: &str, layer: &[u8]) -> String {
    let document = manifest(b"{}", &[layer]);
    let mut client = admin(harbor);
    assert_eq!((push_blob(&mut client, repository, b"{}"), push_blob(&mut client, repository, layer)), (201, 201));
    assert_eq!(put_manifest(&mut client, &format!("/v2/{repository}/manifests/{tag}"), &document).0, 201);
    digest(document.to_string().as_bytes())
}

/// Attaches a manifest of some kind to an image.
pub(crate) fn attach(harbor: &Harbor, repository: &str, image: &str, kind: &str) -> String {
    let document = json!({ "mediaType": MANIFEST, "artifactType": kind, "subject": { "digest": image } });
    harbor.registry.contents().add_manifest(repository, MANIFEST, document.to_string().into_bytes())
}

#[test]
fn tells_strangers_little_and_keeps_them_out() {
    let harbor = Harbor::start("v2.15.2");
    let mut stranger = Client::connect(&harbor.address());
    assert_eq!(get(&mut stranger, "/systeminfo").json()["harbor_version"], Value::Null);
    assert_eq!(get(&mut admin(&harbor), "/systeminfo").json()["harbor_version"], "v2.15.2-0123abcd");
    harbor.is_read_only();
    let shown = get(&mut stranger, "/systeminfo").json();
    assert_eq!((&shown["read_only"], &shown["external_url"]), (&Value::Null, &Value::Null));
    let shown = get(&mut admin(&harbor), "/systeminfo").json();
    assert_eq!((&shown["read_only"], &shown["external_url"]), (&json!(true), &json!(harbor.url())));
    assert_eq!(send(&mut admin(&harbor), "POST", "/projects", &json!({ "project_name": "x" })), 403);
    assert_eq!((get(&mut stranger, "/ping").body, get(&mut stranger, "/health").status), (b"Pong".to_vec(), 200));
    let refused = get(&mut stranger, "/projects/staging");
    assert_eq!((refused.status, refused.code()), (401, "UNAUTHORIZED".to_owned()));
    let mut wrong = Client::connect(&harbor.address()).login("admin", "wrong").with("x-request-id", "r1");
    assert_eq!(get(&mut wrong, "/systeminfo").json()["harbor_version"], Value::Null);
    assert_eq!(get(&mut wrong, "/projects").json(), json!([]), "a stranger's list");
    let refused = get(&mut wrong, "/quotas");
    assert_eq!((refused.status, refused.header("x-request-id")), (401, "r1"));
    assert_eq!(get(&mut admin(&harbor), "/nothing").code(), "NOT_FOUND");
    assert_eq!(send(&mut admin(&harbor), "DELETE", "/projects", &json!({})), 405);
}

#[test]
fn a_session_cookie_spoils_the_next_post() {
    let harbor = Harbor::start("v2.15.2");
    let cookie = get(&mut admin(&harbor), "/projects").header("set-cookie").split(';').next().unwrap().to_owned();
    let mut client = admin(&harbor).with("cookie", &cookie);
    let project = json!({ "project_name": "staging" });
    assert_eq!((get(&mut client, "/projects").status, send(&mut client, "POST", "/projects", &project)), (200, 403));
    assert_eq!(send(&mut admin(&harbor), "POST", "/projects", &project), 201);
}

#[test]
fn projects_and_quotas() {
    let harbor = Harbor::start("v2.15.2");
    let mut client = admin(&harbor);
    let wanted = |flag: Value| json!({ "project_name": "staging", "storage_limit": 1000, "metadata": { "public": "false", "prevent_vul": flag } });
    assert_eq!(send(&mut client, "HEAD", "/projects?project_name=staging", &json!({})), 404);
    assert_eq!(send(&mut client, "POST", "/projects", &wanted(json!(true))), 422, "settings are texts");
    assert_eq!(send(&mut client, "POST", "/projects", &wanted(json!("true"))), 201);
    assert_eq!(send(&mut client, "POST", "/projects", &wanted(json!("true"))), 409);
    assert_eq!(send(&mut client, "HEAD", "/projects?project_name=staging", &json!({})), 200);
    let project = get(&mut client, "/projects/staging").json();
    let number = project["project_id"].as_i64().unwrap();
    assert_eq!(get(&mut client, &format!("/projects/{number}")).json()["name"], "staging");
    let mut named = admin(&harbor).with("x-is-resource-name", "true");
    assert_eq!(get(&mut named, &format!("/projects/{number}")).status, 404);
    assert_eq!(send(&mut client, "PUT", "/projects/staging", &json!({ "metadata": { "auto_scan": "true" } })), 200);
    let setting = json!({ "prevent_vul": "false" });
    assert_eq!(send(&mut client, "PUT", "/projects/staging/metadatas/prevent_vul", &setting), 200);
    let metadata = json!({ "public": "false", "prevent_vul": "false", "auto_scan": "true" });
    assert_eq!(get(&mut client, "/projects/staging").json()["metadata"], metadata);

    let quota = get(&mut client, &format!("/quotas?reference=project&reference_id={number}")).json();
    assert_eq!((&quota[0]["hard"]["storage"], &quota[0]["used"]["storage"]), (&json!(1000), &json!(0)));
    assert_eq!(push_blob(&mut client, "staging/a", &[7; 900]), 201);
    assert_eq!(push_blob(&mut client, "staging/a", &[8; 200]), 403);
    let path = format!("/quotas/{}", quota[0]["id"]);
    assert_eq!(send(&mut client, "PUT", &path, &json!({ "hard": { "storage": 5000 } })), 200);
    assert_eq!(push_blob(&mut client, "staging/a", &[8; 200]), 201);
    assert_eq!(push_blob(&mut client, "absent/a", b"x"), 401);
}

#[test]
fn lists_have_pages() {
    let harbor = Harbor::start("v2.15.2");
    for number in 0..12 {
        harbor.project(&format!("p{number}"));
    }
    let mut client = admin(&harbor);
    let first = get(&mut client, "/projects");
    assert_eq!((first.json().as_array().unwrap().len(), first.header("x-total-count")), (10, "12"));
    let next = first.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(client.ask("GET", &next, b"").json().as_array().unwrap().len(), 2);
    assert_eq!(get(&mut client, "/projects?page_size=101").status, 422);
}

#[test]
fn robots_are_made_once_and_do_what_they_may() {
    let harbor = Harbor::start("v2.15.2");
    let project = harbor.project("staging");
    let mut client = admin(&harbor);
    let access = |right: &str| json!({ "resource": right.split(':').next(), "action": right.split(':').nth(1) });
    let wanted = |name: &str, level: &str, duration: i64| {
        let access: Vec<Value> = ["repository:push", "artifact:read", "robot:create"].map(access).into();
        let permissions = json!([{ "kind": "project", "namespace": "staging", "access": access }]);
        json!({ "name": name, "level": level, "duration": duration, "secret": "ignored", "permissions": permissions })
    };
    for (name, level, duration) in
        [("Ci", "project", -1), ("ci-", "project", -1), ("ci", "x", -1), ("ci", "project", 0)]
    {
        assert_eq!(
            send(&mut client, "POST", "/robots", &wanted(name, level, duration)),
            400,
            "{name} {level} {duration}"
        );
    }
    let made = client.json("POST", "/api/v2.0/robots", &wanted("ci", "project", 30)).json();
    let (number, secret) = (made["id"].as_i64().unwrap(), made["secret"].as_str().unwrap().to_owned());
    assert_eq!((made["name"].as_str(), secret.len()), (Some("robot$staging+ci"), 32));
    assert_eq!(send(&mut client, "POST", "/robots", &wanted("ci", "project", 30)), 409);
    let system = client.json("POST", "/api/v2.0/robots", &wanted("all", "system", -1)).json();
    assert_eq!((&system["name"], &system["expires_at"]), (&json!("robot$all"), &json!(-1)));
    assert_eq!(get(&mut client, "/robots").json().as_array().unwrap().len(), 1, "the system's");
    let listed = get(&mut client, &format!("/robots?q=Level%3Dproject%2CProjectID%3D{project}")).json();
    assert_eq!((&listed[0]["id"], &listed[0]["secret"]), (&json!(number), &Value::Null));

    let robot = |secret: &str| Client::connect(&harbor.address()).login("robot$staging+ci", secret);
    assert_eq!(push_blob(&mut robot(&secret), "staging/a", b"x"), 201);
    assert_eq!(get(&mut robot(&secret), "/projects/staging/repositories/a/artifacts/1").status, 404);
    assert_eq!(get(&mut robot(&secret), "/projects/staging/repositories/a/artifacts").code(), "FORBIDDEN");
    assert_eq!(send(&mut robot(&secret), "POST", "/robots", &wanted("ci2", "project", 1)), 201);
    let path = format!("/robots/{number}");
    assert_eq!(send(&mut robot(&secret), "PATCH", &path, &json!({ "secret": "" })), 403, "never by robots");
    let renewed = client.json("PATCH", &format!("/api/v2.0{path}"), &json!({ "secret": "" })).json();
    let me = "/projects/staging/repositories/a/artifacts/1";
    assert_eq!(get(&mut robot(&secret), me).status, 401);
    let secret = renewed["secret"].as_str().unwrap();
    assert_eq!(get(&mut robot(secret), me).status, 404);
    let mut longer = wanted("robot$staging+ci", "project", 60);
    longer["disable"] = true.into();
    assert_eq!(send(&mut client, "PUT", &path, &longer), 200);
    let lasting = get(&mut client, &path).json()["expires_at"].as_i64().unwrap() - made["expires_at"].as_i64().unwrap();
    assert_eq!((lasting, get(&mut robot(secret), me).status), (30 * 86_400, 401));
    assert_eq!([200, 404].map(|_| send(&mut client, "DELETE", &path, &json!({}))), [200, 404]);
    assert_eq!(push_blob(&mut robot(secret), "staging/a", b"x"), 401);
}

#[test]
fn rules_are_kept_and_immutable_ones_hold() {
    let harbor = Harbor::start("v2.15.2");
    let number = harbor.project("release");
    let mut client = admin(&harbor);
    let select = |decoration: &str, pattern: &str| json!([{ "kind": "doublestar", "decoration": decoration, "pattern": pattern }]);
    let immutable = json!({
        "action": "immutable", "template": "immutable_template", "priority": 0,
        "scope_selectors": { "repository": select("repoMatches", "**") }, "tag_selectors": select("excludes", "sha256-*.sig"),
    });
    let retention = json!({
        "algorithm": "or", "rules": [], "scope": { "level": "project", "ref": number },
        "trigger": { "kind": "Schedule", "settings": { "cron": "" } },
    });
    let label = json!({ "name": "released", "scope": "p", "project_id": number });
    let target = json!({ "type": "http", "address": "http://127.0.0.1:9", "skip_cert_verify": false });
    let webhook =
        json!({ "name": "scans", "enabled": true, "event_types": ["SCANNING_COMPLETED"], "targets": [target] });
    let table = [
        ("/projects/release/immutabletagrules", immutable, [201, 409], "/projects/release/immutabletagrules"),
        ("/retentions", retention.clone(), [201, 400], "/projects?name=release"),
        ("/labels", label, [201, 409], &format!("/labels?scope=p&project_id={number}")),
        ("/projects/release/webhook/policies", webhook.clone(), [201, 409], "/projects/release/webhook/policies"),
    ];
    for (path, body, statuses, list) in table {
        assert_eq!([0; 2].map(|_| send(&mut client, "POST", path, &body)), statuses, "{path}");
        assert_eq!(get(&mut client, list).header("x-total-count"), "1", "{path}");
        let empty = send(&mut client, "POST", path, &json!({}));
        let expected = if path.ends_with("rules") {
            201
        } else if path == "/retentions" {
            500
        } else {
            400
        };
        assert_eq!(empty, expected, "{path}");
    }
    let retention_id = get(&mut client, "/projects/release").json()["metadata"]["retention_id"].clone();
    let path = format!("/retentions/{}", retention_id.as_str().unwrap());
    assert_eq!(
        (get(&mut client, &path).json()["algorithm"].as_str(), send(&mut client, "PUT", &path, &retention)),
        (Some("or"), 200)
    );
    let policy = get(&mut client, "/projects/release/webhook/policies").json()[0]["id"].clone();
    assert_eq!(send(&mut client, "PUT", &format!("/projects/release/webhook/policies/{policy}"), &webhook), 200);

    let image = push(&harbor, "release/a", "1", b"layer");
    let document = harbor.registry.manifest("release/a", &image).unwrap().json();
    let statuses = ["1", "2", "sha256-0.sig", "sha256-0.sig"]
        .map(|tag| put_manifest(&mut client, &format!("/v2/release/a/manifests/{tag}"), &document).0);
    assert_eq!(statuses, [412, 201, 201, 201]);
}

#[test]
fn artifacts_with_tags_labels_and_accessories() {
    let harbor = Harbor::start("v2.15.2");
    let project = harbor.project("staging");
    let image = push(&harbor, "staging/base/debian", "13", b"layer");
    let sbom = attach(&harbor, "staging/base/debian", &image, "application/vnd.goharbor.harbor.sbom.v1");
    attach(&harbor, "staging/base/debian", &image, "application/vnd.dev.sigstore.bundle.v0.3+json");
    let mut client = admin(&harbor);
    let artifacts = "/projects/staging/repositories/base%252Fdebian/artifacts";
    assert_eq!(get(&mut client, &artifacts.replace("%252F", "%2F")).status, 404, "encoded twice or not at all");
    let list = get(&mut client, artifacts).json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["digest"]), (1, &json!(image)));
    let shown = get(&mut client, &format!("{artifacts}/13?with_accessory=true")).json();
    assert_eq!((&shown["type"], &shown["repository_name"]), (&json!("IMAGE"), &json!("staging/base/debian")));
    assert_eq!((&shown["tags"][0]["name"], &shown["tags"][0]["immutable"]), (&json!("13"), &json!(false)));
    let mut kinds: Vec<_> =
        shown["accessories"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["sbom.harbor", "signature.cosign"]);
    assert_eq!(
        get(&mut client, &format!("{artifacts}/{image}/accessories")).json()[0]["subject_artifact_digest"],
        image
    );
    assert!(get(&mut client, &format!("{artifacts}/{sbom}")).json()["type"] == "UNKNOWN");

    let tags = format!("{artifacts}/{image}/tags");
    assert_eq!(["14", "14"].map(|tag| send(&mut client, "POST", &tags, &json!({ "name": tag }))), [201, 409]);
    assert_eq!([0; 2].map(|_| send(&mut client, "DELETE", &format!("{tags}/14"), &json!({}))), [200, 404]);
    assert_eq!(get(&mut client, &tags).header("x-total-count"), "1");
    let wanted = json!({ "name": "tested", "scope": "p", "project_id": project });
    let made = client.json("POST", "/api/v2.0/labels", &wanted);
    let label: i64 = made.header("location").rsplit('/').next().unwrap().parse().unwrap();
    let labels = format!("{artifacts}/{image}/labels");
    assert_eq!([label, label, 999].map(|id| send(&mut client, "POST", &labels, &json!({ "id": id }))), [200, 409, 404]);
    assert_eq!(get(&mut client, &format!("{artifacts}/13?with_label=true")).json()["labels"][0]["name"], "tested");
    assert_eq!([0; 2].map(|_| send(&mut client, "DELETE", &format!("{labels}/{label}"), &json!({}))), [200, 404]);
    assert_eq!(Harbor::start("v2.14.4").state().version, "v2.14.4");
}

#[test]
fn rights_can_be_asked_for_and_projects_end() {
    let harbor = Harbor::start("v2.15.2");
    let (staging, other) = (harbor.project("staging"), harbor.project("other"));
    harbor.robot("robot$ci", "secret", &[("staging", &["project:read", "tag:delete"]), ("/", &["scanner:read"])]);
    let mut robot = Client::connect(&harbor.address()).login("robot$ci", "secret");
    let mut rights = |scope: &str| get(&mut robot, &format!("/users/current/permissions?scope={scope}")).json();
    let path = format!("/project/{staging}");
    let held =
        json!([{ "resource": path, "action": "read" }, { "resource": format!("{path}/tag"), "action": "delete" }]);
    assert_eq!(rights(&path), held);
    assert_eq!((rights(&format!("/project/{other}")), rights("/system")), (json!([]), json!([])));
    assert_eq!(get(&mut robot, "/projects/staging/summary").json()["quota"], Value::Null, "no right to see it");
    let stranger = get(&mut Client::connect(&harbor.address()), "/users/current/permissions");
    assert_eq!((stranger.status, get(&mut robot, "/configurations").status), (401, 403));

    let mut client = admin(&harbor);
    assert_eq!(get(&mut client, "/projects/staging/summary").json()["quota"]["hard"]["storage"], -1);
    push(&harbor, "staging/a/b", "1", b"x");
    let empty = json!({});
    assert_eq!(send(&mut client, "DELETE", "/projects/staging", &empty), 412, "not empty");
    assert_eq!(get(&mut client, "/projects/staging/repositories").json()[0]["name"], "staging/a/b");
    assert_eq!(send(&mut client, "DELETE", "/projects/staging/repositories/a%252Fb", &empty), 200);
    assert_eq!(send(&mut client, "DELETE", "/projects/staging", &empty), 200);
    assert_eq!(get(&mut client, "/projects/staging").status, 403 + 1);
    assert_eq!(send(&mut client, "POST", "/system/gc/schedule", &empty), 501, "not modelled");
    assert_eq!(send(&mut client, "DELETE", "/labels/1", &empty), 501);
}

#[test]
fn a_new_prefix_renames_all_robots() {
    let harbor = Harbor::start("v2.15.2");
    harbor.project("staging");
    harbor.robot("robot$ci", "secret", &[("staging", &["repository:push", "repository:pull"])]);
    let mut client = admin(&harbor);
    assert_eq!(send(&mut client, "PUT", "/configurations", &json!({ "robot_name_prefix": "bot+" })), 200);
    assert_eq!(get(&mut client, "/configurations").json()["robot_name_prefix"]["value"], "bot+");
    let pushes =
        |name: &str| push_blob(&mut Client::connect(&harbor.address()).login(name, "secret"), "staging/a", b"x");
    assert_eq!((pushes("robot$ci"), pushes("bot+ci")), (401, 201));
}
