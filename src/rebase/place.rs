//! Where images are: a repository of a registry, or an OCI layout folder. Documents are read with suspicion and kept in the
//! store, so that the next look at the same image costs nothing.

use crate::oci;
use crate::oci::layout;
use crate::oci::registry;
use crate::oci::registry::Manifest;
use crate::oci::registry::Registry;
use crate::oci::registry::document;
use crate::oci::registry::document::Named;
use crate::rebase::Error;
use crate::report::Reporter;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Largest configuration that is read.
const CONFIG_LIMIT: u64 = 8 << 20;

/// A repository, or a layout folder with all its images.
#[derive(Debug, Clone)]
pub enum Place<'a> {
    /// A repository of a registry.
    Registry {
        /// The registry.
        registry: &'a Registry,
        /// The repository, with its project.
        repository: String,
    },
    /// An OCI layout folder.
    Layout(PathBuf),
}

/// Where documents are kept, and who hears about downloads.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The store.
    pub store: &'a Store,
    /// Hears what is going on.
    pub reporter: &'a dyn Reporter,
}

impl Place<'_> {
    /// Returns how people write an image here: `host/repository:tag` or `oci:DIR:NAME`.
    #[must_use]
    pub fn name_of(&self, reference: &str) -> String {
        match self {
            Self::Registry { registry, repository } => {
                let port = registry.url().port().map(|port| format!(":{port}")).unwrap_or_default();
                let separator = if reference.contains(':') { '@' } else { ':' };
                format!("{}{port}/{repository}{separator}{reference}", registry.url().host_str().unwrap_or_default())
            }
            Self::Layout(folder) => format!("oci:{}:{reference}", folder.display()),
        }
    }

    /// Tells whether blobs of the other place need not travel to get here.
    #[must_use]
    pub fn is_beside(&self, other: &Place<'_>) -> bool {
        match (self, other) {
            (Self::Registry { registry, .. }, Place::Registry { registry: other, .. }) => registry.url() == other.url(),
            (Self::Layout(folder), Place::Layout(other)) => folder == other,
            _ => false,
        }
    }

    /// Returns all tags (of a folder: all names).
    pub(crate) async fn references(&self) -> Result<BTreeSet<String>, Error> {
        match self {
            Self::Registry { registry, repository } => Ok(registry.tags(repository).await?),
            Self::Layout(folder) => Ok(layout::names(folder)?),
        }
    }

    /// Returns the digest that a tag or name stands for.
    pub(crate) async fn digest(&self, reference: &str) -> Result<Option<Digest>, Error> {
        let found = match self {
            Self::Registry { registry, repository } => registry.head(repository, reference).await?,
            Self::Layout(folder) => layout::find(folder, reference)?,
        };
        Ok(found.as_ref().and_then(oci::digest_of))
    }

    /// Tells whether there is a manifest or index of this digest.
    pub(crate) async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        match self {
            Self::Registry { .. } => Ok(self.digest(&digest.to_string()).await?.is_some()),
            Self::Layout(folder) => Ok(kept(folder, digest).is_some()),
        }
    }

    /// Returns a manifest or index by tag, name or digest, verified; `None` where it is not there.
    pub(crate) async fn document(&self, reference: &str, reader: &Reader<'_>) -> Result<Option<Manifest>, Error> {
        let digest: Option<Digest> = reference.parse().ok();
        if let Some(digest) = digest
            && let Some(found) = kept(reader.store.folder(), &digest)
        {
            return Ok(Some(found));
        }
        match self {
            Self::Registry { registry, repository } => match registry.manifest(repository, reference).await {
                Ok(found) => {
                    reader.store.add(&found.bytes)?;
                    Ok(Some(found))
                }
                Err(registry::Error::Missing { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Layout(folder) => {
                let digest = match digest {
                    Some(digest) => Some(digest),
                    None => self.digest(reference).await?,
                };
                let Some(found) = digest.and_then(|digest| kept(folder, &digest)) else { return Ok(None) };
                reader.store.add(&found.bytes)?;
                Ok(Some(found))
            }
        }
    }

    /// Returns the bytes of a configuration.
    pub(crate) async fn config(&self, blob: &Named, reader: &Reader<'_>) -> Result<Vec<u8>, Error> {
        let folder = self.folder_with(blob, CONFIG_LIMIT, reader).await?;
        let path = path(&folder, &blob.digest);
        let bytes = fs::read(&path, CONFIG_LIMIT)?;
        let found = Digest::of(&bytes);
        if found == blob.digest {
            return Ok(bytes);
        }
        Err(oci::Error::Damaged { path, cause: format!("its bytes have digest {found}") }.into())
    }

    /// Returns a folder that has a blob: the layout, or the store once the blob is there.
    pub(crate) async fn folder_with(&self, blob: &Named, limit: u64, reader: &Reader<'_>) -> Result<PathBuf, Error> {
        match self {
            Self::Layout(folder) => {
                let path = path(folder, &blob.digest);
                if fs::size(&path) == Some(blob.size) && fs::digest_of(&path)? == blob.digest {
                    return Ok(folder.clone());
                }
                let cause = format!("blob {} is missing or has other bytes", blob.digest);
                Err(oci::Error::Damaged { path: folder.clone(), cause }.into())
            }
            Self::Registry { registry, repository } => {
                let store = reader.store.folder();
                if blob.size > limit {
                    let what = format!("read blob {} of `{repository}`", blob.digest);
                    let cause = format!("it has more than {limit} bytes");
                    return Err(registry::Error::Malformed { action: what, cause }.into());
                }
                registry.pull_blob(repository, (blob.digest, blob.size), store, reader.reporter).await?;
                Ok(store.to_owned())
            }
        }
    }

    /// Tells whether reading a blob moves no bytes over the network.
    pub(crate) fn is_at_hand(&self, blob: &Named, reader: &Reader<'_>) -> bool {
        matches!(self, Self::Layout(_)) || reader.store.has_blob(&blob.digest, blob.size)
    }
}

/// Returns where a folder has a blob, or would have.
pub(crate) fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// Returns a document that a store or layout folder has.
fn kept(folder: &Path, digest: &Digest) -> Option<Manifest> {
    let bytes = fs::read(&path(folder, digest), document::LIMIT).ok()?;
    let sound = Digest::of(&bytes) == *digest;
    let document = document::read(&bytes, None).ok().filter(|_| sound)?;
    Some(Manifest { descriptor: oci::descriptor(&document.media_type, digest, bytes.len() as u64), bytes })
}
