//! Committed files that are written from the sources.

use sockel::sys::fs;
use std::path::Path;

/// Returns a committed file as it is now; nothing where there is none.
pub(crate) fn committed(path: &str) -> String {
    fs::read_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path), 1 << 20).unwrap_or_default()
}

/// Fails once where a committed file is not what the sources say, and writes it anew for a person to look at.
pub(crate) fn assert_fresh(path: &str, fresh: &str) {
    if committed(path) != fresh {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::write_atomic(&file, fresh.as_bytes()).expect("written");
        panic!("{path} was out of date and is rewritten: look at it and commit it");
    }
}
