//! Layers to image: configuration, manifest, and one index over all platforms.
//!
//! - **In**: the definition, the lock, and the written layers of each platform.
//! - **Out**: documents as bytes with their digests; nothing is stored here.
//! - **Invariants**: no clock, host name or random number; the same input gives the same bytes; never root.
//! - **Not here**: layers (`layer`), storing and writing out (`build`, `oci`).

mod annotations;
mod config;
pub mod snapshot;

pub use annotations::AnnotationSources;
pub use annotations::BASE_DIGEST;
pub use annotations::ParentImage;
pub use annotations::REVISION;
pub use annotations::annotations;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::layer::write::LayerBlob;
use crate::oci;
use crate::recipe::LevelDefinition;
use crate::tree::compress::Compression;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageIndex;
use oci_spec::image::ImageManifestBuilder;
use oci_spec::image::MediaType;
use std::collections::BTreeMap;

/// Why an image cannot be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No level sets the user that the image runs as.
    #[error("cannot make image `{0}`: no level sets `config.user`, and an image must not run as root")]
    NoUser(String),
    /// The user is root or not numeric.
    #[error("cannot make image `{image}`: user `{user}` is not a numeric non-zero `uid:gid`")]
    BadUser {
        /// Image name.
        image: String,
        /// The user that a level sets.
        user: String,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        Turn::Input
    }
}

/// A layer with its title.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageLayer {
    /// The stored layer.
    pub blob: LayerBlob,
    /// Title for people and the image history: recipe and source packages.
    pub what: String,
    /// Key of its content, under which another image finds it; records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<crate::values::Digest>,
}

/// What the image of one platform is made of.
#[derive(Debug, Clone, Copy)]
pub struct PlatformImageParts<'a> {
    /// Image name, for messages.
    pub image: &'a str,
    /// The platform.
    pub platform: Platform,
    /// Recipe levels from the root up.
    pub levels: &'a [LevelDefinition],
    /// Layers from the bottom up.
    pub layers: &'a [ImageLayer],
    /// Annotations, which are the labels too.
    pub annotations: &'a BTreeMap<String, String>,
}

/// A JSON document with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonDocument {
    /// Canonical JSON.
    pub bytes: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
}

impl JsonDocument {
    fn new(document: &impl serde::Serialize) -> Self {
        let bytes = oci::canonical(document);
        Self { digest: Digest::of(&bytes), bytes }
    }
}

/// Composes configuration and manifest of one platform.
///
/// # Errors
/// [`Error::NoUser`] and [`Error::BadUser`].
pub fn compose(
    parts: &PlatformImageParts<'_>,
    compression: Compression,
    epoch: Epoch,
) -> Result<(JsonDocument, JsonDocument), Error> {
    let config = JsonDocument::new(&config::config(parts, epoch)?);
    let size = config.bytes.len() as u64;
    let config_descriptor = oci::descriptor("application/vnd.oci.image.config.v1+json", &config.digest, size);

    let layers = parts
        .layers
        .iter()
        .map(|ImageLayer { blob, .. }| oci::descriptor(compression.media_type(), &blob.digest, blob.size));
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        // optional by the specification, but Docker's registry and scanners want it
        .media_type(MediaType::ImageManifest)
        .config(config_descriptor)
        .layers(layers.collect::<Vec<_>>())
        .annotations(oci_map(parts.annotations))
        .build()
        .expect("all required fields are set");
    Ok((config, JsonDocument::new(&manifest)))
}

/// Makes the index over all platforms' manifests.
#[must_use]
pub fn index(manifests: &[Descriptor], annotations: &BTreeMap<String, String>) -> JsonDocument {
    let mut index = ImageIndex::default();
    index.set_schema_version(2);
    index.set_media_type(Some(MediaType::ImageIndex));
    index.set_manifests(manifests.to_vec());
    index.set_annotations(Some(oci_map(annotations)));
    JsonDocument::new(&index)
}

/// Returns a manifest's descriptor with its platform (image-spec image-index.md).
#[must_use]
pub fn platform_descriptor(digest: &Digest, size: u64, platform: Platform) -> Descriptor {
    let mut descriptor = oci::descriptor("application/vnd.oci.image.manifest.v1+json", digest, size);
    let mut oci_platform = oci_spec::image::Platform::default();
    oci_platform.set_architecture(platform.architecture().oci().into());
    oci_platform.set_os("linux".into());
    // image-index.md, "Platform Variants": arm64 has `v8`, amd64 has none
    oci_platform.set_variant(platform.architecture().variant().map(str::to_owned));
    descriptor.set_platform(Some(oci_platform));
    descriptor
}

/// oci-spec keeps maps unsorted; [`oci::canonical`] sorts them when they are written.
#[expect(clippy::disallowed_types, reason = "the type that oci-spec asks for; sorted when written")]
fn oci_map(map: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    map.clone().into_iter().collect()
}
