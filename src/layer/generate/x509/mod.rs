//! Owns the reading of X.509 certificates: subject, start of validity, and whether it is a CA's; no signature is verified.
//!
//! Sources: RFC 5280 section 4.1 (structure), X.690 section 10 (DER), and OpenSSL's `X509_NAME_hash_ex` (subject
//! hash). The reader only walks one level at a time, never recurses, and never allocates by a length it read.
//!
//! Why no library: `x509-cert` 0.2 (three crates more) or `x509-parser` 0.18 (18 more) would replace the walk over the
//! outer fields, some 110 lines. Neither knows OpenSSL's subject hash, which is most of this module and needs the DER of
//! single values; and both read everything in a certificate, so that one odd field nobody asks about would keep an
//! authority out of the trust store that OpenSSL and Java take.

use crate::values::pem;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha1::Digest as _;
use sha1::Sha1;

/// Largest certificate that is read; real ones have about 2 KiB.
const SIZE_LIMIT: usize = 64 << 10;

/// Most certificates in one file.
const COUNT_LIMIT: usize = 1000;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What trust stores need to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// The PEM block that it was read from, with plain line ends.
    pub pem: String,
    /// OpenSSL's subject hash, as in names of hashed links.
    pub subject_hash: u32,
    /// Begin of validity, seconds since 1970.
    pub not_before: i64,
    /// The extension basicConstraints says that it may sign others (RFC 5280 section 4.2.1.9).
    pub is_authority: bool,
}

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The text has no PEM block of a certificate.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// More certificates than `COUNT_LIMIT`.
    #[error("it holds more than {COUNT_LIMIT} certificates")]
    TooMany,
    /// Not base64, or the block does not end.
    #[error("its PEM text is damaged")]
    Pem,
    /// A certificate longer than `SIZE_LIMIT`.
    #[error("a certificate is larger than {SIZE_LIMIT} bytes")]
    TooLarge,
    /// Not DER, or not the structure of RFC 5280.
    #[error("a certificate has no valid {0}")]
    Structure(&'static str),
}

/// Reads all certificates of a PEM file (RFC 7468), in their order; text around the blocks is ignored.
///
/// # Errors
/// When the text has no certificate, or one cannot be read.
pub fn read_pem(text: &str) -> Result<Vec<X509Certificate>, InvalidCertificate> {
    let mut certificates = Vec::new();
    for body in pem::blocks(text, "CERTIFICATE") {
        let body = body.map_err(|_unclosed| InvalidCertificate::Pem)?;
        if certificates.len() == COUNT_LIMIT {
            return Err(InvalidCertificate::TooMany);
        }
        // base64 is a third longer than the bytes, line ends and indentation come on top
        if body.len() > 2 * SIZE_LIMIT {
            return Err(InvalidCertificate::TooLarge);
        }

        // normalised, because bundles are put together from these blocks
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
        let body: String = lines.flat_map(|line| [line, "\n"]).collect();
        let pem = format!("{BEGIN}\n{body}{END}\n");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_cause| InvalidCertificate::Pem)?;
        certificates.push(X509Certificate { pem, ..read_der(&der)? });
    }
    if certificates.is_empty() { Err(InvalidCertificate::NoCertificate) } else { Ok(certificates) }
}

/// Reads one certificate; its `pem` is left empty.
///
/// # Errors
/// When the bytes are not a certificate, or more than one.
pub fn read_der(der: &[u8]) -> Result<X509Certificate, InvalidCertificate> {
    if der.len() > SIZE_LIMIT {
        return Err(InvalidCertificate::TooLarge);
    }

    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
    let mut outer = DerReader(der);
    let mut certificate = DerReader(outer.expect(SEQUENCE, "outer sequence")?);
    outer.end("end")?;
    let mut fields = DerReader(certificate.expect(SEQUENCE, "tbsCertificate")?);
    certificate.expect(SEQUENCE, "signatureAlgorithm")?;
    certificate.expect(BIT_STRING, "signature")?;
    certificate.end("end")?;

    // TBSCertificate: the fields in their order, optional ones with tags of their own
    fields.optional(CONTEXT_0, "version")?;
    fields.expect(INTEGER, "serialNumber")?;
    fields.expect(SEQUENCE, "algorithm")?;
    fields.expect(SEQUENCE, "issuer")?;
    let not_before = not_before(fields.expect(SEQUENCE, "validity")?)?;
    let subject = fields.expect(SEQUENCE, "subject")?;
    fields.expect(SEQUENCE, "subjectPublicKeyInfo")?;
    fields.optional(CONTEXT_1, "issuerUniqueID")?;
    fields.optional(CONTEXT_2, "subjectUniqueID")?;
    let is_authority = match fields.optional(CONTEXT_3, "extensions")? {
        Some(extensions) => is_authority(extensions)?,
        // certificates of version 1 have no extensions, and so cannot say that they are a CA's
        None => false,
    };

    let subject_hash = subject_hash(subject)?;
    Ok(X509Certificate { der: der.to_vec(), pem: String::new(), subject_hash, not_before, is_authority })
}

fn not_before(validity: &[u8]) -> Result<i64, InvalidCertificate> {
    let (tag, time) = DerReader(validity).next("notBefore")?;
    seconds(tag, time).ok_or(InvalidCertificate::Structure("notBefore"))
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0x81;
const CONTEXT_2: u8 = 0x82;
const CONTEXT_3: u8 = 0xa3;

/// 2.5.29.19
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];

/// Takes values one after the other from the front of DER bytes; never reads past their end.
struct DerReader<'a>(&'a [u8]);

impl<'a> DerReader<'a> {
    /// Takes the next value: tag and content. Tags of more than one byte do not exist in certificates.
    fn next(&mut self, field: &'static str) -> Result<(u8, &'a [u8]), InvalidCertificate> {
        let (tag, length, rest) = header(self.0).ok_or(InvalidCertificate::Structure(field))?;
        let (value, rest) = rest.split_at_checked(length).ok_or(InvalidCertificate::Structure(field))?;
        self.0 = rest;
        Ok((tag, value))
    }

    fn expect(&mut self, tag: u8, field: &'static str) -> Result<&'a [u8], InvalidCertificate> {
        let (found, value) = self.next(field)?;
        if found == tag { Ok(value) } else { Err(InvalidCertificate::Structure(field)) }
    }

    fn optional(&mut self, tag: u8, field: &'static str) -> Result<Option<&'a [u8]>, InvalidCertificate> {
        if self.0.first() == Some(&tag) { self.expect(tag, field).map(Some) } else { Ok(None) }
    }

    fn end(&self, field: &'static str) -> Result<(), InvalidCertificate> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidCertificate::Structure(field)) }
    }
}

/// Splits off tag and length, which must be in the shortest form (X.690 section 10.1).
fn header(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    // tag number 31 says that more bytes of the tag follow
    if tag & 0x1f == 0x1f {
        return None;
    }
    if first < 0x80 {
        return Some((tag, usize::from(first), rest));
    }

    // long form: the number of length bytes, then these, most significant first; 0x80 is BER's indefinite form
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let length = digits.iter().fold(0_u64, |length, digit| length << 8 | u64::from(*digit));
    let is_shortest = digits[0] != 0 && length >= 0x80;
    Some((tag, usize::try_from(length).ok()?, rest)).filter(|_| is_shortest)
}

/// Tells whether basicConstraints has `cA` set.
fn is_authority(extensions: &[u8]) -> Result<bool, InvalidCertificate> {
    let field = "extensions";
    let mut list = DerReader(DerReader(extensions).expect(SEQUENCE, field)?);
    while !list.0.is_empty() {
        // Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue }
        let mut extension = DerReader(list.expect(SEQUENCE, field)?);
        let id = extension.expect(OBJECT_IDENTIFIER, field)?;
        extension.optional(BOOLEAN, field)?;
        let value = extension.expect(OCTET_STRING, field)?;

        if id == BASIC_CONSTRAINTS {
            let mut constraints = DerReader(DerReader(value).expect(SEQUENCE, "basicConstraints")?);
            // DER's only form of TRUE (X.690 section 11.1)
            return Ok(constraints.optional(BOOLEAN, "basicConstraints")? == Some(&[0xff]));
        }
    }
    Ok(false)
}

/// Reads UTCTime or GeneralizedTime in the only forms that RFC 5280 section 4.1.2.5 allows.
fn seconds(tag: u8, time: &[u8]) -> Option<i64> {
    let digits = time.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }

    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            // two digits mean 1950 to 2049
            let short = decimal(&digits[..2]);
            (if short < 50 { 2000 + short } else { 1900 + short }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (decimal(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let (month, day) = (decimal(&rest[..2]), decimal(&rest[2..4]));
    let (hour, minute, second) = (decimal(&rest[4..6]), decimal(&rest[6..8]), decimal(&rest[8..10]));

    // days beyond the end of their month are counted on: the date decides nothing
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    in_range.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn decimal(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    // months from March on have 31, 30, 31, 30, 31 days, twice and a bit: 153 days every five months
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // from 0000-03-01 to 1970-01-01 there are 719,468 days
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Returns the first four bytes, little endian, of the SHA-1 of the canonical subject (`X509_NAME_hash_ex`).
fn subject_hash(subject: &[u8]) -> Result<u32, InvalidCertificate> {
    let field = "subject";
    let mut names = DerReader(subject);
    let mut hash = Sha1::new();
    while !names.0.is_empty() {
        // RelativeDistinguishedName ::= SET OF SEQUENCE { type, value }
        let mut set = DerReader(names.expect(SET, field)?);
        let mut attributes = Vec::new();
        while !set.0.is_empty() {
            let mut attribute = DerReader(set.expect(SEQUENCE, field)?);
            let id = attribute.expect(OBJECT_IDENTIFIER, field)?;
            let (tag, value) = attribute.next(field)?;
            let (tag, value) = canonical(tag, value).ok_or(InvalidCertificate::Structure(field))?;
            attributes.push(encode(SEQUENCE, &[encode(OBJECT_IDENTIFIER, id), encode(tag, &value)].concat()));
        }

        // the members of a DER set are sorted, and canonical values may sort in another order than the original ones
        attributes.sort();
        // without the sequence around all names: OpenSSL hashes the sets alone
        hash.update(encode(SET, &attributes.concat()));
    }
    let digest = hash.finalize();
    Ok(u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

/// OpenSSL's `asn1_string_canon`: text becomes UTF-8 in lower-case ASCII with single inner spaces; other values stay.
fn canonical(tag: u8, value: &[u8]) -> Option<(u8, Vec<u8>)> {
    let text: String = match tag {
        UTF8_STRING => str::from_utf8(value).ok()?.to_owned(),
        // OpenSSL reads all of these as Latin-1, whatever T.61 says
        PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | VISIBLE_STRING => {
            value.iter().copied().map(char::from).collect()
        }
        BMP_STRING => wide::<2>(value)?,
        UNIVERSAL_STRING => wide::<4>(value)?,
        _ => return Some((tag, value.to_vec())),
    };

    let words: Vec<&str> = text.split(is_c_space).filter(|word| !word.is_empty()).collect();
    Some((UTF8_STRING, words.join(" ").to_ascii_lowercase().into_bytes()))
}

/// C's isspace, which unlike `char::is_ascii_whitespace` includes the vertical tab.
fn is_c_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// Reads big-endian characters of a fixed width.
fn wide<const WIDTH: usize>(value: &[u8]) -> Option<String> {
    if !value.len().is_multiple_of(WIDTH) {
        return None;
    }
    let mut text = String::new();
    for digits in value.chunks_exact(WIDTH) {
        text.push(char::from_u32(digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))?);
    }
    Some(text)
}

/// Writes a value with its tag and its length in the shortest form (X.690 section 10.1).
fn encode(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = value.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|digit| **digit == 0).count()..];
    match digits {
        [] => bytes.push(0),
        [short] if *short < 0x80 => bytes.push(*short),
        _ => {
            bytes.push(0x80 | u8::try_from(digits.len()).expect("at most 8 bytes"));
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests;
