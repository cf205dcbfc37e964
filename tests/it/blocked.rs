//! An update that cannot be taken whole: what stays behind, what is taken all the same, who hears of it, and when it ends.

use crate::shared::PRIVATE;
use crate::shared::PUBLIC;
use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use flate2::write::GzEncoder;
use serde_json::Value;
use sockel::lock::file::KeptBackPackage;
use sockel::lock::file::Lock;
use sockel::sys::fs;
use sockel::values::Platform;
use std::io::Write;

/// The script that is decided about, and one with a new effect.
const DECIDED: &[u8] = b"#!/bin/sh\nset -e\nmkdir -p /var/lib/tool\nadduser --system tool\n";
const UNDECIDED: &[u8] = b"#!/bin/sh\nset -e\nadduser --system tool\nchmod 4755 /usr/bin/tool\n";

const LEDGER: &str = "\
format: 2
packages:
  - packages: [ tool ]
    effects: [ \"account tool\", \"folder /var/lib/tool\" ]
    decision: not-needed
    reason: nobody logs in as tool
";

/// What the new effect is, as the ledger names it.
const DECISION: &str = "  - packages: [ tool ]
    effects: [ \"mode /usr/bin/tool 4755\" ]
    decision: not-needed
    reason: no image keeps such bits
";

/// Returns a package with a change log that names a CVE number.
fn tool(version: &str, script: &[u8]) -> Deb {
    let log = format!(
        "tool ({version}) noble-security; urgency=high\n\n  * SECURITY UPDATE: CVE-2026-40{:02}, CVE-2026-4099\n",
        version.len()
    );
    let mut file = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(log.as_bytes()).expect("written");
    Deb::new("tool", version)
        .field("Installed-Size", "40")
        .depends(&format!("libtool (= {version})"))
        .file("/usr/bin/tool", version.as_bytes(), 0o755)
        .file("/usr/share/doc/tool/changelog.Debian.gz", &file.finish().expect("finished"), 0o644)
        .control_file("postinst", script)
}

/// Returns the library of the same source, which works with the tool of the same version alone.
fn libtool(version: &str) -> Deb {
    Deb::new("libtool", version).field("Source", "tool").field("Installed-Size", "10").file(
        "/usr/lib/libtool",
        version.as_bytes(),
        0o644,
    )
}

/// Returns the usual packages, with some in place of others of the same name.
fn with(new: &[Deb]) -> Vec<Deb> {
    let is_new = |deb: &Deb| new.iter().any(|new| new.value("Package") == deb.value("Package"));
    packages().into_iter().filter(|deb| !is_new(deb)).chain(new.iter().cloned()).collect()
}

/// A locked project whose image `runtime` has the tool.
fn project() -> Project {
    let project = Project::with(&with(&[tool("1.0", DECIDED), libtool("1.0")]));
    project.edit("recipes/runtime.yaml", "packages: [ runtime ]", "packages: [ runtime, tool ]");
    project.write("recipes/scripts.yaml", LEDGER);
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project
}

fn lock(project: &Project, image: &str) -> Lock {
    Lock::parse(&project.text(&format!("base-images/{image}.lock.yaml"))).expect("sockel wrote it")
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// Returns the version of a package in a lock.
fn version(project: &Project, image: &str, package: &str) -> String {
    let lock = lock(project, image);
    let found = lock.packages(amd64()).find(|locked| locked.name == package).map(|locked| locked.version.clone());
    found.unwrap_or_default()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn everything_else_is_updated_and_everybody_hears_of_it() {
    let mut project = project();
    project.publish(&with(&[
        tool("1.1", UNDECIDED),
        libtool("1.1"),
        library("2.1", 9),
        Deb::new("app", "3.3").depends("runtime, runtime-data"),
    ]));
    let run = project.run(&["update", "--write", "--metrics", "sockel.prom"]);
    assert_eq!(run.code, Some(1), "{}\n{}", run.stdout, run.stderr);
    insta::assert_snapshot!(run.stdout, @r"
    base: changed
      level base:
        ~ libc 2.0 -> 2.1 (test/security)
      glibc: its packages have no change log
      urgency: security, no CVE number known
      consumers pull about 60.6 kB of 62.2 kB (98 %, 1 layer) for linux/amd64
      also changes: runtime, app
    runtime: changed, BLOCKED
      level base: as in base
      urgency: security, no CVE number known
      consumers pull about 60.6 kB of 365.0 kB (17 %, 1 layer) for linux/amd64
      also changes: app
      kept back: libtool stays at 1.0, 1.1 (test/security) is not taken: it has to stay with tool
      kept back: tool stays at 1.0, 1.1 (test/security) is not taken: its scripts have effects that nobody has decided about
        + postinst: mode /usr/bin/tool 4755
        - folder /var/lib/tool
      held back: tool: fixes CVE-2026-4003, CVE-2026-4099
      held back: tool: the change log does not go back to 1.0: older entries are not known
      held back: urgency: urgent, 2 CVE numbers in all
    app: changed, BLOCKED
      level app:
        ~ app 3.2-1 -> 3.3 (test/security)
      level base: as in base
      app: its packages have no change log
      urgency: security, no CVE number known
      consumers pull about 101.3 kB of 406.4 kB (25 %, 2 layers) for linux/amd64
      kept back in level runtime: as in runtime
      held back: urgency: urgent, 2 CVE numbers in all
    ");
    let (talk, needed) = run.stderr.split_once("postinst of tool").expect("the script");
    assert!(talk.contains("3 lock file(s) written"), "{talk}");
    insta::assert_snapshot!(needed, @r#"
     has effects that the ledger does not decide about (sha256:c83c26a8dc6cd46d8354be2c4bd3f5bcded344212de032d2151ea03fdd46146b)
        mode /usr/bin/tool 4755
    what differs from the script of the version that stays:
        | -mkdir -p /var/lib/tool
        | +chmod 4755 /usr/bin/tool
    entry for `packages` of the ledger, once it is clear what the effects are for:
      - packages: [ tool ]
        effects:
          - "mode /usr/bin/tool 4755"
        decision: not-needed  # or: reproduced, with `by: <generator or recipe key>`
        reason: ""  # why that is fine

    error: cannot take all updates of 2 of 3 image(s): runtime, app
    hint: decide about these effects in `recipes/scripts.yaml`, or in a `recipes/scripts.project.yaml` of your own; the next update takes the packages then
    "#);
    let versions = ["libc", "tool", "libtool", "app"].map(|package| version(&project, "app", package));
    assert_eq!(versions, ["2.1", "1.0", "1.0", "3.3"]);
    let figures = project.text("sockel.prom");
    for line in [
        "sockel_update_blocked{image=\"base\"} 0",
        "sockel_update_blocked{image=\"runtime\"} 2",
        "sockel_update_blocked{image=\"app\"} 2",
        "sockel_update_blocked_cves{image=\"runtime\"} 2",
        "sockel_update_blocked_urgency{image=\"runtime\"} 3",
        "sockel_image_failed{image=\"runtime\"} 0",
        "sockel_last_run_success 1",
    ] {
        assert!(figures.contains(&format!("\n{line}\n")), "{line}\n{figures}");
    }

    // the lock is proven like any other: from the states that it names
    let text = project.text("base-images/runtime.lock.yaml");
    let (_, kept) = text.split_once("    kept-back:\n").expect("names what stays");
    let expected = [
        "      - package: libtool\n        newer: \"1.1\"\n        because: stays with tool\n        effects: []\n",
        "      - package: tool\n        newer: \"1.1\"\n        because: undecided effects\n",
        "        effects:\n          - mode /usr/bin/tool 4755\n",
    ];
    assert_eq!(kept, expected.concat());
    project.run(&["lock", "--check"]).good();
    project.run(&["build", "--locked"]).good();
    fs::remove_dir(&project.path("store/results")).expect("removed");
    project.run(&["build", "--locked"]).good();

    // nothing is new the second time, and what is blocked is said again
    let before = ["base", "runtime", "app"].map(|image| project.text(&format!("base-images/{image}.lock.yaml")));
    let again = project.run(&["update", "--write", "--format", "md"]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    insta::assert_snapshot!(again.stdout, @r"
    ## Base images: nothing new can be taken

    **Not everything can be updated: `runtime`, `app`**

    ### `runtime`: held back

    | package | stays at | not taken | pocket | why |
    |---|---|---|---|---|
    | `libtool` | `1.0` | `1.1` | test/security | it has to stay with tool |
    | `tool` | `1.0` | `1.1` | test/security | its scripts have effects that nobody has decided about |

    - `tool`: postinst, to decide: `mode /usr/bin/tool 4755`
    - `tool`: no more: `folder /var/lib/tool`
    - held back: tool: fixes CVE-2026-4003, CVE-2026-4099
    - held back: tool: the change log does not go back to 1.0: older entries are not known
    - held back: urgency: urgent, 2 CVE numbers in all

    ### `app`: held back

    - level runtime as in `runtime`
    - held back: urgency: urgent, 2 CVE numbers in all

    Nothing new: `base`
    ");
    assert_eq!(before, ["base", "runtime", "app"].map(|image| project.text(&format!("base-images/{image}.lock.yaml"))));

    let answer = project.run(&["update", "--format", "json"]);
    assert_eq!(answer.code, Some(1));
    let answer = json(&answer.stdout);
    let runtime = &answer["images"][1];
    assert_eq!((runtime["state"].as_str(), runtime["held-back-urgency"].as_str()), (Some("current"), Some("urgent")));
    assert_eq!(runtime["held-back"][0]["fixes"][1]["cve"], "CVE-2026-4099");
    let blocked = &runtime["blocked"][1];
    let expected = serde_json::json!({
        "level": "runtime", "package": "tool", "source": "tool", "locked": "1.0", "newer": "1.1",
        "from": "test/security", "platforms": ["linux/amd64"], "reason": "undecided-effects",
        "scripts": blocked["scripts"], "gone": ["folder /var/lib/tool"],
    });
    assert_eq!(*blocked, expected);
    let script = &blocked["scripts"][0];
    assert_eq!(script["effects"], serde_json::json!(["mode /usr/bin/tool 4755"]));
    assert_eq!(script["difference"], serde_json::json!(["-mkdir -p /var/lib/tool", "+chmod 4755 /usr/bin/tool"]));
    let stays = &runtime["blocked"][0];
    assert_eq!((&stays["reason"], &stays["packages"]), (&"stays-with".into(), &serde_json::json!(["tool"])));
    assert_eq!(answer["images"][0]["blocked"], serde_json::json!([]));

    assert!(project.run(&["update", "--fail-on", "urgent"]).fails(4).contains("updates as urgent as"));
    let status = json(&project.run(&["status", "--format", "json"]).good());
    assert_eq!(status["images"][1]["blocked"]["cves"], serde_json::json!(["CVE-2026-4003", "CVE-2026-4099"]));
    assert!(status["images"][1]["urgent-by"].is_string() && status["images"][0]["urgent-by"].is_null());
    assert!(project.run(&["status"]).good().contains("2 with 2 CVE since "));
    assert!(project.run(&["status", "--fail-on", "blocked"]).fails(4).contains("images are due: app, runtime"));
}

#[test]
fn it_ends_with_the_decision() {
    let mut project = project();
    project.publish(&with(&[tool("1.1", UNDECIDED), libtool("1.1"), library("2.1", 9)]));
    project.run(&["update", "--write"]).fails(1);
    assert_eq!(version(&project, "runtime", "tool"), "1.0");
    project.run(&["lock", "--check"]).good();
    project.write("recipes/scripts.yaml", &format!("{LEDGER}{DECISION}"));
    let stale = project.run(&["lock", "--check"]).fails(1);
    assert!(
        stale.contains("`tool` need not be kept back any more: the ledger decides about all effects of 1.1"),
        "{stale}"
    );
    project.run(&["update", "--write", "--metrics", "sockel.prom"]).good();
    assert_eq!(["tool", "libtool"].map(|name| version(&project, "app", name)), ["1.1", "1.1"]);
    assert!(!project.text("base-images/app.lock.yaml").contains("kept-back"));
    assert!(project.text("sockel.prom").contains("sockel_update_blocked{image=\"runtime\"} 0\n"));
    project.run(&["status", "--fail-on", "blocked"]).good();
    project.run(&["lock", "--check"]).good();
    assert_eq!(project.run(&["update"]).good(), "nothing new: base, runtime, app\n");
}

#[test]
fn a_withdrawn_version_ends_it_as_well() {
    let mut project = project();
    project.publish(&with(&[tool("1.1", UNDECIDED), libtool("1.1"), library("2.1", 9)]));
    project.run(&["update", "--write"]).fails(1);
    let before = project.text("base-images/runtime.lock.yaml");
    project.publish(&with(&[tool("1.0", DECIDED), libtool("1.0"), library("2.1", 9)]));
    assert_eq!(project.run(&["update", "--write"]).good(), "nothing new: base, runtime, app\n");
    // the image is the same, and so is its lock, which the states prove that it names
    assert_eq!(project.text("base-images/runtime.lock.yaml"), before);
    project.run(&["lock", "--check"]).good();
    // from another machine's later state as well
    fs::remove_dir(&project.path("store")).expect("removed");
    project.run(&["lock", "--check"]).good();
}

#[test]
fn the_version_that_stays_is_proven_by_its_own_state() {
    let mut project = project();
    let original = project.text("base-images/base.lock.yaml");
    project.publish(&with(&[tool("1.1", UNDECIDED), libtool("1.1"), library("2.1", 9)]));
    project.run(&["update", "--write"]).fails(1);
    let honest = lock(&project, "runtime");
    assert_eq!(honest.archives.len(), 2, "the newest state, and that of the tool");
    let refuse = |what: &str, edit: &dyn Fn(&mut Lock)| {
        let mut edited = honest.clone();
        edit(&mut edited);
        project.write("base-images/runtime.lock.yaml", &edited.to_yaml());
        let error = project.run(&["lock", "--check", "runtime"]).fails(1);
        assert!(error.contains(what), "{what}: {error}");
    };
    refuse("1 maintainer scripts are not in the script ledger", &|lock| lock.levels[1].kept_back.clear());
    refuse("`tool` is kept back from 1.2, which is not what the archives have", &|lock| {
        lock.levels[1].kept_back[1].newer = "1.2".to_owned();
    });
    refuse("`runtime` is kept back from 18, which is not what the archives have", &|lock| {
        let kept = lock.levels[1].kept_back[0].clone();
        lock.levels[1].kept_back.insert(1, kept);
        (lock.levels[1].kept_back[1].package, lock.levels[1].kept_back[1].newer) =
            ("runtime".to_owned(), "18".to_owned());
    });
    refuse(
        "cannot keep back `tool` of level `runtime`: nobody has the locked state of `test/security` that lists 0.9",
        &|lock| {
            for package in lock.levels[1].packages.values_mut().flatten().filter(|package| package.name == "tool") {
                package.version = "0.9".to_owned();
            }
        },
    );
    project.write("base-images/runtime.lock.yaml", &honest.to_yaml());
    project.run(&["lock", "--check"]).good();
    // what could be taken must not stay, whatever the lock says is in the way
    let base = lock(&project, "base");
    for effects in [vec![], vec!["account evil".to_owned()]] {
        let mut late = base.clone();
        let old = honest.archives[1].clone();
        for package in late.levels[0].packages.values_mut().flatten().filter(|package| package.name == "libc") {
            let first = Lock::parse(&original).expect("sockel wrote it");
            *package = first.packages(amd64()).find(|package| package.name == "libc").expect("is there").clone();
            package.state = Some(old.inrelease);
        }
        late.archives.push(old);
        let (package, newer, because) = ("libc".to_owned(), "2.1".to_owned(), "undecided effects".to_owned());
        late.levels[0].kept_back.push(KeptBackPackage { package, newer, because, effects });
        project.write("base-images/base.lock.yaml", &late.to_yaml());
        let error = project.run(&["lock", "--check", "base"]).fails(1);
        assert!(error.contains("cannot keep back `libc` of level `base`: nothing is in the way"), "{error}");
    }
    project.write("base-images/base.lock.yaml", &base.to_yaml());
    // nobody has the older state any more
    fs::remove_dir(&project.path("store")).expect("removed");
    let error = project.run(&["lock", "--check"]).fails(1);
    assert!(
        error.contains("cannot keep back `libtool` of level `runtime`: nobody has the locked state of `test/security` that lists 1.0"),
        "{error}"
    );
}

#[test]
fn one_image_is_blocked_and_its_siblings_are_not() {
    let mut project = Project::with(&with(&[tool("1.0", DECIDED), libtool("1.0")]));
    project.write("recipes/scripts.yaml", LEDGER);
    project.write(
        "recipes/other.yaml",
        "name: other\ntitle: Other\nfrom: runtime\npackages: [ tool ]\nconfig: { entrypoint: [ run ] }\n",
    );
    let image = project.text("base-images/app.yaml").replace("recipe: app", "recipe: other");
    let image = image.replace("repository: app", "repository: other").replace("version-of: app", "version-of: tool");
    project.write("base-images/other.yaml", &image);
    project.run(&["lock"]).good();
    project.publish(&with(&[
        tool("1.1", UNDECIDED),
        libtool("1.1"),
        Deb::new("app", "3.3").depends("runtime, runtime-data"),
    ]));
    let run = project.run(&["update", "--write"]);
    assert!(
        run.stdout.contains("~ app 3.2-1 -> 3.3") && run.stdout.contains("other: nothing new can be taken, BLOCKED"),
        "{}",
        run.stdout
    );
    assert!(run.fails(1).contains("cannot take all updates of 1 of 4 image(s): other"));
    assert_eq!(version(&project, "app", "app"), "3.3");
    // nothing else is new for the blocked one: its lock is as it was
    assert!(!project.text("base-images/other.lock.yaml").contains("kept-back"));
    // `lock` says it as well, and locks the rest
    let error = project.run(&["lock"]).fails(1);
    assert!(error.contains("postinst of tool has effects") && error.contains("other"), "{error}");
}

#[test]
fn without_a_choice_the_package_stays_and_the_rest_does_not() {
    let mut project =
        Project::with(&with(&[Deb::new("one", "1"), Deb::new("two", "1"), Deb::new("three", "1").depends("two")]));
    project.edit("recipes/app.yaml", "packages: [ app ]", "packages: [ app, one, three ]");
    project.run(&["lock"]).good();
    // two and three can only be taken together; one waits for something that is not there yet
    let two = Deb::new("two", "2").field("Breaks", "three (<< 2)");
    let news = [Deb::new("one", "2").depends("nowhere"), two, Deb::new("three", "2").depends("two (>= 2)")];
    project.publish(&with(&news));
    let run = project.run(&["update", "--write"]);
    assert!(
        run.stdout.contains("kept back: one stays at 1, 2 (test/security) is not taken: there is no choice"),
        "{}",
        run.stdout
    );
    assert!(run.fails(1).contains("hint: archives are often not complete"));
    assert_eq!(["one", "two", "three"].map(|name| version(&project, "app", name)), ["1", "2", "2"]);
    project.run(&["lock", "--check"]).good();
    project.publish(&with(&[news[1].clone(), news[2].clone(), Deb::new("one", "3")]));
    project.run(&["update", "--write"]).good();
    assert_eq!(version(&project, "app", "one"), "3");
    project.run(&["lock", "--check"]).good();
}

#[test]
fn a_broken_pocket_stays_in_its_state() {
    let mut project = Project::new();
    let pockets = "pockets: { security: { suite: noble-security, codename: noble }";
    project.edit(
        "recipes/base.yaml",
        pockets,
        &format!("{pockets}, updates: {{ suite: noble-updates, codename: noble }}"),
    );
    project.publish_suite("noble-updates", &[Deb::new("extra", "1")]);
    project.edit("recipes/app.yaml", "packages: [ app ]", "packages: [ app, extra ]");
    project.run(&["lock"]).good();
    project.publish(&with(&[library("2.1", 9)]));
    let path = format!("{ROOT}/dists/noble-updates/InRelease");
    let good = project.server.files()[&path].clone();
    project.server.put(&path, b"not signed");
    let run = project.run(&["update", "--write", "--metrics", "sockel.prom", "--format", "json"]);
    assert_eq!(run.code, Some(3), "{}\n{}", run.stdout, run.stderr);
    let broken = &json(&run.stdout)["images"][0]["broken-pockets"][0];
    assert_eq!((&broken["pocket"], &broken["state"]), (&"test/updates".into(), &"2025-06-01T03:40:00Z".into()));
    assert!(broken["cause"].as_str().expect("a text").starts_with("cannot open pocket `test/updates`"), "{broken}");
    assert_eq!(["libc", "extra"].map(|name| version(&project, "app", name)), ["2.1", "1"]);
    assert!(project.text("sockel.prom").contains("sockel_update_blocked{image=\"base\"} 1\n"));
    project.run(&["lock", "--check"]).good();
    let again = project.run(&["update"]);
    assert!(
        again.stdout.contains("not read: test/updates stays at its state of 2025-06-01T03:40:00Z: "),
        "{}",
        again.stdout
    );
    assert!(again.fails(3).contains("cannot take all updates of 3 of 3 image(s)"));
    // nothing is chosen by hand from half of the archives
    assert!(project.run(&["lock"]).fails(3).contains("cannot open pocket `test/updates`"));
    project.server.put(&path, &good);
    assert_eq!(project.run(&["update"]).good(), "nothing new: base, runtime, app\n");
}

#[test]
fn another_machine_needs_the_states_of_the_cache_repository() {
    let registry = Registry::start();
    let mut project = project();
    project.write("base-images/cache.pem", PRIVATE);
    project.write("base-images/cache.pub", PUBLIC);
    let file = format!(
        "target: {}/team\ncache: {{ repository: team/cache, verify: cache.pub, sign: cache.pem }}\n",
        registry.url()
    );
    project.write("base-images/registry.yaml", &file);
    project.run(&["publish"]).good();
    project.publish(&with(&[tool("1.1", UNDECIDED), libtool("1.1"), library("2.1", 9)]));
    let forget = |project: &Project| fs::remove_dir(&project.path("store")).expect("removed");
    let locks = ["base", "runtime", "app"].map(|image| format!("base-images/{image}.lock.yaml"));
    let before = locks.each_ref().map(|path| project.text(path));
    forget(&project);
    let run = project.run(&["update", "--publish"]);
    assert!(run.stdout.contains("runtime: changed, BLOCKED"), "{}\n{}", run.stdout, run.stderr);
    run.fails(1);
    assert_eq!(["libc", "tool"].map(|name| version(&project, "app", name)), ["2.1", "1.0"]);
    // and the lock that names both states is proven there as well
    forget(&project);
    project.run(&["lock", "--check"]).good();
    // without the repository nobody has the state: what can be updated is, and the rest is said to fail
    fs::remove(&project.path("base-images/registry.yaml")).expect("removed");
    locks.iter().zip(&before).for_each(|(path, text)| project.write(path, text));
    forget(&project);
    let run = project.run(&["update", "--write"]);
    assert!(run.stdout.contains("base: changed\n") && run.stdout.contains("runtime: FAILED"), "{}", run.stdout);
    assert!(run.fails(1).contains("postinst of tool has effects"));
}

#[test]
fn advisories_that_are_down_stop_no_patch() {
    let mut project = project();
    let advisories = "advisories: [ http://127.0.0.1:1/osv.zip ]\ninsecure: [ \"127.0.0.1:1\" ]\n";
    project.write("base-images/registry.yaml", advisories);
    project.publish(&with(&[tool("1.1", UNDECIDED), libtool("1.1"), library("2.1", 9)]));
    let run = project.run(&["update", "--write"]);
    // change logs say what they can
    assert!(run.stdout.contains("held back: tool: fixes CVE-2026-4003, CVE-2026-4099"), "{}", run.stdout);
    let error = run.fails(3);
    assert!(error.contains("cannot read advisories") && error.contains("cannot take all updates"), "{error}");
    assert_eq!(version(&project, "app", "libc"), "2.1");
    project.publish(&with(&[tool("1.1", DECIDED), libtool("1.1"), library("2.1", 9)]));
    let run = project.run(&["update", "--write"]);
    assert!(run.stdout.contains("tool: fixes CVE-2026-4003, CVE-2026-4099"), "{}", run.stdout);
    run.fails(3);
    assert_eq!(version(&project, "app", "tool"), "1.1");
}
