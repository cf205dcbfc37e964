//! Tests of the .deb reader: what it gives, and what it refuses.

use super::*;
use crate::apt::index::PackageIndex;
use crate::apt::index::PackageIndexLimits;
use proptest::prelude::*;
use support::Compression;

#[path = "../../../tests/it/support/deb.rs"]
mod support;

const ALL: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd];
const LIMIT: u64 = 1 << 20;

/// Names and contents of ar members.
type Members<'a> = &'a [(&'a str, &'a [u8])];

fn sample() -> support::Deb {
    support::Deb::new("hello", "1:1.0-1")
        .depends("libc6")
        .script("postinst", "#!/bin/sh\n")
        .control_file("conffiles", b"/etc/x\n")
        .dir("/usr")
        .file("/usr/bin/x", b"payload", 0o755)
        .hardlink("/usr/bin/y", "/usr/bin/x")
        .link("/usr/bin/z", "x")
}

/// Reads a .deb to its end and returns its data.
fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut data = DebPackage::open(bytes)?.data(2, LIMIT)?;
    let mut tar = Vec::new();
    data.read_to_end(&mut tar).map_err(Error::from_io)?;
    data.finish()?;
    Ok(tar)
}

#[test]
fn reads_every_compression() {
    for compression in ALL {
        let bytes = sample().build(compression);
        let deb = DebPackage::open(&bytes[..]).unwrap();
        let names: Vec<_> = deb.control().iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["conffiles", "control", "postinst"]);
        assert_eq!(deb.control().get("postinst"), Some(&b"#!/bin/sh\n"[..]));
        assert_eq!(deb.control().get("preinst"), None);
        assert_eq!(deb.control().paragraph().unwrap().get("Version"), Some("1:1.0-1"));
        assert_eq!(unpack(&bytes).unwrap(), sample().data_tar(), "{compression:?}");
    }
}

#[test]
fn reaches_the_end_of_the_reader() {
    let bytes =
        [sample().build(Compression::Xz), support::archive(&[("_gpgorigin", b"signature")])[8..].to_vec()].concat();
    let rest = DebPackage::open(&bytes[..]).unwrap().data(1, LIMIT).unwrap().finish().unwrap();
    assert!(rest.is_empty());
}

#[test]
fn compares_with_the_index() {
    let bytes = sample().build(Compression::Zstd);
    let stanza = sample().stanza("pool/x.deb", bytes.len(), &"0".repeat(64));
    let deb = DebPackage::open(&bytes[..]).unwrap();
    let table = [
        ("", "", None),
        ("Package: hello", "Package: hallo", Some("`hallo`: its Package is `hello`, the index says `hallo`")),
        ("1:1.0-1", "1.0-1", Some("`hello`: its Version is `1:1.0-1`, the index says `1.0-1`")),
        ("amd64", "all", Some("`hello`: its Architecture is `amd64`, the index says `all`")),
    ];
    for (from, to, message) in table {
        let index = PackageIndex::read(stanza.replacen(from, to, 1).as_bytes(), &PackageIndexLimits::ARCHIVE).unwrap();
        let package = index.packages().next().unwrap().unwrap();
        let found = deb.control().matches(&package).err().map(|error| error.to_string());
        assert_eq!(found, message.map(|message| format!("cannot use package {message}")));
    }
}

#[test]
fn refuses_wrong_members() {
    let control = support::compress(&sample().control_tar(), Compression::Xz);
    let data = support::compress(&sample().data_tar(), Compression::Xz);
    let version = ("debian-binary", &b"2.0\n"[..]);
    let (control, data) = (("control.tar.xz", &control[..]), ("data.tar.xz", &data[..]));
    let sound: [Members; 3] = [
        &[version, control, data],
        &[("debian-binary/", b"2.1\nmore\n"), ("_x", b"odd"), control, ("_y", b""), data, ("_z", b"1")],
        &[version, ("control.tar.xz/", control.1), data],
    ];
    for members in sound {
        assert_eq!(unpack(&support::archive(members)).unwrap(), sample().data_tar());
    }
    let table: [(Members, &str); 12] = [
        (&[], "found member `` instead of `debian-binary`"),
        (&[control, data], "found member `control.tar.xz` instead of `debian-binary`"),
        (&[version], "found member `` instead of `control.tar`"),
        (&[version, control], "found member `` instead of `data.tar`"),
        (&[version, data, control], "found member `data.tar.xz` instead of `control.tar`"),
        (&[version, control, control, data], "found member `control.tar.xz` instead of `data.tar`"),
        (&[version, control, data, data], "found member `data.tar.xz` instead of `the end`"),
        (&[version, control, data, ("x", b"")], "found member `x` instead of `the end`"),
        (&[("debian-binary", b"3.0\n"), control, data], "format version `3.0\\n` is not 2.x"),
        (&[("debian-binary", &[b' '; 99]), control, data], "a member has more than 64 bytes"),
        (
            &[version, ("control.tar.bz2", b""), data],
            "compression `.bz2` is not supported (none, .gz, .xz, .zst, .lzma)",
        ),
        (&[version, control, ("data.tar.gz", data.1)], "invalid gzip header"),
    ];
    for (members, message) in table {
        let error = unpack(&support::archive(members)).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read package file: {message}"));
    }
}

#[test]
fn refuses_broken_headers() {
    let sound = sample().build(Compression::None);
    let table: [(usize, &[u8], &str); 6] = [
        (0, b"?", "it is not an ar archive"),
        (66, b"x", "a member header is broken: its marks are missing"),
        (8, b"\0", "a member header is broken: it is not printable"),
        (56, b"-1", "a member header is broken: the size is not a number"),
        (56, b"+4", "a member header is broken: the size is not a number"),
        (56, b"5 ", "a member header is broken: a member is not followed by a line feed"),
    ];
    for (at, with, message) in table {
        let mut bytes = sound.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        let error = unpack(&bytes).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read package file: {message}"), "{at}");
    }
}

#[test]
fn refuses_what_is_truncated_or_goes_on() {
    for compression in ALL {
        let bytes = sample().build(compression);
        for length in (0..bytes.len() - 1).step_by(if bytes.len() > 4_000 { 501 } else { 7 }) {
            assert!(unpack(&bytes[..length]).is_err(), "{compression:?} {length}");
        }
        assert!(unpack(&[&bytes[..], b"garbage"].concat()).is_err(), "{compression:?}");
        if compression == Compression::None {
            continue;
        }
        let (control, mut data) = (support::compress(&sample().control_tar(), compression), sample().data_tar());
        data = [support::compress(&data, compression), b"garbage!".to_vec()].concat();
        let extension = support::extension(compression);
        let names = [format!("control.tar{extension}"), format!("data.tar{extension}")];
        let bytes = support::archive(&[("debian-binary", b"2.0\n"), (&names[0], &control), (&names[1], &data)]);
        assert!(unpack(&bytes).is_err(), "{compression:?}");
    }
}

#[test]
fn stops_bombs() {
    let zeros = vec![0; 40 << 20];
    for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let bomb = support::compress(&zeros, compression);
        let control = support::compress(&sample().control_tar(), compression);
        let extension = support::extension(compression);
        let names = [format!("control.tar{extension}"), format!("data.tar{extension}")];
        let version = ("debian-binary", &b"2.0\n"[..]);
        let large_data = support::archive(&[version, (&names[0], &control), (&names[1], &bomb)]);
        let large_control = support::archive(&[version, (&names[0], &bomb), (&names[1], &control)]);
        for threads in [1, 4] {
            let data = DebPackage::open(&large_data[..]).unwrap().data(threads, LIMIT).unwrap();
            assert!(matches!(data.finish(), Err(Error::TooLarge { limit: LIMIT })), "{compression:?}");
            let data = DebPackage::open(&large_data[..]).unwrap().data(threads, 40 << 20).unwrap();
            assert!(data.finish().is_ok(), "{compression:?}");
        }
        assert!(matches!(DebPackage::open(&large_control[..]), Err(Error::TooLarge { limit: CONTROL_LIMIT })));
    }
}

#[test]
fn refuses_odd_control_archives() {
    let table = [
        (support::Deb::new("a", "1").device("/control"), "`./control`"),
        (support::Deb::new("a", "1").link("/postinst", "/etc/passwd"), "`./postinst`"),
        (support::Deb::new("a", "1").file("/../x", b"", 0o644), "`./../x`"),
        (support::Deb::new("a", "1").file("/sub/x", b"", 0o644), "`./sub/x`"),
        (support::Deb::new("a", "1").file("/x", b"", 0o644).file("x", b"", 0o644), "`x`"),
        (support::Deb::new("a", "1").dir("/sub"), "`./sub/`"),
    ];
    for (deb, name) in table {
        // the data archive of the sample serves as control archive here
        let bytes = support::archive(&[("debian-binary", b"2.0\n"), ("control.tar", &deb.data_tar())]);
        let message = DebPackage::open(&bytes[..]).unwrap_err().to_string();
        assert_eq!(message, format!("cannot read package file: {name} does not belong in the control archive"));
    }
    let empty = support::archive(&[("debian-binary", b"2.0\n"), ("control.tar", &[0; 1024]), ("data.tar", b"")]);
    let deb = DebPackage::open(&empty[..]).unwrap();
    assert!(matches!(deb.control().paragraph(), Err(Error::NoControl)));
}

#[test]
fn builds_the_same_bytes_again() {
    for compression in ALL {
        assert_eq!(sample().build(compression), sample().build(compression));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn takes_any_change(kind in 0..4_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = sample().build(ALL[kind]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = unpack(&bytes);
    }
}
