//! Pushes a whole image to a registry: looks up what is missing there, then sends blobs, manifests and tags in this order.

use crate::oci;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::address::check_tag;
use crate::oci::registry::document;
use crate::oci::registry::document::ContentDescriptor;
use crate::oci::registry::error::Error;
use crate::oci::registry::token::TokenScope;
use crate::oci::registry::upload::BlobOutcome;
use crate::oci::registry::upload::BlobUploads;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::report::TransferSaving;
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

/// Deepest nesting of indexes.
const DEEPEST: usize = 3;

/// Blobs that are looked up at the same time. That costs a registry little, and the HTTP client limits its requests itself.
const LOOKUPS: usize = 32;

/// Time between two reports of sent bytes: often enough for a smooth display.
const TICK: Duration = Duration::from_millis(100);

/// An image to be pushed, and its destination.
#[derive(Debug, Clone, Copy)]
pub struct PushRequest<'a> {
    /// Folder of an OCI layout.
    pub layout: &'a Path,
    /// The image's index or manifest in that folder.
    pub target: &'a Descriptor,
    /// Repository, including its project.
    pub repository: &'a str,
    /// Tags that shall point to the image, in the order in which they are moved. Without tags it is pushed by digest.
    pub tags: &'a [String],
    /// Repositories of the same registry that may have some of the blobs.
    pub mount_from: &'a [String],
    /// Blobs that the folder may lack, because they can be mounted; see [`Error::Absent`].
    pub elsewhere: &'a [Digest],
    /// Most bytes of one request, for proxies with a limit; slower than without.
    pub chunk: Option<u64>,
    /// The repository probably lacks the image, so everything is looked up at the same time. Otherwise the tags are looked
    /// up first, and alone.
    pub is_new: bool,
}

/// A number of blobs and their total size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BlobTotals {
    /// Number of blobs.
    pub count: usize,
    /// Bytes of all blobs together.
    pub bytes: u64,
}

impl BlobTotals {
    /// Counts one more blob.
    fn add(&mut self, blob: &ContentDescriptor) {
        self.count += 1;
        self.bytes += blob.size;
    }
}

/// The result of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PushOutcome {
    /// Digest of the image.
    pub digest: Digest,
    /// Blobs that were sent.
    pub uploaded: BlobTotals,
    /// Blobs that were mounted from other repositories.
    pub mounted: BlobTotals,
    /// Blobs that the repository already had.
    pub skipped: BlobTotals,
    /// Number of manifests and indexes that were written.
    pub manifests: usize,
    /// Tags that did not point to this image before.
    pub tags_moved: Vec<String>,
}

/// A manifest or index to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct ManifestBody<'a> {
    pub(super) media_type: &'a str,
    pub(super) bytes: &'a Bytes,
}

/// A manifest or index of the image in the layout.
#[derive(Debug)]
struct LayoutManifest {
    digest: Digest,
    media_type: String,
    bytes: Bytes,
    blobs: Vec<ContentDescriptor>,
}

impl LayoutManifest {
    /// Returns its bytes and media type for a request.
    fn upload(&self) -> ManifestBody<'_> {
        ManifestBody { media_type: &self.media_type, bytes: &self.bytes }
    }
}

impl RegistryClient {
    /// Pushes an image and moves its tags to it. What the registry already has is left alone, so a failed push can simply be
    /// repeated.
    ///
    /// # Errors
    /// [`Error::Damaged`] before anything is sent. After any other error, no tag points to an incomplete image.
    pub async fn push(&self, push: &PushRequest<'_>, reporter: &dyn ProgressReporter) -> Result<PushOutcome, Error> {
        check_repository(push.repository)?;
        push.mount_from.iter().try_for_each(|from| check_repository(from))?;
        push.tags.iter().try_for_each(|tag| check_tag(tag))?;

        let nodes = LayoutImageReader::read(push)?;
        let scope = TokenScope::push(push.repository);
        let image = ImagePush { registry: self, push, nodes, scope, reporter };

        self.discover_challenge().await?;
        image.run().await
    }
}

/// One push of an image.
struct ImagePush<'a> {
    registry: &'a RegistryClient,
    push: &'a PushRequest<'a>,
    /// Manifests and indexes, each after those that it names; so the image itself is the last one.
    nodes: Vec<LayoutManifest>,
    scope: TokenScope,
    reporter: &'a dyn ProgressReporter,
}

impl ImagePush<'_> {
    /// Sends what is missing, then moves the tags.
    async fn run(&self) -> Result<PushOutcome, Error> {
        let mut pushed = PushOutcome {
            digest: self.root().digest,
            uploaded: BlobTotals::default(),
            mounted: BlobTotals::default(),
            skipped: BlobTotals::default(),
            manifests: 0,
            tags_moved: Vec::new(),
        };

        pushed.tags_moved = match self.tags_of_known_image().await? {
            Some(tags) => {
                // a registry accepts a manifest only after its blobs, so it has them as well
                blobs(&self.nodes).values().for_each(|blob| pushed.skipped.add(blob));
                tags
            }
            None => self.push_content(&mut pushed).await?,
        };

        self.move_tags(&pushed.tags_moved).await?;
        Ok(pushed)
    }

    /// Returns the image's own manifest or index.
    fn root(&self) -> &LayoutManifest {
        self.nodes.last().expect("an image is at least one manifest")
    }

    /// Looks up the image before anything else, unless it is probably new. Returns the tags to move if the repository has
    /// the image, and `None` if it may not.
    async fn tags_of_known_image(&self) -> Result<Option<Vec<String>>, Error> {
        if self.push.is_new {
            return Ok(None);
        }

        // tags that point to the image prove that it exists
        let tags = self.tags_to_move().await?;
        let all_point_to_it = tags.is_empty() && !self.push.tags.is_empty();
        let exists = all_point_to_it || self.exists().await?;
        Ok(exists.then_some(tags))
    }

    /// Sends blobs, then manifests; returns the tags to move.
    async fn push_content(&self, pushed: &mut PushOutcome) -> Result<Vec<String>, Error> {
        let uploads = BlobUploads::new(self.registry, self.push, &self.scope);
        let transfer = BlobTransfer {
            uploads: &uploads,
            turns: Semaphore::new(self.registry.host.parallel()),
            reporter: self.reporter,
        };

        // the image is looked up while its blobs are: every round trip counts
        let lookup = async { if self.push.is_new { self.exists().await } else { Ok(false) } };
        let wanted: Vec<ContentDescriptor> = blobs(&self.nodes).into_values().collect();
        let (exists, ways) = try_join(lookup, transfer.run(wanted)).await?;
        for (blob, way) in ways {
            let counted = match way {
                BlobOutcome::Skipped => &mut pushed.skipped,
                BlobOutcome::Mounted => &mut pushed.mounted,
                BlobOutcome::Uploaded => &mut pushed.uploaded,
            };
            counted.add(&blob);
        }

        // unused upload sessions are given back meanwhile; that must not delay the manifests
        let manifests = async {
            if exists {
                return self.tags_to_move().await;
            }
            self.push_manifests().await?;
            pushed.manifests = self.nodes.len();
            // no tag can point to an image that did not exist
            Ok(self.push.tags.to_vec())
        };
        let (tags, ()) = join(manifests, uploads.give_back()).await;
        tags
    }

    /// Writes the image under each of these tags.
    async fn move_tags(&self, tags: &[String]) -> Result<(), Error> {
        let moves = tags.iter().cloned().map(|tag| async move { self.put(self.root(), &tag).await });
        let results: Vec<_> = stream::iter(moves).buffered(self.registry.host.parallel()).collect().await;

        // all tags are tried before one error is returned: the image is complete, whichever tag is refused
        results.into_iter().collect()
    }

    /// Returns the tags that do not point to this image.
    async fn tags_to_move(&self) -> Result<Vec<String>, Error> {
        let lookups = self.push.tags.iter().cloned().map(|tag| async move {
            let found = self.registry.head_within(self.push.repository, &tag, &self.scope).await?;
            let points_here = found.and_then(|found| oci::digest_of(&found)) == Some(self.root().digest);
            Ok::<_, Error>((!points_here).then_some(tag))
        });
        let to_move: Vec<Option<String>> = stream::iter(lookups).buffered(LOOKUPS).try_collect().await?;
        Ok(to_move.into_iter().flatten().collect())
    }

    /// Tells whether the repository has the image, and so everything that it names.
    async fn exists(&self) -> Result<bool, Error> {
        let digest = self.root().digest.to_string();
        Ok(self.registry.head_within(self.push.repository, &digest, &self.scope).await?.is_some())
    }

    /// Writes manifests by digest, each after those that it names.
    async fn push_manifests(&self) -> Result<(), Error> {
        let (root, others) = self.nodes.split_last().expect("an image is at least one manifest");
        // an index names no blobs itself
        let (indexes, images): (Vec<&LayoutManifest>, Vec<&LayoutManifest>) =
            others.iter().partition(|node| node.blobs.is_empty());

        // manifests of images name only blobs, so their order does not matter
        let puts = images.into_iter().map(|node| self.put_by_digest(node));
        stream::iter(puts).buffer_unordered(self.registry.host.parallel()).try_collect::<Vec<()>>().await?;

        for index in indexes {
            self.put_by_digest(index).await?;
        }

        // with tags, the image itself is written under the first of them
        if self.push.tags.is_empty() {
            self.put_by_digest(root).await?;
        }
        Ok(())
    }

    /// Writes a manifest or index under its digest.
    async fn put_by_digest(&self, node: &LayoutManifest) -> Result<(), Error> {
        self.put(node, &node.digest.to_string()).await
    }

    /// Writes a manifest or index under a tag or its digest.
    async fn put(&self, node: &LayoutManifest, reference: &str) -> Result<(), Error> {
        let put = self.registry.put_within(self.push.repository, reference, node.upload(), &self.scope).await;
        let is_index = node.media_type == document::ACCEPTED[0];
        put.map(drop).map_err(|error| if is_index { error.at_index() } else { error })
    }
}

/// The transfer of an image's blobs.
struct BlobTransfer<'a> {
    uploads: &'a BlobUploads<'a>,
    /// Limits the uploads at one time: registries lose sessions when many are open.
    turns: Semaphore,
    reporter: &'a dyn ProgressReporter,
}

impl BlobTransfer<'_> {
    /// Sends or mounts the blobs that the repository lacks; returns for each one how it got there.
    async fn run(&self, mut wanted: Vec<ContentDescriptor>) -> Result<Vec<(ContentDescriptor, BlobOutcome)>, Error> {
        // largest first, so that the last blob to be finished is a small one
        wanted.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let transfers = wanted.into_iter().map(|blob| self.transfer(blob));
        let all = stream::iter(transfers).buffer_unordered(LOOKUPS).try_collect::<Vec<_>>();

        let open_ahead = async {
            if self.uploads.may_send {
                self.uploads.open_ahead().await;
            }
            Ok(())
        };

        // the sources of mounts are polled first, because every blob that is missing waits for them
        let (_, (), ways) = self.with_progress(try_join3(self.uploads.sources(), open_ahead, all)).await?;
        Ok(ways)
    }

    /// Sends or mounts one blob if the repository lacks it.
    async fn transfer(&self, blob: ContentDescriptor) -> Result<(ContentDescriptor, BlobOutcome), Error> {
        if self.uploads.exists(&blob).await? {
            self.reporter.event(ProgressEvent::Saved {
                stage: ProgressStage::Upload,
                by: blob.size,
                how: TransferSaving::There,
            });
            return Ok((blob, BlobOutcome::Skipped));
        }

        // taken after the lookup, so that no lookup waits for an upload
        let _turn = self.turns.acquire().await.expect("never closed");
        let title = format!("{} {}", self.uploads.repository, blob.digest.short());
        self.reporter.event(ProgressEvent::Started {
            stage: ProgressStage::Upload,
            total: blob.size,
            what: title.clone(),
        });

        let way = self.uploads.upload(&blob).await?;
        if way == BlobOutcome::Mounted {
            self.reporter.event(ProgressEvent::Saved {
                stage: ProgressStage::Upload,
                by: blob.size,
                how: TransferSaving::Mounted,
            });
        }
        self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Upload, what: title });
        Ok((blob, way))
    }

    /// Waits for some work, and reports the sent bytes meanwhile.
    async fn with_progress<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval(TICK);

        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = ticks.tick() => self.report_sent(),
            }
        };
        // what was sent since the last tick
        self.report_sent();
        result
    }

    /// Reports the bytes that were sent since the last report.
    fn report_sent(&self) {
        match self.uploads.sent.swap(0, Ordering::Relaxed) {
            0 => {}
            by => self.reporter.event(ProgressEvent::Advanced { stage: ProgressStage::Upload, by }),
        }
    }
}

/// Returns the blobs of all manifests by digest: layers are often shared between platforms.
fn blobs<'a>(nodes: impl IntoIterator<Item = &'a LayoutManifest>) -> BTreeMap<Digest, ContentDescriptor> {
    let all = nodes.into_iter().flat_map(|node| &node.blobs);
    all.map(|blob| (blob.digest, blob.clone())).collect()
}

/// Reads an image from a layout folder, and checks that it is complete.
struct LayoutImageReader<'a> {
    layout: &'a Path,
    elsewhere: &'a [Digest],
    /// Manifests and indexes, each after those that it names.
    nodes: Vec<LayoutManifest>,
    seen: BTreeSet<Digest>,
}

impl LayoutImageReader<'_> {
    /// Returns the manifests and indexes of an image, each after those that it names.
    fn read(push: &PushRequest<'_>) -> Result<Vec<LayoutManifest>, Error> {
        let digest = oci::digest_of(push.target).ok_or_else(|| Error::Damaged {
            path: push.layout.to_owned(),
            cause: format!("`{}` is not a SHA-256 digest", push.target.digest()),
        })?;
        let media_type = push.target.media_type().to_string();
        let root = ContentDescriptor { digest, size: push.target.size(), media_type };

        let (layout, elsewhere) = (push.layout, push.elsewhere);
        let mut image = LayoutImageReader { layout, elsewhere, nodes: Vec::new(), seen: BTreeSet::new() };
        image.add(&root, 0)?;
        Ok(image.nodes)
    }

    /// Returns the path of a blob in the layout.
    fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    /// Adds a manifest or index after everything that it names.
    fn add(&mut self, named: &ContentDescriptor, depth: usize) -> Result<(), Error> {
        // an index may name a manifest twice, for two platforms
        if !self.seen.insert(named.digest) {
            return Ok(());
        }

        let path = self.path(&named.digest);
        if depth > DEEPEST {
            return Err(Error::Damaged { path, cause: "indexes are nested too deeply".to_owned() });
        }

        // the layout may be another tool's: nothing is sent that does not have its digest
        let bytes = fs::read(&path, document::LIMIT)?;
        let found = Digest::of(&bytes);
        if found != named.digest {
            return Err(Error::Damaged { path, cause: format!("its bytes have digest {found}") });
        }
        let document =
            document::read(&bytes, Some(&named.media_type)).map_err(|cause| Error::Damaged { path, cause })?;

        for manifest in &document.manifests {
            self.add(manifest, depth + 1)?;
        }
        for blob in &document.blobs {
            self.check_blob(blob)?;
        }

        let (digest, media_type) = (named.digest, document.media_type);
        self.nodes.push(LayoutManifest { digest, media_type, bytes: bytes.into(), blobs: document.blobs });
        Ok(())
    }

    /// Checks that a blob exists with its size, or may be elsewhere. Its digest is verified when it is sent.
    fn check_blob(&self, blob: &ContentDescriptor) -> Result<(), Error> {
        let path = self.path(&blob.digest);
        let cause = match fs::size(&path) {
            Some(size) if size == blob.size => return Ok(()),
            None if self.elsewhere.contains(&blob.digest) => return Ok(()),
            Some(size) => format!("it has {size} bytes instead of {}", blob.size),
            None => "it is missing".to_owned(),
        };
        Err(Error::Damaged { path, cause })
    }
}
