//! Signatures of messages as Standard Webhooks defines them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Signature scheme").

use crate::announce::webhook::Error;
use crate::keys::SigningKey;
use crate::sys::fs;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use std::path::Path;
use zeroize::Zeroizing;

/// Largest key file. A key has about 100 bytes; comments around a PEM block may be longer.
const LARGEST_FILE: u64 = 64 << 10;

/// Prefix of a shared secret ("Signature scheme", "Symmetric").
const SHARED: &str = "whsec_";

/// Lengths of a shared secret in bytes that the specification allows.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key that signs messages to one receiver.
pub enum WebhookKey {
    /// A secret that the receiver has, too (HMAC-SHA256, `v1`).
    Shared(hmac::Key),
    /// A private key of ours. The receiver has its public half (Ed25519, `v1a`).
    Own(SigningKey),
}

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // no secret in messages and logs
        f.write_str("Key")
    }
}

impl WebhookKey {
    /// Reads `whsec_` and Base64, or an Ed25519 private key in a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or has neither.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let key_error = |cause: String| Error::Key { path: path.display().to_string(), cause };
        let text = fs::read_text(path, LARGEST_FILE).map_err(|error| key_error(error.cause.to_string()))?;
        // secrets do not stay in memory
        let text = Zeroizing::new(text);
        if text.contains("-----BEGIN") {
            return SigningKey::read(path).map(Self::Own).map_err(|error| key_error(error.to_string()));
        }
        shared_key(&text).map(Self::Shared).map_err(key_error)
    }

    /// Returns the value of the header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // `id.timestamp.body`: neither of the first two may be exchanged
        let mut message = format!("{id}.{timestamp}.").into_bytes();
        message.extend_from_slice(body);
        match self {
            Self::Shared(key) => format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(key, &message))),
            Self::Own(signer) => format!("v1a,{}", signer.sign(&message)),
        }
    }
}

/// Reads a shared secret; errors never repeat any of it.
fn shared_key(text: &str) -> Result<hmac::Key, String> {
    let Some(base64) = text.trim().strip_prefix(SHARED) else {
        let expected = "`whsec_` with a secret in Base64 nor an Ed25519 private key in a PEM file";
        return Err(format!("it is neither {expected}"));
    };
    let secret = Zeroizing::new(BASE64_STANDARD.decode(base64).map_err(|_| "its Base64 is broken")?);
    if !SHARED_BYTES.contains(&secret.len()) {
        return Err(format!("the secret has {} bytes instead of 24 to 64", secret.len()));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WebhookKey, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write_atomic(&path, text.as_bytes()).unwrap();
        WebhookKey::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn signs_like_the_reference_implementation() {
        // the vector in the reference libraries' own tests
        let key = read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let found = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(found, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn refuses_what_is_no_secret() {
        for (text, expected) in [
            ("", "neither"),
            ("secret", "neither"),
            ("whsec_?", "Base64 is broken"),
            ("whsec_c2hvcnQ=", "5 bytes"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "Ed25519"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("c2hvcnQ"), "{text}: {error}");
        }
    }
}
