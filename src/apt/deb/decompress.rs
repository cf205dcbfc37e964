//! Decompression of the members of a .deb, with bounded memory and output (deb(5), dpkg-deb(1) `-Z`).

use crate::apt::deb::Error;
use crate::apt::deb::ar::ArArchive;
use crate::apt::members::CompressedMembers;
use crate::apt::members::GzipMembers;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;
use liblzma::stream::Stream;
use std::io;
use std::io::BufRead;
use std::io::Read;

/// Memory for one xz decoder; preset 9 needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// Memory for all threads of an xz decoder together; liblzma starts no more threads than fit. There is room for
/// four blocks of 24 MiB, as dpkg-deb writes them. A bomb of large blocks gets no more than this, even on
/// machines with many cores.
const XZ_THREADS_MEMORY: u64 = 192 << 20;

/// Binary logarithm of the largest zstd window: 128 MiB, as `--ultra -22` uses.
const ZSTD_WINDOW: u32 = 27;

/// The decompressed bytes of one member, up to a limit.
pub(super) struct DecompressedMember<R: BufRead> {
    decoder: DebMemberDecoder<ArArchive<R>>,
    limit: u64,
    left: u64,
    done: bool,
}

enum DebMemberDecoder<R: BufRead> {
    Plain(R),
    Gzip(GzipMembers<R>),
    Xz(CompressedMembers<R, XzDecoder<R>>),
    Zstd(zstd::Decoder<'static, R>),
}

impl<R: BufRead> DecompressedMember<R> {
    /// Prepares to read the current member, whose name ends with `extension`.
    pub(super) fn new(archive: ArArchive<R>, extension: &str, threads: u32, limit: u64) -> Result<Self, Error> {
        let decoder = match extension {
            "" => DebMemberDecoder::Plain(archive),
            ".gz" => DebMemberDecoder::Gzip(GzipMembers::of(archive)),
            ".xz" => DebMemberDecoder::Xz(members(archive, threads, |archive, threads| {
                Ok(XzDecoder::new_stream(archive, xz(threads)?))
            })?),
            ".lzma" => {
                let new: fn(_, _) -> _ =
                    |archive, _| Ok(XzDecoder::new_stream(archive, Stream::new_lzma_decoder(XZ_MEMORY)?));
                DebMemberDecoder::Xz(members(archive, 1, new)?)
            }
            ".zst" => {
                // without a limit the header of a frame decides how much memory is allocated
                let mut decoder = zstd::Decoder::with_buffer(archive).map_err(Error::from_io)?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(Error::from_io)?;
                DebMemberDecoder::Zstd(decoder)
            }
            other => return Err(Error::Compression(other.to_owned())),
        };
        Ok(Self { decoder, limit, left: limit, done: false })
    }

    /// Returns the archive. Once [`Read`] has reached its end, nothing beyond the member has been read.
    pub(super) fn into_archive(self) -> ArArchive<R> {
        match self.decoder {
            DebMemberDecoder::Plain(archive) => archive,
            DebMemberDecoder::Gzip(decoder) => decoder.into_inner(),
            DebMemberDecoder::Xz(decoder) => decoder.into_inner(),
            DebMemberDecoder::Zstd(decoder) => decoder.finish(),
        }
    }

    /// Returns the number of compressed bytes left in the member.
    fn compressed_left(&self) -> u64 {
        match &self.decoder {
            DebMemberDecoder::Plain(archive) => archive.left(),
            DebMemberDecoder::Gzip(decoder) => decoder.get_ref().left(),
            DebMemberDecoder::Xz(decoder) => decoder.get_ref().left(),
            DebMemberDecoder::Zstd(decoder) => decoder.get_ref().left(),
        }
    }
}

/// Makes an xz decoder. With more than one thread it decodes the blocks of a stream in parallel.
fn xz(threads: u32) -> io::Result<Stream> {
    let stream = if threads > 1 {
        let memory = XZ_THREADS_MEMORY.min(u64::from(threads) * XZ_MEMORY);
        MtStreamBuilder::new().threads(threads).memlimit_threading(memory).memlimit_stop(memory).decoder()
    } else {
        Stream::new_stream_decoder(XZ_MEMORY, 0)
    };
    stream.map_err(io::Error::from)
}

/// Prepares to read all members of an xz file.
fn members<R: BufRead>(
    archive: R,
    threads: u32,
    new: fn(R, u32) -> io::Result<XzDecoder<R>>,
) -> Result<CompressedMembers<R, XzDecoder<R>>, Error> {
    CompressedMembers::new(archive, threads, new).map_err(Error::from_io)
}

impl<R: BufRead> DebMemberDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

impl<R: BufRead> Read for DecompressedMember<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done || buffer.is_empty() {
            return Ok(0);
        }

        // one byte more than allowed tells a member that just fits from one that does not
        let allowed = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.decoder.read(&mut buffer[..allowed])?;
        if length as u64 > self.left {
            return Err(Error::TooLarge { limit: self.limit }.into_io());
        }
        self.left -= length as u64;

        // a decoder stops at the end of its stream: bytes after it would be signed, but never looked at
        if length == 0 {
            self.done = true;
            if self.compressed_left() > 0 {
                return Err(Error::Garbage.into_io());
            }
        }
        Ok(length)
    }
}
