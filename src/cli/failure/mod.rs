//! How an error becomes a failure of the command: its exit code, and how it looks on the terminal and in JSON.

use crate::cli::printer;
use crate::cli::printer::Printer;
use crate::cli::printer::TalkLevel;
use crate::cli::settings;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::jobs;
use crate::lock;
use crate::recipe;
use crate::recipe::Diagnostic;
use serde::Serialize;
use std::error::Error as StdError;

/// Returns the exit code: who has to act decides it.
pub(crate) fn exit_code(turn: Turn) -> u8 {
    match turn {
        Turn::Input => 1,
        Turn::Usage => 2,
        Turn::Outside => 3,
        Turn::Policy => 4,
        // `EX_SOFTWARE` of sysexits.h(3)
        Turn::Internal => 70,
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Failure {
    /// Whose turn it is.
    pub(crate) kind: Turn,
    /// What failed: `cannot …`.
    pub(crate) message: Box<str>,
    /// Each thing that is wrong, where the message only says that there are some.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) reasons: Box<[String]>,
    /// Why, from the outside in, as far as the message does not say it.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// Problems in recipes.
    pub(crate) diagnostics: Box<[Diagnostic]>,
    /// Long texts that people must look at: maintainer scripts.
    pub(crate) details: Box<[String]>,
    /// The JSON document on standard output says it already.
    #[serde(skip)]
    pub(crate) is_answered: bool,
}

/// What `--format json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FailureAnswer<'a> {
    error: &'a Failure,
    exit_code: u8,
}

impl Failure {
    /// Returns a failure without an error behind it.
    pub(crate) fn new(kind: Turn, message: impl Into<String>) -> Self {
        let empty = Vec::new;
        Self {
            kind,
            message: message.into().into_boxed_str(),
            reasons: Box::default(),
            causes: empty(),
            hints: empty(),
            diagnostics: Box::default(),
            details: Box::default(),
            is_answered: false,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn of(kind: Turn, error: &dyn StdError, hints: Vec<String>) -> Self {
        let mut failure = Self::new(kind, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // transparent errors and `cannot …: {cause}` say it already
            if !failure.message.contains(&*text) && !failure.causes.contains(&text) {
                failure.causes.push(text);
            }
            cause = error.source();
        }
        for hint in hints {
            if !failure.hints.contains(&hint) {
                failure.hints.push(hint);
            }
        }
        failure
    }

    /// Shows the failure: for people on standard error, and as JSON on standard output where that was asked for.
    pub(crate) fn print(&self, printer: &Printer) {
        if printer.is_json() && !self.is_answered {
            let _nothing_else_to_tell = printer.json(&FailureAnswer { error: self, exit_code: exit_code(self.kind) });
        }
        if printer.logs_json() {
            return printer.object(&FailureAnswer { error: self, exit_code: exit_code(self.kind) });
        }
        for diagnostic in &self.diagnostics {
            printer.diagnostic(diagnostic);
            printer.line("");
        }
        for detail in &self.details {
            printer.block(detail.trim_end());
            printer.line("");
        }
        printer.talk_of(TalkLevel::Error, &self.message, &self.reasons);
        for cause in &self.causes {
            printer.labelled("  caused by:", cause, console::StyledObject::bold);
        }
        for hint in &self.hints {
            printer.labelled("hint:", hint, |s| s.cyan().bold());
        }
    }

    /// Takes the list of reasons out of the message; its writer made one line of each.
    fn listed(mut self) -> Self {
        let message = self.message.clone();
        let mut lines = message.lines();
        self.message = lines.next().unwrap_or_default().into();
        self.reasons = lines.map(|line| line.trim().to_owned()).collect();
        self
    }
}

impl From<jobs::Error> for Failure {
    fn from(error: jobs::Error) -> Self {
        let mut failure = Self::of(error.turn(), &error, error.hints());
        if error.lists_reasons() {
            failure = failure.listed();
        }

        // what is too long for a message has a place of its own
        match error {
            jobs::Error::Recipe(recipe::Error::Invalid(diagnostics)) => failure.diagnostics = diagnostics.into(),
            jobs::Error::Lock(lock::Error::Scripts(unknown)) => {
                failure.details = unknown.iter().map(ToString::to_string).collect();
            }
            jobs::Error::StaleLocks(stale) => {
                for (image, reasons) in stale {
                    failure.causes.extend(reasons.iter().map(|reason| format!("{image}: {reason}")));
                }
            }
            _ => (),
        }
        failure
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Self {
        let hints = match error {
            settings::Error::NoStore => vec!["name a folder with `--store DIR`".to_owned()],
            settings::Error::Variable { .. } => Vec::new(),
        };
        Self::of(Turn::Usage, &error, hints)
    }
}

impl From<printer::Error> for Failure {
    fn from(error: printer::Error) -> Self {
        Self::of(Turn::Outside, &error, Vec::new())
    }
}

/// Makes a panic anywhere look like what it is: our bug.
pub(crate) fn install_panic_hook(color: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.payload_as_str().unwrap_or("no reason given");
        let place = panic.location().map(|location| format!(" at {}:{}", location.file(), location.line()));
        let printer = Printer::plain(color);
        printer.talk(TalkLevel::Error, &format!("internal error: {what}{}", place.unwrap_or_default()));
        let version = env!("CARGO_PKG_VERSION");
        printer
            .line(&format!("hint: this is a bug in sockel {version}: please report it with the command that you ran"));
    }));
}

#[cfg(test)]
mod tests;
