//! What a repository has: its tags, page by page, and taking a manifest away (distribution-spec, "Listing Tags",
//! "Deleting Manifests").

use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Call;
use crate::oci::registry::token::Scope;
use crate::sys::http::Body;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::values::Digest;
use serde::Deserialize;

/// Tags that are asked for at a time, and most pages.
const PAGE: usize = 1000;
const MOST_PAGES: usize = 1000;

/// Largest page.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Returns all tags of a repository; none when there is no such repository.
    ///
    /// # Errors
    /// When the registry cannot be asked, refuses, or answers nonsense.
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        check_repository(repository)?;
        let what = format!("list tags of `{repository}`");
        let scope = &Scope::pull(repository);
        let malformed = |cause: String| Error::Malformed { what: what.clone(), cause };
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut url = self.path(&format!("{repository}/tags/list"));
            url.query_pairs_mut().append_pair("n", &PAGE.to_string());
            if let Some(last) = tags.last() {
                url.query_pairs_mut().append_pair("last", last);
            }
            let request = Request::new(Method::GET, url, Body::Empty);
            let mut answer = self.send(&Call { what: &what, scope, request }).await?;
            if answer.status() == 404 {
                answer.drain().await;
                return Ok(tags);
            }
            if answer.status() != 200 {
                return Err(self.refused(&what, answer).await);
            }
            let bytes = answer.read(MOST_BYTES).await.map_err(|_| malformed("the list breaks off".to_owned()))?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
            let page = page.tags.unwrap_or_default();
            // tags come sorted; a registry that knows no pages gives all of them again
            let new: Vec<String> = page.into_iter().filter(|tag| tags.last().is_none_or(|last| tag > last)).collect();
            let is_last = new.len() < PAGE;
            tags.extend(new);
            if is_last {
                return Ok(tags);
            }
        }
        Err(malformed(format!("it has more than {} tags", PAGE * MOST_PAGES)))
    }

    /// Deletes a manifest with all its tags; one that is not there is fine.
    ///
    /// # Errors
    /// When the registry refuses, as registries do where deleting is switched off.
    pub async fn delete(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        check_repository(repository)?;
        let what = format!("delete manifest `{digest}` of `{repository}`");
        let request = self.manifest_request(Method::DELETE, repository, &digest.to_string());
        let scope = &Scope::delete(repository);
        let answer = self.send(&Call { what: &what, scope, request }).await?;
        match answer.status() {
            200 | 202 | 404 => {
                answer.drain().await;
                Ok(())
            }
            _ => Err(self.refused(&what, answer).await),
        }
    }
}
