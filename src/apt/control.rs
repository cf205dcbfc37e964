//! Control data in deb822 form (deb822(5)).

use std::borrow::Cow;
use std::fmt;

/// Largest text that is read, in bytes; a Release file of a large archive has a few hundred kilobytes.
const TEXT_LIMIT: usize = 16 << 20;

/// Most fields in one paragraph; real ones have about thirty.
const FIELD_LIMIT: usize = 256;

/// Control data cannot be read. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text has more than 16 MiB.
    #[error("cannot read control data: larger than {TEXT_LIMIT} bytes")]
    TooLarge,
    /// The bytes are not UTF-8.
    #[error("cannot read control data: line {0} is not UTF-8")]
    Encoding(usize),
    /// A line is neither `Name: value` nor a continuation nor a comment.
    #[error("cannot read control data: line {line} is not a field: `{}`", text.escape_debug())]
    NoField {
        /// Number of the line.
        line: usize,
        /// Beginning of the line.
        text: String,
    },
    /// A continuation line without a field before it.
    #[error("cannot read control data: line {0} is a continuation without a field")]
    Continuation(usize),
    /// A paragraph has a field twice.
    #[error("cannot read control data: field `{field}` is repeated in line {line}")]
    Repeated {
        /// Line of the second occurrence.
        line: usize,
        /// Name of the field.
        field: String,
    },
    /// A paragraph has more than 256 fields.
    #[error("cannot read control data: the paragraph has more than {FIELD_LIMIT} fields at line {0}")]
    TooManyFields(usize),
    /// There is not exactly one paragraph, where one is required.
    #[error("cannot read control data: {0}")]
    Count(&'static str),
}

/// One field of a paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlField<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

/// One paragraph: fields in the order of the text, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph<'a> {
    fields: Vec<ControlField<'a>>,
}

impl<'a> ControlField<'a> {
    /// Returns the name as written.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the value without white space around it. Continuation lines keep their leading white space.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl<'a> Paragraph<'a> {
    /// Reads a text that is one paragraph, with comments and empty lines around it.
    ///
    /// # Errors
    /// [`Error`] when the text has no paragraph, a second one, or breaks the syntax.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let mut all = paragraphs(text);
        let first = all.next().unwrap_or(Err(Error::Count("there is no paragraph")))?;
        match all.next() {
            None => Ok(first),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(Error::Count("there is more than one paragraph")),
        }
    }

    /// Reads bytes that are one paragraph, as [`Paragraph::parse`].
    ///
    /// # Errors
    /// As [`Paragraph::parse`], and when the bytes are not UTF-8.
    pub fn parse_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::parse(text(bytes)?)
    }

    /// Returns the value of a field. Case does not count in names.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(ControlField::value)
    }

    /// Returns the lines of a folded field without their leading blank: first the rest of the field's own line,
    /// if not empty, then the others. ` .` stands for an empty line (deb822(5), "multiline").
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        let value = self.get(name).unwrap_or("");
        value.lines().enumerate().filter(|&(number, line)| number > 0 || !line.is_empty()).map(|(number, line)| {
            // only one blank marks a continuation; further ones belong to the text
            let line = if number == 0 { line } else { line.strip_prefix([' ', '\t']).unwrap_or(line) };
            if line == "." { "" } else { line }
        })
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> impl Iterator<Item = &ControlField<'a>> {
        self.fields.iter()
    }

    /// Sets a field: in its place if it exists, otherwise at the end.
    pub fn set(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(name)) {
            Some(field) => field.value = value,
            None => self.fields.push(ControlField { name, value }),
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|field| !field.name.eq_ignore_ascii_case(name));
    }

    /// Adds the field of a line `Name: value`.
    fn push(&mut self, number: usize, line: &'a str) -> Result<(), Error> {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| is_field_name(name))
            .ok_or_else(|| Error::NoField { line: number, text: line.chars().take(80).collect() })?;

        // of two values some tools take the first, others the last
        if self.get(name).is_some() {
            return Err(Error::Repeated { line: number, field: name.to_owned() });
        }
        if self.fields.len() == FIELD_LIMIT {
            return Err(Error::TooManyFields(number));
        }
        self.fields.push(ControlField { name, value: Cow::Borrowed(value.trim_matches(BLANK)) });
        Ok(())
    }
}

/// White space at the ends of values and lines.
const BLANK: [char; 3] = [' ', '\t', '\r'];

/// Returns control data as text.
///
/// # Errors
/// [`Error::Encoding`] when it is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line_feeds = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        Error::Encoding(line_feeds + 1)
    })
}

/// Reads paragraphs one after the other. The iterator ends after the first error.
pub fn paragraphs(text: &str) -> impl Iterator<Item = Result<Paragraph<'_>, Error>> {
    let mut scanner = ParagraphScanner { rest: text, line: 0, failed: false };
    let mut is_too_large = text.len() > TEXT_LIMIT;
    std::iter::from_fn(move || {
        // reported once, as the first item
        if std::mem::take(&mut is_too_large) {
            scanner.failed = true;
            return Some(Err(Error::TooLarge));
        }

        let paragraph = scanner.paragraph();
        scanner.failed |= paragraph.is_err();
        paragraph.transpose()
    })
}

/// The rest of the text.
struct ParagraphScanner<'a> {
    rest: &'a str,
    /// Number of the last line read, from 1.
    line: usize,
    /// After an error it is unclear where the next paragraph begins.
    failed: bool,
}

impl<'a> ParagraphScanner<'a> {
    /// Reads the next paragraph; `None` at the end of the text.
    fn paragraph(&mut self) -> Result<Option<Paragraph<'a>>, Error> {
        let mut paragraph = Paragraph::default();
        // where the value of the last field begins, as long as it is one piece of the text and can be borrowed
        let mut value_start: Option<&'a str> = None;
        while !self.failed && !self.rest.is_empty() {
            let before = self.rest;
            let line = self.take_line();
            if line.starts_with('#') {
                // a comment divides the value: the next continuation is appended to a copy
                value_start = None;
            } else if line.trim_matches(BLANK).is_empty() {
                // empty lines before the first field do not count
                if !paragraph.fields.is_empty() {
                    break;
                }
            } else if line.starts_with([' ', '\t']) {
                let field = paragraph.fields.last_mut().ok_or(Error::Continuation(self.line))?;
                let line = line.trim_end_matches(BLANK);
                match value_start {
                    Some(start) => {
                        let end = start.len() - before.len() + line.len();
                        field.value = Cow::Borrowed(start[..end].trim_start_matches(BLANK));
                    }
                    None => append_line(&mut field.value, line),
                }
            } else {
                paragraph.push(self.line, line)?;
                value_start = before.split_once(':').map(|(_, value)| value);
            }
        }
        Ok((!paragraph.fields.is_empty()).then_some(paragraph))
    }

    /// Splits off the next line, without its line feed.
    fn take_line(&mut self) -> &'a str {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line
    }
}

fn append_line(value: &mut Cow<'_, str>, line: &str) {
    let value = value.to_mut();
    value.push('\n');
    value.push_str(line);
}

/// Tells whether a text is a field name: printable ASCII, not beginning with `#` or `-` (deb822(5)). Callers
/// have split it off at the first colon.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '-']) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for Paragraph<'_> {
    /// Prints one `Name: value` line for each field. Lines of a value that would end the field or the paragraph become
    /// continuations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in &self.fields {
            write!(f, "{}:", field.name)?;
            for (number, line) in field.value.split('\n').enumerate() {
                match (number, line) {
                    // a folded field with nothing in its first line: `Conffiles:`
                    (0, "") => {}
                    (0, line) => write!(f, " {line}")?,
                    // a value must not begin another field, or another package, in dpkg's database
                    (_, line) if line.trim_matches(BLANK).is_empty() => f.write_str("\n .")?,
                    (_, line) if line.starts_with([' ', '\t']) => write!(f, "\n{line}")?,
                    (_, line) => write!(f, "\n {line}")?,
                }
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTROL: &str = "Package: tini\nVersion:0.19.0-1\t \nDepends: libc6 (>= 2.34),\n libfoo\n\
        Conffiles:\n /etc/a 123\n /etc/b 456\nDescription: tiny init\n Text.\n .\n  Indented.\nHomepage:\n";

    #[test]
    fn reads_a_paragraph() {
        let paragraph = Paragraph::parse(CONTROL).unwrap();
        assert_eq!(paragraph.get("package"), Some("tini"));
        assert_eq!(paragraph.get("VERSION"), Some("0.19.0-1"));
        assert_eq!(paragraph.get("Depends"), Some("libc6 (>= 2.34),\n libfoo"));
        assert_eq!(paragraph.get("Homepage"), Some(""));
        assert_eq!(paragraph.get("Source"), None);
        assert_eq!(paragraph.lines("Conffiles").collect::<Vec<_>>(), ["/etc/a 123", "/etc/b 456"]);
        assert_eq!(paragraph.lines("Description").collect::<Vec<_>>(), ["tiny init", "Text.", "", " Indented."]);
        let names: Vec<_> = paragraph.fields().map(ControlField::name).collect();
        assert_eq!(names, ["Package", "Version", "Depends", "Conffiles", "Description", "Homepage"]);
        assert!(paragraph.fields().all(|field| matches!(field.value, Cow::Borrowed(_))));
    }

    #[test]
    fn prints_what_it_reads() {
        let printed = Paragraph::parse(CONTROL).unwrap().to_string();
        assert_eq!(printed, CONTROL.replace("Version:0.19.0-1\t ", "Version: 0.19.0-1"));
        let mut paragraph = Paragraph::parse(CONTROL).unwrap();
        paragraph.set("version", "1\n\nInjected: yes");
        paragraph.set("Status", "install ok installed");
        for field in ["Depends", "conffiles", "Description"] {
            paragraph.remove(field);
        }
        let expected = "Package: tini\nVersion: 1\n .\n Injected: yes\nHomepage:\nStatus: install ok installed\n";
        assert_eq!(paragraph.to_string(), expected);
    }

    #[test]
    fn separates_paragraphs_and_drops_comments() {
        let text = "# top\n\nA: 1\n# inside\n 2\n  3\n \t\n\n# between\nB: x\r\nC: y";
        let all: Vec<_> = paragraphs(text).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("A"), Some("1\n 2\n  3"));
        assert_eq!((all[1].get("B"), all[1].get("C")), (Some("x"), Some("y")));
        assert_eq!(paragraphs("").count(), 0);
    }

    #[test]
    fn names_what_is_wrong() {
        let many: String = (0..257).map(|number| format!("F{number}: x\n")).collect();
        let table = [
            ("", "there is no paragraph"),
            ("A: 1\n\nB: 2", "there is more than one paragraph"),
            (" x", "line 1 is a continuation without a field"),
            ("A: 1\n\n x", "line 3 is a continuation without a field"),
            ("A: 1\nB", "line 2 is not a field: `B`"),
            (": 1", "line 1 is not a field: `: 1`"),
            ("-A: 1", "line 1 is not a field: `-A: 1`"),
            ("A B: 1", "line 1 is not a field: `A B: 1`"),
            ("A: 1\na: 2", "field `a` is repeated in line 2"),
            (&many, "the paragraph has more than 256 fields at line 257"),
        ];
        for (text, message) in table {
            let error = Paragraph::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read control data: {message}"));
        }
        assert_eq!(Paragraph::parse_bytes(b"A: 1\nB: \xff\n"), Err(Error::Encoding(2)));
        assert_eq!(Paragraph::parse(&"#".repeat(TEXT_LIMIT + 1)), Err(Error::TooLarge));
    }

    proptest! {
        #[test]
        fn reads_back_what_it_prints(text in "([#A-Ca. \t]{0,3}:?[ \n.a\r#é]{0,4}\n){0,8}") {
            for paragraph in paragraphs(&text).map_while(Result::ok) {
                let printed = paragraph.to_string();
                let again = Paragraph::parse(&printed).unwrap();
                prop_assert_eq!(&again.to_string(), &printed);
                prop_assert_eq!(again.fields().count(), paragraph.fields().count());
            }
        }

        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Paragraph::parse_bytes(&bytes);
        }
    }
}
