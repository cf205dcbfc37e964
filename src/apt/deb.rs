//! The .deb container (deb(5)): an ar archive of `debian-binary`, `control.tar*` and `data.tar*`, read as one stream.

use crate::apt::Package;
use crate::apt::control;
use crate::apt::control::Paragraph;
use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Take;

/// Most bytes that the control archive may unpack to.
const CONTROL_LIMIT: u64 = 16 << 20;

/// Memory that the xz decoder may use: dpkg-deb writes dictionaries of up to 64 MiB, per thread.
const XZ_MEMORY: u64 = 512 << 20;

/// Largest zstd window, as exponent of two: dpkg-deb stays below 27.
const ZSTD_WINDOW: u32 = 27;

/// Why a .deb cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or decompressing failed, or the file ends too early.
    #[error("the {0} cannot be read: {1}")]
    Stream(&'static str, io::Error),
    /// It is not a .deb.
    #[error("it is not a Debian package: {0}")]
    Format(String),
    /// Its control data is malformed.
    #[error("its control data is malformed: {0}")]
    Control(String),
    /// Its control data is about something else than the index says.
    #[error("its control data says {field} `{found}`, the index says `{expected}`")]
    Mismatch {
        /// `Package`, `Version` or `Architecture`.
        field: &'static str,
        /// In the package.
        found: String,
        /// In the index.
        expected: String,
    },
}

/// Regular files of the control archive, by name.
pub type ControlMembers = BTreeMap<String, Vec<u8>>;

/// An opened .deb: the control archive is read, the data archive waits in the stream.
pub struct Deb<R> {
    control: ControlMembers,
    data: Compression,
    stream: Take<R>,
}

impl<R: Read> Deb<R> {
    /// Reads up to the data archive.
    ///
    /// # Errors
    /// When the container or the control archive is malformed.
    pub fn open(mut stream: R) -> Result<Self, Error> {
        let mut magic = [0; 8];
        stream.read_exact(&mut magic).map_err(|cause| Error::Stream("container", cause))?;
        if magic != *b"!<arch>\n" {
            return Err(Error::Format("it does not begin with `!<arch>`".to_owned()));
        }
        let (name, size) = member(&mut stream)?;
        let mut version = Vec::new();
        take(&mut stream, size.min(64), &mut version)?;
        if name != "debian-binary" || size > 64 || !version.starts_with(b"2.") {
            return Err(Error::Format("its first member is not `debian-binary` of format 2".to_owned()));
        }
        skip(&mut stream, size % 2)?;
        let (name, size) = member(&mut stream)?;
        let packing = compression(&name, "control.tar")?;
        let mut packed = stream.by_ref().take(size);
        let control = read_control(packing.reader(&mut packed, 1)?)?;
        io::copy(&mut packed, &mut io::sink()).map_err(|cause| Error::Stream("control archive", cause))?;
        skip(&mut stream, size % 2)?;
        let (name, size) = member(&mut stream)?;
        let data = compression(&name, "data.tar")?;
        Ok(Self { control, data, stream: stream.take(size) })
    }

    /// Returns the files of the control archive.
    #[must_use]
    pub fn control(&self) -> &ControlMembers {
        &self.control
    }

    /// Returns the decompressed data archive as a stream; xz uses up to `threads` threads.
    ///
    /// # Errors
    /// When a decoder cannot be set up.
    pub fn data(&mut self, threads: usize) -> Result<Box<dyn Read + '_>, Error> {
        self.data.reader(&mut self.stream, threads)
    }

    /// Returns the control paragraph.
    ///
    /// # Errors
    /// [`Error::Control`]
    pub fn paragraph(&self) -> Result<Paragraph, Error> {
        paragraph(&self.control)
    }

    /// Compares the package's own control data with what an index said about it.
    ///
    /// # Errors
    /// [`Error::Mismatch`] or [`Error::Control`].
    pub fn check(&self, expected: &Package) -> Result<(), Error> {
        let Package { name, version, architecture, .. } = expected;
        check(&self.control, name, version.as_str(), architecture)
    }
}

/// Returns the paragraph in the member `control`.
///
/// # Errors
/// [`Error::Control`]
pub fn paragraph(members: &ControlMembers) -> Result<Paragraph, Error> {
    let bytes = members.get("control").ok_or_else(|| Error::Control("the file `control` is missing".to_owned()))?;
    control::paragraph(&String::from_utf8_lossy(bytes)).map_err(|error| Error::Control(error.to_string()))
}

/// Compares control data with name, version and architecture.
///
/// # Errors
/// [`Error::Mismatch`] or [`Error::Control`].
pub fn check(members: &ControlMembers, name: &str, version: &str, architecture: &str) -> Result<(), Error> {
    let paragraph = paragraph(members)?;
    for (field, expected) in [("Package", name), ("Version", version), ("Architecture", architecture)] {
        let found = paragraph.get(field).unwrap_or_default();
        if found != expected {
            return Err(Error::Mismatch { field, found: found.to_owned(), expected: expected.to_owned() });
        }
    }
    Ok(())
}

/// Reads a member header (ar(5)): name and size.
fn member(stream: &mut impl Read) -> Result<(String, u64), Error> {
    let mut header = [0; 60];
    stream.read_exact(&mut header).map_err(|cause| Error::Stream("container", cause))?;
    let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end().to_owned();
    let bad = || Error::Format("a member header is malformed".to_owned());
    if header[58..] != *b"`\n" {
        return Err(bad());
    }
    let size = text(48..58).parse().map_err(|_| bad())?;
    Ok((text(0..16).trim_end_matches('/').to_owned(), size))
}

fn take(stream: &mut impl Read, size: u64, into: &mut Vec<u8>) -> Result<(), Error> {
    let read = stream.take(size).read_to_end(into).map_err(|cause| Error::Stream("container", cause))?;
    if read as u64 == size { Ok(()) } else { Err(Error::Format("it ends too early".to_owned())) }
}

fn skip(stream: &mut impl Read, size: u64) -> Result<(), Error> {
    take(stream, size, &mut Vec::new())
}

/// How a member is compressed, by its name's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

fn compression(name: &str, stem: &str) -> Result<Compression, Error> {
    match name.strip_prefix(stem) {
        Some("") => Ok(Compression::None),
        Some(".gz") => Ok(Compression::Gzip),
        Some(".xz") => Ok(Compression::Xz),
        Some(".zst") => Ok(Compression::Zstd),
        _ => Err(Error::Format(format!("member `{name}` is where `{stem}` with .gz, .xz, .zst or nothing should be"))),
    }
}

impl Compression {
    fn reader<'a, R: Read + 'a>(self, stream: R, threads: usize) -> Result<Box<dyn Read + 'a>, Error> {
        let setup = |cause: io::Error| Error::Stream("archive", cause);
        Ok(match self {
            Self::None => Box::new(stream),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stream)),
            Self::Xz => {
                let mut builder = liblzma::stream::MtStreamBuilder::new();
                builder.threads(u32::try_from(threads.clamp(1, 16)).unwrap_or(1));
                builder.memlimit_threading(XZ_MEMORY / 2);
                builder.memlimit_stop(XZ_MEMORY);
                let decoder = builder.decoder().map_err(|error| setup(error.into()))?;
                Box::new(liblzma::read::XzDecoder::new_stream(stream, decoder))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(stream).map_err(setup)?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(setup)?;
                Box::new(decoder)
            }
        })
    }
}

fn read_control(packed: impl Read) -> Result<ControlMembers, Error> {
    let wrong = |cause| Error::Stream("control archive", cause);
    let mut archive = tar::Archive::new(packed.take(CONTROL_LIMIT));
    let mut members = ControlMembers::new();
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if name.is_empty() || name.contains('/') || entry.size() > CONTROL_LIMIT {
            return Err(Error::Control(format!("`{path}` has no place there")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(wrong)?;
        if members.insert(name, bytes).is_some() {
            return Err(Error::Control(format!("`{path}` is there twice")));
        }
    }
    Ok(members)
}
