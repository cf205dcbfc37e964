//! Text from outside, made safe to show to people and programs: one function for each kind of place.
//!
//! Names in packages, answers of servers, files of a project and arguments of a pipeline are shown, never
//! obeyed. Control characters steer terminals and begin lines. Characters that change the direction of text, or
//! that take no room, make one text look like another (Unicode Technical Report 36, "Bidirectional Text
//! Spoofing"; CVE-2021-42574). All of them appear as escapes, as Rust writes them.
//!
//! The printer applies [`lines`] and [`json`] to everything that leaves the process, so no source of text can
//! forget it. [`shown`] is for one value within a line: a line break in it does not begin a line.

use std::borrow::Cow;

/// Tells whether a character looks like what it is: not invisible, not steering.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{ad}'                    // soft hyphen
            | '\u{61c}'                 // Arabic letter mark
            | '\u{115f}'..='\u{1160}'   // Hangul fillers
            | '\u{180e}'                // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'   // zero width, left-to-right and right-to-left mark
            | '\u{2028}'..='\u{202e}'   // line and paragraph separator, embeddings and overrides
            | '\u{2060}'..='\u{206f}'   // word joiner, invisible operators, isolates
            | '\u{3164}'                // Hangul filler
            | '\u{fe00}'..='\u{fe0e}'   // variation selectors; the last one makes usual signs colourful
            | '\u{feff}'                // zero width no-break space
            | '\u{ffa0}'                // Hangul filler
            | '\u{fff9}'..='\u{fffb}'   // annotations
            | '\u{e0000}'..='\u{e0fff}' // tags and more variation selectors
        )
}

/// Returns a value for use within a line.
#[must_use]
pub fn shown(text: &str) -> String {
    escaped(text, |_| false).into_owned()
}

/// Returns a text of several lines, with its line breaks and tabs. No line is a command to a CI system.
#[must_use]
pub fn lines(text: &str) -> String {
    let text = escaped(text, |character| matches!(character, '\n' | '\t'));
    text.split_inclusive('\n').map(without_commands).collect()
}

/// Returns a JSON document with the same meaning, in whose strings everything that is not plain is escaped.
#[must_use]
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        // a line feed can only stand between values: within strings serde_json writes `\n`
        if is_plain(character) || character == '\n' {
            out.push(character);
        } else {
            // JSON escapes UTF-16 code units (RFC 8259, 7)
            let mut units = [0; 2];
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }

    // `#` only occurs within strings, where an escape is allowed
    for (command, _) in COMMANDS {
        out = out.replace(command, &command.replacen("##", r"#\u0023", 1));
    }
    out
}

/// Escapes what is neither plain nor allowed at the caller's place.
fn escaped(text: &str, is_allowed: fn(char) -> bool) -> Cow<'_, str> {
    // almost all text is plain
    if text.chars().all(|character| is_plain(character) || is_allowed(character)) {
        return Cow::Borrowed(text);
    }

    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_plain(character) || is_allowed(character) {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
    }
    Cow::Owned(out)
}

/// What begins a command anywhere in a line, and its harmless form: GitHub's old form and Azure's, Azure's logging
/// commands, TeamCity's service messages. GitLab's sections need control characters.
const COMMANDS: &[(&str, &str)] =
    &[("##[", r"#\u{23}["), ("##vso[", r"#\u{23}vso["), ("##teamcity[", r"#\u{23}teamcity[")];

/// Returns a line that no CI system takes for a command.
fn without_commands(line: &str) -> String {
    let mut out = line.to_owned();
    for (command, harmless) in COMMANDS {
        out = out.replace(command, harmless);
    }

    // GitHub's `::error::` begins a line, with nothing but white space before it ("Workflow commands for GitHub
    // Actions")
    let blanks = out.len() - out.trim_start().len();
    if out[blanks..].starts_with("::") {
        out.replace_range(blanks..=blanks, r"\u{3a}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_stays() {
        for text in ["", "libc6 2.39-0ubuntu8 → x", "Grüße, 漢字 ✔\u{fe0f} é", "a::b #[x] # [y] \\ \"q\""] {
            assert_eq!((shown(text).as_str(), lines(text).as_str(), json(text).as_str()), (text, text, text));
        }
        assert_eq!(lines("a\n\tb\n"), "a\n\tb\n");
    }

    #[test]
    fn what_steers_is_shown() {
        for (text, expected) in [
            ("\x1b[31mred\x07", r"\u{1b}[31mred\u{7}"),
            ("a\r\nb\tc", r"a\r\nb\tc"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("user\u{202e}txt.exe\u{2066}\u{2069}", r"user\u{202e}txt.exe\u{2066}\u{2069}"),
            ("pay\u{200b}pal\u{feff}\u{200f}\u{61c}", r"pay\u{200b}pal\u{feff}\u{200f}\u{61c}"),
            ("a\u{2028}b\u{2029}c\u{85}d", r"a\u{2028}b\u{2029}c\u{85}d"),
            ("x\u{e0041}\u{ad}", r"x\u{e0041}\u{ad}"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(lines("a\r\n\x1b]0;x\x07"), "a\\r\n\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn no_line_is_a_command() {
        for (text, expected) in [
            ("a\n::error::x\n", "a\n\\u{3a}:error::x\n"),
            ("  \t::set-env name=x::y", "  \t\\u{3a}:set-env name=x::y"),
            ("\u{a0}::stop", "\u{a0}\\u{3a}:stop"),
            ("x ##[error]y", "x #\\u{23}[error]y"),
            ("##vso[task.setvariable]###[x]", "#\\u{23}vso[task.setvariable]##\\u{23}[x]"),
            ("##teamcity[x]", "#\\u{23}teamcity[x]"),
            ("section_start:1:x\r\x1b[0K", "section_start:1:x\\r\\u{1b}[0K"),
        ] {
            assert_eq!(lines(text), expected);
        }
    }

    proptest! {
        #[test]
        fn json_means_the_same(text in ".*|[:#\\[]*") {
            let document = serde_json::to_string_pretty(&[&text]).unwrap();
            let clean = json(&document);
            prop_assert!(clean.chars().all(|c| is_plain(c) || c == '\n') && !clean.contains("##["));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&clean).unwrap(), [text]);
        }

        #[test]
        fn nothing_steers(text in ".*|[:#\\[ \n]*") {
            prop_assert!(shown(&text).chars().all(is_plain));
            let all = lines(&text);
            prop_assert!(all.chars().all(|c| is_plain(c) || matches!(c, '\n' | '\t')));
            prop_assert!(all.lines().all(|line| !line.trim_start().starts_with("::")));
            prop_assert_eq!(lines(&all), all);
        }
    }
}
