//! The plan as a GitLab child pipeline (<https://docs.gitlab.com/ci/yaml/>).

use crate::plan::BuildPlan;
use crate::plan::Error;
use crate::plan::JobStep;
use crate::plan::PipelineSettings;
use crate::plan::Placeholders;
use crate::plan::PlanJob;
use crate::plan::yaml;
use serde::Serialize;

/// The only stage: `needs` decides which jobs come first.
const STAGE: &str = "images";
/// Name of the job of a plan without jobs: GitLab refuses a child pipeline without any.
const NOTHING: &str = "nothing-to-do";
/// How long GitLab keeps the reports of jobs.
const KEPT: &str = "1 week";

#[derive(Serialize)]
struct GitlabPipeline {
    stages: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<GitlabDefaults>,
    #[serde(flatten)]
    jobs: NamedJobs<GitlabJob>,
}

/// A map of jobs by name, in the order of the plan.
struct NamedJobs<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for NamedJobs<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, job)| (name, job)))
    }
}

#[derive(Serialize)]
struct GitlabDefaults {
    image: GitlabImage,
}

#[derive(Serialize)]
struct GitlabImage {
    name: String,
    /// Empty, because the image's entry point is sockel, and the runner needs a shell.
    entrypoint: [&'static str; 1],
}

#[derive(Serialize)]
struct GitlabJob {
    stage: &'static str,
    /// Present in every job, because a child pipeline of a merge request runs only jobs with rules.
    rules: [GitlabRule; 1],
    needs: Vec<GitlabNeed>,
    script: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group: Option<String>,
    /// Every step of sockel can be interrupted and repeated.
    interruptible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<GitlabRetry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<GitlabArtifacts>,
}

#[derive(Serialize)]
struct GitlabRule {
    when: &'static str,
}

#[derive(Serialize)]
struct GitlabNeed {
    job: String,
    /// Always false: results go through the registry.
    artifacts: bool,
}

#[derive(Serialize)]
struct GitlabRetry {
    max: u8,
    when: [&'static str; 3],
    /// Exit code of sockel for failures of archives and registries.
    exit_codes: [u8; 1],
}

#[derive(Serialize)]
struct GitlabArtifacts {
    when: &'static str,
    expire_in: &'static str,
    paths: Vec<String>,
}

/// Returns the child pipeline.
///
/// # Errors
/// [`Error::Replaced`], [`Error::Unwritable`].
pub fn pipeline(plan: &BuildPlan, around: &PipelineSettings) -> Result<String, Error> {
    // GitLab replaces `$[[ inputs.x ]]` everywhere ("CI/CD inputs") and `$NAME` in `image` ("Where variables can be
    // used"). In a script the shell replaces `$NAME`, and quoting prevents that.
    around.check("GitLab", Placeholders { in_arguments: &["$[["], elsewhere: &["$"] })?;

    let mut jobs: Vec<(String, GitlabJob)> =
        plan.jobs.iter().map(|job| (job.name.clone(), gitlab_job(job, around))).collect();
    if jobs.is_empty() {
        jobs.push((NOTHING.to_owned(), empty_job(plan)));
    }

    let default = around.image.clone().map(|name| GitlabDefaults { image: GitlabImage { name, entrypoint: [""] } });
    yaml("GitLab child pipeline", &GitlabPipeline { stages: [STAGE], default, jobs: NamedJobs(jobs) })
}

/// Returns a job of the plan as GitLab writes it.
fn gitlab_job(job: &PlanJob, around: &PipelineSettings) -> GitlabJob {
    let arguments = job.arguments(around);
    let words: Vec<String> =
        std::iter::once("sockel").chain(arguments.iter().map(String::as_str)).map(quoted).collect();
    let mut line = words.join(" ");

    // The report becomes an artifact of the job, also when the job fails.
    let publishes = job.step == JobStep::Publish;
    let report = format!("sockel-{}.json", job.image);
    if publishes {
        line = format!("{line} --format json > {}", quoted(&report));
    }

    GitlabJob {
        stage: STAGE,
        rules: [GitlabRule { when: "on_success" }],
        needs: job.needs.iter().map(|job| GitlabNeed { job: job.clone(), artifacts: false }).collect(),
        script: vec![line],
        // Two pipelines at the same time must not move the tags of one image.
        resource_group: publishes.then(|| format!("sockel-{}", job.image)),
        interruptible: true,
        retry: Some(GitlabRetry {
            max: 2,
            when: ["runner_system_failure", "stuck_or_timeout_failure", "api_failure"],
            exit_codes: [3],
        }),
        artifacts: publishes.then(|| GitlabArtifacts { when: "always", expire_in: KEPT, paths: vec![report] }),
    }
}

/// Returns the job of a pipeline without work.
fn empty_job(plan: &BuildPlan) -> GitlabJob {
    let text = format!("sockel: nothing is to be done for {} images", plan.skipped.len());

    GitlabJob {
        stage: STAGE,
        rules: [GitlabRule { when: "on_success" }],
        needs: Vec::new(),
        script: vec![format!("echo {}", quoted(&text))],
        resource_group: None,
        interruptible: true,
        retry: None,
        artifacts: None,
    }
}

/// Quotes a word for a POSIX shell (XCU 2.2), unless it has no character that is special to a shell.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c)) {
        return word.to_owned();
    }

    // Nothing is special within single quotes but their end.
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        for (word, expected) in [
            ("tomcat-11", "tomcat-11"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
            ("https://h/p", "https://h/p"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
