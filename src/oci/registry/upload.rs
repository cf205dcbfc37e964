//! One blob on its way to a registry: is it there, can it be mounted, else POST and one streaming PUT; begun anew as a
//! whole when it broke (distribution-spec, "Pushing blobs").

use crate::oci::registry::DIGEST;
use crate::oci::registry::Push;
use crate::oci::registry::Registry;
use crate::oci::registry::ahead::Ahead;
use crate::oci::registry::ahead::Session;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::BODY_LIMIT;
use crate::oci::registry::error::Error;
use crate::oci::registry::location;
use crate::oci::registry::session::Call;
use crate::oci::registry::session::Delay;
use crate::oci::registry::session::Trouble;
use crate::oci::registry::token::Scope;
use crate::sys::fs;
use crate::sys::http::Answer;
use crate::sys::http::Body;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::sys::http::Sent;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use crate::values::Hasher;
use futures_util::future::join_all;
use futures_util::future::try_join_all;
use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use url::Url;

/// Where blobs go, and how.
#[derive(Debug)]
pub(super) struct Uploads<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a str,
    pub(super) scope: Scope,
    /// Folder of an OCI layout.
    pub(super) layout: PathBuf,
    /// Repositories that blobs may be mounted from.
    pub(super) mount_from: &'a [String],
    /// Those of them that exist, once that is known.
    pub(super) sources: OnceCell<Vec<String>>,
    /// Those of them that the registry did not let us mount from.
    pub(super) unusable: Mutex<BTreeSet<String>>,
    /// Sessions for the first blobs that have to be sent.
    pub(super) ahead: Ahead,
    /// Most bytes of one request.
    pub(super) chunk: Option<u64>,
    /// Some blobs are probably sent, none is thought to be elsewhere only.
    pub(super) may_send: bool,
    /// Bytes that left.
    pub(super) sent: Arc<AtomicU64>,
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It was there.
    Skipped,
    /// Another repository of the registry had it.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// What a registry offers after POST.
enum Start {
    Mounted,
    Session(Session),
}

impl<'a> Uploads<'a> {
    /// Prepares the uploads of one push.
    pub(super) fn new(registry: &'a Registry, push: &Push<'a>, scope: &Scope) -> Self {
        Self {
            registry,
            repository: push.repository,
            scope: scope.clone(),
            layout: push.layout.to_owned(),
            mount_from: push.mount_from,
            sources: OnceCell::new(),
            unusable: Mutex::default(),
            ahead: Ahead::default(),
            may_send: push.elsewhere.is_empty(),
            chunk: push.chunk,
            sent: Arc::default(),
        }
    }
}

impl Uploads<'_> {
    /// Tells whether the repository has a blob.
    pub(super) async fn has(&self, blob: &Named) -> Result<bool, Error> {
        let what = self.what("look up", blob);
        let answer = self.registry.send(&self.head(&what, self.repository, blob)).await?;
        self.judge_head(&what, answer).await.map_err(|trouble| match trouble {
            Trouble::Final(error) | Trouble::Passing(error, _) => error,
        })
    }

    /// Returns those repositories to mount from that exist and that we may read.
    pub(super) async fn sources(&self) -> Result<&Vec<String>, Error> {
        let look = |from: &String| {
            let (from, what) = (from.clone(), format!("look up `{from}`"));
            let mut url = self.registry.path(&format!("{from}/tags/list"));
            url.set_query(Some("n=1"));
            async move {
                let request = Request::new(Method::GET, url, Body::Empty);
                match self.registry.send(&Call { what: &what, scope: &self.scope, request }).await {
                    Ok(answer) => {
                        let exists = answer.status() == 200;
                        answer.drain().await;
                        Ok(exists.then_some(from))
                    }
                    Err(Error::Denied { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        let own = |from: &&String| *from != self.repository;
        let found = async {
            let found: Vec<Option<String>> = try_join_all(self.mount_from.iter().filter(own).map(look)).await?;
            Ok(found.into_iter().flatten().collect())
        };
        self.sources.get_or_try_init(|| found).await
    }

    /// Brings a blob to the repository that was not there a moment ago.
    pub(super) async fn bring(&self, blob: &Named) -> Result<Way, Error> {
        let counted = Arc::clone(&self.sent);
        let sent = Sent::new(move |bytes| _ = counted.fetch_add(bytes, Ordering::Relaxed));
        let mut failures = 0;
        loop {
            match self.attempt(blob, failures > 0, &sent).await {
                Ok(way) => return Ok(way),
                Err(trouble) => self.registry.rest(trouble, &mut failures).await?,
            }
        }
    }

    async fn attempt(&self, blob: &Named, is_again: bool, sent: &Sent) -> Result<Way, Trouble> {
        let what = self.what("push", blob);
        // what broke last may have been the answer alone
        if is_again {
            let answer = self.registry.send_once(&self.head(&what, self.repository, blob)).await?;
            if self.judge_head(&what, answer).await? {
                return Ok(Way::Uploaded);
            }
        }
        let Session { url, least } = match self.start(&what, blob, is_again).await? {
            Start::Mounted => return Ok(Way::Mounted),
            Start::Session(session) => session,
        };
        self.check(blob).await?;
        match self.chunk {
            Some(chunk) if chunk.max(least) < blob.size => {
                let url = self.send_chunks(&what, url, blob, (chunk.max(least).max(1), sent)).await?;
                self.complete(&what, url, blob, Body::Empty).await?;
            }
            _ => self.complete(&what, url, blob, self.body(blob, (0, blob.size), sent)).await?,
        }
        Ok(Way::Uploaded)
    }

    /// Reads a blob before it is sent: what leaves has the digest that it is sent under.
    async fn check(&self, blob: &Named) -> Result<(), Trouble> {
        let path = self.file(blob);
        if fs::size(&path).is_none() {
            return Err(Error::Absent { digest: blob.digest }.into());
        }
        let read = path.clone();
        let found = spawn_blocking(move || fs::digest_of(&read))
            .await
            .unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        let found = found.map_err(Error::from)?;
        if found == blob.digest {
            return Ok(());
        }
        Err(Error::Damaged { path, cause: format!("its bytes have digest {found}") }.into())
    }

    fn what(&self, verb: &str, blob: &Named) -> String {
        format!("{verb} blob {} of `{}`", blob.digest, self.repository)
    }

    fn head<'a>(&'a self, what: &'a str, repository: &str, blob: &Named) -> Call<'a> {
        let url = self.registry.path(&format!("{repository}/blobs/{}", blob.digest));
        Call { what, scope: &self.scope, request: Request::new(Method::HEAD, url, Body::Empty) }
    }

    async fn judge_head(&self, what: &str, answer: Answer) -> Result<bool, Trouble> {
        match answer.status() {
            200 => {
                answer.drain().await;
                Ok(true)
            }
            404 => {
                answer.drain().await;
                Ok(false)
            }
            _ => Err(self.registry.refused(what, answer).await.into()),
        }
    }

    /// Mounts the blob or opens an upload session: a mount that fails opens one as well.
    async fn start(&self, what: &str, blob: &Named, is_again: bool) -> Result<Start, Trouble> {
        if let Some(from) = self.source(blob).await?
            && let Some(start) = self.mount(what, blob, &from).await?
        {
            return Ok(start);
        }
        // one that was opened long ago may be what broke
        let ahead = if is_again { None } else { self.ahead.take().await };
        let session = match ahead {
            Some(session) => session,
            None => self.open(what).await,
        };
        session.map(Start::Session)
    }

    /// Opens an upload session.
    async fn open(&self, what: &str) -> Result<Session, Trouble> {
        let url = self.registry.path(&format!("{}/blobs/uploads/", self.repository));
        let request = Request::new(Method::POST, url, Body::Empty);
        let answer = self.registry.send_once(&Call { what, scope: &self.scope, request: request.clone() }).await?;
        match answer.status() {
            202 => self.session(what, &request.url, answer).await,
            _ => Err(self.registry.refused(what, answer).await.into()),
        }
    }

    /// Opens sessions before anybody needs them.
    pub(super) async fn open_ahead(&self) {
        let what = format!("open an upload to `{}`", self.repository);
        let open = self.ahead.announce().into_iter().map(|user| async {
            let _nobody_listens_any_more = user.send(self.open(&what).await);
        });
        join_all(open).await;
    }

    /// Gives back sessions that nobody needed; registries forget them anyway after some days.
    pub(super) async fn give_back(&self) {
        let what = format!("end an upload to `{}`", self.repository);
        while let Some(opened) = self.ahead.take().await {
            let Ok(Session { url, .. }) = opened else { continue };
            let request = Request::new(Method::DELETE, url, Body::Empty);
            if let Ok(answer) = self.registry.send_once(&Call { what: &what, scope: &self.scope, request }).await {
                answer.drain().await;
            }
        }
    }

    /// Returns a repository to mount from. Of several, one is taken that has the blob; the last one is just tried: a
    /// failed mount costs nothing. Configurations belong to one image alone.
    async fn source(&self, blob: &Named) -> Result<Option<String>, Trouble> {
        if blob.media_type.contains(".config.") {
            return Ok(None);
        }
        let sources = self.sources().await?;
        let usable: Vec<&String> = {
            let unusable = self.unusable.lock().expect("no thread panics while it holds this");
            let is_usable = |from: &&String| *from != self.repository && !unusable.contains(*from);
            sources.iter().filter(is_usable).collect()
        };
        let Some((last, others)) = usable.split_last() else { return Ok(None) };
        for from in others {
            let what = format!("look up blob {} of `{from}`", blob.digest);
            match self.registry.send_once(&self.head(&what, from, blob)).await {
                Ok(answer) => {
                    let status = answer.status();
                    answer.drain().await;
                    match status {
                        200 => return Ok(Some((*from).clone())),
                        404 => {}
                        _ => self.is_unusable(from),
                    }
                }
                Err(Trouble::Final(Error::Denied { .. })) => self.is_unusable(from),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(Some((*last).clone()))
    }

    fn is_unusable(&self, from: &str) {
        self.unusable.lock().expect("no thread panics while it holds this").insert(from.to_owned());
    }

    async fn mount(&self, what: &str, blob: &Named, from: &str) -> Result<Option<Start>, Trouble> {
        let mut url = self.registry.path(&format!("{}/blobs/uploads/", self.repository));
        url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
        let request = Request::new(Method::POST, url, Body::Empty);
        let answer = match self.registry.send_once(&Call { what, scope: &self.scope, request: request.clone() }).await {
            Ok(answer) => answer,
            // no right to read there: the token of both is refused for this request alone
            Err(Trouble::Final(Error::Denied { .. })) => {
                self.is_unusable(from);
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };
        match answer.status() {
            201 => {
                let told = answer.header(DIGEST).and_then(|text| text.parse::<Digest>().ok());
                answer.drain().await;
                Ok(told.is_none_or(|told| told == blob.digest).then_some(Start::Mounted))
            }
            202 => self.session(what, &request.url, answer).await.map(Start::Session).map(Some),
            _ => {
                answer.drain().await;
                self.is_unusable(from);
                Ok(None)
            }
        }
    }

    async fn session(&self, what: &str, asked: &Url, answer: Answer) -> Result<Session, Trouble> {
        let url = next(what, asked, &answer)?;
        let least = answer.header("oci-chunk-min-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        answer.drain().await;
        Ok(Session { url, least })
    }

    fn body(&self, blob: &Named, (offset, length): (u64, u64), sent: &Sent) -> Body {
        Body::File { path: self.file(blob), offset, length, sent: sent.clone() }
    }

    fn file(&self, blob: &Named) -> PathBuf {
        self.layout.join("blobs/sha256").join(blob.digest.hex())
    }

    /// Sends the bytes in several requests; returns where the upload is completed.
    async fn send_chunks(
        &self,
        what: &str,
        mut url: Url,
        blob: &Named,
        (chunk, sent): (u64, &Sent),
    ) -> Result<Url, Trouble> {
        let mut offset = 0;
        while offset < blob.size {
            let length = chunk.min(blob.size - offset);
            let mut request = Request::new(Method::PATCH, url, self.body(blob, (offset, length), sent));
            octets(&mut request);
            let range = HeaderValue::from_str(&format!("{offset}-{}", offset + length - 1)).expect("digits");
            request.headers.insert(header::CONTENT_RANGE, range);
            let asked = request.url.clone();
            let answer = self.registry.send_once(&Call { what, scope: &self.scope, request }).await?;
            if !(200..300).contains(&answer.status()) {
                return Err(self.broken(what, answer, blob).await);
            }
            offset += length;
            // registries that took less would be told wrong offsets from here on
            let end = answer.header(header::RANGE.as_str()).and_then(range_end);
            if end.is_some_and(|end| end + 1 != offset) {
                let cause = "the registry did not take all bytes".to_owned();
                return Err(Trouble::Passing(Error::Malformed { what: what.to_owned(), cause }, Delay::default()));
            }
            url = next(what, &asked, &answer)?;
            answer.drain().await;
        }
        Ok(url)
    }

    /// Ends an upload session with its digest and what bytes there still are.
    async fn complete(&self, what: &str, url: Url, blob: &Named, body: Body) -> Result<(), Trouble> {
        let mut request = Request::new(Method::PUT, location::completed(url, &blob.digest), body);
        octets(&mut request);
        let answer = self.registry.send_once(&Call { what, scope: &self.scope, request }).await?;
        if !(200..300).contains(&answer.status()) {
            return Err(self.broken(what, answer, blob).await);
        }
        let told = answer.header(DIGEST).and_then(|text| text.parse::<Digest>().ok());
        answer.drain().await;
        match told.filter(|found| *found != blob.digest) {
            Some(found) => Err(Error::WrongDigest { what: what.to_owned(), expected: blob.digest, found }.into()),
            None => Ok(()),
        }
    }

    /// Judges a refused part of an upload. Sessions get lost in busy registries; a new one may do.
    async fn broken(&self, what: &str, mut answer: Answer, blob: &Named) -> Trouble {
        let status = answer.status();
        let error = match status {
            404 | 416 => {
                let body = answer.read(BODY_LIMIT, &mut self.registry.host.patience()).await.unwrap_or_default();
                self.registry.host.was_busy(answer);
                return Trouble::Passing(self.registry.refusal(what, status, &body), Delay::default());
            }
            _ => self.registry.refused(what, answer).await,
        };
        if status == 400
            && let Err(damaged) = self.verify(blob)
        {
            return Trouble::Final(damaged);
        }
        Trouble::Final(error)
    }

    /// Finds out whether it is the file that is wrong, once the registry says that something is.
    fn verify(&self, blob: &Named) -> Result<(), Error> {
        let path = self.file(blob);
        let mut hasher = Hasher::default();
        let copied = std::io::copy(&mut fs::open(&path)?, &mut hasher);
        copied.map_err(|cause| fs::Error::new("read", &path, cause))?;
        let found = hasher.finish();
        let cause = format!("its bytes have digest {found} instead of {}", blob.digest);
        if found == blob.digest { Ok(()) } else { Err(Error::Damaged { path, cause }) }
    }
}

fn octets(request: &mut Request) {
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
}

/// Returns where an upload goes on.
fn next(what: &str, asked: &Url, answer: &Answer) -> Result<Url, Error> {
    let malformed = |cause: String| Error::Malformed { what: what.to_owned(), cause };
    let text = answer
        .header(header::LOCATION.as_str())
        .ok_or_else(|| malformed("the registry does not say where the upload goes on".to_owned()))?;
    location::resolve(asked, text).map_err(malformed)
}

/// Reads the last byte's offset of `Range: 0-<end>` or `bytes=0-<end>`.
fn range_end(text: &str) -> Option<u64> {
    text.trim().trim_start_matches("bytes=").split_once('-')?.1.parse().ok()
}
