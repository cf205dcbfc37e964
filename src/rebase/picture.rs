//! One image as it is: its index, and of every platform manifest, configuration and layers.

use crate::oci;
use crate::oci::registry::Manifest;
use crate::oci::registry::document;
use crate::oci::registry::document::Named;
use crate::rebase::Error;
use crate::rebase::place::Place;
use crate::rebase::place::Reader;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most layers that an image may have; engines stop at 127 or 128.
const MOST_LAYERS: usize = 1000;

/// Most platforms that an image may have: the widest official images have some 20.
const MOST_PLATFORMS: usize = 64;

/// Most bytes that index, manifests and configurations of one image may have, and most values in them. Three images are in
/// memory at a time, and a value takes up to some 200 bytes there, however short it was. Ours have 50 kB and 2,000 values.
const MOST_BYTES: u64 = 8 << 20;
const MOST_VALUES: usize = 200_000;

/// An image with all its platforms.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its digest, size and media type.
    pub descriptor: Descriptor,
    /// Its digest.
    pub digest: Digest,
    /// The index as it is, where it is one.
    pub index: Option<Value>,
    /// Its platforms, in the index's order.
    pub faces: Vec<Face>,
    /// What an index names besides: attestations and the like, one text each.
    pub foreign: Vec<String>,
}

/// One platform of an image.
#[derive(Debug, Clone)]
pub struct Face {
    /// `linux/arm64/v8`, as the configuration says.
    pub platform: String,
    /// Its manifest's digest, size and media type; with what the index says about it.
    pub descriptor: Value,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest.
    pub manifest: Value,
    /// The configuration.
    pub config: Value,
    /// Its layers, from the bottom up.
    pub layers: Vec<Layer>,
}

/// A layer: what it is called packed and unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest, size and media type of the blob.
    pub blob: Named,
}

impl Face {
    /// Returns a label, or an annotation of the manifest: `org.opencontainers.image.title`, ….
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config["config"]["Labels"][name].as_str()
    }

    /// Returns an annotation of the manifest.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.manifest["annotations"][name].as_str()
    }

    /// Tells how many layers two images have in common from the bottom up; diffIDs decide, since whoever built the upper
    /// one may have packed the layers again.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        self.layers.iter().zip(&other.layers).take_while(|(own, other)| own.diff_id == other.diff_id).count()
    }

    /// Tells whether this image stands on the other one: that one's layers are its lowest ones.
    #[must_use]
    pub fn stands_on(&self, base: &Self) -> bool {
        !base.layers.is_empty() && self.common(base) == base.layers.len()
    }
}

/// What the documents of one image may still bring.
struct Room {
    bytes: u64,
    values: usize,
}

impl Room {
    /// Makes room for a document before it is read.
    fn take(&mut self, document: &[u8]) -> Result<(), String> {
        // every value stands behind one of these, in texts they are counted as well
        let values = document.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
        let bytes = self.bytes.checked_sub(document.len() as u64);
        self.bytes = bytes.ok_or_else(|| format!("its documents have more than {MOST_BYTES} bytes"))?;
        let values = self.values.checked_sub(values);
        self.values = values.ok_or_else(|| format!("its documents have more than {MOST_VALUES} values"))?;
        Ok(())
    }
}

/// Reads an image; `None` where there is nothing of that name.
///
/// # Errors
/// [`Error::NotAnImage`] for what cannot be moved onto another base in any case, others as named.
pub async fn read(place: &Place<'_>, reference: &str, reader: &Reader<'_>) -> Result<Option<Picture>, Error> {
    let Some(root) = place.document(reference, reader).await? else { return Ok(None) };
    let no_image = |cause: String| Error::NotAnImage { image: place.name_of(reference), cause };
    let digest = oci::digest_of(&root.descriptor).ok_or_else(|| no_image("its digest is no SHA-256".to_owned()))?;
    let mut room = Room { bytes: MOST_BYTES, values: MOST_VALUES };
    let document = parsed(&root, &mut room).map_err(&no_image)?;
    let described = Value::Object(Map::from_iter([
        ("mediaType".to_owned(), root.descriptor.media_type().to_string().into()),
        ("digest".to_owned(), digest.to_string().into()),
        ("size".to_owned(), root.descriptor.size().into()),
    ]));
    let mut picture =
        Picture { descriptor: root.descriptor.clone(), digest, index: None, faces: Vec::new(), foreign: Vec::new() };
    if document.1.manifests.is_empty() && document.1.blobs.is_empty() {
        return Err(no_image("it is an index without any image".to_owned()));
    }
    if document.1.manifests.is_empty() {
        picture.faces.push(face(place, (document, described), reader, &mut room).await?.map_err(&no_image)?);
        return Ok(Some(picture));
    }
    for (child, described) in document.1.manifests.iter().zip(document.0["manifests"].as_array().into_iter().flatten())
    {
        if let Some(what) = foreign(described) {
            picture.foreign.push(format!("{what} {}", child.digest));
            continue;
        }
        if picture.faces.len() == MOST_PLATFORMS {
            return Err(no_image(format!("it has more than {MOST_PLATFORMS} platforms")));
        }
        let manifest = place.document(&child.digest.to_string(), reader).await?;
        let manifest = manifest.ok_or_else(|| no_image(format!("its manifest {} is missing", child.digest)))?;
        let document = parsed(&manifest, &mut room).map_err(&no_image)?;
        if !document.1.manifests.is_empty() {
            return Err(no_image("it is an index of indexes".to_owned()));
        }
        let read = face(place, (document, described.clone()), reader, &mut room).await?;
        picture.faces.push(read.map_err(&no_image)?);
    }
    picture.index = Some(document.0);
    let mut platforms = BTreeMap::new();
    for face in &picture.faces {
        if platforms.insert(&face.platform, ()).is_some() {
            return Err(no_image(format!("it has two images for {}", face.platform)));
        }
    }
    if picture.faces.is_empty() {
        return Err(no_image("it is an index without any image".to_owned()));
    }
    Ok(Some(picture))
}

/// Returns the document as it is, and what it names.
fn parsed(manifest: &Manifest, room: &mut Room) -> Result<(Value, document::Document), String> {
    room.take(&manifest.bytes)?;
    let media_type = manifest.descriptor.media_type().to_string();
    let document = document::read(&manifest.bytes, Some(&media_type))?;
    let value = serde_json::from_slice(&manifest.bytes).map_err(|error| error.to_string())?;
    Ok((value, document))
}

/// Tells what an entry of an index is that is no image: BuildKit's attestations name the platform `unknown/unknown`
/// (BuildKit, docs/attestations/attestation-storage.md).
fn foreign(described: &Value) -> Option<String> {
    let kind = described["annotations"]["vnd.docker.reference.type"].as_str();
    let text = |key: &str| described["platform"][key].as_str();
    match (kind, text("os"), text("architecture")) {
        (Some(kind), ..) => Some(kind.chars().take(40).collect()),
        (None, Some("unknown"), _) | (None, _, Some("unknown")) => Some("manifest without a platform".to_owned()),
        _ => described.get("artifactType").map(|_| "artifact".to_owned()),
    }
}

async fn face(
    place: &Place<'_>,
    ((manifest, document), descriptor): ((Value, document::Document), Value),
    reader: &Reader<'_>,
    room: &mut Room,
) -> Result<Result<Face, String>, Error> {
    let Some((config, layers)) = document.blobs.split_first() else { return Ok(Err("it has no blobs".to_owned())) };
    if !is_image_config(&config.media_type) {
        return Ok(Err(format!("its configuration is `{}`", config.media_type.chars().take(80).collect::<String>())));
    }
    let bytes = place.config(config, reader).await?;
    if let Err(cause) = room.take(&bytes) {
        return Ok(Err(cause));
    }
    let parts = serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string());
    let parts = parts.and_then(|config| Ok((layers_of(&config, layers)?, platform(&config)?, config)));
    let digest = descriptor["digest"].as_str().and_then(|text| text.parse().ok());
    let (Some(digest), media_type) = (digest, document.media_type) else {
        return Ok(Err("its digest is no SHA-256".to_owned()));
    };
    Ok(parts.map(|(layers, platform, config)| Face {
        platform,
        descriptor,
        digest,
        media_type,
        manifest,
        config,
        layers,
    }))
}

fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json")
}

fn layers_of(config: &Value, layers: &[Named]) -> Result<Vec<Layer>, String> {
    let diff_ids = config["rootfs"]["diff_ids"].as_array().map_or(&[][..], Vec::as_slice);
    if diff_ids.len() != layers.len() {
        return Err(format!("it has {} layers and {} diffIDs", layers.len(), diff_ids.len()));
    }
    if layers.len() > MOST_LAYERS {
        return Err(format!("it has more than {MOST_LAYERS} layers"));
    }
    let one = |(diff_id, blob): (&Value, &Named)| {
        let diff_id = diff_id.as_str().and_then(|text| text.parse().ok());
        let diff_id = diff_id.ok_or_else(|| "a diffID is no SHA-256".to_owned())?;
        if !blob.media_type.contains("tar") {
            return Err(format!("a layer is `{}`", blob.media_type.chars().take(80).collect::<String>()));
        }
        Ok(Layer { diff_id, blob: blob.clone() })
    };
    diff_ids.iter().zip(layers).map(one).collect()
}

fn platform(config: &Value) -> Result<String, String> {
    let text = |key: &str| config[key].as_str().unwrap_or_default();
    let (os, architecture) = (text("os"), text("architecture"));
    if os.is_empty() || architecture.is_empty() || !config["config"].is_object() {
        return Err("its configuration names no platform or has no settings".to_owned());
    }
    // arm64 is v8 whether it is said or not (image-spec image-index.md, "Platform Variants")
    let variant = match text("variant") {
        "v8" if architecture == "arm64" => "",
        variant => variant,
    };
    let whole = format!("{os}/{architecture}/{variant}");
    Ok(whole.trim_end_matches('/').chars().filter(|c| !c.is_control()).take(80).collect())
}
