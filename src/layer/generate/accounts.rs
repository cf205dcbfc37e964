//! Owns passwd, group, shadow and gshadow, and the home folders of new users.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5). Replaces what base-passwd, passwd and `useradd` calls in
//! maintainer scripts write. Every password is locked, and the day of the last change is empty, so that nothing depends
//! on when the image was built.

use crate::layer::generate::Error;
use crate::layer::generate::Scene;
use crate::layer::generate::entry;
use crate::layer::generate::file;
use crate::recipe::Level;
use crate::recipe::User;
use crate::tree::Entry;
use crate::tree::Kind;
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
pub(super) fn wanted(levels: &[Level]) -> bool {
    levels.len() == 1 || levels.last().is_some_and(|level| !level.users.is_empty() || !level.groups.is_empty())
}

pub(super) fn run(scene: &Scene<'_>) -> Result<Vec<Entry>, Error> {
    let Accounts { users, groups } = Accounts::of(scene.input.levels)?;
    let mut made = Vec::new();
    let (mut passwd, mut shadow) = (String::new(), String::new());
    for (uid, (name, user)) in &users {
        let User { comment, home, shell, group, .. } = user;
        let gid = groups.iter().find(|(_, known)| *known == group).map_or(NOBODY, |(gid, _)| *gid);
        passwd += &format!("{name}:x:{uid}:{gid}:{comment}:{home}:{shell}\n");
        let lock = if *uid == 0 || *uid == NOBODY { "*" } else { "!*" };
        shadow += &format!("{name}:{lock}:::::::\n");
        let is_new = scene.level().is_some_and(|level| level.users.contains_key(name));
        if is_new && !home.starts_with("/nonexistent") && scene.get(&home[1..]).is_none() {
            made.push(Entry { uid: *uid, gid, ..entry(NAME, &home[1..], Kind::Directory, HOME_MODE) });
        }
    }
    let (mut group, mut gshadow) = (String::new(), String::new());
    for (gid, name) in &groups {
        group += &format!("{name}:x:{gid}:\n");
        gshadow += &format!("{name}:*::\n");
    }
    made.push(file(NAME, "etc/passwd", passwd, 0o644));
    made.push(file(NAME, "etc/group", group, 0o644));
    for (path, text) in [("etc/shadow", shadow), ("etc/gshadow", gshadow)] {
        made.push(Entry { gid: SHADOW_GID, ..file(NAME, path, text, 0o640) });
    }
    let mut homes = BTreeSet::new();
    made.retain(|entry| homes.insert(entry.path.clone()));
    Ok(made)
}

/// All accounts of an image, in order of their ids.
struct Accounts {
    users: BTreeMap<u32, (String, User)>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    fn of(levels: &[Level]) -> Result<Self, Error> {
        let fixed = |uid, group: &str, home: &str, comment: &str| User {
            uid,
            group: group.to_owned(),
            home: home.to_owned(),
            shell: "/usr/sbin/nologin".to_owned(),
            comment: comment.to_owned(),
        };
        let mut accounts = Self { users: BTreeMap::new(), groups: BTreeMap::new() };
        for (gid, name) in [(0, "root"), (SHADOW_GID, "shadow"), (NOBODY, "nogroup")] {
            accounts.groups.insert(gid, name.to_owned());
        }
        accounts.users.insert(0, ("root".to_owned(), fixed(0, "root", "/root", "root")));
        let nobody = fixed(NOBODY, "nogroup", "/nonexistent", "nobody");
        accounts.users.insert(NOBODY, ("nobody".to_owned(), nobody));
        let mut problems = Vec::new();
        for level in levels {
            level.groups.iter().for_each(|(name, gid)| accounts.add_group(name, *gid, &mut problems));
            level.users.iter().for_each(|(name, user)| accounts.add_user(name, user, &mut problems));
        }
        Error::gather(problems)?;
        Ok(accounts)
    }

    fn add_group(&mut self, name: &str, gid: u32, problems: &mut Vec<Error>) {
        let mut problem = |cause: String| problems.push(Error::Account { kind: "group", name: name.to_owned(), cause });
        if let Some(cause) = bad_name(name) {
            problem(cause);
        }
        if self.groups.values().any(|known| known == name) {
            problem("the name is taken".to_owned());
        }
        if RESERVED.contains(&gid) {
            problem(format!("id {gid} is reserved"));
        } else if let Some(other) = self.groups.get(&gid) {
            problem(format!("id {gid} belongs to group `{other}`"));
        } else {
            self.groups.insert(gid, name.to_owned());
        }
    }

    fn add_user(&mut self, name: &str, user: &User, problems: &mut Vec<Error>) {
        let mut problem = |cause: String| problems.push(Error::Account { kind: "user", name: name.to_owned(), cause });
        bad_name(name).into_iter().for_each(&mut problem);
        bad_fields(user).into_iter().for_each(&mut problem);
        if self.users.values().any(|(known, _)| known == name) {
            problem("the name is taken".to_owned());
        }
        if !self.groups.values().any(|known| *known == user.group) {
            problem(format!("there is no group `{}`", user.group));
        }
        if RESERVED.contains(&user.uid) {
            problem(format!("id {} is reserved", user.uid));
        } else if let Some((other, _)) = self.users.get(&user.uid) {
            problem(format!("id {} belongs to user `{other}`", user.uid));
        } else {
            self.users.insert(user.uid, (name.to_owned(), user.clone()));
        }
    }
}

/// Checks a name by the rules of useradd(8) ("CAVEATS"), without the trailing `$` of Samba.
fn bad_name(name: &str) -> Option<String> {
    let first = name.bytes().next();
    let good_first = first.is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if good_first && name.bytes().all(good) && name.len() <= 32 {
        return None;
    }
    Some("a name has 1 to 32 of `a`-`z`, digits, `_`, `-`, and begins with a letter or `_`".to_owned())
}

fn bad_fields(user: &User) -> Vec<String> {
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
