//! One path of a root file system: its type, its attributes and its origin.

use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Where an entry comes from. Every path of an image has an origin, so every byte can be explained.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryOrigin {
    /// A binary package, by its name.
    Package(String),
    /// A recipe, by its name.
    Recipe(String),
    /// A generator, by its name.
    Generator(String),
}

impl fmt::Display for EntryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => write!(f, "package {name}"),
            Self::Recipe(name) => write!(f, "recipe {name}"),
            Self::Generator(name) => write!(f, "generator {name}"),
        }
    }
}

/// Content of a regular file: its digest and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Where to read the bytes.
    pub source: ContentSource,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentSource {
    /// In the payload file of an unpacked package in the store.
    Payload {
        /// Key of the unpacked package.
        key: Digest,
        /// Offset of the first byte in the payload.
        offset: u64,
    },
    /// In the entry itself: written by a recipe or a generator.
    Inline(Arc<[u8]>),
}

impl FileContent {
    /// Returns content that the entry itself holds, for small generated files.
    #[must_use]
    pub fn inline(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), size: bytes.len() as u64, source: ContentSource::Inline(bytes) }
    }
}

/// File type of an entry. Images of sockel contain no devices, sockets or FIFOs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File(FileContent),
    /// A symbolic link, with its target exactly as written.
    Symlink(String),
    /// Another name for a regular file of the same package. Its content is repeated, so that the entry can become a
    /// regular file when the first name is left out.
    Hardlink {
        /// Path of the first name, in the same form as [`TreeEntry::path`].
        target: String,
        /// Content of the file.
        content: FileContent,
    },
}

/// One path with its attributes. Owners are numeric; `mode` includes the setuid, setgid and sticky bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path without leading or trailing slash, `/`-separated, no `.` or `..` parts, UTF-8.
    pub path: String,
    /// File type, with the content or the link target.
    pub kind: EntryKind,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Numeric user ID of the owner.
    pub uid: u32,
    /// Numeric group ID.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Where the entry comes from.
    pub origin: EntryOrigin,
}

impl TreeEntry {
    /// Returns the content of a regular file or hard link.
    #[must_use]
    pub fn content(&self) -> Option<&FileContent> {
        match &self.kind {
            EntryKind::File(content) | EntryKind::Hardlink { content, .. } => Some(content),
            EntryKind::Directory | EntryKind::Symlink(_) => None,
        }
    }

    /// Returns the target of a symbolic link.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        match &self.kind {
            EntryKind::Symlink(target) => Some(target),
            _ => None,
        }
    }
}
