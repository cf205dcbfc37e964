//! The files of a package: whatever its archive says, the tree stays below the root and has nothing that images must not
//! have, and it is found again as it was.
#![no_main]

mod support;

use sockel::layer::unpack;
use sockel::layer::unpack::StoredDeb;
use sockel::tree::EntryKind;
use support::STORE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let control = archive("control", b"Package: a\nVersion: 1\nArchitecture: amd64\n");
    let mut deb = b"!<arch>\n".to_vec();
    let members =
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar", control), ("data.tar", support::with_checksums(bytes))];
    for (name, bytes) in members {
        deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).as_bytes());
        deb.extend(&bytes);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    let digest = STORE.add(&deb).expect("a blob can be written");
    let deb = StoredDeb { name: "a".to_owned(), digest, size: deb.len() as u64 };
    if let Ok(unpacked) = unpack::unpack(&deb, 1, &STORE) {
        for entry in &unpacked.entries {
            assert!(entry.path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", entry.path);
            assert!(entry.mode & !0o1777 == 0);
            assert!(entry.uid != u32::MAX && entry.gid != u32::MAX);
            if let EntryKind::Hardlink { target, .. } = &entry.kind {
                assert!(unpacked.entries.iter().any(|entry| entry.path == *target));
            }
        }
        assert!(unpacked.entries.is_sorted_by(|left, right| left.path < right.path));
        assert_eq!(unpack::find(&digest, &STORE), Some(unpacked));
    }
    STORE.remove_package(&unpack::key(&digest)).expect("a package can be removed");
    std::fs::remove_file(STORE.blob(&digest)).expect("a blob can be removed");
});

/// An archive of one file.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = vec![0; 512];
    tar[..name.len()].copy_from_slice(name.as_bytes());
    tar[100..107].copy_from_slice(b"0000644");
    tar[108..115].copy_from_slice(b"0000000");
    tar[116..123].copy_from_slice(b"0000000");
    tar[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    tar[136..147].copy_from_slice(b"00000000000");
    tar[156] = b'0';
    tar[257..265].copy_from_slice(b"ustar\x0000");
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    support::with_checksums(&tar)
}
