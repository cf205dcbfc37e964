//! Where a store may be: links, other people's folders, shared folders, read-only ones.

use crate::store::built;
use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::files;
use sockel::sys::fs;
use sockel::sys::own;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Commands that open the store, and some that remove things from it.
const COMMANDS: [&[&str]; 4] =
    [&["build"], &["cache", "verify"], &["cache", "prune", "--days", "0"], &["cache", "info"]];

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
}

fn rights(path: &Path) -> u32 {
    own::look(path).expect("looked").expect("is there").mode & 0o777
}

/// Returns the store's own folder within a shared one.
fn inner(shared: &Path) -> std::path::PathBuf {
    shared.join(format!("sockel-{}", own::me().expect("known")))
}

/// A folder of the user with files that look like a store's.
fn victim(project: &Project) -> Vec<String> {
    for path in ["docs/thesis", "tmp/notes", ".tmp-mine", "sha256/a", "partial/a.lock", "by-hash/a", "a.lock"] {
        project.write(&format!("victim/{path}"), "years of work");
    }
    files(&project.path("victim"))
}

#[test]
fn links_in_place_of_parts_are_refused_and_nothing_behind_them_is_touched() {
    let project = built();
    let before = victim(&project);
    let parts =
        ["tmp", "packages", "blobs", "blobs/sha256", "results", "archives", "archives/by-hash", "partial", "leases"];
    for part in parts {
        let part = project.path("store").join(part);
        let aside = project.path("aside");
        if fs::is_dir(&part) {
            fs::rename(&part, &aside).expect("renamed");
        }
        symlink(project.path("victim"), &part).expect("linked");
        for command in COMMANDS {
            let error = project.run(command).fails(1);
            assert!(error.contains("symbolic link") && error.contains("hint:"), "{}: {error}", part.display());
            assert_eq!(files(&project.path("victim")), before, "{} {command:?}", part.display());
        }
        fs::remove(&part).expect("removed");
        if fs::is_dir(&aside) {
            fs::rename(&aside, &part).expect("renamed");
        }
    }
    project.run(&["build"]).good();
}

#[test]
fn links_within_parts_lead_nowhere() {
    let project = built();
    let digests = project.digests("out");
    let before = victim(&project);
    for within in ["results/image", "results/layer", "packages/docs", "tmp/.tmp-old"] {
        let path = project.path("store").join(within);
        fs::remove_any(&path).expect("removed");
        symlink(project.path("victim"), &path).expect("linked");
    }
    for command in COMMANDS {
        project.run(command);
        assert_eq!(files(&project.path("victim")), before, "{command:?}");
    }
    fs::remove(&project.path("store/results/image")).expect("removed");
    fs::remove(&project.path("store/results/layer")).expect("removed");
    project.run(&["build"]).good();
    assert_eq!((project.digests("out"), files(&project.path("victim"))), (digests, before));
}

#[test]
fn a_shared_folder_holds_a_store_of_our_own() {
    let project = built();
    let digests = project.digests("out");
    fs::remove_dir(&project.path("store")).expect("removed");
    for shared in [0o777, 0o770, 0o1777, 0o2775] {
        // what others have there, with names that a store has
        for path in ["tmp/.tmp-theirs", "packages/docs/thesis", "blobs/sha256/x", "partial/x.lock"] {
            project.write(&format!("store/{path}"), "theirs");
        }
        mode(&project.path("store"), shared);
        let before = files(&project.path("store"));
        project.run(&["build"]).good();
        assert_eq!(project.digests("out"), digests);
        assert_eq!(rights(&inner(&project.path("store"))), 0o700);
        assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
        assert_eq!(rights(&project.path("store")), shared & 0o777);
        fs::remove_dir(&inner(&project.path("store"))).expect("removed");
        assert_eq!(files(&project.path("store")), before, "{shared:o}");
        fs::remove_dir(&project.path("store")).expect("removed");
    }
}

#[test]
fn a_folder_with_other_files_or_behind_a_link_is_not_the_store_itself() {
    let project = built();
    for path in ["tmp/.tmp-mine", "packages/docs/thesis", "x"] {
        project.write(&format!("home/{path}"), "mine");
    }
    symlink(project.path("home"), project.path("link")).expect("linked");
    let before = files(&project.path("home"));
    for store in ["home", "link"] {
        project.run(&["build", "--store", store]).good();
        project.run(&["cache", "prune", "--days", "0", "--store", store]).good();
        fs::remove_dir(&inner(&project.path("home"))).expect("removed");
        assert_eq!(files(&project.path("home")), before, "{store}");
    }
    // a link to nothing, and a file
    symlink(project.path("nowhere"), project.path("dangling")).expect("linked");
    for store in ["dangling", "home/x"] {
        assert!(project.run(&["build", "--store", store]).fails(1).contains("sockel-"), "{store}");
    }
}

#[test]
fn what_others_prepared_in_a_shared_folder_is_refused() {
    let project = built();
    let before = victim(&project);
    fs::create_dir(&project.path("shared")).expect("made");
    mode(&project.path("shared"), 0o777);
    let own = inner(&project.path("shared"));
    symlink(project.path("victim"), &own).expect("linked");
    assert!(project.run(&["build", "--store", "shared"]).fails(1).contains("symbolic link"));
    fs::remove(&own).expect("removed");
    fs::create_dir(&own).expect("made");
    mode(&own, 0o777);
    assert!(project.run(&["build", "--store", "shared"]).fails(1).contains("others may write to it"));
    assert_eq!(files(&project.path("victim")), before);
    // a part that others could write to
    mode(&project.path("store/results"), 0o775);
    assert!(project.run(&["build"]).fails(1).contains("others may write to it"));
}

#[test]
fn a_store_of_an_older_version_is_closed_and_goes_on() {
    let project = built();
    let digests = project.digests("out");
    project.server.requests();
    for folder in ["store", "store/blobs", "store/blobs/sha256", "store/packages", "store/results", "store/tmp"] {
        mode(&project.path(folder), 0o755);
    }
    fs::remove_dir(&project.path("out")).expect("removed");
    project.run(&["build"]).good();
    assert_eq!((project.digests("out"), rights(&project.path("store"))), (digests, 0o700));
    assert_eq!(project.server.requests(), Vec::<String>::new());
}

#[test]
fn a_wide_umask_opens_nothing() {
    let project = Project::new();
    let program = project.command(&[]).get_program().to_owned();
    for umask in ["000", "002"] {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().env("SOCKEL_STORE", project.path("store")).current_dir(project.path("."));
        answer(shell.args(["-c", &format!("umask {umask}; exec \"$0\" build")]).arg(&program)).good();
        for folder in ["store", "store/blobs", "store/packages", "store/results", "store/tmp", "store/archives"] {
            assert_eq!(rights(&project.path(folder)), 0o700, "{umask} {folder}");
        }
        fs::remove_dir(&project.path("store")).expect("removed");
    }
}

/// Other owners need root to be made.
#[test]
fn a_store_of_another_user_is_not_used() {
    if own::me().expect("known") != 0 {
        return;
    }
    let project = built();
    let digests = project.digests("out");
    let give = |path: &str| chown(project.path(path), Some(65534), None).expect("given away");
    give("store/results");
    assert!(project.run(&["build"]).fails(1).contains("belongs to user 65534"));
    give("store");
    fs::remove_dir(&project.path("out")).expect("removed");
    let run = project.run(&["build"]);
    assert!(run.stderr.contains("belongs to user 65534"), "{}", run.stderr);
    run.good();
    assert_eq!(project.digests("out"), digests);
    assert!(fs::is_dir(&inner(&project.path("store")).join("blobs")));
    // nor a folder that somebody made for us
    let own = inner(&project.path("store"));
    chown(&own, Some(65534), None).expect("given away");
    assert!(project.run(&["build"]).fails(1).contains("belongs to user 65534"));
}

/// Needs a private mount: skipped where the system does not allow it.
#[test]
fn a_read_only_store_is_enough_where_nothing_is_made() {
    let project = built();
    let run = |arguments: &[&str]| {
        let script = "mount --bind store store && mount -o remount,ro,bind store || exit 99; exec \"$0\" \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["-rm", "sh", "-c", script]).arg(project.command(&[]).get_program()).args(arguments);
        answer(
            unshare
                .env_clear()
                .env("SOCKEL_STORE", project.path("store"))
                .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
                .current_dir(project.path(".")),
        )
    };
    // a part that only a command that writes needs
    fs::remove_dir(&project.path("store/leases")).expect("removed");
    if run(&["cache", "info"]).code == Some(99) {
        return;
    }
    for arguments in [&["cache", "info"][..], &["plan"], &["show", "app"], &["build"], &["cache", "verify"]] {
        run(arguments).good();
    }
    fs::remove_dir(&project.path("out")).expect("removed");
    run(&["build"]).good();
    for arguments in [&["cache", "prune"][..], &["lock"]] {
        let error = run(arguments).fails(3);
        assert!(error.contains("hint: the file system is mounted read-only"), "{error}");
    }
    // something is missing
    fs::remove_dir(&project.path("store/results")).expect("removed");
    fs::create_dir(&project.path("store/results")).expect("made");
    let error = run(&["build"]).fails(3);
    assert!(error.contains("hint: the file system is mounted read-only"), "{error}");
}
