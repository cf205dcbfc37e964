//! Walks through a script without running it: every way that an installation may take, and what it does there.
//!
//! Where a condition is known, one branch counts; where it is not, both do, and what holds afterwards is what holds on
//! either way. Loops over known words are walked word by word, others until nothing new turns up.

use crate::scripts::commands;
use crate::scripts::effect::EffectKind;
use crate::scripts::effect::ScriptEffect;
use crate::scripts::scope::ShellScope;
use crate::scripts::shell::ShellBody;
use crate::scripts::shell::ShellChain;
use crate::scripts::shell::ShellCommand;
use crate::scripts::shell::ShellJoint;
use crate::scripts::shell::ShellList;
use crate::scripts::shell::ShellPartKind;
use crate::scripts::shell::ShellPipeline;
use crate::scripts::shell::ShellRedirectionKind;
use crate::scripts::shell::ShellWord;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Most work for one script, in commands; keeping what holds for another way, and long texts, count for several.
const MOST_STEPS: usize = 80_000;

/// Variables, or characters of a text, that are as much work as a command.
const WORK: usize = 4;

/// How deep commands may be within commands, through functions, too. Each level takes some stack.
const MOST_DEEP: usize = 90;

/// Most different effects of one script.
const MOST_EFFECTS: usize = 4096;

/// Built-in commands that POSIX looks up before functions (2.14).
const SPECIAL: [&str; 15] = [
    "break", ":", "continue", ".", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift", "times",
    "trap", "unset",
];

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShellOutcome {
    True,
    False,
    /// It depends on the machine.
    Either,
    /// What follows is not reached: `exit`, `return`, `break`.
    Leaves,
}

use ShellOutcome::Either;
use ShellOutcome::False;
use ShellOutcome::Leaves;
use ShellOutcome::True;

/// The walk through one script.
pub(crate) struct ScriptWalk {
    pub(crate) scope: ShellScope,
    pub(crate) effects: BTreeSet<ScriptEffect>,
    /// Every answer of debconf that the script may set: debconf keeps it whatever shell sets it.
    pub(crate) answers: BTreeMap<String, ScriptValue>,
    steps: usize,
    depth: usize,
    /// How many conditions are around, in which a failed command does not end the script.
    pub(crate) conditions: usize,
    /// What held where loops were left, innermost last.
    pub(crate) loops: Vec<Option<ShellScope>>,
    /// What held where functions were left, innermost last.
    returns: Vec<Option<ShellScope>>,
    /// Outer values of `local` variables, by function.
    locals: Vec<Vec<(String, Option<ScriptValue>)>>,
    /// Functions that are being called, with what held then.
    calls: Vec<FunctionCall>,
}

/// A call of a function.
struct FunctionCall {
    body: Rc<ShellCommand>,
    arguments: Vec<String>,
    scope: ShellScope,
}

impl ScriptWalk {
    pub(crate) fn new(scope: ShellScope) -> Self {
        Self {
            scope,
            effects: BTreeSet::new(),
            answers: BTreeMap::new(),
            steps: 0,
            depth: 0,
            conditions: 0,
            loops: Vec::new(),
            returns: Vec::new(),
            locals: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Notes an effect.
    pub(crate) fn effect(&mut self, kind: EffectKind, what: &str) {
        if self.effects.len() < MOST_EFFECTS {
            self.effects.insert(ScriptEffect::new(kind, what));
        } else {
            self.steps = MOST_STEPS;
        }
    }

    /// Counts work that grows with what is worked on.
    pub(crate) fn spend(&mut self, size: usize) {
        self.steps += size / WORK;
    }

    /// Tells whether the work for this script is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps > MOST_STEPS
    }

    /// Says that the rest of a script is not followed.
    pub(crate) fn give_up_rest(&mut self) -> ShellOutcome {
        self.give_up("too many commands")
    }

    /// Keeps what holds here, for another way.
    pub(crate) fn snapshot(&mut self) -> ShellScope {
        self.snapshot_costs();
        self.scope.clone()
    }

    /// Counts the work of keeping what holds here.
    pub(crate) fn snapshot_costs(&mut self) {
        self.spend(self.scope.variables.len() + self.scope.answers.len());
    }

    /// Notes an answer of debconf.
    pub(crate) fn answer(&mut self, question: &str, value: ScriptValue) {
        let known = self.answers.entry(question.to_owned()).or_insert_with(|| value.clone());
        *known = known.or(&value);
        self.scope.answers.insert(question.to_owned(), value);
    }

    /// Notes that the script does more than is followed.
    pub(crate) fn give_up(&mut self, why: &str) -> ShellOutcome {
        self.effects.insert(ScriptEffect::new(EffectKind::Runs, &format!("more than is followed: {why}")));
        Either
    }

    /// Walks commands one after the other.
    pub(crate) fn list(&mut self, list: &ShellList) -> ShellOutcome {
        let mut outcome = True;
        for chain in &list.0 {
            if self.is_spent() {
                return self.give_up_rest();
            }
            outcome = self.chain(chain);
            if outcome == Leaves {
                return Leaves;
            }
        }
        outcome
    }

    fn chain(&mut self, chain: &ShellChain) -> ShellOutcome {
        let mut outcome = match chain.rest.is_empty() {
            true => self.pipeline(&chain.first),
            false => self.condition(|walk| walk.pipeline(&chain.first)),
        };
        for (joint, next) in &chain.rest {
            if self.is_spent() {
                return self.give_up_rest();
            }
            outcome = match (joint, outcome) {
                (_, Leaves) => return Leaves,
                (ShellJoint::And, False) => False,
                (ShellJoint::Or, True) => True,
                (ShellJoint::And, True) | (ShellJoint::Or, False) => self.pipeline(next),
                (_, Either) => {
                    let skipped = if *joint == ShellJoint::And { False } else { True };
                    self.branch(|walk| walk.pipeline(next), |_| skipped)
                }
            };
        }
        outcome
    }

    /// Walks what decides about a way.
    pub(crate) fn condition(&mut self, walk: impl FnOnce(&mut Self) -> ShellOutcome) -> ShellOutcome {
        self.conditions += 1;
        let outcome = walk(self);
        self.conditions -= 1;
        outcome
    }

    fn pipeline(&mut self, pipeline: &ShellPipeline) -> ShellOutcome {
        let outcome = match pipeline.commands.as_slice() {
            [command] => self.command(command),
            commands => {
                let mut outcome = Either;
                for (index, command) in commands.iter().enumerate() {
                    if self.is_spent() {
                        return self.give_up_rest();
                    }
                    // each part is a shell of its own; what the one before prints is not followed
                    outcome = self.subshell(|walk| {
                        if index > 0 {
                            walk.scope.input = None;
                        }
                        walk.command(command)
                    });
                }
                outcome
            }
        };
        match (pipeline.negated, outcome) {
            (true, True) => False,
            (true, False) => True,
            (_, other) => other,
        }
    }

    /// Walks two ways, of which one is taken.
    pub(crate) fn branch(
        &mut self,
        first: impl FnOnce(&mut Self) -> ShellOutcome,
        second: impl FnOnce(&mut Self) -> ShellOutcome,
    ) -> ShellOutcome {
        let before = self.snapshot();
        let one = first(self);
        let after = std::mem::replace(&mut self.scope, before);
        let other = second(self);
        match (one, other) {
            (Leaves, other) => other,
            (one, Leaves) => {
                self.scope = after;
                one
            }
            (one, other) => {
                self.scope.join(&after);
                if one == other { one } else { Either }
            }
        }
    }

    /// Walks commands whose variables and ends do not reach the shell around them.
    pub(crate) fn subshell(&mut self, walk: impl FnOnce(&mut Self) -> ShellOutcome) -> ShellOutcome {
        let before = self.snapshot();
        let (loops, returns) = (std::mem::take(&mut self.loops), std::mem::take(&mut self.returns));
        let outcome = walk(self);
        (self.scope, self.loops, self.returns) = (before, loops, returns);
        if outcome == Leaves { Either } else { outcome }
    }

    /// Walks a text that a command runs, one level deeper.
    pub(crate) fn nested(&mut self, list: &ShellList) -> ShellOutcome {
        if self.depth >= MOST_DEEP {
            return self.give_up("too deep");
        }
        self.depth += 1;
        let outcome = self.list(list);
        self.depth -= 1;
        outcome
    }

    /// Walks a command. Too many, or too deep ones, are not followed, and said so.
    pub(crate) fn command(&mut self, command: &ShellCommand) -> ShellOutcome {
        self.steps += 1;
        if self.is_spent() {
            return self.give_up_rest();
        }
        if self.depth >= MOST_DEEP {
            return self.give_up("too deep");
        }

        self.depth += 1;
        let outer = self.scope.input.clone();
        let redirected = self.redirect(command);
        let outcome = self.body(&command.body);
        if redirected {
            self.scope.input = outer;
        }
        self.depth -= 1;
        outcome
    }

    /// Notes files that redirections write, and returns whether the command reads from one.
    fn redirect(&mut self, command: &ShellCommand) -> bool {
        let mut reads = false;
        for redirection in &command.redirections {
            let Some(target) = redirection.target.get() else { continue };
            let value = self.text(target);
            match redirection.kind {
                ShellRedirectionKind::Write => {
                    for path in value.texts() {
                        self.writes(path);
                    }
                }
                ShellRedirectionKind::HereDocument => {
                    self.scope.input = value.only().map(str::to_owned);
                    reads = true;
                }
                ShellRedirectionKind::Read => {
                    self.scope.input = None;
                    reads = true;
                }
                // bash takes what is no number for a path
                ShellRedirectionKind::Duplicate => {
                    for path in value.texts().filter(|text| !text.chars().all(|c| c.is_ascii_digit() || c == '-')) {
                        self.writes(path);
                    }
                }
            }
        }
        reads
    }

    /// Notes a file that is written, unless it is a device that keeps nothing.
    pub(crate) fn writes(&mut self, path: &str) {
        let nothing = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/console"];
        if !nothing.contains(&path) {
            let path = self.path(path);
            self.effect(EffectKind::File, &path);
        }
    }

    fn body(&mut self, body: &ShellBody) -> ShellOutcome {
        match body {
            ShellBody::Simple { assignments, words } => self.simple(assignments, words),
            ShellBody::Group(list) => self.list(list),
            ShellBody::Subshell(list) => self.subshell(|walk| walk.list(list)),
            ShellBody::If { branches, otherwise } => self.conditional(branches, otherwise.as_ref()),
            ShellBody::For { name, words, body } => self.iteration(name, words.as_deref(), body),
            ShellBody::Case { subject, arms } => self.choice(subject, arms),
            ShellBody::Loop { until, condition, body } => self.repetition(*until, condition, body),
            ShellBody::Function { name, body } => {
                // shells disagree about functions with the names of special built-ins
                if SPECIAL.contains(&name.as_str()) {
                    self.give_up(&format!("function {name}"));
                }
                self.scope.functions.insert(name.clone(), vec![Rc::clone(body)]);
                True
            }
        }
    }

    fn simple(&mut self, assignments: &[(String, ShellWord)], words: &[ShellWord]) -> ShellOutcome {
        let outer: Vec<(String, Option<ScriptValue>)> =
            assignments.iter().map(|(name, _)| (name.clone(), self.scope.variables.get(name).cloned())).collect();
        let mut outcome = True;
        for (name, word) in assignments {
            self.spend(WORK);
            let value = self.text(word);
            commands::assign(self, name, value);
            // the status is that of a command in the value, if there is one
            if word.0.iter().any(|part| matches!(part.kind, ShellPartKind::Command(_))) {
                outcome = Either;
            }
        }
        if words.is_empty() {
            return outcome;
        }

        let ways = self.arguments(words);
        let outcome = self.each_way(&ways);
        self.scope.restore(outer);
        outcome
    }

    /// Runs a command with each of the arguments that it may have.
    pub(crate) fn each_way(&mut self, ways: &[Vec<String>]) -> ShellOutcome {
        match ways {
            [] => True,
            [only] => self.run(only),
            [first, rest @ ..] => self.branch(|walk| walk.run(first), |walk| walk.each_way(rest)),
        }
    }

    /// Runs a command: a function of the script, or one that is known, or something that is not understood.
    pub(crate) fn run(&mut self, arguments: &[String]) -> ShellOutcome {
        self.steps += 1;
        let Some((name, rest)) = arguments.split_first() else { return Either };
        if let Some(bodies) = self.scope.functions.get(name).cloned() {
            return self.call(&bodies, rest);
        }
        commands::run(self, name, rest)
    }

    /// Calls a function.
    fn call(&mut self, bodies: &[Rc<ShellCommand>], arguments: &[String]) -> ShellOutcome {
        let [first, rest @ ..] = bodies else { return Leaves };
        if !rest.is_empty() {
            return self
                .branch(|walk| walk.call(std::slice::from_ref(first), arguments), |walk| walk.call(rest, arguments));
        }

        // the same call within itself brings nothing new
        let is_known = self.calls.iter().any(|call| {
            Rc::ptr_eq(&call.body, first) && call.arguments == arguments && call.scope.is_same_outside(&self.scope)
        });
        if is_known {
            return Either;
        }
        let (body, scope) = (Rc::clone(first), self.snapshot());
        self.calls.push(FunctionCall { body, arguments: arguments.to_vec(), scope });

        let values = arguments.iter().map(ScriptValue::known).collect();
        let outer = self.scope.arguments.replace(values);
        self.returns.push(None);
        self.locals.push(Vec::new());
        let mut outcome = self.command(first);
        self.calls.pop();

        if let Some(Some(returned)) = self.returns.pop() {
            match outcome {
                Leaves => self.scope = returned,
                _ => self.scope.join(&returned),
            }
            outcome = Either;
        }
        self.scope.restore(self.locals.pop().unwrap_or_default().into_iter().rev());
        self.scope.arguments = outer;
        outcome
    }

    /// Keeps the outer value of a variable until the function ends.
    pub(crate) fn local(&mut self, name: &str) {
        let value = self.scope.variables.get(name).cloned();
        if let Some(locals) = self.locals.last_mut()
            && !locals.iter().any(|(known, _)| known == name)
        {
            locals.push((name.to_owned(), value));
        }
    }

    /// Leaves the function; at the top, the script.
    pub(crate) fn leave_function(&mut self) -> ShellOutcome {
        keep(self.returns.last_mut(), &self.scope);
        Leaves
    }

    /// Leaves a round of a loop; `count` loops up.
    pub(crate) fn leave_loop(&mut self, count: usize) -> ShellOutcome {
        let outermost = self.loops.len().saturating_sub(count.max(1));
        keep(self.loops.get_mut(outermost), &self.scope);
        Leaves
    }

    /// Returns an absolute path, as far as the working folder is known.
    pub(crate) fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return tidy(path);
        }
        match self.scope.folder.texts().collect::<Vec<_>>().as_slice() {
            _ if path.starts_with(UNKNOWN) => path.to_owned(),
            [folder] if !folder.starts_with(UNKNOWN) => tidy(&format!("{folder}/{path}")),
            _ => format!("{UNKNOWN}/{path}"),
        }
    }
}

/// Adds what holds here to what holds where others left.
fn keep(place: Option<&mut Option<ShellScope>>, scope: &ShellScope) {
    match place {
        Some(Some(known)) => known.join(scope),
        Some(empty) => *empty = Some(scope.clone()),
        None => (),
    }
}

/// Returns a path without `//`, `.` and `..`. One that goes up from an unknown folder may lead anywhere.
fn tidy(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => (),
            ".." if names.last().is_some_and(|last| !is_known(last)) => return UNKNOWN.to_string(),
            ".." => drop(names.pop()),
            other => names.push(other),
        }
    }
    format!("/{}", names.join("/"))
}
