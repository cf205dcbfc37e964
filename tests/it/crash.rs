//! Killed builds, full disks, foreign stores, two builds at once: the next build is right, and nothing is left over.

use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::files;
use crate::support::project::kills;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sockel::sys::fs;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// How often a build is killed, usually.
const KILLS: usize = 50;

/// Returns names that only unfinished work has, and what should not be in the output.
fn litter(project: &Project, expected: &[String]) -> Vec<String> {
    let is_unfinished =
        |path: &String| path.contains(".tmp-") || path.starts_with("tmp/") || path.starts_with("partial/");
    let mut litter: Vec<String> = files(&project.path("store")).into_iter().filter(is_unfinished).collect();
    litter.extend(files(&project.path("out")).into_iter().filter(|path| !expected.contains(path)));
    litter
}

fn clear(project: &Project) {
    for folder in ["store", "out"] {
        fs::remove_dir(&project.path(folder)).expect("removed");
    }
}

#[test]
fn killed_builds_leave_nothing_behind() {
    let project = Project::new();
    project.run(&["lock"]).good();
    clear(&project);
    let start = Instant::now();
    project.run(&["build"]).good();
    let mut whole = start.elapsed();
    let (digests, expected) = (project.digests("out"), files(&project.path("out")));
    let seed = rand::random::<u64>();
    // shown when the test fails
    println!("seed {seed}, a whole build takes {whole:?}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut killed = 0;
    for round in 0..kills(KILLS) {
        // every third round goes on with what the round before left
        if round % 3 != 2 {
            clear(&project);
        }
        let moment = whole.mul_f64(random.random_range(0.0..1.1));
        let mut command = project.command(&["build"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        std::thread::sleep(moment);
        child.kill().expect("killed");
        let was_killed = !child.wait().expect("ended").success();
        killed += usize::from(was_killed);
        // other tests come and go, and the machine is faster or slower
        whole = whole.mul_f64(if was_killed { 1.05 } else { 0.7 });
        if round % 3 == 1 {
            continue;
        }
        project.run(&["build"]).good();
        assert_eq!(project.digests("out"), digests, "round {round}");
        assert_eq!(litter(&project, &expected), Vec::<String>::new(), "round {round}");
        let verified = project.run(&["cache", "verify"]).good();
        assert!(verified.contains("removed 0"), "round {round}: {verified}");
    }
    assert!(killed > kills(KILLS) / 3, "only {killed} builds were killed");
}

/// What a kill between two steps leaves, where the moment is too short to be hit by chance.
#[test]
fn rare_left_overs_are_no_obstacle() {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let (digests, expected) = (project.digests("out"), files(&project.path("out")));
    let again = |what: &str| {
        project.run(&["build"]).good();
        assert_eq!(project.digests("out"), digests, "{what}");
        assert_eq!(litter(&project, &expected), Vec::<String>::new(), "{what}");
        assert!(project.run(&["cache", "verify"]).good().contains("removed 0"), "{what}");
    };
    fs::remove_dir(&project.path("out")).expect("removed");
    project.write("out/.tmp-abcdef", "{\"imageLayout");
    fs::create_dir(&project.path("out/blobs/sha256")).expect("made");
    again("layout: marker not renamed yet");
    project.write("out/.tmp-abcdef", "{");
    project.write("out/blobs/sha256/.tmp-abcdef", "x");
    fs::remove(&project.path("out/index.json")).expect("removed");
    again("layout: index and copied blob not renamed yet");
    project.write("out/oci-layout", "");
    again("layout: marker empty");
    fs::remove(&project.path("store/version")).expect("removed");
    project.write("store/tmp/.tmp-abcdef/payload", "x");
    again("store: no version yet");
    project.write(&format!("store/partial/{}.lock", "0".repeat(64)), "");
    again("store: download completed, its lock not removed yet");
    for missing in ["payload", "tree.json"] {
        for package in fs::list(&project.path("store/packages")).expect("listed") {
            fs::remove(&project.path("store/packages").join(package).join(missing)).expect("removed");
        }
        fs::remove_dir(&project.path("store/results")).expect("removed");
        again(&format!("store: packages without {missing}"));
    }
}

#[test]
fn too_large_files_are_a_full_disk() {
    let project = Project::new();
    project.run(&["lock"]).good();
    // the store has indexes and small packages, the large one is missing
    fs::remove_dir(&project.path("store")).expect("removed");
    for blocks in [1, 16, 200, 500] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" build");
        let program = project.command(&[]).get_program().to_owned();
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().env("SOCKEL_STORE", project.path("store")).current_dir(project.path("."));
        let error = answer(shell.arg("-c").arg(script).arg(program)).fails(3);
        assert!(error.contains("hint: free space"), "{blocks}: {error}");
        assert!(!project.path("out/index.json").exists());
    }
    project.run(&["build"]).good();
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
    assert_eq!(litter(&project, &files(&project.path("out"))), Vec::<String>::new());
}

/// Needs a private mount: skipped where the system does not allow it.
#[test]
fn a_full_store_is_named_with_a_hint() {
    let project = Project::new();
    project.run(&["lock"]).good();
    let small = project.path("small");
    fs::create_dir(&small).expect("made");
    let run = |kilobytes: u32, then: &str| {
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k none \"$1\" || exit 99
             cp -r \"$2\" \"$1\"/out
             \"$0\" build --store \"$1\"/store -o oci:\"$1\"/out; code=$?
             {then}
             exit $code"
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["-rm", "sh", "-c", &script]).arg(project.command(&[]).get_program()).arg(&small);
        answer(unshare.arg(project.path("empty")).current_dir(project.path(".")))
    };
    fs::create_dir(&project.path("empty")).expect("made");
    if run(4000, "").code != Some(0) {
        return;
    }
    for kilobytes in [64, 300, 500, 900, 1200] {
        let answer = run(kilobytes, "find \"$1\" -name '.tmp-*' | sed 's/^/litter /'");
        assert!(!answer.stdout.contains("litter"), "{kilobytes}: {}", answer.stdout);
        if answer.code != Some(0) {
            let error = answer.fails(3);
            assert!(error.contains("hint: free space"), "{kilobytes}: {error}");
        }
    }
}

#[test]
fn a_newer_store_is_left_alone() {
    let project = Project::new();
    project.run(&["lock"]).good();
    clear(&project);
    project.write("store/version", "2\n");
    for arguments in [&["build"][..], &["cache", "prune", "--days", "0"], &["cache", "verify"], &["lock"]] {
        let error = project.run(arguments).fails(1);
        assert!(error.contains("it has format 2") && error.contains("hint: use the newer sockel"), "{error}");
    }
    assert_eq!(files(&project.path("store")), ["version"]);
    assert_eq!(fs::list(&project.path("store")).expect("listed"), ["version"]);
}

#[test]
fn two_builds_share_a_store() {
    let project = Project::new();
    project.run(&["lock"]).good();
    for round in 0..6 {
        clear(&project);
        fs::remove_dir(&project.path("other")).expect("removed");
        // in every other round they share the output too
        let other = if round % 2 == 0 { "oci:other" } else { "oci:out" };
        let outputs = ["oci:out", other];
        let children = outputs.map(|output| {
            let mut command = project.command(&["build", "-o", output]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs")
        });
        for child in children {
            let output = child.wait_with_output().expect("ended");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let digests = project.digests("out");
        assert_eq!(digests.len(), 12);
        if round % 2 == 0 {
            assert_eq!(project.digests("other"), digests);
        }
        assert_eq!(litter(&project, &files(&project.path("out"))), Vec::<String>::new());
    }
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
}

/// Two builds into a new layout must not both think that it is theirs: no reference may get lost.
#[test]
fn two_builds_share_a_new_layout() {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..20 {
        fs::remove_dir(&project.path("new")).expect("removed");
        // built already: both come to writing the layout at once
        let one = |image: &'static str| {
            let mut command = project.command(&["build", image, "-o", "oci:new"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs")
        };
        let mut first = one("app");
        std::thread::sleep(Duration::from_micros(random.random_range(0..9000)));
        let mut second = one("base");
        assert!(first.wait().expect("ended").success() && second.wait().expect("ended").success(), "round {round}");
        assert_eq!(project.digests("new").len(), 12, "round {round}");
    }
}
