//! Shell patterns: `*`, `?`, `[…]` (POSIX.1-2024, 2.14).

use crate::scripts::value::NAME;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::value::known_start;

/// Whether a text matches a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternMatch {
    Yes,
    No,
    /// It depends on what is unknown.
    Maybe,
}

/// A sign of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PatternSign {
    Character(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[…]`: ranges, and whether they are those that do not match.
    Set(Vec<(char, char)>, bool),
}

/// Steps after which a comparison counts as undecided: patterns with many `*` take very long.
const MOST_STEPS: usize = 20_000;

/// Reads a pattern; characters with `true` are quoted and mean themselves.
pub(crate) fn read_pattern(characters: &[(char, bool)]) -> Vec<PatternSign> {
    let mut signs = Vec::new();
    let mut at = 0;
    while let Some(&(character, quoted)) = characters.get(at) {
        at += 1;
        signs.push(match character {
            '*' if !quoted => PatternSign::Any,
            '?' if !quoted => PatternSign::One,
            '[' if !quoted => match set(&characters[at..]) {
                Some((sign, length)) => {
                    at += length;
                    sign
                }
                None => PatternSign::Character('['),
            },
            other => PatternSign::Character(other),
        });
    }
    signs
}

/// Reads what follows a `[`; `None` if it is not closed.
fn set(characters: &[(char, bool)]) -> Option<(PatternSign, usize)> {
    let negated = matches!(characters.first(), Some(('!' | '^', false)));
    let start = usize::from(negated);
    // a bracket that comes first is a member
    let end = (start + 1..characters.len()).find(|index| characters[*index].0 == ']')?;
    let inner: Vec<char> = characters[start..end].iter().map(|(character, _)| *character).collect();

    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inner.len() {
        if inner.get(at + 1) == Some(&'-') && at + 2 < inner.len() {
            ranges.push((inner[at], inner[at + 2]));
            at += 3;
        } else {
            ranges.push((inner[at], inner[at]));
            at += 1;
        }
    }
    // classes such as `[:digit:]` are not taken apart: any character may be in them
    if inner.contains(&':') {
        return Some((PatternSign::One, end + 1));
    }
    Some((PatternSign::Set(ranges, negated), end + 1))
}

/// Compares a text with a pattern.
pub(crate) fn compare(pattern: &[PatternSign], text: &str) -> PatternMatch {
    if pattern == [PatternSign::Any] {
        return PatternMatch::Yes;
    }

    if is_vague(pattern) || !is_known(text) {
        // what is known at the beginning can rule a match out
        let literal = pattern.iter().map_while(|sign| match sign {
            PatternSign::Character(c) if !matches!(*c, UNKNOWN | NAME) => Some(*c),
            _ => None,
        });
        let differs = literal.zip(known_start(text).chars()).any(|(pattern, text)| pattern != text);
        return if differs { PatternMatch::No } else { PatternMatch::Maybe };
    }

    let text: Vec<char> = text.chars().collect();
    let mut steps = 0;
    match matches(pattern, &text, &mut steps) {
        _ if steps >= MOST_STEPS => PatternMatch::Maybe,
        true => PatternMatch::Yes,
        false => PatternMatch::No,
    }
}

/// Tells whether a part of a pattern is unknown.
fn is_vague(pattern: &[PatternSign]) -> bool {
    pattern.iter().any(|sign| matches!(sign, PatternSign::Character(UNKNOWN | NAME)))
}

/// Compares without recursion: after a failure, the last `*` takes one character more.
fn matches(pattern: &[PatternSign], text: &[char], steps: &mut usize) -> bool {
    let (mut sign, mut at) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while at < text.len() && *steps < MOST_STEPS {
        *steps += 1;
        match pattern.get(sign) {
            Some(PatternSign::Any) => {
                last = Some((sign, at));
                sign += 1;
            }
            Some(one) if takes(one, text[at]) => {
                sign += 1;
                at += 1;
            }
            _ => {
                let Some((any, start)) = last else { return false };
                last = Some((any, start + 1));
                sign = any + 1;
                at = start + 1;
            }
        }
    }
    pattern[sign.min(pattern.len())..].iter().all(|sign| *sign == PatternSign::Any)
}

fn takes(sign: &PatternSign, character: char) -> bool {
    match sign {
        PatternSign::Character(own) => *own == character,
        PatternSign::One | PatternSign::Any => true,
        PatternSign::Set(ranges, negated) => {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
        }
    }
}

/// Removes what matches from the beginning or the end of a text, as `${NAME#pattern}` and its kin do.
pub(crate) fn remove(pattern: &[PatternSign], text: &str, operator: &str) -> String {
    if is_vague(pattern) || !is_known(text) || text.len() > 4096 {
        return UNKNOWN.to_string();
    }

    let characters: Vec<char> = text.chars().collect();
    let mut cuts: Vec<usize> = (0..=characters.len()).collect();
    // the shortest piece comes first, or the longest
    if matches!(operator, "##" | "%") {
        cuts.reverse();
    }
    for cut in cuts {
        let (first, last) = characters.split_at(cut);
        let (piece, rest) = if operator.starts_with('#') { (first, last) } else { (last, first) };
        let mut steps = 0;
        if matches(pattern, piece, &mut steps) && steps < MOST_STEPS {
            return rest.iter().collect();
        }
    }
    text.to_owned()
}
