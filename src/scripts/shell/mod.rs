//! The shell language of maintainer scripts as a tree: POSIX.1-2024, Shell Command Language, sections 2.2 to 2.10.
//!
//! Why a reader of our own: `brush-parser` 0.4.0 reads all of these scripts, but it recurses without a limit (5,000
//! nested parentheses end the whole process), leaves words as text for a second parse, and brings 36 crates;
//! `yash-syntax` has a licence that `deny.toml` does not accept. This one has a limit for everything, and refuses what
//! it does not know: a script that cannot be read counts as not understood.

mod grammar;
#[cfg(test)]
mod tests;
mod words;

use std::cell::OnceCell;
use std::rc::Rc;

pub(crate) use grammar::parse;

/// How deep commands and words may be nested. The deepest real script has 14 levels.
const MOST_NESTED: usize = 48;

/// Most characters of a script; the largest real one, `config` of keyboard-configuration, has 2.2 million.
const MOST_CHARACTERS: usize = 8 << 20;

/// A sequence of commands.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShellList(pub(crate) Vec<ShellChain>);

/// Pipelines joined by `&&` and `||`.
#[derive(Debug, Clone)]
pub(crate) struct ShellChain {
    pub(crate) first: ShellPipeline,
    pub(crate) rest: Vec<(ShellJoint, ShellPipeline)>,
}

/// What stands between two pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShellJoint {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Commands joined by `|`.
#[derive(Debug, Clone)]
pub(crate) struct ShellPipeline {
    /// Begins with `!`.
    pub(crate) negated: bool,
    pub(crate) commands: Vec<ShellCommand>,
}

/// A command with its redirections.
#[derive(Debug, Clone)]
pub(crate) struct ShellCommand {
    pub(crate) body: ShellBody,
    pub(crate) redirections: Vec<ShellRedirection>,
}

/// What a command is.
#[derive(Debug, Clone)]
pub(crate) enum ShellBody {
    /// `NAME=value … command argument …`
    Simple { assignments: Vec<(String, ShellWord)>, words: Vec<ShellWord> },
    /// `{ …; }`
    Group(ShellList),
    /// `( … )`
    Subshell(ShellList),
    /// `if …; then …; elif …; then …; else …; fi`
    If { branches: Vec<(ShellList, ShellList)>, otherwise: Option<ShellList> },
    /// `for NAME in …; do …; done`; without `in`, over the arguments.
    For { name: String, words: Option<Vec<ShellWord>>, body: ShellList },
    /// `case … in …) …;; esac`
    Case { subject: ShellWord, arms: Vec<ShellArm> },
    /// `while …; do …; done`, `until …; do …; done`
    Loop { until: bool, condition: ShellList, body: ShellList },
    /// `NAME() …`
    Function { name: String, body: Rc<ShellCommand> },
}

/// One `pattern | pattern) …;;` of a `case`.
#[derive(Debug, Clone)]
pub(crate) struct ShellArm {
    pub(crate) patterns: Vec<ShellWord>,
    pub(crate) body: ShellList,
}

/// A redirection.
#[derive(Debug, Clone)]
pub(crate) struct ShellRedirection {
    pub(crate) kind: ShellRedirectionKind,
    /// Path, number of a descriptor, or the text of a here-document.
    pub(crate) target: Rc<OnceCell<ShellWord>>,
}

/// What a redirection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShellRedirectionKind {
    /// `<`
    Read,
    /// `>`, `>>`, `>|`, `<>`
    Write,
    /// `<&`, `>&`
    Duplicate,
    /// `<<`, `<<-`
    HereDocument,
}

/// A word: its parts stand side by side.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShellWord(pub(crate) Vec<ShellPart>);

/// A part of a word.
#[derive(Debug, Clone)]
pub(crate) struct ShellPart {
    /// Within quotes: neither split into fields nor a pattern.
    pub(crate) quoted: bool,
    pub(crate) kind: ShellPartKind,
}

/// What a part of a word is.
#[derive(Debug, Clone)]
pub(crate) enum ShellPartKind {
    /// Text as it is.
    Text(String),
    /// `$NAME`, `${NAME}`, `${NAME:-word}`
    Parameter { name: String, operation: Option<(String, Box<ShellWord>)> },
    /// `$(…)`, or the same in backquotes.
    Command(Rc<ShellList>),
    /// `$((…))`: its value is not computed, but commands in it run.
    Arithmetic(Box<ShellWord>),
}

/// Why a text is no shell script that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct InvalidShell {
    /// Line of the script, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) problem: &'static str,
}

impl ShellWord {
    /// Returns the word if it is text without expansions.
    pub(crate) fn literal(&self) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match &part.kind {
                ShellPartKind::Text(piece) => text.push_str(piece),
                _ => return None,
            }
        }
        Some(text)
    }

    /// Tells whether nothing in the word is quoted, so that it may be a reserved word or an assignment.
    fn is_plain(&self) -> bool {
        self.0.iter().all(|part| !part.quoted)
    }
}
