//! How slowly a body may come: so many bytes at least in each span of time, and all of a document within one time.
//!
//! A limit on silence alone does not help against a server that sends a byte now and then. With this one, `n` bytes take
//! at most `span * (n / least + 1)`: each transfer ends, after a time that grows with its size, which has a limit of its
//! own. Only time that is spent on waiting for the server counts.
//!
//! Documents are small, and much waits for each of them: InRelease files, manifests, lists of tags, answers of an API. All
//! attempts to get one take [`DOCUMENT_TIME`] together.

use crate::sys::http::retry::FailedAttempt;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Least bytes in each span: 64 KiB in half a minute are 2 KiB/s, below the slowest lines that archives are used over; a
/// package of 50 MB ends after seven hours at the latest.
pub const LEAST: u64 = 64 << 10;

/// How long waiting for one document takes at most, all attempts together: the largest InRelease files of today have 500 KB,
/// which come within it at 4 KiB/s.
pub const DOCUMENT_TIME: Duration = Duration::from_secs(120);

/// A limit on how slowly a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinimumPace {
    /// A span of time.
    pub span: Duration,
    /// Least bytes that arrive in each span, until the body ends.
    pub least: u64,
    /// Where it is a document, this is how long all attempts to get it take; see [`DOCUMENT_TIME`].
    pub document: Duration,
}

/// How much longer one document may take. Neither pauses between attempts count, nor the time until it is a request's turn.
#[derive(Debug)]
pub(crate) struct Patience {
    total: Duration,
    left: Duration,
}

impl Patience {
    /// Returns the patience for one document.
    pub(crate) fn new(total: Duration) -> Self {
        Self { total, left: total }
    }

    /// Waits for an answer or its body as long as there is patience.
    ///
    /// # Errors
    /// Those of the work; one that does not pass when time is up.
    pub(crate) async fn during<T>(
        &mut self,
        url: &str,
        work: impl Future<Output = Result<T, FailedAttempt>>,
    ) -> Result<T, FailedAttempt> {
        let begun = Instant::now();
        let result = tokio::time::timeout(self.left, work).await;
        self.lose(begun.elapsed());
        result.unwrap_or_else(|_| Err(FailedAttempt::late(url, self.total)))
    }

    /// Notes time that was lost on waiting; tells whether any is left.
    pub(crate) fn lose(&mut self, time: Duration) -> bool {
        self.left = self.left.saturating_sub(time);
        !self.left.is_zero()
    }
}

/// The pace of a body that is arriving.
#[derive(Debug)]
pub(super) struct BodyPace {
    pace: MinimumPace,
    /// Time spent waiting since enough bytes arrived last.
    waited: Duration,
    /// Bytes that arrived in this time.
    arrived: u64,
}

impl BodyPace {
    pub(super) fn new(pace: MinimumPace) -> Self {
        Self { pace, waited: Duration::ZERO, arrived: 0 }
    }

    /// Returns how long the next bytes may take.
    fn left(&self) -> Duration {
        self.pace.span.saturating_sub(self.waited)
    }

    /// Notes bytes that arrived after a wait.
    fn took(&mut self, bytes: u64, waited: Duration) {
        self.arrived = self.arrived.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);

        // a burst earns no credit for later: the next span begins at zero
        if self.arrived >= self.pace.least {
            (self.arrived, self.waited) = (0, Duration::ZERO);
        }
    }

    /// Returns the next bytes of a response; the outer `None` when they are too slow.
    pub(super) async fn next(
        &mut self,
        response: &mut reqwest::Response,
    ) -> Option<reqwest::Result<Option<bytes::Bytes>>> {
        let started = Instant::now();
        let part = tokio::time::timeout(self.left(), response.chunk()).await.ok()?;
        // measured here, so that the time in which our side works on the bytes does not count
        let length = part.as_ref().ok().and_then(Option::as_ref).map_or(0, bytes::Bytes::len);
        self.took(length as u64, started.elapsed());
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
        let mut paced = BodyPace::new(MinimumPace { span: 10 * SECOND, least: 100, document: SECOND });
        for left in (0..10).rev() {
            paced.took(1, SECOND);
            assert_eq!(paced.left(), left * SECOND);
        }
        let mut paced = BodyPace::new(MinimumPace { span: 10 * SECOND, least: 100, document: SECOND });
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
            let pace = MinimumPace { span: 10 * SECOND, least: 100, document: SECOND };
            let mut paced = BodyPace::new(pace);
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
