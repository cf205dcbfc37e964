//! The host's apt.conf (apt.conf(5)): proxies and client certificates for archives.

use crate::sys::fs;
use crate::sys::http::FallbackProxies;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

/// Largest file that is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// Deepest nesting that is followed; real files have three levels.
const DEPTH_LIMIT: usize = 20;

/// Values by name, `acquire::http::proxy`; case does not count in names. A later one replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AptConfiguration(BTreeMap<String, String>);

impl AptConfiguration {
    /// Reads the configuration of a machine whose files are below `root`, in the order in which apt reads them:
    /// `apt.conf.d/` by name, then `apt.conf`. Files that cannot be read are skipped.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let apt = root.join("etc/apt");
        let folder = apt.join("apt.conf.d");
        let mut all = Self::default();
        for name in fs::list(&folder).unwrap_or_default() {
            // apt takes names without an ending, and those that end like this
            if !name.contains('.') || name.ends_with(".conf") {
                all.add(&fs::read_text(&folder.join(&name), SIZE_LIMIT).unwrap_or_default());
            }
        }
        all.add(&fs::read_text(&apt.join("apt.conf"), SIZE_LIMIT).unwrap_or_default());
        all
    }

    /// Reads `Name "value";` and `Name { Name "value"; };`. What is not understood is skipped: the host's configuration is no
    /// input.
    pub fn add(&mut self, text: &str) {
        let (mut scopes, mut words): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for token in tokens(text) {
            match token {
                ConfToken::Word(word) => words.push(word),
                ConfToken::Open => {
                    let name = words.drain(..).next().unwrap_or_default();
                    if scopes.len() < DEPTH_LIMIT {
                        scopes.push(name);
                    }
                }
                ConfToken::Close => {
                    scopes.pop();
                    words.clear();
                }
                ConfToken::End => {
                    if let [name, value] = words.as_slice() {
                        let parts = scopes.iter().map(String::as_str).chain([name.as_str()]);
                        let name = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::");
                        self.0.insert(name.to_ascii_lowercase(), value.clone());
                    }
                    words.clear();
                }
            }
        }
    }

    /// Returns the proxies of `Acquire::http::Proxy`, `Acquire::https::Proxy` and their forms for one host. Programs
    /// that find proxies (`Proxy-Auto-Detect`) are not run.
    #[must_use]
    pub fn proxies(&self) -> FallbackProxies {
        let mut proxies = FallbackProxies::default();
        for (name, value) in &self.0 {
            let Some(rest) = name.strip_prefix("acquire::") else { continue };
            let Some((scheme @ ("http" | "https"), rest)) = rest.split_once("::") else { continue };
            match rest.strip_prefix("proxy") {
                Some("") => proxies.add(scheme, None, value),
                Some(host) => {
                    if let Some(host) = host.strip_prefix("::") {
                        proxies.add(scheme, Some(host), value);
                    }
                }
                None => {}
            }
        }
        proxies
    }

    /// Returns the files with certificate and key that `Acquire::https::HOST::SslCert` and `SslKey` name, by host. A
    /// certificate for all hosts is not taken: it would be shown to every server.
    #[must_use]
    pub fn client_certificates(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let mut found = BTreeMap::new();
        for (name, value) in &self.0 {
            let host = name.strip_prefix("acquire::https::").and_then(|rest| rest.strip_suffix("::sslcert"));
            if let Some(host) = host.filter(|host| !host.contains("::")) {
                let key = self.0.get(&format!("acquire::https::{host}::sslkey"));
                let files = [Some(value), key].into_iter().flatten().map(PathBuf::from).collect();
                found.insert(host.to_owned(), files);
            }
        }
        found
    }
}

/// A piece of a configuration file.
#[derive(Debug, PartialEq, Eq)]
enum ConfToken {
    Word(String),
    Open,
    Close,
    End,
}

/// Splits a file into its pieces, without comments.
fn tokens(text: &str) -> Vec<ConfToken> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        match first {
            '"' => {
                let (word, behind) = after.split_once('"').unwrap_or((after, ""));
                tokens.push(ConfToken::Word(word.to_owned()));
                rest = behind;
            }
            '#' => rest = after.split_once('\n').map_or("", |(_, behind)| behind),
            '/' if after.starts_with('/') => rest = after.split_once('\n').map_or("", |(_, behind)| behind),
            '/' if after.starts_with('*') => rest = after.split_once("*/").map_or("", |(_, behind)| behind),
            '{' | '}' | ';' => {
                tokens.push(match first {
                    '{' => ConfToken::Open,
                    '}' => ConfToken::Close,
                    _ => ConfToken::End,
                });
                rest = after;
            }
            _ if first.is_whitespace() => rest = after,
            _ => {
                let end = rest.find(|sign: char| sign.is_whitespace() || "\"{};".contains(sign)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                tokens.push(ConfToken::Word(word.to_owned()));
                rest = behind;
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"
// Acquire::http::Proxy "http://commented.example:1";
# Acquire::http::Proxy "http://commented.example:2";
/* Acquire::http::Proxy "http://commented.example:3";
*/
acquire::HTTP::proxy "http://proxy.example:3128/";
Acquire {
  http { Proxy { inside.example "http://inner.example:8080"; direct.example "DIRECT"; }; Timeout "5"; };
  https::Proxy::tls.example "http://tls.example:1";
  https { cert.example { SslCert "/etc/ssl/c.pem"; SslKey "/etc/ssl/k.pem"; }; SslCert "/etc/ssl/all.pem"; };
};
Acquire::http::Proxy::late.example https://late.example:1;
APT::Periodic::Enable "0"
"#;

    #[test]
    fn proxies_are_those_of_apt() {
        let mut configuration = AptConfiguration::default();
        configuration.add(TEXT);
        let proxies = configuration.proxies();
        let cases = [
            ("http://a.example/x", Some("http://proxy.example:3128/")),
            ("https://a.example/x", Some("http://proxy.example:3128/")),
            ("http://inside.example/x", Some("http://inner.example:8080/")),
            ("http://direct.example/x", None),
            ("https://direct.example/x", None),
            ("https://tls.example/x", Some("http://tls.example:1/")),
            ("http://late.example/x", Some("https://late.example:1/")),
        ];
        for (url, expected) in cases {
            assert_eq!(proxies.of(&url.parse().unwrap()).map(url::Url::as_str), expected, "{url}");
        }
        let files = configuration.client_certificates();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["cert.example"]);
        assert_eq!(files["cert.example"], [PathBuf::from("/etc/ssl/c.pem"), PathBuf::from("/etc/ssl/k.pem")]);
    }

    #[test]
    fn later_files_win() {
        let root = tempfile::tempdir().unwrap();
        let parts = root.path().join("etc/apt/apt.conf.d");
        fs::create_dir(&parts).unwrap();
        for (name, value) in [("20b", "b"), ("10a.conf", "a"), ("99z.dpkg-old", "z")] {
            let text = format!("A::{value} \"1\"; A::last \"{value}\";");
            fs::write_atomic(&parts.join(name), text.as_bytes()).unwrap();
        }
        let found = AptConfiguration::read(root.path());
        assert_eq!(found.0.get("a::last").map(String::as_str), Some("b"));
        assert_eq!(found.0.len(), 3);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([a-zA-Z:]{0,9}|[\"{};/*# \n]|.){0,40}") {
            let mut configuration = AptConfiguration::default();
            configuration.add(&text);
            let _any = configuration.proxies();
        }
    }
}
