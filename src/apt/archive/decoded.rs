//! Indexes in the form in which an earlier run decoded them, so that their verification need not be repeated.

use crate::apt::archive::Error;
use crate::apt::archive::indexes::SelectedIndex;
use crate::apt::archive::memory;
use crate::apt::index::PackageIndex;
use crate::apt::release::ListedFile;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::FileStamp;
use crate::values::Digest;
use std::io::BufWriter;
use std::path::Path;
use std::path::PathBuf;

/// Largest decoded index: the memory that [`Limits::ARCHIVE`](crate::apt::index::PackageIndexLimits::ARCHIVE) allows, and
/// its tables.
const SIZE_LIMIT: u64 = 512 << 20;

/// Largest file with a stamp.
const STAMP_LIMIT: u64 = 1 << 10;

/// Returns the index when it was decoded before. One that is damaged, of another format, or was made under another promise
/// counts as not there: it is made again.
///
/// All of a file is read, and held against its digest, when it is seen for the first time; after that, as long as its
/// stamp fits, only what is asked for.
pub(super) fn find(folder: &Path, choice: &SelectedIndex) -> Option<PackageIndex> {
    let path = memory::decoded(folder, &choice.listed.sha256);
    let (file, promise) = (fs::open(&path).ok()?, verified_against(choice));
    let stamp = FileStamp::of_open(&file)?;
    if stamp_in(&path) == Some(stamp) {
        return PackageIndex::open(file, &promise);
    }

    let index = PackageIndex::decode(fs::read(&path, SIZE_LIMIT).ok()?, &promise)?;
    // the file may have been replaced between the two looks: then this stamp fits nothing
    keep_stamp(&path, stamp);
    Some(index)
}

/// Keeps an index that was verified completely.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep(folder: &Path, choice: &SelectedIndex, index: &PackageIndex) -> Result<(), Error> {
    let path = memory::decoded(folder, &choice.listed.sha256);
    let folder = folder.join(memory::DECODED);
    own::create_dir(&folder)?;

    let file = fs::temporary(&folder)?;
    let written = index.encode(&verified_against(choice), BufWriter::with_capacity(256 << 10, file.as_file()));
    // the temporary file has no name that helps anybody, so errors name the final one
    written.map_err(|cause| fs::Error::new("write", &path, cause))?;
    fs::publish(file, &path)?;
    if let Some(stamp) = FileStamp::of(&path) {
        keep_stamp(&path, stamp);
    }
    Ok(())
}

/// Returns where the stamp of a decoded index is kept.
fn stamp_path(decoded: &Path) -> PathBuf {
    decoded.with_extension(memory::STAMP)
}

/// Returns the stamp that a decoded index had when all of it was right.
fn stamp_in(decoded: &Path) -> Option<FileStamp> {
    let bytes = fs::read(&stamp_path(decoded), STAMP_LIMIT).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Remembers that a decoded index with this stamp is whole.
fn keep_stamp(decoded: &Path, stamp: FileStamp) {
    let bytes = serde_json::to_vec(&stamp).expect("numbers serialise");
    // without it all of the index is read again the next time
    let _not_kept = fs::write_atomic(&stamp_path(decoded), &bytes);
}

/// Returns a digest of everything against which an index is verified.
///
/// Two Release files may list the same compressed file with different digests of its content. The decoded form is only
/// taken for the Release file that says the same as the one it was verified against.
fn verified_against(choice: &SelectedIndex) -> Digest {
    let plain = choice.plain.as_ref().map_or_else(|| "-".to_owned(), line);
    Digest::of(format!("{:?}\n{}\n{plain}\n", choice.form, line(&choice.listed)).as_bytes())
}

/// Returns size and digests in one line.
fn line(listed: &ListedFile) -> String {
    // destructured so that a new field cannot be forgotten
    let ListedFile { size, sha256, sha512 } = listed;
    format!("{size} {sha256} {}", sha512.as_deref().unwrap_or("-"))
}
