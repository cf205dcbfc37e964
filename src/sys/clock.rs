//! What time it is. Asked only to judge the freshness of an archive and to time work, never for image content.

use crate::values::Epoch;
use std::time::SystemTime;

/// Returns the current time, whole seconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now() -> Epoch {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Epoch(elapsed.map_or(0, |duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
}
