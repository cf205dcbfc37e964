//! The .deb container: an ar archive with control and data members (deb(5)).
//!
//! A package is read once, forwards, and never as a whole in memory.

mod ar;
mod control;
mod decompress;
#[cfg(test)]
mod tests;

pub use control::ControlFiles;

use crate::apt::control::Error as ControlError;
use ar::ArArchive;
use decompress::DecompressedMember;
use std::io;
use std::io::BufReader;
use std::io::Read;

/// Largest decompressed control member, in bytes; the largest real ones have a few MiB of md5sums.
const CONTROL_LIMIT: u64 = 16 << 20;

/// Largest `debian-binary` member, in bytes.
const VERSION_LIMIT: u64 = 64;

/// A .deb cannot be read, or is not the package in the index.
///
/// Errors that occur while [`DataMember`] is read travel inside [`io::Error`]; [`Error::from_io`] takes them out again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading fails, or a decompressor refuses the bytes.
    #[error("cannot read package file: {0}")]
    Read(io::Error),
    /// The bytes do not begin like an ar archive.
    #[error("cannot read package file: it is not an ar archive")]
    NoArchive,
    /// The file ends in the middle of a member.
    #[error("cannot read package file: it is truncated")]
    Truncated,
    /// An ar header breaks the format.
    #[error("cannot read package file: a member header is broken: {0}")]
    Header(&'static str),
    /// The format requires another member at this place.
    #[error("cannot read package file: found member `{found}` instead of `{expected}`")]
    Order {
        /// The member's name, empty at the end of the file.
        found: String,
        /// The required member.
        expected: &'static str,
    },
    /// A format version other than 2.x.
    #[error("cannot read package file: format version `{}` is not 2.x", .0.escape_debug())]
    Version(String),
    /// A compression that dpkg no longer writes, or never did.
    #[error("cannot read package file: compression `{0}` is not supported (none, .gz, .xz, .zst, .lzma)")]
    Compression(String),
    /// A member is larger than allowed when decompressed.
    #[error("cannot read package file: a member has more than {limit} bytes")]
    TooLarge {
        /// Most bytes allowed.
        limit: u64,
    },
    /// Bytes after the end of a member's compressed stream.
    #[error("cannot read package file: a member has bytes after the end of its compressed data")]
    Garbage,
    /// The control member is not a valid tar archive.
    #[error("cannot read package file: the control archive is broken: {0}")]
    ControlTar(String),
    /// The control member contains something other than plain files, or a file twice.
    #[error("cannot read package file: `{}` does not belong in the control archive", .0.escape_debug())]
    ControlEntry(String),
    /// The control member has no `control` file.
    #[error("cannot read package file: it has no control file")]
    NoControl,
    /// The `control` file breaks the syntax.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The package is not the one in the index.
    #[error("cannot use package `{package}`: its {field} is `{}`, the index says `{expected}`", found.escape_debug())]
    Mismatch {
        /// Name in the index.
        package: String,
        /// The control field that differs.
        field: &'static str,
        /// Its value in the index.
        expected: String,
        /// Its value in the .deb.
        found: String,
    },
}

impl Error {
    /// Takes this module's error out of an [`io::Error`] of [`DataMember`]; other errors become [`Error::Read`].
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            // decompressors report a stream that ends too early in this way
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Read(error),
        }
    }

    /// Wraps the error, so that it can travel through a reader.
    fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Truncated => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

/// A .deb whose control member has been read.
#[derive(Debug)]
pub struct DebPackage<R> {
    archive: ArArchive<BufReader<R>>,
    control: ControlFiles,
    /// Extension of the data member's name: `.xz`, …
    compression: String,
}

impl<R: Read> DebPackage<R> {
    /// Reads a .deb up to the beginning of its data member.
    ///
    /// # Errors
    /// [`Error`] when the container breaks the format or the control member is larger than 16 MiB.
    pub fn open(reader: R) -> Result<Self, Error> {
        let mut archive = ArArchive::open(BufReader::with_capacity(128 << 10, reader))?;
        check_version(&mut archive)?;

        let extension = member(&mut archive, "control.tar")?;
        let mut tar = Vec::new();
        let mut decompressed = DecompressedMember::new(archive, &extension, 1, CONTROL_LIMIT)?;
        decompressed.read_to_end(&mut tar).map_err(Error::from_io)?;
        let control = ControlFiles::read(&tar)?;

        archive = decompressed.into_archive();
        let compression = member(&mut archive, "data.tar")?;
        Ok(Self { archive, control, compression })
    }

    /// Returns the files of the control member.
    #[must_use]
    pub fn control(&self) -> &ControlFiles {
        &self.control
    }

    /// Returns the decompressed data.tar. More than `limit` bytes are an error; `threads` decode xz blocks in parallel.
    ///
    /// # Errors
    /// [`Error::Compression`], or when a decompressor cannot be set up.
    pub fn data(self, threads: u32, limit: u64) -> Result<DataMember<R>, Error> {
        Ok(DataMember { stream: DecompressedMember::new(self.archive, &self.compression, threads, limit)? })
    }
}

/// The decompressed data.tar of a .deb. Its errors carry an [`Error`] inside, see [`Error::from_io`].
pub struct DataMember<R: Read> {
    stream: DecompressedMember<BufReader<R>>,
}

impl<R: Read> Read for DataMember<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<R: Read> DataMember<R> {
    /// Reads the rest, checks that nothing follows the data member, and returns the reader, which is then at its end.
    ///
    /// A tar reader stops before the end of its input, so only after this call every byte has been read and checked.
    ///
    /// # Errors
    /// [`Error`] when the rest is truncated, too large, or followed by another member.
    pub fn finish(mut self) -> Result<R, Error> {
        io::copy(&mut self.stream, &mut io::sink()).map_err(Error::from_io)?;

        let mut archive = self.stream.into_archive();
        while let Some(member) = archive.next()? {
            if !is_ignored(&member.name) {
                return Err(Error::Order { found: member.name, expected: "the end" });
            }
        }
        Ok(archive.into_inner().into_inner())
    }
}

/// Members that deb(5) reserves for extensions, such as signatures.
fn is_ignored(name: &str) -> bool {
    name.starts_with('_')
}

/// Reads `debian-binary`: a line `2.<minor>`; minor versions are compatible (deb(5)).
fn check_version(archive: &mut ArArchive<BufReader<impl Read>>) -> Result<(), Error> {
    let expected = "debian-binary";
    let member = archive.next()?.ok_or(Error::Order { found: String::new(), expected })?;
    if member.name != expected {
        return Err(Error::Order { found: member.name, expected });
    }

    // the size comes from a header: it is checked before the member is read into memory
    if member.size > VERSION_LIMIT {
        return Err(Error::TooLarge { limit: VERSION_LIMIT });
    }
    let mut text = String::new();
    archive.read_to_string(&mut text).map_err(Error::from_io)?;

    // dpkg ignores further lines as well (deb(5))
    let minor = text.lines().next().and_then(|line| line.strip_prefix("2."));
    match minor {
        Some(minor) if !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(Error::Version(text)),
    }
}

/// Goes to the next member that is not ignored, which must have this name. Returns the extension, which names the
/// compression.
fn member(archive: &mut ArArchive<BufReader<impl Read>>, expected: &'static str) -> Result<String, Error> {
    loop {
        let member = archive.next()?.ok_or(Error::Order { found: String::new(), expected })?;
        match member.name.strip_prefix(expected) {
            // `control.tarx` is another member
            Some(extension) if extension.is_empty() || extension.starts_with('.') => return Ok(extension.to_owned()),
            _ if is_ignored(&member.name) => {}
            _ => return Err(Error::Order { found: member.name, expected }),
        }
    }
}
