//! Package files: a small limit holds whatever the members say.
#![no_main]

use sockel::apt::deb::DebPackage;
use std::io::Read;

const LIMIT: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(deb) = DebPackage::open(bytes) else { return };
    let _ = deb.control().paragraph().map(|paragraph| paragraph.to_string());
    let Ok(mut data) = deb.data(1, LIMIT) else { return };
    let mut tar = Vec::new();
    let _ = data.read_to_end(&mut tar);
    assert!(tar.len() as u64 <= LIMIT);
    let _ = data.finish();
});
