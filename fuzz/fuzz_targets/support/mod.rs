//! What several targets need: a store of their own, and tar archives whose checksums are right.
#![allow(dead_code, reason = "no target needs all of it")]

use sockel::store::Store;
use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A folder for this process; in memory where `TMPDIR` is.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("sockel-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
});

/// A store in that folder.
pub static STORE: LazyLock<Store> = LazyLock::new(|| Store::open(&FOLDER.join("store")).expect("a store can be made"));

/// Writes a file into that folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.join(name);
    std::fs::write(&path, bytes).expect("a file can be written");
    path
}

/// Copies a folder of the repository, files only.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be listed").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
        }
    }
}

/// Returns the bytes with right checksums in all headers that they seem to have, for no mutation finds those.
pub fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut start = 0;
    while let Some(header) = bytes.get_mut(start..start + 512) {
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let size = std::str::from_utf8(&header[124..136]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        start = start.saturating_add(512).saturating_add(size.min(1 << 30).next_multiple_of(512));
    }
    bytes
}
