//! Reads a stream ahead on a thread of its own, so that decompressing overlaps with the use of the bytes.

use std::io;
use std::io::Read;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;

/// Size of one part: large against the cost of handing it over, small against memory.
const PART: usize = 256 << 10;

/// Most parts that wait: with [`PART`], 2 MiB.
const WAITING: usize = 8;

/// Calls `work` with a stream that gives the bytes of `source`; returns what it returned, and the source, read to where
/// `work` stopped or somewhat further.
pub(super) fn read<S: Read + Send, T>(mut source: S, work: impl FnOnce(&mut dyn Read) -> T) -> (T, S) {
    let (sender, parts) = mpsc::sync_channel(WAITING);
    let (used, spare) = mpsc::channel::<Vec<u8>>();

    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            loop {
                let part = part(&mut source, spare.try_recv().unwrap_or_default());
                let is_last = !matches!(&part, Ok(bytes) if !bytes.is_empty());
                // the receiver is gone once the work is done
                if sender.send(part).is_err() || is_last {
                    return source;
                }
            }
        });

        let mut stream = ReadAheadStream { parts, current: Vec::new(), position: 0, used };
        let result = work(&mut stream);
        // ends the reader, which may be waiting for room in the channel
        drop(stream);
        (result, reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Returns the next bytes, a full part unless the source ends; reuses the buffer of a part that was read.
fn part(source: &mut impl Read, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    bytes.resize(PART, 0);

    // a decompressor returns little at a time, and each part costs a hand-over
    let mut filled = 0;
    while filled < PART {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The parts as one stream.
struct ReadAheadStream {
    parts: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    position: usize,
    used: Sender<Vec<u8>>,
}

impl Read for ReadAheadStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() {
            // the reader leaves after an empty part or an error, and then the stream stays at its end
            let next = self.parts.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            let _gone = self.used.send(std::mem::replace(&mut self.current, next));
            self.position = 0;
        }
        let count = buffer.len().min(self.current.len() - self.position);
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_every_byte_and_the_source_back() {
        let bytes: Vec<u8> = (0..PART * 20 + 7).map(|number| (number % 251) as u8).collect();
        let (read_back, rest) = read(&bytes[..], |stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map(|_| all)
        });
        assert!(read_back.unwrap() == bytes && rest.is_empty());
        let (first, rest) = read(&bytes[..], |stream| {
            let mut first = [0; 5];
            stream.read_exact(&mut first).map(|()| first)
        });
        assert_eq!(first.unwrap(), bytes[..5]);
        assert!(rest.len() < bytes.len());
    }

    #[test]
    fn errors_arrive_in_order() {
        struct Broken(u8);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 3 {
                    return Err(io::Error::other("broken"));
                }
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let (result, _) = read(Broken(0), |stream| io::copy(stream, &mut io::sink()));
        assert_eq!(result.unwrap_err().to_string(), "broken");
    }
}
