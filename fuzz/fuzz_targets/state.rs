//! Manifests of states in a cache repository: what is read begins with the InRelease file that was asked for, and nothing is
//! larger than it may be.
#![no_main]

use sockel::shared::states;
use sockel::values::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let inrelease = Digest::of(b"");
    let Ok(files) = states::files(bytes, &inrelease) else { return };
    assert_eq!(files.first().map(|(digest, _)| *digest), Some(inrelease));
    assert!(files.len() <= 256 && files.iter().all(|(_, size)| *size <= 512 << 20));
});
