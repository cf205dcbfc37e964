//! Fetched indexes to packages: verify, decompress, read; several at a time.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::decoded;
use crate::apt::archive::indexes::Choice;
use crate::apt::archive::indexes::Form;
use crate::apt::archive::indexes::Sums;
use crate::apt::archive::memory;
use crate::apt::index;
use crate::apt::index::Index;
use crate::apt::index::Limits;
use crate::apt::release::Listed;
use crate::sys::fs;
use std::cmp::Reverse;
use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

/// Most indexes that are read at a time: each decoder may hold a dictionary of its own.
const PARALLEL: usize = 4;

/// Memory that the xz decoder may use: archives write dictionaries of up to 64 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Reads fetched indexes on all processors; returns what came of each, in the order of the jobs.
///
/// Errors are [`Error::WrongDigest`] for a damaged file, [`Error::WrongContent`], [`Error::Index`].
pub(super) fn read(folder: &Path, jobs: &[(&Pocket, &Choice)]) -> Vec<Result<ComponentIndex, Error>> {
    // the largest first, so that no thread begins it when the others are done
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&number| Reverse(jobs[number].1.listed.size));
    let (queue, done) = (Mutex::new(order.into_iter()), Mutex::new(Vec::with_capacity(jobs.len())));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors.min(PARALLEL).min(jobs.len()) {
            scope.spawn(|| {
                let next = || queue.lock().expect("no thread panics while it holds this").next();
                while let Some(number) = next() {
                    let (pocket, choice) = jobs[number];
                    let result = read_one(folder, pocket, choice);
                    done.lock().expect("no thread panics while it holds this").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panicked while it held this");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Takes what an earlier run decoded, else decodes it for this one and later ones.
fn read_one(folder: &Path, pocket: &Pocket, choice: &Choice) -> Result<ComponentIndex, Error> {
    let (component, architecture) = (choice.component.clone(), choice.architecture.clone());
    if let Some(index) = decoded::find(folder, choice) {
        return Ok(ComponentIndex { component, architecture, index });
    }
    let mut index = decode(folder, pocket, choice)?;
    decoded::keep(folder, choice, &index)?;
    // most of it need not stay in memory
    if let Some(kept) = decoded::find(folder, choice) {
        index = kept;
    }
    Ok(ComponentIndex { component, architecture, index })
}

/// Verifies, decompresses and reads an index.
fn decode(folder: &Path, pocket: &Pocket, choice: &Choice) -> Result<Index, Error> {
    let path = memory::by_hash(folder, &choice.listed.sha256);
    let bytes = fs::read(&path, choice.listed.size)?;
    let mut sums = Sums::of(Some(&choice.listed));
    sums.update(&bytes);
    if let Err((expected, found)) = sums.compare(&choice.listed) {
        // the next run fetches it again
        fs::remove(&path)?;
        let url = path.display().to_string();
        return Err(Error::WrongDigest { pocket: pocket.title(), url, expected, found });
    }
    let limit = choice.plain.as_ref().map_or(u64::MAX, |plain| plain.size);
    let mut stream =
        Counted { inner: decompressed(&bytes, choice.form), sums: Sums::of(choice.plain.as_ref()), length: 0, limit };
    let index = Index::read(&mut stream, &Limits::ARCHIVE);
    let differs = |plain: &Listed| stream.length != plain.size || stream.sums.clone().compare(plain).is_err();
    let wrong = || Error::WrongContent { pocket: pocket.title(), path: choice.path.clone() };
    // a stream that is too long ends in an error of its own, whose cause is the same
    if choice.plain.as_ref().is_some_and(|_| stream.length > limit) {
        return Err(wrong());
    }
    let tie = |cause: index::Error| Error::Index {
        pocket: pocket.title(),
        path: choice.path.clone(),
        cause: Box::new(cause),
    };
    let index = index.map_err(tie)?;
    if choice.plain.as_ref().is_some_and(differs) {
        return Err(wrong());
    }
    Ok(index)
}

fn decompressed(bytes: &[u8], form: Form) -> Box<dyn Read + '_> {
    match form {
        Form::Plain => Box::new(bytes),
        Form::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Form::Xz => match liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED) {
            Ok(stream) => Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream)),
            Err(error) => Box::new(Broken(error.to_string())),
        },
    }
}

/// A stream that could not be started.
struct Broken(String);

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0.clone()))
    }
}

/// Hashes and counts what is read, and ends in an error above a limit.
struct Counted<R> {
    inner: R,
    sums: Sums,
    length: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sums.update(&buffer[..count]);
        self.length += count as u64;
        if self.length > self.limit {
            return Err(io::Error::other("there are more bytes than the release file lists"));
        }
        Ok(count)
    }
}
