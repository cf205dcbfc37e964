//! `sockel plan` as pipelines run it: what is left to be done before and after building and publishing.

use crate::support::project::Project;
use crate::support::registry::Registry;
use serde_json::Value;
use sockel::sys::fs;

fn jobs(text: &str) -> Vec<String> {
    let plan: Value = serde_json::from_str(text).unwrap();
    let name = |job: &Value| job["name"].as_str().unwrap().to_owned();
    plan["jobs"].as_array().unwrap().iter().map(name).collect()
}

const ALL: [&str; 3] = ["publish:base", "publish:runtime", "publish:app"];

#[test]
fn what_is_built_is_skipped_and_said() {
    let project = Project::new();
    project.run(&["plan"]).fails(1);
    project.run(&["lock"]).good();
    assert_eq!(jobs(&project.run(&["plan", "--format", "json"]).good()), ALL);
    assert_eq!(jobs(&project.run(&["plan", "runtime", "--engine", "json"]).good()), ALL[..2]);
    project.run(&["build", "runtime"]).good();
    let answer = project.run(&["plan", "--engine", "json"]);
    assert!(answer.stderr.contains("skipped runtime: it is in the store"), "{}", answer.stderr);
    assert_eq!(jobs(&answer.good()), ALL[2..]);
    project.run(&["build"]).good();
    assert_eq!(project.run(&["plan"]).good(), "nothing is to be done for 3 images\n");
    assert!(project.run(&["plan", "--engine", "gitlab"]).good().contains("nothing-to-do:"));
}

#[test]
fn what_is_published_is_found_by_an_empty_machine() {
    let (project, registry) = (Project::new(), Registry::start());
    project.run(&["lock"]).good();
    let target = format!("{}/team", registry.url());
    let plan = ["plan", "--published", "--to", &target, "--engine", "json"];
    assert_eq!(jobs(&project.run(&plan).good()), ALL);
    project.run(&["publish", "runtime", "--to", &target]).good();
    // nobody has asked for the base image itself
    assert_eq!(jobs(&project.run(&plan).good()), ["publish:base", "publish:app"]);
    project.run(&["publish", "--to", &target]).good();
    assert!(jobs(&project.run(&plan).good()).is_empty());
    let empty = project.path("empty").display().to_string();
    let here: Vec<&str> = plan.iter().copied().chain(["--store", &empty]).collect();
    assert!(jobs(&project.run(&here).good()).is_empty());
    // another image under a tag of ours is not ours
    let other = registry.contents().repository("team/base").tags.values().next().unwrap().clone();
    for digest in registry.contents().repository("team/app").tags.values_mut() {
        digest.clone_from(&other);
    }
    for plan in [&plan[..], &here] {
        let answer = project.run(plan);
        assert!(answer.code == Some(3) || jobs(&answer.stdout) == ["publish:app"], "{}", answer.stderr);
    }
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let project = Project::new();
    project.run(&["lock"]).good();
    for (line, said) in [
        ("plan --source https://h/x.git", "cannot use `--source`"),
        ("plan --engine argo", "the image with sockel is not set"),
        ("plan --engine tekton --image h/i:1", "the Git repository is not set"),
        ("plan --engine argo --per-platform", "the jobs share no store"),
        ("plan --engine argo --login-secret A/b", "Kubernetes has no such names"),
        ("plan --engine gitlab --image -x", "cannot use `-x` for `--image`"),
        ("plan --published", "images go to a folder"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let arguments: Vec<&str> = match line.ends_with("-x") {
            true => vec!["plan", "--engine", "gitlab", "--image=-x"],
            false => arguments,
        };
        let stderr = project.run(&arguments).fails(2);
        assert!(stderr.contains(said), "{line}: {stderr}");
    }
    let file = project.path("pipeline.yml");
    project.run(&["plan", "--engine", "gitlab", "-o", &file.display().to_string()]).good();
    assert!(fs::read_text(&file, 1 << 20).unwrap().contains("publish:app"));
}
