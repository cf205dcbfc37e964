//! Fetched indexes to packages: verify, decompress, read; several at a time.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::decoded;
use crate::apt::archive::indexes::IndexCompression;
use crate::apt::archive::indexes::IndexHasher;
use crate::apt::archive::indexes::SelectedIndex;
use crate::apt::archive::memory;
use crate::apt::index;
use crate::apt::index::PackageIndex;
use crate::apt::index::PackageIndexLimits;
use crate::apt::members::GzipMembers;
use crate::sys::fs;
use std::cmp::Reverse;
use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

/// Most indexes that are read at a time: each decoder may hold a dictionary of its own.
const PARALLEL: usize = 4;

/// Binary logarithm of the largest zstd window: 128 MiB, as `--ultra -22` uses.
const ZSTD_WINDOW: u32 = 27;

/// Memory that the xz decoder may use: archives write dictionaries of up to 64 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Reads fetched indexes on all processors. Returns the result of each, in the order of the jobs.
///
/// Errors are [`Error::WrongDigest`] for a damaged file, [`Error::WrongContent`], [`Error::Index`].
pub(super) fn read(folder: &Path, jobs: &[(&Pocket, &SelectedIndex)]) -> Vec<Result<ComponentIndex, Error>> {
    // the largest first, so that no thread begins it when the others are done
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&number| Reverse(jobs[number].1.listed.size));

    let queue = Mutex::new(order.into_iter());
    let results = Mutex::new(Vec::with_capacity(jobs.len()));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors.min(PARALLEL).min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    // the statement releases the queue before the index is read
                    let next = queue.lock().expect("no thread panics while it holds this").next();
                    let Some(number) = next else { break };
                    let (pocket, choice) = jobs[number];
                    let result = read_one(folder, pocket, choice);
                    results.lock().expect("no thread panics while it holds this").push((number, result));
                }
            });
        }
    });

    let mut results = results.into_inner().expect("no thread panicked while it held this");
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Takes the index as an earlier run decoded it; else decodes it, and keeps it for later runs.
fn read_one(folder: &Path, pocket: &Pocket, choice: &SelectedIndex) -> Result<ComponentIndex, Error> {
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
fn decode(folder: &Path, pocket: &Pocket, choice: &SelectedIndex) -> Result<PackageIndex, Error> {
    let bytes = verified_bytes(folder, pocket, choice)?;

    let limit = choice.plain.as_ref().map_or(u64::MAX, |plain| plain.size);
    let decompressed =
        decompressed(&bytes, choice.form).map_err(|cause| index_error(pocket, choice, index::Error::Read(cause)))?;
    let mut stream =
        HashingReader { inner: decompressed, sums: IndexHasher::of(choice.plain.as_ref()), length: 0, limit };
    let index = PackageIndex::read(&mut stream, &PackageIndexLimits::ARCHIVE);

    // a stream that is too long makes `Index::read` fail with an error that does not name the cause, so it comes first
    if stream.length > limit {
        return Err(wrong_content(pocket, choice));
    }
    let index = index.map_err(|cause| index_error(pocket, choice, cause))?;

    // the decompressed bytes are signed, too, where the archive lists them
    if let Some(plain) = &choice.plain
        && (stream.length != plain.size || stream.sums.compare(plain).is_err())
    {
        return Err(wrong_content(pocket, choice));
    }
    Ok(index)
}

/// Returns the compressed index from the folder, after comparing its digests. Whoever can write to the folder, or a
/// failing disk, may have changed it since it was fetched.
fn verified_bytes(folder: &Path, pocket: &Pocket, choice: &SelectedIndex) -> Result<Vec<u8>, Error> {
    let path = memory::by_hash(folder, &choice.listed.sha256);
    let bytes = fs::read(&path, choice.listed.size)?;
    let mut sums = IndexHasher::of(Some(&choice.listed));
    sums.update(&bytes);
    if let Err((expected, found)) = sums.compare(&choice.listed) {
        // the next run fetches it again
        fs::remove(&path)?;
        let url = path.display().to_string();
        return Err(Error::WrongDigest { pocket: pocket.title(), url, expected, found });
    }
    Ok(bytes)
}

fn wrong_content(pocket: &Pocket, choice: &SelectedIndex) -> Error {
    Error::WrongContent { pocket: pocket.title(), path: choice.path.clone() }
}

fn index_error(pocket: &Pocket, choice: &SelectedIndex, cause: index::Error) -> Error {
    Error::Index { pocket: pocket.title(), path: choice.path.clone(), cause: Box::new(cause) }
}

/// Returns a stream of the decompressed bytes. Archives may concatenate streams in both formats, as `xz` and
/// `gzip` read them.
fn decompressed(bytes: &[u8], form: IndexCompression) -> io::Result<Box<dyn Read + '_>> {
    Ok(match form {
        IndexCompression::Plain => Box::new(bytes),
        IndexCompression::Gzip => Box::new(GzipMembers::of(bytes)),
        IndexCompression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        IndexCompression::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY)?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
        IndexCompression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
    })
}

/// Hashes and counts the bytes read, and fails above a limit.
struct HashingReader<R> {
    inner: R,
    sums: IndexHasher,
    length: u64,
    limit: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sums.update(&buffer[..count]);
        self.length += count as u64;

        // stops a bomb at the listed size instead of at the far larger limit of all indexes
        if self.length > self.limit {
            return Err(io::Error::other("there are more bytes than the release file lists"));
        }
        Ok(count)
    }
}
