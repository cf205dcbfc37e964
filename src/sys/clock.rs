//! What time it is. Asked only to judge the freshness of an archive and to time work, never for image content.

use crate::values::Epoch;
use std::time::Duration;
use std::time::SystemTime;

/// Returns the time since 1970-01-01T00:00:00Z, as exact as the machine knows it. For traces of a run alone.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn exact() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Returns the current time, whole seconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now() -> Epoch {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Epoch(elapsed.map_or(0, |duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
}
