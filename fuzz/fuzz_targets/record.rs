//! Records of a store: without the seal of its own name none is believed, with it the same value is read again.
#![no_main]

mod support;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;
use sockel::build::BuiltImage;
use sockel::build::LayerLocation;
use sockel::build::record;
use sockel::fetch::Mirrors;
use sockel::fetch::states::LockedArchives;
use sockel::fetch::states::StateFiles;
use sockel::fetch::states::StateReader;
use sockel::layer::unpack;
use sockel::lock::ArchiveAccess;
use sockel::lock::images::NeededPackage;
use sockel::report::EventRecorder;
use sockel::sys::http;
use sockel::sys::http::HttpClient;
use sockel::update::memory::RememberedUpdate;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::sync::LazyLock;
use support::STORE;

static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(http::HttpOptions::usual(true, None)));

const PACKAGE: &str = "Package: a\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nFilename: pool/a.deb\nSize: 1\n\
    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let key = Digest::of(b"");
    let is_sealed = choice & 8 != 0;
    let kind =
        ["state", "image", "seen", "control-1", "whole", "layer", "proof", "changelog-1"][usize::from(choice & 7)];
    let sealed = if is_sealed { sealed(bytes, kind, &key) } else { bytes.to_vec() };
    let folder = STORE.folder().join("results").join(kind);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    std::fs::write(folder.join(key.hex()), &sealed).expect("a record can be written");

    let read: Option<Value> = STORE.result(kind, &key);
    let expected = serde_json::from_slice(bytes).ok().filter(|_| is_sealed);
    assert_eq!(read, expected);
    let _no_panic: Option<Value> = STORE.remembered(kind, &key);
    same::<StateFiles>(kind, &key);
    same::<RememberedUpdate>(kind, &key);
    same::<BuiltImage>(kind, &key);
    let _no_panic = StateFiles::of(&key, &STORE);
    let _no_panic = unpack::find(&key, &STORE);
    if let Some(built) = record::find(&key, LayerLocation::Here, &STORE) {
        // nothing is in the store
        panic!("{built:?}");
    }
    control();
});

/// What is read and kept again is the same.
fn same<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(kind: &str, key: &Digest) {
    let Some(read) = STORE.result::<T>(kind, key) else { return };
    STORE.keep("copy", key, &read).expect("a record can be written");
    assert_eq!(STORE.result::<T>("copy", key), Some(read));
    assert!(STORE.result::<T>("copy", &Digest::of(b"another key")).is_none());
}

/// A record about a package stands for its contents.
fn control() {
    let index = PackageIndex::read(PACKAGE.as_bytes(), &PackageIndexLimits::ARCHIVE).expect("an index");
    let package = index.packages().next().expect("a package").expect("a sound one");
    let (mirrors, reporter) = (Mirrors::default(), EventRecorder::default());
    let states = StateReader { http: &HTTP, store: &STORE, mirrors: &mirrors, now: Epoch(0), reporter: &reporter };
    let archives = LockedArchives::new(states);
    if archives.is_at_hand(&package) {
        let platform = "linux/amd64".parse().expect("a platform");
        let needed = NeededPackage { archives: &[], from: "a/b", platform, package: &package };
        let _no_panic = archives.read(&[needed]);
    }
}

fn sealed(json: &[u8], kind: &str, key: &Digest) -> Vec<u8> {
    let name = format!("record {kind} {key}\n").into_bytes();
    let seal = Digest::of(&[&name, json].concat());
    [json, format!("\n{seal}\n").as_bytes()].concat()
}
