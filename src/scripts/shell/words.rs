//! Words: quotes, expansions and here-documents (POSIX.1-2024, 2.2, 2.6 and 2.7.4).

use crate::scripts::shell::InvalidShell;
use crate::scripts::shell::MOST_NESTED;
use crate::scripts::shell::ShellPart;
use crate::scripts::shell::ShellPartKind;
use crate::scripts::shell::ShellWord;
use std::cell::OnceCell;
use std::rc::Rc;

/// A place in the text of a script.
pub(super) struct ShellCursor<'a> {
    pub(super) text: &'a [char],
    pub(super) at: usize,
    pub(super) depth: usize,
    /// Here-documents of this line, whose text begins after its end.
    pub(super) waiting: Vec<WaitingDocument>,
}

/// A here-document whose text was not read yet.
pub(super) struct WaitingDocument {
    pub(super) delimiter: String,
    /// `<<-`: leading tabs do not belong to the text.
    pub(super) indented: bool,
    /// The delimiter is quoted: nothing in the text is expanded.
    pub(super) verbatim: bool,
    pub(super) text: Rc<OnceCell<ShellWord>>,
}

/// Where a word ends, and which characters mean something in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordPlace {
    /// Between blanks and operators.
    Outside,
    /// Between double quotes.
    Quotes,
    /// In a here-document: double quotes mean themselves.
    Document,
    /// In `${…}`, up to its brace.
    Braces { quoted: bool },
    /// In `$((…))`.
    Arithmetic,
}

impl ShellCursor<'_> {
    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn after(&self, distance: usize) -> Option<char> {
        self.text.get(self.at + distance).copied()
    }

    /// Takes a text if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let is_next = text.chars().enumerate().all(|(index, character)| self.after(index) == Some(character));
        self.at += if is_next { text.chars().count() } else { 0 };
        is_next
    }

    pub(super) fn fail<T>(&self, problem: &'static str) -> Result<T, InvalidShell> {
        let line = 1 + self.text[..self.at.min(self.text.len())].iter().filter(|c| **c == '\n').count();
        Err(InvalidShell { line, problem })
    }

    /// Goes one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, InvalidShell>,
    ) -> Result<T, InvalidShell> {
        if self.depth >= MOST_NESTED {
            return self.fail("nested too deeply");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Reads a word; `None` if no word begins here.
    pub(super) fn word(&mut self) -> Result<Option<ShellWord>, InvalidShell> {
        let start = self.at;
        let word = self.parts(WordPlace::Outside)?;
        Ok((self.at > start).then_some(word))
    }

    /// Reads the parts of a word up to its end, which stays.
    fn parts(&mut self, place: WordPlace) -> Result<ShellWord, InvalidShell> {
        let mut parts = PartList { quoted: place != WordPlace::Outside && !is_bare(place), parts: Vec::new() };
        let mut open = 0_usize;
        while let Some(character) = self.peek() {
            match (character, place) {
                (' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')', WordPlace::Outside)
                | ('"', WordPlace::Quotes)
                | ('}', WordPlace::Braces { .. }) => break,
                (')', WordPlace::Arithmetic) if open == 0 => break,
                ('(', WordPlace::Arithmetic) => {
                    open += 1;
                    self.at += 1;
                }
                (')', WordPlace::Arithmetic) => {
                    open -= 1;
                    self.at += 1;
                }
                ('\\', _) => self.escape(place, &mut parts),
                ('\'', WordPlace::Outside | WordPlace::Braces { quoted: false }) => self.single(&mut parts)?,
                ('"', WordPlace::Outside | WordPlace::Braces { .. }) => {
                    self.at += 1;
                    let inner = self.nested(|cursor| cursor.parts(WordPlace::Quotes))?;
                    // an empty pair of quotes is a part, too: `""` is an argument
                    parts.extend(inner);
                    if !self.take("\"") {
                        return self.fail("a double quote is not closed");
                    }
                }
                // bash's own quotes, which other shells read otherwise
                ('$', WordPlace::Outside) if matches!(self.after(1), Some('\'' | '"')) => {
                    return self.fail("quotes of bash (`$'`)");
                }
                ('$', _) => self.dollar(&mut parts)?,
                ('`', _) => self.backquotes(place, &mut parts)?,
                _ => {
                    parts.push(character);
                    self.at += 1;
                }
            }
        }
        // between quotes there is text, even if it is none
        if place == WordPlace::Quotes && parts.parts.is_empty() {
            parts.add(ShellPartKind::Text(String::new()));
        }
        Ok(ShellWord(parts.parts))
    }

    /// Reads a backslash and what it protects.
    fn escape(&mut self, place: WordPlace, parts: &mut PartList) {
        let next = self.after(1);
        self.at += 2;
        let special = match place {
            WordPlace::Outside | WordPlace::Braces { quoted: false } => true,
            WordPlace::Document => matches!(next, Some('$' | '`' | '\\' | '\n')),
            _ => matches!(next, Some('$' | '`' | '"' | '\\' | '\n' | '}')),
        };
        match next {
            // the line goes on
            Some('\n') if special => (),
            Some(character) if special => parts.add_text(character.to_string(), true),
            Some(character) => {
                parts.push('\\');
                parts.push(character);
            }
            None => parts.push('\\'),
        }
    }

    /// Reads text between single quotes.
    fn single(&mut self, parts: &mut PartList) -> Result<(), InvalidShell> {
        self.at += 1;
        let Some(length) = self.text[self.at..].iter().position(|character| *character == '\'') else {
            return self.fail("a single quote is not closed");
        };
        parts.add_text(self.text[self.at..self.at + length].iter().collect(), true);
        self.at += length + 1;
        Ok(())
    }

    /// Reads what begins with a dollar sign.
    fn dollar(&mut self, parts: &mut PartList) -> Result<(), InvalidShell> {
        if self.take("$((") {
            let start = self.at;
            let inner = self.nested(|cursor| cursor.parts(WordPlace::Arithmetic))?;
            if self.take("))") {
                parts.add(ShellPartKind::Arithmetic(Box::new(inner)));
                return Ok(());
            }
            // a subshell within a command substitution
            self.at = start - 1;
            return self.substitution(parts);
        }
        if self.take("$(") {
            return self.substitution(parts);
        }
        if self.take("${") {
            return self.nested(|cursor| cursor.braces(parts));
        }

        self.at += 1;
        match self.parameter_name(false) {
            Some(name) => parts.add(ShellPartKind::Parameter { name, operation: None }),
            None => parts.push('$'),
        }
        Ok(())
    }

    /// Reads the commands of `$(…)`.
    fn substitution(&mut self, parts: &mut PartList) -> Result<(), InvalidShell> {
        let list = self.nested(Self::list)?;
        if !self.take(")") {
            return self.fail("a command substitution is not closed");
        }
        parts.add(ShellPartKind::Command(Rc::new(list)));
        Ok(())
    }

    /// Reads the commands between backquotes.
    fn backquotes(&mut self, place: WordPlace, parts: &mut PartList) -> Result<(), InvalidShell> {
        self.at += 1;
        let mut inner = Vec::new();
        loop {
            match self.peek() {
                Some('`') => break,
                Some('\\') if matches!(self.after(1), Some('$' | '`' | '\\')) => {
                    inner.extend(self.after(1));
                    self.at += 2;
                }
                Some('\\') if place == WordPlace::Quotes && self.after(1) == Some('"') => {
                    inner.push('"');
                    self.at += 2;
                }
                Some(character) => {
                    inner.push(character);
                    self.at += 1;
                }
                None => return self.fail("a backquote is not closed"),
            }
        }
        self.at += 1;

        // what was protected once may begin a substitution of its own
        let list = self.nested(|cursor| {
            let mut within = ShellCursor { text: &inner, at: 0, depth: cursor.depth, waiting: Vec::new() };
            let list = within.script();
            list.or_else(|inner| cursor.fail(inner.problem))
        })?;
        parts.add(ShellPartKind::Command(Rc::new(list)));
        Ok(())
    }

    /// Reads `${…}` after its brace.
    fn braces(&mut self, parts: &mut PartList) -> Result<(), InvalidShell> {
        if self.peek() == Some('#') && !matches!(self.after(1), Some('}' | ':' | '-' | '=' | '?' | '+' | '%' | '#')) {
            self.at += 1;
            let name = self.parameter_name(true);
            let (Some(name), true) = (name, self.take("}")) else { return self.fail("`${` is not closed") };
            let operation = Some(("length".to_owned(), Box::default()));
            parts.add(ShellPartKind::Parameter { name, operation });
            return Ok(());
        }

        let Some(name) = self.parameter_name(true) else { return self.fail("`${` without a name") };
        if self.take("}") {
            parts.add(ShellPartKind::Parameter { name, operation: None });
            return Ok(());
        }

        // what is not in POSIX, such as `${NAME/a/b}`, is an operation whose result is unknown
        let known = [":-", ":=", ":?", ":+", "-", "=", "?", "+", "%%", "%", "##", "#"];
        let operator = known.into_iter().find(|operator| self.take(operator)).unwrap_or("other");
        let quoted = parts.quoted && !matches!(operator, "%" | "%%" | "#" | "##");
        let word = self.nested(|cursor| cursor.parts(WordPlace::Braces { quoted }))?;
        if !self.take("}") {
            return self.fail("`${` is not closed");
        }
        let operation = Some((operator.to_owned(), Box::new(word)));
        parts.add(ShellPartKind::Parameter { name, operation });
        Ok(())
    }

    /// Reads the name of a parameter. Only between braces, numbers have more than one digit.
    fn parameter_name(&mut self, braces: bool) -> Option<String> {
        let first = self.peek()?;
        if first.is_ascii_digit() || "@*#?-$!".contains(first) {
            let start = self.at;
            self.at += 1;
            while braces && first.is_ascii_digit() && self.peek().is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1;
            }
            return Some(self.text[start..self.at].iter().collect());
        }

        let start = self.at;
        while self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()) {
            self.at += 1;
        }
        (self.at > start).then(|| self.text[start..self.at].iter().collect())
    }

    /// Reads the texts of here-documents at the beginning of a line.
    pub(super) fn documents(&mut self) -> Result<(), InvalidShell> {
        for document in std::mem::take(&mut self.waiting) {
            let mut text: Vec<char> = Vec::new();
            // a missing end is the end of the script, as in every shell
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let length = rest.iter().position(|character| *character == '\n').unwrap_or(rest.len());
                let mut line = &rest[..length];
                self.at = (self.at + length + 1).min(self.text.len());
                while document.indented && line.first() == Some(&'\t') {
                    line = &line[1..];
                }
                if line.iter().copied().eq(document.delimiter.chars()) {
                    break;
                }
                text.extend(line);
                text.push('\n');
            }

            let word = if document.verbatim {
                let kind = ShellPartKind::Text(text.into_iter().collect());
                ShellWord(vec![ShellPart { quoted: true, kind }])
            } else {
                let depth = self.depth;
                let mut within = ShellCursor { text: &text, at: 0, depth, waiting: Vec::new() };
                let word = within.nested(|cursor| cursor.parts(WordPlace::Document));
                word.or_else(|inner| self.fail(inner.problem))?
            };
            let _only_once = document.text.set(word);
        }
        Ok(())
    }
}

/// Tells whether text at a place is split into fields.
fn is_bare(place: WordPlace) -> bool {
    matches!(place, WordPlace::Outside | WordPlace::Braces { quoted: false })
}

/// Parts that are collected, with text that stands side by side in one part.
struct PartList {
    quoted: bool,
    parts: Vec<ShellPart>,
}

impl PartList {
    fn push(&mut self, character: char) {
        let quoted = self.quoted;
        match self.parts.last_mut() {
            Some(ShellPart { quoted: same, kind: ShellPartKind::Text(text) }) if *same == quoted => {
                text.push(character);
            }
            _ => self.add_text(character.to_string(), quoted),
        }
    }

    fn add_text(&mut self, text: String, quoted: bool) {
        self.parts.push(ShellPart { quoted, kind: ShellPartKind::Text(text) });
    }

    fn add(&mut self, kind: ShellPartKind) {
        self.parts.push(ShellPart { quoted: self.quoted, kind });
    }

    fn extend(&mut self, word: ShellWord) {
        self.parts.extend(word.0);
    }
}
