//! The .deb container: an ar archive with control and data members (deb(5)).
//!
//! A package is read once, forwards, and never held in memory as a whole.

mod ar;
mod control;
mod decompress;
#[cfg(test)]
mod tests;

pub use control::ControlMembers;

use crate::apt::control::Error as ControlError;
use ar::Archive;
use decompress::Decompressed;
use std::io;
use std::io::BufReader;
use std::io::Read;

/// Largest decompressed control member, in bytes; the largest real ones have some MiB of md5sums.
const CONTROL_LIMIT: u64 = 16 << 20;

/// Largest `debian-binary` member, in bytes.
const VERSION_LIMIT: u64 = 64;

/// A .deb cannot be read, or is not what the index announced.
///
/// Errors that occur while [`Data`] is read travel inside [`io::Error`]; [`Error::from_io`] takes them out again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not come, or a decompressor refuses them.
    #[error("cannot read package file: {0}")]
    Read(io::Error),
    /// The bytes do not start as an ar archive.
    #[error("cannot read package file: it is no ar archive")]
    NoArchive,
    /// The file ends in the middle of a member.
    #[error("cannot read package file: it is truncated")]
    Truncated,
    /// An ar header breaks the format.
    #[error("cannot read package file: a member header is broken: {0}")]
    Header(&'static str),
    /// Another member than the format demands at this place.
    #[error("cannot read package file: member `{found}` stands where `{expected}` belongs")]
    Order {
        /// The member's name, empty at the end of the file.
        found: String,
        /// The member that should be here.
        expected: &'static str,
    },
    /// A format version other than 2.x.
    #[error("cannot read package file: format version `{}` is not 2.x", .0.escape_debug())]
    Version(String),
    /// A compression that dpkg no longer writes, or never did.
    #[error("cannot read package file: compression `{0}` is not supported (none, .gz, .xz, .zst)")]
    Compression(String),
    /// A member is larger than allowed when decompressed.
    #[error("cannot read package file: a member has more than {limit} bytes")]
    TooLarge {
        /// How much is allowed.
        limit: u64,
    },
    /// Bytes after the end of a member's compressed stream.
    #[error("cannot read package file: a compressed member goes on after its end")]
    Garbage,
    /// The control member is no sound tar archive.
    #[error("cannot read package file: the control archive is broken: {0}")]
    ControlTar(String),
    /// The control member has something other than plain files, or one twice.
    #[error("cannot read package file: `{}` does not belong into the control archive", .0.escape_debug())]
    ControlEntry(String),
    /// The control member has no `control` file.
    #[error("cannot read package file: it has no control file")]
    NoControl,
    /// The `control` file breaks the syntax.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The package is not the one that the index announced.
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
    /// Takes this module's error out of an [`io::Error`] that [`Data`] gave; other errors become [`Error::Read`].
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Read(error),
        }
    }

    fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Truncated => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

/// A .deb of which the control member has been read.
#[derive(Debug)]
pub struct Deb<R> {
    archive: Archive<BufReader<R>>,
    control: ControlMembers,
    /// Ending of the data member's name: `.xz`, …
    compression: String,
}

impl<R: Read> Deb<R> {
    /// Reads up to the beginning of the data member.
    ///
    /// # Errors
    /// [`Error`] when the container breaks the format or the control member is larger than 16 MiB.
    pub fn open(reader: R) -> Result<Self, Error> {
        let mut archive = Archive::open(BufReader::with_capacity(128 << 10, reader))?;
        check_version(&mut archive)?;
        let extension = member(&mut archive, "control.tar")?;
        let mut tar = Vec::new();
        let mut decompressed = Decompressed::new(archive, &extension, 1, CONTROL_LIMIT)?;
        decompressed.read_to_end(&mut tar).map_err(Error::from_io)?;
        let control = ControlMembers::read(&tar)?;
        archive = decompressed.into_archive();
        let compression = member(&mut archive, "data.tar")?;
        Ok(Self { archive, control, compression })
    }

    /// Returns the files of the control member.
    #[must_use]
    pub fn control(&self) -> &ControlMembers {
        &self.control
    }

    /// Returns the decompressed data.tar, of which at most `limit` bytes come before an error; `threads` decode xz blocks.
    ///
    /// # Errors
    /// [`Error::Compression`], or when a decompressor cannot be set up.
    pub fn data(self, threads: u32, limit: u64) -> Result<Data<R>, Error> {
        Ok(Data { stream: Decompressed::new(self.archive, &self.compression, threads, limit)? })
    }
}

/// The decompressed data.tar of a .deb. Its errors carry an [`Error`] inside, see [`Error::from_io`].
pub struct Data<R: Read> {
    stream: Decompressed<BufReader<R>>,
}

impl<R: Read> Read for Data<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<R: Read> Data<R> {
    /// Reads what is left, checks that the .deb ends as it must, and returns the reader, which is then at its end.
    ///
    /// A tar reader stops before the end of its input, so only after this every byte has been seen and checked.
    ///
    /// # Errors
    /// [`Error`] when the rest is truncated, too large, or followed by something.
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
fn check_version(archive: &mut Archive<BufReader<impl Read>>) -> Result<(), Error> {
    let expected = "debian-binary";
    let member = archive.next()?.ok_or(Error::Order { found: String::new(), expected })?;
    if member.name != expected {
        return Err(Error::Order { found: member.name, expected });
    }
    if member.size > VERSION_LIMIT {
        return Err(Error::TooLarge { limit: VERSION_LIMIT });
    }
    let mut text = String::new();
    archive.read_to_string(&mut text).map_err(Error::from_io)?;
    let minor = text.lines().next().and_then(|line| line.strip_prefix("2."));
    match minor {
        Some(minor) if !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(Error::Version(text)),
    }
}

/// Goes to the next member that counts, which must have this name; returns the ending for the compression.
fn member(archive: &mut Archive<BufReader<impl Read>>, expected: &'static str) -> Result<String, Error> {
    loop {
        let member = archive.next()?.ok_or(Error::Order { found: String::new(), expected })?;
        match member.name.strip_prefix(expected) {
            Some(extension) if extension.is_empty() || extension.starts_with('.') => return Ok(extension.to_owned()),
            _ if is_ignored(&member.name) => {}
            _ => return Err(Error::Order { found: member.name, expected }),
        }
    }
}
