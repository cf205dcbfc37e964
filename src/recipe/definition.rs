//! The complete definition of one image: what every level contains, with all parameters filled in.

use crate::values::Digest;
use crate::values::Platform;
use crate::values::WaiverTerms;
use serde::Serialize;
use std::collections::BTreeMap;

/// One image as its recipes and its base-image file describe it, before any package is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDefinition {
    /// Image name: the name of the base-image file, followed by `-<variant>` for variants.
    pub image: String,
    /// Parent image, if the project defines it: the image with the same levels without the last.
    pub parent: Option<String>,
    /// Platforms to build, sorted.
    pub platforms: Vec<Platform>,
    /// Values of all parameters, whether set by the image, default or derived.
    pub parameters: BTreeMap<String, String>,
    /// Archives that packages come from, in the root recipe's order.
    pub archives: Vec<ArchiveDefinition>,
    /// Levels from the root up, for each platform, because `${arch}` differs.
    pub levels: BTreeMap<Platform, Vec<LevelDefinition>>,
    /// SHA-256 of every file that went into the definition, by path relative to the project folder.
    pub inputs: BTreeMap<String, Digest>,
    /// Repository and tags of the published image.
    pub publish: PublishSettings,
    /// Package whose version becomes the image's version.
    pub version_of: Option<String>,
    /// Purpose of the image, for people.
    pub purpose: String,
    /// Who is responsible for the image.
    pub owner: ImageOwner,
    /// How often the image is rebuilt.
    pub rebuild: RebuildSchedule,
}

/// An APT archive with its pockets, as the root recipe names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveDefinition {
    /// Name of the archive in the recipe.
    pub name: String,
    /// Official address, without trailing slash.
    pub uri: String,
    /// Official addresses of single architectures, by Debian architecture.
    pub uris: BTreeMap<String, String>,
    /// Address template of the snapshot service, with `{timestamp}`.
    pub snapshot: Option<String>,
    /// Armored OpenPGP certificates.
    pub keys: Vec<Vec<u8>>,
    /// Pinned primary-key fingerprints, upper-case hexadecimal.
    pub fingerprints: Vec<String>,
    /// Required `Origin` of the Release file; none means that there must be none.
    pub origin: Option<String>,
    /// Required `Label` of the Release file; none means that there must be none.
    pub label: Option<String>,
    /// Components to read; none in a flat repository.
    pub components: Vec<String>,
    /// Pockets by name (`release`, `updates`, `security`), in the recipe's order.
    pub pockets: Vec<PocketDefinition>,
}

impl ArchiveDefinition {
    /// Tells whether the recipe pins a key, by its fingerprint.
    #[must_use]
    pub fn pins(&self, fingerprint: &str) -> bool {
        self.fingerprints.iter().any(|pinned| pinned.eq_ignore_ascii_case(fingerprint))
    }
}

/// One suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PocketDefinition {
    /// Purpose of the suite: `release`, `updates` or `security`.
    pub name: String,
    /// Path of the suite below `dists/`; of a flat repository its path with a slash at the end.
    pub suite: String,
    /// Required `Suite` of the Release file, if it is not [`Self::suite`].
    pub expected_suite: Option<String>,
    /// Required `Codename` of the Release file; none means that there must be none.
    pub codename: Option<String>,
    /// Official address, if it differs from the archive's.
    pub uri: Option<String>,
    /// Whether the pocket never changes once it is published.
    pub frozen: bool,
    /// Age in seconds from which sockel warns about the pocket.
    pub warn_after: Option<u64>,
    /// Age in seconds from which sockel refuses the pocket.
    pub max_age: Option<u64>,
}

/// What one recipe adds to an image, for one platform.
//
// The names and the order of its fields are part of `Definition::identity`, and so of every lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LevelDefinition {
    /// Name of the recipe.
    pub recipe: String,
    /// One line about the level, for people.
    pub title: String,
    /// Requested packages, as relations (Debian policy 7.1).
    pub packages: Vec<String>,
    /// Dependencies that are not installed, each with its reason.
    pub exclude_packages: BTreeMap<String, String>,
    /// Patterns of paths excluded from this level and all above it, each with its reason.
    pub exclude_paths: BTreeMap<String, String>,
    /// Patterns of paths kept although they are excluded.
    pub include_paths: Vec<String>,
    /// Targets of symbolic links, by path.
    pub links: BTreeMap<String, String>,
    /// Attributes of folders, by path.
    pub directories: BTreeMap<String, FileAttributes>,
    /// Files that the recipe provides, by path.
    pub files: BTreeMap<String, FileDefinition>,
    /// Copies of package files, by the path of the copy.
    pub copies: BTreeMap<String, CopyDefinition>,
    /// Paths of lower levels or packages that this level may replace, each with its reason.
    pub replaces: BTreeMap<String, String>,
    /// Paths that packages bring and that go elsewhere, as with dpkg-divert(1).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub diversions: BTreeMap<String, PathDiversion>,
    /// User accounts that the level adds, by name.
    pub users: BTreeMap<String, UserAccount>,
    /// Ids of the groups that the level adds, by name.
    pub groups: BTreeMap<String, u32>,
    /// Certificate stores to write.
    pub certificates: CertificateStores,
    /// Names of the plain generators to run, in the order in which they run.
    pub generate: Vec<String>,
    /// Time zone for `/etc/localtime`.
    pub localtime: Option<String>,
    /// Form of the package database in the image.
    pub package_database: PackageDatabase,
    /// Most layers that the level is split into.
    pub layers: usize,
    /// Run-time configuration that this level adds.
    pub config: RuntimeConfig,
    /// Findings of checks that the level accepts. They change no byte of an image, so no lock depends on them.
    #[serde(skip)]
    pub accept: Vec<AcceptedFinding>,
    /// What the recipe asks for that may have no effect, as it is written.
    #[serde(skip)]
    pub requests: Vec<RecipeRequest>,
}

/// A finding of a check that a recipe accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AcceptedFinding {
    /// Name of the finding.
    pub finding: String,
    /// The very path at which it is accepted.
    pub path: String,
    /// Why, who agreed, until when.
    #[serde(flatten)]
    pub terms: WaiverTerms,
}

impl AcceptedFinding {
    /// Returns finding and path as one text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.finding, self.path)
    }
}

/// A line of a recipe that asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeRequest {
    /// Where it stands.
    pub section: RequestSection,
    /// Its text with parameters filled in.
    pub filled: String,
    /// Its text as written.
    pub written: String,
    /// File and line, `recipes/java.yaml:12`.
    pub place: String,
}

/// A section of a recipe whose lines may have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestSection {
    /// `exclude.packages`
    ExcludedPackages,
    /// `exclude.paths`
    ExcludedPaths,
    /// `include-paths`
    IncludedPaths,
    /// `replaces`
    Replaces,
    /// `directories`
    Directories,
    /// `divert`
    Diversions,
    /// `accept`
    Accept,
}

impl RequestSection {
    /// Returns the key in a recipe.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::ExcludedPackages => "exclude.packages",
            Self::ExcludedPaths => "exclude.paths",
            Self::IncludedPaths => "include-paths",
            Self::Replaces => "replaces",
            Self::Directories => "directories",
            Self::Diversions => "divert",
            Self::Accept => "accept",
        }
    }
}

/// Where a diverted path goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathDiversion {
    /// Absolute path that files of other packages get.
    pub to: String,
    /// Package whose own file stays at the path.
    pub by: String,
}

/// Mode and numeric owner of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileAttributes {
    /// Permission bits.
    pub mode: u32,
    /// Id of the owner.
    pub uid: u32,
    /// Id of the group.
    pub gid: u32,
}

/// A file that a recipe provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDefinition {
    /// Bytes of the file; serialised as their digest.
    #[serde(serialize_with = "as_digest")]
    pub content: Vec<u8>,
    /// Mode and owner of the file.
    pub attributes: FileAttributes,
}

/// Keeps [`ImageDefinition::identity`](crate::recipe::ImageDefinition::identity) small: a file counts by its digest.
fn as_digest<S: serde::Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Digest::of(content).serialize(serializer)
}

/// A copy of a file that a package contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyDefinition {
    /// Absolute path of the file to copy.
    pub from: String,
    /// Mode and owner of the copy.
    pub attributes: FileAttributes,
}

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserAccount {
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

/// Certificate stores that a level writes, from the CA packages and the organisation's own certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CertificateStores {
    /// Whether to write the PEM bundle and the hashed links.
    pub bundle: bool,
    /// PEM text of the organisation's certificates, by file name.
    pub extra: BTreeMap<String, String>,
    /// Absolute path of the Java trust store to write.
    pub java_trust_store: Option<String>,
}

/// Form in which installed packages are recorded in the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageDatabase {
    /// One file per package below `/var/lib/dpkg/status.d`.
    #[default]
    StatusD,
    /// `/var/lib/dpkg/status` and `info/`, for images in which people run apt.
    Dpkg,
}

/// Run-time configuration (OCI image configuration, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RuntimeConfig {
    /// Numeric `uid:gid` that the service runs as.
    pub user: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub command: Option<Vec<String>>,
    /// Working directory.
    pub working_directory: Option<String>,
    /// Exposed ports, such as `8080/tcp`.
    pub ports: Vec<String>,
    /// Paths that need a writable mount when the root is read-only, each with its reason.
    pub writable: BTreeMap<String, String>,
    /// Signal that stops the service.
    pub stop_signal: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// Where an image is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishSettings {
    /// Repository name below the registry's project.
    pub repository: String,
    /// Tag templates; `{fixed}`, `{version}` and `{date}` are filled in at build time.
    pub tags: Vec<String>,
}

/// Who is responsible for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOwner {
    /// Organisational unit or person.
    pub name: String,
    /// Mail address or URL.
    pub contact: String,
}

/// How often an image is rebuilt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildSchedule {
    /// Normal interval in seconds.
    pub every: Option<u64>,
    /// Longest delay in seconds when a security update is pending.
    pub urgent_within: Option<u64>,
}

impl ImageDefinition {
    /// Returns the platforms that are among these; an empty list means all.
    #[must_use]
    pub fn platforms_among(&self, wanted: &[Platform]) -> Vec<Platform> {
        let own = self.platforms.iter().copied();
        own.filter(|platform| wanted.is_empty() || wanted.contains(platform)).collect()
    }

    /// Returns the levels of one platform, root first; none for a platform that is not built.
    #[must_use]
    pub fn levels_for(&self, platform: Platform) -> &[LevelDefinition] {
        self.levels.get(&platform).map_or(&[], Vec::as_slice)
    }
}
