//! What a reader knows about a text of a script: all that it may be, with marks for what depends on the machine.

use std::collections::BTreeSet;

/// Stands in a text for anything at all. Private characters cannot come from a script: [`decode`] replaces them.
pub(crate) const UNKNOWN: char = '\u{e000}';

/// Stands in a text for some name of a file, without a slash.
pub(crate) const NAME: char = '\u{e001}';

/// Most texts that a value is known to be one of; beyond, it is unknown.
const MOST_TEXTS: usize = 12;

/// Longest text that is followed. Real ones are paths and short lists.
const LONGEST: usize = 32 << 10;

/// The texts that a value may be. It is one of them, so there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScriptValue(BTreeSet<String>);

impl ScriptValue {
    pub(crate) fn known(text: impl Into<String>) -> Self {
        Self::any_of([text.into()])
    }

    pub(crate) fn unknown() -> Self {
        Self(BTreeSet::from([UNKNOWN.to_string()]))
    }

    /// Returns the value that is one of these texts; unknown if there are none or too many.
    pub(crate) fn any_of(texts: impl IntoIterator<Item = String>) -> Self {
        let mut found = BTreeSet::new();
        for text in texts {
            if text.len() > LONGEST || found.len() >= MOST_TEXTS {
                return Self::unknown();
            }
            found.insert(text);
        }
        if found.is_empty() { Self::unknown() } else { Self(found) }
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// Returns the text if there is only one and nothing in it is unknown.
    pub(crate) fn only(&self) -> Option<&str> {
        self.0.first().filter(|text| self.0.len() == 1 && is_known(text)).map(String::as_str)
    }

    /// Returns what is one or the other. What may be anything takes up nothing, so that loops settle.
    pub(crate) fn or(&self, other: &Self) -> Self {
        if self.is_anything() || self == other {
            return self.clone();
        }
        Self::any_of(self.0.union(&other.0).cloned())
    }

    /// Tells whether it may be any text at all.
    fn is_anything(&self) -> bool {
        self.0.iter().any(|text| text.chars().eq([UNKNOWN]))
    }

    /// Returns the value of two texts that stand side by side.
    pub(crate) fn then(&self, next: &Self) -> Self {
        Self::any_of(self.0.iter().flat_map(|first| next.0.iter().map(move |second| format!("{first}{second}"))))
    }
}

/// Tells whether nothing in a text is unknown.
pub(crate) fn is_known(text: &str) -> bool {
    !text.contains([UNKNOWN, NAME])
}

/// Returns what is known at the beginning of a text.
pub(crate) fn known_start(text: &str) -> &str {
    text.split([UNKNOWN, NAME]).next().unwrap_or_default()
}

/// Returns the bytes of a script as text: UTF-8, or Latin-1, which old scripts are written in.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    if is_known(&text) { text } else { text.replace([UNKNOWN, NAME], "\u{fffd}") }
}
