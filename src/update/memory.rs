//! What earlier runs with this store saw: when they looked for news, since when an urgent update waits, when a run last
//! succeeded. A cache: a store that is lost forgets it, and then the time of the lock counts.

use crate::store;
use crate::store::Store;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;
use std::path::Path;

/// Records of [`RememberedUpdate`].
const SEEN: &str = "seen";

/// Records of the last run without a failure.
const SUCCESS: &str = "success";

/// What is remembered about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedUpdate {
    /// When news was last looked for and taken.
    pub looked: Option<Epoch>,
    /// When an urgent update was seen first that is still to be taken.
    pub urgent_since: Option<Epoch>,
    /// What the last run could not take.
    #[serde(default)]
    pub blocked: Option<RememberedBlock>,
}

/// Updates of an image that a run could not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RememberedBlock {
    /// Packages with both versions, and pockets that cannot be read.
    pub what: Vec<String>,
    /// CVE numbers that stay in the image for that.
    pub cves: Vec<String>,
    /// When the image was first seen with a blocked update.
    pub since: Epoch,
}

/// What a run found out about an image and did about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateFinding {
    /// News was looked at only; whether any of it is urgent.
    Looked {
        /// An urgent update waits.
        urgent: bool,
    },
    /// News, if there was any, was taken: locked, and published where the run was to publish.
    Taken,
    /// It was locked, and then not published; whether any of it was urgent.
    Stuck {
        /// An urgent update was locked.
        urgent: bool,
    },
}

/// The memory of one project.
#[derive(Debug, Clone, Copy)]
pub struct UpdateMemory<'a> {
    /// Where it is kept.
    pub store: &'a Store,
    /// Its folder.
    pub project: &'a Path,
}

impl UpdateMemory<'_> {
    fn key(&self, image: &str) -> Digest {
        Digest::of(format!("{}\n{image}", self.project.display()).as_bytes())
    }

    /// Returns what is known about an image.
    #[must_use]
    pub fn seen(&self, image: &str) -> RememberedUpdate {
        self.store.remembered(SEEN, &self.key(image)).unwrap_or_default()
    }

    /// Remembers what a run found and did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note(
        &self,
        image: &str,
        found: UpdateFinding,
        blocked: Option<RememberedBlock>,
        now: Epoch,
    ) -> Result<(), store::Error> {
        let before = self.seen(image);
        let mut after = before.clone().after(found, now);
        let since = before.blocked.as_ref().map(|block| block.since);
        after.blocked = blocked.map(|block| RememberedBlock { since: since.unwrap_or(block.since), ..block });
        if after == before { Ok(()) } else { self.store.keep(SEEN, &self.key(image), &after) }
    }

    /// Returns when a run last succeeded, `now` if this one has.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn success(&self, has_succeeded: bool, now: Epoch) -> Result<Option<Epoch>, store::Error> {
        if !has_succeeded {
            return Ok(self.store.remembered(SUCCESS, &self.key("")));
        }
        self.store.keep(SUCCESS, &self.key(""), &now)?;
        Ok(Some(now))
    }
}

impl RememberedUpdate {
    fn after(self, found: UpdateFinding, now: Epoch) -> Self {
        let since = |is_urgent: bool| is_urgent.then(|| self.urgent_since.unwrap_or(now));
        match found {
            UpdateFinding::Looked { urgent } => Self { urgent_since: since(urgent), ..self },
            UpdateFinding::Taken => Self { looked: Some(now), urgent_since: None, ..self },
            // the next run finds nothing new in the archives, but the images are still the old ones
            UpdateFinding::Stuck { urgent } => {
                Self { looked: Some(now), urgent_since: since(urgent || self.urgent_since.is_some()), ..self }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_updates_wait_until_they_are_taken() {
        use UpdateFinding::*;
        let table = [
            (vec![Looked { urgent: false }], (None, None)),
            (vec![Looked { urgent: true }, Looked { urgent: true }], (None, Some(1))),
            (vec![Looked { urgent: true }, Looked { urgent: false }], (None, None)),
            (vec![Looked { urgent: true }, Taken], (Some(2), None)),
            (vec![Stuck { urgent: true }, Stuck { urgent: false }], (Some(2), Some(1))),
            (vec![Stuck { urgent: true }, Taken, Stuck { urgent: false }], (Some(3), None)),
        ];
        for (runs, expected) in table {
            let fold = |seen: RememberedUpdate, (found, time): (&UpdateFinding, i64)| seen.after(*found, Epoch(time));
            let seen = runs.iter().zip(1..).fold(RememberedUpdate::default(), fold);
            assert_eq!((seen.looked.map(|at| at.0), seen.urgent_since.map(|at| at.0)), expected, "{runs:?}");
        }
    }
}
