//! The job `update`: look for patches, say what they mean, and where asked, build and publish the images that they
//! reach. It may be repeated and killed at any time: the next run goes on.

mod blocked;
mod builder;
mod explain;
mod figures;

use crate::advisory;
use crate::announce::webhook::PublishReason;
use crate::build::BuiltImage;
use crate::build::LayerLocation;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::lock::accepts_older;
use crate::jobs::publish::Announcing;
use crate::jobs::publish::PublishOutcome;
use crate::jobs::publish::WriteBackRequest;
use crate::jobs::publish::parent;
use crate::jobs::target::Delivery;
use crate::jobs::target::PublishTarget;
use crate::jobs::update::builder::BuildResults;
use crate::jobs::update::builder::UpdateBuilder;
use crate::jobs::workspace::Relock;
use crate::jobs::workspace::Workspace;
use crate::lock::file::Lock;
use crate::publish::PublishOrder;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::sys::clock;
use crate::sys::fs;
use crate::update::ImageUpdate;
use crate::update::UpdateState;
use crate::update::assess;
use crate::update::lease::Lease;
use crate::update::memory::UpdateFinding;
use crate::update::memory::UpdateMemory;
use crate::update::repull;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use url::Url;

/// What to update.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// Images to look at; all when none is named.
    pub images: Vec<String>,
    /// What to do about news.
    pub action: UpdateAction,
    /// Write nothing, and only find out what would be published.
    pub dry_run: bool,
    /// `https://HOST/PROJECT` or `oci:DIR`, instead of the target of the registry file.
    pub to: Option<String>,
    /// Choose from these pockets of the archives alone; all when none is named. For looking only.
    pub pockets: BTreeSet<String>,
    /// Why archives are accepted that are older than the lock files or this machine know.
    pub accept_older_archives: Option<String>,
    /// Which one of several machines this is that do the same work at the same time.
    pub worker: Option<Worker>,
    /// Git checkout to write the digests of published images to.
    pub write_back: Option<WriteBackRequest>,
    /// File for figures in Prometheus' text format.
    pub metrics: Option<PathBuf>,
    /// Pushgateway for the same figures.
    pub push_gateway: Option<Url>,
}

/// What to do about news.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpdateAction {
    /// Say what it is.
    #[default]
    Look,
    /// Write the new lock files.
    Write,
    /// Write the new lock files, build all images and publish them.
    Publish,
}

/// One of several machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// Which one, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// What came of an update.
#[derive(Debug)]
pub struct UpdateOutcome {
    /// One entry for each image, parents first.
    pub images: Vec<UpdatedImage>,
    /// What became of publishing, where that was asked for.
    pub published: Option<PublishOutcome>,
    /// Why nothing is known about what the updates fix. Images are locked and published all the same.
    pub advisories: Option<advisory::Error>,
    /// Lock files were written.
    pub wrote: bool,
}

/// What came of updating one image.
#[derive(Debug)]
pub struct UpdatedImage {
    /// What is new.
    pub update: ImageUpdate,
    /// Why it is not updated. One image's failure does not stop the others.
    pub error: Option<Error>,
    /// Layers that the store had.
    pub layers_found: usize,
    /// Layers that were made.
    pub layers_made: usize,
}

impl UpdateOutcome {
    /// Tells whether anything failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.advisories.is_some()
            || self.images.iter().any(|image| image.error.is_some())
            || self.published.as_ref().is_some_and(PublishOutcome::has_failed)
    }

    /// Returns what became of publishing an image.
    #[must_use]
    pub fn published_image(&self, name: &str) -> Option<&Published> {
        self.published.as_ref()?.images.iter().find(|published| published.image == name)
    }

    /// Tells whether something newer is there, or may be, that cannot be taken.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.images.iter().any(|image| image.update.is_blocked())
    }

    fn new(updates: Vec<ImageUpdate>) -> Self {
        let mut images = Vec::new();
        for mut update in updates {
            let error = update.failure.take().map(Error::from);
            images.push(UpdatedImage { update, error, layers_found: 0, layers_made: 0 });
        }
        Self { images, published: None, advisories: None, wrote: false }
    }

    /// Adds what building showed: failures, and exact figures in place of estimates.
    fn add_built(&mut self, before: &BTreeMap<String, BuiltImage>, mut results: BuildResults) {
        for image in &mut self.images {
            let name = &image.update.image;
            let built = results.built.get(name);
            if let (Some(old), Some(new), UpdateState::Changed) = (before.get(name), built, image.update.state) {
                image.update.repull = repull::measure(old, new);
            }
            for platform in built.into_iter().flat_map(|built| &built.platforms) {
                image.layers_found += platform.reused;
                image.layers_made += platform.layers.len() - platform.reused;
            }
            if image.error.is_none() {
                image.error = results.failed.remove(name);
            }
        }
    }

    /// Says why an image is published anew, as far as that is known.
    fn reason(&self, image: &str) -> PublishReason {
        let Some(image) = self.images.iter().find(|other| other.update.image == image) else {
            return PublishReason::default();
        };
        let fixes = image.update.cves().into_iter().map(str::to_owned).collect();
        PublishReason { urgency: image.update.urgency, fixes }
    }
}

/// Looks for news, and does about it what was asked for.
///
/// # Errors
/// When nothing can be done at all; what fails for one image is in the outcome.
pub fn run(request: &UpdateRequest, session: &Session) -> Result<UpdateOutcome, Error> {
    let target = publish_target(request, session)?;
    let announcing = match &target {
        Some(target) => Some(Announcing::open(request.write_back.as_ref(), request.dry_run, target, session)?),
        None => None,
    };
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&request.images)?;

    // one run at a time writes to a project
    let store = session.store()?;
    let writes = !request.dry_run && request.action != UpdateAction::Look;
    let project = fs::absolute(&session.options().directory)?;
    let _lease = if writes { Some(Lease::take(store, &project)?) } else { None };

    // what is new, and what does it mean?
    let previous = workspace.locks(&definitions)?;
    let accept_older = accepts_older(request.accept_older_archives.as_ref(), session);
    let how = Relock { locked_states: false, pockets: &request.pockets, accept_older };
    let mut results = workspace.relock_each(&definitions, &previous, &how)?;
    if results.iter().any(|(_, result)| result.is_err()) && takes_states(target.as_ref(), &previous, session) {
        results = workspace.relock_each(&definitions, &previous, &how)?;
    }
    let builder = UpdateBuilder {
        layers: target.as_ref().map_or(LayerLocation::Here, PublishTarget::layers),
        definitions,
        images: Vec::new(),
        ledger: workspace.ledger()?,
        session,
    };
    let before = builder.known(&previous)?;
    let (updates, locks) =
        assess(&builder.definitions, &previous, results, &|image| before.get(&image.image).map(repull::sizes));
    let mut outcome = UpdateOutcome::new(updates);
    explain::add_fixes(
        &mut outcome,
        &builder.definitions,
        explain::LocksBeforeAndAfter { previous: &previous, new: &locks },
        session,
    )?;

    if writes {
        keep_changed(&outcome, &locks, &workspace)?;
        outcome.wrote = true;
    }
    if let (Some(target), Some(announcing)) = (&target, &announcing) {
        let publishing = UpdatePublishing { request, target, builder: &builder, related: workspace.related() };
        let images = publishing.run(&before, &locks, &mut outcome)?;
        target.leave_states(locks.values(), &images)?;
        let blocked = blocked::updates(&outcome, &builder.definitions, &images, target.text());
        let published = announcing.announce(images, &|image| outcome.reason(image), &blocked)?;
        outcome.published = Some(published);
    }

    let memory = UpdateMemory { store, project: &project };
    let ended = clock::now();
    remember(&outcome, request, memory, ended)?;
    figures::leave(
        request,
        &outcome,
        &locks,
        figures::RunTimes { ended, last_success: memory.success(!outcome.has_failed(), ended)? },
        session,
    )?;
    Ok(outcome)
}

/// Returns where to publish, if anything is to be published. What would stop it is found before anything is done.
fn publish_target<'a>(request: &UpdateRequest, session: &'a Session) -> Result<Option<PublishTarget<'a>>, Error> {
    if request.action != UpdateAction::Publish {
        return match &request.write_back {
            Some(_) => Err(Error::usage("cannot write back digests: nothing is published")),
            None => Ok(None),
        };
    }
    let target = PublishTarget::open(request.to.as_deref(), session)?;
    if request.worker.is_some() {
        target.check_can_divide()?;
    }
    Ok(Some(target))
}

/// Brings the states that locks name from the cache repository: without them no package can stay behind that the archives
/// no longer list. Tells whether there is such a repository.
fn takes_states(target: Option<&PublishTarget<'_>>, locks: &BTreeMap<String, Lock>, session: &Session) -> bool {
    // what failed has its own reason already
    match target {
        Some(target) => target.take_states(locks.values()).unwrap_or(false),
        None => PublishTarget::open(None, session).and_then(|own| own.take_states(locks.values())).unwrap_or(false),
    }
}

/// Writes the lock files that changed.
fn keep_changed(
    outcome: &UpdateOutcome,
    locks: &BTreeMap<String, Lock>,
    workspace: &Workspace<'_>,
) -> Result<(), Error> {
    for UpdatedImage { update, .. } in &outcome.images {
        let is_new = matches!(update.state, UpdateState::Changed | UpdateState::New);
        if let Some(lock) = locks.get(&update.image).filter(|_| is_new) {
            workspace.keep(lock)?;
        }
    }
    Ok(())
}

/// Building and publishing part by part.
struct UpdatePublishing<'a> {
    request: &'a UpdateRequest,
    target: &'a PublishTarget<'a>,
    builder: &'a UpdateBuilder<'a>,
    related: BTreeMap<String, Vec<String>>,
}

impl UpdatePublishing<'_> {
    /// Builds and publishes every image that has a lock; what building showed is added to the outcome.
    fn run(
        &self,
        before: &BTreeMap<String, BuiltImage>,
        locks: &BTreeMap<String, Lock>,
        outcome: &mut UpdateOutcome,
    ) -> Result<Vec<Published>, Error> {
        let mut published = Vec::new();
        for part in self.builder.parts(self.request.worker) {
            part.take_from_cache(self.target, locks)?;
            let results = part.build_each(locks);

            let orders: Vec<PublishOrder<'_>> = part
                .definitions
                .iter()
                .filter_map(|definition| {
                    let built = results.built.get(&definition.image)?;
                    Some(PublishOrder { definition, parent: parent(definition, &part.definitions), built })
                })
                .collect();
            let rebuild = || Ok(part.build_each(locks).built);
            let how = Delivery { related: &self.related, dry_run: self.request.dry_run, rebuild: &rebuild };
            published.extend(self.target.deliver(&orders, &how)?);
            outcome.add_built(before, results);
        }
        Ok(published)
    }
}

/// Remembers what this run found and did, for `sockel status`.
fn remember(
    outcome: &UpdateOutcome,
    request: &UpdateRequest,
    memory: UpdateMemory<'_>,
    now: Epoch,
) -> Result<(), Error> {
    for image in &outcome.images {
        // nothing was found out about images whose archives could not be read
        if image.update.state != UpdateState::Failed {
            let blocked = blocked::remembered(&image.update, now);
            memory.note(&image.update.image, found(image, outcome, request), blocked, now)?;
        }
    }
    Ok(())
}

fn found(image: &UpdatedImage, outcome: &UpdateOutcome, request: &UpdateRequest) -> UpdateFinding {
    let waits = image.update.held_back_urgency == Some(advisory::UpgradeUrgency::Urgent);
    let urgent = waits || image.update.urgency == Some(advisory::UpgradeUrgency::Urgent);
    if !outcome.wrote {
        return UpdateFinding::Looked { urgent };
    }
    let is_current = outcome
        .published_image(&image.update.image)
        .is_some_and(|published| matches!(published.state, PublishState::Published | PublishState::UpToDate));
    if request.action == UpdateAction::Publish && !is_current {
        return UpdateFinding::Stuck { urgent };
    }
    if waits { UpdateFinding::Stuck { urgent } } else { UpdateFinding::Taken }
}
