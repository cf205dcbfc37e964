//! Passwords and tokens, which never reach a log, an error or a file of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

/// A text that must not be shown. Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into care.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns a text with stars for what may be a login or a key in the addresses that it has: `user:password@`, and what
/// follows `?`. Every character becomes one star, so that places in the text stay right.
#[must_use]
pub fn cover(text: &str) -> String {
    let ends = |character: char| character.is_whitespace() || matches!(character, '\'' | '"' | '`');
    text.split_inclusive(ends).map(cover_word).collect()
}

fn cover_word(word: &str) -> String {
    let stars = |part: &str| "*".repeat(part.chars().count());
    // a password may look like a scheme: that has no colon before it
    let begin = word.split_once("://").filter(|(scheme, _)| !scheme.contains(':')).map(|(scheme, _)| scheme.len() + 3);
    // an image's digest is no host
    let login = word.split("@sha256:").next().and_then(|address| address.rfind('@'));
    let login = login.map(|end| begin.filter(|begin| *begin <= end).unwrap_or(0)..end).filter(|range| {
        let part = &word[range.clone()];
        part.contains(':') || (range.start > 0 && !part.contains('/'))
    });
    let (before, rest) = match login {
        Some(range) => (format!("{}{}", &word[..range.start], stars(&word[range.clone()])), &word[range.end..]),
        None => (String::new(), word),
    };
    match rest.split_once('?') {
        Some((address, query)) if begin.is_some() => {
            let key = query.trim_end_matches(|end: char| end.is_whitespace() || matches!(end, '\'' | '"' | '`'));
            format!("{before}{address}?{}{}", stars(key), &query[key.len()..])
        }
        _ => before + rest,
    }
}

/// Who talks to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User or robot account.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl Login {
    /// Returns the value of an `Authorization` header (Basic, RFC 7617).
    #[must_use]
    pub fn basic(&self) -> Secret {
        let pair = Zeroizing::new(format!("{}:{}", self.user, self.password.expose()));
        Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_logins_in_texts() {
        let table = [
            ("target: https://u:secret@h/p # x", "target: https://********@h/p # x"),
            ("`u:secret@h/p` is", "`********@h/p` is"),
            ("'http://u:se@cret@h'", "'http://*********@h'"),
            ("a \"https://h/x?key=secret\" b", "a \"https://h/x?**********\" b"),
            ("https://ü:secret@h:99999/x?ü", "https://********@h:99999/x?*"),
            ("u:sec://ret@h", "***********@h"),
            ("u:secret@h/debian:13@sha256:0123", "********@h/debian:13@sha256:0123"),
            ("contact: platform@example.org", "contact: platform@example.org"),
            ("from: h:5000/debian:13@sha256:0123", "from: h:5000/debian:13@sha256:0123"),
            ("really? yes", "really? yes"),
            ("https://h/a@b", "https://h/a@b"),
        ];
        for (text, expected) in table {
            let covered = cover(text);
            assert_eq!(covered, expected);
            assert_eq!(covered.chars().count(), text.chars().count());
            assert_eq!(cover(&covered), covered);
        }
    }

    #[test]
    fn is_never_shown() {
        let login = Login { user: "robot$a".to_owned(), password: Secret::new("marker".to_owned()) };
        assert_eq!(format!("{login:?}"), r#"Login { user: "robot$a", password: *** }"#);
        assert_eq!(login.basic().expose(), "Basic cm9ib3QkYTptYXJrZXI=");
    }
}
