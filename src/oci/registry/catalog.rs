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
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Tags of one page: as many as registries commonly allow.
const PAGE: usize = 1000;

/// Most tags of one repository: a registry must not fill our memory.
const MOST_TAGS: usize = 100_000;

/// Most pages of one list: some registries give short pages whatever they are asked for.
const MOST_PAGES: usize = 10_000;

/// Longest query of a next page. Registries keep their state in it.
const LONGEST_QUERY: usize = 8 << 10;

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
        let scope = TokenScope::pull(repository);
        let (mut tags, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut url = self.path(&format!("{repository}/tags/list"));
        url.set_query(Some(&format!("n={PAGE}")));
        loop {
            let request = HttpRequest::new(Method::GET, url.clone(), RequestBody::Empty);
            let answer = self.send(&RegistryRequest { action: &action, scope: &scope, request }).await?;
            match answer.status() {
                200 => {}
                // a page that is gone makes a list that is not complete
                404 if seen.is_empty() => {
                    answer.drain().await;
                    return Ok(tags);
                }
                _ => return Err(self.refused(&action, &scope, answer).await),
            }

            let next = next_page(&answer);
            let page = read_page(answer).await.map_err(|cause| malformed(&action, cause))?;
            tags.extend(page);
            if tags.len() > MOST_TAGS {
                return Err(malformed(&action, format!("it has more than {MOST_TAGS} tags")));
            }

            let next = next.map_err(|cause| malformed(&action, cause.to_owned()))?;
            let Some(next) = next else { return Ok(tags) };
            // a registry that repeats a page would be asked again and again, and never for what is missing
            if !seen.insert(next.clone()) || seen.len() > MOST_PAGES {
                return Err(malformed(&action, "the list has no end: its pages lead back to earlier ones".to_owned()));
            }
            url.set_query(Some(&next));
        }
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
        let request = HttpRequest::new(Method::HEAD, url.clone(), RequestBody::Empty);
        let answer = self.send(&RegistryRequest { action: &action, scope, request }).await?;
        if matches!(answer.status(), 200 | 404) {
            return self.exists_by(&action, scope, answer).await;
        }
        answer.drain().await;

        // some servers and proxies refuse HEAD alone; of the blob a byte is enough
        let mut request = HttpRequest::new(Method::GET, url, RequestBody::Empty);
        request.headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
        let answer = self.send(&RegistryRequest { action: &action, scope, request }).await?;
        match answer.status() {
            // an empty blob has no first byte (RFC 9110, 15.5.17)
            200 | 206 | 416 => Ok(true),
            _ => self.exists_by(&action, scope, answer).await,
        }
    }

    /// Tells whether a blob exists, by the answer to a HEAD request for it.
    pub(super) async fn exists_by(
        &self,
        action: &str,
        scope: &TokenScope,
        answer: HttpResponse,
    ) -> Result<bool, Error> {
        match answer.status() {
            status @ (200 | 404) => {
                answer.drain().await;
                Ok(status == 200)
            }
            _ => Err(self.refused(action, scope, answer).await),
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
        let scope = TokenScope::delete(repository);
        let answer = self.send(&RegistryRequest { action: &action, scope: &scope, request }).await?;

        match answer.status() {
            200 | 202 | 404 => {
                answer.drain().await;
                Ok(())
            }
            _ => Err(self.refused(&action, &scope, answer).await),
        }
    }
}

/// Returns the query of the next page that an answer's `Link` header names (RFC 8288; distribution-spec, "Listing Tags").
/// Only the query is taken: no answer decides to which host and path a token goes.
fn next_page(answer: &HttpResponse) -> Result<Option<String>, &'static str> {
    let links = answer.headers().get_all("link").iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(split_links).find(|(_, parameters)| is_next(parameters));
    let Some((target, _)) = next else { return Ok(None) };

    let query = target.split('#').next().unwrap_or_default().split_once('?').map(|(_, query)| query);
    match query {
        Some(query) if query.len() <= LONGEST_QUERY && !query.is_empty() => Ok(Some(query.to_owned())),
        _ => Err("there is a next page, but its address cannot be followed"),
    }
}

/// Splits a header into links: the address between `<` and `>`, and the parameters behind it.
fn split_links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    // a comma may stand in an address, a `<` does not
    header.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

/// Tells whether the parameters of a link say `rel="next"`. The value may name several relations.
fn is_next(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let mut relations = value.split(['"', ' ', ',', '\'']);
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
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
