//! Indexes in the form in which an earlier run decoded them, so that their verification need not be repeated.

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

/// Largest decoded index: the memory that [`Limits::ARCHIVE`](crate::apt::index::Limits::ARCHIVE) allows, and
/// its tables.
const SIZE_LIMIT: u64 = 512 << 20;

/// Returns the index if an earlier run decoded it. A file that is damaged, has another format, or was verified against
/// other digests counts as missing: the index is decoded again.
pub(super) fn find(folder: &Path, choice: &Choice) -> Option<Index> {
    let bytes = fs::read(&memory::decoded(folder, &choice.listed.sha256), SIZE_LIMIT).ok()?;
    Index::decode(bytes, &verified_against(choice))
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
    let written = index.encode(&verified_against(choice), BufWriter::with_capacity(256 << 10, file.as_file()));
    // the temporary file has no name that helps anybody, so errors name the final one
    written.map_err(|cause| fs::Error::new("write", &path, cause))?;
    Ok(fs::publish(file, &path)?)
}

/// Returns a digest of everything against which an index is verified.
///
/// Two Release files may list the same compressed file with different digests of its content. The decoded form is only
/// taken for the Release file that says the same as the one it was verified against.
fn verified_against(choice: &Choice) -> Digest {
    let plain = choice.plain.as_ref().map_or_else(|| "-".to_owned(), line);
    Digest::of(format!("{:?}\n{}\n{plain}\n", choice.form, line(&choice.listed)).as_bytes())
}

/// Returns size and digests in one line.
fn line(listed: &Listed) -> String {
    // destructured so that a new field cannot be forgotten
    let Listed { size, sha256, sha512 } = listed;
    format!("{size} {sha256} {}", sha512.as_deref().unwrap_or("-"))
}
