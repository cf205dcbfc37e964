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

/// The text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place for a bundle (oci:DIR, oci-archive:FILE, https://HOST/REPOSITORY:TAG)")]
pub struct UnknownBundleLocation(pub String);

impl FromStr for BundleLocation {
    type Err = UnknownBundleLocation;

    fn from_str(text: &str) -> Result<Self, UnknownBundleLocation> {
        // an address may hold a password by mistake
        let unknown = || UnknownBundleLocation(crate::sys::http::mask(text));
        match text.split_once(':') {
            Some(("oci", path)) if !path.is_empty() => Ok(Self::Layout(path.into())),
            Some(("oci-archive", path)) if !path.is_empty() => Ok(Self::Archive(path.into())),
            Some(("https" | "http", rest)) if rest.starts_with("//") => {
                let name = text.rfind('/').map_or(0, |slash| slash + 1);
                let end = text[name..].find(['@', ':']).map(|end| name + end).ok_or_else(unknown)?;
                let (address, reference) = (text[..end].to_owned(), text[end + 1..].to_owned());
                // a host alone has no repository
                let has_path = address.matches('/').count() >= 3 && !address.ends_with('/');
                let sound = has_path && !reference.is_empty();
                if sound { Ok(Self::Registry { address, reference }) } else { Err(unknown()) }
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for BundleLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::Archive(path) => write!(f, "oci-archive:{}", path.display()),
            Self::Registry { address, reference } => {
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
