//! Records: small JSON answers by kind and key. Each ends with a line that binds its bytes to its name, so that damage,
//! an edit, or a record under another's name is noticed; it then counts as not there.

use crate::store::Error;
use crate::store::Store;
use crate::store::place;
use crate::sys::fs;
use crate::values::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// Largest record that is read back.
const LIMIT: u64 = 256 << 20;

impl Store {
    /// Returns the answer kept under a cache key. A record that cannot be read or does not fit its seal counts as not
    /// there: what it said can be found out again.
    #[must_use]
    pub fn result<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.record(kind, key), LIMIT).ok()?;
        serde_json::from_slice(open(&bytes, kind, key)?).ok()
    }

    /// Returns what was remembered under a key and cannot be found out again. One that an older version kept has no
    /// seal, and is read.
    #[must_use]
    pub fn remembered<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.record(kind, key), LIMIT).ok()?;
        serde_json::from_slice(open(&bytes, kind, key).unwrap_or(&bytes)).ok()
    }

    /// Keeps an answer under a cache key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep<T: Serialize>(&self, kind: &str, key: &Digest, answer: &T) -> Result<(), Error> {
        place::within(&self.folder.join("results").join(kind))?;
        let mut bytes = serde_json::to_vec(answer).expect("records have string keys and serialise");
        let seal = seal(&bytes, kind, key);
        bytes.extend(format!("\n{seal}\n").as_bytes());
        self.put(&self.record(kind, key), &bytes)
    }

    /// Removes what proved wrong.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn forget(&self, kind: &str, key: &Digest) -> Result<(), Error> {
        Ok(fs::remove(&self.record(kind, key))?)
    }

    pub(super) fn record(&self, kind: &str, key: &Digest) -> PathBuf {
        self.folder.join("results").join(kind).join(key.hex())
    }
}

fn seal(json: &[u8], kind: &str, key: &Digest) -> Digest {
    let mut bytes = format!("record {kind} {key}\n").into_bytes();
    bytes.extend(json);
    Digest::of(&bytes)
}

/// Returns the JSON of a record whose seal fits.
fn open<'a>(bytes: &'a [u8], kind: &str, key: &Digest) -> Option<&'a [u8]> {
    let (json, last) = split(bytes)?;
    (last.parse() == Ok(seal(json, kind, key))).then_some(json)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let rest = bytes.strip_suffix(b"\n")?;
    let at = rest.iter().rposition(|byte| *byte == b'\n')?;
    Some((&rest[..at], std::str::from_utf8(&rest[at + 1..]).ok()?))
}

/// Tells whether a record is damaged: it neither fits its seal nor is one that an older version kept.
pub(super) fn is_damaged(bytes: &[u8], kind: &str, key: &Digest) -> bool {
    open(bytes, kind, key).is_none() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err()
}
