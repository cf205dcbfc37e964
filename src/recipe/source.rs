//! A text file with its places, which map byte ranges to lines and columns, and the problems found in it.

use crate::values::Digest;
use crate::values::cover;
use crate::values::diagnostic::Diagnostic;
use crate::values::diagnostic::DiagnosticSeverity;
use crate::values::shown::shown;

/// Most problems that are kept: more than anyone reads in one go.
const MOST_PROBLEMS: usize = 500;

/// Longest part of a line that a message shows, in characters.
const LONGEST_LINE: usize = 1_000;

/// A range of bytes in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SourceSpan {
    /// First byte.
    pub(crate) start: usize,
    /// First byte after the range.
    pub(crate) end: usize,
}

/// A file that people wrote.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Path relative to the project folder.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
    /// Byte offset of the start of every line.
    line_starts: Vec<usize>,
}

impl SourceFile {
    /// Takes a file's text.
    pub(crate) fn new(path: String, text: String) -> Self {
        let digest = Digest::of(text.as_bytes());
        let after_newlines = memchr::memchr_iter(b'\n', text.as_bytes()).map(|offset| offset + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();

        Self { path, text, digest, line_starts }
    }

    /// Returns the line of a place, from 1.
    pub(crate) fn line(&self, place: SourceSpan) -> usize {
        self.line_starts.partition_point(|start| *start <= place.start).max(1)
    }

    /// Returns the text at a place; empty where the place is not in the file.
    pub(crate) fn slice(&self, place: SourceSpan) -> &str {
        self.text.get(place.start..place.end).unwrap_or_default()
    }

    /// Makes a problem; of a place with several lines the first is shown.
    fn diagnostic(&self, severity: DiagnosticSeverity, place: SourceSpan, message: &str) -> Diagnostic {
        let line = self.line(place);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line_text = rest.lines().next().unwrap_or_default();

        let before = self.text.get(line_start..place.start).unwrap_or_default().chars().count();
        let inside = self.slice(place).lines().next().unwrap_or_default().trim_end().chars().count();

        // A line cut off before the place would underline nothing, so such a line is not shown at all.
        let limit = if before + inside > LONGEST_LINE { 0 } else { LONGEST_LINE };
        // Passwords in addresses are covered before the line is cut: a cut through one would hide where it ends.
        let excerpt: String = line_text.chars().take(2 * limit).collect();

        Diagnostic {
            severity,
            line,
            column: before + 1,
            length: inside.max(1),
            text: cover(&excerpt).chars().take(limit).collect(),
            ..Diagnostic::of_file(&self.path, message)
        }
    }
}

/// Collects problems. Equal ones are kept once, because several images and platforms read the same lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds an error.
    pub(crate) fn error(&mut self, source: &SourceFile, place: SourceSpan, message: &str) {
        self.error_with_help(source, place, message, "");
    }

    /// Adds an error with a remedy.
    pub(crate) fn error_with_help(&mut self, source: &SourceFile, place: SourceSpan, message: &str, help: &str) {
        // Checked here as well as in `add`: finding line and column costs more than the check.
        if self.is_full() {
            return;
        }

        let help = Some(shown(help)).filter(|help| !help.is_empty());
        self.add(Diagnostic { help, ..source.diagnostic(DiagnosticSeverity::Error, place, message) });
    }

    /// Adds a warning with a remedy.
    pub(crate) fn warning(&mut self, source: &SourceFile, place: SourceSpan, message: &str, help: &str) {
        let help = Some(shown(help));
        self.add(Diagnostic { help, ..source.diagnostic(DiagnosticSeverity::Warning, place, message) });
    }

    /// Tells whether the list is full. Callers stop then: a hostile file must not multiply the time that a problem costs.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MOST_PROBLEMS
    }

    /// Adds a problem unless it is in the list already.
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() && !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// Tells whether a file has an error.
    pub(crate) fn has_error_in(&self, path: &str) -> bool {
        self.list.iter().any(|problem| problem.file == path && problem.severity == DiagnosticSeverity::Error)
    }

    /// Tells whether there is any error.
    pub(crate) fn has_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == DiagnosticSeverity::Error)
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
        let source = SourceFile::new("base-images/registry.yaml".to_owned(), format!("target: {target}"));
        let mut problems = Diagnostics::default();
        let place = SourceSpan { start: 8, end: source.text.len() };
        problems.error(&source, place, &format!("`{target}` is wrong"));
        let problems = problems.sorted();
        let shown = format!("{problems:?} {}", problems[0].render(100, false));
        assert!(shown.contains("https://***") && !shown.contains("secret"), "{shown}");
    }
}
