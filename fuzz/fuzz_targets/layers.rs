//! Layers of other people's images: laid upon one another within limits, compared with any other.
#![no_main]

mod support;

use sockel::rebase::files;
use sockel::rebase::files::Bases;
use sockel::rebase::files::Facts;
use sockel::sys::archive::Limits;
use std::collections::BTreeMap;

const MEMBERS: u64 = 64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // the first two bytes say where the bytes of one layer end and those of the next begin
    let Some(([first, second], rest)) = bytes.split_first_chunk() else { return };
    let (first, rest) = rest.split_at((usize::from(*first) * 512).min(rest.len()));
    let (second, third) = rest.split_at((usize::from(*second) * 512).min(rest.len()));
    let mut limits = Limits::new(MEMBERS, 1 << 14, 1 << 20);
    let mut bases = Bases::default();
    let application = laid(&[first, second], None, &mut limits);
    bases.old = laid(&[second], Some(&mut bases.owners), &mut limits);
    bases.new = laid(&[third, second], Some(&mut bases.owners), &mut limits);
    assert!((application.len() + bases.old.len() + bases.new.len()) as u64 <= MEMBERS);
    for path in application.keys().chain(bases.old.keys()).chain(bases.new.keys()) {
        assert!(path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
    }
    let checked = files::judge(&application, &bases);
    assert!(checked.is_checked);
    // what a base does not change stands in nobody's way
    let same = Bases { old: bases.new.clone(), ..bases };
    assert_eq!(files::judge(&application, &same).reasons, Vec::<String>::new());
});

fn laid(layers: &[&[u8]], mut owners: Option<&mut BTreeMap<String, String>>, limits: &mut Limits) -> Facts {
    let mut facts = Facts::new();
    for layer in layers {
        let layer = support::with_checksums(layer);
        let _stops_at_what_is_wrong = files::lay(&layer[..], (&mut facts, owners.as_deref_mut()), limits);
    }
    facts
}
