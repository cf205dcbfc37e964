//! Titles of the files of a bundle. Each title follows from what the list of contents says about its file, so any other
//! title is refused.

use crate::bundle::BundledKey;
use crate::bundle::BundledPackage;
use crate::bundle::BundledPocket;

/// Returns the title of the lock file of an image.
pub(super) fn lock(image: &str) -> String {
    format!("locks/{image}.lock.yaml")
}

/// Returns the title of the InRelease file of a pocket.
pub(super) fn in_release(pocket: &BundledPocket) -> String {
    index(pocket, "InRelease")
}

/// Returns the title of an index of a pocket, by its path below the suite.
pub(super) fn index(pocket: &BundledPocket, path: &str) -> String {
    // the digest of the InRelease file keeps several states of one suite apart
    format!("dists/{}/{}/{}/{path}", pocket.archive, pocket.suite, pocket.in_release.short())
}

/// Returns the title of an archive's key.
pub(super) fn key(key: &BundledKey) -> String {
    format!("keys/{}/{}.pgp", key.archive, key.digest.short())
}

/// Returns the title of a package.
pub(super) fn package(package: &BundledPackage) -> String {
    let BundledPackage { name, version, architecture, digest } = package;
    format!("packages/{}/{name}_{version}_{architecture}.deb", digest.short())
}
