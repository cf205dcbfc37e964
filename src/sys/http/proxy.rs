//! Chooses the proxy of a request by the environment.
//!
//! `http_proxy` is for http, `https_proxy` for https, and `all_proxy` for a scheme that has none of its own; in small
//! letters or in capitals. Requests to this machine never go through a proxy, whatever the variables say, as in Go
//! (golang.org/x/net/http/httpproxy): plain http is allowed there only because it never crosses a network. `no_proxy`
//! names what else is reached directly: a list divided by commas or blanks of
//! - `*`: everything;
//! - `corp.example` or `.corp.example`: that host and all below (curl(1)); `*.corp.example`: all below;
//! - an address, `192.0.2.7` or `[2001:db8::7]`, or a range of them, `192.0.2.0/24`;
//! - each of these with a port, `registry.corp.example:5000`: that port alone.

use crate::sys::env;
use crate::sys::env::EnvironmentVariable;
use crate::sys::http::Error;
use std::collections::BTreeMap;
use std::net::IpAddr;
use url::Host;
use url::Url;

/// Schemes of proxies. `socks5h` and `socks4a` leave the look-up of names to the proxy, as curl(1) has it.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxySettings {
    http: Option<Url>,
    https: Option<Url>,
    exempt: Vec<NoProxyEntry>,
    fallback: FallbackProxies,
}

/// Proxies for schemes about which the environment says nothing.
#[derive(Debug, Clone, Default)]
pub struct FallbackProxies {
    /// By scheme and host; no address means that it is reached directly. The host `*` is for all others.
    by_host: BTreeMap<(String, String), Option<Url>>,
}

impl FallbackProxies {
    /// Adds the proxy for a scheme, and for one host alone where that is given. `DIRECT` means none; what is no address of
    /// a proxy is left out.
    pub fn add(&mut self, scheme: &str, host: Option<&str>, value: &str) {
        let proxy = match value.trim() {
            direct if direct.is_empty() || direct.eq_ignore_ascii_case("direct") => None,
            text => match Url::parse(text) {
                Ok(url) if SCHEMES.contains(&url.scheme()) && url.has_host() => Some(url),
                _ => return,
            },
        };
        self.by_host.insert((scheme.to_owned(), host.unwrap_or("*").to_ascii_lowercase()), proxy);
    }

    /// Returns the proxy for an address. https uses what http has unless it has its own, as in apt.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let host = url.host_str()?;
        for host in [host, "*"] {
            for scheme in [url.scheme(), "http"] {
                if let Some(found) = self.by_host.get(&(scheme.to_owned(), host.to_owned())) {
                    return found.as_ref();
                }
            }
        }
        None
    }
}

/// An entry of `no_proxy`: hosts that are reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoProxyEntry {
    hosts: NoProxyHosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NoProxyHosts {
    All,
    /// The hosts below a domain in small letters, and the domain itself if `itself`.
    Domain {
        name: String,
        itself: bool,
    },
    /// The addresses whose first `bits` are those of `first`.
    Range {
        first: IpAddr,
        bits: u8,
    },
}

impl ProxySettings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`Error::ProxyAddress`].
    pub(super) fn of_environment() -> Result<Self, Error> {
        Self::read(&|variable| env::get(variable).map(|text| text.to_string_lossy().into_owned()))
    }

    fn read(lookup: &dyn Fn(EnvironmentVariable) -> Option<String>) -> Result<Self, Error> {
        let all = address(EnvironmentVariable::AllProxy, lookup)?;
        Ok(Self {
            http: address(EnvironmentVariable::HttpProxy, lookup)?.or_else(|| all.clone()),
            https: address(EnvironmentVariable::HttpsProxy, lookup)?.or(all),
            exempt: exempt(&lookup(EnvironmentVariable::NoProxy).unwrap_or_default()),
            fallback: FallbackProxies::default(),
        })
    }

    /// Adds proxies for schemes that have none so far.
    pub(super) fn with_fallback(self, fallback: &FallbackProxies) -> Self {
        Self { fallback: fallback.clone(), ..self }
    }

    /// Returns the proxy for an address, or `None` when it is reached directly.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() };
        proxy
            .or_else(|| self.fallback.of(url))
            .filter(|_| !is_loopback(url) && !self.exempt.iter().any(|exempt| exempt.covers(url)))
    }

    /// Returns the same choice in the form of the HTTP client.
    pub(super) fn for_client(&self) -> reqwest::Proxy {
        let proxies = self.clone();
        reqwest::Proxy::custom(move |url| proxies.of(url).cloned())
    }
}

/// Reads the proxy's address in a variable, if it is set.
fn address(
    variable: EnvironmentVariable,
    lookup: &dyn Fn(EnvironmentVariable) -> Option<String>,
) -> Result<Option<Url>, Error> {
    let Some(text) = lookup(variable) else { return Ok(None) };
    let text = text.trim();

    // without a scheme it is http, as curl(1) has it
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    // a proxy that cannot be used is an error: to connect directly would go past what the operator wanted; the message
    // leaves the value out, which may hold a password
    match url {
        Ok(url) if SCHEMES.contains(&url.scheme()) && url.has_host() => Ok(Some(url)),
        _ => Err(Error::ProxyAddress { variable: variable.name() }),
    }
}

/// Reads `no_proxy`; an entry that cannot be read exempts no host.
fn exempt(text: &str) -> Vec<NoProxyEntry> {
    let entries = text.split(|sign: char| sign == ',' || sign.is_whitespace()).filter(|entry| !entry.is_empty());
    entries.filter_map(NoProxyEntry::parse).collect()
}

impl NoProxyEntry {
    fn parse(entry: &str) -> Option<Self> {
        // first without a port: `2001:db8::1` has colons of its own
        if let Some(hosts) = NoProxyHosts::parse(entry) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = entry.rsplit_once(':')?;
        Some(Self { hosts: NoProxyHosts::parse(host)?, port: Some(port.parse().ok()?) })
    }

    fn covers(&self, url: &Url) -> bool {
        let is_port = self.port.is_none() || self.port == url.port_or_known_default();
        is_port && url.host().is_some_and(|host| self.hosts.cover(&host))
    }
}

impl NoProxyHosts {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }

        if let Some((first, bits)) = text.split_once('/') {
            let (first, bits) = (ip_address(first)?, bits.parse().ok()?);
            return (bits <= length_in_bits(first)).then_some(Self::Range { first, bits });
        }
        if let Some(first) = ip_address(text) {
            return Some(Self::Range { first, bits: length_in_bits(first) });
        }

        let (name, itself) = match text.strip_prefix("*.") {
            Some(name) => (name, false),
            None => (text.strip_prefix('.').unwrap_or(text), true),
        };
        // parsed as in an address, so that both have small letters and punycode
        match Host::parse(name.trim_end_matches('.')) {
            Ok(Host::Domain(name)) => Some(Self::Domain { name, itself }),
            _ => None,
        }
    }

    fn cover(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Domain { name, itself }, Host::Domain(host)) => {
                // a trailing dot is the root of the DNS and changes nothing
                match host.trim_end_matches('.').strip_suffix(name.as_str()) {
                    Some("") => *itself,
                    // a whole label must end here: `xcorp.example` is not below `corp.example`
                    Some(labels) => labels.ends_with('.'),
                    None => false,
                }
            }
            (Self::Range { first, bits }, Host::Ipv4(address)) => in_range(IpAddr::V4(*address), *first, *bits),
            (Self::Range { first, bits }, Host::Ipv6(address)) => in_range(address.to_canonical(), *first, *bits),
            _ => false,
        }
    }
}

/// Reads an IP address, with or without the brackets of an IPv6 address.
fn ip_address(text: &str) -> Option<IpAddr> {
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn length_in_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Tells whether two addresses are of one kind and have the same first bits.
fn in_range(address: IpAddr, first: IpAddr, bits: u8) -> bool {
    let (left, right) = match (address, first) {
        (IpAddr::V4(left), IpAddr::V4(right)) => (u128::from(left.to_bits()), u128::from(right.to_bits())),
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits(), right.to_bits()),
        _ => return false,
    };

    // a shift by all 128 bits overflows, and means that no bit is compared
    let rest = u32::from(length_in_bits(address) - bits);
    (left ^ right).checked_shr(rest).unwrap_or(0) == 0
}

/// Tells whether an address stays on this machine (RFC 6761, 6.3; RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        // `::ffff:127.0.0.1` is the IPv4 address
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxies(no_proxy: &str) -> ProxySettings {
        let read = |variable| match variable {
            EnvironmentVariable::HttpProxy => Some("proxy.example:3128".to_owned()),
            EnvironmentVariable::HttpsProxy => Some("http://user:secret@proxy.example:3129".to_owned()),
            EnvironmentVariable::NoProxy => Some(no_proxy.to_owned()),
            _ => None,
        };
        ProxySettings::read(&read).unwrap()
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let hosts = "127.0.0.1 127.0.0.2:5000 127.255.255.254 127.1 0x7f.0.0.1 2130706433 [::1] [::1]:5000 \
                     [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] localhost localhost. LOCALHOST:5000 registry.localhost a.b.localhost";
        for host in hosts.split(' ') {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}/v2/").parse().unwrap();
                assert_eq!(proxies("").of(&url), None, "{url}");
            }
        }
        for host in ["127.0.0.1.example", "localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "10.0.0.1"] {
            let url = format!("http://{host}/v2/").parse().unwrap();
            assert!(proxies("").of(&url).is_some(), "{url}");
        }
    }

    #[test]
    fn reads_every_form_of_no_proxy() {
        // no_proxy, reached without a proxy, reached through one
        let table = [
            ("*", "http://a.example http://10.0.0.1 https://[2001:db8::1]", ""),
            (
                "corp.example",
                "http://corp.example https://r.corp.example http://R.CORP.example:5000",
                "http://xcorp.example",
            ),
            (
                ".corp.example",
                "http://r.corp.example http://a.b.corp.example http://corp.example",
                "http://xcorp.example",
            ),
            (
                "*.corp.example",
                "http://r.corp.example http://r.corp.example.",
                "http://corp.example http://xcorp.example",
            ),
            ("CORP.example.", "http://corp.example", "http://corp.example.evil"),
            ("r.corp.example:5000", "http://r.corp.example:5000", "http://r.corp.example https://r.corp.example:5001"),
            ("r.corp.example:443", "https://r.corp.example", "http://r.corp.example"),
            ("*.corp.example:80", "http://r.corp.example", "https://r.corp.example"),
            ("10.1.2.3", "http://10.1.2.3:5000", "http://10.1.2.4"),
            ("10.1.2.3:5000", "http://10.1.2.3:5000", "http://10.1.2.3"),
            ("10.0.0.0/8", "http://10.200.1.1", "http://11.0.0.1 http://ten.example"),
            ("0.0.0.0/0", "http://11.0.0.1", "http://a.example http://[2001:db8::1]"),
            ("10.1.2.3/32", "http://10.1.2.3", "http://10.1.2.2"),
            ("2001:db8::1", "http://[2001:db8::1]", "http://[2001:db8::2]"),
            ("[2001:db8::1]", "http://[2001:db8::1] http://[2001:db8::1]:5000", ""),
            ("[2001:db8::1]:5000", "http://[2001:db8::1]:5000", "http://[2001:db8::1]"),
            ("2001:db8::/32", "http://[2001:db8:1::2]", "http://[2001:db9::1] http://10.0.0.1"),
            (
                " a.example , b.example  c.example\t",
                "http://a.example http://b.example http://c.example",
                "http://d.example",
            ),
            (",, /8, 10.0.0.0/33, :80, *x, a..b", "", "http://a.example http://10.0.0.1"),
        ];
        for (no_proxy, direct, through) in table {
            let proxies = proxies(no_proxy);
            for (addresses, expected) in [(direct, false), (through, true)] {
                for text in addresses.split_whitespace() {
                    assert_eq!(proxies.of(&text.parse().unwrap()).is_some(), expected, "{no_proxy} {text}");
                }
            }
        }
    }

    #[test]
    fn each_scheme_has_its_own() {
        let found = proxies("");
        let of = |proxies: &ProxySettings, text: &str| proxies.of(&text.parse().unwrap()).map(ToString::to_string);
        assert_eq!(of(&found, "http://a.example").as_deref(), Some("http://proxy.example:3128/"));
        assert_eq!(of(&found, "https://a.example").as_deref(), Some("http://user:secret@proxy.example:3129/"));
        let all =
            ProxySettings::read(&|name| (name == EnvironmentVariable::AllProxy).then(|| "http://p.example".to_owned()))
                .unwrap();
        assert!(of(&all, "http://a.example").is_some() && of(&all, "https://a.example").is_some());
        assert_eq!(of(&ProxySettings::read(&|_| None).unwrap(), "http://a.example"), None);
        for text in ["ftp://user:secret@p.example", "http://user:secret@p.example:99999", "://", " "] {
            let error = ProxySettings::read(&|name| (name == EnvironmentVariable::HttpProxy).then(|| text.to_owned()))
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot use the proxy of `http_proxy`: it is not an http://, https:// or socks5:// address"
            );
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(text in "([0-9a-f.:/*\\[\\], ]{0,30}|\\PC{0,40})", host in "[a-z0-9.:]{1,12}") {
            let exempt = exempt(&text);
            for url in [format!("http://{host}"), format!("http://[{host}]")].iter().filter_map(|text| text.parse().ok()) {
                let _any = exempt.iter().any(|exempt| exempt.covers(&url));
            }
        }
    }
}
