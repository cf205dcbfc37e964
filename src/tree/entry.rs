//! One path of a root file system: what it is, who owns it, and where it came from.

use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Where an entry came from; the reason why every byte of an image can be explained.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A binary package, by name.
    Package(String),
    /// A recipe file, by recipe name.
    Recipe(String),
    /// A generator, by its name.
    Generator(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => write!(f, "package {name}"),
            Self::Recipe(name) => write!(f, "recipe {name}"),
            Self::Generator(name) => write!(f, "generator {name}"),
        }
    }
}

/// Bytes of a regular file: their digest, and where to read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Where the bytes are.
    pub source: Source,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// In the payload file of an unpacked package in the store.
    Payload {
        /// Key of the unpacked package.
        key: Digest,
        /// First byte.
        offset: u64,
    },
    /// Here: written by a recipe or generator.
    Inline(Arc<[u8]>),
}

impl Content {
    /// Returns content that is carried along, for small generated files.
    #[must_use]
    pub fn inline(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), size: bytes.len() as u64, source: Source::Inline(bytes) }
    }
}

/// What kind of thing a path is. Devices, sockets and FIFOs do not exist in our images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link with its target as written.
    Symlink(String),
    /// Another name for a regular file of the same package; its content is repeated so that it can stand alone.
    Hardlink {
        /// Path of the first name, in the same form as [`Entry::path`].
        target: String,
        /// The bytes of the file.
        content: Content,
    },
}

/// One path with its attributes. Owners are numeric; setuid, setgid and sticky bits are part of `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path without leading or trailing slash, `/`-separated, no `.` or `..` parts, UTF-8.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Where it came from.
    pub origin: Origin,
}

impl Entry {
    /// Returns the content, for regular files and hard links.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) | Kind::Hardlink { content, .. } => Some(content),
            Kind::Directory | Kind::Symlink(_) => None,
        }
    }
}
