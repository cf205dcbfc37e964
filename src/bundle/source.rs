//! Reads a bundle from its location: finds its manifest, and brings its files into the store.

use crate::bundle::ARTIFACT;
use crate::bundle::BundleLocation;
use crate::bundle::BundledFile;
use crate::bundle::Error;
use crate::bundle::REFERENCE;
use crate::bundle::tape::ArchiveReader;
use crate::oci;
use crate::oci::layout::REF_NAME;
use crate::oci::registry::RegistryClient;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageIndex;
use oci_spec::image::MediaType;
use std::io;
use std::io::Read;
use std::path::PathBuf;

/// Largest manifest or index.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Version of every OCI index (image-spec image-index.md).
const SCHEMA_VERSION: u32 = 2;

/// Most blobs that are fetched at the same time.
const PARALLEL: usize = 8;

/// Where a bundle is read from.
pub enum BundleSource<'a> {
    /// A layout folder.
    Layout(PathBuf),
    /// An archive file.
    Archive(PathBuf),
    /// A repository.
    Registry {
        /// The registry, with its login.
        registry: &'a RegistryClient,
        /// Name of the repository.
        repository: String,
        /// Tag or digest.
        reference: String,
        /// Runs the conversation.
        http: &'a HttpClient,
    },
}

/// A source that is open for reading.
pub(super) enum OpenedSource<'a> {
    Layout(PathBuf),
    Archive(ArchiveReader),
    Registry { registry: &'a RegistryClient, repository: String, http: &'a HttpClient },
}

/// A source with its manifest.
pub(super) struct FoundBundle<'a> {
    pub(super) opened: OpenedSource<'a>,
    pub(super) place: String,
    pub(super) manifest: Vec<u8>,
}

impl<'a> BundleSource<'a> {
    /// Returns the location of the source, for messages.
    fn place(&self) -> BundleLocation {
        match self {
            Self::Layout(folder) => BundleLocation::Layout(folder.clone()),
            Self::Archive(file) => BundleLocation::Archive(file.clone()),
            Self::Registry { registry, repository, reference, .. } => BundleLocation::Registry {
                address: format!("{}{repository}", registry.url()),
                reference: reference.clone(),
            },
        }
    }

    /// Finds the bundle's manifest.
    pub(super) fn find(self) -> Result<FoundBundle<'a>, Error> {
        let place = self.place().to_string();
        let (opened, manifest) = match self {
            Self::Layout(folder) => {
                let index = fs::read(&folder.join("index.json"), DOCUMENT_LIMIT)?;
                let opened = OpenedSource::Layout(folder);
                let manifest = from_index(&opened, &index);
                (opened, manifest)
            }
            Self::Archive(file) => {
                let reader = ArchiveReader::open(&file)?.map_err(|problem| damaged(&place, problem))?;
                let opened = OpenedSource::Archive(reader);
                let index = opened.read("index.json", DOCUMENT_LIMIT);
                let manifest = index.and_then(|index| from_index(&opened, &index));
                (opened, manifest)
            }
            // a registry names one manifest by tag or digest, so there is nothing to choose from
            Self::Registry { registry, repository, reference, http } => {
                let manifest = http.block_on(registry.manifest(&repository, &reference))??;
                (OpenedSource::Registry { registry, repository, http }, Ok(manifest.bytes))
            }
        };
        let manifest = manifest.map_err(|problem| damaged(&place, problem))?;
        Ok(FoundBundle { opened, place, manifest })
    }
}

/// Returns the error for a bundle that has one problem.
fn damaged(place: &str, problem: String) -> Error {
    Error::Damaged { place: place.to_owned(), problems: vec![problem] }
}

/// Tells whether a descriptor says that it is a bundle, by its name or its artifact type.
fn is_bundle(descriptor: &Descriptor) -> bool {
    let name = descriptor.annotations().as_ref().and_then(|annotations| annotations.get(REF_NAME));
    name.is_some_and(|name| name == REFERENCE)
        || descriptor.artifact_type().as_ref().is_some_and(|found| found.to_string() == ARTIFACT)
}

/// Reads the one bundle that an index names: by artifact type, by name, or because there is nothing else.
fn from_index(opened: &OpenedSource<'_>, index: &[u8]) -> Result<Vec<u8>, String> {
    let index: ImageIndex =
        serde_json::from_slice(index).map_err(|error| format!("its `index.json` cannot be read: {error}"))?;
    // a later version may give the same fields another meaning
    if index.schema_version() != SCHEMA_VERSION {
        return Err(format!("its `index.json` has schema version {}, not {SCHEMA_VERSION}", index.schema_version()));
    }
    if index.media_type().as_ref().is_some_and(|found| *found != MediaType::ImageIndex) {
        return Err("its `index.json` is no OCI index".to_owned());
    }

    // tools that copy artifacts may drop name and artifact type: then a single artifact is the bundle
    let mut found: Vec<&Descriptor> = index.manifests().iter().filter(|descriptor| is_bundle(descriptor)).collect();
    if found.is_empty() {
        found = index.manifests().iter().collect();
    }
    let [descriptor] = found[..] else {
        return Err(format!("there are {} artifacts that could be the bundle", found.len()));
    };

    let digest = oci::digest_of(descriptor).ok_or("its manifest has no SHA-256 digest")?;
    let bytes = opened.read(&format!("blobs/sha256/{}", digest.hex()), DOCUMENT_LIMIT)?;
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(format!("its manifest has digest {found} instead of {digest}"));
    }

    // a descriptor must match the document that it points to (image-spec descriptor.md)
    let artifact = descriptor.artifact_type().as_ref().map(ToString::to_string);
    let is_true = descriptor.size() == bytes.len() as u64
        && *descriptor.media_type() == MediaType::ImageManifest
        && artifact.is_none_or(|artifact| artifact == ARTIFACT);
    if is_true { Ok(bytes) } else { Err("its `index.json` says something else about its manifest".to_owned()) }
}

impl OpenedSource<'_> {
    /// Reads a small file of a folder or archive.
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        match self {
            Self::Layout(folder) => return fs::read(&folder.join(name), limit).map_err(|error| error.to_string()),
            Self::Archive(tape) => {
                if tape.size(name).is_some_and(|size| size > limit) {
                    return Err(format!("`{name}` has more than {limit} bytes"));
                }
                let file = tape.file(name).map_err(|error| error.to_string())?;
                let mut file = file.ok_or_else(|| format!("it has no `{name}`"))?;
                file.read_to_end(&mut bytes).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
            }
            // its one document was read when it was found
            Self::Registry { .. } => {}
        }
        Ok(bytes)
    }

    /// Opens a blob of a folder or archive; `None` where it is missing or has another size.
    fn blob(&self, digest: &Digest, size: u64) -> Result<Option<Box<dyn Read>>, Error> {
        let name = format!("blobs/sha256/{}", digest.hex());
        match self {
            Self::Layout(folder) => {
                let path = folder.join(name);
                // the size is known beforehand: a blob of another size need not be hashed to be refused
                let is_there = fs::size(&path) == Some(size);
                Ok(if is_there { Some(Box::new(fs::open(&path)?.take(size))) } else { None })
            }
            Self::Archive(tape) if tape.size(&name) == Some(size) => {
                Ok(tape.file(&name)?.map(|file| Box::new(file) as Box<dyn Read>))
            }
            Self::Archive(_) | Self::Registry { .. } => Ok(None),
        }
    }

    /// Brings files into the store that it does not have yet; returns the titles of those that the bundle lacks.
    pub(super) fn bring(
        &self,
        files: &[&BundledFile],
        place: &str,
        store: &Store,
        reporter: &dyn ProgressReporter,
    ) -> Result<Vec<String>, Error> {
        // what the store has was verified when it came in
        let wanted: Vec<&BundledFile> =
            files.iter().copied().filter(|file| !store.has_blob(&file.digest, file.size)).collect();

        // a blob that the registry lacks is an error of the registry: it accepted the manifest with it
        if let Self::Registry { registry, repository, http } = self {
            let blobs = wanted.into_iter().map(|file| (file.digest, file.size));
            let pulls = blobs.map(|blob| registry.pull_blob(repository, blob, store.folder(), reporter));
            let work = stream::iter(pulls).buffer_unordered(PARALLEL);
            http.block_on(work.try_collect::<Vec<()>>())??;
            return Ok(Vec::new());
        }

        let mut missing = Vec::new();
        for file in wanted {
            let Some(stream) = self.blob(&file.digest, file.size)? else {
                missing.push(file.title.clone());
                continue;
            };

            reporter.event(ProgressEvent::Started {
                stage: ProgressStage::Download,
                total: file.size,
                what: file.title.clone(),
            });
            // the store knows digests only: the message names the bundle and the file
            copy(stream, file, store, reporter).map_err(|error| match error {
                store::Error::WrongDigest { expected, found } => {
                    Error::WrongDigest { place: place.to_owned(), title: file.title.clone(), expected, found }
                }
                other => other.into(),
            })?;
            reporter.event(ProgressEvent::Finished { stage: ProgressStage::Download, what: file.title.clone() });
        }
        Ok(missing)
    }
}

/// Copies a blob into the store, which keeps it only if the digest is right.
fn copy(
    mut stream: Box<dyn Read>,
    file: &BundledFile,
    store: &Store,
    reporter: &dyn ProgressReporter,
) -> Result<(), store::Error> {
    let mut writer = store.writer()?;
    // 256 KiB: few system calls, and still a progress that moves
    let mut buffer = vec![0; 1 << 18];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                writer.write(&buffer[..count])?;
                reporter.event(ProgressEvent::Advanced { stage: ProgressStage::Download, by: count as u64 });
            }
            // a signal is no failure
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(fs::Error::new("read", file.title.as_ref(), cause).into()),
        }
    }
    writer.finish_as(&file.digest).map(drop)
}
