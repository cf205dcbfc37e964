//! Owns the Java trust store: the same certificates as the bundle, as a JKS file.
//!
//! Format: `sun.security.provider.JavaKeyStore` of OpenJDK (magic, version 2, trusted-certificate entries, SHA-1
//! seal). Aliases are those of package ca-certificates-java, so that its tools would find them; dates are the start
//! of each certificate's validity, so that nothing depends on when the image was built.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::certificates;
use crate::layer::generate::file;
use crate::recipe::LevelDefinition;
use crate::tree::TreeEntry;
use sha1::Digest as _;
use sha1::Sha1;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const NAME: &str = "trust-store";

/// The password that every Java installation uses; it seals against accidents, not against people.
const PASSWORD: &str = "changeit";

/// Runs whenever any level so far wants a trust store, because every level may bring certificates.
pub(super) fn wanted(levels: &[LevelDefinition]) -> bool {
    !targets(levels).is_empty()
}

/// Returns the paths of the trust stores of all levels so far.
pub(super) fn targets(levels: &[LevelDefinition]) -> BTreeSet<&str> {
    let paths = levels.iter().filter_map(|level| level.certificates.java_trust_store.as_deref());
    paths.map(|path| path.trim_start_matches('/')).collect()
}

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let mut entries = BTreeMap::new();
    for anchor in certificates::anchors(scene)? {
        // as ca-certificates-java derives them from file names
        let alias = format!("debian:{}", anchor.pem.to_lowercase());
        // like Java's CertificateFactory, which takes the first of several
        if let Some(certificate) = anchor.certificates.into_iter().next() {
            entries.insert(alias, (certificate.not_before, certificate.der));
        }
    }

    let bytes = write(&entries);
    Ok(targets(scene.input.levels).into_iter().map(|path| file(NAME, path, bytes.clone(), 0o644)).collect())
}

/// Returns the bytes of a JKS file: alias to date (seconds since 1970) and DER certificate.
fn write(entries: &BTreeMap<String, (i64, Vec<u8>)>) -> Vec<u8> {
    // magic and version
    let mut bytes = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
    push_count(&mut bytes, entries.len());

    for (alias, (date, der)) in entries {
        // tag 2: a trusted certificate; Java counts milliseconds
        bytes.extend_from_slice(&[0, 0, 0, 2]);
        push_text(&mut bytes, alias);
        bytes.extend_from_slice(&date.saturating_mul(1000).to_be_bytes());
        push_text(&mut bytes, "X.509");
        push_count(&mut bytes, der.len());
        bytes.extend_from_slice(der);
    }

    // engineStore: the password as UTF-16, a constant of OpenJDK's authors, and everything before
    let password = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let seal = Sha1::new().chain_update(password).chain_update("Mighty Aphrodite").chain_update(&bytes).finalize();
    bytes.extend_from_slice(&seal);
    bytes
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("sizes and numbers of certificates are limited when read");
    bytes.extend_from_slice(&count.to_be_bytes());
}

/// Writes Java's modified UTF-8 (`java.io.DataOutput.writeUTF`): every UTF-16 unit on its own.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let mut encoded = Vec::new();
    for unit in text.encode_utf16() {
        let [high, middle, low] = [unit >> 12, unit >> 6 & 0x3f, unit & 0x3f].map(|bits| bits.to_le_bytes()[0]);
        match unit {
            0x01..=0x7f => encoded.push(unit.to_le_bytes()[0]),
            0 | 0x80..=0x7ff => encoded.extend_from_slice(&[0xc0 | middle, 0x80 | low]),
            _ => encoded.extend_from_slice(&[0xe0 | high, 0x80 | middle, 0x80 | low]),
        }
    }
    let length = u16::try_from(encoded.len()).expect("file names have at most 255 bytes");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&encoded);
}
