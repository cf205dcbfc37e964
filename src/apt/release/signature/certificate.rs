//! Which keys of an OpenPGP certificate may sign data at a given time (RFC 9580, 10.1 and 5.2.3).

use crate::apt::release::signature::has_unknown_demands;
use crate::apt::release::signature::is_strong;
use crate::values::Epoch;
use pgp::composed::SignedPublicKey;
use pgp::composed::SignedPublicSubKey;
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

/// Returns the primary key's fingerprint, upper-case hexadecimal.
pub(super) fn fingerprint(certificate: &SignedPublicKey) -> String {
    format!("{:X}", certificate.primary_key.fingerprint())
}

/// Returns the keys of a certificate that may sign data now.
///
/// # Errors
/// Why none may, to follow the key's name in a sentence.
pub(super) fn signers(certificate: &SignedPublicKey, now: Epoch) -> Result<Vec<Signer<'_>>, String> {
    let primary = &certificate.primary_key;
    let warning = strength(primary)?;
    // a revocation counts in any form and from any time: the owner asked not to trust the key
    if certificate.details.revocation_signatures.iter().any(|signature| signature.verify_key(primary).is_ok()) {
        return Err("is revoked".to_owned());
    }
    let own = self_signature(certificate, now).ok_or("has no valid self-signature")?;
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
    signers.extend(certificate.public_subkeys.iter().filter_map(|subkey| subkey_signer(primary, subkey, now)));
    if signers.is_empty() { Err("may not sign".to_owned()) } else { Ok(signers) }
}

/// Returns a subkey as a signer when its newest binding allows it and both keys agreed.
fn subkey_signer<'a>(primary: &PublicKey, subkey: &'a SignedPublicSubKey, now: Epoch) -> Option<Signer<'a>> {
    let key = &subkey.key;
    let warning = strength(key).ok()?;
    let is = |signature: &&Signature, typ| signature.typ() == Some(typ);
    let holds = |signature: &&Signature| signature.verify_subkey_binding(primary, key).is_ok();
    if subkey.signatures.iter().filter(|one| is(one, SignatureType::SubkeyRevocation)).any(|one| holds(&one)) {
        return None;
    }
    let bindings = subkey.signatures.iter().filter(|one| is(one, SignatureType::SubkeyBinding));
    let binding = newest(bindings.filter(|one| is_current(one, now)).filter(holds))?;
    let created = i64::from(key.created_at().as_secs());
    if created > now.0 || key_end(created, binding).is_some_and(|end| end <= now.0) || !flags(binding)?.sign() {
        return None;
    }
    // without the back-signature anybody could adopt a foreign key as a subkey
    let back = binding.embedded_signature()?;
    let agreed = is_current(back, now) && back.verify_primary_key_binding(key, primary).is_ok();
    agreed.then_some(Signer { key: Key::Sub(key), created, warning })
}

/// Returns the newest valid signature of the primary key over itself, alone or with a user name.
fn self_signature(certificate: &SignedPublicKey, now: Epoch) -> Option<&Signature> {
    let primary = &certificate.primary_key;
    let direct = certificate.details.direct_signatures.iter();
    let direct = direct.filter(|one| is_current(one, now) && one.verify_key(primary).is_ok());
    let named = certificate.details.users.iter().filter_map(|user| {
        let holds = |one: &&Signature| one.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        let own = newest(user.signatures.iter().filter(holds))?;
        (own.typ() != Some(SignatureType::CertRevocation) && is_current(own, now)).then_some(own)
    });
    newest(direct.chain(named))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created())
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
