//! `sockel publish` as people run it: into a layout, to a plain registry, through a Harbor with gate and promotion.

use crate::support::project::Answer;
use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::registry::Course;
use crate::support::registry::Fault;
use crate::support::registry::Harbor;
use crate::support::registry::Registry;
use crate::support::registry::Report;
use crate::support::registry::Response;
use crate::support::registry::Tokens;
use crate::support::registry::Trouble;
use crate::support::registry::harbor::ADMIN;
use serde_json::Value;
use sockel::values::Epoch;

/// A project whose images are built and have what scanners look for.
pub(crate) fn project() -> Project {
    let project = Project::new();
    let recipe = project.text("recipes/base.yaml");
    project.write(
        "recipes/base.yaml",
        &format!("{recipe}files: {{ /etc/lsb-release: {{ content: \"DISTRIB_ID=Ubuntu\\n\" }} }}\n"),
    );
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project
}

/// A Harbor with both projects and robots, made by `--setup`, and a registry file that uses them.
pub(crate) fn harbor(project: &Project) -> Harbor {
    let harbor = Harbor::start("v2.15.2");
    harbor.database_updated_at(Some(&now()));
    harbor.scans(Course::success(1, Report::clean()));
    let file = format!(
        "target: {}\nprojects: {{ staging: staging, release: base }}\n\
         credentials: ../secrets/sockel-pipeline.json\nrelease-credentials: ../secrets/sockel-freigabe.json\n\
         setup: {{ robots: ../secrets, labels: [ freigegeben ] }}\n",
        harbor.url()
    );
    project.write("base-images/registry.yaml", &file);
    setup(project, &harbor.url(), &[]).good();
    harbor
}

pub(crate) fn setup(project: &Project, url: &str, more: &[&str]) -> Answer {
    let mut command = project.command(&[&["publish", "--setup"], more].concat());
    command.env("SOCKEL_REGISTRY_USER", ADMIN.0).env("SOCKEL_REGISTRY_PASSWORD", ADMIN.1);
    command.env("SOCKEL_REGISTRY", url);
    answer(&mut command)
}

fn now() -> String {
    sockel::sys::clock::now().to_string()
}

pub(crate) fn json(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap()
}

#[test]
fn a_layout_needs_no_registry() {
    let project = project();
    let answer = json(&project.run(&["publish", "--format", "json"]).good());
    assert_eq!(answer["target"], "oci:out");
    assert_eq!(answer["images"][2]["gate"]["not-available"]["reason"], "a layout folder has no scanner");
    assert_eq!(project.digests("out").len(), 12);
    let dry = project.run(&["publish", "app", "--to", "oci:other", "--dry-run"]).good();
    assert!(dry.contains("would be published"), "{dry}");
    assert!(!project.path("other").exists());
}

#[test]
fn a_plain_registry_gets_images_once() {
    let (project, registry) = (project(), Registry::start());
    let target = format!("{}/team", registry.url());
    let answer = json(&project.run(&["publish", "app", "--to", &target, "--format", "json"]).good());
    let image = &answer["images"][0];
    assert_eq!((image["state"].as_str(), image["pushed"]["mounted"]["count"].as_u64()), (Some("published"), Some(0)));
    let tags = registry.tags("team/app");
    assert!(tags.values().all(|digest| *digest == image["digest"]) && !tags.is_empty(), "{tags:?}");
    let sent = registry.log().blob_bytes();
    assert_eq!(image["pushed"]["uploaded"]["bytes"].as_u64(), Some(sent));
    let before = registry.log().entries().len();
    let again = json(&project.run(&["publish", "app", "--to", &target, "--format", "json"]).good());
    assert_eq!(again["images"][0]["state"], "up-to-date");
    assert_eq!(registry.log().blob_bytes(), sent);
    assert_eq!(registry.log().entries().len() - before, tags.len(), "one look at every tag");
    // what the child brought along is mounted for the parent
    let parent = json(&project.run(&["publish", "runtime", "--to", &target, "--format", "json"]).good());
    let pushed = &parent["images"][0]["pushed"];
    assert_eq!(pushed["uploaded"]["count"], 1, "the configuration: {pushed}");
    assert!(pushed["mounted"]["count"].as_u64() >= Some(2), "{pushed}");
    assert!(registry.tags("team/base").is_empty(), "only what was named");
}

/// A registry with a login whose proxy routes only the registry's own paths.
fn only_v2(tokens: Tokens, status: u16) -> Registry {
    let registry = Registry::start().with_tokens(tokens.user("ci", "s3cret", &["*"]));
    registry.fault(Fault::new("GET", "/api/*", Trouble::Answer(Response::new(status))).always());
    registry
}

#[test]
fn what_an_unrelated_path_answers_does_not_decide() {
    let project = project();
    let publish = |registry: &Registry, more: &[&str]| {
        let mut command = project.command(&[&["publish", "app"], more].concat());
        command.env("SOCKEL_REGISTRY", registry.url()).env("SOCKEL_REGISTRY_USER", "ci");
        answer(command.env("SOCKEL_REGISTRY_PASSWORD", "s3cret"))
    };
    let registry = only_v2(Tokens::basic(), 503);
    publish(&registry, &["--to", &format!("{}/team", registry.url())]).good();

    // one that names itself Harbor's registry is believed, unless the operator knows better
    let registry = only_v2(Tokens::new(), 400);
    let file = |more: &str| format!("target: {}/team\n{more}", registry.url());
    project.write("registry.yaml", &file(""));
    assert_ne!(publish(&registry, &["--registry", "registry.yaml"]).code, Some(0));
    project.write("registry.yaml", &file("harbor: false\n"));
    let said = publish(&registry, &["--registry", "registry.yaml"]);
    let text = said.stderr.clone() + &said.good();
    assert!(text.contains("the registry file says that it is no Harbor"), "{text}");

    let target = registry.url();
    for key in ["projects: { staging: a, release: b }", "gate: { severity: high }"] {
        project.write("registry.yaml", &format!("target: {target}\nharbor: false\n{key}\n"));
        let error = publish(&registry, &["--registry", "registry.yaml"]).fails(1);
        assert!(error.contains("needs a Harbor"), "{error}");
    }
}

#[test]
fn registries_are_named_as_the_field_names_them() {
    let (project, registry) = (project(), Registry::start());
    let host = registry.address();
    let target = format!("{host}/team");
    project.run(&["publish", "--to", &target, "--plain-http"]).good();
    assert!(!registry.tags("team/app").is_empty());
    let image = format!("{target}/app:1");
    let same = project.run(&["diff", "app:1", &image, "--plain-http"]).good();
    assert!(same.starts_with("pull: 0 B of"), "{same}");
    let said = project.run(&["rebase", &image, "--base", &format!("{target}/base"), "--dry-run", "--plain-http"]);
    assert!(!said.stderr.contains("cannot use"), "{}", said.stderr);

    // a short name is nobody's
    for command in [
        vec!["publish", "--to", "team"],
        vec!["rebase", "shop/web:1.4", "--dry-run"],
        vec!["diff", "app:1", "shop/web:1.4"],
    ] {
        let error = project.run(&command).fails(1);
        assert!(error.contains("begins with a host"), "{command:?}: {error}");
    }
}

#[test]
fn registries_without_oci_types_get_dockers() {
    let (project, registry) = (project(), Registry::start());
    let file = |more: &str| format!("target: {}/team\nmedia-types: docker\n{more}", registry.url());
    project.write("registry.yaml", &file(""));
    let publish = || json(&project.run(&["publish", "app", "--registry", "registry.yaml", "--format", "json"]).good());
    let first = publish();
    let digest = first["images"][0]["digest"].as_str().unwrap().to_owned();
    assert!(registry.tags("team/app").values().all(|found| *found == digest));
    assert_eq!(publish()["images"][0]["state"], "up-to-date", "the same digest again");

    let list = registry.manifest("team/app", &digest).unwrap();
    let list: Value = serde_json::from_slice(&list.bytes).unwrap();
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    let layout = project.digests("out");
    for entry in list["manifests"].as_array().unwrap() {
        let found = registry.manifest("team/app", entry["digest"].as_str().unwrap()).unwrap();
        let manifest: Value = serde_json::from_slice(&found.bytes).unwrap();
        assert!(!manifest.to_string().contains("vnd.oci"), "{manifest}");
        assert_eq!(manifest["mediaType"], entry["mediaType"]);
    }
    assert!(layout.values().all(|found| *found != digest), "the layout keeps OCI's");
    let there = format!("{}/team/app:1", registry.url());
    let same = project.run(&["diff", "app:1", &there]).good();
    assert!(same.starts_with("pull: 0 B of"), "the same layers: {same}");

    project.write("registry.yaml", &file("cache: { repository: team/cache }\n"));
    let error = project.run(&["publish", "app", "--registry", "registry.yaml"]).fails(1);
    assert!(error.contains("`cache` needs OCI's media types"), "{error}");
}

#[test]
fn what_was_published_can_be_compared() {
    let (project, registry) = (project(), Registry::start());
    let target = format!("{}/team", registry.url());
    project.run(&["publish", "--to", &target]).good();
    let there = format!("{target}/app:1");
    let same = project.run(&["diff", "app:1", &there]).good();
    assert!(same.starts_with("pull: 0 B of"), "{same}");
    let before = registry.log().of("GET", "/v2/*/blobs/*").len();
    assert_eq!(before, 0, "the store has them all");
    // into an empty store, where the connection breaks once
    registry.fault(Fault::new("GET", "/v2/team/app/blobs/*", Trouble::CutAnswer(1000)));
    let command = ["diff", &format!("{target}/base:1"), &there, "--store", "empty", "--format", "json"];
    let difference = json(&project.run(&command).good());
    assert!(difference["packages"].as_array().is_some_and(|packages| packages.len() == 3), "{difference}");
    for side in [&target, &format!("{target}/app:none")] {
        assert_ne!(project.run(&["diff", "app:1", side]).code, Some(0));
    }
}

#[test]
fn what_passes_the_gate_is_promoted() {
    let project = project();
    let harbor = harbor(&project);
    let answer = json(&project.run(&["publish", "--format", "json"]).good());
    for image in answer["images"].as_array().unwrap() {
        let name = image["image"].as_str().unwrap();
        assert_eq!(image["gate"]["judged"][0]["outcome"], "passed", "{image}");
        let released = harbor.registry.tags(&format!("base/{name}"));
        assert!(!released.is_empty() && released.values().all(|digest| *digest == image["digest"]), "{released:?}");
        assert!(harbor.registry.tags(&format!("staging/{name}")).is_empty(), "the throw-away tag is gone");
    }
    let sent = harbor.log().blob_bytes();
    let again = json(&project.run(&["publish", "--format", "json"]).good());
    assert!(again["images"].as_array().unwrap().iter().all(|image| image["state"] == "up-to-date"), "{again}");
    assert_eq!(harbor.log().blob_bytes(), sent);
}

#[test]
fn one_project_is_judged_before_it_gets_tags() {
    let project = project();
    let harbor = harbor(&project);
    let (user, password) = ADMIN;
    let target = format!("{}/staging", harbor.url());
    let publish = || {
        let mut command = project.command(&["publish", "base", "--to", &target, "--format", "json"]);
        command.env("SOCKEL_REGISTRY_USER", user).env("SOCKEL_REGISTRY_PASSWORD", password);
        // the registry file names robots for two projects
        command.args(["--registry", "none.yaml"]);
        answer(&mut command)
    };
    project.write("none.yaml", "parallel: 2\n");
    harbor.scans(Course::success(0, Report::clean().finding("CVE-2026-1234", "libc", "Critical")));
    publish().fails(4);
    let tags = || harbor.registry.tags("staging/base").into_keys().collect::<Vec<_>>();
    assert_eq!(tags(), ["candidate-base"]);
    harbor.scans(Course::success(0, Report::clean()));
    let image = json(&publish().good())["images"][0].clone();
    assert_eq!(
        (image["state"].as_str(), image["gate"]["judged"][0]["outcome"].as_str()),
        (Some("published"), Some("passed"))
    );
    assert_eq!(tags(), ["1", "2.0.0.0.20250601.1"]);
}

#[test]
fn the_gate_fails_closed() {
    let project = project();
    let harbor = harbor(&project);
    let old = Epoch(sockel::sys::clock::now().0 - 90 * 86_400).to_string();
    let severe = || Report::clean().finding("CVE-2026-1234", "libc", "High");
    // course, database, words of the failure, exit code
    let table = [
        (Course::success(1, severe()), Some(now()), "CVE-2026-1234 (high) in libc", 4),
        (Course::success(1, Report::clean()), Some(old.clone()), "database is of", 4),
        (Course::success(1, Report::clean()), None, "vulnerability database is unknown", 4),
        (Course::success(1, Report::clean().generated_at(&old)), Some(now()), "the image was pushed", 4),
        (Course::new(&["Pending", "Error"]), Some(now()), "cannot scan", 3),
        (Course::new(&["Running", "Stopped"]), Some(now()), "stopped", 3),
        (Course::new(&[""]), Some(now()), "scan", 3),
    ];
    for (course, database, words, code) in table {
        harbor.scans(course);
        harbor.database_updated_at(database.as_deref());
        let told = project.run(&["publish", "base"]).fails(code);
        assert!(told.contains(words), "{words}: {told}");
        assert!(harbor.registry.tags("base/base").is_empty(), "{words}");
    }
    // with an exemption that names the reason it passes
    harbor.scans(Course::success(0, severe()));
    harbor.database_updated_at(Some(&now()));
    let file = project.text("base-images/registry.yaml");
    let exemption =
        "gate: { exemptions: [ { vulnerability: CVE-2026-1234, reason: not reachable, expires: 2099-01-01 } ] }";
    project.write("base-images/registry.yaml", &format!("{file}{exemption}\n"));
    let answer = json(&project.run(&["publish", "base", "--format", "json"]).good());
    let exempted = &answer["images"][0]["gate"]["judged"][0]["verdict"]["exempted"][0];
    assert_eq!(exempted["exemption"]["reason"], "not reachable", "{answer}");
    assert!(!harbor.registry.tags("base/base").is_empty());
}

#[test]
fn a_report_that_contradicts_itself_is_made_once_more() {
    let project = project();
    let harbor = harbor(&project);
    let finding = |severity: &str| Report::silent().finding("CVE-2026-1234", "libc", severity);
    harbor.scans(Course::success(1, finding("Critical")));
    (0..2).for_each(|_| harbor.another_scan_follows(finding("Low")));
    let told = project.run(&["publish", "base"]).fails(4);
    let words =
        "the report is not trusted: it contradicts itself: the worst severity is low in the list and critical in";
    assert!(told.contains(words) && told.contains("hint: the image was scanned twice"), "{told}");
    assert!(harbor.registry.tags("base/base").is_empty());
    // the second scan has the last word
    harbor.scans(Course::success(1, finding("Low")));
    harbor.another_scan_follows(finding("Critical"));
    let scans = || harbor.log().count("POST", "*/scan");
    let before = scans();
    project.run(&["publish", "base"]).good();
    assert_eq!(scans() - before, 2);
}

#[test]
fn nothing_found_is_for_the_team_to_decide() {
    let project = project();
    let harbor = harbor(&project);
    harbor.scans(Course::success(0, Report::silent()));
    let told = project.run(&["publish", "base"]).fails(4);
    assert!(told.contains("no finding of any severity") && told.contains("`nothing-found-pass: true`"), "{told}");
    let file = project.text("base-images/registry.yaml");
    project.write("base-images/registry.yaml", &format!("{file}gate: {{ nothing-found-pass: true }}\n"));
    project.run(&["publish", "base"]).good();
}

#[test]
fn states_of_harbor_have_words_and_codes() {
    let project = project();
    let harbor = harbor(&project);
    let word = |code: &str, message: &str, status| {
        Trouble::Answer(crate::support::registry::Response::error(status, code, message))
    };
    let read_only = || word("DENIED", "The system is in read only mode. Any modification is prohibited.", 403);
    // what is refused, how; words, exit code
    let table = [
        ("POST", "/v2/*/blobs/uploads/*", read_only(), "Harbor is in read-only mode", 3),
        ("PUT", "/v2/*/manifests/*", read_only(), "Harbor is in read-only mode", 3),
        ("POST", "*/scan", read_only(), "Harbor is in read-only mode", 3),
        ("POST", "*/artifacts?from=*", read_only(), "Harbor is in read-only mode", 3),
        ("PUT", "/v2/*/manifests/*", Trouble::quota(), "the project's storage quota is used up", 3),
        ("POST", "*/artifacts?from=*", Trouble::quota(), "the project's storage quota is used up", 3),
        (
            "POST",
            "*/artifacts?from=*",
            word("BAD_REQUEST", "artifact staging/base:1 not found", 400),
            "the image no longer exists",
            3,
        ),
    ];
    for (method, path, trouble, words, code) in table {
        harbor.fault(Fault::new(method, path, trouble));
        let told = project.run(&["publish", "base"]).fails(code);
        assert!(told.contains(words) && told.contains("hint:"), "{method} {path}: {told}");
        assert!(harbor.registry.tags("base/base").is_empty(), "{words}");
    }
    project.run(&["publish", "base"]).good();
}

#[test]
fn an_absent_project_is_named() {
    let project = project();
    let harbor = harbor(&project);
    let file = project.text("base-images/registry.yaml");
    for (there, wrong) in [("staging: staging", "staging: absent"), ("release: base", "release: absent")] {
        project.write("base-images/registry.yaml", &file.replace(there, wrong));
        let told = project.run(&["publish", "base"]).fails(1);
        assert!(told.contains("`absent") && told.contains("there is no such project"), "{told}");
    }
    assert_eq!(harbor.log().blob_bytes(), 0);
}

/// Harbor answers 412 to whoever pulls an image without signature, also by the tag that is to be compared.
#[test]
fn content_trust_does_not_hide_our_own_tags() {
    let project = project();
    let harbor = harbor(&project);
    let file = project.text("base-images/registry.yaml").replace("setup: {", "setup: { signed: true,");
    project.write("base-images/registry.yaml", &file);
    setup(&project, &harbor.url(), &[]).good();
    project.run(&["publish", "base"]).good();
    let again = json(&project.run(&["publish", "base", "--format", "json"]).good());
    assert_eq!(again["images"][0]["state"], "up-to-date", "{again}");
    assert_eq!(harbor.log().of("HEAD", "/v2/base/base/manifests/*").iter().filter(|one| one.status == 412).count(), 0);
}

#[test]
fn projects_without_a_harbor_are_refused() {
    let (project, registry) = (project(), Registry::start());
    let file = format!("target: {}\nprojects: {{ staging: staging, release: base }}\n", registry.url());
    project.write("base-images/registry.yaml", &file);
    let told = project.run(&["publish", "base"]).fails(4);
    assert!(told.contains("nobody scans the image") && told.contains("hint:"), "{told}");
    assert_eq!(registry.log().blob_bytes(), 0);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let (project, registry) = (project(), Registry::start());
    registry.fault(Fault::new("PUT", "/v2/team/runtime/manifests/*", Trouble::quota()).always());
    let target = format!("{}/team", registry.url());
    let answer = project.run(&["publish", "--to", &target, "--format", "json"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    let images = json(&answer.stdout);
    let states: Vec<&str> =
        images["images"].as_array().unwrap().iter().filter_map(|image| image["state"].as_str()).collect();
    // the last one is a child of the second
    assert_eq!(states, ["published", "failed", "failed"]);
    let told = images["images"][2]["error"]["message"].as_str().unwrap();
    assert_eq!(told, "cannot publish image `app`: its parent `runtime` is not released");
    assert!(images["images"][1]["error"]["message"].as_str().unwrap().contains("upper limit"), "{images}");
    assert!(registry.tags("team/runtime").is_empty());
}

#[test]
fn setup_is_repeatable() {
    let project = project();
    let harbor = harbor(&project);
    let before = harbor.log().of("POST", "*").len() + harbor.log().of("PUT", "*").len();
    let again = setup(&project, &harbor.url(), &[]).good();
    assert!(again.lines().all(|line| line.ends_with(": exists")), "{again}");
    let dry = setup(&project, &harbor.url(), &["--dry-run"]).good();
    assert_eq!(dry, again);
    let after = harbor.log().of("POST", "*").len() + harbor.log().of("PUT", "*").len();
    assert_eq!(after, before);
    use std::os::unix::fs::PermissionsExt;
    let secret = std::fs::metadata(project.path("secrets/sockel-freigabe.json")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
}
