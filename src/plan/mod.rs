//! What must be built now, as a graph, and as pipelines of the engines that people run.
//!
//! - **In**: images with their keys and what is known about each ([`Candidate`]), parents before children.
//! - **Out**: a [`Plan`]; [`gitlab`], [`argo`] and [`tekton`] write it down for their engines.
//! - **Invariants**: every candidate is a job or is skipped with a reason; what a job needs comes before it; the same
//!   input gives the same bytes; a pipeline without work is still a valid pipeline.
//! - **Not here**: finding out what is built or published (`cli::plan`), doing it (`build`, `publish`).
//!
//! Jobs hand nothing to each other: each is `sockel publish IMAGE`, which finds in the registry's cache repository what
//! others have built. Platform jobs fill a store folder that the jobs share.

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
    /// The engine starts containers, and nobody said of which image.
    #[error("cannot write a pipeline for {engine}: {missing} is not known")]
    Incomplete {
        /// The engine.
        engine: &'static str,
        /// What is missing.
        missing: &'static str,
        /// The flag that says it.
        flag: &'static str,
    },
    /// The engine would replace a part of what was given, with what it knows: also with secrets.
    #[error("cannot write a pipeline for {engine}: {}", texts.join(", "))]
    Replaced {
        /// The engine.
        engine: &'static str,
        /// Each text, and what in it the engine replaces.
        texts: Vec<String>,
    },
    /// The pipeline is not representable; cannot happen with valid names.
    #[error("cannot write the pipeline: {cause}")]
    Unwritable {
        /// Why.
        cause: String,
    },
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Incomplete { flag, .. } => vec![format!("say it with `{flag}`")],
            Self::Replaced { .. } => vec!["give plain text: engines have no way to write these down".to_owned()],
            Self::Unwritable { .. } => Vec::new(),
        }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Incomplete { .. } | Self::Replaced { .. } => Turn::Usage,
            Self::Unwritable { .. } => Turn::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }
}

/// An image, and whether something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Image name.
    pub image: String,
    /// Build key: what decides the image.
    pub key: Digest,
    /// Image that it stands on.
    pub parent: Option<String>,
    /// For which platforms.
    pub platforms: Vec<Platform>,
    /// Tags that it gets.
    pub tags: Vec<String>,
    /// Why nothing is to be done.
    pub done: Option<Done>,
}

/// Why nothing is to be done for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// It is in the store.
    Built,
    /// All its tags stand for it in the registry.
    Published,
}

impl Done {
    /// Returns it in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Built => "it is in the store",
            Self::Published => "all its tags stand for it in the registry",
        }
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Builds one platform into the store that the jobs share.
    Build,
    /// Builds what is not built, and publishes.
    Publish,
}

impl Step {
    /// Returns the command's name.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Publish => "publish",
        }
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Unique within the plan: `publish:tomcat-11`, `build:tomcat-11:amd64`.
    pub name: String,
    /// What it does.
    pub step: Step,
    /// Image name.
    pub image: String,
    /// Build key.
    pub key: Digest,
    /// For which platforms.
    pub platforms: Vec<Platform>,
    /// Names of the jobs that come before it, sorted.
    pub needs: Vec<String>,
    /// Tags that the image gets.
    pub tags: Vec<String>,
}

/// An image with nothing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Skipped {
    /// Image name.
    pub image: String,
    /// Build key.
    pub key: Digest,
    /// Why.
    pub reason: Done,
}

/// What is to be done, parents before children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Version of this form.
    pub format: u32,
    /// Jobs; what a job needs comes before it.
    pub jobs: Vec<Job>,
    /// The other images.
    pub skipped: Vec<Skipped>,
}

/// How jobs call sockel, and what they run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Arguments before the command, such as `-C platform`.
    pub before: Vec<String>,
    /// Arguments of `publish` behind the image, such as `--to https://host/project`.
    pub publish: Vec<String>,
    /// Image with sockel; where there is none, jobs run where sockel is installed.
    pub image: Option<String>,
    /// Git repository with the recipes, and the commit, branch or tag; GitLab knows it itself.
    pub source: Option<(String, String)>,
    /// Kubernetes secret of type `kubernetes.io/dockerconfigjson` with the registry's login.
    pub login: Option<String>,
    /// `PersistentVolumeClaim` with the store; without it, every job begins with an empty one.
    pub store: Option<String>,
}

impl Surroundings {
    /// Refuses texts in which an engine would replace something: between these marks, in arguments and in other texts, it
    /// looks for names. Characters that are not seen as what they are have no place in a pipeline either.
    fn check(&self, engine: &'static str, marks: (&[&str], &[&str])) -> Result<(), Error> {
        let arguments = self.before.iter().chain(&self.publish).map(|text| (text, marks.0));
        let source = self.source.iter().flat_map(|(repository, revision)| [repository, revision]);
        let others = self.image.iter().chain(source).chain(&self.login).chain(&self.store).map(|text| (text, marks.1));
        let fault = |(text, marks): (&String, &[&str])| {
            let replaced = marks.iter().find(|mark| text.contains(**mark));
            match replaced {
                Some(mark) => Some(format!("it replaces `{mark}` in `{}`", shown(text))),
                None if shown(text) != *text => Some(format!("`{}` has characters that are not seen", shown(text))),
                None => None,
            }
        };
        let texts: Vec<String> = arguments.chain(others).filter_map(fault).collect();
        if texts.is_empty() { Ok(()) } else { Err(Error::Replaced { engine, texts }) }
    }
}

impl Plan {
    /// Returns the graph of what is to be done. With `per_platform`, images for several platforms get a job for each
    /// before the one that publishes.
    #[must_use]
    pub fn new(candidates: &[Candidate], per_platform: bool) -> Self {
        let mut plan = Self { format: FORMAT, jobs: Vec::new(), skipped: Vec::new() };
        // platform jobs by image, for those of its children
        let mut built: BTreeMap<(&str, Platform), String> = BTreeMap::new();
        let mut published: BTreeMap<&str, String> = BTreeMap::new();
        for candidate in candidates {
            let Candidate { image, key, .. } = candidate;
            if let Some(reason) = candidate.done {
                plan.skipped.push(Skipped { image: image.clone(), key: *key, reason });
                continue;
            }
            let parent = candidate.parent.as_deref();
            let below = parent.and_then(|parent| published.get(parent));
            let mut needs: Vec<String> = below.into_iter().cloned().collect();
            if per_platform && candidate.platforms.len() > 1 {
                for platform in &candidate.platforms {
                    let job =
                        Job::build(candidate, *platform, parent.and_then(|parent| built.get(&(parent, *platform))));
                    built.insert((image, *platform), job.name.clone());
                    needs.push(job.name.clone());
                    plan.jobs.push(job);
                }
            }
            needs.sort();
            let job = Job::publish(candidate, needs);
            published.insert(image, job.name.clone());
            plan.jobs.push(job);
        }
        plan
    }

    /// Returns how many jobs can run at one time at most, and how many must run one after the other.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
        for job in &self.jobs {
            let below = job.needs.iter().filter_map(|need| depths.get(need.as_str())).max();
            let depth = below.map_or(1, |depth| depth + 1);
            depths.insert(&job.name, depth);
            *widths.entry(depth).or_default() += 1;
        }
        (widths.values().copied().max().unwrap_or(0), widths.len())
    }
}

impl Job {
    fn build(candidate: &Candidate, platform: Platform, need: Option<&String>) -> Self {
        let Candidate { image, key, .. } = candidate;
        Self {
            name: format!("build:{image}:{}", platform.architecture().debian()),
            step: Step::Build,
            image: image.clone(),
            key: *key,
            platforms: vec![platform],
            needs: need.into_iter().cloned().collect(),
            tags: Vec::new(),
        }
    }

    fn publish(Candidate { image, key, platforms, tags, .. }: &Candidate, needs: Vec<String>) -> Self {
        Self {
            name: format!("publish:{image}"),
            step: Step::Publish,
            image: image.clone(),
            key: *key,
            platforms: platforms.clone(),
            needs,
            tags: tags.clone(),
        }
    }

    /// Returns the arguments of `sockel` for this job.
    #[must_use]
    pub fn arguments(&self, around: &Surroundings) -> Vec<String> {
        let mut arguments = around.before.clone();
        arguments.extend([self.step.verb().to_owned(), self.image.clone()]);
        match self.step {
            Step::Publish => arguments.extend(around.publish.iter().cloned()),
            Step::Build => {
                arguments.push("--locked".to_owned());
                arguments
                    .extend(self.platforms.iter().flat_map(|platform| ["--platform".to_owned(), platform.to_string()]));
            }
        }
        arguments
    }
}

/// Tells whether Kubernetes can have an object of this name (RFC 1123 subdomain).
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|label| {
            let inner = label.chars().all(|c| is_end(c) || c == '-');
            inner && label.starts_with(is_end) && label.ends_with(is_end)
        })
}

/// Returns a document as YAML; texts that YAML 1.1 takes for something else (`on`, `1.10`, `22:30`) are quoted.
fn yaml(title: &str, document: &impl Serialize) -> Result<String, Error> {
    let mut options = SerializerOptions::default();
    // one line a command: a folded one is hard to read back
    options.prefer_block_scalars = false;
    let text = serde_yaml::to_string_with_options(document, options);
    let text = text.map_err(|error| Error::Unwritable { cause: error.to_string() })?;
    Ok(format!("# {title}, written by `sockel plan`. Not to be edited: plan anew.\n{text}"))
}

#[cfg(test)]
mod tests;
