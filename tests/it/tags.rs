//! Tags in a registry: fixed ones name one image for ever, moving ones do not go back by themselves.

use crate::support::project::Project;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use sockel::sys::fs;
use std::collections::BTreeMap;

const IMAGES: [&str; 3] = ["base", "runtime", "app"];

fn project(registry: &Registry) -> Project {
    let project = Project::new();
    project.write("base-images/registry.yaml", &format!("target: {}/team\n", registry.url()));
    project.run(&["lock"]).good();
    project
}

/// The locks of a commit.
fn locks(project: &Project) -> Vec<(String, String)> {
    let path = |image: &&str| format!("base-images/{image}.lock.yaml");
    IMAGES.iter().map(path).map(|path| (path.clone(), project.text(&path))).collect()
}

fn check_out(project: &Project, locks: &[(String, String)]) {
    locks.iter().for_each(|(path, text)| project.write(path, text));
}

/// Puts a patched library into the archive and locks it.
fn patch(project: &mut Project, version: &str) {
    let new = |old| if crate::support::deb::Deb::value(&old, "Package") == "libc" { library(version, 9) } else { old };
    project.publish(&packages().into_iter().map(new).collect::<Vec<_>>());
    project.run(&["lock"]).good();
}

fn tags(registry: &Registry) -> Vec<BTreeMap<String, String>> {
    IMAGES.iter().map(|image| registry.tags(&format!("team/{image}"))).collect()
}

#[test]
fn an_older_state_is_not_published_over_a_newer_one() {
    let registry = Registry::start();
    let mut project = project(&registry);
    project.run(&["publish"]).good();
    let old = locks(&project);
    patch(&mut project, "2.1");
    project.run(&["publish"]).good();
    let newest = tags(&registry);

    // a pipeline that is run again for an older commit
    check_out(&project, &old);
    let (before, sent) = (registry.log().lines().len(), registry.log().blob_bytes());
    let answer = project.run(&["publish"]);
    assert!(answer.stderr.contains("a newer state of base is published"), "{}", answer.stderr);
    assert!(answer.good().contains("newer is published"));
    assert_eq!(tags(&registry), newest);
    assert_eq!(registry.log().blob_bytes(), sent, "{:?}", &registry.log().lines()[before..]);
    let json = project.run(&["publish", "--format", "json"]).good();
    assert!(
        json.contains("\"state\": \"newer-published\"") || json.contains("\"state\":\"newer-published\""),
        "{json}"
    );

    // and a runner that has nothing
    fs::remove_dir(&project.path("store")).expect("removed");
    project.run(&["publish"]).fails(1);
    assert_eq!(tags(&registry), newest);
}

#[test]
fn going_back_needs_a_reason() {
    let registry = Registry::start();
    let mut project = project(&registry);
    project.run(&["publish"]).good();
    let (old, first) = (locks(&project), tags(&registry));
    patch(&mut project, "2.1");
    project.run(&["publish"]).good();
    check_out(&project, &old);
    let answer = project.run(&["publish", "--accept-older-release", "the patch breaks the payroll"]);
    assert!(answer.stderr.contains("the patch breaks the payroll"), "{}", answer.stderr);
    answer.good();
    for (now, first) in tags(&registry).iter().zip(&first) {
        assert_eq!(now["1"], first["1"]);
    }
}

#[test]
fn a_fixed_tag_names_one_image_and_the_next_one_has_its_own() {
    let registry = Registry::start();
    let mut project = project(&registry);
    project.run(&["publish"]).good();
    let fixed =
        |registry: &Registry| registry.tags("team/app").into_keys().filter(|tag| tag != "1").collect::<Vec<_>>();
    assert_eq!(fixed(&registry), ["3.2.0.0.20250601.1"]);

    // the recipe changes while the archive stands still
    project.edit("recipes/app.yaml", "port=8080", "port=9090");
    project.run(&["lock"]).good();
    project.run(&["publish"]).good();
    assert_eq!(fixed(&registry), ["3.2.0.0.20250601.1", "3.2.0.0.20250601.2"]);
    // a comment is no change
    project.edit("recipes/app.yaml", "name: app", "# a comment\nname: app");
    project.run(&["lock", "--check"]).good();
    assert!(project.run(&["publish"]).good().contains("up to date"));
    // a patch on the same day is one
    patch(&mut project, "2.1");
    project.run(&["publish"]).good();
    assert_eq!(fixed(&registry).last().map(String::as_str), Some("3.2.0.0.20250601.3"));
}

#[test]
fn a_fixed_tag_that_names_something_else_stops_before_anything_is_sent() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    let newest = tags(&registry);
    // somebody keeps the revision although the recipe changed
    let before = locks(&project);
    project.edit("recipes/app.yaml", "port=8080", "port=9090");
    project.run(&["lock"]).good();
    let text = project.text("base-images/app.lock.yaml");
    assert!(before[2].1.contains("revision: 1\n") && text.contains("revision: 2\n"));
    project.write("base-images/app.lock.yaml", &text.replace("revision: 2\n", "revision: 1\n"));
    let sent = registry.log().blob_bytes();
    for command in [&["publish", "app"][..], &["publish", "app", "--dry-run"]] {
        let error = project.run(command).fails(1);
        for part in ["its fixed tag `3.2.0.0.20250601.1` names", "sockel lock app"] {
            assert!(error.contains(part), "{error}");
        }
    }
    assert_eq!((tags(&registry), registry.log().blob_bytes()), (newest, sent));
}
