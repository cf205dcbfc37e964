//! Commands that change files and folders.

use crate::scripts::commands::CommandCall;
use crate::scripts::commands::CommandWords;
use crate::scripts::effect::EffectKind;
use crate::scripts::output::temporary;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

/// Notes an effect of each path.
fn each(walk: &mut ScriptWalk, kind: EffectKind, paths: &[String]) -> ShellOutcome {
    for path in paths {
        let path = walk.path(path);
        walk.effect(kind, &path);
    }
    Either
}

/// Notes owner and mode that options give to a path.
fn attributes_of(walk: &mut ScriptWalk, words: &CommandWords, path: &str) {
    if let Some(mode) = words.value(&["-m", "--mode"]) {
        walk.effect(EffectKind::Mode, &format!("{path} {mode}"));
    }
    let (owner, group) = (words.value(&["-o", "--owner"]), words.value(&["-g", "--group"]));
    if owner.is_some() || group.is_some() {
        let group = group.map(|group| format!(":{group}")).unwrap_or_default();
        walk.effect(EffectKind::Owner, &format!("{path} {}{group}", owner.unwrap_or_default()));
    }
}

pub(super) fn mkdir(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-m", "--mode"]);
    for folder in &words.operands {
        let path = walk.path(folder);
        walk.effect(EffectKind::Folder, &path);
        attributes_of(walk, &words, &path);
    }
    Either
}

pub(super) fn mktemp(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
    let path = walk.path(&temporary(&words));
    let kind = if words.contains(&"-d") { EffectKind::Folder } else { EffectKind::File };
    walk.effect(kind, &path);
    Either
}

pub(super) fn install(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&[
        "-m",
        "-o",
        "-g",
        "-t",
        "-S",
        "--mode",
        "--owner",
        "--group",
        "--target-directory",
        "--suffix",
        "--strip-program",
    ]);
    if words.has(&["-d", "--directory"]) {
        for folder in &words.operands {
            let path = walk.path(folder);
            walk.effect(EffectKind::Folder, &path);
            attributes_of(walk, &words, &path);
        }
        return Either;
    }
    for (source, path) in pairs(walk, &words) {
        walk.effect(EffectKind::Copy, &format!("{path} <- {source}"));
        attributes_of(walk, &words, &path);
    }
    Either
}

pub(super) fn copy(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-t", "-S", "--target-directory", "--suffix", "--sparse"]);
    for (source, path) in pairs(walk, &words) {
        walk.effect(EffectKind::Copy, &format!("{path} <- {source}"));
    }
    Either
}

pub(super) fn rename(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-t", "-S", "--target-directory", "--suffix"]);
    for (source, path) in pairs(walk, &words) {
        walk.effect(EffectKind::Copy, &format!("{path} <- {source}"));
        walk.effect(EffectKind::Removal, &source);
    }
    Either
}

pub(super) fn link(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let mut words = call.words(&["-t", "-S", "--target-directory", "--suffix"]);
    // one operand: a link of the same name in the working folder
    if let ([only], None) = (words.operands.as_slice(), words.value(&["-t", "--target-directory"])) {
        let name = only.rsplit('/').next().unwrap_or_default();
        words.operands.push(format!("./{name}"));
    }
    for (target, path) in raw_pairs(walk, &words) {
        walk.effect(EffectKind::Link, &format!("{path} -> {target}"));
    }
    Either
}

/// Returns sources and destinations as absolute paths.
fn pairs(walk: &mut ScriptWalk, words: &CommandWords) -> Vec<(String, String)> {
    raw_pairs(walk, words).into_iter().map(|(source, path)| (walk.path(&source), path)).collect()
}

/// Returns each source as it is written, with its destination. Where a destination ends with a slash, or there are
/// several sources, it is a folder.
fn raw_pairs(walk: &mut ScriptWalk, words: &CommandWords) -> Vec<(String, String)> {
    let (sources, folder) = match (words.value(&["-t", "--target-directory"]), words.operands.as_slice()) {
        (Some(folder), sources) => (sources, folder.to_owned()),
        (None, [source, path]) if !path.ends_with('/') && !path.ends_with("/.") && path != "." => {
            return vec![(source.clone(), walk.path(path))];
        }
        (None, [sources @ .., folder]) => (sources, folder.clone()),
        (None, []) => return Vec::new(),
    };
    sources
        .iter()
        .map(|source| {
            let base = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            (source.clone(), walk.path(&format!("{folder}/{base}")))
        })
        .collect()
}

pub(super) fn remove(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    each(walk, EffectKind::Removal, &call.words(&[]).operands)
}

pub(super) fn touch(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // `-m` is a mode for some, and for touch(1) a flag
    let takes: &[&str] = match call.name.rsplit('/').next() {
        Some("mkfifo" | "mknod") => &["-m", "--mode"],
        _ => &["-d", "-t", "-r", "-s", "--date", "--reference", "--size"],
    };
    let words = call.words(takes);
    // a device has a type and two numbers after its name
    let count = if call.name.ends_with("mknod") { 1 } else { words.operands.len() };
    each(walk, EffectKind::File, &words.operands[..count.min(words.operands.len())])
}

pub(super) fn tee(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for path in call.words(&[]).operands {
        walk.writes(&path);
    }
    Either
}

pub(super) fn dd(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for argument in call.arguments {
        match argument.strip_prefix("of=") {
            Some(path) => walk.writes(path),
            // an unknown word may be `of=` something
            None if !is_known(argument) && !argument.contains('=') => return call.not_understood(walk),
            None => (),
        }
    }
    Either
}

pub(super) fn chmod(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // `-x` is a mode here, not an option
    let is_mode = |word: &String| {
        let mut characters = word.chars();
        characters.next() == Some('-') && characters.next().is_some_and(|first| "rwxXst".contains(first))
    };
    let (modes, rest): (Vec<String>, Vec<String>) = call.arguments.iter().cloned().partition(is_mode);
    let words = CommandCall { name: call.name, arguments: &rest }.words(&["--reference"]);

    let mut operands = words.operands.as_slice();
    let mode = match (words.value(&["--reference"]), modes.first()) {
        (Some(path), _) => format!("as {path}"),
        (None, Some(mode)) => mode.clone(),
        (None, None) => {
            let Some((mode, paths)) = operands.split_first() else { return Either };
            operands = paths;
            mode.clone()
        }
    };
    changes(walk, EffectKind::Mode, operands, &mode, words.has(&["-R", "--recursive"]))
}

pub(super) fn chown(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    owner(walk, call, "")
}

pub(super) fn chgrp(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    owner(walk, call, ":")
}

fn owner(walk: &mut ScriptWalk, call: &CommandCall<'_>, before: &str) -> ShellOutcome {
    let words = call.words(&["--reference", "--from"]);
    let mut operands = words.operands.as_slice();
    let owner = match words.value(&["--reference"]) {
        Some(path) => format!("as {path}"),
        None => {
            let Some((owner, paths)) = operands.split_first() else { return Either };
            operands = paths;
            // an old spelling; dots may be in names, too, but not in those of Debian's accounts
            format!("{before}{}", owner.replacen('.', ":", usize::from(!owner.contains(':'))))
        }
    };
    changes(walk, EffectKind::Owner, operands, &owner, words.has(&["-R", "--recursive"]))
}

/// Notes a change of each path, and of everything below it if it is recursive.
fn changes(walk: &mut ScriptWalk, kind: EffectKind, paths: &[String], what: &str, recursive: bool) -> ShellOutcome {
    for path in paths {
        let path = walk.path(path);
        let below = if recursive { " and below" } else { "" };
        walk.effect(kind, &format!("{path} {what}{below}"));
    }
    Either
}

pub(super) fn setcap(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-n"]);
    // `setcap -r PATH` takes them away
    let mut operands = words.operands.as_slice();
    if words.has(&["-r"]) && operands.len() == 1 {
        let path = walk.path(&operands[0]);
        walk.effect(EffectKind::Capability, &format!("{path} none"));
        return Either;
    }
    while let [capabilities, path, rest @ ..] = operands {
        let path = walk.path(path);
        walk.effect(EffectKind::Capability, &format!("{path} {capabilities}"));
        operands = rest;
    }
    if operands.is_empty() { Either } else { call.not_understood(walk) }
}

pub(super) fn attributes(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Mode, call.name)
}

pub(super) fn sort(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-o", "-k", "-t", "-S", "-T", "--output", "--key", "--field-separator", "--buffer-size"]);
    if let Some(path) = words.value(&["-o", "--output"]) {
        walk.writes(path);
    }
    if words.has(&["--compress-program"]) { call.not_understood(walk) } else { Either }
}

pub(super) fn awk(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-F", "-v", "-f", "--file", "--field-separator", "--assign", "-i", "-E", "-e"]);
    let is_plain =
        match words.options.iter().any(|(name, _)| matches!(name.as_str(), "-f" | "--file" | "-i" | "-E" | "-e")) {
            true => false,
            false => words.operands.first().is_some_and(|program| is_plain_awk(program)),
        };
    if is_plain { Either } else { call.not_understood(walk) }
}

/// Tells whether a program of awk only reads and prints. `>` compares where a number follows; everything else may be a
/// file, and `|` may be a command.
fn is_plain_awk(program: &str) -> bool {
    let writes = program.match_indices('>').any(|(at, _)| {
        let next = program[at + 1..].trim_start().chars().next();
        !next.is_some_and(|character| character.is_ascii_digit() || character == '=')
    });
    let pipes = program.replace("||", "").contains('|');
    is_known(program) && !program.contains("system") && !writes && !pipes && !program.contains('@')
}

pub(super) fn sed(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let (mut scripts, mut operands) = (Vec::new(), Vec::new());
    let (mut in_place, mut from_file) = (false, false);
    let mut arguments = call.arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-e" | "--expression" => scripts.extend(arguments.next().cloned()),
            "-f" | "--file" => from_file = arguments.next().is_some(),
            "-l" | "--line-length" => drop(arguments.next()),
            "--" => operands.extend(arguments.by_ref().cloned()),
            long if long.starts_with("--") => match long.split_once('=') {
                Some(("--expression", script)) => scripts.push(script.to_owned()),
                Some(("--file", _)) => from_file = true,
                _ => in_place |= long.starts_with("--in-place"),
            },
            short if short.starts_with('-') && short.len() > 1 => {
                // letters side by side; what follows `i` is the ending of the copy, what follows `e` a script
                for (index, letter) in short.char_indices().skip(1) {
                    let rest = &short[index + letter.len_utf8()..];
                    match letter {
                        'i' => in_place = true,
                        'e' if rest.is_empty() => scripts.extend(arguments.next().cloned()),
                        'e' => scripts.push(rest.to_owned()),
                        'f' => from_file = true,
                        _ => continue,
                    }
                    break;
                }
            }
            other => operands.push(other.to_owned()),
        }
    }

    let files = match scripts.is_empty() && !from_file && !operands.is_empty() {
        true => operands.split_off(1),
        false => std::mem::take(&mut operands),
    };
    scripts.append(&mut operands);
    if in_place {
        each(walk, EffectKind::File, &files);
    }
    if from_file || !scripts.iter().all(|script| is_plain_sed(script)) {
        return call.not_understood(walk);
    }
    Either
}

/// Tells whether a script of sed neither writes to a file (`w`) nor runs a command (`e`): both stand where no letter is
/// before them, and an end, a blank or another flag after them.
fn is_plain_sed(script: &str) -> bool {
    let signs: Vec<char> = script.chars().collect();
    let writes = signs.iter().enumerate().any(|(at, sign)| {
        let before = at.checked_sub(1).and_then(|before| signs.get(before));
        let after = signs.get(at + 1);
        let is_start = before.is_none_or(|c| !c.is_ascii_alphabetic() || "gpIiMm".contains(*c));
        match sign {
            'w' | 'W' => is_start && after.is_some_and(|c| c.is_whitespace() || *c == '/'),
            'e' => is_start && after.is_none_or(|c| c.is_whitespace() || ";}gp".contains(*c)),
            _ => false,
        }
    });
    // variables in the text that is put in are usual, and cannot be told apart from commands
    is_known(script) && !writes
}
