//! A client for registries (OCI distribution specification): pushes and pulls images, and retries what may pass.
//!
//! - **In**: an image in a layout folder with its repository and tags; or the reference of an image to pull.
//! - **Out**: the image in the registry under its tags, and what was sent ([`PushOutcome`]); or its verified blobs in a folder.
//! - **Holds**: blobs are pushed before the manifests that name them, manifests before their index, tags last. A tag that
//!   already points to the image is not written. Credentials are sent to no other host. Status codes that a retry cannot
//!   fix (400, 403, 409, 412) are not retried; everything else is tried up to [`HostOptions::attempts`] times. A failed
//!   upload restarts from the beginning, because Harbor's registry cannot resume one.
//! - **Not here**: Harbor's own API and the order of the steps of publishing, which are in the stage `publish`.

pub mod address;
pub mod certificates;
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

pub use cause::HarborRefusal;
pub use error::Error;
pub use push::BlobTotals;
pub use push::PushOutcome;
pub use push::PushRequest;

use crate::oci;
use crate::oci::registry::address::check_reference;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::credentials::RegistryLogins;
use crate::oci::registry::session::RegistryRequest;
use crate::oci::registry::token::RegistryAuth;
use crate::oci::registry::token::TokenScope;
use crate::sys::http::Bytes;
use crate::sys::http::FailureStreak;
use crate::sys::http::HostOptions;
use crate::sys::http::HttpHost;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use crate::values::Login;
use oci_spec::image::Descriptor;
use url::Url;

/// Header with the digest of the blob or manifest that an answer is about.
const DIGEST: &str = "docker-content-digest";

/// One registry, with our login and the tokens that it gave us.
#[derive(Debug)]
pub struct RegistryClient {
    url: Url,
    host: HttpHost,
    logins: RegistryLogins,
    /// The project or repository that this client is for: its login stands for all that is not about one repository.
    home: String,
    passes: RegistryAuth,
}

/// A manifest or index of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The document, with the digest of the descriptor.
    pub bytes: Vec<u8>,
}

impl RegistryClient {
    /// Returns a client for the registry at this address, without connecting to it. Path and query of the address are
    /// ignored.
    #[must_use]
    pub fn new(url: Url, options: HostOptions, login: Option<Login>) -> Self {
        Self::with_logins(url, options, login.map(RegistryLogins::from).unwrap_or_default(), "")
    }

    /// As [`RegistryClient::new`], with logins for parts of the registry. `home` is the project or repository that the
    /// client is for.
    #[must_use]
    pub fn with_logins(mut url: Url, options: HostOptions, logins: RegistryLogins, home: &str) -> Self {
        url.set_path("/");
        url.set_query(None);
        let (host, home, passes) = (HttpHost::new(options), home.to_owned(), RegistryAuth::default());
        Self { url, host, logins, home, passes }
    }

    /// Returns the address of the registry: scheme, host and port.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the HTTP client for its host, for other APIs of that host.
    #[must_use]
    pub fn host(&self) -> &HttpHost {
        &self.host
    }

    /// Returns the login that is used for what is not about one repository.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login_of(&self.home)
    }

    /// Returns the login that is used for a repository.
    fn login_of(&self, repository: &str) -> Option<&Login> {
        self.logins.of(repository).map(|found| &found.login)
    }

    /// Looks up a tag or digest; `None` when the registry does not have it.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses the request.
    pub async fn head(&self, repository: &str, reference: &str) -> Result<Option<Descriptor>, Error> {
        self.head_within(repository, reference, &TokenScope::pull(repository)).await
    }

    /// As [`RegistryClient::head`], with a token that the caller needs anyway.
    async fn head_within(
        &self,
        repository: &str,
        reference: &str,
        scope: &TokenScope,
    ) -> Result<Option<Descriptor>, Error> {
        check_repository(repository)?;
        check_reference(reference)?;

        let action = format!("look up `{reference}` in `{repository}`");
        let request = self.manifest_request(Method::HEAD, repository, reference);
        let answer = self.send(&RegistryRequest { action: &action, scope, request }).await?;

        match answer.status() {
            404 => {
                answer.drain().await;
                Ok(None)
            }
            status => {
                let found = if status == 200 { descriptor_in_headers(&answer) } else { None };
                answer.drain().await;
                if found.is_some() {
                    return Ok(found);
                }
                // GET tells what HEAD did not: the digest, whose header is optional; whether the registry refuses only HEAD
                // (405); and in its body why it refuses (403, 412)
                match self.manifest_within(repository, reference, scope, document::LIMIT).await {
                    Ok(found) => Ok(Some(found.descriptor)),
                    Err(Error::Missing { .. }) => Ok(None),
                    Err(error) => Err(error.about(&action)),
                }
            }
        }
    }

    /// Returns a manifest or index. Its digest is verified if the reference or the answer names one.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongDigest`], [`Error::Malformed`] and those of any request.
    pub async fn manifest(&self, repository: &str, reference: &str) -> Result<FetchedManifest, Error> {
        self.manifest_within(repository, reference, &TokenScope::pull(repository), document::LIMIT).await
    }

    /// As [`RegistryClient::manifest`], with a token that the caller needs anyway, and at most `limit` bytes.
    async fn manifest_within(
        &self,
        repository: &str,
        reference: &str,
        scope: &TokenScope,
        limit: u64,
    ) -> Result<FetchedManifest, Error> {
        check_repository(repository)?;
        check_reference(reference)?;

        let action = format!("read manifest `{reference}` of `{repository}`");
        let request = self.manifest_request(Method::GET, repository, reference);
        let (bytes, headers) = self.read_manifest(&RegistryRequest { action: &action, scope, request }, limit).await?;

        // a digest as reference is our own knowledge, so it takes precedence over what the registry announces
        let found = Digest::of(&bytes);
        let expected = reference.parse().ok().or(headers.digest);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(Error::WrongDigest { action, expected, found });
        }

        let document = document::read(&bytes, headers.media_type.as_deref())
            .map_err(|cause| Error::Malformed { action, cause })?;
        Ok(FetchedManifest { descriptor: oci::descriptor(&document.media_type, &found, bytes.len() as u64), bytes })
    }

    /// Reads the bytes of a manifest, of at most `limit` bytes. Repeats the request when the body breaks off.
    async fn read_manifest(&self, call: &RegistryRequest<'_>, limit: u64) -> Result<(Vec<u8>, ManifestHeaders), Error> {
        let (mut failures, mut patience) = (FailureStreak::default(), self.host.patience());
        loop {
            let mut answer = self.send_within(call, &mut patience).await?;
            if answer.status() != 200 {
                return Err(self.refused(call.action, call.scope, answer).await);
            }

            // of the same answer as the bytes: a tag may move between two attempts
            let media_type = answer.header(header::CONTENT_TYPE.as_str()).map(str::to_owned);
            let headers = ManifestHeaders { media_type, digest: announced_digest(&answer) };
            match answer.read(limit, &mut patience).await {
                Ok(bytes) => return Ok((bytes, headers)),
                Err(failure) => self.host.pause(failure, &mut failures).await?,
            }
        }
    }

    /// Writes a manifest or index under a tag or its digest; returns its digest.
    ///
    /// # Errors
    /// [`Error::Immutable`] for an immutable tag that points to something else, and those of any request.
    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Digest, Error> {
        let manifest = push::ManifestBody { media_type, bytes: &Bytes::from(bytes) };
        self.put_within(repository, reference, manifest, &TokenScope::push(repository)).await
    }

    /// As [`RegistryClient::put_manifest`], with a token that the caller needs anyway.
    async fn put_within(
        &self,
        repository: &str,
        reference: &str,
        manifest: push::ManifestBody<'_>,
        scope: &TokenScope,
    ) -> Result<Digest, Error> {
        check_repository(repository)?;
        check_reference(reference)?;

        let action = format!("push manifest `{reference}` of `{repository}`");
        let mut request = self.manifest_request(Method::PUT, repository, reference);
        request.body = RequestBody::Bytes(manifest.bytes.clone());
        let media_type = HeaderValue::from_str(manifest.media_type).map_err(|_| Error::Malformed {
            action: action.clone(),
            cause: "its media type is not a valid header".to_owned(),
        })?;
        request.headers.insert(header::CONTENT_TYPE, media_type);

        let expected = Digest::of(manifest.bytes);
        let answer = self.send(&RegistryRequest { action: &action, scope, request }).await?;
        match answer.status() {
            200..=299 => confirm(answer, &action, expected).await.map(|()| expected),
            // Harbor refuses writes to an immutable tag even for the same image; a parallel push may have been faster
            412 => {
                let refused = self.refused(&action, scope, answer).await;
                match self.head_within(repository, reference, scope).await?.and_then(|found| oci::digest_of(&found)) {
                    Some(found) if found == expected => Ok(expected),
                    Some(_) => Err(Error::Immutable { repository: repository.to_owned(), tag: reference.to_owned() }),
                    None => Err(refused),
                }
            }
            _ => Err(self.refused(&action, scope, answer).await),
        }
    }

    /// Returns a request about a manifest, without a body.
    fn manifest_request(&self, method: Method, repository: &str, reference: &str) -> HttpRequest {
        let url = self.path(&format!("{repository}/manifests/{reference}"));
        let mut request = HttpRequest::new(method, url, RequestBody::Empty);

        // without `Accept`, old registries convert manifests to schema 1, whose digest is another
        let accepted = HeaderValue::from_str(&document::ACCEPTED.join(", ")).expect("media types are a header value");
        request.headers.insert(header::ACCEPT, accepted);
        request
    }

    /// Returns an address below `/v2/`. The path is made of checked names, so it needs no escaping.
    fn path(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }
}

/// What the headers of an answer say about the manifest in its body.
struct ManifestHeaders {
    media_type: Option<String>,
    digest: Option<Digest>,
}

/// Returns the descriptor of a manifest from the headers of an answer, if they are complete.
fn descriptor_in_headers(answer: &HttpResponse) -> Option<Descriptor> {
    let digest = announced_digest(answer)?;
    // parameters such as `; charset=utf-8` do not belong to the type
    let media_type = answer.header(header::CONTENT_TYPE.as_str())?.split(';').next()?.trim();
    let size = answer.header(header::CONTENT_LENGTH.as_str())?.parse().ok()?;
    Some(oci::descriptor(media_type, &digest, size))
}

/// Returns the digest that an answer announces; none where it is not a SHA-256 digest.
fn announced_digest(answer: &HttpResponse) -> Option<Digest> {
    answer.header(DIGEST)?.parse().ok()
}

/// Takes the answer to a successful write. A digest in it must be that of the bytes that were sent.
async fn confirm(answer: HttpResponse, action: &str, expected: Digest) -> Result<(), Error> {
    let announced = announced_digest(&answer);
    // an answer that is read to its end leaves the connection to the next request
    answer.drain().await;

    match announced.filter(|found| *found != expected) {
        Some(found) => Err(Error::WrongDigest { action: action.to_owned(), expected, found }),
        None => Ok(()),
    }
}
