//! Where the files of a suite lie on a server, and how a path becomes part of an address.

use std::fmt::Write;

/// Name that the packages of a flat repository get as their component.
pub const FLAT_COMPONENT: &str = "flat";

/// Tells whether a suite is a flat repository: its name ends with a slash, as in sources.list(5).
#[must_use]
pub fn is_flat(suite: &str) -> bool {
    suite.ends_with('/')
}

/// Returns the address of the folder with the Release file of a suite: below `dists/`, in a flat repository at its own
/// path.
#[must_use]
pub(super) fn suite_folder(base: &str, suite: &str) -> String {
    let base = base.trim_end_matches('/');
    if !is_flat(suite) {
        return format!("{base}/dists/{}", encoded(suite));
    }
    match suite.trim_start_matches("./").trim_end_matches('/') {
        "" => base.to_owned(),
        path => format!("{base}/{}", encoded(path)),
    }
}

/// Returns the address of a path below an archive root.
#[must_use]
pub fn file_address(base: &str, path: &str) -> String {
    format!("{}/{}", base.trim_end_matches('/'), encoded(path))
}

/// Escapes what has a meaning in an address (RFC 3986, 3.3). `+` is escaped as well, as apt does: object stores such as S3
/// read it as a blank. `%` is part of file names, so it is escaped too.
pub(super) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*,;=".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped_as_apt_does() {
        let table = [
            ("pool/libserde++1_8.0+git1_amd64.deb", "pool/libserde%2b%2b1_8.0%2bgit1_amd64.deb"),
            ("pool/a_1%3a2.0~rc1_all.deb", "pool/a_1%253a2.0~rc1_all.deb"),
            ("pool/a b#c?d.deb", "pool/a%20b%23c%3fd.deb"),
            ("pool/grün.deb", "pool/gr%c3%bcn.deb"),
        ];
        for (path, escaped) in table {
            assert_eq!(file_address("http://a.example/debian/", path), format!("http://a.example/debian/{escaped}"));
        }
    }

    #[test]
    fn flat_repositories_have_no_dists() {
        let table = [
            ("stable", "http://a.example/d/dists/stable"),
            ("stable/updates", "http://a.example/d/dists/stable/updates"),
            ("./", "http://a.example/d"),
            ("/", "http://a.example/d"),
            ("amd64/", "http://a.example/d/amd64"),
            ("./x/y/", "http://a.example/d/x/y"),
        ];
        for (suite, folder) in table {
            assert_eq!(suite_folder("http://a.example/d/", suite), folder, "{suite}");
        }
    }
}
