//! What is written from the sources is fresh: schemas and the reference of keys, whose examples are a project.

use crate::support::fresh::assert_fresh;
use sockel::recipe::RecipeProject;
use sockel::recipe::SchemaKind;
use sockel::recipe::json_schema;
use sockel::recipe::key_reference;
use sockel::settings::RegistryFile;
use sockel::sys::fs;
use std::path::Path;

#[test]
fn schema_files_are_fresh() {
    let kinds = [
        ("recipe.json", SchemaKind::Recipe),
        ("base-image.json", SchemaKind::BaseImage),
        ("scripts.json", SchemaKind::Ledger),
        ("registry.json", SchemaKind::Registry),
    ];
    for (name, kind) in kinds {
        assert_fresh(&format!("docs/schema/{name}"), &json_schema(kind));
    }
}

#[test]
fn reference_of_keys_is_fresh() {
    assert_fresh("docs/keys.md", &key_reference());
}

/// The examples of the reference are one project. The files that it names are no part of the documentation.
#[test]
fn examples_of_the_reference_are_right() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/every-key");
    let copy = tempfile::tempdir().expect("a temporary folder");
    let write = |path: &str, text: &str| {
        let path = copy.path().join(path);
        fs::create_dir(path.parent().expect("a folder")).expect("made");
        fs::write_atomic(&path, text.as_bytes()).expect("written");
    };
    // what the recipes name is looked at, not used
    write("recipes/keys/archive.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    write("recipes/certificates/organisation.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    write("recipes/service/service.jar", "a program");
    for folder in ["recipes", "base-images"] {
        for name in fs::list(&examples.join(folder)).expect("listed") {
            let path = format!("{folder}/{name}");
            write(&path, &fs::read_text(&examples.join(&path), 1 << 20).expect("read"));
        }
    }

    let problems: Vec<String> = RecipeProject::open(copy.path())
        .expect("opens")
        .check()
        .iter()
        .map(|problem| problem.render(100, false))
        .collect();
    assert_eq!(problems, Vec::<String>::new());
    RecipeProject::open(copy.path()).expect("opens").ledger().expect("valid");
    let registry = RegistryFile::of_project(copy.path()).expect("valid").expect("there");
    assert_eq!(registry.target.as_deref(), Some("https://harbor.example.org"));
}
