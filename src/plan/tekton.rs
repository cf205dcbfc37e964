//! The plan as a Tekton PipelineRun (<https://tekton.dev/docs/pipelines/pipeline-api/>, `tekton.dev/v1`).

use crate::plan::BuildPlan;
use crate::plan::Error;
use crate::plan::PipelineSettings;
use crate::plan::Placeholders;
use crate::plan::name;
use crate::plan::pod;
use crate::plan::yaml;
use serde::Serialize;

/// Name of the task of a plan without jobs.
const NOTHING: &str = "nothing-to-do";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineRun {
    api_version: &'static str,
    kind: &'static str,
    metadata: PipelineRunMetadata,
    spec: PipelineRunSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineRunMetadata {
    generate_name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineRunSpec {
    pipeline_spec: PipelineSpec,
    task_run_template: TaskRunTemplate,
}

#[derive(Serialize)]
struct PipelineSpec {
    tasks: Vec<PipelineTask>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskRunTemplate {
    pod_template: PodTemplate,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodTemplate {
    automount_service_account_token: bool,
    security_context: pod::PodSecurityContext,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineTask {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    run_after: Vec<String>,
    /// How often Tekton repeats a failed task. Every step of sockel can be repeated.
    retries: u8,
    task_spec: TaskSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskSpec {
    volumes: Vec<pod::Volume>,
    step_template: StepTemplate,
    steps: Vec<TaskStep>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepTemplate {
    image: String,
    env: Vec<pod::EnvVar>,
    security_context: pod::ContainerSecurityContext,
    volume_mounts: Vec<pod::VolumeMount>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskStep {
    name: &'static str,
    command: [&'static str; 1],
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_resources: Option<pod::ResourceRequirements>,
}

/// Returns the run with its pipeline.
///
/// # Errors
/// [`Error::Incomplete`] without an image or a Git repository, [`Error::Replaced`], [`Error::Unwritable`].
pub fn pipeline_run(plan: &BuildPlan, around: &PipelineSettings) -> Result<String, Error> {
    // Tekton replaces `$(context.taskRun.name)` ("Variable Substitutions Supported by Tasks and Pipelines"). It does so
    // after a second dollar sign too, which escapes nothing there.
    around.check("Tekton", Placeholders { in_arguments: &["$("], elsewhere: &["$("] })?;
    let (image, (repository, revision)) = around.container("Tekton")?;

    let mut tasks: Vec<PipelineTask> = Vec::new();
    for job in &plan.jobs {
        let run_after = job.needs.iter().map(|need| name::task(need)).collect();

        // Steps of a task share its volumes, so sockel finds what the steps before it have checked out.
        let mut steps = checkout(repository, revision);
        steps.push(sockel(&job.arguments(around), Some(checkout_folder())));

        tasks.push(PipelineTask {
            name: name::task(&job.name),
            run_after,
            retries: 2,
            task_spec: task_spec(image, steps, around),
        });
    }

    // Tekton refuses a pipeline without tasks, so an empty plan gets one that only starts sockel.
    if tasks.is_empty() {
        let steps = vec![sockel(&["--version".to_owned()], None)];
        let task_spec = task_spec(image, steps, around);
        tasks.push(PipelineTask { name: NOTHING.to_owned(), run_after: Vec::new(), retries: 0, task_spec });
    }

    // sockel needs nothing of the cluster, so a compromised job gets no access to it.
    let pod_template = PodTemplate { automount_service_account_token: false, security_context: pod::pod_security() };
    let run = PipelineRun {
        api_version: "tekton.dev/v1",
        kind: "PipelineRun",
        metadata: PipelineRunMetadata { generate_name: "sockel-" },
        spec: PipelineRunSpec {
            pipeline_spec: PipelineSpec { tasks },
            task_run_template: TaskRunTemplate { pod_template },
        },
    };

    yaml("Tekton PipelineRun", &run)
}

/// Returns a task with what all its steps have in common.
fn task_spec(image: &str, steps: Vec<TaskStep>, around: &PipelineSettings) -> TaskSpec {
    let (volumes, volume_mounts) = pod::volumes(around);
    let step_template = StepTemplate {
        image: image.to_owned(),
        env: pod::environment(around),
        security_context: pod::security(),
        volume_mounts,
    };

    TaskSpec { volumes, step_template, steps }
}

/// Folder with the checkout: in the only volume that jobs may always write.
fn checkout_folder() -> String {
    format!("{}/source", pod::WORK)
}

/// Returns the steps that check out the recipes: one command each, so that the image needs no shell.
fn checkout(repository: &str, revision: &str) -> Vec<TaskStep> {
    let folder = checkout_folder();

    vec![
        git("prepare", &["init", "--quiet", &folder]),
        // Without history; a repository or revision that begins with `-` must not become an option.
        git("fetch", &["-C", &folder, "fetch", "--quiet", "--depth=1", "--end-of-options", repository, revision]),
        // Detached, because the revision can be a commit or a tag as well as a branch.
        git("checkout", &["-C", &folder, "checkout", "--quiet", "--detach", "FETCH_HEAD"]),
    ]
}

fn git(name: &'static str, arguments: &[&str]) -> TaskStep {
    TaskStep {
        name,
        command: ["git"],
        args: arguments.iter().map(|word| pod::escaped(word)).collect(),
        working_dir: None,
        compute_resources: None,
    }
}

/// Returns the step that runs sockel. It is the only one that needs more than a namespace's default resources.
fn sockel(arguments: &[String], working_dir: Option<String>) -> TaskStep {
    TaskStep {
        name: "sockel",
        command: ["sockel"],
        args: arguments.iter().map(|word| pod::escaped(word)).collect(),
        working_dir,
        compute_resources: Some(pod::resources()),
    }
}
