//! What was seen of a pocket before: protects against rollback, and makes "nothing changed" cheap.
//!
//! ```text
//! archives/seen/<key>.json     date, digest and HTTP stamp of the last accepted InRelease
//! archives/seen/<key>.InRelease
//! archives/by-hash/<sha256>    compressed indexes
//! ```
//! `<key>` is a digest of archive, pocket and suite (for the date) and of the addresses (for the file).

use crate::apt::archive::Error;
use crate::apt::archive::Facts;
use crate::apt::archive::Pocket;
use crate::apt::archive::fetching::Fetched;
use crate::sys::fs;
use crate::sys::http::Stamp;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;
use std::path::Path;
use std::path::PathBuf;

/// Largest record and InRelease file that is read back.
const LIMIT: u64 = 32 << 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    date: Epoch,
    inrelease: Digest,
    base: String,
    stamp: Stamp,
}

/// The memory of one pocket.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    key: String,
}

impl Memory {
    pub(super) fn open(folder: &Path, pocket: &Pocket) -> Self {
        let key = Digest::of(format!("{}\n{}\n{}", pocket.archive, pocket.name, pocket.suite).as_bytes()).short();
        Self { folder: folder.join("seen"), key }
    }

    fn path(&self, architecture: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{}-{architecture}.{ending}", self.key))
    }

    fn seen(&self, architecture: &str) -> Option<Seen> {
        let bytes = fs::read(&self.path(architecture, "json"), LIMIT).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Returns the remembered file, if its bytes are still those that were accepted.
    pub(super) fn file(&self, architecture: &str) -> Option<(Fetched, Stamp)> {
        let seen = self.seen(architecture)?;
        let inrelease = fs::read(&self.path(architecture, "InRelease"), LIMIT).ok()?;
        let is_whole = Digest::of(&inrelease) == seen.inrelease;
        is_whole.then_some((Fetched { inrelease, base: seen.base, stamp: seen.stamp.clone() }, seen.stamp))
    }

    /// Refuses what is older than anything accepted before, on any address.
    pub(super) fn check(&self, pocket: &Pocket, facts: &Facts) -> Result<(), Error> {
        let rollback = |cause: String| Err(Error::Rollback { pocket: pocket.label(), cause });
        for name in fs::list(&self.folder)? {
            let Some(architecture) =
                name.strip_prefix(&format!("{}-", self.key)).and_then(|rest| rest.strip_suffix(".json"))
            else {
                continue;
            };
            let Some(seen) = self.seen(architecture) else { continue };
            if facts.date < seen.date {
                return rollback(format!("its date is {}, but {} was seen before", facts.date, seen.date));
            }
            let differs = facts.inrelease != seen.inrelease;
            if differs && facts.date == seen.date && pocket.uris.len() == 1 {
                return rollback(format!("it is another file than before with the same date {}", facts.date));
            }
            if differs && pocket.frozen {
                return rollback("it is frozen, but its file is another one than before".to_owned());
            }
        }
        Ok(())
    }

    /// Remembers an accepted file.
    pub(super) fn keep(&self, architecture: &str, fetched: &Fetched, facts: &Facts) -> Result<(), Error> {
        if self.seen(architecture).is_some_and(|seen| seen.inrelease == facts.inrelease && seen.stamp == fetched.stamp)
        {
            return Ok(());
        }
        fs::create_dir(&self.folder)?;
        let seen = Seen {
            date: facts.date,
            inrelease: facts.inrelease,
            base: fetched.base.clone(),
            stamp: fetched.stamp.clone(),
        };
        let json = serde_json::to_vec(&seen).expect("a record of texts serialises");
        fs::write_atomic(&self.path(architecture, "InRelease"), &fetched.inrelease)?;
        Ok(fs::write_atomic(&self.path(architecture, "json"), &json)?)
    }
}
