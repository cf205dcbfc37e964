//! How a registry wants to know who we are: its `WWW-Authenticate` headers (RFC 9110, 11.6.1; distribution's token
//! specification).

pub use crate::sys::http::is_loopback;

use std::collections::BTreeMap;
use url::Url;

/// Longest header that is read.
const LONGEST: usize = 16 << 10;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from a token server.
    Bearer {
        /// The token server.
        realm: Url,
        /// How the registry is called there.
        service: Option<String>,
    },
}

/// Reads the headers of a 401. A token is preferred: passwords then travel less.
///
/// # Errors
/// What is wrong, for people.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>, registry: &Url) -> Result<Challenge, String> {
    let mut basic = false;
    let mut other = Vec::new();
    for header in headers.into_iter().filter(|header| header.len() <= LONGEST) {
        let Ok(challenges) = http_auth::parse_challenges(header) else {
            other.push("something that cannot be read".to_owned());
            continue;
        };
        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let parameters = challenge.params.iter();
                return bearer(
                    parameters.map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped())).collect(),
                    registry,
                );
            }
            basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            other.push(format!("`{}`", shortened(challenge.scheme)));
        }
    }
    match (basic, other.as_slice()) {
        (true, _) => Ok(Challenge::Basic),
        (false, []) => Err("the registry does not say how".to_owned()),
        (false, schemes) => Err(format!("only `Basic` and `Bearer` are known, not {}", schemes.join(", "))),
    }
}

fn shortened(scheme: &str) -> String {
    scheme.chars().take(20).collect()
}

fn bearer(mut parameters: BTreeMap<String, String>, registry: &Url) -> Result<Challenge, String> {
    let realm = parameters.remove("realm").ok_or("the registry does not name its token server")?;
    let realm = Url::parse(&realm).map_err(|_| "the address of its token server is not sound".to_owned())?;
    if !realm.username().is_empty() || realm.password().is_some() || realm.host_str().is_none() {
        return Err("the address of its token server is not sound".to_owned());
    }
    // Our password goes there. Who has it by right may say where it is exchanged, as all registries with a token server
    // of their own do. But it never goes from an encrypted conversation to an open one, nor openly to another host: to
    // this machine only from a registry on this machine.
    let is_near = realm.host() == registry.host() || (is_loopback(&realm) && is_loopback(registry));
    match realm.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" && is_near => {}
        _ => return Err(format!("its token server `{}` is not reached by https", shown_host(&realm))),
    }
    Ok(Challenge::Bearer { realm, service: parameters.remove("service").filter(|service| !service.is_empty()) })
}

/// Returns host and port of an address, for messages.
pub(super) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn registry() -> Url {
        "https://registry.example".parse().expect("an address")
    }

    fn bearer(realm: &str, service: Option<&str>) -> Result<Challenge, String> {
        Ok(Challenge::Bearer { realm: realm.parse().expect("an address"), service: service.map(str::to_owned) })
    }

    #[test]
    fn reads_what_registries_say() {
        let harbor = r#"Bearer realm="https://registry.example/service/token",service="harbor-registry",scope="repository:a/b:pull""#;
        let table: [(&[&str], Result<Challenge, String>); 11] = [
            (&[harbor], bearer("https://registry.example/service/token", Some("harbor-registry"))),
            (&["Basic realm=\"harbor\""], Ok(Challenge::Basic)),
            (&["basic realm=x, bearer Realm=\"https://t.example/\""], bearer("https://t.example/", None)),
            (
                &["Basic realm=x", "Bearer realm=\"https://t.example/\",service=\"\""],
                bearer("https://t.example/", None),
            ),
            (
                &["Bearer realm=\"https://t.example/a?b=c\", service=\"a \\\"b\\\"\""],
                bearer("https://t.example/a?b=c", Some("a \"b\"")),
            ),
            (&[], Err("the registry does not say how".to_owned())),
            (&["Negotiate"], Err("only `Basic` and `Bearer` are known, not `Negotiate`".to_owned())),
            (&["Bearer service=x"], Err("the registry does not name its token server".to_owned())),
            (&["Bearer realm=\"/service/token\""], Err("the address of its token server is not sound".to_owned())),
            (
                &["Bearer realm=\"https://u:p@t.example/\""],
                Err("the address of its token server is not sound".to_owned()),
            ),
            (
                &["Bearer realm=\"http://t.example/token\""],
                Err("its token server `t.example` is not reached by https".to_owned()),
            ),
        ];
        for (headers, expected) in table {
            assert_eq!(parse(headers.iter().copied(), &registry()), expected, "{headers:?}");
        }
    }

    #[test]
    fn passwords_travel_openly_only_to_the_host_of_the_registry() {
        let open: Url = "http://registry.local:5000".parse().expect("an address");
        for (realm, fine) in [
            ("http://registry.local:5001/token", true),
            ("http://127.0.0.1:5001/token", false),
            ("http://[::1]/token", false),
            ("https://other.example/token", true),
            ("http://other.example/token", false),
            ("ftp://registry.local/token", false),
        ] {
            let header = format!("Bearer realm=\"{realm}\"");
            assert_eq!(parse([header.as_str()], &open).is_ok(), fine, "{realm}");
        }
        let here: Url = "http://localhost:5000".parse().expect("an address");
        for realm in ["http://127.0.0.1:5001/token", "http://[::1]/token", "http://localhost:5001/token"] {
            assert!(parse([format!("Bearer realm=\"{realm}\"").as_str()], &here).is_ok(), "{realm}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_header_is_read_without_panic(
            text in "((Bearer|Basic|[A-Za-z]{0,8}) ?((realm|service|scope|error)=(\"[^\"]{0,30}\"|[a-z:/.]{0,20}),? ?){0,4}|\\PC{0,120})"
        ) {
            let found = parse([text.as_str()], &registry());
            if let Ok(Challenge::Bearer { realm, .. }) = found {
                prop_assert_eq!(realm.scheme(), "https");
            }
        }
    }
}
