//! Contract of the generators, on small trees; certificates also against the tools that they replace.

use super::*;
use crate::recipe::CertificateStores;
use crate::recipe::UserAccount;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::text;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const ROOT: &str = include_str!("testdata/root.pem");
const TWIN: &str = include_str!("testdata/twin.pem");
const MULTI: &str = include_str!("testdata/multi.pem");
const LEAF: &str = include_str!("testdata/leaf.pem");

fn tree(files: &[(&str, &str)]) -> Tree {
    let origin = || EntryOrigin::Package("test".to_owned());
    let new = |path: &str, kind, mode| TreeEntry { origin: origin(), ..entry("", path, kind, mode) };
    let one = |(path, text): &(&str, &str)| match (path.strip_suffix('/'), text.strip_prefix("->")) {
        (Some(folder), _) => new(folder, EntryKind::Directory, 0o755),
        (_, Some(target)) => new(path, EntryKind::Symlink(target.to_owned()), 0o777),
        _ => new(path, EntryKind::File(FileContent::inline(text.as_bytes())), 0o644),
    };
    files.iter().map(one).collect()
}

fn run(levels: &[LevelDefinition], lower: &Tree, level: &Tree) -> Result<Vec<TreeEntry>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let contents = ContentReader::new(&store);
    let made =
        generate(&GeneratorInput { levels, architecture: Architecture::Amd64, lower, level, contents: &contents })?;
    assert!(made.iter().all(|entry| entry.mtime == CONTENT_MTIME && matches!(entry.origin, EntryOrigin::Generator(_))));
    Ok(made)
}

/// Runs the last level and shows one line a path.
fn lines(levels: &[LevelDefinition], lower: &Tree, level: &Tree) -> String {
    match run(levels, lower, level) {
        Ok(made) => made.iter().map(|entry| format!("{}\n", text::line(entry))).collect(),
        Err(error) => format!("{error}\n"),
    }
}

fn bytes<'a>(made: &'a [TreeEntry], path: &str) -> &'a [u8] {
    let entry = made.iter().find(|entry| entry.path == path).unwrap_or_else(|| panic!("{path} is missing"));
    match entry.content() {
        Some(FileContent { source: crate::tree::ContentSource::Inline(bytes), .. }) => bytes,
        _ => panic!("{path} is no inline file"),
    }
}

fn text_of(made: &[TreeEntry], path: &str) -> String {
    String::from_utf8(bytes(made, path).to_vec()).unwrap()
}

fn naming(generators: &[&str]) -> LevelDefinition {
    LevelDefinition {
        generate: generators.iter().map(|name| (*name).to_owned()).collect(),
        ..LevelDefinition::default()
    }
}

/// A level above the root, where accounts are not written by default.
fn child(level: LevelDefinition) -> [LevelDefinition; 2] {
    [LevelDefinition::default(), level]
}

fn user(uid: u32, group: &str) -> UserAccount {
    let (home, shell) = ("/home/app".to_owned(), "/usr/sbin/nologin".to_owned());
    UserAccount { uid, group: group.to_owned(), home, shell, comment: "application".to_owned() }
}

#[test]
fn the_root_has_locked_accounts() {
    let made = run(&[LevelDefinition::default()], &Tree::default(), &Tree::default()).unwrap();
    insta::assert_snapshot!(made.iter().map(|entry| format!("{}\n{}", text::line(entry), text_of(&made, &entry.path))).collect::<String>(), @r"
    /etc/group 0644 0:0 40 ac9319190c4a
    root:x:0:
    shadow:x:42:
    nogroup:x:65534:
    /etc/gshadow 0640 0:42 32 0c914338e0b2
    root:*::
    shadow:*::
    nogroup:*::
    /etc/passwd 0644 0:0 99 dc11ec0155b3
    root:x:0:0:root:/root:/usr/sbin/nologin
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
    /etc/shadow 0640 0:42 30 2e1d7c44ae3d
    root:*:::::::
    nobody:*:::::::
    ");
}

#[test]
fn a_child_adds_accounts_and_homes() {
    let level = LevelDefinition {
        groups: BTreeMap::from([("app".to_owned(), 10001)]),
        users: BTreeMap::from([("app".to_owned(), user(10001, "app"))]),
        ..LevelDefinition::default()
    };
    let levels = child(level);
    let made = run(&levels, &Tree::default(), &Tree::default()).unwrap();
    insta::assert_snapshot!(text_of(&made, "etc/passwd"), @r"
    root:x:0:0:root:/root:/usr/sbin/nologin
    app:x:10001:10001:application:/home/app:/usr/sbin/nologin
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
    ");
    insta::assert_snapshot!(text_of(&made, "etc/shadow"), @r"
    root:*:::::::
    app:!*:::::::
    nobody:*:::::::
    ");
    let home = made.iter().find(|entry| entry.path == "home/app").unwrap();
    assert_eq!(text::line(home), "/home/app/ 0750 10001:10001");
    assert!(made.iter().filter(|entry| entry.path.starts_with("etc/")).all(|entry| may_replace(
        "accounts",
        &entry.path,
        &levels
    )));
    let lower: Tree = made.into_iter().collect();
    assert_eq!(lines(&levels, &lower, &Tree::default()), "", "nothing is written twice");
    let third = [&levels[..], &[LevelDefinition::default()]].concat();
    assert_eq!(lines(&third, &Tree::default(), &Tree::default()), "", "nobody asked");
}

#[test]
fn all_bad_accounts_are_named_at_once() {
    let mut users = BTreeMap::from([
        ("Bad".to_owned(), user(10001, "app")),
        ("colon".to_owned(), UserAccount { comment: "a:b".to_owned(), home: "x".to_owned(), ..user(10002, "missing") }),
        ("root".to_owned(), user(65534, "app")),
        ("same".to_owned(), user(10001, "app")),
        ("zero".to_owned(), UserAccount { shell: "/bin/../sh\n".to_owned(), ..user(0, "app") }),
    ]);
    users.insert("x".repeat(33), user(u32::MAX, "app"));
    let groups = BTreeMap::from([("app".to_owned(), 10001), ("shadow".to_owned(), 42), ("two".to_owned(), 10001)]);
    let level = LevelDefinition { users, groups, ..LevelDefinition::default() };
    insta::assert_snapshot!(lines(&[level], &Tree::default(), &Tree::default()), @r"
    cannot add group `shadow`: the name is taken
    cannot add group `shadow`: id 42 belongs to group `shadow`
    cannot add group `two`: id 10001 belongs to group `app`
    cannot add user `Bad`: a name has 1 to 32 of `a`-`z`, digits, `_`, `-`, and begins with a letter or `_`
    cannot add user `colon`: the comment holds a colon, line end or control character
    cannot add user `colon`: the home is not an absolute path in normal form
    cannot add user `colon`: there is no group `missing`
    cannot add user `root`: the name is taken
    cannot add user `root`: id 65534 is reserved
    cannot add user `same`: id 10001 belongs to user `Bad`
    cannot add user `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: a name has 1 to 32 of `a`-`z`, digits, `_`, `-`, and begins with a letter or `_`
    cannot add user `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: id 4294967295 is reserved
    cannot add user `zero`: the shell holds a colon, line end or control character
    cannot add user `zero`: the shell is not an absolute path in normal form
    cannot add user `zero`: id 0 belongs to user `root`
    ");
}

#[test]
fn the_skeleton_replaces_empty_folders_by_links() {
    let packages = tree(&[
        ("bin/", ""),
        ("etc/dpkg/origins/debian", ""),
        ("etc/dpkg/origins/ubuntu", ""),
        ("lib", "->usr/lib"),
        ("tmp/", ""),
        ("usr/lib64/", ""),
        ("var/run/", ""),
    ]);
    insta::assert_snapshot!(lines(&child(naming(&["filesystem"])), &Tree::default(), &packages), @r"
    /bin -> usr/bin
    /boot/ 0755 0:0
    /dev/ 0755 0:0
    /etc/ 0755 0:0
    /etc/dpkg/origins/default -> ubuntu
    /etc/opt/ 0755 0:0
    /home/ 0755 0:0
    /lib64 -> usr/lib64
    /media/ 0755 0:0
    /mnt/ 0755 0:0
    /opt/ 0755 0:0
    /proc/ 0755 0:0
    /root/ 0700 0:0
    /run/ 0755 0:0
    /run/lock/ 1777 0:0
    /sbin -> usr/sbin
    /srv/ 0755 0:0
    /sys/ 0755 0:0
    /tmp/ 1777 0:0
    /usr/ 0755 0:0
    /usr/bin/ 0755 0:0
    /usr/lib/ 0755 0:0
    /usr/local/ 0755 0:0
    /usr/local/bin/ 0755 0:0
    /usr/local/etc/ 0755 0:0
    /usr/local/lib/ 0755 0:0
    /usr/local/sbin/ 0755 0:0
    /usr/local/share/ 0755 0:0
    /usr/sbin/ 0755 0:0
    /usr/share/ 0755 0:0
    /var/ 0755 0:0
    /var/cache/ 0755 0:0
    /var/lib/ 0755 0:0
    /var/lock -> /run/lock
    /var/log/ 0755 0:0
    /var/opt/ 0755 0:0
    /var/run -> /run
    /var/spool/ 0755 0:0
    /var/tmp/ 1777 0:0
    ");
    let packages = tree(&[("bin/", ""), ("bin/sh", ""), ("var/lock/x", ""), ("var/lock/", "")]);
    insta::assert_snapshot!(lines(&child(naming(&["filesystem"])), &Tree::default(), &packages), @r"
    cannot make `/bin` a link to `usr/bin`: package test brings `/bin/sh`
    cannot make `/var/lock` a link to `/run/lock`: package test brings `/var/lock/x`
    ");
}

/// Generator, files of the tree, part of the expected lines (nothing for no lines).
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn small_files_come_from_packages_or_fail() {
    let locale = ("usr/lib/locale/C.utf8/LC_CTYPE", "x");
    let debian = "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n";
    let ubuntu = "NAME=Ubuntu\nID=ubuntu\nVERSION_ID=\"26.04\"\n";
    let lsb = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=26.04\n";
    let release = "usr/lib/os-release";
    let table: [Case<'_>; 14] = [
        ("nsswitch", &[("usr/share/libc-bin/nsswitch.conf", "a")], "/etc/nsswitch.conf 0644 0:0 1 ca978112ca1b"),
        ("nsswitch", &[("usr/share/base-files/nsswitch.conf", "a")], "/etc/nsswitch.conf 0644 0:0 1 ca978112ca1b"),
        ("nsswitch", &[("etc/nsswitch.conf", "a")], ""),
        ("locale", &[locale], "/etc/default/locale 0644 0:0 13 89dd29db91ea"),
        ("locale", &[], "`/usr/lib/locale/C.utf8/LC_CTYPE` is missing, `LANG=C.UTF-8` would silently mean ASCII"),
        ("os-release", &[(release, debian), ("etc/debian_version", "12")], "/etc/os-release -> ../usr/lib/os-release"),
        (
            "os-release",
            &[(release, debian), ("etc/debian_version", "12"), ("etc/os-release", "->../usr/lib/os-release")],
            "",
        ),
        ("os-release", &[(release, debian)], "`/etc/debian_version` is missing"),
        ("os-release", &[(release, ubuntu), ("etc/lsb-release", lsb)], "/etc/os-release -> ../usr/lib/os-release"),
        ("os-release", &[(release, ubuntu)], "`/etc/lsb-release` is missing"),
        ("os-release", &[(release, ubuntu), ("etc/lsb-release", "DISTRIB_ID=")], "no `DISTRIB_RELEASE`"),
        ("os-release", &[(release, "ID=alpine")], "no `VERSION_ID`"),
        ("os-release", &[], "`/usr/lib/os-release` is missing, scanners would report no vulnerabilities at all"),
        ("nonsense", &[], "cannot generate `nonsense` for recipe ``: there is no such generator"),
    ];
    for (generator, files, expected) in table {
        let found = lines(&child(naming(&[generator])), &tree(files), &Tree::default());
        assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{generator}: {found}");
    }
}

#[test]
fn the_time_zone_must_exist() {
    let zones = tree(&[("usr/share/zoneinfo/Etc/UTC", "TZif"), ("usr/share/zoneinfo/UTC", "->Etc/UTC")]);
    let table = [
        ("Etc/UTC", "/etc/localtime -> /usr/share/zoneinfo/Etc/UTC\n/etc/timezone 0644 0:0 8"),
        ("UTC", "/etc/localtime -> /usr/share/zoneinfo/UTC\n"),
        ("Europe/Berlin", "`/usr/share/zoneinfo/Europe/Berlin` is missing"),
        ("Etc", "is missing"),
        ("../../../etc/shadow", "cannot use time zone"),
        ("", "cannot use time zone"),
    ];
    for (zone, expected) in table {
        let level = LevelDefinition { localtime: Some(zone.to_owned()), ..LevelDefinition::default() };
        let found = lines(&child(level), &Tree::default(), &zones);
        assert!(found.contains(expected), "{zone}: {found}");
    }
}

fn trusting(extra: &[(&str, &str)]) -> LevelDefinition {
    let extra = extra.iter().map(|(name, pem)| ((*name).to_owned(), (*pem).to_owned())).collect();
    let java_trust_store = Some("/etc/ssl/certs/java/cacerts".to_owned());
    LevelDefinition {
        certificates: CertificateStores { bundle: true, extra, java_trust_store },
        ..LevelDefinition::default()
    }
}

#[test]
fn certificates_are_linked_by_name_and_hash() {
    let packages = tree(&[
        ("usr/share/ca-certificates/mozilla/Root (A, B).crt", ROOT.trim_end()),
        ("usr/share/ca-certificates/mozilla/readme", "x"),
    ]);
    let levels = child(trusting(&[("a.pem", TWIN), ("both.crt", &format!("{MULTI}\n{ROOT}"))]));
    let made = run(&levels, &Tree::default(), &packages).unwrap();
    insta::assert_snapshot!(made.iter().map(|entry| format!("{}\n", text::line(entry))).collect::<String>(), @r"
    /etc/ca-certificates.conf 0644 0:0 178 91581f84dc1f
    /etc/ssl/certs/00114b81.0 -> Root_=A__B=.pem
    /etc/ssl/certs/00114b81.1 -> a.pem
    /etc/ssl/certs/Root_=A__B=.pem -> /usr/share/ca-certificates/mozilla/Root (A, B).crt
    /etc/ssl/certs/a.pem -> /usr/local/share/ca-certificates/a.crt
    /etc/ssl/certs/both-1.pem -> /usr/local/share/ca-certificates/both-1.crt
    /etc/ssl/certs/both-2.pem -> /usr/local/share/ca-certificates/both-2.crt
    /etc/ssl/certs/ca-certificates.crt 0644 0:0 2972 aa514c394c2d
    /etc/ssl/certs/f9bd315b.0 -> both-1.pem
    /etc/ssl/certs/java/cacerts 0644 0:0 2229 5cc0ece8d270
    /usr/local/share/ca-certificates/a.crt 0644 0:0 733 479f62966e1c
    /usr/local/share/ca-certificates/both-1.crt 0644 0:0 749 09ffcfd814fd
    /usr/local/share/ca-certificates/both-2.crt 0644 0:0 745 34f090472e60
    ");
    assert_eq!(text_of(&made, "etc/ssl/certs/ca-certificates.crt"), [ROOT, TWIN, MULTI, ROOT].concat());
    insta::assert_snapshot!(text_of(&made, "etc/ca-certificates.conf"), @r"
    # Certificates below /usr/share/ca-certificates that are trusted; read by update-ca-certificates(8).
    # A line that begins with ! deselects a certificate.
    mozilla/Root (A, B).crt
    ");
    assert!(may_replace("trust-store", "etc/ssl/certs/java/cacerts", &levels));
    assert!(may_replace("certificates", "etc/ssl/certs/ca-certificates.crt", &levels));
    assert!(!may_replace("certificates", "etc/passwd", &levels));

    // a child that adds one keeps those of its parent, in both stores
    let lower: Tree = packages.iter().cloned().chain(made).collect();
    let child = trusting(&[("z.pem", MULTI)]);
    let child = LevelDefinition {
        certificates: CertificateStores { bundle: false, java_trust_store: None, ..child.certificates },
        ..child
    };
    let levels = [&levels[..], &[child]].concat();
    let made = run(&levels, &lower, &Tree::default()).unwrap();
    let paths: Vec<&str> = made.iter().map(|entry| entry.path.as_str()).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    etc/ssl/certs/ca-certificates.crt
    etc/ssl/certs/java/cacerts
    etc/ssl/certs/z.pem
    usr/local/share/ca-certificates/z.crt
    ");
    assert_eq!(text_of(&made, "etc/ssl/certs/ca-certificates.crt"), [ROOT, TWIN, MULTI, ROOT, MULTI].concat());
}

#[test]
fn all_bad_certificates_are_named_at_once() {
    let key = "-----BEGIN EC PRIVATE KEY-----\n";
    let level = trusting(&[
        ("leaf.pem", LEAF),
        ("key.pem", key),
        ("none.crt", "hello"),
        ("../up.pem", ROOT),
        ("name.txt", ROOT),
        ("same.crt", ROOT),
        ("same.pem", TWIN),
        ("SAME-as.pem", ROOT),
        ("same-AS.pem", ROOT),
    ]);
    insta::assert_snapshot!(lines(&child(level), &Tree::default(), &Tree::default()), @r"
    cannot trust `../up.pem`: the name is not `<name>.pem` or `<name>.crt` of letters, digits, `.`, `_`, `-`
    cannot trust `key.pem`: it holds a private key
    cannot trust `leaf.pem`: it holds a certificate that is not a CA's (basicConstraints CA:TRUE is missing)
    cannot trust `name.txt`: the name is not `<name>.pem` or `<name>.crt` of letters, digits, `.`, `_`, `-`
    cannot trust `none.crt`: it holds no PEM certificate
    cannot trust `same.pem`: another certificate has the same name
    cannot trust `/usr/local/share/ca-certificates/same-AS.crt`: `/usr/local/share/ca-certificates/SAME-as.crt` has the same name
    ");
    let forged = tree(&[("usr/share/ca-certificates/a\n!mozilla/b.crt", ROOT)]);
    assert!(lines(&child(trusting(&[])), &forged, &Tree::default()).contains("line end"));
    let nothing = lines(&child(trusting(&[])), &Tree::default(), &Tree::default());
    insta::assert_snapshot!(nothing, @"cannot generate `certificates`: `/usr/share/ca-certificates/**.crt` is missing, no server could be trusted");
}

/// A tree with the certificates of this machine's package.
fn real() -> Option<Tree> {
    let folder = Path::new("/usr/share/ca-certificates/mozilla");
    let names = fs::list(folder).ok()?;
    let read = |name: String| {
        let bytes = fs::read(&folder.join(&name), 1 << 20).unwrap();
        file("", &format!("usr/share/ca-certificates/mozilla/{name}"), bytes, 0o644)
    };
    Some(names.into_iter().map(read).collect())
}

#[test]
fn writes_what_update_ca_certificates_writes() {
    let Some(packages) = real() else { return println!("skipped: package ca-certificates is not installed") };
    let level = trusting(&[("zz-root.pem", ROOT), ("twin.pem", TWIN), ("Multi.pem", MULTI)]);
    let made = run(&child(level), &Tree::default(), &packages).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for sub in ["etc/ssl/certs", "hooks", "usr/local/share/ca-certificates", "usr/share/ca-certificates/mozilla"] {
        fs::create_dir(&root.join(sub)).unwrap();
    }
    for entry in
        packages.iter().chain(&made).filter(|entry| entry.path.ends_with(".crt") && entry.path.starts_with("usr/"))
    {
        fs::write_atomic(&root.join(&entry.path), bytes(std::slice::from_ref(entry), &entry.path)).unwrap();
    }
    fs::write_atomic(&root.join("etc/ca-certificates.conf"), bytes(&made, "etc/ca-certificates.conf")).unwrap();
    let mut command = Command::new("update-ca-certificates");
    let arguments = [
        ("--certsconf", "etc/ca-certificates.conf"),
        ("--certsdir", "usr/share/ca-certificates"),
        ("--localcertsdir", "usr/local/share/ca-certificates"),
        ("--etccertsdir", "etc/ssl/certs"),
        ("--hooksdir", "hooks"),
    ];
    for (flag, path) in arguments {
        command.arg(flag).arg(root.join(path));
    }
    match command.env("LC_ALL", "C").output() {
        Ok(output) if output.status.success() => {}
        other => return println!("skipped: update-ca-certificates does not work here: {other:?}"),
    }
    let store = root.join("etc/ssl/certs");
    let bundle = fs::read(&store.join("ca-certificates.crt"), 10 << 20).unwrap();
    assert!(bundle == bytes(&made, "etc/ssl/certs/ca-certificates.crt"));
    let inside = |entry: &&TreeEntry| entry.path.starts_with("etc/ssl/certs/") && !entry.path.contains("/java/");
    let ours: Vec<&TreeEntry> = made.iter().filter(inside).collect();
    let names: Vec<&str> = ours.iter().map(|entry| &entry.path["etc/ssl/certs/".len()..]).collect();
    assert_eq!(fs::list(&store).unwrap(), names);
    for entry in ours {
        let EntryKind::Symlink(target) = &entry.kind else { continue };
        let found = store.join(&entry.path["etc/ssl/certs/".len()..]).read_link().unwrap();
        let found = found.strip_prefix(root).map_or(found.clone(), |inner| Path::new("/").join(inner));
        assert_eq!(found, Path::new(target), "{}", entry.path);
    }
}

#[test]
fn java_reads_the_trust_store() {
    let Some(packages) = real() else { return println!("skipped: package ca-certificates is not installed") };
    let level = trusting(&[("Größe.pem", ROOT)]);
    assert!(run(&child(level), &Tree::default(), &packages).is_err(), "names are ASCII");
    let made = run(&child(trusting(&[("House-CA.pem", ROOT)])), &Tree::default(), &packages).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cacerts");
    fs::write_atomic(&path, bytes(&made, "etc/ssl/certs/java/cacerts")).unwrap();
    let mut command = Command::new("keytool");
    command.args(["-J-Duser.language=en", "-J-Duser.timezone=UTC", "-list", "-storepass", "changeit", "-keystore"]);
    let Ok(output) = command.arg(&path).output() else { return println!("skipped: there is no keytool command") };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let count = packages.len() + 1;
    assert!(text.contains(&format!("contains {count} entries")), "{text}");
    assert!(text.contains("Keystore type: JKS"), "{text}");
    assert!(text.contains("debian:house-ca.pem, Nov 23, 2026, trustedCertEntry"), "{text}");
    let fingerprint = |pem: &str| {
        let hex = crate::values::Digest::of(&x509::read_pem(pem).unwrap()[0].der).hex().to_uppercase();
        hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap().to_owned()).collect::<Vec<_>>().join(":")
    };
    assert!(text.contains(&fingerprint(ROOT)), "{text}");
    let damaged = fs::read(&path, 1 << 20).unwrap().into_iter().enumerate();
    let damaged: Vec<u8> = damaged.map(|(at, byte)| if at == 300 { !byte } else { byte }).collect();
    fs::write_atomic(&path, &damaged).unwrap();
    let mut command = Command::new("keytool");
    let refused = command.args(["-list", "-storepass", "changeit", "-keystore"]).arg(&path).output().unwrap();
    assert!(!refused.status.success(), "the seal is checked");
}

#[test]
fn names_and_versions_are_unique() {
    let names: Vec<&str> = versions().map(|(name, _)| name).collect();
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    assert!(plain_names().eq(["filesystem", "nsswitch", "locale", "os-release", "ld-so-cache"]));
}
