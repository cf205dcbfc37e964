//! Tar archives of strangers: limits hold whatever the headers say, and an endless archive comes to an end.
#![no_main]

mod support;

use sockel::sys::archive;
use sockel::sys::archive::ArchiveLimitExceeded;
use sockel::sys::archive::ArchiveLimits;
use sockel::sys::archive::LONGEST_PATH;
use sockel::sys::archive::METADATA;
use sockel::sys::archive::VisitControl;
use std::io;
use std::io::Read;

const MEMBERS: u64 = 16;
const NAMES: u64 = 1 << 12;
const BYTES: u64 = 1 << 16;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    walk(bytes);
    let sound = support::with_checksums(bytes);
    walk(&sound[..]);
    let mut endless = Counted(sound.chain(io::repeat(b'a')), 0);
    walk(&mut endless);
    // blocks that are filled up belong to no member
    assert!(endless.1 <= BYTES + METADATA + 1024 * (MEMBERS + 2), "{}", endless.1);
});

fn walk(stream: impl Read) {
    let mut limits = ArchiveLimits::new(MEMBERS, NAMES, BYTES);
    let (mut members, mut names, mut contents) = (0, 0, 0);
    let walked = archive::each(stream, &mut limits, |member| {
        let (path, link) = (member.path_bytes().len(), member.link_name_bytes().map_or(0, |name| name.len()));
        assert!(path.max(link) <= LONGEST_PATH);
        members += 1;
        names += (path + link) as u64;
        contents += io::copy(member, &mut io::sink())?;
        Ok(VisitControl::Go)
    });
    assert!(members <= MEMBERS && names <= NAMES && contents <= BYTES);
    if let Some(excess) = walked.err().as_ref().and_then(ArchiveLimitExceeded::of) {
        assert!(!excess.to_string().is_empty());
    }
}

/// Counts what is taken from a stream.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1 += length as u64;
        Ok(length)
    }
}
