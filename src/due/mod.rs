//! What is due: rebuild cadence, age, end of life.
//!
//! - **In**: a definition, the date of its lock, a time, and whether security updates wait.
//! - **Out**: a [`Due`] an image.
//! - **Invariants**: no clock and no network in here: the same input gives the same answer.
//! - **Not here**: what is new in the archives (`update`).

pub mod release;

use crate::due::release::Support;
use crate::recipe::Definition;
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
    /// That time has passed.
    pub overdue: bool,
    /// It is older than was asked for.
    pub old: bool,
    /// What the distribution says about its release; none for one that its data does not know.
    pub support: Option<Support>,
}

/// Judges one image from when it was locked and when it was last looked for news; `older_than` in seconds.
#[must_use]
pub fn judge(
    definition: &Definition,
    (locked, looked): (Epoch, Option<Epoch>),
    now: Epoch,
    older_than: Option<i64>,
) -> Due {
    let age = now.0 - locked.0;
    let last = looked.map_or(locked, |looked| looked.max(locked));
    let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    let rebuild_by = definition.rebuild.every.map(|every| Epoch(last.0.saturating_add(seconds(every))));
    let root = definition.levels.values().flatten().next().map(|level| level.recipe.as_str());
    let version = root.and_then(|root| definition.parameters.get(root));
    let origin = definition.archives.first().map(|archive| archive.origin.as_str());
    let support = origin.zip(version).and_then(|(origin, version)| release::support(origin, version, now));
    Due {
        image: definition.image.clone(),
        locked,
        looked,
        age,
        rebuild_by,
        overdue: rebuild_by.is_some_and(|by| by < now),
        old: older_than.is_some_and(|limit| age > limit),
        support,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Rebuild;
    use std::collections::BTreeMap;

    #[test]
    fn cadence_and_age() {
        let day = 86_400;
        let definition = |every: Option<u64>| Definition {
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
            rebuild: Rebuild { every, urgent_within: None },
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
            let due = judge(&definition(every), (locked, None), now, older_than);
            assert_eq!((due.overdue, due.old, due.support), (expected.0, expected.1, None), "{every:?} {age}");
            // looking a moment ago is enough
            let due = judge(&definition(every), (locked, Some(now)), now, older_than);
            assert_eq!((due.overdue, due.old), (false, expected.1), "{every:?} {age}");
        }
    }
}
