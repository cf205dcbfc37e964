//! How long a failing operation is tried again: a number of times, and through an outage for a time.
//!
//! An outage is a host that answered before, and now does not answer, breaks off, or says that it is not ready (502, 503,
//! 504). A restart takes as long as it takes, so the number of attempts does not count then. Other failures come from a
//! host that is there, and a host that never answered is probably not the right one: for those a few attempts are enough.

use std::time::Duration;
use std::time::Instant;

/// How long an outage is waited for: longer than a restart of Harbor with all its containers takes.
pub const OUTAGE: Duration = Duration::from_secs(180);

/// Failures of one operation without any progress in between.
#[derive(Debug, Default)]
pub(crate) struct FailureStreak {
    count: u32,
    since: Option<Instant>,
}

/// What a failure says about the next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryAdvice {
    /// The pause that the host asked for.
    pub(crate) asked_pause: Option<Duration>,
    /// The host is away, or not ready.
    pub(crate) is_outage: bool,
}

/// For how long attempts are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryLimits {
    pub(super) attempts: u32,
    /// Longest outage; zero where the host never answered.
    pub(super) outage: Duration,
}

impl FailureStreak {
    /// Returns the number of failures.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Counts a failure; tells whether another attempt should be made.
    pub(super) fn grow(&mut self, advice: RetryAdvice, limits: RetryLimits, now: Instant) -> bool {
        self.count += 1;
        let since = *self.since.get_or_insert(now);
        self.count < limits.attempts || (advice.is_outage && now - since < limits.outage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_end_by_time_and_other_failures_by_number() {
        let second = Duration::from_secs(1);
        // whether it is an outage, how long one is waited for; failures until the end, one each second
        for (is_outage, outage, expected) in [(true, 20, 21), (true, 0, 3), (true, 1, 3), (false, 20, 3)] {
            let (mut streak, mut now) = (FailureStreak::default(), Instant::now());
            let advice = RetryAdvice { asked_pause: None, is_outage };
            while streak.grow(advice, RetryLimits { attempts: 3, outage: outage * second }, now) {
                now += second;
            }
            assert_eq!(streak.count(), expected, "{is_outage} {outage}");
        }
    }
}
