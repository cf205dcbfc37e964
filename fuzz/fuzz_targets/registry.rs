//! What registries and token servers say: read without panic, bounded, and never leading from https to http.
#![no_main]

use sockel::oci::registry::challenge;
use sockel::oci::registry::challenge::AuthChallenge;
use sockel::oci::registry::credentials;
use sockel::oci::registry::document;
use sockel::oci::registry::error;
use sockel::oci::registry::location;
use sockel::oci::registry::token;
use sockel::sys::http::retry_after;
use sockel::values::Epoch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let registry = "https://registry.example/".parse().expect("an address");
    assert!(error::problems(bytes).len() <= 8);
    let _ = error::refusal("push".to_owned(), 403, error::problems(bytes), None).to_string();
    if let Ok(answer) = token::parse(bytes) {
        assert!(answer.token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let _ = document::read(bytes, None);
    let _ = credentials::robot(bytes);
    let _ = credentials::search(bytes, "registry.example", "a/b");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(AuthChallenge::Bearer { realm, .. }) = challenge::parse(text.lines(), &registry) {
        assert_eq!(realm.scheme(), "https");
    }
    if let Ok(url) = location::resolve(&registry, text) {
        assert_eq!(url.scheme(), "https");
        assert!(url.username().is_empty());
    }
    let _ = retry_after(text, Epoch(0));
});
