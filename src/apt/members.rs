//! Compressed files of several members, with padding behind them: what archives serve, and what gzip(1), xz(1) and apt read.

use std::io;
use std::io::BufRead;
use std::io::Read;

/// A decoder of one member, which reads nothing beyond it.
pub(crate) trait StreamDecoder<R>: Read {
    /// Returns what it reads.
    fn reader(&self) -> &R;

    /// Returns what it reads, behind the member once that has ended.
    fn into_reader(self) -> R;
}

impl<R: BufRead> StreamDecoder<R> for flate2::bufread::GzDecoder<R> {
    fn reader(&self) -> &R {
        self.get_ref()
    }

    fn into_reader(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> StreamDecoder<R> for liblzma::bufread::XzDecoder<R> {
    fn reader(&self) -> &R {
        self.get_ref()
    }

    fn into_reader(self) -> R {
        self.into_inner()
    }
}

/// Makes the decoder of a member, which may use so many threads.
type NewDecoder<R, D> = fn(R, u32) -> io::Result<D>;

/// Reads the members of a file one after the other. Zeros behind one are padding, as block devices and some tools write it;
/// anything else there must be another member.
pub(crate) struct CompressedMembers<R: BufRead, D: StreamDecoder<R>> {
    /// Always there between two calls.
    state: Option<MemberState<R, D>>,
    new: NewDecoder<R, D>,
    threads: u32,
}

enum MemberState<R, D> {
    In(D),
    Behind(R),
}

/// Why [`CompressedMembers::state`] is there.
const ALWAYS: &str = "reading puts a state back before it returns";

/// The members of a gzip file.
pub(crate) type GzipMembers<R> = CompressedMembers<R, flate2::bufread::GzDecoder<R>>;

impl<R: BufRead> GzipMembers<R> {
    pub(crate) fn of(reader: R) -> Self {
        let new: NewDecoder<R, _> = |reader, _| Ok(flate2::bufread::GzDecoder::new(reader));
        let state = Some(MemberState::In(flate2::bufread::GzDecoder::new(reader)));
        Self { state, new, threads: 1 }
    }
}

impl<R: BufRead, D: StreamDecoder<R>> CompressedMembers<R, D> {
    pub(crate) fn new(reader: R, threads: u32, new: NewDecoder<R, D>) -> io::Result<Self> {
        Ok(Self { state: Some(MemberState::In(new(reader, threads)?)), new, threads })
    }

    /// Returns the reader behind the last member that was read.
    pub(crate) fn into_inner(self) -> R {
        match self.state.expect(ALWAYS) {
            MemberState::In(decoder) => decoder.into_reader(),
            MemberState::Behind(reader) => reader,
        }
    }

    /// Returns the reader, to see how far it is.
    pub(crate) fn get_ref(&self) -> &R {
        match self.state.as_ref().expect(ALWAYS) {
            MemberState::In(decoder) => decoder.reader(),
            MemberState::Behind(reader) => reader,
        }
    }
}

/// Skips zeros; tells whether something else follows.
fn has_more(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let is_all = zeros == bytes.len();
        reader.consume(zeros);
        if !is_all {
            return Ok(true);
        }
    }
}

impl<R: BufRead, D: StreamDecoder<R>> Read for CompressedMembers<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(MemberState::In(decoder)) = &mut self.state {
            let count = decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            if let Some(MemberState::In(decoder)) = self.state.take() {
                let mut reader = decoder.into_reader();
                let more = has_more(&mut reader);
                // a decoder that cannot be made takes the reader with it: the caller stops at the error
                self.state = Some(match more {
                    Ok(true) => MemberState::In((self.new)(reader, self.threads)?),
                    _ => MemberState::Behind(reader),
                });
                more?;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        GzipMembers::of(bytes).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn reads_members_and_padding() {
        let table = [
            (member(b"one"), Some("one")),
            ([member(b"one"), member(b"two")].concat(), Some("onetwo")),
            ([member(b"one"), member(b""), member(b"two")].concat(), Some("onetwo")),
            ([member(b"one"), vec![0; 1000]].concat(), Some("one")),
            ([member(b"one"), vec![0; 3], member(b"two"), vec![0; 512]].concat(), Some("onetwo")),
            ([member(b"one"), b"x".to_vec()].concat(), None),
            (member(b"one")[..10].to_vec(), None),
            (Vec::new(), None),
        ];
        for (number, (bytes, expected)) in table.into_iter().enumerate() {
            assert_eq!(read(&bytes).ok().as_deref(), expected.map(str::as_bytes), "{number}");
        }
    }

    #[test]
    fn reads_streams_of_xz() {
        let member = |bytes: &[u8]| {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let read = |bytes: &[u8]| {
            let mut all = Vec::new();
            let new = |reader, _| Ok(liblzma::bufread::XzDecoder::new(reader));
            CompressedMembers::new(bytes, 1, new).unwrap().read_to_end(&mut all).map(|_| all)
        };
        assert_eq!(read(&[member(b"one"), vec![0; 8], member(b"two"), vec![0; 4]].concat()).unwrap(), b"onetwo");
        assert!(read(&[member(b"one"), b"rest".to_vec()].concat()).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), whole in any::<bool>()) {
            let bytes = if whole { [member(&bytes), bytes].concat() } else { bytes };
            let _any = read(&bytes);
        }
    }
}
