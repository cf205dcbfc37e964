//! The format of a cache entry: a manifest with a signature over the build key and every descriptor.

use crate::build::BuiltImage;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::oci;
use crate::values::Digest;
use crate::values::Epoch;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageManifest;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// Media type of the entry: an OCI image manifest with an `artifactType` (image-spec 1.1, manifest.md).
pub(super) const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// `artifactType` of an entry.
const ARTIFACT_TYPE: &str = "application/vnd.sockel.cache.image.v1+json";

/// Media types of the record, of the image's documents and inventories (plain blobs here), and of its layers.
const RECORD: &str = "application/vnd.sockel.built.v1+json";
const DOCUMENT: &str = "application/vnd.sockel.document.v1+json";
const LAYER: &str = "application/vnd.sockel.layer.v1";

/// Annotations with the build key and the signature.
const KEY: &str = "io.sockel.cache.key";
const SIGNATURE: &str = "io.sockel.cache.signature";

/// Annotation with the time of creation, for pruning. Nothing trusts it, so it is not signed.
pub(super) const CREATED: &str = "org.opencontainers.image.created";

/// Largest record that is read. One with hundreds of layers has less than a megabyte.
const MOST_BYTES: u64 = 4 << 20;

/// An entry with a valid signature.
#[derive(Debug)]
pub struct CacheEntry {
    record: (Digest, u64),
    blobs: BTreeSet<(Digest, u64)>,
}

/// Returns the signed text: the key that the entry answers, and every blob with its size, in order.
fn statement(key: &Digest, record: (Digest, u64), blobs: &BTreeSet<(Digest, u64)>) -> Vec<u8> {
    // the first line binds the signature to this use: one over another document never fits
    let mut text = format!("sockel cache entry 1\nkey {key}\nrecord {} {}\n", record.0, record.1);
    for (digest, size) in blobs {
        text += &format!("blob {digest} {size}\n");
    }
    text.into_bytes()
}

/// Returns every blob of an entry but the record: the image's own, and its inventories.
fn blobs(built: &BuiltImage) -> BTreeSet<(Digest, u64)> {
    built.blobs().into_iter().chain(built.knowledge()).collect()
}

/// Returns the record and the manifest of an image's entry.
#[must_use]
pub fn write(built: &BuiltImage, signer: &SigningKey, made: Epoch) -> (Vec<u8>, Vec<u8>) {
    let record = oci::canonical(built);
    let named = (Digest::of(&record), record.len() as u64);

    // every blob must be a descriptor: registries delete blobs that no manifest names
    let blobs = blobs(built);
    let documents: BTreeSet<(Digest, u64)> = built.knowledge().into_iter().collect();
    let layers = blobs.iter().map(|blob| {
        let media_type = if documents.contains(blob) { DOCUMENT } else { LAYER };
        json!({ "mediaType": media_type, "digest": blob.0.to_string(), "size": blob.1 })
    });

    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": { "mediaType": RECORD, "digest": named.0.to_string(), "size": named.1 },
        "layers": layers.collect::<Vec<Value>>(),
        "annotations": {
            KEY: built.key.to_string(),
            SIGNATURE: signer.sign(&statement(&built.key, named, &blobs)),
            CREATED: made.to_string(),
            "org.opencontainers.image.title": built.name(),
        },
    });
    (record, oci::canonical(&manifest))
}

/// Returns the build key that an entry claims to answer. [`CacheEntry::read`] checks it with everything else.
///
/// # Errors
/// What is wrong, for people.
pub fn key(bytes: &[u8]) -> Result<Digest, String> {
    let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let key = manifest.annotations().as_ref().and_then(|all| all.get(KEY)?.parse().ok());
    key.ok_or_else(|| "it is not a cache entry".to_owned())
}

impl CacheEntry {
    /// Reads an entry and checks that it answers this key, signed by the right one.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn read(bytes: &[u8], key: &Digest, verifier: &VerifyingKey) -> Result<Self, String> {
        let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.artifact_type().as_ref().map(ToString::to_string).as_deref() != Some(ARTIFACT_TYPE) {
            return Err("it is not a cache entry".to_owned());
        }

        // whoever can write to the registry could otherwise answer one key with the signed entry of another
        if annotation(&manifest, KEY) != Some(&key.to_string()) {
            return Err("it answers another key".to_owned());
        }

        let record = named(manifest.config())?;
        if record.1 > MOST_BYTES {
            return Err(format!("its record has more than {MOST_BYTES} bytes"));
        }
        let blobs = manifest.layers().iter().map(named).collect::<Result<BTreeSet<_>, _>>()?;

        let signature = annotation(&manifest, SIGNATURE).ok_or("it is not signed")?;
        if !verifier.verify(&statement(key, record, &blobs), signature) {
            return Err("its signature is not by the key of `cache.verify`".to_owned());
        }
        Ok(Self { record, blobs })
    }

    /// Returns digest and size of the record.
    #[must_use]
    pub fn record(&self) -> (Digest, u64) {
        self.record
    }

    /// Reads the record, which must name exactly the signed blobs.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn built(&self, bytes: &[u8], key: &Digest) -> Result<BuiltImage, String> {
        let built: BuiltImage = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if built.key != *key {
            return Err("its record answers another key".to_owned());
        }

        // the record decides what is pulled and built on; the signature covers only blobs of the manifest
        if blobs(&built) == self.blobs { Ok(built) } else { Err("its record names other blobs".to_owned()) }
    }
}

/// Returns an annotation of a manifest.
fn annotation<'a>(manifest: &'a ImageManifest, name: &str) -> Option<&'a String> {
    manifest.annotations().as_ref()?.get(name)
}

/// Returns digest and size of a descriptor.
fn named(descriptor: &Descriptor) -> Result<(Digest, u64), String> {
    let digest = oci::digest_of(descriptor).ok_or("a digest is not SHA-256")?;
    Ok((digest, descriptor.size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::pair;

    fn built() -> BuiltImage {
        let text = format!(
            r#"{{"key":"{0}","image":"i","version":"1","tags":["1"],"index":["{1}",10],"platforms":[]}}"#,
            Digest::of(b"key"),
            Digest::of(b"index"),
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_what_was_signed_is_read() {
        let (signer, verifier) = pair(1);
        let (built, key) = (built(), Digest::of(b"key"));
        let (record, manifest) = write(&built, &signer, Epoch(0));
        let entry = CacheEntry::read(&manifest, &key, &verifier).unwrap();
        assert_eq!(entry.built(&record, &key).unwrap(), built);
        let text = String::from_utf8(manifest.clone()).unwrap();
        let index = Digest::of(b"index").to_string();
        let table = [
            (text.replace(&index, &Digest::of(b"other").to_string()), "its signature"),
            (text.replace("\"size\":10", "\"size\":11"), "its signature"),
            (text.replace("io.sockel.cache.signature", "other"), "it is not signed"),
            (text.replace("vnd.sockel.cache.image", "vnd.other"), "it is not a cache entry"),
            (text.replace(&key.to_string(), &index), "it answers another key"),
            ("[]".to_owned(), ""),
        ];
        for (text, expected) in table {
            let error = CacheEntry::read(text.as_bytes(), &key, &verifier).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let (_, stranger) = pair(2);
        assert!(CacheEntry::read(&manifest, &key, &stranger).unwrap_err().starts_with("its signature"));
        assert_eq!(CacheEntry::read(&manifest, &Digest::of(b"x"), &verifier).unwrap_err(), "it answers another key");
        let swapped = String::from_utf8(record).unwrap().replace(&index, &key.to_string());
        assert_eq!(entry.built(swapped.as_bytes(), &key).unwrap_err(), "its record names other blobs");
    }

    /// Every value of the document and of the record in turn becomes another one.
    #[test]
    fn every_edit_is_refused_but_what_nobody_trusts() {
        let (signer, verifier) = pair(1);
        let (built, key) = (built(), Digest::of(b"key"));
        let (record, manifest) = write(&built, &signer, Epoch(0));
        // said for people and other programs: what is fetched is decided by digests
        let is_free = |at: &str| {
            at.ends_with("/mediaType")
                || at.ends_with("/schemaVersion")
                || at.ends_with(".title")
                || at.ends_with(CREATED)
        };
        let mut tried = 0;
        for (at, edited) in edits(&serde_json::from_slice(&manifest).unwrap()) {
            tried += 1;
            let read = CacheEntry::read(&oci::canonical(&edited), &key, &verifier);
            assert!(read.is_err() || is_free(&at), "{at}");
        }
        let entry = CacheEntry::read(&manifest, &key, &verifier).unwrap();
        for (at, edited) in edits(&serde_json::from_slice(&record).unwrap()) {
            tried += 1;
            // the record is fetched by the digest that was signed
            let edited = oci::canonical(&edited);
            assert!(Digest::of(&edited) != entry.record().0, "{at}");
        }
        assert!(tried > 20, "{tried}");
    }

    /// Returns a document with each value changed or taken out, and where.
    fn edits(whole: &Value) -> Vec<(String, Value)> {
        let mut places = vec![String::new()];
        let mut next = 0;
        while let Some(at) = places.get(next).cloned() {
            match whole.pointer(&at) {
                Some(Value::Object(fields)) => {
                    places.extend(fields.keys().map(|name| format!("{at}/{}", name.replace('/', "~1"))));
                }
                Some(Value::Array(items)) => places.extend((0..items.len()).map(|item| format!("{at}/{item}"))),
                _ => (),
            }
            next += 1;
        }
        let mut edits = Vec::new();
        for at in places.into_iter().skip(1) {
            let other = match whole.pointer(&at) {
                Some(Value::String(text)) => json!(format!("{text}0")),
                Some(Value::Number(number)) => json!(number.as_i64().unwrap_or(0) + 1),
                _ => Value::Null,
            };
            let mut edited = whole.clone();
            *edited.pointer_mut(&at).expect("it was just found") = other;
            edits.push((at, edited));
        }
        edits
    }
}
