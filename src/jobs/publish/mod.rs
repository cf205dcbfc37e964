//! The job `publish`: images from their locks to a registry, past its gate; then the checkouts and receivers that want
//! to know.

mod receivers;

use crate::announce::webhook;
use crate::announce::webhook::BlockedUpdate;
use crate::announce::webhook::PublishReason;
use crate::announce::writeback;
use crate::announce::writeback::WriteBackImage;
use crate::announce::writeback::WriteBackResult;
use crate::build;
use crate::build::BuiltImage;
use crate::bundle::BundleLocation;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::bundle;
use crate::jobs::publish::receivers::Receivers;
use crate::jobs::target::Delivery;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::is_asked_for;
use crate::jobs::workspace::locked_images;
use crate::lock::file::Lock;
use crate::oci::registry::address::ImageLocation;
use crate::publish;
use crate::publish::Published;
use crate::recipe::ImageDefinition;
use crate::sys::http::HttpClient;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What to publish.
#[derive(Debug, Clone, Default)]
pub struct PublishRequest {
    /// Images to publish; all when none is named.
    pub images: Vec<String>,
    /// `https://HOST/PROJECT` or `oci:DIR`, instead of the target and projects of the registry file.
    pub to: Option<String>,
    /// Only find out what would be done.
    pub dry_run: bool,
    /// Why tags may go back to an older state; without a reason, images with newer tags are left alone.
    pub accept_older_release: Option<String>,
    /// Take all packages from this bundle, and nothing from archives.
    pub bundle: Option<BundleLocation>,
    /// Git checkout to write the digests of published images to.
    pub write_back: Option<WriteBackRequest>,
}

/// A Git checkout that names images by digest.
#[derive(Debug, Clone)]
pub struct WriteBackRequest {
    /// A folder of it; references in files below are brought up to date.
    pub folder: PathBuf,
    /// Author of the commit, `NAME <MAIL>`; Git's own configuration decides without one.
    pub author: Option<String>,
    /// Push the commit with the checkout's own remote and branch.
    pub push: bool,
}

/// What became of publishing.
#[derive(Debug)]
pub struct PublishOutcome {
    /// Where images went, as it was written.
    pub target: String,
    /// What became of each image. One image's failure does not stop the others.
    pub images: Vec<Published>,
    /// What became of the Git checkout, where one was named.
    pub write_back: Option<Result<WriteBackResult, writeback::Error>>,
    /// What became of telling each receiver of the registry file.
    pub announced: Vec<AnnouncedReceiver>,
}

/// What became of telling one receiver.
#[derive(Debug)]
pub struct AnnouncedReceiver {
    /// Its address, without secrets.
    pub receiver: String,
    /// Images that it was told of.
    pub images: Vec<String>,
    /// Images of which it was told that updates are blocked.
    pub blocked: Vec<String>,
    /// Why it was not told of more.
    pub error: Option<webhook::Error>,
}

impl PublishOutcome {
    /// Tells whether anything failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.images.iter().any(|image| image.failure.is_some())
            || matches!(self.write_back, Some(Err(_)))
            || self.announced.iter().any(|announced| announced.error.is_some())
    }
}

/// Builds what is not built, and publishes it.
///
/// # Errors
/// When nothing can be published at all; what fails for one image, the checkout or a receiver is in the outcome.
pub fn run(request: &PublishRequest, session: &Session) -> Result<PublishOutcome, Error> {
    let target =
        PublishTarget::open(request.to.as_deref(), session)?.accepting_older(request.accept_older_release.as_ref());
    let workspace = Workspace::open(session)?;
    let announcing = Announcing::open(request.write_back.as_ref(), request.dry_run, &target, session)?;
    let definitions = workspace.definitions(&request.images)?;
    let locks = workspace.fresh_locks(&definitions)?;

    // everything is built before anything is sent
    let building = PublishBuild {
        request,
        target: &target,
        workspace: &workspace,
        definitions: &definitions,
        locks: &locks,
        session,
    };
    let built = building.build(true)?;
    let rebuild = || Ok(by_name(building.build(false)?));

    let wanted: Vec<publish::PublishOrder<'_>> = definitions
        .iter()
        .zip(&built)
        .filter(|(_, built)| is_asked_for(&request.images, &built.image))
        .map(|(definition, built)| publish::PublishOrder {
            definition,
            parent: parent(definition, &definitions),
            built,
        })
        .collect();
    let how = Delivery { related: &workspace.related(), dry_run: request.dry_run, rebuild: &rebuild };
    let images = target.deliver(&wanted, &how)?;
    target.leave_states(locks.values(), &images)?;

    announcing.announce(images, &|_| PublishReason::default(), &[])
}

/// Returns the definition of an image's parent.
pub(crate) fn parent<'a>(child: &ImageDefinition, definitions: &'a [ImageDefinition]) -> Option<&'a ImageDefinition> {
    definitions.iter().find(|definition| child.parent.as_ref() == Some(&definition.image))
}

/// Returns built images by name.
pub(crate) fn by_name(built: Vec<BuiltImage>) -> BTreeMap<String, BuiltImage> {
    built.into_iter().map(|built| (built.image.clone(), built)).collect()
}

/// A build that is repeated when something proves to be damaged on the way to the registry.
struct PublishBuild<'a> {
    request: &'a PublishRequest,
    target: &'a PublishTarget<'a>,
    workspace: &'a Workspace<'a>,
    definitions: &'a [ImageDefinition],
    locks: &'a BTreeMap<String, Lock>,
    session: &'a Session,
}

impl PublishBuild<'_> {
    /// Builds the images from their locks as they are. What the store has is found there, and with `take` what the
    /// shared cache has.
    fn build(&self, take: bool) -> Result<Vec<BuiltImage>, Error> {
        let options = build::BuildOptions {
            images: self.request.images.clone(),
            ..self.session.build_options(self.target.layers())
        };
        let orders = locked_images(self.definitions, self.locks);
        if take {
            self.target.take_from_cache(&orders, &options, false)?;
        }

        let offline: Option<HttpClient> = match &self.request.bundle {
            Some(place) => Some(bundle::supply(place, &orders, &[], self.session)?),
            None => None,
        };
        let http = offline.as_ref().unwrap_or(self.session.http());
        let equipment = self.session.equipment(http, self.workspace.ledger()?)?;
        let built = build::build(&orders, &options, equipment);
        Ok(built.map_err(|error| self.workspace.explained(error, self.definitions, self.locks))?)
    }
}

/// Who hears of published images: a Git checkout and the receivers of the registry file. They are opened before
/// anything is published, so that what would stop them in any case stops the job.
pub(crate) struct Announcing<'a> {
    write_back: Option<&'a WriteBackRequest>,
    receivers: Receivers,
    dry_run: bool,
    target: String,
    session: &'a Session,
}

impl<'a> Announcing<'a> {
    /// Reads keys and looks at the checkout.
    pub(crate) fn open(
        write_back: Option<&'a WriteBackRequest>,
        dry_run: bool,
        target: &PublishTarget<'_>,
        session: &'a Session,
    ) -> Result<Self, Error> {
        if let Some(WriteBackRequest { folder, author, .. }) = write_back {
            if let ImageLocation::Layout(_) = target.address() {
                return Err(Error::usage(
                    "cannot write back digests of images in a layout folder: nothing pulls from it",
                )
                .hint("name a registry with `--to https://HOST/PROJECT`"));
            }
            writeback::check(folder, author.as_deref())?;
        }
        let receivers = Receivers::open(target.file(), session)?;
        Ok(Self { write_back, receivers, dry_run, target: target.text().to_owned(), session })
    }

    /// Writes digests back and tells the receivers; `reason` says why an image was published anew, `blocked` which
    /// updates were not taken.
    pub(crate) fn announce(
        &self,
        images: Vec<Published>,
        reason: &dyn Fn(&str) -> PublishReason,
        blocked: &[BlockedUpdate],
    ) -> Result<PublishOutcome, Error> {
        let write_back = self.write_back.map(|WriteBackRequest { folder, author, push }| {
            let published: Vec<WriteBackImage> = images.iter().filter_map(WriteBackImage::of).collect();
            let options = writeback::WriteBackOptions { author: author.as_deref(), push: *push, dry_run: self.dry_run };
            writeback::write_back(folder, &published, &options)
        });
        let announced =
            if self.dry_run { Vec::new() } else { self.receivers.tell(&images, reason, blocked, self.session)? };
        Ok(PublishOutcome { target: self.target.clone(), images, write_back, announced })
    }
}
