//! Files that recipes name: read once, with their digests, and every failure reported where the file is named.

use crate::recipe::parse::Node;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::sys::beneath::Beneath;
use crate::tree::has_whiteout;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest file that a recipe may bring along.
const LARGEST: u64 = 64 << 20;

/// Most certificates in one folder.
const MOST_CERTIFICATES: usize = 1_000;

/// Reads files below the project folder.
pub(crate) struct Files {
    root: Beneath,
    read: BTreeMap<String, Option<Vec<u8>>>,
}

impl Files {
    /// Starts with nothing read.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: Beneath::new(root), read: BTreeMap::new() }
    }

    /// Reads the file that `node` names, relative to the folder of `source`, and notes its digest in `inputs`.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        node: &Node,
        inputs: &mut BTreeMap<String, Digest>,
        problems: &mut Problems,
    ) -> Option<Vec<u8>> {
        self.load((source, node), &beside(source, node.text()), inputs, problems)
    }

    fn load(
        &mut self,
        (source, node): (&Source, &Node),
        path: &str,
        inputs: &mut BTreeMap<String, Digest>,
        problems: &mut Problems,
    ) -> Option<Vec<u8>> {
        if !self.read.contains_key(path) {
            let bytes = match self.root.read(path, LARGEST) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    let message = format!("cannot read `{path}`: {}", error.cause);
                    problems.error(source, node.place, &message);
                    None
                }
            };
            self.read.insert(path.to_owned(), bytes);
        }
        let bytes = self.read.get(path)?.clone()?;
        inputs.insert(path.to_owned(), Digest::of(&bytes));
        Some(bytes)
    }

    /// Reads the `*.pem` and `*.crt` files of the folder that `node` names; a missing folder has none.
    pub(crate) fn certificates(
        &mut self,
        source: &Source,
        node: &Node,
        inputs: &mut BTreeMap<String, Digest>,
        problems: &mut Problems,
    ) -> BTreeMap<String, String> {
        let folder = beside(source, node.text());
        let names = match self.root.list(&folder) {
            Ok(names) => names,
            Err(error) => {
                problems.error(source, node.place, &format!("cannot list `{folder}`: {}", error.cause));
                return BTreeMap::new();
            }
        };
        let wanted = |name: &String| name.ends_with(".pem") || name.ends_with(".crt");
        let mut certificates = BTreeMap::new();
        for name in names.into_iter().filter(wanted).take(MOST_CERTIFICATES) {
            let path = format!("{folder}/{name}");
            if has_whiteout(&name) {
                problems.error(source, node.place, &format!("cannot use `{path}`: its name is a whiteout"));
                continue;
            }
            let Some(bytes) = self.load((source, node), &path, inputs, problems) else { continue };
            match check_pem(&bytes) {
                Ok(text) => {
                    certificates.insert(name, text.to_owned());
                }
                Err(why) => problems.error(source, node.place, &format!("cannot use `{path}`: {why}")),
            }
        }
        certificates
    }
}

fn beside(source: &Source, path: &str) -> String {
    match source.path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{path}"),
        None => path.to_owned(),
    }
}

/// Looks whether bytes are certificates in PEM form (RFC 7468) without looking into them.
fn check_pem(bytes: &[u8]) -> Result<&str, &'static str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not PEM text")?;
    if text.contains("PRIVATE KEY-----") {
        return Err("it holds a private key");
    }
    let mut pieces = text.split(BEGIN);
    let mut found = pieces.next().is_none();
    for piece in pieces {
        let (body, _) = piece.split_once(END).ok_or("an END line is missing")?;
        let body: String = body.split_ascii_whitespace().collect();
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        // A DER SEQUENCE begins with 0x30, which Base64 writes as `M`.
        if !body.starts_with('M') || !body.len().is_multiple_of(4) || !body.bytes().all(letters) {
            return Err("its Base64 text is damaged");
        }
        found = true;
    }
    if found { Ok(text) } else { Err("there is no certificate in it") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_pem() {
        let good = "-----BEGIN CERTIFICATE-----\nMIIB\nAAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(check_pem(good.as_bytes()), Ok(good));
        for (text, expected) in [
            ("", "there is no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n", "an END line is missing"),
            ("-----BEGIN CERTIFICATE-----\nx!\n-----END CERTIFICATE-----", "its Base64 text is damaged"),
            ("-----BEGIN PRIVATE KEY-----\n", "it holds a private key"),
        ] {
            assert_eq!(check_pem(text.as_bytes()), Err(expected));
        }
        assert!(check_pem(&[0xff]).is_err());
    }
}
