//! Archives as repository managers write them, and addresses that are mirrors or only look like it.

use crate::archive::http;
use crate::support::archive::NOW;
use crate::support::http::Server;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::repository::Repository;
use crate::support::repository::Signed;
use crate::support::repository::compressed;
use crate::support::repository::stanza;
use sockel::apt::archive;
use sockel::apt::archive::Error;
use sockel::apt::archive::OpenPocket;
use sockel::apt::archive::Pocket;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::report::EventRecorder;
use sockel::report::ProgressEvent;
use std::collections::BTreeMap;
use std::path::Path;

fn open_in(pocket: &Pocket, folder: &Path, recorder: &EventRecorder) -> Result<OpenPocket, Error> {
    let opened = archive::open(std::slice::from_ref(pocket), &http(false), folder, NOW, recorder);
    opened.map(|mut opened| opened.pop().unwrap())
}

fn open(pocket: &Pocket) -> Result<OpenPocket, Error> {
    let folder = tempfile::tempdir().unwrap();
    open_in(pocket, folder.path(), &EventRecorder::default())
}

/// Returns the names of all packages, each with the architecture of its index.
fn names(opened: &OpenPocket) -> Vec<String> {
    let mut names = Vec::new();
    for index in &opened.indexes {
        names.extend(index.index.names().map(|name| format!("{name} in {} {}", index.component, index.architecture)));
    }
    names
}

#[test]
fn packages_of_all_come_from_their_own_index() {
    let table = [
        // architectures, more fields, what is read
        ("all amd64", "", vec!["tool in main amd64", "rules in main all"]),
        ("all", "", vec!["rules in main all"]),
        ("all amd64", "No-Support-for-Architecture-all: Packages\n", vec!["tool in main amd64"]),
        ("amd64", "", vec!["tool in main amd64"]),
    ];
    for (architectures, more, expected) in table {
        let mut repository = Repository::usual();
        repository.fields =
            repository.fields.replace("Architectures: amd64\n", &format!("Architectures: {architectures}\n{more}"));
        let index = ("main/binary-all/Packages.gz".to_owned(), compressed(&stanza("rules", "all"), "gz"));
        repository.listed.push(index);
        if architectures == "all" {
            repository.listed.remove(0);
        }
        let server = Server::start();
        server.put_all(&repository.files());
        assert_eq!(names(&open(&Repository::pocket(server.url())).unwrap()), expected, "{architectures} {more}");
    }
}

#[test]
fn flat_repositories_are_read() {
    for (folder, suite, path) in [("/shop", "./", "Packages.xz"), ("/shop/a/b", "a/b/", "./Packages.xz")] {
        let packages = [stanza("tool", "amd64"), stanza("tool", "arm64"), stanza("rules", "all")].concat();
        let listed = vec![(path.to_owned(), compressed(&packages, "xz"))];
        let repository = Repository { folder, listed, fields: String::new(), ..Repository::usual() };
        let server = Server::start();
        server.put_all(&repository.files());
        let none = || None;
        let pocket = Pocket {
            suite: suite.into(),
            components: Vec::new(),
            origin: none(),
            label: none(),
            codename: none(),
            ..Repository::pocket(server.url())
        };
        assert_eq!(names(&open(&pocket).unwrap()), ["rules in flat all", "tool in flat all"], "{suite}");
    }
}

#[test]
fn a_detached_signature_is_as_good() {
    let server = Server::start();
    let repository = Repository { signed: Signed::Detached, ..Repository::usual() };
    server.put_all(&repository.files());
    let pocket = Repository::pocket(server.url());
    let opened = open(&pocket).unwrap();
    assert_eq!(
        (names(&opened), opened.facts.signed_by),
        (vec!["tool in main amd64".to_owned()], pocket.fingerprints[0].clone())
    );
    let folder = "/shop/dists/stable";
    let asked = ["InRelease", "Release", "Release.gpg", "main/binary-amd64/Packages.gz"];
    assert_eq!(server.requests(), asked.map(|path| format!("{folder}/{path}")));

    // every byte of it is signed
    let release = repository.files()[&format!("{folder}/Release")].clone();
    let text = String::from_utf8(release.clone()).unwrap();
    for changed in [text.replace("Shop", "shop"), format!("{text} "), format!("\n{text}"), text.replace('\n', "\r\n")] {
        server.put(&format!("{folder}/Release"), changed.as_bytes());
        let error = open(&pocket).unwrap_err().to_string();
        assert!(error.contains("does not match the text"), "{error}");
    }
    server.put(&format!("{folder}/Release"), &release);
    server.put(&format!("{folder}/Release.gpg"), b"<html>");
    let error = open(&pocket).unwrap_err().to_string();
    assert!(error.contains("Release.gpg` is not an armored signature"), "{error}");
    server.serve_only(&Repository { signed: Signed::Not, ..Repository::usual() }.files());
    let error = open(&pocket).unwrap_err();
    assert!(error.to_string().contains("is not signed: there is neither InRelease nor Release.gpg"), "{error}");
    server.remove(&format!("{folder}/Release"));
    let error = open(&pocket).unwrap_err();
    assert!(error.to_string().contains("no server has its Release file"), "{error}");
    assert!(error.hints()[0].contains("ends with a slash"), "{:?}", error.hints());
}

#[test]
fn identity_is_what_the_archive_has() {
    // fields of the Release file; origin, label, expected suite and codename of the recipe; what is wrong
    type Case<'a> = (&'a str, [Option<&'a str>; 4], &'a str);
    let table: [Case<'_>; 8] = [
        ("", [None; 4], ""),
        ("Codename: stable\nSuite:\n", [None, None, None, Some("stable")], ""),
        ("Origin: Shop\nLabel: Shop\nCodename: stable\n", [Some("Shop"), Some("Shop"), None, Some("stable")], ""),
        ("Suite: other\n", [None, None, Some("other"), None], ""),
        ("Origin: Shop\n", [None; 4], "has `Origin: Shop`, which the recipe does not name"),
        ("Codename: sid\n", [None; 4], "has `Codename: sid`, which the recipe does not name"),
        ("Suite: other\n", [None; 4], "field `Suite` must be `stable` but is `other`"),
        ("", [None, None, Some("other"), None], "field `Suite` must be `other` but is ``"),
    ];
    for (fields, recipe, problem) in table {
        let server = Server::start();
        server.put_all(&Repository { fields: fields.to_owned(), ..Repository::usual() }.files());
        let [origin, label, expected_suite, codename] = recipe.map(|text| text.map(str::to_owned));
        let pocket = Pocket { origin, label, expected_suite, codename, ..Repository::pocket(server.url()) };
        let error = open(&pocket).err();
        let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains(problem) && text.is_empty() == problem.is_empty(), "{fields}: {text}");
        if let Some(error @ Error::Unpinned { .. }) = error {
            assert_eq!(error.turn(), Turn::Input);
            assert!(error.hints()[0].contains("to the recipe"));
        }
    }
}

#[test]
fn what_is_listed_or_promised_need_not_be_there() {
    let packages = stanza("tool", "amd64");
    let forms = ["xz", "zst", "lzma", "gz", ""];
    // one form after the other goes missing, with the promise of by-hash and without
    for by_hash in ["", "Acquire-By-Hash: yes\n"] {
        for gone in 0..forms.len() {
            let mut repository = Repository::usual();
            repository.fields += by_hash;
            let path =
                |form: &str| format!("main/binary-amd64/Packages{}{form}", if form.is_empty() { "" } else { "." });
            repository.listed = forms.iter().map(|form| (path(form), compressed(&packages, form))).collect();
            repository.missing = forms[..gone].iter().map(|form| path(form)).collect();
            let server = Server::start();
            server.put_all(&repository.files());
            let opened = open(&Repository::pocket(server.url())).unwrap();
            assert_eq!(names(&opened), ["tool in main amd64"], "{by_hash}{gone}");
        }
    }

    // none at all: every address that was asked is named
    let mut repository = Repository::usual();
    repository.fields += "Acquire-By-Hash: yes\n";
    repository.missing = vec!["main/binary-amd64/Packages.gz".to_owned()];
    let server = Server::start();
    server.put_all(&repository.files());
    let error = open(&Repository::pocket(server.url())).unwrap_err().to_string();
    assert!(error.contains("by-hash/SHA256") && error.contains("binary-amd64/Packages.gz`: not found"), "{error}");

    // the name beside the digest may have the next state already
    server.put("/shop/dists/stable/main/binary-amd64/Packages.gz", &compressed(&stanza("next", "amd64"), "gz"));
    assert!(matches!(open(&Repository::pocket(server.url())), Err(Error::IndexGone { .. })));
}

#[test]
fn odd_streams_are_read() {
    let (first, second) = (stanza("a", "amd64"), stanza("b", "amd64"));
    for form in ["gz", "xz", "zst"] {
        let padding = if form == "zst" { Vec::new() } else { vec![0; 512] };
        let bytes = [compressed(&first, form), compressed(&second, form), padding].concat();
        let listed = vec![(format!("main/binary-amd64/Packages.{form}"), bytes)];
        let server = Server::start();
        server.put_all(&Repository { listed, ..Repository::usual() }.files());
        let opened = open(&Repository::pocket(server.url())).unwrap();
        assert_eq!(names(&opened), ["a in main amd64", "b in main amd64"], "{form}");
    }
}

#[test]
fn a_guessed_mirror_is_recognised_by_what_it_signs() {
    let (official, guess) = (Server::start(), Server::start());
    let files = Repository::usual().files();
    official.put_all(&files);
    let pocket = Pocket {
        uris: BTreeMap::from([("*".into(), vec![format!("{}/shop", guess.url()), format!("{}/shop", official.url())])]),
        guessed: [format!("{}/shop", guess.url())].into(),
        ..Repository::pocket(official.url())
    };
    let inrelease = "/shop/dists/stable/InRelease";
    let said = |wanted: &str, is_warning: bool| {
        let (folder, recorder) = (tempfile::tempdir().unwrap(), EventRecorder::default());
        let opened = open_in(&pocket, folder.path(), &recorder).unwrap();
        assert_eq!(names(&opened), ["tool in main amd64"]);
        let mut texts = recorder.events().into_iter().filter_map(|event| match event {
            ProgressEvent::Detail(text) if !is_warning => Some(text),
            ProgressEvent::Warning(text) if is_warning => Some(text),
            _ => None,
        });
        let found = texts.any(|text| text.contains(wanted));
        assert!(found, "{wanted}: {:?}", recorder.events());
    };

    // the archive itself: used, and the official server is not asked
    guess.put_all(&files);
    said("from this machine's APT sources; its signed files are those of the archive", false);
    assert!(official.requests().is_empty());

    // a vendor's archive at an address that looks alike
    let mut vendor = Repository::usual();
    vendor.fields = vendor.fields.replace("Shop", "Vendor");
    guess.serve_only(&vendor.files());
    guess.requests();
    said("is not used: field `Origin` must be `Shop` but is `Vendor`", false);
    assert_eq!(guess.requests(), [inrelease], "a source of the host costs one request");

    // another key, a portal page, nothing
    let foreign = Key::new(openpgp::Recipe { seed: 9, ..openpgp::GOOD });
    let text = "Origin: Shop\nDate: Fri, 15 Jan 2027 07:00:00 UTC\n";
    let signing = crate::support::archive::Archive::good().signing;
    guess.put(inrelease, &foreign.sign(text, signing));
    said("it is not signed by the pinned key", false);
    guess.put(inrelease, b"<html>login</html>");
    said("what came is no signed Release file: it begins with `<html>login</html>`", false);
    guess.serve_only(&BTreeMap::new());
    said("the official address", false);

    // a mirror that is right and expired deserves a look
    let mut old = Repository::usual();
    old.fields += "Valid-Until: Fri, 15 Jan 2027 07:30:00 UTC\n";
    guess.serve_only(&old.files());
    said("it expired on 2027-01-15T07:30:00Z", true);

    // where a person names the address, nothing wrong is passed over
    guess.put(inrelease, b"<html>login</html>");
    let given = Pocket { guessed: [].into(), ..pocket.clone() };
    let error = open(&given).unwrap_err();
    assert!(error.to_string().contains(&format!("`{}{inrelease}`: what came", guess.url())), "{error}");
    assert!(error.hints()[0].contains("portal"), "{:?}", error.hints());
}

#[test]
fn memory_belongs_to_address_and_key() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put_all(&Repository::usual().files());
    let pocket = Repository::pocket(server.url());
    open_in(&pocket, folder.path(), &EventRecorder::default()).unwrap();
    let memories = || {
        let all = sockel::sys::fs::list(folder.path()).unwrap();
        all.into_iter().filter(|name| name.ends_with(".json")).count()
    };
    // another name and a mirror more: the same archive
    let mut renamed = Pocket { archive: "other".into(), name: "updates".into(), ..pocket.clone() };
    renamed.uris.get_mut("*").unwrap().push("http://127.0.0.1:1/shop".to_owned());
    open_in(&renamed, folder.path(), &EventRecorder::default()).unwrap();
    assert_eq!(memories(), 1);
    // another address, or another key: another archive, whatever its name
    open_in(
        &Pocket { official: "http://other.example/shop".into(), ..pocket.clone() },
        folder.path(),
        &EventRecorder::default(),
    )
    .unwrap();
    assert_eq!(memories(), 2);
    let more = Key::new(openpgp::Recipe { seed: 9, ..openpgp::GOOD }).fingerprint();
    let two_keys = Pocket { fingerprints: vec![pocket.fingerprints[0].clone(), more], ..pocket };
    open_in(&two_keys, folder.path(), &EventRecorder::default()).unwrap();
    assert_eq!(memories(), 3);
}
