//! What a real Harbor 2.16 answered, asked again of the double.
//!
//! `captures.jsonl` has exchanges with a real Harbor, trimmed to what the client reads; digests and numbers are names in
//! braces. Before some of them a state is brought about, as it was then. Status, code, message and all fields that are
//! read must be the same; times, numbers and names of things need only be of the same kind.
//!
//! With `SOCKEL_TEST_HARBOR=https://USER:PASSWORD@HOST` a Harbor is asked that exists: those exchanges that need no
//! state and change nothing. Left out altogether is what this double answers with 501, and one capture: a bearer token
//! that is none reads a public project.

use crate::double::MANIFEST;
use crate::double::harbor::admin;
use crate::double::harbor::attach;
use crate::double::harbor::get;
use crate::double::harbor::send;
use crate::support::registry::Course;
use crate::support::registry::Harbor;
use crate::support::registry::Report;
use crate::support::registry::client::Client;
use crate::support::registry::client::Reply;
use crate::support::registry::harbor::ADMIN;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

const CAPTURES: &str = include_str!("captures.jsonl");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Fields whose values matter; of others the kind does.
const EXACT: &[&str] = &[
    "code",
    "scan_status",
    "severity",
    "status",
    "health",
    "fix_version",
    "package",
    "type",
    "media_type",
    "manifest_media_type",
    "architecture",
    "os",
    "disabled",
    "immutable",
    "fixable",
    "total",
    "read_only",
];

/// One exchange.
#[derive(Deserialize)]
struct Exchange {
    note: String,
    user: String,
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    request: Value,
    /// The manifest that is sent, by name.
    #[serde(default)]
    body: String,
    status: u16,
    /// Content type of the answer.
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    read: Value,
}

fn captures() -> Vec<Exchange> {
    CAPTURES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A double with what the real one had.
struct Stage {
    harbor: Harbor,
    /// What stands for the names in braces.
    names: BTreeMap<String, String>,
}

impl Stage {
    fn new() -> Self {
        Self { harbor: Harbor::start("v2.16.0"), names: BTreeMap::new() }
    }

    fn name(&mut self, name: &str, value: impl Into<String>) {
        self.names.insert(format!("{{{name}}}"), value.into());
    }

    fn image(&mut self, repository: &str, name: &str, size: usize) -> String {
        let layer = [name.as_bytes(), &vec![7; size]].concat();
        let mut contents = self.harbor.registry.contents();
        let config = json!({ "architecture": "amd64", "os": "linux", "created": "2026-11-27T00:00:00Z" }).to_string();
        let (config_size, layer_size) = (config.len(), layer.len());
        let config = contents.add_blob(repository, config.into_bytes());
        let layer = contents.add_blob(repository, layer);
        let document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }],
        });
        let digest = contents.add_manifest(repository, MANIFEST, document.to_string().into_bytes());
        drop(contents);
        self.name(name, &digest);
        self.name("layer", layer);
        digest
    }

    fn index(&mut self, repository: &str, name: &str, images: &[(&str, &str)], tags: &[&str]) -> String {
        let entry = |(digest, architecture): &(&str, &str)| {
            json!({
                "mediaType": MANIFEST, "digest": digest, "size": 400,
                "platform": { "architecture": architecture, "os": "linux" },
            })
        };
        let entries: Vec<Value> = images.iter().map(entry).collect();
        let document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
        let mut contents = self.harbor.registry.contents();
        let digest = contents.add_manifest(repository, INDEX, document.into_bytes());
        let tags = tags.iter().map(|tag| ((*tag).to_owned(), digest.clone()));
        contents.repository(repository).tags.extend(tags);
        drop(contents);
        self.name(name, &digest);
        digest
    }

    fn post(&self, path: &str, body: &Value) {
        let status = send(&mut admin(&self.harbor), "POST", path, body);
        assert!((200..300).contains(&status), "{path}: {status}");
    }

    /// Has an image scanned; returns the number of its report.
    fn scan(&self, artifact: &str, course: Course) -> String {
        self.harbor.scans(course);
        self.post(&format!("{artifact}/scan"), &json!({ "scan_type": "vulnerability" }));
        let shown = get(&mut admin(&self.harbor), &format!("{artifact}?with_scan_overview=true")).json();
        let overview = shown["scan_overview"].as_object().and_then(|all| all.values().next()).unwrap();
        overview["report_id"].as_str().unwrap().to_owned()
    }

    fn setting(&self, project: &str, key: &str, value: &str) {
        let path = format!("/projects/{project}");
        assert_eq!(send(&mut admin(&self.harbor), "PUT", &path, &json!({ "metadata": { key: value } })), 200);
    }

    /// Brings about what was there before an exchange.
    fn before(&mut self, note: &str) {
        let harbor = self.harbor.clone();
        harbor.state().is_read_only = note.starts_with("read-only: ");
        let artifact = |project: &str, repository: &str, digest: &str| {
            format!("/projects/{project}/repositories/{repository}/artifacts/{digest}")
        };
        match note {
            "artifact index, never scanned" => {
                let one = self.image("t1/a/b", "amd64", 1);
                let two = self.image("t1/a/b", "arm64", 2);
                self.index("t1/a/b", "index", &[(&one, "amd64"), (&two, "arm64")], &["1"]);
                self.others();
            }
            "scan trigger child" => {
                let report = Report::silent().finding("CVE-2011-3374", "apt", "Low");
                let report = report.without_status();
                harbor.scans(Course::success(1, report).running());
            }
            "HEAD manifest of withheld image" => {
                let report = Report::silent().finding("CVE-1", "a", "Critical").finding("CVE-2", "b", "Critical");
                let child = self.names["{ubuntu-child}"].clone();
                self.scan(&artifact("base", "ubuntu", &child), Course::success(0, report));
                self.setting("base", "prevent_vul", "true");
                self.setting("base", "severity", "critical");
            }
            "scan log, Accept json preferred" => {
                self.setting("base", "prevent_vul", "false");
                let child = self.names["{ubuntu-child}"].clone();
                let report = self.scan(&artifact("g1-staging", "ubuntu", &child), Course::new(&["Error"]));
                self.name("report", report);
            }
            "project scanner when unhealthy" => harbor.scanner_is_unhealthy(),
            "tag creation: name exists immutable on same artifact" => {
                harbor.scanner_is_healthy();
                let selector = |decoration: &str, pattern: &str| json!([{ "kind": "doublestar", "decoration": decoration, "pattern": pattern }]);
                let rule = json!({
                    "tag_selectors": selector("excludes", "26.04"),
                    "scope_selectors": { "repository": selector("repoMatches", "**") },
                });
                self.post("/projects/base/immutabletagrules", &rule);
                let rules = get(&mut admin(&harbor), "/projects/base/immutabletagrules").json();
                self.name("rule", rules[0]["id"].to_string());
            }
            "copy artifact whose tag is immutable at the destination" => {
                let index = self.names["{index}"].clone();
                harbor.registry.contents().repository("t1/a/b").tags.insert("26.04-20261121".to_owned(), index);
            }
            "copy artifact" => {
                harbor.registry.contents().repository("t1/a/b").tags.remove("26.04-20261121");
            }
            "GET manifest, unsigned, content trust" => {
                self.index("q/tomcat", "unsigned", &[], &["10"]);
                self.setting("q", "enable_content_trust_cosign", "true");
            }
            "artifact with accessories" => {
                let index = self.names["{index}"].clone();
                let accessory = attach(&harbor, "t1/a/b", &index, "application/vnd.cyclonedx+json");
                self.name("accessory", accessory);
                attach(&harbor, "t1/a/b", &index, "application/vnd.dev.sigstore.bundle.v0.3+json");
            }
            "labels page 1 of 2" => {
                let project = self.names["{base}"].parse::<i64>().unwrap();
                for number in 0..120 {
                    let label = json!({ "name": format!("a{number:03}"), "scope": "p", "project_id": project });
                    self.post("/labels", &label);
                }
            }
            "report of image 1: scanner said Critical" => {
                let one = self.names["{amd64}"].clone();
                let report = Report::silent().fixed("CVE-2026-6666", "libx", "Critical", "1.1");
                self.scan(&artifact("t1", "a%252Fb", &one), Course::success(0, report));
            }
            "report of image 1 after image 2 with the same CVE, package and version was reported as Low" => {
                let two = self.names["{arm64}"].clone();
                let report = Report::silent().fixed("CVE-2026-6666", "libx", "Low", "1.1");
                self.scan(&artifact("t1", "a%252Fb", &two), Course::success(0, report));
            }
            "add label twice" => {
                let t1 = harbor.state().project_number("t1").unwrap();
                let made = admin(&harbor).json(
                    "POST",
                    "/api/v2.0/labels",
                    &json!({ "name": "own", "scope": "p", "project_id": t1 }),
                );
                self.name("label", made.header("location").rsplit('/').next().unwrap());
                let foreign =
                    harbor.state().labels.iter().find(|(_, label)| label["project_id"] != t1).unwrap().0.to_owned();
                self.name("foreign-label", foreign.to_string());
            }
            _ => {}
        }
    }

    /// The projects beside `t1` and `t2`, which the exchanges themselves make.
    fn others(&mut self) {
        let numbers =
            ["base", "base-staging", "g1", "g1-staging", "q-staging"].map(|name| (name, self.harbor.project(name)));
        for (name, number) in numbers {
            self.name(name, number.to_string());
        }
        self.setting("base", "public", "true");
        self.harbor.state().add_project(&json!({ "project_name": "q", "storage_limit": 1 << 20 }));
        let child = self.image("base/ubuntu", "ubuntu-child", 3);
        self.index("base/ubuntu", "ubuntu", &[(&child, "amd64")], &["26.04", "26.04-20261121"]);
        self.image("g1-staging/ubuntu", "ubuntu-child", 3);
        let tomcat = self.image("base/tomcat", "tomcat-child", 4);
        self.index("base/tomcat", "tomcat", &[(&tomcat, "amd64")], &["11", "11-jre25", "12"]);
        self.image("q-staging/ubuntu", "small", 3 << 20);
        let shared = self.harbor.registry.manifest("base/ubuntu", &child).unwrap().json();
        self.name("layer", shared["layers"][0]["digest"].as_str().unwrap());
        self.harbor.robot("dev1", "secret", &[]);
        let metadata = get(&mut admin(&self.harbor), "/projects/t1/scanner").json();
        self.name("scanner", metadata["uuid"].as_str().unwrap());
        let (base, staging) =
            (self.names["{base}"].parse::<i64>().unwrap(), self.names["{base-staging}"].parse::<i64>().unwrap());
        self.post("/labels", &json!({ "name": "freigegeben", "scope": "p", "project_id": base }));
        let retention = json!({
            "algorithm": "or", "rules": [], "scope": { "level": "project", "ref": staging },
            "trigger": { "kind": "Schedule", "settings": { "cron": "" } },
        });
        self.post("/retentions", &retention);
        let target = json!({ "type": "http", "address": "http://hook.example" });
        let webhook =
            json!({ "name": "sockel", "enabled": true, "event_types": ["SCANNING_COMPLETED"], "targets": [target] });
        self.post("/projects/base-staging/webhook/policies", &webhook);
    }

    fn filled(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn ask(&self, exchange: &Exchange) -> Reply {
        let client = Client::connect(&self.harbor.address());
        let client = match exchange.user.as_str() {
            "" => client,
            "admin" => client.login(ADMIN.0, ADMIN.1),
            "dev1" => client.login("dev1", "secret"),
            wrong => client.login(wrong.trim_end_matches('!'), "wrong"),
        };
        let add = |client: Client, header: &String| {
            let (name, value) = header.split_once(": ").unwrap();
            client.with(&name.to_lowercase(), value)
        };
        let mut client = exchange.headers.iter().fold(client, add);
        let path = self.filled(&exchange.path);
        if exchange.body.is_empty() && !exchange.request.is_null() {
            // numbers stand in quotation marks as long as they are names
            let mut body = self.filled(&exchange.request.to_string());
            for value in self.names.values().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit())) {
                body = body.replace(&format!("\"{value}\""), value);
            }
            return client.json(&exchange.method, &path, &serde_json::from_str(&body).unwrap());
        }
        if exchange.body == "missing" {
            let absent = format!("sha256:{}", "1".repeat(64));
            let body = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{ "mediaType": MANIFEST, "digest": absent, "size": 1 }] });
            return client.ask(&exchange.method, &path, body.to_string().as_bytes());
        }
        if !exchange.body.is_empty() {
            let bytes =
                self.harbor.registry.manifest("base/ubuntu", &self.filled(&exchange.body)).unwrap().bytes.to_vec();
            return client.ask(&exchange.method, &path, &bytes);
        }
        client.ask(&exchange.method, &path, b"")
    }
}

/// Returns a text without what differs from Harbor to Harbor: numbers, digests, units.
fn normal(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let word = |word: &str| match word.trim_end_matches('.') {
        "KiB" | "MiB" | "GiB" => "B".to_owned(),
        word if word.contains("sha256:") || word.contains('{') => "DIGEST".to_owned(),
        word if word.chars().any(|c| c.is_ascii_digit()) => word.replace(is_number, ""),
        word => word.to_owned(),
    };
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    words.join(" ")
}

/// Says where two answers differ in what is read.
fn compare(place: &str, expected: &Value, found: &Value, differences: &mut Vec<String>) {
    let key = place.rsplit('/').next().unwrap_or_default();
    match (expected, found) {
        (Value::Object(expected), Value::Object(_)) => {
            for (key, value) in expected {
                compare(&format!("{place}/{key}"), value, &found[key], differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) => match (expected.first(), found.first()) {
            (None, None) => {}
            // the order is nobody's concern: one entry has to be like the first one
            (Some(expected), Some(_)) => {
                let tried = found.iter().map(|found| {
                    let mut differences = Vec::new();
                    compare(place, expected, found, &mut differences);
                    differences
                });
                differences.extend(tried.min_by_key(Vec::len).unwrap_or_default());
            }
            _ => differences.push(format!("{place}: {} and {} entries", expected.len(), found.len())),
        },
        (Value::String(expected), Value::String(found)) if key == "message" && normal(expected) == normal(found) => {}
        _ if key == "message" => differences.push(format!("{place}: {expected} and {found}")),
        _ if EXACT.contains(&key) && expected != found => differences.push(format!("{place}: {expected} and {found}")),
        _ if std::mem::discriminant(expected) != std::mem::discriminant(found) => {
            differences.push(format!("{place}: {expected} and {found}"));
        }
        _ => {}
    }
}

fn differences(exchange: &Exchange, reply: &Reply) -> Vec<String> {
    let mut differences = Vec::new();
    if reply.status != exchange.status {
        differences.push(format!("status {} and {}", exchange.status, reply.status));
    }
    if !exchange.kind.is_empty() && !reply.header("content-type").starts_with(&exchange.kind) {
        differences.push(format!("{} and {}", exchange.kind, reply.header("content-type")));
    }
    if !exchange.read.is_null() && exchange.method != "HEAD" {
        let text = || Value::String(String::from_utf8_lossy(&reply.body).into_owned());
        let found = serde_json::from_slice(&reply.body).unwrap_or_else(|_| text());
        compare("", &exchange.read, &found, &mut differences);
    }
    differences
}

#[test]
fn the_double_answers_as_harbor_does() {
    let mut stage = Stage::new();
    let (mut all, mut different) = (0, Vec::new());
    for exchange in captures() {
        stage.before(&exchange.note);
        let reply = stage.ask(&exchange);
        all += 1;
        let found = differences(&exchange, &reply);
        if !found.is_empty() {
            let Exchange { note, method, path, .. } = &exchange;
            different.push(format!("{note}: {method} {path}\n    {}", found.join("\n    ")));
        }
    }
    println!("{all} exchanges replayed, {} differences", different.len());
    assert!(all > 100 && different.is_empty(), "{} of {all} differ:\n{}", different.len(), different.join("\n"));
}

/// Needs a Harbor; changes nothing there.
#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of this test")]
fn a_real_harbor_answers_as_captured() {
    let Ok(address) = std::env::var("SOCKEL_TEST_HARBOR") else {
        // not captured by the test harness: nobody shall think that a Harbor was asked
        let text = "SKIPPED: no Harbor was asked; name one with SOCKEL_TEST_HARBOR=https://USER:PASSWORD@HOST";
        let _nobody_reads_it = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
        return;
    };
    let url: url::Url = address.parse().expect("SOCKEL_TEST_HARBOR is an address");
    // nothing of a state is needed for these
    let notes = [
        "systeminfo as admin",
        "systeminfo anonymous",
        "systeminfo wrong password",
        "labels wrong password",
        "project HEAD absent",
        "project get absent",
        "unknown path",
        "/v2/ anonymous",
        "/v2/ bad basic",
        "token without scope, wrong login",
        "token POST",
        "rights on the system",
        "rights in no scope",
        "configurations",
        "project list, wrong login",
        "manifest of absent repo",
        "blob upload to absent project",
        "retention empty",
        "label empty",
        "project creation bad name",
        "project creation bool metadata",
        "copy artifact to absent project",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = sockel::sys::http::HttpHost::new(sockel::sys::http::HostOptions::usual(false));
    let (mut all, mut different) = (0, Vec::new());
    for exchange in captures().iter().filter(|exchange| notes.contains(&exchange.note.as_str())) {
        let reply = runtime.block_on(real(&host, &url, exchange));
        all += 1;
        different.extend(differences(exchange, &reply).into_iter().map(|text| format!("{}: {text}", exchange.note)));
    }
    println!("{all} exchanges with {}, {} differences", url.host_str().unwrap_or_default(), different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}

async fn real(host: &sockel::sys::http::HttpHost, url: &url::Url, exchange: &Exchange) -> Reply {
    use sockel::sys::http::HttpRequest;
    use sockel::sys::http::RequestBody;
    use sockel::sys::http::header::HeaderValue;
    let login = |user: &str, password: &str| {
        let login =
            sockel::values::Login { user: user.to_owned(), password: sockel::values::Secret::new(password.to_owned()) };
        HeaderValue::from_str(login.basic().expose()).unwrap()
    };
    let mut target = url.join(&exchange.path).unwrap();
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let _no_login_in_the_address = (target.set_username(""), target.set_password(None));
    let body = if exchange.request.is_null() {
        RequestBody::Empty
    } else {
        RequestBody::Bytes(exchange.request.to_string().into())
    };
    let has_body = !exchange.request.is_null();
    let mut request = HttpRequest::new(exchange.method.parse().unwrap(), target, body);
    if has_body {
        request.headers.insert("content-type", HeaderValue::from_static("application/json"));
    }
    match exchange.user.as_str() {
        "" => {}
        "admin" => drop(request.headers.insert("authorization", login(user, password))),
        wrong => drop(request.headers.insert("authorization", login(wrong.trim_end_matches('!'), "wrong"))),
    }
    let answer = match host.send(&request).await {
        Ok(answer) => answer,
        // a failure of the server has no body that the client keeps
        Err(sockel::sys::http::Error::Status { status, .. }) => {
            return Reply { status, headers: BTreeMap::new(), body: Vec::new() };
        }
        Err(error) => panic!("{}: {error}", exchange.note),
    };
    let (status, kind) = (answer.status(), answer.header("content-type").unwrap_or_default().to_owned());
    let body = answer.bytes(8 << 20).await.unwrap();
    Reply { status, headers: BTreeMap::from([("content-type".to_owned(), kind)]), body: body.to_vec() }
}
