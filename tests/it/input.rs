//! Files of a project that are broken: all of them are the input's fault, which no other try mends, so the exit code is 1.

use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::project::Project;
use crate::support::registry::Registry;
use sockel::sys::fs;

/// Looks like a key or a certificate from outside.
fn broken(label: &str) -> String {
    format!("-----BEGIN {label}-----\n\nAAAA\n-----END {label}-----\n")
}

#[test]
fn key_files_of_archives() {
    let project = Project::new();
    project.run(&["lock"]).good();
    let other = Key::new(openpgp::Recipe { seed: 9, ..openpgp::GOOD });
    let other = String::from_utf8(other.armored()).expect("armor is text");
    let good = project.text("recipes/keys/archive.asc");
    let table = [
        (broken("PGP PUBLIC KEY BLOCK"), "a key file cannot be read"),
        (good[..good.len() / 2].to_owned(), "a key file cannot be read"),
        (other, "no key file has the pinned key"),
        ("no key".to_owned(), "is not an armored OpenPGP certificate"),
    ];
    for (text, expected) in &table {
        project.write("recipes/keys/archive.asc", text);
        // as a machine that has proven nothing
        fs::remove_dir(&project.path("store")).expect("removed");
        for command in [["lock"].as_slice(), &["update"], &["build"]] {
            let error = project.run(command).fails(1);
            assert!(error.contains(expected), "{command:?}: {error}");
        }
    }
}

#[test]
fn files_of_the_registry_file() {
    let (project, registry) = (Project::new(), Registry::start());
    project.run(&["lock"]).good();
    // nobody answers there: what is broken is noticed before that
    let nobody = "https://127.0.0.1:1/team";
    let there = format!("{}/team", registry.url());
    let private = broken("PRIVATE KEY");
    let key = |name: &str| format!("cache: {{ repository: team/cache, {name}: broken.pem }}\n");
    let table = [
        (nobody, "ca-file: broken.pem\n".to_owned(), "nothing\n", "there is no PEM certificate in it"),
        (nobody, "client-certificate: broken.pem\n".to_owned(), "nothing\n", "it must hold a PEM certificate"),
        (&there, key("verify"), &private, "it has no `-----BEGIN PUBLIC KEY-----`"),
        (&there, key("sign"), &private, "it is no Ed25519 key"),
        (&there, "credentials: broken.pem\n".to_owned(), "{", "broken.pem"),
        (
            &there,
            format!("announce: [ {{ url: \"{}\", secret: broken.pem }} ]\n", registry.url()),
            "nothing\n",
            "broken.pem",
        ),
    ];
    for (target, line, text, expected) in table {
        project.write("base-images/registry.yaml", &format!("target: {target}\n{line}"));
        project.write("base-images/broken.pem", text);
        let command = &["publish"];
        let error = project.run(command).fails(1);
        assert!(error.contains(expected), "{line}: {error}");
        // a file that is not there, a folder
        fs::remove(&project.path("base-images/broken.pem")).expect("removed");
        project.run(command).fails(1);
        fs::create_dir(&project.path("base-images/broken.pem")).expect("made");
        project.run(command).fails(1);
        fs::remove_dir(&project.path("base-images/broken.pem")).expect("removed");
    }
}

#[test]
fn other_files_of_a_project() {
    let project = Project::new();
    project.run(&["lock"]).good();
    for path in [
        "recipes/scripts.yaml",
        "recipes/base.yaml",
        "base-images/base.yaml",
        "base-images/base.lock.yaml",
        "base-images/registry.yaml",
    ] {
        let before = fs::read_text(&project.path(path), 1 << 20).ok();
        for text in ["{", "\u{0}", "format: 99\n", "[]\n"] {
            project.write(path, text);
            project.run(&["build", "--locked"]).fails(1);
        }
        fs::remove(&project.path(path)).expect("removed");
        fs::create_dir(&project.path(path)).expect("made");
        project.run(&["build", "--locked"]).fails(1);
        fs::remove_dir(&project.path(path)).expect("removed");
        if let Some(text) = before {
            project.write(path, &text);
        }
    }
    project.run(&["build", "--locked"]).good();
    let flags = [("--ca-file", "nowhere.pem"), ("--ca-file", "recipes/base.yaml")];
    for (flag, value) in flags {
        fs::remove_dir(&project.path("store")).expect("removed");
        fs::remove_dir(&project.path("out")).expect("removed");
        project.run(&["build", "--locked", flag, value]).fails(1);
    }
}
