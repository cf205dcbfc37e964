//! Addresses and names as people write them: what is taken is within the grammar of registries, and reads the same again.
#![no_main]

use sockel::bundle::BundleLocation;
use sockel::harbor::Repository;
use sockel::oci::registry::address;
use sockel::oci::registry::address::ImageLocation;
use sockel::oci::registry::address::PlainHttpRules;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(ImageLocation::Registry { url, prefix }) = ImageLocation::parse(text, PlainHttpRules::default()) {
        assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none());
        assert!(prefix.is_empty() || address::check_repository(&prefix).is_ok());
        let again = ImageLocation::parse(&format!("{url}{prefix}"), PlainHttpRules::default());
        assert!(matches!(again, Ok(same) if same == ImageLocation::Registry { url, prefix }));
    }
    if address::check_repository(text).is_ok() {
        assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")) && text.len() <= 255 && text.is_ascii());
    }
    if address::check_tag(text).is_ok() {
        assert!(!text.is_empty() && text.len() <= 128 && !text.starts_with(['.', '-']) && !text.contains(['/', ':']));
        assert!(address::check_reference(text).is_ok());
    }
    if let Ok(repository) = Repository::parse(text) {
        assert_eq!(repository.to_string(), text);
        assert!(!repository.project().contains('/') && !repository.name().is_empty());
    }
    if let Ok(place) = text.parse::<BundleLocation>() {
        // an address may be shown without a password that it should not have
        let shown = place.to_string();
        assert!(shown == text || matches!(place, BundleLocation::Registry { .. }), "{shown}");
    }
});
