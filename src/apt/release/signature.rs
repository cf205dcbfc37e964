//! Signatures of InRelease files: only text signed by a pinned key is ever parsed.
//!
//! rPGP verifies single signatures; which keys and signatures count is decided here (RFC 9580; apt's own rules are in
//! apt-secure(8) and its `sqv` policy). A signature counts when all of this holds:
//! - made by a certificate whose primary fingerprint is pinned, by its primary key or by a subkey that this primary key
//!   bound for signing and that signed back;
//! - neither key nor subkey nor signature is revoked or expired at `now`, or made in the future;
//! - RSA of 2048 bits and more, or an elliptic curve; SHA-256, SHA-384 or SHA-512.

use crate::values::Epoch;
use pgp::composed::CleartextSignedMessage;
use pgp::composed::Deserializable;
use pgp::composed::SignedPublicKey;
use pgp::composed::SignedPublicSubKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use pgp::packet::SignatureType;
use pgp::types::KeyDetails;
use pgp::types::PublicParams;
use pgp::types::Tag;
use rsa::traits::PublicKeyParts;

/// Smallest RSA key that is accepted, in bits (apt's `APT::Key::Assert-Pubkey-Algo`).
const RSA_MINIMUM: usize = 2048;

/// RSA keys below this many bits are warned about (BSI TR-02102-1: 3000 bits from 2023 on).
const RSA_RECOMMENDED: usize = 3000;

/// How far clocks may differ, in seconds (apt's `Acquire::Max-FutureTime`).
const CLOCK_SKEW: i64 = 10;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signed message, or there is something around it.
    #[error("it is not exactly one clear-signed message: {0}")]
    NotSigned(String),
    /// Every signature was looked at and none counts.
    #[error("no signature by a pinned key counts: {}", .0.join("; "))]
    NoneCounts(Vec<String>),
    /// A pinned key cannot be used at all.
    #[error("the pinned keys cannot be read: {0}")]
    Keys(String),
}

/// Certificates that may sign, read once.
#[derive(Debug, Clone)]
pub struct Certificates {
    pinned: Vec<SignedPublicKey>,
}

/// A text whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signed text, and nothing else.
    pub text: String,
    /// Fingerprint of the pinned primary key.
    pub fingerprint: String,
    /// What people should know, though the signature counts.
    pub warnings: Vec<String>,
}

impl Certificates {
    /// Reads armored certificates and keeps those whose primary fingerprint is pinned.
    ///
    /// # Errors
    /// When a file is no certificate, or a pinned fingerprint is in none of them.
    pub fn new(armored: &[Vec<u8>], fingerprints: &[String]) -> Result<Self, SignatureError> {
        let bad = |cause: String| SignatureError::Keys(cause);
        let mut pinned = Vec::new();
        for file in armored {
            let (keys, _) = SignedPublicKey::from_armor_many(&file[..]).map_err(|error| bad(error.to_string()))?;
            for key in keys {
                let key = key.map_err(|error| bad(error.to_string()))?;
                if fingerprints.contains(&fingerprint(&key)) {
                    pinned.push(key);
                }
            }
        }
        for wanted in fingerprints {
            if !pinned.iter().any(|key| fingerprint(key) == *wanted) {
                return Err(bad(format!("no certificate has fingerprint {wanted}")));
            }
        }
        Ok(Self { pinned })
    }

    /// Verifies a clear-signed file and returns its signed text.
    ///
    /// # Errors
    /// [`SignatureError`], with a reason for every signature that does not count.
    pub fn verify(&self, file: &[u8], now: Epoch) -> Result<Signed, SignatureError> {
        let not_signed = |cause: &str| SignatureError::NotSigned(cause.to_owned());
        let text = std::str::from_utf8(file).map_err(|_| not_signed("it is not UTF-8"))?;
        // what stands outside the armor is not signed, so there must be nothing
        if !text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
            return Err(not_signed("it does not begin with a signed message"));
        }
        if !text.trim_end().ends_with("-----END PGP SIGNATURE-----") || text.matches("\n-----BEGIN PGP").count() != 1 {
            return Err(not_signed("it does not end with its signature"));
        }
        let (message, _) =
            CleartextSignedMessage::from_string(text).map_err(|error| SignatureError::NotSigned(error.to_string()))?;
        let signed = message.signed_text();
        let mut reasons = Vec::new();
        for signature in message.signatures() {
            for key in self.candidates(signature) {
                match judge(key, signature, &signed, now) {
                    Ok(warnings) => {
                        let text = signed.replace("\r\n", "\n");
                        return Ok(Signed { text, fingerprint: fingerprint(key), warnings });
                    }
                    Err(reason) => reasons.push(format!("{}: {reason}", short(&fingerprint(key)))),
                }
            }
        }
        if reasons.is_empty() {
            let issuers: Vec<String> = message.signatures().iter().flat_map(issuers).collect();
            reasons.push(format!("it is signed by {}, which is not pinned", issuers.join(" and ")));
        }
        Err(SignatureError::NoneCounts(reasons))
    }

    /// Pinned certificates that claim to have made the signature.
    fn candidates(&self, signature: &Signature) -> impl Iterator<Item = &SignedPublicKey> {
        let issuers = issuers(signature);
        self.pinned.iter().filter(move |key| {
            let mut ids =
                std::iter::once(fingerprint(*key)).chain(key.public_subkeys.iter().map(|sub| fingerprint(&sub.key)));
            ids.any(|id| issuers.iter().any(|issuer| id.ends_with(issuer)))
        })
    }
}

fn fingerprint(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}

fn short(fingerprint: &str) -> &str {
    &fingerprint[fingerprint.len().saturating_sub(16)..]
}

/// Fingerprints, else key ids, upper-case.
fn issuers(signature: &Signature) -> Vec<String> {
    let fingerprints: Vec<String> =
        signature.issuer_fingerprint().iter().map(|id| id.to_string().to_uppercase()).collect();
    if !fingerprints.is_empty() {
        return fingerprints;
    }
    signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()).collect()
}

/// Decides about one signature and one pinned certificate; returns warnings.
fn judge(key: &SignedPublicKey, signature: &Signature, text: &str, now: Epoch) -> Result<Vec<String>, String> {
    let made = current(signature, now)?;
    strong_hash(signature)?;
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("it is not a signature over a text".to_owned());
    }
    let mut warnings = usable(key, now, made)?;
    let issuers = issuers(signature);
    let is_issuer = |id: &str| issuers.iter().any(|issuer| id.ends_with(issuer));
    if is_issuer(&fingerprint(key)) {
        signature.verify(&key.primary_key, text.as_bytes()).map_err(|_| "the signature is wrong".to_owned())?;
    } else {
        let sub = key.public_subkeys.iter().find(|sub| is_issuer(&fingerprint(&sub.key)));
        let sub = sub.ok_or_else(|| "the key is not there".to_owned())?;
        usable_subkey(key, sub, now, made)?;
        warnings.extend(strong_key(sub.key.public_params())?);
        signature.verify(&sub.key, text.as_bytes()).map_err(|_| "the signature is wrong".to_owned())?;
    }
    Ok(warnings)
}

/// Checks a signature's own times; returns when it was made.
fn current(signature: &Signature, now: Epoch) -> Result<i64, String> {
    let made = signature.created().map(|time| i64::from(time.as_secs())).ok_or("it has no time")?;
    if made > now.0 + CLOCK_SKEW {
        return Err("it was made in the future".to_owned());
    }
    let lasts = signature.signature_expiration_time().map_or(0, |duration| i64::from(duration.as_secs()));
    if lasts > 0 && made + lasts < now.0 {
        return Err("the signature has expired".to_owned());
    }
    Ok(made)
}

fn strong_hash(signature: &Signature) -> Result<(), String> {
    match signature.hash_alg() {
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => Ok(()),
        other => Err(format!("hash algorithm {other:?} does not count")),
    }
}

/// Refuses weak keys; returns warnings about those that will be weak.
fn strong_key(parameters: &PublicParams) -> Result<Option<String>, String> {
    match parameters {
        PublicParams::RSA(key) => {
            let bits = key.key.n().bits();
            match bits {
                _ if bits < RSA_MINIMUM => Err(format!("an RSA key of {bits} bits does not count")),
                _ if bits < RSA_RECOMMENDED => Ok(Some(format!(
                    "the archive signs with an RSA key of {bits} bits; {RSA_RECOMMENDED} are recommended"
                ))),
                _ => Ok(None),
            }
        }
        PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) | PublicParams::ECDSA(_) => {
            Ok(None)
        }
        _ => Err("its key algorithm does not count".to_owned()),
    }
}

/// Checks revocation, expiry and strength of the primary key; returns warnings.
fn usable(key: &SignedPublicKey, now: Epoch, made: i64) -> Result<Vec<String>, String> {
    let primary = &key.primary_key;
    let revoked = key.details.revocation_signatures.iter().any(|signature| signature.verify_key(primary).is_ok());
    if revoked {
        return Err("the key is revoked".to_owned());
    }
    let certifications = key.details.users.iter().flat_map(|user| {
        let of_user = user.signatures.iter();
        of_user.filter(|signature| {
            signature.is_certification() && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    // the newest self-signature speaks for the key (RFC 9580 §5.2.3.10)
    let newest = certifications.chain(direct).max_by_key(|signature| signature.created().map(|time| time.as_secs()));
    let newest = newest.ok_or_else(|| "the key has no self-signature".to_owned())?;
    not_expired(i64::from(primary.created_at().as_secs()), newest, now, made)?;
    Ok(strong_key(primary.public_params())?.into_iter().collect())
}

fn usable_subkey(key: &SignedPublicKey, sub: &SignedPublicSubKey, now: Epoch, made: i64) -> Result<(), String> {
    let valid = |signature: &&Signature| signature.verify_subkey_binding(&key.primary_key, &sub.key).is_ok();
    let is_revocation = |signature: &&Signature| signature.typ() == Some(SignatureType::SubkeyRevocation);
    if sub.signatures.iter().filter(is_revocation).any(|signature| valid(&signature)) {
        return Err("the subkey is revoked".to_owned());
    }
    let bindings = sub.signatures.iter().filter(|signature| signature.typ() == Some(SignatureType::SubkeyBinding));
    let newest = bindings.filter(valid).max_by_key(|signature| signature.created().map(|time| time.as_secs()));
    let newest = newest.ok_or_else(|| "the subkey is not bound to the pinned key".to_owned())?;
    if !newest.key_flags().sign() {
        return Err("the subkey is not for signing".to_owned());
    }
    let back = newest.embedded_signature();
    if !back.is_some_and(|back| back.verify_primary_key_binding(&sub.key, &key.primary_key).is_ok()) {
        return Err("the subkey has not signed back".to_owned());
    }
    not_expired(i64::from(sub.key.created_at().as_secs()), newest, now, made)
}

fn not_expired(created: i64, binding: &Signature, now: Epoch, made: i64) -> Result<(), String> {
    let lasts = binding.key_expiration_time().map_or(0, |duration| i64::from(duration.as_secs()));
    if lasts > 0 && created + lasts < now.0 {
        return Err("the key has expired".to_owned());
    }
    if made < created {
        return Err("the signature is older than its key".to_owned());
    }
    Ok(())
}
