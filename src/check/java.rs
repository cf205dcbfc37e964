//! What a Java command line names exists: main jars, the class path, `Class-Path` in the manifests of those jars, modules.
//!
//! Source: java(1), `-jar`, `-cp`, `-m`, `--add-modules`; JEP 220 for the list of modules in `release`; JAR File Specification, "Class-Path attribute".

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::start;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::parent;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::io::Read;

const CLASS_PATH: CheckKind =
    error("class-path-missing", "The class path of the command line names a file that is not in the image.");
const MANIFEST: CheckKind =
    warning("manifest-class-path-missing", "The manifest of a main jar names a jar that is not in the image.");

const MODULE: CheckKind =
    error("java-module-missing", "The command line names a module that the Java of the image does not have.");

pub(super) const KINDS: &[&CheckKind] = &[&CLASS_PATH, &MANIFEST, &MODULE];

/// Largest jar whose manifest is read, and largest manifest. Main jars are small; fat ones name no others.
const JAR_LIMIT: u64 = 64 << 20;
const MANIFEST_LIMIT: u64 = 1 << 20;

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let words = image.config.entrypoint.iter().chain(&image.config.command).flatten();
    let words: Vec<&str> = words.map(String::as_str).collect();
    let line = JavaCommandLine::read(&words);
    if let Some(program) = words.first() {
        modules(program, &line, image, findings)?;
    }

    for jar in line.jars {
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

/// What a Java command line asks for, as far as the files of the image must answer it.
#[derive(Debug, Default, PartialEq, Eq)]
struct JavaCommandLine {
    /// Jars and folders of classes and modules.
    jars: Vec<String>,
    /// Names of modules.
    modules: Vec<String>,
    /// Modules may also come from a path.
    has_module_path: bool,
}

impl JavaCommandLine {
    /// Reads the options before the main class; what follows is the application's (java(1), "Synopsis").
    fn read(words: &[&str]) -> Self {
        let mut line = Self::default();
        let mut words = words.iter().copied();
        if words.next().and_then(|program| program.rsplit('/').next()) != Some("java") {
            return line;
        }

        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            let mut value = || value.or_else(|| words.next()).unwrap_or_default();
            match option {
                "-jar" => {
                    line.jars.push(value().to_owned());
                    break;
                }
                "-m" | "--module" => {
                    line.modules.extend(value().split('/').next().map(str::to_owned));
                    break;
                }
                "-cp" | "-classpath" | "--class-path" => line.jars.extend(value().split(':').map(str::to_owned)),
                "-p" | "--module-path" => {
                    line.has_module_path = true;
                    line.jars.extend(value().split(':').map(str::to_owned));
                }
                "--add-modules" => line.modules.extend(value().split(',').map(str::to_owned)),
                "--add-opens"
                | "--add-exports"
                | "--add-reads"
                | "--limit-modules"
                | "--patch-module"
                | "--upgrade-module-path"
                | "--enable-native-access"
                | "--source" => {
                    value();
                }
                _ if word.starts_with('-') || word.starts_with('@') => {}
                _ => break,
            }
        }

        // the application is often mounted at a relative path or copied in later
        line.jars.retain(|jar| jar.starts_with('/'));
        // ALL-DEFAULT, ALL-SYSTEM, ALL-MODULE-PATH
        line.modules.retain(|module| !module.is_empty() && !module.starts_with("ALL-"));
        line
    }
}

/// Reports modules that the Java of the image does not have. Its file `release` lists them; those of a module path have
/// names of their own.
fn modules(
    program: &str,
    line: &JavaCommandLine,
    image: &ImageView<'_>,
    findings: &mut FindingList,
) -> Result<(), Error> {
    let candidates = start::candidates(program, image);
    let found = candidates.iter().find_map(|path| image.resolve(path));
    let Some(home) = found.and_then(|entry| parent(parent(&entry.path)?)) else { return Ok(()) };
    let Some(release) = image.read(&format!("/{home}/release"), MANIFEST_LIMIT)? else { return Ok(()) };
    let Some(known) = modules_of(&String::from_utf8_lossy(&release)) else { return Ok(()) };

    for module in line.modules.iter().filter(|module| !line.has_module_path && !known.contains(*module)) {
        let cause = format!("the command line names module `{module}`, which the Java in `/{home}` does not have");
        let remedy = "correct the name, or name the folder of the module with `--module-path`".to_owned();
        findings.add(&MODULE, FindingDetails { path: module.clone(), origin: None, cause, remedy });
    }
    Ok(())
}

/// Reads the list of modules from a `release` file.
fn modules_of(release: &str) -> Option<BTreeSet<String>> {
    let list = release.lines().find_map(|line| line.strip_prefix("MODULES="))?;
    Some(list.trim_matches('"').split_whitespace().map(str::to_owned).collect())
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
    fn reads_options_before_the_main_class() {
        let read = |text: &str| JavaCommandLine::read(&text.split(' ').collect::<Vec<_>>());
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let line =
            read("/usr/bin/java -Xmx1g --add-opens java.base/java.lang=ALL-UNNAMED -cp /a.jar:b.jar Main -jar /c.jar");
        assert_eq!(line, JavaCommandLine { jars: strings(&["/a.jar"]), ..JavaCommandLine::default() });
        let line = read("java --add-modules=a.b,ALL-SYSTEM --module-path /m -m c.d/e.F -cp /x");
        let expected =
            JavaCommandLine { jars: strings(&["/m"]), modules: strings(&["a.b", "c.d"]), has_module_path: true };
        assert_eq!(line, expected);
        assert_eq!(read("/usr/bin/notjava -jar /c.jar"), JavaCommandLine::default());
        assert_eq!(read("java -jar"), JavaCommandLine { jars: Vec::new(), ..JavaCommandLine::default() });
    }

    #[test]
    fn reads_folded_manifests() {
        assert_eq!(
            names("Manifest-Version: 1.0\r\nClass-Path: a.jar lib/b.j\r\n ar\r\nX: y\r\n"),
            ["a.jar", "lib/b.jar"]
        );
        assert_eq!(names("Manifest-Version: 1.0\n"), Vec::<String>::new());
    }
}
