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
        state: (number == 2).then_some(Digest::of(b"older")),
    };
    let pocket = LockedPocket {
        archive: "ubuntu".to_owned(),
        pocket: "security".to_owned(),
        suite: "resolute-security".to_owned(),
        codename: Some("resolute".to_owned()),
        date: Epoch(1_795_411_845),
        valid_until: Some(Epoch(1_795_511_845)),
        inrelease: digest,
        signed_by: "F6ECB3762474EDA9D21B7022871920D1991BC93C".to_owned(),
    };
    let older = LockedPocket { date: Epoch(1_795_311_845), inrelease: Digest::of(b"older"), ..pocket.clone() };
    let archives = if packages > 2 { vec![pocket, older] } else { vec![pocket] };
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
        reader: Some(1),
        kept_back: vec![KeptBackPackage {
            package: "tool".to_owned(),
            newer: "1:2.0-1".to_owned(),
            because: "undecided effects".to_owned(),
            effects: vec!["account x".to_owned()],
        }],
        effects: vec![LockedEffects {
            package: "tomcat11".to_owned(),
            decision: "not-needed".to_owned(),
            effects: vec!["account tomcat".to_owned(), "owner /a <?>:adm # \"x\"".to_owned()],
        }],
    };
    Lock {
        format: FORMAT,
        engine: 1,
        image: "tomcat-11".to_owned(),
        epoch: Epoch(1_795_411_845),
        parameters: BTreeMap::from([("java".to_owned(), "25".to_owned()), ("on".to_owned(), "no".to_owned())]),
        revision: 3,
        definition: BTreeMap::from([("level ubuntu".to_owned(), digest)]),
        files: None,
        archives,
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
    empty.definition.clear();
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
    assert!(text.starts_with("# written by sockel lock; review and commit, do not edit\nformat: 2\n"));
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
            "format: 2",
            "format: 3\nfuture: yes",
            "cannot read lock file: it was written by a newer sockel (lock format 3, known up to 2)",
        ),
        ("older format", "format: 2", "format: 0", "format 0 is not 2"),
        ("half an older format", "format: 2", "format: 1", "format 1 is not 2"),
        ("half a newer format", "format: 2", "format: 2\ninputs: {}", "format 2 is not 2"),
        ("no revision", "revision: 3", "revision: 0", "revision 0 is not between 1 and 9999"),
        ("state of nobody", "from: ubuntu/security", "from: ubuntu/updates", "whose state is not in `archives`"),
        ("escaping path", "pool/main/l/lib/lib0_", "pool/../../lib0_", "path `pool/../../lib0_1%3a0_amd64.deb`"),
        ("absolute path", "\"pool/main/l/lib/lib0_", "\"/pool/lib0_", "path `/pool/"),
        ("path with an empty part", "pool/main/l/lib/lib0_", "pool//lib0_", "path `"),
        ("short SHA-512", &"a".repeat(128), &"a".repeat(127), "SHA-512 `"),
        ("duplicate", "name: lib1,", "name: lib0,", "package `lib0` is listed twice for linux/amd64"),
        ("name", "name: lib1,", "name: ../lib,", "name `../lib`"),
        (
            "origin",
            "from: ubuntu/security",
            "from: evil/security",
            "is from `evil/security`, whose state is not in `archives`",
        ),
        ("no rest", "- [\"*\"]", "- [x]", "level `ubuntu` has no layer `*` for the rest"),
        ("unknown field", "engine: 1", "engine: 1\nmore: 1", "more"),
        ("not YAML", "format: 2", "format: [", "cannot read lock file"),
    ];
    for (what, from, to, expected) in table {
        assert!(good.contains(from), "{what}");
        let error = Lock::parse(&good.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn older_states_stand_behind_newer_ones_and_are_named() {
    let good = sample(4);
    let problems = |change: &dyn Fn(&mut Lock)| {
        let mut lock = good.clone();
        change(&mut lock);
        Lock::parse(&lock.to_yaml()).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(problems(&|_| ()), "");
    let swapped = problems(&|lock| lock.archives.swap(0, 1));
    assert!(swapped.contains("do not stand in order, newest first"), "{swapped}");
    let twice = problems(&|lock| lock.archives.push(lock.archives[1].clone()));
    assert!(twice.contains("a state of `ubuntu/security` is listed twice"), "{twice}");
    let unused = problems(&|lock| {
        lock.levels
            .iter_mut()
            .flat_map(|level| level.packages.values_mut())
            .flatten()
            .for_each(|package| package.state = None);
    });
    assert!(unused.contains("an older state of `ubuntu/security` is listed that no package is from"), "{unused}");
}

#[test]
fn format_1_is_read_and_answers_nothing() {
    let old = "format: 1\nengine: 1\nimage: i\nepoch: \"2026-11-27T00:00:00Z\"\nparameters: {}\n\
               inputs:\n  recipes/x.yaml: \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\
               archives: []\nlevels: []\n";
    let lock = Lock::parse(old).unwrap();
    assert_eq!((lock.format, lock.revision, lock.definition.len()), (1, FIRST_REVISION, 0));
}

#[test]
fn is_read_fast() {
    let text = sample(200).to_yaml();
    let start = std::time::Instant::now();
    Lock::parse(&text).unwrap();
    println!("{} bytes in {:?}", text.len(), start.elapsed());
}
