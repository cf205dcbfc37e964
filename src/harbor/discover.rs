//! Tells a Harbor from other registries, and reads its version.

use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::error::Refusal;
use crate::oci::registry::HarborRefusal;
use crate::sys::http;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;

/// The action of the question, completing "cannot …".
const VERSION: &str = "ask Harbor for its version";

/// What a Harbor reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Discovered {
    /// Its version.
    pub version: HarborVersion,
    /// It is in read-only mode.
    pub read_only: bool,
    /// The address that Harbor is configured with; tokens and links contain it.
    pub external_url: Option<String>,
}

/// A version of Harbor, such as `v2.15.2-1a2b3c4d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct HarborVersion {
    text: String,
    numbers: (u32, u32),
}

impl HarborVersion {
    /// Reads a version; a text without numbers counts as 0.0.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut numbers = text.trim_start_matches('v').split(['.', '-', '+']).map_while(|part| part.parse().ok());
        // major and minor decide about the API; patches and builds do not change it
        let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { text: text.chars().filter(char::is_ascii_graphic).take(64).collect(), numbers }
    }

    /// Tells whether it is this version or a later one.
    #[must_use]
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.numbers >= (major, minor)
    }
}

impl fmt::Display for HarborVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<HarborVersion> for String {
    fn from(version: HarborVersion) -> Self {
        version.text
    }
}

impl Discovered {
    /// Checks that Harbor is not in read-only mode.
    ///
    /// # Errors
    /// [`HarborRefusal::ReadOnly`]
    pub fn writable(&self) -> Result<(), Error> {
        if !self.read_only {
            return Ok(());
        }
        Err(Error::Known {
            action: "change anything".to_owned(),
            cause: HarborRefusal::ReadOnly,
            message: String::new(),
        })
    }
}

/// `GeneralInfo` of the API, as far as it is needed.
#[derive(Deserialize)]
struct SystemInformation {
    harbor_version: Option<String>,
    read_only: Option<bool>,
    external_url: Option<String>,
    // only Harbor has these two keys, and it shows them without a login
    auth_mode: Option<String>,
    self_registration: Option<bool>,
}

impl SystemInformation {
    fn read(status: u16, body: &[u8]) -> Option<Self> {
        // a page of a proxy or of another registry may be JSON as well, but has none of these keys
        let information: Self = serde_json::from_slice(body).ok().filter(|_| status == 200)?;
        let is_harbor = information.harbor_version.is_some()
            || information.auth_mode.is_some()
            || information.self_registration.is_some();
        is_harbor.then_some(information)
    }
}

impl Harbor<'_> {
    /// Asks whether this is a Harbor, and which version; `None` for a registry of another kind.
    ///
    /// # Errors
    /// [`Error::Login`] when it is a Harbor that does not know the account, [`Error::Unreachable`] without an answer.
    pub async fn discover(&self) -> Result<Option<Discovered>, Error> {
        self.ask(&HarborRequest::get(VERSION, ["systeminfo"])).await
    }

    /// As [`Harbor::discover`], for a registry that shows no other sign of a Harbor: it is asked once, and an answer that
    /// is not Harbor's means that it is none. Behind many registries' proxies, only the paths of the registry work.
    ///
    /// # Errors
    /// [`Error::Login`] when it is a Harbor that does not know the account.
    pub async fn glimpse(&self) -> Result<Option<Discovered>, Error> {
        match self.ask(&HarborRequest::get(VERSION, ["systeminfo"]).once()).await {
            Err(error @ Error::Login { .. }) => Err(error),
            found => Ok(found.unwrap_or_default()),
        }
    }

    async fn ask(&self, call: &HarborRequest) -> Result<Option<Discovered>, Error> {
        let with_login = self.exchange(call, Some(&self.login)).await;
        let (status, reply, request) = match with_login {
            // registries without such an API do not always say so politely; a broken Harbor says 500 or 503
            Err(Error::Unreachable { cause: http::Error::Status { status: 501 | 505, .. }, .. }) => return Ok(None),
            other => other?,
        };

        match (status, SystemInformation::read(status, reply.bytes())) {
            (_, Some(SystemInformation { harbor_version: Some(version), read_only, external_url, .. })) => {
                let version = HarborVersion::of(&version);
                Ok(Some(Discovered { version, read_only: read_only.unwrap_or(false), external_url }))
            }
            // Harbor tells its version to every account that it accepts
            (_, Some(_)) => Err(self.login_refused()),
            // Harbor shows this page to everybody, but refuses requests with a wrong login: ask without one
            (401 | 403, None) => {
                let (status, reply, _) = self.exchange(call, None).await?;
                let is_harbor = SystemInformation::read(status, reply.bytes()).is_some();
                if is_harbor { Err(self.login_refused()) } else { Ok(None) }
            }
            (200..=299 | 300..=399 | 404 | 405 | 406 | 410, None) => Ok(None),
            (status, None) => {
                let (user, body) = (self.login.user.as_str(), reply.bytes());
                Err(Refusal { action: VERSION, user, request: &request, status, body }.error())
            }
        }
    }

    /// Returns the error for a Harbor that does not accept the login.
    fn login_refused(&self) -> Error {
        Error::Login { action: VERSION.to_owned(), user: self.login.user.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_versions() {
        let table = [
            ("v2.15.2-abc", true),
            ("2.15", true),
            ("v3.0.0", true),
            ("v2.9.0", false),
            ("v2.14.4-build.15", false),
            ("dev", false),
            ("", false),
            ("v2.99999999999", false),
        ];
        for (text, expected) in table {
            assert_eq!(HarborVersion::of(text).is_at_least(2, 15), expected, "{text}");
        }
        assert_eq!(HarborVersion::of("v2.15.2\u{1b}[1m\n").to_string(), "v2.15.2[1m");
    }

    #[test]
    fn knows_harbor_by_its_words() {
        let table: [(u16, &[u8], Option<bool>); 8] = [
            (200, br#"{"auth_mode":"db_auth","harbor_version":"v2.15.2","read_only":false}"#, Some(true)),
            (200, br#"{"auth_mode":"db_auth","self_registration":false}"#, Some(false)),
            (401, br#"{"auth_mode":"db_auth"}"#, None),
            (200, b"<html>", None),
            (200, b"{}", None),
            (200, b"[]", None),
            (200, br#"{"version":"1"}"#, None),
            (200, br#"{"harbor_version":1}"#, None),
        ];
        for (status, body, expected) in table {
            let found = SystemInformation::read(status, body).map(|found| found.harbor_version.is_some());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
        }
    }
}
