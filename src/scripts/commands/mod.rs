//! Commands of scripts and what they do: the table, and those who read the arguments.

mod accounts;
mod builtins;
mod caches;
mod debconf;
mod files;
mod libraries;
mod packages;
mod services;
mod table;
mod wrappers;

use crate::scripts::effect::EffectKind;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;

/// Folders that hold the programs of a system, and so may stand before the name of a known one, and in `PATH`.
const PROGRAM_FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Variables that make other code run, or known programs do something else, when they are set.
const STEERING: [&str; 9] =
    ["ENV", "BASH_ENV", "PERL5LIB", "PERL5OPT", "PERLLIB", "PYTHONPATH", "PYTHONSTARTUP", "RUBYOPT", "DPKG_ROOT"];

/// A command with its arguments.
pub(crate) struct CommandCall<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a [String],
}

/// Arguments divided into options and the rest.
pub(crate) struct CommandWords {
    /// Options with their values, in order.
    pub(crate) options: Vec<(String, String)>,
    pub(crate) operands: Vec<String>,
}

/// Runs a command that is no function of the script.
pub(crate) fn run(walk: &mut ScriptWalk, name: &str, arguments: &[String]) -> ShellOutcome {
    if let Some(array) = array_of(name) {
        assign(walk, array, ScriptValue::unknown());
        return if arguments.is_empty() { ShellOutcome::True } else { run_rest(walk, arguments) };
    }
    let known = match name.rsplit_once('/') {
        Some((folder, base)) if is_program_folder(folder) => table::find(base),
        // programs of other packages stand in the table with their path
        _ => table::find(name),
    };
    let call = CommandCall { name, arguments };
    match known {
        Some(known) => (known.read)(walk, &call),
        None => call.not_understood(walk),
    }
}

/// Tells whether a folder holds programs that may be in the table, such as those of GLib for each architecture.
fn is_program_folder(folder: &str) -> bool {
    let of_glib = folder.strip_prefix("/usr/lib/").and_then(|rest| rest.strip_suffix("/glib-2.0"));
    PROGRAM_FOLDERS.contains(&folder) || of_glib.is_some_and(|name| is_known(name) && !name.contains('/'))
}

/// Returns the array whose element a word sets: `NAME[…]=…` (bash(1), arrays).
fn array_of(word: &str) -> Option<&str> {
    let (name, rest) = word.split_once('[')?;
    let is_name = !name.is_empty()
        && name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        && !name.starts_with(|sign: char| sign.is_ascii_digit());
    (is_name && rest.contains("]=")).then_some(name)
}

/// Runs what another command runs: no function of the script, since only the shell knows those.
fn run_rest(walk: &mut ScriptWalk, arguments: &[String]) -> ShellOutcome {
    let Some((name, rest)) = arguments.split_first() else { return ShellOutcome::Either };
    run(walk, name, rest)
}

/// Notes assignments that change what later commands are.
pub(crate) fn judge_assignment(walk: &mut ScriptWalk, name: &str, value: &ScriptValue) {
    for text in value.texts() {
        let unknown = UNKNOWN.to_string();
        let is_harmless = match name {
            "PATH" => text
                .split(':')
                .all(|folder| folder == unknown || PROGRAM_FOLDERS.contains(&folder.trim_end_matches('/'))),
            "DPKG_ROOT" => text.is_empty(),
            _ => !STEERING.contains(&name) && !name.starts_with("LD_") && !name.starts_with("DPKG_MAINTSCRIPT_"),
        };
        if !is_harmless {
            walk.effect(EffectKind::Runs, &format!("other programs, by {name}={text}"));
        }
    }
}

/// Sets a variable, and notes what that changes about later commands.
pub(crate) fn assign(walk: &mut ScriptWalk, name: &str, value: ScriptValue) {
    judge_assignment(walk, name, &value);
    walk.scope.set(name, value);
}

impl CommandCall<'_> {
    /// Notes a command that nobody knows, with all its arguments.
    pub(crate) fn not_understood(&self, walk: &mut ScriptWalk) -> ShellOutcome {
        self.with_all(walk, EffectKind::Runs, self.name)
    }

    /// Notes an effect that is described by all arguments.
    pub(crate) fn with_all(&self, walk: &mut ScriptWalk, kind: EffectKind, title: &str) -> ShellOutcome {
        let mut text = title.to_owned();
        for argument in self.arguments {
            text.push(' ');
            match argument.is_empty() || argument.contains(char::is_whitespace) {
                true => text.push_str(&format!("'{}'", argument.replace('\'', "'\\''"))),
                false => text.push_str(argument),
            }
        }
        walk.effect(kind, &text);
        ShellOutcome::Either
    }

    /// Divides the arguments; `takes` are the options that have a value, such as `-m` and `--mode`.
    pub(crate) fn words(&self, takes: &[&str]) -> CommandWords {
        let mut words = CommandWords { options: Vec::new(), operands: Vec::new() };
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                words.operands.extend(arguments.cloned());
                break;
            }
            if argument == "-" || !argument.starts_with('-') {
                words.operands.push(argument.clone());
            } else if argument.starts_with("--") {
                let (name, value) = match argument.split_once('=') {
                    Some((name, value)) => (name, value.to_owned()),
                    None if takes.contains(&argument.as_str()) => {
                        (argument.as_str(), arguments.next().cloned().unwrap_or_default())
                    }
                    None => (argument.as_str(), String::new()),
                };
                words.options.push((name.to_owned(), value));
            } else {
                // letters side by side: the first one with a value takes the rest
                let letters: Vec<char> = argument.chars().skip(1).collect();
                for (index, letter) in letters.iter().enumerate() {
                    let option = format!("-{letter}");
                    if takes.contains(&option.as_str()) {
                        let rest: String = letters[index + 1..].iter().collect();
                        let value = if rest.is_empty() { arguments.next().cloned().unwrap_or_default() } else { rest };
                        words.options.push((option, value));
                        break;
                    }
                    words.options.push((option, String::new()));
                }
            }
        }
        words
    }
}

impl CommandWords {
    /// Returns the value of an option that was given, by any of its names.
    pub(crate) fn value(&self, names: &[&str]) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.value(names).is_some()
    }
}
