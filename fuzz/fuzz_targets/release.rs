//! InRelease files: signature armor, keys and fields, with the bytes in each role.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockel::apt::release::ReleaseFile;
use sockel::apt::release::signature;
use sockel::values::Epoch;

fuzz_target!(|bytes: &[u8]| {
    let _no_panic = signature::verify(bytes, &[bytes.to_vec()], &["A".repeat(40)], Epoch(1_795_000_000));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _no_panic = ReleaseFile::parse(text);
    }
});
