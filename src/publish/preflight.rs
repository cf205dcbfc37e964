//! What would stop a release, found before anything is pushed or scanned, and by a dry run: absent projects, missing
//! rights, full quotas. Only images that have to be published make it worth asking.

use crate::gate::Finding;
use crate::gate::Severity;
use crate::harbor;
use crate::harbor::Harbor;
use crate::harbor::HarborProject;
use crate::harbor::StorageRoom;
use crate::harbor::rights::ONE_PROJECT;
use crate::harbor::rights::PIPELINE;
use crate::harbor::rights::RELEASE;
use crate::harbor::rights::RightUse;
use crate::oci::registry::HarborRefusal;
use crate::oci::registry::RegistryClient;
use crate::publish::Error;
use crate::publish::PublishOrder;
use crate::publish::PublishPlace;
use crate::publish::within;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What was found out about the projects.
pub(super) struct Preflight<'a> {
    /// Where images are pushed to.
    staging: ProjectAccount<'a>,
    /// Where images are copied to.
    release: Option<ProjectAccount<'a>>,
    /// The project that people pull from.
    served: HarborProject,
}

/// How full a project becomes.
struct ProjectAccount<'a> {
    name: &'a str,
    /// What the names of its repositories begin with.
    prefix: &'a str,
    registry: &'a RegistryClient,
    room: Option<StorageRoom>,
    /// Not everything of this run fits, so what is there already has to be known.
    is_tight: bool,
    /// Blobs that earlier images of this run bring: Harbor counts each blob of a project once.
    coming: BTreeSet<Digest>,
    /// Their bytes.
    bytes: u64,
}

impl<'a> Preflight<'a> {
    /// Looks at projects and rights. `bytes` is the size of all blobs of the images that have to be published.
    ///
    /// # Errors
    /// [`harbor::Error::Known`] for an absent project, [`harbor::Error::MissingRights`], and those of every call.
    pub(super) async fn look(place: &'a PublishPlace<'a>, pusher: &'a Harbor<'a>, bytes: u64) -> Result<Self, Error> {
        let name = project_of(place.prefix);
        let staging = pusher.project(name).await?;
        let mut needed = PIPELINE.staging.to_vec();
        if place.release.is_none() {
            needed.extend_from_slice(ONE_PROJECT);
        }
        check(pusher, name, staging.project_id, &needed).await?;
        pusher.check_scanner(name, !place.policy.unknown_database_age_pass).await?;
        let room = pusher.room(name).await?;
        let staging_account = ProjectAccount::new(place.prefix, place.registry, room, bytes);

        let Some(release) = &place.release else {
            return Ok(Self { staging: staging_account, release: None, served: staging });
        };
        let releaser = place.final_harbor().unwrap_or(pusher);
        let served = releaser.project(release.project).await?;
        check(releaser, name, staging.project_id, RELEASE.staging).await?;
        let needed: Vec<RightUse> = RELEASE
            .release
            .iter()
            .filter(|right| !release.labels.is_empty() || !is_for_labels(right))
            .copied()
            .collect();
        check(releaser, release.project, served.project_id, &needed).await?;
        let room = releaser.room(release.project).await?;
        let release = Some(ProjectAccount::new(release.project, release.registry, room, bytes));
        Ok(Self { staging: staging_account, release, served })
    }

    /// Checks that both projects have room for an image beside those that were admitted before.
    ///
    /// # Errors
    /// [`HarborRefusal::Quota`] with the figures, and those of every call.
    pub(super) async fn admit(&mut self, order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Result<(), Error> {
        let accounts = [Some(&mut self.staging), self.release.as_mut()];
        for account in accounts.into_iter().flatten() {
            account.admit(order, place).await?;
        }
        Ok(())
    }

    /// Returns the vulnerabilities for which Harbor itself will refuse to serve an image that the gate lets through
    /// (`src/server/middleware/vulnerable`).
    pub(super) fn withheld(&self, findings: &BTreeSet<Finding>, now: Epoch) -> BTreeSet<String> {
        let Some(severity) = self.served.withholds() else { return BTreeSet::new() };
        let severity = Severity::of(severity);
        let allowed = self.served.allowed(now);
        let severe = findings.iter().filter(|finding| finding.severity.is_rated() && finding.severity >= severity);
        severe.map(|finding| finding.vulnerability.clone()).filter(|name| !allowed.contains(name)).collect()
    }
}

impl<'a> ProjectAccount<'a> {
    fn new(prefix: &'a str, registry: &'a RegistryClient, room: Option<StorageRoom>, all: u64) -> Self {
        let is_tight = room.is_some_and(|room| all > room.free());
        Self { name: project_of(prefix), prefix, registry, room, is_tight, coming: BTreeSet::new(), bytes: 0 }
    }

    async fn admit(&mut self, order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Result<(), Error> {
        let Some(room) = self.room else { return Ok(()) };
        let mut new = order.built.blobs();
        new.retain(|digest, _| !self.coming.contains(digest));

        // mostly there is room for everything, and then nobody has to know what is there already
        if self.is_tight {
            self.drop_present(order, place, &mut new).await?;
        }
        let bytes = new.values().sum::<u64>();
        if self.bytes + bytes > room.free() {
            let action = format!("publish image `{}` into project `{}`", order.built.image, self.name);
            let others =
                if self.bytes > 0 { format!(", and images before it {} bytes", self.bytes) } else { String::new() };
            let (used, limit) = (room.used, room.limit);
            let message = format!("it needs {bytes} bytes{others}; {used} of {limit} are used");
            return Err(harbor::Error::Known { action, cause: HarborRefusal::Quota, message }.into());
        }

        self.bytes += bytes;
        self.coming.extend(new.into_keys());
        Ok(())
    }

    /// Takes out the blobs that the project has in the image's own repository, or in one of a related image.
    async fn drop_present(
        &self,
        order: &PublishOrder<'_>,
        place: &PublishPlace<'_>,
        new: &mut BTreeMap<Digest, u64>,
    ) -> Result<(), Error> {
        let related = place.related.get(&order.built.image).into_iter().flatten();
        let repositories: Vec<String> = std::iter::once(&order.definition.publish.repository)
            .chain(related)
            .map(|name| within(self.prefix, name))
            .collect();

        for digest in new.keys().copied().collect::<Vec<Digest>>() {
            for repository in &repositories {
                if self.registry.has_blob(repository, &digest).await? {
                    new.remove(&digest);
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Tells whether a right is only needed to set labels.
fn is_for_labels(right: &RightUse) -> bool {
    matches!(right.resource, "label" | "artifact-label")
}

/// Returns the project of a prefix: Harbor's projects have no slash, what follows one is a prefix within the project.
pub(super) fn project_of(prefix: &str) -> &str {
    prefix.split('/').next().unwrap_or_default()
}

/// Checks that an account holds the vital ones among these rights.
async fn check(harbor: &Harbor<'_>, project: &str, number: i64, needed: &[RightUse]) -> Result<(), Error> {
    let lacking = harbor.rights(number).await?.lacking(needed);
    let rights: Vec<String> = lacking.into_iter().filter(|right| right.is_vital).map(ToString::to_string).collect();
    if rights.is_empty() {
        return Ok(());
    }

    let (user, project) = (harbor.user().to_owned(), Some(project.to_owned()));
    Err(harbor::Error::MissingRights { user, project, rights }.into())
}
