//! New documents on their way to the application's repository or folder: layers are mounted where possible, manifests go by
//! digest, and tags move last.

use crate::oci;
use crate::oci::layout;
use crate::oci::layout::LayoutReference;
use crate::oci::registry;
use crate::oci::registry::BlobTotals;
use crate::oci::registry::PushOutcome;
use crate::oci::registry::PushRequest;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::document::ContentDescriptor;
use crate::rebase::Error;
use crate::rebase::RebaseOrder;
use crate::rebase::blocking::on_pool;
use crate::rebase::files::LARGEST_LAYER;
use crate::rebase::picture::LoadedImage;
use crate::rebase::place::DocumentReader;
use crate::rebase::place::OpenRepository;
use crate::rebase::place::blob_path;
use crate::rebase::splice::SplicedPlatform;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use tokio::task::block_in_place;

/// Blobs and documents that a delivery transferred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TransferSummary {
    /// Layers that were mounted from the base's repository.
    pub mounted: BlobTotals,
    /// Blobs that existed already.
    pub skipped: BlobTotals,
    /// Configurations, and layers that were pulled from elsewhere and uploaded.
    pub uploaded: BlobTotals,
    /// Manifests and indexes that were written.
    pub manifests: usize,
}

/// All new documents of an application. Without any, its digest is that of the application as it is.
pub(super) struct RebasedDocuments {
    /// Digest of the index, or of the only manifest: what tags will point to.
    pub(super) digest: Digest,
    media_type: String,
    configs: Vec<Vec<u8>>,
    /// Manifests, then the index that names them: a registry may refuse one that names something missing.
    manifests: Vec<Vec<u8>>,
    /// Layers of the new bases that the application did not have.
    layers: BTreeMap<Digest, ContentDescriptor>,
    /// Settings that application and new base changed to different values, on any platform.
    pub(super) conflicts: BTreeSet<String>,
}

impl RebasedDocuments {
    /// Begins with the application as it is.
    pub(super) fn of(application: &LoadedImage) -> Self {
        let media_type = application.descriptor.media_type().to_string();
        let digest = application.digest;
        let (configs, manifests) = (Vec::new(), Vec::new());
        Self { digest, media_type, configs, manifests, layers: BTreeMap::new(), conflicts: BTreeSet::new() }
    }

    /// Adds a platform. For an application without an index its manifest is the root.
    pub(super) fn add(&mut self, spliced: SplicedPlatform) {
        self.conflicts.extend(spliced.conflicts);
        self.configs.push(spliced.config);
        self.layers.extend(spliced.added.into_iter().map(|layer| (layer.blob.digest, layer.blob)));
        self.digest = spliced.digest;
        self.manifests.push(spliced.manifest);
    }

    /// Adds the index over all platforms.
    pub(super) fn set_index(&mut self, bytes: Vec<u8>) {
        self.digest = Digest::of(&bytes);
        self.manifests.push(bytes);
    }

    /// Returns the descriptor of the index, or of the only manifest.
    fn root(&self, application: &LoadedImage) -> Descriptor {
        let size = match self.manifests.last() {
            Some(root) => root.len() as u64,
            None => application.descriptor.size(),
        };
        oci::descriptor(&self.media_type, &self.digest, size)
    }

    /// Returns configurations, manifests and index, in the order in which they are written.
    fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.configs.iter().chain(&self.manifests)
    }
}

/// Returns the requested tags that do not point to the result yet.
pub(super) async fn tags_to_move(
    request: &RebaseOrder<'_>,
    documents: &RebasedDocuments,
) -> Result<Vec<String>, Error> {
    let mut tags = Vec::new();
    for tag in request.tags {
        if request.place.digest(tag).await? != Some(documents.digest) {
            tags.push(tag.clone());
        }
    }
    Ok(tags)
}

/// Writes all documents and moves tags. Returns what was transferred, if anything had to be, and the tags that moved.
pub(super) async fn deliver(
    documents: &RebasedDocuments,
    request: &RebaseOrder<'_>,
    reader: &DocumentReader<'_>,
) -> Result<(Option<TransferSummary>, Vec<String>), Error> {
    let tags = tags_to_move(request, documents).await?;
    // without new documents there may still be new names for the application with `--tag`
    if documents.manifests.is_empty() && tags.is_empty() {
        return Ok((None, tags));
    }

    let delivery = RebaseDelivery { documents, request, reader };
    let transfer = match request.place {
        OpenRepository::Registry { registry, repository } => delivery.to_registry(registry, repository, &tags).await?,
        OpenRepository::Layout(folder) => delivery.to_layout(folder).await?,
    };
    Ok((Some(transfer), tags))
}

/// Fails if the application's tag moved since the application was read: nobody's newer build is overwritten.
async fn check_not_moved(request: &RebaseOrder<'_>) -> Result<(), Error> {
    // a digest cannot move
    let is_digest = request.reference.parse::<Digest>().is_ok();
    if is_digest || request.place.digest(request.reference).await? == Some(request.application.digest) {
        return Ok(());
    }
    Err(Error::Moved { image: request.place.name_of(request.reference) })
}

/// New documents of an application, with their destination.
struct RebaseDelivery<'a> {
    documents: &'a RebasedDocuments,
    request: &'a RebaseOrder<'a>,
    reader: &'a DocumentReader<'a>,
}

impl RebaseDelivery<'_> {
    async fn to_registry(
        &self,
        registry: &RegistryClient,
        repository: &str,
        tags: &[String],
    ) -> Result<TransferSummary, Error> {
        let transfer = self.push(registry, repository).await?;

        // pushing may have taken minutes: checked again directly before the tags move
        check_not_moved(self.request).await?;
        let root = match self.documents.manifests.last() {
            Some(root) => root.clone(),
            None => registry.manifest(repository, &self.documents.digest.to_string()).await?.bytes,
        };
        for tag in tags {
            registry.put_manifest(repository, tag, &self.documents.media_type, root.clone()).await?;
        }
        Ok(transfer)
    }

    /// Pushes by digest. Layers are expected in the application's repository or in the base's. A layer that is in neither, as
    /// when the base is in another registry, is pulled into the store, and the push is repeated.
    async fn push(&self, registry: &RegistryClient, repository: &str) -> Result<TransferSummary, Error> {
        let Self { documents, request, reader } = self;
        for document in documents.all() {
            reader.store.add(document)?;
        }

        let mount_from: Vec<String> = self.mount_source(repository).into_iter().collect();
        // a push reads blobs from the store, unless the registry has them
        let mut in_registry: Vec<Digest> = documents.layers.keys().copied().collect();
        for image in &request.application.platforms {
            in_registry.extend(image.layers.iter().map(|layer| layer.blob.digest));
        }

        // no tags: these move after a last look at the application's own tag
        let target = documents.root(request.application);
        let push = PushRequest {
            layout: reader.store.folder(),
            target: &target,
            repository,
            tags: &[],
            mount_from: &mount_from,
            elsewhere: &in_registry,
            chunk: None,
            is_new: true,
        };
        loop {
            let digest = match registry.push(&push, reader.reporter).await {
                Ok(PushOutcome { mounted, skipped, uploaded, manifests, .. }) => {
                    return Ok(TransferSummary { mounted, skipped, uploaded, manifests });
                }
                Err(registry::Error::Absent { digest }) => digest,
                Err(error) => return Err(error.into()),
            };
            match documents.layers.get(&digest) {
                // every round brings a layer into the store that was not there, so that the loop ends
                Some(layer) if !reader.has_blob(layer) => self.pull_layer(layer).await?,
                _ => return Err(registry::Error::Absent { digest }.into()),
            }
        }
    }

    /// Returns the repository of the new base, if blobs can be mounted from there.
    fn mount_source(&self, repository: &str) -> Option<String> {
        match self.request.base {
            OpenRepository::Registry { repository: base, .. } if self.request.base.is_beside(self.request.place) => {
                Some(base.clone()).filter(|base| base != repository)
            }
            _ => None,
        }
    }

    /// Brings a layer of the new base into the store.
    async fn pull_layer(&self, layer: &ContentDescriptor) -> Result<(), Error> {
        let Self { request, reader, .. } = self;
        let folder = request.base.folder_with(layer, LARGEST_LAYER, reader).await?;
        // a pull from a registry ends in the store
        if reader.has_blob(layer) {
            return Ok(());
        }

        // hashed on its way: another program may be writing in the folder
        let (path, kept, digest) = (blob_path(&folder, &layer.digest), reader.store.blob(&layer.digest), layer.digest);
        let from = path.clone();
        if on_pool(move || fs::copy_verified(&from, &kept, &digest)).await? {
            return Ok(());
        }
        Err(oci::Error::Damaged { path, cause: "its bytes do not have this digest".to_owned() }.into())
    }

    async fn to_layout(&self, folder: &Path) -> Result<TransferSummary, Error> {
        let Self { documents, request, reader } = self;
        let mut transfer = TransferSummary { manifests: documents.manifests.len(), ..TransferSummary::default() };
        let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
        for layer in documents.layers.values() {
            let exists = has_intact_blob(folder, layer).await?;
            let blob_count = if exists { &mut transfer.skipped } else { &mut transfer.uploaded };
            blob_count.count += 1;
            blob_count.bytes += layer.size;
            if !exists {
                self.pull_layer(layer).await?;
                blobs.insert(layer.digest, layer.size);
            }
        }

        // written in any case: `layout::write` leaves blobs alone that exist with the right bytes
        for document in documents.all() {
            blobs.insert(reader.store.add(document)?, document.len() as u64);
        }
        transfer.uploaded.count += documents.configs.len();
        transfer.uploaded.bytes += documents.configs.iter().map(|config| config.len() as u64).sum::<u64>();

        let target = documents.root(request.application);
        let mut references = Vec::new();
        for tag in request.tags {
            references.push(LayoutReference { name: tag.clone(), target: target.clone() });
        }
        check_not_moved(request).await?;
        // copies and hashes layers; the store cannot be lent to another thread
        block_in_place(|| layout::write(folder, &references, &blobs, reader.store))?;
        Ok(transfer)
    }
}

/// Tells whether a folder has all bytes of a blob.
async fn has_intact_blob(folder: &Path, blob: &ContentDescriptor) -> Result<bool, Error> {
    let path = blob_path(folder, &blob.digest);
    Ok(fs::size(&path) == Some(blob.size) && on_pool(move || fs::digest_of(&path)).await? == blob.digest)
}
