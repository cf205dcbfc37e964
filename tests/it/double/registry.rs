//! The registry double behaves as the registries it stands for: Harbor's generation of distribution.

use crate::double::MANIFEST;
use crate::double::client;
use crate::double::digest;
use crate::double::manifest;
use crate::double::push_blob;
use crate::double::put_manifest;
use crate::support::registry::Fault;
use crate::support::registry::Location;
use crate::support::registry::Registry;
use crate::support::registry::Response;
use crate::support::registry::Tokens;
use crate::support::registry::Trouble;
use crate::support::registry::client::Client;
use serde_json::json;
use std::time::Duration;
use std::time::Instant;

#[test]
fn holds_what_is_pushed() {
    for location in [Location::State, Location::Absolute, Location::Relative] {
        let registry = Registry::start().with_location(location);
        let mut client = client(&registry);
        assert_eq!(client.ask("GET", "/v2/", b"").status, 200);
        let document = manifest(b"{}", &[b"layer"]);
        let refused = put_manifest(&mut client, "/v2/p/a/manifests/1", &document);
        assert_eq!(refused, (400, "MANIFEST_BLOB_UNKNOWN".to_owned()), "blobs come first");
        assert_eq!(client.ask("HEAD", &format!("/v2/p/a/blobs/{}", digest(b"layer")), b"").status, 404);
        assert_eq!((push_blob(&mut client, "p/a", b"layer"), push_blob(&mut client, "p/a", b"{}")), (201, 201));
        assert_eq!(put_manifest(&mut client, "/v2/p/a/manifests/1", &document).0, 201);
        assert_eq!(registry.tags("p/a")["1"], digest(document.to_string().as_bytes()));
        assert_eq!(registry.manifest("p/a", "1").unwrap().json(), document);
        assert_eq!(registry.blobs().len(), 2);
        assert_eq!((registry.log().blob_bytes(), registry.log().count("PUT", "*/blobs/uploads/*")), (7, 2));
        assert_eq!(client.ask("GET", "/v2/p/a/tags/list", b"").json(), json!({ "name": "p/a", "tags": ["1"] }));
    }
}

#[test]
fn gives_blobs_and_their_parts() {
    let registry = Registry::start();
    let blob = registry.contents().add_blob("p/a", b"0123456789".to_vec());
    let path = format!("/v2/p/a/blobs/{blob}");
    let head = client(&registry).ask("HEAD", &path, b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "10", 0));
    for (range, status, body) in [
        ("bytes=4-", 206, "456789"),
        ("bytes=2-3", 206, "23"),
        ("bytes=0-99", 206, "0123456789"),
        ("bytes=10-", 416, ""),
    ] {
        let reply = client(&registry).with("range", range).ask("GET", &path, b"");
        assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{range}");
    }
    let beyond = client(&registry).with("range", "bytes=10-").ask("GET", &path, b"");
    assert_eq!((beyond.header("content-length"), beyond.header("connection")), ("10", "close"), "as 2.8 does");
    let other = client(&registry).ask("GET", &format!("/v2/p/b/blobs/{blob}"), b"");
    assert_eq!((other.status, other.code()), (404, "BLOB_UNKNOWN".to_owned()), "a blob is read where it was pushed");
}

#[test]
fn gives_manifests_to_those_who_accept_them() {
    let registry = Registry::start();
    let pushed = registry.contents().add_manifest("p/a", MANIFEST, b"{}".to_vec());
    let path = format!("/v2/p/a/manifests/{pushed}");
    assert_eq!(client(&registry).ask("GET", &path, b"").status, 404);
    let reply = client(&registry).with("accept", "text/plain").with("accept", MANIFEST).ask("HEAD", &path, b"");
    assert_eq!((reply.status, reply.header("docker-content-digest")), (200, pushed.as_str()));
    assert_eq!(reply.header("content-type"), MANIFEST);
}

#[test]
fn uploads_in_chunks_like_distribution() {
    let registry = Registry::start();
    let mut client = client(&registry);
    let begun = client.ask("POST", "/v2/p/a/blobs/uploads/", b"");
    let first = client.ask("PATCH", begun.header("location"), b"01234");
    assert_eq!((first.status, first.header("range")), (202, "0-4"));
    let stale = client.ask("PATCH", begun.header("location"), b"56789");
    assert_eq!((stale.status, stale.code()), (404, "BLOB_UPLOAD_INVALID".to_owned()), "the state's offset is old");
    client.send("PATCH", first.header("location"), "transfer-encoding: chunked", b"3\r\n567\r\n2\r\n89\r\n0\r\n\r\n");
    let second = client.reply("PATCH");
    assert_eq!((second.status, second.header("range")), (202, "0-9"));
    assert_eq!(client.ask("GET", second.header("location"), b"").status, 204);
    let target = |digest: &str| format!("{}&digest={digest}", second.header("location"));
    assert_eq!(client.ask("PUT", &target(&digest(b"0123456789")), b"").status, 201);
    assert_eq!(client.ask("PUT", &target(&digest(b"0123456789")), b"").code(), "BLOB_UPLOAD_UNKNOWN");

    let begun = client.ask("POST", "/v2/p/a/blobs/uploads/", b"");
    let wrong = client.ask("PUT", &format!("{}&digest={}", begun.header("location"), digest(b"x")), b"y");
    assert_eq!((wrong.status, wrong.code()), (400, "DIGEST_INVALID".to_owned()));
    let again = client.ask("PUT", &format!("{}&digest={}", begun.header("location"), digest(b"y")), b"y");
    assert_eq!(again.code(), "BLOB_UPLOAD_INVALID", "the wrong body stays");
    let mut post = |body: &[u8]| client.ask("POST", &format!("/v2/p/a/blobs/uploads/?digest={}", digest(body)), body);
    assert_eq!([post(b"x").status, post(&[0; 300_000]).status], [202, 0], "bodies of POST are not read");
}

#[test]
fn a_broken_upload_is_dead() {
    let registry = Registry::start();
    registry.fault(Fault::new("PATCH", "*", Trouble::CutRequest(3)));
    let begun = client(&registry).ask("POST", "/v2/p/a/blobs/uploads/", b"");
    let location = begun.header("location");
    assert_eq!(client(&registry).ask("PATCH", location, b"012345").status, 0);
    assert_eq!(registry.log().blob_bytes(), 3);
    for method in ["GET", "PATCH", "PUT"] {
        let reply = client(&registry).ask(method, location, b"");
        assert_eq!((reply.status, reply.code()), (404, "BLOB_UPLOAD_INVALID".to_owned()), "{method}");
    }
}

#[test]
fn mounts_within_rights() {
    let tokens = Tokens::basic().user("ci", "secret", &["p", "q:pull"]).user("other", "secret", &["p"]);
    let registry = Registry::start().with_tokens(tokens);
    let blob = registry.contents().add_blob("q/a", b"layer".to_vec());
    let path = format!("/v2/p/a/blobs/uploads/?mount={blob}&from=q/a");
    let mut ci = client(&registry).login("ci", "secret");
    registry.fault(Fault::new("POST", "/v2/*/blobs/uploads/?mount=*", Trouble::NoMount));
    assert_eq!(ci.ask("POST", &path, b"").status, 202);
    assert_eq!(registry.server.pending_faults(), 0);
    assert_eq!(client(&registry).login("other", "secret").ask("POST", &path, b"").status, 401);
    assert_eq!(ci.ask("POST", &path, b"").status, 201);
    assert_eq!(ci.ask("HEAD", &format!("/v2/p/a/blobs/{blob}"), b"").status, 200);
    assert_eq!(ci.ask("POST", "/v2/q/a/blobs/uploads/", b"").status, 401, "pull is not push");
    let absent = format!("/v2/p/a/blobs/uploads/?mount={}&from=q/a", digest(b"other"));
    assert_eq!(ci.ask("POST", &absent, b"").status, 202);
    assert_eq!(ci.ask("POST", &format!("/v2/p/b/blobs/uploads/?mount={blob}"), b"").status, 202, "no source");
}

#[test]
fn immutable_tags_stay_even_for_the_same_digest() {
    let registry = Registry::start().with_immutable("p", "v*");
    let mut client = client(&registry);
    for bytes in [b"{}".as_slice(), b"layer"] {
        registry.contents().add_blob("p/a", bytes.to_vec());
    }
    let document = manifest(b"{}", &[b"layer"]);
    for (tag, status) in [("v1", 201), ("v1", 412), ("latest", 201), ("latest", 201)] {
        assert_eq!(put_manifest(&mut client, &format!("/v2/p/a/manifests/{tag}"), &document).0, status, "{tag}");
    }
    let by_digest = format!("/v2/p/a/manifests/{}", digest(document.to_string().as_bytes()));
    assert_eq!(put_manifest(&mut client, &by_digest, &document).0, 201);
    assert_eq!(
        put_manifest(&mut client, &format!("/v2/p/a/manifests/{}", digest(b"x")), &document).1,
        "DIGEST_INVALID"
    );
}

#[test]
fn referrers_where_they_are_known() {
    let registry = Registry::start();
    let image = registry.contents().add_manifest("p/a", MANIFEST, b"{}".to_vec());
    let signature = json!({ "artifactType": "a/b", "subject": { "digest": image } }).to_string().into_bytes();
    let signature = registry.contents().add_manifest("p/a", MANIFEST, signature);
    let path = format!("/v2/p/a/referrers/{image}?artifactType=a/b");
    assert_eq!(client(&registry).ask("GET", &path, b"").status, 404, "Debian's registry has none");
    let registry = registry.with_referrers();
    let reply = client(&registry).ask("GET", &path, b"");
    assert_eq!(reply.json()["manifests"][0]["digest"], signature);
    assert_eq!(reply.header("oci-filters-applied"), "artifactType");
}

#[test]
fn faults_strike_the_requests_they_are_for() {
    let registry = Registry::start();
    let blob = registry.contents().add_blob("p/a", vec![7; 100]);
    let path = format!("/v2/p/a/blobs/{blob}");
    let late = Duration::from_millis(60);
    // each strikes its own request, in this order
    let table = [
        (Trouble::busy("3"), (429, 0)),
        (Trouble::status(503), (503, 0)),
        (Trouble::quota(), (403, 0)),
        (Trouble::immutable("p/a", "1"), (412, 0)),
        (Trouble::upload_unknown(), (404, 0)),
        (Trouble::CutAnswer(30), (200, 30)),
        (Trouble::Silence, (0, 0)),
        (Trouble::Raw(b"HTTP/9 what\r\n\r\n".to_vec()), (0, 0)),
        (Trouble::malformed("application/json", b"{\"token\":"), (200, 9)),
        (Trouble::Early(Response::error(413, "DENIED", "too large")), (413, 0)),
        (Trouble::Late(late), (200, 100)),
        (Trouble::SlowAnswer { piece: 40, pause: late / 3 }, (200, 100)),
        (Trouble::SlowRequest(late), (200, 100)),
    ];
    for (nth, (trouble, _)) in table.iter().enumerate() {
        registry.fault(Fault::new("GET", "/v2/p/*/blobs/*", trouble.clone()).nth(nth + 1));
    }
    for (trouble, (status, length)) in table {
        let begun = Instant::now();
        let reply = client(&registry).ask("GET", &path, b"body");
        // of error bodies only the status counts
        let received = if reply.status >= 400 { 0 } else { reply.body.len() };
        assert_eq!((reply.status, received), (status, length), "{trouble:?}");
        let is_slow = matches!(trouble, Trouble::Late(_) | Trouble::SlowAnswer { .. } | Trouble::SlowRequest(_));
        assert!(!is_slow || begun.elapsed() >= late, "{trouble:?}");
    }
    assert_eq!((registry.server.pending_faults(), client(&registry).ask("GET", &path, b"").status), (0, 200));
    registry.fault(Fault::new("*", "/v2/", Trouble::status(500)).always());
    assert_eq!([0; 3].map(|_| client(&registry).ask("GET", "/v2/", b"").status), [500; 3]);
    registry.fault(Fault::new("*", "/v2", Trouble::status(502)).times(2));
    assert_eq!([0; 3].map(|_| client(&registry).ask("GET", "/v2", b"").status), [502, 502, 200]);
}

#[test]
fn redirects_show_where_authorization_arrives() {
    let registry = Registry::start();
    let (storage, blob) = (registry.storage(), registry.contents().add_blob("p/a", b"layer".to_vec()));
    registry.fault(Fault::new("GET", "*/blobs/*", Trouble::Redirect(storage.url())));
    let path = format!("/v2/p/a/blobs/{blob}");
    let sent = client(&registry).ask("GET", &path, b"");
    assert_eq!((sent.status, sent.header("location")), (307, format!("{}{path}", storage.url()).as_str()));
    let reply =
        Client::connect(&storage.address()).login("ci", "secret").with("cookie", "sid=1").ask("GET", &path, b"");
    assert_eq!(reply.body, b"layer");
    let log = storage.log();
    let headers = &log.entries()[0].headers;
    assert_eq!((headers["authorization"].as_str(), headers["cookie"].as_str()), ("Basic", "sid"), "no secrets");
}

#[test]
fn uploads_go_to_another_host() {
    let registry = Registry::start().with_tokens(Tokens::basic().user("ci", "secret", &["p"]));
    let storage = registry.storage();
    let registry = registry.with_location(Location::At(storage.url()));
    let begun = client(&registry).login("ci", "secret").ask("POST", "/v2/p/a/blobs/uploads/", b"");
    let target = format!("{}?digest={}", begun.header("location"), digest(b"layer"));
    assert!(target.starts_with(&storage.url()));
    assert_eq!(Client::connect(&storage.address()).ask("PUT", &target, b"layer").status, 201);
    assert_eq!(registry.blobs(), [digest(b"layer")]);
    assert!(!storage.log().entries()[0].headers.contains_key("authorization"));
    registry.fault(Fault::new("GET", "/v2/", Trouble::Redirect(storage.url())));
    assert_eq!(client(&registry).ask("GET", "/v2/?a=b", b"").header("location"), format!("{}/v2/?a=b", storage.url()));
}

#[test]
fn the_log_counts() {
    let registry = Registry::start();
    registry.fault(Fault::new("*", "*", Trouble::Late(Duration::from_millis(300))).times(3));
    let ask = || client(&registry).ask("GET", "/v2/", b"x").status;
    let statuses = std::thread::scope(|scope| [0; 3].map(|_| scope.spawn(ask)).map(|one| one.join().unwrap()));
    let log = registry.log();
    assert_eq!((statuses, log.lines()), ([200; 3], vec!["GET /v2/ 200 1".to_owned(); 3]));
    assert!((2..=3).contains(&log.most_at_once()) && log.entries()[2].at > Duration::ZERO);
    registry.server.clear_log();
    assert!(registry.log().entries().is_empty());
}
