//! A text file with its places: what a byte range is in lines and columns, and the problems found in it.

use crate::values::Digest;
use crate::values::cover;
use crate::values::diagnostic::Diagnostic;
use crate::values::diagnostic::Severity;
use crate::values::shown::shown;

/// More problems than anyone reads in one go.
const MOST_PROBLEMS: usize = 500;

/// The longest part of a line that is shown.
const LONGEST_LINE: usize = 1_000;

/// A range of bytes in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// First byte.
    pub(crate) start: usize,
    /// Behind the last byte.
    pub(crate) end: usize,
}

/// A file that people wrote.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Path relative to the project folder.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
    lines: Vec<usize>,
}

impl Source {
    /// Takes a file's text.
    pub(crate) fn new(path: String, text: String) -> Self {
        let digest = Digest::of(text.as_bytes());
        let behind = memchr::memchr_iter(b'\n', text.as_bytes()).map(|offset| offset + 1);
        let lines = std::iter::once(0).chain(behind).collect();
        Self { path, text, digest, lines }
    }

    /// Returns the line of a place, from 1.
    pub(crate) fn line(&self, place: Place) -> usize {
        self.lines.partition_point(|start| *start <= place.start).max(1)
    }

    /// Returns the text at a place; empty where the place is not in the file.
    pub(crate) fn slice(&self, place: Place) -> &str {
        self.text.get(place.start..place.end).unwrap_or_default()
    }

    /// Makes a problem; of a place with several lines the first is shown.
    fn diagnostic(&self, severity: Severity, place: Place, message: &str) -> Diagnostic {
        let line = self.line(place);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        let text = rest.lines().next().unwrap_or_default();
        let before = self.text.get(start..place.start).unwrap_or_default().chars().count();
        let inside = self.slice(place).lines().next().unwrap_or_default().trim_end().chars().count();
        let shown = if before + inside > LONGEST_LINE { 0 } else { LONGEST_LINE };
        Diagnostic {
            severity,
            line,
            column: before + 1,
            length: inside.max(1),
            text: cover(&text.chars().take(2 * shown).collect::<String>()).chars().take(shown).collect(),
            ..Diagnostic::of_file(&self.path, message)
        }
    }
}

/// Collects problems; the same one is kept once, because several images and platforms read the same lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems {
    list: Vec<Diagnostic>,
}

impl Problems {
    /// Adds an error.
    pub(crate) fn error(&mut self, source: &Source, place: Place, message: &str) {
        self.error_with_help(source, place, message, "");
    }

    /// Adds an error with a remedy.
    pub(crate) fn error_with_help(&mut self, source: &Source, place: Place, message: &str, help: &str) {
        if self.is_full() {
            return;
        }
        let help = Some(shown(help)).filter(|help| !help.is_empty());
        self.add(Diagnostic { help, ..source.diagnostic(Severity::Error, place, message) });
    }

    /// Adds a warning with a remedy.
    pub(crate) fn warning(&mut self, source: &Source, place: Place, message: &str, help: &str) {
        let help = Some(shown(help));
        self.add(Diagnostic { help, ..source.diagnostic(Severity::Warning, place, message) });
    }

    /// Tells whether no more are taken; making one costs time that a hostile file must not multiply.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MOST_PROBLEMS
    }

    /// Adds a finished problem.
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() && !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// Tells whether a file has an error.
    pub(crate) fn has_error_in(&self, path: &str) -> bool {
        self.list.iter().any(|problem| problem.file == path && problem.severity == Severity::Error)
    }

    /// Tells whether there is any error.
    pub(crate) fn has_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Returns all problems, by file and place.
    pub(crate) fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort();
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_show_no_login() {
        let target = format!("https://robot:{}@h/p", "secret".repeat(30));
        let source = Source::new("base-images/registry.yaml".to_owned(), format!("target: {target}"));
        let mut problems = Problems::default();
        let place = Place { start: 8, end: source.text.len() };
        problems.error(&source, place, &format!("`{target}` is wrong"));
        let problems = problems.sorted();
        let shown = format!("{problems:?} {}", problems[0].render(100, false));
        assert!(shown.contains("https://***") && !shown.contains("secret"), "{shown}");
    }
}
