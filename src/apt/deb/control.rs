//! The control member of a .deb: description, conffiles, checksums and maintainer scripts (deb(5), deb-control(5)).

use crate::apt::BinaryPackage;
use crate::apt::control::Paragraph;
use crate::apt::deb::Error;
use crate::sys::archive;
use crate::sys::archive::ArchiveLimits;
use crate::sys::archive::VisitControl;
use std::collections::BTreeMap;
use std::io::Read;

/// Most files in a control member; real ones have about ten.
const FILE_LIMIT: u64 = 256;

/// Most bytes in the names of all files together.
const NAMES_LIMIT: u64 = 64 << 10;

/// The regular files of a control member by name: `control`, `md5sums`, `conffiles`, `postinst`, …
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlFiles(BTreeMap<String, Vec<u8>>);

impl FromIterator<(String, Vec<u8>)> for ControlFiles {
    fn from_iter<T: IntoIterator<Item = (String, Vec<u8>)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

impl ControlFiles {
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

    /// Checks that the .deb is the package in the index: same `Package`, `Version` and `Architecture`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for the first field that differs.
    pub fn matches(&self, package: &BinaryPackage) -> Result<(), Error> {
        let paragraph = self.paragraph()?;

        // the text decides, also for versions that dpkg's order calls equal
        let expected = [
            ("Package", package.name.as_str()),
            ("Version", package.version.as_str()),
            ("Architecture", package.architecture.as_str()),
        ];

        for (field, expected) in expected {
            // a missing field counts as different
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
        let mut limits = ArchiveLimits::new(FILE_LIMIT, NAMES_LIMIT, u64::MAX);
        let read = archive::each(tar, &mut limits, |member| {
            let Some((name, bytes)) = file(member, tar.len() as u64).map_err(Error::into_io)? else {
                return Ok(VisitControl::Go);
            };
            // free text of old packages may be in other encodings, and is no reason to refuse them
            let bytes = match name.as_str() {
                "control" => String::from_utf8_lossy(&bytes).into_owned().into_bytes(),
                _ => bytes,
            };
            // tools disagree about which of two files with one name counts
            match files.insert(name, bytes) {
                Some(_) => Err(Error::ControlEntry(path(member)).into_io()),
                None => Ok(VisitControl::Go),
            }
        });

        // errors of this module travel through the tar reader inside `io::Error`
        match read {
            Ok(()) => Ok(Self(files)),
            Err(cause) => match cause.get_ref() {
                Some(inner) if inner.is::<Error>() => Err(Error::from_io(cause)),
                _ => Err(Error::ControlTar(cause.to_string())),
            },
        }
    }
}

/// Reads one member: name and bytes of a file, `None` for the folder itself.
fn file<R: Read>(member: &mut tar::Entry<'_, R>, size_limit: u64) -> Result<Option<(String, Vec<u8>)>, Error> {
    let path = path(member);
    let name = path.trim_start_matches("./").trim_end_matches('/').to_owned();
    let kind = member.header().entry_type();
    if kind.is_dir() && matches!(name.as_str(), "" | ".") {
        return Ok(None);
    }

    // no subfolders and no odd names: the files are looked up by name and written into dpkg's database
    let is_plain = !matches!(name.as_str(), "" | "." | "..") && name.bytes().all(is_name_byte);
    // a member larger than the whole archive is a lie in its header
    if !kind.is_file() || !is_plain || member.size() > size_limit {
        return Err(Error::ControlEntry(path));
    }

    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes).map_err(|cause| Error::ControlTar(cause.to_string()))?;
    if bytes.len() as u64 == member.size() { Ok(Some((name, bytes))) } else { Err(Error::Truncated) }
}

/// Returns the path as written, for messages and names; bytes that are not UTF-8 are replaced and so refused as names.
fn path<R: Read>(member: &tar::Entry<'_, R>) -> String {
    String::from_utf8_lossy(&member.path_bytes()).into_owned()
}

/// Tells whether names of control files may contain a byte.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._".contains(&byte)
}
