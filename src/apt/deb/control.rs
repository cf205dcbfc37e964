//! The control member of a .deb: description, conffiles, checksums and maintainer scripts (deb(5), deb-control(5)).

use crate::apt::Package;
use crate::apt::control::Paragraph;
use crate::apt::deb::Error;
use std::collections::BTreeMap;
use std::io::Read;

/// Most files in a control member; real ones have about ten.
const FILE_LIMIT: usize = 256;

/// The regular files of a control member by name: `control`, `md5sums`, `conffiles`, `postinst`, …
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlMembers(BTreeMap<String, Vec<u8>>);

impl FromIterator<(String, Vec<u8>)> for ControlMembers {
    fn from_iter<T: IntoIterator<Item = (String, Vec<u8>)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

impl ControlMembers {
    /// Returns a file's bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Returns all files in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Returns the `control` file.
    ///
    /// # Errors
    /// When it is missing or is not one paragraph.
    pub fn paragraph(&self) -> Result<Paragraph<'_>, Error> {
        let bytes = self.get("control").ok_or(Error::NoControl)?;
        Ok(Paragraph::parse_bytes(bytes)?)
    }

    /// Checks that the .deb is the package that an index announced: same `Package`, `Version` and `Architecture`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for the first field that differs.
    pub fn matches(&self, package: &Package) -> Result<(), Error> {
        let paragraph = self.paragraph()?;
        let expected = [
            ("Package", package.name.as_str()),
            ("Version", package.version.as_str()),
            ("Architecture", package.architecture.as_str()),
        ];
        for (field, expected) in expected {
            let found = paragraph.get(field).unwrap_or("");
            if found != expected {
                let (expected, found) = (expected.to_owned(), found.to_owned());
                return Err(Error::Mismatch { package: package.name.clone(), field, expected, found });
            }
        }
        Ok(())
    }

    /// Reads a decompressed control.tar: regular files in one folder and nothing else.
    pub(super) fn read(tar: &[u8]) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let broken = |cause: std::io::Error| Error::ControlTar(cause.to_string());
        for entry in tar::Archive::new(tar).entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = path.trim_start_matches("./").trim_end_matches('/').to_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() && matches!(name.as_str(), "" | ".") {
                continue;
            }
            let plain = !matches!(name.as_str(), "" | "." | "..") && name.bytes().all(is_name_byte);
            if !kind.is_file() || !plain || entry.size() > tar.len() as u64 {
                return Err(Error::ControlEntry(path));
            }
            if files.len() == FILE_LIMIT {
                return Err(Error::ControlTar(format!("more than {FILE_LIMIT} files")));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            if bytes.len() as u64 != entry.size() {
                return Err(Error::Truncated);
            }
            if files.insert(name, bytes).is_some() {
                return Err(Error::ControlEntry(path));
            }
        }
        Ok(Self(files))
    }
}

/// Bytes in the names of control files.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._".contains(&byte)
}
