//! The only place that writes to the terminal: data to standard output, talk to standard error.

use crate::cli::settings::Format;
use crate::cli::settings::Settings;
use crate::cli::settings::Verbosity;
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
pub(crate) enum Level {
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

    /// Writes a part of the answer as it is. When nobody reads any more, nothing more is written and all is well.
    ///
    /// # Errors
    /// When it cannot be written, say to a full disk.
    pub(crate) fn data(&self, text: &str) -> Result<(), Error> {
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
        self.data(&(text + "\n"))
    }

    /// Says something, unless it is not important enough.
    pub(crate) fn talk(&self, level: Level, text: &str) {
        let least = match level {
            Level::Detail => Verbosity::Verbose,
            Level::Info => Verbosity::Normal,
            Level::Warning | Level::Error => Verbosity::Quiet,
        };
        if self.verbosity < least {
            return;
        }
        if self.log_json {
            return self.object(&Talk {
                event: "message",
                elapsed_ms: self.elapsed().as_millis(),
                level,
                message: text,
            });
        }
        match level {
            Level::Detail | Level::Info => self.line(text),
            Level::Warning => self.line(&format!("{} {text}", self.paint("warning:", |s| s.yellow().bold()))),
            Level::Error => self.line(&format!("{} {text}", self.paint("error:", |s| s.red().bold()))),
        }
    }

    /// Says what a person wants to see.
    pub(crate) fn note(&self, text: &str) {
        self.talk(Level::Info, text);
    }

    /// Says what somebody should look at.
    pub(crate) fn warn(&self, text: &str) {
        self.talk(Level::Warning, text);
    }

    /// Writes one JSON object as a line of talk.
    pub(crate) fn object(&self, object: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(object) {
            self.line(&text);
        }
    }

    /// Writes a line of talk as it is. Nothing can be done when nobody listens.
    pub(crate) fn line(&self, text: &str) {
        let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
    }

    /// Returns text for standard error with colours, where they are wanted.
    pub(crate) fn paint(
        &self,
        text: &str,
        style: impl Fn(console::StyledObject<String>) -> console::StyledObject<String>,
    ) -> String {
        style(console::Style::new().apply_to(text.to_owned())).force_styling(self.color_stderr).to_string()
    }
}

/// A piece of talk as a JSON line.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Talk<'a> {
    event: &'static str,
    elapsed_ms: u128,
    level: Level,
    message: &'a str,
}
