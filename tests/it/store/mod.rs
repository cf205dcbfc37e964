//! The store is trusted neither for where it lies nor for what is in it.

mod damage;
mod place;

use crate::support::project::Project;
use sockel::sys::fs;
use sockel::values::Digest;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes a project, locked and built.
fn built() -> Project {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project
}

/// Changes one bit in the middle of a file, in place.
#[track_caller]
fn spoil(path: &Path) {
    let middle = fs::size(path).expect("is there") / 2;
    let file = std::fs::OpenOptions::new().write(true).read(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("read");
    file.write_all_at(&[byte[0] ^ 1], middle).expect("written");
}

/// Returns the blobs of a layout or store whose bytes are not what their names say.
fn wrong(folder: &Path) -> Vec<String> {
    let blobs = folder.join("blobs/sha256");
    let is_wrong =
        |name: &String| fs::digest_of(&blobs.join(name)).expect("read") != Digest::from_hex(name).expect("hex");
    fs::list(&blobs).expect("listed").into_iter().filter(is_wrong).collect()
}
