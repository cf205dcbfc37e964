//! Indexes as an earlier run decoded them: each beside its compressed file, whose verification need not be repeated.

use crate::apt::archive::Error;
use crate::apt::archive::indexes::Choice;
use crate::apt::archive::memory;
use crate::apt::index::Index;
use crate::apt::release::Listed;
use crate::sys::fs;
use crate::sys::own;
use crate::values::Digest;
use std::io::BufWriter;
use std::path::Path;

/// Largest decoded index: what [`Limits::ARCHIVE`](crate::apt::index::Limits::ARCHIVE) lets be kept, and its tables.
const SIZE_LIMIT: u64 = 512 << 20;

/// Returns the index when it was decoded before. One that is damaged, of another format, or was made under another promise
/// counts as not there: it is made again.
pub(super) fn find(folder: &Path, choice: &Choice) -> Option<Index> {
    let bytes = fs::read(&memory::decoded(folder, &choice.listed.sha256), SIZE_LIMIT).ok()?;
    Index::decode(bytes, &promise(choice))
}

/// Keeps an index that was verified completely.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep(folder: &Path, choice: &Choice, index: &Index) -> Result<(), Error> {
    let path = memory::decoded(folder, &choice.listed.sha256);
    let folder = folder.join(memory::DECODED);
    own::create_dir(&folder)?;
    let file = fs::temporary(&folder)?;
    let written = index.encode(&promise(choice), BufWriter::with_capacity(256 << 10, file.as_file()));
    written.map_err(|cause| fs::Error::new("write", &path, cause))?;
    Ok(fs::publish(file, &path)?)
}

/// Returns a digest of everything against which an index is verified. So whatever a Release file says about an index, its
/// decoded form was verified against the same.
fn promise(choice: &Choice) -> Digest {
    let text = |listed: &Listed| {
        let Listed { size, sha256, sha512 } = listed;
        format!("{size} {sha256} {}", sha512.as_deref().unwrap_or("-"))
    };
    let plain = choice.plain.as_ref().map_or_else(|| "-".to_owned(), text);
    Digest::of(format!("{:?}\n{}\n{plain}\n", choice.form, text(&choice.listed)).as_bytes())
}
