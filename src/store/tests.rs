//! Contract of the store.

use super::*;
use crate::sys::clock;
use std::fs::FileTimes;
use std::time::Duration;
use std::time::UNIX_EPOCH;

fn empty() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("an empty store");
    (folder, store)
}

#[test]
fn keeps_blobs_under_their_digest() {
    let (_folder, store) = empty();
    let digest = store.add(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    assert!(store.has_blob(&digest, 5));
    assert!(!store.has_blob(&digest, 4));
    assert_eq!(fs::read(&store.blob(&digest), 10).unwrap(), b"hello");
}

#[test]
fn refuses_other_bytes_and_keeps_nothing() {
    let (_folder, store) = empty();
    let mut writer = store.writer().unwrap();
    writer.write(b"hello").unwrap();
    let expected = Digest::of(b"other");
    assert!(matches!(writer.finish_as(&expected), Err(Error::WrongDigest { .. })));
    assert_eq!(fs::list(&store.folder().join("blobs/sha256")).unwrap(), Vec::<String>::new());
    assert_eq!(fs::list(&store.folder().join("tmp")).unwrap(), Vec::<String>::new());
}

#[test]
fn forgets_damaged_records() {
    let (_folder, store) = empty();
    let key = Digest::of(b"key");
    store.keep("kind", &key, &vec![1, 2]).unwrap();
    assert_eq!(store.result::<Vec<u8>>("kind", &key), Some(vec![1, 2]));
    fs::write_atomic(&store.record("kind", &key), b"[1,").unwrap();
    assert_eq!(store.result::<Vec<u8>>("kind", &key), None);
}

#[test]
fn a_record_holds_under_its_own_name_alone() {
    let (_folder, store) = empty();
    let (key, other) = (Digest::of(b"key"), Digest::of(b"other"));
    store.keep("kind", &key, &7).unwrap();
    let bytes = fs::read(&store.record("kind", &key), 200).unwrap();
    assert_eq!(store.result::<u8>("kind", &key), Some(7));
    place::within(&store.folder().join("results/kin")).unwrap();
    for (kind, key) in [("kind", &other), ("kin", &key)] {
        fs::write_atomic(&store.record(kind, key), &bytes).unwrap();
        assert_eq!(store.result::<u8>(kind, key), None, "{kind}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write_atomic(&store.record("kind", &key), &changed).unwrap();
        assert_eq!(store.result::<u8>("kind", &key), None, "bit {bit}");
    }
    let removed = store.verify().unwrap().removed.len();
    assert_eq!(removed, 3);
}

#[test]
fn memory_of_an_older_version_is_read_and_its_answers_are_not() {
    let (_folder, store) = empty();
    let key = Digest::of(b"key");
    store.keep("kind", &key, &7).unwrap();
    assert_eq!(store.remembered::<u8>("kind", &key), Some(7));
    fs::write_atomic(&store.record("kind", &key), b"8").unwrap();
    assert_eq!((store.remembered::<u8>("kind", &key), store.result::<u8>("kind", &key)), (Some(8), None));
    assert!(store.verify().unwrap().removed.is_empty());
}

#[test]
fn a_blob_changed_in_place_is_gone_at_the_next_look() {
    let (folder, store) = empty();
    let digest = store.add(b"good").unwrap();
    let outside = folder.path().join("outside");
    store.give(&digest, &outside).unwrap();
    assert_eq!(fs::read(&outside, 9).unwrap(), b"good");
    std::fs::File::options().write(true).open(store.blob(&digest)).unwrap().write_all(b"evil").unwrap();
    assert!(matches!(store.give(&digest, &outside), Err(Error::WrongDigest { .. })));
    assert_eq!(fs::read(&outside, 9).unwrap(), b"good", "nothing wrong left the store");
    assert!(!store.has_blob(&digest, 4) && fs::size(&store.blob(&digest)).is_none());
    // what nobody has hashed yet is hashed, and remembered
    fs::write_atomic(&store.blob(&digest), b"good").unwrap();
    store.doubt(&digest);
    assert!(store.has_blob(&digest, 4) && store.is_stamped(&digest, FileStamp::of(&store.blob(&digest)).unwrap()));
    assert!(!store.has_blob(&digest, 5));
}

#[test]
fn what_is_elsewhere_is_at_one_place() {
    let (_folder, store) = empty();
    let (blob, here, there) = (Digest::of(b"blob"), Digest::of(b"here"), Digest::of(b"there"));
    store.keep_elsewhere(&blob, &here, "https://r.example cache").unwrap();
    assert!(store.is_elsewhere(&blob, &here) && !store.is_elsewhere(&blob, &there));
    store.forget_elsewhere(&blob, &here).unwrap();
    assert!(!store.is_elsewhere(&blob, &here));
}

#[test]
fn leaves_a_newer_store_alone() {
    let (folder, store) = empty();
    drop(store);
    fs::write_atomic(&folder.path().join("version"), b"2\n").unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Newer { .. }), "{error}");
    assert!(!error.hints().is_empty());
}

#[test]
fn cleans_up_after_a_killed_command_only_when_alone() {
    let (folder, store) = empty();
    let litter = folder.path().join("tmp/.tmp-old");
    fs::write_atomic(&litter, b"x").unwrap();
    let second = Store::open(folder.path()).unwrap();
    assert!(fs::size(&litter).is_some(), "another command might be writing it");
    drop((store, second));
    let _third = Store::open(folder.path()).unwrap();
    assert!(fs::size(&litter).is_none());
}

#[test]
fn finds_damage() {
    let (_folder, store) = empty();
    let good = store.add(b"good").unwrap();
    let bad = store.add(b"bad").unwrap();
    fs::write_atomic(&store.blob(&bad), b"bat").unwrap();
    let verified = store.verify().unwrap();
    assert_eq!((verified.checked, verified.removed.len()), (2, 1));
    assert!(store.has_blob(&good, 4) && !store.has_blob(&bad, 3));
}

#[test]
fn a_decoded_index_stays_as_long_as_its_index_and_keeps_it() {
    let (folder, store) = empty();
    let path = |part: &str, name: &str| folder.path().join("archives").join(part).join(name);
    for part in ["by-hash", "decoded"] {
        fs::create_dir(&folder.path().join("archives").join(part)).unwrap();
    }
    for (part, name, used) in [
        ("by-hash", "used", 0),
        ("decoded", "used", clock::now().0),
        ("by-hash", "unused", 0),
        ("decoded", "unused", 0),
        ("decoded", "orphan", clock::now().0),
        ("by-hash", "plain", clock::now().0),
    ] {
        fs::write_atomic(&path(part, name), b"x").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(used.try_into().unwrap());
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        fs::open(&path(part, name)).unwrap().set_times(times).unwrap();
    }
    assert_eq!(store.prune(3600, &std::collections::BTreeSet::new()).unwrap().files, 3);
    assert_eq!(fs::list(&folder.path().join("archives/by-hash")).unwrap(), ["plain", "used"]);
    assert_eq!(fs::list(&folder.path().join("archives/decoded")).unwrap(), ["used"]);
    Store::open(folder.path()).unwrap().prune(0, &std::collections::BTreeSet::new()).unwrap();
    assert!(fs::walk(&folder.path().join("archives")).unwrap().is_empty());
}

/// What receivers must still be told, and since when an urgent update waits, no build can make again.
#[test]
fn pruning_keeps_state() {
    let (folder, store) = empty();
    let key = Digest::of(b"key");
    for kind in ["told", "seen", "success", "image"] {
        store.keep(kind, &key, &1).unwrap();
    }

    assert_eq!(store.prune(0, &std::collections::BTreeSet::new()).unwrap().files, 1);
    let store = Store::open(folder.path()).unwrap();
    let kept = |kind: &&str| store.result::<u8>(kind, &key).is_some();
    assert_eq!(["told", "seen", "success", "image"].iter().filter(|kind| kept(kind)).count(), 3);
}
