//! `sockel update` as schedules run it: what it says, what it writes and publishes, killed and twice at once.

use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::kills;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Fault;
use crate::support::registry::Registry;
use crate::support::registry::Trouble;
use flate2::write::GzEncoder;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sockel::sys::fs;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// How often an update is killed, usually.
const KILLS: usize = 30;

/// The repositories of the project's images.
const REPOSITORIES: [&str; 3] = ["team/base", "team/runtime", "team/app"];

/// A locked and built project.
fn project() -> Project {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project
}

const LOG: &str = "\
glibc (2.1) noble-security; urgency=high

  * SECURITY UPDATE: CVE-2026-1111, CVE-2026-2222

glibc (2.0) noble; urgency=low

  * CVE-2025-3333
";

/// Puts another C library into the archive.
fn patch(project: &mut Project, version: &str) {
    let mut log = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    log.write_all(LOG.as_bytes()).expect("written");
    let log = log.finish().expect("finished");
    let new = library(version, 9).file("/usr/share/doc/libc/changelog.Debian.gz", &log, 0o644);
    let all = packages().into_iter().map(|old| if old.value("Package") == "libc" { new.clone() } else { old });
    project.publish(&all.collect::<Vec<Deb>>());
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn locks(project: &Project) -> Vec<String> {
    ["base", "runtime", "app"].iter().map(|name| project.text(&format!("base-images/{name}.lock.yaml"))).collect()
}

fn state(registry: &Registry) -> Vec<BTreeMap<String, String>> {
    REPOSITORIES.iter().map(|repository| registry.tags(repository)).collect()
}

/// Returns what an image lacks: manifests of its index, blobs of these.
fn missing(registry: &Registry, repository: &str, digest: &str) -> Vec<String> {
    let index = registry.manifest(repository, digest).expect("is there");
    let mut missing = Vec::new();
    for child in index.children() {
        match registry.manifest(repository, &child) {
            Some(manifest) => missing.extend(registry.contents().repository(repository).missing(&manifest)),
            None => missing.push(child),
        }
    }
    missing
}

#[test]
fn says_what_is_new_and_writes_when_asked() {
    let mut project = project();
    let before = locks(&project);
    assert_eq!(project.run(&["update"]).good(), "nothing new: base, runtime, app\n");
    // a later state of the archive with the same packages is nothing new
    project.publish(&packages());
    assert_eq!(project.run(&["update"]).good(), "nothing new: base, runtime, app\n");
    patch(&mut project, "2.1");
    insta::assert_snapshot!(project.run(&["update"]).good(), @r"
    base: changed
      level base:
        ~ libc 2.0 -> 2.1 (test/security)
      glibc: fixes CVE-2026-1111, CVE-2026-2222
      urgency: urgent, 2 CVE numbers in all
      consumers pull about 60.6 kB of 62.2 kB (98 %, 1 layer) for linux/amd64
      also changes: runtime, app
    runtime: changed
      level base: as in base
      urgency: urgent, 2 CVE numbers in all
      consumers pull about 60.6 kB of 364.2 kB (17 %, 1 layer) for linux/amd64
      also changes: app
    app: changed
      level base: as in base
      urgency: urgent, 2 CVE numbers in all
      consumers pull about 60.6 kB of 405.7 kB (15 %, 1 layer) for linux/amd64
    ");
    insta::assert_snapshot!(project.run(&["update", "--format", "md"]).good(), @r"
    ## Base images: 3 of 3 change

    ### `base`

    | package | old | new | pocket | level | platforms |
    |---|---|---|---|---|---|
    | `libc` | `2.0` | `2.1` | test/security | base | all |

    - `glibc`: fixes CVE-2026-1111, CVE-2026-2222
    - urgency: urgent, 2 CVE numbers in all
    - consumers pull about 60.6 kB of 62.2 kB (98 %, 1 layer) for linux/amd64
    - also changes: `runtime`, `app`

    ### `runtime`

    - level base as in `base`
    - urgency: urgent, 2 CVE numbers in all
    - consumers pull about 60.6 kB of 364.2 kB (17 %, 1 layer) for linux/amd64
    - also changes: `app`

    ### `app`

    - level base as in `base`
    - urgency: urgent, 2 CVE numbers in all
    - consumers pull about 60.6 kB of 405.7 kB (15 %, 1 layer) for linux/amd64
    ");
    assert_eq!(locks(&project), before);
    for (limit, code) in [("urgent", 4), ("security", 4), ("routine", 4)] {
        assert_eq!(project.run(&["update", "--fail-on", limit]).code, Some(code), "{limit}");
    }
    let answer = json(&project.run(&["update", "--write", "--format", "json", "--report", "report.json"]).good());
    assert_eq!(answer, json(&project.text("report.json")));
    let images: Vec<&str> = answer["images"].as_array().unwrap().iter().map(|i| i["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["base", "runtime", "app"]);
    assert_eq!(answer["images"][0]["above"], serde_json::json!(["runtime", "app"]));
    assert_ne!(locks(&project), before);
    project.run(&["lock", "--check"]).good();
    assert_eq!(project.run(&["update"]).good(), "nothing new: base, runtime, app\n");
    assert!(project.run(&["lock", "--format", "md"]).fails(2).contains("only `update` does"));
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let mut project = project();
    let mut all = packages();
    all.retain(|deb| deb.value("Package") != "app");
    all.push(Deb::new("app", "3.3").depends("nowhere"));
    all.push(library("2.1", 9));
    project.publish(&all);
    let run = project.run(&["update", "--write"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    // what cannot be taken stays as it is locked
    assert!(run.stdout.contains("app: changed, BLOCKED") && run.stdout.contains("~ libc 2.0 -> 2.1"), "{}", run.stdout);
    assert!(run.stderr.contains("cannot take all updates of 1 of 3 image(s): app"), "{}", run.stderr);
    for image in ["runtime", "app"] {
        assert!(project.text(&format!("base-images/{image}.lock.yaml")).contains("\"2.1\""));
    }
    // an image that was never locked has nothing to stay at
    fs::remove(&project.path("base-images/app.lock.yaml")).expect("removed");
    let run = project.run(&["update", "--write"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("app: FAILED") && run.stdout.contains("nothing new: base, runtime"), "{}", run.stdout);
    assert!(run.stderr.contains("cannot update 1 of 3 image(s): app"), "{}", run.stderr);
    // an archive that is gone stops all that need it, and says so once
    project.edit("recipes/base.yaml", "noble-security, ", "noble-gone, ");
    let run = project.run(&["update"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("cannot update 3 of 3 image(s)"), "{}", run.stderr);
    assert!(run.stderr.contains("the same problem as with image `base`"), "{}", run.stderr);
}

#[test]
fn publishes_what_changed_and_nothing_else() {
    let (mut project, registry) = (project(), Registry::start());
    let target = format!("{}/team", registry.url());
    let update = |project: &Project| {
        let answer = project.run(&["update", "--publish", "--to", &target, "--format", "json"]).good();
        let sent = registry.log().blob_bytes();
        (json(&answer), sent)
    };
    let (first, sent) = update(&project);
    assert_eq!(first["published"]["images"][2]["state"], "published");
    let (second, again) = update(&project);
    assert_eq!((second["published"]["images"][2]["state"].as_str(), again), (Some("up-to-date"), sent));
    let old = state(&registry);
    patch(&mut project, "2.1");
    let (third, more) = update(&project);
    let repull = &third["images"][2]["repull"][0];
    assert_eq!((repull["exact"].as_bool(), repull["layers"].as_u64()), (Some(true), Some(1)));
    // the library's layer once, and documents; no layer of the levels above
    let layer = repull["bytes"].as_u64().unwrap();
    assert!((layer..layer + 20_000).contains(&(more - sent)), "{layer} {}", more - sent);
    assert_ne!(state(&registry), old);
    let text = project.run(&["update", "--publish", "--to", &target, "--metrics", "sockel.prom"]).good();
    let figures = project.text("sockel.prom");
    assert!(figures.contains("\nsockel_last_run_success 1\n"), "{figures}");
    assert!(figures.contains("sockel_image_packages_changed{image=\"app\"} 0\n"), "{figures}");
    assert!(text.starts_with("nothing new: base, runtime, app\n") && text.contains("up to date"), "{text}");
}

#[test]
fn killed_updates_are_gone_on_with() {
    let mut project = project();
    let original = locks(&project);
    patch(&mut project, "2.1");
    let undisturbed = Registry::start();
    let target = |registry: &Registry| format!("{}/team", registry.url());
    project.run(&["update", "--publish", "--to", &target(&undisturbed)]).good();
    let (expected, locked) = (state(&undisturbed), locks(&project));
    let mut whole = Duration::from_millis(400);
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let (mut random, mut killed) = (StdRng::seed_from_u64(seed), 0);
    for round in 0..kills(KILLS) {
        let registry = Registry::start();
        fs::remove_dir(&project.path("store")).expect("removed");
        for (name, text) in ["base", "runtime", "app"].iter().zip(&original) {
            project.write(&format!("base-images/{name}.lock.yaml"), text);
        }
        let moment = whole.mul_f64(random.random_range(0.0..1.1));
        let mut command = project.command(&["update", "--publish", "--to", &target(&registry)]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        std::thread::sleep(moment);
        child.kill().expect("killed");
        let was_killed = !child.wait().expect("ended").success();
        killed += usize::from(was_killed);
        whole = whole.mul_f64(if was_killed { 1.05 } else { 0.7 });
        // whatever has a tag is complete
        for (repository, tags) in REPOSITORIES.iter().zip(state(&registry)) {
            for digest in tags.values() {
                assert_eq!(missing(&registry, repository, digest), Vec::<String>::new(), "round {round}");
            }
        }
        project.run(&["update", "--publish", "--to", &target(&registry)]).good();
        assert_eq!(state(&registry), expected, "round {round}");
        assert_eq!(locks(&project), locked, "round {round}");
    }
    assert!(killed > kills(KILLS) / 3, "only {killed} updates were killed");
}

#[test]
fn two_at_once_do_not_meet() {
    let (mut project, registry) = (project(), Registry::start());
    patch(&mut project, "2.1");
    let target = format!("{}/team", registry.url());
    let arguments = ["update", "--publish", "--to", &target];
    let mut refused = 0;
    let start = Instant::now();
    while refused == 0 && start.elapsed() < Duration::from_secs(60) {
        fs::remove_dir(&project.path("store/results")).expect("removed");
        let mut command = project.command(&arguments);
        let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        let second = answer(&mut project.command(&arguments));
        assert!(matches!(second.code, Some(0 | 3)), "{}", second.stderr);
        if second.code == Some(3) {
            assert!(second.stderr.contains("another one is running (process "), "{}", second.stderr);
        }
        let good = first.wait().expect("ended").success();
        assert!(good || second.code == Some(0));
        refused += usize::from(!good) + usize::from(second.code == Some(3));
    }
    assert!(refused > 0, "the two never met");
    project.run(&arguments).good();
}

#[test]
fn status_says_what_is_due() {
    let project = project();
    let status = |more: &[&str]| project.run(&[&["status", "--format", "json"], more].concat());
    let answer = json(&status(&[]).good());
    // the archive's date is in the past, and nobody has looked for news yet
    assert_eq!(
        (answer["images"][0]["overdue"].as_bool(), answer["images"][0]["built"].as_bool()),
        (Some(true), Some(true))
    );
    assert!(status(&["--fail-on", "overdue"]).fails(4).contains("images are due: app, base, runtime"));
    project.run(&["update", "--write"]).good();
    assert_eq!(json(&status(&["--fail-on", "overdue"]).good())["images"][0]["overdue"], false);
    assert!(status(&["--older-than", "30", "--fail-on", "old"]).fails(4).contains("images are due"));
    status(&["app", "--older-than", "100000", "--fail-on", "old"]).good();
    // no table knows this release
    assert_eq!(status(&["--fail-on", "eol"]).code, Some(4));
}

#[test]
fn an_urgent_update_has_its_own_time_limit() {
    let mut project = project();
    let registry = Registry::start();
    let target = format!("{}/team", registry.url());
    let publish = ["update", "--publish", "--to", &target];
    project.run(&publish).good();
    patch(&mut project, "2.1");
    let urgent = |project: &Project| {
        let answer = json(&project.run(&["status", "--format", "json"]).good());
        let times: Vec<Value> = answer["images"].as_array().unwrap().iter().map(|i| i["urgent-by"].clone()).collect();
        times
    };
    assert_eq!(urgent(&project), [Value::Null, Value::Null, Value::Null]);
    project.run(&["update"]).good();
    let first = urgent(&project);
    assert!(first.iter().all(Value::is_string), "{first:?}");
    assert!(project.run(&["status"]).good().contains("(urgent)"));
    // seen again, but not later
    project.run(&["update"]).good();
    assert_eq!(urgent(&project), first);
    // locked, but nobody takes it: it still waits, though the archive has nothing newer
    let full = Registry::start();
    full.fault(Fault::new("*", "/v2/*/blobs/*", Trouble::quota()).always());
    let full = format!("{}/team", full.url());
    for _ in 0..2 {
        assert_ne!(project.run(&["update", "--publish", "--to", &full]).code, Some(0));
    }
    assert_eq!(urgent(&project), first);
    project.run(&publish).good();
    assert_eq!(urgent(&project), [Value::Null, Value::Null, Value::Null]);
}
