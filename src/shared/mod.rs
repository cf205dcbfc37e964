//! Results of builds, kept in the registry: an empty machine finds what another one has built.
//!
//! - **In**: build keys ([`crate::build::keys`]: lock, recipes, engine), finished images.
//! - **Out**: [`SharedCache::take`] brings records and documents of known images into the store, their layers stay in the registry
//!   until somebody needs the bytes; [`SharedCache::give`] leaves an entry for others.
//! - **Invariants**: what is not signed by the key that the project names is not used; an entry is bound to its build
//!   key; every blob is checked against its digest. Whatever is wrong with an entry, the image is built instead.
//! - **Not here**: pushing and mounting (`oci::registry`), building (`build`).
//!
//! An entry is an OCI image manifest in the cache repository, tagged `image-<build key>`: its configuration is the
//! record of the image ([`BuiltImage`]), its layers are the image's documents and layers, so that the registry keeps them
//! and lets other repositories mount them. The newest entry of an image is also tagged `latest-<image>`: a machine with
//! nothing that has to build the next one (a patched package) finds the layers there that stay as they are.

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

/// Why an entry was not taken or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] error::Error),
    /// It is not what it should be.
    #[error("cannot use cache entry `{tag}`: {cause}")]
    Entry {
        /// Its tag.
        tag: String,
        /// What is wrong.
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

/// The cache repository of a registry.
pub struct SharedCache<'a> {
    /// The registry.
    pub registry: &'a RegistryClient,
    /// The repository, with its project.
    pub repository: &'a str,
    /// Whose entries are taken; without it none is.
    pub verifier: Option<&'a VerifyingKey>,
    /// Signs entries that are given; without it none is.
    pub signer: Option<&'a SigningKey>,
    /// Where images are.
    pub store: &'a Store,
    /// Hears what is going on.
    pub reporter: &'a dyn ProgressReporter,
}

/// Returns what stands for a repository of a registry in the store.
#[must_use]
pub fn place(registry: &Url, repository: &str) -> Digest {
    Digest::of(format!("{registry} {repository}").as_bytes())
}

/// How an entry is named.
fn tag(key: &Digest) -> String {
    format!("image-{}", key.hex())
}

/// How the newest entry of an image is named besides. Image names are tags themselves: the names of their files.
fn latest(image: &str) -> String {
    format!("latest-{image}")
}

impl SharedCache<'_> {
    /// Returns what stands for this registry and repository in the store.
    #[must_use]
    pub fn place(&self) -> Digest {
        place(self.registry.url(), self.repository)
    }

    fn keep_elsewhere(&self, digest: &Digest) -> Result<(), store::Error> {
        let name = format!("{} {}", self.registry.url(), self.repository);
        self.store.keep_elsewhere(digest, &self.place(), &name)
    }

    /// Forgets that layers of an image are here: they proved to be gone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, built: &BuiltImage) -> Result<(), Error> {
        for digest in built.elsewhere(self.store) {
            self.store.forget_elsewhere(&digest, &self.place())?;
        }
        Ok(())
    }

    /// Brings what the cache knows about images of these keys and names into the store, all at once; returns how many it
    /// knew. With `whole`, their layers come as well. What cannot be had is built; unless `whole`, its earlier version's
    /// layers are remembered for that.
    pub async fn take(&self, wanted: &[(Digest, &str)], whole: bool) -> usize {
        let Some(verifier) = self.verifier else { return 0 };
        let taken = join_all(wanted.iter().map(|(key, image)| async move {
            let found = self.take_one(key, verifier, whole).await?;
            if !found && !whole {
                self.take_layers(image, verifier).await?;
            }
            Ok::<_, Error>(found)
        }))
        .await;
        let mut count = 0;
        for result in taken {
            match result {
                Ok(found) => count += usize::from(found),
                Err(error) => self.reporter.event(ProgressEvent::Warning(format!("{error}: the image is built here"))),
            }
        }
        count
    }

    /// Reads the record of an entry; none when there is no such entry. It answers `key`, or without one the key that it
    /// names itself.
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
        let wrong = |cause: String| Error::Entry { tag: tag.clone(), cause };
        let key = key.map_or_else(|| entry::key(&manifest.bytes), |key| Ok(*key)).map_err(wrong)?;
        let entry = CacheEntry::read(&manifest.bytes, &key, verifier).map_err(wrong)?;
        let record = entry.record();
        self.registry.pull_blob(self.repository, record, self.store.folder(), self.reporter).await?;
        let bytes = fs::read(&self.store.blob(&record.0), record.1)?;
        entry.built(&bytes, &key).map(Some).map_err(wrong)
    }

    async fn take_one(&self, key: &Digest, verifier: &VerifyingKey, whole: bool) -> Result<bool, Error> {
        let Some(built) = self.built(tag(key), Some(key), verifier).await? else { return Ok(false) };
        let into = self.store.folder();
        let documents = built.documents();
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
            for (digest, size) in built.layers() {
                if !self.store.has_blob(&digest, size) {
                    self.keep_elsewhere(&digest)?;
                }
            }
        }
        self.store.keep("image", key, &built)?;
        Ok(true)
    }

    /// Remembers where the layers of an image's newest entry are, whatever its build key.
    async fn take_layers(&self, image: &str, verifier: &VerifyingKey) -> Result<(), Error> {
        let Some(built) = self.built(latest(image), None, verifier).await? else { return Ok(()) };
        for layer in built.platforms.iter().flat_map(|platform| &platform.layers) {
            let Some(key) = &layer.key else { continue };
            if write::find(key, self.store, Some(&self.place())).is_none() {
                self.keep_elsewhere(&layer.blob.digest)?;
                write::remember(key, &layer.blob, self.store)?;
            }
        }
        Ok(())
    }

    /// Brings the layers of an image that are not in the store.
    ///
    /// # Errors
    /// When the cache does not have them any more.
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

    /// Leaves an entry for an image that was just pushed to `repository` of the same registry, where its layers can be
    /// mounted from; nothing when nobody can sign it, or there is one already. An image that was built although there is
    /// one gets it again: its layers may be gone.
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
            elsewhere: &elsewhere,
            chunk: None,
            is_new: true,
        };
        Ok(Some(self.registry.push(&push, self.reporter).await?))
    }
}
