//! Registries (OCI distribution specification): images go there and come from there, fast, and again where the network
//! failed.
//!
//! - **In**: an image in a layout folder, the name of a repository, tags; or what is to be fetched.
//! - **Out**: the image under its tags, and what that cost ([`Pushed`]); or its blobs in a folder, verified.
//! - **Holds**: blobs before the manifests that name them, those before their index, tags last. A tag that stands for the
//!   image already is not touched. Another host never gets credentials. Statuses that another try does not mend (400, 403,
//!   409, 412) are never tried again; everything else at most as often as [`HostOptions::attempts`] says, and an upload
//!   that broke is begun anew: Harbor's registry cannot resume one.
//! - **Not here**: Harbor's own interface, the order of publishing steps: the stage `publish`.

pub mod address;
pub mod challenge;
pub mod credentials;
pub mod document;
pub mod error;
pub mod location;
pub mod token;

mod ahead;
mod catalog;
mod cause;
mod pull;
mod push;
mod session;
mod upload;

pub use cause::Cause;
pub use cause::Turn;
pub use error::Error;
pub use push::Blobs;
pub use push::Push;
pub use push::Pushed;

use crate::oci;
use crate::oci::registry::address::check_reference;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::session::Call;
use crate::oci::registry::token::Passes;
use crate::oci::registry::token::Scope;
use crate::sys::http::Answer;
use crate::sys::http::Body;
use crate::sys::http::Bytes;
use crate::sys::http::Host;
use crate::sys::http::HostOptions;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use crate::values::Login;
use oci_spec::image::Descriptor;
use url::Url;

/// Header with the digest of what an answer is about.
const DIGEST: &str = "docker-content-digest";

/// One registry, who we are there, and what is known about it.
#[derive(Debug)]
pub struct Registry {
    url: Url,
    host: Host,
    login: Option<Login>,
    passes: Passes,
}

/// A manifest or index as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, digest and size.
    pub descriptor: Descriptor,
    /// Its bytes, verified.
    pub bytes: Vec<u8>,
}

impl Registry {
    /// Returns a registry that nobody has talked to yet; costs nothing. Of the address, scheme, host and port count.
    #[must_use]
    pub fn new(mut url: Url, options: HostOptions, login: Option<Login>) -> Self {
        url.set_path("/");
        url.set_query(None);
        Self { url, host: Host::new(options), login, passes: Passes::default() }
    }

    /// Returns its address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the conversation with its host, for interfaces besides the registry's.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns who we are there.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Looks up a tag or digest; `None` when it is not there.
    ///
    /// # Errors
    /// When the registry cannot be asked or refuses to tell.
    pub async fn head(&self, repository: &str, reference: &str) -> Result<Option<Descriptor>, Error> {
        self.head_within(repository, reference, &Scope::pull(repository)).await
    }

    /// As [`Registry::head`], with a token that is needed anyway.
    async fn head_within(&self, repository: &str, reference: &str, scope: &Scope) -> Result<Option<Descriptor>, Error> {
        check_repository(repository)?;
        check_reference(reference)?;
        let what = format!("look up `{reference}` in `{repository}`");
        let request = self.manifest_request(Method::HEAD, repository, reference);
        let answer = self.send(&Call { what: &what, scope, request }).await?;
        match answer.status() {
            200 => match described(&answer) {
                Some(found) => {
                    answer.drain().await;
                    Ok(Some(found))
                }
                // a registry that does not tell the digest has to be asked for the bytes
                None => {
                    drop(answer);
                    Ok(Some(self.manifest_within(repository, reference, scope, document::LIMIT).await?.descriptor))
                }
            },
            404 => {
                answer.drain().await;
                Ok(None)
            }
            _ => Err(self.refused(&what, answer).await),
        }
    }

    /// Returns a manifest or index, verified where its digest is known.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongDigest`], [`Error::Malformed`], others as named.
    pub async fn manifest(&self, repository: &str, reference: &str) -> Result<Manifest, Error> {
        self.manifest_within(repository, reference, &Scope::pull(repository), document::LIMIT).await
    }

    /// As [`Registry::manifest`], with a token that is needed anyway, and at most so many bytes.
    async fn manifest_within(
        &self,
        repository: &str,
        reference: &str,
        scope: &Scope,
        limit: u64,
    ) -> Result<Manifest, Error> {
        check_repository(repository)?;
        check_reference(reference)?;
        let what = format!("read manifest `{reference}` of `{repository}`");
        let request = self.manifest_request(Method::GET, repository, reference);
        let (mut failures, mut patience) = (0, self.host.patience());
        let (bytes, media_type, told) = loop {
            let call = Call { what: &what, scope, request: request.clone() };
            let mut answer = self.send_within(&call, &mut patience).await?;
            if answer.status() != 200 {
                return Err(self.refused(&what, answer).await);
            }
            let media_type = answer.header(header::CONTENT_TYPE.as_str()).map(str::to_owned);
            let told = answer.header(DIGEST).and_then(|text| text.parse().ok());
            match answer.read(limit, &mut patience).await {
                Ok(bytes) => break (bytes, media_type, told),
                Err(failure) => self.host.pause(failure, &mut failures).await?,
            }
        };
        let found = Digest::of(&bytes);
        if let Some(expected) = reference.parse().ok().or(told).filter(|expected| *expected != found) {
            return Err(Error::WrongDigest { what, expected, found });
        }
        let document =
            document::read(&bytes, media_type.as_deref()).map_err(|cause| Error::Malformed { what, cause })?;
        Ok(Manifest { descriptor: oci::descriptor(&document.media_type, &found, bytes.len() as u64), bytes })
    }

    /// Stores a manifest or index under a tag or its digest; returns its digest.
    ///
    /// # Errors
    /// [`Error::Immutable`] for an immutable tag that stands for something else, others as named.
    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Digest, Error> {
        let manifest = push::Upload { media_type, bytes: &Bytes::from(bytes) };
        self.put_within(repository, reference, manifest, &Scope::push(repository, [])).await
    }

    async fn put_within(
        &self,
        repository: &str,
        reference: &str,
        manifest: push::Upload<'_>,
        scope: &Scope,
    ) -> Result<Digest, Error> {
        check_repository(repository)?;
        check_reference(reference)?;
        let what = format!("push manifest `{reference}` of `{repository}`");
        let mut request = self.manifest_request(Method::PUT, repository, reference);
        request.body = Body::Bytes(manifest.bytes.clone());
        let unsound = |_| Error::Malformed { what: what.clone(), cause: "its media type is not sound".to_owned() };
        let media_type = HeaderValue::from_str(manifest.media_type).map_err(unsound)?;
        request.headers.insert(header::CONTENT_TYPE, media_type);
        let expected = Digest::of(manifest.bytes);
        let answer = self.send(&Call { what: &what, scope, request }).await?;
        match answer.status() {
            200..=299 => {
                let told = answer.header(DIGEST).and_then(|text| text.parse::<Digest>().ok());
                answer.drain().await;
                match told.filter(|found| *found != expected) {
                    Some(found) => Err(Error::WrongDigest { what, expected, found }),
                    None => Ok(expected),
                }
            }
            // an immutable tag is refused for the same image, too: somebody may have been faster
            412 => {
                let refused = self.refused(&what, answer).await;
                match self.head_within(repository, reference, scope).await?.and_then(|found| oci::digest_of(&found)) {
                    Some(found) if found == expected => Ok(expected),
                    Some(_) => Err(Error::Immutable { repository: repository.to_owned(), tag: reference.to_owned() }),
                    None => Err(refused),
                }
            }
            _ => Err(self.refused(&what, answer).await),
        }
    }

    fn manifest_request(&self, method: Method, repository: &str, reference: &str) -> Request {
        let url = self.path(&format!("{repository}/manifests/{reference}"));
        let mut request = Request::new(method, url, Body::Empty);
        let accepted = HeaderValue::from_str(&document::ACCEPTED.join(", ")).expect("media types are a header value");
        request.headers.insert(header::ACCEPT, accepted);
        request
    }

    /// Returns an address below `/v2/`; the path is made of checked names.
    fn path(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }
}

/// Returns what an answer to HEAD says about a manifest, when it says everything.
fn described(answer: &Answer) -> Option<Descriptor> {
    let digest: Digest = answer.header(DIGEST)?.parse().ok()?;
    let media_type = answer.header(header::CONTENT_TYPE.as_str())?.split(';').next()?.trim();
    let size = answer.header(header::CONTENT_LENGTH.as_str())?.parse().ok()?;
    Some(oci::descriptor(media_type, &digest, size))
}
