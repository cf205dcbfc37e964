//! Where images are: a repository of a registry, or an OCI layout folder.
//!
//! Documents are verified and kept in the store, so that reading the same image again costs no request.

use crate::oci;
use crate::oci::layout;
use crate::oci::registry;
use crate::oci::registry::FetchedManifest;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::public_name;
use crate::oci::registry::document;
use crate::oci::registry::document::ContentDescriptor;
use crate::rebase::Error;
use crate::rebase::blocking::on_pool;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use tokio::task::block_in_place;

/// Largest image configuration that is read, in bytes. Most have less than 20 kB; the history and labels of an image with
/// the most layers that engines accept still fit.
const CONFIG_LIMIT: u64 = 8 << 20;

/// A repository, or a layout folder with all its images.
#[derive(Debug, Clone)]
pub enum OpenRepository<'a> {
    /// A repository of a registry.
    Registry {
        /// The registry.
        registry: &'a RegistryClient,
        /// The repository, with its project.
        repository: String,
    },
    /// An OCI layout folder.
    Layout(PathBuf),
}

/// Where documents are kept, and who is told about downloads.
#[derive(Clone, Copy)]
pub struct DocumentReader<'a> {
    /// The store that keeps documents and downloaded blobs.
    pub store: &'a Store,
    /// The receiver of progress events.
    pub reporter: &'a dyn ProgressReporter,
}

impl DocumentReader<'_> {
    /// Tells whether the store has an undamaged blob.
    pub(crate) fn has_blob(&self, blob: &ContentDescriptor) -> bool {
        // the store hashes a blob that it has not checked since it changed, and cannot be lent to another thread
        block_in_place(|| self.store.has_blob(&blob.digest, blob.size))
    }
}

impl OpenRepository<'_> {
    /// Returns the name of an image here as people write it: `host/repository:tag` or `oci:DIR:NAME`.
    #[must_use]
    pub fn name_of(&self, reference: &str) -> String {
        match self {
            Self::Registry { registry, repository } => {
                // a tag has no colon, a digest always has one (distribution-spec, "Pulling manifests")
                let separator = if reference.contains(':') { '@' } else { ':' };
                format!("{}/{repository}{separator}{reference}", public_name(registry.url()))
            }
            Self::Layout(folder) => format!("oci:{}:{reference}", folder.display()),
        }
    }

    /// Tells whether both places are in one registry, which can mount blobs, or are the same folder.
    #[must_use]
    pub fn is_beside(&self, other: &OpenRepository<'_>) -> bool {
        match (self, other) {
            (Self::Registry { registry, .. }, OpenRepository::Registry { registry: other, .. }) => {
                registry.url() == other.url()
            }
            (Self::Layout(folder), OpenRepository::Layout(other)) => folder == other,
            _ => false,
        }
    }

    /// Returns all tags of a repository, or all names in a folder.
    pub(crate) async fn references(&self) -> Result<BTreeSet<String>, Error> {
        match self {
            Self::Registry { registry, repository } => Ok(registry.tags(repository).await?),
            Self::Layout(folder) => Ok(layout::names(folder)?),
        }
    }

    /// Returns the digest that a tag or name points to.
    pub(crate) async fn digest(&self, reference: &str) -> Result<Option<Digest>, Error> {
        let descriptor = match self {
            Self::Registry { registry, repository } => registry.head(repository, reference).await?,
            Self::Layout(folder) => layout::find(folder, reference)?,
        };
        Ok(descriptor.as_ref().and_then(oci::digest_of))
    }

    /// Tells whether there is a manifest or index with this digest.
    pub(crate) async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        match self {
            Self::Registry { .. } => Ok(self.digest(&digest.to_string()).await?.is_some()),
            Self::Layout(folder) => Ok(kept_document(folder, digest).is_some()),
        }
    }

    /// Returns a verified manifest or index by tag, name or digest; `None` if it does not exist.
    pub(crate) async fn document(
        &self,
        reference: &str,
        reader: &DocumentReader<'_>,
    ) -> Result<Option<FetchedManifest>, Error> {
        // what a digest names never changes: the store's copy is as good as the registry's
        let digest: Option<Digest> = reference.parse().ok();
        if let Some(digest) = digest
            && let Some(document) = kept_document(reader.store.folder(), &digest)
        {
            return Ok(Some(document));
        }

        let document = match self {
            Self::Registry { registry, repository } => match registry.manifest(repository, reference).await {
                Ok(document) => document,
                Err(registry::Error::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            Self::Layout(folder) => {
                let digest = match digest {
                    Some(digest) => Some(digest),
                    None => self.digest(reference).await?,
                };
                let Some(document) = digest.and_then(|digest| kept_document(folder, &digest)) else { return Ok(None) };
                document
            }
        };
        reader.store.add(&document.bytes)?;
        Ok(Some(document))
    }

    /// Returns the verified bytes of an image configuration.
    pub(crate) async fn config(&self, blob: &ContentDescriptor, reader: &DocumentReader<'_>) -> Result<Vec<u8>, Error> {
        let folder = self.folder_with(blob, CONFIG_LIMIT, reader).await?;
        let path = blob_path(&folder, &blob.digest);

        // hashed again: the bytes that are used here are the ones that must be right, and the file may change in between
        let bytes = fs::read(&path, CONFIG_LIMIT)?;
        let found = Digest::of(&bytes);
        if found == blob.digest {
            return Ok(bytes);
        }
        Err(oci::Error::Damaged { path, cause: format!("its bytes have digest {found}") }.into())
    }

    /// Returns a folder that has a blob: the layout itself, or the store after the blob was pulled into it.
    pub(crate) async fn folder_with(
        &self,
        blob: &ContentDescriptor,
        limit: u64,
        reader: &DocumentReader<'_>,
    ) -> Result<PathBuf, Error> {
        match self {
            Self::Layout(folder) => {
                let path = blob_path(folder, &blob.digest);
                // the size first: it costs nothing and reveals most damaged files
                if fs::size(&path) == Some(blob.size) && on_pool(move || fs::digest_of(&path)).await? == blob.digest {
                    return Ok(folder.clone());
                }
                let cause = format!("blob {} is missing or has other bytes", blob.digest);
                Err(oci::Error::Damaged { path: folder.clone(), cause }.into())
            }
            Self::Registry { registry, repository } => {
                // the size comes from an untrusted manifest and decides how much is downloaded
                if blob.size > limit {
                    let what = format!("read blob {} of `{repository}`", blob.digest);
                    let cause = format!("it has more than {limit} bytes");
                    return Err(registry::Error::Malformed { action: what, cause }.into());
                }
                let store = reader.store.folder();
                registry.pull_blob(repository, (blob.digest, blob.size), store, reader.reporter).await?;
                Ok(store.to_owned())
            }
        }
    }

    /// Tells whether a blob can be read without a download.
    pub(crate) fn is_at_hand(&self, blob: &ContentDescriptor, reader: &DocumentReader<'_>) -> bool {
        matches!(self, Self::Layout(_)) || reader.has_blob(blob)
    }
}

/// Returns the path of a blob in a layout folder or store (image-spec image-layout.md, "Blobs").
pub(crate) fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// Returns a verified document from a store or layout folder. A damaged one counts as missing, so that it is pulled again.
fn kept_document(folder: &Path, digest: &Digest) -> Option<FetchedManifest> {
    let bytes = fs::read(&blob_path(folder, digest), document::LIMIT).ok()?;
    if Digest::of(&bytes) != *digest {
        return None;
    }
    let document = document::read(&bytes, None).ok()?;
    Some(FetchedManifest { descriptor: oci::descriptor(&document.media_type, digest, bytes.len() as u64), bytes })
}
