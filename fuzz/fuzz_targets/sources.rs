//! The host's list of archives, in both formats: only web addresses, without a slash at the end.
#![no_main]

use sockel::apt::host;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut sources = host::parse_list(text);
    sources.extend(host::parse_sources(text));
    for source in &sources {
        assert!(source.uri.starts_with("http://") || source.uri.starts_with("https://"));
        assert!(!source.uri.chars().any(char::is_whitespace));
    }
    let components = ["main".to_owned(), "universe".to_owned()];
    for official in ["http://archive.example/debian", "http://archive.example/ubuntu/"] {
        let mirrors = host::mirrors_for(official, "trixie", &components, &sources);
        for (number, mirror) in mirrors.iter().enumerate() {
            assert!(mirror != official.trim_end_matches('/') && !mirrors[..number].contains(mirror));
            // one entry alone makes an address a mirror
            assert!(sources.iter().any(|source| {
                source.uri == *mirror && source.components.iter().any(|component| components.contains(component))
            }));
        }
    }
});
