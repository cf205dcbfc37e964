//! Contract of package indexes.

use super::*;
use proptest::prelude::*;

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn paragraph(name: &str, extra: &str) -> String {
    format!(
        "Package: {name}\nArchitecture: amd64\nVersion: 1:2-3\nDescription: long\n text: here\nFilename: pool/{name}.deb\n\
         Size: 10\nSHA256: {SHA256}\n{extra}\n"
    )
}

#[test]
fn finds_packages_by_name_and_by_what_they_provide() {
    let text = [
        paragraph("zlib", "Source: z (1.1)\nProvides: libz (= 3), compressor\n"),
        paragraph(
            "bash",
            "Essential: yes\nPriority: required\nPre-Depends: libc6\nDepends: base,\n zlib | other (>= 2)\n",
        ),
    ]
    .concat();
    let index = Index::read(text.as_bytes()).unwrap();
    assert_eq!(index.names().collect::<Vec<_>>(), ["bash", "zlib"]);
    let bash = index.by_name("bash").next().unwrap().unwrap();
    assert!(bash.essential);
    assert_eq!((bash.priority, bash.size, bash.depends.len()), (Priority::Required, 10, 3));
    assert_eq!(bash.depends[2][1].to_string(), "other (>= 2)");
    let zlib = index.providers("compressor").next().unwrap().unwrap();
    assert_eq!((zlib.name.as_str(), zlib.source.as_str()), ("zlib", "z"));
    assert_eq!(zlib.source_version, Version::new("1.1"));
    assert_eq!(index.by_name("ba").count() + index.by_name("bashx").count() + index.providers("x").count(), 0);
}

#[test]
fn refuses_what_could_not_be_fetched_safely() {
    let good = paragraph("a", "");
    let table = [
        (good.replace("pool/a.deb", "../a.deb"), "leaves the archive"),
        (good.replace("pool/a.deb", "/etc/passwd"), "leaves the archive"),
        (good.replace("pool/a.deb", "pool/a.deb?x#y"), "leaves the archive"),
        (good.replace("Size: 10", "Size: -1"), "not a number"),
        (good.replace("Size: 10\n", ""), "`Size` is missing"),
        (good.replace(SHA256, "abc"), "not a SHA-256 digest"),
        (good.replace("SHA256", "MD5sum"), "`SHA256` is missing"),
        (good.replace("Size: 10", "Size: 10\nDepends: a b c"), "cannot read package relation"),
        (good.replace("Size: 10", "Size: 10\nSHA512: 12"), "`SHA512` is malformed"),
        (good.replace("Package: a", "Package: a/../b"), "not a package name"),
    ];
    for (text, cause) in table {
        let index = Index::read(text.as_bytes()).unwrap();
        let error = index.packages().next().unwrap().unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
    assert!(Index::read(&b"Version: 1\n\n"[..]).is_err());
}

#[test]
fn paragraphs_may_straddle_reads() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(7);
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }
    let text: String = (0..50).map(|number| paragraph(&format!("p{number}"), "")).collect();
    assert_eq!(Index::read(Drip(text.as_bytes())).unwrap().len(), 50);
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "((Package|Provides|Depends|Size): [a-z0-9 ,|()=]{0,12}\n{1,2}){0,8}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(index) = Index::read(bytes) {
                let _all: Vec<_> = index.packages().collect();
            }
        }
    }
}
