//! How many requests one host gets at a time: fewer when it is busy, more again when it recovers, none while it asked
//! for a pause.

use crate::sys::http::retry::LONGEST_ASKED;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// So many good answers in a row give one request more.
const RECOVERY: u32 = 8;

/// The budget of one host.
#[derive(Debug)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    good: u32,
    not_before: Instant,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        let state = State { limit: most, good: 0, not_before: Instant::now() };
        Self { permits: Arc::new(Semaphore::new(most)), most, state: Mutex::new(state) }
    }

    /// Waits for its turn, and until a pause is over that the host asked any request for.
    pub(super) async fn permit(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            let not_before = self.state().not_before;
            if not_before <= Instant::now() {
                break;
            }
            tokio::time::sleep_until(not_before).await;
        }
        let mut state = self.state();
        state.good += 1;
        if state.good >= RECOVERY && state.limit < self.most {
            state.good = 0;
            state.limit += 1;
            self.permits.add_permits(1);
        }
        permit
    }

    /// Takes back the permit of a request that the host had no time for.
    pub(super) fn busy(&self, permit: OwnedSemaphorePermit, asked_pause: Option<Duration>) {
        let mut state = self.state();
        state.good = 0;
        if state.limit > 1 {
            state.limit -= 1;
            permit.forget();
        }
        drop(state);
        self.rest(asked_pause);
    }

    /// Begins no request before a pause is over.
    pub(super) fn rest(&self, asked_pause: Option<Duration>) {
        if let Some(pause) = asked_pause {
            let mut state = self.state();
            state.not_before = state.not_before.max(Instant::now() + pause.min(LONGEST_ASKED));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shrinks_to_one_and_recovers() {
        let budget = Budget::new(3);
        for expected in [2, 1, 1, 1] {
            let permit = budget.permit().await;
            budget.busy(permit, None);
            assert_eq!(budget.permits.available_permits(), expected);
        }
        for _ in 0..2 * RECOVERY {
            drop(budget.permit().await);
        }
        assert_eq!(budget.permits.available_permits(), 3);
    }

    #[tokio::test]
    async fn a_pause_holds_for_everybody() {
        let budget = Budget::new(2);
        let permit = budget.permit().await;
        let started = Instant::now();
        budget.busy(permit, Some(Duration::from_millis(50)));
        drop(budget.permit().await);
        assert!(started.elapsed() >= Duration::from_millis(50));
    }
}
