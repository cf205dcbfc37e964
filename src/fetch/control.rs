//! The control data of packages: scripts and both digests, read once on each machine and kept by the .deb's digest.

use crate::apt::BinaryPackage;
use crate::apt::deb::ControlFiles;
use crate::apt::deb::DebPackage;
use crate::apt::deb::Error as DebError;
use crate::fault::AnyError;
use crate::fault::Explain;
use crate::fetch;
use crate::fetch::WantedPackage;
use crate::fetch::archives::BadPackage;
use crate::lock;
use crate::lock::images::NeededPackage;
use crate::lock::images::PackageContent;
use crate::lock::scripts::KINDS;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;

/// Kind of the store's records. The number is the version of [`ControlRecord`].
const RECORD: &str = "control-2";

/// Name of the member that describes the package.
const CONTROL: &str = "control";

/// Name of the member with the questions of debconf, whose defaults steer scripts.
const TEMPLATES: &str = "templates";

/// The control data that the store keeps of a package.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ControlRecord {
    /// SHA-512 of the .deb, 128 hexadecimal digits.
    sha512: String,
    /// The control file, the members that the ledger decides about, and the questions, as Base64.
    members: BTreeMap<String, String>,
}

/// Tells whether a package can be read without fetching it.
pub(super) fn is_at_hand(package: &BinaryPackage, store: &Store) -> bool {
    store.has_blob(&package.sha256, package.size) || record(package, store).is_some()
}

/// Reads packages, fetching those that were never read here.
///
/// # Errors
/// When one cannot be had, or its control file is not what the index says.
pub(super) fn read(
    needed: &[NeededPackage<'_>],
    wanted: impl Fn(&NeededPackage<'_>) -> WantedPackage,
    store: &Store,
    http: &HttpClient,
    reporter: &dyn ProgressReporter,
) -> Result<BTreeMap<Digest, PackageContent>, lock::Error> {
    let mut contents = BTreeMap::new();
    let mut unread: Vec<&NeededPackage<'_>> = Vec::new();
    for need in needed {
        match record(need.package, store) {
            Some(content) => {
                // the record is of the same bytes, but this index may describe them differently
                matches(&content.members, need.package)?;
                contents.insert(need.package.sha256, content);
            }
            None => unread.push(need),
        }
    }

    let missing: Vec<WantedPackage> = unread.iter().map(|needed| wanted(needed)).collect();
    for package in &missing {
        drop_damaged(package, store)?;
    }
    let fetched = fetch::fetch(&missing, store, http, reporter).map_err(outside)?;

    for NeededPackage { package, .. } in unread {
        let file = fs::open(&store.blob(&package.sha256)).map_err(outside)?;
        let deb = DebPackage::open(io::BufReader::new(file)).map_err(|cause| bad(package, cause))?;
        let members = deb.control().clone();
        matches(&members, package)?;

        let sha512 = fetched.sha512.get(&package.sha256).or(package.sha512.as_ref()).cloned().unwrap_or_default();
        let content = PackageContent { sha512, members };
        // a failed write costs only time: the next run reads the package again
        let _not_kept = store.keep(RECORD, &package.sha256, &ControlRecord::of(&content));
        contents.insert(package.sha256, content);
    }
    Ok(contents)
}

/// Removes a damaged blob, so that it is fetched again: bytes may have lain in the store for long.
fn drop_damaged(package: &WantedPackage, store: &Store) -> Result<(), lock::Error> {
    let blob = store.blob(&package.sha256);
    if store.has_blob(&package.sha256, package.size) && fs::digest_of(&blob).map_err(outside)? != package.sha256 {
        fs::remove(&blob).map_err(outside)?;
    }
    Ok(())
}

/// Checks that a package's control file says what the index says about it.
fn matches(members: &ControlFiles, package: &BinaryPackage) -> Result<(), lock::Error> {
    members.matches(package).map_err(|cause| bad(package, cause))
}

/// Returns the error for a package that is not what the index says.
fn bad(package: &BinaryPackage, cause: DebError) -> lock::Error {
    outside(BadPackage { package: format!("{} {}", package.name, package.version), cause })
}

/// Wraps an error for `lock`, which stands above and does not know its type.
fn outside(error: impl Explain + Send + Sync + 'static) -> lock::Error {
    lock::Error::Outside(AnyError::new(error))
}

/// Returns what is known about a package.
fn record(package: &BinaryPackage, store: &Store) -> Option<PackageContent> {
    let ControlRecord { sha512, members } = store.result(RECORD, &package.sha256)?;

    // an index may list SHA-512, too: a record that contradicts it is not used
    if package.sha512.as_ref().is_some_and(|listed| *listed != sha512) {
        return None;
    }

    // a damaged record counts as none: the package is read again
    let members: Option<ControlFiles> =
        members.into_iter().map(|(name, text)| Some((name, BASE64_STANDARD.decode(text).ok()?))).collect();
    Some(PackageContent { sha512, members: members? })
}

impl ControlRecord {
    fn of(content: &PackageContent) -> Self {
        // the rest, such as `md5sums`, can be large, and no decision depends on it
        let members = content
            .members
            .iter()
            .filter(|(name, _)| [CONTROL, TEMPLATES].contains(name) || KINDS.contains(name))
            .map(|(name, bytes)| (name.to_owned(), BASE64_STANDARD.encode(bytes)))
            .collect();
        Self { sha512: content.sha512.clone(), members }
    }
}
