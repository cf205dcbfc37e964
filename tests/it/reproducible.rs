//! The same input gives the same bytes, wherever, whenever and however it is built.

use crate::support::http::Server;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::answer;
use crate::support::project::packages;
use sockel::sys::fs;
use std::collections::BTreeMap;
use std::process::Command;

type Digests = BTreeMap<String, String>;

fn made(project: &Project) -> Digests {
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project.digests("out")
}

/// What is left when the lock file's own digest may differ: layers and run-time configuration.
fn essence(project: &Project) -> Vec<(Vec<String>, String)> {
    ["base", "runtime", "app"]
        .into_iter()
        .map(|name| {
            let image = Image::read(&project.path("out"), &format!("{name}:1"));
            let mut config = image.config["config"].clone();
            assert!(config["Labels"].as_object_mut().unwrap().remove("io.sockel.lock").is_some());
            config["Labels"].as_object_mut().unwrap().remove("org.opencontainers.image.base.digest");
            (image.digests().into_iter().map(str::to_owned).collect(), config.to_string())
        })
        .collect()
}

#[test]
fn surroundings_do_not_matter() {
    let first = Project::new();
    let expected = made(&first);
    let lock = first.text("base-images/app.lock.yaml");
    let table: [(&str, &str, &[&str]); 9] = [
        ("another folder", "", &[]),
        ("umask 000", "umask 000;", &[]),
        ("umask 077", "umask 077;", &[]),
        ("time zone", "export TZ=Pacific/Kiritimati;", &[]),
        ("language", "export LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8;", &[]),
        ("one thread", "", &["--threads", "1"]),
        ("eight threads", "", &["--threads", "8"]),
        ("terminal settings", "export CI=1 COLUMNS=20;", &["--color", "always"]),
        ("JSON", "", &["--format", "json", "--log-format", "json"]),
    ];
    for (what, before, flags) in table {
        let project = Project::on(&first.server);
        for command in ["lock", "build"] {
            let mut shell = Command::new("/bin/sh");
            shell.env_clear().env("SOCKEL_STORE", project.path("store")).current_dir(project.path("."));
            let binary = project.command(&[]).get_program().to_owned();
            shell.arg("-c").arg(format!("{before} exec \"$0\" \"$@\"")).arg(binary).arg(command).args(flags);
            answer(&mut shell).good();
        }
        assert_eq!(project.text("base-images/app.lock.yaml"), lock, "{what}");
        assert_eq!(project.digests("out"), expected, "{what}");
    }
}

#[test]
fn the_state_of_the_store_does_not_matter() {
    let project = Project::new();
    let expected = made(&project);
    let table: [(&str, &[&str]); 6] = [
        ("cold", &["store"]),
        ("no finished layers", &["store/results"]),
        ("no blobs", &["store/blobs"]),
        ("no unpacked packages", &["store/packages", "store/results"]),
        ("only unpacked packages", &["store/blobs", "store/results"]),
        ("warm", &[]),
    ];
    for (what, gone) in table {
        for folder in gone.iter().chain(&["out"]) {
            fs::remove_dir(&project.path(folder)).expect("removed");
        }
        project.run(&["build"]).good();
        assert_eq!(project.digests("out"), expected, "{what}");
    }
    // images in another order, one by one, and another format in between
    fs::remove_dir(&project.path("store")).expect("removed");
    fs::remove_dir(&project.path("out")).expect("removed");
    project.run(&["build", "--compression", "zstd", "-o", "oci:zstd"]).good();
    for image in ["base", "app", "runtime"] {
        project.run(&["build", image]).good();
    }
    assert_eq!(project.digests("out"), expected);
    assert_ne!(project.digests("zstd"), expected);
}

#[test]
fn mirrors_do_not_matter() {
    let first = Project::new();
    let expected = made(&first);
    let mirror = Server::start();
    for (path, bytes) in first.server.files() {
        mirror.put(&path.replacen(ROOT, "/deep/er", 1), &bytes);
    }
    first.server.requests();
    let project = Project::on(&first.server);
    let flag = format!("test={}/deep/er", mirror.url());
    project.run(&["lock", "--mirror", &flag]).good();
    project.run(&["build", "--mirror", &flag]).good();
    assert_eq!(project.digests("out"), expected);
    assert_eq!(first.server.requests(), Vec::<String>::new());
    assert!(!mirror.requests().is_empty());
    // nothing about the mirror is in lock or image
    assert!(!project.text("base-images/app.lock.yaml").contains(mirror.url()));
}

/// Order in recipe and index says nothing: only the digests of these files themselves may differ.
#[test]
fn order_of_input_does_not_matter() {
    let first = Project::new();
    made(&first);
    let expected = essence(&first);
    let shuffled = Project::on(&first.server);
    for recipe in ["base", "runtime", "app"] {
        let path = format!("recipes/{recipe}.yaml");
        let text = shuffled.text(&path);
        // every top-level key with the lines below it, last one first
        let mut parts: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match parts.last_mut() {
                Some(part) if line.starts_with(' ') => *part += &format!("{line}\n"),
                _ => parts.push(format!("{line}\n")),
            }
        }
        parts.reverse();
        shuffled.write(&path, &parts.concat());
    }
    shuffled.edit("recipes/base.yaml", "packages: [ base-files, libc ]", "packages: [ libc, base-files ]");
    made(&shuffled);
    assert_eq!(essence(&shuffled), expected, "recipe");
    assert_eq!(shuffled.digests("out"), first.digests("out"), "recipe");

    let mut reversed = packages();
    reversed.reverse();
    let other = Project::with(&reversed);
    made(&other);
    assert_eq!(essence(&other), expected, "index");
}
