//! `publish --write-back` in real Git checkouts: one commit or none, nobody's work lost.

use crate::support::project::Answer;
use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use serde_json::Value;
use sockel::announce::writeback::DigestChange;
use sockel::announce::writeback::Error;
use sockel::announce::writeback::WriteBackImage;
use sockel::announce::writeback::WriteBackOptions;
use sockel::announce::writeback::WriteBackResult;
use sockel::announce::writeback::write_back;
use sockel::sys::fs;
use sockel::values::Digest;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

const AUTHOR: &str = "Image Robot <robot@example.org>";

/// Runs Git without anybody's own configuration.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]).args(arguments).current_dir(folder);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    answer(&mut command).good()
}

/// A checkout with committed files.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new(files: &[(&str, &str)]) -> Self {
        let checkout = Self(tempfile::tempdir().expect("made"));
        git(checkout.folder(), &["init", "--quiet", "-b", "main"]);
        for (path, text) in files {
            checkout.write(path, text);
        }
        git(checkout.folder(), &["add", "."]);
        git(checkout.folder(), &["commit", "--quiet", "--allow-empty", "-m", "first"]);
        checkout
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir(self.path(path).parent().expect("in the checkout")).expect("made");
        fs::write_atomic(&self.path(path), text.as_bytes()).expect("written");
    }

    fn text(&self, path: &str) -> String {
        fs::read_text(&self.path(path), 1 << 20).expect("read")
    }

    fn commits(&self) -> usize {
        git(self.folder(), &["rev-list", "--count", "HEAD"]).trim().parse().expect("a number")
    }

    fn status(&self) -> String {
        git(self.folder(), &["status", "--porcelain"])
    }

    fn write_back(&self, images: &[WriteBackImage]) -> Result<WriteBackResult, Error> {
        write_back(self.folder(), images, &WriteBackOptions { author: Some(AUTHOR), push: false, dry_run: false })
    }
}

fn image(content: &str) -> WriteBackImage {
    WriteBackImage {
        image: "java-25".to_owned(),
        repository: "r.example/base/java".to_owned(),
        tags: vec!["25".to_owned()],
        digest: Digest::of(content.as_bytes()),
    }
}

const FILES: [(&str, &str); 4] = [
    ("apps/a/kustomization.yaml", "images:\n- name: r.example/base/java\n  newTag: \"25\"\n"),
    ("apps/b/values.yml", "image: r.example/base/java:25 # keep\n"),
    ("apps/c/pinned.yaml", "image: r.example/base/java:21\n"),
    ("chart/templates/x.yaml", "{{- if .Values.x }}\nimage: r.example/base/java:25\n{{- end }}\n"),
];

/// Gives a file another name, with all of its rights.
fn linked(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::remove(to).expect("removed");
    std::fs::hard_link(from, to)
}

#[test]
fn references_are_changed_in_one_commit() {
    let checkout = Checkout::new(&FILES);
    let done = checkout.write_back(&[image("1")]).expect("written");
    let commit = git(checkout.folder(), &["rev-parse", "HEAD"]);
    assert_eq!((done.commit.as_deref(), checkout.commits()), (Some(commit.trim()), 2));
    let digest = image("1").digest;
    assert_eq!(checkout.text("apps/b/values.yml"), format!("image: r.example/base/java:25@{digest} # keep\n"));
    assert!(checkout.text("apps/a/kustomization.yaml").ends_with(&format!("\"25\"\n  digest: {digest}\n")));
    assert_eq!(checkout.status(), "");
    let reasons: Vec<(&str, usize)> = done.left.iter().map(|note| (&*note.file, note.line)).collect();
    assert_eq!(reasons, [("apps/c/pinned.yaml", 1), ("chart/templates/x.yaml", 0)]);
    let log = git(checkout.folder(), &["log", "-1", "--format=%an <%ae> %cn <%ce>%n%B"]);
    let wanted = [
        AUTHOR,
        "update java-25 to ",
        "r.example/base/java:25\n  no digest\n  -> sha256:",
        "in apps/a/kustomization.yaml",
    ];
    assert!(wanted.iter().all(|text| log.contains(text)), "{log}");
    // again: nothing
    let again = checkout.write_back(&[image("1")]).expect("nothing to do");
    assert_eq!((again.changes.len(), again.commit, checkout.commits()), (0, None, 2));
    // a new image
    let third = checkout.write_back(&[image("2")]).expect("written");
    assert_eq!((third.changes.len(), third.changes[0].old, checkout.commits()), (2, Some(digest), 3));
    // below a folder only that folder counts
    let options = WriteBackOptions { author: Some(AUTHOR), push: false, dry_run: false };
    let part = write_back(&checkout.path("apps/b"), &[image("3")], &options).expect("written");
    let files: Vec<&str> = part.changes.iter().map(|DigestChange { file, .. }| &**file).collect();
    assert_eq!(files, ["values.yml"]);
}

#[test]
fn nobodys_work_is_lost() {
    let checkout = Checkout::new(&FILES);
    let own = "image: r.example/base/java:25 # mine\n";
    checkout.write("apps/b/values.yml", own);
    checkout.write("apps/c/pinned.yaml", "image: r.example/base/java:21\nmore: 1\n");
    checkout.write("new.yaml", "image: r.example/base/java:25\n");
    let error = checkout.write_back(&[image("1")]).expect_err("somebody is at work");
    assert!(matches!(&error, Error::Dirty { files, .. } if *files == ["apps/b/values.yml"]), "{error}");
    assert_eq!((checkout.text("apps/b/values.yml").as_str(), checkout.commits()), (own, 1));
    assert_eq!(checkout.text("apps/a/kustomization.yaml"), FILES[0].1);
    // work at other files, also prepared, stays what it is
    git(checkout.folder(), &["checkout", "--quiet", "apps/b/values.yml"]);
    git(checkout.folder(), &["add", "apps/c/pinned.yaml"]);
    checkout.write_back(&[image("1")]).expect("written");
    assert_eq!(checkout.status(), "M  apps/c/pinned.yaml\n?? new.yaml\n");
    assert_eq!(checkout.text("new.yaml"), "image: r.example/base/java:25\n");
}

#[test]
fn a_killed_run_is_completed() {
    let checkout = Checkout::new(&FILES);
    let digest = image("1").digest;
    // it had written one of two files
    checkout.write("apps/b/values.yml", &format!("image: r.example/base/java:25@{digest} # keep\n"));
    let done = checkout.write_back(&[image("1")]).expect("completed");
    assert_eq!((done.changes.len(), checkout.commits(), checkout.status()), (2, 2, String::new()));
}

#[test]
fn a_refused_commit_changes_nothing() {
    let checkout = Checkout::new(&FILES);
    // as another Git at work leaves it
    checkout.write(".git/index.lock", "");
    let error = checkout.write_back(&[image("1")]).expect_err("Git is at work").to_string();
    assert!(error.contains("cannot commit") && error.contains("index.lock"), "{error}");
    fs::remove(&checkout.path(".git/index.lock")).expect("removed");
    assert_eq!((checkout.status().as_str(), checkout.text("apps/b/values.yml").as_str()), ("", FILES[1].1));
    let none = tempfile::tempdir().expect("made");
    let options = WriteBackOptions { author: Some(AUTHOR), push: false, dry_run: false };
    let error = write_back(none.path(), &[image("1")], &options).expect_err("no checkout");
    assert!(matches!(error, Error::NoCheckout { .. }), "{error}");
}

fn publish(project: &Project, more: &[&str]) -> Answer {
    run(project, &[&["publish", "app"], more].concat())
}

fn run(project: &Project, arguments: &[&str]) -> Answer {
    let mut command = project.command(arguments);
    // nobody's own configuration counts
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", project.path("."));
    answer(&mut command)
}

#[test]
fn publishing_tells_a_checkout_and_its_remote() {
    let (project, registry) = (Project::new(), Registry::start());
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let name = format!("{}/team/app", registry.address());
    let text = format!("images:\n  - name: app\n    newName: {name}\n    newTag: \"1\"\n");
    let checkout = Checkout::new(&[("kustomization.yaml", &text)]);
    let remote = tempfile::tempdir().expect("made");
    git(remote.path(), &["init", "--quiet", "--bare", "-b", "main"]);
    let remote_path = remote.path().to_str().expect("UTF-8");
    git(checkout.folder(), &["remote", "add", "origin", remote_path]);
    git(checkout.folder(), &["push", "--quiet", "-u", "origin", "main"]);
    let target = format!("{}/team", registry.url());
    let folder = checkout.folder().to_str().expect("UTF-8");
    let back = ["--to", &target, "--write-back", folder];
    let with = |more: &[&'static str]| [&back[..], more].concat();
    let dry = publish(&project, &with(&["--dry-run"])).good();
    assert!(dry.contains("kustomization.yaml:4: ") && checkout.text("kustomization.yaml") == text, "{dry}");
    let error = publish(&project, &back).fails(1);
    assert!(error.contains("--write-back-author"), "{error}");
    assert_eq!(checkout.text("kustomization.yaml"), text);
    let more = ["--write-back-author", AUTHOR, "--write-back-push", "--format", "json"];
    let answer: Value = serde_json::from_str(&publish(&project, &with(&more)).good()).expect("JSON");
    let digest = &registry.tags("team/app")["1"];
    assert_eq!(
        (&answer["images"][0]["state"], &answer["write-back"]["done"]["pushed"]),
        (&"up-to-date".into(), &true.into())
    );
    assert_eq!(checkout.text("kustomization.yaml"), format!("{text}    digest: {digest}\n"));
    let there = git(remote.path(), &["show", "main:kustomization.yaml"]);
    assert_eq!(there, checkout.text("kustomization.yaml"));
    // a remote that moved on is said, and what was published stays
    let other = tempfile::tempdir().expect("made");
    git(other.path(), &["clone", "--quiet", remote_path, "."]);
    git(other.path(), &["commit", "--quiet", "--allow-empty", "-m", "other"]);
    git(other.path(), &["push", "--quiet"]);
    git(checkout.folder(), &["commit", "--quiet", "--allow-empty", "-m", "own"]);
    let error = publish(&project, &with(&more)).fails(3);
    assert!(error.contains("cannot push"), "{error}");
    let wrong = publish(&project, &["--to", "oci:x", "--write-back", folder]).fails(2);
    assert!(wrong.contains("nothing pulls from it"), "{wrong}");
}

#[test]
fn an_update_tells_the_checkout_what_it_published() {
    let (mut project, registry) = (Project::new(), Registry::start());
    let name = format!("{}/team/base", registry.address());
    let checkout = Checkout::new(&[("values.yaml", &format!("image: {{ repository: {name}, tag: \"1\" }}\n"))]);
    let (target, folder) = (format!("{}/team", registry.url()), checkout.folder().to_str().expect("UTF-8"));
    let update = ["update", "--publish", "--to", &target, "--write-back", folder, "--write-back-author", AUTHOR];
    run(&project, &update).good();
    let first = registry.tags("team/base")["1"].clone();
    assert!(
        checkout.text("values.yaml").contains(&format!(", digest: {first} }}")),
        "{}",
        checkout.text("values.yaml")
    );
    // nothing new: no commit
    run(&project, &update).good();
    assert_eq!(checkout.commits(), 2);
    let mut patched = packages();
    patched.retain(|deb| deb.value("Package") != "libc");
    patched.push(library("2.1", 9));
    project.publish(&patched);
    run(&project, &update).good();
    let second = registry.tags("team/base")["1"].clone();
    assert!(first != second && checkout.text("values.yaml").contains(&second) && checkout.commits() == 3);
    let nothing = run(&project, &["update", "--write-back", folder]).fails(2);
    assert!(nothing.contains("nothing is published"), "{nothing}");
}

/// A script that leaves a trace, and its path.
fn trap(folder: &Path) -> (PathBuf, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let (script, trace) = (folder.join("trap"), folder.join("trace"));
    fs::write_atomic(&script, format!("#!/bin/sh\nenv >>'{}'\nexit 1\n", trace.display()).as_bytes()).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    (script, trace)
}

/// Writes back with everything that a hostile checkout may bring, and returns the error.
fn write_back_with_push(checkout: &Checkout) -> Result<WriteBackResult, Error> {
    // differs from what Git noted, so that contents are compared
    checkout.write("apps/c/pinned.yaml", "image: r.example/base/java:22\n");
    let options = WriteBackOptions { author: Some(AUTHOR), push: true, dry_run: false };
    write_back(checkout.folder(), &[image("1")], &options)
}

/// Returns a checkout with a remote beside it.
fn with_remote(files: &[(&str, &str)]) -> (Checkout, tempfile::TempDir) {
    let (checkout, remote) = (Checkout::new(files), tempfile::tempdir().expect("made"));
    git(remote.path(), &["init", "--quiet", "--bare", "-b", "main"]);
    git(checkout.folder(), &["remote", "add", "origin", remote.path().to_str().expect("UTF-8")]);
    git(checkout.folder(), &["push", "--quiet", "-u", "origin", "main"]);
    (checkout, remote)
}

/// What its settings name is not run: either they are switched off, or the checkout is refused.
#[test]
fn settings_of_a_checkout_run_nothing() {
    let outside = tempfile::tempdir().expect("made");
    let (script, trace) = trap(outside.path());
    let script = script.to_str().expect("UTF-8");
    let (off, refused) = (true, false);
    let settings: [(&[(&str, &str)], bool); 17] = [
        (&[("core.fsmonitor", "TRAP")], off),
        (&[("core.hooksPath", "HOOKS")], off),
        (&[("gpg.program", "TRAP"), ("commit.gpgSign", "true")], off),
        (
            &[("gpg.format", "ssh"), ("gpg.ssh.program", "TRAP"), ("commit.gpgSign", "true"), ("user.signingKey", "x")],
            off,
        ),
        (&[("diff.external", "TRAP")], off),
        (&[("diff.x.textconv", "TRAP"), ("diff.x.command", "TRAP")], off),
        (&[("core.editor", "TRAP"), ("core.pager", "TRAP"), ("commit.verbose", "true")], off),
        (&[("gc.auto", "1"), ("gc.recentObjectsHook", "TRAP"), ("maintenance.auto", "true")], off),
        (&[("push.gpgSign", "if-asked"), ("gpg.program", "TRAP")], off),
        (&[("filter.x.clean", "TRAP")], refused),
        (&[("filter.x.process", "TRAP")], refused),
        (&[("credential.helper", "!TRAP")], refused),
        (&[("credential.https://h.example.helper", "!TRAP")], refused),
        (&[("core.sshCommand", "TRAP")], refused),
        (&[("remote.origin.receivepack", "TRAP")], refused),
        (&[("hook.x.command", "TRAP"), ("hook.x.event", "pre-commit")], refused),
        (&[("include.path", "INCLUDED")], refused),
    ];
    for (settings, is_off) in settings {
        let (checkout, _remote) =
            with_remote(&[&FILES[..], &[(".gitattributes", "*.yaml filter=x diff=x\n")]].concat());
        let hooks = outside.path().join("hooks");
        fs::create_dir(&hooks).expect("made");
        for name in ["pre-commit", "post-commit", "pre-push", "reference-transaction", "post-index-change"] {
            linked(Path::new(script), &hooks.join(name)).expect("linked");
            linked(Path::new(script), &checkout.path(".git/hooks").join(name)).expect("linked");
        }
        checkout.write(".git/more", &format!("[filter \"x\"]\n\tclean = {script}\n"));
        for (key, value) in settings {
            let value = value.replace("TRAP", script).replace("HOOKS", hooks.to_str().expect("UTF-8"));
            git(checkout.folder(), &["config", key, &value.replace("INCLUDED", "more")]);
        }
        let answer = write_back_with_push(&checkout);
        assert!(!trace.exists(), "{settings:?} ran, {answer:?}");
        match (is_off, answer) {
            (true, Ok(done)) => assert!(done.pushed && done.commit.is_some(), "{settings:?}"),
            (false, Err(Error::RunsCode { .. })) => (),
            (_, other) => panic!("{settings:?}: {other:?}"),
        }
    }
}

#[test]
fn remotes_of_a_checkout_run_nothing() {
    let outside = tempfile::tempdir().expect("made");
    let (script, trace) = trap(outside.path());
    let (checkout, _remote) = with_remote(&FILES);
    let evil = checkout.path("evil.git");
    fs::create_dir(&evil).expect("made");
    git(&evil, &["init", "--quiet", "--bare", "-b", "main"]);
    linked(&script, &evil.join("hooks/pre-receive")).expect("linked");
    let evil = evil.to_str().expect("UTF-8");
    let remotes = [
        ("remote.origin.url", evil.to_owned()),
        ("remote.origin.url", "./evil.git".to_owned()),
        ("remote.origin.pushurl", format!("file://{evil}")),
        ("remote.origin.url", format!("ext::{}", script.display())),
        ("remote.origin.vcs", "trap".to_owned()),
    ];
    for (number, (key, value)) in remotes.iter().enumerate() {
        git(checkout.folder(), &["config", "protocol.ext.allow", "always"]);
        let before = git(checkout.folder(), &["config", "--default", "", key]);
        git(checkout.folder(), &["config", key, value]);
        let options = WriteBackOptions { author: Some(AUTHOR), push: true, dry_run: false };
        let answer = write_back(checkout.folder(), &[image(&number.to_string())], &options);
        assert!(answer.is_err() && !trace.exists(), "{key} = {value}: {answer:?}");
        match before.trim() {
            "" => drop(git(checkout.folder(), &["config", "--unset", key])),
            before => drop(git(checkout.folder(), &["config", key, before])),
        }
    }
}

/// Files that a commit brings, and which Git takes for a repository without a work tree.
#[test]
fn a_folder_that_looks_like_a_repository_is_none() {
    let outside = tempfile::tempdir().expect("made");
    let (script, trace) = trap(outside.path());
    for worktree in [".", ".."] {
        let checkout = Checkout::new(&FILES);
        for name in ["HEAD", "index"] {
            linked(&checkout.path(".git").join(name), &checkout.path("apps").join(name)).expect("copied");
        }
        fs::create_dir(&checkout.path("apps/objects")).expect("made");
        fs::create_dir(&checkout.path("apps/refs")).expect("made");
        let config = format!("[core]\n\tbare = false\n\tworktree = {worktree}\n\tfsmonitor = {}\n", script.display());
        checkout.write("apps/config", &config);
        let options = WriteBackOptions { author: Some(AUTHOR), push: false, dry_run: false };
        let error = write_back(&checkout.path("apps"), &[image("1")], &options).expect_err("no checkout");
        assert!(matches!(error, Error::NoCheckout { .. }) && !trace.exists(), "{error}");
    }
}

/// What this process and its caller have in their environment does not reach Git, and Git's own variables do not either.
#[test]
fn git_inherits_nothing() {
    let (project, registry) = (Project::new(), Registry::start());
    project.run(&["lock"]).good();
    let outside = tempfile::tempdir().expect("made");
    let (script, trace) = trap(outside.path());
    let checkout = Checkout::new(&[("a.yaml", &format!("image: {}/team/app:1\n", registry.address()))]);
    let programs = outside.path().join("bin");
    fs::create_dir(&programs).expect("made");
    // a Git that writes down what it gets, and one where we work
    let seen = outside.path().join("seen");
    let spy = format!("#!/bin/sh\nenv >>'{}'\nPATH=/usr/local/bin:/usr/bin:/bin exec git \"$@\"\n", seen.display());
    fs::write_atomic(&programs.join("git"), spy.as_bytes()).expect("written");
    linked(&script, &checkout.path("git")).expect("linked");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(programs.join("git"), std::fs::Permissions::from_mode(0o755)).expect("set");
    let (target, folder) = (format!("{}/team", registry.url()), checkout.folder().to_str().expect("UTF-8"));
    let arguments = ["publish", "app", "--to", &target, "--write-back", folder, "--write-back-author", AUTHOR];
    let mut command = project.command(&arguments);
    command.env("PATH", format!(".::{}:/usr/bin:/bin", programs.display())).env("HOME", project.path("."));
    for (name, value) in [
        ("SOCKEL_REGISTRY_USER", "robot"),
        ("SOCKEL_REGISTRY_PASSWORD", "TOPSECRET"),
        ("CI_JOB_TOKEN", "TOPSECRET"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", script.to_str().expect("UTF-8")),
        ("GIT_SSH_COMMAND", script.to_str().expect("UTF-8")),
        ("GIT_EXTERNAL_DIFF", script.to_str().expect("UTF-8")),
        ("GIT_DIR", "/nowhere"),
        ("LD_PRELOAD_OF_OURS", "TOPSECRET"),
    ] {
        command.env(name, value);
    }
    answer(&mut command).good();
    assert_eq!(checkout.commits(), 2);
    let seen = fs::read_text(&seen, 1 << 20).expect("the spy ran");
    assert!(!seen.contains("TOPSECRET") && !seen.contains("GIT_CONFIG_") && !seen.contains("GIT_DIR"), "{seen}");
    assert!(seen.contains("HOME=") && !trace.exists(), "{seen}");
}
