//! Chunks to one layer blob: one pass, compressed on all cores, both digests computed on the way.
//!
//! One thread reads files and hashes the tar stream (diffID); workers compress members; one thread writes members in
//! order and hashes the blob. Chunks that an older layer in the store already has are copied from there as they are.

use crate::layer::ENGINE_FORMAT;
use crate::layer::chunk::Chunk;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::store;
use crate::store::BlobWriter;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::Content;
use crate::tree::Contents;
use crate::tree::Kind;
use crate::tree::compress::Compression;
use crate::tree::tar;
use crate::values::Digest;
use crate::values::Hasher;
use serde::Deserialize;
use serde::Serialize;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::thread;

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// SHA-256 of the compressed bytes.
    pub digest: Digest,
    /// SHA-256 of the tar stream (OCI `diff_id`).
    pub diff_id: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Length of the tar stream in bytes.
    pub uncompressed: u64,
}

/// Where the compressed form of a chunk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    layer: Digest,
    offset: u64,
    length: u64,
    /// SHA-256 of the compressed bytes, to notice damage before they are used again.
    digest: Digest,
}

/// How layers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Format.
    pub compression: Compression,
    /// Number of compressing threads.
    pub threads: usize,
}

/// Returns the key under which a finished layer is known.
#[must_use]
pub fn key(chunks: &[Chunk], compression: Compression) -> Digest {
    let keys: Vec<String> = chunks.iter().map(|chunk| chunk.key(compression).hex()).collect();
    Digest::of(format!("layer {ENGINE_FORMAT} {compression}\n{}", keys.join("\n")).as_bytes())
}

/// Returns the layer that the store already has under this key.
#[must_use]
pub fn find(key: &Digest, store: &Store) -> Option<Blob> {
    store.result::<Blob>("layer", key).filter(|blob| store.has_blob(&blob.digest, blob.size))
}

/// Writes a layer into the store and remembers it and its chunks by key.
///
/// # Errors
/// When files cannot be read or the blob cannot be written; then nothing is kept.
pub fn write(
    chunks: &[Chunk],
    options: Options,
    contents: &Contents<'_>,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Blob, store::Error> {
    let (jobs, todo) = mpsc::sync_channel::<Job>(options.threads);
    let (ordered, pieces) = mpsc::sync_channel::<Piece>(options.threads * 3);
    let todo = Mutex::new(todo);
    let (tar, (blob, places)) = thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| compress(options.compression, &todo));
        }
        let collector = scope.spawn(|| collect(pieces, store));
        let mut producer = Producer {
            hasher: Hasher::default(),
            buffer: Vec::new(),
            limit: options.compression.member_size(),
            chunk: 0,
            reused: false,
            jobs,
            ordered,
            contents,
            reporter,
        };
        let produced = producer.layer(chunks, options.compression, store);
        let Producer { hasher, jobs, ordered, .. } = producer;
        // closing both channels ends workers and collector
        drop((jobs, ordered));
        let collected = collector.join().expect("the collector does not panic");
        // an error of the collector makes the producer stop early, so it is the cause
        let collected = collected?;
        produced?;
        Ok::<_, store::Error>((hasher, collected))
    })?;
    let uncompressed = tar.length();
    let (digest, size) = blob.finish()?;
    // the archive's end is a piece of its own, behind the last chunk
    for (chunk, (_, place)) in chunks.iter().zip(places) {
        let place = Place { layer: digest, ..place };
        store.keep("chunk", &chunk.key(options.compression), &place)?;
    }
    let blob = Blob { digest, diff_id: tar.finish(), size, uncompressed };
    store.keep("layer", &key(chunks, options.compression), &blob)?;
    Ok(blob)
}

/// Bytes to compress, and whom to answer.
struct Job {
    bytes: Vec<u8>,
    answer: SyncSender<Vec<u8>>,
}

/// The next part of the blob, in order.
enum Piece {
    /// A member of a chunk that is on its way.
    Member { chunk: usize, member: Receiver<Vec<u8>> },
    /// A chunk that an older layer has.
    Copy { chunk: usize, place: Place },
}

fn compress(compression: Compression, todo: &Mutex<Receiver<Job>>) {
    let mut compressor = compression.compressor();
    loop {
        let job = todo.lock().expect("no worker panics while it waits").recv();
        let Ok(Job { bytes, answer }) = job else { return };
        // the collector is gone only after an error, which it reports itself
        let _gone = answer.send(compressor.member(&bytes));
    }
}

/// Writes pieces in order; returns the unfinished blob and where each chunk lies in it.
fn collect(pieces: Receiver<Piece>, store: &Store) -> Result<(BlobWriter, Vec<(usize, Place)>), store::Error> {
    let mut blob = store.writer()?;
    let mut places: Vec<(usize, Place, Hasher)> = Vec::new();
    for piece in pieces {
        let offset = blob.length();
        match piece {
            Piece::Member { chunk, member } => {
                let Ok(member) = member.recv() else { break };
                if places.last().is_none_or(|(last, ..)| *last != chunk) {
                    let digest = Digest::of(b"");
                    places.push((chunk, Place { layer: digest, offset, length: 0, digest }, Hasher::default()));
                }
                let (_, place, hasher) = places.last_mut().expect("pushed above");
                place.length += member.len() as u64;
                hasher.update(&member);
                blob.write(&member)?;
            }
            Piece::Copy { chunk, place } => {
                let mut hasher = Hasher::default();
                each_part(&place, store, |part| {
                    hasher.update(part);
                    blob.write(part)
                })?;
                places.push((chunk, Place { offset, ..place }, hasher));
            }
        }
    }
    let finished = places.into_iter().map(|(chunk, place, hasher)| (chunk, Place { digest: hasher.finish(), ..place }));
    Ok((blob, finished.collect()))
}

/// Calls the function with the bytes at a place, part by part.
fn each_part(
    place: &Place,
    store: &Store,
    mut take: impl FnMut(&[u8]) -> Result<(), store::Error>,
) -> Result<(), store::Error> {
    let path = store.blob(&place.layer);
    let file = fs::open(&path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < place.length {
        let length = usize::try_from(place.length - done).unwrap_or(usize::MAX).min(buffer.len());
        let part = &mut buffer[..length];
        file.read_exact_at(part, place.offset + done).map_err(|cause| fs::Error::new("read", &path, cause))?;
        take(part)?;
        done += length as u64;
    }
    Ok(())
}

/// Finds the compressed form of a chunk, whole and undamaged.
fn find_chunk(key: &Digest, store: &Store) -> Option<Place> {
    let place = store.result::<Place>("chunk", key)?;
    let mut hasher = Hasher::default();
    each_part(&place, store, |part| {
        hasher.update(part);
        Ok(())
    })
    .ok()?;
    (hasher.finish() == place.digest).then_some(place)
}

/// Makes the tar stream, hashes it, and hands members out.
struct Producer<'a> {
    hasher: Hasher,
    buffer: Vec<u8>,
    limit: usize,
    chunk: usize,
    reused: bool,
    jobs: SyncSender<Job>,
    ordered: SyncSender<Piece>,
    contents: &'a Contents<'a>,
    reporter: &'a dyn Reporter,
}

impl Producer<'_> {
    fn layer(&mut self, chunks: &[Chunk], compression: Compression, store: &Store) -> Result<(), store::Error> {
        for (index, chunk) in chunks.iter().enumerate() {
            self.chunk = index;
            let place = find_chunk(&chunk.key(compression), store);
            self.reused = place.is_some();
            if let Some(place) = place {
                let _gone = self.ordered.send(Piece::Copy { chunk: index, place });
            }
            for entry in &chunk.entries {
                self.bytes(&tar::header(entry));
                if let Kind::File(content) = &entry.kind {
                    self.file(content)?;
                    self.bytes(&tar::END[..usize::try_from(tar::padding(content.size)).expect("less than a block")]);
                }
            }
            self.flush();
        }
        self.chunk = chunks.len();
        self.reused = false;
        self.bytes(&tar::END);
        self.flush();
        Ok(())
    }

    /// Appends bytes that are at hand.
    fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.limit - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == self.limit {
                self.flush();
            }
        }
    }

    /// Appends a file, whose bytes must be those that came from the signed package: a damaged store is noticed here.
    fn file(&mut self, content: &Content) -> Result<(), store::Error> {
        let mut hasher = Hasher::default();
        while hasher.length() < content.size {
            self.part(content, &mut hasher)?;
        }
        let found = hasher.finish();
        if found == content.digest {
            Ok(())
        } else {
            Err(store::Error::WrongDigest { expected: content.digest, found })
        }
    }

    /// Reads as much of a file as fits into the member.
    fn part(&mut self, content: &Content, hasher: &mut Hasher) -> Result<(), store::Error> {
        let offset = hasher.length();
        let start = self.buffer.len();
        let rest = usize::try_from(content.size - offset).unwrap_or(usize::MAX);
        let length = rest.min(self.limit - start);
        self.buffer.resize(start + length, 0);
        self.contents.read_at(content, offset, &mut self.buffer[start..])?;
        hasher.update(&self.buffer[start..]);
        if self.buffer.len() == self.limit {
            self.flush();
        }
        Ok(())
    }

    /// Ends the member.
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.hasher.update(&self.buffer);
        self.reporter.event(Event::Advanced { stage: Stage::Compress, by: self.buffer.len() as u64 });
        if self.reused {
            self.buffer.clear();
            return;
        }
        let bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.limit));
        let (answer, member) = mpsc::sync_channel(1);
        // both ends stay open unless the collector met an error, which is reported by it
        let _gone = self.ordered.send(Piece::Member { chunk: self.chunk, member });
        let _gone = self.jobs.send(Job { bytes, answer });
    }
}
