//! Certificates of packages and of the organisation, as DER and as PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockel::layer::generate::x509;

fuzz_target!(|bytes: &[u8]| {
    let _no_panic = x509::read_der(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _no_panic = x509::read_pem(text);
    }
});
