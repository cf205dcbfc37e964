//! Who may write what: the image's user owns and writes nothing outside the declared writable paths, and nobody else does
//! but root. There are no set-user-id bits.
//!
//! File capabilities and devices need no check: a tree has no place for either.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::view::AccessRight;
use crate::check::view::ImageView;
use crate::check::view::OPEN_FOLDERS;
use crate::check::view::is_within;
use crate::store::Error;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;

const PRIVILEGED: CheckKind = error("set-user-id", "A path has the set-user-id or set-group-id bit.");
const USER: CheckKind = error(
    "user-writable",
    "The image's user owns or may write a path that no recipe declares as writable (`config.writable`).",
);
const WORLD: CheckKind = error("world-writable", "Every user may write a path.");

pub(super) const KINDS: &[&CheckKind] = &[&PRIVILEGED, &USER, &WORLD];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    // the topmost path stands for what is below it
    let mut reported: Option<&str> = None;
    for entry in image.subject.whole.iter().filter(|entry| !matches!(entry.kind, EntryKind::Symlink(_))) {
        if entry.mode & 0o6000 != 0 {
            let cause = format!("it has mode {:04o}", entry.mode);
            findings.at(entry, &PRIVILEGED, cause, "clear the bit, or exclude the path");
        }

        let is_open = entry.mode & 0o002 != 0 && !is_shared_folder(entry);
        if is_open {
            let cause = format!("every user may write it (mode {:04o})", entry.mode);
            let remedy = "take the right to write away: a recipe can set the mode under `directories` or `files`";
            findings.at(entry, &WORLD, cause, remedy);
        }
        if reported.is_some_and(|folder| is_within(&entry.path, folder)) {
            continue;
        }
        if !is_open && let Some(cause) = user_access(entry, image) {
            reported = Some(&entry.path);
            let remedy = "give it to root (`owner: \"0:0\"`), or declare it under `config.writable` with a reason";
            findings.at(entry, &USER, cause, remedy);
        }
    }
    Ok(())
}

fn is_shared_folder(entry: &TreeEntry) -> bool {
    OPEN_FOLDERS.contains(&entry.path.as_str()) && entry.kind == EntryKind::Directory && entry.mode & 0o1000 != 0
}

/// Returns why the image's user can change an entry that it must not change.
fn user_access(entry: &TreeEntry, image: &ImageView<'_>) -> Option<String> {
    let (uid, gid) = image.user;
    // an owner may always give itself the right to write (chmod(2))
    let cause = if entry.uid == uid {
        format!("it belongs to the image's user {uid}")
    } else if image.may(entry, AccessRight::Write) {
        format!(
            "the image's user {uid}:{gid} may write it (mode {:04o}, owner {}:{})",
            entry.mode, entry.uid, entry.gid
        )
    } else {
        return None;
    };
    (!is_declared(entry, image)).then_some(cause)
}

/// Tells whether recipes declare a path as the user's: writable paths, and the home folder of its account.
fn is_declared(entry: &TreeEntry, image: &ImageView<'_>) -> bool {
    let writable = image.config.writable.keys().any(|path| is_within(&entry.path, path.trim_matches('/')));
    let is_home = entry.origin == EntryOrigin::Generator("accounts".to_owned());
    writable || is_home || is_shared_folder(entry)
}
