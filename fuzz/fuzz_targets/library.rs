//! Shared libraries of packages: any file is a library with a short name, or none.
#![no_main]

mod support;

use sockel::layer::elf;
use sockel::tree::ContentReader;
use sockel::tree::ContentSource;
use sockel::tree::FileContent;
use sockel::values::Architecture;
use sockel::values::Digest;
use support::STORE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let content = FileContent {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        source: ContentSource::Inline(bytes.into()),
    };
    let contents = ContentReader::new(&STORE);
    for architecture in [Architecture::Amd64, Architecture::Arm64] {
        let found = elf::read(&content, &contents, architecture).expect("inline bytes can be read");
        if let Some(soname) = found.and_then(|library| library.soname) {
            assert!(soname.len() <= 4096 && !soname.contains('\0'));
        }
    }
});
