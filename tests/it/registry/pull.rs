//! Pulls: verified, resumed, and without credentials for others.

use crate::registry::Image;
use crate::registry::MARKER;
use crate::registry::REPOSITORY;
use crate::registry::assert_blobs;
use crate::registry::connect;
use crate::registry::login;
use crate::registry::options;
use crate::registry::push;
use crate::registry::run;
use crate::registry::tags;
use crate::support::registry::Fault;
use crate::support::registry::Registry as Double;
use crate::support::registry::Response;
use crate::support::registry::Tokens;
use crate::support::registry::Trouble;
use oci_spec::image::Descriptor;
use sockel::oci::registry::Error;
use sockel::report::EventRecorder;
use sockel::sys::fs;
use std::path::Path;
use std::time::Duration;

/// A registry that has an image under the tag 1; two indexes' worth of documents and all blobs.
fn stocked() -> (Double, Image) {
    let (double, image) = (Double::start(), Image::new(7));
    push(&double, &image.push(&tags(&["1"]))).unwrap();
    double.server.clear_log();
    (double, image)
}

fn pull(double: &Double, into: &Path) -> Result<Descriptor, Error> {
    run(connect(double, None, options()).pull(REPOSITORY, "1", into, &EventRecorder::default()))
}

fn largest(image: &Image) -> (String, u64) {
    let (digest, size) = image.blobs.iter().max_by_key(|(_, size)| *size).unwrap();
    (format!("/v2/*/blobs/{digest}"), *size)
}

#[test]
fn brings_everything_once() {
    let (double, image) = stocked();
    let folder = tempfile::tempdir().unwrap();
    let found = pull(&double, folder.path()).unwrap();
    assert_eq!(found.digest().to_string(), image.digest());
    assert_blobs(folder.path(), image.blobs.len() + 3);
    assert!(fs::list(&folder.path().join("partial")).unwrap().is_empty());
    assert_eq!(double.log().count("*", "*"), image.blobs.len() + 3);
    double.server.clear_log();
    pull(&double, folder.path()).unwrap();
    assert_eq!(double.log().count("*", "*"), 1);
}

#[test]
fn goes_on_where_it_broke() {
    let (image_path, size) = largest(&Image::new(7));
    let slow = Trouble::SlowAnswer { piece: 100_000, pause: Duration::from_millis(30) };
    let table = [
        ("cut", Fault::new("GET", &image_path, Trouble::CutAnswer(100_000)).times(2), Some("bytes=200000-")),
        ("cut at once", Fault::new("GET", &image_path, Trouble::CutAnswer(0)).times(4), None),
        ("503", Fault::new("GET", &image_path, Trouble::status(503)).times(4), None),
        ("slow", Fault::new("GET", &image_path, slow), None),
        ("manifest cut", Fault::new("GET", "/v2/*/manifests/*", Trouble::CutAnswer(20)).times(2), None),
    ];
    for (name, fault, range) in table {
        let (double, image) = stocked();
        let folder = tempfile::tempdir().unwrap();
        double.fault(fault);
        pull(&double, folder.path()).unwrap();
        assert_blobs(folder.path(), image.blobs.len() + 3);
        assert_eq!(double.server.pending_faults(), 0, "{name}");
        let log = double.log();
        let last = log.of("GET", &image_path).last().and_then(|entry| entry.headers.get("range").cloned());
        assert_eq!(last.as_deref(), range, "{name} of {size}");
    }
}

#[test]
fn an_unfinished_pull_is_resumed_by_the_next() {
    let (double, image) = stocked();
    let (path, _) = largest(&image);
    let folder = tempfile::tempdir().unwrap();
    double.fault(Fault::new("GET", &path, Trouble::CutAnswer(50_000)));
    double.fault(Fault::new("GET", &path, Trouble::status(403)).nth(2));
    assert!(pull(&double, folder.path()).is_err());
    pull(&double, folder.path()).unwrap();
    let log = double.log();
    assert_eq!(log.of("GET", &path).last().unwrap().headers["range"], "bytes=50000-");
    assert_blobs(folder.path(), image.blobs.len() + 3);
    // a beginning that was damaged in the meantime costs a second try, not the result
    let folder = tempfile::tempdir().unwrap();
    let (digest, _) = image.blobs.iter().max_by_key(|(_, size)| *size).unwrap();
    fs::create_dir(&folder.path().join("partial")).unwrap();
    fs::write_atomic(&folder.path().join("partial").join(digest.hex()), &[0; 1000]).unwrap();
    pull(&double, folder.path()).unwrap();
    assert_blobs(folder.path(), image.blobs.len() + 3);
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let image = Image::new(7);
    let (path, size) = largest(&image);
    let body = |length: u64| vec![b'x'; usize::try_from(length).unwrap()];
    let manifest = "/v2/*/manifests/1";
    let media_type = "application/vnd.oci.image.index.v1+json";
    let table: Vec<(&str, Fault, &str)> = vec![
        ("other bytes", Fault::new("GET", &path, Trouble::malformed("x/y", &body(size))).always(), "have digest"),
        ("more bytes", Fault::new("GET", &path, Trouble::malformed("x/y", &body(size + 1))).always(), "does not have"),
        ("fewer bytes", Fault::new("GET", &path, Trouble::malformed("x/y", &body(10))).always(), "does not have"),
        ("no manifest", Fault::new("GET", manifest, Trouble::malformed(media_type, b"{}")).always(), "not a manifest"),
        ("huge", Fault::new("GET", manifest, Trouble::malformed(media_type, &body(5 << 20))).always(), "more than"),
        (
            "child",
            Fault::new("GET", "/v2/*/manifests/sha256*", Trouble::malformed(media_type, b"{}")).always(),
            "digest",
        ),
        ("gone", Fault::new("GET", &path, Trouble::status(404)).always(), "made to fail"),
        ("denied", Fault::new("GET", manifest, Trouble::status(403)).always(), "may not"),
        ("policy", Fault::new("GET", manifest, Trouble::status(412)).always(), "412"),
        ("other part", Fault::new("GET", &path, Trouble::Answer(Response::new(206))).always(), "206"),
    ];
    for (name, fault, expected) in table {
        let (double, _) = stocked();
        let folder = tempfile::tempdir().unwrap();
        double.fault(fault);
        let error = pull(&double, folder.path()).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        let kept = fs::list(&folder.path().join("blobs/sha256")).unwrap();
        assert!(!kept.contains(&image.digest().replace("sha256:", "")), "{name}");
        assert!(double.log().count("*", "*") <= 14, "{name}: {:#?}", double.log().lines());
    }
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let (double, image) = stocked();
    let double = double.with_tokens(Tokens::new().user("robot$ci", MARKER, &["staging"]));
    let storage = double.storage();
    double.fault(Fault::new("GET", "/v2/*/blobs/*", Trouble::Redirect(storage.url())).always());
    let folder = tempfile::tempdir().unwrap();
    let registry = connect(&double, Some(login(MARKER)), options());
    run(registry.pull(REPOSITORY, "1", folder.path(), &EventRecorder::default())).unwrap();
    assert_blobs(folder.path(), image.blobs.len() + 3);
    let log = storage.log();
    assert_eq!(log.count("GET", "*"), image.blobs.len());
    assert!(log.entries().iter().all(|entry| !entry.headers.contains_key("authorization")));
    // and round in circles it does not go for long
    double.fault(Fault::new("GET", "/v2/*/manifests/*", Trouble::Redirect(double.url())).always());
    let before = double.log().count("*", "*");
    assert!(run(registry.manifest(REPOSITORY, "1")).is_err());
    assert!(double.log().count("*", "*") - before <= 6);
}

#[test]
fn uploads_elsewhere_get_no_credentials() {
    let (image, names) = (Image::new(7), tags(&["1"]));
    let double = Double::start().with_tokens(Tokens::new().user("robot$ci", MARKER, &["staging"]));
    let elsewhere = Double::start();
    let location = format!("{}/v2/staging/base/blobs/uploads/1", elsewhere.url().replace("127.0.0.1", "localhost"));
    let answer = Trouble::Answer(Response::new(202).with("location", &location));
    double.fault(Fault::new("POST", "*", answer).always());
    let registry = connect(&double, Some(login(MARKER)), options());
    assert!(run(registry.push(&image.push(&names), &EventRecorder::default())).is_err());
    let log = elsewhere.log();
    assert!(log.count("PUT", "*") > 0);
    assert!(log.entries().iter().all(|entry| !entry.headers.contains_key("authorization")));
}
