//! Sets up the staging and the release project: looks up what exists, creates or changes the rest, reports each step.
//!
//! - **Staging** is where images are judged: no automatic scans (sockel requests them), nothing that hides unsigned or
//!   unscanned images from the tools that sign and scan them, and a retention rule.
//! - **Release** is where people pull: tags never move, vulnerable and unsigned images are not served. It has no
//!   retention rule, because a Harbor without one deletes nothing.
//! - **Two robots** with least rights: one pushes to staging and scans, only the other one may write to release
//!   ("Freigabe").
//!
//! A second run finds everything in place and changes nothing. A step that the account has no right to do is reported
//! with a remedy; so is anything that the API cannot repair.

mod allowlist;
mod project;
mod retention;
mod robot;
mod rules;
mod webhook;

pub use robot::KeptSecret;
pub use robot::Robots;
pub use webhook::Webhook;

use crate::gate::Exemption;
use crate::gate::Severity;
use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::artifact::Label;
use crate::harbor::name;
use crate::harbor::setup::robot::RobotPlaces;
use serde::Serialize;
use std::fmt;

/// The wanted configuration of a Harbor.
#[derive(Debug, Clone)]
pub struct HarborSetup {
    /// The project that images are pushed to and judged in.
    pub staging: ProjectSetup,
    /// The project that people pull from.
    pub release: ProjectSetup,
    /// The lowest severity for which Harbor itself refuses to serve a released image. `None` leaves that to the gate.
    pub withhold: Option<Severity>,
    /// The gate's exemptions: Harbor has to know them, or it withholds images that the gate has passed.
    pub exemptions: Vec<Exemption>,
    /// The release project serves only images with a cosign signature.
    pub signed: bool,
    /// Patterns of release tags that may move, such as `latest`; all others are immutable.
    pub moving: Vec<String>,
    /// How many of the most recently pushed images of each repository staging keeps.
    pub keep: u32,
    /// Where results are shared between machines; `None` without a shared cache.
    pub cache: Option<CacheSetup>,
    /// Labels for released images.
    pub labels: Vec<String>,
    /// The two robots; `None` leaves robots alone.
    pub robots: Option<Robots>,
    /// The receiver of finished scans.
    pub webhook: Option<Webhook>,
}

/// A project that should exist.
#[derive(Debug, Clone)]
pub struct ProjectSetup {
    /// Its name.
    pub name: String,
    /// Quota in bytes; -1 is unlimited, and `None` leaves the quota alone.
    pub storage: Option<i64>,
}

/// The repository in which results are shared. It may be in the staging project or have a project of its own.
#[derive(Debug, Clone)]
pub struct CacheSetup {
    /// The project of the repository. Its quota counts only where it is not the staging project.
    pub project: ProjectSetup,
    /// The repository's name within the project.
    pub repository: String,
    /// For how many days a result stays that nobody pulls, where the cache has a project of its own.
    pub days: u32,
}

/// One thing of the setup, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetupStep {
    /// The thing, such as "project `staging`".
    pub what: String,
    /// What was done about it.
    pub state: StepState,
}

/// What was done in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// The thing exists as wanted.
    Exists,
    /// It was created.
    Created,
    /// It existed, but differed; the text says what was changed.
    Changed(String),
    /// It would be created, were this not a dry run.
    WouldCreate,
    /// It would be changed as the text says, were this not a dry run.
    WouldChange(String),
    /// The account has no right to do it.
    NotPermitted {
        /// What a person can do.
        remedy: String,
    },
    /// It is not as wanted, and only a person can change that.
    Left {
        /// What a person can do.
        remedy: String,
    },
}

impl fmt::Display for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            StepState::Exists => write!(f, "{}: exists", self.what),
            StepState::Created => write!(f, "{}: created", self.what),
            StepState::Changed(change) => write!(f, "{}: changed ({change})", self.what),
            StepState::WouldCreate => write!(f, "{}: would be created", self.what),
            StepState::WouldChange(change) => write!(f, "{}: would be changed ({change})", self.what),
            StepState::NotPermitted { remedy } => write!(f, "{}: not permitted; {remedy}", self.what),
            StepState::Left { remedy } => write!(f, "{}: left as it is; {remedy}", self.what),
        }
    }
}

impl StepState {
    /// Tells whether the thing is as wanted, now or after the real run.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        !matches!(self, Self::NotPermitted { .. } | Self::Left { .. })
    }
}

/// A run of the setup.
pub(crate) struct SetupRun<'a, 'h> {
    pub(crate) harbor: &'a Harbor<'h>,
    pub(crate) dry: bool,
    steps: Vec<SetupStep>,
}

impl SetupRun<'_, '_> {
    /// Records a step.
    fn step(&mut self, what: impl Into<String>, state: StepState) {
        self.steps.push(SetupStep { what: what.into(), state });
    }

    /// Creates something, or changes it if `change` says how it differs. Returns whether it exists; a dry run only
    /// records the step.
    async fn act(&mut self, what: &str, request: HarborRequest, change: Option<String>) -> Result<bool, Error> {
        let state = match (self.dry, change) {
            (true, None) => StepState::WouldCreate,
            (true, Some(change)) => StepState::WouldChange(change),
            (false, change) => match self.harbor.call(request).await {
                Ok(_) => change.map_or(StepState::Created, StepState::Changed),
                // another run was faster
                Err(Error::Conflict { .. }) if change.is_none() => StepState::Exists,
                Err(Error::NotPermitted { message, .. }) => self.not_permitted(&message),
                Err(error) => return Err(error),
            },
        };

        let is_there = matches!(state, StepState::Exists | StepState::Created | StepState::Changed(_));
        self.step(what, state);
        Ok(is_there)
    }

    /// Returns the state of a step that the account has no right to do.
    fn not_permitted(&self, message: &str) -> StepState {
        let user = self.harbor.user();
        let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
        let remedy = format!("let a Harbor administrator run this, or give `{user}` the right{message}");
        StepState::NotPermitted { remedy }
    }

    /// Records a step and returns `None` when the account has no right to look something up.
    async fn look<T>(&mut self, what: &str, found: Result<T, Error>) -> Result<Option<T>, Error> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotPermitted { message, .. }) => {
                let state = self.not_permitted(&message);
                self.step(what, state);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Harbor<'_> {
    /// Returns what [`Harbor::apply`] would do; changes nothing.
    ///
    /// # Errors
    /// [`Error::Name`] for names that Harbor would refuse, [`Error::Known`] in read-only mode, [`Error::NotHarbor`],
    /// and those of every call but [`Error::NotPermitted`], which becomes a step.
    pub async fn plan(&self, wanted: &HarborSetup) -> Result<Vec<SetupStep>, Error> {
        self.set_up(wanted, true).await
    }

    /// Creates everything that is missing and changes what differs. Secrets of new robots are written to files below
    /// [`Robots::keep`], and never appear in a step.
    ///
    /// # Errors
    /// As [`Harbor::plan`]. The steps done until then stay, and the next run finds them.
    pub async fn apply(&self, wanted: &HarborSetup) -> Result<Vec<SetupStep>, Error> {
        self.set_up(wanted, false).await
    }

    /// Takes all steps, each with what it found out about the projects.
    async fn set_up(&self, wanted: &HarborSetup, dry: bool) -> Result<Vec<SetupStep>, Error> {
        check(wanted)?;
        let registry = self.origin.origin().ascii_serialization();
        let found = self.discover().await?.ok_or(Error::NotHarbor { step: "the setup", registry })?;
        if !dry {
            found.writable()?;
        }

        // projects first: everything else belongs to one
        let mut run = SetupRun { harbor: self, dry, steps: Vec::new() };
        let staging = run.project(&wanted.staging, &project::staging_flags()).await?;
        let release = run.project(&wanted.release, &project::release_flags(wanted)).await?;

        let (shared, own) = wanted.caches();
        let rules = retention::staging_rules(wanted.keep, shared.map(|cache| cache.repository.as_str()));
        run.retention(&wanted.staging.name, staging.as_ref(), &rules).await?;
        if let Some(cache) = own {
            let project = run.project(&cache.project, &project::staging_flags()).await?;
            run.retention(&cache.project.name, project.as_ref(), &retention::cache_rules(cache.days)).await?;
        }
        run.immutability(&wanted.release.name, release.as_ref(), &wanted.moving).await?;
        run.labels(&wanted.release.name, release.as_ref(), &wanted.labels).await?;
        // where Harbor withholds nothing, its list would have no effect
        if wanted.withhold.is_some() {
            run.allowlist(&wanted.release.name, release.as_ref(), &wanted.exemptions).await?;
        }
        if let Some(webhook) = &wanted.webhook {
            run.webhook(&wanted.staging.name, staging.is_some(), webhook).await?;
        }

        // robots last: rights on a project can only be given once it exists
        if let Some(robots) = &wanted.robots {
            let cache = wanted.cache.as_ref().map(|cache| cache.project.name.as_str());
            let (staging, release) = (&wanted.staging.name, &wanted.release.name);
            run.robots(robots, &RobotPlaces { staging, release, cache }).await?;
        }
        Ok(run.steps)
    }

    /// Returns the labels of a project.
    pub(crate) async fn project_labels(&self, project: &str) -> Result<Vec<Label>, Error> {
        let action = format!("read the labels of project `{project}`");
        let found = self.project(project).await?;

        // the list of labels knows projects by number only
        let identifier = found.project_id.to_string();
        self.list(|| HarborRequest::get(&action, ["labels"]).query("scope", "p").query("project_id", &identifier)).await
    }
}

impl HarborSetup {
    /// Returns the shared cache as one within the staging project, or as one in a project of its own.
    fn caches(&self) -> (Option<&CacheSetup>, Option<&CacheSetup>) {
        let is_shared = self.cache.as_ref().is_some_and(|cache| cache.project.name == self.staging.name);
        if is_shared { (self.cache.as_ref(), None) } else { (None, self.cache.as_ref()) }
    }
}

/// Checks all names before the first request, so that a mistake does not stop the setup half way.
fn check(wanted: &HarborSetup) -> Result<(), Error> {
    name::check_project(&wanted.staging.name)?;
    name::check_project(&wanted.release.name)?;
    if wanted.staging.name == wanted.release.name {
        let rule = "staging and release must be two projects";
        return Err(Error::Name { kind: "project", name: wanted.release.name.clone(), rule });
    }

    if let Some(cache) = &wanted.cache {
        name::check_project(&cache.project.name)?;
        // the pipeline writes to the cache, and only the release robot writes to where people pull from
        if cache.project.name == wanted.release.name {
            let rule = "the shared cache must not be in the release project";
            return Err(Error::Name { kind: "project of the cache", name: cache.project.name.clone(), rule });
        }
    }

    // one robot for both would be able to release what it pushed
    if let Some(robots) = &wanted.robots {
        name::check_robot(&robots.pipeline)?;
        name::check_robot(&robots.release)?;
        if robots.pipeline == robots.release {
            let rule = "pipeline and release must be two robots";
            return Err(Error::Name { kind: "robot name", name: robots.release.clone(), rule });
        }
    }

    if let Some(label) = wanted.labels.iter().find(|label| !is_label(label)) {
        return Err(Error::Name { kind: "label", name: label.clone(), rule: "it must have 1 to 128 characters" });
    }
    if let Some(pattern) = wanted.moving.iter().find(|pattern| !is_tag_pattern(pattern)) {
        let rule = "it must be a tag, with `*` where anything may stand";
        return Err(Error::Name { kind: "pattern of moving tags", name: pattern.clone(), rule });
    }
    Ok(())
}

/// Tells whether Harbor accepts a text as name of a label.
fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 128
}

/// Tells whether a text is one pattern. Braces and commas join all patterns to one, so none may contain any.
fn is_tag_pattern(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b',' | b'{' | b'}' | b' ' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> HarborSetup {
        HarborSetup {
            staging: ProjectSetup { name: "staging".to_owned(), storage: None },
            release: ProjectSetup { name: "release".to_owned(), storage: Some(-1) },
            withhold: Some(Severity::High),
            exemptions: Vec::new(),
            signed: true,
            moving: vec!["latest".to_owned()],
            keep: 10,
            cache: None,
            labels: vec!["released".to_owned()],
            robots: None,
            webhook: None,
        }
    }

    #[test]
    fn checks_names_first() {
        type Change = fn(&mut HarborSetup);
        let table: [(Change, Option<&str>); 7] = [
            (|_| {}, None),
            (|wanted| wanted.staging.name = "a/b".to_owned(), Some("cannot use `a/b` as project")),
            (|wanted| wanted.staging.name = "release".to_owned(), Some("cannot use `release` as project")),
            (
                |wanted| {
                    let (project, repository) = (wanted.release.clone(), "cache".to_owned());
                    wanted.cache = Some(CacheSetup { project, repository, days: 1 });
                },
                Some("cannot use `release` as project of the cache"),
            ),
            (|wanted| wanted.labels.push(" ".to_owned()), Some("cannot use ` ` as label")),
            (|wanted| wanted.moving.push("a,b".to_owned()), Some("cannot use `a,b` as pattern")),
            (
                |wanted| {
                    let name = "x".to_owned();
                    let keep = std::path::PathBuf::new();
                    wanted.robots = Some(Robots { pipeline: name.clone(), release: name, days: 1, keep });
                },
                Some("cannot use `x` as robot name: pipeline and release must be two robots"),
            ),
        ];
        for (change, expected) in table {
            let mut wanted = wanted();
            change(&mut wanted);
            let problem = check(&wanted).err().map(|error| error.to_string());
            match (problem, expected) {
                (Some(problem), Some(expected)) => assert!(problem.starts_with(expected), "{problem}"),
                (problem, expected) => assert_eq!((problem, expected), (None, None)),
            }
        }
    }

    #[test]
    fn tells_steps() {
        let states = [
            StepState::Exists,
            StepState::Changed("a → b".to_owned()),
            StepState::WouldCreate,
            StepState::NotPermitted { remedy: "ask".to_owned() },
        ];
        let steps = states.map(|state| SetupStep { what: "label `x`".to_owned(), state }.to_string());
        let expected = [
            "label `x`: exists",
            "label `x`: changed (a → b)",
            "label `x`: would be created",
            "label `x`: not permitted; ask",
        ];
        assert_eq!(steps, expected);
    }
}
