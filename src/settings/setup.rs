//! The key `setup` of the registry file: how `publish --setup` configures Harbor's projects.

use crate::gate::Severity;
use crate::harbor::setup::CacheSetup;
use crate::harbor::setup::HarborSetup;
use crate::harbor::setup::ProjectSetup;
use crate::harbor::setup::Robots;
use crate::harbor::setup::Webhook;
use crate::recipe::ImageDefinition;
use crate::recipe::is_moving;
use crate::recipe::level::maybe;
use crate::recipe::level::seconds;
use crate::recipe::level::texts;
use crate::recipe::parse::YamlNode;
use crate::settings::RegistryFile;
use crate::settings::bytes;
use crate::settings::count;
use crate::settings::is_true;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Default number of images that staging keeps per repository.
const KEEP: u32 = 10;

/// Default number of days for which robots are valid.
const ROBOT_DAYS: i64 = 90;

/// Default beginning of our robots' names. Robots belong to the whole Harbor, so two registry files need two names.
const ROBOT: &str = "sockel";

/// Name of our webhook in Harbor.
const WEBHOOK: &str = "sockel";

/// Default number of days for which a shared result stays that nobody pulls.
const CACHE_DAYS: u32 = 90;

/// What `publish --setup` sets up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetupFile {
    /// Quota of the staging project in bytes.
    pub staging_storage: Option<u64>,
    /// Quota of the release project in bytes.
    pub release_storage: Option<u64>,
    /// Quota of the shared cache's own project in bytes.
    pub cache_storage: Option<u64>,
    /// Days for which a shared result stays that nobody pulls.
    pub cache_days: Option<u64>,
    /// How many images of each repository staging keeps.
    pub keep: Option<usize>,
    /// Severity from which Harbor itself refuses to serve released images.
    pub withhold: Option<String>,
    /// The release project serves signed images only.
    pub signed: bool,
    /// Labels for released images.
    pub labels: Vec<String>,
    /// Folder for the secrets of new robots; without it no robots are made.
    pub robots: Option<PathBuf>,
    /// What robots' names begin with.
    pub robot_name: Option<String>,
    /// Days for which robots are valid.
    pub robot_days: Option<u64>,
    /// Address that Harbor notifies of finished scans.
    pub webhook: Option<String>,
}

impl SetupFile {
    /// Reads the key from a validated document.
    pub(crate) fn of(node: &YamlNode, folder: &Path) -> Self {
        Self {
            staging_storage: bytes(node.get("staging-storage")),
            release_storage: bytes(node.get("release-storage")),
            cache_storage: bytes(node.get("cache-storage")),
            // Harbor counts whole days here as well
            cache_days: seconds(node.get("cache-keep")).map(|seconds| seconds.div_ceil(86_400)),
            keep: count(node.get("keep")),
            withhold: maybe(node.get("withhold")),
            signed: is_true(node.get("signed")),
            labels: texts(node.get("labels")),
            robots: node.get("robots").map(|node| folder.join(node.text())),
            robot_name: maybe(node.get("robot-name")),
            // Harbor counts whole days: rounded up, so that a robot never expires early
            robot_days: seconds(node.get("robot-validity")).map(|seconds| seconds.div_ceil(86_400)),
            webhook: maybe(node.get("webhook")),
        }
    }
}

impl RegistryFile {
    /// Returns the wanted configuration of the two projects for these images; `None` where the file names no projects.
    #[must_use]
    pub fn harbor_setup(&self, definitions: &[ImageDefinition]) -> Option<HarborSetup> {
        let projects = self.projects.as_ref()?;
        let setup = &self.setup;
        Some(HarborSetup {
            staging: project(&projects.staging, setup.staging_storage),
            release: project(&projects.release, setup.release_storage),
            withhold: setup.withhold.as_deref().map(Severity::of),
            // the same as the gate's: or Harbor withholds images that the gate has passed
            exemptions: self.gate.exemptions.clone(),
            signed: setup.signed,
            moving: moving_tags(definitions),
            keep: setup.keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(KEEP),
            cache: self.cache_setup(),
            labels: setup.labels.clone(),
            robots: setup.robots.as_deref().map(|folder| setup.robots_in(folder)),
            webhook: setup.webhook.as_ref().map(|address| Webhook {
                name: WEBHOOK.to_owned(),
                address: address.clone(),
                // the registry file is committed, so it holds no secrets
                authorization: None,
            }),
        })
    }
}

impl RegistryFile {
    /// Returns what the setup has to know about the shared cache. A repository without a project is no Harbor's.
    fn cache_setup(&self) -> Option<CacheSetup> {
        let (project_name, repository) = self.cache.as_ref()?.repository.split_once('/')?;
        let days = self.setup.cache_days.map_or(CACHE_DAYS, |days| u32::try_from(days).unwrap_or(u32::MAX));
        Some(CacheSetup {
            project: project(project_name, self.setup.cache_storage),
            repository: repository.to_owned(),
            days,
        })
    }
}

impl SetupFile {
    /// Returns the robots whose secrets are kept in a folder.
    fn robots_in(&self, folder: &Path) -> Robots {
        let name = self.robot_name.as_deref().unwrap_or(ROBOT);
        Robots {
            pipeline: format!("{name}-pipeline"),
            // German for release
            release: format!("{name}-freigabe"),
            days: self.robot_days.map_or(ROBOT_DAYS, |days| i64::try_from(days).unwrap_or(i64::MAX)),
            keep: folder.to_owned(),
        }
    }
}

/// Returns a project with its quota.
fn project(name: &str, storage: Option<u64>) -> ProjectSetup {
    ProjectSetup { name: name.to_owned(), storage: storage.and_then(|bytes| i64::try_from(bytes).ok()) }
}

/// Returns the patterns of all tags that move, as Harbor writes them.
fn moving_tags(definitions: &[ImageDefinition]) -> Vec<String> {
    let patterns = definitions.iter().flat_map(|definition| &definition.publish.tags);
    // several images mostly share their patterns
    let moving: BTreeSet<String> =
        patterns.filter(|pattern| is_moving(pattern)).map(|pattern| pattern.replace("{version}", "*")).collect();
    moving.into_iter().collect()
}
