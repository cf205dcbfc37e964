//! Blobs that a registry has somewhere already: found or mounted without their bytes; the few others sent from a folder;
//! and which tags a repository has.

use crate::oci::registry::Blobs;
use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Call;
use crate::oci::registry::session::Trouble;
use crate::oci::registry::token::Scope;
use crate::oci::registry::upload::Uploads;
use crate::oci::registry::upload::Way;
use crate::sys::http::Body;
use crate::sys::http::Method;
use crate::sys::http::Request;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use tokio::sync::OnceCell;

/// Tags that one request asks for, and most that are taken of one repository.
const PAGE: usize = 1000;
const MOST_TAGS: usize = 10_000;

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

    /// Returns the tags of a repository, sorted; none where there is no such repository.
    ///
    /// # Errors
    /// When the registry cannot be asked, refuses, or has more tags than anybody can look through.
    pub async fn tags(&self, repository: &str) -> Result<BTreeSet<String>, Error> {
        check_repository(repository)?;
        let what = format!("list the tags of `{repository}`");
        let malformed = |cause: &str| Error::Malformed { what: what.clone(), cause: cause.to_owned() };
        let mut tags: BTreeSet<String> = BTreeSet::new();
        // the specification's `last` instead of what a `Link` header names: no answer decides where a token goes
        let mut last: Option<String> = None;
        loop {
            let mut url = self.path(&format!("{repository}/tags/list"));
            url.query_pairs_mut().append_pair("n", &PAGE.to_string());
            if let Some(last) = &last {
                url.query_pairs_mut().append_pair("last", last);
            }
            let request = Request::new(Method::GET, url, Body::Empty);
            let answer = self.send(&Call { what: &what, scope: &Scope::pull(repository), request }).await?;
            match answer.status() {
                200 => {}
                404 => {
                    answer.drain().await;
                    return Ok(tags);
                }
                _ => return Err(self.refused(&what, answer).await),
            }
            let has_more = answer.header("link").is_some_and(|link| link.contains("next"));
            let bytes =
                answer.bytes(document::LIMIT).await.map_err(|_| malformed("the answer is too long or broke"))?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|_| malformed("it is no list of tags"))?;
            let page = page.tags.unwrap_or_default();
            let before = tags.len();
            last = page.last().cloned();
            tags.extend(page);
            if tags.len() > MOST_TAGS {
                return Err(malformed(&format!("it has more than {MOST_TAGS} tags")));
            }
            if !has_more || tags.len() == before {
                return Ok(tags);
            }
        }
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

/// Answer of `GET /v2/<name>/tags/list` (distribution-spec, "Listing Tags").
#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}
