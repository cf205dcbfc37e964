//! Asking one mirror after the other.

use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::archive::memory::Memory;
use crate::apt::release;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Conditional;
use crate::sys::http::Http;
use crate::sys::http::Validators;
use crate::values::Digest;
use std::path::Path;

/// An InRelease file as it was served, not yet verified.
pub(super) struct Served {
    pub(super) bytes: Vec<u8>,
    pub(super) url: String,
    pub(super) validators: Validators,
}

impl Served {
    /// Returns a file that no mirror served.
    pub(super) fn brought(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), url: String::new(), validators: Validators::default() }
    }
}

/// Returns the InRelease file of the first mirror that has one; the remembered bytes where the mirror says that nothing
/// changed, or when offline.
///
/// # Errors
/// [`Error::Unreachable`] with the cause of every mirror, [`Error::Offline`].
pub(super) async fn inrelease(
    pocket: &Pocket,
    http: &Http,
    folder: &Path,
    known: Option<&Memory>,
) -> Result<Served, Error> {
    let remembered = known.and_then(|memory| Some((memory, recall(folder, memory)?)));
    if http.is_offline() {
        return match remembered {
            Some((memory, bytes)) => Ok(served(memory, bytes)),
            None => Err(Error::Offline { pocket: pocket.title(), what: "InRelease".to_owned() }),
        };
    }
    let mut causes = Vec::new();
    for base in pocket.anchors() {
        let url = format!("{}/dists/{}/InRelease", base.trim_end_matches('/'), pocket.suite);
        // validators belong to one server
        let validators = match &remembered {
            Some((memory, _)) if memory.url == http::mask(&url) => {
                Validators { etag: memory.etag.clone(), last_modified: memory.last_modified.clone() }
            }
            _ => Validators::default(),
        };
        match http.get_if_changed(&url, release::SIZE_LIMIT, &validators).await {
            Ok(Conditional::Changed { bytes, validators }) => {
                return Ok(Served { bytes, url: http::mask(&url), validators });
            }
            Ok(Conditional::Unchanged) => match remembered {
                Some((memory, bytes)) => return Ok(served(memory, bytes)),
                None => causes.push(format!("`{}` says that nothing changed", http::mask(&url))),
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

fn served(memory: &Memory, bytes: Vec<u8>) -> Served {
    let validators = Validators { etag: memory.etag.clone(), last_modified: memory.last_modified.clone() };
    Served { bytes, url: memory.url.clone(), validators }
}

/// Returns the remembered file when it is still there, undamaged.
fn recall(folder: &Path, memory: &Memory) -> Option<Vec<u8>> {
    let bytes = fs::read(&memory::by_hash(folder, &memory.inrelease), release::SIZE_LIMIT).ok()?;
    (Digest::of(&bytes) == memory.inrelease).then_some(bytes)
}
