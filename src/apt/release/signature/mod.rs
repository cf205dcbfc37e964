//! The signature of an InRelease file: who may sign, with which algorithms, at which time (RFC 9580).
//!
//! No other code reads the file before a pinned key vouches for it, and then only the signed text.

mod certificate;
mod cleartext;
mod keyring;

use crate::values::Epoch;
use certificate::ArchiveSigningKey;
use cleartext::ClearSignedFile;
use keyring::Keyring;
use pgp::composed::Deserializable;
use pgp::composed::DetachedSignature;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use pgp::packet::SignatureType;
use pgp::packet::SubpacketData;

/// Most signatures in a file; Debian's files have three.
const SIGNATURES_LIMIT: usize = 16;

/// Seconds that a signature may lie in the future; clocks differ (apt's `Acquire::Max-FutureTime`).
const CLOCK_DIFFERENCE: i64 = 10;

/// A text with a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedText {
    /// The signed text, and nothing else.
    pub text: String,
    /// Fingerprint of the pinned primary key, upper-case hexadecimal.
    pub signed_by: String,
    /// What is still accepted but should change.
    pub warnings: Vec<String>,
}

/// The text is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not a clear-signed text, or has bytes outside of it.
    #[error("cannot verify signature: {0}")]
    NotSigned(&'static str),
    /// A key file cannot be read, or has no certificate.
    #[error("cannot verify signature: a key file cannot be read: {0}")]
    Key(String),
    /// The key files have none of the pinned keys.
    #[error("cannot verify signature: {}", .0.join("; "))]
    NoKey(Vec<String>),
    /// No pinned key made a valid signature. There is a reason for each key and signature.
    #[error("cannot verify signature: {}", .0.join("; "))]
    Untrusted(Vec<String>),
}

/// Tells whether a file begins as a signed one; what does not is something else altogether, such as a web page.
#[must_use]
pub fn looks_signed(file: &[u8]) -> bool {
    file.starts_with(cleartext::BEGIN_TEXT.as_bytes()) || file.starts_with(cleartext::BEGIN_SIGNATURE.as_bytes())
}

/// Puts a detached signature, the content of `Release.gpg`, before the file that it signs; [`verify`] takes the two
/// together. `None` if the signature is not armored.
#[must_use]
pub fn with_detached(release: &[u8], armor: &[u8]) -> Option<Vec<u8>> {
    let armor = armor.trim_ascii();
    let is_armored = armor.starts_with(cleartext::BEGIN_SIGNATURE.as_bytes())
        && armor.ends_with(cleartext::END_SIGNATURE.as_bytes());
    is_armored.then(|| [armor, b"\n", release].concat())
}

/// Verifies a clear-signed file, or a file with its detached signature ([`with_detached`]), against pinned keys: one good signature by one of `fingerprints` (or its signing
/// subkey) is enough. `keys` are OpenPGP certificates, armored or binary.
///
/// # Errors
/// [`Error`]; [`Error::Untrusted`] and [`Error::NoKey`] with the reason for every key and signature.
pub fn verify(file: &[u8], keys: &[Vec<u8>], fingerprints: &[String], now: Epoch) -> Result<VerifiedText, Error> {
    let ClearSignedFile { text, armor } = cleartext::split(file)?;
    let signatures = signatures(armor)?;
    let ring = Keyring::read(keys)?;
    let (mut problems, mut has_key) = (Vec::new(), false);
    for fingerprint in fingerprints {
        let pinned = normalized(fingerprint);
        has_key |= ring.find(&pinned).is_some();
        match verify_by(&pinned, &ring, &signatures, &text, now) {
            Ok(warning) => {
                return Ok(VerifiedText { text, signed_by: pinned, warnings: warning.into_iter().collect() });
            }
            Err(reasons) => problems.extend(reasons),
        }
    }

    if problems.is_empty() {
        problems.push("no key is pinned".to_owned());
    }
    if has_key { Err(Error::Untrusted(problems)) } else { Err(Error::NoKey(problems)) }
}

impl Error {
    /// Tells whether a weak hash is to blame, so that the fingerprints need no second look.
    #[must_use]
    pub fn is_weak_hash(&self) -> bool {
        matches!(self, Self::Untrusted(problems) if problems.iter().any(|problem| problem.ends_with("which is not accepted")))
    }

    /// Tells whether the key files or fingerprints must change, whatever the archive signs.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Key(_) | Self::NoKey(_))
    }
}

/// Verifies that a pinned key, or one of its subkeys, made one of the signatures. Returns a warning about that
/// key, if any.
///
/// # Errors
/// All reasons against the key and its signatures.
fn verify_by(
    pinned: &str,
    ring: &Keyring,
    signatures: &[Signature],
    text: &str,
    now: Epoch,
) -> Result<Option<String>, Vec<String>> {
    let Some(primary) = ring.find(pinned) else {
        return Err(vec![format!("no key file has the pinned key {pinned}")]);
    };
    let signers = certificate::signers(primary, ring, now)
        .map_err(|problem| vec![format!("the pinned key {pinned} {problem}")])?;

    // a file has signatures of several keys, old and new ones: one that holds is enough
    let mut problems = Vec::new();
    for signature in signatures {
        for signer in &signers {
            if !signer.is_named_by(signature) {
                continue;
            }
            match judge(signature, signer, text, now) {
                Ok(()) => return Ok(signer.warning.clone()),
                Err(problem) => problems.push(format!("the signature by {pinned} {problem}")),
            }
        }
    }

    if problems.is_empty() {
        problems.push(format!("it is not signed by the pinned key {pinned}"));
    }
    Err(problems)
}

/// Checks one signature by a key that may sign.
///
/// # Errors
/// The reason, as the end of a sentence about the signature.
fn judge(signature: &Signature, signer: &ArchiveSigningKey<'_>, text: &str, now: Epoch) -> Result<(), String> {
    // the other types sign keys and user names, not data
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("is not a signature of a text".to_owned());
    }
    if !is_strong(signature) {
        let hash = signature.hash_alg().map_or_else(|| "an unknown algorithm".to_owned(), hash_name);
        return Err(format!("uses {hash}, which is not accepted"));
    }
    if has_unknown_demands(signature) {
        return Err("has critical conditions that are not supported".to_owned());
    }

    let created = signature.created().ok_or("has no date")?;
    let created = i64::from(created.as_secs());
    if created > now.0.saturating_add(CLOCK_DIFFERENCE) {
        return Err(format!("is from the future, {}", Epoch(created)));
    }
    if created < signer.created {
        return Err("is older than the key".to_owned());
    }

    // zero seconds mean no end (RFC 9580, 5.2.3.18)
    if let Some(seconds) = signature.signature_expiration_time().map(|span| i64::from(span.as_secs()))
        && seconds != 0
        && created + seconds <= now.0
    {
        return Err(format!("expired on {}", Epoch(created + seconds)));
    }

    // last, as it costs the most
    signer.verify(signature, text.as_bytes()).map_err(|_| "does not match the text".to_owned())
}

/// Tells whether the hash is one of SHA-256, SHA-384, SHA-512.
pub(crate) fn is_strong(signature: &Signature) -> bool {
    matches!(signature.hash_alg(), Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512))
}

/// Returns the name of a hash algorithm as people write it.
pub(crate) fn hash_name(hash: HashAlgorithm) -> String {
    match hash {
        HashAlgorithm::Sha1 => "SHA-1".to_owned(),
        other => other.to_string(),
    }
}

/// Tells whether a signature has critical subpackets that this program does not know. Such a signature is
/// invalid (RFC 9580, 5.2.3.7).
pub(crate) fn has_unknown_demands(signature: &Signature) -> bool {
    let Some(config) = signature.config() else { return false };
    config.hashed_subpackets().any(|packet| {
        packet.is_critical
            // a notation is known to the parser, but its meaning is not
            && matches!(
                packet.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(..)
            )
    })
}

/// Reads the armored signatures.
fn signatures(armor: &[u8]) -> Result<Vec<Signature>, Error> {
    let unreadable = Error::NotSigned("the signature block cannot be read");
    let Ok((found, _headers)) = DetachedSignature::from_armor_many_buf(armor) else { return Err(unreadable) };

    let mut signatures = Vec::new();
    for signature in found {
        let Ok(signature) = signature else { return Err(unreadable) };
        // each one costs a verification with every key
        if signatures.len() == SIGNATURES_LIMIT {
            return Err(Error::NotSigned("it has too many signatures"));
        }
        signatures.push(signature.signature);
    }
    Ok(signatures)
}

/// Returns a fingerprint without blanks and in upper case, however a recipe groups its digits.
pub(crate) fn normalized(fingerprint: &str) -> String {
    fingerprint.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_uppercase()).collect()
}
