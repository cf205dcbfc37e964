//! What a repository has: its tags, page by page, and taking a manifest away (distribution-spec, "Listing Tags",
//! "Deleting Manifests").

use crate::oci::registry::Registry;
use crate::oci::registry::address::LONGEST_TAG;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Call;
use crate::oci::registry::token::Scope;
use crate::sys::http::Body;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::values::Digest;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Tags that one request asks for, and most that are taken of one repository.
const PAGE: usize = 1000;
const MOST_TAGS: usize = 100_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
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
            if page.iter().any(|tag| tag.len() > LONGEST_TAG) {
                return Err(malformed("it has texts that are no tags"));
            }
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
