//! OpenPGP keys from fixed bytes, and what they sign; no randomness, no clock.

use pgp::composed::ArmorOptions;
use pgp::composed::CleartextSignedMessage;
use pgp::composed::DetachedSignature;
use pgp::composed::SignedKeyDetails;
use pgp::composed::SignedPublicKey;
use pgp::composed::SignedPublicSubKey;
use pgp::crypto::ed25519;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::KeyFlags;
use pgp::packet::PacketTrait;
use pgp::packet::PubKeyInner;
use pgp::packet::PublicKey;
use pgp::packet::PublicSubkey;
use pgp::packet::SecretKey;
use pgp::packet::SecretSubkey;
use pgp::packet::Signature;
use pgp::packet::SignatureConfig;
use pgp::packet::SignatureType;
use pgp::packet::Subpacket;
use pgp::packet::SubpacketData;
use pgp::packet::UserId;
use pgp::types::Duration;
use pgp::types::KeyDetails;
use pgp::types::KeyVersion;
use pgp::types::PacketHeaderVersion;
use pgp::types::Password;
use pgp::types::PlainSecretParams;
use pgp::types::PublicParams;
use pgp::types::SecretParams;
use pgp::types::SignedUser;
use pgp::types::SigningKey;
use pgp::types::Tag;
use pgp::types::Timestamp;

/// When the keys were made: 2023-11-14.
pub(crate) const MADE: u32 = 1_700_000_000;

/// How a key is made.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    /// Repeated 32 times, the secret.
    pub(crate) seed: u8,
    /// Flag "may sign data" of the primary key.
    pub(crate) may_sign: bool,
    /// Life in seconds.
    pub(crate) life: Option<u32>,
    /// The owner asked not to trust it.
    pub(crate) revoked: bool,
    /// Hash of the self-signature.
    pub(crate) hash: HashAlgorithm,
    /// Whether there is a signing subkey, and whether it agreed.
    pub(crate) subkey: Option<bool>,
}

pub(crate) const GOOD: Recipe =
    Recipe { seed: 1, may_sign: true, life: None, revoked: false, hash: HashAlgorithm::Sha512, subkey: None };

/// A certificate with its secret.
pub(crate) struct Key {
    secret: SecretKey,
    subkey: Option<SecretSubkey>,
    pub(crate) certificate: SignedPublicKey,
}

/// How a text is signed.
#[derive(Clone, Copy)]
pub(crate) struct Signing {
    pub(crate) hash: HashAlgorithm,
    pub(crate) at: u32,
    pub(crate) life: Option<u32>,
    pub(crate) with_subkey: bool,
}

fn material(seed: u8) -> (PubKeyInner, SecretParams) {
    let secret = ed25519::SecretKey::try_from_bytes([seed; 32], ed25519::Mode::Ed25519).unwrap();
    let secret = PlainSecretParams::Ed25519(secret);
    let public = PublicParams::try_from(&secret).unwrap();
    let made = Timestamp::from_secs(MADE);
    let inner = PubKeyInner::new(KeyVersion::V4, PublicKeyAlgorithm::Ed25519, made, None, public).unwrap();
    (inner, SecretParams::Plain(secret))
}

fn config(typ: SignatureType, hash: HashAlgorithm, at: u32, key: &impl KeyDetails) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, PublicKeyAlgorithm::Ed25519, hash);
    push(&mut config, SubpacketData::SignatureCreationTime(Timestamp::from_secs(at)));
    push(&mut config, SubpacketData::IssuerFingerprint(key.fingerprint()));
    config
}

fn push(config: &mut SignatureConfig, data: SubpacketData) {
    config.hashed_subpackets.push(Subpacket::regular(data).unwrap());
}

fn flags(may_sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(may_sign);
    SubpacketData::KeyFlags(flags)
}

impl Key {
    pub(crate) fn new(recipe: Recipe) -> Self {
        let none = Password::empty();
        let (inner, params) = material(recipe.seed);
        let public = PublicKey::from_inner(inner).unwrap();
        let secret = SecretKey::new(public.clone(), params).unwrap();
        let user = UserId::from_str(PacketHeaderVersion::New, "Test Archive <archive@example.org>").unwrap();
        let mut own = config(SignatureType::CertPositive, recipe.hash, MADE, &public);
        push(&mut own, flags(recipe.may_sign));
        if let Some(life) = recipe.life {
            push(&mut own, SubpacketData::KeyExpirationTime(Duration::from_secs(life)));
        }
        let own = own.sign_certification(&secret, &public, &none, Tag::UserId, &user).unwrap();
        let mut revocations = Vec::new();
        if recipe.revoked {
            let config = config(SignatureType::KeyRevocation, HashAlgorithm::Sha512, MADE + 10, &public);
            revocations.push(config.sign_key(&secret, &none, &public).unwrap());
        }
        let (mut subkey, mut subkeys) = (None, Vec::new());
        if let Some(agreed) = recipe.subkey {
            let (secret_subkey, public_subkey) = bound(&secret, &public, recipe.seed + 100, agreed);
            (subkey, subkeys) = (Some(secret_subkey), vec![public_subkey]);
        }
        let users = vec![SignedUser::new(user, vec![own])];
        let details = SignedKeyDetails::new(revocations, Vec::new(), users, Vec::new());
        Self { secret, subkey, certificate: SignedPublicKey::new(public, details, subkeys) }
    }

    pub(crate) fn fingerprint(&self) -> String {
        format!("{:X}", self.certificate.primary_key.fingerprint())
    }

    pub(crate) fn armored(&self) -> Vec<u8> {
        self.certificate.to_armored_bytes(ArmorOptions::default()).unwrap()
    }

    /// Returns the certificate's packets, one by one.
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        let SignedPublicKey { primary_key, details, public_subkeys } = &self.certificate;
        let mut packets = vec![bytes(primary_key)];
        packets.extend(details.revocation_signatures.iter().map(bytes));
        for user in &details.users {
            packets.push(bytes(&user.id));
            packets.extend(user.signatures.iter().map(bytes));
        }
        for subkey in public_subkeys {
            packets.push(bytes(&subkey.key));
            packets.extend(subkey.signatures.iter().map(bytes));
        }
        packets
    }

    /// Returns a signature that takes a key back; one of another key where that is given.
    pub(crate) fn revocation(&self, of: Option<&Self>) -> Vec<u8> {
        let revoked = &of.unwrap_or(self).certificate.primary_key;
        let config = config(SignatureType::KeyRevocation, HashAlgorithm::Sha512, MADE + 10, &self.secret);
        bytes(&config.sign_key(&self.secret, &Password::empty(), revoked).unwrap())
    }

    /// Returns a signature that takes the subkey back.
    pub(crate) fn subkey_revocation(&self) -> Vec<u8> {
        let (primary, subkey) = (&self.certificate.primary_key, &self.certificate.public_subkeys[0].key);
        let config = config(SignatureType::SubkeyRevocation, HashAlgorithm::Sha512, MADE + 10, primary);
        bytes(&config.sign_subkey_binding(&self.secret, primary, &Password::empty(), subkey).unwrap())
    }

    /// Returns a newer signature over the key and its name, or over the key alone, that lets it live so long.
    pub(crate) fn renewal(&self, at: u32, life: u32, is_direct: bool) -> Vec<u8> {
        let (none, public) = (Password::empty(), &self.certificate.primary_key);
        let typ = if is_direct { SignatureType::Key } else { SignatureType::CertPositive };
        let mut config = config(typ, HashAlgorithm::Sha512, at, public);
        push(&mut config, flags(true));
        push(&mut config, SubpacketData::KeyExpirationTime(Duration::from_secs(life)));
        if is_direct {
            return bytes(&config.sign_key(&self.secret, &none, public).unwrap());
        }
        let user = &self.certificate.details.users[0].id;
        bytes(&config.sign_certification(&self.secret, public, &none, Tag::UserId, user).unwrap())
    }

    /// Returns a signature that takes the name back.
    pub(crate) fn name_revocation(&self, at: u32) -> Vec<u8> {
        let public = &self.certificate.primary_key;
        let config = config(SignatureType::CertRevocation, HashAlgorithm::Sha512, at, public);
        let user = &self.certificate.details.users[0].id;
        bytes(&config.sign_certification(&self.secret, public, &Password::empty(), Tag::UserId, user).unwrap())
    }

    /// Returns the binary certificate as GnuPG keeps it: with its own trust packets (old format, type 12) in between.
    pub(crate) fn with_trust_packets(&self) -> Vec<u8> {
        const TRUST: [u8; 4] = [0xb0, 2, 0, 3];
        let user = &self.certificate.details.users[0];
        let mut bytes = Vec::new();
        self.certificate.primary_key.to_writer_with_header(&mut bytes).unwrap();
        bytes.extend(TRUST);
        user.id.to_writer_with_header(&mut bytes).unwrap();
        bytes.extend(TRUST);
        user.signatures[0].to_writer_with_header(&mut bytes).unwrap();
        bytes.extend(TRUST);
        bytes
    }

    /// Returns the text, clear-signed.
    pub(crate) fn sign(&self, text: &str, signing: Signing) -> Vec<u8> {
        let message = match &self.subkey {
            Some(subkey) if signing.with_subkey => message(text, subkey, signing),
            _ => message(text, &self.secret, signing),
        };
        message.to_armored_bytes(ArmorOptions::default()).unwrap()
    }
}

impl Key {
    /// Returns a detached signature of the bytes, armored, as in `Release.gpg`.
    pub(crate) fn sign_detached(&self, data: &[u8], signing: Signing) -> Vec<u8> {
        let config = config(SignatureType::Binary, signing.hash, signing.at, &self.secret);
        let signature = config.sign(&self.secret, &Password::empty(), data).unwrap();
        DetachedSignature::new(signature).to_armored_bytes(ArmorOptions::default()).unwrap()
    }
}

fn bytes(packet: &impl PacketTrait) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.to_writer_with_header(&mut bytes).unwrap();
    bytes
}

/// Returns packets as an armored block (RFC 9580, 6).
pub(crate) fn armored(packets: &[u8]) -> Vec<u8> {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, packets);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let kind = "PGP PUBLIC KEY BLOCK";
    format!("-----BEGIN {kind}-----\nComment: a remark\n\n{}\n-----END {kind}-----\n", lines.join("\n")).into_bytes()
}

fn message(text: &str, key: &impl SigningKey, signing: Signing) -> CleartextSignedMessage {
    let mut config = config(SignatureType::Text, signing.hash, signing.at, key);
    if let Some(life) = signing.life {
        push(&mut config, SubpacketData::SignatureExpirationTime(Duration::from_secs(life)));
    }
    CleartextSignedMessage::new(text, config, key, &Password::empty()).unwrap()
}

fn bound(primary: &SecretKey, public: &PublicKey, seed: u8, agreed: bool) -> (SecretSubkey, SignedPublicSubKey) {
    let none = Password::empty();
    let (inner, params) = material(seed);
    let key = PublicSubkey::from_inner(inner).unwrap();
    let secret = SecretSubkey::new(key.clone(), params).unwrap();
    let mut binding = config(SignatureType::SubkeyBinding, HashAlgorithm::Sha512, MADE, public);
    push(&mut binding, flags(true));
    if agreed {
        let back: Signature = config(SignatureType::KeyBinding, HashAlgorithm::Sha512, MADE, &key)
            .sign_primary_key_binding(&secret, &key, &none, public)
            .unwrap();
        push(&mut binding, SubpacketData::EmbeddedSignature(Box::new(back)));
    }
    let binding = binding.sign_subkey_binding(primary, public, &none, &key).unwrap();
    (secret, SignedPublicSubKey::new(key, vec![binding]))
}
