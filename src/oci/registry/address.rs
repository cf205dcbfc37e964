//! Destinations of images, `oci:DIR` or `[https://]host[:port]/project[/prefix]`; and the grammar of repositories and tags.
//!
//! A text without a scheme begins with a host and means https. A name without a host is never completed to a registry: it
//! could be one that somebody else owns.

use crate::oci::registry::challenge::is_loopback;
use crate::oci::registry::challenge::shown_host;
use crate::oci::registry::error::Error;
use crate::values::Digest;
use std::path::PathBuf;
use url::Url;

/// Longest repository name that registries accept.
const LONGEST: usize = 255;

/// Longest tag (distribution-spec, "Pulling manifests").
pub(super) const LONGEST_TAG: usize = 128;

/// Names of Docker Hub's registry, besides its own.
const DOCKER_HUB: [&str; 2] = ["docker.io", "index.docker.io"];

/// Host of Docker Hub's registry; `docker.io` is the address of its pages.
const DOCKER_REGISTRY: &str = "registry-1.docker.io";

/// Which hosts may be talked to over plain http.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainHttpRules<'a> {
    /// Hosts (`host` or `host:port`) besides this machine, where an address says `http://`.
    pub insecure: &'a [String],
    /// Addresses of this machine without a scheme mean plain http.
    pub is_loopback_plain: bool,
}

/// Destination or source of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageLocation {
    /// A folder with an OCI layout.
    Layout(PathBuf),
    /// A registry, with a common prefix of its repositories.
    Registry {
        /// Address of the registry: only scheme, host and port.
        url: Url,
        /// Beginning of all repository names: project and prefix, without a slash at either end; may be empty.
        prefix: String,
    },
}

impl ImageLocation {
    /// Parses an address. Plain http is allowed for this machine and for the hosts in the rules.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn parse(text: &str, rules: PlainHttpRules<'_>) -> Result<Self, Error> {
        if let Some(folder) = text.strip_prefix("oci:") {
            if folder.is_empty() {
                return Err(invalid_target(text, "the folder is missing"));
            }
            return Ok(Self::Layout(folder.into()));
        }

        let mut url = match text.split_once("://") {
            Some(("https" | "http", _)) => {
                Url::parse(text).map_err(|error| invalid_target(text, &error.to_string()))?
            }
            Some(_) => return Err(invalid_target(text, "its scheme is neither `https://` nor `http://`")),
            None => without_scheme(text, rules)?,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid_target(text, "logins do not belong in addresses"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid_target(text, "it has more than host and path"));
        }
        if !may_be_talked_to(&url, rules.insecure) {
            let cause = "plain http is only for this machine and for hosts that are named insecure";
            return Err(invalid_target(text, cause));
        }
        if url.host_str().is_some_and(|host| DOCKER_HUB.contains(&host)) {
            url.set_host(Some(DOCKER_REGISTRY)).expect("a host name");
        }

        let prefix = url.path().trim_matches('/').to_owned();
        if !prefix.is_empty() {
            check_repository(&prefix)?;
        }

        url.set_path("/");
        Ok(Self::Registry { url, prefix })
    }
}

/// Reads an address without a scheme, which must begin with a host.
fn without_scheme(text: &str, rules: PlainHttpRules<'_>) -> Result<Url, Error> {
    let host = text.split('/').next().unwrap_or_default();
    if !is_host(host, text.contains('/')) {
        let cause = "it is neither `oci:DIR` nor an address that begins with a host: `registry.example.org/project`";
        return Err(invalid_target(text, cause));
    }

    let url = |scheme: &str| Url::parse(&format!("{scheme}://{text}"));
    let secure = url("https").map_err(|error| invalid_target(text, &error.to_string()))?;
    let is_plain = rules.is_loopback_plain && is_loopback(&secure);
    // parsed again: a port is left out where it is the one of the scheme
    if is_plain { url("http").map_err(|error| invalid_target(text, &error.to_string())) } else { Ok(secure) }
}

/// Tells whether the first part of a name is a host and not a project or image (distribution's reference, "splitting
/// domain"): it has a dot or a port, or is `localhost`.
fn is_host(part: &str, has_more: bool) -> bool {
    let begins = part.starts_with(|sign: char| sign.is_ascii_alphanumeric() || sign == '[');
    let name = part.split(':').next().unwrap_or_default();
    // `tomcat:11` is an image with a tag, `tomcat:11/x` cannot be one
    begins && (name.contains('.') || name == "localhost" || part.starts_with('[') || (part.contains(':') && has_more))
}

/// Returns host and port of a registry as people write them in references.
#[must_use]
pub fn public_name(url: &Url) -> String {
    match shown_host(url).as_str() {
        DOCKER_REGISTRY => DOCKER_HUB[0].to_owned(),
        host => host.to_owned(),
    }
}

/// Returns the error for an address that cannot be used. It may contain a password by mistake, so it is never repeated as
/// it is.
fn invalid_target(text: &str, cause: &str) -> Error {
    Error::Name { text: crate::sys::http::mask(text), kind: "target", cause: cause.to_owned() }
}

/// Tells whether an address may be contacted: it is encrypted, on this machine, or its host (`host` or `host:port`) is one
/// of the insecure ones.
#[must_use]
pub fn may_be_talked_to(url: &Url, insecure: &[String]) -> bool {
    if url.scheme() != "http" || is_loopback(url) {
        return true;
    }

    let (host, with_port) = (url.host_str().unwrap_or_default(), shown_host(url));
    insecure.iter().any(|named| *named == host || *named == with_port)
}

/// Checks a repository name (distribution-spec, "Pulling manifests").
///
/// # Errors
/// [`Error::Name`].
pub fn check_repository(text: &str) -> Result<(), Error> {
    let cause = if text.len() > LONGEST {
        format!("it has more than {LONGEST} characters")
    } else if !text.split('/').all(is_component) {
        "it must be lower-case letters and digits, with `.`, `_`, `__` or `-` in between, and `/` between parts"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Name { text: text.to_owned(), kind: "repository", cause })
}

/// Tells whether a text is one part of a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let begins_and_ends = text.starts_with(is_alphanumeric) && text.ends_with(is_alphanumeric);
    // what lies between two letters or digits is a separator, or nothing
    begins_and_ends && text.split(is_alphanumeric).all(is_separator)
}

/// Tells whether a character is a lower-case ASCII letter or a digit.
fn is_alphanumeric(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

/// Tells whether a text may be between the letters and digits of a repository name.
fn is_separator(text: &str) -> bool {
    matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

/// Checks a tag (distribution-spec, "Pulling manifests").
///
/// # Errors
/// [`Error::Name`].
pub fn check_tag(text: &str) -> Result<(), Error> {
    let cause = if text.len() > LONGEST_TAG {
        format!("it has more than {LONGEST_TAG} characters")
    } else if !text.starts_with(is_word) || !text.chars().all(|c| is_word(c) || matches!(c, '.' | '-')) {
        "only letters, digits and `_` are allowed, and after the first character `.` and `-`".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Name { text: text.to_owned(), kind: "tag", cause })
}

/// Tells whether a character may be the first one of a tag.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Checks a tag or digest.
///
/// # Errors
/// [`Error::Name`].
pub fn check_reference(text: &str) -> Result<(), Error> {
    if text.parse::<Digest>().is_ok() { Ok(()) } else { check_tag(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_distribution::Reference;
    use proptest::prelude::*;

    #[test]
    fn reads_addresses() {
        let insecure = ["registry.local:5000".to_owned(), "old.example".to_owned()];
        let table = [
            ("oci:out", "out"),
            ("https://harbor.example/base", "https://harbor.example/ base"),
            ("https://harbor.example:8443/base/images/", "https://harbor.example:8443/ base/images"),
            ("https://harbor.example", "https://harbor.example/ "),
            ("http://localhost:5000/x", "http://localhost:5000/ x"),
            ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000/ x"),
            ("http://[::1]:5000/x", "http://[::1]:5000/ x"),
            ("http://registry.local:5000/x", "http://registry.local:5000/ x"),
            ("http://old.example:81/x", "http://old.example:81/ x"),
            ("http://registry.local/x", "plain http"),
            ("http://harbor.example/x", "plain http"),
            ("https://u:secret@harbor.example/x", "logins do not belong"),
            ("https://harbor.example/x?y", "more than host and path"),
            ("https://harbor.example/Base", "lower-case letters"),
            ("https://harbor.example/a//b", "lower-case letters"),
            ("https://harbor.example/a:1", "lower-case letters"),
            ("harbor.example/base", "https://harbor.example/ base"),
            ("harbor.example", "https://harbor.example/ "),
            ("Harbor.Example:8443/base/images", "https://harbor.example:8443/ base/images"),
            ("registry:5000/base", "https://registry:5000/ base"),
            ("localhost:5000/base", "https://localhost:5000/ base"),
            ("[::1]:5000/base", "https://[::1]:5000/ base"),
            ("docker.io/ours/web", "https://registry-1.docker.io/ ours/web"),
            ("https://index.docker.io/ours", "https://registry-1.docker.io/ ours"),
            ("old.example/x", "https://old.example/ x"),
            // a short name is nobody's
            ("tomcat", "begins with a host"),
            ("base/tomcat", "begins with a host"),
            ("tomcat:11", "begins with a host"),
            ("./out", "begins with a host"),
            ("../out", "begins with a host"),
            ("user:secret@harbor.example/x", "logins do not belong"),
            ("docker://harbor.example/x", "its scheme is neither"),
            ("oci:", "folder is missing"),
        ];
        let rules = PlainHttpRules { insecure: &insecure, is_loopback_plain: false };
        for (text, expected) in table {
            let found = match ImageLocation::parse(text, rules) {
                Ok(ImageLocation::Layout(folder)) => folder.display().to_string(),
                Ok(ImageLocation::Registry { url, prefix }) => format!("{url} {prefix}"),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{text}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn this_machine_may_be_plain() {
        let rules = PlainHttpRules { insecure: &[], is_loopback_plain: true };
        for (text, expected) in [
            ("localhost:5000/base", "http://localhost:5000/"),
            ("127.0.0.1/base", "http://127.0.0.1/"),
            ("[::1]:443/base", "http://[::1]:443/"),
            ("https://localhost:5000/base", "https://localhost:5000/"),
            ("harbor.example/base", "https://harbor.example/"),
        ] {
            let Ok(ImageLocation::Registry { url, .. }) = ImageLocation::parse(text, rules) else { panic!("{text}") };
            assert_eq!(url.as_str(), expected, "{text}");
        }
        assert_eq!(public_name(&"https://registry-1.docker.io/".parse().unwrap()), "docker.io");
        assert_eq!(public_name(&"https://harbor.example:8443/".parse().unwrap()), "harbor.example:8443");
    }

    #[test]
    fn checks_names() {
        let long = "a".repeat(256);
        for (text, fine) in [
            ("base/java-25", true),
            ("a", true),
            ("a__b/c.d", true),
            ("a/../b", false),
            ("A", false),
            ("", false),
            ("/a", false),
            ("a:b", false),
            ("a%2Fb", false),
            ("ä", false),
            (&long, false),
        ] {
            assert_eq!(check_repository(text).is_ok(), fine, "{text}");
        }
        let digest = Digest::of(b"").to_string();
        for (text, fine) in [
            ("25-jre_1.0", true),
            (&*digest, true),
            ("sha256:12", false),
            ("-a", false),
            ("ä", false),
            ("", false),
            ("a/b", false),
            (&long, false),
        ] {
            assert_eq!(check_reference(text).is_ok(), fine, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "((https?|oci):[/a-zA-Z.@:0-9]{0,40}|\\PC{0,80})") {
            let _any = ImageLocation::parse(&text, PlainHttpRules::default());
            let _any = check_reference(&text);
            if check_repository(&text).is_ok() {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#:@".contains(&byte)));
            }
        }

        // compiling that crate's grammar takes longer than a request, so it is only asked here
        #[test]
        fn names_are_those_of_the_reference_grammar(text in "[a-c._/-]{0,6}", tag in "[a-cA-C0-9._-]{0,5}") {
            let whole = Reference::try_from(format!("registry.example/{text}"));
            let is_name = whole.is_ok_and(|whole| whole.repository() == text);
            prop_assert_eq!(check_repository(&text).is_ok(), is_name, "{}", text);
            let whole = Reference::try_from(format!("registry.example/x:{tag}"));
            let is_tag = whole.is_ok_and(|whole| whole.tag() == Some(&tag));
            prop_assert_eq!(check_tag(&tag).is_ok(), is_tag, "{}", tag);
        }
    }
}
