//! What key files say about a key does not depend on how they are arranged.

use crate::support::archive::NOW;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::openpgp::MADE;
use crate::support::openpgp::Signing;
use crate::support::openpgp::armored;
use pgp::crypto::hash::HashAlgorithm;
use sockel::apt::release::signature;

const WITH_SUBKEY: openpgp::Recipe = openpgp::Recipe { subkey: Some(true), may_sign: false, ..openpgp::GOOD };

fn signed(key: &Key, with_subkey: bool) -> Vec<u8> {
    let at = u32::try_from(NOW.0).unwrap() - 1000;
    key.sign("text\n", Signing { hash: HashAlgorithm::Sha512, at, life: None, with_subkey })
}

fn judged(file: &[u8], keys: &[Vec<u8>], key: &Key) -> String {
    match signature::verify(file, keys, &[key.fingerprint()], NOW) {
        Ok(verified) => format!("signed by {}", verified.signed_by),
        Err(error) => error.to_string(),
    }
}

/// All orders of some things.
fn orders(things: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for place in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(place);
        all.extend(orders(&rest).into_iter().map(|order| [vec![first.clone()], order].concat()));
    }
    all
}

/// The same packets in files of every form: one, two, binary, armored, several blocks, with remarks between them.
fn arrangements(packets: &[Vec<u8>]) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut all = Vec::new();
    for (number, order) in orders(packets).into_iter().enumerate() {
        let whole = order.concat();
        all.push((format!("{number}, binary"), vec![whole.clone()]));
        all.push((format!("{number}, armored"), vec![armored(&whole)]));
        // a part that is a lone name or subkey is no key file, but may stand behind one
        for cut in 1..order.len() {
            let (first, second) = (order[..cut].concat(), order[cut..].concat());
            let remark = b"\nthe second part:\r\n".to_vec();
            let blocks = [armored(&first), remark, armored(&second)].concat();
            all.push((format!("{number}, two blocks, {cut}"), vec![blocks]));
            all.push((
                format!("{number}, binary and a block, {cut}"),
                vec![[first.clone(), armored(&second)].concat()],
            ));
            all.push((
                format!("{number}, a block and binary, {cut}"),
                vec![[armored(&first), second.clone()].concat()],
            ));
            let other = Key::new(openpgp::Recipe { seed: 9, ..openpgp::GOOD }).packets().concat();
            let two = vec![[other.clone(), first].concat(), [second, other].concat()];
            all.push((format!("{number}, two files among others, {cut}"), two));
        }
    }
    all
}

#[test]
fn a_revocation_counts_wherever_it_stands() {
    let key = Key::new(openpgp::GOOD);
    let file = signed(&key, false);
    let mut packets = key.packets();
    for (title, keys) in arrangements(&packets) {
        assert_eq!(judged(&file, &keys, &key), format!("signed by {}", key.fingerprint()), "{title}");
    }
    packets.push(key.revocation(None));
    for (title, keys) in arrangements(&packets) {
        assert!(judged(&file, &keys, &key).contains("is revoked"), "{title}");
    }
    // the same key twice: once from before it was taken back
    let revoked = Key::new(openpgp::Recipe { revoked: true, ..openpgp::GOOD });
    let (old, new) = (key.packets().concat(), revoked.packets().concat());
    for keys in [vec![[old.clone(), new.clone()].concat()], vec![[new.clone(), old.clone()].concat()]] {
        assert!(judged(&file, &keys, &key).contains("is revoked"));
    }
    for keys in [[old.clone(), new.clone()], [new, old]] {
        assert!(judged(&file, &keys, &key).contains("is revoked"));
        assert!(judged(&file, &keys.map(|part| armored(&part)), &key).contains("is revoked"));
    }
}

#[test]
fn nobody_else_takes_a_key_back() {
    let (key, other) = (Key::new(openpgp::GOOD), Key::new(openpgp::Recipe { seed: 9, ..openpgp::GOOD }));
    let keys = [[key.packets().concat(), other.revocation(Some(&key)), other.packets().concat()].concat()];
    assert_eq!(judged(&signed(&key, false), &keys, &key), format!("signed by {}", key.fingerprint()));
    // a revocation of one key says nothing about another one
    let keys = [[key.packets().concat(), other.packets().concat(), other.revocation(None)].concat()];
    assert_eq!(judged(&signed(&key, false), &keys, &key), format!("signed by {}", key.fingerprint()));
    assert!(judged(&signed(&other, false), &keys, &other).contains("is revoked"));
}

#[test]
fn a_subkey_is_taken_back_wherever_that_stands() {
    let key = Key::new(WITH_SUBKEY);
    let (file, good) = (signed(&key, true), format!("signed by {}", key.fingerprint()));
    let packets = key.packets();
    assert_eq!(judged(&file, &[packets.concat()], &key), good);
    let mut revoked = packets.clone();
    revoked.push(key.subkey_revocation());
    // in front, behind the primary key, behind the name, at its place, in a copy, in a file of its own
    for place in 0..revoked.len() {
        let mut order = packets.clone();
        order.insert(place, key.subkey_revocation());
        assert!(judged(&file, &[order.concat()], &key).contains("may not sign"), "{place}");
    }
    for keys in [
        vec![[packets.concat(), revoked.concat()].concat()],
        vec![revoked.concat(), packets.concat()],
        vec![packets.concat(), key.subkey_revocation()],
        vec![armored(&key.subkey_revocation()), armored(&packets.concat())],
    ] {
        assert!(judged(&file, &keys, &key).contains("may not sign"));
    }
}

#[test]
fn the_newest_word_of_the_owner_counts() {
    let (past, future) = (1_000, u32::try_from(NOW.0).unwrap() - MADE + 1_000);
    let key = Key::new(openpgp::Recipe { life: Some(past), ..openpgp::GOOD });
    let lasting = Key::new(openpgp::GOOD);
    let (file, good) = (signed(&key, false), format!("signed by {}", key.fingerprint()));
    for is_direct in [false, true] {
        let table = [
            ("prolonged", &key, key.renewal(MADE + 5, future, is_direct), good.as_str()),
            ("shortened", &lasting, lasting.renewal(MADE + 5, past, is_direct), "expired on"),
            ("of the same second", &lasting, lasting.renewal(MADE, past, is_direct), "expired on"),
            ("from the future", &lasting, lasting.renewal(u32::try_from(NOW.0).unwrap() + 9, past, is_direct), &good),
        ];
        for (title, key, renewal, expected) in table {
            let packets = [key.packets(), vec![renewal]].concat();
            // every form comes up, and every order
            for (arrangement, keys) in arrangements(&packets).into_iter().step_by(5) {
                let found = judged(&file, &keys, key);
                assert!(found.contains(expected), "{title}, {is_direct}, {arrangement}: {found}");
            }
        }
    }
    // a name that was taken back says nothing about the key any more
    for at in [MADE, MADE + 5] {
        let packets = [lasting.packets(), vec![lasting.name_revocation(at)]].concat();
        for (title, keys) in arrangements(&packets).into_iter().step_by(5) {
            assert!(judged(&file, &keys, &lasting).contains("has no valid self-signature"), "{title}");
        }
    }
}

#[test]
fn key_files_are_read_to_their_end_or_not_at_all() {
    let key = Key::new(openpgp::GOOD);
    let (file, packets) = (signed(&key, false), key.packets().concat());
    let good = format!("signed by {}", key.fingerprint());
    let half = &packets[..packets.len() - 5];
    let open = armored(&packets);
    for (title, keys, expected) in [
        ("line breaks behind it", [packets.as_slice(), b"\r\n\n"].concat(), good.as_str()),
        ("a remark before it", [b"# the key of 2026\n".as_slice(), &armored(&packets)].concat(), good.as_str()),
        ("something behind it", [packets.as_slice(), b"\nrevoked, see mail"].concat(), "is not a packet"),
        ("cut off", half.to_vec(), "has no valid self-signature"),
        ("a block without end", open[..open.len() - 20].to_vec(), "does not end"),
        ("nothing", Vec::new(), "there is no usable certificate in it"),
        ("a text", b"-----BEGIN\n".to_vec(), "there is no usable certificate in it"),
        (
            "too many signatures of its own",
            [packets.clone(), key.revocation(None).repeat(2_001)].concat(),
            "more than 2000",
        ),
        ("too many packets", [packets.clone(), b"\xb0\x02\x00\x03".repeat(20_001)].concat(), "more than 20000 packets"),
    ] {
        let found = judged(&file, &[keys], &key);
        assert!(found.contains(expected), "{title}: {found}");
    }
}
