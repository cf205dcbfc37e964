//! Control data in deb822 form (deb822(5)): paragraphs of `Field: value`, folded lines, blank lines between.

use std::fmt;

/// One paragraph; fields in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

/// The text is not deb822.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read control data: line {line}: {cause}")]
pub struct Error {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: &'static str,
}

impl Paragraph {
    /// Returns a field's value; folded lines keep their line breaks. Names match in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a field: in its place when it is there, else at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Tells whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Display for Paragraph {
    /// Writes the paragraph as deb822, with a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            let mut lines = value.split('\n');
            let first = lines.next().unwrap_or_default();
            let space = if first.is_empty() { "" } else { " " };
            writeln!(f, "{name}:{space}{first}")?;
            for line in lines {
                writeln!(f, " {line}")?;
            }
        }
        Ok(())
    }
}

/// Reads all paragraphs of a text. Lines that begin with `#` are comments.
///
/// # Errors
/// The first line that is neither field, continuation, comment nor blank, or repeats a field.
pub fn paragraphs(text: &str) -> Result<Vec<Paragraph>, Error> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    for (index, line) in text.lines().enumerate() {
        let wrong = |cause| Error { line: index + 1, cause };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if !current.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else if let Some(continuation) = line.strip_prefix([' ', '\t']) {
            let (_, value) = current.fields.last_mut().ok_or_else(|| wrong("a continuation without a field"))?;
            value.push('\n');
            value.push_str(continuation.trim_end());
        } else {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("the colon is missing"))?;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic()) || name.starts_with('-') {
                return Err(wrong("the field name is malformed"));
            }
            if current.get(name).is_some() {
                return Err(wrong("the field is there twice"));
            }
            current.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !current.is_empty() {
        all.push(current);
    }
    Ok(all)
}

/// Reads a text that must be exactly one paragraph.
///
/// # Errors
/// As [`paragraphs`], or when there is none or more than one.
pub fn paragraph(text: &str) -> Result<Paragraph, Error> {
    let mut all = paragraphs(text)?;
    match all.len() {
        1 => Ok(all.remove(0)),
        _ => Err(Error { line: 1, cause: "there must be exactly one paragraph" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_folded_fields_and_writes_them_again() {
        let text =
            "Package: a\nDescription: short\n long\n .\n more\n\n# comment\nPackage: b\nConffiles:\n /etc/b 123\n";
        let read = paragraphs(text).unwrap();
        assert_eq!(read[0].get("description"), Some("short\nlong\n.\nmore"));
        assert_eq!(read[1].get("Conffiles"), Some("\n/etc/b 123"));
        assert_eq!(format!("{}\n{}", read[0], read[1]), text.replace("# comment\n", ""));
    }

    #[test]
    fn names_the_bad_line() {
        for (text, line) in [(" x", 1), ("a: 1\nb", 2), ("a: 1\nA: 2", 2), (": x", 1), ("a b: x", 1)] {
            assert_eq!(paragraphs(text).unwrap_err().line, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "([a-z: #\n-]{0,80}|.{0,80})") {
            let _any = paragraphs(&text);
        }
    }
}
