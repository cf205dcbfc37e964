//! A whole image on its way to a registry: what is missing there, its blobs, its manifests, its tags.

use crate::oci;
use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::address::check_tag;
use crate::oci::registry::document;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::Error;
use crate::oci::registry::token::Scope;
use crate::oci::registry::upload::Uploads;
use crate::oci::registry::upload::Way;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Saving;
use crate::report::Stage;
use crate::sys::fs;
use crate::sys::http::Bytes;
use crate::values::Digest;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::future::join;
use futures_util::future::try_join;
use futures_util::future::try_join3;
use futures_util::stream;
use oci_spec::image::Descriptor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::pin::pin;
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
    /// Blobs that the folder need not have, because they can be mounted; see [`Error::Absent`].
    pub elsewhere: &'a [Digest],
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
        self.greet().await?;
        let mut to_move = Vec::new();
        let mut is_known = false;
        if !push.is_new {
            to_move = self.tags_to_move(push, root, scope).await?;
            is_known = to_move.is_empty() && !push.tags.is_empty() || self.is_there(push, root, scope).await?;
        }
        if is_known {
            // what is there has its blobs with it
            blobs(&nodes).values().for_each(|blob| pushed.skipped.add(blob));
        } else {
            // at once: every round trip counts
            let wanted: Vec<Named> = blobs(&nodes).into_values().collect();
            let uploads = Uploads::new(self, push, scope);
            let brought = push_blobs(&uploads, wanted, (&mut pushed, reporter));
            let is_there = async { if push.is_new { self.is_there(push, root, scope).await } else { Ok(false) } };
            let (is_there, ()) = try_join(is_there, brought).await?;
            let named = async {
                if is_there {
                    return self.tags_to_move(push, root, scope).await;
                }
                self.push_manifests(push, scope, &nodes).await?;
                pushed.manifests = nodes.len();
                // no tag can stand for what was not there
                Ok(push.tags.to_vec())
            };
            let (named, ()) = join(named, uploads.give_back()).await;
            to_move = named?;
        }
        let move_tag = |tag: &String| {
            let tag = tag.clone();
            async move { self.put_within(push.repository, &tag, root.upload(), scope).await }
        };
        let moved = stream::iter(to_move.iter().map(move_tag)).buffered(self.host.parallel());
        // one that is refused does not keep the others from the same complete image
        for result in moved.collect::<Vec<_>>().await {
            result?;
        }
        pushed.tags_moved = to_move;
        Ok(pushed)
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

    /// Tells whether the repository has the image, and so everything that it names.
    async fn is_there(&self, push: &Push<'_>, root: &Node, scope: &Scope) -> Result<bool, Error> {
        Ok(self.head_within(push.repository, &root.digest.to_string(), scope).await?.is_some())
    }

    /// Writes manifests by digest, those that others name first; the image itself only when no tag takes it along.
    async fn push_manifests(&self, push: &Push<'_>, scope: &Scope, nodes: &[Node]) -> Result<(), Error> {
        let (root, others) = nodes.split_last().expect("an image is at least one manifest");
        let put = |node: &Node| {
            let (digest, upload) = (node.digest.to_string(), (node.media_type.clone(), node.bytes.clone()));
            async move {
                let upload = Upload { media_type: &upload.0, bytes: &upload.1 };
                self.put_within(push.repository, &digest, upload, scope).await
            }
        };
        let (indexes, images): (Vec<&Node>, Vec<&Node>) = others.iter().partition(|node| node.blobs.is_empty());
        let work = stream::iter(images.into_iter().map(put)).buffer_unordered(self.host.parallel());
        work.try_collect::<Vec<_>>().await?;
        let last = push.tags.is_empty().then_some(root);
        for index in indexes.into_iter().chain(last) {
            put(index).await?;
        }
        Ok(())
    }
}

/// Brings those blobs to the registry that it does not have.
async fn push_blobs(
    uploads: &Uploads<'_>,
    mut wanted: Vec<Named>,
    (pushed, reporter): (&mut Pushed, &dyn Reporter),
) -> Result<(), Error> {
    // the largest first: the last to end is then a small one
    wanted.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    // registries lose sessions when many are open
    let turns = Semaphore::new(uploads.registry.host.parallel());
    let bring = |blob: &Named| {
        let blob = blob.clone();
        let turns = &turns;
        async move {
            if uploads.has(&blob).await? {
                reporter.event(Event::Saved { stage: Stage::Upload, by: blob.size, how: Saving::There });
                return Ok::<_, Error>((blob, Way::Skipped));
            }
            let _turn = turns.acquire().await.expect("never closed");
            let what = format!("{} {}", uploads.repository, blob.digest.short());
            reporter.event(Event::Started { stage: Stage::Upload, total: blob.size, what: what.clone() });
            let way = uploads.bring(&blob).await?;
            if way == Way::Mounted {
                reporter.event(Event::Saved { stage: Stage::Upload, by: blob.size, how: Saving::Mounted });
            }
            reporter.event(Event::Finished { stage: Stage::Upload, what });
            Ok((blob, way))
        }
    };
    let work = stream::iter(wanted.iter().map(bring)).buffer_unordered(AHEAD).try_collect::<Vec<_>>();
    // asked for first, because every blob that is missing waits for it
    let ahead = async {
        if uploads.may_send {
            uploads.open_ahead().await;
        }
        Ok(())
    };
    let work = try_join3(uploads.sources(), ahead, work);
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(TICK);
    let tell = || match uploads.sent.swap(0, Ordering::Relaxed) {
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
    for (blob, way) in ways?.2 {
        let part = match way {
            Way::Skipped => &mut pushed.skipped,
            Way::Mounted => &mut pushed.mounted,
            Way::Uploaded => &mut pushed.uploaded,
        };
        part.add(&blob);
    }
    Ok(())
}

/// Returns the blobs of manifests, each once.
fn blobs<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeMap<Digest, Named> {
    let all = nodes.into_iter().flat_map(|node| &node.blobs);
    all.map(|blob| (blob.digest, blob.clone())).collect()
}

/// Reads an image from a layout folder.
struct Image<'a> {
    layout: &'a Path,
    elsewhere: &'a [Digest],
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
        let (layout, elsewhere) = (push.layout, push.elsewhere);
        let mut image = Image { layout, elsewhere, nodes: Vec::new(), seen: BTreeSet::new() };
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
            let is_near = size.is_none() && self.elsewhere.contains(&blob.digest);
            if size != Some(blob.size) && !is_near {
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
