//! Compares the choice of packages with `apt-get install -s` in an empty root, for random packages of a real archive.
//!
//! Needs apt and an apt configuration file with its own `Dir`, an empty `Dir::State::status`, `Acquire::GzipIndexes false`,
//! `APT::Get::Always-Include-Phased-Updates true`, and lists that `apt-get -c <file> update` has fetched:
//! `cargo test --test live -- <file> [count] [seed] [package …]`. Never part of a normal test run. Differences that were
//! looked into are in `resolver-differences.md`.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;
use sockel::apt::relation::Relation;
use sockel::lock::resolve::Held;
use sockel::lock::resolve::LevelRequest;
use sockel::lock::resolve::PlatformChoice;
use sockel::lock::resolve::resolve;
use sockel::lock::universe::CandidateOrigin;
use sockel::lock::universe::CandidatePolicy;
use sockel::lock::universe::KeptVersions;
use sockel::lock::universe::Universe;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(config) = arguments.next() else {
        println!("nothing to compare with: give an apt configuration file");
        return;
    };
    let count: usize = arguments.next().map_or(200, |text| text.parse().expect("a number"));
    let seed: u64 = arguments.next().map_or_else(rand::random, |text| text.parse().expect("a number"));
    let mut names: Vec<String> = arguments.collect();
    println!("seed {seed}");

    let started = Instant::now();
    let indexes: Vec<(String, PackageIndex)> = lists(&config);
    println!("{} indexes read in {:?}", indexes.len(), started.elapsed());
    let origin =
        |(from, index)| CandidateOrigin { from: String::clone(from), component: "main".to_owned(), shelf: index };
    let universe = Universe::new(indexes.iter().map(|(from, index)| origin((from, index))).collect());
    if names.is_empty() {
        let all: BTreeSet<&str> = indexes.iter().flat_map(|(_, index)| index.names()).collect();
        let mut all: Vec<&str> = all.into_iter().collect();
        all.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        names = all.into_iter().take(count).map(str::to_owned).collect();
    }
    let (mut equal, mut refused, mut differences, mut spent, mut slowest) = (0, 0, 0, Duration::ZERO, Duration::ZERO);
    for name in &names {
        let packages = Relation::parse_groups(name).expect("package names are relations");
        let request = LevelRequest { recipe: "live".to_owned(), packages, ..LevelRequest::default() };
        let side =
            PlatformChoice { universe: &universe, held: &Held::new(), request: &request, kept: &KeptVersions::new() };
        let started = Instant::now();
        let ours = resolve("linux/amd64".parse().expect("a platform"), &side, &CandidatePolicy::default());
        spent += started.elapsed();
        slowest = slowest.max(started.elapsed());
        let ours: Result<BTreeSet<String>, _> = ours.map(|ours| {
            ours.packages.iter().map(|(name, c)| format!("{name}={}", c.candidate.package.version)).collect()
        });
        let theirs = apt(&config, &[name.clone()]);
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => {
                if ours == theirs {
                    equal += 1;
                } else {
                    differences += 1;
                    let more: Vec<_> = ours.difference(&theirs).cloned().collect();
                    let less: Vec<_> = theirs.difference(&ours).cloned().collect();
                    println!(
                        "DIFFERENT {name} ({} / {}, {}): only sockel {more:?}, only apt {less:?}",
                        ours.len(),
                        theirs.len(),
                        verdict(&config, &ours)
                    );
                }
            }
            (Err(error), None) => {
                refused += 1;
                println!("both refuse {name}: {error}");
            }
            (Err(error), Some(theirs)) => {
                differences += 1;
                println!("DIFFERENT {name} (apt takes {}, WRONG): sockel refuses: {error}", theirs.len());
            }
            (Ok(ours), None) => {
                differences += 1;
                println!("DIFFERENT {name} (apt refuses, sockel takes {}, {})", ours.len(), verdict(&config, &ours));
            }
        }
    }
    println!(
        "{equal} equal, {refused} refused by both, {differences} different; {spent:?} in all, slowest {slowest:?}"
    );
}

fn lists(config: &str) -> Vec<(String, PackageIndex)> {
    let format = ["--format", "$(RELEASE) $(FILENAME)", "Created-By: Packages"];
    let output =
        Command::new("apt-get").args(["-c", config, "indextargets"]).args(format).output().expect("apt-get runs");
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let read = |line: &str| {
        let (suite, path) = line.split_once(' ')?;
        let pocket = if suite.ends_with("security") { "security" } else { suite };
        let file = std::fs::File::open(path).ok()?;
        Some((format!("live/{pocket}"), PackageIndex::read(file, &PackageIndexLimits::ARCHIVE).expect("an index")))
    };
    text.lines().filter_map(read).collect()
}

/// Whether apt would install the whole of a choice, and nothing else, when it is told all of it.
fn verdict(config: &str, ours: &BTreeSet<String>) -> &'static str {
    let whole: Vec<String> = ours.iter().cloned().collect();
    if apt(config, &whole).as_ref() == Some(ours) { "which apt takes as a whole" } else { "WRONG" }
}

/// What apt would install, or nothing when it refuses.
fn apt(config: &str, packages: &[String]) -> Option<BTreeSet<String>> {
    let arguments = ["-c", config, "-s", "--no-install-recommends", "install"];
    let output =
        Command::new("apt-get").args(arguments).args(packages).env("LC_ALL", "C").output().expect("apt-get runs");
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed = text.lines().filter_map(|line| line.strip_prefix("Inst ")).filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        Some(format!("{name}={}", rest.trim_start_matches('(').split(' ').next()?))
    });
    Some(installed.collect())
}
