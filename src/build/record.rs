//! The record of a finished image, and the key under which it is found again without any work.

use crate::build::BuildOptions;
use crate::build::Error;
use crate::build::platforms;
use crate::check;
use crate::check::CheckFinding;
use crate::check::UnusedRequest;
use crate::image::ImageLayer;
use crate::layer;
use crate::lock::LockedImage;
use crate::recipe::ImageDefinition;
use crate::store::Store;
use crate::values::Digest;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Version of the documents around the layers (configuration, manifest, index): part of every build key.
const DOCUMENT_FORMAT: u32 = 1;

/// A finished image whose blobs are all in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// Cache key: everything that decides the image.
    pub key: Digest,
    /// Image name.
    pub image: String,
    /// Version of the image.
    pub version: String,
    /// Tags, filled in.
    pub tags: Vec<String>,
    /// Digest and size of the index.
    pub index: (Digest, u64),
    /// One entry a platform, in the definition's order.
    pub platforms: Vec<BuiltPlatform>,
    /// Whether this run built it, rather than finding it in the store.
    #[serde(skip)]
    pub new: bool,
    /// Its documents have Docker's media types (`build::docker`).
    #[serde(skip)]
    pub is_docker: bool,
}

/// One platform of a finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltPlatform {
    /// Platform of the manifest.
    pub platform: Platform,
    /// Digest and size of the manifest.
    pub manifest: (Digest, u64),
    /// Digest and size of the configuration.
    pub config: (Digest, u64),
    /// Layers from the bottom up.
    pub layers: Vec<ImageLayer>,
    /// How many of them were found in the store.
    #[serde(default)]
    pub reused: usize,
    /// Number of packages.
    pub packages: usize,
    /// Which of [`SCANNER_FILES`] are in the image.
    pub scanner_files: Vec<String>,
    /// Digest and size of the complete list of paths ([`crate::tree::inventory`]).
    pub inventory: (Digest, u64),
    /// What its check found, before acceptances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<CheckFinding>,
    /// Requests of its recipes that had no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<UnusedRequest>,
}

/// Files and folders by which scanners recognise distribution and packages (Trivy `pkg/fanal/analyzer`, Syft
/// `syft/linux`): without them they report no vulnerability at all.
pub const SCANNER_FILES: [&str; 6] = [
    "etc/debian_version",
    "etc/lsb-release",
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d",
];

impl BuiltPlatform {
    /// Returns the compressed size of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.blob.size).sum()
    }
}

impl BuiltImage {
    /// Returns an empty record to be filled in.
    #[must_use]
    pub fn unfinished(key: Digest, definition: &ImageDefinition) -> Self {
        let (image, version, tags, platforms) = (definition.image.clone(), String::new(), Vec::new(), Vec::new());
        Self { key, image, version, tags, index: (Digest::of(b""), 0), platforms, new: false, is_docker: false }
    }

    /// Returns the first reference name, `<image>:<tag>`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.image, &self.tags)
    }

    /// Returns every blob of the image with its size.
    #[must_use]
    pub fn blobs(&self) -> BTreeMap<Digest, u64> {
        self.documents().into_iter().chain(self.layers()).collect()
    }

    /// Returns the image's documents with their sizes: index, manifests, configurations.
    #[must_use]
    pub fn documents(&self) -> Vec<(Digest, u64)> {
        let documents = self.platforms.iter().flat_map(|platform| [platform.manifest, platform.config]);
        std::iter::once(self.index).chain(documents).collect()
    }

    /// Returns what the store must have for the image to be known: its documents, and the inventories, which are no
    /// part of what is published.
    #[must_use]
    pub fn knowledge(&self) -> Vec<(Digest, u64)> {
        let mut knowledge = self.documents();
        knowledge.extend(self.platforms.iter().map(|platform| platform.inventory));
        knowledge
    }

    /// Returns the image's layers with their sizes; platforms may share some.
    pub fn layers(&self) -> impl Iterator<Item = (Digest, u64)> {
        let layers = self.platforms.iter().flat_map(|platform| &platform.layers);
        layers.map(|layer| (layer.blob.digest, layer.blob.size))
    }

    /// Returns the layers that the store does not have.
    #[must_use]
    pub fn elsewhere(&self, store: &Store) -> Vec<Digest> {
        // platforms may share layers
        let absent: BTreeSet<Digest> =
            self.layers().filter(|(digest, size)| !store.has_blob(digest, *size)).map(|(digest, _)| digest).collect();
        absent.into_iter().collect()
    }

    /// Returns what the manifest of a child image states about this image as its base, for one platform.
    pub(crate) fn base(&self, platform: Platform) -> Option<crate::image::ParentImage> {
        let found = self.platforms.iter().find(|built| built.platform == platform)?;
        let top_layer = found.layers.last().map(|layer| layer.blob.diff_id);
        Some(crate::image::ParentImage { name: self.name(), digest: found.manifest.0, top_layer })
    }

    /// Returns what the index of a child image states about this image as its base.
    pub(crate) fn base_index(&self) -> Option<crate::image::ParentImage> {
        Some(crate::image::ParentImage { name: self.name(), digest: self.index.0, top_layer: None })
    }
}

/// Returns the reference name of an image with these tags.
pub(super) fn name(image: &str, tags: &[String]) -> String {
    format!("{image}:{}", tags.first().map_or("latest", String::as_str))
}

/// Returns the key under which an image is known: its lock, what its recipes and its base-image file resolve to, its
/// parent with its name, and how it is built. Where it is published is no part of the key.
#[must_use]
pub(super) fn key(order: &LockedImage<'_>, options: &BuildOptions, parent: Option<(Digest, String)>) -> Digest {
    let LockedImage { definition, lock } = order;
    let platforms: Vec<String> = platforms(definition, options).iter().map(ToString::to_string).collect();
    // the parent's name is written into the child's annotations, so it decides about the child's bytes
    let parent = parent.map(|(key, name)| format!("{key} {name}")).unwrap_or_default();
    let text = format!(
        "image {DOCUMENT_FORMAT} check {} {} {}\n{}\n{}\n{}\n{parent}\n{}",
        check::VERSION,
        layer::fingerprint(),
        options.compression.fingerprint(),
        definition.image,
        lock.digest(),
        platforms.join(" "),
        definition.identity_text(),
    );
    Digest::of(text.as_bytes())
}

/// Returns the image known under a key if the store still has all its blobs with their sizes; with
/// [`LayerLocation::Anywhere`], that repository may have its layers instead.
#[must_use]
pub fn find(key: &Digest, layers: LayerLocation, store: &Store) -> Option<BuiltImage> {
    let mut built: BuiltImage = store.result("image", key)?;
    for platform in &mut built.platforms {
        platform.reused = platform.layers.len();
    }

    // documents are small and needed for every step; only layers may be left in a registry
    let has_documents = built.knowledge().into_iter().all(|(digest, size)| store.has_blob(&digest, size));
    let has_layers =
        built.layers().all(|(digest, size)| store.has_blob(&digest, size) || layers.has_elsewhere(&digest, store));
    (has_documents && has_layers).then_some(built)
}

/// Where the layers of an image may be for the image to count as built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerLocation {
    /// In the store.
    Here,
    /// In the store, or in the cache repository of the registry that it goes to, which this digest stands for
    /// ([`Store::keep_elsewhere`]).
    Anywhere(Digest),
}

impl LayerLocation {
    /// Tells whether a layer is in the repository that stands beside the store.
    fn has_elsewhere(&self, digest: &Digest, store: &Store) -> bool {
        self.place().is_some_and(|place| store.is_elsewhere(digest, place))
    }

    /// Returns the digest that stands for the repository, where layers may be in one.
    #[must_use]
    pub fn place(&self) -> Option<&Digest> {
        match self {
            Self::Here => None,
            Self::Anywhere(place) => Some(place),
        }
    }
}

/// Remembers a finished image.
///
/// # Errors
/// When the store cannot be written.
pub fn keep(built: &BuiltImage, store: &Store) -> Result<(), Error> {
    Ok(store.keep("image", &built.key, built)?)
}

/// Numbers of the software's version in a fixed version. Java has the longest ones (`21.0.13.1`).
const VERSION_PARTS: usize = 4;

/// Returns the image's fixed version: numbers divided by dots, always equally many, which name one lock and sort as
/// time goes by.
///
/// ```text
/// 11.0.27.0.20261127.1
/// └───┬───┘ └──┬───┘ └ revision of the lock on that day
///     │        └ date of the archives
///     └ version of the software, filled up with zeros
/// ```
/// Programs that follow images (for example Renovate's `docker` versioning) compare versions number by number, and
/// ignore those with another count of numbers or another text behind a hyphen. It is also the version of the image:
/// every changed image has one of its own (BSI TR-03183-2 §7, SYS.1.6.A6).
#[must_use]
pub fn version(order: &LockedImage<'_>) -> String {
    let software = software_version(order);

    // the rest (`+7`, `~rc1`) sorts in ways that no consumer of tags knows
    let numbers: String = software.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    // versions with the same count of numbers sort alike in every program
    let known = numbers.split('.').filter(|part| !part.is_empty()).chain(std::iter::repeat("0"));
    let parts: Vec<&str> = known.take(VERSION_PARTS).collect();

    let lock = order.lock;
    format!("{}.{}.{}", parts.join("."), lock.epoch.date(), lock.revision)
}

/// Returns the tags with `{fixed}`, `{version}` and `{date}` filled in; characters that tags cannot have become `-`
/// (distribution-spec, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
#[must_use]
pub fn tags(order: &LockedImage<'_>) -> Vec<String> {
    let date = order.lock.epoch.date();
    let (fixed, software) = (version(order), software_version(order));

    let mut tags = Vec::new();
    for pattern in &order.definition.publish.tags {
        let text = pattern.replace("{fixed}", &fixed).replace("{version}", &software).replace("{date}", &date);
        // Debian versions have `+`, `~` and `:`, which no tag may have
        tags.push(text.chars().map(tag_character).take(LONGEST_TAG).collect());
    }

    // an image must have a name; its version is never given to another one
    if tags.is_empty() { vec![fixed] } else { tags }
}

/// Longest tag (distribution-spec, "Pulling manifests").
const LONGEST_TAG: usize = 128;

/// Returns a character as it may stand in a tag.
fn tag_character(c: char) -> char {
    if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }
}

/// Returns the version of the software in the image: the upstream version of the package that the base-image file
/// names, else the release of the distribution.
fn software_version(order: &LockedImage<'_>) -> String {
    let LockedImage { definition, lock } = order;
    let packages = lock.levels.iter().flat_map(|level| level.packages.values()).flatten();
    let named =
        definition.version_of.as_ref().and_then(|name| packages.into_iter().find(|package| package.name == *name));

    match named {
        Some(package) => crate::apt::version::DebianVersion::new(&package.version).upstream().to_owned(),
        None => {
            // the parameter that is named like the root recipe holds the release (`ubuntu: "24.04"`)
            let root = definition.levels.values().flatten().next().map(|level| level.recipe.as_str());
            root.and_then(|root| definition.parameters.get(root)).cloned().unwrap_or_else(|| "0".to_owned())
        }
    }
}
