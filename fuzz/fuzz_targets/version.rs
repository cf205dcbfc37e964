//! Versions: the order is total for any texts.
#![no_main]

use sockel::apt::version::DebianVersion;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

libfuzzer_sys::fuzz_target!(|texts: [&str; 3]| {
    let mut versions = texts.map(DebianVersion::new);
    versions.sort();
    let [low, middle, high] = &versions;
    assert!(low <= middle && middle <= high && low <= high);
    assert_eq!(low.cmp(high), high.cmp(low).reverse());
    assert!(low != high || hash(low) == hash(high));
    for text in texts {
        assert!(text.contains(DebianVersion::new(text).upstream()));
        let _ = DebianVersion::parse(text);
    }
});

fn hash(version: &DebianVersion) -> u64 {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    hasher.finish()
}
