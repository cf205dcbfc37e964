//! Fetches the InRelease file of a pocket: asks one mirror after the other.

use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::archive::memory::PocketMemory;
use crate::apt::release;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::CacheValidators;
use crate::sys::http::ConditionalResponse;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use std::path::Path;

/// An InRelease file as it was served, not yet verified.
pub(super) struct ServedInRelease {
    pub(super) bytes: Vec<u8>,
    pub(super) url: String,
    pub(super) validators: CacheValidators,
}

impl ServedInRelease {
    /// Returns a file that no mirror served, but a lock or bundle brought along.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), url: String::new(), validators: CacheValidators::default() }
    }
}

/// Returns the InRelease file of the first mirror that has one; the remembered bytes where the mirror answers
/// that nothing changed, or when offline.
///
/// # Errors
/// [`Error::Unreachable`] with the cause of every mirror, [`Error::Offline`], [`Error::NoAddress`].
pub(super) async fn inrelease(
    pocket: &Pocket,
    http: &HttpClient,
    folder: &Path,
    known: Option<&PocketMemory>,
) -> Result<ServedInRelease, Error> {
    let remembered = known.and_then(|memory| recall(folder, memory));
    if http.is_offline() {
        return remembered.ok_or_else(|| Error::Offline { pocket: pocket.title(), what: "InRelease".to_owned() });
    }

    let mut causes = Vec::new();
    for base in pocket.anchors() {
        let url = format!("{}/dists/{}/InRelease", base.trim_end_matches('/'), pocket.suite);
        let masked = http::mask(&url);

        // validators belong to one server: another one may use the same `ETag` for other bytes
        let validators = match &remembered {
            Some(remembered) if remembered.url == masked => remembered.validators.clone(),
            _ => CacheValidators::default(),
        };

        match http.get_if_changed(&url, release::SIZE_LIMIT, &validators).await {
            Ok(ConditionalResponse::Changed { bytes, validators }) => {
                return Ok(ServedInRelease { bytes, url: masked, validators });
            }
            Ok(ConditionalResponse::Unchanged) => match remembered {
                Some(remembered) => return Ok(remembered),
                // status 304 without a condition in the request: there are no bytes to take
                None => causes.push(format!("`{masked}` answers that nothing changed")),
            },
            Err(error) if error.is_servers() => causes.push(error.to_string()),
            Err(error) => return Err(Error::Http(error)),
        }
    }

    if causes.is_empty() {
        return Err(Error::NoAddress { pocket: pocket.title() });
    }
    Err(Error::Unreachable { pocket: pocket.title(), causes })
}

/// Returns the remembered file as it was served, if it is still in the folder, undamaged.
fn recall(folder: &Path, memory: &PocketMemory) -> Option<ServedInRelease> {
    let bytes = fs::read(&memory::by_hash(folder, &memory.inrelease), release::SIZE_LIMIT).ok()?;
    (Digest::of(&bytes) == memory.inrelease).then(|| ServedInRelease {
        bytes,
        url: memory.url.clone(),
        validators: CacheValidators { etag: memory.etag.clone(), last_modified: memory.last_modified.clone() },
    })
}
