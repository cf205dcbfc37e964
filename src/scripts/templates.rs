//! The questions of a package: the file `templates` (debconf-devel(7)), as far as answers follow from it.

use crate::apt::control::Paragraph;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::decode;
use std::collections::BTreeMap;

/// Returns the default answer of each question; the empty text where there is none.
pub(crate) fn defaults(templates: &[u8]) -> BTreeMap<String, ScriptValue> {
    let mut answers = BTreeMap::new();
    for stanza in decode(templates).split("\n\n") {
        let Ok(paragraph) = Paragraph::parse_bytes(stanza.trim_matches('\n').as_bytes()) else { continue };
        if let Some(name) = paragraph.get("Template") {
            // translations of a default (`Default-de.UTF-8`) depend on the language, which nobody has chosen
            let value = paragraph.get("Default").unwrap_or_default();
            answers.insert(name.trim().to_owned(), ScriptValue::known(value.trim()));
        }
    }
    answers
}
