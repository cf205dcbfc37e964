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
    fn is_never_shown() {
        let login = Login { user: "robot$a".to_owned(), password: Secret::new("marker".to_owned()) };
        assert_eq!(format!("{login:?}"), r#"Login { user: "robot$a", password: *** }"#);
        assert_eq!(login.basic().expose(), "Basic cm9ib3QkYTptYXJrZXI=");
    }
}
