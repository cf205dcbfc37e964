//! The ar archive around the members of a .deb (ar(5), deb(5)), read strictly forwards, one member at a time.

use crate::apt::deb::Error;
use std::io;
use std::io::BufRead;
use std::io::Read;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_LENGTH: usize = 60;

/// An ar archive. As a reader it returns the bytes of the current member.
#[derive(Debug)]
pub(super) struct ArArchive<R> {
    reader: R,
    /// Bytes left in the current member.
    left: u64,
    /// Whether a fill byte follows the current member.
    padded: bool,
}

/// Name and size of a member.
#[derive(Debug)]
pub(super) struct ArMember {
    pub(super) name: String,
    pub(super) size: u64,
}

impl<R: BufRead> ArArchive<R> {
    /// Reads the magic string.
    pub(super) fn open(mut reader: R) -> Result<Self, Error> {
        let mut magic = [0; MAGIC.len()];
        let length = read_fully(&mut reader, &mut magic)?;
        if length != MAGIC.len() || &magic != MAGIC {
            return Err(Error::NoArchive);
        }
        Ok(Self { reader, left: 0, padded: false })
    }

    /// Skips the rest of the current member and reads the next header; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<ArMember>, Error> {
        io::copy(self, &mut io::sink()).map_err(Error::from_io)?;

        // members begin at even positions
        if std::mem::take(&mut self.padded) {
            let mut fill = [0];
            // some tools leave out the fill byte after the last member
            if read_fully(&mut self.reader, &mut fill)? == 1 && fill != *b"\n" {
                return Err(Error::Header("a member is not followed by a line feed"));
            }
        }

        let mut header = [0; HEADER_LENGTH];
        match read_fully(&mut self.reader, &mut header)? {
            0 => return Ok(None),
            HEADER_LENGTH => {}
            _ => return Err(Error::Truncated),
        }

        let member = parse(&header)?;
        self.left = member.size;
        self.padded = member.size % 2 == 1;
        Ok(Some(member))
    }

    /// Returns the number of bytes left in the current member.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Returns the reader of the whole file.
    pub(super) fn into_inner(self) -> R {
        self.reader
    }
}

/// Reads a header: name (16 bytes), time, owner, group, mode, size (10 bytes from 48 on), each padded with
/// blanks, and two marks. Only name and size count.
fn parse(header: &[u8; HEADER_LENGTH]) -> Result<ArMember, Error> {
    if &header[58..] != b"`\n" {
        return Err(Error::Header("its marks are missing"));
    }

    let name = printable(&header[..16])?;
    let digits = printable(&header[48..58])?;

    // `parse` alone would take a plus sign
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let size = digits.parse().ok().filter(|_| is_number).ok_or(Error::Header("the size is not a number"))?;

    // GNU ar ends names with a slash
    Ok(ArMember { name: name.strip_suffix('/').unwrap_or(name).to_owned(), size })
}

/// Returns a header field without its padding. Names end up in messages, so they must be printable.
fn printable(field: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(field)
        .ok()
        .filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))
        .map(|text| text.trim_end_matches(' '))
        .ok_or(Error::Header("it is not printable"))
}

/// Fills the buffer, and returns how many bytes there were before the end of the file.
fn read_fully(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io(error)),
        }
    }
    Ok(filled)
}

impl<R: BufRead> Read for ArArchive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for ArArchive<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }

        let available = self.reader.fill_buf()?;
        if available.is_empty() {
            return Err(Error::Truncated.into_io());
        }

        // what follows in the buffer belongs to the next header
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(available.len());
        Ok(&available[..length])
    }

    fn consume(&mut self, amount: usize) {
        // callers consume no more than `fill_buf` returned, so neither side can underflow
        self.left = self.left.saturating_sub(amount as u64);
        self.reader.consume(amount);
    }
}
