//! Annotations and labels (image-spec annotations.md) and our own few, prefix `io.sockel.`.

use crate::recipe::ImageDefinition;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// Annotation with the revision of the lock: with the creation time it tells which of two states is the newer one.
pub const REVISION: &str = "io.sockel.revision";

/// Annotation with the digest of the parent (image-spec annotations.md).
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What annotations are made from, apart from the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationSources {
    /// Version of the image.
    pub version: String,
    /// Creation time: the lock's epoch.
    pub epoch: Epoch,
    /// Digest of the lock file.
    pub lock: Digest,
    /// Revision of the lock.
    pub revision: u32,
    /// Parent image, unless this is a root image.
    pub base: Option<ParentImage>,
}

/// The parent image, as the annotations name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentImage {
    /// `<image>:<tag>`
    pub name: String,
    /// Digest of its manifest for this platform (its index, on the index).
    pub digest: Digest,
    /// diffID of its top layer, so that an image can be moved onto a newer base.
    pub top_layer: Option<Digest>,
}

/// Returns the annotations of an image; they are its labels too, except that labels of recipes come on top.
#[must_use]
pub fn annotations(definition: &ImageDefinition, facts: &AnnotationSources) -> BTreeMap<String, String> {
    let parameters: Vec<String> = definition.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut map = BTreeMap::from([
        (standard("title"), definition.image.clone()),
        (standard("description"), definition.purpose.clone()),
        (standard("version"), facts.version.clone()),
        (standard("created"), facts.epoch.to_string()),
        (standard("vendor"), definition.owner.name.clone()),
        (standard("authors"), definition.owner.contact.clone()),
        ("io.sockel.lock".to_owned(), facts.lock.to_string()),
        (REVISION.to_owned(), facts.revision.to_string()),
        ("io.sockel.parameters".to_owned(), parameters.join(",")),
    ]);

    // `base.*` is how scanners and registries find the parent; the top layer is ours, for `sockel rebase`
    if let Some(base) = &facts.base {
        map.insert(standard("base.name"), base.name.clone());
        map.insert(BASE_DIGEST.to_owned(), base.digest.to_string());
        map.extend(base.top_layer.map(|layer| ("io.sockel.base.top-layer".to_owned(), layer.to_string())));
    }

    // an empty annotation would be a statement: that the image has no owner, say
    map.retain(|_, value| !value.is_empty());
    map
}

/// Returns a key of annotations.md, "Pre-Defined Annotation Keys".
fn standard(key: &str) -> String {
    format!("org.opencontainers.image.{key}")
}
