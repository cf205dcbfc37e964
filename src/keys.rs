//! Ed25519 keys (RFC 8032) in PEM files, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::sys::fs;
use crate::values::pem;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::signature::ED25519;
use ring::signature::Ed25519KeyPair;
use ring::signature::UnparsedPublicKey;
use std::path::Path;
use zeroize::Zeroizing;

/// Most bytes of a key file.
const MOST_BYTES: u64 = 64 << 10;

/// DER of SubjectPublicKeyInfo before the 32 bytes of an Ed25519 key (RFC 8410, 4).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not hold an Ed25519 key.
    #[error("cannot use `{path}`: {cause}")]
    NoKey {
        /// Path of the file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::NoKey { .. } => Turn::Input,
            Self::File(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoKey { .. } => vec![
                "`openssl genpkey -algorithm ed25519` makes a private key, `openssl pkey -pubout` its public one"
                    .to_owned(),
            ],
            Self::File(error) => error.hints(),
        }
    }
}

/// A private key.
pub struct SigningKey(Ed25519KeyPair);

/// A public key.
#[derive(Debug, Clone)]
pub struct VerifyingKey(Vec<u8>);

impl SigningKey {
    /// Reads a private key (`PRIVATE KEY`, RFC 5958).
    ///
    /// # Errors
    /// When the file cannot be read or is no such key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let der = Zeroizing::new(pem(path, "PRIVATE KEY")?);
        // OpenSSL leaves out the public key, which ring otherwise wants to compare
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        pair.map(Self).map_err(|cause| wrong(path, &format!("it is no Ed25519 key: {cause}")))
    }

    /// Returns a signature, in Base64.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        BASE64_STANDARD.encode(self.0.sign(message))
    }
}

impl VerifyingKey {
    /// Reads a public key (`PUBLIC KEY`, RFC 8410).
    ///
    /// # Errors
    /// When the file cannot be read or does not hold a public Ed25519 key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let der = pem(path, "PUBLIC KEY")?;
        let key = der.strip_prefix(&PUBLIC_PREFIX).filter(|key| key.len() == 32);
        key.map(|key| Self(key.to_vec())).ok_or_else(|| wrong(path, "it is no Ed25519 key"))
    }

    /// Tells whether a signature in Base64 is valid.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature).is_ok()
    }
}

/// Returns the error for a file that is not the key it should be.
fn wrong(path: &Path, cause: &str) -> Error {
    Error::NoKey { path: path.display().to_string(), cause: cause.to_owned() }
}

/// Returns the bytes of the first block with this label (RFC 7468).
fn pem(path: &Path, label: &str) -> Result<Vec<u8>, Error> {
    let text = Zeroizing::new(fs::read_text(path, MOST_BYTES)?);
    let inner = pem::blocks(&text, label).next().and_then(Result::ok);
    let inner = inner.ok_or_else(|| wrong(path, &format!("it has no `-----BEGIN {label}-----`")))?;

    // every copy of a private key is wiped when it is dropped
    let inner: Zeroizing<String> = Zeroizing::new(inner.split_whitespace().collect());
    BASE64_STANDARD.decode(inner.as_bytes()).map_err(|_| wrong(path, "its Base64 is broken"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ring::signature::KeyPair;

    /// Returns the keys that come from a seed.
    pub(crate) fn pair(seed: u8) -> (SigningKey, VerifyingKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let verifier = VerifyingKey(pair.public_key().as_ref().to_vec());
        (SigningKey(pair), verifier)
    }

    // RFC 8410, 10.1 and 10.3
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_of_openssl_fit_together() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write_atomic(&path, text.as_bytes()).unwrap();
            path
        };
        let signer = SigningKey::read(&write("private", PRIVATE)).unwrap();
        let verifier = VerifyingKey::read(&write("public", PUBLIC)).unwrap();
        let signature = signer.sign(b"message");
        assert!(verifier.verify(b"message", &signature));
        assert!(!verifier.verify(b"massage", &signature));
        assert!(!verifier.verify(b"message", "AAAA") && !verifier.verify(b"message", "no Base64"));
        assert!(!pair(1).1.verify(b"message", &signature));
        for text in ["", PUBLIC, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(SigningKey::read(&write("bad", text)).is_err());
        }
        assert!(VerifyingKey::read(&write("bad", PRIVATE)).is_err());
    }
}
