//! The only place that writes to the terminal: data to standard output, talk to standard error. What goes out passes
//! [`crate::values::shown`], whatever it is made of; colours are put around text that has passed.

use crate::cli::settings::Format;
use crate::cli::settings::Settings;
use crate::cli::settings::Verbosity;
use crate::recipe::Diagnostic;
use crate::values::shown;
use serde::Serialize;
use std::io;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How important a piece of talk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TalkLevel {
    /// Helps to find a problem.
    Detail,
    /// A person wants to see it.
    Info,
    /// Somebody should look at it.
    Warning,
    /// The command failed.
    Error,
}

/// Standard output could not be written; a reader that went away is none of these.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct Error(pub(crate) io::Error);

/// Writes to the terminal.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    verbosity: Verbosity,
    log_json: bool,
    color_stderr: bool,
    width: usize,
    begun: Instant,
    closed: AtomicBool,
}

impl Printer {
    /// Returns the printer of a command that begins now.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            format: settings.format,
            verbosity: settings.verbosity,
            log_json: settings.log_json,
            color_stderr: settings.color_stderr,
            width: settings.width,
            begun: Instant::now(),
            closed: AtomicBool::new(false),
        }
    }

    /// Returns the printer for what goes wrong before there are settings.
    pub(crate) fn plain(color: bool) -> Self {
        Self {
            format: Format::Text,
            verbosity: Verbosity::Normal,
            log_json: false,
            color_stderr: color,
            width: 120,
            begun: Instant::now(),
            closed: AtomicBool::new(false),
        }
    }

    /// Tells whether the answer is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Tells whether talk is JSON lines.
    pub(crate) fn logs_json(&self) -> bool {
        self.log_json
    }

    /// Tells whether talk has colours.
    pub(crate) fn colors(&self) -> bool {
        self.color_stderr
    }

    /// Returns the terminal's columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns the time since the command began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes a part of the answer. When nobody reads any more, nothing more is written and all is well.
    ///
    /// # Errors
    /// When it cannot be written, say to a full disk.
    pub(crate) fn data(&self, text: &str) -> Result<(), Error> {
        self.out(&shown::lines(text))
    }

    /// Writes help, which is our own text, as it is where it has colours.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn help(&self, plain: &str, coloured: Option<&String>) -> Result<(), Error> {
        coloured.map_or_else(|| self.data(plain), |text| self.out(text))
    }

    fn out(&self, text: &str) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other.map_err(Error),
        }
    }

    /// Writes the answer as one JSON document.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn json(&self, answer: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(answer).map_err(|error| Error(error.into()))?;
        self.out(&(shown::json(&text) + "\n"))
    }

    /// Says something on one line, unless it is not important enough.
    pub(crate) fn talk(&self, level: TalkLevel, text: &str) {
        self.talk_of(level, text, &[]);
    }

    /// Says something on one line, and what belongs to it on lines of its own below.
    pub(crate) fn talk_of(&self, level: TalkLevel, text: &str, below: &[String]) {
        let least = match level {
            TalkLevel::Detail => Verbosity::Verbose,
            TalkLevel::Info => Verbosity::Normal,
            TalkLevel::Warning | TalkLevel::Error => Verbosity::Quiet,
        };
        if self.verbosity < least {
            return;
        }
        if self.log_json {
            let message = std::iter::once(text).chain(below.iter().map(String::as_str)).collect::<Vec<_>>().join("\n");
            return self.object(&Talk {
                event: "message",
                elapsed_ms: self.elapsed().as_millis(),
                level,
                message: &message,
            });
        }
        match level {
            TalkLevel::Detail | TalkLevel::Info => self.line(text),
            TalkLevel::Warning => self.labelled("warning:", text, |s| s.yellow().bold()),
            TalkLevel::Error => self.labelled("error:", text, |s| s.red().bold()),
        }
        for line in below {
            self.line(&format!("  {line}"));
        }
    }

    /// Writes a line of talk behind a coloured word.
    pub(crate) fn labelled(
        &self,
        label: &str,
        text: &str,
        style: impl Fn(console::StyledObject<String>) -> console::StyledObject<String>,
    ) {
        let blanks = &label[..label.len() - label.trim_start().len()];
        let label =
            style(console::Style::new().apply_to(label.trim_start().to_owned())).force_styling(self.color_stderr);
        self.err(&format!("{blanks}{label} {}", shown::lines(&shown::shown(text))));
    }

    /// Writes a problem in a file, with its place.
    pub(crate) fn diagnostic(&self, diagnostic: &Diagnostic) {
        self.painted(&diagnostic.render(self.width, false), || diagnostic.render(self.width, true));
    }

    /// Writes text of several lines, with its own colours where they are wanted and where there is nothing to be masked.
    pub(crate) fn painted(&self, plain: &str, coloured: impl FnOnce() -> String) {
        let clean = shown::lines(plain);
        if self.color_stderr && clean == plain { self.err(&coloured()) } else { self.err(&clean) }
    }

    /// Says what a person wants to see, on one line.
    pub(crate) fn note(&self, text: &str) {
        self.talk(TalkLevel::Info, text);
    }

    /// Says what a person wants to see, line by line.
    pub(crate) fn notes(&self, lines: &[String]) {
        for line in lines {
            self.note(line);
        }
    }

    /// Says what somebody should look at.
    pub(crate) fn warn(&self, text: &str) {
        self.talk(TalkLevel::Warning, text);
    }

    /// Writes one JSON object as a line of talk.
    pub(crate) fn object(&self, object: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(object) {
            self.err(&shown::json(&text));
        }
    }

    /// Writes a line of talk.
    pub(crate) fn line(&self, text: &str) {
        self.err(&shown::lines(&shown::shown(text)));
    }

    /// Writes talk of several lines.
    pub(crate) fn block(&self, text: &str) {
        self.err(&shown::lines(text));
    }

    /// Nothing can be done when nobody listens.
    fn err(&self, text: &str) {
        let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
    }
}

/// A piece of talk as a JSON line.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Talk<'a> {
    event: &'static str,
    elapsed_ms: u128,
    level: TalkLevel,
    message: &'a str,
}
