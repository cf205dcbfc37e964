//! The current time. Only used to judge how fresh an archive is and to time work, never for image content.

use crate::values::Epoch;
use std::time::Duration;
use std::time::SystemTime;

/// Returns the time since 1970-01-01T00:00:00Z, as precisely as the machine knows it. Only for traces of a run.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn exact() -> Duration {
    // a clock before 1970 was never set; the earliest time stands for it
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Returns the current time in whole seconds.
#[must_use]
pub fn now() -> Epoch {
    Epoch(i64::try_from(exact().as_secs()).unwrap_or(i64::MAX))
}
