//! The platforms that images are built for, in OCI's and in Debian's spelling.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A processor architecture that images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// x86-64, Debian `amd64`.
    Amd64,
    /// 64-bit Arm, Debian `arm64`.
    Arm64,
}

impl Architecture {
    /// Returns Debian's name, which for these two is also OCI's (`GOARCH`).
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the multiarch tuple that names library folders (Debian policy, multiarch).
    #[must_use]
    pub fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// Returns the OCI variant: arm64 is `v8` by convention, amd64 has none.
    #[must_use]
    pub fn variant(self) -> Option<&'static str> {
        match self {
            Self::Amd64 => None,
            Self::Arm64 => Some("v8"),
        }
    }
}

/// An operating system and architecture, written `linux/amd64` (OCI image-index, `platform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform(pub Architecture);

/// The text does not name a supported platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a supported platform (linux/amd64, linux/arm64)")]
pub struct UnknownPlatform(pub String);

impl Platform {
    /// Returns the architecture.
    #[must_use]
    pub fn architecture(self) -> Architecture {
        self.0
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.0.debian())
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, UnknownPlatform> {
        match text {
            "linux/amd64" => Ok(Self(Architecture::Amd64)),
            // image indexes of others spell the variant out, sockel's own text leaves it out
            "linux/arm64" | "linux/arm64/v8" => Ok(Self(Architecture::Arm64)),
            _ => Err(UnknownPlatform(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Platform {
    type Error = UnknownPlatform;

    fn try_from(text: String) -> Result<Self, UnknownPlatform> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}
