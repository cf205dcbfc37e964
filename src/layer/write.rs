//! Chunks to one layer blob: one pass, compressed on all cores, both digests computed on the way.
//!
//! One thread reads files and hashes the tar stream (diffID); workers compress members; one thread writes members in
//! order and hashes the blob. Chunks that an older layer in the store already has are copied from there as they are.

use crate::layer::ENGINE_FORMAT;
use crate::layer::Error;
use crate::layer::chunk::LayerChunk;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::store;
use crate::store::BlobWriter;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::ContentReader;
use crate::tree::EntryKind;
use crate::tree::FileContent;
use crate::tree::TreeEntry;
use crate::tree::compress::Compression;
use crate::tree::tar;
use crate::values::Digest;
use crate::values::DigestHasher;
use libdeflater::Crc;
use serde::Deserialize;
use serde::Serialize;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::SyncSender;
use std::thread;

/// Setuid and setgid bit.
const PRIVILEGED: u32 = 0o6000;

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
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
struct ChunkLocation {
    layer: Digest,
    offset: u64,
    length: u64,
    /// CRC-32 of the compressed bytes, to notice damage before they are used again. Whoever can write to the store can do
    /// worse than find a collision, so a faster sum than SHA-256 is enough.
    crc: u32,
}

/// How layers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerWriteOptions {
    /// Format.
    pub compression: Compression,
    /// Number of compressing threads.
    pub threads: usize,
}

/// Returns the key under which a finished layer is known.
#[must_use]
pub fn key(chunks: &[LayerChunk], compression: Compression) -> Digest {
    let keys: Vec<String> = chunks.iter().map(|chunk| chunk.key(compression).hex()).collect();
    Digest::of(format!("layer {ENGINE_FORMAT} {compression}\n{}", keys.join("\n")).as_bytes())
}

/// Returns the layer that the store already has under this key, or knows to be at `place`, the cache repository.
#[must_use]
pub fn find(key: &Digest, store: &Store, place: Option<&Digest>) -> Option<LayerBlob> {
    let blob = store.result::<LayerBlob>("layer", key)?;
    // the record may outlive the bytes, which `cache prune` removes
    let is_here = store.has_blob(&blob.digest, blob.size);
    let is_available = is_here || place.is_some_and(|place| store.is_elsewhere(&blob.digest, place));
    is_available.then_some(blob)
}

/// Remembers a layer that another machine has written. The caller also records where its bytes are.
///
/// # Errors
/// When the store cannot be written.
pub fn remember(key: &Digest, blob: &LayerBlob, store: &Store) -> Result<(), store::Error> {
    store.keep("layer", key, blob)
}

/// Writes a layer into the store and remembers it and its chunks by key.
///
/// # Errors
/// When files cannot be read or the blob cannot be written; then nothing is kept. [`Error::Privileged`] guards the last
/// step before the headers: no entry gives rights, wherever it came from.
pub fn write(
    chunks: &[LayerChunk],
    options: LayerWriteOptions,
    contents: &ContentReader<'_>,
    store: &Store,
    reporter: &dyn ProgressReporter,
) -> Result<LayerBlob, Error> {
    refuse_privileged(chunks)?;

    let (jobs, queue) = mpsc::sync_channel::<CompressionJob>(options.threads);
    // the producer may be three members per thread ahead, so that workers go on while the oldest one is not finished
    let (ordered, pieces) = mpsc::sync_channel::<BlobPiece>(options.threads * 3);
    // all buffers go round: members made here and freed there would leave holes in the memory of every thread
    let (used, spare) = mpsc::channel::<Vec<u8>>();
    let queue = Mutex::new(queue);
    let mut producer = TarStreamProducer {
        hasher: DigestHasher::default(),
        buffer: vec![0; options.compression.member_size()],
        filled: 0,
        spare,
        chunk: 0,
        reused: false,
        jobs,
        ordered,
        contents,
        reporter,
    };

    let (tar, collected) = thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| compress(options.compression, &queue));
        }
        let collector = scope.spawn(|| collect(pieces, &used, store));
        let produced = producer.layer(chunks, options.compression, store);

        // closing both channels ends workers and collector
        let TarStreamProducer { hasher, jobs, ordered, .. } = producer;
        drop((jobs, ordered));

        // an error of the collector makes the producer stop early, so it is the cause
        let collected = collector.join().expect("the collector does not panic")?;
        produced?;
        Ok::<_, store::Error>((hasher, collected))
    })?;

    remember_layer(chunks, options.compression, tar, collected, store)
}

/// Refuses entries that would give whoever starts them the rights of another.
fn refuse_privileged(chunks: &[LayerChunk]) -> Result<(), Error> {
    match chunks.iter().flat_map(|chunk| &chunk.entries).find(|entry| entry.mode & PRIVILEGED != 0) {
        Some(TreeEntry { path, mode, origin, .. }) => {
            Err(Error::Privileged { path: path.clone(), mode: *mode, origin: origin.clone() })
        }
        None => Ok(()),
    }
}

/// Finishes the blob and keeps what later layers look for.
fn remember_layer(
    chunks: &[LayerChunk],
    compression: Compression,
    tar: DigestHasher,
    collected: UnfinishedLayerBlob<'_>,
    store: &Store,
) -> Result<LayerBlob, Error> {
    let uncompressed = tar.length();
    let (digest, size) = collected.blob.finish()?;

    for WrittenChunk { chunk, offset, length, crc } in collected.written {
        // the end of the archive is a piece of its own, behind the last chunk
        if let Some(chunk) = chunks.get(chunk) {
            let place = ChunkLocation { layer: digest, offset, length, crc: crc.sum() };
            store.keep("chunk", &chunk.key(compression), &place)?;
        }
    }

    let blob = LayerBlob { digest, diff_id: tar.finish(), size, uncompressed };
    store.keep("layer", &key(chunks, compression), &blob)?;
    Ok(blob)
}

/// Bytes to compress, the first of the buffer, and whom to answer.
struct CompressionJob {
    buffer: Vec<u8>,
    filled: usize,
    answer: SyncSender<Member>,
}

/// A compressed member: the first bytes of a buffer.
struct Member {
    buffer: Vec<u8>,
    length: usize,
}

/// The next part of the blob, in order.
enum BlobPiece {
    /// A compressed member of a chunk, once a worker has finished it.
    Member { chunk: usize, member: Receiver<Member> },
    /// A chunk that an older layer has.
    Copy { chunk: usize, place: ChunkLocation },
}

/// A worker: compresses members until no more come.
fn compress(compression: Compression, queue: &Mutex<Receiver<CompressionJob>>) {
    let mut compressor = compression.compressor();
    loop {
        // a statement of its own, so that the lock is not held while the job is done
        let job = queue.lock().expect("no worker panics while it waits").recv();
        let Ok(CompressionJob { mut buffer, filled, answer }) = job else { return };

        let member = compressor.member(&buffer[..filled]);
        let length = member.len();
        // what cannot be compressed becomes somewhat longer
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        buffer[..length].copy_from_slice(member);

        // the collector is gone only after an error, which it reports itself
        let _gone = answer.send(Member { buffer, length });
    }
}

/// The blob before it has its name, and where its chunks lie.
struct UnfinishedLayerBlob<'a> {
    blob: BlobWriter<'a>,
    written: Vec<WrittenChunk>,
}

/// Where a chunk lies in the blob that is being written.
struct WrittenChunk {
    chunk: usize,
    offset: u64,
    length: u64,
    crc: Crc,
}

/// Writes pieces in order and gives their buffers back.
fn collect<'a>(
    pieces: Receiver<BlobPiece>,
    used: &Sender<Vec<u8>>,
    store: &'a Store,
) -> Result<UnfinishedLayerBlob<'a>, store::Error> {
    let mut blob = store.writer()?;
    let mut written: Vec<WrittenChunk> = Vec::new();
    for piece in pieces {
        let offset = blob.length();
        match piece {
            BlobPiece::Member { chunk, member } => {
                // only a worker that panics drops its answer, and the scope passes the panic on
                let Ok(Member { buffer, length }) = member.recv() else { break };
                let member = &buffer[..length];

                // a chunk has many members, one after the other
                if written.last().is_none_or(|last| last.chunk != chunk) {
                    written.push(WrittenChunk { chunk, offset, length: 0, crc: Crc::new() });
                }
                let current = written.last_mut().expect("pushed above");
                current.length += member.len() as u64;
                current.crc.update(member);
                blob.write(member)?;
                // the producer is gone once it has read everything
                let _gone = used.send(buffer);
            }
            BlobPiece::Copy { chunk, place } => {
                let mut crc = Crc::new();
                each_part(&place, store, |part| {
                    crc.update(part);
                    blob.write(part)
                })?;
                written.push(WrittenChunk { chunk, offset, length: place.length, crc });
            }
        }
    }
    Ok(UnfinishedLayerBlob { blob, written })
}

/// Calls the function with the bytes at a place, part by part.
fn each_part(
    place: &ChunkLocation,
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
fn find_chunk(key: &Digest, store: &Store) -> Option<ChunkLocation> {
    let place = store.result::<ChunkLocation>("chunk", key)?;
    if !store.has_whole_blob(&place.layer) {
        return None;
    }

    // damaged bytes would be copied into the new layer, and its diffID, made from the files, would not match them
    let mut crc = Crc::new();
    let read = each_part(&place, store, |part| {
        crc.update(part);
        Ok(())
    });
    (read.is_ok() && crc.sum() == place.crc).then_some(place)
}

/// Makes the tar stream, hashes it, and hands members out.
struct TarStreamProducer<'a> {
    hasher: DigestHasher,
    /// The next member, always of full size; buffers come back from the workers.
    buffer: Vec<u8>,
    /// How much of the buffer the member has so far.
    filled: usize,
    spare: Receiver<Vec<u8>>,
    /// Index of the current chunk.
    chunk: usize,
    /// An older layer has the current chunk: its stream is hashed, but not compressed.
    reused: bool,
    jobs: SyncSender<CompressionJob>,
    ordered: SyncSender<BlobPiece>,
    contents: &'a ContentReader<'a>,
    reporter: &'a dyn ProgressReporter,
}

impl TarStreamProducer<'_> {
    fn layer(&mut self, chunks: &[LayerChunk], compression: Compression, store: &Store) -> Result<(), store::Error> {
        for (index, chunk) in chunks.iter().enumerate() {
            self.chunk = index;
            let place = find_chunk(&chunk.key(compression), store);
            self.reused = place.is_some();
            if let Some(place) = place {
                let _gone = self.ordered.send(BlobPiece::Copy { chunk: index, place });
            }

            for entry in &chunk.entries {
                self.bytes(&tar::header(entry));
                if let EntryKind::File(content) = &entry.kind {
                    self.file(content)?;
                    self.bytes(&tar::END[..usize::try_from(tar::padding(content.size)).expect("less than a block")]);
                }
            }
            // members end with their chunk, so that the chunk can be copied into another layer
            self.flush();
        }

        self.chunk = chunks.len();
        self.reused = false;
        self.bytes(&tar::END);
        self.flush();
        Ok(())
    }

    /// Appends bytes that are in memory.
    fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = &mut self.buffer[self.filled..];
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            bytes = later;
            self.advance(now.len());
        }
    }

    /// Appends a file, whose bytes must be those that came from the signed package: a damaged store is noticed here.
    fn file(&mut self, content: &FileContent) -> Result<(), store::Error> {
        // what this run itself wrote from a verified package was hashed a moment ago
        let mut hasher = (!self.contents.is_fresh(content)).then(DigestHasher::default);

        let mut done = 0;
        while done < content.size {
            let room = &mut self.buffer[self.filled..];
            let length = usize::try_from(content.size - done).unwrap_or(usize::MAX).min(room.len());
            self.contents.read_at(content, done, &mut room[..length])?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&room[..length]);
            }
            done += length as u64;
            self.advance(length);
        }

        match hasher.map(DigestHasher::finish) {
            Some(found) if found != content.digest => Err(self.contents.damaged(content, found)),
            _ => Ok(()),
        }
    }

    /// Notes that the member has grown by this many bytes; a full one is handed out.
    fn advance(&mut self, by: usize) {
        self.filled += by;
        if self.filled == self.buffer.len() {
            self.flush();
        }
    }

    /// Ends the member and hands it to a worker.
    fn flush(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        if filled == 0 {
            return;
        }
        // the diffID covers reused chunks, too
        self.hasher.update(&self.buffer[..filled]);
        self.reporter.event(ProgressEvent::Advanced { stage: ProgressStage::Compress, by: filled as u64 });
        if self.reused {
            return;
        }

        // workers give buffers back: a new one for each member would cost more in page faults than its bytes in copying
        let size = self.buffer.len();
        let mut next = self.spare.try_recv().unwrap_or_default();
        next.resize(size, 0);
        let buffer = std::mem::replace(&mut self.buffer, next);

        // the collector learns of the member before it is compressed: this is what keeps the order
        let (answer, member) = mpsc::sync_channel(1);
        // both receivers live until the collector meets an error, which it reports itself
        let _gone = self.ordered.send(BlobPiece::Member { chunk: self.chunk, member });
        let _gone = self.jobs.send(CompressionJob { buffer, filled, answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EventRecorder;
    use crate::tree::EntryOrigin;

    #[test]
    fn no_header_gives_rights_wherever_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let contents = ContentReader::new(&store);
        let options = LayerWriteOptions { compression: Compression::Gzip, threads: 1 };
        let origin = EntryOrigin::Package("p".to_owned());
        let write = |mode| {
            let kind = EntryKind::File(FileContent::inline(*b"x"));
            let entry =
                TreeEntry { path: "a".to_owned(), kind, mode, uid: 0, gid: 0, mtime: 0, origin: origin.clone() };
            super::write(&[LayerChunk::new("p", vec![entry])], options, &contents, &store, &EventRecorder::default())
        };
        for mode in [0o4755, 0o2755, 0o6000] {
            assert!(matches!(write(mode), Err(Error::Privileged { .. })), "{mode:o}");
        }
        assert!(write(0o1755).is_ok());
    }
}
