//! New documents for an application: its layers on those of another base, its history after that base's, and merged settings
//! and annotations. The same inputs give the same bytes: no clock is read.

use crate::image::BASE_DIGEST;
use crate::oci;
use crate::oci::registry::document::ContentDescriptor;
use crate::rebase::merge;
use crate::rebase::picture::IdentifiedLayer;
use crate::rebase::picture::PlatformImage;
use crate::rebase::time;
use crate::values::Digest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Annotation: the reference of the base image (image-spec annotations.md).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation: the digest of the image that was moved onto another base.
pub const FROM: &str = "io.sockel.rebased-from";

/// One platform of an application with its old and its new base. The application's layers begin with the old base's.
#[derive(Debug, Clone, Copy)]
pub struct SpliceInput<'a> {
    /// The application.
    pub application: &'a PlatformImage,
    /// The base that it was built on.
    pub old: &'a PlatformImage,
    /// Its new base.
    pub new: &'a PlatformImage,
    /// The reference of the new base.
    pub base_name: &'a str,
}

/// New documents of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplicedPlatform {
    /// Configuration in canonical JSON.
    pub config: Vec<u8>,
    /// Manifest in canonical JSON.
    pub manifest: Vec<u8>,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Layers of the new base that the application did not have.
    pub added: Vec<IdentifiedLayer>,
    /// Number of layers that the application had already.
    pub kept: usize,
    /// Settings that application and new base changed to different values.
    pub conflicts: Vec<String>,
}

/// The indexes of an application and of its bases, of which a new index is made.
#[derive(Debug, Clone, Copy)]
pub struct IndexSplice<'a> {
    /// The application's index.
    pub application: &'a Value,
    /// Digest of the application's index.
    pub application_digest: &'a Digest,
    /// The old base's index, if it was found through one.
    pub old: Option<&'a Value>,
    /// The new base's index, if it has one.
    pub new: Option<&'a Value>,
    /// The reference of the new base.
    pub base_name: &'a str,
    /// Digest of the new base's index or manifest.
    pub base_digest: &'a Digest,
}

/// Makes the documents of one platform.
///
/// # Errors
/// When a layer of the new base has a media type that the application's kind of manifest does not allow.
pub fn splice(parts: &SpliceInput<'_>) -> Result<SplicedPlatform, String> {
    let SpliceInput { application, old, new, .. } = *parts;
    let merged = merge::settings(&old.config["config"], &application.config["config"], &new.config["config"]);
    let config = oci::canonical(&config(parts, merged.settings));
    let manifest = oci::canonical(&manifest(parts, &config)?);

    // blobs are compared, not diffIDs: if the application's builder compressed a layer of the base again, consumers have
    // that blob and must pull the base's
    let mut added = new.layers.clone();
    added.retain(|layer| application.layers.iter().all(|known| known.blob.digest != layer.blob.digest));

    let own_layers = application.layers.len() - old.layers.len();
    let kept = new.layers.len() - added.len() + own_layers;
    Ok(SplicedPlatform { digest: Digest::of(&manifest), config, manifest, added, kept, conflicts: merged.conflicts })
}

/// Makes the new index: the same entries with the new manifests, without entries that describe the old ones.
#[must_use]
pub fn index(parts: &IndexSplice<'_>, entries: Vec<Value>) -> Vec<u8> {
    let mut index = parts.application.clone();
    index["manifests"] = Value::Array(entries);

    // a Docker manifest list has no annotations
    let is_manifest_list = index["mediaType"].as_str().is_some_and(is_docker);
    if !is_manifest_list {
        let [old, new] =
            [parts.old, parts.new].map(|index| index.map_or(Value::Null, |index| index["annotations"].clone()));
        let mut annotations = merge::annotations(&old, &parts.application["annotations"], &new);
        record_base(&mut annotations, parts.base_name, parts.base_digest, parts.application_digest);
        index["annotations"] = Value::Object(annotations);
    }
    oci::canonical(&index)
}

/// Makes the new configuration.
fn config(parts: &SpliceInput<'_>, settings: Value) -> Value {
    let SpliceInput { application, old, new, .. } = *parts;
    let mut config = application.config.clone();
    config["config"] = settings;
    label_base(parts, &mut config);

    // the later time of both, not the time of the move: the same inputs give the same digest
    config["created"] = later(&application.config["created"], &new.config["created"]).clone();
    let own_layers = application.layers.iter().skip(old.layers.len());
    let diff_ids: Vec<Digest> = new.layers.iter().chain(own_layers).map(|layer| layer.diff_id).collect();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    config["history"] = Value::Array(history(parts));
    config
}

/// Makes the new manifest for a configuration.
fn manifest(parts: &SpliceInput<'_>, config: &[u8]) -> Result<Value, String> {
    let SpliceInput { application, old, new, base_name } = *parts;
    let is_docker = is_docker(&application.media_type);
    let mut manifest = application.manifest.clone();
    let config_type = application.manifest["config"]["mediaType"].clone();
    manifest["config"] = json!({ "mediaType": config_type, "digest": Digest::of(config), "size": config.len() });

    let mut layers = Vec::new();
    for layer in &new.layers {
        layers.push(layer_descriptor(&layer.blob, is_docker)?);
    }
    // the application's own descriptors stay as they are, with annotations and whatever else its builder wrote
    let descriptors = application.manifest["layers"].as_array().map_or(&[][..], Vec::as_slice);
    layers.extend(descriptors.iter().skip(old.layers.len()).cloned());
    manifest["layers"] = Value::Array(layers);

    // Docker's manifests have no annotations: labels name the base there (see `label_base`)
    if !is_docker {
        let [before, own, after] = [old, application, new].map(|image| &image.manifest["annotations"]);
        let mut annotations = merge::annotations(before, own, after);
        record_base(&mut annotations, base_name, &new.digest, &application.digest);
        manifest["annotations"] = Value::Object(annotations);
    }
    Ok(manifest)
}

/// Names the new base in labels, in two cases: for Docker's manifests, which have no annotations, and where labels of the
/// application name its old base, which would be wrong now.
fn label_base(parts: &SpliceInput<'_>, config: &mut Value) {
    let SpliceInput { application, old, new, base_name } = *parts;

    // a label that the base itself has names what the base was built on, and follows the base through the merge
    let own_label = application.label(BASE_DIGEST).filter(|label| old.label(BASE_DIGEST) != Some(*label));
    if !is_docker(&application.media_type) && own_label.is_none() {
        return;
    }

    let labels = &mut config["config"]["Labels"];
    let mut map = labels.as_object().cloned().unwrap_or_default();
    record_base(&mut map, base_name, &new.digest, &application.digest);
    *labels = Value::Object(map);
}

/// Writes down the base of an image, and the digest of the image that was moved there.
fn record_base(map: &mut Map<String, Value>, base_name: &str, base_digest: &Digest, from: &Digest) {
    map.insert(BASE_NAME.to_owned(), base_name.into());
    map.insert(BASE_DIGEST.to_owned(), base_digest.to_string().into());
    map.insert(FROM.to_owned(), from.to_string().into());
}

fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.")
}

/// Returns the descriptor of a base's layer for the application's kind of manifest: Docker and OCI have media types of
/// their own for the same layer.
fn layer_descriptor(blob: &ContentDescriptor, is_docker: bool) -> Result<Value, String> {
    const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
    const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    let media_type = match (is_docker, blob.media_type.as_str()) {
        (true, "application/vnd.oci.image.layer.v1.tar+gzip") => format!("{DOCKER}.gzip"),
        (true, OCI) => DOCKER.to_owned(),
        // Docker's kind has no name for zstd
        (true, other) if !other.starts_with(DOCKER) => {
            let reason = "which Docker's manifest format does not allow";
            return Err(format!("the new base has a layer with the media type `{other}`, {reason}"));
        }
        (false, "application/vnd.docker.image.rootfs.diff.tar.gzip") => format!("{OCI}+gzip"),
        (false, DOCKER) => OCI.to_owned(),
        (_, other) => other.to_owned(),
    };
    Ok(json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size }))
}

/// Returns the new base's history, followed by what the application's builder did after the old base's.
fn history(parts: &SpliceInput<'_>) -> Vec<Value> {
    let SpliceInput { application, old, new, .. } = *parts;
    let (whole, before) = (steps(application), steps(old));
    let mut history = steps(new);
    if layers_in(&history) != new.layers.len() {
        history = placeholder(new, new.layers.len());
    }

    if layers_in(&whole) != application.layers.len() {
        history.extend(placeholder(application, application.layers.len() - old.layers.len()));
    } else if whole.starts_with(&before) && layers_in(&before) == old.layers.len() {
        // the exact end of the base's history: its last steps may have made no layer
        history.extend_from_slice(&whole[before.len()..]);
    } else {
        // a builder that rewrote the base's history: only its layers can be counted
        history.extend_from_slice(after_layers(&whole, old.layers.len()));
    }
    history
}

/// Returns the history of an image.
fn steps(image: &PlatformImage) -> Vec<Value> {
    image.config["history"].as_array().cloned().unwrap_or_default()
}

/// Returns the number of layers in a history. Steps such as `ENV` make none.
fn layers_in(history: &[Value]) -> usize {
    history.iter().filter(|step| makes_layer(step)).count()
}

fn makes_layer(step: &Value) -> bool {
    step["empty_layer"].as_bool() != Some(true)
}

/// Returns the steps that follow the one with the last of the given number of layers.
fn after_layers(history: &[Value], layers: usize) -> &[Value] {
    let mut seen = 0;
    for (number, step) in history.iter().enumerate() {
        if seen == layers {
            return &history[number..];
        }
        seen += usize::from(makes_layer(step));
    }
    &[]
}

/// Returns a history for layers whose own one has another number of steps: engines refuse an image if the numbers differ.
fn placeholder(image: &PlatformImage, layers: usize) -> Vec<Value> {
    let step =
        json!({ "created": image.config["created"], "created_by": "unknown: the history did not fit the layers" });
    vec![step; layers]
}

/// Returns the later of two times. One that cannot be read is the earlier one.
fn later<'a>(first: &'a Value, second: &'a Value) -> &'a Value {
    let [first_time, second_time] = [first, second].map(|value| value.as_str().and_then(time::parse));
    if second_time > first_time { second } else { first }
}

#[cfg(test)]
mod tests;
