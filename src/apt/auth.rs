//! Logins for archives: the form of apt's `auth.conf` (apt_auth.conf(5)), a part of netrc.
//!
//! ```text
//! machine apt.example.org/private login robot password secret
//! machine http://plain.example.org:8080 login robot password secret
//! ```
//! A machine without `http://` gets its login over https alone. A path covers what lies below it. The first entry that fits
//! counts. What is not understood is skipped.

use crate::sys::fs;
use crate::sys::http::HostLogin;
use crate::values::Secret;
use std::path::Path;

/// Largest file that is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// Most entries of one text; each request looks at all of them.
const ENTRY_LIMIT: usize = 10_000;

/// Reads logins.
#[must_use]
pub fn parse(text: &str) -> Vec<HostLogin> {
    let mut entries: Vec<HostLogin> = Vec::new();
    // an entry that names no usable machine, such as `default`, takes its login and password with it
    let mut is_usable = false;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                let entry = words.next().and_then(machine).filter(|_| entries.len() < ENTRY_LIMIT);
                is_usable = entry.is_some();
                entries.extend(entry);
            }
            "default" => is_usable = false,
            "login" | "password" => {
                let value = words.next().unwrap_or_default().to_owned();
                let Some(entry) = entries.last_mut().filter(|_| is_usable) else { continue };
                match word {
                    "login" => entry.user = value,
                    _ => entry.password = Secret::new(value),
                }
            }
            _ => {}
        }
    }
    entries.retain(|entry| !entry.user.is_empty());
    entries
}

/// Reads `[http://|https://]host[:port][/path]`.
fn machine(text: &str) -> Option<HostLogin> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return None,
        // a password in the clear must be asked for
        None => ("https", text),
    };
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    // parsed as an address, so that host names compare as those of requests do
    let url = url::Url::parse(&format!("{scheme}://{host}/")).ok()?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if has_port { url.port_or_known_default() } else { None };
    let (scheme, host) = (scheme.to_owned(), url.host_str()?.to_owned());
    let path = path.trim_end_matches('/').to_owned();
    Some(HostLogin { scheme, host, port, path, user: String::new(), password: Secret::new(String::new()) })
}

/// Returns the logins of a machine whose files are below `root`, in the order in which apt reads them: `auth.conf.d/` by
/// name, then `auth.conf`. Files that this user may not read are skipped.
#[must_use]
pub fn logins(root: &Path) -> Vec<HostLogin> {
    let apt = root.join("etc/apt");
    let folder = apt.join("auth.conf.d");
    let mut entries = Vec::new();
    for name in fs::list(&folder).unwrap_or_default() {
        if name.ends_with(".conf") {
            entries.extend(in_file(&folder.join(&name)));
        }
    }
    entries.extend(in_file(&apt.join("auth.conf")));
    entries
}

fn in_file(path: &Path) -> Vec<HostLogin> {
    fs::read_text(path, SIZE_LIMIT).map(|text| parse(&text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::http::LoginTable;
    use proptest::prelude::*;

    const TEXT: &str = "\
# machine commented.example login no password no
machine apt.example.org/private login robot password first
machine apt.example.org
  login other
  password second
machine http://plain.example.org:8080 login plain password third
machine ftp://old.example.org login no password no
default login everybody password no
machine EXAMPLE.org/a/ login a account x password fourth
machine nobody.example.org password no
";

    #[test]
    fn a_login_is_for_its_own_machine() {
        let table = LoginTable::new(parse(TEXT));
        let cases = [
            ("https://apt.example.org/private/dists/x", Some("robot:first")),
            ("https://apt.example.org/private", Some("robot:first")),
            ("https://apt.example.org/private-2/x", Some("other:second")),
            ("https://apt.example.org:8443/x", Some("other:second")),
            ("http://apt.example.org/x", None),
            ("http://plain.example.org:8080/x", Some("plain:third")),
            ("https://plain.example.org:8080/x", None),
            ("http://plain.example.org/x", None),
            ("https://example.org/a/b", Some("a:fourth")),
            ("https://example.org/b", None),
            ("https://sub.apt.example.org/x", None),
            ("https://commented.example/", None),
            ("https://nobody.example.org/", None),
            ("https://elsewhere.example/", None),
        ];
        for (url, expected) in cases {
            let found =
                table.of(&url.parse().unwrap()).map(|entry| format!("{}:{}", entry.user, entry.password.expose()));
            assert_eq!(found.as_deref(), expected, "{url}");
        }
        assert!(!format!("{table:?}").contains("first"));
    }

    #[test]
    fn reads_a_machine() {
        let root = tempfile::tempdir().unwrap();
        let parts = root.path().join("etc/apt/auth.conf.d");
        fs::create_dir(&parts).unwrap();
        for (name, user) in [("b.conf", "b"), ("a.conf", "a"), ("c.conf.save", "c")] {
            fs::write_atomic(&parts.join(name), format!("machine {user}.example login {user}").as_bytes()).unwrap();
        }
        fs::write_atomic(&root.path().join("etc/apt/auth.conf"), b"machine z.example login z").unwrap();
        let users: Vec<String> = logins(root.path()).into_iter().map(|entry| entry.user).collect();
        assert_eq!(users, ["a", "b", "z"]);
        assert!(logins(&root.path().join("nothing")).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "((machine|login|password|default|http://|[a-z:/.@]{0,9}|.{0,9})[ \n]){0,20}") {
            let table = LoginTable::new(parse(&text));
            let _any = table.of(&"https://a.example/x".parse().unwrap());
        }
    }
}
