//! Pulls images from a registry: verifies blobs while they stream, and resumes downloads where they broke off.

use crate::oci;
use crate::oci::registry::FetchedManifest;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document;
use crate::oci::registry::document::ContentDescriptor;
use crate::oci::registry::document::ManifestDocument;
use crate::oci::registry::error::BODY_LIMIT;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::AttemptError;
use crate::oci::registry::session::RegistryRequest;
use crate::oci::registry::token::TokenScope;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::sys::fs;
use crate::sys::http::FailedAttempt;
use crate::sys::http::FailureStreak;
use crate::sys::http::HttpRequest;
use crate::sys::http::HttpResponse;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use crate::values::DigestHasher;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use oci_spec::image::Descriptor;
use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Largest blob that is downloaded: more than any layer of an image should have.
const LARGEST: u64 = 16 << 30;

/// Most manifests and indexes of one image.
const MOST_DOCUMENTS: usize = 1000;

/// Most bytes of all manifests and indexes of an image, which are in memory at the same time. An index of twenty platforms
/// with attestations has about 100 kB.
const DOCUMENTS_LIMIT: u64 = 32 << 20;

/// Deepest nesting of indexes.
const DEEPEST: usize = 3;

/// An attempt that received this many bytes resets the count of failures: a slow but working connection is not given up.
const PROGRESS: u64 = 1 << 20;

/// Time between two attempts to get the lock of a blob that another command downloads.
const WAIT: Duration = Duration::from_millis(200);

/// Where an image comes from and goes to.
struct ImagePull<'a> {
    registry: &'a RegistryClient,
    repository: &'a str,
    scope: TokenScope,
    /// A store or a layout folder: both keep blobs in `blobs/sha256/<hex>`.
    into: &'a Path,
    reporter: &'a dyn ProgressReporter,
}

/// A blob that is being downloaded.
struct BlobDownload<'a> {
    /// `read blob …`: what follows "cannot" in messages.
    action: &'a str,
    blob: &'a ContentDescriptor,
    file: PartialBlob,
    /// Bytes of the blob whose arrival was reported. A restart does not report them again.
    reported: u64,
}

impl RegistryClient {
    /// Downloads everything that a tag or digest names into a store or layout folder (`<into>/blobs/sha256/`); returns its
    /// descriptor. Unfinished blobs stay in `<into>/partial/` for the next attempt. To get one platform of an index, pull its
    /// manifest by digest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongDigest`], [`Error::Malformed`] and those of any request.
    pub async fn pull(
        &self,
        repository: &str,
        reference: &str,
        into: &Path,
        reporter: &dyn ProgressReporter,
    ) -> Result<Descriptor, Error> {
        let pull = ImagePull::prepare(self, repository, into, reporter)?;
        let root = self.manifest(repository, reference).await?;
        let documents = pull.documents(&root).await?;

        // layers are often shared between platforms
        let all = documents.iter().flat_map(|(_, document)| &document.blobs);
        let blobs: BTreeMap<Digest, &ContentDescriptor> = all.map(|blob| (blob.digest, blob)).collect();
        let downloads = blobs.into_values().map(|blob| pull.blob(blob));
        stream::iter(downloads).buffer_unordered(self.host.parallel()).try_collect::<Vec<()>>().await?;

        // in reverse, so that every document is written after those that it names: readers never see an incomplete image
        for (manifest, _) in documents.iter().rev() {
            let path =
                pull.target(&oci::digest_of(&manifest.descriptor).expect("our descriptors have SHA-256 digests"));
            if fs::read(&path, document::LIMIT).ok().as_ref() != Some(&manifest.bytes) {
                fs::write_atomic(&path, &manifest.bytes)?;
            }
        }
        Ok(root.descriptor)
    }

    /// Downloads one blob, given by its digest and size, into a store or layout folder, unless it is already there.
    ///
    /// # Errors
    /// As [`RegistryClient::pull`].
    pub async fn pull_blob(
        &self,
        repository: &str,
        blob: (Digest, u64),
        into: &Path,
        reporter: &dyn ProgressReporter,
    ) -> Result<(), Error> {
        check_repository(repository)?;
        let pull = ImagePull::prepare(self, repository, into, reporter)?;
        pull.blob(&ContentDescriptor { digest: blob.0, size: blob.1, media_type: String::new() }).await
    }
}

impl<'a> ImagePull<'a> {
    /// Makes the folders that a pull needs.
    fn prepare(
        registry: &'a RegistryClient,
        repository: &'a str,
        into: &'a Path,
        reporter: &'a dyn ProgressReporter,
    ) -> Result<Self, Error> {
        fs::create_dir(&into.join("blobs/sha256"))?;
        fs::create_dir(&into.join("partial"))?;
        Ok(Self { registry, repository, scope: TokenScope::pull(repository), into, reporter })
    }
}

impl ImagePull<'_> {
    /// Returns the path of a finished blob.
    fn target(&self, digest: &Digest) -> PathBuf {
        self.into.join("blobs/sha256").join(digest.hex())
    }

    /// Returns all manifests and indexes, each before those that it names.
    async fn documents(&self, root: &FetchedManifest) -> Result<Vec<(FetchedManifest, ManifestDocument)>, Error> {
        let mut found: Vec<(FetchedManifest, ManifestDocument)> = Vec::new();
        let mut level = vec![root.clone()];

        // level by level: a hostile image must neither nest without end nor list more than the limits
        for _ in 0..=DEEPEST {
            let mut wanted: BTreeMap<Digest, ContentDescriptor> = BTreeMap::new();
            for manifest in std::mem::take(&mut level) {
                let media_type = manifest.descriptor.media_type().to_string();
                let document = document::read(&manifest.bytes, Some(&media_type))
                    .map_err(|cause| self.malformed(manifest.descriptor.digest().as_ref(), cause))?;
                wanted.extend(document.manifests.iter().map(|child| (child.digest, child.clone())));
                found.push((manifest, document));
            }
            if wanted.is_empty() {
                return Ok(found);
            }

            self.check_limits(root, &found, &wanted)?;
            let children = wanted.into_values().map(|child| self.child(child));
            level = stream::iter(children).buffered(self.registry.host.parallel()).try_collect().await?;
        }
        Err(self.malformed(root.descriptor.digest().as_ref(), "indexes are nested too deeply".to_owned()))
    }

    /// Refuses an image with too many manifests, or too large ones, before the wanted ones are requested.
    fn check_limits(
        &self,
        root: &FetchedManifest,
        found: &[(FetchedManifest, ManifestDocument)],
        wanted: &BTreeMap<Digest, ContentDescriptor>,
    ) -> Result<(), Error> {
        let reference = root.descriptor.digest().as_ref();
        if found.len() + wanted.len() > MOST_DOCUMENTS {
            return Err(self.malformed(reference, format!("it has more than {MOST_DOCUMENTS} manifests")));
        }

        // declared sizes may be anything, so their sum may overflow
        let known = found.iter().map(|(manifest, _)| manifest.bytes.len() as u64);
        let bytes = known.chain(wanted.values().map(|child| child.size)).fold(0, u64::saturating_add);
        if bytes > DOCUMENTS_LIMIT {
            return Err(self.malformed(reference, format!("its manifests have more than {DOCUMENTS_LIMIT} bytes")));
        }
        Ok(())
    }

    /// Returns the error for a manifest that cannot be used.
    fn malformed(&self, reference: &str, cause: String) -> Error {
        Error::Malformed { action: format!("read manifest `{reference}` of `{}`", self.repository), cause }
    }

    /// Returns a manifest that an index names, from the local folder if it is there.
    async fn child(&self, child: ContentDescriptor) -> Result<FetchedManifest, Error> {
        // the sum of the declared sizes was checked, so no manifest may be larger than declared
        let limit = child.size.min(document::LIMIT);
        let local = fs::read(&self.target(&child.digest), limit).ok();
        if let Some(bytes) = local.filter(|bytes| Digest::of(bytes) == child.digest) {
            return Ok(FetchedManifest {
                descriptor: oci::descriptor(&child.media_type, &child.digest, child.size),
                bytes,
            });
        }

        let digest = child.digest.to_string();
        let manifest = self.registry.manifest_within(self.repository, &digest, &self.scope, limit).await?;

        // consumers go by the index, so the registry must serve what the index says
        if manifest.bytes.len() as u64 != child.size {
            return Err(self.malformed(&digest, format!("it does not have {} bytes", child.size)));
        }
        let media_type = manifest.descriptor.media_type().to_string();
        if media_type != child.media_type {
            let cause = format!("its media type is `{media_type}`, but its index says `{}`", child.media_type);
            return Err(self.malformed(&digest, cause));
        }
        Ok(manifest)
    }

    /// Downloads a blob, unless it is already there and intact.
    async fn blob(&self, blob: &ContentDescriptor) -> Result<(), Error> {
        if self.has(blob) {
            return Ok(());
        }

        let action = format!("read blob {} of `{}`", blob.digest, self.repository);
        if blob.size > LARGEST {
            return Err(Error::Malformed { action, cause: format!("it has more than {LARGEST} bytes") });
        }

        let partial = self.into.join("partial").join(blob.digest.hex());
        let lock_path = partial.with_extension("lock");
        // polled, never waited for in a system call: that would stop this thread's other downloads, for which the owner of
        // the lock may be waiting in turn
        let _lock = loop {
            match fs::try_lock(&lock_path)? {
                Some(lock) => break lock,
                None => tokio::time::sleep(WAIT).await,
            }
        };

        // another command may have finished it in the meantime
        if !self.has(blob) {
            let title = format!("{} {}", self.repository, blob.digest.short());
            self.reporter.event(ProgressEvent::Started {
                stage: ProgressStage::Download,
                total: blob.size,
                what: title.clone(),
            });
            self.complete(&action, blob, &partial).await?;
            fs::rename(&partial, &self.target(&blob.digest))?;
            self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Download, what: title });
        }
        Ok(fs::remove(&lock_path)?)
    }

    /// Tells whether a finished blob is there and intact.
    fn has(&self, blob: &ContentDescriptor) -> bool {
        let target = self.target(&blob.digest);
        fs::size(&target) == Some(blob.size) && fs::digest_of(&target).is_ok_and(|found| found == blob.digest)
    }

    /// Completes an unfinished file and verifies its digest.
    async fn complete(&self, action: &str, blob: &ContentDescriptor, path: &Path) -> Result<(), Error> {
        let mut reported = 0;
        loop {
            let file = PartialBlob::open(path, blob.size)?;
            let was_resumed = file.length() > 0;
            let mut download = BlobDownload { action, blob, file, reported };
            self.download(&mut download).await?;
            reported = download.reported;

            let found = download.file.hasher.finish();
            if found == blob.digest {
                return Ok(());
            }
            fs::remove(path)?;

            // The part that an earlier command left may have been damaged, so a resumed download gets a second try. Bytes that
            // came in one go are the registry's.
            if !was_resumed {
                return Err(Error::WrongDigest { action: action.to_owned(), expected: blob.digest, found });
            }
        }
    }

    /// Downloads the missing bytes of a blob; tries again where that may help.
    async fn download(&self, download: &mut BlobDownload<'_>) -> Result<(), Error> {
        let mut failures = FailureStreak::default();
        while download.file.length() < download.blob.size {
            let before = download.file.length();
            let Err(trouble) = self.download_once(download).await else { continue };

            if download.file.length().saturating_sub(before) >= PROGRESS {
                failures = FailureStreak::default();
            }
            self.registry.pause(trouble, &mut failures).await?;
        }
        Ok(())
    }

    /// Makes one request for the missing bytes of a blob.
    async fn download_once(&self, download: &mut BlobDownload<'_>) -> Result<(), AttemptError> {
        let BlobDownload { action, blob, .. } = *download;
        let url = self.registry.path(&format!("{}/blobs/{}", self.repository, blob.digest));
        let mut request = HttpRequest::new(Method::GET, url, RequestBody::Empty);
        // a body that a proxy compresses on its way would not have the digest
        request.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if download.file.length() > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", download.file.length())).expect("digits");
            request.headers.insert(header::RANGE, range);
        }

        let mut answer = self.registry.send_once(&RegistryRequest { action, scope: &self.scope, request }).await?;
        self.check_range(download, &mut answer).await?;

        while let Some(bytes) = answer.part().await? {
            // stops a registry that sends without end
            if download.file.length() + bytes.len() as u64 > blob.size {
                return Err(download.wrong_size().into());
            }
            download.file.append(&bytes)?;
            self.report(download);
        }

        if download.file.length() < blob.size { Err(FailedAttempt::short(answer.url()).into()) } else { Ok(()) }
    }

    /// Reports the bytes that arrived since the last report.
    fn report(&self, download: &mut BlobDownload<'_>) {
        let length = download.file.length();
        if length > download.reported {
            self.reporter
                .event(ProgressEvent::Advanced { stage: ProgressStage::Download, by: length - download.reported });
            download.reported = length;
        }
    }

    /// Checks which bytes an answer brings, and makes the file ready for them.
    async fn check_range(
        &self,
        download: &mut BlobDownload<'_>,
        answer: &mut HttpResponse,
    ) -> Result<(), AttemptError> {
        let length = download.file.length();
        match (answer.status(), answer.content_range()) {
            // the whole blob, also where the registry ignores `Range`
            (200, _) => {
                let announced =
                    answer.header(header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
                if announced.is_some_and(|announced| announced != download.blob.size) {
                    return Err(download.wrong_size().into());
                }
                Ok(download.file.restart()?)
            }
            // the missing part; the total may be left out (RFC 9110, 14.4)
            (206, Some((start, total))) if start == length && start > 0 => {
                let fits = total.is_none_or(|total| total == download.blob.size);
                if fits { Ok(()) } else { Err(download.wrong_size().into()) }
            }
            // another part, or none: starts again, which counts as a failure so that it does not go on without end
            (206 | 416, _) if length > 0 => {
                download.file.restart()?;
                Err(FailedAttempt::short(answer.url()).into())
            }
            (status, _) => {
                let mut patience = self.registry.host.patience();
                let body = answer.read(BODY_LIMIT, &mut patience).await.unwrap_or_default();
                Err(self.registry.refusal(download.action, &self.scope, status, &body).into())
            }
        }
    }
}

impl BlobDownload<'_> {
    /// Returns the error for an answer with too many or too few bytes.
    fn wrong_size(&self) -> Error {
        Error::Malformed { action: self.action.to_owned(), cause: format!("it does not have {} bytes", self.blob.size) }
    }
}

/// An unfinished file, with the digest of its bytes so far.
struct PartialBlob {
    path: PathBuf,
    file: File,
    hasher: DigestHasher,
}

impl PartialBlob {
    /// Opens or creates an unfinished file of at most `size` bytes, and hashes what it already has.
    fn open(path: &Path, size: u64) -> Result<Self, Error> {
        // a link would have us write to another file
        fs::remove_link(path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .truncate(false)
            .open(path)
            .map_err(|cause| fs::Error::new("write", path, cause))?;
        let mut partial = Self { path: path.to_owned(), file, hasher: DigestHasher::default() };

        // more bytes than the blob has cannot be a part of it
        if fs::size(path).unwrap_or(0) > size {
            partial.restart()?;
        }
        std::io::copy(&mut fs::open(path)?, &mut partial.hasher)
            .map_err(|cause| fs::Error::new("write", path, cause))?;
        Ok(partial)
    }

    /// Returns the number of bytes that the file has.
    fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// Empties the file.
    fn restart(&mut self) -> Result<(), Error> {
        self.hasher = DigestHasher::default();
        Ok(self.file.set_len(0).map_err(|cause| fs::Error::new("write", &self.path, cause))?)
    }

    /// Appends bytes to the file.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|cause| fs::Error::new("write", &self.path, cause))?;
        self.hasher.update(bytes);
        Ok(())
    }
}
