//! A pocket of an archive at one point in time: fetched, verified, remembered.
//!
//! Every rule here is fatal (apt itself only warns about some, or does not know them):
//! 1. the InRelease file is signed by a pinned key ([`crate::apt::release::Certificates`]);
//! 2. `Origin`, `Label`, `Suite` and `Codename` are those that were pinned, so that a mirror cannot serve the signed,
//!    never-expiring release pocket as the security pocket;
//! 3. `Date` is not in the future, `Valid-Until` has not passed, and where the archive gives none the recipe's own
//!    maximum age holds, so that a mirror cannot freeze the archive;
//! 4. it is not older than what was seen before ([`memory`]), nor another file with the same date;
//! 5. indexes have the size and SHA-256 that the signed file lists; MD5 and SHA-1 never count.

mod fetching;
mod memory;

use crate::apt::index;
use crate::apt::index::Index;
use crate::apt::release;
use crate::apt::release::Certificates;
use crate::apt::release::Release;
use crate::apt::release::SignatureError;
use crate::report::Reporter;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Http;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::path::Path;

/// How far clocks may differ, in seconds (apt's `Acquire::Max-FutureTime`).
const CLOCK_SKEW: i64 = 10;

/// One suite of an archive, and what is demanded of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pocket {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub name: String,
    /// Path below `dists/`.
    pub suite: String,
    /// Demanded `Suite` field.
    pub expected_suite: String,
    /// Demanded `Codename` field.
    pub codename: String,
    /// Demanded `Origin` field.
    pub origin: String,
    /// Demanded `Label` field.
    pub label: String,
    /// Components to read.
    pub components: Vec<String>,
    /// Architectures to read.
    pub architectures: Vec<String>,
    /// Archive addresses by architecture, mirrors first.
    pub uris: BTreeMap<String, Vec<String>>,
    /// Armored certificates.
    pub keys: Vec<Vec<u8>>,
    /// Pinned primary fingerprints, upper-case.
    pub fingerprints: Vec<String>,
    /// Never changes again once published.
    pub frozen: bool,
    /// Age in seconds from which a warning is due.
    pub warn_after: Option<u64>,
    /// Age in seconds from which the pocket is refused.
    pub max_age: Option<u64>,
}

/// What a verified pocket said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub pocket: String,
    /// Path below `dists/`.
    pub suite: String,
    /// `Codename`
    pub codename: String,
    /// `Date`
    pub date: Epoch,
    /// `Valid-Until`
    pub valid_until: Option<Epoch>,
    /// SHA-256 of the InRelease file.
    pub inrelease: Digest,
    /// Fingerprint of the pinned key that signed it.
    pub signed_by: String,
}

/// An index that was read.
#[derive(Debug, Clone)]
pub struct ComponentIndex {
    /// `main`, `universe`
    pub component: String,
    /// `amd64`, `arm64`
    pub architecture: String,
    /// Its packages.
    pub index: Index,
}

/// A pocket whose signature, identity and freshness were verified.
#[derive(Debug, Clone)]
pub struct OpenPocket {
    /// Evidence.
    pub facts: Facts,
    /// What people should know.
    pub warnings: Vec<String>,
    /// One index for each component and architecture.
    pub indexes: Vec<ComponentIndex>,
}

/// Why a pocket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mirror answered.
    #[error("cannot read {pocket}: no address works: {}", causes.join("; "))]
    Unreachable {
        /// Archive and pocket.
        pocket: String,
        /// One line an address.
        causes: Vec<String>,
    },
    /// The signature does not count.
    #[error("cannot trust {pocket} at `{url}`: {cause}")]
    Signature {
        /// Archive and pocket.
        pocket: String,
        /// Where it came from.
        url: String,
        /// Why.
        cause: SignatureError,
    },
    /// The signed text is malformed.
    #[error("cannot read {pocket} at `{url}`: {cause}")]
    Release {
        /// Archive and pocket.
        pocket: String,
        /// Where it came from.
        url: String,
        /// What is wrong.
        cause: release::Error,
    },
    /// The file is signed, but is another one than asked for.
    #[error("cannot trust {pocket}: its signed `{field}` is `{found}`, the recipe demands `{expected}`")]
    Identity {
        /// Archive and pocket.
        pocket: String,
        /// `Suite`, …
        field: &'static str,
        /// In the file.
        found: String,
        /// In the recipe.
        expected: String,
    },
    /// Too old, expired or from the future.
    #[error("cannot trust {pocket}: {cause}")]
    Stale {
        /// Archive and pocket.
        pocket: String,
        /// What is wrong with its times.
        cause: String,
    },
    /// Older than what was seen before, or different although it must not be.
    #[error("cannot trust {pocket}: {cause}")]
    Rollback {
        /// Archive and pocket.
        pocket: String,
        /// What was seen before and now.
        cause: String,
    },
    /// An index has other bytes than the signed file says.
    #[error("cannot trust {pocket}: `{path}` has other bytes than the signed InRelease file lists")]
    Tampered {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite.
        path: String,
    },
    /// The archive has no such component or architecture.
    #[error("cannot read {pocket}: it has no index `{path}`")]
    NoIndex {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite, without compression ending.
        path: String,
    },
    /// An index is malformed.
    #[error("cannot read {pocket}: `{path}`: {cause}")]
    Index {
        /// Archive and pocket.
        pocket: String,
        /// Path below the suite.
        path: String,
        /// What is wrong.
        cause: index::Error,
    },
    /// A file of the memory cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreachable { .. } => "check network and proxy, or name a mirror with `--mirror ARCHIVE=URL`",
            Self::Signature { .. } | Self::Tampered { .. } => {
                "a mirror or proxy changed the file, or the archive has a new key: never skip this; compare the key with the distribution's announcement before you pin it in the recipe"
            }
            Self::Identity { .. } => {
                "the mirror serves one suite under the name of another, or the recipe pins the wrong fields"
            }
            Self::Stale { .. } => {
                "the mirror may have stopped updating (or is held back on purpose): try another one; check this machine's clock"
            }
            Self::Rollback { .. } => "the mirror serves an older state than before: try another one",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    /// Tells whether another try later may help, because nothing is wrong but the network.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        true
    }
}

impl Pocket {
    /// Returns archive and pocket as `ubuntu/security (noble-security)`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{} ({})", self.archive, self.name, self.suite)
    }
}

/// Opens a pocket: InRelease and all indexes that the pocket asks for, from mirror or memory.
///
/// # Errors
/// Any [`Error`]; then nothing new is remembered.
pub async fn open(
    pocket: &Pocket,
    http: &Http,
    folder: &Path,
    now: Epoch,
    reporter: &dyn Reporter,
) -> Result<OpenPocket, Error> {
    let certificates = Certificates::new(&pocket.keys, &pocket.fingerprints).map_err(|cause| Error::Signature {
        pocket: pocket.label(),
        url: "recipe".to_owned(),
        cause,
    })?;
    let memory = memory::Memory::open(folder, pocket);
    let mut open: Option<OpenPocket> = None;
    for (architecture, uris) in fetching::groups(pocket) {
        let mut fetched = fetching::release(pocket, &uris, http, &memory).await?;
        let mut judged = judge(pocket, &fetched, &certificates, now)?;
        memory.check(pocket, &judged.facts)?;
        let indexes =
            fetching::indexes(pocket, &architecture, &judged.release, &fetched.base, http, folder, reporter).await;
        let indexes = match indexes {
            // the mirror changed between the two requests: once more, from the start
            Err(Error::Tampered { .. } | Error::Unreachable { .. }) if !http.is_offline() => {
                fetched = fetching::release(pocket, &uris, http, &memory).await?;
                judged = judge(pocket, &fetched, &certificates, now)?;
                memory.check(pocket, &judged.facts)?;
                fetching::indexes(pocket, &architecture, &judged.release, &fetched.base, http, folder, reporter).await?
            }
            other => other?,
        };
        memory.keep(&architecture, &fetched, &judged.facts)?;
        match &mut open {
            None => open = Some(OpenPocket { facts: judged.facts, warnings: judged.warnings, indexes }),
            Some(open) => open.indexes.extend(indexes),
        }
    }
    open.ok_or_else(|| Error::NoIndex { pocket: pocket.label(), path: "any architecture".to_owned() })
}

/// A signed file that passed all rules that need no memory.
struct Judged {
    release: Release,
    facts: Facts,
    warnings: Vec<String>,
}

fn judge(
    pocket: &Pocket,
    fetched: &fetching::Fetched,
    certificates: &Certificates,
    now: Epoch,
) -> Result<Judged, Error> {
    let label = || pocket.label();
    let url = || http::masked(&fetched.base);
    let signed = certificates.verify(&fetched.inrelease, now).map_err(|cause| Error::Signature {
        pocket: label(),
        url: url(),
        cause,
    })?;
    let release =
        Release::parse(&signed.text).map_err(|cause| Error::Release { pocket: label(), url: url(), cause })?;
    let identity = [
        ("Origin", &release.origin, &pocket.origin),
        ("Label", &release.label, &pocket.label),
        ("Suite", &release.suite, &pocket.expected_suite),
        ("Codename", &release.codename, &pocket.codename),
    ];
    for (field, found, expected) in identity {
        // Debian's `Suite` moves on (stable, oldstable), so recipes may leave it open with an empty text
        if !expected.is_empty() && found != expected {
            let (found, expected) = (found.clone(), expected.clone());
            return Err(Error::Identity { pocket: label(), field, found, expected });
        }
    }
    let mut warnings = signed.warnings;
    fresh(pocket, &release, now, &mut warnings)?;
    let facts = Facts {
        archive: pocket.archive.clone(),
        pocket: pocket.name.clone(),
        suite: pocket.suite.clone(),
        codename: release.codename.clone(),
        date: release.date,
        valid_until: release.valid_until,
        inrelease: Digest::of(&fetched.inrelease),
        signed_by: signed.fingerprint,
    };
    Ok(Judged { release, facts, warnings })
}

fn fresh(pocket: &Pocket, release: &Release, now: Epoch, warnings: &mut Vec<String>) -> Result<(), Error> {
    let stale = |cause: String| Err(Error::Stale { pocket: pocket.label(), cause });
    if release.date.0 > now.0 + CLOCK_SKEW {
        return stale(format!("its date {} is in the future (now is {now})", release.date));
    }
    if let Some(until) = release.valid_until.filter(|until| until.0 < now.0) {
        return stale(format!("it was valid until {until} (now is {now})"));
    }
    let age = now.0 - release.date.0;
    let days = |seconds: u64| format!("{:.1} days", seconds as f64 / 86_400.0);
    let age = u64::try_from(age).unwrap_or(0);
    if let Some(limit) = pocket.max_age.filter(|limit| age > *limit && release.valid_until.is_none()) {
        return stale(format!("it is {} old, at most {} are allowed", days(age), days(limit)));
    }
    if pocket.warn_after.is_some_and(|limit| age > limit) {
        warnings.push(format!("{} is {} old", pocket.label(), days(age)));
    }
    Ok(())
}
