//! Commands of dpkg and of ucf.

use crate::scripts::commands::CommandCall;
use crate::scripts::conditions::compare_versions;
use crate::scripts::effect::EffectKind;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

/// Questions that dpkg(1) answers without changing anything.
const QUESTIONS: [&str; 24] = [
    "-L",
    "-l",
    "-s",
    "-S",
    "-p",
    "-c",
    "-I",
    "-V",
    "-C",
    "--listfiles",
    "--list",
    "--status",
    "--search",
    "--print-avail",
    "--print-architecture",
    "--print-foreign-architectures",
    "--get-selections",
    "--audit",
    "--version",
    "--verify",
    "--validate-version",
    "--contents",
    "--info",
    "--print-arch",
];

pub(super) fn dpkg(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let mut words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
    words.retain(|word| *word != "--");
    match words.as_slice() {
        ["--compare-versions", left, operator, right] => compare_versions(left, operator, right),
        // an unquoted empty version leaves only two words: `lt 1.0`, which is an error for dpkg
        ["--compare-versions", ..] => Either,
        [first, ..] if QUESTIONS.contains(first) || first.starts_with("--assert-") => Either,
        _ => call.not_understood(walk),
    }
}

pub(super) fn maintscript(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    if call.arguments.first().is_some_and(|first| first == "supports") {
        return Either;
    }

    // after `--` stand the arguments of the script: without an old version nothing is moved or removed
    let rest = call.arguments.iter().skip_while(|argument| *argument != "--").skip(1).map(String::as_str);
    match rest.collect::<Vec<_>>().as_slice() {
        ["install"] | ["configure"] | ["configure", ""] | ["triggered", ..] => Either,
        _ => call.not_understood(walk),
    }
}

pub(super) fn alternatives(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let mut rest: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
    loop {
        rest = match rest.as_slice() {
            [] => return Either,
            ["--install", link, name, path, _priority, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} {link} -> {path}"));
                rest.to_vec()
            }
            ["--slave" | "--follower", link, name, path, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} {link} -> {path}"));
                rest.to_vec()
            }
            ["--set", name, path, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} set to {path}"));
                rest.to_vec()
            }
            ["--remove", name, path, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} without {path}"));
                rest.to_vec()
            }
            ["--remove-all", name, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} without any"));
                rest.to_vec()
            }
            ["--auto", name, rest @ ..] => {
                walk.effect(EffectKind::Alternative, &format!("{name} automatic"));
                rest.to_vec()
            }
            ["--list" | "--query" | "--display", _, rest @ ..] => rest.to_vec(),
            ["--log" | "--altdir" | "--admindir" | "--root" | "--instdir", _, rest @ ..] => rest.to_vec(),
            ["--quiet" | "--force" | "--verbose" | "--debug" | "--skip-auto" | "--get-selections", rest @ ..] => {
                rest.to_vec()
            }
            _ => return call.not_understood(walk),
        };
    }
}

pub(super) fn divert(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["--divert", "--package", "--admindir", "--instdir", "--root"]);
    if words.has(&["--list", "--listpackage", "--truename"]) {
        return Either;
    }
    let [path] = words.operands.as_slice() else { return call.not_understood(walk) };
    let path = walk.path(path);
    if words.has(&["--remove"]) {
        walk.effect(EffectKind::Diversion, &format!("{path} taken back"));
    } else {
        let target = words.value(&["--divert"]).map_or_else(|| format!("{path}.distrib"), str::to_owned);
        walk.effect(EffectKind::Diversion, &format!("{path} -> {target}"));
    }
    Either
}

pub(super) fn statoverride(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["--admindir", "--instdir", "--root"]);
    if words.has(&["--list"]) {
        return Either;
    }
    match words.operands.as_slice() {
        [path] if words.has(&["--remove"]) => {
            walk.effect(EffectKind::Statoverride, &format!("{path} taken back"));
        }
        [user, group, mode, path] => {
            walk.effect(EffectKind::Statoverride, &format!("{path} {user}:{group} {mode}"));
            if words.has(&["--update"]) {
                walk.effect(EffectKind::Owner, &format!("{path} {user}:{group}"));
                walk.effect(EffectKind::Mode, &format!("{path} {mode}"));
            }
        }
        _ => return call.not_understood(walk),
    }
    Either
}

pub(super) fn trigger(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["--by-package", "--admindir", "--root"]);
    if words.has(&["--check-supported"]) {
        return Either;
    }
    for name in &words.operands {
        walk.effect(EffectKind::Trigger, &format!("activate {name}"));
    }
    Either
}

pub(super) fn ucf(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-s", "-S", "--src-dir", "--sum-file", "--state-dir"]);
    walk.effect(EffectKind::File, "/var/lib/ucf/hashfile");
    match words.operands.as_slice() {
        [_] if words.has(&["-p", "--purge"]) => (),
        [source, path] => {
            let (source, path) = (walk.path(source), walk.path(path));
            walk.effect(EffectKind::Copy, &format!("{path} <- {source}"));
        }
        _ => return call.not_understood(walk),
    }
    Either
}

pub(super) fn ucfr(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::File, "/var/lib/ucf/registry");
    Either
}
