//! The audience of a login: the one registry that it may be sent to.

use crate::oci::registry::challenge::is_loopback;
use url::Url;

/// Names of Docker Hub, which all tools treat as one host (distribution's reference, "familiar names").
pub(super) const DOCKER: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];

/// The registry that a login is for, as users write it: `host[:port]`, optionally with `https://` or `http://`.
///
/// Without a scheme it means https, and http only on this machine. So the login never crosses a network in the clear,
/// whatever address a checkout gives, unless the user wrote `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAudience {
    url: Url,
    /// It was written without a scheme.
    is_bare: bool,
}

impl LoginAudience {
    /// Parses a text such as `registry.example.org:8443`.
    ///
    /// # Errors
    /// The cause, for messages.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const INVALID: &str = "it is not `HOST`, `HOST:PORT` or an address of these";
        let text = text.trim();
        let is_bare = !text.contains("://");
        let url = if is_bare { Url::parse(&format!("https://{text}")) } else { Url::parse(text) };
        let url = url.map_err(|_| INVALID)?;

        // a login in this text would be shown in messages
        if !url.username().is_empty() || url.password().is_some() {
            return Err("logins do not belong in addresses");
        }

        // a path is refused rather than ignored: it would promise a limit to one project, which is not enforced
        let is_host_only = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_web = matches!(url.scheme(), "https" | "http") && url.host_str().is_some_and(|host| !host.is_empty());
        if is_host_only && is_web { Ok(Self { url, is_bare }) } else { Err(INVALID) }
    }

    /// Returns the audience of logins for the registry at an address.
    #[must_use]
    pub fn of(registry: &Url) -> Self {
        let mut url = registry.clone();
        url.set_path("/");
        Self { url, is_bare: false }
    }

    /// Tells whether the login may be sent to a registry.
    #[must_use]
    pub fn covers(&self, registry: &Url) -> bool {
        let same_scheme = registry.scheme() == self.url.scheme() || (self.is_bare && is_loopback(registry));
        same_scheme && self.is_host_of(registry)
    }

    /// Tells whether the login may not be sent to a registry only because that uses plain http.
    #[must_use]
    pub fn covers_but_for_http(&self, registry: &Url) -> bool {
        self.is_host_of(registry) && !self.covers(registry)
    }

    /// Tells whether host and port are those of a registry.
    fn is_host_of(&self, registry: &Url) -> bool {
        // `Url` drops the default port of the scheme, and the schemes may differ (`localhost:80` and `http://localhost`)
        let same_port = match self.url.port() {
            None => registry.port().is_none(),
            port => registry.port_or_known_default() == port,
        };
        same_port && host_name(&self.url) == host_name(registry)
    }
}

/// Returns the host of an address in a form that can be compared.
fn host_name(url: &Url) -> &str {
    // a final dot only marks the name as complete (RFC 1034, 3.1)
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    if DOCKER.contains(&host) { DOCKER[0] } else { host }
}

impl std::fmt::Display for LoginAudience {
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
            let found = LoginAudience::parse(audience).unwrap().covers(&registry.parse().unwrap());
            assert_eq!(found, expected, "{audience} {registry}");
        }
        let plain = LoginAudience::parse("harbor.example").unwrap();
        assert!(plain.covers_but_for_http(&"http://harbor.example/".parse().unwrap()));
        assert!(!plain.covers_but_for_http(&"http://other.example/".parse().unwrap()));
        for text in
            ["", " ", "a b", "harbor.example/base", "u:p@harbor.example", "ftp://harbor.example", "h:99999", "h?x"]
        {
            assert!(LoginAudience::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "((https?://)?[a-z.:@/0-9\\[\\]]{0,30}|\\PC{0,40})") {
            if let Ok(audience) = LoginAudience::parse(&text) {
                prop_assert_eq!(LoginAudience::parse(&audience.to_string()), Ok(audience));
            }
        }
    }
}
