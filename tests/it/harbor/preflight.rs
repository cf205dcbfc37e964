//! What would stop a release is found by a dry run, and before anything is sent or scanned.

use crate::harbor::push;
use crate::publish;
use crate::publish::json;
use crate::support::project::Project;
use crate::support::registry::Course;
use crate::support::registry::Report;
use crate::support::registry::harbor::Harbor as Double;

/// Returns the fixed tag of an image, as a dry run shows it.
fn fixed_tag(project: &Project, image: &str) -> String {
    let dry = json(&project.run(&["publish", "--dry-run", "--format", "json"]).good());
    let images = dry["images"].as_array().unwrap();
    let found = images.iter().find(|one| one["image"] == image).unwrap();
    found["tags"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

/// Counts what would be sent, scanned or released.
fn changes(double: &Double) -> usize {
    let changes = |method: &str| double.log().count(method, "*");
    changes("POST") + changes("PUT") + changes("PATCH") + changes("DELETE")
}

#[test]
fn nothing_is_sent_where_something_would_stop_the_release() {
    type Change = fn(&Double, &str);
    // what is wrong; words, exit code
    let table: [(Change, &str, i32); 7] = [
        (
            |double, _| double.state().set_quota("staging", 1000),
            "into project `staging`: the project's storage quota is used up",
            3,
        ),
        (
            |double, _| double.state().set_quota("base", 1000),
            "into project `base`: the project's storage quota is used up",
            3,
        ),
        (|double, _| double.is_read_only(), "Harbor is in read-only mode", 3),
        (|double, _| double.scanner_is_unhealthy(), "Harbor's scanner does not answer", 3),
        (|double, _| double.has_no_scanner(), "the project has no scanner", 1),
        (
            |double, fixed| {
                push(double, "base/base", &[fixed], b"other");
            },
            "its fixed tag `2.0.0.0.20250601.1` names",
            1,
        ),
        (
            |double, _| {
                let right = ["artifact", "create"];
                double.state().set_right("robot$sockel-freigabe", "base", right, false);
            },
            "`robot$sockel-freigabe` lacks 1 right(s):\n  `artifact: create` to copy images to there",
            1,
        ),
    ];
    let project = publish::project();
    for (change, words, code) in table {
        let double = publish::harbor(&project);
        let fixed = fixed_tag(&project, "base");
        change(&double, &fixed);
        let before = changes(&double);
        for run in [&["publish", "base", "--dry-run"][..], &["publish", "base"]] {
            let told = project.run(run).fails(code);
            assert!(told.contains(words) && told.contains("hint:"), "{run:?} {words}: {told}");
        }
        assert_eq!(changes(&double), before, "{words}");
        sockel::sys::fs::remove_dir(&project.path("secrets")).unwrap();
    }
}

#[test]
fn a_quota_counts_only_what_is_new() {
    let project = publish::project();
    let double = publish::harbor(&project);
    project.run(&["publish", "base", "runtime"]).good();
    let used = |name: &str| double.state().used(name);
    let (staging, release) = (used("staging"), used("base"));
    // room for what the third image has of its own, and not for what it shares
    for (room, code) in [(500, 3), (60_000, 0)] {
        double.state().set_quota("staging", (staging + room).try_into().unwrap());
        double.state().set_quota("base", (release + room).try_into().unwrap());
        let answer = project.run(&["publish", "app"]);
        assert_eq!(answer.code, Some(code), "{room}: {}", answer.stderr);
        assert_eq!(answer.stderr.contains("bytes; "), code == 3, "with the figures: {}", answer.stderr);
    }
}

#[test]
fn a_child_is_not_released_before_its_parent() {
    let project = publish::project();
    let double = publish::harbor(&project);
    let fixed = fixed_tag(&project, "runtime");
    push(&double, "base/runtime", &[&fixed], b"other");
    let states = |answer: &str| -> Vec<String> {
        let images = json(answer)["images"].clone();
        images.as_array().unwrap().iter().map(|image| image["state"].as_str().unwrap().to_owned()).collect()
    };
    for (arguments, expected) in [
        (&["publish", "--dry-run", "--format", "json"][..], ["would-publish", "failed", "failed"]),
        (&["publish", "--format", "json"], ["published", "failed", "failed"]),
    ] {
        let answer = project.run(arguments);
        assert_eq!(
            (answer.code, states(&answer.stdout)),
            (Some(1), expected.map(str::to_owned).to_vec()),
            "{}",
            answer.stderr
        );
        let told = "cannot publish image `app`: its parent `runtime` is not released";
        assert!(answer.stderr.contains(told) || answer.stdout.contains(told), "{} {}", answer.stdout, answer.stderr);
    }
    assert_eq!(
        double.log().count("POST", "/v2/staging/app/*") + double.log().count("PUT", "/v2/staging/app/*"),
        0,
        "nothing of it was sent"
    );

    // alone it does not get there either, and the parent has to be this very one
    let told = project.run(&["publish", "app"]).fails(1);
    assert!(
        told.contains("its parent `runtime` is not released") && told.contains("`sockel publish runtime`"),
        "{told}"
    );
    double.registry.contents().repositories.remove("base/runtime");
    project.run(&["publish", "app"]).fails(1);
    project.run(&["publish", "runtime"]).good();
    project.run(&["publish", "app"]).good();
    assert!(!double.registry.tags("base/app").is_empty());
}

#[test]
fn what_harbor_withholds_is_told() {
    let project = publish::project();
    let double = publish::harbor(&project);
    let file = project.text("base-images/registry.yaml").replace("setup: {", "setup: { withhold: high,");
    project.write("base-images/registry.yaml", &file);
    publish::setup(&project, &double.url(), &[]).good();
    double.scans(Course::success(0, Report::clean().finding("CVE-2026-1234", "libc", "Critical")));
    let exemption = "gate: { exemptions: [ { vulnerability: CVE-2026-1234, reason: x, expires: 2099-01-01 } ] }\n";
    project.write("base-images/registry.yaml", &format!("{file}{exemption}"));

    let answer = project.run(&["publish", "base", "--format", "json"]);
    let words = "Harbor will not serve base from `base/base` because of CVE-2026-1234";
    assert!(answer.stderr.contains(words) && answer.stderr.contains("`sockel publish --setup`"), "{}", answer.stderr);
    assert_eq!(json(&answer.good())["images"][0]["withheld"][0], "CVE-2026-1234");

    // the setup brings the exemption to Harbor
    publish::setup(&project, &double.url(), &[]).good();
    let answer = project.run(&["publish", "runtime", "--format", "json"]);
    assert!(!answer.stderr.contains("will not serve"), "{}", answer.stderr);
    assert!(json(&answer.good())["images"][0]["withheld"].is_null());
}
