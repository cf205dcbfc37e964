//! Everything that a build needs as one OCI artifact: locks, signed indexes, keys, packages.
//!
//! - **In**: definitions with their locks, and the archives, as long as they still have the locked files; or a bundle.
//! - **Out**: an artifact in a layout folder, an archive file or a registry; or the packages of a bundle in the store,
//!   so that a build needs no archive at all.
//! - **Invariants**: the same locks and the same states of archives give the same digest. A build uses only bytes of a
//!   bundle whose digest is in the project's own lock, and which are listed by an InRelease file signed with the
//!   project's own pinned keys. Every statement of the bundle about those bytes must match what the build finds out
//!   itself. All problems are reported at once.
//! - **Not here**: building (`build`), logins (`cli`), the newest state of archives (`lock`).
//!
//! # The artifact
//! An OCI image manifest with `artifactType` [`ARTIFACT`]. Its configuration is the list of contents
//! ([`BundleContents`], canonical JSON); every file is one layer with its own media type and its title:
//!
//! | file | media type | title |
//! |---|---|---|
//! | lock file | `application/vnd.sockel.lock.v1+yaml` | `locks/<image>.lock.yaml` |
//! | InRelease | `application/vnd.sockel.bundle.in-release.v1` | `dists/<archive>/<suite>/<digest>/InRelease` |
//! | Packages index | `application/vnd.sockel.bundle.index.v1` | `dists/<archive>/<suite>/<digest>/<component>/…/Packages.xz` |
//! | OpenPGP key | `application/pgp-keys` | `keys/<archive>/<digest>.pgp` |
//! | package | `application/vnd.debian.binary-package` | `packages/<digest>/<name>_<version>_<architecture>.deb` |
//!
//! In the `index.json` of a layout or archive, the name and the annotations of the bundle are not checked, because
//! tools that copy artifacts rewrite them: they only serve to find the bundle.
//!
//! # When the InRelease file of a lock is gone
//! Archives keep one InRelease file per suite. The lock's own is taken from the store, from a mirror that still serves
//! it, or from the distribution's snapshot service at its date. If none of them has it, the current one is taken
//! instead, but only if its indexes list every package that the lock took from that pocket. The list of contents then
//! says so (`proof: later`), and every build from the bundle warns about it. Otherwise no bundle is made: lock anew.
//!
//! # Time
//! A bundle is meant to be used long after its archives have changed. `Valid-Until` and the largest age are therefore
//! checked at the time of the lock (its epoch, or the InRelease file's own date if that is later). Keys and signatures
//! are checked at the current time: a pinned key that has expired or was revoked proves nothing any more.

mod contents;
mod error;
mod gather;
mod open;
mod place;
mod source;
mod statement;
mod supply;
mod tape;
mod title;
mod write;

pub use contents::BundleContents;
pub use contents::BundledFile;
pub use contents::BundledFileKind;
pub use contents::BundledImage;
pub use contents::BundledIndex;
pub use contents::BundledKey;
pub use contents::BundledPackage;
pub use contents::BundledPocket;
pub use contents::PackageProof;
pub use error::Error;
pub use gather::BundleGathering;
pub use gather::gather;
pub use open::Bundle;
pub use open::open;
pub use place::BundleLocation;
pub use place::UnknownBundleLocation;
pub use source::BundleSource;
pub use supply::BundleSupply;
pub use supply::BundleSupplying;
pub use supply::supply;
pub use write::WrittenBundle;
pub use write::store;
pub use write::write;

/// `artifactType` of the manifest and media type of its configuration.
pub const ARTIFACT: &str = "application/vnd.sockel.bundle.v1+json";

/// Name of a bundle in the index of a layout folder.
pub const REFERENCE: &str = "bundle";
