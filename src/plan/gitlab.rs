//! The plan as a GitLab child pipeline (<https://docs.gitlab.com/ci/yaml/>).

use crate::plan::Error;
use crate::plan::Job;
use crate::plan::Plan;
use crate::plan::Step;
use crate::plan::Surroundings;
use crate::plan::yaml;
use serde::Serialize;

/// The only stage: `needs` says what comes first.
const STAGE: &str = "images";
/// GitLab refuses a child pipeline without jobs.
const NOTHING: &str = "nothing-to-do";
/// How long answers are kept.
const KEPT: &str = "1 week";

#[derive(Serialize)]
struct Pipeline {
    stages: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Defaults>,
    #[serde(flatten)]
    jobs: Named<GitlabJob>,
}

/// Jobs by name, in the order of the plan.
struct Named<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, job)| (name, job)))
    }
}

#[derive(Serialize)]
struct Defaults {
    image: Image,
}

#[derive(Serialize)]
struct Image {
    name: String,
    /// The image starts sockel itself; the runner wants a shell.
    entrypoint: [&'static str; 1],
}

#[derive(Serialize)]
struct GitlabJob {
    stage: &'static str,
    /// A child pipeline of a merge request runs only jobs with rules.
    rules: [Rule; 1],
    needs: Vec<Need>,
    script: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group: Option<String>,
    /// Every step of sockel can be interrupted and repeated.
    interruptible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<Artifacts>,
}

#[derive(Serialize)]
struct Rule {
    when: &'static str,
}

#[derive(Serialize)]
struct Need {
    job: String,
    /// Results go through the registry.
    artifacts: bool,
}

#[derive(Serialize)]
struct Retry {
    max: u8,
    when: [&'static str; 3],
    /// sockel's code for archives and registries that fail.
    exit_codes: [u8; 1],
}

#[derive(Serialize)]
struct Artifacts {
    when: &'static str,
    expire_in: &'static str,
    paths: Vec<String>,
}

/// Returns the child pipeline.
///
/// # Errors
/// [`Error::Replaced`], [`Error::Unwritable`].
pub fn pipeline(plan: &Plan, around: &Surroundings) -> Result<String, Error> {
    // "CI/CD inputs": `$[[ inputs.x ]]` everywhere; "Where variables can be used": `$NAME` in `image`, but not within a
    // script, where the shell reads quoted words
    around.check("GitLab", (&["$[["], &["$"]))?;
    let mut jobs: Vec<(String, GitlabJob)> =
        plan.jobs.iter().map(|job| (job.name.clone(), gitlab_job(job, around))).collect();
    if jobs.is_empty() {
        jobs.push((NOTHING.to_owned(), nothing(plan)));
    }
    let default = around.image.clone().map(|name| Defaults { image: Image { name, entrypoint: [""] } });
    yaml("GitLab child pipeline", &Pipeline { stages: [STAGE], default, jobs: Named(jobs) })
}

fn gitlab_job(job: &Job, around: &Surroundings) -> GitlabJob {
    let words = job.arguments(around);
    let line: Vec<String> = std::iter::once("sockel").chain(words.iter().map(String::as_str)).map(quoted).collect();
    let file = format!("sockel-{}.json", job.image);
    let publishes = job.step == Step::Publish;
    let line = match publishes {
        true => format!("{} --format json > {}", line.join(" "), quoted(&file)),
        false => line.join(" "),
    };
    GitlabJob {
        stage: STAGE,
        rules: [Rule { when: "on_success" }],
        needs: job.needs.iter().map(|job| Need { job: job.clone(), artifacts: false }).collect(),
        script: vec![line],
        resource_group: publishes.then(|| format!("sockel-{}", job.image)),
        interruptible: true,
        retry: Some(Retry {
            max: 2,
            when: ["runner_system_failure", "stuck_or_timeout_failure", "api_failure"],
            exit_codes: [3],
        }),
        artifacts: publishes.then(|| Artifacts { when: "always", expire_in: KEPT, paths: vec![file] }),
    }
}

fn nothing(plan: &Plan) -> GitlabJob {
    let text = format!("sockel: nothing is to be done for {} images", plan.skipped.len());
    GitlabJob {
        stage: STAGE,
        rules: [Rule { when: "on_success" }],
        needs: Vec::new(),
        script: vec![format!("echo {}", quoted(&text))],
        resource_group: None,
        interruptible: true,
        retry: None,
        artifacts: None,
    }
}

/// Returns a word as a POSIX shell reads it (XCU 2.2); plain where nothing in it means anything to a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
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
