//! The way to a release on the Harbor double: scans, reports, policies, copies.

use crate::double::MANIFEST;
use crate::double::digest;
use crate::double::harbor::admin;
use crate::double::harbor::attach;
use crate::double::harbor::get;
use crate::double::harbor::push;
use crate::double::harbor::send;
use crate::double::manifest;
use crate::double::put_manifest;
use crate::support::registry::Course;
use crate::support::registry::Fault;
use crate::support::registry::Harbor;
use crate::support::registry::Report;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use crate::support::registry::client::Client;
use serde_json::Value;
use serde_json::json;

const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";
const ARTIFACT: &str = "/projects/staging/repositories/a/artifacts/1";

fn harbor() -> (Harbor, String) {
    let harbor = Harbor::start("v2.15.2");
    harbor.project("staging");
    harbor.project("release");
    let image = push(&harbor, "staging/a", "1", b"layer");
    (harbor, image)
}

fn scanner(harbor: &Harbor) -> Client {
    admin(harbor).with("x-accept-vulnerabilities", REPORT)
}

fn scan(harbor: &Harbor, kind: &str) -> u16 {
    send(&mut admin(harbor), "POST", &format!("{ARTIFACT}/scan"), &json!({ "scan_type": kind }))
}

/// Looks at the scan once; returns what the artifact shows.
fn look(harbor: &Harbor) -> Value {
    get(&mut scanner(harbor), &format!("{ARTIFACT}?with_scan_overview=true")).json()["scan_overview"][REPORT].clone()
}

#[test]
fn scans_take_their_course() {
    let (harbor, _) = harbor();
    assert_eq!(look(&harbor), Value::Null, "never scanned");
    let report = || Report::silent().finding("CVE-1", "openssl", "High").fixed("CVE-2", "zlib", "Low", "1.1");
    let table: [(Course, &[&str]); 4] = [
        (Course::success(3, report()), &["Pending", "Pending", "Running", "Success", "Success"]),
        (Course::new(&["Scheduled", "Error"]), &["Scheduled", "Error", "Error"]),
        (Course::new(&["Stopped"]), &["Stopped"]),
        (Course::new(&["Pending", ""]), &["Pending", "", ""]),
    ];
    for (course, states) in table {
        harbor.scans(course);
        assert_eq!(scan(&harbor, "vulnerability"), 202);
        let seen: Vec<Value> = states.iter().map(|_| look(&harbor)["scan_status"].clone()).collect();
        let wanted: Vec<Value> =
            states.iter().map(|&state| if state.is_empty() { Value::Null } else { state.into() }).collect();
        assert_eq!(seen, wanted);
    }
    harbor.scans(Course::success(0, report()));
    scan(&harbor, "vulnerability");
    let shown = look(&harbor);
    let summary = json!({ "total": 2, "fixable": 1, "summary": { "High": 1, "Low": 1 } });
    assert_eq!(
        (&shown["summary"], &shown["severity"], &shown["complete_percent"]),
        (&summary, &json!("High"), &json!(100))
    );
    let log = get(&mut admin(&harbor), &format!("{ARTIFACT}/scan/{}/log", shown["report_id"].as_str().unwrap()));
    assert!(String::from_utf8(log.body).unwrap().contains("SUCCESS"));
    let json = admin(&harbor).with("accept", "application/json, text/plain;q=0.5");
    let log = get(&mut { json }, &format!("{ARTIFACT}/scan/{}/log", shown["report_id"].as_str().unwrap()));
    assert!(log.json().as_str().unwrap().ends_with("[SUCCESS] the end\n"), "the first type that the client takes");
    let plain = get(&mut admin(&harbor), &format!("{ARTIFACT}?with_scan_overview=true")).json();
    assert_eq!(plain["scan_overview"][REPORT], shown, "a client without wishes gets this type, too");
    harbor.scans(Course::success(1, report()));
    scan(&harbor, "vulnerability");
    let unfinished = look(&harbor);
    let fields: Vec<&String> = unfinished.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["report_id", "scan_status", "start_time", "end_time"]);
    assert_eq!(unfinished["end_time"], "0001-01-01T00:00:00.000Z");
}

#[test]
fn scans_are_refused() {
    let (harbor, image) = harbor();
    harbor.scans(Course::success(5, Report::clean()));
    assert_eq!(
        [scan(&harbor, "sbom"), scan(&harbor, "vulnerability"), scan(&harbor, "vulnerability")],
        [501, 202, 409]
    );
    assert_eq!(scan(&harbor, "x"), 422);
    harbor.scanner_is_unhealthy();
    assert_eq!(scan(&harbor, "vulnerability"), 400);
    assert_eq!(get(&mut admin(&harbor), "/projects/staging/scanner").json()["health"], "unhealthy");
    harbor.has_no_scanner();
    assert_eq!(scan(&harbor, "vulnerability"), 412);
    assert_eq!(get(&mut admin(&harbor), "/projects/staging/scanner").json(), json!({}));
    let (harbor, other) = self::harbor();
    assert_eq!(other, image);
    let sbom = attach(&harbor, "staging/a", &image, "application/vnd.goharbor.harbor.sbom.v1");
    let path = ARTIFACT.replace("artifacts/1", &format!("artifacts/{sbom}/scan"));
    assert_eq!(send(&mut admin(&harbor), "POST", &path, &json!({ "scan_type": "vulnerability" })), 400);
}

#[test]
fn reports_are_right_or_wrong_as_told() {
    let (harbor, image) = harbor();
    let path = format!("{ARTIFACT}/additions/vulnerabilities");
    harbor.scans(Course::success(1, Report::silent().finding("CVE-1", "openssl", "Critical")));
    scan(&harbor, "vulnerability");
    look(&harbor);
    assert_eq!(get(&mut scanner(&harbor), &path).json(), json!({}), "not finished");
    look(&harbor);
    let report = get(&mut scanner(&harbor), &path).json()[REPORT].clone();
    let found = &report["vulnerabilities"][0];
    assert_eq!(
        (&found["id"], &found["package"], &found["artifact_digests"]),
        (&json!("CVE-1"), &json!("openssl"), &json!([image]))
    );
    let pushed = get(&mut admin(&harbor), ARTIFACT).json()["push_time"].as_str().unwrap().to_owned();
    assert!(report["generated_at"].as_str().unwrap() >= pushed.as_str());

    let odd = Report::silent().finding("CVE-1", "zlib", "Strange").finding("CVE-2", "zlib", "Negligible");
    harbor.scans(Course::success(0, odd.by("", "").generated_at("2020-01-01T00:00:00Z")));
    scan(&harbor, "vulnerability");
    look(&harbor);
    let report = get(&mut scanner(&harbor), &path).json()[REPORT].clone();
    assert_eq!((&report["generated_at"], &report["scanner"]["name"]), (&json!("2020-01-01T00:00:00Z"), &json!("")));
    let severity = |place: usize| report["vulnerabilities"][place]["severity"].clone();
    assert_eq!((&report["severity"], severity(0), severity(1)), (&json!("Strange"), json!("Unknown"), json!("None")));
}

#[test]
fn reports_share_their_records() {
    let (harbor, _) = harbor();
    push(&harbor, "staging/b", "1", b"other");
    let scan_of = |name: &str, report: Report| {
        harbor.scans(Course::success(0, report));
        let artifact = ARTIFACT.replace("/a/", &format!("/{name}/"));
        let body = json!({ "scan_type": "vulnerability" });
        assert_eq!(send(&mut admin(&harbor), "POST", &format!("{artifact}/scan"), &body), 202);
        get(&mut scanner(&harbor), &format!("{artifact}?with_scan_overview=true")).json();
    };
    let finding = |severity: &str, fix: &str, status: &str| {
        Report::silent().with(json!({
            "id": "CVE-1", "package": "libx", "version": "1.0", "severity": severity, "fix_version": fix, "status": status,
        }))
    };
    let told = || {
        let report =
            get(&mut scanner(&harbor), &format!("{ARTIFACT}/additions/vulnerabilities")).json()[REPORT].clone();
        let item = report["vulnerabilities"][0].clone();
        let overview = look(&harbor);
        [&report["severity"], &item["severity"], &item["fix_version"], &overview["severity"]].map(ToString::to_string)
    };
    scan_of("a", finding("Critical", "", ""));
    assert_eq!(told(), ["\"Critical\"", "\"Critical\"", "\"\"", "\"Critical\""]);
    scan_of("a", finding("Critical", "1.1", ""));
    assert_eq!(told()[2], "\"\"", "only together with severity or status");
    scan_of("b", finding("Low", "1.2", "fixed"));
    assert_eq!(told(), ["\"Critical\"", "\"Low\"", "\"1.2\"", "\"Low\""], "the last scan of any image");
}

#[test]
fn the_scanner_tells_its_age_to_those_who_may_ask() {
    let (harbor, _) = harbor();
    harbor.database_updated_at(Some("2026-11-20T00:00:00Z"));
    harbor.robot("robot$ci", "secret", &[("staging", &["scanner:read"])]);
    let uuid = get(&mut admin(&harbor), "/projects/staging/scanner").json()["uuid"].as_str().unwrap().to_owned();
    let path = format!("/scanners/{uuid}/metadata");
    let key = "harbor.scanner-adapter/vulnerability-database-updated-at";
    assert_eq!(get(&mut admin(&harbor), &path).json()["properties"][key], "2026-11-20T00:00:00Z");
    assert_eq!(get(&mut Client::connect(&harbor.address()).login("robot$ci", "secret"), &path).status, 403);
    harbor.database_updated_at(None);
    assert_eq!(get(&mut admin(&harbor), &path).json()["properties"][key], Value::Null);
    assert_eq!(get(&mut admin(&harbor), "/scanners/0/metadata").status, 404);
}

#[test]
fn projects_scan_and_hold_back_by_themselves() {
    let (harbor, _) = harbor();
    let metadata = json!({ "metadata": { "auto_scan": "true", "prevent_vul": "true" } });
    assert_eq!(send(&mut admin(&harbor), "PUT", "/projects/staging", &metadata), 200);
    harbor.scans(Course::new(&["Running", "Success"]));
    push(&harbor, "staging/a", "1", b"other");
    assert_eq!(scan(&harbor, "vulnerability"), 409, "the scan began with the push");
    let pull = || admin(&harbor).with("accept", MANIFEST).ask("GET", "/v2/staging/a/manifests/1", b"");
    assert_eq!((pull().status, pull().code()), (412, "PROJECTPOLICYVIOLATION".to_owned()));
    assert_eq!([0; 2].map(|_| look(&harbor)["scan_status"].clone()), ["Running", "Success"]);
    assert_eq!(pull().status, 200);

    harbor.scans(Course::success(0, Report::clean().finding("CVE-1", "openssl", "High")));
    scan(&harbor, "vulnerability");
    let statuses = ["critical", "high"].map(|severity| {
        let metadata = json!({ "metadata": { "severity": severity } });
        (send(&mut admin(&harbor), "PUT", "/projects/staging", &metadata), pull().status)
    });
    assert_eq!(statuses, [(200, 200), (200, 412)]);
    let metadata = json!({ "metadata": { "prevent_vul": "false", "enable_content_trust_cosign": "true" } });
    assert_eq!((send(&mut admin(&harbor), "PUT", "/projects/staging", &metadata), pull().status), (200, 412));
    let image = harbor.registry.tags("staging/a")["1"].clone();
    attach(&harbor, "staging/a", &image, "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(pull().status, 200);
}

/// Copies an image to the release project; returns status and code.
fn promote(client: &mut Client, from: &str) -> (u16, String) {
    let target = format!("/api/v2.0/projects/release/repositories/a/artifacts?from={from}");
    let reply = client.ask("POST", &target, b"");
    (reply.status, reply.code())
}

#[test]
fn copies_take_all_tags_and_accessories_once() {
    let (harbor, image) = harbor();
    let registry = &harbor.registry;
    let signature = attach(&harbor, "staging/a", &image, "application/vnd.dev.sigstore.bundle.v0.3+json");
    let legacy = registry.contents().add_manifest("staging/a", MANIFEST, b"{}".to_vec());
    let tag = format!("{}.sig", image.replace(':', "-"));
    registry.contents().repository("staging/a").tags.insert(tag.clone(), legacy.clone());
    send(&mut admin(&harbor), "POST", &format!("{ARTIFACT}/tags"), &json!({ "name": "test" }));
    let from = format!("staging/a@{image}");
    assert_eq!(promote(&mut admin(&harbor), &from).0, 201);
    let tags = |image: &str| {
        [("1", image), ("test", image), (tag.as_str(), &legacy)].map(|(tag, at)| (tag.to_owned(), at.to_owned()))
    };
    assert_eq!(registry.tags("release/a"), tags(&image).into());
    assert!(registry.manifest("release/a", &signature).is_some());
    assert_eq!(admin(&harbor).ask("HEAD", &format!("/v2/release/a/blobs/{}", digest(b"layer")), b"").status, 200);

    let later = attach(&harbor, "staging/a", &image, "application/vnd.goharbor.harbor.sbom.v1");
    send(&mut admin(&harbor), "POST", &format!("{ARTIFACT}/tags"), &json!({ "name": "late" }));
    assert_eq!(promote(&mut admin(&harbor), &from).0, 201);
    assert!(registry.tags("release/a").contains_key("late") && registry.manifest("release/a", &later).is_none());
    assert_eq!(promote(&mut admin(&harbor), &format!("staging/a@{signature}")).0, 403);
    assert_eq!(promote(&mut admin(&harbor), &format!("staging/a@{}", digest(b"x"))).0, 400);
    assert_eq!(promote(&mut admin(&harbor), "staging").0, 400);
}

#[test]
fn copies_are_refused() {
    let (harbor, image) = harbor();
    let from = format!("staging/a@{image}");
    let select = |pattern: &str| json!([{ "kind": "doublestar", "decoration": "matches", "pattern": pattern }]);
    let rule = json!({ "scope_selectors": { "repository": select("**") }, "tag_selectors": select("**") });
    assert_eq!(send(&mut admin(&harbor), "POST", "/projects/release/immutabletagrules", &rule), 201);
    harbor.robot("robot$ci", "secret", &[("staging", &["artifact:read"])]);
    harbor.robot("robot$release", "secret", &[("staging", &["artifact:read"]), ("release", &["artifact:create"])]);
    let robot = |name: &str| Client::connect(&harbor.address()).login(name, "secret");
    assert_eq!(promote(&mut robot("robot$ci"), &from), (403, "FORBIDDEN".to_owned()));
    assert_eq!(promote(&mut robot("robot$release"), "staging/a:1").0, 201);
    assert_eq!(promote(&mut robot("robot$release"), &from).0, 201, "the tag does not move");
    let moved = push(&harbor, "staging/a", "1", b"other");
    assert_eq!(promote(&mut robot("robot$release"), "staging/a:1"), (412, "PRECONDITION".to_owned()));
    assert!(harbor.registry.manifest("release/a", &moved).is_none(), "nothing is copied");
    let conflict = Response::error(409, "CONFLICT", "somebody was faster");
    harbor.fault(Fault::new("POST", "*/artifacts?from=*", Trouble::Instead(conflict)));
    assert_eq!(promote(&mut robot("robot$release"), &from).0, 409);
    assert_eq!(harbor.log().count("POST", "*/artifacts?from=*"), 5);
    let tag = "/projects/release/repositories/a/artifacts/1/tags/1";
    assert_eq!(send(&mut admin(&harbor), "DELETE", tag, &json!({})), 412);
}

#[test]
fn an_index_is_copied_with_its_images() {
    let (harbor, image) = harbor();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [{ "digest": image }] }).to_string();
    let headers = format!("content-type: {media_type}\r\ncontent-length: {}", index.len());
    let mut client = admin(&harbor);
    client.send("PUT", "/v2/staging/a/manifests/all", &headers, index.as_bytes());
    assert_eq!(client.reply("PUT").status, 201);
    assert_eq!(get(&mut client, "/projects/staging/repositories/a/artifacts").header("x-total-count"), "2");
    assert_eq!(promote(&mut client, "staging/a:all").0, 201);
    assert!(harbor.registry.manifest("release/a", &image).is_some());
    assert_eq!(harbor.registry.tags("release/a").keys().collect::<Vec<_>>(), ["all"], "tags of the outermost only");
    let document = manifest(b"{}", &[b"absent"]);
    assert_eq!(put_manifest(&mut client, "/v2/staging/a/manifests/2", &document).1, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn what_a_scanner_says_is_kept_for_a_while() {
    let harbor = Harbor::start("v2.15.2");
    harbor.project("staging");
    let mut client = admin(&harbor);
    let mut health = || get(&mut client, "/projects/staging/scanner").json()["health"].clone();
    assert_eq!(health(), "healthy");
    harbor.state().scans.is_unhealthy = true;
    assert_eq!(health(), "healthy", "for up to 30 s");
    harbor.scanner_is_unhealthy();
    assert_eq!(health(), "unhealthy");
    harbor.state().scans.is_unhealthy = false;
    assert_eq!(health(), "unhealthy", "silence is kept as well");
    harbor.scanner_is_healthy();
    assert_eq!(health(), "healthy");
}
