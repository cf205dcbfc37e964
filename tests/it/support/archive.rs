//! A signed archive in memory, right or wrong in one point.

use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::openpgp::Signing;
use pgp::crypto::hash::HashAlgorithm;
use sockel::apt::archive::Pocket;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;

/// The time of all tests: 2027-01-15T08:00:00Z.
pub(crate) const NOW: Epoch = Epoch(1_800_000_000);

/// The Packages file of every architecture.
pub(crate) const PACKAGES: &str = "\
Package: hello
Version: 2.10-3
Architecture: amd64
Filename: pool/main/h/hello/hello_2.10-3_amd64.deb
Size: 3
SHA256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
";

/// What the archive says and serves.
#[derive(Clone)]
pub(crate) struct Archive {
    pub(crate) suite: &'static str,
    pub(crate) suite_field: &'static str,
    pub(crate) codename: &'static str,
    pub(crate) origin: &'static str,
    pub(crate) label: &'static str,
    pub(crate) date: Epoch,
    pub(crate) valid_until: Option<Epoch>,
    pub(crate) by_hash: bool,
    pub(crate) packages: String,
    pub(crate) key: openpgp::Recipe,
    pub(crate) signing: Signing,
}

impl Archive {
    /// Returns an archive without fault, an hour old.
    pub(crate) fn good() -> Self {
        let date = Epoch(NOW.0 - 3600);
        let at = u32::try_from(date.0).unwrap();
        Self {
            suite: "noble-security",
            suite_field: "noble-security",
            codename: "noble",
            origin: "Ubuntu",
            label: "Ubuntu",
            date,
            valid_until: None,
            by_hash: true,
            packages: PACKAGES.to_owned(),
            key: openpgp::GOOD,
            signing: Signing { hash: HashAlgorithm::Sha512, at, life: None, with_subkey: false },
        }
    }

    /// Returns the pocket as a recipe describes it, for one server.
    pub(crate) fn pocket(uris: &[&str]) -> Pocket {
        let key = Key::new(openpgp::GOOD);
        Pocket {
            archive: "ubuntu".into(),
            name: "security".into(),
            suite: "noble-security".into(),
            expected_suite: None,
            codename: Some("noble".into()),
            origin: Some("Ubuntu".into()),
            label: Some("Ubuntu".into()),
            components: vec!["main".into()],
            architectures: vec!["amd64".into(), "arm64".into()],
            uris: BTreeMap::from([("*".into(), uris.iter().map(|uri| format!("{uri}/ubuntu")).collect())]),
            official: uris.last().map_or(String::new(), |uri| format!("{uri}/ubuntu")),
            guessed: BTreeSet::new(),
            keys: vec![key.armored()],
            fingerprints: vec![key.fingerprint()],
            frozen: false,
            locked: None,
            accept_older: false,
            warn_after: Some(3 * 86_400),
            max_age: Some(7 * 86_400),
        }
    }

    fn compressed(&self) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(self.packages.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns the signed text.
    pub(crate) fn release(&self) -> String {
        let mut text = format!(
            "Origin: {}\nLabel: {}\nSuite: {}\nCodename: {}\nDate: {}\n",
            self.origin,
            self.label,
            self.suite_field,
            self.codename,
            date(self.date)
        );
        if let Some(valid_until) = self.valid_until {
            text.push_str(&format!("Valid-Until: {}\n", date(valid_until)));
        }
        if self.by_hash {
            text.push_str("Acquire-By-Hash: yes\n");
        }
        text.push_str("Components: main\nArchitectures: amd64 arm64\nSHA256:\n");
        for architecture in ["amd64", "arm64"] {
            for (suffix, bytes) in [("", self.packages.clone().into_bytes()), (".gz", self.compressed())] {
                let (hash, size) = (Digest::of(&bytes).hex(), bytes.len());
                text.push_str(&format!(" {hash} {size} main/binary-{architecture}/Packages{suffix}\n"));
            }
        }
        text
    }

    /// Returns the clear-signed Release file.
    pub(crate) fn inrelease(&self) -> Vec<u8> {
        Key::new(self.key).sign(&self.release(), self.signing)
    }

    /// Returns all files by path on the server.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let base = format!("/ubuntu/dists/{}", self.suite);
        let mut files = BTreeMap::from([(format!("{base}/InRelease"), self.inrelease())]);
        for architecture in ["amd64", "arm64"] {
            files.insert(self.index(architecture), self.compressed());
        }
        files
    }

    /// Returns the path of an index.
    pub(crate) fn index(&self, architecture: &str) -> String {
        let folder = format!("/ubuntu/dists/{}/main/binary-{architecture}", self.suite);
        match self.by_hash {
            true => format!("{folder}/by-hash/SHA256/{}", Digest::of(&self.compressed()).hex()),
            false => format!("{folder}/Packages.gz"),
        }
    }
}

/// Writes a date as Release files do.
fn date(epoch: Epoch) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = epoch.to_string();
    let month: usize = text[5..7].parse().unwrap();
    format!("Sat, {} {} {} {} UTC", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..19])
}
