//! The test doubles behave as the registry, token server and Harbor they stand for.

use crate::support::registry::registry::Registry;

#[test]
fn starts() {
    let registry = Registry::start();
    assert!(registry.url().starts_with("http://127.0.0.1:"));
}
