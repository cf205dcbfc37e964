//! Decides which failures may pass, and how long to wait for that.

use crate::sys::clock;
use crate::sys::http::Error;
use crate::sys::http::HttpOptions;
use crate::sys::http::error;
use crate::sys::http::header_text;
use crate::sys::http::mask;
use crate::sys::http::pace::MinimumPace;
use crate::sys::http::streak::RetryAdvice;
use crate::values::Epoch;
use crate::values::date;
use reqwest::Response;
use reqwest::header;
use std::time::Duration;
use url::Url;

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause that a host gets by asking for it.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) error: Error,
    may_pass: bool,
    advice: RetryAdvice,
    /// How long the host said nothing, where that is what failed.
    silence: Duration,
    /// What a busy server says in the body of its answer.
    pub(crate) said: Box<[u8]>,
}

impl From<Error> for FailedAttempt {
    fn from(error: Error) -> Self {
        Self { error, may_pass: false, advice: RetryAdvice::default(), silence: Duration::ZERO, said: Box::default() }
    }
}

impl FailedAttempt {
    /// Returns the failure of a connection; it may pass unless its cause is one that stays.
    pub(crate) fn of(url: &str, error: &reqwest::Error) -> Self {
        let cause = error::chain(error);
        // a certificate does not become valid by asking again, nor a redirect or an address
        let may_pass = !error.is_redirect()
            && !error.is_builder()
            && !cause.contains("certificate")
            && !error::is_refused_certificate(&cause);
        Self { may_pass, ..Self::unreachable(url, cause) }
    }

    fn unreachable(url: &str, cause: String) -> Self {
        let advice = RetryAdvice { is_outage: true, ..RetryAdvice::default() };
        Self { may_pass: true, advice, ..Error::Unreachable { url: mask(url), cause }.into() }
    }

    /// Names the proxy as the cause if a connection to it could not be established.
    pub(crate) fn through(mut self, proxy: Option<&Url>, cause: &reqwest::Error) -> Self {
        if let (Some(proxy), true, Error::Unreachable { cause, .. }) = (proxy, cause.is_connect(), &mut self.error) {
            // without it people would look for the fault at the server that the message names
            *cause = format!("cannot connect through the proxy `{}`: {cause}", mask(proxy.as_str()));
        }
        self
    }

    /// Returns what this says about the next attempt.
    pub(crate) fn advice(&self) -> RetryAdvice {
        self.advice
    }

    /// Returns the pause that the server asked for.
    pub(crate) fn asked_pause(&self) -> Option<Duration> {
        self.advice.asked_pause
    }

    /// Tells whether another attempt may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// Returns how long was waited for a host that said nothing.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Makes a failure of a host that has said nothing for so long.
    pub(crate) fn silent(url: &str, silence: Duration) -> Self {
        Self { silence, ..Self::unreachable(url, "no answer in time".to_owned()) }
    }

    /// Makes a failure of a host that did not send all of a document in time.
    pub(crate) fn late(url: &str, total: Duration) -> Self {
        let cause = format!("not all of it came in {} seconds", total.as_secs_f32());
        Self { may_pass: false, ..Self::unreachable(url, cause) }
    }

    /// Returns the failure of a host that sends too slowly.
    pub(crate) fn slow(url: &str, pace: MinimumPace) -> Self {
        let cause = format!("fewer than {} bytes came in {} seconds", pace.least, pace.span.as_secs_f32());
        Self::unreachable(url, cause)
    }

    /// Returns the failure of a body that ended too early.
    pub(crate) fn short(url: &str) -> Self {
        Self::unreachable(url, "the connection broke off".to_owned())
    }

    /// Returns the failure of a server that is too busy now; `Retry-After` is honoured.
    pub(crate) fn busy(url: &str, response: &Response, proxy: Option<&Url>) -> Self {
        let headers = response.headers();
        // a date in `Retry-After` is one of the host's clock, from which ours may differ
        let now = header_text(headers, header::DATE).and_then(date::parse).unwrap_or_else(clock::now);
        let asked_pause = header_text(headers, header::RETRY_AFTER).and_then(|text| retry_after(text, now));

        let status = response.status().as_u16();
        let advice = RetryAdvice { asked_pause, is_outage: matches!(status, 502..=504) };
        Self { may_pass: status != 501, advice, ..Error::of_status(url, status, proxy).into() }
    }
}

/// Waits before the next attempt.
///
/// # Errors
/// The failure itself when it cannot pass or the attempts are used up.
pub(crate) async fn pause(failure: FailedAttempt, failures: &mut u32, options: &HttpOptions) -> Result<(), Error> {
    *failures += 1;
    if !failure.may_pass || *failures >= options.attempts {
        return Err(failure.error);
    }

    // never less than our own least pause: `Retry-After: 0` is no reason to hammer the server
    let pause = failure.advice.asked_pause.unwrap_or_else(|| doubled(options.backoff, *failures)).max(options.backoff);
    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
    Ok(())
}

/// Waits before the next attempt of one of many requests: for a random part of the pause, so that they do not all return
/// at once ("full jitter", AWS Architecture Blog, 2015).
pub(super) async fn jitter(backoff: Duration, failures: u32, asked_pause: Option<Duration>) {
    let random = doubled(backoff, failures).min(LONGEST_PAUSE).mul_f64(random_share());
    // the host's wish is a lower bound, which jitter must not undercut
    tokio::time::sleep(asked_pause.unwrap_or_default().min(LONGEST_ASKED).max(random)).await;
}

/// Returns the first pause, doubled with each failure after the first.
fn doubled(backoff: Duration, failures: u32) -> Duration {
    // bounded, because a shift by 32 or more overflows
    backoff.saturating_mul(1 << failures.saturating_sub(1).min(10))
}

/// Reads `Retry-After`: seconds, or a date after `now` (RFC 9110, 10.2.3). `None` for everything else.
#[must_use]
pub fn retry_after(text: &str, now: Epoch) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }

    let seconds = date::parse(text)?.0.checked_sub(now.0)?;
    // a date that has passed asks for no pause
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Returns a number from 0 to 1 that differs between tasks and runs.
fn random_share() -> f64 {
    // the keys of the standard library's hasher are random, and jitter needs nothing better
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0_u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_hosts_ask_for() {
        let now = date::parse("Sun, 06 Nov 1994 08:49:00 GMT").expect("a date");
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ];
        for (text, seconds) in table {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([0-9]{0,30}|.{0,40}|Sun, [0-9]{1,2} Nov [0-9]{4} [0-9:]{8} GMT)") {
            let _any = retry_after(&text, Epoch(i64::MIN));
            let _any = retry_after(&text, Epoch(i64::MAX));
        }
    }
}
