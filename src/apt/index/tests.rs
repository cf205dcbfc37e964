//! Tests of the package index: what it finds, and what it refuses.

use super::*;
use crate::apt::MultiArch;
use crate::values::Digest;
use proptest::prelude::*;

const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A sound stanza with more lines.
fn stanza(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/main/{name}_{version}.deb\n\
         Size: 10\nSHA256: {SHA}\nDescription: text\n of two lines\n{more}\n"
    )
}

fn read(text: &str) -> Result<PackageIndex, Error> {
    PackageIndex::read(text.as_bytes(), &PackageIndexLimits::ARCHIVE)
}

fn labels(packages: impl Iterator<Item = Result<BinaryPackage, Error>>) -> Vec<String> {
    packages.map(Result::unwrap).map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn reads_all_fields() {
    let sha512 = "ab".repeat(64);
    let text = format!(
        "Package: libfoo1\nSource: foo (1:2.0-1)\nVersion: 1:2.0-1+b1\nArchitecture: arm64\nPriority: important\n\
         Essential: yes\nmulti-arch: same\nPre-Depends: dpkg (>= 1.17)\nDepends: libc6 (>= 2.38),\n a | b,\n\t c\n\
         Recommends: d\nConflicts: e\nBreaks: f (<< 2)\nReplaces: g\nProvides: foo, bar (= 1)\nTag: x::y,\n z\n\
         Filename: ./libfoo1_1%3a2.0-1+b1_arm64.deb\nSize: 1234\nInstalled-Size: 99\nMD5sum: x\nSHA256: {SHA}\n\
         SHA512: {sha512}\nPhased-Update-Percentage: 20\n"
    );
    let index = read(&text).unwrap();
    let package = index.by_name("libfoo1").next().unwrap().unwrap();
    let expected = BinaryPackage {
        name: "libfoo1".to_owned(),
        version: version::DebianVersion::new("1:2.0-1+b1"),
        architecture: "arm64".to_owned(),
        source: "foo".to_owned(),
        source_version: version::DebianVersion::new("1:2.0-1"),
        priority: crate::apt::Priority::Important,
        essential: true,
        multi_arch: crate::apt::MultiArch::Same,
        depends: crate::apt::relation::Relation::parse_groups("dpkg (>= 1.17), libc6 (>= 2.38), a | b, c").unwrap(),
        recommends: crate::apt::relation::Relation::parse_groups("d").unwrap(),
        conflicts: crate::apt::relation::Relation::parse_list("e, f (<< 2)").unwrap(),
        provides: crate::apt::relation::Provide::parse_list("foo, bar (= 1)").unwrap(),
        replaces: crate::apt::relation::Relation::parse_list("g").unwrap(),
        filename: "libfoo1_1%3a2.0-1+b1_arm64.deb".to_owned(),
        size: 1234,
        installed_kib: 99,
        sha256: crate::values::Digest::from_hex(SHA).unwrap(),
        sha512: Some(sha512),
        phased: Some(20),
    };
    assert_eq!(package, expected);
}

#[test]
fn finds_names_and_providers() {
    let text = [
        stanza("mawk", "1", "Provides: awk\n"),
        stanza("gawk", "1.9", "Provides: awk (= 5), awk,\n posix-awk:any,nawk\n"),
        stanza("gawk", "1.10", ""),
        stanza("gawk2", "1", "Provides:  \n"),
    ]
    .concat();
    let index = read(&text).unwrap();
    assert_eq!(index.len(), 4);
    assert!(!index.is_empty());
    assert_eq!(index.names().collect::<Vec<_>>(), ["gawk", "gawk2", "mawk"]);
    assert_eq!(labels(index.packages()), ["gawk 1.10", "gawk 1.9", "gawk2 1", "mawk 1"]);
    assert_eq!(labels(index.by_name("gawk")), ["gawk 1.10", "gawk 1.9"]);
    assert_eq!(labels(index.by_name("aaa")), [""; 0]);
    assert_eq!(labels(index.by_name("zzz")), [""; 0]);
    assert_eq!(labels(index.providers("awk")), ["gawk 1.9", "mawk 1"]);
    assert_eq!(labels(index.providers("posix-awk")), ["gawk 1.9"]);
    assert_eq!(labels(index.providers("nawk")), ["gawk 1.9"]);
    assert_eq!(labels(index.providers("mawk")), [""; 0]);
    assert!(read("\n\n").unwrap().is_empty());
}

#[test]
fn takes_the_same_content_twice_but_not_another() {
    let one = stanza("a", "1", "");
    assert_eq!(read(&[&one[..], &one].concat()).unwrap().len(), 1);
    let foreign = one.replace("amd64", "arm64");
    assert_eq!(read(&[&one[..], &foreign].concat()).unwrap().len(), 2);
    let sound = stanza("b", "1", "");
    for other in [one.clone(), one.replace("Version: 1", "Version: 0:1")] {
        let other = other.replace(SHA, &"0".repeat(64));
        for text in [vec![&one, &other, &sound], vec![&other, &one, &other, &sound, &one]] {
            let index = read(&text.into_iter().map(String::as_str).collect::<String>()).unwrap();
            let found: Vec<_> = index.by_name("a").collect();
            let message = found[0].as_ref().unwrap_err().to_string();
            assert!(message.ends_with("1 is listed with two different contents"), "{message}");
            assert_eq!((found.len(), labels(index.by_name("b"))), (1, vec!["b 1".to_owned()]));
        }
    }
}

#[test]
fn a_broken_stanza_costs_only_its_package() {
    let table = [
        ("Depends: b\nPriority", "line 10 is not a field: `Priority`"),
        (": x", "line 9 is not a field: `: x`"),
        ("Size: 5", "field `Size` is repeated in line 9"),
        ("Depends: x\u{7f}", "field `Depends` in line 9 is not UTF-8"),
    ];
    for (line, problem) in table {
        let text = [stanza("a", "1", &format!("{line}\n")), stanza("b", "1", "Provides: a\n")].concat();
        let bytes: Vec<u8> = text.bytes().map(|byte| if byte == 0x7f { 0xff } else { byte }).collect();
        let index = PackageIndex::read(&bytes[..], &PackageIndexLimits::ARCHIVE).unwrap();
        let error = index.by_name("a").next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read package `a`: {problem}"));
        assert!(error.is_of_one_package());
        assert_eq!(
            (labels(index.by_name("b")), labels(index.providers("a"))),
            (vec!["b 1".to_owned()], vec!["b 1".to_owned()])
        );
        let again = decoded(&encoded(&index)).unwrap();
        assert_eq!(again.by_name("a").next().unwrap().unwrap_err().to_string(), error.to_string());
    }
    // a stanza that has no name is nobody's
    for text in ["Version: 1\n\n", " x\n\n", "x\n\n"] {
        assert_eq!(labels(read(&format!("{text}{}", stanza("b", "1", ""))).unwrap().packages()), ["b 1"]);
    }
}

#[test]
fn takes_fields_as_apt_does() {
    let table = [
        ("Filename: pool/main/a_1.deb", "Filename: .//pool/./a b+%3a#?.deb", "pool/a b+%3a#?.deb"),
        ("Size: 10", "Size: 10\nMulti-Arch: Foreign", "foreign"),
        ("Size: 10", "Size: 10\nMulti-Arch: maybe", "none"),
        ("Size: 10", "Size: 10\nInstalled-Size: about ten\nEssential: Yes", "essential"),
        (SHA, &SHA.to_uppercase(), "same digest"),
    ];
    for (from, to, expected) in table {
        let index = read(&stanza("a", "1", "").replacen(from, to, 1)).unwrap();
        let package = index.packages().next().unwrap().unwrap();
        match expected {
            "foreign" => assert_eq!(package.multi_arch, MultiArch::Foreign),
            "none" => assert_eq!(package.multi_arch, MultiArch::No),
            "essential" => assert!(package.essential && package.installed_kib == 0),
            "same digest" => assert_eq!(package.sha256.hex(), SHA),
            path => assert_eq!(package.filename, path),
        }
    }
}

#[test]
fn refuses_hostile_fields_by_name() {
    let table = [
        ("Filename: pool/main/a_1.deb", "Filename: pool/../../etc/passwd", "it has a part that is empty, `.` or `..`"),
        ("Filename: pool/main/a_1.deb", "Filename:", "it has a part that is empty, `.` or `..`"),
        ("Filename: pool/main/a_1.deb", "Filename: a\u{1b}", "it has a character that is not allowed in archive paths"),
        ("Filename: pool/main/a_1.deb", "Filename: a\\b", "it has a character that is not allowed in archive paths"),
        ("Size: 10", "Size: 0", "the number is not plausible"),
        ("Size: 10", "Size: 99999999999999", "the number is not plausible"),
        ("Size: 10", "Size: 99999999999999999999999", "this is not a number"),
        ("Size: 10", "Size: +10", "this is not a number"),
        ("Size: 10", "Size: -1", "this is not a number"),
        ("Size: 10", "Size:", "this is not a number"),
        ("Size: 10", "Size: 10\nPhased-Update-Percentage: 101", "the number is not plausible"),
        ("Size: 10", "Size: 10\nSHA512: ab", "it is not 128 hexadecimal digits"),
        ("Size: 10", "Size: 10\nSource: a (1", "a `)` is missing"),
        ("Size: 10", "Size: 10\nSource: ../a", "this is not a package name"),
        ("Size: 10", "Size: 10\nDepends: b [amd64]", "architecture restrictions belong to source packages"),
        ("Version: 1\n", "Version: 1 2\n", "it has characters that are not allowed in versions"),
        ("Architecture: amd64", "Architecture: ../x", "this is not an architecture"),
        (SHA, "ABCD", "it is not 64 hexadecimal digits"),
        ("Package: a", "Package: ../a", "this is not a package name"),
        ("SHA256", "SHA1", "field `SHA256` is missing"),
        ("Size: 10\n", "", "field `Size` is missing"),
        ("Version: 1\n", "", "field `Version` is missing"),
        ("Filename", "File", "field `Filename` is missing"),
    ];
    for (from, to, problem) in table {
        let index = read(&stanza("a", "1", "").replacen(from, to, 1)).unwrap();
        let message = index.packages().next().unwrap().unwrap_err().to_string();
        assert!(message.starts_with("cannot read package `") && message.ends_with(problem), "{message}");
    }
}

#[test]
fn keeps_its_limits() {
    let text: String = (0..9).map(|number| stanza(&format!("p{number}"), "1", "Provides: x, y\n")).collect();
    let tight = PackageIndexLimits { bytes: 8_000, stanzas: 9, line: 4 << 20, memory: 2_000, provides: 18 };
    assert!(PackageIndex::read(text.as_bytes(), &tight).is_ok());
    let table = [
        (PackageIndexLimits { bytes: 100, ..tight }, "more than 100 bytes"),
        (PackageIndexLimits { stanzas: 8, ..tight }, "more than 8 stanzas"),
        (PackageIndexLimits { memory: 900, ..tight }, "more than 900 bytes in kept fields"),
        (PackageIndexLimits { provides: 17, ..tight }, "more than 17 provided names"),
    ];
    for (limits, message) in table {
        let error = PackageIndex::read(text.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read package index: {message}"));
    }
    let error = PackageIndex::read(io::repeat(b'x'), &PackageIndexLimits::ARCHIVE).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read package index: more than {} bytes in a line", 4 << 20));
}

/// Hands out a few bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

fn encoded(index: &PackageIndex) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.encode(&Digest::of(b"source"), &mut bytes).unwrap();
    bytes
}

fn decoded(bytes: &[u8]) -> Option<PackageIndex> {
    PackageIndex::decode(bytes.to_vec(), &Digest::of(b"source"))
}

/// Makes the index of a file with these bytes.
fn opened(bytes: &[u8]) -> Option<PackageIndex> {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, bytes).unwrap();
    PackageIndex::open(file, &Digest::of(b"source"))
}

/// A decoded form with any content, whose counts and digests are right.
fn sealed(body: &[u8], names: usize, stanzas: usize, provides: usize) -> Vec<u8> {
    let records = body.len().saturating_sub(names + stanzas * 16 + provides * 12);
    let mut bytes = body.to_vec();
    let counts = [records, names, stanzas, provides];
    bytes.extend(counts.iter().flat_map(|&count| u32::try_from(count).unwrap().to_le_bytes()));
    let empty = encoded(&read("").unwrap());
    bytes.extend(&empty[16..empty.len() - 64]);
    bytes.extend(Digest::of(&bytes).hex().into_bytes());
    bytes
}

/// Asks everything that an index answers.
fn ask_all(index: &PackageIndex) {
    assert_eq!(index.packages().count(), index.len());
    for name in index.names() {
        index.by_name(name).for_each(drop);
        index.providers(name).for_each(drop);
    }
    let provided = index.packages().flatten().flat_map(|package| package.provides);
    provided.for_each(|provide| index.providers(&provide.name).for_each(drop));
}

#[test]
fn is_the_same_after_encoding() {
    let text = [
        stanza("mawk", "1", "Provides: awk\n"),
        stanza("gawk", "1.9", "Provides: awk (= 5), posix-awk\n"),
        stanza("gawk", "1.10", "Maintainer: \u{e9}\nDepends: \u{e9}\n"),
    ];
    let index = read(&text.concat()).unwrap();
    let again = decoded(&encoded(&index)).unwrap();
    assert_eq!(format!("{again:?}"), format!("{index:?}"));
    assert_eq!(labels(again.providers("awk")), ["gawk 1.9", "mawk 1"]);
    assert!(decoded(&encoded(&read("").unwrap())).unwrap().is_empty());
    // where the records stay in the file, everything is found as well
    let open = opened(&encoded(&index)).unwrap();
    assert_eq!(labels(open.providers("awk")), ["gawk 1.9", "mawk 1"]);
    let all = |index: &PackageIndex| index.packages().map(|package| format!("{package:?}")).collect::<Vec<_>>();
    assert_eq!(all(&open), all(&index));
    assert_eq!(encoded(&open), encoded(&index));
    assert!(PackageIndex::open(tempfile::tempfile().unwrap(), &Digest::of(b"source")).is_none());
    // these bytes are those of format 003: when they change, the format does
    let digest = Digest::of(&encoded(&index)).hex();
    assert_eq!(digest, "1357219f9f67b87c8efbe2ac62dd3e3d32f3015fa8ac8c96ba1f35a2cf15dee0");
}

#[test]
fn notices_every_damaged_byte_of_its_decoded_form() {
    let bytes = encoded(&read(&stanza("a", "1", "Provides: b\n")).unwrap());
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(decoded(&damaged).is_none(), "byte {place}");
        assert!(decoded(&bytes[..place]).is_none() && decoded(&bytes[place + 1..]).is_none(), "cut at {place}");
    }
    assert!(decoded(&[&bytes[..], b"\n"].concat()).is_none());
    assert!(PackageIndex::decode(bytes, &Digest::of(b"other source")).is_none());
}

#[test]
fn refuses_places_outside_and_between_characters() {
    let row = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    // seven bytes of records, then three of names
    let texts = "Aa\nB\u{e9}\na\u{e9}".as_bytes();
    let table: [(&[u32], &[u32], bool); 10] = [
        (&[0, 7, 0, 1], &[1, 2, 0], true),
        (&[0, 8, 0, 1], &[1, 2, 0], false),
        (&[7, 0, 0, 1], &[1, 2, 0], false),
        (&[0, 7, 0, 2], &[1, 2, 0], false),
        (&[0, 7, 0, 4], &[1, 2, 0], false),
        (&[0, 7, 1, u32::MAX], &[1, 2, 0], false),
        (&[0, 7, u32::MAX, 2], &[1, 2, 0], false),
        (&[0, 7, 0, 1], &[2, 1, 0], false),
        (&[0, 7, 0, 1], &[1, 7, 0], false),
        (&[0, 7, 0, 1], &[1, 2, 1], false),
    ];
    for (stanza, provided, sound) in table {
        let body = sealed(&[texts, &row(stanza), &row(provided)].concat(), 3, 1, 1);
        for index in [decoded(&body), opened(&body)] {
            assert_eq!(index.is_some(), sound, "{stanza:?} {provided:?}");
            index.iter().for_each(ask_all);
        }
    }
    // a record that begins or ends within a character is noticed when it is read, at the latest
    let body = sealed(&[texts, &row(&[0, 5, 0, 1])].concat(), 3, 1, 0);
    assert!(decoded(&body).is_none());
    let error = opened(&body).unwrap().packages().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    assert!(decoded(&sealed(b"\xff", 0, 0, 0)).is_none() && decoded(&sealed(b"\xff", 1, 0, 0)).is_none());
    assert!(decoded(&sealed(b"", 0, 9, 9)).is_none() && opened(&sealed(b"", 9, 0, 0)).is_none());
    assert!(decoded(&sealed(b"", 0, u32::MAX as usize, 0)).is_none());
}

proptest! {
    #[test]
    fn takes_any_decoded_form(
        texts in "[A-E][a-c, (=1)\n\u{e9}]{0,20}",
        names in 0_usize..10,
        stanzas in prop::collection::vec([0_u32..24, 0..24, 0..24, 0..24], 0..4),
        provides in prop::collection::vec([0_u32..24, 0..24, 0..4], 0..4),
    ) {
        let mut body = texts.into_bytes();
        let names = names.min(body.len());
        body.extend(stanzas.iter().flatten().chain(provides.iter().flatten()).flat_map(|number| number.to_le_bytes()));
        let form = sealed(&body, names, stanzas.len(), provides.len());
        decoded(&form).iter().chain(opened(&form).iter()).for_each(ask_all);
        decoded(&body).iter().chain(opened(&body).iter()).for_each(ask_all);
    }

    #[test]
    fn does_not_depend_on_how_bytes_arrive(size in 1_usize..200, names in prop::collection::vec("[a-c]{1,3}", 0..6)) {
        let text: String = names.iter().map(|name| stanza(name, "1", "Provides: x,\n y\n")).collect();
        let whole = read(&text).unwrap();
        let drops = PackageIndex::read(Drops(text.as_bytes(), size), &PackageIndexLimits::ARCHIVE).unwrap();
        prop_assert_eq!(labels(whole.packages()), labels(drops.packages()));
        prop_assert_eq!(labels(whole.providers("y")), labels(drops.providers("y")));
    }

    #[test]
    fn takes_any_text(text in "((Package|Version|Provides|Size|Tag)?:? ?[a,(=1) \t]{0,5}\n){0,12}") {
        if let Ok(index) = read(&text) {
            prop_assert_eq!(index.packages().count(), index.len());
            for name in index.names() {
                prop_assert!(index.by_name(name).count() > 0);
            }
            let _ = index.providers("a").count();
        }
    }

    #[test]
    fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = PackageIndex::read(&bytes[..], &PackageIndexLimits::ARCHIVE).map(|index| index.packages().count());
    }
}
