//! How slowly a body may come: so many bytes at least in each span of time.
//!
//! A limit on silence alone does not help against a server that sends a byte now and then. With this one, `n` bytes take
//! at most `span * (n / least + 1)`: each transfer ends, after a time that grows with its size, which has a limit of its
//! own. Only time that is spent on waiting for the server counts.

use std::time::Duration;
use tokio::time::Instant;

/// Least bytes in each span: 64 KiB in half a minute are 2 KiB/s, below the slowest lines that archives are used over; a
/// package of 50 MB ends after seven hours at the latest.
pub const LEAST: u64 = 64 << 10;

/// A limit on how slowly a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// In each such span of time…
    pub span: Duration,
    /// …so many bytes come at least, until the end.
    pub least: u64,
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Paced {
    pace: Pace,
    /// Waited since the last time that enough had come.
    waited: Duration,
    came: u64,
}

impl Paced {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, waited: Duration::ZERO, came: 0 }
    }

    /// Returns how long the next bytes may take.
    fn left(&self) -> Duration {
        self.pace.span.saturating_sub(self.waited)
    }

    /// Notes bytes that came after a wait.
    fn took(&mut self, bytes: u64, waited: Duration) {
        (self.came, self.waited) = (self.came.saturating_add(bytes), self.waited.saturating_add(waited));
        if self.came >= self.pace.least {
            (self.came, self.waited) = (0, Duration::ZERO);
        }
    }

    /// Returns the next bytes of a response; the outer `None` when they are too slow.
    pub(super) async fn next(
        &mut self,
        response: &mut reqwest::Response,
    ) -> Option<reqwest::Result<Option<bytes::Bytes>>> {
        let begun = Instant::now();
        let part = tokio::time::timeout(self.left(), response.chunk()).await.ok()?;
        let length = part.as_ref().ok().and_then(Option::as_ref).map_or(0, bytes::Bytes::len);
        self.took(length as u64, begun.elapsed());
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn few_bytes_now_and_then_do_not_go_on_for_ever() {
        let mut paced = Paced::new(Pace { span: 10 * SECOND, least: 100 });
        for left in (0..10).rev() {
            paced.took(1, SECOND);
            assert_eq!(paced.left(), left * SECOND);
        }
        let mut paced = Paced::new(Pace { span: 10 * SECOND, least: 100 });
        // silence before a burst, and none is left over for later
        paced.took(1000, 9 * SECOND);
        assert_eq!(paced.left(), 10 * SECOND);
        paced.took(99, 9 * SECOND);
        assert_eq!(paced.left(), SECOND);
        paced.took(1, SECOND);
        assert_eq!(paced.left(), 10 * SECOND);
    }

    proptest! {
        /// However a server divides a body, it ends in time.
        #[test]
        fn the_whole_takes_no_longer_than_its_size_allows(parts in prop::collection::vec((0_u64..400, 0_u32..10), 1..300)) {
            let pace = Pace { span: 10 * SECOND, least: 100 };
            let mut paced = Paced::new(pace);
            let (mut bytes, mut waited) = (0, Duration::ZERO);
            for (part, wait) in parts {
                let wait = (wait * SECOND).min(paced.left());
                paced.took(part, wait);
                (bytes, waited) = (bytes + part, waited + wait);
                prop_assert!(waited <= pace.span * u32::try_from(bytes / pace.least + 1).unwrap());
            }
        }
    }
}
