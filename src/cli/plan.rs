//! `sockel plan`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::fault::Turn;
use crate::jobs;
use crate::jobs::plan::PlanRequest;
use crate::plan;
use crate::plan::BuildPlan;
use crate::plan::PipelineSettings;
use crate::sys::fs;
use crate::values::shown::shown;
use clap::ValueEnum;
use std::path::PathBuf;

/// What runs the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PipelineEngine {
    /// The graph itself
    Json,
    /// A GitLab child pipeline
    Gitlab,
    /// An Argo Workflow
    Argo,
    /// A Tekton PipelineRun
    Tekton,
}

/// Write a graph of what must be built, or a pipeline for the engine that runs it
///
/// Every image that still has to be built becomes a job, `sockel publish IMAGE`, that runs after the job of its parent. Jobs
/// exchange results through the registry only. Images that the store already has are skipped. With `--published`, images are
/// skipped whose tags in the registry already point at the current build; use this on runners with an empty store. Lock
/// files are used as they are.
///
/// Example: sockel plan --published --engine gitlab -o pipeline.yaml
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to plan, together with their parents [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Engine that runs the plan [default: a table for people]
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine: Option<PipelineEngine>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Skip images that are published instead of those in the store
    #[arg(long)]
    published: bool,
    /// Build every platform in a separate job before the job that publishes. Useful if jobs share a store: runners on one
    /// machine, or `--store-claim`
    #[arg(long)]
    per_platform: bool,
    /// Container image with sockel that jobs run in; required for Argo and Tekton, optional for GitLab
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Git repository with recipes and lock files, for Argo and Tekton; GitLab provides it
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Commit, branch or tag of that repository
    #[arg(long, value_name = "REVISION", default_value = "main")]
    revision: String,
    /// Kubernetes secret of type `kubernetes.io/dockerconfigjson` with the registry login, for Argo and Tekton
    #[arg(long, value_name = "NAME")]
    login_secret: Option<String>,
    /// `PersistentVolumeClaim` for a store that jobs share, for Argo and Tekton
    #[arg(long, value_name = "NAME")]
    store_claim: Option<String>,
    /// Publish to `https://HOST/PROJECT` or `oci:DIR` instead of the target in the registry file
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Registry file [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let around = surroundings(args, context)?;
    let request = PlanRequest {
        images: args.images.clone(),
        published: args.published,
        per_platform: args.per_platform,
        to: args.to.clone(),
    };
    let plan = context.answer(jobs::plan::run(&request, &context.session(args.registry.as_deref())?))?;

    for skipped in &plan.skipped {
        context.printer.note(&format!("skipped {}: {}", skipped.image, skipped.reason.text()));
    }
    let text = match args.engine {
        Some(PipelineEngine::Gitlab) => plan::gitlab::pipeline(&plan, &around).map_err(jobs::Error::from)?,
        Some(PipelineEngine::Argo) => plan::argo::workflow(&plan, &around).map_err(jobs::Error::from)?,
        Some(PipelineEngine::Tekton) => plan::tekton::pipeline_run(&plan, &around).map_err(jobs::Error::from)?,
        Some(PipelineEngine::Json) => json(&plan),
        None if context.printer.is_json() => json(&plan),
        None => table(&plan, context),
    };
    let Some(path) = &args.output else { return Ok(context.printer.data(&text)?) };

    fs::write_atomic(path, text.as_bytes()).map_err(jobs::Error::from)?;
    let (wide, deep) = plan.shape();
    let (count, shown) = (plan.jobs.len(), path.display());
    context.printer.note(&format!("wrote {count} jobs to {shown}: at most {wide} at one time, {deep} in a row"));
    Ok(())
}

/// Returns how jobs call sockel; refuses what would do nothing.
fn surroundings(args: &Args, context: &Context) -> Result<PipelineSettings, Failure> {
    let on_kubernetes = matches!(args.engine, Some(PipelineEngine::Argo | PipelineEngine::Tekton));
    let only_there = [("--source", args.source.is_some()), ("--login-secret", args.login_secret.is_some())];
    let only_there = only_there.into_iter().chain([("--store-claim", args.store_claim.is_some())]);
    if let Some((flag, _)) = only_there.into_iter().find(|(_, given)| *given && !on_kubernetes) {
        let message = format!("cannot use `{flag}`: it means nothing without `--engine argo` or `--engine tekton`");
        return Err(Failure::new(Turn::Usage, message));
    }
    if args.per_platform && on_kubernetes && args.store_claim.is_none() {
        let message = "cannot build platforms in jobs of their own: the jobs share no store";
        return Err(Failure::new(Turn::Usage, message).hint("name a claim for it with `--store-claim`"));
    }
    let names = [("--login-secret", &args.login_secret), ("--store-claim", &args.store_claim)];
    for (flag, name) in names {
        if let Some(name) = name.as_ref().filter(|name| !plan::is_object_name(name)) {
            let message = format!("cannot use `{}` for `{flag}`: Kubernetes has no such names", shown(name));
            return Err(Failure::new(Turn::Usage, message));
        }
    }
    let words = [("--image", &args.image), ("--source", &args.source), ("--revision", &Some(args.revision.clone()))];
    for (flag, word) in words {
        let is_odd = |word: &&String| {
            word.is_empty() || word.starts_with('-') || word.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if let Some(word) = word.as_ref().filter(is_odd) {
            return Err(Failure::new(Turn::Usage, format!("cannot use `{}` for `{flag}`", shown(word))));
        }
    }
    let mut before = Vec::new();
    if context.settings.directory.as_os_str() != "." {
        before.extend(["-C".to_owned(), context.settings.directory.display().to_string()]);
    }
    let mut publish = Vec::new();
    if let Some(to) = &args.to {
        publish.extend(["--to".to_owned(), to.clone()]);
    }
    if let Some(registry) = &args.registry {
        publish.extend(["--registry".to_owned(), registry.display().to_string()]);
    }
    Ok(PipelineSettings {
        before,
        publish,
        image: args.image.clone(),
        source: args.source.clone().map(|source| (source, args.revision.clone())),
        login: args.login_secret.clone(),
        store: args.store_claim.clone(),
    })
}

fn json(plan: &BuildPlan) -> String {
    serde_json::to_string_pretty(plan).expect("texts and lists are JSON") + "\n"
}

fn table(plan: &BuildPlan, context: &Context) -> String {
    let mut table = Table::new(&[
        ("JOB", Column::Text),
        ("NEEDS", Column::Text),
        ("PLATFORMS", Column::Text),
        ("KEY", Column::Digest),
    ]);
    for job in &plan.jobs {
        let platforms: Vec<String> = job.platforms.iter().map(ToString::to_string).collect();
        table.row([job.name.clone(), job.needs.join(" "), platforms.join(" "), job.key.to_string()]);
    }
    match plan.jobs.is_empty() {
        true => format!("nothing is to be done for {} images\n", plan.skipped.len()),
        false => table.render(context.printer.width()),
    }
}
