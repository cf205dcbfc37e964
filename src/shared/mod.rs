//! Results of builds, kept in a registry: a machine with an empty store finds what another one has built.
//!
//! - **In**: build keys ([`crate::build::keys`]: lock, recipes, engine), finished images.
//! - **Out**: [`SharedCache::take`] brings records and documents of known images into the store, their layers stay in
//!   the registry until somebody needs the bytes; [`SharedCache::give`] leaves an entry for others.
//! - **Invariants**: only entries signed by the key that the project names are used; an entry is bound to its build
//!   key; every blob is checked against its digest. If anything is wrong with an entry, the image is built instead.
//! - **Not here**: pushing and mounting (`oci::registry`), building (`build`).
//!
//! An entry is an OCI image manifest in the cache repository, tagged `image-<build key>`: its configuration is the
//! record of the image ([`BuiltImage`]), its layers are the image's documents and layers, so that the registry keeps
//! them and lets other repositories mount them. The newest entry of an image is also tagged `latest-<image>`: a
//! machine with an empty store that has to build the next one (a patched package) finds the unchanged layers there.

pub mod entry;
pub mod prune;
pub mod states;

pub use prune::PrunedEntries;

use crate::build::BuiltImage;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::layer::write;
use crate::oci::registry::PushOutcome;
use crate::oci::registry::PushRequest;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::error;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::shared::entry::CacheEntry;
use crate::store;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Digest;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use url::Url;

/// Why an entry cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry failed or refused.
    #[error(transparent)]
    Registry(#[from] error::Error),
    /// The entry is malformed, unsigned, or about something else.
    #[error("cannot use cache entry `{tag}`: {cause}")]
    Entry {
        /// Tag of the entry.
        tag: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::Entry { .. } => Turn::Outside,
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Entry { .. } => Vec::new(),
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }
}

impl Error {
    /// Returns the error for an entry that cannot be used.
    fn entry(tag: &str, cause: String) -> Self {
        Self::Entry { tag: tag.to_owned(), cause }
    }
}

/// The cache repository of a registry.
pub struct SharedCache<'a> {
    /// The registry.
    pub registry: &'a RegistryClient,
    /// The repository, with its project.
    pub repository: &'a str,
    /// Key whose entries are trusted; without one, no entry is read.
    pub verifier: Option<&'a VerifyingKey>,
    /// Key that signs new entries; without one, no entry is written.
    pub signer: Option<&'a SigningKey>,
    /// Where images are.
    pub store: &'a Store,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
}

/// Returns what stands for a repository of a registry in the store.
#[must_use]
pub fn place(registry: &Url, repository: &str) -> Digest {
    Digest::of(format!("{registry} {repository}").as_bytes())
}

/// Returns the tag of an entry.
fn tag(key: &Digest) -> String {
    format!("image-{}", key.hex())
}

/// Returns the second tag of an image's newest entry. Image names are file names, and so restricted that they are tags.
fn latest(image: &str) -> String {
    format!("latest-{image}")
}

impl SharedCache<'_> {
    /// Returns what stands for this registry and repository in the store.
    #[must_use]
    pub fn place(&self) -> Digest {
        place(self.registry.url(), self.repository)
    }

    /// Notes in the store that this repository has a layer.
    fn keep_elsewhere(&self, digest: &Digest) -> Result<(), store::Error> {
        let name = format!("{} {}", self.registry.url(), self.repository);
        self.store.keep_elsewhere(digest, &self.place(), &name)
    }

    /// Forgets that the cache repository has the layers of an image: they proved to be gone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, built: &BuiltImage) -> Result<(), Error> {
        for digest in built.elsewhere(self.store) {
            self.store.forget_elsewhere(&digest, &self.place())?;
        }
        Ok(())
    }

    /// Pulls the cache's records of images with these keys and names into the store, concurrently; returns how many
    /// there were. With `whole`, their layers are pulled as well. Images without an entry are built; unless `whole`,
    /// the layers of their newest entry are noted, so that unchanged ones need not be compressed again.
    pub async fn take(&self, wanted: &[(Digest, &str)], whole: bool) -> usize {
        // without a key nothing can be told from what an attacker put there
        let Some(verifier) = self.verifier else { return 0 };
        let taken = join_all(wanted.iter().map(|(key, image)| async move {
            let found = self.take_one(key, verifier, whole).await?;
            if !found && !whole {
                self.take_layers(image, verifier).await?;
            }
            Ok::<_, Error>(found)
        }))
        .await;

        // the cache only saves work: without an entry the image is built here, so no failure ends the run
        let mut count = 0;
        for result in taken {
            match result {
                Ok(found) => count += usize::from(found),
                Err(error) => self.reporter.event(ProgressEvent::Warning(format!("{error}: the image is built here"))),
            }
        }
        count
    }

    /// Reads the record of an entry, if there is one. It must answer `key`; without one, the key that it names itself.
    async fn built(
        &self,
        tag: String,
        key: Option<&Digest>,
        verifier: &VerifyingKey,
    ) -> Result<Option<BuiltImage>, Error> {
        let manifest = match self.registry.manifest(self.repository, &tag).await {
            Err(error::Error::Missing { .. }) => return Ok(None),
            other => other?,
        };

        // the signature covers the key: an entry cannot answer another key than the one it was signed for
        let key = match key {
            Some(key) => *key,
            None => entry::key(&manifest.bytes).map_err(|cause| Error::entry(&tag, cause))?,
        };
        let entry = CacheEntry::read(&manifest.bytes, &key, verifier).map_err(|cause| Error::entry(&tag, cause))?;

        // pulled by the digest that was signed, with a size that was checked
        let record = entry.record();
        self.registry.pull_blob(self.repository, record, self.store.folder(), self.reporter).await?;
        let bytes = fs::read(&self.store.blob(&record.0), record.1)?;
        entry.built(&bytes, &key).map(Some).map_err(|cause| Error::entry(&tag, cause))
    }

    /// Pulls the entry of one key; tells whether there was one.
    async fn take_one(&self, key: &Digest, verifier: &VerifyingKey, whole: bool) -> Result<bool, Error> {
        let Some(built) = self.built(tag(key), Some(key), verifier).await? else { return Ok(false) };

        let into = self.store.folder();
        let documents = built.knowledge();
        let pulls = documents.iter().map(|(digest, size)| {
            let blob = (*digest, *size);
            self.registry.pull_blob(self.repository, blob, into, self.reporter)
        });
        for result in join_all(pulls).await {
            result?;
        }

        if whole {
            self.bring(&built).await?;
        } else {
            // a note instead of the bytes: the registry can mount a layer that nobody here reads
            for (digest, size) in built.layers() {
                if !self.store.has_blob(&digest, size) {
                    self.keep_elsewhere(&digest)?;
                }
            }
        }

        // the record comes last: it makes the image known, which needs everything above
        self.store.keep("image", key, &built)?;
        Ok(true)
    }

    /// Notes where the layers of an image's newest entry are, whatever its build key.
    async fn take_layers(&self, image: &str, verifier: &VerifyingKey) -> Result<(), Error> {
        let Some(built) = self.built(latest(image), None, verifier).await? else { return Ok(()) };
        for layer in built.platforms.iter().flat_map(|platform| &platform.layers) {
            // a layer is found again by the key of its content; one without a key is of no use
            let Some(key) = &layer.key else { continue };
            if write::find(key, self.store, Some(&self.place())).is_none() {
                self.keep_elsewhere(&layer.blob.digest)?;
                write::remember(key, &layer.blob, self.store)?;
            }
        }
        Ok(())
    }

    /// Pulls the layers of an image that are not in the store.
    ///
    /// # Errors
    /// When the cache repository no longer has them.
    pub async fn bring(&self, built: &BuiltImage) -> Result<(), Error> {
        let missing: BTreeSet<(Digest, u64)> =
            built.layers().filter(|(digest, size)| !self.store.has_blob(digest, *size)).collect();

        let into = self.store.folder();
        let pulls = missing.into_iter().map(|blob| self.registry.pull_blob(self.repository, blob, into, self.reporter));
        for result in join_all(pulls).await {
            result?;
        }
        Ok(())
    }

    /// Writes an entry for an image that was just pushed to `repository` of the same registry, from where its layers
    /// can be mounted. Does nothing without a signing key, or if there is an entry already. An image that was built
    /// in spite of its entry gets a new one: the layers of the old one may be gone.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn give(&self, built: &BuiltImage, repository: &str) -> Result<Option<PushOutcome>, Error> {
        let Some(signer) = self.signer else { return Ok(None) };
        let tag = tag(&built.key);
        if !built.new && self.registry.head(self.repository, &tag).await?.is_some() {
            return Ok(None);
        }

        let (record, manifest) = entry::write(built, signer, clock::now());
        self.store.add(&record)?;
        let digest = self.store.add(&manifest)?;

        let target = crate::oci::descriptor(entry::MEDIA_TYPE, &digest, manifest.len() as u64);
        let elsewhere = built.elsewhere(self.store);
        let push = PushRequest {
            layout: self.store.folder(),
            target: &target,
            repository: self.repository,
            tags: &[tag, latest(&built.image)],
            mount_from: &[repository.to_owned()],
            // these were never pulled: the registry mounts them, or has them in the cache repository
            elsewhere: &elsewhere,
            chunk: None,
            is_new: true,
        };
        Ok(Some(self.registry.push(&push, self.reporter).await?))
    }
}
