//! Contract of the certificate reader; the oracle is the `openssl` command.

use super::*;
use proptest::prelude::*;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

const ROOT: &str = include_str!("../testdata/root.pem");
const TWIN: &str = include_str!("../testdata/twin.pem");
const MULTI: &str = include_str!("../testdata/multi.pem");
const LEAF: &str = include_str!("../testdata/leaf.pem");

fn one(pem: &str) -> X509Certificate {
    read_pem(pem).unwrap().remove(0)
}

#[test]
fn reads_what_openssl_reads() {
    // hashes: `openssl x509 -subject_hash`; root and twin differ in case and blanks only
    let table = [
        ("root", ROOT, 0x0011_4b81_u32, true),
        ("twin", TWIN, 0x0011_4b81, true),
        ("multi", MULTI, 0xf9bd_315b, true),
        ("leaf", LEAF, 0x23e5_d2e5, false),
    ];
    for (name, pem, hash, is_authority) in table {
        let certificate = one(pem);
        assert_eq!(format!("{:08x}", certificate.subject_hash), format!("{hash:08x}"), "{name}");
        assert_eq!(certificate.is_authority, is_authority, "{name}");
        assert_eq!(certificate.not_before, 1_795_410_864, "{name}");
        assert_eq!(certificate.pem, pem, "{name}");
    }
}

#[test]
fn agrees_with_openssl_about_every_certificate_of_this_machine() {
    let folder = std::path::Path::new("/usr/share/ca-certificates/mozilla");
    let Ok(names) = crate::sys::fs::list(folder) else {
        println!("skipped: package ca-certificates is not installed");
        return;
    };
    let mut all = String::new();
    let mut expected = Vec::new();
    for name in names {
        let pem = crate::sys::fs::read_text(&folder.join(name), 1 << 20).unwrap();
        expected.push(format!("{:08x}", one(&pem).subject_hash));
        assert!(one(&pem).not_before > 800_000_000);
        all += &pem;
    }
    for (pem, hash) in read_pem(&all).unwrap().iter().map(|certificate| &certificate.pem).zip(expected) {
        let Some(found) = openssl_hash(pem) else {
            println!("skipped: there is no openssl command");
            return;
        };
        assert_eq!(found, hash, "{pem}");
    }
}

fn openssl_hash(pem: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-subject_hash"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(pem.as_bytes()).ok()?;
    Some(String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?.trim().to_owned())
}

#[test]
fn text_around_and_foreign_line_ends_do_not_matter() {
    let text = format!("subject: x\r\n{}\n# end\n{TWIN}", ROOT.replace('\n', "\r\n"));
    let certificates = read_pem(&text).unwrap();
    assert_eq!(certificates.iter().map(|certificate| certificate.pem.as_str()).collect::<Vec<_>>(), [ROOT, TWIN]);
}

#[test]
fn refuses_what_is_no_certificate() {
    let cut = &ROOT[..ROOT.len() - 40];
    let block = |text: &str| format!("{BEGIN}\n{text}\n{END}\n");
    let table = [
        ("", InvalidCertificate::NoCertificate),
        ("-----BEGIN TRUSTED CERTIFICATE-----\n", InvalidCertificate::NoCertificate),
        (cut, InvalidCertificate::Pem),
        (&block("%%%%"), InvalidCertificate::Pem),
        (&block(""), InvalidCertificate::Structure("outer sequence")),
        (&block("MIL/////"), InvalidCertificate::Structure("outer sequence")),
        (&block(&"A".repeat(200_000)), InvalidCertificate::TooLarge),
        (&ROOT.repeat(1001), InvalidCertificate::TooMany),
    ];
    for (text, expected) in table {
        assert_eq!(read_pem(text), Err(expected), "{}", &text[..text.len().min(80)]);
    }
    let der = one(ROOT).der;
    for length in 0..der.len() {
        assert!(read_der(&der[..length]).is_err(), "cut at {length}");
    }
    assert!(read_der(&[&der[..], b"x"].concat()).is_err());
}

#[test]
fn lengths_are_in_the_shortest_form() {
    let table: [(&[u8], Option<usize>); 9] = [
        (&[0x30, 0x05], Some(5)),
        (&[0x30, 0x81, 0x80], Some(128)),
        (&[0x30, 0x82, 0x01, 0x00], Some(256)),
        (&[0x30, 0x81, 0x7f], None),
        (&[0x30, 0x82, 0x00, 0x80], None),
        (&[0x30, 0x80], None),
        (&[0x30, 0x85, 1, 0, 0, 0, 0], None),
        (&[0x3f, 0x05], None),
        (&[0x30], None),
    ];
    for (bytes, expected) in table {
        assert_eq!(header(bytes).map(|(_, length, _)| length), expected, "{bytes:x?}");
    }
}

#[test]
fn times_are_those_of_the_standard() {
    let table: [(u8, &str, Option<i64>); 9] = [
        (UTC_TIME, "700101000000Z", Some(0)),
        (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
        (UTC_TIME, "500101000000Z", Some(-631_152_000)),
        (GENERALIZED_TIME, "20240229120000Z", Some(1_709_208_000)),
        (GENERALIZED_TIME, "00010101000000Z", Some(-62_135_596_800)),
        (GENERALIZED_TIME, "20241301000000Z", None),
        (UTC_TIME, "7001010000Z", None),
        (UTC_TIME, "700101000000+0100", None),
        (INTEGER, "700101000000Z", None),
    ];
    for (tag, text, expected) in table {
        assert_eq!(seconds(tag, text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn names_are_made_canonical() {
    let table: [(u8, &[u8], &[u8]); 6] = [
        (PRINTABLE_STRING, b"  A \t b\x0b\nC ", b"a b c"),
        (UTF8_STRING, "ÄB".as_bytes(), "Äb".as_bytes()),
        (TELETEX_STRING, &[b'A', 0xe4], "aä".as_bytes()),
        (BMP_STRING, &[0, b'A', 0x20, 0xac], "a€".as_bytes()),
        (UNIVERSAL_STRING, &[0, 0, 0, b'A'], b"a"),
        (UTF8_STRING, b"", b""),
    ];
    for (tag, value, expected) in table {
        assert_eq!(canonical(tag, value), Some((UTF8_STRING, expected.to_vec())), "{value:x?}");
    }
    assert_eq!(canonical(OCTET_STRING, b" A "), Some((OCTET_STRING, b" A ".to_vec())));
    assert_eq!(canonical(BMP_STRING, &[0]), None);
    assert_eq!(canonical(UTF8_STRING, &[0xff]), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _no_panic = read_der(&bytes);
        let _no_panic = read_pem(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damaged_certificate_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), end in any::<prop::sample::Index>()) {
        let mut der = one(MULTI).der;
        let at = at.index(der.len());
        der[at] = value;
        let _no_panic = read_der(&der);
        let end = end.index(der.len());
        let _no_panic = read_der(&der[..end]);
    }

    #[test]
    fn what_is_encoded_is_read_back(tag in 0_u8..0x1f, value in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let bytes = encode(tag, &value);
        let mut reader = DerReader(&bytes);
        prop_assert_eq!(reader.next("value").unwrap(), (tag, &value[..]));
        prop_assert!(reader.end("end").is_ok());
    }
}
