//! Fetches the Release file of a pocket with its signature: asks one mirror after the other.

use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::archive::memory::PocketMemory;
use crate::apt::archive::place;
use crate::apt::release;
use crate::apt::release::signature;
use crate::fault::Explain;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::CacheValidators;
use crate::sys::http::ConditionalResponse;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use std::collections::BTreeSet;
use std::path::Path;

/// An InRelease file as it was served, not yet verified.
pub(super) struct ServedInRelease {
    pub(super) bytes: Vec<u8>,
    /// Its address without login; empty where no mirror served it.
    pub(super) url: String,
    /// The archive root that served it.
    pub(super) base: String,
    pub(super) validators: CacheValidators,
}

impl ServedInRelease {
    /// Returns a file that no mirror served, but a lock or bundle brought along.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (url, base, validators) = Default::default();
        Self { bytes: bytes.to_vec(), url, base, validators }
    }
}

/// What mirrors have answered so far instead of a file.
#[derive(Default)]
pub(super) struct MirrorRefusals {
    pub(super) causes: Vec<String>,
    hints: Vec<String>,
    /// Some mirror did not even say whether it has the file.
    is_unclear: bool,
}

impl MirrorRefusals {
    pub(super) fn add(&mut self, error: &http::Error) {
        self.is_unclear |= !matches!(error, http::Error::NotFound { .. });
        self.causes.push(error.to_string());
        for hint in error.hints() {
            if !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
    }

    /// Notes an answer of a server that works and has another file in this place.
    pub(super) fn add_miss(&mut self, cause: String) {
        self.causes.push(cause);
    }

    /// Tells whether every mirror said that it has no such file.
    pub(super) fn all_lack_it(&self) -> bool {
        !self.is_unclear
    }

    /// Returns the error for a pocket that no mirror could say anything about.
    pub(super) fn unreachable(self, pocket: &Pocket) -> Error {
        if self.causes.is_empty() {
            return Error::NoAddress { pocket: pocket.title() };
        }
        Error::Unreachable { pocket: pocket.title(), causes: self.causes, hints: self.hints }
    }
}

/// Returns the InRelease file of the first mirror that has one; the remembered bytes where the mirror answers
/// that nothing changed, or when offline. Addresses in `refused` are not asked.
///
/// # Errors
/// [`Error::Unreachable`] or [`Error::NoRelease`] with the cause of every mirror, [`Error::Offline`], [`Error::NoAddress`].
pub(super) async fn inrelease(
    pocket: &Pocket,
    http: &HttpClient,
    folder: &Path,
    known: Option<&PocketMemory>,
    refused: &BTreeSet<String>,
) -> Result<ServedInRelease, Error> {
    let remembered = known.and_then(|memory| recall(folder, memory));
    if http.is_offline() {
        return remembered.ok_or_else(|| Error::Offline { pocket: pocket.title(), what: "InRelease".to_owned() });
    }

    let mut refusals = MirrorRefusals::default();
    for base in pocket.anchors().into_iter().filter(|base| !refused.contains(*base)) {
        let url = format!("{}/InRelease", place::suite_folder(base, &pocket.suite));
        let masked = http::mask(&url);

        // validators belong to one server: another one may use the same `ETag` for other bytes
        let validators = match &remembered {
            Some(remembered) if remembered.url == masked => remembered.validators.clone(),
            _ => CacheValidators::default(),
        };

        // whoever is only guessed to be a mirror gets one try: waiting for it would cost more than it can save
        let asked = match pocket.guessed.contains(base) {
            true => http.get_if_changed_once(&url, release::SIZE_LIMIT, &validators).await,
            false => http.get_if_changed(&url, release::SIZE_LIMIT, &validators).await,
        };
        match asked {
            Ok(ConditionalResponse::Changed { bytes, validators }) => {
                return Ok(ServedInRelease { bytes, url: masked, base: base.to_owned(), validators });
            }
            Ok(ConditionalResponse::Unchanged) => match remembered {
                Some(remembered) => return Ok(ServedInRelease { base: base.to_owned(), ..remembered }),
                // status 304 without a condition in the request: there are no bytes to take
                None => refusals.add_miss(format!("`{masked}` answers that nothing changed")),
            },
            Err(error @ http::Error::NotFound { .. }) => {
                match detached(http, base, &pocket.suite).await.map_err(Error::Http)? {
                    Ok(bytes) => {
                        let validators = CacheValidators::default();
                        return Ok(ServedInRelease { bytes, url: masked, base: base.to_owned(), validators });
                    }
                    Err(DetachedProblem::NoRelease) => refusals.add(&error),
                    Err(DetachedProblem::Unsigned(cause)) => refusals.add_miss(cause),
                }
            }
            Err(error) if error.is_servers() => refusals.add(&error),
            Err(error) => return Err(Error::Http(error)),
        }
    }

    if !refusals.causes.is_empty() && refusals.all_lack_it() {
        return Err(Error::NoRelease { pocket: pocket.title(), causes: refusals.causes });
    }
    Err(refusals.unreachable(pocket))
}

/// Returns the Release file of a suite at one archive root, with its signature, in the form that
/// [`signature::verify`] takes.
///
/// # Errors
/// The failure of the request.
pub async fn release_at(http: &HttpClient, base: &str, suite: &str) -> Result<Vec<u8>, http::Error> {
    let url = format!("{}/InRelease", place::suite_folder(base, suite));
    match http.get(&url, release::SIZE_LIMIT).await {
        Err(error @ http::Error::NotFound { .. }) => match detached(http, base, suite).await? {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(error),
        },
        answer => answer,
    }
}

/// Why there is no Release file with a detached signature.
enum DetachedProblem {
    /// There is no Release file.
    NoRelease,
    /// There is one, and no signature that could be its own.
    Unsigned(String),
}

/// Fetches `Release` and `Release.gpg`, which older repository managers write instead of InRelease. The outer error is
/// that of the client itself.
async fn detached(http: &HttpClient, base: &str, suite: &str) -> Result<Result<Vec<u8>, DetachedProblem>, http::Error> {
    let folder = place::suite_folder(base, suite);
    let release = match http.get(&format!("{folder}/Release"), release::SIZE_LIMIT).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_servers() => return Ok(Err(DetachedProblem::NoRelease)),
        Err(error) => return Err(error),
    };

    let url = format!("{folder}/Release.gpg");
    let shown = http::mask(&url);
    Ok(match http.get(&url, release::SIZE_LIMIT).await {
        Ok(armor) => signature::with_detached(&release, &armor)
            .ok_or_else(|| DetachedProblem::Unsigned(format!("`{shown}` is not an armored signature"))),
        Err(error) if error.is_miss() => Err(DetachedProblem::Unsigned(format!(
            "`{}` is not signed: there is neither InRelease nor Release.gpg beside it",
            http::mask(&format!("{folder}/Release"))
        ))),
        Err(error) if error.is_servers() => Err(DetachedProblem::Unsigned(error.to_string())),
        Err(error) => return Err(error),
    })
}

/// Returns the remembered file as it was served, if it is still in the folder, undamaged.
fn recall(folder: &Path, memory: &PocketMemory) -> Option<ServedInRelease> {
    let bytes = fs::read(&memory::by_hash(folder, &memory.inrelease), release::SIZE_LIMIT).ok()?;
    (Digest::of(&bytes) == memory.inrelease).then(|| ServedInRelease {
        bytes,
        url: memory.url.clone(),
        base: String::new(),
        validators: CacheValidators { etag: memory.etag.clone(), last_modified: memory.last_modified.clone() },
    })
}
