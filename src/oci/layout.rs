//! OCI layout folders (image-spec image-layout.md). One folder holds all images, under references `<image>:<tag>`.

use crate::oci::Error;
use crate::oci::canonical;
use crate::oci::digest_of;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::FileStamp;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageIndex;
use oci_spec::image::ImageManifest;
use oci_spec::image::MediaType;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// Media type of Docker's index, which has the same fields; pulled images may have it.
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Annotation that names an entry of `index.json` (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Content of the file `oci-layout`.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Largest index or manifest that is read. Registries refuse larger ones, too.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Most manifests of one index, and most bytes of them in total; the same limits hold for images in registries.
const MOST_MANIFESTS: usize = 1000;
const MANIFESTS_LIMIT: u64 = 32 << 20;

/// Kind of the store's records about layouts: the blobs that were seen to be intact, with their stamps.
const SEEN_INTACT: &str = "layout";

/// Blobs that are written at the same time: hashing takes a processor while other writes wait for the disk.
const WRITERS: usize = 4;

/// A named image: an entry of `index.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutReference {
    /// Name of the image, `<image>:<tag>`.
    pub name: String,
    /// Descriptor of its manifest or index.
    pub target: Descriptor,
}

/// Writes images from the store into a layout folder, beside those that it already has. Blobs are written first and
/// `index.json` last, so that a reader never sees a reference to a missing blob. Every blob is hashed while it is copied; a
/// damaged one is replaced. When the folder already has everything, no file is touched.
///
/// # Errors
/// When the folder is not a layout or cannot be written; [`store::Error::WrongDigest`] when the store is damaged.
pub fn write(
    folder: &Path,
    references: &[LayoutReference],
    blobs: &BTreeMap<Digest, u64>,
    store: &Store,
) -> Result<(), Error> {
    refuse_links(folder)?;
    refuse_foreign_files(folder)?;
    fs::create_dir(&folder.join("blobs/sha256"))?;

    let _lock = lock(folder)?;
    remove_temporary_files(folder)?;

    add_blobs(folder, blobs, store)?;
    add_references(folder, references)
}

/// Refuses a folder with other files in it: a mistyped path must not fill somebody's home with blobs.
fn refuse_foreign_files(folder: &Path) -> Result<(), Error> {
    let marker = folder.join("oci-layout");
    if fs::size(&marker).is_some() || !fs::list(folder)?.iter().any(|name| is_foreign(name)) {
        return Ok(());
    }

    // looked at again: another build may have begun the layout between the first look and the list
    if fs::size(&marker).is_some() {
        return Ok(());
    }
    let cause = "the folder has other files and is not an OCI layout".to_owned();
    Err(Error::Damaged { path: folder.to_owned(), cause })
}

/// Tells whether a file cannot come from a build that was killed before it wrote the marker.
fn is_foreign(name: &str) -> bool {
    name != "blobs" && !name.starts_with(fs::TEMPORARY)
}

/// Waits until no other build writes this layout, and writes the marker `oci-layout` if it is missing.
///
/// The marker doubles as the lock file. So it must stay the same file from its first moment on, and cannot be replaced
/// atomically like all others.
fn lock(folder: &Path) -> Result<File, Error> {
    let marker = folder.join("oci-layout");
    let mut lock = fs::lock(&marker, fs::LockMode::Exclusive)?;

    if fs::size(&marker) == Some(0) {
        lock.write_all(MARKER).map_err(|cause| fs::Error::new("write", &marker, cause))?;
    }
    Ok(lock)
}

/// Removes what a killed build left. Only the owner of the lock may do that: others would lose files in use.
fn remove_temporary_files(folder: &Path) -> Result<(), Error> {
    for folder in [folder, &folder.join("blobs/sha256")] {
        for name in fs::list(folder)?.iter().filter(|name| name.starts_with(fs::TEMPORARY)) {
            fs::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Adds the blobs that the layout does not have, and replaces damaged ones. A blob that was seen to be intact and has not
/// been touched since is not read again.
fn add_blobs(folder: &Path, blobs: &BTreeMap<Digest, u64>, store: &Store) -> Result<(), Error> {
    // the store knows each layout by its absolute path
    let key = Digest::of(fs::absolute(folder)?.as_os_str().as_encoded_bytes());
    let before: BTreeMap<Digest, FileStamp> = store.result(SEEN_INTACT, &key).unwrap_or_default();

    let mut missing = Vec::new();
    for (digest, size) in blobs {
        if !is_intact(&blob_path(folder, digest), digest, *size, before.get(digest)) {
            missing.push(digest);
        }
    }
    // threads take from the end of the queue: the largest blobs first, so that the last one to be finished is small
    missing.sort_by_key(|digest| blobs[digest]);
    copy_from_store(folder, missing, store)?;

    // blobs of other images in this layout stay known as long as they exist
    let mut seen = before.clone();
    seen.retain(|digest, _| blobs.contains_key(digest) || fs::size(&blob_path(folder, digest)).is_some());
    for digest in blobs.keys() {
        if let Some(stamp) = FileStamp::of(&blob_path(folder, digest)) {
            seen.insert(*digest, stamp);
        }
    }

    if seen != before {
        // without the record, the next run reads all blobs again
        let _not_kept = store.keep(SEEN_INTACT, &key, &seen);
    }
    Ok(())
}

/// Tells whether a blob is a plain file with the right bytes. `seen` is its stamp when it was last seen to be intact.
fn is_intact(path: &Path, digest: &Digest, size: u64, seen: Option<&FileStamp>) -> bool {
    let Ok(Some(look)) = own::look(path) else { return false };

    // a file with other names (hard links) does not belong to the layout alone, and is replaced
    if !look.is_file || look.names != 1 || look.stamp.size != size {
        return false;
    }
    seen == Some(&look.stamp) || fs::digest_of(path).is_ok_and(|found| found == *digest)
}

/// Copies blobs from the store into a layout, on several threads.
fn copy_from_store(folder: &Path, queue: Vec<&Digest>, store: &Store) -> Result<(), store::Error> {
    let queue = Mutex::new(queue);

    let results: Vec<Result<(), store::Error>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| copy_queued(folder, &queue, store))).collect();
        // every thread is waited for, even when one has failed: nothing is written after this function returns
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });

    results.into_iter().collect()
}

/// Copies blobs until the queue is empty.
fn copy_queued(folder: &Path, queue: &Mutex<Vec<&Digest>>, store: &Store) -> Result<(), store::Error> {
    loop {
        // a statement of its own: the queue must not stay locked while the blob is copied
        let next = queue.lock().expect("no thread panics while it holds this").pop();
        let Some(digest) = next else { return Ok(()) };
        store.give(digest, &blob_path(folder, digest))?;
    }
}

/// Adds references to `index.json`, in place of those with the same names.
fn add_references(folder: &Path, references: &[LayoutReference]) -> Result<(), Error> {
    let path = folder.join("index.json");
    let old = if fs::size(&path).is_some() { read_index(folder)? } else { ImageIndex::default() };
    let bytes = canonical(&merge(&old, references));

    // an unchanged file keeps its time, for tools that watch it
    if fs::read(&path, DOCUMENT_LIMIT).ok().as_deref() != Some(&bytes) {
        fs::write_atomic(&path, &bytes)?;
    }
    Ok(())
}

/// Refuses a layout whose own parts are symbolic links: files would be written to wherever they lead. The layout folder
/// itself may be reached through one.
fn refuse_links(folder: &Path) -> Result<(), Error> {
    for part in ["oci-layout", "index.json", "blobs", "blobs/sha256"] {
        let path = folder.join(part);
        if fs::is_link(&path) {
            let cause = "it is a symbolic link, which is not allowed in an OCI layout".to_owned();
            return Err(Error::Damaged { path, cause });
        }
    }
    Ok(())
}

/// Returns the path of a blob in a layout.
fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// Returns an index with these references, in place of those with the same names, sorted by name.
#[must_use]
pub fn merge(old: &ImageIndex, references: &[LayoutReference]) -> ImageIndex {
    // entries without a name, which other tools may write, are kept under their digests
    let mut manifests: BTreeMap<String, Descriptor> = BTreeMap::new();
    for descriptor in old.manifests() {
        let name = reference_name(descriptor).unwrap_or_else(|| descriptor.digest().to_string());
        manifests.insert(name, descriptor.clone());
    }

    for LayoutReference { name, target } in references {
        let mut target = target.clone();
        let mut annotations = target.annotations().clone().unwrap_or_default();
        annotations.insert(REF_NAME.to_owned(), name.clone());
        target.set_annotations(Some(annotations));
        manifests.insert(name.clone(), target);
    }

    let mut index = ImageIndex::default();
    index.set_schema_version(2);
    index.set_media_type(Some(MediaType::ImageIndex));
    index.set_manifests(manifests.into_values().collect());
    index
}

/// Returns the name that `index.json` gives to a manifest.
fn reference_name(descriptor: &Descriptor) -> Option<String> {
    descriptor.annotations().as_ref()?.get(REF_NAME).cloned()
}

/// Reads the folder's `index.json`.
///
/// # Errors
/// When it is missing, too large or not an index.
pub fn read_index(folder: &Path) -> Result<ImageIndex, Error> {
    let path = folder.join("index.json");
    parse(&path, &fs::read(&path, DOCUMENT_LIMIT)?)
}

/// Returns the descriptor of a named image; `None` when the layout does not have it.
///
/// # Errors
/// When the folder cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<Option<Descriptor>, Error> {
    let index = read_index(folder)?;
    Ok(index.manifests().iter().find(|descriptor| reference_name(descriptor).as_deref() == Some(name)).cloned())
}

/// Reads the manifests of an image: one per platform if its descriptor is that of an index.
///
/// # Errors
/// When a document is missing, too large or malformed.
pub fn manifests(folder: &Path, target: &Descriptor) -> Result<Vec<(Descriptor, ImageManifest)>, Error> {
    let is_index = *target.media_type() == MediaType::ImageIndex || target.media_type().as_ref() == DOCKER_LIST;
    if !is_index {
        return Ok(vec![(target.clone(), document(folder, target, DOCUMENT_LIMIT)?)]);
    }

    // all manifests are in memory at the same time, so a foreign layout must not have any number of them
    let index: ImageIndex = document(folder, target, DOCUMENT_LIMIT)?;
    let total = index.manifests().iter().map(Descriptor::size).fold(0, u64::saturating_add);
    if index.manifests().len() > MOST_MANIFESTS || total > MANIFESTS_LIMIT {
        let cause = format!("it has more than {MOST_MANIFESTS} manifests, or {MANIFESTS_LIMIT} bytes of them");
        return Err(Error::Damaged { path: locate(folder, target)?.0, cause });
    }

    let mut manifests = Vec::new();
    for descriptor in index.manifests() {
        // the limit above counts declared sizes, so no manifest may be larger than declared
        let limit = descriptor.size().min(DOCUMENT_LIMIT);
        manifests.push((descriptor.clone(), document(folder, descriptor, limit)?));
    }
    Ok(manifests)
}

/// Returns the bytes of a blob after verifying its digest.
///
/// # Errors
/// When it is missing, has more than `limit` bytes, or does not have the digest of the descriptor.
pub fn blob(folder: &Path, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
    let (path, digest) = locate(folder, descriptor)?;
    let bytes = fs::read(&path, limit)?;
    compare(&path, digest, Digest::of(&bytes))?;
    Ok(bytes)
}

/// Returns the path of a blob after reading all of it and verifying its digest.
///
/// # Errors
/// As [`blob`].
pub fn verified(folder: &Path, descriptor: &Descriptor) -> Result<PathBuf, Error> {
    let (path, digest) = locate(folder, descriptor)?;
    compare(&path, digest, fs::digest_of(&path)?)?;
    Ok(path)
}

/// Returns the path and the digest of the blob that a descriptor names.
fn locate(folder: &Path, descriptor: &Descriptor) -> Result<(PathBuf, Digest), Error> {
    let digest = digest_of(descriptor).ok_or_else(|| Error::Damaged {
        path: folder.to_owned(),
        cause: format!("`{}` is not a SHA-256 digest", descriptor.digest()),
    })?;

    // built from the parsed digest, never from the text: hex digits cannot leave the folder
    Ok((blob_path(folder, &digest), digest))
}

/// Refuses a blob whose bytes do not have the expected digest.
fn compare(path: &Path, expected: Digest, found: Digest) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Damaged { path: path.to_owned(), cause: format!("its bytes have digest {found}") })
}

/// Returns the names of all images in the layout, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    Ok(read_index(folder)?.manifests().iter().filter_map(reference_name).collect())
}

/// Reads and verifies the document that a descriptor names, of at most `limit` bytes.
fn document<T: DeserializeOwned>(folder: &Path, descriptor: &Descriptor, limit: u64) -> Result<T, Error> {
    parse(&locate(folder, descriptor)?.0, &blob(folder, descriptor, limit)?)
}

/// Parses a JSON document; errors name its file.
fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged { path: path.to_owned(), cause: error.to_string() })
}
