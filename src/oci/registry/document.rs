//! Manifests and indexes as a registry has them (image-spec manifest.md, image-index.md; Docker image manifest v2,
//! schema 2): what they name, read with suspicion.

use crate::oci;
use crate::oci::registry::error::shown;
use crate::values::Digest;
use oci_distribution::manifest;
use oci_spec::image::Descriptor;
use serde::Deserialize;

/// Largest manifest or index: what the specification has registries accept, and no more.
pub const LIMIT: u64 = 4 << 20;

/// Most manifests that one index may name.
const MOST_CHILDREN: usize = 1000;

/// What `Accept` names, best first.
pub(super) const ACCEPTED: [&str; 4] = [
    manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    manifest::OCI_IMAGE_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

/// Something that a document names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// What a manifest or index says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its media type.
    pub media_type: String,
    /// Manifests that an index names.
    pub manifests: Vec<Named>,
    /// Configuration and layers that a manifest names, in that order.
    pub blobs: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u8,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// Reads a document that was declared to be of this media type.
///
/// # Errors
/// What is wrong, for people. A document that could be read as manifest and as index is neither (CVE-2021-41190).
pub fn read(bytes: &[u8], declared: Option<&str>) -> Result<Document, String> {
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    // what derives from serde takes lists for objects, other readers do not
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("it is no manifest".to_owned());
    }
    // depth is bounded by serde_json
    let raw: Raw =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {}", shown(&error.to_string())))?;
    if raw.schema_version != 2 {
        return Err(format!("its schema version is {}, only 2 is known", raw.schema_version));
    }
    let declared = declared.map(|text| text.split(';').next().unwrap_or_default().trim());
    let media_type = match (declared.filter(|text| !text.is_empty()), raw.media_type) {
        (Some(declared), Some(own)) if declared != own => {
            return Err(format!("it is `{}` and says `{}`", shown(declared), shown(&own)));
        }
        (Some(declared), _) => declared.to_owned(),
        (None, Some(own)) => own,
        (None, None) if raw.manifests.is_some() => manifest::OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned(),
        (None, None) => manifest::OCI_IMAGE_MEDIA_TYPE.to_owned(),
    };
    match (is_index(&media_type), raw.config, raw.layers, raw.manifests) {
        (Some(true), None, None, Some(manifests)) => {
            if manifests.len() > MOST_CHILDREN {
                return Err(format!("it names {} manifests, {MOST_CHILDREN} at most", manifests.len()));
            }
            Ok(Document { media_type, manifests: named(&manifests)?, blobs: Vec::new() })
        }
        (Some(false), Some(config), Some(layers), None) => {
            let mut blobs = named(std::slice::from_ref(&config))?;
            blobs.extend(named(&layers)?);
            Ok(Document { media_type, manifests: Vec::new(), blobs })
        }
        (None, ..) => Err(format!("`{}` is no manifest", shown(&media_type))),
        _ => Err("it is neither manifest nor index".to_owned()),
    }
}

/// Tells manifests from indexes by their media type; `None` for everything else.
fn is_index(media_type: &str) -> Option<bool> {
    match media_type {
        manifest::OCI_IMAGE_INDEX_MEDIA_TYPE | manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE => Some(true),
        manifest::OCI_IMAGE_MEDIA_TYPE | manifest::IMAGE_MANIFEST_MEDIA_TYPE => Some(false),
        _ => None,
    }
}

fn named(descriptors: &[Descriptor]) -> Result<Vec<Named>, String> {
    let one = |descriptor: &Descriptor| {
        let digest = oci::digest_of(descriptor)
            .ok_or_else(|| format!("`{}` is not a SHA-256 digest", shown(descriptor.digest().as_ref())))?;
        Ok(Named { digest, size: descriptor.size(), media_type: descriptor.media_type().to_string() })
    };
    descriptors.iter().map(one).collect()
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
                "it is `application/vnd.oci.image.manifest.v1+json` and says `application/vnd.oci.image.index.v1+json`",
            ),
            (json!({ "schemaVersion": 1, "manifests": [] }), None, "its schema version is 1, only 2 is known"),
            (json!({ "schemaVersion": 2, "manifests": [] }), Some("text/html"), "`text/html` is no manifest"),
            (
                json!({ "schemaVersion": 2, "manifests": vec![one(1); 1001] }),
                None,
                "it names 1001 manifests, 1000 at most",
            ),
        ];
        for (document, declared, expected) in table {
            assert_eq!(read(document.to_string().as_bytes(), declared), Err(expected.to_owned()), "{document}");
        }
        let index = json!({ "schemaVersion": 2, "manifests": [sha512] }).to_string();
        assert!(read(index.as_bytes(), None).is_err_and(|text| text.ends_with("is not a SHA-256 digest")));
        assert_eq!(read(br#"[2,null,null,null,[]]"#, None), Err("it is no manifest".to_owned()));
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
