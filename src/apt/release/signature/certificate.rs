//! Which keys of an OpenPGP certificate may sign data at a given time (RFC 9580, 10.1 and 5.2.3).

use crate::apt::release::signature::has_unknown_demands;
use crate::apt::release::signature::hash_name;
use crate::apt::release::signature::is_strong;
use crate::apt::release::signature::keyring::Keyring;
use crate::apt::release::signature::keyring::may_be_by;
use crate::values::Epoch;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::KeyFlags;
use pgp::packet::PublicKey;
use pgp::packet::PublicSubkey;
use pgp::packet::Signature;
use pgp::packet::SignatureType;
use pgp::packet::SubpacketData;
use pgp::packet::UserId;
use pgp::ser::Serialize;
use pgp::types::EcdsaPublicParams;
use pgp::types::KeyDetails;
use pgp::types::PublicParams;
use pgp::types::RsaPublicParams;
use pgp::types::Tag;
use std::cmp::Reverse;

/// RSA keys below this are refused (apt's `APT::Key::Assert-Pubkey-Algo`).
const RSA_LEAST: u16 = 2048;

/// RSA keys below this are warned about (BSI TR-02102-1 asks for 3000 bits, apt's `::Future` for 3072).
const RSA_RECOMMENDED: u16 = 3072;

/// A key that may sign.
pub(super) struct ArchiveSigningKey<'a> {
    key: PrimaryOrSubkey<'a>,
    /// When the key was made, in seconds since 1970.
    pub(super) created: i64,
    /// What should change about the key.
    pub(super) warning: Option<String>,
}

enum PrimaryOrSubkey<'a> {
    Primary(&'a PublicKey),
    Sub(&'a PublicSubkey),
}

impl ArchiveSigningKey<'_> {
    /// Tells whether a signature names this key as its issuer.
    pub(super) fn is_named_by(&self, signature: &Signature) -> bool {
        let (id, fingerprint) = match self.key {
            PrimaryOrSubkey::Primary(key) => (key.legacy_key_id(), key.fingerprint()),
            PrimaryOrSubkey::Sub(key) => (key.legacy_key_id(), key.fingerprint()),
        };
        signature.issuer_key_id().contains(&&id) || signature.issuer_fingerprint().contains(&&fingerprint)
    }

    /// Verifies the signature of the data, and nothing else.
    pub(super) fn verify(&self, signature: &Signature, data: &[u8]) -> pgp::errors::Result<()> {
        match self.key {
            PrimaryOrSubkey::Primary(key) => signature.verify(key, data),
            PrimaryOrSubkey::Sub(key) => signature.verify(key, data),
        }
    }
}

/// Returns the keys of a certificate that may sign data now.
///
/// # Errors
/// The reason why none may, as the end of a sentence about the key.
pub(super) fn signers<'a>(
    primary: &'a PublicKey,
    ring: &'a Keyring,
    now: Epoch,
) -> Result<Vec<ArchiveSigningKey<'a>>, String> {
    let warning = strength(primary)?;

    // a revocation counts in any form and from any time: the owner asked not to trust the key
    let revocations = made_by(primary, ring, &[SignatureType::KeyRevocation]);
    if revocations.into_iter().any(|signature| signature.verify_key(primary).is_ok()) {
        return Err("is revoked".to_owned());
    }

    // dates and permissions of a key are in the signature that it made over itself
    let self_signature = self_signature(primary, ring, now).ok_or_else(|| without_self_signature(primary, ring))?;
    let created = i64::from(primary.created_at().as_secs());
    if created > now.0 {
        return Err("is from the future".to_owned());
    }
    if let Some(end) = key_end(created, self_signature).filter(|end| *end <= now.0) {
        return Err(format!("expired on {}", Epoch(end)));
    }

    let mut signers = Vec::new();
    // without flags a key may do what its algorithm can (RFC 4880, 5.2.3.21)
    if flags(self_signature).is_none_or(KeyFlags::sign) {
        signers.push(ArchiveSigningKey { key: PrimaryOrSubkey::Primary(primary), created, warning: warning.clone() });
    }
    signers.extend(ring.subkeys.iter().filter_map(|subkey| subkey_signer(primary, subkey, ring, now)));
    if signers.is_empty() { Err("may not sign".to_owned()) } else { Ok(signers) }
}

/// Returns the signatures of the given types that a key may have made; they are not verified yet.
fn made_by<'a>(primary: &PublicKey, ring: &'a Keyring, types: &[SignatureType]) -> Vec<&'a Signature> {
    ring.signatures
        .iter()
        .filter(|signature| signature.typ().is_some_and(|typ| types.contains(&typ)))
        .filter(|signature| may_be_by(signature, primary))
        .collect()
}

/// Returns a subkey as a signer if its newest binding allows it to sign, and primary key and subkey agree on
/// the binding.
fn subkey_signer<'a>(
    primary: &PublicKey,
    key: &'a PublicSubkey,
    ring: &Keyring,
    now: Epoch,
) -> Option<ArchiveSigningKey<'a>> {
    let warning = strength(key).ok()?;
    let revocations = made_by(primary, ring, &[SignatureType::SubkeyRevocation]);
    if revocations.into_iter().any(|signature| signature.verify_subkey_binding(primary, key).is_ok()) {
        return None;
    }

    // a renewal adds a binding and leaves the old one: only the newest says until when the subkey may sign
    let bindings = made_by(primary, ring, &[SignatureType::SubkeyBinding]);
    let valid_bindings = bindings
        .into_iter()
        .filter(|binding| is_current(binding, now) && binding.verify_subkey_binding(primary, key).is_ok());
    let binding = newest(valid_bindings)?;

    let created = i64::from(key.created_at().as_secs());
    let is_expired = key_end(created, binding).is_some_and(|end| end <= now.0);
    if created > now.0 || is_expired || !flags(binding)?.sign() {
        return None;
    }

    // without the back-signature anybody could adopt a foreign key as a subkey
    let back = binding.embedded_signature()?;
    let agrees = is_current(back, now) && back.verify_primary_key_binding(key, primary).is_ok();
    agrees.then_some(ArchiveSigningKey { key: PrimaryOrSubkey::Sub(key), created, warning })
}

/// Types of signatures by which a key certifies one of its user names, or revokes that (RFC 9580, 5.2.1).
const USER_CERTIFICATIONS: [SignatureType; 5] = [
    SignatureType::CertGeneric,
    SignatureType::CertPersona,
    SignatureType::CertCasual,
    SignatureType::CertPositive,
    SignatureType::CertRevocation,
];

/// Returns the newest valid signature of the primary key over itself, alone or with a user name.
fn self_signature<'a>(primary: &PublicKey, ring: &'a Keyring, now: Epoch) -> Option<&'a Signature> {
    let direct = made_by(primary, ring, &[SignatureType::Key]);
    let direct = direct.into_iter().filter(|direct| is_current(direct, now) && direct.verify_key(primary).is_ok());

    let certifications = made_by(primary, ring, &USER_CERTIFICATIONS);
    let named = ring.users.iter().filter_map(|user| newest_certification(primary, user, &certifications, now));
    newest(direct.chain(named))
}

/// Says why a key has no self-signature that counts.
fn without_self_signature(primary: &PublicKey, ring: &Keyring) -> String {
    let types = [&USER_CERTIFICATIONS[..4], &[SignatureType::Key]].concat();
    let own = made_by(primary, ring, &types);
    let weak = own.iter().filter(|signature| !is_strong(signature)).find_map(|signature| signature.hash_alg());
    match weak {
        Some(hash) if own.iter().all(|signature| !is_strong(signature)) => {
            format!("is bound to its name with {}, which is not accepted", hash_name(hash))
        }
        _ => "has no valid self-signature".to_owned(),
    }
}

/// Returns the newest certification of a user name; `None` if that is a revocation, or is not valid now.
fn newest_certification<'a>(
    primary: &PublicKey,
    user: &UserId,
    certifications: &[&'a Signature],
    now: Epoch,
) -> Option<&'a Signature> {
    // the newest of all first, and only then whether it is valid: an expired one still replaces the older ones
    let made_until_now = certifications.iter().copied().filter(|certification| {
        let is_past = certification.created().is_some_and(|time| i64::from(time.as_secs()) <= now.0);
        is_past && certification.verify_certification(primary, Tag::UserId, user).is_ok()
    });
    let certification = newest(made_until_now)?;
    let is_revocation = certification.typ() == Some(SignatureType::CertRevocation);
    (!is_revocation && is_current(certification, now)).then_some(certification)
}

/// Returns the newest signature; of several made in the same second a revocation, then the one that ends first.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| {
        let is_revocation = signature.typ() == Some(SignatureType::CertRevocation);
        // zero seconds mean no end (RFC 9580, 5.2.3.13)
        let span = signature.key_expiration_time().map_or(0, pgp::types::Duration::as_secs);
        let ends = Reverse(if span == 0 { u32::MAX } else { span });
        // the bytes make the order total, whatever order the packets came in
        (signature.created(), is_revocation, ends, signature.to_bytes().unwrap_or_default())
    })
}

/// Tells whether a signature over a key has a strong hash, no unknown conditions, and is valid now.
fn is_current(signature: &Signature, now: Epoch) -> bool {
    let Some(created) = signature.created().map(|time| i64::from(time.as_secs())) else { return false };

    // zero seconds mean no end (RFC 9580, 5.2.3.18)
    let span = signature.signature_expiration_time().map_or(0, |span| i64::from(span.as_secs()));
    let is_lasting = span == 0 || created + span > now.0;
    is_strong(signature) && !has_unknown_demands(signature) && created <= now.0 && is_lasting
}

/// Returns when a key expires, in seconds since 1970; `None` for never.
fn key_end(created: i64, signature: &Signature) -> Option<i64> {
    let span = i64::from(signature.key_expiration_time()?.as_secs());
    (span != 0).then_some(created + span)
}

/// Returns the key flags. Only hashed subpackets count: anybody can change the others (RFC 9580, 5.2.3).
fn flags(signature: &Signature) -> Option<&KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|packet| match &packet.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

/// Checks the algorithm and size of a key. Returns a warning if it should be replaced.
fn strength(key: &impl KeyDetails) -> Result<Option<String>, String> {
    match key.public_params() {
        PublicParams::RSA(rsa) if key.algorithm() != PublicKeyAlgorithm::RSAEncrypt => {
            let bits = modulus_bits(rsa);
            let name = format!("{:X}", key.fingerprint());
            match bits {
                ..RSA_LEAST => Err(format!("is RSA with {bits} bits, which is too short")),
                RSA_LEAST..RSA_RECOMMENDED => Ok(Some(format!(
                    "the signing key {name} is RSA with {bits} bits, {RSA_RECOMMENDED} are recommended"
                ))),
                _ => Ok(None),
            }
        }
        PublicParams::Ed25519(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed448(_) => Ok(None),
        PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. } | EcdsaPublicParams::P384 { .. } | EcdsaPublicParams::P521 { .. },
        ) => Ok(None),
        // DSA, for example, which apt does not accept either
        _ => Err("uses an algorithm that is not accepted".to_owned()),
    }
}

/// Returns the length of an RSA modulus in bits. It is the first number of the key, and numbers begin with their length
/// (RFC 9580, 3.2).
fn modulus_bits(key: &RsaPublicParams) -> u16 {
    match key.to_bytes().as_deref() {
        Ok([high, low, ..]) => u16::from_be_bytes([*high, *low]),
        // too short to be accepted
        _ => 0,
    }
}
