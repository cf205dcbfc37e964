//! Links in a project: what they lead to is never read, shown, built or written.

use crate::support::project::Answer;
use crate::support::project::Project;
use crate::support::project::files;
use sockel::sys::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

const SECRET: &str = "machine h login u password TOPSECRET\n";

/// A folder outside the project, with a secret.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        let outside = Self(tempfile::tempdir().expect("made"));
        fs::write_atomic(&outside.secret(), SECRET.as_bytes()).expect("written");
        outside
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn secret(&self) -> PathBuf {
        self.folder().join("secret")
    }
}

/// Puts a link where a file may have been.
fn link(project: &Project, path: &str, target: &Path) {
    fs::create_dir(project.path(path).parent().expect("in the project")).expect("made");
    fs::remove_any(&project.path(path)).expect("removed");
    symlink(target, project.path(path)).expect("linked");
}

#[track_caller]
fn refused(what: &str, answer: Answer) {
    let said = format!("{}{}", answer.stdout, answer.stderr);
    let error = answer.fails(1);
    assert!(error.contains("is a symbolic link"), "{what}: {error}");
    assert!(!said.contains("TOPSECRET"), "{what}: {said}");
}

#[test]
fn recipe_files_are_their_own() {
    let outside = Outside::new();
    let own = outside.folder().join("folder");
    fs::create_dir(&own).expect("made");
    fs::write_atomic(&own.join("x.conf"), SECRET.as_bytes()).expect("written");
    let inside = PathBuf::from("../base-images/app.yaml");
    let links = [
        ("x.conf", "x.conf", outside.secret()),
        ("x.conf", "x.conf", "/proc/self/environ".into()),
        ("x.conf", "x.conf", inside),
        ("x.conf", "x.conf", "nowhere".into()),
        ("sub/x.conf", "sub", own.clone()),
        ("a/b/x.conf", "a/b", own),
    ];
    for (source, path, target) in links {
        let project = Project::new();
        project.edit("recipes/app.yaml", "{ content: \"port=8080\\n\" }", &format!("{{ source: {source} }}"));
        link(&project, &format!("recipes/{path}"), &target);
        refused(&format!("{path} -> {}", target.display()), project.run(&["lock"]));
    }
}

#[test]
fn a_file_that_becomes_a_link_after_the_lock_is_refused() {
    let (project, outside) = (Project::new(), Outside::new());
    project.edit("recipes/app.yaml", "{ content: \"port=8080\\n\" }", "{ source: x.conf }");
    project.write("recipes/x.conf", SECRET);
    project.run(&["lock"]).good();
    // the content is the same, so that its digest does not tell
    link(&project, "recipes/x.conf", &outside.secret());
    for command in [&["build", "--locked"][..], &["lock", "--check"], &["update", "--publish", "--to", "oci:rel"]] {
        refused(&command.join(" "), project.run(command));
    }
    assert!(!project.path("rel").exists());
}

#[test]
fn what_is_no_file_is_not_read() {
    let project = Project::new();
    project.edit("recipes/app.yaml", "{ content: \"port=8080\\n\" }", "{ source: x.conf }");
    let _socket = std::os::unix::net::UnixListener::bind(project.path("recipes/x.conf")).expect("bound");
    let error = project.run(&["lock"]).fails(1);
    assert!(error.contains("`recipes/x.conf` is a socket, not a regular file"), "{error}");
}

/// YAML files, locks, keys, certificates, the ledger, the registry file: as a link, and below a folder that is one.
#[test]
fn every_file_of_a_project_is_its_own() {
    let outside = Outside::new();
    for path in [
        "recipes/leak.yaml",
        "base-images/leak.yaml",
        "base-images/base.yaml",
        "recipes/scripts.yaml",
        "recipes/keys/archive.asc",
        "base-images/registry.yaml",
        "base-images/base.lock.yaml",
        "recipes/keys",
        "recipes",
        "base-images",
    ] {
        let project = Project::new();
        if path == "base-images/base.lock.yaml" {
            project.run(&["lock"]).good();
        }
        let is_folder = project.path(path).is_dir();
        link(&project, path, &if is_folder { outside.folder().to_owned() } else { outside.secret() });
        let command: &[&str] = if path.ends_with("lock.yaml") { &["build", "--locked"] } else { &["lock"] };
        refused(path, project.run(command));
    }
    let project = Project::new();
    project.edit(
        "recipes/base.yaml",
        "packages: [ base-files",
        "certificates: { extra: trust }\npackages: [ base-files",
    );
    link(&project, "recipes/trust/a.pem", &outside.secret());
    refused("a certificate", project.run(&["lock"]));
    link(&project, "recipes/trust", outside.folder());
    refused("a folder of certificates", project.run(&["lock"]));
}

#[test]
fn what_the_registry_file_names_below_the_project_is_of_the_project() {
    let outside = Outside::new();
    let keys = [
        ("credentials: here", "base-images/here"),
        ("release-credentials: sub/here", "base-images/sub"),
        ("ca-file: ../certificates/here", "certificates"),
        ("client-certificate: ./here", "base-images/here"),
        ("advisories: [ https://osv.example/all.zip, here ]", "base-images/here"),
        ("cache: { repository: x, verify: here }", "base-images/here"),
        ("cache: { repository: x, sign: here }", "base-images/here"),
        ("announce: [ { url: \"https://h.example/\", secret: here } ]", "base-images/here"),
        ("setup: { robots: here }", "base-images/here"),
    ];
    let project = Project::new();
    for (text, path) in keys {
        project.write("base-images/registry.yaml", &format!("{text}\n"));
        let is_folder = !path.ends_with("here") || text.contains("robots");
        link(&project, path, &if is_folder { outside.folder().to_owned() } else { outside.secret() });
        refused(text, project.run(&["lock"]));
        fs::remove_any(&project.path(path)).expect("removed");
    }
    // the operator's files are where they are, through links as Kubernetes mounts them
    link(&project, "elsewhere", &outside.secret());
    let absolute = format!("credentials: {}\n", project.path("elsewhere").display());
    project.write("base-images/registry.yaml", &absolute);
    project.run(&["lock"]).good();
}

#[test]
fn nothing_is_written_outside_through_a_layout() {
    for path in ["out", "out/blobs", "out/blobs/sha256", "out/index.json", "out/oci-layout"] {
        let (project, outside) = (Project::new(), tempfile::tempdir().expect("made"));
        let is_file = path.contains("-layout") || path.contains("json");
        link(&project, path, &outside.path().join(if is_file { "file" } else { "" }));
        let error = project.run(&["build"]).fails(1);
        assert!(error.contains("symbolic link"), "{path}: {error}");
        assert_eq!(files(outside.path()), [""; 0], "{path}");
    }
    // the operator may name a link, but a layout has none
    let (project, outside) = (Project::new(), tempfile::tempdir().expect("made"));
    link(&project, "out", outside.path());
    project.run(&["build", "-o", "oci:out"]).good();
    assert!(outside.path().join("index.json").exists());
    project.write("base-images/registry.yaml", "target: oci:out\n");
    refused("the target of the registry file", project.run(&["publish"]));
    project.run(&["publish", "--to", "oci:out"]).good();
}
