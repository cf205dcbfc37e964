//! Passwords and tokens. They never reach a log, an error message or a file that sockel writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::ops::Range;
use zeroize::Zeroizing;

/// A text that must not be shown. Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text itself. Only code that sends it may ask.
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

/// Returns a text in which stars cover what may be a login or a key in an address: `user:password@`, and the
/// query after `?`. Every character becomes one star, so that columns in the text stay right.
#[must_use]
pub fn cover(text: &str) -> String {
    text.split_inclusive(ends_word).map(cover_word).collect()
}

/// Tells whether a character ends an address in a text: white space or a quote.
fn ends_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\'' | '"' | '`')
}

/// Covers login and query of a word that may be an address.
fn cover_word(word: &str) -> String {
    let authority = authority_start(word);

    let login = login_range(word, authority);
    let (covered, rest) = match login {
        Some(login) => (format!("{}{}", &word[..login.start], stars(&word[login.clone()])), &word[login.end..]),
        None => (String::new(), word),
    };

    match rest.split_once('?') {
        // some services take their key as a query; a question mark outside of an address is punctuation
        Some((address, query)) if authority.is_some() => {
            let key = query.trim_end_matches(ends_word);
            format!("{covered}{address}?{}{}", stars(key), &query[key.len()..])
        }
        _ => covered + rest,
    }
}

/// Returns where the host, or the login before it, begins in an address with a scheme.
fn authority_start(word: &str) -> Option<usize> {
    let (scheme, _) = word.split_once("://")?;

    // in `user:sec://ret@host` the separator is a part of the password: a scheme has no colon in it
    (!scheme.contains(':')).then_some(scheme.len() + "://".len())
}

/// Returns the place of `user:password` in an address.
fn login_range(word: &str, authority: Option<usize>) -> Option<Range<usize>> {
    // in `host/image@sha256:…` the sign separates an image from its digest
    let before_digest = word.split("@sha256:").next()?;

    // a password may contain `@`, so the last one ends the login
    let end = before_digest.rfind('@')?;
    let start = authority.filter(|start| *start <= end).unwrap_or(0);

    // mail addresses have no colon, and paths may contain `@`
    let login = &word[start..end];
    (login.contains(':') || (start > 0 && !login.contains('/'))).then_some(start..end)
}

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

/// A user or robot account, and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User or robot account.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// User name that marks an identity token in the place of a password (docker-credential-helpers, "protocol").
const TOKEN_USER: &str = "<token>";

impl Login {
    /// Returns the login of an identity token, which token servers take instead of name and password.
    #[must_use]
    pub fn of_identity_token(token: Secret) -> Self {
        Self { user: TOKEN_USER.to_owned(), password: token }
    }

    /// Returns the identity token; `None` for name and password.
    #[must_use]
    pub fn identity_token(&self) -> Option<&Secret> {
        (self.user == TOKEN_USER).then_some(&self.password)
    }

    /// Returns the value of an `Authorization` header (Basic, RFC 7617).
    #[must_use]
    pub fn basic(&self) -> Secret {
        // the text with the password is overwritten, too
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
