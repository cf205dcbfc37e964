//! The registry that a login is for: a login is sent there and nowhere else.

use crate::oci::registry::challenge::is_loopback;
use url::Url;

/// Names of Docker's own registry, which are one host to everybody (distribution's reference, "familiar names").
pub(super) const DOCKER: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];

/// The registry that a login is for, as a person names it: `host[:port]`, or with `https://` or `http://` before it.
///
/// Without a scheme it means https, and on this machine http as well: the login never crosses a network in the clear,
/// whatever address a checkout gives, unless `http://` was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    url: Url,
    is_bare: bool,
}

impl Audience {
    /// Reads a text such as `registry.example.org:8443`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const UNSOUND: &str = "it is not `HOST`, `HOST:PORT` or an address of these";
        let text = text.trim();
        let is_bare = !text.contains("://");
        let url = if is_bare { Url::parse(&format!("https://{text}")) } else { Url::parse(text) };
        let url = url.map_err(|_| UNSOUND)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("logins do not belong into addresses");
        }
        let is_alone = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_web = matches!(url.scheme(), "https" | "http") && url.host_str().is_some_and(|host| !host.is_empty());
        if is_alone && is_web { Ok(Self { url, is_bare }) } else { Err(UNSOUND) }
    }

    /// Returns the registry at an address as an audience.
    #[must_use]
    pub fn of(registry: &Url) -> Self {
        let mut url = registry.clone();
        url.set_path("/");
        Self { url, is_bare: false }
    }

    /// Tells whether a registry is the one that is meant.
    #[must_use]
    pub fn covers(&self, registry: &Url) -> bool {
        let is_scheme = registry.scheme() == self.url.scheme() || (self.is_bare && is_loopback(registry));
        is_scheme && self.is_host_of(registry)
    }

    /// Tells whether only the missing `http://` keeps the login from a registry.
    #[must_use]
    pub fn covers_but_for_http(&self, registry: &Url) -> bool {
        self.is_host_of(registry) && !self.covers(registry)
    }

    /// Ports that the scheme implies are none, on both sides.
    fn is_host_of(&self, registry: &Url) -> bool {
        let name = |url: &Url| {
            let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
            if DOCKER.contains(&host.as_str()) { DOCKER[0].to_owned() } else { host }
        };
        let is_port = match self.url.port() {
            None => registry.port().is_none(),
            port => registry.port_or_known_default() == port,
        };
        name(&self.url) == name(registry) && is_port
    }
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.url.as_str().trim_end_matches('/');
        f.write_str(if self.is_bare { text.trim_start_matches("https://") } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_login_is_for_one_registry() {
        // audience, registry, covered
        let table = [
            ("harbor.example", "https://harbor.example/", true),
            ("Harbor.Example", "https://harbor.example/", true),
            ("harbor.example.", "https://harbor.example/", true),
            ("harbor.example:443", "https://harbor.example/", true),
            ("https://harbor.example/", "https://harbor.example/", true),
            ("harbor.example:8443", "https://harbor.example:8443/", true),
            ("harbor.example", "https://harbor.example:8443/", false),
            ("harbor.example:8443", "https://harbor.example/", false),
            ("harbor.example", "https://other.example/", false),
            ("harbor.example", "https://harbor.example.evil.example/", false),
            ("harbor.example", "https://x.harbor.example/", false),
            // never in the clear, unless that was written
            ("harbor.example", "http://harbor.example/", false),
            ("https://harbor.example", "http://harbor.example/", false),
            ("http://harbor.example", "http://harbor.example/", true),
            ("http://harbor.example", "https://harbor.example/", false),
            // this machine
            ("127.0.0.1:5000", "http://127.0.0.1:5000/", true),
            ("localhost:5000", "http://localhost:5000/", true),
            ("[::1]:5000", "http://[::1]:5000/", true),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/", false),
            ("localhost", "http://localhost/", true),
            ("localhost:80", "http://localhost/", true),
            // one registry of many names
            ("docker.io", "https://registry-1.docker.io/", true),
            ("index.docker.io", "https://docker.io/", true),
            ("docker.io", "https://hub.docker.io/", false),
        ];
        for (audience, registry, expected) in table {
            let found = Audience::parse(audience).unwrap().covers(&registry.parse().unwrap());
            assert_eq!(found, expected, "{audience} {registry}");
        }
        let plain = Audience::parse("harbor.example").unwrap();
        assert!(plain.covers_but_for_http(&"http://harbor.example/".parse().unwrap()));
        assert!(!plain.covers_but_for_http(&"http://other.example/".parse().unwrap()));
        for text in
            ["", " ", "a b", "harbor.example/base", "u:p@harbor.example", "ftp://harbor.example", "h:99999", "h?x"]
        {
            assert!(Audience::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "((https?://)?[a-z.:@/0-9\\[\\]]{0,30}|\\PC{0,40})") {
            if let Ok(audience) = Audience::parse(&text) {
                prop_assert_eq!(Audience::parse(&audience.to_string()), Ok(audience));
            }
        }
    }
}
