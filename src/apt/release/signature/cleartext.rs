//! The cleartext signature framework (RFC 9580, 7), read strictly: nothing before, between or after its parts,
//! in linear time.

use crate::apt::release::signature::Error;

pub(super) const BEGIN_TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
pub(super) const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
pub(super) const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// The two parts of a clear-signed file.
pub(super) struct ClearSignedFile<'a> {
    /// The text as it was signed: in a clear-signed file lines end with CR LF, the last one with nothing.
    pub(super) text: String,
    /// The armored signatures.
    pub(super) armor: &'a [u8],
}

/// Splits a clear-signed file.
///
/// # Errors
/// [`Error::NotSigned`] for any other file, or one with additional bytes.
pub(super) fn split(file: &[u8]) -> Result<ClearSignedFile<'_>, Error> {
    let file = std::str::from_utf8(file).map_err(|_| Error::NotSigned("the file is not UTF-8 text"))?;
    if file.starts_with(BEGIN_SIGNATURE) {
        return split_detached(file);
    }
    let mut rest = file;
    read_header(&mut rest)?;
    let (text, armor) = read_text(rest)?;

    // text there is not signed, and other tools may take it for a part of the file
    let after = armor.split_once(END_SIGNATURE).ok_or(Error::NotSigned("the signature is cut off"))?.1;
    if !after.trim_matches(['\r', '\n']).is_empty() {
        return Err(Error::NotSigned("there is something after the signature"));
    }
    Ok(ClearSignedFile { text, armor: armor.as_bytes() })
}

/// Splits a file that begins with its detached signature, which is over all the bytes after it.
fn split_detached(file: &str) -> Result<ClearSignedFile<'_>, Error> {
    let (_, text) = file.split_once(END_SIGNATURE).ok_or(Error::NotSigned("the signature is cut off"))?;
    let armor = &file[..file.len() - text.len()];
    let text = text.strip_prefix('\n').ok_or(Error::NotSigned("there is something after the signature"))?;

    // a carriage return alone would be a line end to some readers and none to others
    if text.replace("\r\n", "\n").contains(['\r', '\0']) {
        return Err(Error::NotSigned("the signed text has control characters"));
    }
    Ok(ClearSignedFile { text: text.to_owned(), armor: armor.as_bytes() })
}

/// Reads the lines up to the signed text. Of the headers only `Hash` is allowed, and ignored: the signature
/// itself names its algorithm.
fn read_header(rest: &mut &str) -> Result<(), Error> {
    if take_line(rest) != Some(BEGIN_TEXT) {
        return Err(Error::NotSigned("the file does not begin as a clear-signed text"));
    }
    loop {
        match take_line(rest) {
            Some("") => return Ok(()),
            Some(header) if header.starts_with("Hash: ") => {}
            _ => return Err(Error::NotSigned("there is something other than `Hash` before the signed text")),
        }
    }
}

/// Reads the signed text. Returns it as it was signed, and the rest of the file from the signature on.
fn read_text(mut rest: &str) -> Result<(String, &str), Error> {
    let mut text = String::with_capacity(rest.len());
    loop {
        let armor = rest;
        let line = take_line(&mut rest).ok_or(Error::NotSigned("the signature is missing"))?;
        if line == BEGIN_SIGNATURE {
            // the last line end belongs to the armor, not to the text
            text.truncate(text.len().saturating_sub("\r\n".len()));
            return Ok((text, armor));
        }

        let content = match line.strip_prefix("- ") {
            Some(escaped) => escaped,
            None if line.starts_with('-') => {
                return Err(Error::NotSigned("a dash at the beginning of a line is not escaped"));
            }
            None => line,
        };

        // a carriage return alone would be a line end to the signature and none to the reader
        if content.contains(['\r', '\0']) {
            return Err(Error::NotSigned("the signed text has control characters"));
        }

        // white space at the end of a line is not signed (RFC 9580, 7.2)
        text.push_str(content.trim_end_matches([' ', '\t']));
        text.push_str("\r\n");
    }
}

/// Splits off a line, without its line end; `None` if there is no line end.
fn take_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (line, after) = rest.split_once('\n')?;
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> String {
        format!("{BEGIN_TEXT}\nHash: SHA256\n\n{text}\n{BEGIN_SIGNATURE}\n\nabc\n{END_SIGNATURE}\n")
    }

    #[test]
    fn takes_the_text_as_signed() {
        for (text, signed) in [("a", "a"), ("a: b \n- -c\t\n", "a: b\r\n-c\r\n"), ("", ""), ("a\r\nb", "a\r\nb")] {
            assert_eq!(split(file(text).as_bytes()).unwrap().text, signed, "{text}");
        }
    }

    #[test]
    fn refuses_everything_outside() {
        let good = file("a");
        let table = [
            (format!("x\n{good}"), "does not begin"),
            (format!("\n{good}"), "does not begin"),
            (format!("{good}x"), "after the signature"),
            (format!("{good}{good}"), "after the signature"),
            (good.replace("Hash: SHA256", "Comment: x"), "other than `Hash`"),
            (good.replace(END_SIGNATURE, ""), "cut off"),
            (good.replace(BEGIN_SIGNATURE, ""), "not escaped"),
            (format!("{BEGIN_TEXT}\n\na\n"), "the signature is missing"),
            (file("-x"), "not escaped"),
            (file("a\rb"), "control characters"),
            ("Date: x\n".to_owned(), "does not begin"),
        ];
        for (file, expected) in table {
            let error = split(file.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ab\n\r -]{0,60}|.{0,60}") {
            let _any = split(file(&text).as_bytes());
            let _any = split(text.as_bytes());
        }
    }
}
