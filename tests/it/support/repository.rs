//! Archives as repository managers write them: any fields, any layout, any compression, signed in either way.

use crate::support::archive::NOW;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::openpgp::Signing;
use pgp::crypto::hash::HashAlgorithm;
use sockel::apt::archive::Pocket;
use sockel::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;

/// How the Release file is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    Inline,
    Detached,
    Not,
}

/// What a repository says and serves, one file a line of its table.
#[derive(Clone)]
pub(crate) struct Repository {
    /// Folder of the Release file on the server, without a slash at its end.
    pub(crate) folder: &'static str,
    /// Fields of the Release file before its table.
    pub(crate) fields: String,
    /// Listed files: path below the folder, and content.
    pub(crate) listed: Vec<(String, Vec<u8>)>,
    /// Paths below the folder that are listed and not served.
    pub(crate) missing: Vec<String>,
    pub(crate) signed: Signed,
}

/// Returns a stanza of an index.
pub(crate) fn stanza(name: &str, architecture: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: {architecture}\nFilename: pool/{name}_1_{architecture}.deb\nSize: 3\n\
         SHA256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\n\n"
    )
}

/// Compresses as the ending of a name says.
pub(crate) fn compressed(text: &str, ending: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    match ending {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "lzma" => {
            let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
            let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
            let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

impl Repository {
    /// Returns a repository with one package for amd64.
    pub(crate) fn usual() -> Self {
        Self {
            folder: "/shop/dists/stable",
            fields:
                "Origin: Shop\nLabel: Shop\nSuite: stable\nCodename: stable\nComponents: main\nArchitectures: amd64\n"
                    .to_owned(),
            listed: vec![("main/binary-amd64/Packages.gz".to_owned(), compressed(&stanza("tool", "amd64"), "gz"))],
            missing: Vec::new(),
            signed: Signed::Inline,
        }
    }

    /// Returns the pocket as a recipe describes it.
    pub(crate) fn pocket(server: &str) -> Pocket {
        let key = Key::new(openpgp::GOOD);
        let uri = format!("{server}/shop");
        Pocket {
            archive: "shop".into(),
            name: "release".into(),
            suite: "stable".into(),
            expected_suite: None,
            codename: Some("stable".into()),
            origin: Some("Shop".into()),
            label: Some("Shop".into()),
            components: vec!["main".into()],
            architectures: vec!["amd64".into()],
            uris: BTreeMap::from([("*".into(), vec![uri.clone()])]),
            official: uri,
            guessed: BTreeSet::new(),
            keys: vec![key.armored()],
            fingerprints: vec![key.fingerprint()],
            frozen: false,
            locked: None,
            accept_older: false,
            warn_after: None,
            max_age: None,
        }
    }

    /// Returns all files by path on the server.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let Self { folder, fields, listed, missing, signed } = self;
        let date = "Fri, 15 Jan 2027 07:00:00 UTC";
        let mut release = format!("{fields}Date: {date}\nSHA256:\n");
        let mut files = BTreeMap::new();
        for (path, bytes) in listed {
            release += &format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
            files.insert(format!("{folder}/{}", path.trim_start_matches("./")), bytes.clone());
        }
        for path in missing {
            files.remove(&format!("{folder}/{path}"));
        }

        let at = u32::try_from(NOW.0 - 3600).unwrap();
        let signing = Signing { hash: HashAlgorithm::Sha512, at, life: None, with_subkey: false };
        let key = Key::new(openpgp::GOOD);
        match signed {
            Signed::Inline => _ = files.insert(format!("{folder}/InRelease"), key.sign(&release, signing)),
            Signed::Detached => {
                let armor = key.sign_detached(release.as_bytes(), signing);
                files.insert(format!("{folder}/Release.gpg"), armor);
            }
            Signed::Not => {}
        }
        if *signed != Signed::Inline {
            files.insert(format!("{folder}/Release"), release.into_bytes());
        }
        files
    }
}
