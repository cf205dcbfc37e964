//! The projects of `docs/examples`, as far as no package is needed to judge them: `tests/live/examples.sh` builds and uses them.

use crate::support::shipped::copy_folder;
use crate::support::shipped::shipped_recipes;
use sockel::lock::file::Lock;
use sockel::recipe::RecipeProject;
use sockel::recipe::ScriptLedger;
use sockel::sys::fs;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;

/// The aim for decisions about maintainer scripts of an image, those about the packages of its base aside.
const MOST_DECISIONS: usize = 4;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let names = fs::list(&folder).expect("listed");
    names.iter().map(|name| folder.join(name)).filter(|path| path.is_dir()).collect()
}

/// Puts an example on top of the shipped recipes, as docs/examples/README.md says.
fn project(example: &Path) -> TempDir {
    let folder = shipped_recipes();
    copy_folder(example, folder.path());
    folder
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn each_example_is_a_project_for_two_distributions() {
    let all = examples();
    assert_eq!(all.len(), 8);
    for example in &all {
        let folder = project(example);
        let project = RecipeProject::open(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", name(example)));
        let definitions = project.definitions(&[]).unwrap_or_else(|error| panic!("{}: {error}", name(example)));

        let distributions: BTreeSet<&str> =
            definitions.iter().map(|image| image.levels_for(image.platforms[0])[0].recipe.as_str()).collect();
        assert_eq!(distributions, BTreeSet::from(["debian", "ubuntu"]), "{}", name(example));
        for image in &definitions {
            let lock = Lock::of_project(example, &image.image).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(lock.parameters, image.parameters, "{}: its lock is of another image", image.image);
        }
    }
}

#[test]
fn each_example_explains_its_recipes_and_is_in_the_list() {
    let list =
        fs::read_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/README.md"), 1 << 16).expect("read");
    for example in examples() {
        let name = name(&example);
        assert!(list.contains(&format!("| [{name}]({name}) |")), "{name} is not in the list");
        let text = fs::read_text(&example.join("README.md"), 1 << 16).expect("read");
        for file in fs::list(&example.join("recipes")).expect("listed") {
            let path = format!("recipes/{file}");
            let is_own = path.ends_with(".yaml") && !path.ends_with("scripts.project.yaml");
            assert!(!is_own || text.contains(&format!("]({path})")), "{name}: README.md does not name {path}");
        }
    }
}

#[test]
fn examples_need_few_decisions() {
    for example in examples() {
        let folder = project(&example);
        let ledger = RecipeProject::open(folder.path()).and_then(|project| project.ledger()).expect("a ledger");
        for file in fs::list(&example.join("base-images")).expect("listed") {
            let Some(image) = file.strip_suffix(".lock.yaml") else { continue };
            let lock = Lock::of_project(&example, image).expect("a lock");
            let used = decisions(&lock, &ledger);
            // three of them are those of the shipped recipe java
            let most = MOST_DECISIONS + usize::from(image.starts_with("java-"));
            assert!(used.len() <= most, "{image} needs {} decisions: {used:?}", used.len());
        }
    }
}

/// Returns the reasons of all decisions about packages of an image, those of its root level aside.
fn decisions<'l>(lock: &Lock, ledger: &'l ScriptLedger) -> BTreeSet<&'l str> {
    let decided = lock.levels[1..].iter().flat_map(|level| &level.effects);
    let rules = decided.flat_map(|of| of.effects.iter().filter_map(|effect| ledger.rule(&of.package, effect)));
    rules.filter(|rule| !rule.packages.is_empty()).map(|rule| rule.reason.as_str()).collect()
}
