//! Packages that want to do harm, and recipes that cannot be: a clear answer, and nothing written.

use crate::support::deb;
use crate::support::deb::Compression;
use crate::support::deb::Deb;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::answer;
use crate::support::project::files;
use crate::support::project::packages;
use sockel::sys::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

/// What unpacking many GB would take many times over, also in a debug build.
const QUICK: Duration = Duration::from_secs(30);

/// Returns a project that also asks for package `evil`, in this form.
fn with(evil: &Deb, bytes: Vec<u8>) -> Project {
    let mut project = Project::new();
    project.edit("recipes/base.yaml", "packages: [ base-files,", "packages: [ evil, base-files,");
    let compressed = |deb: &Deb| (deb.clone(), deb.build(Compression::Gzip));
    let mut all: Vec<(Deb, Vec<u8>)> = packages().iter().map(compressed).collect();
    all.push((evil.clone(), bytes));
    project.publish_files(&all);
    project
}

fn evil() -> Deb {
    Deb::new("evil", "1")
}

/// Returns files outside the store, and unfinished or evil ones in it.
fn traces(project: &Project) -> Vec<String> {
    let all = files(&project.path("."));
    let is_input = |path: &str| {
        ["recipes/", "base-images/"].iter().any(|folder| path.starts_with(folder)) && !path.contains("evil")
    };
    let is_store = |path: &str| path.starts_with("store/") && !path.starts_with("store/tmp/");
    all.into_iter().filter(|path| !is_input(path) && !is_store(path)).collect()
}

/// Returns how many packages were unpacked into the store.
fn unpacked(project: &Project) -> usize {
    files(&project.path("store/packages")).iter().filter(|path| path.ends_with("tree.json")).count()
}

#[track_caller]
fn refused(what: &str, project: &Project, words: &[&str]) {
    let start = Instant::now();
    let error = project.run(&["build"]).fails(1);
    for word in words {
        assert!(error.contains(word), "{what}: `{word}` is missing in\n{error}");
    }
    assert!(start.elapsed() < QUICK, "{what}: took {:?}", start.elapsed());
    assert_eq!(traces(project), Vec::<String>::new(), "{what}");
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"), "{what}");
}

#[test]
fn evil_paths_are_refused() {
    let deep = format!("/usr/{}x", "d/".repeat(2500));
    let table: [(&str, Deb, &[&str]); 12] = [
        ("up", evil().file("./../../../../../../tmp/evil", b"x", 0o644), &["`evil`", "../tmp/evil"]),
        ("up in the middle", evil().file("./usr/../../evil", b"x", 0o644), &["`evil`", "leaves the root"]),
        ("absolute", evil().file("//etc/evil", b"x", 0o644), &["`evil`", "/etc/evil"]),
        (
            "symlink",
            evil().link("/usr/share/x", "/etc").file("/usr/share/x/evil", b"x", 0o644),
            &["/usr/share/x/evil", "is not a folder"],
        ),
        ("below a file", evil().file("/usr/x", b"x", 0o644).file("/usr/x/evil", b"x", 0o644), &["is not a folder"]),
        ("device", evil().device("/dev/evil"), &["`evil`", "/dev/evil", "character device"]),
        ("fifo", evil().fifo("/run/evil"), &["`evil`", "/run/evil", "named pipe"]),
        ("twice", evil().file("/usr/x", b"x", 0o644).file("/usr/x", b"y", 0o644), &["`evil`", "/usr/x"]),
        ("hard link out", evil().hardlink("/usr/evil", "../../../etc/passwd"), &["`evil`", "../etc/passwd"]),
        ("hard link to a host file", evil().hardlink("/usr/evil", "/etc/passwd"), &["`evil`", "comes not before it"]),
        ("hard link to itself", evil().hardlink("/usr/evil", "/usr/evil"), &["`evil`", "comes not before it"]),
        ("too deep", evil().file(&deep, b"x", 0o644), &["`evil`", "d/d/d/d"]),
    ];
    for (what, deb, words) in table {
        let project = with(&deb, deb.build(Compression::Gzip));
        project.run(&["lock"]).good();
        refused(what, &project, words);
    }
}

#[test]
fn dangerous_bits_are_dropped() {
    let deb = evil().file("/usr/bin/su", b"x", 0o4755).file("/usr/bin/wall", b"x", 0o2755).dir("/usr/games");
    let deb = deb.mode(0o6755);
    let project = with(&deb, deb.build(Compression::Xz));
    project.run(&["build"]).good();
    let image = Image::read(&project.path("out"), "base:1");
    for path in ["usr/bin/su", "usr/bin/wall", "usr/games"] {
        assert_eq!(image.get(path).expect(path).mode, 0o755, "{path}");
    }
}

#[test]
fn packages_share_no_path_unless_one_replaces() {
    let thief = evil().file("/etc/base.conf", b"stolen", 0o644);
    let project = with(&thief, thief.build(Compression::Gzip));
    let error = project.run(&["build"]).fails(1);
    for word in ["/etc/base.conf", "evil", "base-files", "hint: "] {
        assert!(error.contains(word), "`{word}` is missing in\n{error}");
    }
    let heir = thief.field("Replaces", "base-files (<< 2)");
    let project = with(&heir, heir.build(Compression::Gzip));
    project.run(&["build"]).good();
    assert_eq!(Image::read(&project.path("out"), "base:1").get("etc/base.conf").unwrap().content, b"stolen");
}

/// Blocks of a zstd frame that repeat one byte (RFC 8878 §3.1.1.2): 4 bytes become 128 KiB.
fn zeros(bytes: u64) -> Vec<u8> {
    // no checksum, no size, window of 128 KiB
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = bytes.div_ceil(128 << 10);
    for block in 1..=blocks {
        let is_last = u32::from(block == blocks);
        let header = (128 << 10 << 3) | (1 << 1) | is_last;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Returns gzip members of zeros (RFC 1952 §2.2): about 1 KB become 1 MB.
fn gzip_zeros(bytes: u64) -> Vec<u8> {
    const PART: usize = 64 << 20;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; PART]).unwrap();
    encoder.finish().unwrap().repeat(usize::try_from(bytes).unwrap().div_ceil(PART))
}

/// Returns a .deb with these members, which are compressed already.
fn bomb(control: &[u8], (ending, data): (&str, &[u8])) -> Vec<u8> {
    deb::archive(&[("debian-binary", b"2.0\n"), ("control.tar.zst", control), (&format!("data.tar{ending}"), data)])
}

/// 10 GB in some hundred KB, from a signed archive; memory is limited to less than what they unpack to.
#[test]
fn bombs_do_not_go_off() {
    const SIZE: u64 = 10 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_path("usr/large").unwrap();
    header.set_mode(0o644);
    header.set_size(SIZE);
    header.set_cksum();
    let announced = |compression| deb::compress(header.as_bytes(), compression);
    let control = deb::compress(&evil().control_tar(), Compression::Zstd);
    let after = |first: Vec<u8>, zeros: Vec<u8>| [first, zeros].concat();
    let limit = ["`evil`", "4294967296 bytes"];
    let table: [(&str, Vec<u8>, [&str; 2]); 6] = [
        ("a file, zstd", bomb(&control, (".zst", &after(announced(Compression::Zstd), zeros(SIZE)))), limit),
        ("a file, gzip", bomb(&control, (".gz", &after(announced(Compression::Gzip), gzip_zeros(SIZE)))), limit),
        ("a file, xz", bomb(&control, (".xz", &announced(Compression::Xz))), limit),
        ("zeros behind the end, zstd", bomb(&control, (".zst", &zeros(SIZE))), limit),
        ("zeros behind the end, gzip", bomb(&control, (".gz", &gzip_zeros(SIZE))), limit),
        ("control files", bomb(&zeros(SIZE), (".zst", &zeros(1 << 20))), ["`evil 1`", "16777216 bytes"]),
    ];
    for (what, bytes, words) in table {
        assert!((bytes.len() as u64) < SIZE / 500, "{what}: {}", bytes.len());
        let project = with(&evil(), bytes);
        if what != "control files" {
            project.run(&["lock"]).good();
        }
        let start = Instant::now();
        let mut limited = Command::new("sh");
        let build = "ulimit -v 4000000; exec \"$0\" build --threads 2";
        limited.args(["-c", build, env!("CARGO_BIN_EXE_sockel")]).current_dir(project.path("."));
        let error = answer(limited.env_clear().env("SOCKEL_STORE", project.path("store"))).stderr;
        for word in words {
            assert!(error.contains(word), "{what}: `{word}` is missing in\n{error}");
        }
        assert!(start.elapsed() < QUICK, "{what}: took {:?}", start.elapsed());
        assert_eq!(traces(&project), Vec::<String>::new(), "{what}");
        let kept: u64 =
            files(&project.path("store")).iter().filter_map(|file| fs::size(&project.path("store").join(file))).sum();
        assert!(kept < 64 << 20, "{what}: {kept} bytes are kept");
    }
}

#[test]
fn many_paths_take_no_long_time() {
    let mut deb = evil();
    for number in 0..20_000 {
        deb = deb.file(&format!("/usr/share/many/{number}"), b"", 0o644);
    }
    let project = with(&deb, deb.build(Compression::Zstd));
    let start = Instant::now();
    project.run(&["build", "base"]).good();
    assert!(start.elapsed() < QUICK, "took {:?}", start.elapsed());
    assert!(Image::read(&project.path("out"), "base:1").get("usr/share/many/19999").is_some());
    // deep, but not too deep
    let mut deb = evil();
    for number in 0..100 {
        deb = deb.file(&format!("/usr/{}{number}", "d/".repeat(1000 + number)), b"", 0o644);
    }
    let project = with(&deb, deb.build(Compression::Zstd));
    let start = Instant::now();
    project.run(&["build", "base"]).good();
    assert!(start.elapsed() < QUICK, "took {:?}", start.elapsed());
}

#[test]
fn damaged_packages_are_refused() {
    let good = evil().file("/usr/x", &[b'x'; 9000], 0o644);
    let whole = good.build(Compression::None);
    // the index agrees with the bytes: only their structure is wrong
    for (what, bytes) in [
        ("cut off", whole[..whole.len() - 4000].to_vec()),
        ("something behind the end", [&whole[..], &deb::archive(&[("evil", b"x\n")])[8..]].concat()),
    ] {
        let project = with(&good, bytes);
        project.run(&["lock"]).good();
        refused(what, &project, &["`evil`"]);
    }
    // not what the index says
    for (what, other) in [
        ("another version", Deb::new("evil", "2")),
        ("another name", Deb::new("good", "1")),
        ("another architecture", evil().architecture("arm64")),
    ] {
        let project = with(&evil(), other.build(Compression::Gzip));
        let error = project.run(&["lock"]).fails(3);
        assert!(error.contains("`evil`") && error.contains("the index says"), "{what}: {error}");
        assert_eq!(traces(&project), Vec::<String>::new(), "{what}");
        assert!(!project.path("base-images/base.lock.yaml").exists(), "{what}");
    }
    // not what was locked
    let project = with(&good, whole.clone());
    project.run(&["lock"]).good();
    sockel::sys::fs::remove_dir(&project.path("store")).expect("removed");
    let mut tampered = whole;
    let last = tampered.len() - 9000;
    tampered[last] ^= 1;
    project.server.put(&format!("{ROOT}/pool/evil_1.deb"), &tampered);
    let error = project.run(&["build"]).fails(3);
    assert!(error.contains("has digest") && error.contains("hint: a proxy or mirror"), "{error}");
    assert_eq!((traces(&project), unpacked(&project)), (Vec::new(), 0));
}

#[test]
fn unknown_scripts_are_shown() {
    let deb = evil().script("postinst", "#!/bin/sh\nuseradd evil\n\u{1b}[31mred\n");
    let project = with(&deb, deb.build(Compression::Gzip));
    let error = project.run(&["lock"]).fails(1);
    for word in ["evil", "postinst", "useradd evil", "accounts", "recipes/scripts.yaml", "sha256"] {
        assert!(error.contains(word), "`{word}` is missing in\n{error}");
    }
    assert!(!error.contains('\u{1b}'), "{error}");
    assert!(!project.path("base-images/base.lock.yaml").exists());
    let digest = sockel::values::Digest::of(b"#!/bin/sh\nuseradd evil\n\x1b[31mred\n");
    let entry = "scripts:\n  - package: evil\n    script: postinst\n    decision: not-needed\n    reason: a test\n";
    let entry = format!("format: 1\n{entry}    sha256: [ {} ]\n", digest.hex());
    project.write("recipes/scripts.yaml", &entry);
    project.run(&["lock"]).good();
}

#[test]
fn impossible_recipes_are_explained() {
    let table: [(&str, &str, &str, &[&str]); 9] = [
        ("recipes/runtime.yaml", "from: base", "from: app", &["recipes/runtime.yaml:", "runtime", "app"]),
        ("recipes/base.yaml", "packages:", "packagse:", &["recipes/base.yaml:", "packages"]),
        ("recipes/app.yaml", "/etc/app.conf", "/etc/${nonsense}", &["recipes/app.yaml:", "nonsense"]),
        ("base-images/app.yaml", "recipe: app", "recipe: ap", &["base-images/app.yaml:", "app"]),
        ("base-images/app.yaml", "recipe: app", "recipe: app\nwith: { nonsense: 1 }", &["nonsense", "-->"]),
        ("base-images/app.yaml", "recipe: app", "recipe: app\nwith: { release: 3 }", &["release", "-->"]),
        ("recipes/app.yaml", "packages: [ app ]", "packages: [ app, nosuch ]", &["`app`", "nosuch"]),
        ("recipes/app.yaml", "packages: [ app ]", "packages: [ app, foe ]", &["foe", "runtime"]),
        ("recipes/app.yaml", "packages: [ app ]", "packages: [ \"app (>= 9)\" ]", &["app", "9"]),
    ];
    let mut project = Project::new();
    let mut all = packages();
    all.push(Deb::new("foe", "1").field("Conflicts", "runtime"));
    project.publish(&all);
    for (path, from, to, words) in table {
        let old = project.text(path);
        project.edit(path, from, to);
        let error = project.run(&["lock"]).fails(1);
        for word in words {
            assert!(error.contains(word), "{to}: `{word}` is missing in\n{error}");
        }
        assert!(!project.path("base-images/app.lock.yaml").exists(), "{to}");
        project.write(path, &old);
    }
    project.run(&["lock"]).good();
}
