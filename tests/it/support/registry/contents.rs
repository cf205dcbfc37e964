//! What a registry holds: blobs, manifests, tags, and uploads under way.

use serde_json::Value;
use sockel::sys::clock;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A manifest or index as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) pushed: Epoch,
}

impl Manifest {
    /// Makes one that is pushed now.
    pub(crate) fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), bytes: Arc::new(bytes), pushed: clock::now() }
    }

    /// Returns the document; null where it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// Returns the digests of config and layers.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let json = self.json();
        digests(&json["layers"]).into_iter().chain(digest(&json["config"])).collect()
    }

    /// Returns the digests of an index's manifests.
    pub(crate) fn children(&self) -> Vec<String> {
        digests(&self.json()["manifests"])
    }

    /// Returns the digest this manifest refers to, if it is a referrer.
    pub(crate) fn subject(&self) -> Option<String> {
        digest(&self.json()["subject"])
    }

    /// Returns what kind of referrer it is: `artifactType`, else the config's type.
    pub(crate) fn artifact_type(&self) -> String {
        let json = self.json();
        let named = json["artifactType"].as_str().or_else(|| json["config"]["mediaType"].as_str());
        named.unwrap_or_default().to_owned()
    }

    /// Returns the bytes of the manifest and of the blobs it names.
    pub(crate) fn size(&self) -> u64 {
        let json = self.json();
        let layers = json["layers"].as_array().into_iter().flatten();
        let named: u64 = layers.chain([&json["config"]]).filter_map(|blob| blob["size"].as_u64()).sum();
        named + self.bytes.len() as u64
    }
}

fn digest(descriptor: &Value) -> Option<String> {
    descriptor["digest"].as_str().map(str::to_owned)
}

fn digests(descriptors: &Value) -> Vec<String> {
    descriptors.as_array().into_iter().flatten().filter_map(digest).collect()
}

/// What one repository holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repository {
    /// Digests of the blobs that may be read here.
    pub(crate) blobs: BTreeSet<String>,
    /// By digest.
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// Tag to digest.
    pub(crate) tags: BTreeMap<String, String>,
}

impl Repository {
    /// Returns the digest of a tag or digest that is here.
    pub(crate) fn resolve(&self, reference: &str) -> Option<String> {
        let digest = self.tags.get(reference).cloned().unwrap_or_else(|| reference.to_owned());
        self.manifests.contains_key(&digest).then_some(digest)
    }

    /// Returns the tags of a manifest.
    pub(crate) fn tags_of(&self, digest: &str) -> Vec<String> {
        self.tags.iter().filter(|(_, at)| *at == digest).map(|(tag, _)| tag.clone()).collect()
    }

    /// Returns the digests that refer to a manifest.
    pub(crate) fn referrers(&self, digest: &str) -> Vec<String> {
        let refers = |manifest: &Manifest| manifest.subject().as_deref() == Some(digest);
        self.manifests.iter().filter(|(_, manifest)| refers(manifest)).map(|(digest, _)| digest.clone()).collect()
    }

    /// Returns the digests a manifest needs and that are not here.
    pub(crate) fn missing(&self, manifest: &Manifest) -> Vec<String> {
        let blobs = manifest.blobs().into_iter().filter(|digest| !self.blobs.contains(digest));
        let children = manifest.children().into_iter().filter(|digest| !self.manifests.contains_key(digest));
        blobs.chain(children).collect()
    }
}

/// An upload under way.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) repository: String,
    pub(crate) bytes: Vec<u8>,
    /// A body broke off: distribution 2.8 never recovers from that.
    pub(crate) is_dead: bool,
}

/// Everything a registry holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) blobs: BTreeMap<String, Arc<Vec<u8>>>,
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    pub(crate) uploads_begun: usize,
}

impl Contents {
    /// Returns a repository, made when it was not there.
    pub(crate) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// Stores a blob in a repository; returns its digest.
    pub(crate) fn add_blob(&mut self, repository: &str, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        self.blobs.entry(digest.clone()).or_insert_with(|| Arc::new(bytes));
        self.repository(repository).blobs.insert(digest.clone());
        digest
    }

    /// Stores a manifest in a repository without looking at it; returns its digest.
    pub(crate) fn add_manifest(&mut self, repository: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        let manifest = Manifest::new(media_type, bytes);
        self.repository(repository).manifests.insert(digest.clone(), manifest);
        digest
    }

    /// Returns a blob that may be read in this repository.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Arc<Vec<u8>>> {
        self.repositories.get(repository)?.blobs.get(digest)?;
        self.blobs.get(digest).cloned()
    }
}
