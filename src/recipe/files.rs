//! Files that recipes name: each is read once and its digest noted; a failure is reported wherever the file is named.

use crate::recipe::parse::YamlNode;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::sys::beneath::ConfinedFolder;
use crate::tree::has_whiteout;
use crate::values::Digest;
use crate::values::pem;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest file that a recipe may provide: its bytes are in memory while images are built.
const LARGEST: u64 = 64 << 20;

/// Most certificates of one folder; distributions ship fewer than 200.
const MOST_CERTIFICATES: usize = 1_000;

/// Reads files below the project folder.
pub(crate) struct RecipeFiles {
    root: ConfinedFolder,
    /// Bytes of every file read so far, or why it cannot be read.
    contents: BTreeMap<String, Result<Vec<u8>, String>>,
    /// Whether files may be executed by their owner, as far as that was asked.
    executable: BTreeMap<String, bool>,
}

impl RecipeFiles {
    /// Starts with nothing read.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: ConfinedFolder::new(root), contents: BTreeMap::new(), executable: BTreeMap::new() }
    }

    /// Reads the file that `node` names, relative to the folder of `source`, and notes its digest in `inputs`.
    pub(crate) fn read(
        &mut self,
        source: &SourceFile,
        node: &YamlNode,
        inputs: &mut BTreeMap<String, Digest>,
        problems: &mut Diagnostics,
    ) -> Option<Vec<u8>> {
        match self.load(&beside(source, node.text()), inputs) {
            Ok(bytes) => Some(bytes),
            Err(message) => {
                problems.error(source, node.place, &message);
                None
            }
        }
    }

    /// Tells whether the file that `node` names may be executed by its owner.
    pub(crate) fn is_executable(&mut self, source: &SourceFile, node: &YamlNode) -> bool {
        let root = &self.root;
        let path = beside(source, node.text());
        *self.executable.entry(path).or_insert_with_key(|path| root.is_executable(path))
    }

    /// Reads a file, or takes it from memory; the error is the message for it.
    fn load(&mut self, path: &str, inputs: &mut BTreeMap<String, Digest>) -> Result<Vec<u8>, String> {
        // Every image and platform of a project reads the same files. Failures are kept too, so that all of them get
        // the same answer when a file changes meanwhile.
        if !self.contents.contains_key(path) {
            let read = self.root.read(path, LARGEST);
            let read = read.map_err(|error| format!("cannot read `{path}`: {}", error.cause));
            self.contents.insert(path.to_owned(), read);
        }

        let bytes = self.contents[path].clone()?;
        inputs.insert(path.to_owned(), Digest::of(&bytes));
        Ok(bytes)
    }

    /// Reads the `*.pem` and `*.crt` files of the folder that `node` names; a missing folder has none.
    pub(crate) fn certificates(
        &mut self,
        source: &SourceFile,
        node: &YamlNode,
        inputs: &mut BTreeMap<String, Digest>,
        problems: &mut Diagnostics,
    ) -> BTreeMap<String, String> {
        let folder = beside(source, node.text());
        let mut names = match self.root.list(&folder) {
            Ok(names) => names,
            Err(error) => {
                problems.error(source, node.place, &format!("cannot list `{folder}`: {}", error.cause));
                return BTreeMap::new();
            }
        };
        // Notes and hidden files are no certificates; whatever else is not taken was meant to be one.
        names.retain(|name| (!name.starts_with('.') || has_whiteout(name)) && !is_note(name));
        let (mut names, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_certificate(name));
        for name in others {
            let message = format!("`{folder}/{name}` is not used: certificates are files that end in `.pem` or `.crt`");
            problems.error_with_help(source, node.place, &message, "rename it, or move it to another folder");
        }
        names.truncate(MOST_CERTIFICATES);

        let mut certificates = BTreeMap::new();
        for name in names {
            match self.certificate(&format!("{folder}/{name}"), &name, inputs) {
                Ok(text) => {
                    certificates.insert(name, text);
                }
                // The folder is named in one place, so the problems of all its files are reported there.
                Err(message) => problems.error(source, node.place, &message),
            }
        }
        certificates
    }

    /// Reads one certificate file; the error is the message for it.
    fn certificate(&mut self, path: &str, name: &str, inputs: &mut BTreeMap<String, Digest>) -> Result<String, String> {
        // The name becomes a file in the image, where it would delete files of the layers below.
        if has_whiteout(name) {
            return Err(format!("cannot use `{path}`: its name is a whiteout"));
        }

        let bytes = self.load(path, inputs)?;
        check_pem(&bytes).map(str::to_owned).map_err(|cause| format!("cannot use `{path}`: {cause}"))
    }
}

/// Tells whether a file is called like a certificate; Windows writes endings in capital letters.
fn is_certificate(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".pem") || name.ends_with(".crt")
}

/// Tells whether a file is called like a text for people.
fn is_note(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".md") || name.ends_with(".txt") && !name.contains(".pem") && !name.contains(".crt")
}

/// Returns a path relative to the project folder from one relative to the folder of `source`.
fn beside(source: &SourceFile, path: &str) -> String {
    match source.path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{path}"),
        None => path.to_owned(),
    }
}

/// Checks that bytes are certificates in PEM form (RFC 7468), without decoding them.
fn check_pem(bytes: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not PEM text")?;
    // Text around certificates is allowed, so a key beside one would end up in the image, for everybody to read.
    if text.contains("PRIVATE KEY-----") {
        return Err("it holds a private key");
    }

    let mut count = 0;
    for body in pem::blocks(text, "CERTIFICATE") {
        let body = body.map_err(|_unclosed| "an END line is missing")?;
        let body: String = body.split_ascii_whitespace().collect();

        // A DER SEQUENCE begins with 0x30, which Base64 writes as `M`.
        if !body.starts_with('M') || !body.len().is_multiple_of(4) || !body.bytes().all(is_base64) {
            return Err("its Base64 text is damaged");
        }
        count += 1;
    }

    if count > 0 { Ok(text) } else { Err("it contains no certificate") }
}

/// Tells whether a byte may appear in Base64 text (RFC 4648 §4), padding included.
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_pem() {
        let good = "-----BEGIN CERTIFICATE-----\nMIIB\nAAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(check_pem(good.as_bytes()), Ok(good));
        for (text, expected) in [
            ("", "it contains no certificate"),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n", "an END line is missing"),
            ("-----BEGIN CERTIFICATE-----\nx!\n-----END CERTIFICATE-----", "its Base64 text is damaged"),
            ("-----BEGIN PRIVATE KEY-----\n", "it holds a private key"),
        ] {
            assert_eq!(check_pem(text.as_bytes()), Err(expected));
        }
        assert!(check_pem(&[0xff]).is_err());
    }

    #[test]
    fn reports_a_missing_file_wherever_it_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = RecipeFiles::new(folder.path());
        let mut problems = Diagnostics::default();
        for recipe in ["recipes/a.yaml", "recipes/b.yaml"] {
            let source = SourceFile::new(recipe.to_owned(), "missing".to_owned());
            let node = crate::recipe::parse::parse(&source, &mut problems).expect("one word");
            assert_eq!(files.read(&source, &node, &mut BTreeMap::new(), &mut problems), None);
        }
        let problems = problems.sorted();
        let places: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(places, ["recipes/a.yaml", "recipes/b.yaml"], "{problems:?}");
    }
}
