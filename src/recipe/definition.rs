//! The complete answer for one image: what every level contains, with all parameters filled in.

use crate::values::Digest;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;

/// One image as recipes and base-image file describe it, before any package is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Image name: the base-image file's name, with `-<variant>` for variants.
    pub image: String,
    /// The image that this one stands on, where one is defined: the same levels without the last.
    pub parent: Option<String>,
    /// Platforms to build, sorted.
    pub platforms: Vec<Platform>,
    /// Values of all parameters, given, default and derived.
    pub parameters: BTreeMap<String, String>,
    /// The archives that packages come from, in the root recipe's order.
    pub archives: Vec<ArchiveDefinition>,
    /// Levels from the root up; per platform, because `${arch}` differs.
    pub levels: BTreeMap<Platform, Vec<Level>>,
    /// SHA-256 of every file that the definition was read from, by path relative to the project folder.
    pub inputs: BTreeMap<String, Digest>,
    /// Where and under which tags it is published.
    pub publish: Publish,
    /// Package whose version is the image's version.
    pub version_of: Option<String>,
    /// What the image is for.
    pub purpose: String,
    /// Who answers for it.
    pub owner: Owner,
    /// Rebuild cadence.
    pub rebuild: Rebuild,
}

/// An APT archive with all its pockets, as the root recipe names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveDefinition {
    /// Name in the recipe.
    pub name: String,
    /// Official address, without trailing slash.
    pub uri: String,
    /// Official addresses for single architectures.
    pub uris: BTreeMap<String, String>,
    /// Address pattern of the snapshot service, with `{timestamp}`.
    pub snapshot: Option<String>,
    /// Armored OpenPGP certificates.
    pub keys: Vec<Vec<u8>>,
    /// Pinned primary-key fingerprints, upper-case hexadecimal.
    pub fingerprints: Vec<String>,
    /// Required `Origin` of the Release file.
    pub origin: String,
    /// Required `Label` of the Release file.
    pub label: String,
    /// Components to read.
    pub components: Vec<String>,
    /// Pockets by name (`release`, `updates`, `security`), in the recipe's order.
    pub pockets: Vec<PocketDefinition>,
}

/// One suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PocketDefinition {
    /// `release`, `updates` or `security`.
    pub name: String,
    /// Path below `dists/`.
    pub suite: String,
    /// Required `Suite` of the Release file, where it is not [`Self::suite`].
    pub expected_suite: Option<String>,
    /// Required `Codename` of the Release file.
    pub codename: String,
    /// Official address where it differs from the archive's.
    pub uri: Option<String>,
    /// Never changes again once published.
    pub frozen: bool,
    /// Age in seconds from which a warning is due.
    pub warn_after: Option<u64>,
    /// Age in seconds from which the pocket is refused.
    pub max_age: Option<u64>,
}

/// What one recipe adds, for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Recipe name.
    pub recipe: String,
    /// One line about it.
    pub title: String,
    /// Requested packages, as relations.
    pub packages: Vec<String>,
    /// Dependencies left out, with reasons.
    pub exclude_packages: BTreeMap<String, String>,
    /// Path patterns left out, with reasons, in this level and all above.
    pub exclude_paths: BTreeMap<String, String>,
    /// Patterns of paths kept although excluded.
    pub include_paths: Vec<String>,
    /// Symbolic links: path to target.
    pub links: BTreeMap<String, String>,
    /// Folders with attributes.
    pub directories: BTreeMap<String, Attributes>,
    /// Files with their bytes.
    pub files: BTreeMap<String, FileDefinition>,
    /// Copies of package files.
    pub copies: BTreeMap<String, CopyDefinition>,
    /// Paths that this level may replace, with reasons.
    pub replaces: BTreeMap<String, String>,
    /// Accounts added here.
    pub users: BTreeMap<String, User>,
    /// Groups added here: name to id.
    pub groups: BTreeMap<String, u32>,
    /// Certificate stores to write.
    pub certificates: Certificates,
    /// Names of plain generators to run, in [`Self`]'s order.
    pub generate: Vec<String>,
    /// Time zone for `/etc/localtime`.
    pub localtime: Option<String>,
    /// Form of the package database.
    pub package_database: PackageDatabase,
    /// How many layers the level may become.
    pub layers: usize,
    /// Run-time configuration that this level adds.
    pub config: Config,
}

/// Mode and numeric owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A file that a recipe brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDefinition {
    /// Its bytes; written as their digest.
    #[serde(serialize_with = "as_digest")]
    pub content: Vec<u8>,
    /// Mode and owner.
    pub attributes: Attributes,
}

fn as_digest<S: serde::Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Digest::of(content).serialize(serializer)
}

/// A copy of a file that a package brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyDefinition {
    /// Absolute path of the file to copy.
    pub from: String,
    /// Mode and owner of the copy.
    pub attributes: Attributes,
}

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Numeric user id.
    pub uid: u32,
    /// Primary group, by name.
    pub group: String,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Comment (GECOS) field.
    pub comment: String,
}

/// Which certificate stores a level writes, from the CA packages and the organisation's own certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// Write the PEM bundle and the hashed links.
    pub bundle: bool,
    /// The organisation's certificates: file name to PEM text.
    pub extra: BTreeMap<String, String>,
    /// Absolute path of the Java trust store to write.
    pub java_trust_store: Option<String>,
}

/// Form in which installed packages are recorded in the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageDatabase {
    /// One record a package below `/var/lib/dpkg/status.d`.
    #[default]
    StatusD,
    /// `/var/lib/dpkg/status` and `info/`, for images on which people run apt.
    Dpkg,
}

/// Run-time configuration (OCI image configuration, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Numeric `uid:gid`.
    pub user: Option<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub command: Option<Vec<String>>,
    /// Working directory.
    pub working_directory: Option<String>,
    /// Exposed ports, `8080/tcp`.
    pub ports: Vec<String>,
    /// Paths that need a writable mount with a read-only root, with reasons.
    pub writable: BTreeMap<String, String>,
    /// Signal that ends the service.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where an image is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// Repository below the project.
    pub repository: String,
    /// Tag patterns; `{fixed}`, `{version}` and `{date}` are filled in at build time.
    pub tags: Vec<String>,
}

/// Who answers for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Organisational unit or person.
    pub name: String,
    /// Mail address or URL.
    pub contact: String,
}

/// How often an image is rebuilt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// Normal cadence in seconds.
    pub every: Option<u64>,
    /// Cadence in seconds when a security update is pending.
    pub urgent_within: Option<u64>,
}

impl Definition {
    /// Returns the levels for one platform, root first; none for a platform that is not built.
    #[must_use]
    pub fn levels_for(&self, platform: Platform) -> &[Level] {
        self.levels.get(&platform).map_or(&[], Vec::as_slice)
    }
}
