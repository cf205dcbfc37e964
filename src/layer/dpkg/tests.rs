//! Contract of the package database; the oracle is dpkg itself.

use super::*;
use crate::store::Store;
use crate::sys::fs;
use std::process::Command;

const CONTROL: &str = "\
Package: libdemo1
Source: demo (1.0-1)
Version: 1.0-1+b1
Architecture: amd64
Multi-Arch: same
Maintainer: Example <demo@example.org>
Status: deinstall ok config-files
Depends: libother (>= 1)
Description: demonstration
 Two
 .
 lines.
";

const OTHER: &str = "\
Package: libother
Version: 2.0
Architecture: all
Maintainer: Example <demo@example.org>
Description: other
";

fn package(control: &[(&str, &str)], files: &[(&str, &str)]) -> UnpackedPackage {
    let origin = EntryOrigin::Package("x".to_owned());
    let member = |(name, text): &(&str, &str)| ((*name).to_owned(), FileContent::inline(text.as_bytes()));
    let entries = files.iter().map(|(path, text)| match path.strip_suffix('/') {
        Some(folder) => entry(&origin, folder, EntryKind::Directory, 0o755),
        None => file(&origin, path, text, 0o644),
    });
    UnpackedPackage {
        control: control.iter().map(member).collect(),
        entries: entries.collect(),
        owners: BTreeMap::new(),
    }
}

fn demo() -> UnpackedPackage {
    let control = [
        ("control", CONTROL),
        (
            "md5sums",
            "0cc175b9c0f1b6a831c399e269772661  lib/demo.so\n92eb5ffee6ae2fec3ad71c777531578f  usr/share/doc/libdemo1/readme\nbroken\n4a8a08f09d37b73795649038408b5f33  ../../etc/shadow\n",
        ),
        ("conffiles", "/etc/demo.conf\nremove-on-upgrade /etc/old.conf\n/etc/missing.conf\n"),
        ("postinst", "#!/bin/sh\n"),
        (
            "triggers",
            "# comment\ninterest-noawait /usr/share/demo\ninterest update-demo\ninterest ../x\nactivate ldconfig\n",
        ),
        ("strange", "not kept"),
    ];
    package(
        &control,
        &[("etc/demo.conf", "c"), ("usr/", ""), ("usr/lib/demo.so", "a"), ("usr/share/doc/libdemo1/readme", "b")],
    )
}

fn other() -> UnpackedPackage {
    package(&[("control", OTHER)], &[("usr/", ""), ("usr/share/other", "o")])
}

fn with<T>(work: impl FnOnce(&ContentReader<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    work(&ContentReader::new(&store))
}

fn kept(path: &str) -> bool {
    !path.starts_with("usr/share/doc/")
}

fn text_of<'a>(made: &'a [TreeEntry], path: &str) -> &'a str {
    let entry = made.iter().find(|entry| entry.path == path).unwrap_or_else(|| panic!("{path} is missing"));
    match &entry.content().unwrap().source {
        crate::tree::ContentSource::Inline(bytes) => str::from_utf8(bytes).unwrap(),
        crate::tree::ContentSource::Payload { .. } => panic!("inline"),
    }
}

#[test]
fn one_record_a_package_for_scanners() {
    let made = with(|contents| status_d(&demo(), contents, &kept)).unwrap();
    let paths: Vec<&str> = made.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["var/lib/dpkg/status.d/libdemo1", "var/lib/dpkg/status.d/libdemo1.md5sums"]);
    assert!(made.iter().all(|entry| entry.origin == EntryOrigin::Package("libdemo1".to_owned())));
    assert_eq!(text_of(&made, paths[0]), CONTROL.replace("Status: deinstall ok config-files\n", ""));
    assert_eq!(text_of(&made, paths[1]), "0cc175b9c0f1b6a831c399e269772661  usr/lib/demo.so\n");
    let made = with(|contents| status_d(&other(), contents, &kept)).unwrap();
    assert_eq!(made.len(), 1);
}

#[test]
fn refuses_control_data_that_would_forge_records() {
    let table = [
        ("", "it has no valid `Package` field"),
        ("Package: ../../etc/passwd\nArchitecture: all\n", "it has no valid `Package` field"),
        ("Package: .a\nArchitecture: all\n", "it has no valid `Package` field"),
        ("Package: ab\nVersion: 1\n", "it has no valid `Architecture` field"),
        ("Package: ab\nArchitecture: ../x\n", "it has no valid `Architecture` field"),
        ("Package: ab\nArchitecture: all\n\nPackage: cd\n", "its control data is not one paragraph"),
        ("Package: ab\nArchitecture: all\n \t\nPackage: cd\n", "its control data is not one paragraph"),
    ];
    for (control, expected) in table {
        let error = with(|contents| status_d(&package(&[("control", control)], &[]), contents, &kept)).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{control}: {error}");
    }
}

#[test]
fn the_classical_database_has_dpkgs_files() {
    let made = with(|contents| database(&[&other(), &demo()], contents, &kept)).unwrap();
    let info: Vec<&str> = made.iter().filter_map(|entry| entry.path.strip_prefix("var/lib/dpkg/info/")).collect();
    let expected = [
        "format",
        "libdemo1:amd64.conffiles",
        "libdemo1:amd64.list",
        "libdemo1:amd64.md5sums",
        "libdemo1:amd64.postinst",
        "libdemo1:amd64.triggers",
        "libother.list",
        "libother.md5sums",
    ];
    assert_eq!(info, expected);
    let list = text_of(&made, "var/lib/dpkg/info/libdemo1:amd64.list");
    assert_eq!(list, "/.\n/etc\n/etc/demo.conf\n/usr\n/usr/lib\n/usr/lib/demo.so\n");
    let triggers = text_of(&made, "var/lib/dpkg/triggers/File");
    assert_eq!(triggers, "/usr/share/demo libdemo1:amd64/noawait\n");
    assert_eq!(text_of(&made, "var/lib/dpkg/triggers/update-demo"), "libdemo1:amd64\n");
    let status = text_of(&made, "var/lib/dpkg/status");
    assert!(status.starts_with("Package: libdemo1\nStatus: install ok installed\n"), "{status}");
    assert!(
        status
            .contains("\n lines.\nConffiles:\n /etc/demo.conf 4a8a08f09d37b73795649038408b5f33\n\nPackage: libother\n"),
        "{status}"
    );
    assert!(!status.contains("deinstall"), "{status}");
}

#[test]
fn dpkg_finds_nothing_wrong() {
    let made = with(|contents| database(&[&other(), &demo()], contents, &kept)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = demo().entries.into_iter().chain(other().entries).filter(|entry| kept(&entry.path));
    for entry in made.into_iter().chain(files) {
        let path = folder.path().join(&entry.path);
        match &entry.kind {
            EntryKind::Directory => fs::create_dir(&path).unwrap(),
            EntryKind::File(content) => {
                fs::create_dir(path.parent().unwrap()).unwrap();
                fs::write_atomic(&path, &with(|contents| contents.read(content, 1 << 20)).unwrap()).unwrap();
            }
            _ => unreachable!("there are only folders and files"),
        }
    }
    let table: [(&[&str], &str); 4] = [
        (&["--audit"], ""),
        (&["--verify"], ""),
        (&["-S", "/usr/lib/demo.so"], "libdemo1:amd64: /usr/lib/demo.so\n"),
        (&["-l"], "ii  libother       2.0"),
    ];
    for (arguments, expected) in table {
        let root = format!("--root={}", folder.path().display());
        let Ok(output) = Command::new("dpkg").env("LC_ALL", "C").arg(root).args(arguments).output() else {
            return println!("skipped: there is no dpkg command");
        };
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(if expected.is_empty() { text.is_empty() } else { text.contains(expected) }, "{arguments:?}: {text}");
    }
}
