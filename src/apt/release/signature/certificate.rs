//! Which keys of an OpenPGP certificate may sign data at a given time (RFC 9580, 10.1 and 5.2.3).

use crate::apt::release::signature::has_unknown_demands;
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
pub(super) struct Signer<'a> {
    key: Key<'a>,
    /// Seconds since 1970 when the key was made.
    pub(super) created: i64,
    /// What should change about the key.
    pub(super) warning: Option<String>,
}

enum Key<'a> {
    Primary(&'a PublicKey),
    Sub(&'a PublicSubkey),
}

impl Signer<'_> {
    /// Tells whether a signature says that this key made it.
    pub(super) fn is_named_by(&self, signature: &Signature) -> bool {
        let (id, fingerprint) = match self.key {
            Key::Primary(key) => (key.legacy_key_id(), key.fingerprint()),
            Key::Sub(key) => (key.legacy_key_id(), key.fingerprint()),
        };
        signature.issuer_key_id().contains(&&id) || signature.issuer_fingerprint().contains(&&fingerprint)
    }

    /// Checks the signature's mathematics.
    pub(super) fn verify(&self, signature: &Signature, data: &[u8]) -> pgp::errors::Result<()> {
        match self.key {
            Key::Primary(key) => signature.verify(key, data),
            Key::Sub(key) => signature.verify(key, data),
        }
    }
}

/// Returns the keys of a certificate that may sign data now.
///
/// # Errors
/// Why none may, to follow the key's name in a sentence.
pub(super) fn signers<'a>(primary: &'a PublicKey, ring: &'a Keyring, now: Epoch) -> Result<Vec<Signer<'a>>, String> {
    let warning = strength(primary)?;
    // a revocation counts in any form and from any time: the owner asked not to trust the key
    let revocations = made_by(primary, ring, &[SignatureType::KeyRevocation]);
    if revocations.into_iter().any(|signature| signature.verify_key(primary).is_ok()) {
        return Err("is revoked".to_owned());
    }
    let own = self_signature(primary, ring, now).ok_or("has no valid self-signature")?;
    let created = i64::from(primary.created_at().as_secs());
    if created > now.0 {
        return Err("is from the future".to_owned());
    }
    if let Some(end) = key_end(created, own).filter(|end| *end <= now.0) {
        return Err(format!("expired on {}", Epoch(end)));
    }
    let mut signers = Vec::new();
    // without flags a key may do what its algorithm can (RFC 4880, 5.2.3.21)
    if flags(own).is_none_or(KeyFlags::sign) {
        signers.push(Signer { key: Key::Primary(primary), created, warning: warning.clone() });
    }
    signers.extend(ring.subkeys.iter().filter_map(|subkey| subkey_signer(primary, subkey, ring, now)));
    if signers.is_empty() { Err("may not sign".to_owned()) } else { Ok(signers) }
}

/// Returns the signatures of some types that a key may have made.
fn made_by<'a>(primary: &PublicKey, ring: &'a Keyring, types: &[SignatureType]) -> Vec<&'a Signature> {
    let is_type = |signature: &&Signature| signature.typ().is_some_and(|typ| types.contains(&typ));
    ring.signatures.iter().filter(is_type).filter(|signature| may_be_by(signature, primary)).collect()
}

/// Returns a subkey as a signer when its newest binding allows it and both keys agreed.
fn subkey_signer<'a>(primary: &PublicKey, key: &'a PublicSubkey, ring: &Keyring, now: Epoch) -> Option<Signer<'a>> {
    let warning = strength(key).ok()?;
    let holds = |signature: &&Signature| signature.verify_subkey_binding(primary, key).is_ok();
    if made_by(primary, ring, &[SignatureType::SubkeyRevocation]).iter().any(holds) {
        return None;
    }
    let bindings = made_by(primary, ring, &[SignatureType::SubkeyBinding]);
    let binding = newest(bindings.into_iter().filter(|one| is_current(one, now)).filter(holds))?;
    let created = i64::from(key.created_at().as_secs());
    if created > now.0 || key_end(created, binding).is_some_and(|end| end <= now.0) || !flags(binding)?.sign() {
        return None;
    }
    // without the back-signature anybody could adopt a foreign key as a subkey
    let back = binding.embedded_signature()?;
    let agreed = is_current(back, now) && back.verify_primary_key_binding(key, primary).is_ok();
    agreed.then_some(Signer { key: Key::Sub(key), created, warning })
}

/// What a key says about itself with one of its names, or that it no longer does (RFC 9580, 5.2.1).
const NAMED: [SignatureType; 5] = [
    SignatureType::CertGeneric,
    SignatureType::CertPersona,
    SignatureType::CertCasual,
    SignatureType::CertPositive,
    SignatureType::CertRevocation,
];

/// Returns the newest valid signature of the primary key over itself, alone or with a user name.
fn self_signature<'a>(primary: &PublicKey, ring: &'a Keyring, now: Epoch) -> Option<&'a Signature> {
    let direct = made_by(primary, ring, &[SignatureType::Key]);
    let direct = direct.into_iter().filter(|one| is_current(one, now) && one.verify_key(primary).is_ok());
    let certifications = made_by(primary, ring, &NAMED);
    let made = |one: &&Signature| one.created().is_some_and(|time| i64::from(time.as_secs()) <= now.0);
    let named = ring.users.iter().filter_map(|user| {
        let holds = |one: &&Signature| one.verify_certification(primary, Tag::UserId, user).is_ok();
        let own = newest(certifications.iter().copied().filter(made).filter(holds))?;
        (own.typ() != Some(SignatureType::CertRevocation) && is_current(own, now)).then_some(own)
    });
    newest(direct.chain(named))
}

/// Returns the newest; of several of one second a revocation, then the one that ends first.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| {
        let is_revocation = signature.typ() == Some(SignatureType::CertRevocation);
        let span = signature.key_expiration_time().map_or(0, pgp::types::Duration::as_secs);
        let ends = Reverse(if span == 0 { u32::MAX } else { span });
        // the bytes make the order total, whatever order the packets came in
        (signature.created(), is_revocation, ends, signature.to_bytes().unwrap_or_default())
    })
}

/// Tells whether a signature over a key is strong, understood, and valid now.
fn is_current(signature: &Signature, now: Epoch) -> bool {
    let Some(created) = signature.created().map(|time| i64::from(time.as_secs())) else { return false };
    let span = signature.signature_expiration_time().map_or(0, |span| i64::from(span.as_secs()));
    let lasts = span == 0 || created + span > now.0;
    is_strong(signature) && !has_unknown_demands(signature) && created <= now.0 && lasts
}

/// Returns when a key ends, in seconds since 1970; `None` for never.
fn key_end(created: i64, signature: &Signature) -> Option<i64> {
    let span = i64::from(signature.key_expiration_time()?.as_secs());
    (span != 0).then_some(created + span)
}

fn flags(signature: &Signature) -> Option<&KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|packet| match &packet.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

/// Checks a key's algorithm and size; returns what should change.
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
        _ => Err("uses an algorithm that is not accepted".to_owned()),
    }
}

/// Returns the length of an RSA modulus: the key's first number, which is written with its bits first (RFC 9580, 3.2).
fn modulus_bits(key: &RsaPublicParams) -> u16 {
    match key.to_bytes().as_deref() {
        Ok([high, low, ..]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}
