//! Commands: lists, pipelines, compound commands, functions and redirections (POSIX.1-2024, 2.7, 2.9 and 2.10).

use crate::scripts::shell::InvalidShell;
use crate::scripts::shell::MOST_CHARACTERS;
use crate::scripts::shell::ShellArm;
use crate::scripts::shell::ShellBody;
use crate::scripts::shell::ShellChain;
use crate::scripts::shell::ShellCommand;
use crate::scripts::shell::ShellJoint;
use crate::scripts::shell::ShellList;
use crate::scripts::shell::ShellPartKind;
use crate::scripts::shell::ShellPipeline;
use crate::scripts::shell::ShellRedirection;
use crate::scripts::shell::ShellRedirectionKind;
use crate::scripts::shell::ShellWord;
use crate::scripts::shell::words::ShellCursor;
use crate::scripts::shell::words::WaitingDocument;
use std::cell::OnceCell;
use std::rc::Rc;

/// Words that end a list where a command could begin.
const CLOSING: [&str; 9] = ["then", "do", "done", "fi", "elif", "else", "esac", "}", ";;"];

/// Reads a script, or a text that a script gives to `eval`, `sh -c` or `trap`.
///
/// # Errors
/// When it is not in the language, or larger or deeper than any real script.
pub(crate) fn parse(text: &str) -> Result<ShellList, InvalidShell> {
    let text: Vec<char> = text.chars().collect();
    let mut cursor = ShellCursor { text: &text, at: 0, depth: 0, waiting: Vec::new() };
    if text.len() > MOST_CHARACTERS {
        return cursor.fail("too long");
    }
    cursor.script()
}

impl ShellCursor<'_> {
    /// Reads commands up to the end of the text.
    pub(super) fn script(&mut self) -> Result<ShellList, InvalidShell> {
        let list = self.list()?;
        self.documents()?;
        if self.at < self.text.len() {
            return self.fail("a word or sign that ends nothing");
        }
        Ok(list)
    }

    /// Reads commands up to what closes the construct around them.
    pub(super) fn list(&mut self) -> Result<ShellList, InvalidShell> {
        let mut list = Vec::new();
        loop {
            self.lines()?;
            if self.peek().is_none_or(|character| character == ')') || self.is_closing() {
                return Ok(ShellList(list));
            }

            let chain = self.chain()?;
            self.blanks();
            // a command ends at a line, a sign, or what closes the list
            let is_background = self.take("&");
            let ends = is_background
                || self.peek() == Some('\n')
                || (self.peek() == Some(';') && self.after(1) != Some(';') && self.take(";"));
            list.push(if is_background { in_subshell(chain) } else { chain });
            if !ends && self.peek().is_some_and(|character| character != ')') && !self.is_closing() {
                return self.fail("two commands without a sign between them");
            }
        }
    }

    fn chain(&mut self) -> Result<ShellChain, InvalidShell> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let joint = if self.take("&&") {
                ShellJoint::And
            } else if self.take("||") {
                ShellJoint::Or
            } else {
                return Ok(ShellChain { first, rest });
            };
            self.lines()?;
            rest.push((joint, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<ShellPipeline, InvalidShell> {
        self.blanks();
        let mut negated = false;
        while self.reserved("!") {
            negated = !negated;
            self.blanks();
        }

        let mut commands = vec![self.nested(Self::command)?];
        loop {
            self.blanks();
            if self.peek() != Some('|') || self.after(1) == Some('|') {
                return Ok(ShellPipeline { negated, commands });
            }
            self.at += 1;
            self.lines()?;
            commands.push(self.nested(Self::command)?);
        }
    }

    fn command(&mut self) -> Result<ShellCommand, InvalidShell> {
        self.blanks();
        let body = if self.take("(") {
            let list = self.list()?;
            self.expect(")")?;
            ShellBody::Subshell(list)
        } else if self.reserved("{") {
            let list = self.list()?;
            self.close("}")?;
            ShellBody::Group(list)
        } else if self.reserved("if") {
            self.conditional()?
        } else if self.reserved("for") {
            self.iteration()?
        } else if self.reserved("case") {
            self.choice()?
        } else if self.reserved("while") {
            self.repetition(false)?
        } else if self.reserved("until") {
            self.repetition(true)?
        } else {
            return self.simple();
        };

        let mut redirections = Vec::new();
        loop {
            self.blanks();
            match self.redirection()? {
                Some(redirection) => redirections.push(redirection),
                None => return Ok(ShellCommand { body, redirections }),
            }
        }
    }

    fn conditional(&mut self) -> Result<ShellBody, InvalidShell> {
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.close("then")?;
            branches.push((condition, self.list()?));
            if !self.reserved("elif") {
                break;
            }
        }
        let otherwise = if self.reserved("else") { Some(self.list()?) } else { None };
        self.close("fi")?;
        Ok(ShellBody::If { branches, otherwise })
    }

    fn iteration(&mut self) -> Result<ShellBody, InvalidShell> {
        self.blanks();
        let Some(name) = self.word()?.and_then(|word| word.literal()).filter(|name| is_variable(name)) else {
            return self.fail("`for` without a name");
        };
        self.lines()?;
        let words = if self.reserved("in") { Some(self.words()?) } else { None };
        self.blanks();
        self.take(";");
        self.lines()?;
        self.close("do")?;
        let body = self.list()?;
        self.close("done")?;
        Ok(ShellBody::For { name, words, body })
    }

    fn repetition(&mut self, until: bool) -> Result<ShellBody, InvalidShell> {
        let condition = self.list()?;
        self.close("do")?;
        let body = self.list()?;
        self.close("done")?;
        Ok(ShellBody::Loop { until, condition, body })
    }

    fn choice(&mut self) -> Result<ShellBody, InvalidShell> {
        self.blanks();
        let Some(subject) = self.word()? else { return self.fail("`case` without a word") };
        self.lines()?;
        self.close("in")?;
        let mut arms = Vec::new();
        loop {
            self.lines()?;
            if self.reserved("esac") {
                return Ok(ShellBody::Case { subject, arms });
            }
            self.take("(");

            let mut patterns = Vec::new();
            loop {
                self.blanks();
                match self.word()? {
                    Some(pattern) => patterns.push(pattern),
                    None => return self.fail("`case` without a pattern"),
                }
                self.blanks();
                if !self.take("|") {
                    break;
                }
            }
            self.expect(")")?;

            let body = self.list()?;
            arms.push(ShellArm { patterns, body });
            if !self.take(";;") {
                self.lines()?;
                self.close("esac")?;
                return Ok(ShellBody::Case { subject, arms });
            }
        }
    }

    /// Reads a simple command or the definition of a function.
    fn simple(&mut self) -> Result<ShellCommand, InvalidShell> {
        let (mut assignments, mut words, mut redirections) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
                continue;
            }
            let Some(word) = self.word()? else { break };
            match assignment(&word).filter(|_| words.is_empty()) {
                Some(assigned) => assignments.push(assigned),
                None => words.push(word),
            }
            if words.len() == 1 && assignments.is_empty() && redirections.is_empty() {
                self.blanks();
                if self.peek() == Some('(') {
                    return self.function(&words[0]);
                }
            }
        }

        if assignments.is_empty() && words.is_empty() && redirections.is_empty() {
            return self.fail("a command is missing");
        }
        Ok(ShellCommand { body: ShellBody::Simple { assignments, words }, redirections })
    }

    fn function(&mut self, name: &ShellWord) -> Result<ShellCommand, InvalidShell> {
        self.expect("(")?;
        self.expect(")")?;
        let Some(name) = name.literal().filter(|_| name.is_plain()) else {
            return self.fail("the name of a function is not a plain word");
        };
        self.lines()?;
        let body = Rc::new(self.nested(Self::command)?);
        Ok(ShellCommand { body: ShellBody::Function { name, body }, redirections: Vec::new() })
    }

    /// Reads the words up to the end of a command.
    fn words(&mut self) -> Result<Vec<ShellWord>, InvalidShell> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            match self.word()? {
                Some(word) => words.push(word),
                None => return Ok(words),
            }
        }
    }

    /// Reads a redirection, if one comes next.
    fn redirection(&mut self) -> Result<Option<ShellRedirection>, InvalidShell> {
        let start = self.at;
        while self.peek().is_some_and(|character| character.is_ascii_digit()) {
            self.at += 1;
        }
        if !matches!(self.peek(), Some('<' | '>')) {
            self.at = start;
            return Ok(None);
        }

        let operators = [
            ("<<-", ShellRedirectionKind::HereDocument),
            ("<<", ShellRedirectionKind::HereDocument),
            ("<&", ShellRedirectionKind::Duplicate),
            (">&", ShellRedirectionKind::Duplicate),
            ("<>", ShellRedirectionKind::Write),
            (">>", ShellRedirectionKind::Write),
            (">|", ShellRedirectionKind::Write),
            (">", ShellRedirectionKind::Write),
            ("<", ShellRedirectionKind::Read),
        ];
        let Some((operator, kind)) = operators.into_iter().find(|(operator, _)| self.take(operator)) else {
            return self.fail("an unknown redirection");
        };
        self.blanks();
        let Some(word) = self.word()? else { return self.fail("a redirection without a target") };

        let target = Rc::new(OnceCell::new());
        if kind == ShellRedirectionKind::HereDocument {
            let Some(delimiter) = word.literal() else { return self.fail("a here-document ends at an expansion") };
            let (indented, verbatim, text) = (operator == "<<-", !word.is_plain(), Rc::clone(&target));
            self.waiting.push(WaitingDocument { delimiter, indented, verbatim, text });
        } else {
            let _only_once = target.set(word);
        }
        Ok(Some(ShellRedirection { kind, target }))
    }

    /// Skips blanks, comments and joined lines.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.after(1) == Some('\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips blanks and ends of lines, and reads here-documents that begin there.
    fn lines(&mut self) -> Result<(), InvalidShell> {
        loop {
            self.blanks();
            if !self.take("\n") {
                return Ok(());
            }
            self.documents()?;
        }
    }

    /// Tells whether a word or sign comes next that closes a list.
    fn is_closing(&self) -> bool {
        CLOSING.iter().any(|word| self.is_reserved(word))
    }

    /// Tells whether a reserved word comes next.
    fn is_reserved(&self, word: &str) -> bool {
        let length = word.chars().count();
        let is_next = word.chars().enumerate().all(|(index, character)| self.after(index) == Some(character));
        let ends = self.after(length).is_none_or(|next| " \t\n;&|<>()".contains(next));
        is_next && (ends || word == ";;")
    }

    /// Takes a reserved word if it comes next.
    fn reserved(&mut self, word: &str) -> bool {
        let is_next = self.is_reserved(word);
        self.at += if is_next { word.chars().count() } else { 0 };
        is_next
    }

    fn close(&mut self, word: &str) -> Result<(), InvalidShell> {
        if self.reserved(word) { Ok(()) } else { self.fail("a compound command is not complete") }
    }

    fn expect(&mut self, sign: &str) -> Result<(), InvalidShell> {
        self.blanks();
        if self.take(sign) { Ok(()) } else { self.fail("a parenthesis is missing") }
    }
}

/// Returns a command that runs in the background: like a subshell, it cannot end the script.
fn in_subshell(chain: ShellChain) -> ShellChain {
    let body = ShellBody::Subshell(ShellList(vec![chain]));
    let commands = vec![ShellCommand { body, redirections: Vec::new() }];
    ShellChain { first: ShellPipeline { negated: false, commands }, rest: Vec::new() }
}

/// Returns name and value if a word is an assignment.
fn assignment(word: &ShellWord) -> Option<(String, ShellWord)> {
    let first = word.0.first().filter(|part| !part.quoted)?;
    let ShellPartKind::Text(text) = &first.kind else { return None };
    let (name, value) = text.split_once('=')?;
    if !is_variable(name) {
        return None;
    }

    let mut parts = word.0.clone();
    parts[0].kind = ShellPartKind::Text(value.to_owned());
    if value.is_empty() {
        parts.remove(0);
    }
    Some((name.to_owned(), ShellWord(parts)))
}

/// Tells whether a text can be the name of a variable.
fn is_variable(name: &str) -> bool {
    name.chars().enumerate().all(|(index, character)| {
        character == '_' || character.is_ascii_alphabetic() || (index > 0 && character.is_ascii_digit())
    }) && !name.is_empty()
}
