//! Contract of `apt::archive`: what is opened, and everything that is not.

use crate::support::archive::Archive;
use crate::support::archive::NOW;
use crate::support::http::Fault;
use crate::support::http::Server;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use pgp::crypto::hash::HashAlgorithm;
use sockel::apt::archive;
use sockel::apt::archive::Error;
use sockel::apt::archive::OpenPocket;
use sockel::apt::archive::Pocket;
use sockel::report::EventRecorder;
use sockel::sys::fs;
use sockel::sys::http::HttpClient;
use sockel::sys::http::HttpOptions;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

const DAY: i64 = 86_400;
const INRELEASE: &str = "/ubuntu/dists/noble-security/InRelease";

pub(crate) fn http(offline: bool) -> HttpClient {
    HttpClient::new(HttpOptions { backoff: Duration::from_millis(1), ..HttpOptions::usual(offline, None) })
}

fn open_at(pocket: &Pocket, folder: &Path, http: &HttpClient, now: Epoch) -> Result<OpenPocket, Error> {
    let opened = archive::open(std::slice::from_ref(pocket), http, folder, now, &EventRecorder::default());
    opened.map(|mut opened| opened.pop().unwrap())
}

fn open(pocket: &Pocket, folder: &Path) -> Result<OpenPocket, Error> {
    open_at(pocket, folder, &http(false), NOW)
}

#[test]
fn opens_once_and_downloads_nothing_twice() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let good = Archive::good();
    server.put_all(&good.files());
    let pocket = Archive::pocket(&[server.url()]);
    let opened = open(&pocket, folder.path()).unwrap();
    assert_eq!(opened.facts.inrelease, Digest::of(&good.inrelease()));
    assert_eq!(opened.facts.signed_by, Key::new(openpgp::GOOD).fingerprint());
    assert_eq!((opened.facts.date, opened.warnings.len(), opened.indexes.len()), (good.date, 0, 2));
    assert_eq!(opened.indexes[0].index.by_name("hello").next().unwrap().unwrap().size, 3);
    assert_eq!(server.requests().first().map(String::as_str), Some(INRELEASE));
    let again = open(&pocket, folder.path()).unwrap();
    assert_eq!(again.facts, opened.facts);
    assert_eq!(server.requests(), [INRELEASE]);
    let offline = open_at(&pocket, folder.path(), &http(true), NOW).unwrap();
    assert_eq!(offline.facts, opened.facts);
    assert!(server.requests().is_empty());
    let empty = tempfile::tempdir().unwrap();
    let error = open_at(&pocket, empty.path(), &http(true), NOW).unwrap_err().to_string();
    assert_eq!(error, "cannot open pocket `ubuntu/security`: offline, and `InRelease` was not fetched before");
}

#[test]
fn refuses_every_hostile_archive() {
    let good = Archive::good;
    let signed_at = good().signing;
    let other = openpgp::Recipe { seed: 9, ..openpgp::GOOD };
    let table: Vec<(&str, Archive, &str)> = vec![
        ("foreign key", Archive { key: other, ..good() }, "it is not signed by the pinned key"),
        ("revoked", Archive { key: openpgp::Recipe { revoked: true, ..openpgp::GOOD }, ..good() }, "is revoked"),
        (
            "old key",
            Archive { key: openpgp::Recipe { life: Some(DAY as u32), ..openpgp::GOOD }, ..good() },
            "expired on 2023-11-15",
        ),
        ("no flag", Archive { key: openpgp::Recipe { may_sign: false, ..openpgp::GOOD }, ..good() }, "may not sign"),
        (
            "weak self",
            Archive { key: openpgp::Recipe { hash: HashAlgorithm::Sha3_256, ..openpgp::GOOD }, ..good() },
            "is bound to its name with SHA3-256, which is not accepted",
        ),
        (
            "foreign subkey",
            Archive {
                key: openpgp::Recipe { subkey: Some(false), ..openpgp::GOOD },
                signing: openpgp::Signing { with_subkey: true, ..signed_at },
                ..good()
            },
            "it is not signed by the pinned key",
        ),
        (
            "weak hash",
            Archive { signing: openpgp::Signing { hash: HashAlgorithm::Sha3_256, ..signed_at }, ..good() },
            "which is not accepted",
        ),
        (
            "future signature",
            Archive { signing: openpgp::Signing { at: NOW.0 as u32 + 60, ..signed_at }, ..good() },
            "is from the future",
        ),
        (
            "expired signature",
            Archive { signing: openpgp::Signing { life: Some(60), ..signed_at }, ..good() },
            "expired on",
        ),
        (
            "signed before key",
            Archive { signing: openpgp::Signing { at: openpgp::MADE - 1, ..signed_at }, ..good() },
            "is older than the key",
        ),
        (
            "suite swapped",
            Archive { suite_field: "noble", ..good() },
            "field `Suite` must be `noble-security` but is `noble`",
        ),
        ("codename", Archive { codename: "jammy", ..good() }, "field `Codename` must be `noble` but is `jammy`"),
        ("origin", Archive { origin: "Debian", ..good() }, "field `Origin` must be `Ubuntu` but is `Debian`"),
        ("label", Archive { label: "Mirror", ..good() }, "field `Label` must be `Ubuntu` but is `Mirror`"),
        ("expired", Archive { valid_until: Some(Epoch(NOW.0 - 1)), ..good() }, "it expired on 2027-01-15T07:59:59Z"),
        ("future", Archive { date: Epoch(NOW.0 + 11), ..good() }, "is in the future"),
        (
            "frozen by a mirror",
            Archive { date: Epoch(NOW.0 - 8 * DAY), ..good() },
            "older than the 168 hours that the recipe allows",
        ),
    ];
    for (name, archive, expected) in table {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        server.put_all(&archive.files());
        let mut pocket = Archive::pocket(&[server.url(), server.url()]);
        if archive.key.seed == openpgp::GOOD.seed {
            pocket.keys = vec![Key::new(archive.key).armored()];
        }
        let error = open(&pocket, folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(server.requests(), [INRELEASE], "{name}: nothing is tried again");
    }
}

#[test]
fn refuses_every_tampered_file() {
    let good = Archive::good();
    let text = String::from_utf8(good.inrelease()).unwrap();
    let index = good.files()[&good.index("amd64")].clone();
    let mut flipped = index.clone();
    flipped[20] ^= 1;
    let amd64 = good.index("amd64");
    let table: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("changed text", INRELEASE, text.replace("Label", "label").into_bytes(), "does not match the text"),
        (
            "unsigned",
            INRELEASE,
            good.release().into_bytes(),
            "what came is no signed Release file: it begins with `Origin: Ubuntu`",
        ),
        ("login page", INRELEASE, b"<html>".to_vec(), "what came is no signed Release file: it begins with `<html>`"),
        ("before", INRELEASE, format!("Suite: x\n{text}").into_bytes(), "what came is no signed Release file"),
        ("after", INRELEASE, format!("{text}Suite: x\n").into_bytes(), "something after the signature"),
        ("cut off", INRELEASE, text.as_bytes()[..text.len() / 2].to_vec(), "cannot verify signature"),
        ("index", &amd64, flipped, "instead of sha256:"),
        ("short index", &amd64, index[..20].to_vec(), "bytes instead of"),
        ("long index", &amd64, [index.clone(), vec![0]].concat(), "bytes instead of"),
    ];
    for (name, path, bytes, expected) in table {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        server.put_all(&good.files());
        server.put(path, &bytes);
        let error = open(&Archive::pocket(&[server.url()]), folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        server.put_all(&good.files());
        assert!(open(&Archive::pocket(&[server.url()]), folder.path()).is_ok(), "{name}: nothing bad is kept");
    }
}

#[test]
fn remembers_what_it_saw() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let pocket = Archive::pocket(&[server.url()]);
    let good = Archive::good();
    let older = Archive { date: Epoch(good.date.0 - 60), ..Archive::good() };
    let twin = Archive { packages: good.packages.replace("2.10-3", "2.10-4"), ..Archive::good() };
    let newer = Archive { date: Epoch(good.date.0 + 60), ..twin.clone() };
    let table = [
        (&older, ""),
        (&good, ""),
        (&older, "which was seen before"),
        (&twin, "two different InRelease files with date"),
        (&newer, ""),
        (&good, "which was seen before"),
    ];
    for (number, (archive, expected)) in table.into_iter().enumerate() {
        server.put_all(&archive.files());
        let error = open(&pocket, folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{number}: {error}");
    }
    // states of the past prove the locks that name them: three InRelease files and two indexes stay
    assert_eq!(fs::list(&folder.path().join("by-hash")).unwrap().len(), 5);
    // each with its stamp
    assert_eq!(fs::list(&folder.path().join("decoded")).unwrap().len(), 2 * 2);
}

#[test]
fn asks_for_all_pockets_at_once_and_answers_in_order() {
    let server = Server::start();
    let other = Archive { suite: "noble-updates", suite_field: "noble-updates", ..Archive::good() };
    let (first, folder) = (Archive::good(), tempfile::tempdir().unwrap());
    let security = Archive::pocket(&[server.url()]);
    let updates = Pocket { name: "updates".into(), suite: "noble-updates".into(), ..security.clone() };
    let pockets = [security, updates];
    let open = |http: &HttpClient| archive::open(&pockets, http, folder.path(), NOW, &EventRecorder::default());
    let titles = |opened: &[OpenPocket]| opened.iter().map(|one| one.facts.suite.clone()).collect::<Vec<_>>();
    server.put_all(&first.files());
    server.put_all(&other.files());
    // no answer comes before both pockets have been asked for, and none of an index before all four have
    for (paths, count) in [(["InRelease"; 1].as_slice(), 2), (&["amd64", "arm64"], 4)] {
        let barrier = Arc::new(Barrier::new(count));
        for archive in [&first, &other] {
            for path in paths {
                let path = match *path {
                    "InRelease" => format!("/ubuntu/dists/{}/InRelease", archive.suite),
                    architecture => archive.index(architecture),
                };
                server.fail(&path, &[Fault::Meet(Arc::clone(&barrier))]);
            }
        }
    }
    let opened = open(&http(false)).unwrap();
    assert_eq!(titles(&opened), ["noble-security", "noble-updates"]);
    assert!(opened.iter().all(|one| one.indexes.iter().map(|index| &index.architecture[..]).eq(["amd64", "arm64"])));
    assert_eq!(titles(&open(&http(true)).unwrap()), ["noble-security", "noble-updates"]);
    // the second one is refused at once, the first one only after its answers
    let late = Archive { date: Epoch(NOW.0 - 30 * DAY), ..first };
    server.put_all(&late.files());
    server.put("/ubuntu/dists/noble-updates/InRelease", b"nothing");
    server.fail(INRELEASE, &[Fault::Status(503, None), Fault::Status(503, None)]);
    let error = open(&http(false)).unwrap_err().to_string();
    assert!(error.starts_with("cannot open pocket `ubuntu/security`"), "{error}");
}

#[test]
fn reads_decoded_indexes_and_makes_damaged_ones_again() {
    let (server, folder, good) = (Server::start(), tempfile::tempdir().unwrap(), Archive::good());
    server.put_all(&good.files());
    let pocket = Archive::pocket(&[server.url()]);
    let hello = |opened: OpenPocket| opened.indexes[1].index.by_name("hello").next().unwrap().unwrap().size;
    assert_eq!(hello(open(&pocket, folder.path()).unwrap()), 3);
    let name = &fs::list(&folder.path().join("decoded")).unwrap()[0];
    let (decoded, compressed) = (folder.path().join("decoded").join(name), folder.path().join("by-hash").join(name));
    let (sound, index) = (fs::read(&decoded, 1 << 20).unwrap(), fs::read(&compressed, 1 << 20).unwrap());
    // the compressed file is not even read
    fs::write_atomic(&compressed, &vec![0; index.len()]).unwrap();
    assert_eq!(hello(open_at(&pocket, folder.path(), &http(true), NOW).unwrap()), 3);
    let mut flipped = sound.clone();
    flipped[9] ^= 1;
    let mut newer = sound.clone();
    let format = newer.len() - 2 * 64 - 1;
    newer[format] = b'9';
    for damaged in [&flipped[..], &sound[..sound.len() / 2], &newer, b""] {
        fs::write_atomic(&compressed, &index).unwrap();
        fs::write_atomic(&decoded, damaged).unwrap();
        assert_eq!(hello(open_at(&pocket, folder.path(), &http(true), NOW).unwrap()), 3);
        assert_eq!(fs::read(&decoded, 1 << 20).unwrap(), sound);
    }
    fs::write_atomic(&compressed, &vec![0; index.len()]).unwrap();
    fs::write_atomic(&decoded, &flipped).unwrap();
    let error = open_at(&pocket, folder.path(), &http(true), NOW).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert_eq!(hello(open(&pocket, folder.path()).unwrap()), 3);
    assert_eq!(fs::read(&decoded, 1 << 20).unwrap(), sound);
}

#[test]
fn accepts_subkeys_old_frozen_pockets_and_warns() {
    let with_subkey = openpgp::Recipe { subkey: Some(true), ..openpgp::GOOD };
    let signing = openpgp::Signing { with_subkey: true, ..Archive::good().signing };
    let old = Archive { key: with_subkey, signing, date: Epoch(NOW.0 - 4 * DAY), ..Archive::good() };
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put_all(&old.files());
    let mut pocket = Pocket { keys: vec![Key::new(with_subkey).armored()], ..Archive::pocket(&[server.url()]) };
    let opened = open(&pocket, folder.path()).unwrap();
    assert_eq!(opened.warnings, ["pocket `ubuntu/security` is 96 hours old (date 2027-01-11T08:00:00Z)"]);
    pocket.frozen = true;
    pocket.locked = Some((opened.facts.date, opened.facts.inrelease));
    let much_later = Epoch(NOW.0 + 400 * DAY);
    assert!(open_at(&pocket, folder.path(), &http(false), much_later).unwrap().warnings.is_empty());
    pocket.locked = Some((opened.facts.date, Digest::of(b"other")));
    let error = open(&pocket, folder.path()).unwrap_err().to_string();
    assert!(error.contains("it is frozen but its InRelease changed"), "{error}");
}

#[test]
fn goes_on_to_the_next_mirror_only_when_one_is_missing() {
    let good = Archive::good();
    let (first, second, folder) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    second.put_all(&good.files());
    let pocket = Archive::pocket(&[first.url(), second.url()]);
    assert!(open(&pocket, folder.path()).is_ok());
    let folder = tempfile::tempdir().unwrap();
    first.put_all(&good.files());
    first.remove(&good.index("arm64"));
    first.fail(INRELEASE, &[Fault::Status(503, None), Fault::Cut(10)]);
    assert!(open(&pocket, folder.path()).is_ok());
    let nowhere = Archive::pocket(&["http://127.0.0.1:1", "http://user:secret@127.0.0.1:1"]);
    let error = open(&nowhere, folder.path()).unwrap_err().to_string();
    assert!(error.contains("no mirror answered") && error.contains("***@127.0.0.1"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn asks_again_once_when_the_archive_moves_on() {
    let good = Archive::good();
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut files = good.files();
    files.retain(|path, _| path == INRELEASE);
    server.put_all(&files);
    let error = open(&Archive::pocket(&[server.url()]), folder.path()).unwrap_err();
    assert!(matches!(error, Error::IndexGone { .. }), "{error}");
    assert_eq!(server.requests().iter().filter(|path| *path == INRELEASE).count(), 2);
    let without = Archive { by_hash: false, ..Archive::good() };
    server.put_all(&without.files());
    assert!(open(&Archive::pocket(&[server.url()]), folder.path()).is_ok());
}

#[test]
fn takes_key_files_as_people_have_them() {
    let (server, good, foreign) = (Server::start(), Archive::good(), openpgp::Recipe { seed: 9, ..openpgp::GOOD });
    server.put_all(&good.files());
    let pocket = Archive::pocket(&[server.url()]);
    let key = Key::new(openpgp::GOOD);
    let spaced = key
        .fingerprint()
        .to_lowercase()
        .as_bytes()
        .chunks(4)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    let table = [
        ("trust packets", vec![key.with_trust_packets()], pocket.fingerprints.clone(), ""),
        ("many keys", vec![Key::new(foreign).armored(), key.armored()], pocket.fingerprints.clone(), ""),
        ("blanks", pocket.keys.clone(), vec![spaced], ""),
        ("one of two", pocket.keys.clone(), vec![Key::new(foreign).fingerprint(), key.fingerprint()], ""),
        (
            "key missing",
            vec![Key::new(foreign).armored()],
            pocket.fingerprints.clone(),
            "no key file has the pinned key",
        ),
        ("nothing pinned", pocket.keys.clone(), vec![], "no key is pinned"),
        ("no key", vec![b"hello".to_vec()], pocket.fingerprints.clone(), "a key file cannot be read"),
    ];
    for (name, keys, fingerprints, expected) in table {
        let folder = tempfile::tempdir().unwrap();
        let pocket = Pocket { keys, fingerprints, ..pocket.clone() };
        let error = open(&pocket, folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{name}: {error}");
    }
}
