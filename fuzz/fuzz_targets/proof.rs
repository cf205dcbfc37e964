//! Locks that somebody edited: whatever is believed has the very packages that were chosen from signed archives.
#![no_main]

use sockel::lock::file::Lock;
use sockel::lock::file::LockedPackage;
use sockel::lock::proof::ProofDoubt;
use sockel::lock::proof::judge;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static SIGNED: LazyLock<Lock> = LazyLock::new(|| Lock::parse(include_str!("support/lock.yaml")).expect("a lock"));

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(lock) = Lock::parse(text) else { return };
    let proof = judge(&lock, &lock).expect("a lock is what it is");
    assert!(proof.later.is_empty());
    for (lock, signed) in [(&lock, &*SIGNED), (&*SIGNED, &lock)] {
        match judge(lock, signed) {
            Ok(proof) => {
                assert_eq!(packages(lock), packages(signed));
                assert!(!proof.later.is_empty() || (&lock.archives, lock.epoch) == (&signed.archives, signed.epoch));
            }
            Err(ProofDoubt::Differs { differences, .. }) => assert!(!differences.is_empty() && lock != signed),
            Err(doubt) => panic!("{doubt:?}"),
        }
    }
});

/// What decides about the bytes of packages.
fn packages(lock: &Lock) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    for (number, level) in lock.levels.iter().enumerate() {
        for (platform, list) in &level.packages {
            for LockedPackage { name, version, architecture, size, sha256, sha512, .. } in list {
                packages
                    .insert(format!("{number} {platform} {name} {version} {architecture} {size} {sha256} {sha512}"));
            }
        }
    }
    packages
}
