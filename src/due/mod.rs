//! What is due: rebuild cadence, age, end of life.
//!
//! - **In**: a definition, the date of its lock, a time, and whether security updates wait.
//! - **Out**: a [`Due`] an image.
//! - **Invariants**: no clock and no network in here: the same input gives the same answer.
//! - **Not here**: what is new in the archives (`update`).

pub mod release;

use crate::due::release::Support;
use crate::recipe::ImageDefinition;
use crate::values::Epoch;
use serde::Serialize;

/// What is due for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Due {
    /// Image name.
    pub image: String,
    /// Newest state of the archives that its packages were chosen from.
    pub locked: Epoch,
    /// When it was last looked for news with this store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<Epoch>,
    /// Seconds since it was locked.
    pub age: i64,
    /// When news must be looked for at the latest: `rebuild.every` after the last time, or after it was locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild_by: Option<Epoch>,
    /// When an urgent update must be taken that was seen: `rebuild.urgent-within` after it was seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgent_by: Option<Epoch>,
    /// One of these times has passed.
    pub overdue: bool,
    /// It is older than was asked for.
    pub old: bool,
    /// What the distribution says about its release; none for one that its data does not know.
    pub support: Option<Support>,
}

/// What happened to an image so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHistory {
    /// Newest state of the archives that it was locked from.
    pub locked: Epoch,
    /// When news was last looked for and taken.
    pub looked: Option<Epoch>,
    /// Since when an urgent update waits.
    pub urgent_since: Option<Epoch>,
}

/// Judges one image from its past; `older_than` in seconds.
#[must_use]
pub fn judge(
    definition: &ImageDefinition,
    ImageHistory { locked, looked, urgent_since }: ImageHistory,
    now: Epoch,
    older_than: Option<i64>,
) -> Due {
    let age = now.0 - locked.0;
    let last = looked.map_or(locked, |looked| looked.max(locked));
    let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    let after = |time: Epoch, limit: u64| Epoch(time.0.saturating_add(seconds(limit)));
    let rebuild_by = definition.rebuild.every.map(|every| after(last, every));
    let urgent = urgent_since.zip(definition.rebuild.urgent_within);
    let urgent_by = urgent.map(|(since, within)| after(since, within));
    let root = definition.levels.values().flatten().next().map(|level| level.recipe.as_str());
    let version = root.and_then(|root| definition.parameters.get(root));
    let origin = definition.archives.first().and_then(|archive| archive.origin.as_deref());
    let support = origin.zip(version).and_then(|(origin, version)| release::support(origin, version, now));
    Due {
        image: definition.image.clone(),
        locked,
        looked,
        age,
        rebuild_by,
        urgent_by,
        overdue: [rebuild_by, urgent_by].into_iter().flatten().any(|by| by < now),
        old: older_than.is_some_and(|limit| age > limit),
        support,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::RebuildSchedule;
    use std::collections::BTreeMap;

    #[test]
    fn cadence_and_age() {
        let day = 86_400;
        let definition = |every: Option<u64>| ImageDefinition {
            image: "i".to_owned(),
            parent: None,
            platforms: Vec::new(),
            parameters: BTreeMap::new(),
            archives: Vec::new(),
            levels: BTreeMap::new(),
            inputs: BTreeMap::new(),
            publish: Default::default(),
            version_of: None,
            purpose: String::new(),
            owner: Default::default(),
            rebuild: RebuildSchedule { every, urgent_within: None },
        };
        let table = [
            (Some(day), day, None, (false, false)),
            (Some(day), day + 1, None, (true, false)),
            (None, 1000 * day, Some(30 * day as i64), (false, true)),
            (None, 30 * day, Some(30 * day as i64), (false, false)),
            (Some(u64::MAX), 30 * day, None, (false, false)),
        ];
        for (every, age, older_than, expected) in table {
            let locked = Epoch(1_700_000_000);
            let now = Epoch(locked.0 + i64::try_from(age).unwrap());
            let past = ImageHistory { locked, looked: None, urgent_since: None };
            let due = judge(&definition(every), past, now, older_than);
            assert_eq!((due.overdue, due.old, due.support), (expected.0, expected.1, None), "{every:?} {age}");
            // looking a moment ago is enough
            let past = ImageHistory { looked: Some(now), ..past };
            let due = judge(&definition(every), past, now, older_than);
            assert_eq!((due.overdue, due.old), (false, expected.1), "{every:?} {age}");
            // but not where an urgent update waits
            let mut definition = definition(every);
            definition.rebuild.urgent_within = Some(3600);
            for (waits, overdue) in [(3600, false), (3601, true)] {
                let past = ImageHistory { urgent_since: Some(Epoch(now.0 - waits)), ..past };
                assert_eq!(judge(&definition, past, now, older_than).overdue, overdue, "{every:?} {waits}");
            }
        }
    }
}
