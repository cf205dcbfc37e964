//! Text from outside as it is shown: nothing of it steers a terminal, begins a line or commands a CI system, and a JSON
//! document keeps its meaning.
#![no_main]

use serde_json::Value;
use sockel::values::shown;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let value = shown::shown(text);
    assert!(value.chars().all(is_seen), "{value:?}");
    assert_eq!(shown::shown(&value), value);

    let lines = shown::lines(text);
    assert!(lines.chars().all(|c| is_seen(c) || matches!(c, '\n' | '\t')), "{lines:?}");
    assert_eq!(lines.matches('\n').count(), text.matches('\n').count());
    for line in lines.split('\n') {
        assert!(!is_command(line), "{line:?}");
    }
    assert_eq!(shown::lines(&lines), lines);

    for value in [Value::from(text), serde_json::from_str(text).unwrap_or_default()] {
        for printed in [value.to_string(), format!("{value:#}")] {
            let json = shown::json(&printed);
            assert!(json.chars().all(|c| is_seen(c) || c == '\n'), "{json:?}");
            assert!(!json.lines().any(is_command), "{json:?}");
            let read = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
            assert_eq!(read(&json), read(&printed));
        }
    }
});

/// Control characters, those of UTS 55 that change direction, and such as take no room.
fn is_seen(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        && !('\u{e0000}'..='\u{e007f}').contains(&c)
}

fn is_command(line: &str) -> bool {
    line.trim_start().starts_with("::") || ["##[", "##vso[", "##teamcity["].iter().any(|command| line.contains(command))
}
