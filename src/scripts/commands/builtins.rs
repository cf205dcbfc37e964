//! Commands of the shell, and programs that only read.

use crate::scripts::commands::CommandCall;
use crate::scripts::commands::assign;
use crate::scripts::conditions;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;
use crate::scripts::walk::ShellOutcome::False;
use crate::scripts::walk::ShellOutcome::True;

pub(super) fn succeeds(_: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    True
}

pub(super) fn fails(_: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    False
}

pub(super) fn nothing(_: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    Either
}

pub(super) fn prints(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // bash's `printf -v NAME`
    if call.name == "printf" && call.arguments.first().is_some_and(|first| first == "-v") {
        let name = call.arguments.get(1).cloned().unwrap_or_default();
        assign(walk, &name, ScriptValue::unknown());
    }
    True
}

pub(super) fn tests(_: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    match (call.name.ends_with('['), call.arguments) {
        (true, [inner @ .., last]) if last == "]" => conditions::test(inner),
        (true, _) => Either,
        (false, all) => conditions::test(all),
    }
}

/// `[[ … ]]` of bash: its right sides are patterns, so only plain words are compared.
pub(super) fn tests_patterns(_: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_plain = |word: &String| word.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-./".contains(sign));
    match call.arguments {
        [left, operator, right, end]
            if end == "]]" && is_plain(right) && matches!(operator.as_str(), "=" | "==" | "!=") =>
        {
            conditions::test(&[left.clone(), operator.clone(), right.clone()])
        }
        [operator, word, end] if end == "]]" && matches!(operator.as_str(), "-n" | "-z") => {
            conditions::test(&[operator.clone(), word.clone()])
        }
        // others are not decided; where it goes on behind `&&`, the rest is read as a command that nobody knows
        _ => Either,
    }
}

pub(super) fn exits(_: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    ShellOutcome::Leaves
}

pub(super) fn returns(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.leave_function()
}

pub(super) fn leaves_loop(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let count = call.arguments.first().and_then(|count| count.parse().ok()).unwrap_or(1);
    walk.leave_loop(count)
}

pub(super) fn sets(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let mut arguments = call.arguments.iter();
    let mut values = None;
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            values = Some(arguments.by_ref().collect::<Vec<_>>());
        } else if argument.starts_with(['-', '+']) {
            let is_on = argument.starts_with('-');
            // the letter `o` takes a name, also at the end of others: `set -euo pipefail`
            let by_name = argument.ends_with('o') && arguments.next().is_some_and(|name| name == "errexit");
            if by_name || argument.contains('e') {
                walk.scope.stops = is_on;
            }
        } else {
            values = Some(std::iter::once(argument).chain(arguments.by_ref()).collect());
        }
    }
    if let Some(values) = values {
        // an unknown word may stand for any number of arguments
        let is_exact = values.iter().all(|value| is_known(value));
        walk.scope.arguments = is_exact.then(|| values.into_iter().map(ScriptValue::known).collect());
    }
    True
}

pub(super) fn shifts(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let count = call.arguments.first().map_or(Some(1), |count| count.parse::<usize>().ok());
    walk.scope.arguments = match (walk.scope.arguments.take(), count) {
        (Some(all), Some(count)) => Some(all.into_iter().skip(count).collect()),
        _ => None,
    };
    True
}

pub(super) fn exports(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for argument in call.arguments {
        assign_word(walk, argument);
    }
    True
}

pub(super) fn locals(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for argument in call.arguments {
        walk.local(argument.split('=').next().unwrap_or_default());
        assign_word(walk, argument);
    }
    True
}

/// Sets a variable from an argument `NAME=value`.
fn assign_word(walk: &mut ScriptWalk, argument: &str) {
    if let Some((name, value)) = argument.split_once('=') {
        assign(walk, name, ScriptValue::known(value));
    } else if argument.starts_with(UNKNOWN) {
        walk.scope.clouded = true;
    }
}

pub(super) fn unsets(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let is_function = call.arguments.first().is_some_and(|first| first == "-f");
    for name in call.arguments {
        match is_function {
            true => drop(walk.scope.functions.remove(name)),
            false => walk.scope.set(name, ScriptValue::known("")),
        }
    }
    True
}

pub(super) fn reads(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let names = call.words(&["-p", "-t", "-n", "-d", "-u", "-N", "-a", "-i"]).operands;
    let Some(input) = walk.scope.input.take() else {
        for name in &names {
            assign(walk, name, ScriptValue::unknown());
        }
        return Either;
    };

    // the first line of a here-document, divided at blanks; the last name gets the rest
    let (line, rest) = input.split_once('\n').unwrap_or((&input, ""));
    let (mut text, is_end) = (line.trim(), input.is_empty());
    walk.scope.input = Some(rest.to_owned());
    for (index, name) in names.iter().enumerate() {
        let (word, others) = match text.split_once([' ', '\t']) {
            Some((word, others)) if index + 1 < names.len() => (word, others.trim_start()),
            _ => (text, ""),
        };
        let value = if walk.scope.variables.contains_key("IFS") || line.contains('\\') {
            ScriptValue::unknown()
        } else {
            ScriptValue::known(word)
        };
        assign(walk, name, value);
        text = others;
    }
    if is_end { False } else { True }
}

pub(super) fn options(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for name in call.arguments.get(1).into_iter().map(String::as_str).chain(["OPTARG"]) {
        walk.scope.set(name, ScriptValue::unknown());
    }
    Either
}

pub(super) fn changes_folder(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let folder = match call.words(&[]).operands.first() {
        Some(folder) if folder != "-" => ScriptValue::known(walk.path(folder)),
        _ => ScriptValue::unknown(),
    };
    // where a failure does not end the script, what follows may happen in the old folder
    let must_work = walk.scope.stops && walk.conditions == 0;
    walk.scope.folder = if must_work { folder } else { folder.or(&walk.scope.folder) };
    Either
}

pub(super) fn loses_folder(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.scope.folder = ScriptValue::unknown();
    Either
}
