//! Lock files: what is read prints as text that reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockel::lock::file::Lock;

fuzz_target!(|text: &str| {
    if let Ok(lock) = Lock::parse(text) {
        assert_eq!(Lock::parse(&lock.to_yaml()).expect("what is written can be read"), lock);
    }
});
