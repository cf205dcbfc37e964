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
    for official in ["http://archive.example/debian", "http://archive.example/ubuntu/"] {
        let mirrors = host::mirrors_for(official, &sources);
        let name = official.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        assert!(mirrors.iter().all(|mirror| mirror.ends_with(name) && mirror != official.trim_end_matches('/')));
    }
});
