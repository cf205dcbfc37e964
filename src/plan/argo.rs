//! The plan as an Argo Workflow (<https://argo-workflows.readthedocs.io/en/latest/fields/>).

use crate::plan::BuildPlan;
use crate::plan::Error;
use crate::plan::PipelineSettings;
use crate::plan::Placeholders;
use crate::plan::PlanJob;
use crate::plan::name;
use crate::plan::pod;
use crate::plan::yaml;
use serde::Serialize;

/// Folder into which Argo checks out the Git repository. No volume is mounted there.
const SOURCE: &str = "/source";
/// Name of the template with the graph.
const GRAPH: &str = "images";
/// Service account of Argo's sidecar: the namespace's default one.
const EXECUTOR: &str = "default";
/// Name of the task of a plan without jobs.
const NOTHING: &str = "nothing-to-do";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArgoWorkflow {
    api_version: &'static str,
    kind: &'static str,
    metadata: WorkflowMetadata,
    spec: WorkflowSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkflowMetadata {
    generate_name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkflowSpec {
    entrypoint: &'static str,
    automount_service_account_token: bool,
    /// Account of Argo's sidecar, which Argo requires if pods get no token.
    executor: ExecutorConfig,
    security_context: pod::PodSecurityContext,
    volumes: Vec<pod::Volume>,
    templates: Vec<ArgoTemplate>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutorConfig {
    service_account_name: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ArgoTemplate {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dag: Option<DagTemplate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<TemplateInputs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_strategy: Option<RetryStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<TemplateContainer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DagTemplate {
    /// False, so that the failure of one image stops its children only.
    fail_fast: bool,
    tasks: Vec<DagTask>,
}

#[derive(Serialize)]
struct DagTask {
    name: String,
    template: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<String>,
}

#[derive(Serialize)]
struct TemplateInputs {
    artifacts: [InputArtifact; 1],
}

#[derive(Serialize)]
struct InputArtifact {
    name: &'static str,
    path: &'static str,
    git: GitArtifact,
}

#[derive(Serialize)]
struct GitArtifact {
    repo: String,
    revision: String,
    depth: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RetryStrategy {
    limit: &'static str,
    retry_policy: &'static str,
    /// True for failures that a retry can fix: sockel's exit code for archives and registries, and lost pods.
    expression: &'static str,
    backoff: RetryBackoff,
}

#[derive(Serialize)]
struct RetryBackoff {
    duration: &'static str,
    factor: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplateContainer {
    image: String,
    command: [&'static str; 1],
    args: Vec<String>,
    working_dir: &'static str,
    env: Vec<pod::EnvVar>,
    resources: pod::ResourceRequirements,
    security_context: pod::ContainerSecurityContext,
    volume_mounts: Vec<pod::VolumeMount>,
}

/// Returns the workflow.
///
/// # Errors
/// [`Error::Incomplete`] without an image or a Git repository, [`Error::Replaced`], [`Error::Unwritable`].
pub fn workflow(plan: &BuildPlan, around: &PipelineSettings) -> Result<String, Error> {
    // Argo replaces `{{name}}` and `{{=expression}}` everywhere, and nothing escapes them ("Workflow Variables").
    around.check("Argo", Placeholders { in_arguments: &["{{"], elsewhere: &["{{"] })?;
    around.container("Argo")?;

    let mut tasks: Vec<DagTask> = plan.jobs.iter().map(task).collect();
    let mut templates = Vec::new();
    for job in &plan.jobs {
        templates.push(template(name::task(&job.name), &job.arguments(around), around)?);
    }

    // Argo refuses a graph without tasks, so an empty plan gets one that only starts sockel.
    if tasks.is_empty() {
        let name = NOTHING.to_owned();
        tasks.push(DagTask { name: name.clone(), template: name.clone(), dependencies: Vec::new() });
        templates.push(template(name, &["--version".to_owned()], around)?);
    }

    let dag = Some(DagTemplate { fail_fast: false, tasks });
    templates.insert(0, ArgoTemplate { name: GRAPH.to_owned(), dag, ..ArgoTemplate::default() });

    let (volumes, _) = pod::volumes(around);
    let workflow = ArgoWorkflow {
        api_version: "argoproj.io/v1alpha1",
        kind: "Workflow",
        metadata: WorkflowMetadata { generate_name: "sockel-" },
        spec: WorkflowSpec {
            entrypoint: GRAPH,
            // sockel needs nothing of the cluster, so a compromised job gets no access to it.
            automount_service_account_token: false,
            executor: ExecutorConfig { service_account_name: EXECUTOR },
            security_context: pod::pod_security(),
            volumes,
            templates,
        },
    };

    yaml("Argo Workflow", &workflow)
}

/// Returns the node of the graph that runs a job's template.
fn task(job: &PlanJob) -> DagTask {
    let name = name::task(&job.name);
    let dependencies = job.needs.iter().map(|need| name::task(need)).collect();

    DagTask { name: name.clone(), template: name, dependencies }
}

/// Returns the template that runs sockel with these arguments in the checkout.
fn template(name: String, arguments: &[String], around: &PipelineSettings) -> Result<ArgoTemplate, Error> {
    let (image, (repo, revision)) = around.container("Argo")?;
    let git = GitArtifact { repo: repo.clone(), revision: revision.clone(), depth: 1 };
    let (_, volume_mounts) = pod::volumes(around);

    Ok(ArgoTemplate {
        name,
        dag: None,
        inputs: Some(TemplateInputs { artifacts: [InputArtifact { name: "source", path: SOURCE, git }] }),
        // `Always`, because the expression decides; other policies would look at failures or errors only.
        retry_strategy: Some(RetryStrategy {
            limit: "2",
            retry_policy: "Always",
            expression: "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 3",
            backoff: RetryBackoff { duration: "30s", factor: "2" },
        }),
        container: Some(TemplateContainer {
            image: image.to_owned(),
            command: ["sockel"],
            args: arguments.iter().map(|word| pod::escaped(word)).collect(),
            working_dir: SOURCE,
            env: pod::environment(around),
            resources: pod::resources(),
            security_context: pod::security(),
            volume_mounts,
        }),
    })
}
