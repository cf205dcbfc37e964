//! Lists the tags of a repository, page by page, and deletes manifests (distribution-spec, "Listing Tags", "Deleting
//! Manifests").

use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::LONGEST_TAG;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::RegistryRequest;
use crate::oci::registry::token::TokenScope;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::values::Digest;
use serde::Deserialize;
use std::collections::BTreeSet;
use url::Url;

/// Tags of one page: as many as registries commonly allow.
const PAGE: usize = 1000;

/// Most tags of one repository: a registry must not fill our memory.
const MOST_TAGS: usize = 100_000;

/// One page of a repository's tags.
#[derive(Deserialize)]
struct TagPage {
    /// `null` in some registries when there are none.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl RegistryClient {
    /// Returns the tags of a repository, sorted. A repository that does not exist has none.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses the request, or has too many tags.
    pub async fn tags(&self, repository: &str) -> Result<BTreeSet<String>, Error> {
        check_repository(repository)?;

        let action = format!("list the tags of `{repository}`");
        let mut tags: BTreeSet<String> = BTreeSet::new();
        // `last` of the specification instead of the address in the `Link` header: no answer decides where a token goes
        let mut last: Option<String> = None;
        loop {
            let request = HttpRequest::new(Method::GET, self.page_url(repository, last.as_deref()), RequestBody::Empty);
            let answer =
                self.send(&RegistryRequest { action: &action, scope: &TokenScope::pull(repository), request }).await?;
            match answer.status() {
                200 => {}
                404 => {
                    answer.drain().await;
                    return Ok(tags);
                }
                _ => return Err(self.refused(&action, answer).await),
            }

            let has_more = answer.header("link").is_some_and(|link| link.contains("next"));
            let page = read_page(answer).await.map_err(|cause| malformed(&action, cause))?;
            let before = tags.len();
            last = page.last().cloned();
            tags.extend(page);

            if tags.len() > MOST_TAGS {
                return Err(malformed(&action, format!("it has more than {MOST_TAGS} tags")));
            }
            // a registry that ignores `last` repeats its first page: without new tags there are no more
            if !has_more || tags.len() == before {
                return Ok(tags);
            }
        }
    }

    /// Returns the address of the page of tags that follows the tag `last`.
    fn page_url(&self, repository: &str, last: Option<&str>) -> Url {
        let mut url = self.path(&format!("{repository}/tags/list"));
        url.query_pairs_mut().append_pair("n", &PAGE.to_string());
        if let Some(last) = last {
            url.query_pairs_mut().append_pair("last", last);
        }
        url
    }

    /// Tells whether a repository has a blob.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses the request.
    pub async fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        check_repository(repository)?;
        self.has_blob_within(repository, digest, &TokenScope::pull(repository)).await
    }

    /// As [`RegistryClient::has_blob`], with a token that the caller needs anyway.
    pub(super) async fn has_blob_within(
        &self,
        repository: &str,
        digest: &Digest,
        scope: &TokenScope,
    ) -> Result<bool, Error> {
        let action = format!("look up blob {digest} of `{repository}`");
        let url = self.path(&format!("{repository}/blobs/{digest}"));
        let request = HttpRequest::new(Method::HEAD, url, RequestBody::Empty);
        let answer = self.send(&RegistryRequest { action: &action, scope, request }).await?;
        self.exists_by(&action, answer).await
    }

    /// Tells whether a blob exists, by the answer to a HEAD request for it.
    pub(super) async fn exists_by(&self, action: &str, answer: HttpResponse) -> Result<bool, Error> {
        match answer.status() {
            status @ (200 | 404) => {
                answer.drain().await;
                Ok(status == 200)
            }
            _ => Err(self.refused(action, answer).await),
        }
    }

    /// Deletes a manifest with all its tags. A manifest that does not exist is no error.
    ///
    /// # Errors
    /// When the registry refuses the request, as many do because deletion is disabled.
    pub async fn delete(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        check_repository(repository)?;

        let action = format!("delete manifest `{digest}` of `{repository}`");
        let request = self.manifest_request(Method::DELETE, repository, &digest.to_string());
        let answer =
            self.send(&RegistryRequest { action: &action, scope: &TokenScope::delete(repository), request }).await?;

        match answer.status() {
            200 | 202 | 404 => {
                answer.drain().await;
                Ok(())
            }
            _ => Err(self.refused(&action, answer).await),
        }
    }
}

/// Reads the tags in an answer, in its order.
async fn read_page(answer: HttpResponse) -> Result<Vec<String>, String> {
    let bytes = answer.bytes(document::LIMIT).await.map_err(|_| "the answer is too long or broke off")?;
    let page: TagPage = serde_json::from_slice(&bytes).map_err(|_| "the answer is not a list of tags")?;

    // tags go into messages and requests; the specification allows no longer ones
    let tags = page.tags.unwrap_or_default();
    if tags.iter().any(|tag| tag.len() > LONGEST_TAG) {
        return Err("the answer has tags that are too long".to_owned());
    }
    Ok(tags)
}

/// Returns the error for an answer that is not a usable list of tags.
fn malformed(action: &str, cause: String) -> Error {
    Error::Malformed { action: action.to_owned(), cause }
}
