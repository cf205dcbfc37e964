//! Conductor: definitions and locks to finished images in the store.
//!
//! - **In**: definitions with their locks, parents before children.
//! - **Out**: a [`BuiltImage`] for every image; all its blobs are in the store.
//! - **Invariants**: work that is known by its key is never repeated; without a change nothing is downloaded or
//!   unpacked. Nothing is built from a lock that is not proven ([`crate::lock::proof`]). A finished image in the
//!   store was built from a proven lock, here or by a machine whose signing key the project trusts ([`crate::shared`]).
//! - **Not here**: choosing packages (`lock`), writing images out ([`output`]).

pub(crate) mod docker;
mod levels;
pub mod output;
pub mod record;

pub use record::BuiltImage;
pub use record::BuiltPlatform;
pub use record::LayerLocation;

pub use crate::fetch::wanted;

use crate::build::levels::Levels;
use crate::build::levels::PlatformLayers;
use crate::build::levels::refuse_errors;
use crate::check::CheckFinding;
use crate::fault;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::proof;
use crate::fetch::proof::Prover;
use crate::image;
use crate::image::AnnotationSources;
use crate::layer;
use crate::lock::LockedImage;
use crate::oci;
use crate::recipe::ImageDefinition;
use crate::recipe::ScriptLedger;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::store;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::http::HttpClient;
use crate::tree::ContentReader;
use crate::tree::compress::Compression;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeSet;

/// Why images cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lock does not match the signed archives.
    #[error(transparent)]
    Proof(#[from] proof::Error),
    /// A package cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// A level cannot be assembled.
    #[error("cannot build image `{image}` for {platform}: {cause}")]
    Layer {
        /// Image name.
        image: String,
        /// Platform that was being built.
        platform: Platform,
        /// The layer's error.
        cause: Box<layer::Error>,
    },
    /// The check of an image found what stops it.
    #[error("cannot finish image `{image}` for {platform}: {}", listed(findings))]
    Findings {
        /// Image name.
        image: String,
        /// Platform that was being built.
        platform: Platform,
        /// What its check found and no recipe accepts.
        findings: Vec<CheckFinding>,
    },
    /// Docker has no media type for a part of the image.
    #[error("cannot give image `{image}` Docker's media types: there is none for `{media_type}`")]
    NoDockerType {
        /// Image name.
        image: String,
        /// OCI's media type.
        media_type: String,
    },
    /// The configuration is not allowed.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The lock has no packages for a platform or level that the definition has.
    #[error("cannot build image `{image}`: its lock does not fit its definition: {cause}")]
    StaleLock {
        /// Image name.
        image: String,
        /// What does not fit.
        cause: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The result cannot be written.
    #[error(transparent)]
    Output(#[from] oci::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Proof(error) => error.turn(),
            Self::Fetch(error) => error.turn(),
            Self::Layer { cause, .. } => cause.turn(),
            Self::Image(error) => error.turn(),
            Self::StaleLock { .. } | Self::Findings { .. } | Self::NoDockerType { .. } => Turn::Input,
            Self::Store(error) => error.turn(),
            Self::Output(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Proof(error) => error.hints(),
            Self::Fetch(error) => error.hints(),
            Self::Layer { cause, .. } => cause.hints(),
            Self::Image(error) => error.hints(),
            Self::Findings { .. } => vec![
                "a finding can be accepted with a reason and an end, under `accept` of a recipe: see docs/checks.md"
                    .to_owned(),
            ],
            Self::NoDockerType { .. } => {
                vec!["Docker's media types know gzip only: leave out `media-types` or the other compression".to_owned()]
            }
            Self::StaleLock { image, .. } => vec![format!("lock again with `sockel lock {image}`")],
            Self::Store(error) => error.hints(),
            Self::Output(error) => error.hints(),
        }
    }

    fn lists_reasons(&self) -> bool {
        match self {
            Self::Proof(_) | Self::Findings { .. } => true,
            Self::Layer { cause, .. } => cause.lists_reasons(),
            _ => false,
        }
    }

    fn asks_for_new_lock(&self) -> bool {
        match self {
            Self::Fetch(error) => error.asks_for_new_lock(),
            Self::Proof(error) => error.asks_for_new_lock(),
            _ => false,
        }
    }

    fn note_still_listed(&mut self) {
        match self {
            Self::Fetch(error) => error.note_still_listed(),
            Self::Proof(error) => error.note_still_listed(),
            _ => (),
        }
    }
}

/// Returns findings as a list for a message.
fn listed(findings: &[CheckFinding]) -> String {
    format!("its check found {} problem(s){}", findings.len(), fault::reasons(CheckFinding::lines(findings)))
}

impl Error {
    /// Tells whether something in the store was damaged. The store has dropped it or will notice it, so that a second
    /// attempt succeeds.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let store = match self {
            Self::Store(error) | Self::Output(oci::Error::Store(error)) => error,
            Self::Layer { cause, .. } => match &**cause {
                layer::Error::Store(error)
                | layer::Error::Unpack(layer::unpack::Error::Store(error))
                | layer::Error::Generate(layer::generate::Error::Read { cause: error, .. })
                | layer::Error::Database(layer::dpkg::Error::Read { cause: error, .. }) => error,
                _ => return false,
            },
            _ => return false,
        };
        matches!(store, store::Error::WrongDigest { .. })
    }
}

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Layer format.
    pub compression: Compression,
    /// Number of worker threads.
    pub threads: usize,
    /// Requested images; empty means all. Others are built only where a requested image needs them as its parent.
    pub images: Vec<String>,
    /// Platforms to build; empty means all that a definition names.
    pub platforms: Vec<Platform>,
    /// Where the layers of finished images may be.
    pub layers: LayerLocation,
    /// Mirrors that are tried before the official addresses.
    pub mirrors: Mirrors,
}

/// What a build works with.
#[derive(Clone, Copy)]
pub struct BuildEnvironment<'a> {
    /// Where everything is kept.
    pub store: &'a Store,
    /// Door to the archives.
    pub http: &'a HttpClient,
    /// Decisions about maintainer scripts.
    pub ledger: &'a ScriptLedger,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
}

/// Builds images into the store, parents first. Images that were not requested and are not needed come back without
/// content ([`BuiltImage::unfinished`]). Blobs that prove damaged are made again.
///
/// # Errors
/// The first failure. Images finished before it stay in the store, and the next run finds them.
pub fn build(
    orders: &[LockedImage<'_>],
    options: &BuildOptions,
    equipment: BuildEnvironment<'_>,
) -> Result<Vec<BuiltImage>, Error> {
    match attempt(orders, options, equipment) {
        // once only: the damaged blob is gone now, and a disk that damages it again is not mended by a loop
        Err(error) if error.is_damage() => {
            equipment.reporter.event(ProgressEvent::Warning(format!("{error}: making it again")));
            attempt(orders, options, equipment)
        }
        result => result,
    }
}

/// Builds once: finds what is known, proves the locks of the rest, and builds it.
fn attempt(
    orders: &[LockedImage<'_>],
    options: &BuildOptions,
    equipment: BuildEnvironment<'_>,
) -> Result<Vec<BuiltImage>, Error> {
    let BuildEnvironment { store, http, ledger, reporter } = equipment;

    // every order gets its place in `done` now, so that a child finds its parent before it, built or found
    let mut done: Vec<BuiltImage> = Vec::new();
    let mut todo: Vec<(usize, &LockedImage<'_>, Digest)> = Vec::new();
    for (index, (order, key)) in orders.iter().zip(keys(orders, options)).enumerate() {
        match record::find(&key, options.layers, store) {
            // tags are no part of the key: the image may have been built for other ones
            Some(built) => {
                judge_again(&built, order)?;
                done.push(BuiltImage { tags: record::tags(order), ..built });
            }
            None => {
                done.push(BuiltImage::unfinished(key, order.definition));
                todo.push((index, order, key));
            }
        }
    }

    let needed = needed(&todo, &options.images);
    todo.retain(|(_, order, _)| needed.contains(&order.definition.image));
    if todo.is_empty() {
        return Ok(done);
    }

    // before anything else: an edited lock must not even decide what is fetched
    let mirrors = &options.mirrors;
    let (engine, now) = (layer::ENGINE_FORMAT, clock::now());
    let prover = Prover { http, store, mirrors, ledger, engine, now, reporter };
    prover.prove(&claims(orders, &needed))?;

    // fetch for all images first: downloads run concurrently, and shared packages come once
    let work: Vec<&LockedImage<'_>> = todo.iter().map(|(_, order, _)| *order).collect();
    let contents = ContentReader::new(store);
    let levels = Levels::prepare(&work, options, &contents, http, reporter)?;

    levels.unpacking.during(|| {
        for (index, order, key) in todo {
            let built = build_image(order, options, key, parent(order, &done[..index]), &levels)?;
            // one by one: a run that is killed loses only the image that it was at
            record::keep(&built, store)?;
            done[index] = built;
        }
        Ok(done)
    })
}

/// Judges the findings of an image that was built before: an acceptance may have run out since.
fn judge_again(built: &BuiltImage, order: &LockedImage<'_>) -> Result<(), Error> {
    built.platforms.iter().try_for_each(|image| refuse_errors(order.definition, image.platform, &image.findings))
}

/// Returns the locks of the images that are built, and of all their ancestors.
fn claims<'a>(orders: &[LockedImage<'a>], needed: &BTreeSet<String>) -> Vec<LockedImage<'a>> {
    let mut wanted: BTreeSet<&String> = needed.iter().collect();
    // children come after their parents: going backwards, one pass reaches every ancestor
    for LockedImage { definition, .. } in orders.iter().rev() {
        if wanted.contains(&definition.image) {
            wanted.extend(&definition.parent);
        }
    }
    // found ancestors, too: a child is judged together with its parents
    orders.iter().filter(|order| wanted.contains(&order.definition.image)).copied().collect()
}

/// Returns the requested ones among the images that are not built yet, and their parents.
fn needed(todo: &[(usize, &LockedImage<'_>, Digest)], requested: &[String]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    // parents come before their children
    for (_, LockedImage { definition, .. }, _) in todo.iter().rev() {
        let is_requested = requested.is_empty() || requested.contains(&definition.image);
        if is_requested || needed.contains(&definition.image) {
            needed.insert(definition.image.clone());
            needed.extend(definition.parent.clone());
        }
    }
    needed
}

/// Returns the keys under which these images are known, parents first.
#[must_use]
pub fn keys(orders: &[LockedImage<'_>], options: &BuildOptions) -> Vec<Digest> {
    let mut keys: Vec<Digest> = Vec::new();
    for order in orders {
        // `keys` ends before this order, so only images before it can be found as its parent
        let parent = orders
            .iter()
            .zip(&keys)
            .find(|(other, _)| order.definition.parent.as_ref() == Some(&other.definition.image))
            .map(|(other, key)| (*key, record::name(&other.definition.image, &record::tags(other))));
        keys.push(record::key(order, options, parent));
    }
    keys
}

/// Returns the parent of an image, where it belongs to the same run.
fn parent<'a>(order: &LockedImage<'_>, done: &'a [BuiltImage]) -> Option<&'a BuiltImage> {
    let name = order.definition.parent.as_ref()?;
    done.iter().find(|built| built.image == *name)
}

/// Returns the platforms to build, sorted.
#[must_use]
pub fn platforms(definition: &ImageDefinition, options: &BuildOptions) -> Vec<Platform> {
    definition.platforms_among(&options.platforms)
}

/// Builds one image: its layers and documents for every platform, then the index over them.
fn build_image(
    order: &LockedImage<'_>,
    options: &BuildOptions,
    key: Digest,
    parent: Option<&BuiltImage>,
    levels: &Levels<'_>,
) -> Result<BuiltImage, Error> {
    let LockedImage { definition, lock } = order;
    let sources = AnnotationSources {
        version: record::version(order),
        epoch: lock.epoch,
        lock: lock.digest(),
        revision: lock.revision,
        base: None,
    };

    let mut built = BuiltImage::unfinished(key, definition);
    let mut manifests = Vec::new();
    for platform in platforms(definition, options) {
        let base = parent.and_then(|parent| parent.base(platform));
        let sources = AnnotationSources { base, ..sources.clone() };
        let image = build_platform(order, options, platform, &sources, levels)?;
        manifests.push(image::platform_descriptor(&image.manifest.0, image.manifest.1, platform));
        built.platforms.push(image);
    }

    // each manifest names the parent's manifest of its platform as the base, the index names the parent's index
    let base = parent.and_then(BuiltImage::base_index);
    let annotations = image::annotations(definition, &AnnotationSources { base, ..sources.clone() });
    let index = image::index(&manifests, &annotations);
    levels.store.add(&index.bytes)?;

    built.index = (index.digest, index.bytes.len() as u64);
    built.tags = record::tags(order);
    built.version = sources.version;
    built.new = true;
    Ok(built)
}

/// Builds one image for one platform: layers, configuration and manifest.
fn build_platform(
    order: &LockedImage<'_>,
    options: &BuildOptions,
    platform: Platform,
    sources: &AnnotationSources,
    levels: &Levels<'_>,
) -> Result<BuiltPlatform, Error> {
    let LockedImage { definition, lock } = order;
    let PlatformLayers { layers, reused, scanner_files, inventory, report } = levels.layers(order, platform)?;

    let annotations = image::annotations(definition, sources);
    let parts = image::PlatformImageParts {
        image: &definition.image,
        platform,
        levels: definition.levels_for(platform),
        layers: &layers,
        annotations: &annotations,
    };
    // documents go to the store before the record that names them
    let (config, manifest) = image::compose(&parts, options.compression, lock.epoch)?;
    levels.store.add(&config.bytes)?;
    levels.store.add(&manifest.bytes)?;

    Ok(BuiltPlatform {
        platform,
        manifest: (manifest.digest, manifest.bytes.len() as u64),
        config: (config.digest, config.bytes.len() as u64),
        layers,
        reused,
        packages: lock.packages(platform).count(),
        scanner_files,
        inventory,
        findings: report.findings,
        unused: report.unused,
    })
}
