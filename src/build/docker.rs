//! The same image with Docker's media types (Docker image manifest v2, schema 2), for registries that do not know OCI's.
//!
//! Configurations and layers keep their bytes and digests: both formats are the same there. Manifests and index name other
//! media types, so they get digests of their own, which are the same on every machine.

use crate::build::BuiltImage;
use crate::build::Error;
use crate::oci;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use oci_distribution::manifest;
use serde_json::Value;

/// OCI's media types with Docker's for the same thing.
const TYPES: [(&str, &str); 5] = [
    (manifest::OCI_IMAGE_INDEX_MEDIA_TYPE, manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE),
    (manifest::OCI_IMAGE_MEDIA_TYPE, manifest::IMAGE_MANIFEST_MEDIA_TYPE),
    ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"),
    ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"),
];

/// Media type of an index in this form.
pub(crate) const LIST: &str = manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE;

/// Returns an image with Docker's media types; its new documents are in the store.
///
/// # Errors
/// When the store fails, or Docker has no media type for a layer.
pub(crate) fn with_docker_types(built: &BuiltImage, store: &Store) -> Result<BuiltImage, Error> {
    let mut converted = BuiltImage { is_docker: true, ..built.clone() };

    let mut renamed = Vec::new();
    for platform in &mut converted.platforms {
        let old = platform.manifest.0;
        let mut document = read(&platform.manifest, store)?;
        rename(&mut document, built)?;
        rename(&mut document["config"], built)?;
        for layer in document["layers"].as_array_mut().into_iter().flatten() {
            rename(layer, built)?;
        }
        platform.manifest = keep(&document, store)?;
        renamed.push((old.to_string(), platform.manifest));
    }

    let mut index = read(&converted.index, store)?;
    rename(&mut index, built)?;
    for entry in index["manifests"].as_array_mut().into_iter().flatten() {
        rename(entry, built)?;
        let new = renamed.iter().find(|(old, _)| entry["digest"] == old.as_str());
        if let Some((_, (digest, size))) = new {
            entry["digest"] = digest.to_string().into();
            entry["size"] = (*size).into();
        }
    }
    converted.index = keep(&index, store)?;
    Ok(converted)
}

/// Reads a document of the image.
fn read((digest, size): &(Digest, u64), store: &Store) -> Result<Value, Error> {
    let bytes = fs::read(&store.blob(digest), *size).map_err(oci::Error::from)?;
    // what leaves is read again: blobs may have lain in the store for long
    if Digest::of(&bytes) != *digest {
        return Err(store.damaged(digest).into());
    }
    let path = store.blob(digest);
    let malformed = |error: serde_json::Error| oci::Error::Damaged { path, cause: error.to_string() };
    Ok(serde_json::from_slice(&bytes).map_err(malformed)?)
}

/// Writes a document into the store.
fn keep(document: &Value, store: &Store) -> Result<(Digest, u64), Error> {
    let bytes = oci::canonical(document);
    Ok((store.add(&bytes)?, bytes.len() as u64))
}

/// Replaces the media type of a document or descriptor.
fn rename(value: &mut Value, built: &BuiltImage) -> Result<(), Error> {
    let old = value["mediaType"].as_str().unwrap_or_default();
    match TYPES.iter().find(|(name, _)| *name == old) {
        Some((_, new)) => {
            value["mediaType"] = (*new).into();
            Ok(())
        }
        None => Err(Error::NoDockerType { image: built.image.clone(), media_type: old.to_owned() }),
    }
}
