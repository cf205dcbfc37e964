//! Settings of a project that do not belong into recipes. The registry file `base-images/registry.yaml` says where
//! images are published, what the gate lets through, where archives are mirrored, and who is notified of published
//! images.
//!
//! - **In**: the text of the file.
//! - **Out**: a [`RegistryFile`], in the types of those who act on it.
//! - **Invariants**: all problems are reported at once; paths are relative to the file, and no path that a project's
//!   own file names leads through a link.
//! - **Not here**: flags and environment variables (`cli::settings`), opening registries (`jobs`).

pub(crate) mod gate;
mod setup;

pub use setup::SetupFile;

use crate::gate::GatePolicy;
use crate::harbor::scan::ScanPatience;
use crate::oci::registry;
use crate::oci::registry::address::ImageLocation;
use crate::oci::registry::address::PlainHttpRules;
use crate::oci::registry::address::may_be_talked_to;
use crate::recipe::Error;
use crate::recipe::level::maybe;
use crate::recipe::level::seconds;
use crate::recipe::level::text;
use crate::recipe::level::texts;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::parse;
use crate::recipe::scalar::size;
use crate::recipe::schema::REGISTRY;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::validate::ParameterPhase;
use crate::recipe::validate::validate;
use crate::sys::beneath::ConfinedFolder;
use crate::sys::fs;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Default path of the file in a project.
pub const REGISTRY_FILE: &str = "base-images/registry.yaml";

/// Largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The content of the file; every key may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryFile {
    /// Folder of the file.
    pub folder: PathBuf,
    /// `https://host/project` or `oci:DIR`.
    pub target: Option<String>,
    /// Hosts that may be talked to over plain http.
    pub insecure: Vec<String>,
    /// Addresses of this machine without a scheme mean plain http; set by a flag.
    pub is_loopback_plain: bool,
    /// Whether the target is a Harbor, where the file says so.
    pub harbor: Option<bool>,
    /// The file has a gate.
    pub has_gate: bool,
    /// Images get Docker's media types in registries.
    pub docker_types: bool,
    /// The two projects, where images are judged before they are released.
    pub projects: Option<Projects>,
    /// File with the login that pushes and scans; it is for the target alone ([`crate::oci::registry::credentials`]).
    pub credentials: Option<PathBuf>,
    /// File with the login that alone may write to the release project.
    pub release_credentials: Option<PathBuf>,
    /// Certificate authorities to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and key for mutual TLS.
    pub client_certificate: Option<PathBuf>,
    /// Most requests at the same time.
    pub parallel: Option<usize>,
    /// Longest outage of the registry that is waited for.
    pub outage: Option<Duration>,
    /// Most bytes of one upload request.
    pub chunk: Option<u64>,
    /// What the gate lets through.
    pub gate: GatePolicy,
    /// How long to wait for a scan.
    pub patience: ScanPatience,
    /// What `publish --setup` sets up.
    pub setup: SetupFile,
    /// Mirrors that are tried first, by name of the archive.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// File with logins for archives, in the form of apt's `auth.conf`.
    pub archive_logins: Option<PathBuf>,
    /// Files with a client certificate and its key for an archive, by host.
    pub archive_certificates: BTreeMap<String, PathBuf>,
    /// Where build results are shared between machines.
    pub cache: Option<CacheFile>,
    /// Receivers of a message for each published image.
    pub announce: Vec<ReceiverEntry>,
    /// Files, folders and addresses with OSV records.
    pub advisories: Vec<String>,
}

/// Harbor projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projects {
    /// Where images are pushed to and scanned.
    pub staging: String,
    /// Where people pull from.
    pub release: String,
}

/// A receiver of messages about published images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverEntry {
    /// Where messages are sent.
    pub url: String,
    /// File with the key that signs them.
    pub secret: PathBuf,
}

impl RegistryFile {
    /// Returns the part of a repository that released images lie below: the release project, or `prefix`, the target's
    /// own, where there are no two projects.
    #[must_use]
    pub fn released_below<'a>(&'a self, prefix: &'a str) -> &'a str {
        self.projects.as_ref().map_or(prefix, |projects| &projects.release)
    }

    /// Parses an address by the file's rules for plain http.
    ///
    /// # Errors
    /// [`registry::Error::Name`].
    pub fn location(&self, text: &str) -> Result<ImageLocation, registry::Error> {
        let rules = PlainHttpRules { insecure: &self.insecure, is_loopback_plain: self.is_loopback_plain };
        ImageLocation::parse(text, rules)
    }

    /// Reads the file of a project, [`REGISTRY_FILE`]; `None` when there is none. Neither the file itself nor a file
    /// that it names by a path below the project may be reached through a link.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems, [`Error::Files`] when it cannot be read.
    pub fn of_project(project: &Path) -> Result<Option<Self>, Error> {
        let files = ConfinedFolder::new(project);
        let text = match files.read_text(REGISTRY_FILE, LARGEST) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // the folder is only for paths within the file: the file itself was opened through `files`
        let path = project.join(REGISTRY_FILE);
        Self::understand(REGISTRY_FILE, &text, path.parent().unwrap_or(project), Some(&files)).map(Some)
    }

    /// Reads a file that the operator names; `None` when there is none. Paths in it are relative to its folder, and
    /// links are followed.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems, [`Error::Files`] when it cannot be read.
    pub fn read(path: &Path, shown: &str) -> Result<Option<Self>, Error> {
        let text = match fs::read_text(path, LARGEST) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(shown, &text, folder).map(Some)
    }

    /// Reads the text of the file; `shown` is its path for messages.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems.
    pub fn parse(shown: &str, text: &str, folder: &Path) -> Result<Self, Error> {
        Self::understand(shown, text, folder, None)
    }

    /// Reads the text; `project` checks the paths below the project.
    fn understand(shown: &str, text: &str, folder: &Path, project: Option<&ConfinedFolder>) -> Result<Self, Error> {
        let source = SourceFile::new(shown.to_owned(), text.to_owned());
        let mut problems = Diagnostics::default();

        let mut file = Self::default();
        // without a document there is nothing to check: its syntax errors are problems already
        if let Some(root) = parse(&source, &mut problems) {
            validate(&source, &root, &REGISTRY, ParameterPhase::Filled, &mut problems);
            check_projects(&source, &root, &mut problems);
            check_harbor(&source, &root, &mut problems);
            check_media_types(&source, &root, &mut problems);
            check_receivers(&source, &root, &mut problems);

            // an operator's own file may lead anywhere, a project comes from a repository that others write to
            if let Some(project) = project {
                check_files(&source, &root, project, &mut problems);
            }
            file = Self::of(&root, folder);
        }

        if problems.has_error() { Err(Error::Invalid(problems.sorted())) } else { Ok(file) }
    }

    /// Converts a validated document. Nodes that are wrong become defaults: their problems were reported before.
    fn of(root: &YamlNode, folder: &Path) -> Self {
        let projects = root
            .get("projects")
            .map(|node| Projects { staging: text(node.get("staging")), release: text(node.get("release")) });
        let advisories = texts(root.get("advisories"));
        let receivers = root.get("announce").map(YamlNode::items).unwrap_or_default();
        let mirrors = root.get("mirrors").map(YamlNode::entries).unwrap_or_default();
        let certificates = root.get("archive-client-certificates").map(YamlNode::entries).unwrap_or_default();

        Self {
            folder: folder.to_owned(),
            target: maybe(root.get("target")),
            insecure: texts(root.get("insecure")),
            is_loopback_plain: false,
            harbor: root.get("harbor").map(|node| node.text() == "true"),
            docker_types: root.get("media-types").is_some_and(|node| node.text() == "docker"),
            has_gate: root.get("gate").is_some(),
            projects,
            credentials: path(root.get("credentials"), folder),
            release_credentials: path(root.get("release-credentials"), folder),
            ca_file: path(root.get("ca-file"), folder),
            client_certificate: path(root.get("client-certificate"), folder),
            parallel: count(root.get("parallel")),
            outage: seconds(root.get("outage")).map(Duration::from_secs),
            chunk: bytes(root.get("chunk")),
            gate: root.get("gate").map(gate::policy).unwrap_or_default(),
            patience: root.get("gate").map(gate::patience).unwrap_or_default(),
            setup: root.get("setup").map(|node| SetupFile::of(node, folder)).unwrap_or_default(),
            cache: root.get("cache").map(|node| CacheFile::of(node, folder)),
            announce: receivers.iter().map(|node| ReceiverEntry::of(node, folder)).collect(),
            advisories: advisories.iter().map(|name| located(name, folder)).collect(),
            archive_logins: path(root.get("archive-logins"), folder),
            archive_certificates: certificates
                .iter()
                .map(|(host, file)| (host.text.clone(), folder.join(file.text())))
                .collect(),
            mirrors: mirrors.iter().map(|(name, list)| (name.text.clone(), texts(Some(list)))).collect(),
        }
    }
}

/// The repository for build results that machines share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFile {
    /// Name of the repository in the target's registry, with its project.
    pub repository: String,
    /// PEM file with the public key that entries must be signed with.
    pub verify: Option<PathBuf>,
    /// PEM file with the private key that signs entries.
    pub sign: Option<PathBuf>,
}

impl CacheFile {
    fn of(node: &YamlNode, folder: &Path) -> Self {
        Self {
            repository: text(node.get("repository")),
            verify: path(node.get("verify"), folder),
            sign: path(node.get("sign"), folder),
        }
    }
}

impl ReceiverEntry {
    fn of(node: &YamlNode, folder: &Path) -> Self {
        Self { url: text(node.get("url")), secret: folder.join(text(node.get("secret"))) }
    }
}

/// Reads a path, which is relative to the file's folder.
fn path(node: Option<&YamlNode>, folder: &Path) -> Option<PathBuf> {
    node.map(|node| folder.join(node.text()))
}

/// Reads a path, which is relative to the file's folder, or an address.
fn located(name: &str, folder: &Path) -> String {
    // OSV records may be on a server as well as in the project
    let is_address = name.starts_with("https://") || name.starts_with("http://");
    if is_address { name.to_owned() } else { folder.join(name).display().to_string() }
}

/// Checks what the schema cannot express: that target and projects fit together.
fn check_projects(source: &SourceFile, root: &YamlNode, problems: &mut Diagnostics) {
    // projects are Harbor's, so a layout folder cannot have any
    let target = root.get("target");
    let is_folder = target.is_none_or(|node| node.text().starts_with("oci:"));
    let Some(projects) = root.get("projects") else { return };
    if is_folder {
        problems.error(source, projects.place, "`projects` need a `target` that is a registry");
    } else if let Some(node) = target.filter(|node| has_path(node.text())) {
        let help = "the address ends with the host when projects are named";
        problems.error_with_help(source, node.place, "the target has a project of its own", help);
    }

    // in one project people could pull an image before it was judged
    if let (Some(staging), Some(release)) = (projects.get("staging"), projects.get("release"))
        && staging.text() == release.text()
    {
        problems.error(source, release.place, "images must not be judged in the project that people pull from");
    }
}

/// Tells whether an address has more than scheme and host.
fn has_path(target: &str) -> bool {
    target.split_once("://").map_or(target, |(_, rest)| rest).trim_end_matches('/').contains('/')
}

/// Refuses Docker's media types where images are shared: the cache's entries name digests of OCI documents.
fn check_media_types(source: &SourceFile, root: &YamlNode, problems: &mut Diagnostics) {
    let is_docker = root.get("media-types").is_some_and(|node| node.text() == "docker");
    if let (true, Some(cache)) = (is_docker, root.get("cache")) {
        let help = "a registry without OCI's media types cannot have a shared cache: leave out `cache`";
        problems.error_with_help(source, cache.place, "`cache` needs OCI's media types", help);
    }
}

/// Refuses to do without what only a Harbor can do.
fn check_harbor(source: &SourceFile, root: &YamlNode, problems: &mut Diagnostics) {
    if root.get("harbor").is_none_or(|node| node.text() != "false") {
        return;
    }
    // images would be released that nobody judged
    for key in ["projects", "gate"] {
        if let Some(node) = root.get(key) {
            let help = "leave out `harbor: false`, or publish without a gate";
            problems.error_with_help(source, node.place, &format!("`{key}` needs a Harbor"), help);
        }
    }
}

/// Refuses links on the way to files below the project. The files are opened later, by name; a link in a project could
/// make sockel read any file of the machine.
fn check_files(source: &SourceFile, root: &YamlNode, project: &ConfinedFolder, problems: &mut Diagnostics) {
    let single = FILE_KEYS.iter().filter_map(|keys| keys.iter().try_fold(root, |node, key| node.get(key)));
    let receivers =
        root.get("announce").map(YamlNode::items).unwrap_or_default().iter().filter_map(|node| node.get("secret"));
    let advisories = root.get("advisories").map(YamlNode::items).unwrap_or_default().iter();

    for node in single.chain(receivers).chain(advisories) {
        let Some(path) = below_project(node.text()) else { continue };
        if let Err(error) = project.check(&path) {
            let help = "a file of the operator's is named by its absolute path";
            problems.error_with_help(source, node.place, &error.to_string(), help);
        }
    }
}

/// Keys that name a file or folder.
const FILE_KEYS: &[&[&str]] = &[
    &["credentials"],
    &["release-credentials"],
    &["ca-file"],
    &["client-certificate"],
    &["archive-logins"],
    &["cache", "verify"],
    &["cache", "sign"],
    &["setup", "robots"],
];

/// Returns the path of a file from the project's folder; `None` for an address, and for a path that openly leads out of
/// the project: that one is the operator's responsibility.
fn below_project(text: &str) -> Option<String> {
    if Path::new(text).is_absolute() || text.contains("://") {
        return None;
    }

    // paths are relative to the folder of the registry file
    let mut parts: Vec<&str> = REGISTRY_FILE.split('/').collect();
    parts.pop();

    for part in text.split('/') {
        match part {
            "" | "." => (),
            // above the project's folder nothing is left to pop
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/")).filter(|path| !path.is_empty())
}

/// Checks that messages go over plain http only to this machine and to hosts that `insecure` names.
fn check_receivers(source: &SourceFile, root: &YamlNode, problems: &mut Diagnostics) {
    let insecure = texts(root.get("insecure"));
    let urls = root.get("announce").map(YamlNode::items).unwrap_or_default().iter().filter_map(|node| node.get("url"));

    for node in urls {
        // what is no URL was reported by the schema
        if Url::parse(node.text()).is_ok_and(|url| !may_be_talked_to(&url, &insecure)) {
            let help = "use https, or name its host in `insecure`";
            problems.error_with_help(source, node.place, "messages would be sent over plain http", help);
        }
    }
}

/// Reads a flag; a missing one is off.
pub(crate) fn is_true(node: Option<&YamlNode>) -> bool {
    node.is_some_and(|node| node.text() == "true")
}

/// Reads a number.
pub(crate) fn count(node: Option<&YamlNode>) -> Option<usize> {
    node.and_then(|node| node.text().parse().ok())
}

/// Reads a size such as `64MiB`, in bytes.
pub(crate) fn bytes(node: Option<&YamlNode>) -> Option<u64> {
    node.and_then(|node| size(node.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match RegistryFile::parse("base-images/registry.yaml", text, Path::new("base-images")) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(list)) => list.iter().map(|problem| problem.message.clone()).collect(),
            Err(other) => vec![other.to_string()],
        }
    }

    #[test]
    fn reads_everything() {
        let text = "
target: https://harbor.example.org
projects: { staging: base-staging, release: base }
credentials: /run/secrets/robot.json
ca-file: ca.pem
parallel: 4
chunk: 64MiB
gate:
  severity: critical
  fixable-only: true
  database-age: 24h
  exemptions:
    - { vulnerability: CVE-2026-1234, package: libc6, reason: not reachable, expires: 2026-12-31 }
setup: { staging-storage: 50GiB, robots: secrets, robot-validity: 90d }
mirrors: { ubuntu: [ \"http://mirror.example/ubuntu\" ] }
advisories: [ osv/all.zip, \"https://osv.example/all.zip\" ]
announce: [ { url: \"https://hooks.example/x\", secret: hook } ]
";
        let file = RegistryFile::parse("base-images/registry.yaml", text, Path::new("base-images")).unwrap();
        assert_eq!(file.credentials.as_deref(), Some(Path::new("/run/secrets/robot.json")));
        assert_eq!(file.ca_file.as_deref(), Some(Path::new("base-images/ca.pem")));
        assert_eq!((file.parallel, file.chunk), (Some(4), Some(64 << 20)));
        assert_eq!(file.gate.exemptions[0].terms.expires.to_string(), "2027-01-01T00:00:00Z");
        assert_eq!((file.setup.staging_storage, file.setup.robot_days), (Some(50 << 30), Some(90)));
        assert_eq!(file.advisories, ["base-images/osv/all.zip", "https://osv.example/all.zip"]);
        let (url, secret) = ("https://hooks.example/x".to_owned(), "base-images/hook".into());
        assert_eq!(file.announce, [ReceiverEntry { url, secret }]);
        assert_eq!(file.mirrors["ubuntu"], ["http://mirror.example/ubuntu"]);
    }

    #[test]
    fn says_everything_that_is_wrong() {
        let table = [
            ("target: oci:out\nprojects: { staging: a, release: b }", "`projects` need a `target`"),
            ("target: https://h/p\nprojects: { staging: a, release: b }", "the target has a project"),
            ("target: https://h\nprojects: { staging: a, release: a }", "must not be judged"),
            ("target: ftp://h", "is not where images can go"),
            ("gate: { severity: bad }", "unknown severity `bad`"),
            ("gate: { exemptions: [ { vulnerability: CVE-1, reason: x, expires: tomorrow } ] }", "is not a date"),
            ("chunk: 5", "is not a size"),
            ("announce: [ { url: \"http://h/x\", secret: s } ]", "over plain http"),
            ("target: tomcat\nprojects: { staging: a, release: b }", "is not where images can go"),
            ("target: h.example/p\nprojects: { staging: a, release: b }", "the target has a project"),
            ("target: h.example\nharbor: false\nprojects: { staging: a, release: b }", "`projects` needs a Harbor"),
            ("target: h.example\nharbor: false\ngate: { severity: high }", "`gate` needs a Harbor"),
            ("media-types: docker\ncache: { repository: a/b }", "`cache` needs OCI's media types"),
            ("media-types: x", "unknown kind of media types `x`"),
            ("harbor: x", "is not `true` or `false`"),
            ("harbors: true", "unknown key `harbors`"),
        ];
        for (text, expected) in table {
            let found = problems(text);
            assert!(found.iter().any(|message| message.contains(expected)), "{text}: {found:?}");
        }
    }
}
