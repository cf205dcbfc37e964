//! The lock file `base-images/<image>.lock.yaml`: read and write, in a fixed order, with a format version.

use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

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
