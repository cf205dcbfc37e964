//! Rules of the ledger about effects of maintainer scripts: patterns, and the decision for what they cover.

use crate::recipe::ScriptDecision;
use crate::scripts::effect::UNKNOWN_PART;

/// [`UNKNOWN_PART`] as one character, so that no sign of a pattern covers it by accident.
const UNKNOWN_SIGN: char = '\u{e000}';

/// A decision about effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRule {
    /// Binary packages that it is for, where `*` stands for any text; none means all packages.
    pub packages: Vec<EffectPattern>,
    /// Effects that it covers.
    pub effects: Vec<EffectPattern>,
    /// The decision.
    pub decision: ScriptDecision,
    /// Reason for the decision, for reviewers.
    pub reason: String,
}

/// A pattern over effects: `*` stands for any text without slash and blank, `**` for any text. Neither stands for an
/// unknown part: a pattern has to name it as `<?>`, or to say `***`, which stands for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectPattern {
    text: String,
    signs: Vec<EffectSign>,
}

/// A sign of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EffectSign {
    Character(char),
    /// `*`
    Name,
    /// `**`
    Any,
    /// `***`
    Everything,
}

impl EffectRule {
    /// Tells whether the rule decides about an effect of a package.
    #[must_use]
    pub fn covers(&self, package: &str, effect: &str) -> bool {
        (self.packages.is_empty() || self.packages.iter().any(|pattern| pattern.covers(package)))
            && self.effects.iter().any(|pattern| pattern.covers(effect))
    }
}

impl EffectPattern {
    /// Reads a pattern. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let characters: Vec<char> = with_sign(text);
        let mut signs = Vec::new();
        let mut at = 0;
        while let Some(character) = characters.get(at) {
            let stars = characters[at..].iter().take(3).take_while(|character| **character == '*').count();
            at += stars.max(1);
            signs.push(match stars {
                0 => EffectSign::Character(*character),
                1 => EffectSign::Name,
                2 => EffectSign::Any,
                _ => EffectSign::Everything,
            });
        }
        Self { text: text.to_owned(), signs }
    }

    /// Returns the pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether the pattern covers an effect.
    #[must_use]
    pub fn covers(&self, effect: &str) -> bool {
        let text = with_sign(effect);

        // most patterns differ in their first word
        let literal = self.signs.iter().take_while(|sign| matches!(sign, EffectSign::Character(_))).count();
        let (start, signs) = self.signs.split_at(literal);
        if text.len() < literal || !start.iter().zip(&text).all(|(sign, character)| sign.takes(*character)) {
            return false;
        }
        let text = &text[literal..];

        // which beginnings of the rest the signs so far cover, sign by sign
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for sign in signs {
            let mut next = vec![false; text.len() + 1];
            for at in 0..=text.len() {
                next[at] = match sign {
                    EffectSign::Character(own) => at > 0 && reached[at - 1] && text[at - 1] == *own,
                    stars => reached[at] || (at > 0 && next[at - 1] && stars.takes(text[at - 1])),
                };
            }
            if !next.contains(&true) {
                return false;
            }
            reached = next;
        }
        reached[text.len()]
    }
}

impl EffectSign {
    /// Tells whether stars may stand for a character.
    fn takes(self, character: char) -> bool {
        match self {
            Self::Character(own) => own == character,
            Self::Name => !matches!(character, UNKNOWN_SIGN | '/' | ' '),
            Self::Any => character != UNKNOWN_SIGN,
            Self::Everything => true,
        }
    }
}

/// Returns a text with one character for each unknown part.
fn with_sign(text: &str) -> Vec<char> {
    text.replace(UNKNOWN_PART, &UNKNOWN_SIGN.to_string()).chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, effect, expected) in [
            ("folder /run/**", "folder /run/x/y", true),
            ("folder /run/**", "folder /runner", false),
            ("folder /run/*", "folder /run/x/y", false),
            ("folder /run/*", "folder /run/x", true),
            ("* /run/**", "runs x /run/y", false),
            ("removal ***", "removal /etc/<?>/<?>", true),
            ("link /etc/rc*.d/** -> **", "link /etc/rc*.d/*ssh -> ../init.d/ssh", true),
            ("file /etc/**", "file /etc/<?>/x", false),
            ("file /etc/<?>/x", "file /etc/<?>/x", true),
            ("**", "file /etc/<?>", false),
            ("file **<?>**", "file /etc/<?>/x", true),
            ("mode ** 755", "mode /usr/bin/x 4755", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(EffectPattern::new(pattern).covers(effect), expected, "{pattern} {effect}");
        }
    }
}
