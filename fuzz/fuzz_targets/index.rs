//! Package indexes: every name that is listed is found, and packages are made or refused.
#![no_main]

use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = PackageIndex::read(bytes, &PackageIndexLimits::ARCHIVE) else { return };
    assert_eq!(index.packages().count(), index.len());
    assert_eq!(index.names().map(|name| index.by_name(name).count()).sum::<usize>(), index.len());
    for package in index.packages().map_while(Result::ok) {
        assert!(package.filename.split('/').all(|part| !matches!(part, "" | "." | "..")));
        for provide in &package.provides {
            assert!(index.providers(&provide.name).count() > 0);
        }
    }
});
