//! Entries of a shared cache: what was signed is read as it was, and nothing else is believed.
#![no_main]

mod support;

use sockel::build::BuiltImage;
use sockel::keys::SigningKey;
use sockel::keys::VerifyingKey;
use sockel::shared::entry;
use sockel::shared::entry::CacheEntry;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::sync::LazyLock;

// RFC 8410, 10.1 and 10.3
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

static KEYS: LazyLock<(SigningKey, VerifyingKey)> = LazyLock::new(|| {
    let signer = SigningKey::read(&support::file("private", PRIVATE.as_bytes())).expect("a key");
    (signer, VerifyingKey::read(&support::file("public", PUBLIC.as_bytes())).expect("a key"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (signer, verifier) = &*KEYS;
    // nobody signed these
    if let Ok(key) = entry::key(bytes) {
        assert!(CacheEntry::read(bytes, &key, verifier).is_err());
    }
    let Ok(built) = serde_json::from_slice::<BuiltImage>(bytes) else { return };
    let (record, manifest) = entry::write(&built, signer, Epoch(0));
    let read = CacheEntry::read(&manifest, &built.key, verifier).expect("it was signed");
    assert_eq!(read.record(), (Digest::of(&record), record.len() as u64));
    assert_eq!(read.built(&record, &built.key).as_ref(), Ok(&built));
    assert!(CacheEntry::read(&manifest, &Digest::of(b"another key"), verifier).is_err());
    // one changed byte is noticed, or says nothing
    let mut changed = manifest.clone();
    let place = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let place = place % changed.len();
    changed[place] ^= 1 << (place % 7);
    if let Ok(entry) = CacheEntry::read(&changed, &built.key, verifier) {
        assert_eq!(entry.record(), read.record());
        assert_eq!(entry.built(&record, &built.key), Ok(built));
    }
});
