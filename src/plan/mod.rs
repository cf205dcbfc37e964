//! The graph of jobs that must run now, and the same graph as a pipeline of the engine that runs it.
//!
//! - **In**: images with their keys and whether they are done already ([`PlanCandidate`]), parents before children.
//! - **Out**: a [`BuildPlan`]; [`gitlab`], [`argo`] and [`tekton`] write it for their engines.
//! - **Invariants**: every candidate becomes a job or is skipped with a reason; jobs come after those that they need; the
//!   same input gives the same bytes; a pipeline without work is still a valid pipeline.
//! - **Not here**: finding out which images are done (`cli::plan`), building and publishing (`build`, `publish`).
//!
//! Jobs pass nothing to each other: each is `sockel publish IMAGE`, which finds what others have built in the registry's
//! cache repository. Jobs that build one platform fill a store folder that all jobs share.

pub mod argo;
pub mod gitlab;
mod name;
mod pod;
pub mod tekton;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::values::Digest;
use crate::values::Platform;
use crate::values::shown::shown;
use serde::Serialize;
use serde_yaml::SerializerOptions;
use std::collections::BTreeMap;

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Why a pipeline cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine needs a value that was not set, such as the image of its containers.
    #[error("cannot write a pipeline for {engine}: {missing} is not set")]
    Incomplete {
        /// Name of the engine.
        engine: &'static str,
        /// Name of the missing value.
        missing: &'static str,
        /// Flag that sets it.
        flag: &'static str,
    },
    /// The engine would replace parts of the given texts with values of its own, such as secrets.
    #[error("cannot write a pipeline for {engine}: {}", texts.join(", "))]
    Replaced {
        /// Name of the engine.
        engine: &'static str,
        /// Every such text, with the part that the engine replaces.
        texts: Vec<String>,
    },
    /// The pipeline cannot be written as YAML, which valid names never cause.
    #[error("cannot write the pipeline: {cause}")]
    Unwritable {
        /// Cause in words.
        cause: String,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Incomplete { .. } | Self::Replaced { .. } => Turn::Usage,
            Self::Unwritable { .. } => Turn::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Incomplete { flag, .. } => vec![format!("set it with `{flag}`")],
            Self::Replaced { .. } => vec!["use other characters: the engine has no way to escape these".to_owned()],
            Self::Unwritable { .. } => Vec::new(),
        }
    }
}

/// An image that may need a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanCandidate {
    /// Image name.
    pub image: String,
    /// Build key: the digest of everything that decides the image.
    pub key: Digest,
    /// Name of the parent image.
    pub parent: Option<String>,
    /// Platforms of the image.
    pub platforms: Vec<Platform>,
    /// Tags that the image gets.
    pub tags: Vec<String>,
    /// Reason to skip the image.
    pub done: Option<SkipReason>,
}

/// Reason to skip an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// The image is in the store.
    Built,
    /// All its tags in the registry point at it already.
    Published,
}

impl SkipReason {
    /// Returns the reason in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Built => "it is in the store",
            Self::Published => "all its tags in the registry point at it",
        }
    }
}

/// The work of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobStep {
    /// Builds one platform into the store that the jobs share.
    Build,
    /// Publishes the image, after building what is not built yet.
    Publish,
}

impl JobStep {
    /// Returns the name of the command.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Publish => "publish",
        }
    }
}

/// One job of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanJob {
    /// Name, unique within the plan: `publish:tomcat-11`, `build:tomcat-11:amd64`.
    pub name: String,
    /// Work of the job.
    pub step: JobStep,
    /// Image name.
    pub image: String,
    /// Build key.
    pub key: Digest,
    /// Platforms to build.
    pub platforms: Vec<Platform>,
    /// Names of the jobs that must finish first, sorted.
    pub needs: Vec<String>,
    /// Tags that the image gets.
    pub tags: Vec<String>,
}

/// An image that needs no job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SkippedImage {
    /// Image name.
    pub image: String,
    /// Build key.
    pub key: Digest,
    /// Reason to skip the image.
    pub reason: SkipReason,
}

/// The jobs that must run now, parents before children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuildPlan {
    /// Version of the JSON form.
    pub format: u32,
    /// Jobs, each after those that it needs.
    pub jobs: Vec<PlanJob>,
    /// Images that need no job.
    pub skipped: Vec<SkippedImage>,
}

/// How jobs call sockel, and what they run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Arguments before the command, such as `-C platform`.
    pub before: Vec<String>,
    /// Arguments of `publish` after the image, such as `--to https://host/project`.
    pub publish: Vec<String>,
    /// Container image with sockel; without it, jobs run where sockel is installed.
    pub image: Option<String>,
    /// Git repository with the recipes, and its commit, branch or tag; GitLab checks out its own.
    pub source: Option<(String, String)>,
    /// Kubernetes secret of type `kubernetes.io/dockerconfigjson` with the registry's login.
    pub login: Option<String>,
    /// `PersistentVolumeClaim` with the store; without it, every job starts with an empty store.
    pub store: Option<String>,
}

/// Texts that begin a placeholder of an engine.
#[derive(Debug, Clone, Copy)]
struct Placeholders {
    /// Those that the engine replaces in the arguments of sockel.
    in_arguments: &'static [&'static str],
    /// Those that it replaces in all other values, such as image names.
    elsewhere: &'static [&'static str],
}

impl PipelineSettings {
    /// Refuses texts in which an engine would replace something, and texts with invisible characters, which would make a
    /// pipeline look different from what it does.
    fn check(&self, engine: &'static str, placeholders: Placeholders) -> Result<(), Error> {
        let mut texts = Vec::new();
        for argument in self.before.iter().chain(&self.publish) {
            texts.extend(fault(argument, placeholders.in_arguments));
        }

        let source = self.source.iter().flat_map(|(repository, revision)| [repository, revision]);
        for value in self.image.iter().chain(source).chain(&self.login).chain(&self.store) {
            texts.extend(fault(value, placeholders.elsewhere));
        }

        if texts.is_empty() { Ok(()) } else { Err(Error::Replaced { engine, texts }) }
    }

    /// Returns the image and the source, without which an engine on Kubernetes cannot run a job.
    fn container(&self, engine: &'static str) -> Result<(&str, &(String, String)), Error> {
        let (missing, flag) = match (&self.image, &self.source) {
            (Some(image), Some(source)) => return Ok((image, source)),
            (None, _) => ("the image with sockel", "--image"),
            (_, None) => ("the Git repository", "--source"),
        };

        Err(Error::Incomplete { engine, missing, flag })
    }
}

/// Returns why a text cannot be in a pipeline, if it cannot.
fn fault(text: &str, placeholders: &[&str]) -> Option<String> {
    if let Some(placeholder) = placeholders.iter().find(|placeholder| text.contains(**placeholder)) {
        return Some(format!("it replaces `{placeholder}` in `{}`", shown(text)));
    }

    (shown(text) != text).then(|| format!("`{}` has invisible characters", shown(text)))
}

impl BuildPlan {
    /// Returns the plan for `candidates`. With `per_platform`, an image for several platforms gets a job for each of
    /// them before the job that publishes it.
    #[must_use]
    pub fn new(candidates: &[PlanCandidate], per_platform: bool) -> Self {
        let mut plan = Self { format: FORMAT, jobs: Vec::new(), skipped: Vec::new() };

        // Names of the jobs so far. Images without a job are not in them, so nothing waits for those.
        let mut built: BTreeMap<(&str, Platform), String> = BTreeMap::new();
        let mut published: BTreeMap<&str, String> = BTreeMap::new();
        for candidate in candidates {
            let PlanCandidate { image, key, .. } = candidate;
            if let Some(reason) = candidate.done {
                plan.skipped.push(SkippedImage { image: image.clone(), key: *key, reason });
                continue;
            }

            // A child waits for its parent's publication: only then are the parent's layers where other jobs find them.
            let parent = candidate.parent.as_deref();
            let mut needs: Vec<String> = parent.and_then(|parent| published.get(parent)).into_iter().cloned().collect();

            if per_platform && candidate.platforms.len() > 1 {
                for platform in &candidate.platforms {
                    // Platform jobs share a store, so they wait for the parent's job of the same platform only.
                    let parent_job = parent.and_then(|parent| built.get(&(parent, *platform)));
                    let job = PlanJob::build(candidate, *platform, parent_job);
                    built.insert((image, *platform), job.name.clone());
                    needs.push(job.name.clone());
                    plan.jobs.push(job);
                }
            }

            needs.sort();
            let job = PlanJob::publish(candidate, needs);
            published.insert(image, job.name.clone());
            plan.jobs.push(job);
        }

        plan
    }

    /// Returns how many jobs can run at the same time at most, and how many must run one after the other.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        let mut widths: BTreeMap<usize, usize> = BTreeMap::new();

        // One pass is enough, because jobs come after those that they need.
        for job in &self.jobs {
            let deepest_need = job.needs.iter().filter_map(|need| depths.get(need.as_str())).max();
            let depth = deepest_need.map_or(1, |depth| depth + 1);
            depths.insert(&job.name, depth);
            *widths.entry(depth).or_default() += 1;
        }

        (widths.values().copied().max().unwrap_or(0), widths.len())
    }
}

impl PlanJob {
    /// Returns the job that builds one platform of an image; `parent_job` builds the same platform of its parent.
    fn build(candidate: &PlanCandidate, platform: Platform, parent_job: Option<&String>) -> Self {
        let PlanCandidate { image, key, .. } = candidate;

        Self {
            name: format!("build:{image}:{}", platform.architecture().debian()),
            step: JobStep::Build,
            image: image.clone(),
            key: *key,
            platforms: vec![platform],
            needs: parent_job.into_iter().cloned().collect(),
            // Only the job that publishes an image tags it.
            tags: Vec::new(),
        }
    }

    /// Returns the job that publishes an image.
    fn publish(candidate: &PlanCandidate, needs: Vec<String>) -> Self {
        let PlanCandidate { image, key, platforms, tags, .. } = candidate;

        Self {
            name: format!("publish:{image}"),
            step: JobStep::Publish,
            image: image.clone(),
            key: *key,
            platforms: platforms.clone(),
            needs,
            tags: tags.clone(),
        }
    }

    /// Returns the arguments of `sockel` for this job.
    #[must_use]
    pub fn arguments(&self, around: &PipelineSettings) -> Vec<String> {
        let mut arguments = around.before.clone();
        arguments.extend([self.step.verb().to_owned(), self.image.clone()]);

        match self.step {
            JobStep::Publish => arguments.extend(around.publish.iter().cloned()),
            JobStep::Build => {
                // The plan was made from the locks as they are, and `build` alone would renew old ones.
                arguments.push("--locked".to_owned());
                for platform in &self.platforms {
                    arguments.extend(["--platform".to_owned(), platform.to_string()]);
                }
            }
        }

        arguments
    }
}

/// Tells whether Kubernetes allows this name for an object (RFC 1123 subdomain).
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    // 253 is the length of a DNS name, which such a name can become a part of.
    text.len() <= 253 && text.split('.').all(is_object_label)
}

/// Tells whether a text is a part of such a name.
fn is_object_label(label: &str) -> bool {
    label.chars().all(|c| is_name_letter(c) || c == '-')
        && label.starts_with(is_name_letter)
        && label.ends_with(is_name_letter)
}

fn is_name_letter(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit()
}

/// Returns a document as YAML. Texts that YAML 1.1 reads as another type (`on`, `1.10`, `22:30`) are quoted.
fn yaml(title: &str, document: &impl Serialize) -> Result<String, Error> {
    let mut options = SerializerOptions::default();
    // One line per command: people cannot read a folded one back.
    options.prefer_block_scalars = false;

    let text = serde_yaml::to_string_with_options(document, options);
    let text = text.map_err(|error| Error::Unwritable { cause: error.to_string() })?;

    Ok(format!("# {title}, written by `sockel plan`. Not to be edited: plan anew.\n{text}"))
}

#[cfg(test)]
mod tests;
