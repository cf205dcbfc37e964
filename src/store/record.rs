//! Records: small JSON values by kind and key. Each ends with a seal, a line that binds its bytes to its name. Damage, an
//! edit, or a record under another record's name is noticed, and the record then counts as missing.

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
    /// Returns the record under a cache key. A record that is unreadable or does not match its seal counts as missing:
    /// its value can be found out again.
    #[must_use]
    pub fn result<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.record(kind, key), LIMIT).ok()?;
        serde_json::from_slice(open(&bytes, kind, key)?).ok()
    }

    /// Returns a record whose value cannot be found out again. One that an older version kept has no seal, and is
    /// accepted.
    #[must_use]
    pub fn remembered<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.record(kind, key), LIMIT).ok()?;
        // with a seal that does not match, the line of the seal is left in, which is no JSON
        serde_json::from_slice(open(&bytes, kind, key).unwrap_or(&bytes)).ok()
    }

    /// Keeps a record under a cache key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep<T: Serialize>(&self, kind: &str, key: &Digest, value: &T) -> Result<(), Error> {
        place::within(&self.folder.join("results").join(kind))?;

        let mut bytes = serde_json::to_vec(value).expect("records have string keys and serialise");
        let seal = seal(&bytes, kind, key);
        bytes.extend(format!("\n{seal}\n").as_bytes());
        self.put(&self.record(kind, key), &bytes)
    }

    /// Removes a record that proved wrong.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    pub fn forget(&self, kind: &str, key: &Digest) -> Result<(), Error> {
        Ok(fs::remove(&self.record(kind, key))?)
    }

    pub(super) fn record(&self, kind: &str, key: &Digest) -> PathBuf {
        self.folder.join("results").join(kind).join(key.hex())
    }
}

/// Returns the seal of a record.
fn seal(json: &[u8], kind: &str, key: &Digest) -> Digest {
    // kind and key are part of it, so that a record under another name is noticed
    let mut bytes = format!("record {kind} {key}\n").into_bytes();
    bytes.extend(json);
    Digest::of(&bytes)
}

/// Returns the JSON of a record whose seal matches.
fn open<'a>(bytes: &'a [u8], kind: &str, key: &Digest) -> Option<&'a [u8]> {
    let (json, last_line) = split_last_line(bytes)?;
    (last_line.parse() == Ok(seal(json, kind, key))).then_some(json)
}

fn split_last_line(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let rest = bytes.strip_suffix(b"\n")?;
    let end = rest.iter().rposition(|byte| *byte == b'\n')?;
    Some((&rest[..end], std::str::from_utf8(&rest[end + 1..]).ok()?))
}

/// Tells whether a record is damaged: it neither matches its seal nor is one that an older version kept.
pub(super) fn is_damaged(bytes: &[u8], kind: &str, key: &Digest) -> bool {
    open(bytes, kind, key).is_none() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err()
}
