//! New documents to where the application is: layers mounted, manifests by digest, tags last.

use crate::oci;
use crate::oci::layout;
use crate::oci::layout::Reference;
use crate::oci::registry;
use crate::oci::registry::Blobs;
use crate::oci::registry::Push;
use crate::oci::registry::Pushed;
use crate::oci::registry::Registry;
use crate::oci::registry::document::Named;
use crate::rebase::Error;
use crate::rebase::Order;
use crate::rebase::picture::Picture;
use crate::rebase::place;
use crate::rebase::place::Place;
use crate::rebase::place::Reader;
use crate::rebase::splice::Spliced;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest layer that is fetched from another registry.
const LARGEST: u64 = 16 << 30;

/// What a delivery cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transfer {
    /// Layers that the base's repository had.
    pub mounted: Blobs,
    /// Blobs that were there.
    pub skipped: Blobs,
    /// Configurations, and layers that had to be fetched from elsewhere and sent.
    pub uploaded: Blobs,
    /// Manifests and indexes that were written.
    pub manifests: usize,
}

/// All that is new, and what stands for the whole.
pub(super) struct Documents {
    /// Of the image or index that tags are to stand for.
    pub(super) digest: Digest,
    media_type: String,
    configs: Vec<Vec<u8>>,
    /// Those that others name first.
    manifests: Vec<Vec<u8>>,
    layers: BTreeMap<Digest, Named>,
}

impl Documents {
    /// Begins with the application as it is.
    pub(super) fn of(application: &Picture) -> Self {
        let media_type = application.descriptor.media_type().to_string();
        let digest = application.digest;
        Self { digest, media_type, configs: Vec::new(), manifests: Vec::new(), layers: BTreeMap::new() }
    }

    /// Adds a platform; of an application without an index it is the whole.
    pub(super) fn add(&mut self, spliced: Spliced) {
        self.configs.push(spliced.config);
        self.layers.extend(spliced.brought.into_iter().map(|layer| (layer.blob.digest, layer.blob)));
        self.digest = spliced.digest;
        self.manifests.push(spliced.manifest);
    }

    /// Returns what stands for the whole.
    fn target(&self, order: &Order<'_>) -> Descriptor {
        let size = match self.manifests.last() {
            Some(root) => root.len() as u64,
            None => order.application.descriptor.size(),
        };
        oci::descriptor(&self.media_type, &self.digest, size)
    }

    /// Adds the index over all platforms.
    pub(super) fn set_index(&mut self, bytes: Vec<u8>) {
        self.digest = Digest::of(&bytes);
        self.manifests.push(bytes);
    }
}

/// Returns the tags that do not stand for the result yet.
pub(super) async fn tags_to_move(order: &Order<'_>, documents: &Documents) -> Result<Vec<String>, Error> {
    let mut moved = Vec::new();
    for tag in order.tags {
        if order.place.digest(tag).await? != Some(documents.digest) {
            moved.push(tag.clone());
        }
    }
    Ok(moved)
}

/// Writes everything; returns what that cost, and the tags that were moved.
pub(super) async fn deliver(
    documents: &Documents,
    order: &Order<'_>,
    reader: &Reader<'_>,
) -> Result<(Option<Transfer>, Vec<String>), Error> {
    let moved = tags_to_move(order, documents).await?;
    if documents.manifests.is_empty() && moved.is_empty() {
        return Ok((None, moved));
    }
    match order.place {
        Place::Registry { registry, repository } => {
            let transfer = to_registry(documents, (registry, repository), order, reader).await?;
            still_there(order).await?;
            let bytes = match documents.manifests.last() {
                Some(root) => root.clone(),
                None => registry.manifest(repository, &documents.digest.to_string()).await?.bytes,
            };
            for tag in &moved {
                registry.put_manifest(repository, tag, &documents.media_type, bytes.clone()).await?;
            }
            Ok((Some(transfer), moved))
        }
        Place::Layout(folder) => {
            let transfer = to_layout(documents, folder, order, reader).await?;
            Ok((Some(transfer), moved))
        }
    }
}

/// Nobody's newer build is overwritten: the tag must still stand for what was read.
async fn still_there(order: &Order<'_>) -> Result<(), Error> {
    let is_digest = order.reference.parse::<Digest>().is_ok();
    if is_digest || order.place.digest(order.reference).await? == Some(order.application.digest) {
        return Ok(());
    }
    Err(Error::Moved { image: order.place.name_of(order.reference) })
}

/// Pushes by digest. Layers are expected to be in the application's repository or the base's; one that is in neither, as
/// when the base is in another registry, is fetched, and the push repeated.
async fn to_registry(
    documents: &Documents,
    (registry, repository): (&Registry, &str),
    order: &Order<'_>,
    reader: &Reader<'_>,
) -> Result<Transfer, Error> {
    let mount_from = match order.base {
        Place::Registry { repository: from, .. } if order.base.is_beside(order.place) && from != repository => {
            vec![from.clone()]
        }
        _ => Vec::new(),
    };
    for document in documents.configs.iter().chain(&documents.manifests) {
        reader.store.add(document)?;
    }
    let own = order.application.faces.iter().flat_map(|face| face.layers.iter().map(|layer| layer.blob.digest));
    let elsewhere: Vec<Digest> = documents.layers.keys().copied().chain(own).collect();
    let target = documents.target(order);
    let push = Push {
        layout: reader.store.folder(),
        target: &target,
        repository,
        tags: &[],
        mount_from: &mount_from,
        elsewhere: &elsewhere,
        chunk: None,
        is_new: true,
    };
    loop {
        match registry.push(&push, reader.reporter).await {
            Ok(Pushed { mounted, skipped, uploaded, manifests, .. }) => {
                return Ok(Transfer { mounted, skipped, uploaded, manifests });
            }
            Err(registry::Error::Absent { digest }) => match documents.layers.get(&digest) {
                // every round brings one layer here
                Some(layer) if !reader.store.has_blob(&digest, layer.size) => fetch(layer, order, reader).await?,
                _ => return Err(registry::Error::Absent { digest }.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

/// Brings a layer of the new base into the store.
async fn fetch(layer: &Named, order: &Order<'_>, reader: &Reader<'_>) -> Result<(), Error> {
    let from = order.base.folder_with(layer, LARGEST, reader).await?;
    let kept = reader.store.blob(&layer.digest);
    if reader.store.has_blob(&layer.digest, layer.size) {
        return Ok(());
    }
    let path = place::path(&from, &layer.digest);
    if fs::copy_verified(&path, &kept, &layer.digest)? {
        return Ok(());
    }
    Err(oci::Error::Damaged { path, cause: "its bytes do not have this digest".to_owned() }.into())
}

async fn to_layout(
    documents: &Documents,
    folder: &Path,
    order: &Order<'_>,
    reader: &Reader<'_>,
) -> Result<Transfer, Error> {
    let mut transfer = Transfer::default();
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    for layer in documents.layers.values() {
        let path = place::path(folder, &layer.digest);
        let is_there = fs::size(&path) == Some(layer.size) && fs::digest_of(&path)? == layer.digest;
        let part = if is_there { &mut transfer.skipped } else { &mut transfer.uploaded };
        part.count += 1;
        part.bytes += layer.size;
        if !is_there {
            fetch(layer, order, reader).await?;
            blobs.insert(layer.digest, layer.size);
        }
    }
    for document in documents.configs.iter().chain(&documents.manifests) {
        blobs.insert(reader.store.add(document)?, document.len() as u64);
    }
    for config in &documents.configs {
        transfer.uploaded.count += 1;
        transfer.uploaded.bytes += config.len() as u64;
    }
    transfer.manifests = documents.manifests.len();
    let target = documents.target(order);
    let name = |tag: &String| Reference { name: tag.clone(), target: target.clone() };
    let references: Vec<Reference> = order.tags.iter().map(name).collect();
    still_there(order).await?;
    layout::write(folder, &references, &blobs, reader.store)?;
    Ok(transfer)
}
