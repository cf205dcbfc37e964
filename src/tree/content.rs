//! Reads the bytes of files: from the payload of unpacked packages, or from the entry itself.

use crate::store::Error;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::Content;
use crate::tree::Source;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::Mutex;

/// Opens payload files once and reads from them at any place, from any thread.
#[derive(Debug)]
pub struct Contents<'a> {
    store: &'a Store,
    open: Mutex<BTreeMap<Digest, Arc<File>>>,
    fresh: Mutex<BTreeSet<Digest>>,
}

impl<'a> Contents<'a> {
    /// Reads from the packages of this store.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self { store, open: Mutex::default(), fresh: Mutex::default() }
    }

    /// Returns the store that the payloads are in.
    #[must_use]
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Notes that this run wrote the payload of a package, and so knows that it is whole.
    ///
    /// # Panics
    /// Never in practice: a thread would have to panic while it adds to a set.
    pub fn note_fresh(&self, key: Digest) {
        self.fresh.lock().expect("no thread panics while it holds this").insert(key);
    }

    /// Tells whether the bytes are known to be whole because this run wrote them.
    ///
    /// # Panics
    /// As [`Contents::note_fresh`].
    #[must_use]
    pub fn is_fresh(&self, content: &Content) -> bool {
        match &content.source {
            Source::Inline(_) => false,
            Source::Payload { key, .. } => {
                self.fresh.lock().expect("no thread panics while it holds this").contains(key)
            }
        }
    }

    /// Fills `buffer` with the bytes of `content` from `offset` on.
    ///
    /// # Errors
    /// When the payload is missing or too short.
    pub fn read_at(&self, content: &Content, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match &content.source {
            Source::Inline(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = start.checked_add(buffer.len()).and_then(|end| bytes.get(start..end));
                buffer.copy_from_slice(part.expect("callers stay inside the content's size"));
                Ok(())
            }
            Source::Payload { key, offset: start } => {
                let path = || self.store.package(key).join("payload");
                let file = self.payload(key)?;
                file.read_exact_at(buffer, start + offset)
                    .map_err(|cause| fs::Error::new("read", &path(), cause).into())
            }
        }
    }

    /// Returns all bytes of a small file.
    ///
    /// # Errors
    /// When it is larger than `limit`, cannot be read, or has another digest.
    pub fn read(&self, content: &Content, limit: u64) -> Result<Vec<u8>, Error> {
        if content.size > limit {
            let cause = io::Error::other(format!("{} bytes are more than {limit}", content.size));
            return Err(fs::Error::new("read", std::path::Path::new(&content.digest.to_string()), cause).into());
        }
        let mut bytes = vec![0; usize::try_from(content.size).expect("bounded by the limit")];
        self.read_at(content, 0, &mut bytes)?;
        let found = Digest::of(&bytes);
        if found == content.digest { Ok(bytes) } else { Err(self.damaged(content, found)) }
    }

    /// Returns the error for bytes that are not what the package brought, after seeing to it that the next run notices.
    #[must_use]
    pub fn damaged(&self, content: &Content, found: Digest) -> Error {
        if let Source::Payload { key, .. } = &content.source {
            self.store.doubt(key);
        }
        Error::WrongDigest { expected: content.digest, found }
    }

    fn payload(&self, key: &Digest) -> Result<Arc<File>, Error> {
        let mut open = self.open.lock().expect("no thread panics while it holds this");
        if let Some(file) = open.get(key) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(fs::open(&self.store.package(key).join("payload"))?);
        open.insert(*key, Arc::clone(&file));
        Ok(file)
    }
}
