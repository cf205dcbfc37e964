//! Reads maintainer scripts and says what they would do. Nothing is run.
//!
//! - **In**: the scripts of a package, its `triggers` and its `templates`.
//! - **Out**: [`ScriptEffect`]s of a first installation, by script: accounts, folders, links, owners, modes, copies,
//!   alternatives, diversions, …; and `runs …` for everything that is not understood.
//! - **Invariants**: never less than what happens. Where something depends on the machine, all ways count; what is not
//!   known of a path stays visible in it ([`effect::UNKNOWN_PART`]). Everything is bounded: length, nesting, steps.
//! - **Not here**: decisions about effects (`recipe::ledger`), and their comparison with a lock (`lock::scripts`).
//!
//! # How a script is read
//! 1. `shell` reads the text as the shell would: commands, words, here-documents.
//! 2. `walk` and `ways` follow it from `config configure ""`, `preinst install`, `postinst configure ""` and
//!    `postinst triggered`, with the environment that dpkg gives to scripts (Debian policy 6.5). `expand` turns words
//!    into arguments, `conditions` decides what can be decided.
//! 3. `commands` has the table of known commands, and reads their arguments.
//!
//! # What a first installation is
//! The old version is empty, and dpkg calls an empty version earlier than any other: `dpkg --compare-versions "$2" lt 1`
//! is true, and scripts that forget this do at a first installation what is meant for upgrades. `DPKG_ROOT` is empty, no
//! init runs. Answers of debconf are the defaults of the templates unless `config` sets others. `prerm` and `postrm` do
//! not run: dpkg never removes anything from an image.

mod commands;
mod conditions;
pub mod effect;
mod expand;
mod output;
mod pattern;
mod scope;
mod shell;
mod templates;
#[cfg(test)]
mod tests;
mod value;
mod walk;
mod ways;

pub use effect::EffectKind;
pub use effect::ScriptEffect;

use crate::scripts::scope::ShellScope;
use crate::scripts::templates::defaults;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::decode;
use crate::scripts::walk::ScriptWalk;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Version of the reader: it rises when the same script may get other effects. Locks name it.
pub const READER: u32 = 3;

/// Members of `control.tar` that have effects at a first installation, in the order in which they act.
pub const MEMBERS: [&str; 4] = ["config", "preinst", "postinst", "triggers"];

/// Returns the effects of a package's scripts, for each of [`MEMBERS`] that it has. `member` returns a file of its
/// `control.tar`: one of [`MEMBERS`], or `templates`.
#[must_use]
pub fn effects_of<'m>(
    package: &str,
    member: &dyn Fn(&str) -> Option<&'m [u8]>,
) -> BTreeMap<&'static str, BTreeSet<ScriptEffect>> {
    let mut answers = defaults(member("templates").unwrap_or_default());
    let mut effects = BTreeMap::new();
    for name in MEMBERS {
        let Some(bytes) = member(name) else { continue };
        let found = match name {
            "triggers" => triggers(&decode(bytes)),
            _ => script(package, name, &decode(bytes), &mut answers),
        };
        effects.insert(name, found);
    }
    effects
}

/// Returns the effects of one script, and takes up the answers that it sets.
fn script(
    package: &str,
    member: &str,
    text: &str,
    answers: &mut BTreeMap<String, ScriptValue>,
) -> BTreeSet<ScriptEffect> {
    let first = text.lines().next().unwrap_or_default();
    let list = match first.strip_prefix("#!").map(str::trim) {
        Some(program) if !is_shell(program) => Err(format!("{member} in another language: {program}")),
        // dpkg runs scripts with execve(2), which needs the line
        None => Err(format!("{member} without `#!`")),
        Some(_) => shell::parse(text).map_err(|problem| format!("{member}, which is no shell script: {problem}")),
    };

    let list = match list {
        Ok(list) => list,
        Err(why) => {
            // it may have set any answer
            answers.values_mut().for_each(|answer| *answer = ScriptValue::unknown());
            return BTreeSet::from([ScriptEffect::new(EffectKind::Runs, &why)]);
        }
    };

    // Debian policy 6.5: the ways in which dpkg and debconf call scripts at a first installation
    let calls: &[&[ScriptValue]] = match member {
        "preinst" => &[&[ScriptValue::known("install")]],
        "config" => &[&[ScriptValue::known("configure"), ScriptValue::known("")]],
        _ => &[
            &[ScriptValue::known("configure"), ScriptValue::known("")],
            &[ScriptValue::known("triggered"), ScriptValue::unknown()],
        ],
    };

    let mut effects = BTreeSet::new();
    for arguments in calls {
        let mut scope = ShellScope::new(package, member, arguments);
        scope.answers = answers.clone();
        scope.stops = first.split_whitespace().skip(1).any(|word| word.starts_with('-') && word.contains('e'));
        let mut walk = ScriptWalk::new(scope);
        walk.list(&list);
        effects.extend(walk.effects);
        for (question, answer) in walk.answers {
            let known = answers.entry(question).or_insert_with(|| answer.clone());
            *known = known.or(&answer);
        }
    }
    effects
}

/// Tells whether a program of a first line is a shell; it may have options.
fn is_shell(program: &str) -> bool {
    let program = program.split_whitespace().next().unwrap_or_default();
    matches!(program, "/bin/sh" | "/bin/dash" | "/bin/bash" | "/usr/bin/sh" | "/usr/bin/dash" | "/usr/bin/bash")
}

/// Returns the triggers that a package activates and those that it waits for (deb-triggers(5)).
fn triggers(text: &str) -> BTreeSet<ScriptEffect> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (directive, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let directive = directive.trim_end_matches("-noawait").trim_end_matches("-await");
            ScriptEffect::new(EffectKind::Trigger, &format!("{directive} {}", name.trim()))
        })
        .collect()
}
