//! Contract of lock files: round trip, hostile input, determinism.

use super::*;

fn sample(packages: usize) -> Lock {
    let digest = Digest::of(b"");
    let package = |number: usize| LockedPackage {
        name: format!("lib{number}"),
        version: format!("1:{number}.10-0ubuntu8.6"),
        architecture: "amd64".to_owned(),
        source: format!("source{}", number / 2),
        source_version: (number.is_multiple_of(3)).then(|| "2.0~rc1+dfsg".to_owned()),
        from: "ubuntu/security".to_owned(),
        component: "main".to_owned(),
        path: format!("pool/main/l/lib/lib{number}_1%3a{number}_amd64.deb"),
        size: 1234,
        sha256: digest,
        sha512: "a".repeat(128),
        why: if number == 0 { "requested".to_owned() } else { "needed by lib0".to_owned() },
        phased: (number == 1).then_some(10),
    };
    let pocket = LockedPocket {
        archive: "ubuntu".to_owned(),
        pocket: "security".to_owned(),
        suite: "resolute-security".to_owned(),
        codename: "resolute".to_owned(),
        date: Epoch(1_795_411_845),
        valid_until: Some(Epoch(1_795_511_845)),
        inrelease: digest,
        signed_by: "F6ECB3762474EDA9D21B7022871920D1991BC93C".to_owned(),
    };
    let all: Vec<LockedPackage> = (0..packages).map(package).collect();
    let level = LockedLevel {
        recipe: "ubuntu".to_owned(),
        layers: vec![vec!["glibc".to_owned()], vec!["*".to_owned()]],
        packages: BTreeMap::from([
            ("linux/amd64".parse().unwrap(), all.clone()),
            ("linux/arm64".parse().unwrap(), all),
        ]),
        excluded: vec![ExcludedPackage {
            name: "ca-certificates-java".to_owned(),
            reason: "the \"trust store\": written by sockel\u{a0}# no".to_owned(),
            wanted_by: vec!["openjdk-25-jre-headless".to_owned()],
        }],
        scripts: vec![LockedScript {
            package: "libc6".to_owned(),
            script: "postinst".to_owned(),
            sha256: digest,
            decision: "reproduced by ld-so-cache".to_owned(),
        }],
    };
    Lock {
        format: FORMAT,
        engine: 1,
        image: "tomcat-11".to_owned(),
        epoch: Epoch(1_795_411_845),
        parameters: BTreeMap::from([("java".to_owned(), "25".to_owned()), ("on".to_owned(), "no".to_owned())]),
        inputs: BTreeMap::from([("recipes/ubuntu.yaml".to_owned(), digest)]),
        archives: vec![pocket],
        levels: vec![level],
    }
}

#[test]
fn reads_what_it_writes() {
    for packages in [0, 1, 4] {
        let lock = sample(packages);
        let text = lock.to_yaml();
        let read = Lock::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read, lock);
        assert_eq!(read.to_yaml(), text);
    }
    let mut empty = sample(0);
    empty.levels.clear();
    empty.archives.clear();
    empty.inputs.clear();
    assert_eq!(Lock::parse(&empty.to_yaml()).unwrap(), empty);
}

#[test]
fn is_pleasant_to_review() {
    let text = sample(1).to_yaml();
    let digest = Digest::of(b"");
    let package = format!(
        "        - {{ name: lib0, version: \"1:0.10-0ubuntu8.6\", architecture: amd64, why: requested,
            source: source0, source-version: \"2.0~rc1+dfsg\", from: ubuntu/security, component: main,
            path: \"pool/main/l/lib/lib0_1%3a0_amd64.deb\", size: 1234,
            sha256: \"{digest}\",
            sha512: \"{}\" }}\n",
        "a".repeat(128)
    );
    assert!(text.contains(&package), "{text}");
    assert!(text.starts_with("# written by sockel lock; review and commit, do not edit\nformat: 1\n"));
}

#[test]
fn any_text_survives() {
    for text in [
        "",
        " ",
        "a: b",
        "null",
        "Yes",
        "1.10",
        "0x1",
        "~",
        "- a",
        "#",
        "a #b",
        "ä",
        "a\nb\t\"\\",
        "\u{85}\u{2028}\u{feff}\u{7f}",
        "{a}",
        "a, b]",
        "@x",
        "%x",
    ] {
        let mut lock = sample(0);
        lock.levels[0].excluded[0].reason = text.to_owned();
        lock.parameters.insert(format!("k{text}"), text.to_owned());
        let yaml = lock.to_yaml();
        let read = Lock::parse(&yaml).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(read, lock, "{text:?}");
    }
}

#[test]
fn refuses_what_it_never_writes() {
    let good = sample(2).to_yaml();
    let table = [
        (
            "newer format",
            "format: 1",
            "format: 2\nfuture: yes",
            "cannot read lock file: it was written by a newer sockel (lock format 2, known up to 1)",
        ),
        ("older format", "format: 1", "format: 0", "format 0 is not 1"),
        ("escaping path", "pool/main/l/lib/lib0_", "pool/../../lib0_", "path `pool/../../lib0_1%3a0_amd64.deb`"),
        ("absolute path", "\"pool/main/l/lib/lib0_", "\"/pool/lib0_", "path `/pool/"),
        ("encoded path", "pool/main/l/lib/lib0_", "pool/%2E%2e/lib0_", "path `"),
        ("short SHA-512", &"a".repeat(128), &"a".repeat(127), "SHA-512 `"),
        ("duplicate", "name: lib1,", "name: lib0,", "package `lib0` is listed twice for linux/amd64"),
        ("name", "name: lib1,", "name: ../lib,", "name `../lib`"),
        (
            "origin",
            "from: ubuntu/security",
            "from: evil/security",
            "is from `evil/security`, which is not in `archives`",
        ),
        ("no rest", "- [\"*\"]", "- [x]", "level `ubuntu` has no layer `*` for the rest"),
        ("unknown field", "engine: 1", "engine: 1\nmore: 1", "more"),
        ("not YAML", "format: 1", "format: [", "cannot read lock file"),
    ];
    for (what, from, to, expected) in table {
        assert!(good.contains(from), "{what}");
        let error = Lock::parse(&good.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn is_read_fast() {
    let text = sample(200).to_yaml();
    let start = std::time::Instant::now();
    Lock::parse(&text).unwrap();
    println!("{} bytes in {:?}", text.len(), start.elapsed());
}
