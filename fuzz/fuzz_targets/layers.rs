//! Layers of other people's images: laid upon one another within limits, compared with any other.
#![no_main]

mod support;

use sockel::rebase::files;
use sockel::rebase::files::BaseDifferences;
use sockel::rebase::files::PathOwners;
use sockel::rebase::files::StackedLayers;
use sockel::sys::archive::ArchiveLimits;

const MEMBERS: u64 = 64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // the first two bytes say where the bytes of one layer end and those of the next begin
    let Some(([first, second], rest)) = bytes.split_first_chunk() else { return };
    let (first, rest) = rest.split_at((usize::from(*first) * 512).min(rest.len()));
    let (second, third) = rest.split_at((usize::from(*second) * 512).min(rest.len()));
    let limits = ArchiveLimits::new(MEMBERS, 1 << 14, 1 << 20);
    let application = stacked(&[first, second], StackedLayers::new(limits));
    let old = stacked(&[second], StackedLayers::with_owners(application.limits, PathOwners::new()));
    let new = stacked(&[third, second], StackedLayers::with_owners(old.limits, old.owners.unwrap_or_default()));
    for path in application.entries.keys().chain(old.entries.keys()).chain(new.entries.keys()) {
        assert!(path == "." || path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
    }
    let bases = BaseDifferences { old: old.entries, new: new.entries, owners: new.owners.unwrap_or_default() };
    let checked = files::compare(&application.entries, &bases);
    assert!(checked.is_checked);
    // what a base does not change stands in nobody's way
    let same = BaseDifferences { old: bases.new.clone(), ..bases };
    assert_eq!(files::compare(&application.entries, &same).reasons, Vec::<String>::new());
});

fn stacked(layers: &[&[u8]], mut stack: StackedLayers) -> StackedLayers {
    for layer in layers {
        let layer = support::with_checksums(layer);
        let _stops_at_what_is_wrong = stack.add(&layer[..]);
    }
    stack
}
