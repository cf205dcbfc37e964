//! What holds at one place of a script: variables, arguments, functions, folder, answers of debconf.

use crate::scripts::shell::ShellCommand;
use crate::scripts::value::ScriptValue;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What holds at one place of a script. Two ways that meet leave what holds on either.
#[derive(Debug, Clone)]
pub(crate) struct ShellScope {
    pub(crate) variables: BTreeMap<String, ScriptValue>,
    /// `$1`, `$2`, …; `None` when even their number is unknown.
    pub(crate) arguments: Option<Vec<ScriptValue>>,
    /// Functions by name; several where it depends on the way which one was defined.
    pub(crate) functions: BTreeMap<String, Vec<Rc<ShellCommand>>>,
    /// The working folder. dpkg runs scripts in `/`.
    pub(crate) folder: ScriptValue,
    /// Answers of debconf by question.
    pub(crate) answers: BTreeMap<String, ScriptValue>,
    /// A file was read in that nobody knows: every variable may have any value.
    pub(crate) clouded: bool,
    /// `set -e`: what follows a failed command is not reached.
    pub(crate) stops: bool,
    /// What a here-document gives to commands that read.
    pub(crate) input: Option<String>,
}

impl ShellScope {
    /// Returns what holds at the beginning: the environment that dpkg gives to the scripts of a package.
    pub(crate) fn new(package: &str, member: &str, arguments: &[ScriptValue]) -> Self {
        // dpkg(1), ENVIRONMENT, "Internal environment"; the architecture and the rest depend on the machine
        let environment = [
            ("DPKG_ROOT", ""),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_MAINTSCRIPT_PACKAGE", package),
            ("DPKG_MAINTSCRIPT_NAME", member),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_FORCE", "security-mac,downgrade"),
        ];
        let unknown = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "PWD", "OLDPWD", "LANG", "HOSTNAME"]
            .into_iter()
            .chain(["DPKG_MAINTSCRIPT_ARCH", "DPKG_RUNNING_VERSION", "DEBIAN_FRONTEND", "TMPDIR", "PPID", "OPTIND"]);

        let mut variables: BTreeMap<String, ScriptValue> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), ScriptValue::known(value))).collect();
        variables.extend(unknown.map(|name| (name.to_owned(), ScriptValue::unknown())));
        Self {
            variables,
            arguments: Some(arguments.to_vec()),
            functions: BTreeMap::new(),
            folder: ScriptValue::known("/"),
            answers: BTreeMap::new(),
            clouded: false,
            stops: false,
            input: None,
        }
    }

    /// Returns the value of a variable; `None` if it is not set.
    pub(crate) fn variable(&self, name: &str) -> Option<ScriptValue> {
        match self.variables.get(name) {
            Some(value) if self.clouded => Some(value.or(&ScriptValue::unknown())),
            Some(value) => Some(value.clone()),
            None if self.clouded => Some(ScriptValue::unknown()),
            None => None,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: ScriptValue) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Gives variables back the values that they had outside; `None` for those that were not set.
    pub(crate) fn restore(&mut self, outer: impl IntoIterator<Item = (String, Option<ScriptValue>)>) {
        for (name, value) in outer {
            match value {
                Some(value) => self.set(&name, value),
                None => drop(self.variables.remove(&name)),
            }
        }
    }

    /// Takes up what holds on another way to the same place.
    pub(crate) fn join(&mut self, other: &Self) {
        let unset = ScriptValue::known("");
        join_values(&mut self.variables, &other.variables, &unset);
        join_values(&mut self.answers, &other.answers, &ScriptValue::unknown());
        self.folder = self.folder.or(&other.folder);
        self.clouded |= other.clouded;
        self.stops &= other.stops;

        if self.input != other.input {
            self.input = None;
        }
        self.arguments = match (self.arguments.take(), &other.arguments) {
            (Some(mine), Some(theirs)) if mine.len() == theirs.len() => {
                Some(mine.iter().zip(theirs).map(|(mine, theirs)| mine.or(theirs)).collect())
            }
            _ => None,
        };

        for (name, bodies) in &other.functions {
            let known = self.functions.entry(name.clone()).or_default();
            for body in bodies {
                if !known.iter().any(|known| Rc::ptr_eq(known, body)) {
                    known.push(Rc::clone(body));
                }
            }
        }
    }

    /// Tells whether nothing changed since another time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.arguments == other.arguments && self.is_same_outside(other)
    }

    /// Tells whether nothing but the arguments differs.
    pub(crate) fn is_same_outside(&self, other: &Self) -> bool {
        let sizes = |scope: &Self| scope.functions.values().map(Vec::len).collect::<Vec<_>>();
        self.variables == other.variables
            && self.answers == other.answers
            && self.folder == other.folder
            && self.clouded == other.clouded
            && self.stops == other.stops
            && self.input == other.input
            && sizes(self) == sizes(other)
    }

    /// Gives up knowledge about everything that still changes from round to round of a loop.
    pub(crate) fn widen(&mut self, before: &Self) {
        for (mine, before) in [(&mut self.variables, &before.variables), (&mut self.answers, &before.answers)] {
            for (_, value) in mine.iter_mut().filter(|(name, value)| before.get(*name) != Some(value)) {
                *value = ScriptValue::unknown();
            }
        }
        if self.folder != before.folder {
            self.folder = ScriptValue::unknown();
        }
        if self.arguments != before.arguments {
            self.arguments = None;
        }
    }
}

/// Joins values by name; a name that one side does not have counts as `missing` there.
fn join_values(
    mine: &mut BTreeMap<String, ScriptValue>,
    theirs: &BTreeMap<String, ScriptValue>,
    missing: &ScriptValue,
) {
    for (name, value) in mine.iter_mut() {
        match theirs.get(name) {
            Some(same) if same == value => (),
            other => *value = value.or(other.unwrap_or(missing)),
        }
    }
    for (name, value) in theirs {
        if !mine.contains_key(name) {
            mine.insert(name.clone(), value.or(missing));
        }
    }
}
