//! Commands that run other commands: `eval`, `sh -c`, `find -exec`, `xargs` and their kin.

use crate::scripts::commands::CommandCall;
use crate::scripts::commands::judge_assignment;
use crate::scripts::commands::libraries::LIBRARIES;
use crate::scripts::commands::run_rest;
use crate::scripts::effect::EffectKind;
use crate::scripts::shell;
use crate::scripts::value::NAME;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;
use crate::scripts::walk::ShellOutcome::Leaves;

/// Walks a text of a script as commands; one that is not known, or no shell, is not understood.
fn text(walk: &mut ScriptWalk, call: &CommandCall<'_>, text: &str) -> ShellOutcome {
    // names of files stand as patterns again
    let text = &text.replace(NAME, "*");
    match shell::parse(text).ok().filter(|_| is_known(text)) {
        Some(list) => walk.nested(&list),
        None => {
            // it may set any variable
            walk.scope.clouded = true;
            call.not_understood(walk)
        }
    }
}

pub(super) fn eval(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    text(walk, call, &call.arguments.join(" "))
}

pub(super) fn shell(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_text = |word: &String| word.starts_with('-') && word.ends_with('c') && word.len() <= 4;
    match call.arguments {
        [option, script] if is_text(option) => walk.subshell(|walk| text(walk, call, script)),
        _ => call.not_understood(walk),
    }
}

pub(super) fn source(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_known = call.arguments.first().is_some_and(|path| LIBRARIES.contains(&path.as_str()));
    if !is_known {
        walk.scope.clouded = true;
        return call.with_all(walk, EffectKind::Runs, ".");
    }
    Either
}

pub(super) fn trap(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let Some(first) = call.arguments.first().filter(|first| !matches!(first.as_str(), "-" | "")) else { return Either };
    // at some later time, or never
    walk.branch(|walk| text(walk, call, first), |_| Either)
}

pub(super) fn exec(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    if call.arguments.is_empty() {
        // only redirections
        return Either;
    }
    walk.run(call.arguments);
    Leaves
}

pub(super) fn command(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    match call.arguments {
        [option, ..] if matches!(option.as_str(), "-v" | "-V") => Either,
        [option, rest @ ..] if option == "-p" || option == "--" => run_rest(walk, rest),
        rest => run_rest(walk, rest),
    }
}

pub(super) fn environment(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_before = |word: &&String| word.contains('=') || matches!(word.as_str(), "-i" | "-" | "--ignore-environment");
    let count = call.arguments.iter().take_while(is_before).count();
    for assignment in &call.arguments[..count] {
        if let Some((name, value)) = assignment.split_once('=') {
            let value = ScriptValue::known(value);
            judge_assignment(walk, name, &value);
        }
    }
    match &call.arguments[count..] {
        [] => Either,
        [option, ..] if option.starts_with('-') => call.not_understood(walk),
        rest => run_rest(walk, rest),
    }
}

pub(super) fn prefix(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // options and the numbers that they and `timeout` take stand before the command
    let is_before =
        |word: &&String| word.starts_with('-') || word.chars().next().is_none_or(|first| first.is_ascii_digit());
    let count = call.arguments.iter().take_while(is_before).count();
    run_rest(walk, &call.arguments[count..])
}

pub(super) fn xargs(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let takes_value = ["-n", "-L", "-P", "-I", "-d", "-s", "-a", "-E"];
    let mut at = 0;
    while let Some(word) = call.arguments.get(at).filter(|word| word.starts_with('-')) {
        at += if takes_value.contains(&word.as_str()) { 2 } else { 1 };
    }
    let Some(rest) = call.arguments.get(at..).filter(|rest| !rest.is_empty()) else { return Either };

    // what it reads is added at the end, or in the place of a word
    let mut arguments: Vec<String> = rest.iter().map(|word| word.replace("{}", &UNKNOWN.to_string())).collect();
    arguments.push(UNKNOWN.to_string());
    run_rest(walk, &arguments);
    Either
}

pub(super) fn find(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_option = |word: &&String| matches!(word.as_str(), "-H" | "-L" | "-P");
    let start = call.arguments.iter().take_while(is_option).count();
    let rest = &call.arguments[start..];
    let count = rest.iter().take_while(|word| !word.starts_with(['-', '!', '('])).count();
    let (folders, tests) = rest.split_at(count);
    let folders: Vec<String> = folders.iter().map(|folder| walk.path(folder)).collect();
    let found: Vec<String> = folders.iter().map(|folder| format!("{folder}/{NAME}{NAME}")).collect();

    let mut at = 0;
    while let Some(word) = tests.get(at) {
        at += 1;
        match word.as_str() {
            "-delete" => found.iter().for_each(|path| walk.effect(EffectKind::Removal, path)),
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let length = tests[at..].iter().position(|word| word == ";" || word == "+").unwrap_or(tests.len() - at);
                let command = &tests[at..at + length];
                at += length;
                // the folder itself may be found as well
                for path in found.iter().chain(&folders) {
                    let arguments: Vec<String> = command.iter().map(|word| word.replace("{}", path)).collect();
                    run_rest(walk, &arguments);
                }
            }
            "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                if let Some(path) = tests.get(at) {
                    walk.writes(path);
                }
            }
            word if !is_known(word) && !tests[..at - 1].last().is_some_and(|before| before.starts_with('-')) => {
                // it may stand for any test, and so for an action
                return call.not_understood(walk);
            }
            _ => (),
        }
    }
    Either
}
