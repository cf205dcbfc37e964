//! Addresses of upload sessions: the `Location` header (distribution-spec, "Pushing blobs"), relative or absolute, with or
//! without a query.

use crate::values::Digest;
use url::Url;

/// Longest header that is read. Registries keep the state of a session in it, which takes some kilobytes.
const LONGEST: usize = 16 << 10;

/// Resolves the `Location` in the answer to a request for `base`.
///
/// # Errors
/// The cause, for messages.
pub fn resolve(base: &Url, location: &str) -> Result<Url, String> {
    if location.len() > LONGEST {
        return Err("the upload address is too long".to_owned());
    }

    let mut url = base.join(location.trim()).map_err(|_| "the upload address is malformed".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("the upload address is malformed".to_owned());
    }
    // the HTTP client would send it as a header, to a host that the registry chose
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the upload address has a login".to_owned());
    }

    // a fragment is never sent (RFC 9110, 4.2.3)
    url.set_fragment(None);
    if base.scheme() == "https" && url.scheme() == "http" {
        if url.host() != base.host() {
            return Err("the upload address leads from https to plain http".to_owned());
        }
        // A registry behind a proxy that ends TLS may not know that it is reached over https, nor at which port. It means
        // the address of the request.
        let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
        url = base.clone();
        url.set_path(&path);
        url.set_query(query.as_deref());
    }
    Ok(url)
}

/// Returns the address that completes an upload: that of the session, with the digest added to its query.
#[must_use]
pub fn completed(mut session: Url, digest: &Digest) -> Url {
    // the session's own parameters are its state, and stay as they are
    session.query_pairs_mut().append_pair("digest", &digest.to_string());
    session
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "https://r.example:8443/v2/a/b/blobs/uploads/";

    #[test]
    fn finds_the_session() {
        let table = [
            ("/v2/a/b/blobs/uploads/1", Ok("https://r.example:8443/v2/a/b/blobs/uploads/1")),
            ("1?_state=x%3D", Ok("https://r.example:8443/v2/a/b/blobs/uploads/1?_state=x%3D")),
            ("?_state=x", Ok("https://r.example:8443/v2/a/b/blobs/uploads/?_state=x")),
            ("https://r.example:8443/u/1#x", Ok("https://r.example:8443/u/1")),
            ("https://store.example/u/1", Ok("https://store.example/u/1")),
            ("//store.example/u", Ok("https://store.example/u")),
            ("http://r.example/u/1?_state=x", Ok("https://r.example:8443/u/1?_state=x")),
            ("http://store.example/u/1", Err("the upload address leads from https to plain http")),
            ("https://u:p@r.example:8443/", Err("the upload address has a login")),
            ("file:///etc/passwd", Err("the upload address is malformed")),
            ("https://[", Err("the upload address is malformed")),
            ("data:text/plain,x", Err("the upload address is malformed")),
        ];
        for (location, expected) in table {
            let found = resolve(&BASE.parse().expect("an address"), location);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found.map(String::from), expected, "{location}");
        }
    }

    #[test]
    fn adds_the_digest_and_keeps_the_state() {
        let digest = Digest::of(b"");
        let session: Url = "https://r.example/u/1?_state=a%2Bb==&x".parse().expect("an address");
        let expected = format!("https://r.example/u/1?_state=a%2Bb==&x&digest=sha256%3A{}", digest.hex());
        assert_eq!(completed(session, &digest).as_str(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_location_is_read_without_panic(text in "((https?:)?//?[a-z.@:0-9\\[\\]/?#%&=]{0,40}|\\PC{0,120})") {
            if let Ok(url) = resolve(&BASE.parse().expect("an address"), &text) {
                prop_assert!(url.scheme() == "https" && url.username().is_empty());
                let state = url.query().unwrap_or_default().to_owned();
                let completed = completed(url, &Digest::of(b""));
                prop_assert!(completed.query().unwrap_or_default().starts_with(&state));
            }
        }
    }
}
