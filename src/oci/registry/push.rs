//! A whole image on its way to a registry: what is missing there, its blobs, its manifests, its tags.

use crate::oci;
use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::address::check_tag;
use crate::oci::registry::document;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Call;
use crate::oci::registry::token::Scope;
use crate::oci::registry::upload::Uploads;
use crate::oci::registry::upload::Way;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::sys::fs;
use crate::sys::http::Body;
use crate::sys::http::Bytes;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::values::Digest;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::future::try_join4;
use futures_util::stream;
use oci_spec::image::Descriptor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Indexes within indexes, at most.
const DEEPEST: usize = 3;

/// Blobs that are looked after at one time; requests have their own budget.
const AHEAD: usize = 32;

/// Time between two reports of bytes that left.
const TICK: Duration = Duration::from_millis(100);

/// What is pushed, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Folder of an OCI layout.
    pub layout: &'a Path,
    /// Index or manifest in it.
    pub target: &'a Descriptor,
    /// Repository, with its project.
    pub repository: &'a str,
    /// Tags that are to stand for it, in the order in which they are moved. Without any it is pushed by digest.
    pub tags: &'a [String],
    /// Repositories of the same registry that may have some of the blobs.
    pub mount_from: &'a [String],
    /// Most bytes of one request, for proxies that limit that; costs speed.
    pub chunk: Option<u64>,
    /// The image is probably not there: everything is looked up at once. Otherwise the tags alone, first.
    pub is_new: bool,
}

/// A number of blobs, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Blobs {
    /// How many.
    pub count: usize,
    /// Bytes of all.
    pub bytes: u64,
}

impl Blobs {
    fn add(&mut self, blob: &Named) {
        self.count += 1;
        self.bytes += blob.size;
    }
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pushed {
    /// The image.
    pub digest: Digest,
    /// Blobs that were sent.
    pub uploaded: Blobs,
    /// Blobs that other repositories had.
    pub mounted: Blobs,
    /// Blobs that were there.
    pub skipped: Blobs,
    /// Manifests and indexes that were written, by digest.
    pub manifests: usize,
    /// Tags that did not stand for this image before.
    pub tags_moved: Vec<String>,
}

/// The bytes of a manifest to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload<'a> {
    pub(super) media_type: &'a str,
    pub(super) bytes: &'a Bytes,
}

/// A manifest or index of the image.
#[derive(Debug)]
struct Node {
    digest: Digest,
    media_type: String,
    bytes: Bytes,
    blobs: Vec<Named>,
}

impl Node {
    fn upload(&self) -> Upload<'_> {
        Upload { media_type: &self.media_type, bytes: &self.bytes }
    }
}

impl Registry {
    /// Brings an image to a repository and its tags to the image. Everything that is there is left alone, so that a push
    /// that failed can simply be repeated.
    ///
    /// # Errors
    /// [`Error::Damaged`] before anything is sent; otherwise no tag stands for an image that is not complete.
    pub async fn push(&self, push: &Push<'_>, reporter: &dyn Reporter) -> Result<Pushed, Error> {
        check_repository(push.repository)?;
        push.mount_from.iter().try_for_each(|from| check_repository(from))?;
        push.tags.iter().try_for_each(|tag| check_tag(tag))?;
        // children before what names them
        let nodes = Image::read(push)?;
        let root = nodes.last().expect("an image is at least one manifest");
        let scope = &Scope::push(push.repository, push.mount_from.iter().map(String::as_str));
        let mut pushed = Pushed {
            digest: root.digest,
            uploaded: Blobs::default(),
            mounted: Blobs::default(),
            skipped: Blobs::default(),
            manifests: 0,
            tags_moved: Vec::new(),
        };
        let around = self.look_around(push, &nodes, scope).await?;
        let wanted = blobs(around.missing.iter().copied());
        for blob in blobs(&nodes).values().filter(|blob| !wanted.contains_key(&blob.digest)) {
            pushed.skipped.add(blob);
        }
        let wanted: Vec<Named> = wanted.into_values().collect();
        self.push_blobs(push, scope, (wanted, &around), (&mut pushed, reporter)).await?;
        self.push_manifests(push, scope, &around.missing, root).await?;
        pushed.manifests = around.missing.len();
        let move_tag = |tag: &String| {
            let tag = tag.clone();
            async move { self.put_within(push.repository, &tag, root.upload(), scope).await }
        };
        let moved = stream::iter(around.to_move.iter().map(move_tag)).buffered(self.host.parallel());
        // one that is refused does not keep the others from the same complete image
        for result in moved.collect::<Vec<_>>().await {
            result?;
        }
        pushed.tags_moved = around.to_move;
        Ok(pushed)
    }

    /// Finds out what the registry has, in as few round trips as possible.
    async fn look_around<'a>(&self, push: &Push<'_>, nodes: &'a [Node], scope: &Scope) -> Result<Around<'a>, Error> {
        let root = nodes.last().expect("an image is at least one manifest");
        let mut around = Around::default();
        if !push.is_new {
            around.to_move = self.tags_to_move(push, root, scope).await?;
            if around.to_move.is_empty() && !push.tags.is_empty() {
                return Ok(around);
            }
        }
        let tags = async { if push.is_new { self.tags_to_move(push, root, scope).await } else { Ok(Vec::new()) } };
        let missing = self.missing(push, nodes, scope);
        let there = self.blobs_there(push, nodes, scope);
        let sources = self.sources(push, scope);
        let (tags, missing, there, sources) = try_join4(tags, missing, there, sources).await?;
        around.to_move.extend(tags);
        Ok(Around { missing, there, sources, ..around })
    }

    /// Returns the blobs that the repository has.
    async fn blobs_there(&self, push: &Push<'_>, nodes: &[Node], scope: &Scope) -> Result<BTreeSet<Digest>, Error> {
        let look = |blob: Named| async move {
            let what = format!("look up blob {} of `{}`", blob.digest, push.repository);
            let url = self.path(&format!("{}/blobs/{}", push.repository, blob.digest));
            let request = Request::new(Method::HEAD, url, Body::Empty);
            let answer = self.send(&Call { what: &what, scope, request }).await?;
            match answer.status() {
                200 => {
                    answer.drain().await;
                    Ok::<_, Error>(Some(blob.digest))
                }
                404 => {
                    answer.drain().await;
                    Ok(None)
                }
                _ => Err(self.refused(&what, answer).await),
            }
        };
        let found: Vec<Option<Digest>> =
            stream::iter(blobs(nodes).into_values().map(look)).buffered(AHEAD).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns those repositories to mount from that exist and that we may read.
    async fn sources(&self, push: &Push<'_>, scope: &Scope) -> Result<Vec<String>, Error> {
        let look = |from: &String| {
            let from = from.clone();
            async move {
                let what = format!("look up `{from}`");
                let mut url = self.path(&format!("{from}/tags/list"));
                url.set_query(Some("n=1"));
                match self
                    .send(&Call { what: &what, scope, request: Request::new(Method::GET, url, Body::Empty) })
                    .await
                {
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
        let own = |from: &&String| *from != push.repository;
        let all = push.mount_from.iter().filter(own).map(look);
        let found: Vec<Option<String>> = stream::iter(all).buffered(AHEAD).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns the tags that do not stand for this image.
    async fn tags_to_move(&self, push: &Push<'_>, root: &Node, scope: &Scope) -> Result<Vec<String>, Error> {
        let look = |tag: &String| {
            let tag = tag.clone();
            async move {
                let found = self.head_within(push.repository, &tag, scope).await?;
                let stands = found.and_then(|found| oci::digest_of(&found)) == Some(root.digest);
                Ok::<_, Error>((!stands).then_some(tag))
            }
        };
        let moved: Vec<Option<String>> = stream::iter(push.tags.iter().map(look)).buffered(AHEAD).try_collect().await?;
        Ok(moved.into_iter().flatten().collect())
    }

    /// Returns the manifests that the repository does not have. One that is there has its blobs and children with it.
    async fn missing<'a>(&self, push: &Push<'_>, nodes: &'a [Node], scope: &Scope) -> Result<Vec<&'a Node>, Error> {
        let look = |node: &'a Node| async move {
            let found = self.head_within(push.repository, &node.digest.to_string(), scope).await?;
            Ok::<_, Error>(found.is_none().then_some(node))
        };
        let found: Vec<Option<&Node>> =
            stream::iter(nodes.iter().rev().map(look)).buffered(AHEAD).try_collect().await?;
        match found.first() {
            // the root is there, and so is everything else
            Some(None) | None => Ok(Vec::new()),
            Some(Some(_)) => Ok(found.into_iter().rev().flatten().collect()),
        }
    }

    async fn push_blobs(
        &self,
        push: &Push<'_>,
        scope: &Scope,
        (mut wanted, around): (Vec<Named>, &Around<'_>),
        (pushed, reporter): (&mut Pushed, &dyn Reporter),
    ) -> Result<(), Error> {
        // the largest first: the last to end is then a small one
        wanted.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let sent: Arc<AtomicU64> = Arc::default();
        let uploads = Uploads {
            registry: self,
            repository: push.repository,
            scope: scope.clone(),
            layout: push.layout.to_owned(),
            mount_from: &around.sources,
            unusable: Mutex::default(),
            chunk: push.chunk,
            sent: Arc::clone(&sent),
        };
        // registries lose sessions when many are open
        let turns = Semaphore::new(self.host.parallel());
        let bring = |blob: &Named| {
            let blob = blob.clone();
            let (uploads, turns) = (&uploads, &turns);
            async move {
                if around.there.contains(&blob.digest) {
                    return Ok::<_, Error>((blob, Way::Skipped));
                }
                let _turn = turns.acquire().await.expect("never closed");
                let what = format!("{} {}", push.repository, blob.digest.short());
                reporter.event(Event::Started { stage: Stage::Upload, total: blob.size, what: what.clone() });
                let way = uploads.bring(&blob).await?;
                if way == Way::Mounted {
                    reporter.event(Event::Advanced { stage: Stage::Upload, by: blob.size });
                }
                reporter.event(Event::Finished { stage: Stage::Upload, what });
                Ok((blob, way))
            }
        };
        let work = stream::iter(wanted.iter().map(bring)).buffer_unordered(AHEAD).try_collect::<Vec<_>>();
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        let tell = || match sent.swap(0, Ordering::Relaxed) {
            0 => {}
            by => reporter.event(Event::Advanced { stage: Stage::Upload, by }),
        };
        let ways = loop {
            tokio::select! {
                ways = &mut work => break ways,
                _ = ticks.tick() => tell(),
            }
        };
        tell();
        for (blob, way) in ways? {
            let part = match way {
                Way::Skipped => &mut pushed.skipped,
                Way::Mounted => &mut pushed.mounted,
                Way::Uploaded => &mut pushed.uploaded,
            };
            part.add(&blob);
        }
        Ok(())
    }

    /// Writes manifests by digest, those that others name first.
    async fn push_manifests(
        &self,
        push: &Push<'_>,
        scope: &Scope,
        missing: &[&Node],
        root: &Node,
    ) -> Result<(), Error> {
        let put = |node: &Node| {
            let (digest, upload) = (node.digest.to_string(), (node.media_type.clone(), node.bytes.clone()));
            async move {
                let upload = Upload { media_type: &upload.0, bytes: &upload.1 };
                self.put_within(push.repository, &digest, upload, scope).await
            }
        };
        let (indexes, images): (Vec<&Node>, Vec<&Node>) =
            missing.iter().copied().filter(|node| node.digest != root.digest).partition(|node| node.blobs.is_empty());
        let work = stream::iter(images.into_iter().map(put)).buffer_unordered(self.host.parallel());
        work.try_collect::<Vec<_>>().await?;
        for index in indexes {
            put(index).await?;
        }
        // a tag takes the image along
        if push.tags.is_empty() && missing.iter().any(|node| node.digest == root.digest) {
            put(root).await?;
        }
        Ok(())
    }
}

/// What a registry has of an image.
#[derive(Debug, Default)]
struct Around<'a> {
    /// Tags that do not stand for it.
    to_move: Vec<String>,
    /// Manifests that the repository does not have.
    missing: Vec<&'a Node>,
    /// Blobs that it has.
    there: BTreeSet<Digest>,
    /// Repositories that blobs may be mounted from.
    sources: Vec<String>,
}

/// Returns the blobs of manifests, each once.
fn blobs<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeMap<Digest, Named> {
    let all = nodes.into_iter().flat_map(|node| &node.blobs);
    all.map(|blob| (blob.digest, blob.clone())).collect()
}

/// Reads an image from a layout folder.
struct Image<'a> {
    layout: &'a Path,
    nodes: Vec<Node>,
    seen: BTreeSet<Digest>,
}

impl Image<'_> {
    fn read(push: &Push<'_>) -> Result<Vec<Node>, Error> {
        let digest = oci::digest_of(push.target).ok_or_else(|| Error::Damaged {
            path: push.layout.to_owned(),
            cause: format!("`{}` is not a SHA-256 digest", push.target.digest()),
        })?;
        let media_type = push.target.media_type().to_string();
        let mut image = Image { layout: push.layout, nodes: Vec::new(), seen: BTreeSet::new() };
        image.add(&Named { digest, size: push.target.size(), media_type }, 0)?;
        Ok(image.nodes)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    fn add(&mut self, named: &Named, depth: usize) -> Result<(), Error> {
        if !self.seen.insert(named.digest) {
            return Ok(());
        }
        let path = self.path(&named.digest);
        let damaged = |cause: String| Error::Damaged { path: path.clone(), cause };
        if depth > DEEPEST {
            return Err(damaged("indexes are nested too deeply".to_owned()));
        }
        let bytes = fs::read(&path, document::LIMIT)?;
        let found = Digest::of(&bytes);
        if found != named.digest {
            return Err(damaged(format!("its bytes have digest {found}")));
        }
        let document = document::read(&bytes, Some(&named.media_type)).map_err(&damaged)?;
        for child in &document.manifests {
            self.add(child, depth + 1)?;
        }
        for blob in &document.blobs {
            let path = self.path(&blob.digest);
            let size = fs::size(&path);
            if size != Some(blob.size) {
                let found = size.map_or_else(|| "it is missing".to_owned(), |size| format!("it has {size} bytes"));
                return Err(Error::Damaged { path, cause: format!("{found} instead of {}", blob.size) });
            }
        }
        let node =
            Node { digest: named.digest, media_type: document.media_type, bytes: bytes.into(), blobs: document.blobs };
        self.nodes.push(node);
        Ok(())
    }
}
