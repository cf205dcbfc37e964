//! Conductor: finished images to a registry, past the gate.
//!
//! - **In**: images in the store with their definitions; a [`PublishPlace`].
//! - **Out**: one [`Published`] per image, whatever became of it; one image's failure does not stop the others.
//! - **Invariants**: with a Harbor, no release tag names an image that the gate has not passed; tags come last, and those
//!   of a parent before those of its children; tags that are right already are left alone, so that publishing twice changes
//!   nothing. What would stop a release is found before anything is sent. Unavailable steps are reported, never skipped
//!   silently.
//! - **Not here**: transport ([`crate::oci::registry`]), Harbor's API ([`harbor`]), the verdict ([`gate`]).
//!
//! ```text
//! tags, projects, rights, quotas ─► push (by digest, one throw-away tag) ─► scan ─► gate ─► promote to the release project ─► tags
//! ```

mod image;
mod parents;
mod preflight;
mod tags;

pub use tags::ReleaseAge;
pub use tags::age;

use crate::build::BuiltImage;
use crate::build::docker;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::gate;
use crate::gate::GatePolicy;
use crate::gate::GateVerdict;
use crate::harbor;
use crate::harbor::Harbor;
use crate::harbor::scan::ScanPatience;
use crate::oci;
use crate::oci::registry;
use crate::oci::registry::PushOutcome;
use crate::oci::registry::RegistryClient;
use crate::publish::preflight::Preflight;
use crate::recipe::ImageDefinition;
use crate::report::ProgressReporter;
use crate::shared;
use crate::shared::SharedCache;
use crate::store;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Platform;
use crate::values::shown::shown;
use futures_util::future::join_all;
use oci_spec::image::Descriptor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most findings that an error names; the report has all.
const SHOWN: usize = 20;

/// Why an image is not published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Harbor's API.
    #[error(transparent)]
    Harbor(#[from] harbor::Error),
    /// The gate refused the image.
    #[error("cannot release image `{image}`: the gate refuses it{}", list(reasons))]
    Refused {
        /// Image name.
        image: String,
        /// Doubts and findings, by platform.
        reasons: Vec<String>,
        /// What can be done.
        hints: Vec<String>,
    },
    /// The registry cannot scan the image.
    #[error(
        "cannot release image `{image}` into project `{project}`: the registry is no Harbor, so nobody scans the image"
    )]
    NoGate {
        /// Image name.
        image: String,
        /// The release project.
        project: String,
    },
    /// A tag that never moves names another image already.
    #[error("cannot publish image `{image}`: its fixed tag `{tag}` names {found} already, not {own}")]
    FixedTag {
        /// Image name.
        image: String,
        /// The tag.
        tag: String,
        /// The digest that it names.
        found: Digest,
        /// Digest of the image.
        own: Digest,
    },
    /// The parent of the image is not released, so neither is the image.
    #[error("cannot publish image `{image}`: its parent `{parent}` is not released")]
    Parent {
        /// Image name.
        image: String,
        /// Name of the parent.
        parent: String,
        /// Who has to act: whoever has to act about the parent.
        turn: Turn,
    },
    /// What stopped another image stops this one as well.
    #[error("cannot publish image `{image}`: for the same reason as `{first}`")]
    SameCause {
        /// Image name.
        image: String,
        /// The image whose error says the reason.
        first: String,
        /// Who has to act.
        turn: Turn,
    },
    /// The shared cache.
    #[error(transparent)]
    Cache(#[from] shared::Error),
    /// Parts of the image are missing or damaged, although the store says that it is built.
    #[error("cannot publish image `{image}`: parts of it are damaged, or gone from the store and the shared cache")]
    Lost {
        /// Image name.
        image: String,
    },
    /// The store lost a document.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::Harbor(error) => error.turn(),
            Self::FixedTag { .. } => Turn::Input,
            Self::Refused { .. } | Self::NoGate { .. } => Turn::Policy,
            Self::Parent { turn, .. } | Self::SameCause { turn, .. } => *turn,
            Self::Lost { .. } => Turn::Outside,
            Self::Cache(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Harbor(error) => error.hints(),
            Self::Refused { hints, .. } => hints.clone(),
            Self::NoGate { .. } => vec![
                "name a Harbor as target, or leave out `projects` and name `https://host/project` to publish without a gate"
                    .to_owned(),
            ],
            Self::FixedTag { image, .. } => vec![
                format!("`sockel lock {image}` gives a changed image a new revision, and `{{fixed}}` in `tags` contains it"),
                "two images in one repository need tags of their own, such as `{fixed}-debian`".to_owned(),
            ],
            Self::Parent { parent, .. } => {
                vec![format!("publish the parent first, or both together: `sockel publish {parent}` says what stops it")]
            }
            Self::SameCause { .. } => Vec::new(),
            Self::Lost { .. } => vec!["try again: the next run builds what is missing".to_owned()],
            Self::Cache(_) => vec!["try again: the next run builds the image if its cache entry is gone".to_owned()],
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }

    fn lists_reasons(&self) -> bool {
        match self {
            Self::Harbor(error) => error.lists_reasons(),
            other => matches!(other, Self::Refused { .. }),
        }
    }
}

/// An image to publish.
#[derive(Debug, Clone, Copy)]
pub struct PublishOrder<'a> {
    /// Its definition.
    pub definition: &'a ImageDefinition,
    /// The definition of its parent image, where it has one.
    pub parent: Option<&'a ImageDefinition>,
    /// The image in the store.
    pub built: &'a BuiltImage,
}

/// Where images go, and what they have to pass.
pub struct PublishPlace<'a> {
    /// Where the images' blobs are, and what is remembered about earlier pushes.
    pub store: &'a Store,
    /// The registry that is pushed to.
    pub registry: &'a RegistryClient,
    /// Its API, when it is a Harbor.
    pub harbor: Option<&'a Harbor<'a>>,
    /// Why [`Self::harbor`] is `None`, for people.
    pub without: &'static str,
    /// What the names of repositories begin with: a project and perhaps a prefix; may be empty.
    pub prefix: &'a str,
    /// Where images go that passed the gate; without it they get their tags where they were pushed.
    pub release: Option<ReleaseProject<'a>>,
    /// Where results are shared with other machines.
    pub cache: Option<&'a SharedCache<'a>>,
    /// Repositories (without the prefix) that may have some of an image's layers, by image.
    pub related: &'a BTreeMap<String, Vec<String>>,
    /// What the gate lets through.
    pub policy: &'a GatePolicy,
    /// How long to wait for a scan.
    pub patience: &'a ScanPatience,
    /// Most bytes of one upload request.
    pub chunk: Option<u64>,
    /// Report what would be done, and change nothing.
    pub dry_run: bool,
    /// Let moving tags go back to an older state, because a person asked for it.
    pub accept_older: bool,
    /// Receives progress and warnings.
    pub reporter: &'a dyn ProgressReporter,
}

/// Where images go that passed the gate.
pub struct ReleaseProject<'a> {
    /// Name of the project.
    pub project: &'a str,
    /// The registry, with a login that may write there.
    pub registry: &'a RegistryClient,
    /// Its API with that login.
    pub harbor: Option<&'a Harbor<'a>>,
    /// Labels for released images.
    pub labels: &'a [String],
}

/// What became of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Published {
    /// Image name.
    pub image: String,
    /// `host/repository` that people pull from.
    pub repository: String,
    /// Digest of the index.
    pub digest: Digest,
    /// What the upload cost; `None` when nothing was uploaded.
    pub pushed: Option<PushOutcome>,
    /// Whether the image was judged, and the verdicts.
    pub gate: GateResult,
    /// Tags that name the image.
    pub tags: Vec<String>,
    /// Those of them that did not name it before (in a dry run: that would be moved).
    pub moved: Vec<String>,
    /// Vulnerabilities for which Harbor itself refuses to serve the image, although the gate let it through.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub withheld: BTreeSet<String>,
    /// What happened in the end.
    pub state: PublishState,
    /// Why it is not published.
    #[serde(skip)]
    pub failure: Option<Error>,
}

/// What happened to an image in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishState {
    /// All its tags named it already.
    UpToDate,
    /// It is published now.
    Published,
    /// It has to be published. Only in a dry run does an image stay in this state.
    WouldPublish,
    /// It is not published.
    Failed,
    /// A moving tag names a newer state, so nothing was changed.
    NewerPublished,
}

/// Whether and how an image was judged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateResult {
    /// There was nothing to release, or an earlier step failed.
    NotNeeded,
    /// The registry cannot scan it.
    NotAvailable {
        /// Why it cannot, for people.
        reason: &'static str,
    },
    /// The verdicts, by platform.
    Judged(Vec<JudgedPlatform>),
}

/// The verdict over one platform of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JudgedPlatform {
    /// The platform.
    pub platform: Platform,
    /// The verdict in one word.
    pub outcome: gate::GateOutcome,
    /// Name and version of the scanner, and the age of its database.
    pub scanner: String,
    /// The verdict in full.
    pub verdict: GateVerdict,
}

impl PublishPlace<'_> {
    /// Returns the repository that an image is pushed to.
    fn repository(&self, definition: &ImageDefinition) -> String {
        within(self.prefix, &definition.publish.repository)
    }

    /// Returns the repository that people pull an image from.
    fn final_repository(&self, definition: &ImageDefinition) -> String {
        let prefix = self.release.as_ref().map_or(self.prefix, |release| release.project);
        within(prefix, &definition.publish.repository)
    }

    /// Returns the repositories that may have some of an image's layers: the one that it will be released to, and those
    /// of related images.
    fn sources(&self, order: &PublishOrder<'_>) -> Vec<String> {
        let own = self.repository(order.definition);
        let related = self.related.get(&order.built.image).into_iter().flatten();

        // layers that this machine does not have can only be in the cache
        let needs_cache = !order.built.elsewhere(self.store).is_empty();
        let cache = self.cache.filter(|_| needs_cache).map(|cache| cache.repository.to_owned());

        // the likeliest source first: the client tries them in this order
        let mut sources: Vec<String> = cache.into_iter().chain([self.final_repository(order.definition)]).collect();
        sources.extend(related.map(|name| within(self.prefix, name)));
        // a repository cannot mount from itself
        sources.retain(|source| *source != own);
        sources
    }

    /// Replaces a missing right by a missing project, where that is the cause: token servers tell only the former.
    async fn explain(&self, result: Result<(), Error>) -> Result<(), Error> {
        let is_refused = matches!(
            &result,
            Err(Error::Registry(registry::Error::NoRights { .. } | registry::Error::Denied { .. })
                | Error::Harbor(harbor::Error::NotPermitted { .. } | harbor::Error::NotFound { .. }))
        );
        if !is_refused {
            return result;
        }
        let Some(harbor) = self.harbor else { return result };

        let release = self.release.as_ref().map(|release| release.project);
        for prefix in [self.prefix].into_iter().chain(release) {
            let project = preflight::project_of(prefix);
            if project.is_empty() {
                continue;
            }
            // if even this question fails, the first failure says more
            if let Ok(false) = harbor.has_project(project).await {
                let action = format!("publish into project `{project}`");
                let cause = registry::HarborRefusal::NoProject;
                return Err(harbor::Error::Known { action, cause, message: String::new() }.into());
            }
        }
        result
    }

    /// Returns the API of the registry that people pull from, where it is a Harbor.
    fn final_harbor(&self) -> Option<&Harbor<'_>> {
        self.release.as_ref().and_then(|release| release.harbor).or(self.harbor)
    }

    /// Returns the registry that people pull from.
    fn final_registry(&self) -> &RegistryClient {
        self.release.as_ref().map_or(self.registry, |release| release.registry)
    }
}

/// Publishes images, parents first: all are looked at, pushed, then scanned together, then released one after the other.
pub async fn publish(orders: &[PublishOrder<'_>], place: &PublishPlace<'_>) -> Vec<Published> {
    let mut all: Vec<Published> = orders.iter().map(|order| image::start(order, place)).collect();
    for (order, published) in orders.iter().zip(&mut all) {
        let result = image::look(order, place, published).await;
        finish(place.explain(result).await, published);
    }
    let preflight = prepare(orders, place, &mut all).await;
    if place.dry_run {
        return all;
    }

    for index in 0..all.len() {
        if hold_back(orders, index, place, &mut all).await {
            let result = image::push(&orders[index], place, &mut all[index]).await;
            finish(place.explain(result).await, &mut all[index]);
        }
    }

    // scans wait in Harbor's queue, so all are asked for at the same time
    let scans = orders.iter().zip(&mut all).filter(|(_, published)| published.is_under_way());
    let scans = scans.map(|(order, published)| {
        let preflight = preflight.as_ref();
        async move {
            let result = image::judge(order, place, preflight, published).await;
            finish(result, published);
        }
    });
    join_all(scans).await;

    // parents get their tags first, so that nobody finds an image whose parent is not released yet
    for index in 0..all.len() {
        if hold_back(orders, index, place, &mut all).await {
            let result = image::release(&orders[index], place, &mut all[index]).await;
            let is_done = result.is_ok();
            finish(result, &mut all[index]);
            if is_done {
                all[index].state = PublishState::Published;
            }
        }
    }
    all
}

/// Finds what would stop the images that have to be published.
async fn prepare<'p>(
    orders: &[PublishOrder<'_>],
    place: &'p PublishPlace<'_>,
    all: &mut [Published],
) -> Option<Preflight<'p>> {
    let pusher = place.harbor.filter(|_| all.iter().any(Published::is_under_way))?;
    // without a prefix, every repository has a project of its own
    if preflight::project_of(place.prefix).is_empty() {
        return None;
    }
    let wanted = orders.iter().zip(&*all).filter(|(_, published)| published.is_under_way());
    // images share layers, and Harbor counts each blob of a project once
    let blobs: BTreeMap<Digest, u64> = wanted.flat_map(|(order, _)| order.built.blobs()).collect();
    let mut preflight = match Preflight::look(place, pusher, blobs.values().sum()).await {
        Ok(preflight) => preflight,
        Err(error) => {
            // the same for all images, so the first one shows it
            let mut failed = all.iter_mut().filter(|published| published.is_under_way());
            let first = failed.next()?;
            let turn = error.turn();
            let cause = first.image.clone();
            finish(Err(error), first);
            failed.for_each(|published| {
                let (image, first) = (published.image.clone(), cause.clone());
                finish(Err(Error::SameCause { image, first, turn }), published);
            });
            return None;
        }
    };

    for index in 0..all.len() {
        if hold_back(orders, index, place, all).await {
            let result = preflight.admit(&orders[index], place).await;
            finish(result, &mut all[index]);
        }
    }
    Some(preflight)
}

/// Fails an image whose parent is not released and will not be; tells whether the image may go on.
async fn hold_back(orders: &[PublishOrder<'_>], index: usize, place: &PublishPlace<'_>, all: &mut [Published]) -> bool {
    if !all[index].is_under_way() {
        return false;
    }
    let result = parents::check(&orders[index], &all[..index], place).await;
    finish(result, &mut all[index]);
    all[index].is_under_way()
}

impl Published {
    /// Tells whether the image has to be published and has passed every step so far.
    fn is_under_way(&self) -> bool {
        self.state == PublishState::WouldPublish
    }
}

/// Records the failure of a step.
fn finish(result: Result<(), Error>, published: &mut Published) {
    if let Err(error) = result {
        published.state = PublishState::Failed;
        published.failure = Some(error);
    }
}

/// Returns the repository below a project or prefix; the prefix may be empty.
#[must_use]
pub fn within(prefix: &str, repository: &str) -> String {
    if prefix.is_empty() { repository.to_owned() } else { format!("{prefix}/{repository}") }
}

/// Returns the descriptor of an image's index.
fn index(built: &BuiltImage) -> Descriptor {
    let media_type = if built.is_docker { docker::LIST } else { "application/vnd.oci.image.index.v1+json" };
    oci::descriptor(media_type, &built.index.0, built.index.1)
}

/// Lists the first reasons, each on its own line.
fn list(reasons: &[String]) -> String {
    let mut text: String = reasons.iter().take(SHOWN).map(|reason| format!("\n  {}", shown(reason))).collect();
    if reasons.len() > SHOWN {
        text += &format!("\n  and {} more", reasons.len() - SHOWN);
    }
    text
}
