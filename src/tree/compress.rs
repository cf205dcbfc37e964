//! Compression with fixed settings: the same input gives the same bytes, with any number of threads.
//!
//! A layer is a sequence of independently compressed members: gzip members (RFC 1952 §2.2) or zstd frames (RFC 8878
//! §3). `benches/README.md` has the measurements behind the choice of libraries and levels.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Compression format of layer blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// gzip members, made by libdeflate; every consumer reads them.
    #[default]
    Gzip,
    /// zstd frames: smaller and faster, but not read by some consumers (umoci, jib, Docker before 23).
    Zstd,
}

/// Compression level of libdeflate.
const GZIP_LEVEL: i32 = 6;
/// Compression level of zstd.
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    /// Returns how many uncompressed bytes go into one member: enough for a good ratio, few enough for memory and
    /// parallelism.
    #[must_use]
    pub fn member_size(self) -> usize {
        match self {
            Self::Gzip => 1 << 20,
            Self::Zstd => 4 << 20,
        }
    }

    /// Returns a text that changes whenever the compressed bytes could: library, settings, member size.
    #[must_use]
    pub fn fingerprint(self) -> &'static str {
        match self {
            Self::Gzip => "gzip libdeflate-1.26 level 6 member 1MiB",
            Self::Zstd => "zstd 1.5.7 level 3 frame 4MiB",
        }
    }

    /// Returns the media type of a layer with this compression (image-spec layer.md).
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Returns a compressor for one thread, which should reuse it.
    ///
    /// # Panics
    /// Never in practice: both levels are valid for their libraries.
    #[must_use]
    pub fn compressor(self) -> Compressor {
        match self {
            Self::Gzip => {
                let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).expect("0 to 12 are valid");
                let library = Library::Gzip(Box::new(libdeflater::Compressor::new(level)));
                Compressor { library, room: Vec::new() }
            }
            Self::Zstd => {
                let library = Library::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("1 to 22 are valid"));
                Compressor { library, room: Vec::new() }
            }
        }
    }
}

/// Makes members.
pub struct Compressor {
    library: Library,
    /// Room for the largest member so far: clearing it anew for each one costs more than copying the result.
    room: Vec<u8>,
}

/// What compresses.
enum Library {
    Gzip(Box<libdeflater::Compressor>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// Compresses one member; its bytes stay until the next one.
    ///
    /// # Panics
    /// Never in practice: the output buffer has the size that the library itself asks for.
    #[must_use]
    pub fn member(&mut self, bytes: &[u8]) -> &[u8] {
        let bound = match &mut self.library {
            Library::Gzip(library) => library.gzip_compress_bound(bytes.len()),
            Library::Zstd(_) => zstd::zstd_safe::compress_bound(bytes.len()),
        };
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }

        let room = self.room.as_mut_slice();
        let length = match &mut self.library {
            Library::Gzip(library) => library.gzip_compress(bytes, room).expect("the room has the library's bound"),
            Library::Zstd(library) => {
                library.compress_to_buffer(bytes, room).expect("memory is the only thing that can lack")
            }
        };
        &self.room[..length]
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// A text that names no layer compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layer compression (gzip, zstd)")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text {
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownCompression(text.to_owned())),
        }
    }
}
