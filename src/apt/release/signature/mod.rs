//! The signature of an InRelease file: who may sign, with which algorithms, at which time (RFC 9580).
//!
//! Nothing of the file is looked at before a pinned key has signed it, and afterwards only the signed text.

mod certificate;
mod cleartext;
mod keyring;

use crate::values::Epoch;
use certificate::Signer;
use cleartext::Cleartext;
use keyring::Keyring;
use pgp::composed::Deserializable;
use pgp::composed::DetachedSignature;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use pgp::packet::SignatureType;
use pgp::packet::SubpacketData;

/// Most signatures that are looked at; Debian makes three.
const SIGNATURES_LIMIT: usize = 16;

/// Seconds that a signature may seem to come from the future; clocks differ (apt's `Acquire::Max-FutureTime`).
const CLOCK_DIFFERENCE: i64 = 10;

/// What a good signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, and nothing else.
    pub text: String,
    /// Fingerprint of the pinned primary key, upper-case hexadecimal.
    pub signed_by: String,
    /// What is acceptable today but should change.
    pub warnings: Vec<String>,
}

/// Why the text is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no clear-signed text, or has bytes outside of it.
    #[error("cannot verify signature: {0}")]
    NotSigned(&'static str),
    /// A pinned key file holds no certificate.
    #[error("cannot verify signature: a key file cannot be read: {0}")]
    Key(String),
    /// The key files have none of the pinned keys.
    #[error("cannot verify signature: {}", .0.join("; "))]
    NoKey(Vec<String>),
    /// No pinned key made a signature that holds.
    #[error("cannot verify signature: {}", .0.join("; "))]
    Untrusted(Vec<String>),
}

/// Verifies a clear-signed file against pinned keys: one good signature by one of `fingerprints` (or its signing
/// subkey) is enough. `keys` are OpenPGP certificates, armored or binary.
///
/// # Errors
/// [`Error`]; for [`Error::Untrusted`] and [`Error::NoKey`] with the reason of every key and signature.
pub fn verify(file: &[u8], keys: &[Vec<u8>], fingerprints: &[String], now: Epoch) -> Result<Verified, Error> {
    let Cleartext { text, armor } = cleartext::split(file)?;
    let signatures = signatures(armor)?;
    let ring = Keyring::read(keys)?;
    let (mut problems, mut found) = (Vec::new(), false);
    for fingerprint in fingerprints {
        let pinned = plain(fingerprint);
        let Some(primary) = ring.find(&pinned) else {
            problems.push(format!("no key file has the pinned key {pinned}"));
            continue;
        };
        found = true;
        let signers = match certificate::signers(primary, &ring, now) {
            Ok(signers) => signers,
            Err(problem) => {
                problems.push(format!("the pinned key {pinned} {problem}"));
                continue;
            }
        };
        let mut signed = false;
        for signature in &signatures {
            for signer in signers.iter().filter(|signer| signer.is_named_by(signature)) {
                signed = true;
                match judge(signature, signer, &text, now) {
                    Ok(()) => {
                        let warnings = signer.warning.iter().cloned().collect();
                        return Ok(Verified { text, signed_by: pinned, warnings });
                    }
                    Err(problem) => problems.push(format!("the signature by {pinned} {problem}")),
                }
            }
        }
        if !signed {
            problems.push(format!("it is not signed by the pinned key {pinned}"));
        }
    }
    if problems.is_empty() {
        problems.push("no key is pinned".to_owned());
    }
    if found { Err(Error::Untrusted(problems)) } else { Err(Error::NoKey(problems)) }
}

impl Error {
    /// Tells whether the key files or fingerprints must change, whatever the archive signs.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Key(_) | Self::NoKey(_))
    }
}

/// Checks one signature by a key that may sign.
fn judge(signature: &Signature, signer: &Signer<'_>, text: &str, now: Epoch) -> Result<(), String> {
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("is not a signature of a text".to_owned());
    }
    if !is_strong(signature) {
        let hash = signature.hash_alg().map_or_else(|| "an unknown algorithm".to_owned(), |hash| hash.to_string());
        return Err(format!("uses {hash}, which is not accepted"));
    }
    if has_unknown_demands(signature) {
        return Err("has critical conditions that are not understood".to_owned());
    }
    let created = signature.created().ok_or("has no date")?;
    let created = i64::from(created.as_secs());
    if created > now.0.saturating_add(CLOCK_DIFFERENCE) {
        return Err(format!("is from the future, {}", Epoch(created)));
    }
    if created < signer.created {
        return Err("is older than the key".to_owned());
    }
    if let Some(seconds) = signature.signature_expiration_time().map(|span| i64::from(span.as_secs()))
        && seconds != 0
        && created + seconds <= now.0
    {
        return Err(format!("expired on {}", Epoch(created + seconds)));
    }
    signer.verify(signature, text.as_bytes()).map_err(|_| "does not match the text".to_owned())
}

/// Tells whether the hash is one of SHA-256, SHA-384, SHA-512.
pub(crate) fn is_strong(signature: &Signature) -> bool {
    matches!(signature.hash_alg(), Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512))
}

/// Tells whether a signature carries critical subpackets that nobody here knows (RFC 9580, 5.2.3.7).
pub(crate) fn has_unknown_demands(signature: &Signature) -> bool {
    let unknown = |data: &SubpacketData| {
        matches!(data, SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(..))
    };
    signature
        .config()
        .is_some_and(|config| config.hashed_subpackets().any(|packet| packet.is_critical && unknown(&packet.data)))
}

fn signatures(armor: &[u8]) -> Result<Vec<Signature>, Error> {
    let unreadable = Error::NotSigned("the signature block cannot be read");
    let Ok((found, _headers)) = DetachedSignature::from_armor_many_buf(armor) else { return Err(unreadable) };
    let mut signatures = Vec::new();
    for signature in found {
        let Ok(signature) = signature else { return Err(unreadable) };
        if signatures.len() == SIGNATURES_LIMIT {
            return Err(Error::NotSigned("it has too many signatures"));
        }
        signatures.push(signature.signature);
    }
    Ok(signatures)
}

/// Returns a fingerprint without blanks and in upper case.
fn plain(fingerprint: &str) -> String {
    fingerprint.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_uppercase()).collect()
}
