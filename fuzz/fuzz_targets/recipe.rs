//! A recipe, a line `---`, and a base-image file: definitions, or problems that can be shown on any terminal.
#![no_main]

mod support;

use sockel::recipe::RecipeProject;
use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;
use support::FOLDER;

/// A project with the files that recipes of this repository name.
static PROJECT: LazyLock<PathBuf> = LazyLock::new(|| {
    let (own, project) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes"), FOLDER.join("project"));
    for folder in ["keys", "certificates", "tomcat", "dev"] {
        support::copy(&own.join(folder), &project.join("recipes").join(folder));
    }
    std::fs::create_dir_all(project.join("base-images")).expect("a folder can be made");
    project
});

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (recipe, image) = text.split_once("\n---\n").unwrap_or((text, "recipe: debian\n"));
    std::fs::write(PROJECT.join("recipes/debian.yaml"), recipe).expect("a recipe can be written");
    std::fs::write(PROJECT.join("base-images/own.yaml"), image).expect("a base image can be written");
    let Ok(project) = RecipeProject::open(&PROJECT) else { return };
    let problems = project.check();
    for problem in &problems {
        for (width, is_coloured) in [(40, false), (200, true)] {
            let text = problem.render(width, is_coloured);
            assert!(is_coloured || !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
    let _no_panic = project.related(2);
    if let Ok(definitions) = project.definitions(&[]) {
        assert!(problems.iter().all(|problem| problem.severity == sockel::recipe::DiagnosticSeverity::Warning));
        for definition in &definitions {
            assert_eq!(project.definition(&definition.image).ok().as_ref(), Some(definition));
            assert!(!definition.identity().is_empty());
        }
    }
});
