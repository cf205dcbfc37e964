//! Tokens of a registry's token server (distribution's token specification): what is asked for, what comes back, and
//! which are kept.

use crate::oci::registry::challenge::Challenge;
use crate::values::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Largest answer of a token server that is read.
pub(super) const ANSWER_LIMIT: u64 = 1 << 20;

/// Longest token: it travels in a header.
const LONGEST: usize = 64 << 10;

/// Lifetime of a token whose answer gives none, as the specification has it.
const USUAL_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a token is for: repositories and what is done there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Scope(BTreeMap<String, BTreeSet<&'static str>>);

impl Scope {
    /// Returns the right to read.
    pub(super) fn pull(repository: &str) -> Self {
        Self::default().with(repository, &["pull"])
    }

    /// Returns the right to write, and to read where blobs are mounted from: a mount needs both in one token.
    pub(super) fn push<'a>(repository: &str, mount_from: impl IntoIterator<Item = &'a str>) -> Self {
        let scope = Self::default().with(repository, &["pull", "push"]);
        mount_from.into_iter().fold(scope, |scope, from| scope.with(from, &["pull"]))
    }

    /// Returns the right to delete.
    pub(super) fn delete(repository: &str) -> Self {
        Self::default().with(repository, &["pull", "delete"])
    }

    fn with(mut self, repository: &str, actions: &[&'static str]) -> Self {
        self.0.entry(repository.to_owned()).or_default().extend(actions);
        self
    }

    /// Returns the values of the `scope` parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = String> {
        let actions = |actions: &BTreeSet<&str>| actions.iter().copied().collect::<Vec<_>>().join(",");
        self.0.iter().map(move |(repository, set)| format!("repository:{repository}:{}", actions(set)))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.keys().map(|repository| format!("`{repository}`")).collect();
        f.write_str(&names.join(", "))
    }
}

/// A token server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The token.
    pub token: Secret,
    /// How long it lives.
    pub lifetime: Duration,
    /// Whether it says of itself that it gives no rights at all.
    pub is_empty: bool,
}

/// Reads a token server's answer.
///
/// # Errors
/// What is wrong, for people.
pub fn parse(body: &[u8]) -> Result<Answer, String> {
    let unsound = || "the token server's answer is not sound".to_owned();
    let answer: Value = serde_json::from_slice(body).map_err(|_| unsound())?;
    let text = |key| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = text("token").or_else(|| text("access_token")).ok_or("the token server's answer has no token")?;
    if token.len() > LONGEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unsound());
    }
    let seconds = answer.get("expires_in").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let lifetime = seconds.map_or(USUAL_LIFETIME, |seconds| {
        Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(LONGEST_LIFETIME).min(LONGEST_LIFETIME)
    });
    Ok(Answer { token: Secret::new(token.to_owned()), lifetime, is_empty: gives_nothing(token) })
}

/// Tells whether a token is a JWT (RFC 7519) whose `access` claim has no action in it. Other tokens are not judged.
fn gives_nothing(token: &str) -> bool {
    let Some(claims) = token.split('.').nth(1) else { return false };
    let Ok(claims) = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')) else { return false };
    let Ok(claims) = serde_json::from_slice::<Value>(&claims) else { return false };
    let has_actions =
        |entry: &Value| entry.get("actions").and_then(Value::as_array).is_some_and(|actions| !actions.is_empty());
    match claims.get("access") {
        Some(Value::Null) => true,
        Some(Value::Array(access)) => !access.iter().any(has_actions),
        _ => false,
    }
}

/// A token in use.
#[derive(Debug)]
pub(super) struct Token {
    /// Tells tokens apart.
    pub(super) serial: u64,
    pub(super) text: Secret,
    /// From here on a new one is asked for.
    renewed_at: Instant,
}

/// Where the token for one scope is kept. Whoever holds it asks for a new one; the others wait for that.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Arc<Token>>>>;

/// How a registry wants to be talked to, and the tokens that it accepts.
#[derive(Debug, Default)]
pub(super) struct Passes {
    challenge: Mutex<Option<Challenge>>,
    slots: Mutex<BTreeMap<Scope, Slot>>,
    serial: AtomicU64,
    first: tokio::sync::Mutex<()>,
    is_open: AtomicBool,
}

impl Passes {
    /// Returns what the registry asked for, once it did.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        guard(&self.challenge).clone()
    }

    /// Remembers what the registry asks for; the first one counts: Harbor names `Basic` to those who came with a token.
    pub(super) fn learn(&self, challenge: Challenge) {
        guard(&self.challenge).get_or_insert(challenge);
    }

    /// Waits until another request has found out what the registry asks for; whoever gets the guard finds out.
    pub(super) async fn first(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let is_known = || self.is_open.load(Ordering::Relaxed) || guard(&self.challenge).is_some();
        if is_known() {
            return None;
        }
        let first = self.first.lock().await;
        (!is_known()).then_some(first)
    }

    /// Remembers that the registry answers everybody, as far as is known.
    pub(super) fn is_open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Returns where the token for a scope is kept.
    pub(super) fn slot(&self, scope: &Scope) -> Slot {
        Arc::clone(guard(&self.slots).entry(scope.clone()).or_default())
    }

    /// Returns a token that was asked for at this time, for a slot.
    pub(super) fn issue(&self, answer: Answer, asked_at: Instant) -> Arc<Token> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Arc::new(Token { serial, text: answer.token, renewed_at: asked_at + answer.lifetime * 4 / 5 })
    }
}

impl Token {
    /// Tells whether it can be used, after the registry refused the one with that serial number.
    pub(super) fn is_good(&self, refused: Option<u64>) -> bool {
        refused != Some(self.serial) && Instant::now() < self.renewed_at
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds this")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn scopes_in_one_token() {
        let scope = Scope::push("base/java", ["base/tomcat", "base/java"]);
        let parameters: Vec<String> = scope.parameters().collect();
        assert_eq!(parameters, ["repository:base/java:pull,push", "repository:base/tomcat:pull"]);
        assert_eq!(scope.to_string(), "`base/java`, `base/tomcat`");
    }

    #[test]
    fn reads_answers() {
        let table = [
            (r#"{"token":"abc","access_token":"","expires_in":1800}"#, Ok(("abc", 1800))),
            (r#"{"token":"","access_token":"def"}"#, Ok(("def", 60))),
            (r#"{"token":"a","expires_in":0}"#, Ok(("a", 1))),
            (r#"{"token":"a","expires_in":-5}"#, Ok(("a", 60))),
            (r#"{"token":"a","expires_in":1e300}"#, Ok(("a", 86400))),
            (r#"{"token":"a","expires_in":"300"}"#, Ok(("a", 60))),
            (r#"{"token":"a\nb"}"#, Err("the token server's answer is not sound")),
            (r#"{"token":"a b"}"#, Err("the token server's answer is not sound")),
            (r#"{"token":7}"#, Err("the token server's answer has no token")),
            ("{}", Err("the token server's answer has no token")),
            ("[]", Err("the token server's answer has no token")),
            ("<html>", Err("the token server's answer is not sound")),
        ];
        for (body, expected) in table {
            let found = parse(body.as_bytes());
            let found = found.as_ref().map(|answer| (answer.token.expose(), answer.lifetime.as_secs()));
            assert_eq!(found.map_err(String::as_str), expected, "{body}");
        }
    }

    #[test]
    fn notices_tokens_that_give_nothing() {
        let some = r#"{"access":[{"type":"repository","name":"a/b","actions":["pull"]}]}"#;
        let table = [
            (jwt(some), false),
            (jwt(r#"{"access":[]}"#), true),
            (jwt(r#"{"access":null}"#), true),
            (jwt(r#"{"access":[{"type":"repository","name":"a/b","actions":[]}]}"#), true),
            (jwt(r#"{"access":[{"type":"repository","name":"a/b","actions":null},7]}"#), true),
            (jwt(r#"{"sub":"x"}"#), false),
            (jwt("[]"), false),
            ("opaque".to_owned(), false),
            ("a.!!.c".to_owned(), false),
        ];
        for (token, expected) in table {
            let body = serde_json::json!({ "token": token }).to_string();
            assert_eq!(parse(body.as_bytes()).map(|answer| answer.is_empty), Ok(expected), "{token}");
        }
    }

    #[tokio::test]
    async fn is_renewed_before_it_ends() {
        let passes = Passes::default();
        let answer = parse(br#"{"token":"a","expires_in":100}"#).expect("sound");
        let old = Instant::now().checked_sub(Duration::from_secs(81)).expect("the machine runs for longer");
        assert!(!passes.issue(answer.clone(), old).is_good(None));
        let token = passes.issue(answer, Instant::now());
        assert!(token.is_good(None) && token.is_good(Some(0)) && !token.is_good(Some(token.serial)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_answer_is_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            text in "\\PC{0,60}",
            number in any::<f64>(),
        ) {
            let _any = parse(&bytes);
            let body = serde_json::json!({ "token": jwt(&text), "expires_in": number }).to_string();
            let answer = parse(body.as_bytes()).expect("sound");
            prop_assert!(answer.lifetime <= LONGEST_LIFETIME && answer.lifetime >= Duration::from_secs(1));
            let _any = parse(serde_json::json!({ "token": text, "expires_in": text }).to_string().as_bytes());
        }
    }
}
