//! Owns passwd, group, shadow and gshadow, and the home folders of new users.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5). Replaces what base-passwd, passwd and `useradd` calls in
//! maintainer scripts write. Every password is locked, and the day of the last change is empty, so that nothing depends
//! on when the image was built.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::entry;
use crate::layer::generate::file;
use crate::layer::unpack::OwnerNames;
use crate::recipe::LevelDefinition;
use crate::recipe::UserAccount;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use crate::tree::check_path;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const NAME: &str = "accounts";

/// Debian's group that may read shadow files (base-passwd, group.master).
const SHADOW_GID: u32 = 42;

/// Debian's user and group without any right (Debian policy 9.2.2).
const NOBODY: u32 = 65534;

/// Home folders are for the user and its group only; login.defs' `HOME_MODE` 0700 would lock out containers that run
/// under a foreign user id with this group.
const HOME_MODE: u32 = 0o750;

/// Ids with a meaning of their own: NFS's nobody, and the two forms of -1 (Debian policy 9.2.2, chown(2)).
const RESERVED: [u32; 3] = [NOBODY, 65535, u32::MAX];

/// Runs at the root, and wherever accounts are added.
pub(super) fn wanted(levels: &[LevelDefinition]) -> bool {
    levels.len() == 1 || levels.last().is_some_and(|level| !level.users.is_empty() || !level.groups.is_empty())
}

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let accounts = AccountTables::of(scene.input.levels)?;
    let (mut passwd, mut shadow) = (String::new(), String::new());
    for (uid, (name, user)) in &accounts.users {
        let UserAccount { comment, home, shell, .. } = user;
        passwd += &format!("{name}:x:{uid}:{}:{comment}:{home}:{shell}\n", accounts.gid(user));
        // no password fits either: `*` as base-passwd writes it, `!*` as systemd-sysusers does
        let lock = if *uid == 0 || *uid == NOBODY { "*" } else { "!*" };
        shadow += &format!("{name}:{lock}:::::::\n");
    }
    let (mut group, mut gshadow) = (String::new(), String::new());
    for (gid, name) in &accounts.groups {
        group += &format!("{name}:x:{gid}:\n");
        gshadow += &format!("{name}:*::\n");
    }

    let mut entries = homes(scene, &accounts);
    entries.push(file(NAME, "etc/passwd", passwd, 0o644));
    entries.push(file(NAME, "etc/group", group, 0o644));
    for (path, text) in [("etc/shadow", shadow), ("etc/gshadow", gshadow)] {
        entries.push(TreeEntry { gid: SHADOW_GID, ..file(NAME, path, text, 0o640) });
    }
    Ok(entries)
}

/// Returns home folders for the users of this level that have none yet. Where users share a home, the first one owns it.
fn homes(scene: &MergedView<'_>, accounts: &AccountTables) -> Vec<TreeEntry> {
    let mut paths = BTreeSet::new();
    let mut entries = Vec::new();
    for (uid, (name, user)) in &accounts.users {
        let is_new = scene.level().is_some_and(|level| level.users.contains_key(name));
        // Debian policy 9.2.3: `/nonexistent` says that an account has no home, so it must not come to exist
        if !is_new || user.home.starts_with("/nonexistent") {
            continue;
        }

        let path = &user.home[1..];
        if scene.get(path).is_none() && paths.insert(path) {
            let home = entry(NAME, path, EntryKind::Directory, HOME_MODE);
            entries.push(TreeEntry { uid: *uid, gid: accounts.gid(user), ..home });
        }
    }
    entries
}

/// Numbers of an image's users and groups by name.
#[derive(Debug, Clone, Default)]
pub struct AccountIds {
    /// Uids.
    pub users: BTreeMap<String, u32>,
    /// Gids.
    pub groups: BTreeMap<String, u32>,
}

impl AccountIds {
    /// Looks the owners of an entry up by the names that its package gives them. Where there is no such name, the number
    /// of the package stays (dpkg `lib/dpkg/tarfn.c`).
    pub fn own(&self, entry: &mut TreeEntry, names: &OwnerNames) {
        if let Some(uid) = names.user.as_ref().and_then(|name| self.users.get(name)) {
            entry.uid = *uid;
        }
        if let Some(gid) = names.group.as_ref().and_then(|name| self.groups.get(name)) {
            entry.gid = *gid;
        }
    }
}

/// Returns the accounts of an image with these levels.
///
/// # Errors
/// When recipes contradict each other.
pub fn account_ids(levels: &[LevelDefinition]) -> Result<AccountIds, Error> {
    let AccountTables { users, groups } = AccountTables::of(levels)?;
    let users = users.into_iter().map(|(uid, (name, _))| (name, uid)).collect();
    Ok(AccountIds { users, groups: groups.into_iter().map(|(gid, name)| (name, gid)).collect() })
}

/// All accounts of an image, in order of their ids.
struct AccountTables {
    users: BTreeMap<u32, (String, UserAccount)>,
    groups: BTreeMap<u32, String>,
}

impl AccountTables {
    fn of(levels: &[LevelDefinition]) -> Result<Self, Error> {
        // those without which programs of the base system fail, as base-passwd has them
        let groups = [(0, "root"), (SHADOW_GID, "shadow"), (NOBODY, "nogroup")];
        let users = [
            ("root", fixed_user(0, "root", "/root", "root")),
            ("nobody", fixed_user(NOBODY, "nogroup", "/nonexistent", "nobody")),
        ];
        let mut accounts = Self {
            users: users.map(|(name, user)| (user.uid, (name.to_owned(), user))).into(),
            groups: groups.map(|(gid, name)| (gid, name.to_owned())).into(),
        };

        let mut problems = Vec::new();
        for level in levels {
            // groups first: the level's users may be in them
            for (name, gid) in &level.groups {
                accounts.add_group(name, *gid, &mut problems);
            }
            for (name, user) in &level.users {
                accounts.add_user(name, user, &mut problems);
            }
        }
        Error::gather(problems)?;
        Ok(accounts)
    }

    /// Returns the number of a user's group, which was checked when the user was added.
    fn gid(&self, user: &UserAccount) -> u32 {
        self.groups.iter().find(|(_, name)| **name == user.group).map_or(NOBODY, |(gid, _)| *gid)
    }

    fn add_group(&mut self, name: &str, gid: u32, problems: &mut Vec<Error>) {
        let mut causes: Vec<String> = bad_name(name).into_iter().collect();
        if self.groups.values().any(|known| known == name) {
            causes.push("the name is taken".to_owned());
        }

        if RESERVED.contains(&gid) {
            causes.push(format!("id {gid} is reserved"));
        } else if let Some(other) = self.groups.get(&gid) {
            causes.push(format!("id {gid} belongs to group `{other}`"));
        } else {
            // in spite of other problems, so that users of this group have none that only follow from them
            self.groups.insert(gid, name.to_owned());
        }
        problems.extend(causes.into_iter().map(|cause| Error::Account { kind: "group", name: name.to_owned(), cause }));
    }

    fn add_user(&mut self, name: &str, user: &UserAccount, problems: &mut Vec<Error>) {
        let mut causes: Vec<String> = bad_name(name).into_iter().chain(bad_fields(user)).collect();
        if self.users.values().any(|(known, _)| known == name) {
            causes.push("the name is taken".to_owned());
        }
        if !self.groups.values().any(|known| *known == user.group) {
            causes.push(format!("there is no group `{}`", user.group));
        }

        if RESERVED.contains(&user.uid) {
            causes.push(format!("id {} is reserved", user.uid));
        } else if let Some((other, _)) = self.users.get(&user.uid) {
            causes.push(format!("id {} belongs to user `{other}`", user.uid));
        } else {
            self.users.insert(user.uid, (name.to_owned(), user.clone()));
        }
        problems.extend(causes.into_iter().map(|cause| Error::Account { kind: "user", name: name.to_owned(), cause }));
    }
}

fn fixed_user(uid: u32, group: &str, home: &str, comment: &str) -> UserAccount {
    UserAccount {
        uid,
        group: group.to_owned(),
        home: home.to_owned(),
        shell: "/usr/sbin/nologin".to_owned(),
        comment: comment.to_owned(),
    }
}

/// Checks a name by the rules of useradd(8) ("CAVEATS"), without the trailing `$` of Samba.
fn bad_name(name: &str) -> Option<String> {
    let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let has_good_bytes =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if begins_well && has_good_bytes && name.len() <= 32 {
        return None;
    }
    Some("a name has 1 to 32 of `a`-`z`, digits, `_`, `-`, and begins with a letter or `_`".to_owned())
}

/// Checks the fields of passwd(5), where a colon would begin the next field and a line end the next account.
fn bad_fields(user: &UserAccount) -> Vec<String> {
    let mut causes = Vec::new();
    for (field, text) in [("comment", &user.comment), ("home", &user.home), ("shell", &user.shell)] {
        if text.contains(':') || text.chars().any(char::is_control) {
            causes.push(format!("the {field} holds a colon, line end or control character"));
        }
    }
    for (field, text) in [("home", &user.home), ("shell", &user.shell)] {
        if text.strip_prefix('/').is_none_or(|path| check_path(path).is_err()) {
            causes.push(format!("the {field} is not an absolute path in normal form"));
        }
    }
    causes
}
