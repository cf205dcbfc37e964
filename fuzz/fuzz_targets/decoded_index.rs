//! Decoded indexes: whatever the bytes are, an index that is made of them answers every question.
#![no_main]

use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;
use sockel::values::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let made_from = Digest::of(b"");
    ask_all(bytes.to_vec(), &made_from);
    // three bytes say how long the names are and how many stanzas and provided names there are, the rest is given right
    // counts and digests
    let Some(([names, stanzas, provides], body)) = bytes.split_first_chunk() else { return };
    let (names, stanzas, provides) = (u32::from(*names), u32::from(stanzas % 16), u32::from(provides % 16));
    let Some(records) = (body.len() as u32).checked_sub(names + stanzas * 16 + provides * 12) else { return };
    let empty = PackageIndex::read(&b""[..], &PackageIndexLimits::ARCHIVE).expect("nothing is an index");
    let mut form = Vec::new();
    empty.encode(&made_from, &mut form).expect("memory can be written");
    let mut sealed = body.to_vec();
    sealed.extend([records, names, stanzas, provides].iter().flat_map(|count| count.to_le_bytes()));
    sealed.extend(&form[16..form.len() - 64]);
    sealed.extend(Digest::of(&sealed).hex().into_bytes());
    ask_all(sealed, &made_from);
});

fn ask_all(bytes: Vec<u8>, made_from: &Digest) {
    let Some(index) = PackageIndex::decode(bytes.clone(), made_from) else { return };
    let mut again = Vec::new();
    index.encode(made_from, &mut again).expect("memory can be written");
    assert_eq!(again, bytes);
    assert_eq!(index.packages().count(), index.len());
    for name in index.names() {
        index.by_name(name).for_each(drop);
        index.providers(name).for_each(drop);
    }
    for package in index.packages().map_while(Result::ok) {
        package.provides.iter().for_each(|provide| index.providers(&provide.name).for_each(drop));
    }
}
