//! Where a bundle is: a layout folder, an archive file, or a repository of a registry.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a bundle is or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleLocation {
    /// `oci:DIR`
    Layout(PathBuf),
    /// `oci-archive:FILE`
    Archive(PathBuf),
    /// `https://host/repository:tag`, or `…@sha256:…` to read from.
    Registry {
        /// `https://host/repository`
        address: String,
        /// Tag or digest.
        reference: String,
    },
}

/// The text is not the location of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place for a bundle (oci:DIR, oci-archive:FILE, https://HOST/REPOSITORY:TAG)")]
pub struct UnknownBundleLocation(pub String);

impl FromStr for BundleLocation {
    type Err = UnknownBundleLocation;

    fn from_str(text: &str) -> Result<Self, UnknownBundleLocation> {
        Self::parse(text).ok_or_else(|| {
            // an address may contain a password by mistake
            UnknownBundleLocation(crate::sys::http::mask(text))
        })
    }
}

impl BundleLocation {
    /// Reads a location; `None` when the text is none.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("oci", path)) if !path.is_empty() => Some(Self::Layout(path.into())),
            Some(("oci-archive", path)) if !path.is_empty() => Some(Self::Archive(path.into())),
            Some(("https" | "http", rest)) if rest.starts_with("//") => {
                // only after the last slash: a colon before it belongs to scheme or port
                let name = text.rfind('/').map_or(0, |slash| slash + 1);
                let end = name + text[name..].find(['@', ':'])?;
                let (address, reference) = (text[..end].to_owned(), text[end + 1..].to_owned());

                // a host alone has no repository
                let has_path = address.matches('/').count() >= 3 && !address.ends_with('/');
                (has_path && !reference.is_empty()).then_some(Self::Registry { address, reference })
            }
            _ => None,
        }
    }
}

impl fmt::Display for BundleLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::Archive(path) => write!(f, "oci-archive:{}", path.display()),
            Self::Registry { address, reference } => {
                // only a digest has a colon
                let separator = if reference.contains(':') { '@' } else { ':' };
                write!(f, "{}{separator}{reference}", crate::sys::http::mask(address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let digest = format!("https://r.example:8443/a/b@sha256:{}", "0".repeat(64));
        for text in ["oci:dir", "oci-archive:a:b.tar", "https://r.example:8443/team/bundle:1", &digest] {
            assert_eq!(text.parse::<BundleLocation>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "oci:",
            "oci-archive:",
            "docker-archive:x",
            "bundle",
            "https://r.example",
            "https://r.example:8443",
            "https://r.example/a/b",
            "https://r.example/a/b:",
            "https://u:secret@r.example/a",
        ] {
            let error = text.parse::<BundleLocation>().expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
