//! What the checks of an image cost, besides assembling its tree.
//!
//! `cargo bench --bench check -- <project> <store> <image>…` assembles each image for amd64 from the packages that the
//! store has unpacked, and checks it on one thread; the fastest of some runs, and a table.

use sockel::check;
use sockel::check::CheckSubject;
use sockel::layer::level;
use sockel::layer::level::LevelParts;
use sockel::layer::unpack;
use sockel::lock::file::Lock;
use sockel::recipe::ImageDefinition;
use sockel::recipe::RecipeProject;
use sockel::store::Store;
use sockel::tree::ContentReader;
use sockel::tree::Tree;
use sockel::values::Platform;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How often each is done; the fastest counts.
const REPEATS: usize = 9;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [folder, store, images @ ..] = arguments.as_slice() else { panic!("project, store and images are missing") };
    let project = RecipeProject::open(Path::new(folder)).expect("the recipes are right");
    let store = Store::open(Path::new(store)).expect("a store");

    println!("| image | packages | paths | assemble, ms | check, ms |");
    println!("|---|---|---|---|---|");
    for image in images {
        let definition = project.definition(image).expect("such an image");
        let lock = Lock::of_project(Path::new(folder), image).expect("a lock");
        measure(&definition, &lock, &store);
    }
}

fn measure(definition: &ImageDefinition, lock: &Lock, store: &Store) {
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    let contents = ContentReader::new(store);
    let mut packages: Vec<BTreeMap<_, _>> = Vec::new();
    for locked in &lock.levels {
        let unpacked = locked.packages[&platform].iter().map(|package| {
            let tree = unpack::find(&package.sha256, store).expect("build the image first");
            (package.name.clone(), Arc::new(tree))
        });
        packages.push(unpacked.collect());
    }

    let begin = Instant::now();
    let (mut whole, mut levels) = (Tree::default(), Vec::new());
    for index in 0..packages.len() {
        let parts = LevelParts {
            levels: &definition.levels_for(platform)[..=index],
            packages: &packages[..=index],
            lower: &whole,
            architecture: platform.architecture(),
            epoch: lock.epoch,
        };
        let tree = level::assemble(&parts, &contents).expect("assembled");
        whole.extend(tree.iter().cloned());
        levels.push(tree);
    }
    let assembled = begin.elapsed();

    let once = || {
        // without what an earlier run has opened
        let contents = ContentReader::new(store);
        let (levels, whole, packages) = (&levels, &whole, &packages);
        let subject = CheckSubject { definition, lock, platform, levels, whole, packages, contents: &contents };
        let begin = Instant::now();
        check::check(subject).expect("checked");
        begin.elapsed()
    };
    let fastest = (0..REPEATS).map(|_| once()).min().unwrap_or_default();
    let count: usize = packages.iter().map(BTreeMap::len).sum();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "| {} | {count} | {} | {:.1} | {:.1} |",
        definition.image,
        whole.len(),
        milliseconds(assembled),
        milliseconds(fastest)
    );
}
