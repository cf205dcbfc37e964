//! Tokens of a registry's token server (distribution's token specification): their scopes, the server's answer, and the
//! tokens that are kept.

use crate::oci::registry::challenge::AuthChallenge;
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

/// Cause of errors about an answer that is not as the specification defines it.
const MALFORMED: &str = "the token server's answer is malformed";

/// Largest answer of a token server that is read.
pub(super) const ANSWER_LIMIT: u64 = 1 << 20;

/// Longest token: it is sent in a header, which servers limit.
const LONGEST: usize = 64 << 10;

/// Lifetime of a token whose answer names none, as the specification defines it.
const USUAL_LIFETIME: Duration = Duration::from_secs(60);

/// Longest lifetime that is believed: a larger number must not overflow the clock.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The rights of a token: repositories, and the actions in each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenScope {
    /// The repository that a request is about; its login gets the token.
    repository: String,
    rights: BTreeMap<String, BTreeSet<&'static str>>,
}

impl TokenScope {
    /// Returns the right to read a repository.
    pub(super) fn pull(repository: &str) -> Self {
        Self::of(repository, &["pull"])
    }

    /// Returns the right to write to a repository.
    pub(super) fn push(repository: &str) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    /// Returns the right to write to a repository and to read those that blobs are mounted from. A mount needs both in one
    /// token; some token servers refuse all of it for one right that they do not give.
    pub(super) fn mount<'a>(repository: &str, mount_from: impl IntoIterator<Item = &'a str>) -> Self {
        mount_from.into_iter().fold(Self::push(repository), |scope, from| scope.with(from, &["pull"]))
    }

    /// Returns the right to delete in a repository.
    pub(super) fn delete(repository: &str) -> Self {
        Self::of(repository, &["pull", "delete"])
    }

    fn of(repository: &str, actions: &[&'static str]) -> Self {
        Self { repository: repository.to_owned(), rights: BTreeMap::new() }.with(repository, actions)
    }

    /// Returns the repository that a request is about.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// Adds actions in a repository.
    fn with(mut self, repository: &str, actions: &[&'static str]) -> Self {
        self.rights.entry(repository.to_owned()).or_default().extend(actions);
        self
    }

    /// Returns the values of the `scope` parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = String> {
        self.rights.iter().map(|(repository, actions)| {
            let actions: Vec<&str> = actions.iter().copied().collect();
            format!("repository:{repository}:{}", actions.join(","))
        })
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.rights.keys().map(|repository| format!("`{repository}`")).collect();
        f.write_str(&names.join(", "))
    }
}

/// The answer of a token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenResponse {
    /// The token.
    pub token: Secret,
    /// Time from the request until the token expires.
    pub lifetime: Duration,
    /// The token says of itself that it grants no rights at all.
    pub is_empty: bool,
}

/// Reads the answer of a token server.
///
/// # Errors
/// The cause, for messages; never anything of the answer, which may have a token in it.
pub fn parse(body: &[u8]) -> Result<TokenResponse, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| MALFORMED)?;

    // servers that speak OAuth 2.0 name it `access_token`; those that send both may leave one empty
    let token =
        ["token", "access_token"].into_iter().find_map(|key| answer.get(key)?.as_str().filter(|t| !t.is_empty()));
    let token = token.ok_or("the token server's answer has no token")?;
    // it goes into a header as it is
    if token.len() > LONGEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(MALFORMED.to_owned());
    }

    let seconds = answer.get("expires_in").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let lifetime = match seconds {
        // at least a second, or every request would need a new token
        Some(seconds) => {
            Duration::try_from_secs_f64(seconds.max(1.0)).map_or(LONGEST_LIFETIME, |time| time.min(LONGEST_LIFETIME))
        }
        None => USUAL_LIFETIME,
    };
    Ok(TokenResponse { token: Secret::new(token.to_owned()), lifetime, is_empty: grants_nothing(token) })
}

/// Tells whether a token is a JWT (RFC 7519) whose `access` claim has no actions. Other tokens are opaque, and count as
/// granting something.
fn grants_nothing(token: &str) -> bool {
    // The signature is not verified: that is the registry's part. A forged claim would only change our message.
    let Some(claims) = token.split('.').nth(1) else { return false };
    let Ok(claims) = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')) else { return false };
    let Ok(claims) = serde_json::from_slice::<Value>(&claims) else { return false };

    match claims.get("access") {
        Some(Value::Null) => true,
        Some(Value::Array(access)) => !access.iter().any(has_actions),
        _ => false,
    }
}

/// Tells whether an entry of an `access` claim grants any action.
fn has_actions(entry: &Value) -> bool {
    entry.get("actions").and_then(Value::as_array).is_some_and(|actions| !actions.is_empty())
}

/// A token in use.
#[derive(Debug)]
pub(super) struct BearerToken {
    /// Number that tells tokens of this run apart.
    pub(super) serial: u64,
    pub(super) text: Secret,
    /// From this time on, a new token is requested.
    renewed_at: Instant,
}

/// The place of the token for one scope. The task that holds the lock requests a new token; the others wait for it.
pub(super) type TokenSlot = Arc<tokio::sync::Mutex<Option<Arc<BearerToken>>>>;

/// What is known about the authentication at a registry: its challenge, and the tokens that it accepts.
#[derive(Debug, Default)]
pub(super) struct RegistryAuth {
    challenge: Mutex<Option<AuthChallenge>>,
    slots: Mutex<BTreeMap<TokenScope, TokenSlot>>,
    /// Serial number of the next token.
    serial: AtomicU64,
    /// Held by the request that finds out the challenge.
    discovery: tokio::sync::Mutex<()>,
    /// A request without authentication was answered.
    is_open: AtomicBool,
}

impl RegistryAuth {
    /// Returns the challenge of the registry, once it is known.
    pub(super) fn challenge(&self) -> Option<AuthChallenge> {
        guard(&self.challenge).clone()
    }

    /// Remembers the challenge of the registry.
    pub(super) fn learn(&self, challenge: AuthChallenge) {
        // the first one is kept: Harbor challenges requests that have a token with `Basic`
        guard(&self.challenge).get_or_insert(challenge);
    }

    /// Waits while another request finds out the challenge. If it is still unknown then, returns a guard: the caller's
    /// request shall find it out, and the others wait until the guard is dropped.
    pub(super) async fn discovery(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.is_discovered() {
            return None;
        }

        let discovery = self.discovery.lock().await;
        (!self.is_discovered()).then_some(discovery)
    }

    /// Tells whether it is known how the registry treats requests without authentication.
    pub(super) fn is_discovered(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) || guard(&self.challenge).is_some()
    }

    /// Remembers that the registry answered a request without authentication. It may still challenge others.
    pub(super) fn note_open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Returns the place of the token for a scope.
    pub(super) fn slot(&self, scope: &TokenScope) -> TokenSlot {
        Arc::clone(guard(&self.slots).entry(scope.clone()).or_default())
    }

    /// Returns the token of an answer to a request that was sent at this time.
    pub(super) fn issue(&self, answer: TokenResponse, requested_at: Instant) -> Arc<BearerToken> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        // renewed early, so that it does not expire on its way
        let renewed_at = requested_at + answer.lifetime * 4 / 5;
        Arc::new(BearerToken { serial, text: answer.token, renewed_at })
    }
}

impl BearerToken {
    /// Tells whether the token can be used. `refused` is the serial number of the token that the registry refused.
    pub(super) fn is_good(&self, refused: Option<u64>) -> bool {
        refused != Some(self.serial) && Instant::now() < self.renewed_at
    }
}

/// Locks a mutex.
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
        let scope = TokenScope::mount("base/java", ["base/tomcat", "base/java"]);
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
            (r#"{"token":"a\nb"}"#, Err("the token server's answer is malformed")),
            (r#"{"token":"a b"}"#, Err("the token server's answer is malformed")),
            (r#"{"token":7}"#, Err("the token server's answer has no token")),
            ("{}", Err("the token server's answer has no token")),
            ("[]", Err("the token server's answer has no token")),
            ("<html>", Err("the token server's answer is malformed")),
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
        let passes = RegistryAuth::default();
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
