//! Tar archives of strangers (POSIX.1-2017 pax; GNU tar, "Basic Tar Format"): what is read besides contents is bounded.
//!
//! The tar library reads long names, extended headers and maps of sparse files whole before anybody can look at them.
//! Here the reader below it counts: between two members it hands out [`METADATA`] bytes at most, and what all members
//! bring together is limited by [`Limits`]. So a member with a name of 8 GiB costs as much memory as any other.

use std::cell::Cell;
use std::io;
use std::io::Read;
use std::rc::Rc;
use tar::Archive;
use tar::Entry;

/// Most bytes of headers of one member: two names of 4096 bytes (Linux `PATH_MAX`), extended attributes of 64 KiB each
/// (Linux `XATTR_SIZE_MAX`), of which files have a few, and the map of a sparse file.
pub const METADATA: u64 = 1 << 20;

/// Longest path and longest target of a link (Linux `PATH_MAX`).
pub const LONGEST_PATH: usize = 4096;

/// What all members of an archive, or of several that belong together, may bring. Counts down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    members: u64,
    names: u64,
    bytes: u64,
    most: (u64, u64, u64),
}

impl Limits {
    /// Returns limits on the number of members, the bytes of their paths and targets of links, which a reader keeps in
    /// memory, and all bytes of the unpacked archive.
    #[must_use]
    pub fn new(members: u64, names: u64, bytes: u64) -> Self {
        Self { members, names, bytes, most: (members, names, bytes) }
    }

    /// Takes one member off.
    fn take(&mut self, names: u64, bytes: u64) -> Result<(), Excess> {
        let (most_members, most_names, most_bytes) = self.most;
        self.members = self.members.checked_sub(1).ok_or(Excess::Members(most_members))?;
        self.names = self.names.checked_sub(names).ok_or(Excess::Names(most_names))?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Excess::Bytes(most_bytes))?;
        Ok(())
    }
}

/// An archive has more than it may. Travels inside [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Too many members.
    #[error("it has more than {0} paths")]
    Members(u64),
    /// Too long paths in all.
    #[error("its paths have more than {0} bytes in all")]
    Names(u64),
    /// Too many bytes.
    #[error("it unpacks to more than {0} bytes")]
    Bytes(u64),
    /// One member has too long headers.
    #[error("the header of one path has more than {METADATA} bytes")]
    Header,
    /// One member has a too long name or target.
    #[error("it has a path of more than {LONGEST_PATH} bytes")]
    Path,
}

impl Excess {
    /// Returns the excess that an error carries.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Excess> for io::Error {
    fn from(excess: Excess) -> Self {
        Self::new(io::ErrorKind::InvalidData, excess)
    }
}

/// Calls `visit` with each member of an archive; what that leaves of a content is passed over.
///
/// # Errors
/// What the stream or `visit` says; an [`io::Error`] with an [`Excess`] inside when there is more than `limits`.
pub fn each<R: Read>(
    stream: R,
    limits: &mut Limits,
    mut visit: impl FnMut(&mut Entry<'_, Metered<R>>) -> io::Result<Next>,
) -> io::Result<()> {
    let left = Rc::new(Cell::new(Some(METADATA)));
    let mut archive = Archive::new(Metered { stream, left: Rc::clone(&left) });
    let mut entries = archive.entries()?;
    loop {
        left.set(Some(METADATA));
        let Some(member) = entries.next() else { return Ok(()) };
        let mut member = member?;
        let headers = METADATA - left.replace(None).unwrap_or_default();
        let (path, link) = (member.path_bytes().len(), member.link_name_bytes().map_or(0, |name| name.len()));
        if path.max(link) > LONGEST_PATH {
            return Err(Excess::Path.into());
        }
        limits.take((path + link) as u64, headers.saturating_add(member.size()))?;
        if visit(&mut member)? == Next::Stop {
            return Ok(());
        }
        // so that everything up to the next member is headers
        io::copy(&mut member, &mut io::sink())?;
    }
}

/// Whether the next member is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is.
    Go,
    /// What was looked for was found.
    Stop,
}

/// A reader that hands out so many bytes at most; `None` for any number.
pub struct Metered<R> {
    stream: R,
    left: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.stream.read(buffer) };
        if left == 0 && !buffer.is_empty() {
            return Err(Excess::Header.into());
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

    fn read(stream: impl Read, limits: &mut Limits) -> Result<Vec<String>, io::Error> {
        let mut names = Vec::new();
        each(stream, limits, |member| {
            names.push(String::from_utf8_lossy(&member.path_bytes()).into_owned());
            Ok(Next::Go)
        })?;
        Ok(names)
    }

    fn usual() -> Limits {
        Limits::new(10, 1 << 20, 1 << 20)
    }

    fn excess(stream: impl Read, mut limits: Limits) -> Option<Excess> {
        Excess::of(&read(stream, &mut limits).unwrap_err())
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
            assert_eq!(excess(&mut stream, usual()), Some(Excess::Header), "{kind:?}");
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
        assert_eq!(excess(stream, usual()), Some(Excess::Header));
    }

    #[test]
    fn long_paths_are_read_and_longer_ones_refused() {
        let (fits, long) = ("a/".repeat(LONGEST_PATH / 2 - 1) + "b", "a/".repeat(LONGEST_PATH / 2) + "b");
        assert_eq!(read(&plain(&[&fits, "b"])[..], &mut usual()).unwrap(), [fits.as_str(), "b"]);
        assert_eq!(excess(&plain(&[&long])[..], usual()), Some(Excess::Path));
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a", &long).unwrap();
        assert_eq!(excess(&builder.into_inner().unwrap()[..], usual()), Some(Excess::Path));
    }

    #[test]
    fn sums_count_over_several_archives() {
        let archive = plain(&["a", "b", "c"]);
        let mut limits = Limits::new(5, 100, 1 << 20);
        read(&archive[..], &mut limits).unwrap();
        assert_eq!(Excess::of(&read(&archive[..], &mut limits).unwrap_err()), Some(Excess::Members(5)));
        assert_eq!(excess(&archive[..], Limits::new(5, 2, 1 << 20)), Some(Excess::Names(2)));
        assert_eq!(excess(&archive[..], Limits::new(5, 100, 1500)), Some(Excess::Bytes(1500)));
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
        let mut limits = Limits::new(10, 10, 8 * METADATA);
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
