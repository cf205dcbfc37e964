//! An image on its way from a registry: verified while it streams, resumed where it broke.

use crate::oci;
use crate::oci::registry::Manifest;
use crate::oci::registry::Registry;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::document;
use crate::oci::registry::document::Document;
use crate::oci::registry::document::Named;
use crate::oci::registry::error::Error;
use crate::oci::registry::session::Call;
use crate::oci::registry::session::Trouble;
use crate::oci::registry::token::Scope;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::sys::fs;
use crate::sys::http::Answer;
use crate::sys::http::Body;
use crate::sys::http::Failure;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use crate::values::Hasher;
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

/// Largest blob that is fetched.
const LARGEST: u64 = 16 << 30;

/// Manifests and indexes of one image, at most, and how deeply they are nested.
const MOST_DOCUMENTS: usize = 1000;

/// Most bytes of them all: in memory at one time. An index of twenty platforms with attestations has about 100 kB.
const DOCUMENTS_LIMIT: u64 = 32 << 20;
const DEEPEST: usize = 3;

/// An attempt that brought this many bytes starts a new count of attempts.
const PROGRESS: u64 = 1 << 20;

/// Time between two looks whether another command has finished the same blob.
const WAIT: Duration = Duration::from_millis(200);

/// Where an image comes from and goes to.
struct Pull<'a> {
    registry: &'a Registry,
    repository: &'a str,
    scope: Scope,
    /// A store or a layout folder: both have `blobs/sha256/<hex>`.
    into: &'a Path,
    reporter: &'a dyn Reporter,
}

impl Registry {
    /// Brings everything that a tag or digest stands for into a store or layout folder (`<into>/blobs/sha256/`), and
    /// returns what it stands for. Unfinished blobs stay in `<into>/partial/` for the next attempt. Of an index that
    /// names many platforms, one can be had by its own digest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongDigest`], [`Error::Malformed`], others as named.
    pub async fn pull(
        &self,
        repository: &str,
        reference: &str,
        into: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Descriptor, Error> {
        fs::create_dir(&into.join("blobs/sha256"))?;
        fs::create_dir(&into.join("partial"))?;
        let pull = Pull { registry: self, repository, scope: Scope::pull(repository), into, reporter };
        let root = self.manifest(repository, reference).await?;
        let documents = pull.documents(&root).await?;
        let all = documents.iter().flat_map(|(_, document)| &document.blobs);
        let blobs: BTreeMap<Digest, &Named> = all.map(|blob| (blob.digest, blob)).collect();
        let work = stream::iter(blobs.into_values().map(|blob| pull.blob(blob))).buffer_unordered(self.host.parallel());
        work.try_collect::<Vec<()>>().await?;
        // what names others comes after them
        for (manifest, _) in documents.iter().rev() {
            let path = pull.target(&oci::digest_of(&manifest.descriptor).expect("of our making"));
            if fs::read(&path, document::LIMIT).ok().as_ref() != Some(&manifest.bytes) {
                fs::write_atomic(&path, &manifest.bytes)?;
            }
        }
        Ok(root.descriptor)
    }

    /// Brings one blob of this digest and size into a store or layout folder, unless it is there.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub async fn pull_blob(
        &self,
        repository: &str,
        (digest, size): (Digest, u64),
        into: &Path,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        check_repository(repository)?;
        fs::create_dir(&into.join("blobs/sha256"))?;
        fs::create_dir(&into.join("partial"))?;
        let pull = Pull { registry: self, repository, scope: Scope::pull(repository), into, reporter };
        pull.blob(&Named { digest, size, media_type: String::new() }).await
    }
}

impl Pull<'_> {
    fn target(&self, digest: &Digest) -> PathBuf {
        self.into.join("blobs/sha256").join(digest.hex())
    }

    /// Returns all manifests and indexes, each before those that it names.
    async fn documents(&self, root: &Manifest) -> Result<Vec<(Manifest, Document)>, Error> {
        let mut found: Vec<(Manifest, Document)> = Vec::new();
        let mut level = vec![root.clone()];
        for _ in 0..=DEEPEST {
            let mut wanted: BTreeMap<Digest, Named> = BTreeMap::new();
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
            if found.len() + wanted.len() > MOST_DOCUMENTS {
                let cause = format!("it has more than {MOST_DOCUMENTS} manifests");
                return Err(self.malformed(root.descriptor.digest().as_ref(), cause));
            }
            let known = found.iter().map(|(manifest, _)| manifest.bytes.len() as u64);
            let bytes = known.chain(wanted.values().map(|child| child.size)).fold(0, u64::saturating_add);
            if bytes > DOCUMENTS_LIMIT {
                let cause = format!("its manifests have more than {DOCUMENTS_LIMIT} bytes");
                return Err(self.malformed(root.descriptor.digest().as_ref(), cause));
            }
            let children = stream::iter(wanted.into_values().map(|child| self.child(child)));
            level = children.buffered(self.registry.host.parallel()).try_collect().await?;
        }
        Err(self.malformed(root.descriptor.digest().as_ref(), "indexes are nested too deeply".to_owned()))
    }

    fn malformed(&self, reference: &str, cause: String) -> Error {
        Error::Malformed { what: format!("read manifest `{reference}` of `{}`", self.repository), cause }
    }

    /// Returns a manifest that another one names, from here when it is here.
    async fn child(&self, child: Named) -> Result<Manifest, Error> {
        let kept = fs::read(&self.target(&child.digest), child.size.min(document::LIMIT)).ok();
        if let Some(bytes) = kept.filter(|bytes| Digest::of(bytes) == child.digest) {
            return Ok(Manifest { descriptor: oci::descriptor(&child.media_type, &child.digest, child.size), bytes });
        }
        let digest = child.digest.to_string();
        // what it is announced with is what it counts for
        let limit = child.size.min(document::LIMIT);
        let manifest = self.registry.manifest_within(self.repository, &digest, &self.scope, limit).await?;
        if manifest.bytes.len() as u64 != child.size {
            return Err(self.malformed(&digest, format!("it does not have {} bytes", child.size)));
        }
        let found = manifest.descriptor.media_type().to_string();
        if found != child.media_type {
            return Err(self.malformed(&digest, format!("it is `{found}` and its index says `{}`", child.media_type)));
        }
        Ok(manifest)
    }

    /// Brings a blob here, unless it is.
    async fn blob(&self, blob: &Named) -> Result<(), Error> {
        let target = self.target(&blob.digest);
        let is_there =
            || fs::size(&target) == Some(blob.size) && fs::digest_of(&target).is_ok_and(|found| found == blob.digest);
        if is_there() {
            return Ok(());
        }
        let what = format!("read blob {} of `{}`", blob.digest, self.repository);
        if blob.size > LARGEST {
            return Err(Error::Malformed { what, cause: format!("it has more than {LARGEST} bytes") });
        }
        let partial = self.into.join("partial").join(blob.digest.hex());
        let lock_path = partial.with_extension("lock");
        // never wait inside the system: the other command may be waiting for a blob that is fetched here
        let _lock = loop {
            match fs::try_lock(&lock_path)? {
                Some(lock) => break lock,
                None => tokio::time::sleep(WAIT).await,
            }
        };
        if !is_there() {
            let title = format!("{} {}", self.repository, blob.digest.short());
            self.reporter.event(Event::Started { stage: Stage::Download, total: blob.size, what: title.clone() });
            self.complete(&what, blob, &partial).await?;
            fs::rename(&partial, &target)?;
            self.reporter.event(Event::Finished { stage: Stage::Download, what: title });
        }
        Ok(fs::remove(&lock_path)?)
    }

    /// Completes and verifies an unfinished file. One that another command left may be damaged, and gets a second try.
    async fn complete(&self, what: &str, blob: &Named, path: &Path) -> Result<(), Error> {
        let mut reported = 0;
        loop {
            let mut partial = Partial::open(path, blob.size)?;
            let was_begun = partial.done() > 0;
            self.fetch(what, blob, (&mut partial, &mut reported)).await?;
            let found = partial.hasher.finish();
            if found == blob.digest {
                return Ok(());
            }
            fs::remove(path)?;
            if !was_begun {
                return Err(Error::WrongDigest { what: what.to_owned(), expected: blob.digest, found });
            }
        }
    }

    async fn fetch(&self, what: &str, blob: &Named, (file, told): (&mut Partial, &mut u64)) -> Result<(), Error> {
        let mut failures = 0;
        while file.done() < blob.size {
            let before = file.done();
            let Err(trouble) = self.attempt(what, blob, (file, told)).await else { continue };
            if file.done().saturating_sub(before) >= PROGRESS {
                failures = 0;
            }
            self.registry.rest(trouble, &mut failures).await?;
        }
        Ok(())
    }

    async fn attempt(&self, what: &str, blob: &Named, (file, told): (&mut Partial, &mut u64)) -> Result<(), Trouble> {
        let url = self.registry.path(&format!("{}/blobs/{}", self.repository, blob.digest));
        let mut request = Request::new(Method::GET, url, Body::Empty);
        // a body that is packed once more on its way would not have the digest
        request.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if file.done() > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", file.done())).expect("digits");
            request.headers.insert(header::RANGE, range);
        }
        let mut answer = self.registry.send_once(&Call { what, scope: &self.scope, request }).await?;
        self.begin(what, blob, file, &mut answer).await?;
        while let Some(bytes) = answer.part().await? {
            if file.done() + bytes.len() as u64 > blob.size {
                return Err(self.wrong_size(what, blob).into());
            }
            file.append(&bytes)?;
            if file.done() > *told {
                self.reporter.event(Event::Advanced { stage: Stage::Download, by: file.done() - *told });
                *told = file.done();
            }
        }
        if file.done() < blob.size { Err(Failure::short(answer.url()).into()) } else { Ok(()) }
    }

    /// Makes the file ready for what an answer brings.
    async fn begin(&self, what: &str, blob: &Named, file: &mut Partial, answer: &mut Answer) -> Result<(), Trouble> {
        match (answer.status(), answer.content_range()) {
            (200, _) => {
                let length = answer.header(header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
                if length.is_some_and(|length| length != blob.size) {
                    return Err(self.wrong_size(what, blob).into());
                }
                Ok(file.restart()?)
            }
            (206, Some((start, total))) if start == file.done() && start > 0 => {
                let fits = total.is_none_or(|total| total == blob.size);
                if fits { Ok(()) } else { Err(self.wrong_size(what, blob).into()) }
            }
            // not the part that was asked for: begin again, a time counted as failure
            (206 | 416, _) if file.done() > 0 => {
                file.restart()?;
                Err(Failure::short(answer.url()).into())
            }
            (status, _) => {
                let body = answer
                    .read(crate::oci::registry::error::BODY_LIMIT, &mut self.registry.host.patience())
                    .await
                    .unwrap_or_default();
                Err(self.registry.refusal(what, status, &body).into())
            }
        }
    }

    fn wrong_size(&self, what: &str, blob: &Named) -> Error {
        Error::Malformed { what: what.to_owned(), cause: format!("it does not have {} bytes", blob.size) }
    }
}

/// An unfinished file, and the digest of what it has.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
}

impl Partial {
    fn open(path: &Path, size: u64) -> Result<Self, Error> {
        let tie = |cause| fs::Error::new("write", path, cause);
        fs::remove_link(path)?;
        let file = OpenOptions::new().create(true).append(true).truncate(false).open(path).map_err(tie)?;
        let mut partial = Self { path: path.to_owned(), file, hasher: Hasher::default() };
        if fs::size(path).unwrap_or(0) > size {
            partial.restart()?;
        }
        std::io::copy(&mut fs::open(path)?, &mut partial.hasher).map_err(tie)?;
        Ok(partial)
    }

    fn done(&self) -> u64 {
        self.hasher.length()
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.hasher = Hasher::default();
        Ok(self.file.set_len(0).map_err(|cause| fs::Error::new("write", &self.path, cause))?)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|cause| fs::Error::new("write", &self.path, cause))?;
        self.hasher.update(bytes);
        Ok(())
    }
}
