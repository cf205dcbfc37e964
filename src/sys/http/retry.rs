//! Which failures may pass, and how long to wait for that.

use crate::sys::http::Error;
use crate::sys::http::Options;
use crate::sys::http::error;
use crate::sys::http::mask;
use reqwest::Response;
use reqwest::header;
use std::time::Duration;

/// Longest pause between two attempts, also when a server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    may_pass: bool,
    asked_pause: Option<Duration>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, may_pass: false, asked_pause: None }
    }
}

impl Failure {
    /// Sorts out a broken connection.
    pub(crate) fn of(url: &str, error: &reqwest::Error) -> Self {
        let cause = error::chain(error);
        // a certificate does not become right by asking again
        let may_pass = !error.is_redirect() && !error.is_builder() && !cause.contains("certificate");
        Self { error: Error::Unreachable { url: mask(url), cause }, may_pass, asked_pause: None }
    }

    /// Returns how long the server wants to be left alone.
    pub(crate) fn asked_pause(&self) -> Option<Duration> {
        self.asked_pause
    }

    #[allow(dead_code, reason = "the registry's transport is on its way")]
    /// Makes a failure that another attempt may mend.
    pub(crate) fn passing(error: Error) -> Self {
        Self { error, may_pass: true, asked_pause: None }
    }

    /// Makes a failure of a body that ended too early.
    pub(crate) fn short(url: &str) -> Self {
        let cause = "the connection broke off".to_owned();
        Self { error: Error::Unreachable { url: mask(url), cause }, may_pass: true, asked_pause: None }
    }

    /// Makes a failure of a server that has no time now; `Retry-After` in seconds is honoured (RFC 9110, 10.2.3).
    pub(crate) fn busy(url: &str, response: &Response) -> Self {
        let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked_pause = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        Self { error: Error::Status { url: mask(url), status }, may_pass: status != 501, asked_pause }
    }
}

/// Waits before the next attempt.
///
/// # Errors
/// The failure itself when it cannot pass or the attempts are used up.
pub(crate) async fn pause(failure: Failure, failures: &mut u32, options: &Options) -> Result<(), Error> {
    *failures += 1;
    if !failure.may_pass || *failures >= options.attempts {
        return Err(failure.error);
    }
    let grown = options.backoff.saturating_mul(1 << (*failures - 1).min(10));
    tokio::time::sleep(failure.asked_pause.unwrap_or(grown).max(options.backoff).min(LONGEST_PAUSE)).await;
    Ok(())
}

/// Waits before the next attempt of one of many: somewhere within the pause, so that not all come back at once ("full
/// jitter", AWS Architecture Blog, 2015).
///
/// # Errors
/// As [`pause`].
pub(crate) async fn pause_with_jitter(
    failure: Failure,
    failures: &mut u32,
    (attempts, backoff): (u32, Duration),
) -> Result<(), Error> {
    *failures += 1;
    if !failure.may_pass || *failures >= attempts {
        return Err(failure.error);
    }
    let grown = backoff.saturating_mul(1 << (*failures - 1).min(10)).min(LONGEST_PAUSE);
    let somewhere = grown.mul_f64(random_share());
    tokio::time::sleep(failure.asked_pause.unwrap_or_default().min(LONGEST_PAUSE).max(somewhere)).await;
    Ok(())
}

/// A number from 0 to 1 that differs between tasks and runs; the keys of the standard library's hasher are random.
fn random_share() -> f64 {
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0_u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
