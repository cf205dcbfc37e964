//! Tar archives from strangers (POSIX.1-2017 pax; GNU tar, "Basic Tar Format"), read within fixed limits.
//!
//! The tar library reads long names, extended headers and maps of sparse files completely before its caller sees any of
//! them. So the reader below the library counts: between two members it hands out [`METADATA`] bytes at most, and
//! [`ArchiveLimits`] bounds the sum over all members. A member whose name claims to have 8 GiB costs no more memory than any
//! other.

use std::cell::Cell;
use std::io;
use std::io::Read;
use std::rc::Rc;
use tar::Archive;
use tar::Entry;

/// Most bytes in the headers of one member: two names of 4096 bytes (Linux `PATH_MAX`), extended attributes of 64 KiB
/// each (Linux `XATTR_SIZE_MAX`), of which files have a few, and the map of a sparse file.
pub const METADATA: u64 = 1 << 20;

/// Longest path and longest link target in bytes (Linux `PATH_MAX`).
pub const LONGEST_PATH: usize = 4096;

/// Limits on the sum over all members of an archive, or of several archives that belong together. Counts down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveLimits {
    left: ArchiveTotals,
    most: ArchiveTotals,
}

/// Sums over the members of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ArchiveTotals {
    /// Number of members.
    members: u64,
    /// Bytes of all paths and link targets.
    names: u64,
    /// Bytes of all headers and contents, unpacked.
    bytes: u64,
}

impl ArchiveLimits {
    /// Returns limits on the number of members, on the bytes of their paths and link targets, which a reader keeps in
    /// memory, and on all bytes of the unpacked archive.
    #[must_use]
    pub fn new(members: u64, names: u64, bytes: u64) -> Self {
        let most = ArchiveTotals { members, names, bytes };
        Self { left: most, most }
    }

    /// Counts one member with its bytes of names and its bytes of headers and contents.
    fn count(&mut self, names: u64, bytes: u64) -> Result<(), ArchiveLimitExceeded> {
        let Self { left, most } = self;
        left.members = left.members.checked_sub(1).ok_or(ArchiveLimitExceeded::Members(most.members))?;
        left.names = left.names.checked_sub(names).ok_or(ArchiveLimitExceeded::Names(most.names))?;
        left.bytes = left.bytes.checked_sub(bytes).ok_or(ArchiveLimitExceeded::Bytes(most.bytes))?;
        Ok(())
    }
}

/// An archive exceeds a limit. Travels inside [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveLimitExceeded {
    /// There are too many members.
    #[error("it has more than {0} paths")]
    Members(u64),
    /// The paths and link targets are too long in total.
    #[error("its paths have more than {0} bytes in total")]
    Names(u64),
    /// The archive is too large when unpacked.
    #[error("it unpacks to more than {0} bytes")]
    Bytes(u64),
    /// The headers of one member are too long.
    #[error("the header of one path has more than {METADATA} bytes")]
    Header,
    /// One member has a path or link target that is too long.
    #[error("it has a path of more than {LONGEST_PATH} bytes")]
    Path,
}

impl ArchiveLimitExceeded {
    /// Returns the exceeded limit that an error carries.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<ArchiveLimitExceeded> for io::Error {
    fn from(excess: ArchiveLimitExceeded) -> Self {
        Self::new(io::ErrorKind::InvalidData, excess)
    }
}

/// Calls `visit` with each member of an archive, and skips the content that `visit` leaves unread.
///
/// # Errors
/// When the stream or `visit` fails, or with an [`ArchiveLimitExceeded`] inside when the archive exceeds `limits`.
pub fn each<R: Read>(
    stream: R,
    limits: &mut ArchiveLimits,
    mut visit: impl FnMut(&mut Entry<'_, MeteredReader<R>>) -> io::Result<VisitControl>,
) -> io::Result<()> {
    let left = Rc::new(Cell::new(Some(METADATA)));
    let mut archive = Archive::new(MeteredReader { stream, left: Rc::clone(&left) });
    let mut entries = archive.entries()?;

    loop {
        // one step of the library reads all headers of a member, so the meter runs during this step
        left.set(Some(METADATA));
        let Some(member) = entries.next() else { return Ok(()) };
        let mut member = member?;
        // contents may be of any size here: `limits` counts them
        let headers = METADATA - left.replace(None).unwrap_or_default();

        // checked before `visit`, which may keep the path in memory
        let path = member.path_bytes().len();
        let link = member.link_name_bytes().map_or(0, |name| name.len());
        if path.max(link) > LONGEST_PATH {
            return Err(ArchiveLimitExceeded::Path.into());
        }
        limits.count((path + link) as u64, headers.saturating_add(member.size()))?;

        if visit(&mut member)? == VisitControl::Stop {
            return Ok(());
        }
        // the library would skip the rest in its next step, where it would count as headers
        io::copy(&mut member, &mut io::sink())?;
    }
}

/// Whether to continue with the next member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitControl {
    /// Continue.
    Go,
    /// Stop: the search has found its member.
    Stop,
}

/// A reader that hands out a limited number of bytes, or any number while the limit is `None`.
pub struct MeteredReader<R> {
    stream: R,
    left: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for MeteredReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.stream.read(buffer) };
        if left == 0 && !buffer.is_empty() {
            return Err(ArchiveLimitExceeded::Header.into());
        }

        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.stream.read(&mut buffer[..most])?;
        self.left.set(Some(left - length as u64));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tar::Builder;
    use tar::EntryType;
    use tar::Header;

    /// A header of a kind whose content is not there yet.
    fn header(kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path("././@LongLink").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn plain(names: &[&str]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for name in names {
            let mut header = Header::new_gnu();
            header.set_size(3);
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(stream: impl Read, limits: &mut ArchiveLimits) -> Result<Vec<String>, io::Error> {
        let mut names = Vec::new();
        each(stream, limits, |member| {
            names.push(String::from_utf8_lossy(&member.path_bytes()).into_owned());
            Ok(VisitControl::Go)
        })?;
        Ok(names)
    }

    fn usual() -> ArchiveLimits {
        ArchiveLimits::new(10, 1 << 20, 1 << 20)
    }

    fn excess(stream: impl Read, mut limits: ArchiveLimits) -> Option<ArchiveLimitExceeded> {
        ArchiveLimitExceeded::of(&read(stream, &mut limits).unwrap_err())
    }

    /// Counts what was taken from an endless stream.
    struct Counted<R>(R, u64);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read(buffer)?;
            self.1 += length as u64;
            Ok(length)
        }
    }

    #[test]
    fn endless_headers_are_refused_before_they_are_read() {
        let kinds = [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader];
        for kind in kinds {
            let start = header(kind, 8 << 30);
            let mut stream = Counted(start.as_slice().chain(io::repeat(b'a')), 0);
            assert_eq!(excess(&mut stream, usual()), Some(ArchiveLimitExceeded::Header), "{kind:?}");
            assert!(stream.1 <= METADATA + 1024, "{}", stream.1);
        }
        // a map of a sparse file that says of each block that another one follows
        let mut sparse = header(EntryType::GNUSparse, 0);
        sparse[482] = 1;
        let mut sum = Header::from_byte_slice(&sparse).clone();
        sum.set_cksum();
        let block: Vec<u8> = (0..512).map(|place| u8::from(place == 504)).collect();
        let blocks = std::iter::repeat_n(block, 4096).flatten().collect::<Vec<u8>>();
        let stream = sum.as_bytes().chain(blocks.as_slice());
        assert_eq!(excess(stream, usual()), Some(ArchiveLimitExceeded::Header));
    }

    #[test]
    fn long_paths_are_read_and_longer_ones_refused() {
        let (fits, long) = ("a/".repeat(LONGEST_PATH / 2 - 1) + "b", "a/".repeat(LONGEST_PATH / 2) + "b");
        assert_eq!(read(&plain(&[&fits, "b"])[..], &mut usual()).unwrap(), [fits.as_str(), "b"]);
        assert_eq!(excess(&plain(&[&long])[..], usual()), Some(ArchiveLimitExceeded::Path));
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a", &long).unwrap();
        assert_eq!(excess(&builder.into_inner().unwrap()[..], usual()), Some(ArchiveLimitExceeded::Path));
    }

    #[test]
    fn sums_count_over_several_archives() {
        let archive = plain(&["a", "b", "c"]);
        let mut limits = ArchiveLimits::new(5, 100, 1 << 20);
        read(&archive[..], &mut limits).unwrap();
        assert_eq!(
            ArchiveLimitExceeded::of(&read(&archive[..], &mut limits).unwrap_err()),
            Some(ArchiveLimitExceeded::Members(5))
        );
        assert_eq!(excess(&archive[..], ArchiveLimits::new(5, 2, 1 << 20)), Some(ArchiveLimitExceeded::Names(2)));
        assert_eq!(excess(&archive[..], ArchiveLimits::new(5, 100, 1500)), Some(ArchiveLimitExceeded::Bytes(1500)));
    }

    #[test]
    fn contents_are_no_headers() {
        let mut builder = Builder::new(Vec::new());
        for name in ["a", "b"] {
            let mut header = Header::new_gnu();
            header.set_size(3 * METADATA);
            builder.append_data(&mut header, name, io::repeat(b'x').take(3 * METADATA)).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        let mut limits = ArchiveLimits::new(10, 10, 8 * METADATA);
        assert_eq!(read(&archive[..], &mut limits).unwrap(), ["a", "b"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_stream_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in any::<u8>()) {
            let _any = read(&bytes[..], &mut usual());
            let stream = header(EntryType::new(kind), bytes.len() as u64);
            let _any = read(stream.chain(bytes.as_slice()), &mut usual());
        }
    }
}
