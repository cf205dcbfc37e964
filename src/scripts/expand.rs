//! Words become arguments: parameters, command substitutions, fields and patterns (POSIX.1-2024, 2.6).

use crate::scripts::commands;
use crate::scripts::output::output_of;
use crate::scripts::pattern;
use crate::scripts::pattern::PatternSign;
use crate::scripts::pattern::read_pattern;
use crate::scripts::shell::ShellBody;
use crate::scripts::shell::ShellChain;
use crate::scripts::shell::ShellCommand;
use crate::scripts::shell::ShellList;
use crate::scripts::shell::ShellPartKind;
use crate::scripts::shell::ShellWord;
use crate::scripts::value::NAME;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;

/// Most ways that the arguments of one command may read; beyond, what has several values is unknown.
const MOST_WAYS: usize = 24;

/// Most arguments of one command.
const MOST_ARGUMENTS: usize = 4096;

/// Arguments that are being made: complete ones, and the one that the next part continues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ArgumentList {
    done: Vec<String>,
    open: Option<String>,
}

impl ScriptWalk {
    /// Returns all ways that the arguments of a command may read.
    pub(crate) fn arguments(&mut self, words: &[ShellWord]) -> Vec<Vec<String>> {
        let mut ways = vec![ArgumentList::default()];
        for word in words {
            ways = self.extend(ways, word);
            for way in &mut ways {
                way.done.extend(way.open.take());
                if way.done.len() > MOST_ARGUMENTS {
                    *way = ArgumentList { done: vec![UNKNOWN.to_string()], open: None };
                }
            }
        }
        ways.into_iter().map(|way| way.done).collect()
    }

    /// Adds the fields of a word to each way.
    fn extend(&mut self, mut ways: Vec<ArgumentList>, word: &ShellWord) -> Vec<ArgumentList> {
        // `~` names a home folder, `{a,b}` is several words for bash: both are left unknown
        let bare = bare_text(word);
        let is_list = bare.contains('{') && bare.contains('}') && (bare.contains(',') || bare.contains(".."));
        if bare.starts_with('~') || is_list {
            ways.iter_mut().for_each(|way| way.push(&UNKNOWN.to_string()));
            return ways;
        }

        let separators = self.separators();
        for part in &word.0 {
            if let ShellPartKind::Parameter { name, operation: None } = &part.kind
                && name == "@"
                && part.quoted
            {
                self.each_argument(&mut ways);
                continue;
            }

            let value = self.part(&part.kind, part.quoted);
            self.spend(value.texts().map(String::len).sum());
            let is_literal = matches!(part.kind, ShellPartKind::Text(_));
            let texts: Vec<&String> = value.texts().collect();
            let count = ways.len() * texts.len();
            let texts: Vec<String> = match count > MOST_WAYS {
                true => vec![UNKNOWN.to_string()],
                false => texts.into_iter().cloned().collect(),
            };

            let mut next = Vec::with_capacity(count);
            for way in &ways {
                for text in &texts {
                    let mut way = way.clone();
                    match (part.quoted, is_literal) {
                        (true, _) => way.push(text),
                        (false, true) => way.push(&with_names(text)),
                        (false, false) => way.split(&with_names(text), &separators),
                    }
                    // `$x` and `"$x"` side by side give the same way twice
                    if !next.contains(&way) {
                        next.push(way);
                    }
                }
            }
            ways = next;
        }
        ways
    }

    /// Adds `"$@"`: each argument of the script or function is a field.
    fn each_argument(&mut self, ways: &mut Vec<ArgumentList>) {
        let arguments = self.scope.arguments.clone().unwrap_or_else(|| vec![ScriptValue::unknown()]);
        for (index, argument) in arguments.iter().enumerate() {
            let count = ways.len() * argument.texts().count();
            let value = if count > MOST_WAYS { ScriptValue::unknown() } else { argument.clone() };
            let mut next = Vec::new();
            for way in ways.iter() {
                for text in value.texts() {
                    let mut way = way.clone();
                    if index > 0 {
                        way.done.extend(way.open.take());
                    }
                    way.push(text);
                    next.push(way);
                }
            }
            *ways = next;
        }
    }

    /// Returns the text of a word that is neither split nor a pattern: the value of an assignment, a target.
    pub(crate) fn text(&mut self, word: &ShellWord) -> ScriptValue {
        let mut value = ScriptValue::known("");
        for (index, part) in word.0.iter().enumerate() {
            let next = match &part.kind {
                ShellPartKind::Text(text) if index == 0 && !part.quoted && text.starts_with('~') => {
                    ScriptValue::unknown()
                }
                kind => self.part(kind, true),
            };
            value = value.then(&next);
            self.spend(value.texts().map(String::len).sum());
        }
        value
    }

    /// Returns the ways that a word may read as a pattern.
    pub(crate) fn patterns(&mut self, word: &ShellWord) -> Vec<Vec<PatternSign>> {
        let mut ways: Vec<Vec<(char, bool)>> = vec![Vec::new()];
        for part in &word.0 {
            let value = self.part(&part.kind, true);
            let mut next = Vec::new();
            for way in &ways {
                for text in value.texts() {
                    let characters = text.chars().map(|character| (character, part.quoted));
                    next.push(way.iter().copied().chain(characters).collect());
                }
            }
            if next.len() > MOST_WAYS {
                return vec![vec![PatternSign::Character(UNKNOWN)]];
            }
            ways = next;
        }
        ways.iter().map(|way| read_pattern(way)).collect()
    }

    /// Returns the value of one part of a word, and takes up the effects of commands in it.
    fn part(&mut self, kind: &ShellPartKind, quoted: bool) -> ScriptValue {
        match kind {
            ShellPartKind::Text(text) => ScriptValue::known(text),
            ShellPartKind::Parameter { name, operation: None } => self.parameter(name),
            ShellPartKind::Parameter { name, operation: Some((operator, word)) } => {
                self.operation(name, operator, word, quoted)
            }
            ShellPartKind::Command(list) => self.substitution(list),
            ShellPartKind::Arithmetic(word) => {
                self.text(word);
                ScriptValue::unknown()
            }
        }
    }

    /// Returns the value of a parameter; of one that is not set, the empty text.
    fn parameter(&mut self, name: &str) -> ScriptValue {
        let arguments = self.scope.arguments.as_ref();
        if let Ok(number) = name.parse::<usize>() {
            return match arguments {
                None => ScriptValue::unknown(),
                Some(_) if number == 0 => ScriptValue::unknown(),
                Some(all) => all.get(number - 1).cloned().unwrap_or_else(|| ScriptValue::known("")),
            };
        }

        match (name, arguments) {
            ("#", Some(all)) => ScriptValue::known(all.len().to_string()),
            ("@" | "*", Some(all)) => {
                let mut value = ScriptValue::known("");
                for (index, argument) in all.iter().enumerate() {
                    let gap = if index == 0 { "" } else { " " };
                    value = value.then(&ScriptValue::known(gap)).then(argument);
                }
                value
            }
            ("#" | "@" | "*" | "?" | "$" | "!" | "-", _) => ScriptValue::unknown(),
            _ => self.scope.variable(name).unwrap_or_else(|| ScriptValue::known("")),
        }
    }

    /// Returns the value of `${NAME…}`.
    fn operation(&mut self, name: &str, operator: &str, word: &ShellWord, quoted: bool) -> ScriptValue {
        let value = self.parameter(name);
        match operator {
            "length" => each(&value, |text| match is_known(text) {
                true => text.chars().count().to_string(),
                false => UNKNOWN.to_string(),
            }),
            "%" | "%%" | "#" | "##" => {
                let patterns = self.patterns(word);
                let cut = value.texts().flat_map(|text| patterns.iter().map(|p| pattern::remove(p, text, operator)));
                ScriptValue::any_of(cut.collect::<Vec<_>>())
            }
            ":-" | "-" | ":=" | "=" => {
                let other = if quoted { self.text(word) } else { self.joined(word) };
                // without the colon, an empty value counts: whether it is set is not followed
                let texts = value.texts().flat_map(|text| match text.as_str() {
                    "" if operator.starts_with(':') => other.texts().cloned().collect(),
                    "" => other.texts().cloned().chain([String::new()]).collect(),
                    text if text.starts_with(UNKNOWN) => other.texts().cloned().chain([text.to_owned()]).collect(),
                    text => vec![text.to_owned()],
                });
                let value = ScriptValue::any_of(texts.collect::<Vec<_>>());
                if operator.ends_with('=') {
                    commands::assign(self, name, value.clone());
                }
                value
            }
            ":+" | "+" => {
                let other = if quoted { self.text(word) } else { self.joined(word) };
                let texts = value.texts().flat_map(|text| match text.as_str() {
                    "" if operator == ":+" => vec![String::new()],
                    text if text.is_empty() || text.starts_with(UNKNOWN) => {
                        other.texts().cloned().chain([String::new()]).collect()
                    }
                    _ => other.texts().cloned().collect(),
                });
                ScriptValue::any_of(texts.collect::<Vec<_>>())
            }
            ":?" | "?" => value,
            _ => {
                self.text(word);
                ScriptValue::unknown()
            }
        }
    }

    /// Returns the fields of a word side by side with blanks, for a default that is split later.
    fn joined(&mut self, word: &ShellWord) -> ScriptValue {
        let ways = self.arguments(std::slice::from_ref(word));
        ScriptValue::any_of(ways.into_iter().map(|way| way.join(" ")).collect::<Vec<_>>())
    }

    /// Returns what commands print, as far as it is known, and takes up their effects.
    fn substitution(&mut self, list: &ShellList) -> ScriptValue {
        let Some(words) = only_words(list) else {
            self.subshell(|walk| walk.list(list));
            return ScriptValue::unknown();
        };

        let mut printed = Vec::new();
        self.subshell(|walk| {
            let ways = walk.arguments(words);
            for way in &ways {
                let is_function = way.first().is_some_and(|name| walk.scope.functions.contains_key(name));
                let text = if is_function { None } else { output_of(way) };
                printed.push(text.map_or(UNKNOWN.to_string(), |text| text.trim_end_matches('\n').to_owned()));
            }
            walk.each_way(&ways)
        });
        ScriptValue::any_of(printed)
    }

    /// Returns the characters at which fields are divided.
    fn separators(&self) -> Vec<char> {
        let set = self.scope.variable("IFS");
        set.map_or(" \t\n".to_owned(), |value| value.only().unwrap_or(" \t\n").to_owned()).chars().collect()
    }
}

impl ArgumentList {
    fn push(&mut self, text: &str) {
        self.open.get_or_insert_default().push_str(text);
    }

    /// Adds a text that is split at separators.
    fn split(&mut self, text: &str, separators: &[char]) {
        let mut is_first = true;
        for field in text.split(|character| separators.contains(&character)) {
            if !is_first {
                self.done.extend(self.open.take());
            }
            is_first = false;
            if !field.is_empty() {
                self.push(field);
            }
        }
    }
}

/// Returns the words of a list that is one command, without assignments and redirections.
fn only_words(list: &ShellList) -> Option<&[ShellWord]> {
    let [ShellChain { first, rest }] = list.0.as_slice() else { return None };
    let [ShellCommand { body: ShellBody::Simple { assignments, words }, redirections }] = first.commands.as_slice()
    else {
        return None;
    };
    (rest.is_empty() && redirections.is_empty() && assignments.is_empty()).then_some(words)
}

/// Returns the text of a word that is neither quoted nor expanded.
fn bare_text(word: &ShellWord) -> String {
    let texts = word.0.iter().filter(|part| !part.quoted).map(|part| match &part.kind {
        ShellPartKind::Text(text) => text.as_str(),
        _ => "\u{fffd}",
    });
    texts.collect()
}

/// Returns a text with names of files in the place of pattern signs.
fn with_names(text: &str) -> String {
    let has_set = text.find('[').is_some_and(|open| text[open..].contains(']')) && text.contains('/');
    if !text.contains(['*', '?']) && !has_set {
        return text.to_owned();
    }

    let mut out = String::new();
    let mut in_set = false;
    for character in text.chars() {
        match character {
            ']' if in_set => in_set = false,
            _ if in_set => (),
            '[' if has_set => {
                in_set = true;
                out.push(NAME);
            }
            '*' | '?' => out.push(NAME),
            other => out.push(other),
        }
    }
    out
}

/// Returns a value with each of its texts changed.
fn each(value: &ScriptValue, change: impl Fn(&str) -> String) -> ScriptValue {
    ScriptValue::any_of(value.texts().map(|text| change(text)).collect::<Vec<_>>())
}
