//! The APT configuration of the host: mirrors that this machine is likely to reach (sources.list(5)).

use crate::apt::control;
use crate::apt::control::Paragraph;
use crate::sys::fs;
use std::path::Path;

/// Largest file that is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// One address of the host's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// Address without a trailing slash.
    pub uri: String,
    /// Suites served at the address.
    pub suites: Vec<String>,
    /// Components; a flat repository has none.
    pub components: Vec<String>,
}

/// Reads the one-line format, `deb [ options ] uri suite component…`. Lines that apt would refuse are skipped: the
/// configuration of the host only suggests mirrors, it is not an input.
#[must_use]
pub fn parse_list(text: &str) -> Vec<AptSource> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<AptSource> {
    let line = line.split('#').next()?.trim();

    // not `deb-src`
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }

    // options such as `signed-by` concern the host: a recipe pins its own keys
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };

    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.map(str::to_owned).collect();
    Some(AptSource { uri: web_address(uri)?, suites: vec![suite.to_owned()], components })
}

/// Reads the deb822 format of `.sources` files. A paragraph with `Enabled: no` or without `deb` in `Types` is skipped.
#[must_use]
pub fn parse_sources(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for paragraph in control::paragraphs(text).filter_map(Result::ok) {
        if is_disabled(&paragraph) || !words(&paragraph, "Types").any(|kind| kind == "deb") {
            continue;
        }

        let suites: Vec<String> = words(&paragraph, "Suites").map(str::to_owned).collect();
        let components: Vec<String> = words(&paragraph, "Components").map(str::to_owned).collect();
        for uri in words(&paragraph, "URIs").filter_map(web_address) {
            sources.push(AptSource { uri, suites: suites.clone(), components: components.clone() });
        }
    }
    sources
}

/// Tells whether `Enabled` is off, in one of the words that apt knows (`StringToBool`).
fn is_disabled(paragraph: &Paragraph<'_>) -> bool {
    const OFF: [&str; 5] = ["no", "false", "without", "off", "disable"];

    let enabled = words(paragraph, "Enabled").next();
    enabled.is_some_and(|enabled| OFF.iter().any(|off| enabled.eq_ignore_ascii_case(off)))
}

fn words<'a>(paragraph: &'a Paragraph<'_>, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    paragraph.get(field).unwrap_or_default().split_whitespace()
}

/// Returns an address without trailing slashes if it is on the web; `mirror+file:`, `cdrom:` and others are not.
fn web_address(uri: &str) -> Option<String> {
    let uri = uri.trim_end_matches('/');
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    // an address without a host leads nowhere
    (!rest.starts_with('/')).then(|| uri.to_owned())
}

/// Returns the sources of a machine whose files are below `root`, in the order in which apt reads them:
/// `sources.list`, then `sources.list.d/` by name. Files that cannot be read are skipped.
#[must_use]
pub fn sources(root: &Path) -> Vec<AptSource> {
    let apt = root.join("etc/apt");
    let mut sources = parse_list(&text_or_empty(&apt.join("sources.list")));

    let folder = apt.join("sources.list.d");
    for name in fs::list(&folder).unwrap_or_default() {
        let path = folder.join(&name);
        match name.rsplit_once('.') {
            Some((_, "list")) => sources.extend(parse_list(&text_or_empty(&path))),
            Some((_, "sources")) => sources.extend(parse_sources(&text_or_empty(&path))),
            // apt ignores other files, such as `a.list.save`
            _ => {}
        }
    }
    sources
}

fn text_or_empty(path: &Path) -> String {
    fs::read_text(path, SIZE_LIMIT).unwrap_or_default()
}

/// Returns the addresses among `sources` that may mirror an official archive, each once, without the official address
/// itself: those that have one of its components, and either the same last path segment (`debian-security`, `ubuntu-ports`)
/// or this suite. That is a guess, which costs a request: what an address signs decides whether it is a mirror.
#[must_use]
pub fn mirrors_for(official: &str, suite: &str, components: &[String], sources: &[AptSource]) -> Vec<String> {
    let official = official.trim_end_matches('/');
    let segment = last_segment(official);
    let mut mirrors: Vec<String> = Vec::new();
    for source in sources {
        // a vendor's archive for the same distribution has components of its own
        let may_mirror = source.components.iter().any(|component| components.contains(component))
            && (segment.is_some() && last_segment(&source.uri) == segment
                || source.suites.iter().any(|name| name == suite));
        if may_mirror && source.uri != official && !mirrors.contains(&source.uri) {
            mirrors.push(source.uri.clone());
        }
    }
    mirrors
}

/// Returns the last segment of the path of an address; `None` if it has only a host.
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
    fn finds_what_may_be_a_mirror() {
        let mut all = parse_list(LIST);
        all.extend(parse_sources(SOURCES));
        all.extend(parse_list(
            "deb https://vendor.example/linux/ubuntu noble stable\n\
             deb https://proxy.example/repository/apt-proxy noble main\n\
             deb https://flat.example/ubuntu ./\n",
        ));
        let table: [(&str, &str, &[&str]); 6] = [
            ("http://archive.example/debian/", "trixie", &["http://mirror.example/debian"]),
            ("http://security.example/debian-security", "x", &["https://mirror.example/debian-security"]),
            (
                "http://archive.example/ubuntu",
                "noble",
                &[
                    "http://de.mirror.example/ubuntu",
                    "https://second.example/pub/ubuntu",
                    "https://proxy.example/repository/apt-proxy",
                ],
            ),
            (
                "http://archive.example/ubuntu",
                "resolute",
                &["http://de.mirror.example/ubuntu", "https://second.example/pub/ubuntu"],
            ),
            ("http://ports.example/ubuntu-ports", "x", &[]),
            ("http://mirror.example/debian", "x", &[]),
        ];
        let components = ["main".to_owned(), "universe".to_owned()];
        for (official, suite, expected) in table {
            assert_eq!(mirrors_for(official, suite, &components, &all), expected, "{official}");
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
            let _any = mirrors_for(&text, "a", &["a".to_owned()], &parse_list(&text));
            let _any = parse_sources(&text);
        }
    }
}
