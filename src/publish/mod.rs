//! Conductor: finished images to a registry, past the gate.
//!
//! - **In**: images in the store with their definitions; a [`PublishPlace`].
//! - **Out**: one [`Published`] an image, whatever became of it; one image's failure does not stop the others.
//! - **Invariants**: where there is a Harbor, no release tag stands for an image that the gate has not let through; tags
//!   come last; what stands already is left alone, so that publishing twice changes nothing. A step that is not
//!   available is said to be so, never passed over.
//! - **Not here**: transport ([`crate::oci::registry`]), Harbor's API ([`harbor`]), the verdict ([`gate`]).
//!
//! ```text
//! push (by digest, one throw-away tag) ─► scan ─► gate ─► promote to the release project ─► tags
//! ```

mod image;
mod tags;

pub use tags::ReleaseAge;
pub use tags::age;

use crate::build::BuiltImage;
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
    /// The gate said no.
    #[error("cannot release image `{image}`: the gate refuses it{}", list(reasons))]
    Refused {
        /// Image name.
        image: String,
        /// Doubts and findings, by platform.
        reasons: Vec<String>,
        /// What can be done.
        hints: Vec<String>,
    },
    /// There is nobody to scan the image.
    #[error(
        "cannot release image `{image}` into project `{project}`: the registry is no Harbor, so nobody scans the image"
    )]
    NoGate {
        /// Image name.
        image: String,
        /// The release project.
        project: String,
    },
    /// A tag that names one state for ever names another one already.
    #[error("cannot publish image `{image}`: its fixed tag `{tag}` names {found} already, not {own}")]
    FixedTag {
        /// Image name.
        image: String,
        /// The tag.
        tag: String,
        /// What it names.
        found: Digest,
        /// The image.
        own: Digest,
    },
    /// The shared cache.
    #[error(transparent)]
    Cache(#[from] shared::Error),
    /// Parts of the image are gone or damaged, which was not known when it was taken for built.
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

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Harbor(error) => error.hints(),
            Self::Refused { hints, .. } => hints.clone(),
            Self::NoGate { .. } => vec![
                "name a Harbor as target, or leave out `projects` and name `https://host/project` to publish without a gate"
                    .to_owned(),
            ],
            Self::FixedTag { image, .. } => vec![
                format!("`sockel lock {image}` gives what changed a revision, and `{{fixed}}` in `tags` names it"),
                "two images in one repository need tags of their own, such as `{fixed}-debian`".to_owned(),
            ],
            Self::Lost { .. } => vec!["another try builds what is missing".to_owned()],
            Self::Cache(_) => vec!["another try builds the image, if its cache entry is gone".to_owned()],
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::Harbor(error) => error.turn(),
            Self::FixedTag { .. } => Turn::Input,
            Self::Refused { .. } | Self::NoGate { .. } => Turn::Policy,
            Self::Lost { .. } => Turn::Outside,
            Self::Cache(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }

    fn lists_reasons(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// An image to publish.
#[derive(Debug, Clone, Copy)]
pub struct PublishOrder<'a> {
    /// What the recipes say.
    pub definition: &'a ImageDefinition,
    /// What was built.
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
    /// Why there is no such API.
    pub without: &'static str,
    /// What repositories begin with: a project and perhaps a prefix; may be empty.
    pub prefix: &'a str,
    /// Where images go that passed; without it they get their tags where they were pushed.
    pub release: Option<ReleaseProject<'a>>,
    /// Where results are shared with other machines.
    pub cache: Option<&'a SharedCache<'a>>,
    /// By image, repositories without the prefix that may have some of its layers.
    pub related: &'a BTreeMap<String, Vec<String>>,
    /// What the gate lets through.
    pub policy: &'a GatePolicy,
    /// How long a scan is waited for.
    pub patience: &'a ScanPatience,
    /// Most bytes of one request.
    pub chunk: Option<u64>,
    /// Only look.
    pub dry_run: bool,
    /// Let moving tags go back to an older state, because a person asked for it.
    pub accept_older: bool,
    /// Hears what is going on.
    pub reporter: &'a dyn ProgressReporter,
}

/// Where images go that passed.
pub struct ReleaseProject<'a> {
    /// The project.
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
    /// What the upload cost; none when there was nothing to do.
    pub pushed: Option<PushOutcome>,
    /// What the gate says.
    pub gate: GateResult,
    /// Tags that stand for the image.
    pub tags: Vec<String>,
    /// Tags that did not before, or would be moved.
    pub moved: Vec<String>,
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
    /// All its tags stood for it already.
    UpToDate,
    /// It is published now.
    Published,
    /// It would be, were this not a dry run.
    WouldPublish,
    /// It is not published.
    Failed,
    /// A moving tag stands for a newer state, so nothing was changed.
    NewerPublished,
}

/// Whether and how an image was judged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateResult {
    /// Nothing new is to be released, or it did not come so far.
    NotNeeded,
    /// There is nobody to scan it.
    NotAvailable {
        /// Why.
        reason: &'static str,
    },
    /// The verdicts.
    Judged(Vec<JudgedPlatform>),
}

/// The verdict over one platform of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JudgedPlatform {
    /// Which.
    pub platform: Platform,
    /// In one word.
    pub outcome: gate::GateOutcome,
    /// Which scanner, and how old its database is.
    pub scanner: String,
    /// In full.
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

    /// Returns the repositories that may have some of an image's layers: the one that it will be released to, and those of
    /// related images.
    fn sources(&self, order: &PublishOrder<'_>) -> Vec<String> {
        let own = self.repository(order.definition);
        let related = self.related.get(&order.built.image).into_iter().flatten();
        // what this machine does not have came from the cache
        let is_near = !order.built.elsewhere(self.store).is_empty();
        let cache = self.cache.filter(|_| is_near).map(|cache| cache.repository.to_owned());
        let mut sources: Vec<String> = cache.into_iter().chain([self.final_repository(order.definition)]).collect();
        sources.extend(related.map(|name| within(self.prefix, name)));
        sources.retain(|source| *source != own);
        sources
    }

    /// Says that a project is missing: token servers only say that there are no rights on it.
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
        let first = |prefix: &str| prefix.split('/').next().unwrap_or_default().to_owned();
        let release = self.release.as_ref().map(|release| release.project);
        for project in [self.prefix].into_iter().chain(release).map(first).filter(|project| !project.is_empty()) {
            // that this cannot be found out changes nothing about the failure
            if let Ok(false) = harbor.has_project(&project).await {
                let action = format!("publish into project `{project}`");
                return Err(harbor::Error::Known {
                    action,
                    cause: registry::HarborRefusal::NoProject,
                    said: String::new(),
                }
                .into());
            }
        }
        result
    }

    /// Returns the API of the registry that people pull from, where it is a Harbor.
    fn final_harbor(&self) -> Option<&Harbor<'_>> {
        self.release.as_ref().and_then(|release| release.harbor).or(self.harbor)
    }

    fn final_registry(&self) -> &RegistryClient {
        self.release.as_ref().map_or(self.registry, |release| release.registry)
    }
}

/// Publishes images, parents first: all are pushed, then scanned together, then released one after the other.
pub async fn publish(orders: &[PublishOrder<'_>], place: &PublishPlace<'_>) -> Vec<Published> {
    let mut all: Vec<Published> = Vec::new();
    for order in orders {
        let mut published = image::start(order, place);
        let result = image::push(order, place, &mut published).await;
        finish(place.explain(result).await, &mut published);
        all.push(published);
    }
    let waiting = |published: &Published| published.pushed.is_some() && published.failure.is_none();
    let scans = orders.iter().zip(&mut all).filter(|(_, published)| waiting(published));
    let scans = scans.map(|(order, published)| async move {
        let result = image::judge(order, place, published).await;
        finish(result, published);
    });
    join_all(scans).await;
    for (order, published) in orders.iter().zip(&mut all).filter(|(_, published)| waiting(published)) {
        let result = image::release(order, place, published).await;
        finish(result, published);
    }
    all
}

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
    oci::descriptor("application/vnd.oci.image.index.v1+json", &built.index.0, built.index.1)
}

fn list(reasons: &[String]) -> String {
    let mut text: String = reasons.iter().take(SHOWN).map(|reason| format!("\n  {}", shown(reason))).collect();
    if reasons.len() > SHOWN {
        text += &format!("\n  and {} more", reasons.len() - SHOWN);
    }
    text
}
