//! The host's own APT configuration: mirrors that this machine is known to reach (sources.list(5)).

use crate::apt::control;
use crate::sys::fs;
use std::path::Path;

/// Largest file that is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// One address of the host's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Address without trailing slash.
    pub uri: String,
    /// Its suites.
    pub suites: Vec<String>,
}

/// Reads the one-line format, `deb [ options ] uri suite component…`. Lines that apt would refuse are left out: the
/// host's configuration is a source of proposals, not an input.
#[must_use]
pub fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uri: usable(uri)?, suites: vec![suite.to_owned()] })
}

/// Reads the deb822 format of `.sources` files. A paragraph with `Enabled: no` or without `deb` in `Types` is left out.
#[must_use]
pub fn parse_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for paragraph in control::paragraphs(text).filter_map(Result::ok) {
        let words = |field| paragraph.get(field).unwrap_or_default().split_whitespace();
        let is_off = words("Enabled").next().is_some_and(|word| {
            ["no", "false", "without", "off", "disable"].iter().any(|off| word.eq_ignore_ascii_case(off))
        });
        if is_off || !words("Types").any(|kind| kind == "deb") {
            continue;
        }
        let suites: Vec<String> = words("Suites").map(str::to_owned).collect();
        sources.extend(words("URIs").filter_map(usable).map(|uri| Source { uri, suites: suites.clone() }));
    }
    sources
}

/// Returns an address without trailing slashes when it is a plain web address; `mirror+file:`, `cdrom:` and others are not.
fn usable(uri: &str) -> Option<String> {
    let uri = uri.trim_end_matches('/');
    let behind = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    // an address without a host leads nowhere
    (!behind.starts_with('/')).then(|| uri.to_owned())
}

/// Returns the sources of a machine whose files lie below `root`, in the order in which apt reads them: `sources.list`,
/// then `sources.list.d/` by name. What cannot be read is left out.
#[must_use]
pub fn sources(root: &Path) -> Vec<Source> {
    let apt = root.join("etc/apt");
    let mut sources = fs::read_text(&apt.join("sources.list"), SIZE_LIMIT).map_or(Vec::new(), |text| parse_list(&text));
    let parts = apt.join("sources.list.d");
    for name in fs::list(&parts).unwrap_or_default() {
        let read = |parse: fn(&str) -> Vec<Source>| {
            fs::read_text(&parts.join(&name), SIZE_LIMIT).map_or(Vec::new(), |text| parse(&text))
        };
        match name.rsplit_once('.') {
            Some((_, "list")) => sources.extend(read(parse_list)),
            Some((_, "sources")) => sources.extend(read(parse_sources)),
            _ => {}
        }
    }
    sources
}

/// Returns the addresses among `sources` that mirror an official archive: those whose last path segment is the same
/// (`debian`, `debian-security`, `ubuntu`, `ubuntu-ports`), each once, without the official address itself. Whether they
/// carry the right files is decided by signatures.
#[must_use]
pub fn mirrors_for(official: &str, sources: &[Source]) -> Vec<String> {
    let official = official.trim_end_matches('/');
    let Some(wanted) = last_segment(official) else { return Vec::new() };
    let mut mirrors: Vec<String> = Vec::new();
    for source in sources {
        let is_new = source.uri != official && !mirrors.contains(&source.uri);
        if is_new && last_segment(&source.uri) == Some(wanted) {
            mirrors.push(source.uri.clone());
        }
    }
    mirrors
}

/// Returns the last segment of an address's path; a host name is none.
fn last_segment(uri: &str) -> Option<&str> {
    let (_host, path) = uri.split_once("://")?.1.split_once('/')?;
    path.rsplit('/').next().filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = "\
# comment
deb http://mirror.example/debian bookworm main contrib # more
deb [ arch=amd64 signed-by=/x ] https://mirror.example/debian-security/ bookworm-security main
deb-src http://mirror.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb mirror+file:/etc/apt/mirrors bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://broken
deb http:// bookworm main
deb http:///debian bookworm main
";

    const SOURCES: &str = "\
Types: deb deb-src
URIs: http://de.mirror.example/ubuntu/ https://second.example/pub/ubuntu
Suites: noble noble-updates
Components: main

Enabled: no
Types: deb
URIs: http://off.example/ubuntu
Suites: noble

Types: deb-src
URIs: http://source.example/ubuntu
Suites: noble
";

    #[test]
    fn reads_both_formats() {
        let list = parse_list(LIST);
        let uris: Vec<&str> = list.iter().map(|source| source.uri.as_str()).collect();
        let debian = "http://mirror.example/debian";
        assert_eq!(uris, [debian, "https://mirror.example/debian-security", debian]);
        assert_eq!(list[1].suites, ["bookworm-security"]);
        let sources = parse_sources(SOURCES);
        let uris: Vec<&str> = sources.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(uris, ["http://de.mirror.example/ubuntu", "https://second.example/pub/ubuntu"]);
        assert_eq!(sources[0].suites, ["noble", "noble-updates"]);
    }

    #[test]
    fn finds_mirrors_by_the_last_segment() {
        let mut all = parse_list(LIST);
        all.extend(parse_sources(SOURCES));
        let table: [(&str, &[&str]); 5] = [
            ("http://archive.example/debian/", &["http://mirror.example/debian"]),
            ("http://security.example/debian-security", &["https://mirror.example/debian-security"]),
            (
                "http://archive.example/ubuntu",
                &["http://de.mirror.example/ubuntu", "https://second.example/pub/ubuntu"],
            ),
            ("http://ports.example/ubuntu-ports", &[]),
            ("http://mirror.example/debian", &[]),
        ];
        for (official, expected) in table {
            assert_eq!(mirrors_for(official, &all), expected, "{official}");
        }
    }

    #[test]
    fn reads_a_machine() {
        let root = tempfile::tempdir().unwrap();
        let parts = root.path().join("etc/apt/sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write_atomic(&parts.join("b.sources"), SOURCES.as_bytes()).unwrap();
        fs::write_atomic(&parts.join("a.list"), LIST.as_bytes()).unwrap();
        fs::write_atomic(&parts.join("c.list.save"), LIST.as_bytes()).unwrap();
        let found = sources(root.path());
        assert_eq!(found.len(), 5);
        assert_eq!(found[0].uri, "http://mirror.example/debian");
        assert!(sources(&root.path().join("nothing")).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "(deb [\\[\\]a-z:/ #]{0,40}\n|.{0,60})") {
            let _any = mirrors_for(&text, &parse_list(&text));
            let _any = parse_sources(&text);
        }
    }
}
