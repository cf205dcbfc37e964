//! Bundles as archive files: any bytes are opened or refused, and what is opened is what its digest says.
#![no_main]

mod support;

use sockel::bundle;
use sockel::bundle::BundleSource;
use sockel::report::EventRecorder;
use sockel::values::Digest;
use support::STORE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes, &support::with_checksums(bytes)] {
        let path = support::file("bundle.tar", bytes);
        let reporter = EventRecorder::default();
        let Ok(bundle) = bundle::open(BundleSource::Archive(path), &STORE, &reporter) else { continue };
        assert_eq!(bundle.digest, Digest::of(&bundle.contents.manifest()));
    }
});
