//! One blob on its way to a registry: is it already there, can it be mounted, else POST and one streaming PUT. An upload
//! that fails restarts from the beginning (distribution-spec, "Pushing blobs").

use crate::oci::registry::PushRequest;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::ahead::PreopenedSession;
use crate::oci::registry::ahead::UploadSession;
use crate::oci::registry::announced_digest;
use crate::oci::registry::confirm;
use crate::oci::registry::document::ContentDescriptor;
use crate::oci::registry::error::BODY_LIMIT;
use crate::oci::registry::error::Error;
use crate::oci::registry::location;
use crate::oci::registry::session::AttemptError;
use crate::oci::registry::session::Delay;
use crate::oci::registry::session::RegistryRequest;
use crate::oci::registry::token::TokenScope;
use crate::sys::fs;
use crate::sys::http::FailureStreak;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::SentBytes;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use futures_util::future::try_join_all;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use url::Url;

/// The uploads of one push: where blobs come from, where they go, and how.
#[derive(Debug)]
pub(super) struct BlobUploads<'a> {
    pub(super) registry: &'a RegistryClient,
    pub(super) repository: &'a str,
    pub(super) scope: TokenScope,
    /// What mounts need in addition. A push goes on where these rights are refused.
    pub(super) mount_scope: TokenScope,
    /// Folder of an OCI layout.
    pub(super) layout: PathBuf,
    /// Repositories from which blobs may be mounted.
    pub(super) mount_from: &'a [String],
    /// Those of them that exist and that we may read, once that is known.
    pub(super) sources: OnceCell<Vec<String>>,
    /// Those of them from which the registry refused a mount.
    pub(super) unusable: Mutex<BTreeSet<String>>,
    /// Sessions for the first blobs that have to be sent.
    pub(super) ahead: PreopenedSession,
    /// Most bytes of one request.
    pub(super) chunk: Option<u64>,
    /// Blobs will probably be sent: the layout should have all of them.
    pub(super) may_send: bool,
    /// Bytes sent since the last report of progress.
    pub(super) sent: Arc<AtomicU64>,
}

/// How a blob got into the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlobOutcome {
    /// The repository already had it.
    Skipped,
    /// It was mounted from another repository of the registry.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// What a registry offers in answer to a POST.
enum UploadStart {
    Mounted,
    Session(UploadSession),
}

/// One attempt to upload a blob.
struct UploadAttempt<'a> {
    /// `push blob …`: what follows "cannot" in messages.
    action: String,
    blob: &'a ContentDescriptor,
    /// Counts the bytes that are sent.
    sent: &'a SentBytes,
    /// An earlier attempt failed.
    is_retry: bool,
}

impl<'a> BlobUploads<'a> {
    /// Prepares the uploads of one push.
    pub(super) fn new(registry: &'a RegistryClient, push: &PushRequest<'a>, scope: &TokenScope) -> Self {
        Self {
            registry,
            repository: push.repository,
            scope: scope.clone(),
            mount_scope: TokenScope::mount(push.repository, push.mount_from.iter().map(String::as_str)),
            layout: push.layout.to_owned(),
            mount_from: push.mount_from,
            sources: OnceCell::new(),
            unusable: Mutex::default(),
            ahead: PreopenedSession::default(),
            may_send: push.elsewhere.is_empty() && push.is_new,
            chunk: push.chunk,
            sent: Arc::default(),
        }
    }
}

impl BlobUploads<'_> {
    /// Tells whether the repository has a blob.
    pub(super) async fn exists(&self, blob: &ContentDescriptor) -> Result<bool, Error> {
        match self.registry.has_blob_within(self.repository, &blob.digest, &self.scope).await {
            // a registry that answers no HEAD, or not about what it lacks, takes the blob all the same; if it does not,
            // the answer to POST has words for it
            Err(Error::Denied { .. } | Error::Refused { status: 400..=428, .. }) => Ok(false),
            found => found,
        }
    }

    /// Returns the repositories to mount from that exist and that we may read.
    pub(super) async fn sources(&self) -> Result<&Vec<String>, Error> {
        self.sources.get_or_try_init(|| self.find_sources()).await
    }

    /// Asks for all repositories to mount from at the same time.
    async fn find_sources(&self) -> Result<Vec<String>, Error> {
        let others = self.mount_from.iter().filter(|from| *from != self.repository);
        let readable = try_join_all(others.map(|from| self.if_readable(from.clone()))).await?;
        Ok(readable.into_iter().flatten().collect())
    }

    /// Returns the repository if it exists and we may read it.
    async fn if_readable(&self, repository: String) -> Result<Option<String>, Error> {
        let action = format!("look up `{repository}`");
        // a single tag is enough: only the status is of interest
        let mut url = self.registry.path(&format!("{repository}/tags/list"));
        url.set_query(Some("n=1"));
        let request = HttpRequest::new(Method::GET, url, RequestBody::Empty);

        match self.registry.send(&RegistryRequest { action: &action, scope: &self.mount_scope, request }).await {
            Ok(answer) => {
                let exists = answer.status() == 200;
                answer.drain().await;
                Ok(exists.then_some(repository))
            }
            // mounting only saves bytes, so a missing right is no reason to fail
            Err(error) if is_missing_right(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Mounts or sends a blob that the repository did not have a moment ago; tries again where that may help.
    pub(super) async fn upload(&self, blob: &ContentDescriptor) -> Result<BlobOutcome, Error> {
        let counter = Arc::clone(&self.sent);
        let sent = SentBytes::new(move |bytes| _ = counter.fetch_add(bytes, Ordering::Relaxed));
        let action = format!("push blob {} of `{}`", blob.digest, self.repository);
        let mut attempt = UploadAttempt { action, blob, sent: &sent, is_retry: false };

        let mut failures = FailureStreak::default();
        loop {
            match self.upload_once(&attempt).await {
                Ok(way) => return Ok(way),
                Err(trouble) => self.registry.pause(trouble, &mut failures).await?,
            }
            attempt.is_retry = true;
        }
    }

    /// Makes one attempt to mount or send a blob.
    async fn upload_once(&self, attempt: &UploadAttempt<'_>) -> Result<BlobOutcome, AttemptError> {
        let UploadAttempt { action, blob, .. } = attempt;

        // the last attempt may have succeeded, and only its answer got lost
        if attempt.is_retry {
            let answer = self.registry.send_once(&self.head(action, self.repository, blob)).await?;
            if self.registry.exists_by(action, &self.scope, answer).await.unwrap_or(false) {
                return Ok(BlobOutcome::Uploaded);
            }
        }

        let session = match self.start(attempt).await? {
            UploadStart::Mounted => return Ok(BlobOutcome::Mounted),
            UploadStart::Session(session) => session,
        };
        self.verify_before_sending(blob).await?;

        // the registry's minimum takes precedence over our maximum: smaller chunks would be refused
        match self.chunk.map(|chunk| chunk.max(session.least).max(1)) {
            Some(chunk) if chunk < blob.size => {
                let url = self.send_chunks(attempt, session.url, chunk).await?;
                self.complete(attempt, url, RequestBody::Empty).await?;
            }
            _ => self.complete(attempt, session.url, self.body(attempt, 0..blob.size)).await?,
        }
        Ok(BlobOutcome::Uploaded)
    }

    /// Verifies the digest of a local blob before it is sent, so that damaged bytes never leave this machine.
    async fn verify_before_sending(&self, blob: &ContentDescriptor) -> Result<(), AttemptError> {
        let path = self.blob_path(blob);
        if fs::size(&path).is_none() {
            return Err(Error::Absent { digest: blob.digest }.into());
        }

        // hashing a large layer takes seconds, in which other transfers must go on
        let hashed = path.clone();
        let found = spawn_blocking(move || fs::digest_of(&hashed))
            .await
            .unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
            .map_err(Error::from)?;

        if found == blob.digest {
            return Ok(());
        }
        Err(Error::Damaged { path, cause: format!("its bytes have digest {found}") }.into())
    }

    /// Returns a request that asks whether a repository has a blob.
    fn head<'b>(&'b self, action: &'b str, repository: &str, blob: &ContentDescriptor) -> RegistryRequest<'b> {
        let url = self.registry.path(&format!("{repository}/blobs/{}", blob.digest));
        let scope = if repository == self.repository { &self.scope } else { &self.mount_scope };
        RegistryRequest { action, scope, request: HttpRequest::new(Method::HEAD, url, RequestBody::Empty) }
    }

    /// Mounts a blob or opens an upload session. A mount that fails opens a session as well.
    async fn start(&self, attempt: &UploadAttempt<'_>) -> Result<UploadStart, AttemptError> {
        if let Some(from) = self.mount_source(attempt.blob).await?
            && let Some(start) = self.mount(attempt, &from).await?
        {
            return Ok(start);
        }

        // a retry gets a new session: one that was opened long ago may have expired
        let ahead = if attempt.is_retry { None } else { self.ahead.take().await };
        let session = match ahead {
            Some(session) => session,
            None => self.open(&attempt.action).await,
        };
        session.map(UploadStart::Session)
    }

    /// Opens an upload session.
    async fn open(&self, action: &str) -> Result<UploadSession, AttemptError> {
        let url = self.registry.path(&format!("{}/blobs/uploads/", self.repository));
        let request = HttpRequest::new(Method::POST, url.clone(), RequestBody::Empty);
        let answer = self.registry.send_once(&RegistryRequest { action, scope: &self.scope, request }).await?;

        match answer.status() {
            202 => read_session(action, &url, answer).await,
            _ => Err(self.registry.refused(action, &self.scope, answer).await.into()),
        }
    }

    /// Opens a session before a blob needs it.
    pub(super) async fn open_ahead(&self) {
        let action = format!("open an upload to `{}`", self.repository);
        let receiver = self.ahead.announce();
        // the push may have failed in the meantime, so that nobody receives the session
        let _not_received = receiver.send(self.open(&action).await);
    }

    /// Ends a session that no blob needed. That is a courtesy: registries remove it after some days, so a failure does not
    /// matter.
    pub(super) async fn give_back(&self) {
        let Some(Ok(session)) = self.ahead.take().await else { return };
        let action = format!("end an upload to `{}`", self.repository);
        let request = HttpRequest::new(Method::DELETE, session.url, RequestBody::Empty);
        let request = RegistryRequest { action: &action, scope: &self.scope, request };
        if let Ok(answer) = self.registry.send_once(&request).await {
            answer.drain().await;
        }
    }

    /// Returns a repository to mount a blob from.
    async fn mount_source(&self, blob: &ContentDescriptor) -> Result<Option<String>, AttemptError> {
        // a configuration belongs to one image alone, so no other repository has it
        if blob.media_type.contains(".config.") {
            return Ok(None);
        }

        let usable = self.usable_sources().await?;
        // the last one is tried without asking: a failed mount costs nothing
        let Some((last, others)) = usable.split_last() else { return Ok(None) };
        for from in others {
            let action = format!("look up blob {} of `{from}`", blob.digest);
            match self.registry.send_once(&self.head(&action, from, blob)).await {
                Ok(answer) => {
                    let status = answer.status();
                    answer.drain().await;
                    match status {
                        200 => return Ok(Some(from.clone())),
                        404 => {}
                        _ => self.mark_unusable(from),
                    }
                }
                Err(AttemptError::Permanent(error)) if is_missing_right(&error) => self.mark_unusable(from),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(Some(last.clone()))
    }

    /// Returns the repositories to mount from, without those that turned out to be unusable.
    async fn usable_sources(&self) -> Result<Vec<String>, Error> {
        let sources = self.sources().await?;
        let unusable = self.unusable.lock().expect("no thread panics while it holds this");
        Ok(sources.iter().filter(|from| !unusable.contains(*from)).cloned().collect())
    }

    /// Notes that nothing can be mounted from a repository, so that later blobs do not try.
    fn mark_unusable(&self, from: &str) {
        self.unusable.lock().expect("no thread panics while it holds this").insert(from.to_owned());
    }

    /// Asks the registry to mount a blob from another repository; `None` when it does neither that nor opens a session.
    async fn mount(&self, attempt: &UploadAttempt<'_>, from: &str) -> Result<Option<UploadStart>, AttemptError> {
        let UploadAttempt { action, blob, .. } = attempt;
        let mut url = self.registry.path(&format!("{}/blobs/uploads/", self.repository));
        url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
        let request = HttpRequest::new(Method::POST, url.clone(), RequestBody::Empty);

        let answer = match self.registry.send_once(&RegistryRequest { action, scope: &self.mount_scope, request }).await
        {
            Ok(answer) => answer,
            // no token for both repositories, or one without the right to read this one
            Err(AttemptError::Permanent(error)) if is_missing_right(&error) => {
                self.mark_unusable(from);
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };

        match answer.status() {
            201 => {
                let announced = announced_digest(&answer);
                answer.drain().await;
                // a registry that mounted something else did not mount this blob
                Ok(announced.is_none_or(|digest| digest == blob.digest).then_some(UploadStart::Mounted))
            }
            202 => read_session(action, &url, answer).await.map(UploadStart::Session).map(Some),
            _ => {
                answer.drain().await;
                self.mark_unusable(from);
                Ok(None)
            }
        }
    }

    /// Returns a part of a blob as the body of a request.
    fn body(&self, attempt: &UploadAttempt<'_>, bytes: Range<u64>) -> RequestBody {
        let length = bytes.end - bytes.start;
        RequestBody::File {
            path: self.blob_path(attempt.blob),
            offset: bytes.start,
            length,
            sent: attempt.sent.clone(),
        }
    }

    /// Returns the path of a blob in the layout.
    fn blob_path(&self, blob: &ContentDescriptor) -> PathBuf {
        self.layout.join("blobs/sha256").join(blob.digest.hex())
    }

    /// Sends a blob in several requests of at most `chunk` bytes; returns the address that completes the upload.
    async fn send_chunks(&self, attempt: &UploadAttempt<'_>, mut url: Url, chunk: u64) -> Result<Url, AttemptError> {
        let UploadAttempt { action, blob, .. } = attempt;

        let mut offset = 0;
        while offset < blob.size {
            let end = offset + chunk.min(blob.size - offset);
            let mut request = HttpRequest::new(Method::PATCH, url.clone(), self.body(attempt, offset..end));
            set_octet_stream(&mut request);
            // the last byte is included (distribution-spec, "Pushing a blob in chunks")
            let range = HeaderValue::from_str(&format!("{offset}-{}", end - 1)).expect("digits");
            request.headers.insert(header::CONTENT_RANGE, range);

            let answer = self.registry.send_once(&RegistryRequest { action, scope: &self.scope, request }).await?;
            if !(200..300).contains(&answer.status()) {
                return Err(self.upload_error(attempt, answer).await);
            }
            offset = end;

            // a registry that took only a part would get all further chunks with wrong offsets
            let last = answer.header(header::RANGE.as_str()).and_then(range_end);
            if last.is_some_and(|last| last + 1 != offset) {
                let cause = "the registry did not take all bytes".to_owned();
                return Err(AttemptError::Transient(
                    Error::Malformed { action: action.clone(), cause },
                    Delay::default(),
                ));
            }

            // each answer may move the session
            url = next_location(action, &url, &answer)?;
            answer.drain().await;
        }
        Ok(url)
    }

    /// Completes an upload session with the digest of the blob and the bytes that were not sent in chunks.
    async fn complete(&self, attempt: &UploadAttempt<'_>, session: Url, body: RequestBody) -> Result<(), AttemptError> {
        let UploadAttempt { action, blob, .. } = attempt;
        let mut request = HttpRequest::new(Method::PUT, location::completed(session, &blob.digest), body);
        set_octet_stream(&mut request);

        let answer = self.registry.send_once(&RegistryRequest { action, scope: &self.scope, request }).await?;
        if !(200..300).contains(&answer.status()) {
            return Err(self.upload_error(attempt, answer).await);
        }
        Ok(confirm(answer, action, blob.digest).await?)
    }

    /// Returns the error for a part of an upload that was refused.
    async fn upload_error(&self, attempt: &UploadAttempt<'_>, mut answer: HttpResponse) -> AttemptError {
        let status = answer.status();

        // busy registries lose sessions: a new one may work, with fewer requests at a time
        if matches!(status, 404 | 416) {
            let body = answer.read(BODY_LIMIT, &mut self.registry.host.patience()).await.unwrap_or_default();
            self.registry.host.was_busy(answer);
            return AttemptError::Transient(
                self.registry.refusal(&attempt.action, &self.scope, status, &body),
                Delay::default(),
            );
        }

        let refused = self.registry.refused(&attempt.action, &self.scope, answer).await;
        // bytes that do not have the digest get a 400; then the local file may have changed while it was sent
        if status == 400
            && let Err(damaged) = self.verify_after_refusal(attempt.blob)
        {
            return AttemptError::Permanent(damaged);
        }
        AttemptError::Permanent(refused)
    }

    /// Verifies the digest of a local blob that the registry refused.
    fn verify_after_refusal(&self, blob: &ContentDescriptor) -> Result<(), Error> {
        let path = self.blob_path(blob);
        let found = fs::digest_of(&path)?;
        if found == blob.digest {
            return Ok(());
        }
        let cause = format!("its bytes have digest {found} instead of {}", blob.digest);
        Err(Error::Damaged { path, cause })
    }
}

/// Tells whether a registry or its token server refuses rights. The push itself asks for its own, without those of a mount.
fn is_missing_right(error: &Error) -> bool {
    matches!(
        error,
        Error::Denied { .. }
            | Error::NoRights { .. }
            | Error::LoginRefused { .. }
            | Error::LoginNeeded { .. }
            | Error::Known { .. }
            | Error::Missing { .. }
            | Error::Refused { status: 400..=428, .. }
    )
}

/// Reads an upload session from the answer to a POST.
async fn read_session(action: &str, requested: &Url, answer: HttpResponse) -> Result<UploadSession, AttemptError> {
    let url = next_location(action, requested, &answer)?;
    let least = answer.header("oci-chunk-min-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    answer.drain().await;
    Ok(UploadSession { url, least })
}

/// Declares the body of a request to be raw bytes.
fn set_octet_stream(request: &mut HttpRequest) {
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
}

/// Returns the address for the next request of an upload session.
fn next_location(action: &str, requested: &Url, answer: &HttpResponse) -> Result<Url, Error> {
    let resolved = match answer.header(header::LOCATION.as_str()) {
        Some(text) => location::resolve(requested, text),
        None => Err("the registry does not name the next address of the upload".to_owned()),
    };
    resolved.map_err(|cause| Error::Malformed { action: action.to_owned(), cause })
}

/// Returns the offset of the last byte in `Range: 0-<end>` or `bytes=0-<end>`.
fn range_end(text: &str) -> Option<u64> {
    text.trim().trim_start_matches("bytes=").split_once('-')?.1.parse().ok()
}
