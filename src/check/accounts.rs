//! Accounts: no password, no name or number twice, and one for every owner and for the image's user.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5).

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::TreeEntry;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const PASSWORD: CheckKind = error("password-set", "An account or group has a password, or needs none.");
const DUPLICATE: CheckKind = error("account-duplicate", "Two accounts or groups have the same name or number.");
const OWNER: CheckKind = warning("owner-unknown", "A path belongs to a user or group that the image does not have.");
const USER: CheckKind = warning("user-unknown", "The user that the image runs as has no account.");

pub(super) const KINDS: &[&CheckKind] = &[&PASSWORD, &DUPLICATE, &OWNER, &USER];

/// Largest account file that is read.
const LIMIT: u64 = 1 << 20;

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let [passwd, group] = [AccountFile::read("etc/passwd", image)?, AccountFile::read("etc/group", image)?];
    let [shadow, gshadow] = [AccountFile::read("etc/shadow", image)?, AccountFile::read("etc/gshadow", image)?];
    for file in [&passwd, &group, &shadow, &gshadow] {
        passwords(file, findings);
    }

    let (users, groups) = (passwd.ids(findings), group.ids(findings));
    // without account files an image has no names at all, and nothing is to be compared
    if !users.is_empty() {
        owners(image, &users, &groups, findings);
        if !users.contains(&image.user.0) {
            let cause = format!("there is no account with uid {}", image.user.0);
            let remedy = "add it under `accounts`: programs look up the name and home folder of their user".to_owned();
            findings.add(&USER, FindingDetails { path: "config.user".to_owned(), origin: None, cause, remedy });
        }
    }
    Ok(())
}

/// One of the account files.
struct AccountFile<'a> {
    entry: Option<&'a TreeEntry>,
    text: String,
}

impl<'a> AccountFile<'a> {
    fn read(path: &str, image: &ImageView<'a>) -> Result<Self, Error> {
        let bytes = image.read(path, LIMIT)?.unwrap_or_default();
        Ok(Self { entry: image.resolve(path), text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// Returns the fields of every line.
    fn lines(&self) -> impl Iterator<Item = Vec<&str>> {
        self.text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.split(':').collect())
    }

    /// Returns all numbers (the third field), and reports repeated names and numbers.
    fn ids(&self, findings: &mut FindingList) -> BTreeSet<u32> {
        let (mut names, mut ids) = (BTreeSet::new(), BTreeMap::new());
        for fields in self.lines() {
            let name = fields[0];
            if !names.insert(name) {
                self.add(&DUPLICATE, format!("`{name}` is in it twice"), "name it once", findings);
            }
            let Some(id) = fields.get(2).and_then(|id| id.parse().ok()) else { continue };
            if let Some(other) = ids.insert(id, name).filter(|other| *other != name) {
                self.add(
                    &DUPLICATE,
                    format!("`{name}` and `{other}` both have number {id}"),
                    "give each its own",
                    findings,
                );
            }
        }
        ids.into_keys().collect()
    }

    fn add(&self, kind: &CheckKind, cause: String, remedy: &str, findings: &mut FindingList) {
        if let Some(entry) = self.entry {
            findings.at(entry, kind, cause, remedy);
        }
    }
}

/// Reports passwords: nobody logs in to a container, and a hash can be guessed by everybody who pulls the image.
fn passwords(file: &AccountFile<'_>, findings: &mut FindingList) {
    for fields in file.lines() {
        let (name, Some(password)) = (fields[0], fields.get(1)) else { continue };
        // `x`: see shadow; `*` and `!` fit no password (shadow(5))
        if *password == "x" || password.starts_with(['*', '!']) {
            continue;
        }
        let cause = match password.is_empty() {
            true => format!("`{name}` needs no password"),
            false => format!("`{name}` has a password"),
        };
        file.add(&PASSWORD, cause, "write `*` in place of the password, or leave the file to `accounts`", findings);
    }
}

/// Reports owners without account, each once with the first of its paths.
fn owners(image: &ImageView<'_>, users: &BTreeSet<u32>, groups: &BTreeSet<u32>, findings: &mut FindingList) {
    let mut seen = BTreeSet::new();
    for entry in image.subject.whole.iter() {
        for (what, id, known) in [("user", entry.uid, users), ("group", entry.gid, groups)] {
            if known.contains(&id) || !seen.insert((what, id)) {
                continue;
            }
            let cause = format!("it belongs to {what} {id}, which the image does not have");
            let remedy = format!("add a {what} with this number under `accounts`, or give the path to another owner");
            findings.at(entry, &OWNER, cause, remedy);
        }
    }
}
