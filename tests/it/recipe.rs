//! Recipes: what comes out of a good project, and what people read about a bad one.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use sockel::fault::Explain;
use sockel::recipe::Error;
use sockel::recipe::ImageDefinition;
use sockel::recipe::RecipeProject;
use sockel::recipe::ScriptDecision;
use sockel::recipe::ScriptLedger;
use sockel::sys::fs;
use sockel::values::Digest;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const ROOT: &str = r#"name: ubuntu
title: Ubuntu base
parameters:
  ubuntu: { default: "26.04", allowed: ["24.04", 26.04], title: Ubuntu release }
  codename: { from: ubuntu, map: { "24.04": noble, "26.04": resolute } }
archives:
  ubuntu:
    uri: http://archive.ubuntu.com/ubuntu/
    uris: { arm64: http://ports.ubuntu.com/ubuntu-ports }
    keys: [ keys/ubuntu.asc ]
    fingerprints: [ f6ecb3762474eda9d21b7022871920d1991bc93c ]
    origin: Ubuntu
    label: Ubuntu
    components: [ main, universe ]
    pockets:
      release: { suite: "${codename}", codename: "${codename}", frozen: true }
      updates: { suite: "${codename}-updates", codename: "${codename}", max-age: 7d }
packages: [ base-files, libc6 ]
exclude:
  paths: { "/usr/share/man/**": documentation }
accounts:
  groups: { app: { gid: 10001 } }
  users: { app: { uid: 10001, group: app, home: /home/app } }
certificates: { bundle: true, extra: certificates }
generate: [ nsswitch, filesystem ]
config:
  user: "10001:10001"
  env: { LANG: C.UTF-8 }
"#;

const DEBIAN: &str = r#"name: debian
title: Debian base
parameters:
  debian: { default: 13, allowed: [13] }
archives:
  debian:
    uri: http://example.org/debian
    keys: [ keys/ubuntu.asc ]
    fingerprints: [ f6ecb3762474eda9d21b7022871920d1991bc93c ]
    origin: Debian
    label: Debian
    components: [ main ]
    pockets:
      release: { suite: "suite-${debian}", codename: trixie }
config: { user: "10001:10001" }
"#;

pub(crate) const JAVA: &str = r#"name: java
title: Java
from: [ ubuntu, debian ]
parameters:
  java: { default: 25, allowed: [17, 21, "25"] }
packages: [ "openjdk-${java}-jre-headless" ]
links: { "/usr/bin/java": "/usr/lib/jvm/java-${java}-openjdk-${arch}/bin/java" }
files:
  /etc/java-${java}.conf: { content: "home=$${HOME} ${triplet}\n", mode: 0600 }
  /etc/java.source: { source: java.conf }
config:
  env: { JAVA_HOME: "/usr/lib/jvm/java-${java}-openjdk-${arch}", VERSION: 1.10 }
"#;

const DEV: &str = "name: dev\ntitle: Tools\nfrom: any\npackages: [ apt ]\npackage-database: dpkg\n";

pub(crate) const BASE: &str = r#"recipe: java
with: { ubuntu: "26.04", java: 25 }
platforms: [ linux/arm64, linux/amd64 ]
publish: { repository: java, tags: [ "25", "{version}-{date}" ] }
version-of: openjdk-25-jre-headless
variants: [ dev ]
rebuild: { every: 24h, urgent-within: 6h }
purpose: Java applications
owner: { name: Platform, contact: platform@example.org }
"#;

pub(crate) fn project(changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir(path.parent().expect("a folder")).expect("made");
        fs::write_atomic(&path, text.as_bytes()).expect("written");
    };
    write("recipes/ubuntu.yaml", ROOT);
    write("recipes/debian.yaml", DEBIAN);
    write("recipes/java.yaml", JAVA);
    write("recipes/dev.yaml", DEV);
    write("recipes/java.conf", "x");
    write("recipes/keys/ubuntu.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    write("base-images/java-25.yaml", BASE);
    write("base-images/java-25.lock.yaml", "- not: looked at");
    let plain =
        BASE.replace("recipe: java", "recipe: ubuntu").replace(", java: 25", "").replace("variants: [ dev ]\n", "");
    write("base-images/a-base.yaml", &plain);
    let debian = BASE.replace("ubuntu: \"26.04\"", "debian: 13").replace("variants: [ dev ]\n", "");
    write("base-images/java-debian.yaml", &debian);
    for (path, text) in changes {
        write(path, text);
    }
    folder
}

fn all(folder: &Path) -> Result<Vec<ImageDefinition>, Error> {
    RecipeProject::open(folder)?.definitions(&[])
}

pub(crate) fn problems(folder: &Path) -> String {
    let project = RecipeProject::open(folder).expect("opens");
    project.check().iter().map(|problem| problem.render(100, false) + "\n").collect()
}

#[test]
fn a_good_project() {
    let folder = project(&[]);
    assert_eq!(problems(folder.path()), "");
    let found = RecipeProject::open(folder.path()).expect("opens");
    assert_eq!(found.images(), ["a-base", "java-25", "java-debian", "java-25-dev"]);
    let java = found.definition("java-25").expect("valid");
    assert_eq!(java.parent.as_deref(), Some("a-base"));
    assert_eq!(java.parameters["codename"], "resolute");
    assert_eq!(java.rebuild.urgent_within, Some(6 * 3600));
    let archive = &java.archives[0];
    assert_eq!((archive.uri.as_str(), archive.pockets[1].max_age), ("http://archive.ubuntu.com/ubuntu", Some(604_800)));
    assert_eq!(archive.fingerprints, ["F6ECB3762474EDA9D21B7022871920D1991BC93C"]);
    assert_eq!(archive.pockets[1].suite, "resolute-updates");
    for (platform, triplet) in java.platforms.iter().zip(["x86_64-linux-gnu", "aarch64-linux-gnu"]) {
        let [ubuntu, level] = java.levels_for(*platform) else { panic!("two levels") };
        assert_eq!(ubuntu.generate, ["filesystem", "nsswitch"]);
        assert_eq!(level.packages, ["openjdk-25-jre-headless"]);
        let arch = platform.architecture().debian();
        assert_eq!(level.links["/usr/bin/java"], format!("/usr/lib/jvm/java-25-openjdk-{arch}/bin/java"));
        let file = &level.files["/etc/java-25.conf"];
        assert_eq!(file.content, format!("home=${{HOME}} {triplet}\n").into_bytes());
        assert_eq!(file.attributes.mode, 0o600);
        assert_eq!(level.config.env["VERSION"], "1.10");
    }
    let inputs: Vec<&str> = java.inputs.keys().map(String::as_str).collect();
    let expected = [
        "base-images/java-25.yaml",
        "recipes/java.conf",
        "recipes/java.yaml",
        "recipes/keys/ubuntu.asc",
        "recipes/ubuntu.yaml",
    ];
    assert_eq!(inputs, expected);
    let dev = found.definition("java-25-dev").expect("valid");
    assert_eq!((dev.parent.as_deref(), dev.publish.tags[1].as_str()), (Some("java-25"), "{version}-{date}-dev"));
    let debian = found.definition("java-debian").expect("valid");
    assert_eq!((debian.archives[0].name.as_str(), debian.parent), ("debian", None));
    let unknown = found.definition("java-52").expect_err("unknown");
    assert_eq!(unknown.hints(), ["did you mean `java-25`?"]);
}

#[test]
fn order_of_keys_does_not_matter() {
    let mut before = all(project(&[]).path()).expect("valid");
    for seed in 0..20 {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let mut shuffled = |text: &str| {
            let mut blocks: Vec<String> = Vec::new();
            for line in text.lines() {
                match blocks.last_mut().filter(|_| line.starts_with(' ')) {
                    Some(block) => block.push_str(&format!("\n{line}")),
                    None => blocks.push(line.to_owned()),
                }
            }
            blocks.shuffle(&mut random);
            blocks.join("\n")
        };
        let texts = [shuffled(ROOT), shuffled(JAVA), shuffled(DEV), shuffled(BASE)];
        let names = ["recipes/ubuntu.yaml", "recipes/java.yaml", "recipes/dev.yaml", "base-images/java-25.yaml"];
        let changes: Vec<(&str, &str)> = names.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let mut after = all(project(&changes).path()).expect("valid");
        for (after, before) in after.iter_mut().zip(&mut before) {
            after.inputs.clone_from(&before.inputs);
            // where a request stands is for messages
            for level in after.levels.values_mut().chain(before.levels.values_mut()).flatten() {
                level.requests.iter_mut().for_each(|request| request.place.clear());
            }
        }
        assert_eq!(after, before, "seed {seed}");
    }
}

#[test]
fn all_problems_at_once() {
    let java = r#"name: jav
title: ""
from: ubunut
pakages: [ zip ]
parameters:
  java: { default: 26, allowed: [17, 25] }
packages: [ "openjdk-${jaav}-jre", Open!DK, zip, zip ]
exclude: { paths: [ /usr/share/doc ] }
links: { usr/bin/java: /x, /a/../b: /x }
directories: { /var/log: { mode: "4755", owner: root } }
files: { /etc/x: { source: ../secret }, /etc/y: { mode: "0644" } }
replaces: { /etc/x: "" }
accounts: { users: { app: { uid: 0, group: app } } }
generate: [ nswitch ]
config: { user: "0:0", ports: [ 8080 ], user: root }
layers:
"#;
    let base = BASE.replace("24h", "24x").replace("java: 25", "jova: 25").replace("linux/arm64", "linux/mips64el");
    let folder = project(&[("recipes/java.yaml", java), ("base-images/java-25.yaml", &base)]);
    insta::assert_snapshot!(problems(folder.path()), @r#"
    error: `linux/mips64el` is not a platform: linux/amd64, linux/arm64, linux/arm/v7, linux/386, linux/ppc64le, linux/riscv64 or linux/s390x
     --> base-images/java-25.yaml:3:14
      |
    3 | platforms: [ linux/mips64el, linux/amd64 ]
      |              ^^^^^^^^^^^^^^
    error: `24x` is not a duration such as `3d`, `12h`, `30m`
     --> base-images/java-25.yaml:7:19
      |
    7 | rebuild: { every: 24x, urgent-within: 6h }
      |                   ^^^
    error: the name `jav` is not the file's name
     --> recipes/java.yaml:1:7
      |
    1 | name: jav
      |       ^^^
      |
      = help: write `name: java`
    error: this must not be empty
     --> recipes/java.yaml:2:8
      |
    2 | title: ""
      |        ^^
    error: unknown recipe `ubunut`
     --> recipes/java.yaml:3:7
      |
    3 | from: ubunut
      |       ^^^^^^
      |
      = help: did you mean `ubuntu`?
    error: unknown key `pakages` in a recipe
     --> recipes/java.yaml:4:1
      |
    4 | pakages: [ zip ]
      | ^^^^^^^
      |
      = help: did you mean `packages`?
    warning: the parameter `java` is never used
     --> recipes/java.yaml:6:3
      |
    6 |   java: { default: 26, allowed: [17, 25] }
      |   ^^^^
      |
      = help: write `${java}` where it belongs
    error: `26` is not allowed here
     --> recipes/java.yaml:6:20
      |
    6 |   java: { default: 26, allowed: [17, 25] }
      |                    ^^
      |
      = help: did you mean `25`?
    error: unknown parameter `jaav`
     --> recipes/java.yaml:7:22
      |
    7 | packages: [ "openjdk-${jaav}-jre", Open!DK, zip, zip ]
      |                      ^^^^^^^
      |
      = help: did you mean `java`?
    error: `Open!DK` is not a package such as `tomcat10` or `tomcat10 (>= 10.1)`
     --> recipes/java.yaml:7:36
      |
    7 | packages: [ "openjdk-${jaav}-jre", Open!DK, zip, zip ]
      |                                    ^^^^^^^
    error: the value `zip` appears twice
     --> recipes/java.yaml:7:50
      |
    7 | packages: [ "openjdk-${jaav}-jre", Open!DK, zip, zip ]
      |                                                  ^^^
      |
      = help: first in line 7
    error: `paths` must be a map, not a list
     --> recipes/java.yaml:8:19
      |
    8 | exclude: { paths: [ /usr/share/doc ] }
      |                   ^^^^^^^^^^^^^^^^^^
      |
      = help: give every entry its reason: `entry: "reason"`
    error: `usr/bin/java` is not an absolute path without `.`, `..`, `//` and trailing `/`
     --> recipes/java.yaml:9:10
      |
    9 | links: { usr/bin/java: /x, /a/../b: /x }
      |          ^^^^^^^^^^^^
    error: `/a/../b` is not an absolute path without `.`, `..`, `//` and trailing `/`
     --> recipes/java.yaml:9:28
      |
    9 | links: { usr/bin/java: /x, /a/../b: /x }
      |                            ^^^^^^^
    error: `4755` is not octal permission bits such as "0644", without setuid and setgid
      --> recipes/java.yaml:10:34
       |
    10 | directories: { /var/log: { mode: "4755", owner: root } }
       |                                  ^^^^^^
       |
       = help: no setuid and setgid files in an image
    error: `root` is not numeric `uid:gid` such as "0:0"
      --> recipes/java.yaml:10:49
       |
    10 | directories: { /var/log: { mode: "4755", owner: root } }
       |                                                 ^^^^
    error: `../secret` is not a path below the recipe's folder, without `..`
      --> recipes/java.yaml:11:28
       |
    11 | files: { /etc/x: { source: ../secret }, /etc/y: { mode: "0644" } }
       |                            ^^^^^^^^^
    error: a file needs either `content` or `source`
      --> recipes/java.yaml:11:41
       |
    11 | files: { /etc/x: { source: ../secret }, /etc/y: { mode: "0644" } }
       |                                         ^^^^^^
    error: this must not be empty
      --> recipes/java.yaml:12:21
       |
    12 | replaces: { /etc/x: "" }
       |                     ^^
    error: `0` is root
      --> recipes/java.yaml:13:34
       |
    13 | accounts: { users: { app: { uid: 0, group: app } } }
       |                                  ^
       |
       = help: images never run as root
    error: unknown generator `nswitch`
      --> recipes/java.yaml:14:13
       |
    14 | generate: [ nswitch ]
       |             ^^^^^^^
       |
       = help: did you mean `nsswitch`?
    error: `0:0` is root
      --> recipes/java.yaml:15:17
       |
    15 | config: { user: "0:0", ports: [ 8080 ], user: root }
       |                 ^^^^^
       |
       = help: images never run as root
    error: `8080` is not a port such as `8080/tcp` (or udp, sctp)
      --> recipes/java.yaml:15:33
       |
    15 | config: { user: "0:0", ports: [ 8080 ], user: root }
       |                                 ^^^^
    error: the key `user` appears twice
      --> recipes/java.yaml:15:41
       |
    15 | config: { user: "0:0", ports: [ 8080 ], user: root }
       |                                         ^^^^
       |
       = help: first in line 15
    error: `root` is not numeric `uid:gid` such as "10001:10001", never root
      --> recipes/java.yaml:15:47
       |
    15 | config: { user: "0:0", ports: [ 8080 ], user: root }
       |                                               ^^^^
       |
       = help: numbers only: a cluster cannot check that a name is not root
    error: `layers` must be a number from 1 to 64, not nothing
      --> recipes/java.yaml:16:1
       |
    16 | layers:
       | ^^^^^^
    "#);
}

#[test]
fn one_problem_each() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "recipes/java.yaml",
            "from: [ ubuntu, debian ]",
            "from: java",
            "3:7: circular `from`: the recipe `java` leads back to itself through `java`",
        ),
        (
            "recipes/java.yaml",
            "source: java.conf",
            "source: jav.conf",
            "10:31: cannot read `recipes/jav.conf`: No such file or directory (os error 2)",
        ),
        ("recipes/java.yaml", "packages: [", "packages:\n\t- [", "7:2: "),
        ("recipes/java.yaml", "${arch}/bin", "${arhc}/bin", "7:62: unknown parameter `arhc`"),
        ("recipes/java.yaml", "$${HOME}", "${HOME}", "9:44: `${HOME}` is not a valid parameter reference"),
        (
            "recipes/java.yaml",
            "links: { \"/usr/bin/java\"",
            "links: { \"/etc/java.source\"",
            "7:10: `/etc/java.source` is in `files` and in `links`",
        ),
        ("recipes/ubuntu.yaml", "\"24.04\": noble, ", "", "5:34: `map` has no entry for the value `24.04` of `ubuntu`"),
        ("recipes/ubuntu.yaml", "group: app", "group: apps", "23:38: unknown group `apps`"),
        ("recipes/ubuntu.yaml", "/usr/share/man/**", "/usr/[", "20:12: `/usr/[` is not an absolute path pattern"),
        ("recipes/ubuntu.yaml", "user: \"10001:10001\"", "user: \"0:10001\"", "27:9: `0:10001` is root"),
        ("recipes/ubuntu.yaml", "  user: \"10001:10001\"\n", "", "1:9: no level of the image"),
        ("recipes/keys/ubuntu.asc", "PUBLIC", "PRIVATE", "10:13: `keys/ubuntu.asc` is not an armored"),
        ("recipes/dev.yaml", "from: any", "from: debian", "6:13: the recipe `dev` cannot be put on top of `java`"),
        ("base-images/java-25.yaml", "recipe: java", "recipe: dev", "1:9: the recipe `dev` is only for variants"),
        ("base-images/java-25.yaml", "java: 25", "java: 26", "2:32: `26` is not allowed here"),
        ("base-images/java-25.yaml", "ubuntu:", "codename:", "2:9: the parameter `codename` is derived from `ubuntu`"),
        (
            "base-images/java-25.yaml",
            "version-of: openjdk-25-jre-headless\n",
            "",
            "4:44: `{version}` needs the key `version-of`",
        ),
        ("base-images/java-25.yaml", "{date}", "{day}", "4:44: `{version}-{day}` is not a tag"),
    ];
    assert_each_is_reported(cases);
}

/// Asserts for each file, text in it, text in its place and expected problem that the problem is reported.
pub(crate) fn assert_each_is_reported(cases: &[(&str, &str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (path, from, to, expected) in cases {
        let good = project(&[]);
        let text = fs::read_text(&good.path().join(path), 1 << 20).expect("there");
        assert!(text.contains(from), "{path} has {from}");
        let folder = project(&[(path, &text.replace(from, to))]);
        let found = RecipeProject::open(folder.path()).expect("opens").check();
        let lines: Vec<String> =
            found.iter().map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message)).collect();
        if !lines.iter().any(|line| line.starts_with(expected)) {
            wrong.push(format!("{path} {to}: {expected} is not in {lines:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_chain_that_is_too_long_is_reported() {
    let folder = project(&[("base-images/java-25.yaml", &BASE.replace("recipe: java", "recipe: level-16"))]);
    for level in 1..=16 {
        let lower = if level == 1 { "ubuntu".to_owned() } else { format!("level-{}", level - 1) };
        let text = format!("name: level-{level}\ntitle: One more\nfrom: {lower}\n");
        let path = folder.path().join(format!("recipes/level-{level}.yaml"));
        fs::write_atomic(&path, text.as_bytes()).expect("written");
    }
    let found = RecipeProject::open(folder.path()).expect("opens").check();
    assert_eq!(found[0].message, "the recipe `level-16` has more than 16 levels", "{found:#?}");
}

#[test]
fn unused_parameters_are_warned_about() {
    let java = JAVA.replace("  java: {", "  idle: { default: 1 }\n  java: {");
    let folder = project(&[("recipes/java.yaml", &java)]);
    let found = RecipeProject::open(folder.path()).expect("opens");
    assert_eq!(found.warnings()[0].message, "the parameter `idle` is never used");
    assert!(found.definitions(&[]).is_ok());
}

#[test]
fn reads_the_ledger() {
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let entry = |digest: &str| {
        format!(
            "  - package: libc6\n    script: postinst\n    decision: reproduced\n    by: filesystem\n    reason: yes\n    sha256: [ {digest} ]\n"
        )
    };
    let good = format!("format: 1\nscripts:\n{}{}", entry(&one), entry(&two));
    let ledger = ScriptLedger::parse("recipes/scripts.yaml", &good).expect("valid");
    let found = ledger.entry(&Digest::from_hex(&two).expect("hex")).expect("there");
    assert_eq!(found.decision, ScriptDecision::Reproduced { by: "filesystem".to_owned() });
    assert_eq!(ledger.entries_for("libc6", "postinst").count(), 2);
    for (text, expected) in [
        (format!("format: 1\nscripts:\n{}{}", entry(&one), entry(&one)), "14:15: this digest is in the ledger already"),
        (good.replace("    by: filesystem\n", ""), "3:5: `reproduced` needs the key `by`"),
        (good.replace("reproduced", "not-needed"), "6:9: `by` is only allowed with"),
        (good.replace("by: filesystem", "by: filesystm"), "6:9: unknown generator or recipe key `filesystm`"),
    ] {
        let Err(Error::Invalid(found)) = ScriptLedger::parse("recipes/scripts.yaml", &text) else { panic!("{text}") };
        let line = format!("{}:{}: {}", found[0].line, found[0].column, found[0].message);
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn variants_have_parameters_of_their_own() {
    let dev =
        DEV.replace("packages: [ apt ]", "parameters: { tool: { allowed: [ git, make ] } }\npackages: [ \"${tool}\" ]");
    let base = BASE.replace("java: 25 }", "java: 25, tool: make }");
    let folder = project(&[("recipes/dev.yaml", &dev), ("base-images/java-25.yaml", &base)]);
    assert_eq!(problems(folder.path()), "");
    let found = RecipeProject::open(folder.path()).expect("opens");
    let dev = found.definition("java-25-dev").expect("valid");
    assert_eq!(dev.levels_for(dev.platforms[0])[2].packages, ["make"]);
    assert!(!found.definition("java-25").expect("valid").parameters.contains_key("tool"));
}

/// Returns the processor time of this thread: a busy machine makes no test fail. Source: proc(5), `schedstat`.
fn processor_time() -> Duration {
    let text = fs::read_text(Path::new("/proc/thread-self/schedstat"), 1 << 10).expect("Linux has it");
    Duration::from_nanos(text.split(' ').next().expect("a number").parse().expect("nanoseconds"))
}

#[test]
fn hostile_files_cost_little() {
    let half = 1 << 19;
    let texts = [
        format!("name: java\ntitle: \"{}\"\n", "${".repeat(half - 100)),
        format!("name: java\nconfig: {{ env: {{ A: \"{}\" }} }}\n", "${".repeat(half - 100)),
        format!("{{ {} }}", "a: 1, ".repeat(90_000)),
        format!("packages: [ {} ]", "A, ".repeat(150_000)),
        format!("a: {}", "[".repeat(half)),
        format!("a: {}", "{ a: ".repeat(half / 4)),
        "- ".repeat(half),
        "a".repeat(2 * half + 1),
        "?".repeat(half),
        "\n".repeat(half),
        format!("a: &a [x,x]\nb: &b [{}]\n", "*a, ".repeat(half / 4)),
    ];
    let start = processor_time();
    for text in &texts {
        let folder = project(&[("recipes/java.yaml", text), ("base-images/java-25.yaml", text)]);
        let found = RecipeProject::open(folder.path()).expect("opens").check();
        assert!((1..=500).contains(&found.len()), "{} problems in {:.20}", found.len(), text);
        assert!(found.iter().map(|problem| problem.render(80, false).len()).sum::<usize>() < 1 << 20);
    }
    let spent = processor_time() - start;
    assert!(spent < Duration::from_secs(60), "{spent:?}");
}

#[test]
fn is_fast() {
    let folder = project(&[]);
    let start = processor_time();
    for _ in 0..20 {
        let found = RecipeProject::open(folder.path()).expect("opens");
        found.definition("java-25-dev").expect("valid");
    }
    let once = (processor_time() - start) / 20;
    // 5 ms is the budget of an optimised build; this one is not.
    assert!(once.as_millis() < 50, "one definition takes {once:?}");
}

/// The project's own recipes, as far as they are there.
#[test]
fn own_recipes_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if fs::list(&folder.join("recipes")).expect("listed").is_empty() {
        return;
    }
    assert_eq!(problems(folder), "");
    RecipeProject::open(folder).expect("opens").ledger().expect("valid");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn damaged_recipes_never_panic(cut in 0..900_usize, junk in "[ \t\n${}\\[\\]:,a-z\"ä/]{0,12}", which in 0..3_usize) {
        let (path, text) = [("recipes/ubuntu.yaml", ROOT), ("recipes/java.yaml", JAVA), ("base-images/java-25.yaml", BASE)][which];
        let (head, tail) = text.split_at(cut.min(text.len()));
        let folder = project(&[(path, &format!("{head}{junk}{tail}"))]);
        problems(folder.path());
        let dropped = format!("{head}{junk}");
        let folder = project(&[(path, &dropped)]);
        problems(folder.path());
        let _ = ScriptLedger::parse("x", &dropped);
    }
}
