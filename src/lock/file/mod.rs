//! Reads and writes the lock file `base-images/<image>.lock.yaml`, in a fixed order, with a format version.

use crate::apt::index;
use crate::apt::relation;
use crate::lock::Error;
use crate::lock::print;
use crate::sys::beneath::ConfinedFolder;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

/// Version of the lock file's own format.
///
/// Format 1 named recipe files by their bytes and had one state for each pocket. It is still read, so that `sockel
/// lock` can show what changes, but nothing is built from it.
pub const FORMAT: u32 = 2;

/// Revision of the first lock for a version of the software and a date of the archives.
pub const FIRST_REVISION: u32 = 1;

/// Highest revision that is read. Nobody locks this often on one day, and the next revision must always be possible.
const LAST_REVISION: u32 = 9999;

/// The exact contents of one image, written by `sockel lock`, committed and reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// [`FORMAT`]
    pub format: u32,
    /// Engine format version: what else can change an image's bytes ([`crate::layer::ENGINE_FORMAT`]).
    pub engine: u32,
    /// Image name.
    pub image: String,
    /// Latest time that may appear in the image: the newest `Date` among the archives.
    pub epoch: Epoch,
    /// Distinguishes locks with the same version and the same date of the archives, from [`FIRST_REVISION`] up. It
    /// rises when recipes, decisions or the engine change while the archives do not.
    #[serde(default = "first_revision")]
    pub revision: u32,
    /// Parameter values.
    pub parameters: BTreeMap<String, String>,
    /// Identity of the definition ([`ImageDefinition::identity`](crate::recipe::ImageDefinition::identity)), and under
    /// `parent` the [`digest`](Self::digest) of the parent's lock.
    #[serde(default)]
    pub definition: BTreeMap<String, Digest>,
    /// Recipe files of a lock of format 1.
    #[serde(default, rename = "inputs", skip_serializing)]
    pub(crate) files: Option<BTreeMap<String, Digest>>,
    /// States of the archives that packages were chosen from, the newest of each pocket first. Older states follow if a
    /// package names them in [`LockedPackage::state`].
    pub archives: Vec<LockedPocket>,
    /// Levels from the root up.
    pub levels: Vec<LockedLevel>,
}

/// A pocket as it was read: the anchor of the chain from signature to package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPocket {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub pocket: String,
    /// Suite, as the path below `dists/`.
    pub suite: String,
    /// `Codename` of the Release file, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codename: Option<String>,
    /// `Date` of the Release file.
    pub date: Epoch,
    /// `Valid-Until`, where the archive gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Epoch>,
    /// SHA-256 of the InRelease file as served.
    pub inrelease: Digest,
    /// Fingerprint of the pinned primary key that signed it.
    pub signed_by: String,
}

/// What one recipe level contributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedLevel {
    /// Recipe name.
    pub recipe: String,
    /// Source packages of each layer, in order; `*` stands for all others.
    pub layers: Vec<Vec<String>>,
    /// Packages, by platform, sorted by name.
    pub packages: BTreeMap<Platform, Vec<LockedPackage>>,
    /// Dependencies that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<ExcludedPackage>,
    /// Decisions about the maintainer scripts of these packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<LockedScript>,
    /// Version of the reader that found the effects ([`READER`](crate::scripts::READER)); none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<u32>,
    /// Effects of maintainer scripts, with the decisions about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<LockedEffects>,
    /// Packages of which the archives have newer versions that could not be taken, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_back: Vec<KeptBackPackage>,
}

/// A package that stays as it was although the archives have a newer version; one that the level does not have is a
/// package that a newer version of another one would bring.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeptBackPackage {
    /// Binary package name.
    pub package: String,
    /// The version that is not taken.
    pub newer: String,
    /// Why, in a few words.
    pub because: String,
    /// Effects of its scripts that nobody had decided about, sorted. Once the ledger decides about all of them, the lock
    /// is stale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
}

/// One package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Binary package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Source package name.
    pub source: String,
    /// Source version, where it differs from the package's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,
    /// Archive and pocket it was found in, `ubuntu/security`.
    pub from: String,
    /// Component (`main`, `universe`).
    pub component: String,
    /// Path below the archive root.
    pub path: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// SHA-256 of the .deb.
    pub sha256: Digest,
    /// SHA-512 of the .deb, 128 hexadecimal digits.
    pub sha512: String,
    /// Why it is here: `requested` or `needed by <package>`.
    pub why: String,
    /// Phased-update percentage, where it was not 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phased: Option<u8>,
    /// InRelease file of the state of [`Self::from`] that lists the package, unless that is the pocket's newest state
    /// in the lock: set for packages that were locked earlier, in lower levels or because they are kept back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
}

/// A dependency that was left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExcludedPackage {
    /// Package name.
    pub name: String,
    /// The recipe's reason.
    pub reason: String,
    /// Packages that wanted it, sorted.
    pub wanted_by: Vec<String>,
}

/// A maintainer script or trigger file that the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedScript {
    /// Binary package name.
    pub package: String,
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config` or `triggers`.
    pub script: String,
    /// SHA-256 of the script.
    pub sha256: Digest,
    /// `not-needed` or `reproduced by <generator or recipe key>`; [`BY_EFFECTS`] where each effect is decided.
    pub decision: String,
}

/// Decision about a script whose effects are decided, one by one.
pub const BY_EFFECTS: &str = "by effects";

/// Effects of the scripts of a package that are decided alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedEffects {
    /// Binary package name.
    pub package: String,
    /// `not-needed` or `reproduced by <generator or recipe key>`.
    pub decision: String,
    /// Effects, sorted.
    pub effects: Vec<String>,
}

/// Largest lock file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// First line of every lock file.
const HEADER: &str = "# written by sockel lock; review and commit, do not edit\n";

/// Returns the path of an image's lock file, relative to the project folder.
#[must_use]
pub fn file_of(image: &str) -> String {
    format!("base-images/{image}.lock.yaml")
}

impl Lock {
    /// Reads the lock file of an image in a project, following no symbolic link: a checkout must not read other files.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_project(project: &Path, image: &str) -> Result<Self, Error> {
        Self::parse(&ConfinedFolder::new(project).read_text(&file_of(image), MOST_BYTES)?)
    }

    /// Reads a lock file that the operator names.
    ///
    /// # Errors
    /// When it cannot be read, is no lock, is from a newer sockel, or holds values that sockel never writes.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&fs::read_text(path, MOST_BYTES)?)
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        // before anything else: a newer format may have fields that this parser refuses with a confusing message
        let stated = text.lines().find_map(|line| line.strip_prefix("format:")).map(str::trim);
        if let Some(found) = stated.and_then(|number| number.parse::<u64>().ok())
            && found > u64::from(FORMAT)
        {
            return Err(Error::Newer { found, known: FORMAT });
        }

        let lock: Self = serde_yaml::from_str(text).map_err(|error| Error::Syntax { cause: error.to_string() })?;
        let problems = lock.problems();
        if problems.is_empty() { Ok(lock) } else { Err(Error::Invalid { problems }) }
    }

    /// Returns the lock as it is written to disk, for people to review: a package is five lines, always in the same
    /// order.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        print::lock(self, HEADER)
    }

    /// Returns the identity of the lock: the digest of its text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_yaml().as_bytes())
    }

    /// Returns the state that proves a package: the newest of its pocket, or the one that the package names.
    #[must_use]
    pub fn state(&self, package: &LockedPackage) -> Option<&LockedPocket> {
        // the newest state of a pocket comes first
        self.archives.iter().find(|state| {
            state.title() == package.from && package.state.as_ref().is_none_or(|digest| state.inrelease == *digest)
        })
    }

    /// Returns the newest state of every pocket, in the lock's order.
    pub fn newest_states(&self) -> impl Iterator<Item = &LockedPocket> {
        let mut seen = BTreeSet::new();
        self.archives.iter().filter(move |state| seen.insert(state.title()))
    }

    /// Returns all packages of one platform, lower levels first.
    pub fn packages(&self, platform: Platform) -> impl Iterator<Item = &LockedPackage> {
        self.levels.iter().filter_map(move |level| level.packages.get(&platform)).flatten()
    }

    /// Returns problems with states: listed twice, out of order, or older ones that no package names.
    fn states_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let named: BTreeSet<(&str, &Digest)> = self
            .levels
            .iter()
            .flat_map(|level| level.packages.values().flatten())
            .filter_map(|package| Some((package.from.as_str(), package.state.as_ref()?)))
            .collect();

        let mut newest: BTreeMap<String, &LockedPocket> = BTreeMap::new();
        let mut listed = BTreeSet::new();
        for state in &self.archives {
            let title = state.title();
            // the first of a pocket is its newest, all later ones need a package that names them
            if !listed.insert((title.clone(), state.inrelease)) {
                problems.push(format!("a state of `{title}` is listed twice"));
            } else if let Some(first) = newest.get(&title) {
                if !named.contains(&(title.as_str(), &state.inrelease)) {
                    problems.push(format!("an older state of `{title}` is listed that no package is from"));
                }
                if state.date > first.date {
                    problems.push(format!("the states of `{title}` do not stand in order, newest first"));
                }
            } else {
                newest.insert(title, state);
            }
        }
        problems
    }

    /// Returns everything in the lock that sockel would never write.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        // format 1 is told apart by `verify`
        if !(1..=FORMAT).contains(&self.format) || (self.format == 1) != self.files.is_some() {
            problems.push(format!("format {} is not {FORMAT}", self.format));
        }
        if !(FIRST_REVISION..=LAST_REVISION).contains(&self.revision) {
            problems.push(format!("revision {} is not between {FIRST_REVISION} and {LAST_REVISION}", self.revision));
        }
        problems.extend(self.states_problems());

        // across levels: a package is in one level only
        let mut seen = BTreeSet::new();
        for level in &self.levels {
            for (platform, packages) in &level.packages {
                for package in packages {
                    if !seen.insert((*platform, &package.name)) {
                        problems.push(format!("package `{}` is listed twice for {platform}", package.name));
                    }
                    // without its state nothing could prove the package
                    if self.state(package).is_none() {
                        problems.push(format!(
                            "package `{}` is from `{}`, whose state is not in `archives`",
                            package.name, package.from
                        ));
                    }
                    problems.extend(package.problems());
                }
            }
            problems.extend(level.problems());
        }
        problems
    }
}

/// Locks from before revisions have the first one.
fn first_revision() -> u32 {
    FIRST_REVISION
}

impl LockedPocket {
    /// Returns the pocket's name for messages and in [`LockedPackage::from`], `ubuntu/security`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.archive, self.pocket)
    }
}

impl LockedLevel {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();

        let mut sources = BTreeSet::new();
        for source in self.layers.iter().flatten() {
            if !sources.insert(source) {
                problems.push(format!("source package `{source}` is in two layers of level `{}`", self.recipe));
            }
        }
        // without it, files that come from no package would have no layer
        if !sources.contains(&"*".to_owned()) {
            problems.push(format!("level `{}` has no layer `*` for the rest", self.recipe));
        }
        for KeptBackPackage { package, newer, .. } in &self.kept_back {
            if !is_name(package) || !is_version(newer) {
                let (package, newer) = (package.escape_debug(), newer.escape_debug());
                problems.push(format!(
                    "`{package}` {newer} of level `{}` cannot be kept back: it is no package",
                    self.recipe
                ));
            }
        }
        problems
    }
}

impl LockedPackage {
    fn problems(&self) -> Vec<String> {
        // these values end up in URLs, file names and dpkg's database, where other characters would mean something
        let source_version = self.source_version.as_deref().unwrap_or(&self.version);
        let checks = [
            ("name", &*self.name, is_name as fn(&str) -> bool),
            ("source", &*self.source, is_name),
            ("version", &*self.version, is_version),
            ("source version", source_version, is_version),
            ("architecture", &*self.architecture, is_word),
            ("component", &*self.component, is_component),
            ("path", &*self.path, is_path),
            ("SHA-512", &*self.sha512, is_sha512),
        ];

        let mut problems = Vec::new();
        for (field, value, is_valid) in checks {
            if !is_valid(value) {
                let (value, name) = (value.escape_debug(), self.name.escape_debug());
                problems.push(format!("{field} `{value}` of package `{name}` is not valid"));
            }
        }
        problems
    }
}

/// Tells whether a text is a package name, as dpkg takes it.
fn is_name(text: &str) -> bool {
    relation::is_package_name(text)
}

/// Tells whether a text has only the characters of a version (Debian policy 5.6.12).
fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b))
}

/// Tells whether a text is a path segment that means nothing special.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && !text.starts_with('.')
}

/// Tells whether a text is the name of a component, which may have several segments.
fn is_component(text: &str) -> bool {
    text.split('/').all(is_word)
}

/// Tells whether a text is a relative path that stays below the folder or URL that it is appended to.
fn is_path(text: &str) -> bool {
    index::check_path(text).is_ok()
}

/// Tells whether a text is a SHA-512 in lower-case hexadecimal digits.
fn is_sha512(text: &str) -> bool {
    text.len() == 128 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
