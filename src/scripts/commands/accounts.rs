//! Commands that make and change accounts and groups.

use crate::scripts::commands::CommandCall;
use crate::scripts::commands::CommandWords;
use crate::scripts::effect::EffectKind;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

/// Options of adduser(8) with a value.
const ADDUSER: [&str; 15] = [
    "--home",
    "--shell",
    "--gecos",
    "--comment",
    "--uid",
    "--gid",
    "--ingroup",
    "--firstuid",
    "--lastuid",
    "--firstgid",
    "--lastgid",
    "--conf",
    "--add-extra-groups",
    "-c",
    "-s",
];

/// Options of useradd(8) and usermod(8) with a value.
const USERADD: [&str; 28] = [
    "-b",
    "-c",
    "-d",
    "-e",
    "-f",
    "-g",
    "-G",
    "-k",
    "-K",
    "-p",
    "-s",
    "-u",
    "-R",
    "-P",
    "-Z",
    "-l",
    "--base-dir",
    "--comment",
    "--home-dir",
    "--home",
    "--expiredate",
    "--inactive",
    "--gid",
    "--groups",
    "--password",
    "--shell",
    "--uid",
    "--login",
];

/// Describes an account by its name and what its options say about it.
fn described(words: &CommandWords, name: &str) -> String {
    let mut text = name.to_owned();
    let details: [(&str, &[&str]); 5] = [
        ("uid", &["--uid", "-u"]),
        ("group", &["--gid", "--ingroup", "-g"]),
        ("groups", &["-G", "--groups"]),
        ("home", &["--home", "-d", "--home-dir"]),
        ("shell", &["--shell", "-s"]),
    ];
    for (title, names) in details {
        if let Some(value) = words.value(names) {
            text.push_str(&format!(" {title}={value}"));
        }
    }
    text
}

pub(super) fn adduser(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&ADDUSER);
    let is_group = words.has(&["--group"]);
    match words.operands.as_slice() {
        [name] if is_group && !words.has(&["--system"]) => walk.effect(EffectKind::Group, name),
        [name] => {
            walk.effect(EffectKind::Account, &described(&words, name));
            if is_group {
                walk.effect(EffectKind::Group, name);
            }
            if let Some(home) = words.value(&["--home"]).filter(|_| !words.has(&["--no-create-home"])) {
                let home = walk.path(home);
                walk.effect(EffectKind::Folder, &home);
            }
        }
        [name, group] => walk.effect(EffectKind::Group, &format!("{group} with {name}")),
        _ => return call.not_understood(walk),
    }
    Either
}

pub(super) fn addgroup(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&ADDUSER);
    match words.operands.as_slice() {
        [name] => {
            let gid = words.value(&["--gid"]).map(|gid| format!(" gid={gid}")).unwrap_or_default();
            walk.effect(EffectKind::Group, &format!("{name}{gid}"));
        }
        [name, group] => walk.effect(EffectKind::Group, &format!("{group} with {name}")),
        _ => return call.not_understood(walk),
    }
    Either
}

pub(super) fn useradd(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&USERADD);
    let [name] = words.operands.as_slice() else { return call.not_understood(walk) };
    walk.effect(EffectKind::Account, &described(&words, name));
    if let Some(home) = words.value(&["-d", "--home-dir", "--home"]).filter(|_| words.has(&["-m", "--create-home"])) {
        let home = walk.path(home);
        walk.effect(EffectKind::Folder, &home);
    }
    Either
}

pub(super) fn groupadd(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-g", "-K", "-p", "-R", "-P", "-U", "--gid", "--password", "--users"]);
    let [name] = words.operands.as_slice() else { return call.not_understood(walk) };
    let gid = words.value(&["-g", "--gid"]).map(|gid| format!(" gid={gid}")).unwrap_or_default();
    walk.effect(EffectKind::Group, &format!("{name}{gid}"));
    Either
}

pub(super) fn changes(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Account, &format!("changed by {}", call.name))
}

pub(super) fn changes_group(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Group, &format!("changed by {}", call.name))
}

pub(super) fn removes(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Account, &format!("removed by {}", call.name))
}

pub(super) fn removes_group(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Group, &format!("removed by {}", call.name))
}

pub(super) fn sysusers(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let files = call.words(&["--root", "--image", "--replace"]).operands;
    if files.is_empty() {
        walk.effect(EffectKind::Account, "of every file in sysusers.d");
    }
    for file in files {
        walk.effect(EffectKind::Account, &format!("of sysusers.d {file}"));
    }
    Either
}

pub(super) fn update_passwd(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::Account, "of base-passwd");
    Either
}

pub(super) fn shadow(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // `shadowconfig off` writes passwords back to passwd and group
    if call.arguments.iter().any(|argument| argument != "on") {
        return call.not_understood(walk);
    }
    for path in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
        walk.effect(EffectKind::Generated, &format!("{path} by {}", call.name));
    }
    Either
}
