//! Debian formats and APT archives: control data, versions, relations, indexes, signatures, packages.
//!
//! This module does not know recipes, images or OCI.

pub mod archive;
pub mod auth;
pub mod changelog;
pub mod conf;
pub mod control;
pub mod deb;
pub mod host;
pub mod index;
mod members;
pub mod relation;
pub mod release;
pub mod version;

use crate::values::Digest;
use relation::Provide;
use relation::Relation;
use version::DebianVersion;

/// `Multi-Arch` field of a package (deb-control(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Absent or `no`.
    #[default]
    No,
    /// `same`: co-installable with itself for other architectures.
    Same,
    /// `foreign`: satisfies relations of any architecture.
    Foreign,
    /// `allowed`: relations of any architecture are satisfied if they say `:any`.
    Allowed,
}

/// `Priority` field (Debian policy 2.5), most important first; unknown values count as `Extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`
    Optional,
    /// `extra`
    Extra,
}

/// One binary package of an index, with all fields needed to choose and fetch it (deb-control(5), "Packages" in
/// the Debian repository format).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryPackage {
    /// `Package`
    pub name: String,
    /// `Version`
    pub version: DebianVersion,
    /// `Architecture`: `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// `Source` name, else the package's own name.
    pub source: String,
    /// Version of the source package, else the package's own version.
    pub source_version: DebianVersion,
    /// `Priority`
    pub priority: Priority,
    /// `Essential: yes`
    pub essential: bool,
    /// `Multi-Arch`
    pub multi_arch: MultiArch,
    /// `Pre-Depends` then `Depends`: each inner list is one group of alternatives.
    pub depends: Vec<Vec<Relation>>,
    /// `Recommends`
    pub recommends: Vec<Vec<Relation>>,
    /// `Conflicts` and `Breaks`; they mean the same when packages are chosen.
    pub conflicts: Vec<Relation>,
    /// `Provides`
    pub provides: Vec<Provide>,
    /// `Replaces`
    pub replaces: Vec<Relation>,
    /// `Filename`: path below the archive root.
    pub filename: String,
    /// `Size` of the .deb in bytes.
    pub size: u64,
    /// `Installed-Size` in KiB, 0 when absent.
    pub installed_kib: u64,
    /// `SHA256` of the .deb.
    pub sha256: Digest,
    /// `SHA512` of the .deb as 128 hexadecimal digits; many indexes have none.
    pub sha512: Option<String>,
    /// `Phased-Update-Percentage`; `None` means fully released.
    pub phased: Option<u8>,
}
