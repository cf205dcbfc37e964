//! Findings on the way to a registry: what stops an image stops `publish` and `update`, too, and nothing of it is released.

use crate::support::project::Project;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use std::collections::BTreeMap;

/// A file that everybody may write, which no image may have.
const OPEN: &str = "/usr/share/app/open";

const ACCEPTED: &str =
    "accept: [ { finding: world-writable, path: /usr/share/app/open, reason: test, agreed-by: test, expires: END } ]\n";

/// Puts a version of the application with the open file into the archive, and another C library.
fn break_application(project: &mut Project) {
    let mut all = packages();
    for deb in &mut all {
        match deb.value("Package") {
            "app" => *deb = deb.clone().field("Version", "3.3-1").file(OPEN, b"x", 0o666),
            "libc" => *deb = library("2.1", 9),
            _ => {}
        }
    }
    project.publish(&all);
}

fn tags(registry: &Registry) -> [BTreeMap<String, String>; 3] {
    ["team/base", "team/runtime", "team/app"].map(|repository| registry.tags(repository))
}

#[test]
fn an_update_releases_nothing_of_an_image_that_its_check_stops() {
    let (mut project, registry) = (Project::new(), Registry::start());
    let target = format!("{}/team", registry.url());
    project.run(&["update", "--publish", "--to", &target]).good();
    let before = tags(&registry);

    break_application(&mut project);
    let run = project.run(&["update", "--publish", "--to", &target]);
    assert_eq!(run.code, Some(1), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(&format!("world-writable: `{OPEN}` (package app)")), "{}", run.stderr);
    let after = tags(&registry);
    assert_eq!(after[2], before[2], "the application is as it was");
    assert!(after[0] != before[0] && after[1] != before[1], "the others are patched");

    // accepted, it goes through
    let recipe = project.text("recipes/app.yaml");
    project.write("recipes/app.yaml", &format!("{recipe}{}", ACCEPTED.replace("END", "2999-12-31")));
    project.run(&["update", "--publish", "--to", &target]).good();
    assert_ne!(tags(&registry)[2], before[2]);
}

#[test]
fn publish_judges_again_what_was_built_before() {
    let (mut project, registry) = (Project::new(), Registry::start());
    let target = format!("{}/team", registry.url());
    break_application(&mut project);
    let recipe = project.text("recipes/app.yaml");
    project.write("recipes/app.yaml", &format!("{recipe}{}", ACCEPTED.replace("END", "2999-12-31")));
    project.run(&["lock"]).good();
    project.run(&["build"]).good();

    // the acceptance has run out since
    project.edit("recipes/app.yaml", "2999-12-31", "2020-12-31");
    let run = project.run(&["publish", "--to", &target]);
    assert_eq!(run.code, Some(1), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(&format!("world-writable: `{OPEN}` (package app)")), "{}", run.stderr);
    assert!(registry.tags("team/app").is_empty());
}
