//! Follows a request: when it last moved a byte, and whether its body failed on our side.

use crate::sys::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

/// Factor on the idle timeout once a body is sent completely: a registry may take a while to check and move a large blob
/// before it answers.
const PATIENCE: u32 = 5;

/// The pulse of one request.
#[derive(Debug, Clone)]
pub(super) struct RequestPulse(Arc<Mutex<RequestPulseState>>);

#[derive(Debug)]
struct RequestPulseState {
    last: Instant,
    has_sent_body: bool,
    failure: Option<fs::Error>,
}

impl RequestPulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(RequestPulseState { last: Instant::now(), has_sent_body: false, failure: None })))
    }

    /// Notes that bytes moved.
    pub(super) fn beat(&self) {
        self.state().last = Instant::now();
    }

    /// Notes that a body is going to be sent.
    pub(super) fn begins_body(&self) {
        let mut state = self.state();
        (state.last, state.has_sent_body) = (Instant::now(), false);
    }

    /// Notes that a body was handed over completely: what follows is the host's work.
    pub(super) fn ends_body(&self) {
        let mut state = self.state();
        (state.last, state.has_sent_body) = (Instant::now(), true);
    }

    /// Notes that the body could not be read.
    pub(super) fn fails(&self, error: fs::Error) {
        self.state().failure = Some(error);
    }

    /// Takes the error of a body that could not be read.
    pub(super) fn failure(&self) -> Option<fs::Error> {
        self.state().failure.take()
    }

    /// Returns once no byte has moved for this long.
    pub(super) async fn stops(&self, idle: Duration) {
        loop {
            let deadline = self.state().deadline(idle);
            if deadline <= Instant::now() {
                return;
            }
            // bytes that move in the meantime set a later deadline
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, RequestPulseState> {
        self.0.lock().expect("no thread panics while it holds this")
    }
}

impl RequestPulseState {
    /// Returns when the request counts as stopped if no further byte moves.
    fn deadline(&self, idle: Duration) -> Instant {
        let patience = if self.has_sent_body { idle.saturating_mul(PATIENCE) } else { idle };
        self.last + patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stops_only_after_silence() {
        let pulse = RequestPulse::new();
        let idle = Duration::from_millis(40);
        let started = Instant::now();
        let beating = async {
            for _ in 0..4 {
                tokio::time::sleep(idle / 2).await;
                pulse.beat();
            }
        };
        tokio::join!(pulse.stops(idle), beating);
        assert!(started.elapsed() >= idle * 3);
        pulse.ends_body();
        let started = Instant::now();
        pulse.stops(idle).await;
        assert!(started.elapsed() >= idle * PATIENCE);
    }
}
