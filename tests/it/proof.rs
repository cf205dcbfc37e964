//! Locks are proven from signed archives wherever something is made of them: edited locks, archives that move on or go
//! back, machines that have nothing.

use crate::support::deb::Compression;
use crate::support::deb::Deb;
use crate::support::edits::edits;
use crate::support::edits::read_again;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::openpgp::Recipe;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use sockel::fetch::Mirrors;
use sockel::fetch::proof::Prover;
use sockel::layer::ENGINE_FORMAT;
use sockel::lock::LockedImage;
use sockel::lock::file::Lock;
use sockel::lock::proof::judge;
use sockel::lock::verify::verify;
use sockel::recipe;
use sockel::recipe::ImageDefinition;
use sockel::recipe::ScriptLedger;
use sockel::report::EventRecorder;
use sockel::store::Store;
use sockel::sys::clock;
use sockel::sys::fs;
use sockel::sys::http;
use sockel::sys::http::HttpClient;
use sockel::values::Digest;
use std::collections::BTreeMap;

const IMAGES: [&str; 3] = ["base", "runtime", "app"];

/// The commands that make something of a lock, or judge it.
const COMMANDS: [&[&str]; 3] = [&["lock", "--check"], &["build", "--locked"], &["publish", "--to", "oci:released"]];

/// A locked project with a script that is decided, and a dependency that is left out.
fn project() -> Project {
    let script = b"#!/bin/sh\nset -e\n";
    let with_script = |deb: Deb| match deb.value("Package") {
        "libc" => deb.control_file("postinst", script),
        "app" => deb.depends("runtime, runtime-data, manual"),
        _ => deb,
    };
    let mut all: Vec<Deb> = packages().into_iter().map(with_script).collect();
    all.push(Deb::new("manual", "1").file("/usr/share/manual", b"long\n", 0o644));
    let project = Project::with(&all);
    let entry = format!(
        "  - package: libc\n    script: postinst\n    decision: not-needed\n    reason: says nothing\n    sha256: [ {} ]\n",
        Digest::of(script).hex()
    );
    project.write("recipes/scripts.yaml", &format!("format: 1\nscripts:\n{entry}"));
    project.edit("recipes/app.yaml", "packages:", "exclude: { packages: { manual: nobody reads it here } }\npackages:");
    project.run(&["lock"]).good();
    project
}

fn lock(project: &Project, image: &str) -> Lock {
    Lock::parse(&project.text(&format!("base-images/{image}.lock.yaml"))).expect("sockel wrote it")
}

fn write(project: &Project, lock: &Lock) {
    project.write(&format!("base-images/{}.lock.yaml", lock.image), &lock.to_yaml());
}

/// Definitions, locks and ledger of a project, as the library has them.
struct Given {
    definitions: Vec<ImageDefinition>,
    locks: BTreeMap<String, Lock>,
    ledger: ScriptLedger,
}

impl Given {
    fn of(project: &Project) -> Self {
        let opened = recipe::RecipeProject::open(&project.path("")).expect("opens");
        let locks = IMAGES.map(|image| (image.to_owned(), lock(project, image))).into();
        Self { definitions: opened.definitions(&[]).expect("resolve"), locks, ledger: opened.ledger().expect("reads") }
    }

    /// Proves these locks with this store, and tells whether they are.
    fn is_proven(&self, locks: &BTreeMap<String, Lock>, store: &Store, offline: bool) -> bool {
        let (http, mirrors) = (HttpClient::new(http::HttpOptions::usual(offline, None)), Mirrors::default());
        let (ledger, engine, reporter) = (&self.ledger, ENGINE_FORMAT, &EventRecorder::default());
        let prover = Prover { http: &http, store, mirrors: &mirrors, ledger, engine, now: clock::now(), reporter };
        let claims =
            self.definitions.iter().map(|definition| LockedImage { definition, lock: &locks[&definition.image] });
        prover.prove(&claims.collect::<Vec<_>>()).is_ok()
    }
}

#[test]
fn every_edit_is_refused_but_the_free_choices() {
    let project = project();
    let given = Given::of(&project);
    let store = Store::open(&project.path("store")).expect("opens");
    assert!(given.is_proven(&given.locks, &store, false));
    let (mut tried, mut free, mut taken) = (0, 0, Vec::new());
    for definition in &given.definitions {
        let honest = &given.locks[&definition.image];
        let parent = definition.parent.as_ref().map(|parent| &given.locks[parent]);
        assert!(judge(honest, honest).is_ok());
        for edit in edits(honest) {
            tried += 1;
            let answers = |edited: &Lock| {
                edited != honest && verify(edited, definition, ENGINE_FORMAT, parent, &given.ledger).is_empty()
            };
            let Some(edited) = edit.typed().as_ref().and_then(read_again).filter(answers) else { continue };
            if edit.is_free() {
                free += 1;
            } else if judge(&edited, honest).is_ok() {
                taken.push(edit.what.clone());
            }
            // what was proven before is no help for another lock
            let locks: BTreeMap<String, Lock> =
                given.locks.clone().into_iter().chain([(definition.image.clone(), edited.clone())]).collect();
            assert_eq!(given.is_proven(&locks, &store, true), edit.is_free(), "{}", edit.what);
        }
    }
    println!("{tried} edits of three locks tried, {free} of them free choices");
    assert_eq!(taken, Vec::<String>::new());
    assert!(tried > 800 && free > 3, "{tried} {free}");
}

/// What somebody does to a lock.
type Edit<'a> = Box<dyn Fn(&mut Lock) + 'a>;

#[test]
fn every_command_refuses_what_no_archive_signed() {
    let project = project();
    let honest = lock(&project, "base");
    let backdoor = library("2.0", 1).file("/lib/libc.so.6", b"BACKDOOR", 0o755).build(Compression::Zstd);
    let foreign = Deb::new("netcat", "666").file("/usr/bin/nc", b"BACKDOOR", 0o755).build(Compression::Zstd);
    let table: Vec<(&str, Edit<'_>)> = vec![
        ("bytes of nobody", Box::new(|lock| take(lock, "libc", &backdoor, &project))),
        ("another package", Box::new(|lock| take(lock, "libc", &foreign, &project))),
        (
            "a dependency less",
            Box::new(|lock| {
                lock.levels[0].packages.values_mut().for_each(|packages| packages.retain(|p| p.name != "base-files"));
            }),
        ),
        ("a script less", Box::new(|lock| lock.levels[0].scripts.clear())),
        ("another key", Box::new(|lock| lock.archives[0].signed_by = "0".repeat(40))),
        ("another time", Box::new(|lock| lock.epoch.0 -= 86_400)),
    ];
    for (what, edit) in table {
        for image in IMAGES {
            let mut edited = lock(&project, image);
            edit(&mut edited);
            write(&project, &edited);
        }
        for command in COMMANDS {
            let error = project.run(command).fails(1);
            assert!(error.contains("lock"), "{what}: {error}");
            assert!(!project.path("out").exists() && !project.path("released").exists(), "{what}");
        }
        write(&project, &honest);
        project.run(&["lock"]).good();
    }
    project.run(&["build", "--locked"]).good();
    project.run(&["lock", "--check"]).good();
}

/// Serves a package, and makes the lock name its bytes.
fn take(lock: &mut Lock, name: &str, bytes: &[u8], project: &Project) {
    use sha2::Digest as _;
    for package in lock.levels[0].packages.values_mut().flatten().filter(|package| package.name == name) {
        package.sha256 = Digest::of(bytes);
        package.sha512 = sha2::Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        package.size = bytes.len() as u64;
        project.server.put(&format!("{ROOT}/{}", package.path), bytes);
    }
}

#[test]
fn a_proof_is_made_once_and_needs_nothing_afterwards() {
    let project = project();
    project.run(&["lock", "--check"]).good();
    project.server.requests();
    fs::remove_dir(&project.path("store/archives")).expect("removed");
    project.run(&["lock", "--check", "--offline"]).good();
    assert_eq!(project.server.requests(), Vec::<String>::new());
    // another decision about a script asks again
    project.edit("recipes/scripts.yaml", "not-needed", "reproduced\n    by: filesystem");
    project.run(&["lock", "--check"]).fails(1);
}

#[test]
fn what_cannot_be_checked_is_not_called_right() {
    let project = project();
    fs::remove_dir(&project.path("store")).expect("removed");
    let answer = project.run(&["lock", "--check", "--offline"]);
    assert!(!answer.stderr.contains("answer their recipes"), "{}", answer.stderr);
    let error = answer.fails(3);
    assert!(error.contains("cannot prove the locks of `base`, `runtime`, `app`"), "{error}");
    project.run(&["lock", "--check"]).good();
}

/// The archive after a patch of one package: its old version is gone, and so are the old index and InRelease file.
fn move_on(project: &mut Project, patched: &Deb, gone: &str) {
    let other = |deb: Deb| if deb.value("Package") == patched.value("Package") { patched.clone() } else { deb };
    project.server.remove_below(&format!("{ROOT}/dists/"));
    project.publish(&packages().into_iter().map(other).collect::<Vec<_>>());
    project.server.remove(&format!("{ROOT}/pool/{gone}.deb"));
}

#[test]
fn an_archive_that_moves_on_leaves_what_is_still_listed() {
    let mut project = Project::new();
    project.run(&["lock"]).good();
    let forget = |project: &Project| fs::remove_dir(&project.path("store")).expect("removed");

    // the same packages in a later state prove the lock as well
    project.server.remove_below(&format!("{ROOT}/dists/"));
    project.publish(&packages());
    forget(&project);
    let answer = project.run(&["build", "--locked"]);
    assert!(answer.stderr.contains("proven by later states of test/security"), "{}", answer.stderr);
    answer.good();
    let first = project.digests("out");

    // a machine that has the state needs no archive
    move_on(&mut project, &library("2.1", 7), "libc_2.0");
    fs::remove_dir(&project.path("out")).expect("removed");
    fs::remove_dir(&project.path("store/results")).expect("removed");
    project.run(&["build", "--locked", "--offline"]).good();
    assert_eq!(project.digests("out"), first);
    project.run(&["lock"]).good();
    project.run(&["build", "--locked"]).good();
    fs::remove_dir(&project.path("store/results")).expect("removed");
    move_on(&mut project, &library("2.2", 8), "libc_2.1");
    project.run(&["build", "--locked"]).good();
    assert_ne!(project.digests("out"), first);

    // one that has nothing says what is gone, and `--refresh` chooses again
    forget(&project);
    let error = project.run(&["build", "--locked"]).fails(1);
    for part in ["`libc` is locked at 2.1, the archives have 2.2", "nobody has the locked state", "build --refresh"] {
        assert!(error.contains(part), "{error}");
    }
    project.run(&["lock", "--check"]).fails(1);
    project.run(&["publish", "--to", "oci:released"]).fails(1);
    project.run(&["build", "--refresh"]).good();
    project.run(&["lock", "--check"]).good();
}

#[test]
fn the_cache_repository_keeps_the_states_that_old_locks_need() {
    let (mut project, registry) = (Project::new(), Registry::start());
    project.write("base-images/cache.pem", crate::shared::PRIVATE);
    project.write("base-images/cache.pub", crate::shared::PUBLIC);
    let file = |keys: &str| format!("target: {}/team\ncache: {{ repository: team/cache, {keys} }}\n", registry.url());
    project.write("base-images/registry.yaml", &file("verify: cache.pub, sign: cache.pem"));
    project.run(&["lock"]).good();
    project.run(&["publish"]).good();
    let states = registry.tags("team/cache").into_keys().filter(|tag| tag.starts_with("state-")).count();
    assert_eq!(states, 1);

    // the archive moves on, but still has the packages themselves
    project.server.remove_below(&format!("{ROOT}/dists/"));
    let other = |deb: Deb| if deb.value("Package") == "libc" { library("2.1", 7) } else { deb };
    project.publish(&packages().into_iter().map(other).collect::<Vec<_>>());
    // a machine that has nothing, and trusts nobody's results
    project.write("base-images/registry.yaml", &file("sign: cache.pem"));
    fs::remove_dir(&project.path("store")).expect("removed");
    project.run(&["build", "--locked"]).good();

    // a state that was changed is refused where it is read: it is looked for elsewhere, and nobody has it
    for manifest in registry.contents().repository("team/cache").manifests.values_mut() {
        let text = String::from_utf8_lossy(&manifest.bytes).replace("cache.state.v1", "cache.other.v1");
        manifest.bytes = text.into_bytes().into();
    }
    fs::remove_dir(&project.path("store")).expect("removed");
    fs::remove_dir(&project.path("out")).expect("removed");
    let error = project.run(&["build", "--locked"]).fails(1);
    assert!(error.contains("`libc` is locked at 2.0, the archives have 2.1"), "{error}");
}

#[test]
fn archives_do_not_go_back_behind_the_locks() {
    let mut project = Project::new();
    let old = project.server.files();
    project.publish(&packages());
    project.run(&["lock"]).good();
    let locks = || IMAGES.map(|image| project.text(&format!("base-images/{image}.lock.yaml")));
    let before = locks();
    project.server.serve_only(&old);
    for command in [&["lock"][..], &["update"], &["update", "--write"], &["update", "--publish", "--to", "oci:out"]] {
        // as a runner that has nothing
        fs::remove_dir(&project.path("store")).expect("removed");
        let answer = project.run(command);
        let all = format!("{}{}", answer.stdout, answer.stderr);
        assert!(answer.code == Some(3) && all.contains("which was seen before"), "{command:?}: {all}");
        assert_eq!(locks(), before);
    }
    let asked = ["lock", "--accept-older-archives", "the vendor withdrew a broken patch"];
    let answer = project.run(&asked);
    assert!(answer.stderr.contains("the vendor withdrew a broken patch"), "{}", answer.stderr);
    answer.good();
}

#[test]
fn a_frozen_pocket_is_the_one_of_the_lock() {
    let mut project = Project::new();
    project.edit("recipes/base.yaml", "codename: noble }", "codename: noble, frozen: true }");
    project.run(&["lock"]).good();
    project.publish(&packages());
    for keeps in [true, false] {
        if !keeps {
            fs::remove_dir(&project.path("store")).expect("removed");
        }
        let error = project.run(&["lock"]).fails(3);
        assert!(error.contains("it is frozen but its InRelease changed"), "{error}");
    }
}

#[test]
fn another_key_is_another_archive() {
    let mut project = Project::new();
    project.edit("recipes/base.yaml", "codename: noble }", "codename: noble, frozen: true }");
    project.run(&["lock"]).good();
    let before = lock(&project, "base");
    project.key = Recipe { seed: 77, ..openpgp::GOOD };
    project.publish(&packages());

    // the recipe still pins the old one
    let error = project.run(&["lock"]).fails(3);
    assert!(error.contains("it is not signed by the pinned key"), "{error}");

    let (old, new) = (Key::new(openpgp::GOOD), Key::new(project.key));
    project.write("recipes/keys/archive.asc", &String::from_utf8(new.armored()).expect("armor is text"));
    project.edit("recipes/base.yaml", &old.fingerprint(), &new.fingerprint());
    project.run(&["build"]).good();
    let after = lock(&project, "base");
    assert_eq!(after.archives[0].signed_by, new.fingerprint());
    assert_ne!(after.archives[0].inrelease, before.archives[0].inrelease);
}

#[test]
fn a_child_names_the_older_state_of_what_it_inherits() {
    let mut project = Project::new();
    project.run(&["lock"]).good();
    // the base keeps its lock while the archive moves on, and the child is locked for the first time
    move_on(&mut project, &library("2.1", 7), "libc_2.0");
    fs::remove(&project.path("base-images/app.lock.yaml")).expect("removed");
    project.run(&["build"]).good();
    let (base, app) = (lock(&project, "base"), lock(&project, "app"));
    let libc = app.packages("linux/amd64".parse().unwrap()).find(|package| package.name == "libc").unwrap();
    assert_eq!(libc.state, Some(base.archives[0].inrelease));
    assert_eq!(app.archives.len(), 2);
    assert!(app.archives[0].date > app.archives[1].date);
    project.run(&["lock", "--check"]).good();
    project.run(&["bundle", "-o", "oci:bundle"]).good();
}

#[test]
fn publishing_proves_as_well() {
    let (project, registry) = (project(), Registry::start());
    let target = format!("{}/team", registry.url());
    let mut edited = lock(&project, "app");
    let bytes = Deb::new("app", "3.2-1").file("/usr/bin/x", b"BACKDOOR", 0o755).build(Compression::Zstd);
    let level = edited.levels.len() - 1;
    for package in edited.levels[level].packages.values_mut().flatten().filter(|package| package.name == "app") {
        (package.sha256, package.size) = (Digest::of(&bytes), bytes.len() as u64);
        project.server.put(&format!("{ROOT}/{}", package.path), &bytes);
    }
    write(&project, &edited);
    let error = project.run(&["publish", "--to", &target]).fails(1);
    assert!(error.contains("`app` 3.2-1 is listed with other details in test/security"), "{error}");
    assert!(registry.tags("team/app").is_empty());
}

/// An index that is newer than the pool behind it: locking leads to the same packages again and again.
#[test]
fn packages_that_are_listed_and_gone_lead_in_no_circle() {
    let project = Project::new();
    project.run(&["lock"]).good();
    let gone = project.server.files().into_keys().find(|path| path.contains("libc_2.0")).expect("it is there");
    project.server.remove(&gone);
    let commands: [&[&str]; 5] =
        [&["build", "--locked"], &["build"], &["build", "--refresh"], &["publish", "--to", "oci:x"], &["lock"]];
    for command in commands {
        // as a machine that has nothing, not even locks
        fs::remove_dir(&project.path("store")).expect("removed");
        if command == ["lock"] {
            IMAGES.iter().for_each(|image| {
                fs::remove(&project.path(&format!("base-images/{image}.lock.yaml"))).expect("removed");
            });
        }
        let error = project.run(command).fails(3);
        assert!(error.contains("no archive has libc 2.0 amd64 any more"), "{command:?}: {error}");
        assert!(error.contains("the mirror is not complete") && error.contains("SOCKEL_MIRRORS"), "{error}");
        assert!(!error.contains("choose again"), "{command:?}: {error}");
    }
}
