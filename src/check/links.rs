//! Every symbolic link leads somewhere (symlink(7)); that includes those of `/etc/alternatives`.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::check::view::OPEN_FOLDERS;
use crate::check::view::is_within;
use crate::store::Error;
use crate::tree;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;

const OF_RECIPE: CheckKind = error("recipe-link-dangling", "A link that a recipe writes leads nowhere.");
const DANGLING: CheckKind = warning("link-dangling", "A link of a package leads nowhere.");
const OUT_OF_CODE: CheckKind =
    error("link-to-writable", "A link among programs, libraries or configuration leads to where every user may write.");

pub(super) const KINDS: &[&CheckKind] = &[&OF_RECIPE, &DANGLING, &OUT_OF_CODE];

/// Folders whose content is run or configures what runs. Links of `var` lead to temporary files on purpose.
const CODE: [&str; 9] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "etc"];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for entry in image.subject.whole.iter() {
        let EntryKind::Symlink(target) = &entry.kind else { continue };
        let meant = tree::link_target(&entry.path, target);

        if is_in(&entry.path, &CODE) && is_in(&meant, &OPEN_FOLDERS) {
            let cause = format!("its target `{target}` is in a folder where every user may write");
            findings.at(entry, &OUT_OF_CODE, cause, "let it lead to a folder of root's, or exclude it");
            continue;
        }
        // the root itself has no entry
        let exists = meant.is_empty() || image.resolve(&entry.path).is_some();
        if exists || image.is_of_run_time(&meant) {
            continue;
        }
        let kind = if matches!(entry.origin, EntryOrigin::Recipe(_)) { &OF_RECIPE } else { &DANGLING };
        findings.at(entry, kind, format!("its target `{target}` is not in the image"), remedy(entry, &meant, image));
    }
    Ok(())
}

fn is_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| is_within(path, folder))
}

/// Returns what helps against a link that leads nowhere.
pub(super) fn remedy(entry: &TreeEntry, meant: &str, image: &ImageView<'_>) -> String {
    let mut packages = image.subject.packages.iter().flatten();
    match packages.find(|(_, package)| package.entry(meant).is_some()) {
        Some((package, _)) => {
            format!("`/{meant}` of package {package} is excluded: exclude the link as well, or include its target")
        }
        None if entry.path.starts_with("etc/alternatives/") => {
            "name the program that exists under `links`, or exclude it".to_owned()
        }
        None if matches!(entry.origin, EntryOrigin::Recipe(_)) => "correct its target under `links`".to_owned(),
        None => "exclude it, or add the package that brings its target".to_owned(),
    }
}
