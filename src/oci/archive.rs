//! One image as one file: `oci-archive` (a tar of an OCI layout) and `docker-archive` (what `docker load` reads).
//!
//! Sources: containers-transports(5); Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset
//! Format".

use crate::oci;
use crate::oci::Error;
use crate::oci::canonical;
use crate::oci::digest_of;
use crate::oci::layout;
use crate::oci::layout::Reference;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::Entry;
use crate::tree::Kind;
use crate::tree::Origin;
use crate::tree::tar;
use crate::values::CONTENT_MTIME;
use crate::values::Digest;
use crate::values::Hasher;
use oci_spec::image::ImageIndex;
use oci_spec::image::ImageManifest;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;

/// Writes a tar of an OCI layout with these references.
///
/// # Errors
/// When a blob cannot be read or the file cannot be written; an old file is then untouched.
pub fn write_oci(
    path: &Path,
    references: &[Reference],
    blobs: &BTreeMap<Digest, u64>,
    store: &Store,
) -> Result<(), Error> {
    let index = canonical(&layout::merge(&ImageIndex::default(), references));
    atomically(path, |archive| {
        archive.folder("blobs")?;
        archive.folder("blobs/sha256")?;
        for (digest, size) in blobs {
            archive.blob(&format!("blobs/sha256/{}", digest.hex()), digest, *size, store)?;
        }
        archive.file("index.json", index.len() as u64, &index[..])?;
        archive.file("oci-layout", layout::MARKER.len() as u64, layout::MARKER).map(drop)
    })
}

/// One layer of an image for [`write_docker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerLayer {
    /// SHA-256 of the uncompressed tar: its file name.
    pub diff_id: Digest,
    /// Length of the uncompressed tar.
    pub uncompressed: u64,
}

/// Writes what `docker load` and `podman load` read. Layers are stored uncompressed, as Docker does.
///
/// # Errors
/// When a blob cannot be read or the file cannot be written; an old file is then untouched.
pub fn write_docker(
    path: &Path,
    tags: &[String],
    manifest: &ImageManifest,
    layers: &[DockerLayer],
    store: &Store,
) -> Result<(), Error> {
    let damaged = || Error::Unfit {
        format: "docker-archive",
        path: path.to_owned(),
        cause: "the image has digests that are not SHA-256".to_owned(),
    };
    let config = digest_of(manifest.config()).ok_or_else(damaged)?;
    let names: Vec<String> = layers.iter().map(|layer| format!("{}.tar", layer.diff_id.hex())).collect();
    let index = canonical(&json!([{ "Config": format!("{}.json", config.hex()), "RepoTags": tags, "Layers": names }]));
    atomically(path, |archive| {
        archive.blob(&format!("{}.json", config.hex()), &config, manifest.config().size(), store)?;
        let mut written = std::collections::BTreeSet::new();
        for ((layer, name), descriptor) in layers.iter().zip(&names).zip(manifest.layers()) {
            if !written.insert(name) {
                continue;
            }
            let digest = digest_of(descriptor).ok_or_else(damaged)?;
            let blob = fs::open(&store.blob(&digest))?;
            let stream = oci::decompressed(descriptor.media_type().as_ref(), blob)?;
            match archive.file(name, layer.uncompressed, stream) {
                Ok(found) if found == layer.diff_id => {}
                // what a damaged blob unpacks to, or why it does not
                result if fs::digest_of(&store.blob(&digest))? == digest => drop(result?),
                _ => return Err(store.damaged(&digest).into()),
            }
        }
        archive.file("manifest.json", index.len() as u64, &index[..]).map(drop)
    })
}

/// A tar file being written.
struct Archive<'a> {
    file: io::BufWriter<tempfile::NamedTempFile>,
    path: &'a Path,
}

fn atomically(path: &Path, fill: impl FnOnce(&mut Archive<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir(folder)?;
    let mut archive = Archive { file: io::BufWriter::with_capacity(1 << 20, fs::temporary(folder)?), path };
    fill(&mut archive)?;
    archive.bytes(&tar::END)?;
    let file = archive.file.into_inner().map_err(|error| fs::Error::new("write", path, error.into_error()))?;
    Ok(fs::publish(file, path)?)
}

impl Archive<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|cause| fs::Error::new("write", self.path, cause).into())
    }

    fn folder(&mut self, path: &str) -> Result<(), Error> {
        self.bytes(&tar::header(&entry(path, Kind::Directory)))
    }

    /// Appends a blob of the store, which must have its digest.
    fn blob(&mut self, path: &str, digest: &Digest, size: u64, store: &Store) -> Result<(), Error> {
        let found = self.file(path, size, fs::open(&store.blob(digest))?)?;
        if found == *digest { Ok(()) } else { Err(store.damaged(digest).into()) }
    }

    /// Appends a file; returns the digest of its bytes.
    fn file(&mut self, path: &str, size: u64, content: impl Read) -> Result<Digest, Error> {
        let source =
            crate::tree::Content { digest: Digest::of(b""), size, source: crate::tree::Source::Inline([].into()) };
        self.bytes(&tar::header(&entry(path, Kind::File(source))))?;
        let mut content = Hashing { stream: content.take(size), hasher: Hasher::default() };
        let copied = io::copy(&mut content, &mut self.file);
        let copied = copied.map_err(|cause| fs::Error::new("write", self.path, cause))?;
        if copied != size {
            let cause = io::Error::other(format!("`{path}` has {copied} bytes instead of {size}"));
            return Err(fs::Error::new("write", self.path, cause).into());
        }
        self.bytes(&tar::END[..usize::try_from(tar::padding(size)).expect("less than a block")])?;
        Ok(content.hasher.finish())
    }
}

/// Hashes what is read.
struct Hashing<R> {
    stream: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    let origin = Origin::Generator("archive".to_owned());
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.to_owned(), kind, mode, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin }
}
