//! Locking through the library: choice of packages, explanations, layers, lock files.

use proptest::prelude::*;
use sockel::apt::BinaryPackage;
use sockel::apt::deb::ControlFiles;
use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;
use sockel::apt::relation::Relation;
use sockel::lock::ArchiveAccess;
use sockel::lock::Error;
use sockel::lock::LockInput;
use sockel::lock::file::Lock;
use sockel::lock::file::LockedPocket;
use sockel::lock::images::NeededPackage;
use sockel::lock::images::OpenArchive;
use sockel::lock::images::OpenIndex;
use sockel::lock::images::PackageContent;
use sockel::lock::lock;
use sockel::lock::resolve::Held;
use sockel::lock::resolve::LevelAddition;
use sockel::lock::resolve::LevelRequest;
use sockel::lock::resolve::PlatformChoice;
use sockel::lock::resolve::resolve;
use sockel::lock::resolve::resolve_level;
use sockel::lock::universe::CandidateOrigin;
use sockel::lock::universe::CandidatePolicy;
use sockel::lock::universe::KeptVersions;
use sockel::lock::universe::Universe;
use sockel::lock::verify::verify;
use sockel::recipe::ArchiveDefinition;
use sockel::recipe::ImageDefinition;
use sockel::recipe::LevelDefinition;
use sockel::recipe::PocketDefinition;
use sockel::recipe::ScriptLedger;
use sockel::values::Architecture;
use sockel::values::Digest;
use sockel::values::Epoch;
use sockel::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn arm64() -> Platform {
    "linux/arm64".parse().unwrap()
}

/// One package a line: `name version [Field: value; Field: value]`.
fn index(lines: &str) -> PackageIndex {
    index_of(lines, "amd64")
}

/// The same for any architecture.
fn index_of(lines: &str, architecture: &str) -> PackageIndex {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, fields) = line.split_once('[').unwrap_or((line, ""));
        let mut words = head.split_whitespace();
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        text.push_str(&format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"));
        text.push_str(&format!(
            "Filename: pool/{name}_{version}.deb\nSize: 1\nSHA256: {}\n",
            Digest::of(line.as_bytes()).hex()
        ));
        for field in fields.trim_end_matches(']').split(';').map(str::trim).filter(|field| !field.is_empty()) {
            text.push_str(field);
            text.push('\n');
        }
        text.push('\n');
    }
    PackageIndex::read(text.as_bytes(), &PackageIndexLimits::ARCHIVE).unwrap()
}

fn universe<'a>(pockets: &'a [(&'a str, PackageIndex)]) -> Universe<'a> {
    let origin = |(from, index): &'a (&str, PackageIndex)| {
        let (from, component) = ((*from).to_owned(), "main".to_owned());
        CandidateOrigin { from, component, shelf: index }
    };
    Universe::new(pockets.iter().map(origin).collect())
}

fn request(packages: &str, exclude: &str) -> LevelRequest {
    let packages = Relation::parse_groups(packages).unwrap();
    let exclude = exclude.split_whitespace().map(|name| (name.to_owned(), "not wanted".to_owned())).collect();
    LevelRequest { recipe: "ubuntu".to_owned(), packages, exclude }
}

/// Resolves in one pocket; `name=version(why)` a package, then `!excluded(wanted by)`; or the reasons.
fn choose(packages: &str, wanted: &str, exclude: &str) -> String {
    let pockets = [("ubuntu/release", index(packages))];
    let universe = universe(&pockets);
    let side = PlatformChoice {
        universe: &universe,
        held: &Held::new(),
        request: &request(wanted, exclude),
        kept: &KeptVersions::new(),
    };
    show(resolve(amd64(), &side, &CandidatePolicy::default()))
}

fn show(result: Result<LevelAddition, Error>) -> String {
    match result {
        Ok(addition) => {
            let why = |why: &str| why.replace("needed by ", "<");
            let mut words: Vec<String> = addition
                .packages
                .iter()
                .map(|(name, choice)| match choice.why.as_str() {
                    "requested" => format!("{name}={}", choice.candidate.package.version),
                    other => format!("{name}={}({})", choice.candidate.package.version, why(other)),
                })
                .collect();
            words.extend(addition.excluded.iter().map(|gone| format!("!{}({})", gone.name, gone.wanted_by.join(","))));
            words.join(" ")
        }
        Err(Error::Unresolvable { reasons, .. }) => reasons.join("\n"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn chooses_as_apt_does() {
    let table = [
        ("plain", "a 1 [Depends: b]\nb 2\nc 3", "a", "a=1 b=2(<a)"),
        ("first alternative", "a 1 [Depends: x | y]\nx 1\ny 1", "a", "a=1 x=1(<a)"),
        ("second alternative when the first is no package", "a 1 [Depends: x | y]\ny 1", "a", "a=1 y=1(<a)"),
        (
            "second alternative when it is there anyway",
            "a 1 [Depends: x | y]\nx 1 [Conflicts: y]\ny 1",
            "a, y",
            "a=1 y=1",
        ),
        (
            "second alternative when the first cannot be",
            "a 1 [Depends: x | y]\nx 1 [Depends: none]\ny 1",
            "a",
            "a=1 y=1(<a)",
        ),
        ("real package before provider", "a 1 [Depends: m]\nb 1 [Provides: m]\nm 1", "a", "a=1 m=1(<a)"),
        ("providers by name", "a 1 [Depends: m]\nc 1 [Provides: m]\nb 1 [Provides: m]", "a", "a=1 b=1(<a)"),
        (
            "providers by priority",
            "a 1 [Depends: m]\nb 1 [Provides: m; Priority: optional]\nc 1 [Provides: m; Priority: important]",
            "a",
            "a=1 c=1(<a)",
        ),
        (
            "essential provider",
            "a 1 [Depends: m]\nb 1 [Provides: m; Priority: required]\nc 1 [Provides: m; Essential: yes]",
            "a",
            "a=1 c=1(<a)",
        ),
        (
            "versioned provides",
            "a 1 [Depends: m (>= 2)]\nb 1 [Provides: m]\nc 1 [Provides: m (= 2)]",
            "a",
            "a=1 c=1(<a)",
        ),
        ("conflict decides", "a 1 [Depends: x | y, z]\nx 1\ny 1\nz 1 [Breaks: x (<< 2)]", "a", "a=1 y=1(<a) z=1(<a)"),
        ("no conflict with itself", "a 1 [Provides: m; Conflicts: m]", "a", "a=1"),
        ("conflict with a provider", "a 1 [Depends: b | c; Conflicts: m]\nb 1 [Provides: m]\nc 1", "a", "a=1 c=1(<a)"),
        ("qualifiers", "a 1 [Depends: b:any, c:amd64]\nb 1 [Multi-Arch: allowed]\nc 1", "a", "a=1 b=1(<a) c=1(<a)"),
        ("provides itself in another version", "a 1 [Depends: b (>= 2)]\nb 1 [Provides: b (= 2)]", "a", "a=1 b=1(<a)"),
        ("cycle", "a 1 [Depends: b]\nb 1 [Pre-Depends: a]", "a", "a=1 b=1(<a)"),
        ("no recommends", "a 1 [Recommends: b]\nb 1", "a", "a=1"),
        (
            "shortest chain",
            "a 1 [Depends: b]\nb 1 [Depends: c]\nc 1\nd 1 [Depends: c]",
            "a, d",
            "a=1 b=1(<a) c=1(<d) d=1",
        ),
    ];
    for (what, packages, wanted, expected) in table {
        assert_eq!(choose(packages, wanted, ""), expected, "{what}");
    }
}

#[test]
fn leaves_out_what_is_excluded() {
    let table = [
        ("a dependency", "a 1 [Depends: x, b]\nb 1\nx 1", "x", "a=1 b=1(<a) !x(a)"),
        ("not the second choice instead", "a 1 [Depends: x | y]\nx 1\ny 1", "x", "a=1 !x(a)"),
        (
            "second choice that is there anyway",
            "a 1 [Depends: x | y, b]\nb 1 [Depends: y]\nx 1\ny 1",
            "x",
            "a=1 b=1(<a) y=1(<b)",
        ),
        ("a later choice is just no choice", "a 1 [Depends: x | y]\nx 1\ny 1", "y", "a=1 x=1(<a)"),
        ("first provider", "a 1 [Depends: m]\nb 1 [Provides: m]\nc 1 [Provides: m]", "b", "a=1 !b(a)"),
        ("later provider", "a 1 [Depends: m]\nb 1 [Provides: m]\nc 1 [Provides: m]", "c", "a=1 b=1(<a)"),
        ("unknown to the archive", "a 1 [Depends: x]", "x", "a=1 !x(a)"),
        ("requested too", "a 1", "a", "cannot choose `a`: `a` is excluded (not wanted)"),
    ];
    for (what, packages, exclude, expected) in table {
        assert_eq!(choose(packages, "a", exclude), expected, "{what}");
    }
}

#[test]
fn says_why_there_is_no_choice() {
    let table = [
        (
            "typo",
            "tomcat10 1\ntomcat11 1",
            "tomcat1",
            "cannot choose `tomcat1`: there is no `tomcat1` in ubuntu/release; similar names: tomcat10, tomcat11",
        ),
        (
            "virtual",
            "a 1 [Provides: m]\nb 1 [Provides: m]",
            "m",
            "cannot choose `m`: `m` is a virtual package; request one of its providers: a, b",
        ),
        ("too old", "a 1", "a (>= 2)", "cannot choose `a (>= 2)`: the newest `a` in ubuntu/release is 1"),
        (
            "chain",
            "a 1 [Depends: b (>= 1)]\nb 1 [Depends: c (>= 2) | d]\nc 1.9",
            "a",
            "`a` (1) needs `b (>= 1)`; `b` (1) needs `c (>= 2) | d`; the newest `c` in ubuntu/release is 1.9; there is no `d` in ubuntu/release; similar names: a, b, c",
        ),
        (
            "conflict",
            "a 1 [Depends: c]\nb 1\nc 1 [Conflicts: b (<< 2)]",
            "a, b",
            "`c` conflicts with `b (<< 2)`: `c` is needed by `a`, requested, `b` is requested",
        ),
    ];
    for (what, packages, wanted, expected) in table {
        assert_eq!(choose(packages, wanted, ""), expected, "{what}");
    }
}

#[test]
fn builds_on_the_levels_below() {
    let pockets =
        [("ubuntu/release", index("a 1 [Depends: libc (>= 2)]\nb 1 [Depends: libc]\nd 1 [Conflicts: libc]\nlibc 3"))];
    let newer = universe(&pockets);
    let old = [("ubuntu/release", index("libc 1"))];
    let below = universe(&old).candidate("libc", &CandidatePolicy::default()).unwrap().unwrap();
    let held = Held::from([("libc".to_owned(), ("base".to_owned(), below))]);
    for (wanted, expected) in [
        ("b", "b=1"),
        ("libc", ""),
        ("a", "`a` (1) needs `libc (>= 2)`; `libc` is held by level `base` at version 1"),
        ("d", "`d` (1) conflicts with `libc` (1) of level `base`"),
        ("libc (>= 2)", "cannot choose `libc (>= 2)`: `libc` is held by level `base` at version 1"),
    ] {
        let side =
            PlatformChoice { universe: &newer, held: &held, request: &request(wanted, ""), kept: &KeptVersions::new() };
        assert_eq!(show(resolve(amd64(), &side, &CandidatePolicy::default())), expected, "{wanted}");
    }
}

#[test]
fn takes_the_newest_that_is_not_halted() {
    let release = index("a 1\nb 1\nc 1\nd 1");
    let updates = index(
        "a 2 [Phased-Update-Percentage: 10]\nb 2 [Phased-Update-Percentage: 0]\nc 3 [Phased-Update-Percentage: 0]",
    );
    let pockets = [("u/release", release), ("u/updates", updates), ("u/security", index("c 3\nd 0.9"))];
    let universe = universe(&pockets);
    let policy = CandidatePolicy::default();
    for (name, expected) in [("a", "2"), ("b", "1"), ("c", "3"), ("d", "1")] {
        let candidate = universe.candidate(name, &policy).unwrap().unwrap();
        assert_eq!(candidate.package.version.as_str(), expected, "{name}");
    }
}

#[test]
fn all_platforms_get_the_same_versions() {
    let on_amd64 = [
        ("u/release", index("lib 1\ntool 1 [Depends: lib (= 1)]")),
        ("u/updates", index("lib 2\ntool 2 [Depends: lib (= 2)]")),
    ];
    let on_arm64 = [("u/release", index("lib 1\ntool 1 [Depends: lib (= 1)]")), ("u/updates", index("lib 2"))];
    let (x, y) = (universe(&on_amd64), universe(&on_arm64));
    let (held, request) = (Held::new(), request("tool", ""));
    let kept = KeptVersions::new();
    let side = |universe| PlatformChoice { universe, held: &held, request: &request, kept: &kept };
    let sides = BTreeMap::from([(amd64(), side(&x)), (arm64(), side(&y))]);
    // arm64 alone has no solution with its newest lib: as apt, the newest version is the candidate
    let error = resolve_level(&sides, &CandidatePolicy::default()).unwrap_err();
    assert!(error.to_string().contains("the newest `lib` in u/release, u/updates is 2"), "{error}");
    let lagging = [("u/release", index("lib 1\ntool 1 [Depends: lib (= 1)]"))];
    let y = universe(&lagging);
    let sides = BTreeMap::from([(amd64(), side(&x)), (arm64(), side(&y))]);
    let (additions, warnings) = resolve_level(&sides, &CandidatePolicy::default()).unwrap();
    for addition in additions.values() {
        assert_eq!(show(Ok(addition.clone())), "lib=1(<tool) tool=1");
    }
    assert_eq!(warnings.len(), 2);
    assert_eq!(warnings[0], "`lib` stays at 1: 2 is on linux/amd64, but not on all platforms");
}

/// A random archive: packages `p0`.. with random relations among them.
fn archives() -> impl Strategy<Value = Vec<String>> {
    let relation = (0..12_usize, prop_oneof![Just(""), Just(" (>= 2)"), Just(" (<< 2)"), Just(" (= 1)")]);
    let relation = relation.prop_map(|(number, bound)| format!("p{number}{bound}"));
    let group = prop::collection::vec(relation.clone(), 1..3).prop_map(|group| group.join(" | "));
    let depends = prop::collection::vec(group, 0..3);
    let conflicts = prop::collection::vec(relation, 0..2);
    let provides = prop::option::of((0..14_usize, prop::bool::ANY));
    let package = (1..4_u8, depends, conflicts, provides).prop_map(|(version, depends, conflicts, provides)| {
        let mut fields = String::new();
        for (field, values) in [("Depends", depends), ("Conflicts", conflicts)] {
            if !values.is_empty() {
                fields.push_str(&format!("{field}: {};", values.join(", ")));
            }
        }
        if let Some((number, versioned)) = provides {
            fields.push_str(&format!("Provides: p{number}{}", if versioned { " (= 2)" } else { "" }));
        }
        (version, fields)
    });
    prop::collection::vec(package, 10..14).prop_map(|packages| {
        let line = |(number, (version, fields)): (usize, (u8, String))| format!("p{number} {version} [{fields}]");
        packages.into_iter().enumerate().map(line).collect()
    })
}

fn satisfies(relation: &Relation, package: &BinaryPackage) -> bool {
    (package.name == relation.name && relation.satisfied_by(&package.version))
        || package.provides.iter().any(|provide| relation.provided_by(provide))
}

/// Tells whether a set of packages stands: every dependency met, no conflict.
fn stands(packages: &[&BinaryPackage]) -> bool {
    packages.iter().all(|package| {
        let met = package.depends.iter().all(|group| group.iter().any(|r| packages.iter().any(|p| satisfies(r, p))));
        let clash = |r: &Relation| packages.iter().any(|p| p.name != package.name && satisfies(r, p));
        met && !package.conflicts.iter().any(clash)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_solution_stands_and_none_is_missed(lines in archives(), seed in prop::collection::vec(0..100_usize, 14)) {
        let pockets = [("u/release", index(&lines.join("\n")))];
        let universe = universe(&pockets);
        let (held, request) = (Held::new(), request("p0, p1", ""));
        let side = PlatformChoice { universe: &universe, held: &held, request: &request, kept: &KeptVersions::new() };
        let result = resolve(amd64(), &side, &CandidatePolicy::default());
        let all: Vec<BinaryPackage> = pockets[0].1.packages().map(Result::unwrap).collect();
        // every subset: at most 2^13 packages
        let must: Vec<usize> = ["p0", "p1"].iter().filter_map(|name| all.iter().position(|p| p.name == *name)).collect();
        match &result {
            Ok(addition) => {
                let chosen: Vec<&BinaryPackage> = addition.packages.values().map(|choice| &choice.candidate.package).collect();
                prop_assert!(stands(&chosen), "{}", show(result));
            }
            Err(_) => {
                for set in 0..1_usize << all.len() {
                    if must.iter().all(|number| set >> number & 1 == 1) {
                        let chosen: Vec<&BinaryPackage> =
                            all.iter().enumerate().filter(|(number, _)| set >> number & 1 == 1).map(|(_, p)| p).collect();
                        prop_assert!(!stands(&chosen), "missed a solution of {} packages", chosen.len());
                    }
                }
            }
        }
        // the order of the paragraphs does not matter
        let mut shuffled: Vec<(usize, &String)> = seed.iter().copied().chain(0..).zip(&lines).collect();
        shuffled.sort();
        let lines: Vec<String> = shuffled.into_iter().map(|(_, line)| line.clone()).collect();
        prop_assert_eq!(choose(&lines.join("\n"), "p1, p0", ""), show(resolve(amd64(), &side, &CandidatePolicy::default())).replace("u/release", "ubuntu/release"));
    }
}

#[test]
fn names_are_only_chosen_once() {
    let pockets =
        [("u/release", index("a 1 [Depends: b]\nb 1")), ("u/updates", index("b 2")), ("u/security", index("b 2"))];
    let universe = universe(&pockets);
    let side = PlatformChoice {
        universe: &universe,
        held: &Held::new(),
        request: &request("a", ""),
        kept: &KeptVersions::new(),
    };
    let addition = resolve(amd64(), &side, &CandidatePolicy::default()).unwrap();
    let from: BTreeSet<&str> = addition.packages.values().map(|choice| choice.candidate.from.as_str()).collect();
    assert_eq!(from, BTreeSet::from(["u/release", "u/updates"]));
}

/// Archives in memory, and how often they were asked.
struct Shelves {
    text: String,
    date: i64,
    opened: std::cell::Cell<usize>,
    read: std::cell::RefCell<Vec<String>>,
}

impl Shelves {
    fn new(text: &str, date: i64) -> Self {
        Self { text: text.to_owned(), date, opened: Default::default(), read: Default::default() }
    }

    fn open_one(&self, archive: &ArchiveDefinition, architectures: &BTreeSet<Architecture>) -> OpenArchive {
        self.opened.set(self.opened.get() + 1);
        let pocket = LockedPocket {
            archive: archive.name.clone(),
            pocket: "release".to_owned(),
            suite: "resolute".to_owned(),
            codename: Some("resolute".to_owned()),
            date: Epoch(self.date),
            valid_until: None,
            inrelease: Digest::of(format!("release of {}", self.date).as_bytes()),
            signed_by: "F6EC".to_owned(),
        };
        let open = |architecture: &Architecture| OpenIndex {
            pocket: "release".to_owned(),
            component: "main".to_owned(),
            architecture: architecture.debian().to_owned(),
            index: index_of(&self.text, architecture.debian()),
        };
        let indexes = architectures.iter().map(open).collect();
        OpenArchive { pockets: vec![pocket], indexes, ..OpenArchive::default() }
    }
}

impl ArchiveAccess for Shelves {
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
        _locked: &[LockedPocket],
    ) -> Result<Vec<OpenArchive>, Error> {
        Ok(archives.iter().map(|archive| self.open_one(archive, architectures)).collect())
    }

    fn past(
        &self,
        _archive: &ArchiveDefinition,
        _architectures: &BTreeSet<Architecture>,
        _state: &LockedPocket,
    ) -> Result<Option<OpenArchive>, Error> {
        Ok(None)
    }

    fn is_at_hand(&self, _package: &BinaryPackage) -> bool {
        false
    }

    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, Error> {
        let one = |needed: &NeededPackage<'_>| {
            self.read.borrow_mut().push(needed.package.name.clone());
            let script = format!("#!/bin/sh\n# adduser\nln -s a b # {}\n", needed.package.name);
            let members = match needed.package.name.starts_with("lib") {
                true => [("postinst".to_owned(), script.into_bytes())].into_iter().collect(),
                false => ControlFiles::default(),
            };
            (needed.package.sha256, PackageContent { sha512: "b".repeat(128), members })
        };
        Ok(needed.iter().map(one).collect())
    }
}

fn definition(image: &str, parent: Option<&str>, levels: &[(&str, &str)]) -> ImageDefinition {
    let platforms = vec![amd64(), arm64()];
    let level = |(recipe, packages): &(&str, &str)| LevelDefinition {
        recipe: (*recipe).to_owned(),
        packages: packages.split(", ").map(str::to_owned).collect(),
        layers: 2,
        ..LevelDefinition::default()
    };
    let levels: Vec<LevelDefinition> = levels.iter().map(level).collect();
    let archive = ArchiveDefinition {
        name: "ubuntu".to_owned(),
        uri: "http://archive.example".to_owned(),
        uris: BTreeMap::new(),
        snapshot: None,
        keys: Vec::new(),
        fingerprints: vec!["F6EC".to_owned()],
        origin: Some("Ubuntu".to_owned()),
        label: Some("Ubuntu".to_owned()),
        components: vec!["main".to_owned()],
        pockets: vec![PocketDefinition {
            name: "release".to_owned(),
            suite: "resolute".to_owned(),
            expected_suite: None,
            codename: Some("resolute".to_owned()),
            uri: None,
            frozen: true,
            warn_after: None,
            max_age: None,
        }],
    };
    ImageDefinition {
        image: image.to_owned(),
        parent: parent.map(str::to_owned),
        levels: platforms.iter().map(|platform| (*platform, levels.clone())).collect(),
        platforms,
        parameters: BTreeMap::new(),
        archives: vec![archive],
        inputs: BTreeMap::from([("recipes/x.yaml".to_owned(), Digest::of(b"x"))]),
        publish: Default::default(),
        version_of: None,
        purpose: String::new(),
        owner: Default::default(),
        rebuild: Default::default(),
    }
}

/// A ledger that knows the scripts of these packages.
fn ledger(packages: &[&str]) -> ScriptLedger {
    let mut text = "format: 1\nscripts:\n".to_owned();
    for package in packages {
        let digest = Digest::of(format!("#!/bin/sh\n# adduser\nln -s a b # {package}\n").as_bytes()).hex();
        text.push_str(&format!(
            "  - package: {package}\n    script: postinst\n    decision: not-needed\n    reason: none\n    sha256: [ \"{digest}\" ]\n"
        ));
    }
    ScriptLedger::parse("recipes/scripts.yaml", &text).unwrap()
}

const ARCHIVE: &str = "base 1 [Depends: libc]\nlibc 1 [Installed-Size: 9]\njava 1 [Depends: libc, libz]\nlibz 1";

#[test]
fn locks_children_on_their_parents_and_only_when_something_changed() {
    let definitions = [
        definition("u", None, &[("ubuntu", "base")]),
        definition("j", Some("u"), &[("ubuntu", "base"), ("java", "java")]),
    ];
    let (known, none) = (ledger(&["libc", "libz"]), BTreeMap::new());
    let images = LockInput { definitions: &definitions, previous: &none, ledger: &known, engine: 1 };
    let shelves = Shelves::new(ARCHIVE, 100);
    let (outcomes, warnings) = lock(images, &shelves).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(shelves.opened.get(), 1, "both images share the archive");
    let (u, j) = (&outcomes[0].lock, &outcomes[1].lock);
    assert_eq!(j.levels[0], u.levels[0]);
    assert_eq!(u.levels[0].layers, [["libc"], ["*"]]);
    let names = |lock: &Lock| lock.packages(arm64()).map(|p| format!("{} {}", p.name, p.why)).collect::<Vec<_>>();
    assert_eq!(names(j), ["base requested", "libc needed by base", "java requested", "libz needed by java"]);
    assert_eq!(j.levels[1].scripts[0].decision, "not-needed");
    assert_eq!(Lock::parse(&j.to_yaml()).unwrap(), *j);
    for (definition, outcome) in definitions.iter().zip(&outcomes) {
        assert_eq!(verify(&outcome.lock, definition, 1, Some(u), &known), Vec::<String>::new());
        assert!(!outcome.is_unchanged());
    }

    // a day later, nothing but the date moved: the old locks stay, nothing is fetched
    let previous: BTreeMap<String, Lock> = outcomes.iter().map(|o| (o.image.clone(), o.lock.clone())).collect();
    let later = Shelves::new(ARCHIVE, 200);
    let (same, _) = lock(LockInput { previous: &previous, ..images }, &later).unwrap();
    assert!(same.iter().all(|outcome| outcome.is_unchanged() && outcome.lock.epoch == Epoch(100)));
    assert!(later.read.borrow().is_empty());

    // a new version of a package of the child alone
    let patched = Shelves::new(&ARCHIVE.replace("libz 1", "libz 2"), 300);
    let (outcomes, _) = lock(LockInput { previous: &previous, ..images }, &patched).unwrap();
    assert!(outcomes[0].is_unchanged());
    assert_eq!(*patched.read.borrow(), ["libz"]);
    let text = outcomes[1].difference.as_ref().unwrap().to_string();
    assert_eq!(text, "level java:\n  ~ libz 1 -> 2 (ubuntu/release)\n");
    assert_eq!(
        verify(&outcomes[1].lock, &definitions[1], 2, Some(&outcomes[0].lock), &known),
        ["it was made for engine format 1, this sockel has 2"]
    );
    let mut other = definitions[1].clone();
    other.purpose = "another one".to_owned();
    other.levels.get_mut(&amd64()).unwrap()[1].packages.push("curl | wget (>= 1)".to_owned());
    let reasons = verify(&outcomes[1].lock, &other, 1, Some(&outcomes[1].lock), &known);
    assert_eq!(
        reasons,
        [
            "definition of `image` changed",
            "definition of `level java` changed",
            "definition of `parent` changed",
            "requested package `curl | wget (>= 1)` is missing for linux/amd64",
            "image `u`, on which it stands, has as many levels"
        ]
    );
}

#[test]
fn lists_all_undecided_scripts_at_once() {
    let definitions = [
        definition("u", None, &[("ubuntu", "base")]),
        definition("j", Some("u"), &[("ubuntu", "base"), ("java", "java")]),
    ];
    let (empty, none) = (ledger(&["other"]), BTreeMap::new());
    let images = LockInput { definitions: &definitions, previous: &none, ledger: &empty, engine: 1 };
    let Err(Error::Scripts(scripts)) = lock(images, &Shelves::new(ARCHIVE, 100)) else {
        panic!("scripts are undecided")
    };
    let all: Vec<&str> = scripts.iter().flat_map(|script| &script.packages).map(String::as_str).collect();
    assert_eq!(all, ["libc", "libz"]);
    assert_eq!(scripts[0].effects, ["link /b -> a"]);
    assert!(scripts[0].to_string().contains("    | ln -s a b # libc\n"), "{}", scripts[0]);
    let entries: String = scripts.iter().map(|script| script.ledger_entry().replace("\"\"", "none")).collect();
    let pasted = ScriptLedger::parse("recipes/scripts.yaml", &format!("format: 2\npackages:\n{entries}")).unwrap();
    assert!(lock(LockInput { ledger: &pasted, ..images }, &Shelves::new(ARCHIVE, 100)).is_ok());
}
