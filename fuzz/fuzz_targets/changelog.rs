//! Change logs: any text is read; entries between two versions are some of them, and never those of the old one.
#![no_main]

use sockel::apt::changelog;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let entries = changelog::parse(&text);
    assert!(entries.len() <= text.lines().count());
    for cve in entries.iter().flat_map(|entry| &entry.cves) {
        assert!(cve.len() <= 21 && cve.starts_with("CVE-"));
    }
    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        let between = changelog::between(&entries, &last.version, &first.version);
        assert!(between.is_complete);
        assert!(between.entries.iter().all(|entry| entry.version != last.version));
    }
});
