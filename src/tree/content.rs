//! Reads file contents: from the payload of an unpacked package in the store, or from the entry itself.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::ContentSource;
use crate::tree::FileContent;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

/// Opens each payload file once, and reads from it at any offset and from any thread.
#[derive(Debug)]
pub struct ContentReader<'a> {
    store: &'a Store,
    /// Open payload files by package key.
    open: Mutex<BTreeMap<Digest, Arc<File>>>,
    /// Keys of the packages that this run unpacked.
    fresh: Mutex<BTreeSet<Digest>>,
}

impl<'a> ContentReader<'a> {
    /// Returns a reader for the packages of this store.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self { store, open: Mutex::default(), fresh: Mutex::default() }
    }

    /// Returns the store that has the payloads.
    #[must_use]
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Notes that this run wrote the payload of a package and therefore knows that it is intact.
    ///
    /// # Panics
    /// Never in practice: no thread panics while it holds the lock.
    pub fn note_fresh(&self, key: Digest) {
        self.fresh.lock().expect("no thread panics while it holds this").insert(key);
    }

    /// Tells whether the bytes are known to be intact because this run wrote them.
    ///
    /// # Panics
    /// As [`ContentReader::note_fresh`].
    #[must_use]
    pub fn is_fresh(&self, content: &FileContent) -> bool {
        match &content.source {
            // hashed in any case: the entry may come from a tree that the store kept
            ContentSource::Inline(_) => false,
            ContentSource::Payload { key, .. } => {
                self.fresh.lock().expect("no thread panics while it holds this").contains(key)
            }
        }
    }

    /// Fills `buffer` with the bytes of `content`, starting at `offset`.
    ///
    /// # Errors
    /// When the payload is missing or too short.
    pub fn read_at(&self, content: &FileContent, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match &content.source {
            ContentSource::Inline(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let range = start.checked_add(buffer.len()).and_then(|end| bytes.get(start..end));
                buffer.copy_from_slice(range.expect("callers stay inside the content's size"));
                Ok(())
            }
            ContentSource::Payload { key, offset: start } => {
                // a read at an offset does not move the file's position, so threads share one open file
                let file = self.payload(key)?;
                file.read_exact_at(buffer, start + offset)
                    .map_err(|cause| fs::Error::new("read", &self.payload_path(key), cause).into())
            }
        }
    }

    /// Returns all bytes of a small file.
    ///
    /// # Errors
    /// When it is larger than `limit`, cannot be read, or does not have its digest.
    pub fn read(&self, content: &FileContent, limit: u64) -> Result<Vec<u8>, Error> {
        if content.size > limit {
            let cause = io::Error::other(format!("{} bytes are more than {limit}", content.size));
            return Err(fs::Error::new("read", Path::new(&content.digest.to_string()), cause).into());
        }

        let mut bytes = vec![0; usize::try_from(content.size).expect("bounded by the limit")];
        self.read_at(content, 0, &mut bytes)?;

        // the disk may have damaged the payload since it was unpacked
        let found = Digest::of(&bytes);
        if found == content.digest { Ok(bytes) } else { Err(self.damaged(content, found)) }
    }

    /// Returns the error for bytes that differ from those in the package. Marks the package as doubtful first, so that the
    /// next run unpacks it again.
    #[must_use]
    pub fn damaged(&self, content: &FileContent, found: Digest) -> Error {
        if let ContentSource::Payload { key, .. } = &content.source {
            self.store.doubt(key);
        }
        Error::WrongDigest { expected: content.digest, found }
    }

    /// Returns the open payload file of a package.
    fn payload(&self, key: &Digest) -> Result<Arc<File>, Error> {
        // held while the file is opened: two threads must not open it twice
        let mut open = self.open.lock().expect("no thread panics while it holds this");
        if let Some(file) = open.get(key) {
            return Ok(Arc::clone(file));
        }

        let file = Arc::new(fs::open(&self.payload_path(key))?);
        open.insert(*key, Arc::clone(&file));
        Ok(file)
    }

    /// Returns where the store keeps the payload of a package.
    fn payload_path(&self, key: &Digest) -> PathBuf {
        self.store.package(key).join("payload")
    }
}
