//! What packages contain besides their files: scripts and both digests, read once a machine and kept by the .deb's digest.

use crate::apt::Package;
use crate::apt::deb::ControlMembers;
use crate::apt::deb::Deb;
use crate::apt::deb::Error as DebError;
use crate::fault::AnyError;
use crate::fault::Explain;
use crate::fetch;
use crate::fetch::Wanted;
use crate::fetch::archives::BadPackage;
use crate::lock;
use crate::lock::images::Content;
use crate::lock::images::Needed;
use crate::lock::scripts::KINDS;
use crate::report::Reporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::Http;
use crate::values::Digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;

/// Kind of the store's records. The number changes with what is kept.
const RECORD: &str = "control-1";

/// Name of the member that describes the package.
const CONTROL: &str = "control";

/// What is kept of a package.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    /// SHA-512 of the .deb, 128 hexadecimal digits.
    sha512: String,
    /// The control file and the members that the ledger decides about, as Base64.
    members: BTreeMap<String, String>,
}

/// Tells whether a package can be read without fetching it.
pub(super) fn is_at_hand(package: &Package, store: &Store) -> bool {
    store.has_blob(&package.sha256, package.size) || record(package, store).is_some()
}

/// Reads packages, fetching those that were never read here.
///
/// # Errors
/// When one cannot be had, or its control file is not what the index says.
pub(super) fn read(
    needed: &[Needed<'_>],
    wanted: impl Fn(&Needed<'_>) -> Wanted,
    store: &Store,
    http: &Http,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<Digest, Content>, lock::Error> {
    let mut contents = BTreeMap::new();
    let mut unread: Vec<&Needed<'_>> = Vec::new();
    for one in needed {
        match record(one.package, store) {
            Some(content) => {
                matches(&content.members, one.package)?;
                contents.insert(one.package.sha256, content);
            }
            None => unread.push(one),
        }
    }
    let missing: Vec<Wanted> = unread.iter().map(|needed| wanted(needed)).collect();
    for package in &missing {
        drop_damaged(package, store)?;
    }
    let fetched = fetch::fetch(&missing, store, http, reporter).map_err(outside)?;
    for Needed { package, .. } in unread {
        let file = fs::open(&store.blob(&package.sha256)).map_err(outside)?;
        let deb = Deb::open(io::BufReader::new(file)).map_err(|cause| bad(package, cause))?;
        let members = deb.control().clone();
        matches(&members, package)?;
        let sha512 = fetched.sha512.get(&package.sha256).or(package.sha512.as_ref()).cloned().unwrap_or_default();
        let content = Content { sha512, members };
        // a store that cannot be written only means that it is read again
        let _not_kept = store.keep(RECORD, &package.sha256, &Record::of(&content));
        contents.insert(package.sha256, content);
    }
    Ok(contents)
}

/// Bytes may have lain in the store for long: what is damaged is fetched again.
fn drop_damaged(package: &Wanted, store: &Store) -> Result<(), lock::Error> {
    let blob = store.blob(&package.sha256);
    if store.has_blob(&package.sha256, package.size) && fs::digest_of(&blob).map_err(outside)? != package.sha256 {
        fs::remove(&blob).map_err(outside)?;
    }
    Ok(())
}

fn matches(members: &ControlMembers, package: &Package) -> Result<(), lock::Error> {
    members.matches(package).map_err(|cause| bad(package, cause))
}

fn bad(package: &Package, cause: DebError) -> lock::Error {
    outside(BadPackage { package: format!("{} {}", package.name, package.version), cause })
}

fn outside(error: impl Explain + Send + Sync + 'static) -> lock::Error {
    lock::Error::Outside(AnyError::new(error))
}

/// Returns what is known about a package.
fn record(package: &Package, store: &Store) -> Option<Content> {
    let Record { sha512, members } = store.result(RECORD, &package.sha256)?;
    let decode = |(name, text): (String, String)| Some((name, BASE64_STANDARD.decode(text).ok()?));
    let members: Option<ControlMembers> = members.into_iter().map(decode).collect();
    // an index may say it, too; both must say the same
    let same = package.sha512.as_ref().is_none_or(|listed| *listed == sha512);
    members.filter(|_| same).map(|members| Content { sha512, members })
}

impl Record {
    fn of(content: &Content) -> Self {
        let is_kept = |name: &str| name == CONTROL || KINDS.contains(&name);
        let members = content.members.iter().filter(|(name, _)| is_kept(name));
        let members = members.map(|(name, bytes)| (name.to_owned(), BASE64_STANDARD.encode(bytes))).collect();
        Self { sha512: content.sha512.clone(), members }
    }
}
