//! The packets of all key files, in no order: a revocation counts wherever it appears (RFC 9580, 10.1).
//!
//! Key files come armored or binary, with several blocks, with one key several times, with a revocation
//! certificate after the keys or in a file of its own. A program that reads each key with the packets after it
//! would trust a copy without the revocation. So packets are only collected here. Which key a signature is
//! about is decided when a key is judged.

use crate::apt::release::signature::Error;
use pgp::armor::Dearmor;
use pgp::packet::Packet;
use pgp::packet::PacketParser;
use pgp::packet::PublicKey;
use pgp::packet::PublicSubkey;
use pgp::packet::Signature;
use pgp::packet::UserId;
use pgp::types::KeyDetails;
use std::io::Read;

/// Most packets in all key files; the keys of a distribution have a few hundred, with the signatures of many people.
const PACKETS_LIMIT: usize = 20_000;

/// Most packets that remain without copies and foreign signatures. Each name and subkey is compared with each
/// signature, so the time is quadratic.
const REMAINING_LIMIT: usize = 2_000;

/// How an armored block begins and ends (RFC 9580, 6.2).
const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &[u8] = b"-----END PGP PUBLIC KEY BLOCK-----";

/// The packets of all key files.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    pub(super) primaries: Vec<PublicKey>,
    pub(super) subkeys: Vec<PublicSubkey>,
    pub(super) users: Vec<UserId>,
    pub(super) signatures: Vec<Signature>,
}

impl Keyring {
    /// Reads key files.
    ///
    /// # Errors
    /// [`Error::Key`] when a file has no key or revocation, cannot be read to its end, or when there are too
    /// many packets.
    pub(super) fn read(files: &[Vec<u8>]) -> Result<Self, Error> {
        let mut ring = Self::default();
        let mut packets = 0;
        for file in files {
            let before = ring.primaries.len() + ring.signatures.len();
            for part in parts(file)? {
                ring.add(&part, &mut packets)?;
            }

            // a file of signatures alone may be a revocation certificate
            if ring.primaries.len() + ring.signatures.len() == before {
                return Err(Error::Key("there is no usable certificate in it".to_owned()));
            }
        }

        ring.drop_unrelated()?;
        Ok(ring)
    }

    /// Returns the primary key with a fingerprint in upper-case hexadecimal.
    pub(super) fn find(&self, fingerprint: &str) -> Option<&PublicKey> {
        self.primaries.iter().find(|key| format!("{:X}", key.fingerprint()) == fingerprint)
    }

    /// Adds binary packets. Packets of unknown algorithms or kinds are skipped, and do not spoil the others.
    fn add(&mut self, mut bytes: &[u8], packets: &mut usize) -> Result<(), Error> {
        let all = bytes;
        let mut is_broken = false;
        for packet in PacketParser::new(&mut bytes) {
            *packets += 1;
            if *packets > PACKETS_LIMIT {
                return Err(Error::Key(format!("the key files have more than {PACKETS_LIMIT} packets")));
            }
            // only the last result counts: after a broken header the parser has nothing more
            is_broken = packet.is_err();
            match packet {
                Ok(Packet::PublicKey(key)) => self.primaries.push(key),
                Ok(Packet::PublicSubkey(key)) => self.subkeys.push(key),
                Ok(Packet::UserId(user)) => self.users.push(user),
                Ok(Packet::Signature(signature)) => self.signatures.push(signature),
                // GnuPG writes its private trust packets into key files, Ubuntu's among them
                _ => {}
            }
        }

        // the rest might have been a revocation
        if is_broken && !bytes.trim_ascii().is_empty() {
            let place = all.len() - bytes.len();
            return Err(Error::Key(format!("the data after the first {place} bytes is not a packet")));
        }
        Ok(())
    }

    /// Drops copies, and signatures that other people made about a key: only the key's own count.
    fn drop_unrelated(&mut self) -> Result<(), Error> {
        let mut seen = std::collections::BTreeSet::new();
        self.primaries.retain(|key| seen.insert(format!("{:X}", key.fingerprint())));
        self.subkeys.retain(|key| seen.insert(format!("{:X}", key.fingerprint())));

        let mut users: Vec<UserId> = Vec::new();
        for user in std::mem::take(&mut self.users) {
            if !users.iter().any(|known| known.id() == user.id()) {
                users.push(user);
            }
        }
        self.users = users;

        let primaries = &self.primaries;
        self.signatures.retain(|signature| primaries.iter().any(|key| may_be_by(signature, key)));

        let remaining = self.primaries.len() + self.subkeys.len() + self.users.len() + self.signatures.len();
        if remaining > REMAINING_LIMIT {
            return Err(Error::Key(format!(
                "the key files have more than {REMAINING_LIMIT} packets without copies and foreign signatures"
            )));
        }
        Ok(())
    }
}

/// Tells whether a signature names a key as its issuer, or no issuer at all: then only its verification decides.
pub(super) fn may_be_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    let names_nobody = ids.is_empty() && fingerprints.is_empty();
    names_nobody || ids.contains(&&key.legacy_key_id()) || fingerprints.contains(&&key.fingerprint())
}

/// Divides a file into its binary parts and the decoded contents of its armored blocks.
fn parts(file: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut parts = Vec::new();
    let mut rest = file;
    loop {
        let begin = find(rest, BEGIN);

        // a binary packet begins with bit 7 set (RFC 9580, 4.2); anything else outside of armor is a remark
        let between = &rest[..begin.unwrap_or(rest.len())];
        if between.first().is_some_and(|byte| byte & 0x80 != 0) {
            parts.push(between.to_vec());
        }

        let Some(begin) = begin else { return Ok(parts) };
        let block = &rest[begin..];
        let end = find(block, END).ok_or_else(|| Error::Key("an armored block does not end".to_owned()))? + END.len();
        let mut bytes = Vec::new();
        Dearmor::new(&block[..end]).read_to_end(&mut bytes).map_err(|cause| Error::Key(cause.to_string()))?;
        parts.push(bytes);

        // a binary part may follow the line feed after a block
        rest = block[end..].trim_ascii_start();
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
