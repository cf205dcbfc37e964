//! The host's own APT configuration (sources.list(5)): which mirrors its administrator chose.

use crate::apt::control;
use crate::sys::fs;
use std::path::Path;

/// Largest configuration file that is read.
const LIMIT: u64 = 1 << 20;

/// Returns the addresses of all enabled sources of this host, in the order of their files. What cannot be read counts
/// as not there: the official addresses remain.
#[must_use]
pub fn addresses(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let main = folder.join("sources.list");
    if let Ok(text) = fs::read_text(&main, LIMIT) {
        all.extend(one_line(&text));
    }
    let parts = folder.join("sources.list.d");
    for name in fs::list(&parts).unwrap_or_default() {
        let Ok(text) = fs::read_text(&parts.join(&name), LIMIT) else { continue };
        match name.rsplit_once('.') {
            Some((_, "list")) => all.extend(one_line(&text)),
            Some((_, "sources")) => all.extend(deb822(&text)),
            _ => {}
        }
    }
    all
}

/// Returns the host's addresses for an archive: those that end in the same folder as the official address (`debian`,
/// `debian-security`, `ubuntu`, `ubuntu-ports`). A wrong guess does no harm, since signatures decide.
#[must_use]
pub fn mirrors(addresses: &[String], official: &str) -> Vec<String> {
    let folder = |uri: &str| uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = folder(official);
    let mut all: Vec<String> = Vec::new();
    for uri in addresses {
        let uri = uri.trim_end_matches('/').to_owned();
        if folder(&uri) == wanted && !all.contains(&uri) {
            all.push(uri);
        }
    }
    all
}

/// `deb [options] uri suite component…`
fn one_line(text: &str) -> Vec<String> {
    let uri = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        web(rest.split_whitespace().next()?)
    };
    text.lines().filter_map(uri).collect()
}

/// Paragraphs with `Types: deb`, `URIs: …`, unless `Enabled: no`.
fn deb822(text: &str) -> Vec<String> {
    let paragraphs = control::paragraphs(text).unwrap_or_default();
    let enabled = paragraphs.iter().filter(|paragraph| {
        let has =
            |field: &str, word: &str| paragraph.get(field).is_some_and(|v| v.split_whitespace().any(|w| w == word));
        has("Types", "deb") && !has("Enabled", "no")
    });
    let uris = enabled.filter_map(|paragraph| paragraph.get("URIs"));
    uris.flat_map(|uris| uris.split_whitespace().filter_map(web).collect::<Vec<_>>()).collect()
}

/// Only what our own client can fetch.
fn web(uri: &str) -> Option<String> {
    (uri.starts_with("http://") || uri.starts_with("https://")).then(|| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let old = "# comment\ndeb http://a.example/debian bookworm main\ndeb [arch=amd64 signed-by=/k] https://b.example/ubuntu/ noble main\n\
                   deb-src http://c.example/debian bookworm main\ndeb mirror+file:/m bookworm main\n";
        assert_eq!(one_line(old), ["http://a.example/debian", "https://b.example/ubuntu"]);
        let new = "Types: deb deb-src\nURIs: http://d.example/debian http://e.example/debian\nSuites: trixie\n\n\
                   Enabled: no\nTypes: deb\nURIs: http://f.example/debian\n";
        assert_eq!(deb822(new), ["http://d.example/debian", "http://e.example/debian"]);
    }

    #[test]
    fn knows_an_archive_by_its_folder() {
        let host = ["http://a.example/debian", "http://a.example/debian-security", "http://a.example/debian"];
        let host: Vec<String> = host.iter().map(ToString::to_string).collect();
        assert_eq!(mirrors(&host, "http://ftp.debian.org/debian/"), ["http://a.example/debian"]);
        assert!(mirrors(&host, "http://archive.ubuntu.com/ubuntu").is_empty());
    }
}
