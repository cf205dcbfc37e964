//! Shared libraries of packages: any file is a library with a short name, or none.
#![no_main]

mod support;

use sockel::layer::generate::elf;
use sockel::tree::Content;
use sockel::tree::Contents;
use sockel::tree::Source;
use sockel::values::Architecture;
use sockel::values::Digest;
use support::STORE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let content = Content { digest: Digest::of(bytes), size: bytes.len() as u64, source: Source::Inline(bytes.into()) };
    let contents = Contents::new(&STORE);
    for architecture in [Architecture::Amd64, Architecture::Arm64] {
        let found = elf::read(&content, &contents, architecture).expect("inline bytes can be read");
        if let Some(soname) = found.and_then(|library| library.soname) {
            assert!(soname.len() <= 256 && !soname.contains('\0'));
        }
    }
});
