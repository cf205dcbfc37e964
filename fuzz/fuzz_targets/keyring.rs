//! Key files and signatures as packets: nothing but the one text that the pinned key signed is ever believed, and no packet
//! that the key did not make takes its trust away.
#![no_main]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockel::apt::release::signature;
use sockel::apt::release::signature::Error;
use sockel::values::Epoch;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawoafxYJKwYBBAHaRw8BAQdA5ENDC9POrWajGkUcmJFQ7+v+RzH6Kj9G5nDs
36OAKIu0F0FyY2hpdmUgPGFAZXhhbXBsZS5vcmc+iJAEExYIADgWIQQZoy1FRG4z
pcBpmD6MNdlsTlIuMgUCawoafwIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAK
CRCMNdlsTlIuMtKIAP9xRImDbWnzVGAXu+VYuFcXKSlEkKlCFPcWY3SClJIQhgEA
wW5yI/O6U7zX/ptvgISYZw/G4qW1g+j/iM7Ibt3kHA0=
=Wpt6
-----END PGP PUBLIC KEY BLOCK-----
";
const FINGERPRINT: &str = "19A32D45446E33A5C069983E8C35D96C4E522E32";
const TEXT: &str = "Date: x";
const SIGNATURE: &str = "iHUEARYKAB0WIQQZoy1FRG4zpcBpmD6MNdlsTlIuMgUCawoafwAKCRCMNdlsTlIu
MkfjAP9SUvVGHuJqktoDZGeEb5vA12Tlnybo2U+E/uUqokk9VAEArtyd8wz5CSK5
20pzci0Ex7Hjxu28ywSAyZZeuwtQ2AM=
=k+Tj";
/// Some days after the key was made.
const NOW: Epoch = Epoch(1_796_100_000);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let good = [KEY.as_bytes().to_vec()];
    let file = signed(SIGNATURE);
    // the bytes as the only key file, beside the good one, and within it
    believed(&file, &[bytes.to_vec()]);
    for keys in [[KEY.as_bytes(), bytes].map(<[u8]>::to_vec).to_vec(), vec![[KEY.as_bytes(), bytes].concat()]] {
        let judged = believed(&file, &keys);
        assert!(!matches!(judged, Some(Error::Untrusted(_))), "{judged:?}");
    }
    // the bytes as the signature
    believed(&signed(&BASE64_STANDARD.encode(bytes)), &good);
    // and as the whole file
    believed(bytes, &good);
});

fn signed(armor: &str) -> Vec<u8> {
    let (begin, end) = ("-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----");
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{TEXT}\n{begin}\n\n{armor}\n{end}\n").into_bytes()
}

fn believed(file: &[u8], keys: &[Vec<u8>]) -> Option<Error> {
    match signature::verify(file, keys, &[FINGERPRINT.to_owned()], NOW) {
        Ok(verified) => {
            assert_eq!((verified.text.as_str(), verified.signed_by.as_str()), (TEXT, FINGERPRINT));
            None
        }
        Err(error) => Some(error),
    }
}
