//! Blobs that a registry has somewhere already: found or mounted without their bytes; the few others sent from a folder.

use crate::oci::registry::Blobs;
use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Trouble;
use crate::oci::registry::token::Scope;
use crate::oci::registry::upload::Uploads;
use crate::oci::registry::upload::Way;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use std::path::Path;
use std::sync::Mutex;
use tokio::sync::OnceCell;

/// What became of blobs that were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Blobs that other repositories had.
    pub mounted: Blobs,
    /// Blobs that were there.
    pub skipped: Blobs,
    /// Blobs that nobody has, or that we may not mount.
    pub missing: Vec<Named>,
}

impl Registry {
    /// Has the repository get blobs that it may have, or that a repository to mount from has. No blob is read or sent.
    ///
    /// # Errors
    /// When the registry cannot be asked or refuses.
    pub async fn gather(&self, repository: &str, mount_from: &[String], blobs: &[Named]) -> Result<Gathered, Error> {
        let uploads = &self.uploads(repository, mount_from, Path::new(""))?;
        let find = |blob: &Named| {
            let blob = blob.clone();
            async move {
                if uploads.has(&blob).await? {
                    return Ok::<_, Error>((blob, Some(Way::Skipped)));
                }
                let is_mounted = uploads.take_over(&blob).await?;
                Ok((blob, is_mounted.then_some(Way::Mounted)))
            }
        };
        self.greet().await?;
        let found = stream::iter(blobs.iter().map(find)).buffered(self.host.parallel());
        let mut gathered = Gathered::default();
        for (blob, way) in found.try_collect::<Vec<_>>().await? {
            match way {
                Some(Way::Mounted) => gathered.mounted.add(&blob),
                Some(_) => gathered.skipped.add(&blob),
                None => gathered.missing.push(blob),
            }
        }
        Ok(gathered)
    }

    /// Sends blobs from a store or layout folder (`<folder>/blobs/sha256/`), unless they are there.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a blob that is not what its digest says, others as named.
    pub async fn send_blobs(&self, repository: &str, folder: &Path, blobs: &[Named]) -> Result<Blobs, Error> {
        let uploads = &self.uploads(repository, &[], folder)?;
        let send = |blob: &Named| {
            let blob = blob.clone();
            async move {
                let is_there = uploads.has(&blob).await?;
                if !is_there {
                    uploads.bring(&blob).await?;
                }
                Ok::<_, Error>((!is_there).then_some(blob))
            }
        };
        self.greet().await?;
        let work = stream::iter(blobs.iter().map(send)).buffered(self.host.parallel());
        let mut sent = Blobs::default();
        work.try_collect::<Vec<_>>().await?.iter().flatten().for_each(|blob| sent.add(blob));
        Ok(sent)
    }

    fn uploads<'a>(
        &'a self,
        repository: &'a str,
        mount_from: &'a [String],
        folder: &Path,
    ) -> Result<Uploads<'a>, Error> {
        check_repository(repository)?;
        mount_from.iter().try_for_each(|from| check_repository(from))?;
        Ok(Uploads {
            registry: self,
            repository,
            scope: Scope::push(repository, mount_from.iter().map(String::as_str)),
            layout: folder.to_owned(),
            mount_from,
            sources: OnceCell::new(),
            unusable: Mutex::default(),
            chunk: None,
            sent: std::sync::Arc::default(),
        })
    }
}

impl Uploads<'_> {
    /// Mounts a blob, if a repository has it that we may mount from. The session that is opened where that does not work
    /// is left to the registry, which ends it by itself.
    async fn take_over(&self, blob: &Named) -> Result<bool, Error> {
        if self.mount_from.is_empty() {
            return Ok(false);
        }
        let mut failures = 0;
        loop {
            match self.attempt_mount(blob).await {
                Ok(is_mounted) => return Ok(is_mounted),
                Err(trouble) => self.registry.rest(trouble, &mut failures).await?,
            }
        }
    }

    async fn attempt_mount(&self, blob: &Named) -> Result<bool, Trouble> {
        let what = format!("mount blob {} in `{}`", blob.digest, self.repository);
        let Some(from) = self.source(blob).await? else { return Ok(false) };
        let start = self.mount(&what, blob, &from).await?;
        Ok(start.is_some_and(|start| start.is_mounted()))
    }
}
