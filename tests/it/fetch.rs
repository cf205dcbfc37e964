//! Contract of `fetch`: packages arrive whole, resumed, verified, or are named.

use crate::archive::http;
use crate::support::http::Fault;
use crate::support::http::Server;
use sockel::fault::Explain;
use sockel::fetch;
use sockel::fetch::Fetched;
use sockel::fetch::WantedPackage;
use sockel::report::EventRecorder;
use sockel::store::Store;
use sockel::sys::fs;
use sockel::values::Digest;

const PATH: &str = "pool/a.deb";
const URL: &str = "/debian/pool/a.deb";

fn body() -> Vec<u8> {
    (0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

fn wanted(bytes: &[u8], path: &str, servers: &[&Server]) -> WantedPackage {
    WantedPackage {
        name: path.trim_start_matches("pool/").trim_end_matches(".deb").into(),
        version: "1".into(),
        architecture: "amd64".into(),
        path: path.into(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        sha512: None,
        uris: servers.iter().map(|server| format!("{}/debian", server.url())).collect(),
        guessed: std::collections::BTreeSet::new(),
    }
}

fn fetch(wanted: &[WantedPackage], store: &Store) -> Result<Fetched, String> {
    fetch::fetch(wanted, store, &http(false), &EventRecorder::default()).map_err(|error| error.to_string())
}

#[test]
fn survives_faults() {
    let size = body().len() as u64;
    let table: Vec<(&str, Vec<Fault>, u64, &[&str])> = vec![
        ("plain", vec![], size, &[URL]),
        ("busy", vec![Fault::Status(503, None), Fault::Status(429, Some("0"))], size, &[URL, URL, URL]),
        ("cut", vec![Fault::Cut(50_000)], size, &[URL, "/debian/pool/a.deb from 50000"]),
        ("no range", vec![Fault::Cut(50_000), Fault::NoRange], size + 50_000, &[URL, "/debian/pool/a.deb from 50000"]),
        ("redirect", vec![Fault::Redirect(URL.into())], size, &[URL, URL]),
    ];
    for (name, faults, downloaded, requests) in table {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let store = Store::open(folder.path()).unwrap();
        server.put(URL, &body());
        server.fail(URL, &faults);
        let wanted = [wanted(&body(), PATH, &[&server])];
        let fetched = fetch(&wanted, &store).unwrap();
        assert_eq!((fetched.downloaded, fetched.reused, fetched.sha512.len()), (downloaded, 0, 1), "{name}");
        assert_eq!(server.requests(), requests, "{name}");
        assert!(store.has_blob(&Digest::of(&body()), size), "{name}");
        let again = fetch(&wanted, &store).unwrap();
        assert_eq!((again.downloaded, again.reused, &again.sha512), (0, 1, &fetched.sha512), "{name}");
        assert!(server.requests().is_empty(), "{name}");
    }
}

#[test]
fn resumes_what_an_earlier_command_left() {
    for (name, part, expected) in [
        ("good part", body()[..70_000].to_vec(), vec!["/debian/pool/a.deb from 70000"]),
        ("damaged part", vec![7; 70_000], vec!["/debian/pool/a.deb from 70000", URL]),
        ("too long", vec![7; 300_000], vec![URL]),
    ] {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let store = Store::open(folder.path()).unwrap();
        server.put(URL, &body());
        let wanted = wanted(&body(), PATH, &[&server]);
        fs::write_atomic(&store.partial(&wanted.sha256), &part).unwrap();
        assert!(fetch(&[wanted], &store).is_ok(), "{name}");
        assert_eq!(server.requests(), expected, "{name}");
    }
}

#[test]
fn names_what_is_wrong() {
    let (bad, good, folder) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    let store = Store::open(folder.path()).unwrap();
    let mut wrong = body();
    wrong[5] ^= 1;
    bad.put(URL, &wrong);
    good.put(URL, &body());
    let error = fetch(&[wanted(&body(), PATH, &[&bad, &good])], &store).unwrap_err();
    assert!(error.contains("a 1 amd64: `") && error.contains("has digest"), "{error}");
    assert!(good.requests().is_empty(), "wrong bytes are not tried elsewhere");
    assert!(!store.partial(&Digest::of(&body())).exists());
    // another size is a miss, like a file that is not there
    bad.put(URL, &body()[..10]);
    assert!(fetch(&[wanted(&body(), PATH, &[&bad, &good])], &store).is_ok());
    let mut sha512 = wanted(b"abc", "pool/c.deb", &[&bad]);
    bad.put("/debian/pool/c.deb", b"abc");
    sha512.sha512 = Some("0".repeat(128));
    assert!(fetch(&[sha512], &store).unwrap_err().contains("has digest sha512:ddaf35a"));
}

#[test]
fn finishes_the_others_and_names_all_that_are_gone() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let store = Store::open(folder.path()).unwrap();
    server.put(URL, &body());
    let mut list = vec![wanted(&body(), PATH, &[&server])];
    list.extend([b"x", b"y"].iter().map(|bytes| wanted(*bytes, &format!("pool/{}.deb", bytes[0] as char), &[&server])));
    let error = fetch(&list, &store).unwrap_err();
    assert_eq!(error, "cannot fetch packages: no archive has x 1 amd64, y 1 amd64 any more");
    assert!(store.has_blob(&Digest::of(&body()), body().len() as u64));
    list.remove(0);
    list[0].uris = vec!["http://127.0.0.1:1".into()];
    list[1].path = "../y".into();
    let error = fetch(&list, &store).unwrap_err();
    assert!(error.contains("x 1 amd64: cannot fetch") && error.contains("`../y` is not a path"), "{error}");
    let offline = fetch::fetch(&list[..1], &store, &http(true), &EventRecorder::default()).unwrap_err();
    assert_eq!(offline.to_string(), "cannot fetch packages: cannot fetch `http://127.0.0.1:1/pool/x.deb`: offline");
    assert_eq!(offline.hints(), ["run once without `--offline`; what is fetched is kept"]);
}

#[test]
fn two_commands_share_one_download() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put(URL, &body());
    let stores = [Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap()];
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(|| fetch(&[wanted(&body(), PATH, &[&server])], store).unwrap());
        }
    });
    assert_eq!(server.requests(), [URL]);
}
