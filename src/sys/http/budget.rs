//! Limits how many requests one host gets at a time: fewer when it is busy, more again when it recovers, and none during
//! a pause that it asked for.

use crate::sys::http::retry::LONGEST_ASKED;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Requests without a busy answer after which one more may run at a time. The limit falls with each busy answer and
/// rises slowly, as that of TCP does (RFC 5681): a host that was just relieved is not overloaded again at once.
const RECOVERY: u32 = 8;

/// The budget of one host.
#[derive(Debug)]
pub(super) struct HostBudget {
    permits: Arc<Semaphore>,
    most: usize,
    state: Mutex<HostBudgetState>,
}

#[derive(Debug)]
struct HostBudgetState {
    /// Requests that may run at a time now.
    limit: usize,
    /// Requests since the last busy answer or the last rise of the limit.
    undisturbed: u32,
    /// End of the pause that the host asked for.
    not_before: Instant,
}

impl HostBudget {
    pub(super) fn new(most: usize) -> Self {
        // with no permit at all, the first request would wait forever
        let most = most.max(1);
        let state = HostBudgetState { limit: most, undisturbed: 0, not_before: Instant::now() };
        Self { permits: Arc::new(Semaphore::new(most)), most, state: Mutex::new(state) }
    }

    /// Waits until the budget has room and the host's pause is over.
    pub(super) async fn permit(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");

        // another request may extend the pause while this one sleeps
        loop {
            let not_before = self.state().not_before;
            if not_before <= Instant::now() {
                break;
            }
            tokio::time::sleep_until(not_before).await;
        }

        let mut state = self.state();
        state.undisturbed += 1;
        if state.undisturbed >= RECOVERY && state.limit < self.most {
            state.undisturbed = 0;
            state.limit += 1;
            self.permits.add_permits(1);
        }
        permit
    }

    /// Takes back the permit of a request for which the host was too busy.
    pub(super) fn busy(&self, permit: OwnedSemaphorePermit, asked_pause: Option<Duration>) {
        let mut state = self.state();
        state.undisturbed = 0;
        if state.limit > 1 {
            state.limit -= 1;
            // a forgotten permit never returns to the semaphore, so one request fewer runs from now on
            permit.forget();
        }

        // `rest` locks the state again
        drop(state);
        self.rest(asked_pause);
    }

    /// Starts no request until a pause is over.
    pub(super) fn rest(&self, asked_pause: Option<Duration>) {
        if let Some(pause) = asked_pause {
            let mut state = self.state();
            // a shorter pause never cuts a longer one, and no host stops a run by asking for a year
            state.not_before = state.not_before.max(Instant::now() + pause.min(LONGEST_ASKED));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, HostBudgetState> {
        self.state.lock().expect("no thread panics while it holds this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shrinks_to_one_and_recovers() {
        let budget = HostBudget::new(3);
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
        let budget = HostBudget::new(2);
        let permit = budget.permit().await;
        let started = Instant::now();
        budget.busy(permit, Some(Duration::from_millis(50)));
        drop(budget.permit().await);
        assert!(started.elapsed() >= Duration::from_millis(50));
    }
}
