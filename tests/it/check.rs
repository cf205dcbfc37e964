//! The checks of finished images: a good image has no findings, and every planted fault is found and named.

use crate::support::elf::Elf;
use crate::support::fresh::assert_fresh;
use crate::support::fresh::committed;
use crate::support::plant::KEY;
use crate::support::plant::Plant;
use crate::support::plant::done;
use crate::support::plant::jar;
use crate::support::plant::platform;
use crate::support::plant::words;
use sockel::check;
use sockel::check::CheckFinding;
use sockel::check::CheckReport;
use sockel::check::FindingSeverity;
use sockel::check::UnusedRequest;
use sockel::check::acceptance::judge;
use sockel::check::requests::ImageRequests;
use sockel::check::requests::in_vain;
use sockel::recipe::AcceptedFinding;
use sockel::recipe::LevelDefinition;
use sockel::recipe::RequestSection;
use sockel::values::Epoch;
use sockel::values::WaiverTerms;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A fault, the finding that names it, and where.
type Fault = (&'static str, fn(&mut Plant), &'static str, &'static str);

/// Part of a recipe, the request in it, what is planted, and whether the request has an effect.
type RequestCase = (RequestSection, &'static str, fn(&mut Plant), bool);

/// Faults of what is started and of what that needs.
const CLOSURE: &[Fault] = &[
    ("entry point", |p| done(p.start(&["/usr/bin/none"])), "start-missing", "config.entrypoint"),
    ("a word that PATH does not find", |p| done(p.start(&["none"])), "start-missing", "config.entrypoint"),
    ("PATH without the folder", |p| done(p.start(&["app"]).env("PATH", "/opt")), "start-missing", "config.entrypoint"),
    (
        "a command alone",
        |p| {
            p.level.config.entrypoint = None;
            p.level.config.command = words(&["/none"]);
        },
        "start-missing",
        "config.command",
    ),
    (
        "a link that leads nowhere",
        |p| done(p.link("usr/bin/x", "none").start(&["/usr/bin/x"])),
        "start-missing",
        "config.entrypoint",
    ),
    ("mode 0644", |p| done(p.change("usr/bin/app", |e| e.mode = 0o644)), "start-not-executable", "/usr/bin/app"),
    ("only root", |p| done(p.change("usr/bin/app", |e| e.mode = 0o700)), "start-not-executable", "/usr/bin/app"),
    (
        "a group of others",
        |p| done(p.owner("usr/bin/app", 0, 5).change("usr/bin/app", |e| e.mode = 0o750)),
        "start-not-executable",
        "/usr/bin/app",
    ),
    ("a closed folder", |p| done(p.folder("usr/bin", 0o700)), "start-not-executable", "/usr/bin/app"),
    ("a folder as program", |p| done(p.folder("opt", 0o755).start(&["/opt"])), "start-not-executable", "/opt"),
    (
        "a script without interpreter",
        |p| done(p.file("usr/bin/s", b"#!/bin/sh\n", 0o755).start(&["/usr/bin/s"])),
        "start-interpreter-missing",
        "/usr/bin/s",
    ),
    (
        "a script for a program that `env` does not find",
        |p| {
            p.file("usr/bin/env", b"x", 0o755);
            done(p.file("usr/bin/s", b"#!/usr/bin/env python3\n", 0o755).start(&["/usr/bin/s"]));
        },
        "start-interpreter-missing",
        "/usr/bin/s",
    ),
    (
        "working directory",
        |p| p.level.config.working_directory = Some("/srv/x".to_owned()),
        "working-directory-missing",
        "/srv/x",
    ),
    (
        "a closed working directory",
        |p| {
            p.folder("srv", 0o700);
            p.level.config.working_directory = Some("/srv".to_owned());
        },
        "working-directory-missing",
        "/srv",
    ),
    (
        "a file as working directory",
        |p| p.level.config.working_directory = Some("/etc/passwd".to_owned()),
        "working-directory-missing",
        "/etc/passwd",
    ),
    ("a library", |p| done(p.remove("usr/lib/x86_64-linux-gnu/libc.so.6")), "library-missing", "/usr/bin/app"),
    (
        "a library in another folder",
        |p| done(p.elf("opt/x/liba.so", &Elf::library("liba.so")).elf("usr/bin/b", &Elf::program(&["liba.so"]))),
        "library-missing",
        "/usr/bin/b",
    ),
    (
        "a library for another processor",
        |p| done(p.elf("usr/lib/x86_64-linux-gnu/libc.so.6", &Elf { machine: 183, ..Elf::library("libc.so.6") })),
        "library-missing",
        "/usr/bin/app",
    ),
    (
        "a text with a library's name",
        |p| done(p.text("usr/lib/x86_64-linux-gnu/libc.so.6", "INPUT(x)")),
        "library-missing",
        "/usr/bin/app",
    ),
    (
        "a library without its soname link",
        |p| {
            done(
                p.elf("usr/lib/libv.so.3.1", &Elf::library("libv.so.3"))
                    .elf("usr/bin/v", &Elf::program(&["libv.so.3"])),
            );
        },
        "library-missing",
        "/usr/bin/v",
    ),
    (
        "a library of a library",
        |p| done(p.elf("usr/lib/libw.so", &Elf { needed: vec!["libq.so"], ..Elf::library("libw.so") })),
        "library-missing",
        "/usr/lib/libw.so",
    ),
    (
        "a folder of ld.so.conf without cache",
        |p| {
            done(
                p.text("etc/ld.so.conf", "/opt/v\n")
                    .elf("opt/v/libv.so", &Elf::library("libv.so"))
                    .elf("usr/bin/v", &Elf::program(&["libv.so"])),
            );
        },
        "library-missing",
        "/usr/bin/v",
    ),
    (
        "a run path elsewhere",
        |p| {
            done(
                p.elf("opt/v/libv.so", &Elf::library("libv.so"))
                    .elf("opt/w/v", &Elf { run_path: Some("$ORIGIN/../x"), ..Elf::program(&["libv.so"]) }),
            );
        },
        "library-missing",
        "/opt/w/v",
    ),
    ("the loader", |p| done(p.remove("usr/lib64/ld-linux-x86-64.so.2")), "loader-missing", "/usr/bin/app"),
    (
        "an interpreter",
        |p| done(p.file("usr/bin/s", b"#! /usr/bin/perl -w\n", 0o755)),
        "interpreter-missing",
        "/usr/bin/s",
    ),
    (
        "env without its program",
        |p| done(p.file("usr/bin/env", b"x", 0o755).file("usr/bin/s", b"#!/usr/bin/env -S A=b python3 -u\n", 0o755)),
        "interpreter-missing",
        "/usr/bin/s",
    ),
    (
        "Python without bytecode",
        |p| {
            done(
                p.elf("usr/bin/python3.13", &Elf::program(&[])).text("usr/lib/python3/dist-packages/flask/app.py", "x"),
            );
        },
        "bytecode-missing",
        "/usr/lib/python3/dist-packages",
    ),
    (
        "a link of a recipe",
        |p| done(p.link("usr/bin/x", "none").of_recipe("usr/bin/x")),
        "recipe-link-dangling",
        "/usr/bin/x",
    ),
    ("a link of a package", |p| done(p.link("usr/bin/x", "../none")), "link-dangling", "/usr/bin/x"),
    (
        "an alternative",
        |p| done(p.link("etc/alternatives/awk", "/usr/bin/mawk")),
        "link-dangling",
        "/etc/alternatives/awk",
    ),
    ("links in a circle", |p| done(p.link("usr/a", "b").link("usr/b", "a")), "link-dangling", "/usr/a"),
    (
        "a link to an excluded file",
        |p| done(p.brought("usr/lib/x/y").link("usr/x", "lib/x/y")),
        "link-dangling",
        "/usr/x",
    ),
    ("libraries in /tmp", |p| done(p.link("usr/lib/x", "/tmp/x")), "link-to-writable", "/usr/lib/x"),
    ("a relative link to /var/tmp", |p| done(p.link("etc/x", "../var/tmp")), "link-to-writable", "/etc/x"),
    (
        "a main jar",
        |p| done(p.file("usr/bin/java", b"x", 0o755).start(&["/usr/bin/java", "-jar", "/opt/a.jar"])),
        "class-path-missing",
        "/opt/a.jar",
    ),
    (
        "a class path",
        |p| {
            done(p.file("usr/bin/java", b"x", 0o755).text("a.jar", "x").start(&[
                "/usr/bin/java",
                "-cp",
                "/a.jar:/b/*",
                "Main",
            ]));
        },
        "class-path-missing",
        "/b/*",
    ),
    (
        "a jar that a manifest names",
        |p| {
            done(p.file("usr/bin/java", b"x", 0o755).file("o/a.jar", &jar("Class-Path: b.jar\r\n"), 0o644).start(&[
                "/usr/bin/java",
                "-jar",
                "/o/a.jar",
            ]));
        },
        "manifest-class-path-missing",
        "/o/a.jar",
    ),
    ("a main module", |p| done(p.java(&["-m", "our.shop/Main"])), "java-module-missing", "our.shop"),
    ("added modules", |p| done(p.java(&["--add-modules=java.base,none", "Main"])), "java-module-missing", "none"),
    ("a module path", |p| done(p.java(&["-p", "/m", "-m", "our.shop"])), "class-path-missing", "/m"),
    (
        "a language",
        |p| done(p.folder("usr/lib/locale", 0o755).env("LANG", "de_DE.UTF-8")),
        "locale-missing",
        "config.env.LANG",
    ),
    (
        "a part of a language that is a link to another one",
        |p| {
            let folder = "usr/lib/locale/de_DE.utf8";
            p.text(&format!("{folder}/LC_CTYPE"), "x").link(&format!("{folder}/LC_TIME"), "../de_AT.utf8/LC_TIME");
            p.env("LC_TIME", "de_DE.UTF-8");
        },
        "locale-missing",
        "config.env.LC_TIME",
    ),
];

/// Faults of rights, accounts and secrets.
const SAFETY: &[Fault] = &[
    ("set-user-id", |p| done(p.change("usr/bin/app", |e| e.mode = 0o4755)), "set-user-id", "/usr/bin/app"),
    ("set-group-id of a folder", |p| done(p.folder("srv", 0o2755)), "set-user-id", "/srv"),
    ("a program of the user", |p| done(p.owner("usr/bin/app", 10001, 0)), "user-writable", "/usr/bin/app"),
    (
        "a folder of the user",
        |p| done(p.folder("usr/lib/x", 0o755).owner("usr/lib/x", 10001, 10001)),
        "user-writable",
        "/usr/lib/x",
    ),
    (
        "a file of the user's group",
        |p| done(p.text("etc/c", "x").owner("etc/c", 0, 10001).change("etc/c", |e| e.mode = 0o664)),
        "user-writable",
        "/etc/c",
    ),
    (
        "a read-only file of the user",
        |p| done(p.text("etc/c", "x").owner("etc/c", 10001, 0).change("etc/c", |e| e.mode = 0o400)),
        "user-writable",
        "/etc/c",
    ),
    (
        "beside a writable folder",
        |p| done(p.folder("var/lib/app2", 0o755).owner("var/lib/app2", 10001, 10001)),
        "user-writable",
        "/var/lib/app2",
    ),
    ("a file for everybody", |p| done(p.file("etc/c", b"x", 0o666)), "world-writable", "/etc/c"),
    ("a folder for everybody", |p| done(p.folder("usr/lib/x", 0o777)), "world-writable", "/usr/lib/x"),
    ("another sticky folder", |p| done(p.folder("opt/shared", 0o1777)), "world-writable", "/opt/shared"),
    ("/tmp without sticky bit", |p| done(p.folder("tmp", 0o777)), "world-writable", "/tmp"),
    ("a hash", |p| done(p.text("etc/shadow", "root:$6$x$y:::::::\n")), "password-set", "/etc/shadow"),
    ("no password at all", |p| done(p.text("etc/shadow", "root::::::::\n")), "password-set", "/etc/shadow"),
    (
        "a hash in passwd",
        |p| done(p.text("etc/passwd", "root:x:0:0::/:\napp:ab:10001:10001::/:\n")),
        "password-set",
        "/etc/passwd",
    ),
    ("a password of a group", |p| done(p.text("etc/gshadow", "root:ab::\n")), "password-set", "/etc/gshadow"),
    (
        "a name twice",
        |p| done(p.text("etc/passwd", "root:x:0:0::/:\napp:x:10001:10001::/:\napp:x:5:5::/:\n")),
        "account-duplicate",
        "/etc/passwd",
    ),
    (
        "a number twice",
        |p| done(p.text("etc/group", "root:x:0:\napp:x:10001:\nother:x:10001:\n")),
        "account-duplicate",
        "/etc/group",
    ),
    ("an owner without account", |p| done(p.text("srv", "x").owner("srv", 7, 0)), "owner-unknown", "/srv"),
    ("a group without name", |p| done(p.text("srv", "x").owner("srv", 0, 8)), "owner-unknown", "/srv"),
    ("a user without account", |p| done(p.text("etc/passwd", "root:x:0:0::/:\n")), "user-unknown", "config.user"),
    ("a key of a recipe", |p| done(p.text("etc/x.txt", KEY).of_recipe("etc/x.txt")), "private-key", "/etc/x.txt"),
    ("a key of a package", |p| done(p.text("etc/ssl/k.pem", KEY)), "private-key", "/etc/ssl/k.pem"),
    (
        "a key for SSH",
        |p| done(p.text("etc/ssh/ssh_host_rsa_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")),
        "private-key",
        "/etc/ssh/ssh_host_rsa_key",
    ),
    (
        "a key behind text",
        |p| done(p.text("k.key", "Bag\n-----BEGIN CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\n")),
        "private-key",
        "/k.key",
    ),
    ("a password", |p| done(p.env("DB_PASSWORD", "hunter2")), "secret-in-env", "config.env.DB_PASSWORD"),
    ("a token in small letters", |p| done(p.env("api_token", "x")), "secret-in-env", "config.env.api_token"),
    ("LD_PRELOAD", |p| done(p.env("LD_PRELOAD", "/tmp/x.so")), "preload", "config.env.LD_PRELOAD"),
    ("ld.so.preload", |p| done(p.text("etc/ld.so.preload", "/tmp/x.so\n")), "preload", "/etc/ld.so.preload"),
];

/// Faults of what is in the image beyond what runs.
const CONTENT: &[Fault] = &[
    (
        "helpers for gdb",
        |p| done(p.text("usr/share/gcc/python/libstdcxx/v6/printers.py", "x")),
        "debugger-helpers",
        "/usr/share/gcc/python/libstdcxx/v6/printers.py",
    ),
    (
        "auto-load scripts",
        |p| done(p.text("usr/lib/libx.so-gdb.py", "x")),
        "debugger-helpers",
        "/usr/lib/libx.so-gdb.py",
    ),
    ("manual pages", |p| done(p.text("usr/share/man/man1/x.1.gz", "x")), "manual-pages", "/usr/share/man/man1/x.1.gz"),
    ("static libraries", |p| done(p.text("usr/lib/libx.a", "x")), "static-libraries", "/usr/lib/libx.a"),
    ("headers", |p| done(p.text("usr/include/x.h", "x")), "headers", "/usr/include/x.h"),
    (
        "copies",
        |p| done(p.file("opt/a", &[7; 70_000], 0o644).file("opt/b", &[7; 70_000], 0o644)),
        "identical-copies",
        "/opt/a",
    ),
    (
        "a copyright file",
        |p| done(p.remove("usr/share/doc/app/copyright")),
        "copyright-missing",
        "/usr/share/doc/app/copyright",
    ),
    (
        "a copyright link that leads nowhere",
        |p| done(p.remove("usr/share/doc/app/copyright").link("usr/share/doc/app", "none")),
        "copyright-missing",
        "/usr/share/doc/app/copyright",
    ),
    ("a record", |p| done(p.remove("var/lib/dpkg/status.d/app")), "record-missing", "/var/lib/dpkg"),
    (
        "a foreign record",
        |p| done(p.text("var/lib/dpkg/status.d/ghost", "Package: ghost\nVersion: 1\n")),
        "record-without-package",
        "/var/lib/dpkg/status.d/ghost",
    ),
    (
        "a foreign record in dpkg's file",
        |p| done(p.text("var/lib/dpkg/status", "Package: ghost\nVersion: 1\n\n")),
        "record-without-package",
        "/var/lib/dpkg/status",
    ),
    (
        "another version",
        |p| done(p.text("var/lib/dpkg/status.d/app", "Package: app\nVersion: 2\n")),
        "record-differs",
        "/var/lib/dpkg/status.d/app",
    ),
];

fn found<'a>(findings: &'a [CheckFinding], name: &str, path: &str) -> Option<&'a CheckFinding> {
    findings.iter().find(|finding| finding.finding == name && finding.path == path)
}

#[test]
fn a_good_image_has_no_findings() {
    assert_eq!(Plant::good().check(), CheckReport::default());
}

#[test]
fn planted_faults_are_found() {
    let faults = || CLOSURE.iter().chain(SAFETY).chain(CONTENT);
    assert!(faults().count() >= 60, "{}", faults().count());
    for (what, plant, finding, path) in faults() {
        let mut image = Plant::good();
        plant(&mut image);
        let report = image.check();
        let found = found(&report.findings, finding, path);
        let found = found.unwrap_or_else(|| panic!("{what}: no {finding} at {path} in {:#?}", report.findings));
        assert!(!found.cause.is_empty() && !found.remedy.is_empty(), "{what}");
    }

    // a check without a planted fault may never find anything
    let planted: BTreeSet<&str> = faults().map(|(_, _, finding, _)| *finding).collect();
    let elsewhere = ["request-without-effect", "acceptance-expired", "acceptance-without-effect"];
    let all: BTreeSet<&str> = check::kinds().map(|kind| kind.name).filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(planted, all);
}

#[test]
fn the_excluded_dependency_is_named() {
    let mut image = Plant::good();
    image.elf("usr/sbin/nginx", &Elf::program(&["libcrypt.so.1"]));
    image.level.exclude_packages.insert("libcrypt1".to_owned(), "x".to_owned());
    image.excluded = vec!["libcrypt1"];
    let report = image.check();
    let found = found(&report.findings, "library-missing", "/usr/sbin/nginx").expect("found");
    insta::assert_snapshot!(found.to_string(), @"library-missing: `/usr/sbin/nginx` (package app): it needs `libcrypt.so.1`, which the loader does not find in the image; app depends on `libcrypt1`, which recipe base excludes: add it to `packages` of a recipe of this image");
}

#[test]
fn hostile_numbers_stay_bounded() {
    let mut image = Plant::good();
    for number in 0..1000 {
        image.file(&format!("opt/{number}"), b"x", 0o666);
    }
    let report = image.check();
    let count = report.findings.iter().filter(|finding| finding.finding == "world-writable").count();
    assert_eq!(count, 200);
}

fn accepted(finding: &str, path: &str, expires: i64) -> AcceptedFinding {
    let terms = WaiverTerms { reason: "x".to_owned(), agreed_by: Some("a".to_owned()), expires: Epoch(expires) };
    AcceptedFinding { finding: finding.to_owned(), path: path.to_owned(), terms }
}

#[test]
fn acceptances_are_for_one_finding_at_one_path_and_end() {
    let mut image = Plant::good();
    image.file("etc/a", b"x", 0o666).file("etc/b", b"x", 0o666);
    let findings = image.check().findings;
    assert!(findings.iter().all(|finding| finding.severity == FindingSeverity::Error) && findings.len() == 2);
    let judged = |accept: Vec<AcceptedFinding>, now: i64| {
        let level = LevelDefinition { accept, ..LevelDefinition::default() };
        let judged = judge(&findings, &[LevelDefinition::default(), level], Epoch(now));
        (judged.errors.len(), judged.warnings.len(), judged.accepted.len())
    };
    assert_eq!(judged(vec![], 0), (2, 0, 0));
    assert_eq!(judged(vec![accepted("world-writable", "/etc/a", 10)], 9), (1, 0, 1));
    assert_eq!(judged(vec![accepted("world-writable", "/etc/a", 10)], 10), (2, 1, 0), "it has run out");
    assert_eq!(judged(vec![accepted("world-writable", "/etc/*", 10)], 9), (2, 0, 0), "no pattern");
    assert_eq!(judged(vec![accepted("user-writable", "/etc/a", 10)], 9), (2, 0, 0), "another finding");
}

/// What a recipe asks for, whether an image has a use for it, and whether all together have none.
#[test]
fn requests_without_effect_are_named() {
    use RequestSection as S;
    let table: [RequestCase; 12] = [
        (S::ExcludedPackages, "mawk", |p| p.excluded = vec!["mawk"], true),
        (S::ExcludedPackages, "mawk", |_| (), false),
        (S::ExcludedPaths, "/usr/share/doc/**", |p| done(p.brought("usr/share/doc/app/changelog")), true),
        (S::ExcludedPaths, "/usr/share/doc/**", |p| done(p.brought("usr/share/man/x")), false),
        (
            S::IncludedPaths,
            "/usr/share/doc/*/copyright",
            |p| {
                p.level.exclude_paths.insert("/usr/share/doc/**".to_owned(), "x".to_owned());
                p.brought("usr/share/doc/app/copyright");
            },
            true,
        ),
        (S::IncludedPaths, "/usr/share/doc/*/copyright", |p| done(p.brought("usr/share/doc/app/copyright")), false),
        (S::Replaces, "/etc/x", |p| done(p.brought("etc/x")), true),
        (S::Replaces, "/etc/x", |p| done(p.text("etc/x", "").of_recipe("etc/x")), false),
        (S::Directories, "/srv", |p| done(p.folder("srv", 0o755).of_recipe("srv")), true),
        (
            S::Diversions,
            "/usr/bin/x",
            |p| {
                let diversion = sockel::recipe::PathDiversion { to: "/usr/bin/y".to_owned(), by: "wrapper".to_owned() };
                p.level.diversions.insert("/usr/bin/x".to_owned(), diversion);
                p.brought("usr/bin/x");
            },
            true,
        ),
        (S::Diversions, "/usr/bin/x", |_| (), false),
        (S::Accept, "world-writable /etc/a", |p| p.level.accept = vec![accepted("world-writable", "/etc/a", 9)], false),
    ];
    for (section, text, plant, is_used) in table {
        let mut image = Plant::good();
        match section {
            S::ExcludedPaths => drop(image.level.exclude_paths.insert(text.to_owned(), "x".to_owned())),
            S::IncludedPaths => image.level.include_paths.push(text.to_owned()),
            _ => {}
        }
        image.request(section, text);
        plant(&mut image);
        let report = image.check();
        let expected = UnusedRequest { recipe: "base".to_owned(), section, written: text.to_owned() };
        let is_unused = report.unused.contains(&expected);
        assert_eq!(is_unused, !is_used && section != S::Accept, "{section:?} {text} {is_used}");

        // a second image with a use for it, or one that nobody knows, lifts the finding
        let definition = image.definition();
        let built = BTreeMap::from([(platform(), report)]);
        let useful = BTreeMap::from([(platform(), CheckReport::default())]);
        let alone = [ImageRequests { definition: &definition, built: Some(&built) }];
        let count = |images: &[ImageRequests<'_>]| in_vain(images, Epoch(0)).len();
        assert_eq!(count(&alone), usize::from(!is_used), "{section:?} {text}");
        let unknown = [alone[0], ImageRequests { definition: &definition, built: None }];
        assert_eq!(count(&unknown), 0, "{section:?} {text}");
        if section != S::Accept {
            assert_eq!(count(&[alone[0], ImageRequests { definition: &definition, built: Some(&useful) }]), 0);
        }
    }
}

#[test]
fn a_recipe_may_accept_its_own_useless_line() {
    let mut image = Plant::good();
    image.request(RequestSection::ExcludedPackages, "gawk");
    image.request(RequestSection::Accept, "request-without-effect exclude.packages: gawk");
    image.level.accept = vec![accepted("request-without-effect", "exclude.packages: gawk", 9)];
    let (definition, built) = (image.definition(), BTreeMap::from([(platform(), image.check())]));
    let images = [ImageRequests { definition: &definition, built: Some(&built) }];
    assert_eq!(in_vain(&images, Epoch(0)), Vec::new());
    let expired = in_vain(&images, Epoch(9));
    assert_eq!(expired.len(), 1, "{expired:?}");
    assert_eq!(expired[0].path, "exclude.packages: gawk");
}

#[test]
fn the_list_of_checks_is_fresh() {
    let text = committed("docs/checks.md");
    let (head, _) = text.split_once("| finding |").unwrap_or((&text, ""));
    let mut fresh = format!("{head}| finding | severity | what it means |\n|---|---|---|\n");
    for kind in check::kinds() {
        let severity = if kind.severity == FindingSeverity::Error { "error" } else { "warning" };
        fresh += &format!("| `{}` | {severity} | {} |\n", kind.name, kind.about);
    }
    assert_fresh("docs/checks.md", &fresh);
}
