//! Annotations and labels (image-spec annotations.md) and our own few, prefix `io.sockel.`.

use crate::recipe::Definition;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// Annotation with the revision of the lock: with the creation time it tells which of two states is the newer one.
pub const REVISION: &str = "io.sockel.revision";

/// What annotations are made from besides the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Version of the image.
    pub version: String,
    /// Creation time: the lock's epoch.
    pub epoch: Epoch,
    /// Digest of the lock file.
    pub lock: Digest,
    /// Revision of the lock.
    pub revision: u32,
    /// The image that this one stands on: reference name, digest, and diffID of its top layer.
    pub base: Option<Base>,
}

/// The image below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `<image>:<tag>`
    pub name: String,
    /// Digest of its manifest for this platform (its index, on the index).
    pub digest: Digest,
    /// diffID of its top layer, so that an image can be moved onto a newer base.
    pub top_layer: Option<Digest>,
}

/// Returns the annotations of an image; they are its labels too, except that labels of recipes come on top.
#[must_use]
pub fn annotations(definition: &Definition, facts: &Facts) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        if !value.is_empty() {
            map.insert(key.to_owned(), value);
        }
    };
    let standard = |key: &str| format!("org.opencontainers.image.{key}");
    set(&standard("title"), definition.image.clone());
    set(&standard("description"), definition.purpose.clone());
    set(&standard("version"), facts.version.clone());
    set(&standard("created"), facts.epoch.to_string());
    set(&standard("vendor"), definition.owner.name.clone());
    set(&standard("authors"), definition.owner.contact.clone());
    if let Some(base) = &facts.base {
        set(&standard("base.name"), base.name.clone());
        set(&standard("base.digest"), base.digest.to_string());
        set("io.sockel.base.top-layer", base.top_layer.map(|digest| digest.to_string()).unwrap_or_default());
    }
    set("io.sockel.lock", facts.lock.to_string());
    set(REVISION, facts.revision.to_string());
    let parameters: Vec<String> = definition.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    set("io.sockel.parameters", parameters.join(","));
    map
}
