//! Every symbolic link leads somewhere (symlink(7)); that includes those of `/etc/alternatives`.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use crate::tree::parent;

const OF_RECIPE: CheckKind = error("recipe-link-dangling", "A link that a recipe writes leads nowhere.");
const DANGLING: CheckKind = warning("link-dangling", "A link of a package leads nowhere.");
const OUT_OF_CODE: CheckKind =
    error("link-to-writable", "A link among programs, libraries or configuration leads to where every user may write.");

pub(super) const KINDS: &[&CheckKind] = &[&OF_RECIPE, &DANGLING, &OUT_OF_CODE];

/// Folders in which everybody may write.
const OPEN: [&str; 4] = ["tmp", "var/tmp", "run/lock", "dev/shm"];

/// Folders whose content is run or configures what runs. Links of `var` lead to temporary files on purpose.
const CODE: [&str; 9] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "etc"];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for entry in image.subject.whole.iter() {
        let EntryKind::Symlink(target) = &entry.kind else { continue };
        let meant = lexical(&entry.path, target);

        if is_in(&entry.path, &CODE) && is_in(&meant, &OPEN) {
            let cause = format!("its target `{target}` is in a folder where every user may write");
            let remedy = "let it lead to a folder of root's, or exclude it".to_owned();
            findings.add(
                &OUT_OF_CODE,
                FindingDetails { path: format!("/{}", entry.path), origin: Some(&entry.origin), cause, remedy },
            );
            continue;
        }
        // the root itself has no entry
        let exists = meant.is_empty() || image.resolve(&entry.path).is_some();
        if exists || image.is_of_run_time(&meant) {
            continue;
        }
        let kind = if matches!(entry.origin, EntryOrigin::Recipe(_)) { &OF_RECIPE } else { &DANGLING };
        findings.add(kind, details(entry, target, &meant, image));
    }
    Ok(())
}

fn is_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| crate::check::view::is_within(path, folder))
}

fn details<'a>(entry: &'a TreeEntry, target: &str, meant: &str, image: &ImageView<'_>) -> FindingDetails<'a> {
    let cause = format!("its target `{target}` is not in the image");
    let packages = image.subject.packages.iter().flatten();
    let mut owner =
        packages.filter(|(_, package)| package.entries.iter().any(|entry| entry.path == meant)).map(|(name, _)| name);

    let remedy = match owner.next() {
        Some(package) => {
            format!("`/{meant}` of package {package} is excluded: exclude the link as well, or include its target")
        }
        None if entry.path.starts_with("etc/alternatives/") => {
            "name the program that exists under `links`, or exclude it".to_owned()
        }
        None if matches!(entry.origin, EntryOrigin::Recipe(_)) => "correct its target under `links`".to_owned(),
        None => "exclude it, or add the package that brings its target".to_owned(),
    };
    FindingDetails { path: format!("/{}", entry.path), origin: Some(&entry.origin), cause, remedy }
}

/// Returns where a link points to by its text alone, without following further links; the root is empty.
fn lexical(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => parent(path).unwrap_or_default().split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_text_of_a_link() {
        let table = [
            ("a/b", "c", "a/c"),
            ("a/b", "../c", "c"),
            ("a/b", "/c/./d/", "c/d"),
            ("a/b", "../../../../c", "c"),
            ("a", "/", ""),
            ("a/b", ".", "a"),
        ];
        for (path, target, expected) in table {
            assert_eq!(lexical(path, target), expected, "{path} {target}");
        }
    }
}
