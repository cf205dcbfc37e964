//! Projects on top of the recipes of this repository.

use sockel::sys::fs;
use std::path::Path;
use tempfile::TempDir;

/// Returns a project with the shipped recipes and without base images.
pub(crate) fn shipped_recipes() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes"), &folder.path().join("recipes"));
    fs::create_dir(&folder.path().join("base-images")).expect("made");
    folder
}

/// Copies what is in a folder to another one.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for name in fs::list(from).expect("listed") {
        let (from, to) = (from.join(&name), to.join(&name));
        match from.is_dir() {
            true => copy_folder(&from, &to),
            false => fs::write_atomic(&to, &fs::read(&from, 1 << 24).expect("read")).expect("written"),
        }
    }
}
