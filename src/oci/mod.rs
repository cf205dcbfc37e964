//! OCI formats: documents in canonical JSON, images in layout folders and archives, and registries.

pub mod archive;
pub mod layout;
pub mod registry;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::store;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use oci_spec::image::MediaType;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

/// What can go wrong when images are written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A layout folder or archive is malformed or damaged.
    #[error("cannot read image layout `{}`: {cause}", path.display())]
    Damaged {
        /// The malformed file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The archive format cannot represent this image.
    #[error("cannot write {format} `{}`: {cause}", path.display())]
    Unfit {
        /// The archive format: `docker-archive`, …
        format: &'static str,
        /// The archive that was to be written.
        path: PathBuf,
        /// The property of the image that the format cannot represent.
        cause: String,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
            Self::Damaged { .. } | Self::Unfit { .. } => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Damaged { .. } | Self::Unfit { .. } => Vec::new(),
        }
    }
}

/// Returns a document as JSON with sorted keys and without white space: equal documents have equal bytes.
///
/// # Panics
/// Never in practice: OCI documents have string keys and no infinite numbers.
#[must_use]
pub fn canonical<T: Serialize>(document: &T) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("OCI documents have string keys");
    serde_json::to_vec(&SortedJson(&value)).expect("values serialise")
}

/// Serialises objects in byte order of their keys, in whatever order the value keeps them.
struct SortedJson<'a>(&'a Value);

impl Serialize for SortedJson<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                // `serde_json` may be built to keep the order of insertion; a digest must not depend on that
                let sorted: BTreeMap<&String, SortedJson<'_>> =
                    object.iter().map(|(key, value)| (key, SortedJson(value))).collect();
                serializer.collect_map(sorted)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(SortedJson)),
            other => other.serialize(serializer),
        }
    }
}

/// Returns a content descriptor (image-spec descriptor.md).
///
/// # Panics
/// Never in practice: our digests are valid OCI digests.
#[must_use]
pub fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    let digest = oci_spec::image::Digest::from_str(&digest.to_string()).expect("our digests are OCI digests");
    Descriptor::new(MediaType::from(media_type), size, digest)
}

/// Returns the digest of a descriptor if it is a SHA-256 digest.
#[must_use]
pub fn digest_of(descriptor: &Descriptor) -> Option<Digest> {
    descriptor.digest().to_string().parse().ok()
}

/// Returns the tar stream of a layer blob. The suffix of its media type names the compression (image-spec layer.md): gzip,
/// zstd or none.
///
/// # Errors
/// When a decoder cannot be set up.
pub fn decompressed(media_type: &str, blob: File) -> Result<Box<dyn Read>, Error> {
    if media_type.ends_with("+zstd") {
        let decoder = zstd::Decoder::new(blob).map_err(|cause| fs::Error::new("read", Path::new("layer"), cause))?;
        Ok(Box::new(decoder))
    } else if media_type.ends_with("gzip") {
        // without a plus sign: Docker's type ends in `.tar.gzip`; layers of sockel have many gzip members
        Ok(Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(blob))))
    } else {
        Ok(Box::new(io::BufReader::new(blob)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = json!({"b": [{"z": 1, "a": null}], "a": {"y": "é", "x": true}});
        let text = String::from_utf8(canonical(&value)).unwrap();
        assert_eq!(text, r#"{"a":{"x":true,"y":"é"},"b":[{"a":null,"z":1}]}"#);
    }
}
