//! What a Java command line names exists: main jars, the class path, and `Class-Path` in the manifests of those jars.
//!
//! Source: java(1), `-jar`, `-cp`; JAR File Specification, "Class-Path attribute".

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::parent;
use std::io::Cursor;
use std::io::Read;

const CLASS_PATH: CheckKind =
    error("class-path-missing", "The class path of the command line names a file that is not in the image.");
const MANIFEST: CheckKind =
    warning("manifest-class-path-missing", "The manifest of a main jar names a jar that is not in the image.");

pub(super) const KINDS: &[&CheckKind] = &[&CLASS_PATH, &MANIFEST];

/// Largest jar whose manifest is read, and largest manifest. Main jars are small; fat ones name no others.
const JAR_LIMIT: u64 = 64 << 20;
const MANIFEST_LIMIT: u64 = 1 << 20;

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for jar in jars(image) {
        // `lib/*` means all jars of a folder
        let path = jar.trim_end_matches('*');
        if image.is_of_run_time(path.trim_matches('/')) {
            continue;
        }
        let Some(entry) = image.resolve(path) else {
            let cause = format!("the command line names `{jar}`, which is not in the image");
            let remedy = "correct the path, or add the package that brings it".to_owned();
            findings.add(&CLASS_PATH, FindingDetails { path: jar, origin: None, cause, remedy });
            continue;
        };

        // relative names are looked for beside the jar as it was named, without following links
        let folder = parent(path.trim_start_matches('/')).unwrap_or_default();
        for name in class_path(path, image)? {
            if name.contains("://") || image.resolve(&format!("{folder}/{name}")).is_some() {
                continue;
            }
            let cause = format!("its manifest names `{name}`, which is not in `/{folder}`");
            findings.at(entry, &MANIFEST, cause, "link or add it there if the application needs it");
        }
    }
    Ok(())
}

/// Returns the absolute paths of jars and class folders that the command line of a Java program names.
fn jars(image: &ImageView<'_>) -> Vec<String> {
    let words = image.config.entrypoint.iter().chain(&image.config.command).flatten();
    let words: Vec<&str> = words.map(String::as_str).collect();
    if !words.first().is_some_and(|program| program.ends_with("java")) {
        return Vec::new();
    }

    let mut jars = Vec::new();
    for pair in words.windows(2) {
        match pair[0] {
            "-jar" => jars.push(pair[1].to_owned()),
            "-cp" | "-classpath" | "--class-path" => jars.extend(pair[1].split(':').map(str::to_owned)),
            _ => {}
        }
    }
    // the application is often mounted at a relative path or copied in later
    jars.retain(|jar| jar.starts_with('/'));
    jars
}

/// Returns the names in `Class-Path` of a jar's manifest; none of what is no jar.
fn class_path(path: &str, image: &ImageView<'_>) -> Result<Vec<String>, Error> {
    let Some(bytes) = image.read(path, JAR_LIMIT)? else { return Ok(Vec::new()) };
    let Ok(mut jar) = zip::ZipArchive::new(Cursor::new(bytes)) else { return Ok(Vec::new()) };
    let Ok(manifest) = jar.by_name("META-INF/MANIFEST.MF") else { return Ok(Vec::new()) };

    let mut text = String::new();
    if manifest.take(MANIFEST_LIMIT).read_to_string(&mut text).is_err() {
        return Ok(Vec::new());
    }
    Ok(names(&text))
}

/// Reads the attribute from a manifest, whose lines have at most 72 bytes and continue with a blank.
fn names(manifest: &str) -> Vec<String> {
    let unfolded = manifest.replace("\r\n", "\n").replace("\n ", "");
    let line = unfolded.lines().find_map(|line| line.strip_prefix("Class-Path:"));
    line.into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_folded_manifests() {
        assert_eq!(
            names("Manifest-Version: 1.0\r\nClass-Path: a.jar lib/b.j\r\n ar\r\nX: y\r\n"),
            ["a.jar", "lib/b.jar"]
        );
        assert_eq!(names("Manifest-Version: 1.0\n"), Vec::<String>::new());
    }
}
