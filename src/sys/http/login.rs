//! Logins by host, for downloads.

use crate::values::Secret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderValue;
use url::Url;

/// A login and where it may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLogin {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, in the form of a parsed address.
    pub host: String,
    /// Port; none means every port of the host.
    pub port: Option<u16>,
    /// Path, without slashes at its ends, below which it holds; empty for all.
    pub path: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Logins, the most important first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginTable(Vec<HostLogin>);

impl LoginTable {
    /// Takes entries in their order.
    #[must_use]
    pub fn new(entries: Vec<HostLogin>) -> Self {
        Self(entries)
    }

    /// Returns the login for an address. One that names its own goes without.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&HostLogin> {
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        self.0.iter().find(|entry| entry.covers(url))
    }

    /// Returns the header for an address that has a login here.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let HostLogin { user, password, .. } = self.of(url)?;
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        let text = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.expose())));
        let mut value = HeaderValue::from_str(text.expose()).ok()?;
        // neither shown in debug output nor kept in HTTP/2's tables
        value.set_sensitive(true);
        Some(value)
    }
}

impl HostLogin {
    fn covers(&self, url: &Url) -> bool {
        let is_host = url.scheme() == self.scheme && url.host_str() == Some(&self.host);
        let is_port = self.port.is_none() || self.port == url.port_or_known_default();
        // a whole segment must end here: `private-2` is not below `private`
        let below = url.path().trim_start_matches('/').strip_prefix(self.path.as_str());
        is_host && is_port && below.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}
