//! One image in one file: `oci-archive` (a tar of an OCI layout) and `docker-archive` (the format of `docker load`).
//!
//! Sources: containers-transports(5); Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset
//! Format".

use crate::oci;
use crate::oci::Error;
use crate::oci::canonical;
use crate::oci::digest_of;
use crate::oci::layout;
use crate::oci::layout::LayoutReference;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::ContentSource;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::TreeEntry;
use crate::tree::tar;
use crate::values::CONTENT_MTIME;
use crate::values::Digest;
use crate::values::DigestHasher;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageIndex;
use oci_spec::image::ImageManifest;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;

/// Writes a tar of an OCI layout with these references.
///
/// # Errors
/// When a blob cannot be read or the file cannot be written; an existing file is then left as it is.
pub fn write_oci(
    path: &Path,
    references: &[LayoutReference],
    blobs: &BTreeMap<Digest, u64>,
    store: &Store,
) -> Result<(), Error> {
    let index = canonical(&layout::merge(&ImageIndex::default(), references));

    atomically(path, |archive| {
        // sorted by path, like everything that sockel writes: the same image gives the same file
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
pub struct DockerArchiveLayer {
    /// SHA-256 of the uncompressed tar, which also names its file.
    pub diff_id: Digest,
    /// Length of the uncompressed tar in bytes.
    pub uncompressed: u64,
}

impl DockerArchiveLayer {
    /// Returns the name of the layer's tar in the archive.
    fn file_name(&self) -> String {
        format!("{}.tar", self.diff_id.hex())
    }
}

/// Writes an image in the format of `docker load` and `podman load`. Layers are stored uncompressed, as Docker does it.
///
/// # Errors
/// When a blob cannot be read or the file cannot be written; an existing file is then left as it is.
pub fn write_docker(
    path: &Path,
    tags: &[String],
    manifest: &ImageManifest,
    layers: &[DockerArchiveLayer],
    store: &Store,
) -> Result<(), Error> {
    let config = sha256_of(manifest.config(), path)?;
    let config_name = format!("{}.json", config.hex());
    let layer_names: Vec<String> = layers.iter().map(DockerArchiveLayer::file_name).collect();
    let index = canonical(&json!([{ "Config": config_name, "RepoTags": tags, "Layers": layer_names }]));

    atomically(path, |archive| {
        archive.blob(&config_name, &config, manifest.config().size(), store)?;

        // two layers with the same content share one file
        let mut written = BTreeSet::new();
        for (layer, descriptor) in layers.iter().zip(manifest.layers()) {
            if written.insert(layer.diff_id) {
                archive.docker_layer(layer, descriptor, store)?;
            }
        }

        archive.file("manifest.json", index.len() as u64, &index[..]).map(drop)
    })
}

/// Returns the digest of a descriptor; names in a docker-archive are made of SHA-256 digests.
fn sha256_of(descriptor: &Descriptor, path: &Path) -> Result<Digest, Error> {
    digest_of(descriptor).ok_or_else(|| Error::Unfit {
        format: "docker-archive",
        path: path.to_owned(),
        cause: "the image has digests that are not SHA-256".to_owned(),
    })
}

/// A tar file being written.
struct ImageArchiveWriter<'a> {
    file: io::BufWriter<tempfile::NamedTempFile>,
    path: &'a Path,
}

/// Writes a tar beside its path, and moves it there when it is complete.
fn atomically(path: &Path, fill: impl FnOnce(&mut ImageArchiveWriter<'_>) -> Result<(), Error>) -> Result<(), Error> {
    // a bare file name has an empty parent
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir(folder)?;

    let mut archive = ImageArchiveWriter { file: io::BufWriter::with_capacity(1 << 20, fs::temporary(folder)?), path };
    fill(&mut archive)?;
    archive.bytes(&tar::END)?;

    // a write that fails only when the buffer is flushed must not be published
    let file = archive.file.into_inner().map_err(|error| fs::Error::new("write", path, error.into_error()))?;
    Ok(fs::publish(file, path)?)
}

impl ImageArchiveWriter<'_> {
    /// Appends raw bytes.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|cause| fs::Error::new("write", self.path, cause).into())
    }

    /// Appends a folder.
    fn folder(&mut self, path: &str) -> Result<(), Error> {
        self.bytes(&tar::header(&entry(path, EntryKind::Directory)))
    }

    /// Appends a blob of the store, and verifies its digest on the way.
    fn blob(&mut self, path: &str, digest: &Digest, size: u64, store: &Store) -> Result<(), Error> {
        let found = self.file(path, size, fs::open(&store.blob(digest))?)?;
        if found == *digest { Ok(()) } else { Err(store.damaged(digest).into()) }
    }

    /// Appends the uncompressed tar of a layer.
    fn docker_layer(
        &mut self,
        layer: &DockerArchiveLayer,
        descriptor: &Descriptor,
        store: &Store,
    ) -> Result<(), Error> {
        let digest = sha256_of(descriptor, self.path)?;
        let blob = fs::open(&store.blob(&digest))?;
        let stream = oci::decompressed(descriptor.media_type().as_ref(), blob)?;

        let result = self.file(&layer.file_name(), layer.uncompressed, stream);
        if result.as_ref().is_ok_and(|found| *found == layer.diff_id) {
            return Ok(());
        }

        // a damaged blob decompresses to other bytes, or not at all: then the store is to blame, not the archive
        if fs::digest_of(&store.blob(&digest))? != digest {
            return Err(store.damaged(&digest).into());
        }
        result.map(drop)
    }

    /// Appends a file of exactly `size` bytes; returns their digest.
    fn file(&mut self, path: &str, size: u64, content: impl Read) -> Result<Digest, Error> {
        // a header needs the size alone: the content is streamed, so its digest is not yet known
        let placeholder = FileContent { digest: Digest::of(b""), size, source: ContentSource::Inline([].into()) };
        self.bytes(&tar::header(&entry(path, EntryKind::File(placeholder))))?;

        let mut content = DigestingReader { stream: content.take(size), hasher: DigestHasher::default() };
        let copied = io::copy(&mut content, &mut self.file);
        let copied = copied.map_err(|cause| fs::Error::new("write", self.path, cause))?;
        // the header already promises this size; every later header would be misread
        if copied != size {
            let cause = io::Error::other(format!("`{path}` has {copied} bytes instead of {size}"));
            return Err(fs::Error::new("write", self.path, cause).into());
        }

        self.bytes(&tar::END[..usize::try_from(tar::padding(size)).expect("less than a block")])?;
        Ok(content.hasher.finish())
    }
}

/// Hashes the bytes that pass through it.
struct DigestingReader<R> {
    stream: R,
    hasher: DigestHasher,
}

impl<R: Read> Read for DigestingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

/// Returns an entry of the archive with fixed attributes: nothing of this machine gets into the file.
fn entry(path: &str, kind: EntryKind) -> TreeEntry {
    let origin = EntryOrigin::Generator("archive".to_owned());
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    TreeEntry { path: path.to_owned(), kind, mode, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin }
}
