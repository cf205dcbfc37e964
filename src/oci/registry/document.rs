//! Reads manifests and indexes of any origin (image-spec manifest.md, image-index.md; Docker image manifest v2, schema 2),
//! and returns the descriptors in them.

use crate::oci;
use crate::oci::registry::error::shown;
use crate::values::Digest;
use oci_distribution::manifest;
use oci_spec::image::Descriptor;
use serde::Deserialize;

/// Largest manifest or index: the size that registries should at least accept (distribution-spec, "Pushing Manifests").
pub const LIMIT: u64 = 4 << 20;

/// Most manifests of one index.
const MOST_CHILDREN: usize = 1000;

/// Media types for the header `Accept`, the preferred one first.
pub(super) const ACCEPTED: [&str; 4] = [
    manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    manifest::OCI_IMAGE_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

/// A descriptor in a document: a blob, a manifest or an index with its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentDescriptor {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// The parts of a manifest or index that matter for pulling and pushing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDocument {
    /// Its media type.
    pub media_type: String,
    /// Manifests in an index; none in a manifest.
    pub manifests: Vec<ContentDescriptor>,
    /// Configuration and layers in a manifest, in this order; none in an index.
    pub blobs: Vec<ContentDescriptor>,
}

/// The fields that tell manifests and indexes apart. All others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFields {
    schema_version: u8,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// Reads a document. `declared` is the media type that an answer or a descriptor gives it.
///
/// # Errors
/// The cause, for messages. A document that could be read both as a manifest and as an index is refused (CVE-2021-41190).
pub fn read(bytes: &[u8], declared: Option<&str>) -> Result<ManifestDocument, String> {
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    // serde takes a list of values for a struct, other readers do not: all must see the same document
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("it is not a manifest".to_owned());
    }

    // serde_json limits the depth, so a hostile document cannot exhaust the stack
    let raw: ManifestFields = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is not a manifest: {}", shown(&error.to_string())))?;
    // schema 1 has neither configuration nor descriptors
    if raw.schema_version != 2 {
        return Err(format!("its schema version is {}, only 2 is supported", raw.schema_version));
    }

    let media_type = media_type(declared, &raw)?;
    match (is_index(&media_type), raw.config, raw.layers, raw.manifests) {
        (Some(true), None, None, Some(manifests)) => {
            if manifests.len() > MOST_CHILDREN {
                return Err(format!("it lists {} manifests; at most {MOST_CHILDREN} are allowed", manifests.len()));
            }
            Ok(ManifestDocument { media_type, manifests: named(&manifests)?, blobs: Vec::new() })
        }
        (Some(false), Some(config), Some(layers), None) => {
            let mut blobs = named(std::slice::from_ref(&config))?;
            blobs.extend(named(&layers)?);
            Ok(ManifestDocument { media_type, manifests: Vec::new(), blobs })
        }
        (None, ..) => Err(format!("`{}` is not the media type of a manifest", shown(&media_type))),
        // fields of both, or not all fields of one
        _ => Err("it is neither manifest nor index".to_owned()),
    }
}

/// Returns the media type of a document. If it is declared and in the document as well, both must be the same.
fn media_type(declared: Option<&str>, raw: &ManifestFields) -> Result<String, String> {
    // parameters such as `; charset=utf-8` do not belong to the type
    let declared = declared.map(|text| text.split(';').next().unwrap_or_default().trim());

    match (declared.filter(|text| !text.is_empty()), &raw.media_type) {
        (Some(declared), Some(own)) if declared != own => {
            Err(format!("it is declared as `{}`, but says that it is `{}`", shown(declared), shown(own)))
        }
        (Some(declared), _) => Ok(declared.to_owned()),
        (None, Some(own)) => Ok(own.clone()),
        // the field is optional in OCI documents (image-spec manifest.md), so these must be OCI's
        (None, None) if raw.manifests.is_some() => Ok(manifest::OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
        (None, None) => Ok(manifest::OCI_IMAGE_MEDIA_TYPE.to_owned()),
    }
}

/// Tells whether a media type is that of an index (`true`) or of a manifest (`false`); `None` for all others.
fn is_index(media_type: &str) -> Option<bool> {
    match media_type {
        manifest::OCI_IMAGE_INDEX_MEDIA_TYPE | manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE => Some(true),
        manifest::OCI_IMAGE_MEDIA_TYPE | manifest::IMAGE_MANIFEST_MEDIA_TYPE => Some(false),
        _ => None,
    }
}

/// Returns descriptors with their parsed digests.
fn named(descriptors: &[Descriptor]) -> Result<Vec<ContentDescriptor>, String> {
    let mut named = Vec::new();
    for descriptor in descriptors {
        let digest = oci::digest_of(descriptor)
            .ok_or_else(|| format!("`{}` is not a SHA-256 digest", shown(descriptor.digest().as_ref())))?;
        named.push(ContentDescriptor {
            digest,
            size: descriptor.size(),
            media_type: descriptor.media_type().to_string(),
        });
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const INDEX: &str = manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
    const IMAGE: &str = manifest::OCI_IMAGE_MEDIA_TYPE;

    fn one(size: u64) -> serde_json::Value {
        json!({ "mediaType": "application/x", "digest": Digest::of(b"").to_string(), "size": size })
    }

    #[test]
    fn reads_manifests_and_indexes() {
        let index = json!({ "schemaVersion": 2, "manifests": [one(1), one(2)] }).to_string();
        let found =
            read(index.as_bytes(), Some("application/vnd.oci.image.index.v1+json; charset=utf-8")).expect("sound");
        assert_eq!((found.media_type.as_str(), found.manifests.len(), found.blobs.len()), (INDEX, 2, 0));
        let image = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": one(1), "layers": [one(2)] }).to_string();
        let found = read(image.as_bytes(), None).expect("sound");
        let sizes: Vec<u64> = found.blobs.iter().map(|blob| blob.size).collect();
        assert_eq!((found.media_type.as_str(), sizes), (IMAGE, vec![1, 2]));
    }

    #[test]
    fn refuses_what_is_not_clear() {
        let sha512 = json!({ "mediaType": "x/y", "digest": format!("sha512:{}", "a".repeat(128)), "size": 1 });
        let table = [
            (
                json!({ "schemaVersion": 2, "manifests": [], "config": one(1), "layers": [] }),
                None,
                "it is neither manifest nor index",
            ),
            (json!({ "schemaVersion": 2, "manifests": [] }), Some(IMAGE), "it is neither manifest nor index"),
            (
                json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }),
                Some(IMAGE),
                "it is declared as `application/vnd.oci.image.manifest.v1+json`, but says that it is `application/vnd.oci.image.index.v1+json`",
            ),
            (json!({ "schemaVersion": 1, "manifests": [] }), None, "its schema version is 1, only 2 is supported"),
            (
                json!({ "schemaVersion": 2, "manifests": [] }),
                Some("text/html"),
                "`text/html` is not the media type of a manifest",
            ),
            (
                json!({ "schemaVersion": 2, "manifests": vec![one(1); 1001] }),
                None,
                "it lists 1001 manifests; at most 1000 are allowed",
            ),
        ];
        for (document, declared, expected) in table {
            assert_eq!(read(document.to_string().as_bytes(), declared), Err(expected.to_owned()), "{document}");
        }
        let index = json!({ "schemaVersion": 2, "manifests": [sha512] }).to_string();
        assert!(read(index.as_bytes(), None).is_err_and(|text| text.ends_with("is not a SHA-256 digest")));
        assert_eq!(read(br#"[2,null,null,null,[]]"#, None), Err("it is not a manifest".to_owned()));
        let deep = format!("{{\"schemaVersion\":2,\"manifests\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes(), None).is_err());
        let hidden =
            format!("{{\"schemaVersion\":2,\"x\":{}{},\"manifests\":[]}}", "[".repeat(100_000), "]".repeat(100_000));
        // what is not known is passed over without going down
        assert!(read(hidden.as_bytes(), None).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_document_is_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            text in "\\PC{0,40}",
            number in any::<i64>(),
            cut in 0_usize..400,
        ) {
            let _any = read(&bytes, Some(&text));
            let entry = json!({ "mediaType": text, "digest": text, "size": number });
            let document = json!({ "schemaVersion": 2, "config": entry, "layers": [one(1), entry], "mediaType": text });
            let _any = read(document.to_string().as_bytes(), None);
            let sound = json!({ "schemaVersion": 2, "config": one(1), "layers": [one(1)] }).to_string();
            let _any = read(&sound.as_bytes()[..cut.min(sound.len())], Some(IMAGE));
        }
    }
}
