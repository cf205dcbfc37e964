//! One problem in a file that people write: its place, its message, its remedy, and how it looks on a terminal.

use crate::values::cover;
use crate::values::shown::shown;
use annotate_snippets::AnnotationKind;
use annotate_snippets::Level;
use annotate_snippets::Origin;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;
use serde::Serialize;

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosticSeverity {
    /// No definition can be made.
    Error,
    /// Somebody should look at it, but the definition is usable.
    Warning,
}

/// One problem in a recipe, base-image file or ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// File, relative to the project folder.
    pub file: String,
    /// Line, from 1; 0 if the problem concerns the whole file.
    pub line: usize,
    /// Column in characters, from 1; 0 if the problem concerns the whole file.
    pub column: usize,
    /// Number of characters underlined in [`Self::text`].
    pub length: usize,
    /// Severity of the problem.
    pub severity: DiagnosticSeverity,
    /// The problem in words: lower case, no full stop, values in backticks.
    pub message: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
    /// The line of the file; empty if it is too long to show.
    pub text: String,
}

impl Diagnostic {
    /// Makes an error that concerns a whole file.
    #[must_use]
    pub fn of_file(file: &str, message: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            severity: DiagnosticSeverity::Error,
            message: shown(&cover(message)),
            help: None,
            text: String::new(),
        }
    }

    /// Renders the problem for people: message, place with the offending text underlined, help.
    ///
    /// `width` is the terminal's, in columns; `color` switches ANSI colours on. There is no newline at the end.
    #[must_use]
    pub fn render(&self, width: usize, color: bool) -> String {
        let level = match self.severity {
            DiagnosticSeverity::Error => Level::ERROR,
            DiagnosticSeverity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());

        // File names come from the checkout, and may hold control characters that a terminal would obey.
        let file = shown(&self.file);
        let group = if self.line == 0 {
            title.element(Origin::path(file))
        } else if self.text.is_empty() {
            title.element(Origin::path(file).line(self.line).char_column(self.column))
        } else {
            let annotation = AnnotationKind::Primary.span(self.bytes());
            title.element(Snippet::source(self.text.as_str()).line_start(self.line).path(file).annotation(annotation))
        };

        let group = match &self.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        };

        // Fewer than 40 columns leave no room for a line of a file.
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(width.max(40)).render(&[group])
    }

    /// Returns the byte range of the underlined text in [`Self::text`].
    fn bytes(&self) -> std::ops::Range<usize> {
        let start = self.column.saturating_sub(1);
        self.byte_offset(start)..self.byte_offset(start.saturating_add(self.length))
    }

    /// Returns the byte offset of the character with this number in [`Self::text`], or its length.
    fn byte_offset(&self, character: usize) -> usize {
        self.text.char_indices().nth(character).map_or(self.text.len(), |(offset, _)| offset)
    }
}

/// Shortens a quoted value so that one message stays one line.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;

    // An address may contain a password by mistake. It is covered before the text is cut, because what follows the
    // cut tells where the password ends.
    let text = cover(&text.chars().take(10 * LONGEST).collect::<String>());

    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        Diagnostic {
            line: 3,
            column: 4,
            length: 5,
            text: "ä: brown fox".to_owned(),
            help: Some("did you mean `green`?".to_owned()),
            ..Diagnostic::of_file("recipes/a.yaml", "unknown colour `brown`")
        }
    }

    #[test]
    fn shows_the_place() {
        insta::assert_snapshot!(sample().render(100, false), @r#"
    error: unknown colour `brown`
     --> recipes/a.yaml:3:4
      |
    3 | ä: brown fox
      |    ^^^^^
      |
      = help: did you mean `green`?
    "#);
    }

    #[test]
    fn shows_no_login() {
        let target = format!("https://robot:{}@h/p", "secret".repeat(30));
        assert!(!shortened(&target).contains("secret"));
    }

    #[test]
    fn shows_a_whole_file() {
        let whole = Diagnostic::of_file("recipes/a\u{1b}.yaml", "cannot be read\u{1b}[31m");
        insta::assert_snapshot!(whole.render(100, false), @r#"
    error: cannot be read\u{1b}[31m
    --> recipes/a\u{1b}.yaml
    "#);
        assert!(sample().render(100, true).contains('\u{1b}'));
    }

    #[test]
    fn becomes_json() {
        let json = serde_json::to_value(sample()).expect("plain data");
        assert_eq!((&json["line"], &json["severity"]), (&3.into(), &"error".into()));
    }
}
