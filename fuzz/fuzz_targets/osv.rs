//! Feeds of vulnerabilities, as a record, a list of records or a ZIP archive: whatever they say, an upgrade fixes CVE
//! numbers, each once.
#![no_main]

mod support;

use sockel::advisory;
use sockel::advisory::AdvisoryFeed;
use sockel::advisory::DistributionRelease;
use sockel::advisory::PackageUpgrade;
use sockel::values::Digest;
use support::STORE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let feed = AdvisoryFeed { name: "feed".to_owned(), path: support::file("feed", bytes) };
    let upgrade = |source: &str, old: &str, new: &str| PackageUpgrade {
        source: source.to_owned(),
        package: source.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        sources: (None, None),
        from: "debian/security".to_owned(),
        deb: Digest::of(b""),
        distribution: DistributionRelease { origin: "Debian".to_owned(), release: "13".to_owned() },
    };
    let upgrades = [upgrade("glibc", "2.41-12", "2.41-12+deb13u1"), upgrade("a", "1", "2")];
    let Ok(explained) = advisory::explain(&upgrades, &[feed], &STORE) else { return };
    assert_eq!(explained.len(), 2);
    for fix in explained.iter().flat_map(|explained| &explained.fixes) {
        assert!(fix.cve.starts_with("CVE-") && fix.cve.len() <= 21 && fix.in_feed == Some(true) && !fix.in_log);
    }
});
