//! The lock file `base-images/<image>.lock.yaml`: read and write, in a fixed order, with a format version.

use crate::lock::Error;
use crate::lock::print;
use crate::sys::beneath::Beneath;
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
pub const FORMAT: u32 = 1;

/// What one image is made of, exactly; written by `sockel lock`, committed and reviewed.
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
    /// Parameter values.
    pub parameters: BTreeMap<String, String>,
    /// Digest of every recipe file read, by path relative to the project folder.
    pub inputs: BTreeMap<String, Digest>,
    /// State of the archives that packages were chosen from.
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
    /// `Codename` of the Release file.
    pub codename: String,
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
    /// Which source packages share a layer, per layer in order; `*` stands for all the rest.
    pub layers: Vec<Vec<String>>,
    /// Packages, by platform, sorted by name.
    pub packages: BTreeMap<Platform, Vec<LockedPackage>>,
    /// Dependencies that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<ExcludedPackage>,
    /// Decisions about the maintainer scripts of these packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<LockedScript>,
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
    /// `not-needed` or `reproduced by <generator or recipe key>`.
    pub decision: String,
}

/// Largest lock file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// First line of every lock file.
const HEADER: &str = "# written by sockel lock; review and commit, do not edit\n";

/// Returns where the lock file of an image is, from the project folder.
#[must_use]
pub fn file_of(image: &str) -> String {
    format!("base-images/{image}.lock.yaml")
}

impl Lock {
    /// Reads the lock file of an image of a project, which no link leads to.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_project(project: &Path, image: &str) -> Result<Self, Error> {
        Self::parse(&Beneath::new(project).read_text(&file_of(image), MOST_BYTES)?)
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
        // before anything else, because a newer format may well have other fields
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

    /// Returns the lock as it is written to disk, for people to review: a package is five lines, always in the same order.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        print::lock(self, HEADER)
    }

    /// Returns the identity of all decisions in the lock: the digest of what is written, but for the digests of recipe
    /// files, since a comment or another order of keys decides nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let decisions = Self { inputs: BTreeMap::new(), ..self.clone() };
        Digest::of(decisions.to_yaml().as_bytes())
    }

    /// Returns all packages of one platform, lower levels first.
    pub fn packages(&self, platform: Platform) -> impl Iterator<Item = &LockedPackage> {
        self.levels.iter().filter_map(move |level| level.packages.get(&platform)).flatten()
    }

    /// Returns everything in the lock that sockel would never write.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.format != FORMAT {
            problems.push(format!("format {} is not {FORMAT}", self.format));
        }
        let origins: BTreeSet<String> =
            self.archives.iter().map(|pocket| format!("{}/{}", pocket.archive, pocket.pocket)).collect();
        let mut seen = BTreeSet::new();
        for level in &self.levels {
            for (platform, packages) in &level.packages {
                for package in packages {
                    if !seen.insert((*platform, &package.name)) {
                        problems.push(format!("package `{}` is listed twice for {platform}", package.name));
                    }
                    if !origins.contains(&package.from) {
                        problems.push(format!(
                            "package `{}` is from `{}`, which is not in `archives`",
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

impl LockedLevel {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut sources = BTreeSet::new();
        for source in self.layers.iter().flatten() {
            if !sources.insert(source) {
                problems.push(format!("source package `{source}` is in two layers of level `{}`", self.recipe));
            }
        }
        if !sources.contains(&"*".to_owned()) {
            problems.push(format!("level `{}` has no layer `*` for the rest", self.recipe));
        }
        problems
    }
}

impl LockedPackage {
    fn problems(&self) -> Vec<String> {
        let name = &self.name;
        let mut problems = Vec::new();
        let mut check = |good: bool, what: &str, value: &str| {
            if !good {
                problems.push(format!(
                    "{what} `{}` of package `{}` is not valid",
                    value.escape_debug(),
                    name.escape_debug()
                ));
            }
        };
        check(is_name(name), "name", name);
        check(is_name(&self.source), "source", &self.source);
        check(is_version(&self.version), "version", &self.version);
        let source_version = self.source_version.as_deref().unwrap_or(&self.version);
        check(is_version(source_version), "source version", source_version);
        check(is_word(&self.architecture), "architecture", &self.architecture);
        check(is_word(&self.component), "component", &self.component);
        check(is_path(&self.path), "path", &self.path);
        check(is_sha512(&self.sha512), "SHA-512", &self.sha512);
        problems
    }
}

/// Debian policy 5.6.1.
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && text.bytes().all(allowed)
}

/// Debian policy 5.6.12.
fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b))
}

/// A path segment without surprises.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && !text.starts_with('.')
}

/// A relative path that stays below where it is appended, in a URL as on disk.
fn is_path(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".+-~:_%/".contains(&b);
    text.bytes().all(allowed) && text.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
        // %2e%2e and %2f would be decoded by servers
        && !text.to_ascii_lowercase().contains("%2")
}

fn is_sha512(text: &str) -> bool {
    text.len() == 128 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
