//! An OCI layout folder (image-spec image-layout.md): one for all images, references named `<image>:<tag>`.

use crate::oci::Error;
use crate::oci::canonical;
use crate::oci::digest_of;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::own;
use crate::sys::own::Stamp;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageIndex;
use oci_spec::image::ImageManifest;
use oci_spec::image::MediaType;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// Annotation that names an entry of `index.json` (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Content of the file `oci-layout`.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Largest index or manifest that is read: registries refuse larger ones too.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Most manifests of one index, and their bytes in all, as for registries.
const MOST_MANIFESTS: usize = 1000;
const MANIFESTS_LIMIT: u64 = 32 << 20;

/// A named image: what the reference points to, and every blob that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `<image>:<tag>`
    pub name: String,
    /// Manifest or index.
    pub target: Descriptor,
}

/// Writes images from the store into a layout folder, adding to what is there. Blobs first, `index.json` last, so that
/// a reader never sees a reference to something missing. Nothing is touched when all is there already. Every blob is
/// hashed on its way, and one that was damaged since is written again.
///
/// # Errors
/// When the folder is something else, or cannot be written; [`store::Error::WrongDigest`] when the store was damaged.
pub fn write(
    folder: &Path,
    references: &[Reference],
    blobs: &BTreeMap<Digest, u64>,
    store: &Store,
) -> Result<(), Error> {
    no_links(folder)?;
    let blob_folder = folder.join("blobs/sha256");
    let marker = folder.join("oci-layout");
    let foreign = |name: &String| name != "blobs" && !name.starts_with(fs::TEMPORARY);
    let has_no_marker = || fs::size(&marker).is_none();
    // asked again: another build may have begun the layout between the first question and the list
    if has_no_marker() && fs::list(folder)?.iter().any(foreign) && has_no_marker() {
        let cause = "the folder has other files and is no OCI layout".to_owned();
        return Err(Error::Damaged { path: folder.to_owned(), cause });
    }
    fs::create_dir(&blob_folder)?;
    // two builds may write one layout: the marker doubles as lock file, so it must stay the same file from its first
    // moment on, and is not written like others
    let mut alone = fs::lock(&marker, fs::Lock::Exclusive)?;
    if fs::size(&marker) == Some(0) {
        alone.write_all(MARKER).map_err(|cause| fs::Error::new("write", &marker, cause))?;
    }
    // what a killed build left
    for folder in [folder, &blob_folder] {
        for name in fs::list(folder)?.iter().filter(|name| name.starts_with(fs::TEMPORARY)) {
            fs::remove(&folder.join(name))?;
        }
    }
    give(folder, blobs, store)?;
    let path = folder.join("index.json");
    let old = if fs::size(&path).is_some() { read_index(folder)? } else { ImageIndex::default() };
    let index = merge(&old, references);
    let bytes = canonical(&index);
    if fs::read(&path, DOCUMENT_LIMIT).ok().as_deref() != Some(&bytes) {
        fs::write_atomic(&path, &bytes)?;
    }
    Ok(())
}

/// Kind of the store's records of layouts.
const KNOWN: &str = "layout";

/// Blobs that are written at one time: hashing takes a processor, writing waits for the disk.
const TOGETHER: usize = 4;

/// Brings blobs into the layout that it does not have, or not undamaged. What was seen to be whole and has not been
/// touched since is not read again; a file that has other names is not the layout's alone, and makes room.
fn give(folder: &Path, blobs: &BTreeMap<Digest, u64>, store: &Store) -> Result<(), Error> {
    let blob_folder = folder.join("blobs/sha256");
    let key = Digest::of(fs::absolute(folder)?.as_os_str().as_encoded_bytes());
    let mut known: BTreeMap<Digest, Stamp> = store.result(KNOWN, &key).unwrap_or_default();
    let before = known.clone();
    let is_there = |digest: &Digest, size: u64| {
        let target = blob_folder.join(digest.hex());
        match own::look(&target) {
            Ok(Some(look)) if look.is_file && look.names == 1 && look.stamp.size == size => {
                known.get(digest) == Some(&look.stamp) || fs::digest_of(&target).is_ok_and(|found| found == *digest)
            }
            _ => false,
        }
    };
    let mut missing: Vec<(&Digest, &u64)> = blobs.iter().filter(|(digest, size)| !is_there(digest, **size)).collect();
    // the largest last, where they are taken from
    missing.sort_by_key(|(_, size)| **size);
    let missing = Mutex::new(missing);
    let next = || missing.lock().expect("no thread panics while it holds this").pop();
    let work = || -> Result<(), store::Error> {
        while let Some((digest, _)) = next() {
            store.give(digest, &blob_folder.join(digest.hex()))?;
        }
        Ok(())
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    results.into_iter().collect::<Result<(), _>>()?;
    known.retain(|digest, _| blobs.contains_key(digest) || fs::size(&blob_folder.join(digest.hex())).is_some());
    let stamp = |digest: &Digest| Some((*digest, Stamp::of(&blob_folder.join(digest.hex()))?));
    known.extend(blobs.keys().filter_map(stamp));
    if known != before {
        // without it all is read again the next time
        let _not_kept = store.keep(KNOWN, &key, &known);
    }
    Ok(())
}

/// Refuses a layout whose own parts are links: what is written into it would be written elsewhere. The folder itself may be
/// reached through one.
fn no_links(folder: &Path) -> Result<(), Error> {
    let parts = ["oci-layout", "index.json", "blobs", "blobs/sha256"];
    match parts.map(|part| folder.join(part)).into_iter().find(|path| fs::is_link(path)) {
        Some(path) => Err(Error::Damaged { path, cause: "it is a symbolic link, and layouts have none".to_owned() }),
        None => Ok(()),
    }
}

/// Returns the index with these references in place of those of the same names, sorted by name.
#[must_use]
pub fn merge(old: &ImageIndex, references: &[Reference]) -> ImageIndex {
    let mut manifests: BTreeMap<String, Descriptor> = BTreeMap::new();
    for descriptor in old.manifests() {
        let name = reference_name(descriptor).unwrap_or_else(|| descriptor.digest().to_string());
        manifests.insert(name, descriptor.clone());
    }
    for Reference { name, target } in references {
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

/// Returns the descriptor that a reference name stands for.
///
/// # Errors
/// When the folder cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<Option<Descriptor>, Error> {
    let index = read_index(folder)?;
    Ok(index.manifests().iter().find(|descriptor| reference_name(descriptor).as_deref() == Some(name)).cloned())
}

/// Reads the manifests below a descriptor: itself, or all those of the index that it names.
///
/// # Errors
/// When a document is missing, too large or malformed.
pub fn manifests(folder: &Path, target: &Descriptor) -> Result<Vec<(Descriptor, ImageManifest)>, Error> {
    match target.media_type() {
        MediaType::ImageIndex => {
            let index: ImageIndex = document(folder, target)?;
            let announced = index.manifests().iter().map(Descriptor::size).fold(0, u64::saturating_add);
            if index.manifests().len() > MOST_MANIFESTS || announced > MANIFESTS_LIMIT {
                let cause = format!("it has more than {MOST_MANIFESTS} manifests, or {MANIFESTS_LIMIT} bytes of them");
                return Err(Error::Damaged { path: place(folder, target)?.0, cause });
            }
            let read = |child: &Descriptor| {
                Ok((child.clone(), document_within(folder, child, child.size().min(DOCUMENT_LIMIT))?))
            };
            index.manifests().iter().map(read).collect()
        }
        _ => Ok(vec![(target.clone(), document(folder, target)?)]),
    }
}

/// Returns the bytes of a blob, at most `limit`, which have the digest that the descriptor names.
///
/// # Errors
/// When it is missing, larger, or other bytes.
pub fn blob(folder: &Path, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
    let (path, digest) = place(folder, descriptor)?;
    let bytes = fs::read(&path, limit)?;
    same(&path, digest, Digest::of(&bytes))?;
    Ok(bytes)
}

/// Returns where a blob is, after reading all of it: its bytes have the digest that the descriptor names.
///
/// # Errors
/// As [`blob`].
pub fn verified(folder: &Path, descriptor: &Descriptor) -> Result<PathBuf, Error> {
    let (path, digest) = place(folder, descriptor)?;
    same(&path, digest, fs::digest_of(&path)?)?;
    Ok(path)
}

fn place(folder: &Path, descriptor: &Descriptor) -> Result<(PathBuf, Digest), Error> {
    let digest = digest_of(descriptor).ok_or_else(|| Error::Damaged {
        path: folder.to_owned(),
        cause: format!("`{}` is not a SHA-256 digest", descriptor.digest()),
    })?;
    Ok((folder.join("blobs/sha256").join(digest.hex()), digest))
}

fn same(path: &Path, expected: Digest, found: Digest) -> Result<(), Error> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Damaged { path: path.to_owned(), cause: format!("its bytes have digest {found}") }),
    }
}

/// Returns the names of all references, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    Ok(read_index(folder)?.manifests().iter().filter_map(reference_name).collect())
}

fn document<T: DeserializeOwned>(folder: &Path, descriptor: &Descriptor) -> Result<T, Error> {
    document_within(folder, descriptor, DOCUMENT_LIMIT)
}

fn document_within<T: DeserializeOwned>(folder: &Path, descriptor: &Descriptor, limit: u64) -> Result<T, Error> {
    parse(&place(folder, descriptor)?.0, &blob(folder, descriptor, limit)?)
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged { path: path.to_owned(), cause: error.to_string() })
}
