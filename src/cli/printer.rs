//! stdout is data, stderr is talk: the only place that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the door to the terminal")]

use crate::cli::Color;
use crate::cli::Format;
use crate::cli::Global;
use crate::cli::failure::Failure;
use crate::recipe::Diagnostic;
use crate::sys::env;
use crate::sys::env::Variable;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;

/// Writes what a command has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    format: Format,
    quiet: bool,
    color: bool,
}

impl Printer {
    /// Decides how to write.
    #[must_use]
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stderr().is_terminal() && env::get(Variable::NoColor).is_none(),
        };
        Self { format: global.format, quiet: global.quiet, color }
    }

    /// Tells whether data is wanted as JSON.
    #[must_use]
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes data: a document for machines or a text for people.
    pub(super) fn data<T: Serialize>(&self, document: &T, text: impl FnOnce() -> String) {
        let text = match self.format {
            Format::Json => {
                format!("{}\n", serde_json::to_string_pretty(document).expect("documents have string keys"))
            }
            Format::Text => text(),
        };
        // whoever closed the pipe has read enough
        let _closed = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }

    /// Writes a text that is data as it is.
    pub(super) fn text(&self, text: &str) {
        let _closed = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }

    /// Says something to people.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            let _closed = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says what to do next.
    pub(super) fn next(&self, command: &str) {
        self.say(&format!("next: {}", self.paint("1", command)));
    }

    /// Shows problems in files that are no reason to stop.
    pub(super) fn warnings(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            self.say(&diagnostic.render(self.width(), self.color));
        }
    }

    /// Shows a failure and returns its exit code.
    #[must_use]
    pub(super) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.is_json() {
            let document = json!({
                "error": { "kind": failure.kind.name(), "message": failure.message, "hints": failure.hints,
                           "details": failure.details,
                           "diagnostics": failure.diagnostics }
            });
            self.data(&document, String::new);
        }
        for diagnostic in &failure.diagnostics {
            eprintln!("{}", diagnostic.render(self.width(), self.color));
        }
        for detail in &failure.details {
            eprintln!("{detail}");
        }
        eprintln!("{}: {}", self.paint("1;31", "error"), failure.message);
        for hint in &failure.hints {
            eprintln!("{}: {hint}", self.paint("1;36", "hint"));
        }
        ExitCode::from(failure.kind.code())
    }

    /// Returns the terminal's width, 100 where there is none.
    #[must_use]
    pub(super) fn width(&self) -> usize {
        console::Term::stderr().size_checked().map_or(100, |(_, columns)| usize::from(columns))
    }

    /// Puts an SGR colour (ECMA-48) around a text, where colours are wanted.
    #[must_use]
    pub(super) fn paint(&self, sgr: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{sgr}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Says that sockel itself failed, and ends with exit code 70 (sysexits.h, `EX_SOFTWARE`).
pub(super) fn panic(info: &std::panic::PanicHookInfo<'_>) {
    eprintln!("error: internal error: {info}");
    eprintln!("hint: this is a mistake in sockel: please report it with the command that you ran");
    std::process::exit(70);
}
