//! Packages that want to do harm, and recipes that cannot be: a clear answer, and nothing written.

use crate::support::deb;
use crate::support::deb::Compression;
use crate::support::deb::Deb;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::files;
use crate::support::project::packages;
use liblzma::stream::Check;
use liblzma::stream::MtStreamBuilder;
use liblzma::write::XzEncoder;
use sockel::sys::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
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
    let table: [(&str, Deb, &[&str]); 15] = [
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
        (
            "hard link to a host file",
            evil().hardlink("/usr/evil", "/etc/passwd"),
            &["`evil`", "does not come before it"],
        ),
        ("hard link to itself", evil().hardlink("/usr/evil", "/usr/evil"), &["`evil`", "does not come before it"]),
        (
            "no owner",
            evil().file("/usr/x", b"x", 0o644).owner(u64::from(u32::MAX), 0),
            &["`/usr/x`", "owner 4294967295"],
        ),
        ("a long owner", evil().file("/usr/x", b"x", 0o644).owner(1 << 32, 0), &["`/usr/x`", "owner 4294967296"]),
        ("a long group", evil().link("/usr/x", "y").owner(0, 1 << 40), &["`/usr/x`", "group 1099511627776"]),
        ("too deep", evil().file(&deep, b"x", 0o644), &["`evil`", "a path of more than 4096 bytes"]),
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

/// A block of an xz stream, which may stand in it many times, and its line in the index.
struct Block {
    begin: Vec<u8>,
    block: Vec<u8>,
    record: Vec<u8>,
    end: Vec<u8>,
}

impl Block {
    /// Compresses to one block that says how large it is, so that threads decode several of them at the same time.
    fn of(content: &[u8]) -> Self {
        let mut stream = MtStreamBuilder::new();
        stream.preset(6).threads(1).block_size(content.len() as u64).check(Check::Crc32);
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream.encoder().unwrap());
        encoder.write_all(content).unwrap();
        let whole = encoder.finish().unwrap();
        let (inner, end) = whole[12..].split_at(whole.len() - 24);
        let (block, index) = inner.split_at(inner.len() - (le32(&end[4..]) as usize + 1) * 4);
        // indicator and number of records before, padding and checksum behind
        let numbers = index[2..index.len() - 4].split_inclusive(|byte| byte & 0x80 == 0);
        let record = numbers.take(2).flatten().copied().collect();
        Self { begin: whole[..12].to_vec(), block: block.to_vec(), record, end: end.to_vec() }
    }

    /// Returns one stream (xz file format §2, §4) of blocks, each repeated so often.
    fn stream(parts: &[(&Self, u64)]) -> Vec<u8> {
        let repeated = |(part, times): &(&Self, u64), bytes: fn(&Self) -> &Vec<u8>| {
            bytes(part).repeat(usize::try_from(*times).unwrap())
        };
        let (mut index, mut count) = (vec![0], parts.iter().map(|(_, times)| times).sum::<u64>());
        while count >= 0x80 {
            index.push(0x80 | (count & 0x7f) as u8);
            count >>= 7;
        }
        index.push(count as u8);
        index.extend(parts.iter().flat_map(|part| repeated(part, |part| &part.record)));
        index.resize(index.len().next_multiple_of(4), 0);
        index.extend(crc32(&index).to_le_bytes());
        let (first, _) = parts[0];
        let mut end = first.end.clone();
        end[4..8].copy_from_slice(&(index.len() as u32 / 4 - 1).to_le_bytes());
        let sum = crc32(&end[4..10]);
        end[..4].copy_from_slice(&sum.to_le_bytes());
        let blocks = parts.iter().flat_map(|part| repeated(part, |part| &part.block));
        first.begin.iter().copied().chain(blocks).chain(index).chain(end).collect()
    }
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Runs a command to its end; returns what it said, and its peak of resident memory in KiB as the kernel counts it.
pub(crate) fn watched(command: &mut Command) -> (String, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_text(Path::new(&status), 1 << 16).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    (String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap(), peak)
}

/// Returns a .deb with these members, which are compressed already.
fn bomb(control: &[u8], (ending, data): (&str, &[u8])) -> Vec<u8> {
    deb::archive(&[("debian-binary", b"2.0\n"), ("control.tar.zst", control), (&format!("data.tar{ending}"), data)])
}

/// What bombs become, and what is said of them.
const SIZE: u64 = 10 << 30;
const LIMIT: [&str; 2] = ["`evil`", "4294967296 bytes"];

/// Returns the head of a file of this size, with another name each time.
fn announced(size: u64) -> tar::Header {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut header = tar::Header::new_gnu();
    header.set_path(format!("usr/large{}", NUMBER.fetch_add(1, Ordering::Relaxed))).unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// 10 GB in some hundred KB, from a signed archive: streams that really have them, or that only announce them.
#[test]
fn bombs_do_not_go_off() {
    let announced = |compression| deb::compress(announced(SIZE).as_bytes(), compression);
    let control = deb::compress(&evil().control_tar(), Compression::Zstd);
    let after = |first: Vec<u8>, zeros: Vec<u8>| [first, zeros].concat();
    let table: [(&str, Vec<u8>, [&str; 2]); 6] = [
        ("a file, zstd", bomb(&control, (".zst", &after(announced(Compression::Zstd), zeros(SIZE)))), LIMIT),
        ("a file, gzip", bomb(&control, (".gz", &after(announced(Compression::Gzip), gzip_zeros(SIZE)))), LIMIT),
        ("a file, xz", bomb(&control, (".xz", &announced(Compression::Xz))), LIMIT),
        ("zeros behind the end, zstd", bomb(&control, (".zst", &zeros(SIZE))), LIMIT),
        ("zeros behind the end, gzip", bomb(&control, (".gz", &gzip_zeros(SIZE))), LIMIT),
        ("control files", bomb(&zeros(SIZE), (".zst", &zeros(1 << 20))), ["`evil 1`", "16777216 bytes"]),
    ];
    for (what, bytes, words) in table {
        does_not_go_off(what, bytes, words);
    }
}

/// 64 MiB of zeros become 10 KB, and with 160 times the same block they are 10 GB that are really there.
fn xz_zeros() -> (Block, u64) {
    const PART: usize = 64 << 20;
    (Block::of(&vec![0; PART]), SIZE / PART as u64)
}

#[test]
fn bombs_of_xz_do_not_go_off() {
    let control = deb::compress(&evil().control_tar(), Compression::Zstd);
    let (zeros, times) = xz_zeros();
    let file = Block::stream(&[(&Block::of(announced(SIZE).as_bytes()), 1), (&zeros, times)]);
    does_not_go_off("a file that is there, xz", bomb(&control, (".xz", &file)), LIMIT);
}

/// 4 GB are decoded, and of files that lie within the limit written, before the limit is met.
#[test]
#[ignore = "takes half a minute and 4 GB of disk space; tests/live/bomb.sh runs it"]
fn slow_bombs_of_xz_do_not_go_off() {
    let control = deb::compress(&evil().control_tar(), Compression::Zstd);
    let (zeros, times) = xz_zeros();
    let behind = Block::stream(&[(&zeros, times)]);
    does_not_go_off("zeros behind the end, xz", bomb(&control, (".xz", &behind)), LIMIT);
    let heads: Vec<Block> = (0..10).map(|_| Block::of(announced(SIZE / 10).as_bytes())).collect();
    let files: Vec<(&Block, u64)> = heads.iter().flat_map(|head| [(head, 1), (&zeros, times / 10)]).collect();
    does_not_go_off("files that are there, xz", bomb(&control, (".xz", &Block::stream(&files))), LIMIT);
}

/// Builds with this package; it is refused at once, in little memory, and leaves nothing.
#[track_caller]
fn does_not_go_off(what: &str, bytes: Vec<u8>, words: [&str; 2]) {
    let length = bytes.len();
    assert!((length as u64) < SIZE / 500, "{what}: {length}");
    let project = with(&evil(), bytes);
    if what != "control files" {
        project.run(&["lock"]).good();
    }
    let start = Instant::now();
    let mut limited = Command::new("sh");
    let build = "ulimit -v 4000000; exec \"$0\" build --threads 16";
    limited.args(["-c", build, env!("CARGO_BIN_EXE_sockel")]).current_dir(project.path("."));
    let (error, peak) = watched(limited.env_clear().env("SOCKEL_STORE", project.path("store")));
    println!("{what}: {length} bytes, peak of {} MiB, {:?}", peak >> 10, start.elapsed());
    for word in words {
        assert!(error.contains(word), "{what}: `{word}` is missing in\n{error}");
    }
    assert!(start.elapsed() < QUICK, "{what}: took {:?}", start.elapsed());
    assert!((1 << 10..256 << 10).contains(&peak), "{what}: peak of {peak} KiB");
    assert_eq!(traces(&project), Vec::<String>::new(), "{what}");
    let kept: u64 =
        files(&project.path("store")).iter().filter_map(|file| fs::size(&project.path("store").join(file))).sum();
    assert!(kept < 64 << 20, "{what}: {kept} bytes are kept");
}

/// As many paths as a package may have take no more memory than a build may, and more are refused.
#[test]
fn many_paths_take_no_more_memory_than_a_build_may() {
    for (count, refused) in [(99_000, false), (101_000, true)] {
        let mut deb = evil();
        for number in 0..count {
            deb = deb.file(&format!("/usr/share/many/{number}"), b"", 0o644);
        }
        let project = with(&deb, deb.build(Compression::Zstd));
        project.run(&["lock", "base"]).good();
        let (error, peak) = watched(&mut project.command(&["build", "base"]));
        println!("{count} paths: peak of {} MiB", peak >> 10);
        assert!((1 << 10..256 << 10).contains(&peak), "{count} paths: peak of {peak} KiB");
        assert_eq!(error.contains("it has more than 100000 paths"), refused, "{error}");
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
    for word in ["evil", "postinst", "useradd evil", "account evil", "recipes/scripts.yaml", "sha256"] {
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

/// To every runtime and scanner such a name deletes what a lower layer has (image-spec layer.md, "Whiteouts").
#[test]
fn whiteouts_in_packages_are_refused() {
    let table: [(&str, Deb); 8] = [
        ("file", evil().file("/var/lib/dpkg/status.d/.wh.libc", b"", 0o644)),
        ("opaque", evil().file("/etc/.wh..wh..opq", b"", 0o644)),
        ("reserved", evil().file("/etc/.wh..wh.plnk", b"", 0o644)),
        ("folder", evil().dir("/etc/.wh.d").file("/etc/.wh.d/evil", b"x", 0o644)),
        ("empty folder", evil().dir("/etc/.wh.d")),
        ("link", evil().link("/etc/.wh.base.conf", "x")),
        ("target", evil().link("/etc/x", "../var/.wh.x/y")),
        ("hard link", evil().file("/etc/x", b"x", 0o644).hardlink("/etc/.wh.base.conf", "/etc/x")),
    ];
    for (what, deb) in table {
        let bytes = deb.build(Compression::Gzip);
        refused(what, &with(&deb, bytes), &["`evil`", ".wh.", "delete files of lower layers"]);
    }
}

#[test]
fn whiteouts_in_recipes_are_refused_where_they_stand() {
    let table = [
        "files: { /var/lib/dpkg/status.d/.wh.libc: { content: \"\" } }",
        "files: { /etc/.wh..wh..opq: { content: \"\" } }",
        "files: { /etc/.wh.d/x: { content: \"\" } }",
        "directories: { /etc/.wh.d: {} }",
        "links: { /etc/.wh.base.conf: x }",
        "links: { /etc/x: ../.wh.x }",
        "copy: { /etc/.wh.base.conf: { from: /etc/base.conf } }",
        "copy: { /etc/x: { from: /etc/.wh.base.conf } }",
    ];
    for more in table {
        let project = Project::new();
        let recipe = project.text("recipes/runtime.yaml");
        project.write("recipes/runtime.yaml", &format!("{}\n{more}\n", recipe.trim_end()));
        let error = project.run(&["lock"]).fails(1);
        assert!(error.contains("recipes/runtime.yaml:") && error.contains("whiteout"), "{more}: {error}");
        assert!(error.contains(more), "the line is shown: {error}");
    }
    // names that only look similar are names
    let project = Project::new();
    project.edit("recipes/app.yaml", "files: {", "files: { /etc/.whx: { content: x }, /etc/a.wh.b: { content: x },");
    project.run(&["build"]).good();
    // values fill names in
    let project = Project::new();
    let recipe = project.text("recipes/runtime.yaml");
    let more = "parameters: { x: { default: \".wh.libc\", title: X } }\nfiles: { \"/etc/${x}\": { content: \"\" } }";
    project.write("recipes/runtime.yaml", &format!("{}\n{more}\n", recipe.trim_end()));
    let error = project.run(&["build"]).fails(1);
    assert!(error.contains("whiteout"), "{error}");
    // and so do the files of a folder
    let project = Project::new();
    project.write("recipes/cas/.wh.a.crt", include_str!("../../src/layer/generate/testdata/root.pem"));
    project.edit("recipes/base.yaml", "generate:", "certificates: { bundle: true, extra: cas }\ngenerate:");
    let error = project.run(&["build"]).fails(1);
    assert!(error.contains("recipes/base.yaml:") && error.contains(".wh.a.crt"), "{error}");
}
/// Paths that steer a terminal, begin a line that a CI system obeys, or look like another path.
#[test]
fn what_a_package_says_is_shown_and_not_obeyed() {
    let names = [
        "/usr/../\x1b]0;owned\x07\x1b[31mRED\n::error::x",
        "/usr/../\r\n##[error]x\n  ::set-output name=a::b",
        "/usr/../\u{202e}txt.exe\u{2066}\u{200b}\u{9b}2J",
        "/usr/../section_start:1:x\r\x1b[0K",
    ];
    for name in names {
        let deb = evil().file(name, b"x", 0o644);
        let project = with(&deb, deb.build(Compression::Gzip));
        for form in [
            &["build"][..],
            &["--log-format", "json", "build"],
            &["--format", "json", "build"],
            &["--color", "always", "build"],
        ] {
            let answer = project.run(form);
            let text = format!("{}{}", answer.stdout, answer.stderr);
            assert!(text.contains("evil"), "{name:?}: {text}");
            // colours are ours
            let text = ["\u{1b}[31m", "\u{1b}[33m", "\u{1b}[36m", "\u{1b}[1m", "\u{1b}[0m"]
                .iter()
                .fold(text, |text, color| if form.contains(&"always") { text.replace(color, "") } else { text });
            let steers = |c: &char| c.is_control() && *c != '\n' || ('\u{200b}'..='\u{206f}').contains(c);
            assert_eq!(text.chars().find(steers), None, "{form:?} {text}");
            let obeyed = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[");
            assert_eq!(text.lines().find(obeyed), None, "{form:?}");
        }
    }
}
