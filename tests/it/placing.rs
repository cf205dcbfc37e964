//! Where the files of packages and recipes end up, and whose they are: as dpkg and ldconfig do it, or a clear refusal.

use crate::support::deb::Deb;
use crate::support::elf::Elf;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::packages;
use sockel::sys::fs;
use std::os::unix::fs::PermissionsExt;

/// Makes a project with these packages in the base image, and more of its recipe.
fn project(extra: Vec<Deb>, more: &str) -> Project {
    let mut names = vec!["base-files".to_owned(), "libc".to_owned()];
    names.extend(extra.iter().map(|deb| deb.value("Package").to_owned()));
    let mut all = packages();
    all.extend(extra);
    let project = Project::with(&all);
    project.edit("recipes/base.yaml", "base-files, libc", &names.join(", "));
    project.write("recipes/base.yaml", &format!("{}{more}\n", project.text("recipes/base.yaml")));
    project
}

/// Returns all paths of the base image, a line each.
fn built(project: &Project) -> String {
    project.run(&["lock", "base"]).good();
    project.run(&["build", "base"]).good();
    Image::read(&project.path("out"), "base:1").text(0)
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
}

#[test]
fn owners_are_looked_up_by_name() {
    let shop = Deb::new("shop", "1")
        .dir("/var/lib/shop")
        .mode(0o750)
        .owned_by("app", "app")
        .file("/var/lib/shop/state", b"{}", 0o640)
        .owned_by("app", "root")
        .file("/etc/shop", b"x", 0o644)
        .owned_by("nobody-knows", "shadow");
    let project = project(vec![shop], "");
    project.edit("recipes/base.yaml", "config: { user", "config: { writable: { /var/lib/shop: state }, user");
    let text = built(&project);
    has(&text, "var/lib/shop/ 0750 10001:10001");
    has(&text, "var/lib/shop/state 0640 10001:0 2");
    has(&text, "etc/shop 0644 0:42 1");
}

#[test]
fn paths_below_links_of_others_follow_them() {
    let srv = Deb::new("srv", "7").file("/opt/srv/releases/7/core", b"x", 0o644).link("/opt/srv/current", "releases/7");
    let plug =
        Deb::new("plug", "1").depends("srv").dir("/opt/srv/current").file("/opt/srv/current/plugins/p", b"x", 0o644);
    let text = built(&project(vec![srv, plug], "files: { /opt/srv/current/own: { content: x } }"));
    has(&text, "opt/srv/releases/7/plugins/p 0644 0:0 1");
    has(&text, "opt/srv/releases/7/own 0644 0:0 1");
    has(&text, "opt/srv/current -> releases/7");
}

#[test]
fn diversions_are_said_by_the_recipe() {
    let debs = || {
        let tool = Deb::new("tool", "1").file("/usr/bin/tool", b"real!", 0o755);
        vec![tool, Deb::new("a-wrapper", "1").depends("tool").file("/usr/bin/tool", b"wrap", 0o755)]
    };
    for more in ["", "replaces: { /usr/bin/tool: the alphabet must not choose }"] {
        let project = project(debs(), more);
        project.run(&["lock", "base"]).good();
        let said = project.run(&["build", "base"]).fails(1);
        assert!(said.contains("both bring it, and neither replaces the other") && said.contains("`divert`"), "{said}");
    }
    let text = built(&project(debs(), "divert: { /usr/bin/tool: { to: /usr/bin/tool.real, by: a-wrapper } }"));
    has(&text, "usr/bin/tool 0755 0:0 4");
    has(&text, "usr/bin/tool.real 0755 0:0 5");
}

#[test]
fn replaces_counts_with_its_version_and_direction() {
    let pair = |replaces: &str, other: &str| {
        let new = Deb::new("a-new", "2").field("Replaces", replaces).file("/usr/share/x", b"new", 0o644);
        vec![new, Deb::new("old", "1").field("Replaces", other).file("/usr/share/x", b"older", 0o644)]
    };
    let table = [
        ("old", "none", Some(3)),
        ("old (<< 2)", "none", Some(3)),
        ("old (<< 1)", "none", None),
        ("none", "a-new", Some(5)),
        ("none", "a-new (<< 2)", None),
        ("old", "a-new", None),
    ];
    for (new, old, size) in table {
        let project = project(pair(new, old), "");
        match size {
            Some(size) => has(&built(&project), &format!("usr/share/x 0644 0:0 {size}")),
            None => {
                project.run(&["lock", "base"]).good();
                let said = project.run(&["build", "base"]).fails(1);
                assert!(said.contains("neither replaces the other"), "{new} {old}: {said}");
            }
        }
    }
}

#[test]
fn the_next_name_takes_the_place_of_an_excluded_file() {
    let deb = Deb::new("links", "1")
        .file("/usr/share/a/x", b"bytes", 0o640)
        .hardlink("/usr/share/b/x", "/usr/share/a/x")
        .hardlink("/usr/share/c/x", "/usr/share/a/x");
    let project = project(vec![deb], "");
    project.edit("recipes/base.yaml", "paths: {", "paths: { \"/usr/share/a/**\": not wanted,");
    let text = built(&project);
    has(&text, "usr/share/b/x 0640 0:0 5");
    assert!(text.lines().any(|line| line.starts_with("usr/share/c/x") && line.contains("usr/share/b/x")), "{text}");
}

#[test]
fn libraries_get_the_links_and_the_cache_that_ldconfig_makes() {
    let deb = Deb::new("vendor", "1")
        .file("/opt/vendor/lib/libvendor.so.3.1.4", &Elf::library("libvendor.so.3").build(), 0o644)
        .file("/opt/vendor/lib/libvendor.so.3.1.10", &Elf::library("libvendor.so.3").build(), 0o644)
        .file("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n", 0o644)
        .file("/etc/ld.so.conf.d/vendor.conf", b"/opt/vendor/lib\n", 0o644)
        .link("/lib64", "usr/lib64")
        .file("/usr/lib64/ld-linux-x86-64.so.2", &Elf::library("ld-linux-x86-64.so.2").build(), 0o755)
        .file("/usr/bin/vtool", &Elf::program(&["libvendor.so.3"]).build(), 0o755);
    let text = built(&project(vec![deb], ""));
    has(&text, "opt/vendor/lib/libvendor.so.3 -> libvendor.so.3.1.10");
    assert!(text.lines().any(|line| line.starts_with("etc/ld.so.cache 0644 0:0 ")), "{text}");
}

#[test]
fn recipe_files_keep_the_executable_bit_and_show_their_changes() {
    let project = project(Vec::new(), "files: { /usr/bin/run: { source: run }, /srv/page: { content: hello } }");
    project.write("recipes/run", "x");
    std::fs::set_permissions(project.path("recipes/run"), PermissionsExt::from_mode(0o755)).expect("set");
    let text = built(&project);
    has(&text, "usr/bin/run 0755 0:0 1");

    let changed = |project: &Project| {
        let shown = project.run(&["show", "base", "--path", "/srv/page", "--format", "json"]).good();
        serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")["path"]["mtime"].as_i64().expect("a time")
    };
    let before = changed(&project);
    project.edit("recipes/base.yaml", "hello", "HELLO");
    built(&project);
    assert_ne!(changed(&project), before);
    project.edit("recipes/base.yaml", "HELLO", "hello");
    built(&project);
    assert_eq!(changed(&project), before, "the same content has the same time");
}

#[test]
fn copyright_links_stay() {
    let deb = Deb::new("libx", "1").link("/usr/share/doc/libx", "base-files").file("/usr/lib/libx/x", b"x", 0o644);
    has(&built(&project(vec![deb], "")), "usr/share/doc/libx -> base-files");
}

#[test]
fn nothing_is_asked_for_in_vain() {
    let project = Project::new();
    project.run(&["lock"]).good();
    let table: [(&[&str], &str); 4] = [
        (
            &["build", "base", "--platform", "linux/arm64"],
            "cannot build `base` for linux/arm64: it has no such platform",
        ),
        (&["build", "--platform", "linux/arm64"], "it has no such platform"),
        (&["build", "--mirror", "tset=http://127.0.0.1:1/x"], "cannot use a mirror of archive `tset`"),
        (&["lock", "--dry-run", "--pockets", "foo"], "cannot choose packages from pocket `foo`"),
    ];
    for (arguments, expected) in table {
        let said = project.run(arguments).fails(1);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!project.path("out").exists());

    // a line without effect is a warning with its place
    project.edit(
        "recipes/runtime.yaml",
        "packages: [ runtime ]",
        "packages: [ runtime ]\nexclude: { packages: { nobody: x } }",
    );
    let built = project.run(&["build"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let said = built.stdout + &built.stderr;
    assert!(said.contains("exclude.packages: nobody") && said.contains("recipes/runtime.yaml:6"), "{said}");

    let files = [
        ("base-images/web.yml", "its name must end in `.yaml`"),
        ("base-images/sub/web.yaml", "base images are directly in `base-images`"),
        ("recipes/web.YAML", "its name must end in `.yaml`"),
    ];
    for (path, expected) in files {
        project.write(path, "x: y\n");
        let said = project.run(&["build"]).fails(1);
        assert!(said.contains(expected) && said.contains(path), "{said}");
        fs::remove(&project.path(path)).expect("removed");
    }

    for image in ["app", "base", "runtime"] {
        fs::remove(&project.path(&format!("base-images/{image}.yaml"))).expect("removed");
    }
    for arguments in [&["build"][..], &["lock", "--check"], &["lock"]] {
        let said = project.run(arguments).fails(1);
        assert!(said.contains("cannot find any image"), "{arguments:?}: {said}");
    }
}

#[test]
fn certificates_with_other_endings_are_named() {
    let project = project(Vec::new(), "certificates: { bundle: true, extra: certificates }");
    project.write("recipes/certificates/README.md", "about\n");
    for name in ["root.cer", "root.pem.txt", "sub/root.pem"] {
        project.write(&format!("recipes/certificates/{name}"), "x");
        let said = project.run(&["lock", "base"]).fails(1);
        let shown = name.split('/').next().expect("a name");
        assert!(said.contains(&format!("recipes/certificates/{shown}` is not used")), "{said}");
        fs::remove_any(&project.path(&format!("recipes/certificates/{shown}"))).expect("removed");
    }
}

/// An acceptance that has run out counts in a build that has nothing else to do.
#[test]
fn findings_stop_images_and_are_judged_again() {
    let open = Deb::new("open", "1").file("/etc/open", b"x", 0o666);
    let project = project(vec![open], "");
    project.run(&["lock", "base"]).good();
    let said = project.run(&["build", "base"]).fails(1);
    assert!(said.contains("world-writable: `/etc/open` (package open)") && said.contains("docs/checks.md"), "{said}");
    assert!(!project.path("out").exists());

    let accept = "accept: [ { finding: world-writable, path: /etc/open, reason: a test, agreed-by: me, expires: 2199-12-31 } ]\n";
    project.write("recipes/base.yaml", &format!("{}{accept}", project.text("recipes/base.yaml")));
    project.run(&["build", "base", "--locked"]).good();
    let shown = project.run(&["show", "base", "--findings"]).good();
    assert!(shown.contains("accepted until 2199-12-31T") || shown.contains("accepted until 2200-01-01T"), "{shown}");

    project.edit("recipes/base.yaml", "2199-12-31", "2020-12-31");
    let said = project.run(&["build", "base", "--locked"]).fails(1);
    assert!(said.contains("world-writable: `/etc/open`"), "{said}");
    project.edit("recipes/base.yaml", "2020-12-31", "2199-12-31");
    let answer = project.run(&["build", "base", "--locked", "--format", "json"]).good();
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["images"][0]["new"], false);
    assert_eq!(answer["findings"][0]["accepted"][0]["acceptance"]["agreed-by"], "me");
}
