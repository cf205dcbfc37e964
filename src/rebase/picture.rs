//! An image as it is: its index, and the manifest, configuration and layers of every platform.

use crate::oci;
use crate::oci::registry::FetchedManifest;
use crate::oci::registry::document;
use crate::oci::registry::document::ContentDescriptor;
use crate::oci::registry::document::ManifestDocument;
use crate::rebase::Error;
use crate::rebase::place::DocumentReader;
use crate::rebase::place::OpenRepository;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// Most platforms that an image may have: the widest official images have some 20.
const MOST_PLATFORMS: usize = 64;

/// Most bytes that index, manifests and configurations of one image may have. Three images are in memory at a time. Ours
/// have 50 kB.
const MOST_BYTES: u64 = 8 << 20;

/// Most values in these documents: one takes up to some 200 bytes of memory, however short it was. Ours have 2,000.
const MOST_VALUES: usize = 200_000;

/// Most layers of an image. Engines stop at 127 or 128; what has more than this was made to cost memory.
const MOST_LAYERS: usize = 1000;

/// Most characters of untrusted text that a message repeats.
const MOST_SHOWN: usize = 80;

/// An image with all its platforms.
#[derive(Debug, Clone)]
pub struct LoadedImage {
    /// Digest, size and media type of its index, or of its only manifest.
    pub descriptor: Descriptor,
    /// Digest of the same document.
    pub digest: Digest,
    /// Its index, if it has one.
    pub index: Option<Value>,
    /// Its platforms in the index's order.
    pub platforms: Vec<PlatformImage>,
    /// Entries of the index that are not images, such as attestations: one text each.
    pub foreign: Vec<String>,
}

/// One platform of an image.
#[derive(Debug, Clone)]
pub struct PlatformImage {
    /// `linux/arm64/v8`, as the configuration names it.
    pub platform: String,
    /// The index's entry for the manifest: digest, size, media type, and what else it contains.
    pub descriptor: Value,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest.
    pub manifest: Value,
    /// The image configuration.
    pub config: Value,
    /// Its layers, lowest first.
    pub layers: Vec<IdentifiedLayer>,
}

/// A layer with its uncompressed and its compressed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedLayer {
    /// Digest of the uncompressed tar archive.
    pub diff_id: Digest,
    /// Digest, size and media type of the blob.
    pub blob: ContentDescriptor,
}

impl PlatformImage {
    /// Returns a label of the configuration.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config["config"]["Labels"][name].as_str()
    }

    /// Returns an annotation of the manifest.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.manifest["annotations"][name].as_str()
    }

    /// Returns the number of layers that two images share, counted from the lowest. DiffIDs are compared, because the
    /// builder of the upper image may have compressed the layers again.
    #[must_use]
    pub fn shared_layers(&self, other: &Self) -> usize {
        self.layers.iter().zip(&other.layers).take_while(|(own, other)| own.diff_id == other.diff_id).count()
    }

    /// Tells whether this image is built on another one: its lowest layers are exactly the layers of that image.
    #[must_use]
    pub fn is_built_on(&self, base: &Self) -> bool {
        // an image without layers would be the base of everything
        !base.layers.is_empty() && self.shared_layers(base) == base.layers.len()
    }
}

/// Reads an image; `None` if it does not exist.
///
/// # Errors
/// [`Error::NotAnImage`] for an artifact that cannot be rebased at all, others as named.
pub async fn read(
    place: &OpenRepository<'_>,
    reference: &str,
    reader: &DocumentReader<'_>,
) -> Result<Option<LoadedImage>, Error> {
    let Some(root) = place.document(reference, reader).await? else { return Ok(None) };
    let budget = DocumentBudget { bytes: MOST_BYTES, values: MOST_VALUES };
    let mut loader = ImageLoader { place, reference, reader, budget };
    let Some(digest) = oci::digest_of(&root.descriptor) else {
        return Err(loader.not_an_image("its digest is not a SHA-256 digest"));
    };
    let document = loader.parse(&root)?;
    let descriptor = root.descriptor.clone();
    let mut picture = LoadedImage { descriptor, digest, index: None, platforms: Vec::new(), foreign: Vec::new() };

    // an image for a single platform needs no index
    if document.content.manifests.is_empty() && !document.content.blobs.is_empty() {
        let media_type = root.descriptor.media_type().to_string();
        let entry = json!({ "mediaType": media_type, "digest": digest, "size": root.descriptor.size() });
        picture.platforms.push(loader.platform(document, entry).await?);
        return Ok(Some(picture));
    }

    loader.add_platforms(&mut picture, &document).await?;
    // attestations may be all that is in an index
    picture.index = Some(document.json);
    if picture.platforms.is_empty() {
        return Err(loader.not_an_image("its index names no image"));
    }

    // every platform gets the new base's image of the same name: with two of one name, both would get the same
    let mut names = BTreeSet::new();
    if let Some(twice) = picture.platforms.iter().find(|image| !names.insert(&image.platform)) {
        return Err(loader.not_an_image(&format!("it has two images for {}", twice.platform)));
    }
    Ok(Some(picture))
}

/// What the documents of one image may still bring.
struct DocumentBudget {
    bytes: u64,
    values: usize,
}

impl DocumentBudget {
    /// Takes a document into account before it is read.
    fn take(&mut self, document: &[u8]) -> Result<(), String> {
        // every value stands behind one of these characters; those within texts are counted as well
        let values = document.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();

        let bytes = self.bytes.checked_sub(document.len() as u64);
        self.bytes = bytes.ok_or_else(|| format!("its documents have more than {MOST_BYTES} bytes"))?;
        let values = self.values.checked_sub(values);
        self.values = values.ok_or_else(|| format!("its documents have more than {MOST_VALUES} values"))?;
        Ok(())
    }
}

/// A manifest or index: its JSON with every field, and the descriptors that it names.
struct ParsedDocument {
    json: Value,
    content: ManifestDocument,
}

/// An image that is being read.
struct ImageLoader<'a> {
    place: &'a OpenRepository<'a>,
    reference: &'a str,
    reader: &'a DocumentReader<'a>,
    budget: DocumentBudget,
}

impl ImageLoader<'_> {
    fn not_an_image(&self, cause: &str) -> Error {
        Error::NotAnImage { image: self.place.name_of(self.reference), cause: cause.to_owned() }
    }

    fn parse(&mut self, manifest: &FetchedManifest) -> Result<ParsedDocument, Error> {
        self.budget.take(&manifest.bytes).map_err(|cause| self.not_an_image(&cause))?;
        let media_type = manifest.descriptor.media_type().to_string();
        let content = document::read(&manifest.bytes, Some(&media_type)).map_err(|cause| self.not_an_image(&cause))?;
        let json = serde_json::from_slice(&manifest.bytes).map_err(|error| self.not_an_image(&error.to_string()))?;
        Ok(ParsedDocument { json, content })
    }

    /// Reads every image that an index names.
    async fn add_platforms(&mut self, picture: &mut LoadedImage, index: &ParsedDocument) -> Result<(), Error> {
        let entries = index.json["manifests"].as_array().into_iter().flatten();
        for (named, entry) in index.content.manifests.iter().zip(entries) {
            if let Some(kind) = foreign_kind(entry) {
                picture.foreign.push(format!("{kind} {}", named.digest));
                continue;
            }

            if picture.platforms.len() == MOST_PLATFORMS {
                return Err(self.not_an_image(&format!("it has more than {MOST_PLATFORMS} platforms")));
            }

            let Some(manifest) = self.place.document(&named.digest.to_string(), self.reader).await? else {
                return Err(self.not_an_image(&format!("its manifest {} is missing", named.digest)));
            };
            let document = self.parse(&manifest)?;
            // image-spec image-index.md allows nested indexes; following them would need a limit on their depth
            if !document.content.manifests.is_empty() {
                return Err(self.not_an_image("its index contains another index"));
            }
            picture.platforms.push(self.platform(document, entry.clone()).await?);
        }
        Ok(())
    }

    /// Reads what a manifest names. `entry` describes the manifest as an index does.
    async fn platform(&mut self, document: ParsedDocument, entry: Value) -> Result<PlatformImage, Error> {
        // configuration first, then the layers
        let Some((config, layers)) = document.content.blobs.split_first() else {
            return Err(self.not_an_image("its manifest names no blobs"));
        };
        // artifacts such as Helm charts have manifests, too, with a configuration of another kind
        if !is_image_config(&config.media_type) {
            let cause = format!("its configuration has the media type `{}`", excerpt(&config.media_type));
            return Err(self.not_an_image(&cause));
        }

        let bytes = self.place.config(config, self.reader).await?;
        self.budget.take(&bytes).map_err(|cause| self.not_an_image(&cause))?;
        let config: Value = serde_json::from_slice(&bytes).map_err(|error| self.not_an_image(&error.to_string()))?;
        let layers = layers_of(&config, layers).map_err(|cause| self.not_an_image(&cause))?;
        let platform = platform_name(&config).map_err(|cause| self.not_an_image(&cause))?;

        let Some(digest) = entry["digest"].as_str().and_then(|text| text.parse().ok()) else {
            return Err(self.not_an_image("its digest is not a SHA-256 digest"));
        };
        let (media_type, manifest) = (document.content.media_type, document.json);
        Ok(PlatformImage { platform, descriptor: entry, digest, media_type, manifest, config, layers })
    }
}

/// Returns the kind of an index entry that is not an image. BuildKit's attestations name the platform `unknown/unknown`
/// (BuildKit, docs/attestations/attestation-storage.md).
fn foreign_kind(entry: &Value) -> Option<String> {
    let reference_type = entry["annotations"]["vnd.docker.reference.type"].as_str();
    let (os, architecture) = (entry["platform"]["os"].as_str(), entry["platform"]["architecture"].as_str());
    match (reference_type, os, architecture) {
        (Some(kind), ..) => Some(excerpt(kind)),
        (None, Some("unknown"), _) | (None, _, Some("unknown")) => Some("manifest without a platform".to_owned()),
        _ => entry.get("artifactType").map(|_| "artifact".to_owned()),
    }
}

fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json")
}

/// Pairs the layers of a manifest with the diffIDs of its configuration: both list them from the lowest (image-spec
/// config.md, "rootfs").
fn layers_of(config: &Value, blobs: &[ContentDescriptor]) -> Result<Vec<IdentifiedLayer>, String> {
    let diff_ids = config["rootfs"]["diff_ids"].as_array().map_or(&[][..], Vec::as_slice);
    if diff_ids.len() != blobs.len() {
        return Err(format!("it has {} layers and {} diffIDs", blobs.len(), diff_ids.len()));
    }
    if blobs.len() > MOST_LAYERS {
        return Err(format!("it has more than {MOST_LAYERS} layers"));
    }

    let mut layers = Vec::with_capacity(blobs.len());
    for (diff_id, blob) in diff_ids.iter().zip(blobs) {
        let Some(diff_id) = diff_id.as_str().and_then(|text| text.parse().ok()) else {
            return Err("a diffID is not a SHA-256 digest".to_owned());
        };
        // part of every media type of a layer, OCI's and Docker's (image-spec layer.md; Docker, manifest v2 schema 2)
        if !blob.media_type.contains("tar") {
            return Err(format!("a layer has the media type `{}`", excerpt(&blob.media_type)));
        }
        layers.push(IdentifiedLayer { diff_id, blob: blob.clone() });
    }
    Ok(layers)
}

/// Returns `os/architecture` or `os/architecture/variant`.
fn platform_name(config: &Value) -> Result<String, String> {
    let [os, architecture, variant] =
        ["os", "architecture", "variant"].map(|key| config[key].as_str().unwrap_or_default());
    if os.is_empty() || architecture.is_empty() || !config["config"].is_object() {
        return Err("its configuration names no platform or has no settings".to_owned());
    }

    // arm64 means v8 with or without the variant (image-spec image-index.md, "Platform Variants")
    let variant = if architecture == "arm64" && variant == "v8" { "" } else { variant };
    let name = format!("{os}/{architecture}/{variant}");
    // the name appears in every message about the platform
    Ok(name.trim_end_matches('/').chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect())
}

/// Cuts untrusted text to a length that fits into a message.
fn excerpt(text: &str) -> String {
    text.chars().take(MOST_SHOWN).collect()
}
