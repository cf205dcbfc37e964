//! The authentication challenge of a registry: its `WWW-Authenticate` headers (RFC 9110, 11.6.1; distribution's token
//! specification).

pub use crate::sys::http::is_loopback;

use std::collections::BTreeMap;
use url::Url;

/// Longest header that is read; real ones have some hundred bytes.
const LONGEST: usize = 16 << 10;

/// The authentication scheme that a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthChallenge {
    /// User and password with every request.
    Basic,
    /// A token from a token server.
    Bearer {
        /// Address of the token server.
        realm: Url,
        /// Name of the registry at the token server.
        service: Option<String>,
    },
}

/// Reads the headers of a 401. `Bearer` is preferred to `Basic`, because the password is then sent less often.
///
/// # Errors
/// The cause, for messages.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>, registry: &Url) -> Result<AuthChallenge, String> {
    let mut offers_basic = false;
    let mut schemes = Vec::new();

    // a header may have several challenges, and there may be several headers
    for header in headers.into_iter().filter(|header| header.len() <= LONGEST) {
        let Ok(challenges) = http_auth::parse_challenges(header) else {
            schemes.push("something unreadable".to_owned());
            continue;
        };

        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                // names are case-insensitive (RFC 9110, 11.2), values are not
                let parameters = challenge.params.iter();
                let parameters =
                    parameters.map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped())).collect();
                return bearer(parameters, registry);
            }
            offers_basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            schemes.push(format!("`{}`", excerpt(challenge.scheme)));
        }
    }

    match (offers_basic, schemes.as_slice()) {
        (true, _) => Ok(AuthChallenge::Basic),
        (false, []) => Err("the registry does not say how".to_owned()),
        (false, schemes) => Err(format!("only `Basic` and `Bearer` are supported, not {}", schemes.join(", "))),
    }
}

/// Returns the beginning of a scheme's name for messages.
fn excerpt(scheme: &str) -> String {
    scheme.chars().take(20).collect()
}

/// Returns a `Bearer` challenge after checking that its token server may receive our password.
fn bearer(mut parameters: BTreeMap<String, String>, registry: &Url) -> Result<AuthChallenge, String> {
    let realm = parameters.remove("realm").ok_or("the registry does not name its token server")?;
    let realm = Url::parse(&realm).map_err(|_| "the address of its token server is malformed".to_owned())?;
    if !realm.username().is_empty() || realm.password().is_some() || realm.host_str().is_none() {
        return Err("the address of its token server is malformed".to_owned());
    }

    // The password is sent there. The registry is entitled to it and may name the server that takes it, as all registries
    // with a token server do. But it is never sent in the clear after an encrypted request, nor in the clear to another
    // host; to this machine only if the registry is on this machine as well.
    let is_near = realm.host() == registry.host() || (is_loopback(&realm) && is_loopback(registry));
    match realm.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" && is_near => {}
        _ => return Err(format!("its token server `{}` does not use https", shown_host(&realm))),
    }

    Ok(AuthChallenge::Bearer { realm, service: parameters.remove("service").filter(|service| !service.is_empty()) })
}

/// Returns the host of an address, with the port if it has one, for messages.
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

    fn bearer(realm: &str, service: Option<&str>) -> Result<AuthChallenge, String> {
        Ok(AuthChallenge::Bearer { realm: realm.parse().expect("an address"), service: service.map(str::to_owned) })
    }

    #[test]
    fn reads_what_registries_say() {
        let harbor = r#"Bearer realm="https://registry.example/service/token",service="harbor-registry",scope="repository:a/b:pull""#;
        let table: [(&[&str], Result<AuthChallenge, String>); 11] = [
            (&[harbor], bearer("https://registry.example/service/token", Some("harbor-registry"))),
            (&["Basic realm=\"harbor\""], Ok(AuthChallenge::Basic)),
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
            (&["Negotiate"], Err("only `Basic` and `Bearer` are supported, not `Negotiate`".to_owned())),
            (&["Bearer service=x"], Err("the registry does not name its token server".to_owned())),
            (&["Bearer realm=\"/service/token\""], Err("the address of its token server is malformed".to_owned())),
            (
                &["Bearer realm=\"https://u:p@t.example/\""],
                Err("the address of its token server is malformed".to_owned()),
            ),
            (
                &["Bearer realm=\"http://t.example/token\""],
                Err("its token server `t.example` does not use https".to_owned()),
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
            if let Ok(AuthChallenge::Bearer { realm, .. }) = found {
                prop_assert_eq!(realm.scheme(), "https");
            }
        }
    }
}
