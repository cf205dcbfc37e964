//! Pushes: what is sent, what is not, and what happens when the registry fails.

use crate::registry::Image;
use crate::registry::REPOSITORY;
use crate::registry::assert_whole;
use crate::registry::connect;
use crate::registry::options;
use crate::registry::push;
use crate::registry::run;
use crate::registry::tags;
use crate::support::registry::Fault;
use crate::support::registry::Location;
use crate::support::registry::Registry as Double;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use rand::Rng;
use rand::SeedableRng;
use sockel::fault::Explain;
use sockel::oci::registry::BlobTotals;
use sockel::oci::registry::Error;
use sockel::oci::registry::HarborRefusal;
use sockel::oci::registry::PushRequest;
use sockel::report::EventRecorder;
use sockel::report::ProgressEvent;
use sockel::report::TransferSaving;
use sockel::sys::fs;
use sockel::sys::http::HostOptions;
use std::time::Duration;
use std::time::Instant;

#[test]
fn sends_everything_once_and_nothing_twice() {
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1", "1.0"]));
    let pushed = push(&double, &image.push(&names)).unwrap();
    let all = BlobTotals { count: image.blobs.len(), bytes: image.bytes() };
    assert_eq!((pushed.uploaded, pushed.mounted, pushed.skipped), (all, BlobTotals::default(), BlobTotals::default()));
    assert_eq!((pushed.tags_moved, pushed.manifests), (names.clone(), 3));
    assert_whole(&double, REPOSITORY, &["1", "1.0"], "first");
    assert_eq!(double.tags(REPOSITORY)["1"], image.digest());
    assert_eq!(double.log().blob_bytes(), image.bytes());
    assert!(double.log().count("*", "*") <= 4 + 3 * image.blobs.len() + 2 + 2 * 3, "{:#?}", double.log().lines());
    double.server.clear_log();
    let again = push(&double, &image.push(&names)).unwrap();
    assert_eq!((again.uploaded, again.skipped, again.tags_moved.len()), (BlobTotals::default(), all, 0));
    assert_eq!(double.log().count("*", "*"), 2, "{:#?}", double.log().lines());
    double.server.clear_log();
    // a further tag: its blobs are not asked for
    push(&double, &image.push(&tags(&["1", "latest"]))).unwrap();
    assert_eq!(double.log().count("*", "*"), 4, "{:#?}", double.log().lines());
    assert_whole(&double, REPOSITORY, &["1", "1.0", "latest"], "further tag");
    double.server.clear_log();
    // one layer differs
    let pushed = push(&double, &Image::new(8).push(&names)).unwrap();
    assert_eq!((pushed.uploaded.count, pushed.skipped.count), (3, 3));
    assert_whole(&double, REPOSITORY, &["1", "1.0", "latest"], "changed");
}

#[test]
fn blobs_come_before_manifests_and_tags_come_last() {
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1", "1.0"]));
    push(&double, &PushRequest { is_new: true, ..image.push(&names) }).unwrap();
    let kind = |entry: &crate::support::registry::log::Entry| {
        if entry.path.contains("/blobs/") {
            0
        } else if entry.path.contains("sha256:") {
            1
        } else {
            2
        }
    };
    let log = double.log();
    let order: Vec<u8> = log.of("PUT", "*").into_iter().map(kind).collect();
    assert!(order.is_sorted() && order.ends_with(&[2, 2]), "{order:?}");
    assert!(log.most_at_once() <= 16, "{}", log.most_at_once());
}

#[test]
fn everything_works_with_all_ways_to_name_an_upload() {
    for location in [Location::State, Location::Absolute, Location::Relative] {
        for chunk in [None, Some(50_000), Some(u64::MAX)] {
            let (double, image, names) = (Double::start().with_location(location.clone()), Image::new(7), tags(&["1"]));
            let context = format!("{location:?} {chunk:?}");
            let pushed = push(&double, &PushRequest { chunk, ..image.push(&names) }).unwrap();
            assert_eq!(pushed.uploaded.bytes, image.bytes(), "{context}");
            assert_whole(&double, REPOSITORY, &["1"], &context);
            assert_eq!(double.log().blob_bytes(), image.bytes(), "{context}");
            let chunks = double.log().count("PATCH", "*");
            assert_eq!(chunks, if chunk == Some(50_000) { 6 + 3 } else { 0 }, "{context}");
        }
    }
}

/// Faults that pass: the push succeeds with so many more requests at most.
#[test]
fn survives_faults() {
    let (blob, start, manifest) = ("/v2/*/blobs/uploads/*", "/v2/*/blobs/uploads/", "/v2/*/manifests/sha256*");
    let early = Trouble::Early(Response::error(503, "UNAVAILABLE", "x"));
    let lost = || Fault::new("PUT", blob, Trouble::upload_unknown());
    let table: Vec<(&str, Fault, usize)> = vec![
        ("busy", Fault::new("PUT", blob, Trouble::busy("0")).times(3), 9),
        ("busy until a date", Fault::new("POST", start, Trouble::busy("Thu, 01 Jan 1970 00:00:00 GMT")), 2),
        ("500 at the look-up", Fault::new("HEAD", "/v2/*/blobs/*", Trouble::status(500)).times(4), 4),
        ("502 at the start", Fault::new("POST", start, Trouble::status(502)).times(4), 12),
        ("503 at the end", Fault::new("PUT", blob, Trouble::status(503)).nth(3).times(4), 12),
        ("503 before the body", Fault::new("PUT", blob, early).times(3), 9),
        ("504 at a manifest", Fault::new("PUT", manifest, Trouble::status(504)).times(4), 4),
        ("500 at a tag", Fault::new("PUT", "/v2/*/manifests/1", Trouble::status(500)).times(4), 4),
        ("408", Fault::new("PUT", blob, Trouble::status(408)), 3),
        ("session lost", lost().times(3), 9),
        ("cut at once", Fault::new("PUT", blob, Trouble::CutRequest(0)).times(2), 6),
        ("answer lost", Fault::new("PUT", blob, Trouble::Silence).times(2), 2),
        ("answer of another", Fault::new("PUT", blob, Trouble::Instead(Response::new(502))).times(2), 2),
        ("manifest's answer lost", Fault::new("PUT", manifest, Trouble::Silence).times(2), 2),
        ("tag's answer lost", Fault::new("PUT", "/v2/*/manifests/1", Trouble::Silence), 1),
        ("no HTTP", Fault::new("HEAD", "/v2/*/blobs/*", Trouble::Raw(b"\0\0\0\r\n\r\n".to_vec())).times(2), 2),
    ];
    let plain = {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        push(&double, &image.push(&names)).unwrap();
        double.log().count("*", "*")
    };
    for (name, fault, more) in table {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        double.fault(fault);
        let pushed = push(&double, &image.push(&names));
        assert!(pushed.is_ok(), "{name}: {} {:#?}", pushed.unwrap_err(), double.log().lines());
        assert_whole(&double, REPOSITORY, &["1"], name);
        assert_eq!(double.server.pending_faults(), 0, "{name}");
        let count = double.log().count("*", "*");
        assert!(count <= plain + more, "{name}: {count} requests instead of {plain} and {more}");
    }
}

#[test]
fn an_upload_that_is_cut_anywhere_is_begun_anew() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (image, names) = (Image::new(7), tags(&["1"]));
    for round in 0..50 {
        let double = Double::start();
        let (digest, size) = image.blobs[random.random_range(0..image.blobs.len())];
        let offset = random.random_range(0..size);
        let chunk = random.random_bool(0.3).then_some(70_000);
        let context = format!("seed {seed}, round {round}: {digest} cut at {offset} of {size}, {chunk:?}");
        let path = match chunk {
            Some(_) => "/v2/*/blobs/uploads/*".to_owned(),
            None => format!("/v2/*/blobs/uploads/*{}*", digest.hex()),
        };
        let method = if chunk.is_some() { "PATCH" } else { "PUT" };
        double.fault(Fault::new(method, &path, Trouble::CutRequest(offset % 70_000)));
        let pushed = push(&double, &PushRequest { chunk, ..image.push(&names) });
        assert!(pushed.is_ok(), "{context}: {} {:#?}", pushed.unwrap_err(), double.log().lines());
        assert_whole(&double, REPOSITORY, &["1"], &context);
        assert!(double.log().blob_bytes() <= image.bytes() + 300_000, "{context}");
        assert!(double.log().count("POST", "*") <= image.blobs.len() + 1, "{context}");
    }
}

/// A registry that never recovers: the work is bounded, no tag is there.
#[test]
fn gives_up_after_bounded_work() {
    let table = [
        ("HEAD", "*", 6),
        ("POST", "*", 6 * 2 * 4),
        ("PUT", "/v2/*/blobs/*", 6 * 3 * 4),
        ("PUT", "/v2/*/manifests/*", 6 * 2),
    ];
    for (method, path, most) in table {
        for trouble in [Trouble::status(503), Trouble::Silence, Trouble::CutRequest(0), Trouble::upload_unknown()] {
            if matches!(trouble, Trouble::CutRequest(_)) && method != "PUT" {
                continue;
            }
            let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
            let context = format!("{method} {path} {trouble:?}");
            let silent = matches!(trouble, Trouble::Silence);
            double.fault(Fault::new(method, path, trouble).always());
            let result = push(&double, &image.push(&names));
            // what is done without an answer is found when it is looked up again
            if result.is_ok() {
                assert!(silent && path.contains("blobs") || method == "HEAD", "{context}");
                continue;
            }
            if !silent {
                assert_whole(&double, REPOSITORY, &[], &context);
            }
            let plain = 20 + 3 * image.blobs.len();
            assert!(double.log().count("*", "*") <= plain + most, "{context}: {:#?}", double.log().lines());
        }
    }
}

#[test]
fn what_does_not_pass_is_asked_once() {
    for status in [400, 403, 405, 409, 413, 422] {
        for (method, path) in [("PUT", "/v2/*/manifests/1"), ("POST", "/v2/*/blobs/uploads/")] {
            let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
            double.fault(Fault::new(method, path, Trouble::status(status)).always());
            let error = push(&double, &image.push(&names)).unwrap_err();
            assert!(error.is_ours() && error.to_string().contains("made to fail"), "{error}");
            assert!(double.log().count(method, path) <= if method == "PUT" { 1 } else { 4 }, "{method} {status}");
            assert_whole(&double, REPOSITORY, &[], &format!("{method} {status}"));
        }
    }
}

#[test]
fn a_used_up_quota_is_named() {
    for (method, path) in [("POST", "/v2/*/blobs/uploads/"), ("PUT", "/v2/*/blobs/*"), ("PUT", "/v2/*/manifests/*")] {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        double.fault(Fault::new(method, path, Trouble::quota()).always());
        let error = push(&double, &image.push(&names)).unwrap_err();
        assert!(
            matches!(error, Error::Known { cause: HarborRefusal::Quota, .. }) && error.hints()[0].contains("quota"),
            "{error}"
        );
        assert!(double.log().count(method, path) <= 4);
        assert_whole(&double, REPOSITORY, &[], method);
    }
}

#[test]
fn immutable_tags_stay() {
    let double = Double::start().with_immutable("staging", "1*");
    let (old, new) = (Image::new(7), Image::new(8));
    let (first, second) = (tags(&["1"]), tags(&["1.1"]));
    push(&double, &old.push(&first)).unwrap();
    // the same once more: nothing is asked of the tag
    push(&double, &old.push(&first)).unwrap();
    let error = push(&double, &new.push(&first)).unwrap_err();
    assert!(matches!(&error, Error::Immutable { tag, .. } if tag == "1") && error.is_ours(), "{error}");
    assert_eq!(double.tags(REPOSITORY)["1"], old.digest());
    // somebody else is faster with the same image
    double.fault(Fault::new("HEAD", "/v2/*/manifests/1", Trouble::status(404)));
    push(&double, &old.push(&first)).unwrap();
    push(&double, &new.push(&second)).unwrap();
    assert_whole(&double, REPOSITORY, &["1", "1.1"], "in the end");
    let puts = double.log().count("PUT", "/v2/*/manifests/1");
    assert_eq!(puts, 3, "{:#?}", double.log().lines());
}

#[test]
fn mounts_what_another_repository_has() {
    let from = tags(&["staging/none", "staging/base"]);
    let names = tags(&["2"]);
    for (name, fault, mounted) in [
        ("plain", None, 3),
        ("202", Some(Fault::new("POST", "*", Trouble::NoMount).always()), 0),
        ("503", Some(Fault::new("POST", "*mount=*", Trouble::status(503)).times(2)), 3),
        ("405", Some(Fault::new("POST", "*mount=*", Trouble::status(405)).always()), 0),
    ] {
        let (double, old, new) = (Double::start(), Image::new(7), Image::new(8));
        push(&double, &old.push(&tags(&["1"]))).unwrap();
        double.server.clear_log();
        if let Some(fault) = fault {
            double.fault(fault);
        }
        let order = PushRequest { repository: "staging/other", mount_from: &from, ..new.push(&names) };
        let pushed = push(&double, &order).unwrap();
        assert_eq!(pushed.mounted.count, mounted, "{name}: {:#?}", double.log().lines());
        assert_eq!(pushed.uploaded.count + mounted, new.blobs.len(), "{name}");
        assert_eq!(double.log().blob_bytes(), pushed.uploaded.bytes, "{name}");
        assert_whole(&double, "staging/other", &["2"], name);
        // a 202 is the beginning of the upload
        if name == "202" {
            assert_eq!(double.log().count("POST", "*"), new.blobs.len(), "{:#?}", double.log().lines());
        }
    }
}

#[test]
fn slow_is_not_dead_and_dead_is_noticed() {
    let quick = HostOptions { idle_timeout: Duration::from_millis(400), ..options() };
    let (image, names) = (Image::new(7), tags(&["1"]));
    // 300,000 bytes take 19 pauses
    let double = Double::start();
    double.fault(Fault::new("PUT", "/v2/*/blobs/*", Trouble::SlowRequest(Duration::from_millis(50))).always());
    run(connect(&double, None, quick.clone()).push(&image.push(&names), &EventRecorder::default())).unwrap();
    assert_eq!(double.log().count("PUT", "/v2/*/blobs/*"), image.blobs.len(), "{:#?}", double.log().lines());
    let double = Double::start();
    double.fault(Fault::new("POST", "*", Trouble::Late(Duration::from_secs(20))));
    double.fault(Fault::new("PUT", "/v2/*/manifests/*", Trouble::Late(Duration::from_secs(20))));
    let started = Instant::now();
    run(connect(&double, None, quick).push(&image.push(&names), &EventRecorder::default())).unwrap();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_whole(&double, REPOSITORY, &["1"], "late");
}

#[test]
fn a_pause_that_is_asked_for_is_made_by_all() {
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
    double.fault(Fault::new("POST", "*", Trouble::busy("1")).nth(2));
    push(&double, &image.push(&names)).unwrap();
    let log = double.log();
    let busy = log.entries().iter().position(|entry| entry.status == 429).expect("it was busy");
    // requests under way may still arrive
    let at = log.entries()[busy].at;
    let calm = Duration::from_millis(500)..Duration::from_millis(900);
    let early = log.entries().iter().filter(|entry| calm.contains(&entry.at.saturating_sub(at))).count();
    assert_eq!(early, 0, "{:#?}", log.entries());
}

#[test]
fn a_damaged_image_is_noticed_before_anything_is_sent() {
    type Spoil = fn(&Image);
    let damage: [(&str, Spoil); 3] = [
        ("instead of 300000", |image| {
            let (digest, _) = *image.blobs.iter().max_by_key(|(_, size)| *size).unwrap();
            fs::write_atomic(&image.folder.path().join("blobs/sha256").join(digest.hex()), b"short").unwrap();
        }),
        ("missing", |image| {
            let (digest, _) = image.blobs[0];
            fs::remove(&image.folder.path().join("blobs/sha256").join(digest.hex())).unwrap();
        }),
        ("its bytes have digest", |image| {
            let hex = image.digest().replace("sha256:", "");
            fs::write_atomic(&image.folder.path().join("blobs/sha256").join(hex), b"{}").unwrap();
        }),
    ];
    for (expected, spoil) in damage {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        spoil(&image);
        let error = push(&double, &image.push(&names)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(double.log().count("*", "*"), 0);
    }
    // of the right size, but not the right bytes: the registry notices, and the message says whose fault it is
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
    let (digest, size) = *image.blobs.iter().max_by_key(|(_, size)| *size).unwrap();
    let wrong = vec![0; usize::try_from(size).unwrap()];
    fs::write_atomic(&image.folder.path().join("blobs/sha256").join(digest.hex()), &wrong).unwrap();
    let error = push(&double, &image.push(&names)).unwrap_err();
    assert!(matches!(&error, Error::Damaged { path, .. } if path.ends_with(digest.hex())), "{error}");
    assert_whole(&double, REPOSITORY, &[], "damaged");
}

#[test]
fn progress_counts_every_byte_once() {
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
    double.fault(Fault::new("PUT", "/v2/*/blobs/*", Trouble::CutRequest(100)).times(3));
    let recorder = EventRecorder::default();
    run(connect(&double, None, options()).push(&image.push(&names), &recorder)).unwrap();
    let (mut total, mut done) = (0, 0);
    for event in recorder.events() {
        match event {
            ProgressEvent::Started { total: more, .. } => total += more,
            ProgressEvent::Advanced { by, .. } => done += by,
            _ => {}
        }
    }
    assert_eq!((total, done), (image.bytes(), image.bytes()));
    // once more: nothing is announced, everything is there
    let again = EventRecorder::default();
    run(connect(&double, None, options()).push(&PushRequest { is_new: true, ..image.push(&names) }, &again)).unwrap();
    let there = |event: &ProgressEvent| match event {
        ProgressEvent::Saved { by, how: TransferSaving::There, .. } => *by,
        other => panic!("{other:?}"),
    };
    assert_eq!(again.events().iter().map(there).sum::<u64>(), image.bytes());
}

/// Answers that nobody would give: an error or success, but a tag only for a whole image, and an end.
#[test]
fn answers_without_sense() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (image, names) = (Image::new(7), tags(&["1"]));
    let locations = ["", "http://", "//", "https://[", "/v2/x", "ftp://a/b", "http://127.0.0.1:1/x", "\u{e4}"];
    for round in 0..60 {
        let double = Double::start();
        let trouble = match random.random_range(0..4) {
            0 => Trouble::Raw((0..random.random_range(0..300)).map(|_| random.random()).collect()),
            1 => Trouble::malformed("application/json", b"{\"errors\":[[[[{}]]]]}"),
            2 => {
                let status = [200, 201, 202, 204, 206, 301, 304, 307, 404, 416, 418, 499][random.random_range(0..12)];
                let location = locations[random.random_range(0..locations.len())];
                Trouble::Answer(Response::new(status).with("location", location).with("docker-content-digest", "x"))
            }
            _ => Trouble::CutAnswer(random.random_range(0..40)),
        };
        let method = ["HEAD", "POST", "PUT", "*"][random.random_range(0..4)];
        let (nth, times) = (random.random_range(1..8), random.random_range(1..4));
        let context = format!("seed {seed}, round {round}: {method} {nth} {times} {trouble:?}");
        double.fault(Fault::new(method, "*", trouble).nth(nth).times(times));
        let result = push(&double, &image.push(&names));
        let expected: &[&str] = if double.tags(REPOSITORY).is_empty() { &[] } else { &["1"] };
        assert_whole(&double, REPOSITORY, expected, &context);
        if let Ok(pushed) = result {
            assert_eq!(pushed.digest.to_string(), image.digest(), "{context}");
        }
        assert!(double.log().count("*", "*") < 150, "{context}");
    }
}

#[test]
fn a_registry_that_refuses_head_is_asked_otherwise() {
    for status in [405, 403, 400] {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        push(&double, &image.push(&names)).unwrap();
        double.fault(Fault::new("HEAD", "*", Trouble::Answer(Response::new(status))).always());
        let again = push(&double, &image.push(&names)).unwrap();
        assert_eq!((again.uploaded.count, again.tags_moved.len()), (0, 0), "{status}: known by GET");
        // blobs that nothing is said about are sent
        let pushed = push(&double, &Image::new(8).push(&names)).unwrap();
        assert!(pushed.uploaded.count > 0, "{status}");
        assert_whole(&double, REPOSITORY, &["1"], "no HEAD");
        let found = run(connect(&double, None, options()).head(REPOSITORY, "absent")).unwrap();
        assert_eq!(found, None, "{status}");
    }
}

#[test]
fn a_registry_without_oci_indexes_says_so_in_any_way() {
    for status in [400, 404, 415, 500] {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        double.fault(Fault::new("PUT", "/v2/*/manifests/1", Trouble::Answer(Response::new(status))).always());
        let error = push(&double, &image.push(&names)).unwrap_err();
        assert!(error.to_string().ends_with("; it took the image's manifests, but not its OCI index"), "{error}");
        assert!(error.hints()[0].contains("`media-types: docker`"), "{:?}", error.hints());
        assert_eq!(error.is_ours(), status != 500, "a retry may help against 500");
        assert_whole(&double, REPOSITORY, &[], "refused");
    }
    // what is missing, or forbidden, is another cause
    for (status, code) in [(404, "MANIFEST_BLOB_UNKNOWN"), (403, "DENIED"), (409, "CONFLICT")] {
        let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
        let answer = Trouble::Answer(Response::error(status, code, "x"));
        double.fault(Fault::new("PUT", "/v2/*/manifests/1", answer).always());
        let error = push(&double, &image.push(&names)).unwrap_err();
        assert!(!error.to_string().contains("index"), "{error}");
    }
}

#[test]
fn a_redirect_that_is_not_followed_says_where_it_leads() {
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
    let answer = Response::new(302).with("location", "https://login.example.org/start?ticket=secret");
    double.fault(Fault::new("POST", "*", Trouble::Answer(answer)).always());
    let error = push(&double, &image.push(&names)).unwrap_err().to_string();
    assert!(error.contains("it redirects to `https://login.example.org/start?***` (status 302)"), "{error}");
}

#[test]
fn lists_of_tags_are_complete_or_an_error() {
    let page = |names: &[&str], link: Option<&str>| {
        let answer = Response::json(200, &serde_json::json!({ "name": REPOSITORY, "tags": names }));
        Trouble::Answer(match link {
            Some(link) => answer.with("link", link),
            None => answer,
        })
    };
    let list = |pages: Vec<(&str, Trouble)>| {
        let double = Double::start();
        for (query, trouble) in pages {
            double.fault(Fault::new("GET", &format!("/v2/*/tags/list[?]{query}"), trouble).always());
        }
        run(connect(&double, None, options()).tags(REPOSITORY))
    };
    let next = "</v2/x/tags/list?n=2&next_page=opaque%3D>; rel=\"next\"";
    let first = || ("n=1000", page(&["a", "b"], Some(next)));
    let second = "n=2&next_page=opaque%3D";

    let found = list(vec![first(), (second, page(&["c"], None))]).unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    // an empty page is not the last one, another host is not asked, and a header may have several links
    let elsewhere = "<https://other.example/x?n=2>; rel=\"first\", <https://other.example/y?last=b,c&n=2>; rel=next";
    let pages = vec![("n=1000", page(&["a"], Some(elsewhere))), ("last=b,c&n=2", page(&[], Some(next)))];
    let found = list([pages, vec![(second, page(&["z"], None))]].concat()).unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "z"]);

    for (pages, expected) in [
        (vec![first(), (second, page(&["b"], Some(next)))], "the list has no end"),
        (vec![first(), (second, Trouble::Answer(Response::new(404)))], "not found"),
        (vec![("n=1000", page(&["a"], Some("</v2/x/tags/list>; rel=\"next\"")))], "cannot be followed"),
    ] {
        let error = list(pages).unwrap_err().to_string();
        assert!(error.starts_with("cannot list the tags of") && error.contains(expected), "{error}");
    }
}
