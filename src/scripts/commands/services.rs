//! Commands for services, timers and the kernel: no init runs while an image is made, and none runs in it.

use crate::scripts::commands::CommandCall;
use crate::scripts::effect::EffectKind;
use crate::scripts::value::NAME;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

pub(super) fn service(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Service, call.name)
}

/// What `deb-systemd-helper` leaves behind without any systemd: the links of the unit's `[Install]` section, which the
/// script does not name, and a record of them.
pub(super) fn helper(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&[]);
    let Some((action, units)) = words.operands.split_first() else { return Either };
    let scope = if words.has(&["--user"]) { "user" } else { "system" };
    for unit in units {
        match action.as_str() {
            "was-enabled" | "debian-installed" | "disable" | "purge" => (),
            "enable" | "reenable" | "unmask" | "update-state" => {
                walk.effect(EffectKind::Link, &format!("/etc/systemd/{scope}/{NAME} -> unit {unit}"));
                walk.effect(
                    EffectKind::File,
                    &format!("/var/lib/systemd/deb-systemd-helper-enabled/{NAME} for {unit}"),
                );
            }
            "mask" => {
                walk.effect(EffectKind::Link, &format!("/etc/systemd/{scope}/{unit} -> /dev/null"));
                walk.effect(EffectKind::File, &format!("/var/lib/systemd/deb-systemd-helper-masked/{NAME} for {unit}"));
            }
            _ => return call.not_understood(walk),
        }
    }
    Either
}

pub(super) fn runlevels(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&[]);
    match words.operands.as_slice() {
        [_, action, ..] if action == "remove" => (),
        [name, ..] => walk.effect(EffectKind::Link, &format!("/etc/rc{NAME}.d/{NAME}{name} -> ../init.d/{name}")),
        [] => return call.not_understood(walk),
    }
    Either
}

pub(super) fn daemon(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let takes = ["-x", "-p", "-u", "-n", "-a", "-s", "-R", "-c", "-d", "--exec", "--pidfile", "--user", "--name"];
    let words = call.words(&takes);
    // to end a process that does not run has no effect; to start one is not understood
    if words.has(&["--stop", "-K", "--status", "-T"]) && !words.has(&["--start", "-S"]) {
        return service(walk, call);
    }
    call.not_understood(walk)
}

pub(super) fn tmpfiles(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["--prefix", "--exclude-prefix", "--root", "--image", "--replace"]);
    if words.operands.is_empty() {
        walk.effect(EffectKind::Generated, "paths of every file in tmpfiles.d");
    }
    for file in &words.operands {
        walk.effect(EffectKind::Generated, &format!("paths of tmpfiles.d {file}"));
    }
    Either
}

pub(super) fn machine_id(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::File, "/etc/machine-id");
    Either
}

/// The name of the machine is only asked for, unless an argument sets it.
pub(super) fn hostname(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-F", "--file"]);
    let sets = !words.operands.is_empty() || words.has(&["-F", "--file", "-b", "--boot"]);
    if sets { call.not_understood(walk) } else { Either }
}
