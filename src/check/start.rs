//! What the image starts: entry point and command exist, and its user may execute them.
//!
//! Source: OCI image-spec config.md, `Entrypoint`, `Cmd`, `WorkingDir`; execve(2).

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::links;
use crate::check::scripts;
use crate::check::view::AccessRight;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;

const MISSING: CheckKind =
    error("start-missing", "The program of `entrypoint` or `command` does not exist in the image.");
const NOT_EXECUTABLE: CheckKind =
    error("start-not-executable", "The image's user may not execute the program of `entrypoint` or `command`.");
const INTERPRETER: CheckKind =
    error("start-interpreter-missing", "The program is a script, and its interpreter does not exist in the image.");
const FOLDER: CheckKind =
    warning("working-directory-missing", "The working directory does not exist, or the image's user cannot enter it.");

pub(super) const KINDS: &[&CheckKind] = &[&MISSING, &NOT_EXECUTABLE, &INTERPRETER, &FOLDER];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let entrypoint = image.config.entrypoint.as_deref().unwrap_or_default();
    let command = image.config.command.as_deref().unwrap_or_default();
    let words = [("config.entrypoint", entrypoint), ("config.command", command)];
    // the first word of both together is the program
    if let Some((key, word)) = words.iter().find_map(|(key, words)| Some((*key, words.first()?))) {
        program(key, word, image, findings);
    }

    if let Some(folder) = image.config.working_directory.as_deref() {
        working_directory(folder, image, findings);
    }
    Ok(())
}

fn program(key: &str, word: &str, image: &ImageView<'_>, findings: &mut FindingList) {
    let found = candidates(word, image).into_iter().find_map(|path| image.resolve(&path));
    let Some(entry) = found else {
        let (cause, remedy) = absence(word, image);
        return findings.add(&MISSING, FindingDetails { path: key.to_owned(), origin: None, cause, remedy });
    };

    if let Some((cause, remedy)) = obstacle(entry, image) {
        findings.at(entry, &NOT_EXECUTABLE, cause, remedy);
    }

    let line = image.scripts.get(entry.path.as_str());
    if let Some(missing) = line.and_then(|line| scripts::missing_interpreter(line, image)) {
        let cause = format!("it is a script for `{missing}`, which is not in the image");
        let remedy = "add the package that brings the interpreter, or start the program that the script starts";
        findings.at(entry, &INTERPRETER, cause, remedy);
    }
}

/// Returns why a program is not there, and what helps.
fn absence(word: &str, image: &ImageView<'_>) -> (String, String) {
    let links = candidates(word, image).into_iter().filter_map(|path| image.subject.whole.get(path.trim_matches('/')));
    for link in links {
        if let EntryKind::Symlink(target) = &link.kind {
            let meant = tree::link_target(&link.path, target);
            let cause = format!("`/{}` is a link, and its target `{target}` is not in the image", link.path);
            return (cause, links::remedy(link, &meant, image));
        }
    }

    for path in candidates(word, image) {
        let path = path.trim_matches('/');
        let mut packages = image.subject.packages.iter().flatten();
        if let Some((package, _)) = packages.find(|(_, package)| package.entry(path).is_some()) {
            let remedy =
                "name it under `include-paths`, or correct the line under `exclude.paths` that covers it".to_owned();
            return (format!("`/{path}` of package {package} is excluded"), remedy);
        }
    }
    let remedy = "name a program that a package or recipe of the image brings".to_owned();
    (format!("`{word}` does not exist in the image"), remedy)
}

/// Returns where a program may be: a word without slash is looked for as execvp(3) does.
pub(super) fn candidates(word: &str, image: &ImageView<'_>) -> Vec<String> {
    if word.starts_with('/') {
        return vec![word.to_owned()];
    }
    if word.contains('/') {
        let folder = image.config.working_directory.as_deref().unwrap_or("/");
        return vec![format!("{folder}/{word}")];
    }
    image.command_path().map(|folder| format!("{folder}/{word}")).collect()
}

/// Returns why the image's user cannot execute an entry, and what helps.
fn obstacle(entry: &TreeEntry, image: &ImageView<'_>) -> Option<(String, String)> {
    let (uid, gid) = image.user;
    if matches!(entry.kind, EntryKind::Directory) {
        return Some(("it is a folder".to_owned(), "name the program in it".to_owned()));
    }
    if !image.may(entry, AccessRight::Execute) {
        let cause =
            format!("user {uid}:{gid} may not execute it (mode {:04o}, owner {}:{})", entry.mode, entry.uid, entry.gid);
        return Some((cause, "write `mode: \"0755\"` where the recipe provides it".to_owned()));
    }
    let folder = image.barrier(&entry.path)?;
    let cause = format!("user {uid}:{gid} may not enter `/{}` (mode {:04o})", folder.path, folder.mode);
    Some((cause, format!("give `/{}` mode 0755 under `directories`", folder.path)))
}

fn working_directory(folder: &str, image: &ImageView<'_>, findings: &mut FindingList) {
    let path = folder.trim_matches('/');
    if path.is_empty() || image.is_of_run_time(path) {
        return;
    }

    let (origin, cause) = match image.resolve(folder) {
        Some(entry) if entry.kind != EntryKind::Directory => (Some(&entry.origin), "it is not a folder"),
        Some(entry) if !image.may(entry, AccessRight::Execute) || image.barrier(&entry.path).is_some() => {
            (Some(&entry.origin), "the image's user cannot enter it")
        }
        Some(_) => return,
        None => (None, "it does not exist, and cannot be made in a read-only root"),
    };
    let remedy = "create it under `directories`, or name another `working-directory`".to_owned();
    findings.add(&FOLDER, FindingDetails { path: folder.to_owned(), origin, cause: cause.to_owned(), remedy });
}
