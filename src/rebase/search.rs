//! Which base an application was built on, and which image is that base's successor.
//!
//! Labels and annotations only suggest where to look. The proof is that the application's layers begin with exactly the
//! base's, compared by diffID. Among several such bases the one with the most layers wins: what is built on Tomcat begins
//! with the layers of Tomcat's own Java base, too.

use crate::image::BASE_DIGEST;
use crate::oci::registry;
use crate::oci::registry::document;
use crate::rebase::Error;
use crate::rebase::RebaseOrder;
use crate::rebase::judge;
use crate::rebase::picture;
use crate::rebase::picture::LoadedImage;
use crate::rebase::picture::PlatformImage;
use crate::rebase::place::DocumentReader;
use crate::rebase::splice::BASE_NAME;
use crate::rebase::time;
use crate::values::Digest;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use serde_json::Value;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most images of one repository that are examined. Each costs requests for its manifest and, if it may be the base, for its
/// configurations: a repository with years of daily builds still fits.
const MOST_IMAGES: usize = 2000;

/// Most bytes of all their manifests: the annotations are kept in memory. Our manifests have about 3 kB each.
const MOST_BYTES: usize = 16 << 20;

/// Requests that are made at the same time.
const CONCURRENT_REQUESTS: usize = 16;

/// What an application says about its base. All of it is a hint, nothing is proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseHints {
    /// Digests of manifests or indexes.
    pub digests: BTreeSet<Digest>,
    /// `host/repository:tag`, or what else builders write.
    pub names: BTreeSet<String>,
    /// Names of base images: the label is inherited from the base, unless the application has one of its own.
    pub titles: BTreeSet<String>,
    /// Digests of locks.
    pub locks: BTreeSet<String>,
}

/// Collects what an application says about its base. Docker writes nothing, but the base's labels are inherited; buildah
/// writes annotations.
#[must_use]
pub fn trace(application: &LoadedImage) -> BaseHints {
    let mut sources: Vec<&Value> = Vec::new();
    for image in &application.platforms {
        sources.extend([&image.manifest["annotations"], &image.config["config"]["Labels"]]);
    }
    // an index has annotations of its own
    sources.extend(application.index.as_ref().map(|index| &index["annotations"]));

    let mut trace = BaseHints::default();
    for source in sources {
        trace.digests.extend(text(source, BASE_DIGEST).and_then(|text| text.parse::<Digest>().ok()));
        trace.names.extend(text(source, BASE_NAME).map(str::to_owned));
        trace.titles.extend(text(source, judge::TITLE).map(str::to_owned));
        trace.locks.extend(text(source, judge::LOCK).map(str::to_owned));
    }
    trace
}

/// Returns a non-empty annotation or label.
fn text<'a>(map: &'a Value, name: &str) -> Option<&'a str> {
    map[name].as_str().filter(|text| !text.is_empty())
}

/// An image of the base's repository. Only its manifest or index has been read.
#[derive(Debug, Clone)]
pub(crate) struct BaseCandidate {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Tags or names that point to it. None for an image that the application names by digest and that has no tag.
    pub(crate) references: BTreeSet<String>,
    /// Annotations of its index or manifest.
    annotations: Value,
    is_index: bool,
}

impl BaseCandidate {
    fn annotation(&self, name: &str) -> Option<&str> {
        text(&self.annotations, name)
    }

    /// Returns the reference to show: the one that the application has, or else the shortest tag.
    pub(crate) fn best_reference(&self, names: &BTreeSet<String>) -> String {
        let named = self.references.iter().find(|reference| is_named(reference, names));
        let shortest = self.references.iter().min_by_key(|reference| (reference.len(), *reference));
        named.or(shortest).cloned().unwrap_or_else(|| self.digest.to_string())
    }

    /// Tells whether this image is published: images that only have a `candidate-…` tag wait for the gate's verdict.
    fn is_released(&self) -> bool {
        self.references.iter().any(|reference| !reference.starts_with("candidate-"))
    }

    /// Tells whether this image has the name and the parameters of a base.
    fn is_in_line_with(&self, base: &PlatformImage) -> bool {
        [judge::TITLE, judge::PARAMETERS]
            .iter()
            .all(|name| self.annotation(name) == judge::annotation_or_label(base, name))
    }
}

/// Tells whether a tag is the one in one of the names: builders write `host/repository:tag`.
fn is_named(reference: &str, names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| name == reference || name.ends_with(&format!(":{reference}")))
}

/// The base of one platform of an application.
#[derive(Debug, Clone)]
pub(crate) struct CurrentBase {
    /// The base's image for that platform.
    pub(crate) image: PlatformImage,
    /// The base's index, if it was found through one.
    pub(crate) index: Option<Value>,
    /// Digest of the index or manifest that it was found under.
    pub(crate) found_as: Digest,
}

/// The new base of an application.
pub(crate) struct NewBase {
    pub(crate) image: LoadedImage,
    /// Its reference as people write it.
    pub(crate) name: String,
}

/// How well a base matches. The greater rank wins: the first field that differs decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BaseRank {
    /// More layers are closer to the application.
    layers: usize,
    /// The application names it by digest.
    is_named: bool,
    /// The application has inherited its lock.
    is_lock_inherited: bool,
    created: Option<time::Instant>,
    /// Makes the choice the same on every machine.
    tie_breaker: Reverse<Digest>,
}

/// What the comparison with candidates has found so far, by platform.
#[derive(Default)]
struct BaseMatches {
    best: BTreeMap<String, (BaseRank, CurrentBase)>,
    /// Most layers that any candidate shares with the application.
    most_shared: BTreeMap<String, usize>,
}

/// The search for the base of one application.
pub(crate) struct BaseSearch<'a> {
    pub(crate) request: &'a RebaseOrder<'a>,
    pub(crate) trace: &'a BaseHints,
    pub(crate) reader: &'a DocumentReader<'a>,
}

impl BaseSearch<'_> {
    /// Lists the images of the base's repository, and those there that the application names by digest.
    pub(crate) async fn candidates(&self) -> Result<Vec<BaseCandidate>, Error> {
        let place = self.request.base;
        let mut by_digest = self.tagged().await?;
        if by_digest.len() > MOST_IMAGES {
            return Err(Error::TooMany { place: place.name_of("*"), limit: MOST_IMAGES });
        }

        for digest in &self.trace.digests {
            // asked of the repository: the store also keeps documents of others
            if !by_digest.contains_key(digest) && place.has(digest).await? {
                by_digest.insert(*digest, BTreeSet::new());
            }
        }

        let bytes_read = Cell::new(0);
        let documents = by_digest.into_iter().map(|(digest, references)| self.open(digest, references, &bytes_read));
        let listed: Vec<Option<BaseCandidate>> =
            stream::iter(documents).buffered(CONCURRENT_REQUESTS).try_collect().await?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// Returns the digests that tags point to, each with its tags.
    async fn tagged(&self) -> Result<BTreeMap<Digest, BTreeSet<String>>, Error> {
        let place = self.request.base;
        let mut references = place.references().await?;
        // cosign and others keep signatures and attestations under tags that are named after an image's digest
        references.retain(|reference| !reference.starts_with("sha256-"));

        let lookups = references.into_iter().map(|reference| async move {
            let digest = place.digest(&reference).await?;
            Ok::<_, Error>((digest, reference))
        });
        let found: Vec<(Option<Digest>, String)> =
            stream::iter(lookups).buffered(CONCURRENT_REQUESTS).try_collect().await?;

        let mut by_digest: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for (digest, reference) in found {
            // a tag that was deleted since it was listed has no digest
            if let Some(digest) = digest {
                by_digest.entry(digest).or_default().insert(reference);
            }
        }
        Ok(by_digest)
    }

    /// Reads the manifest or index of an image; `None` if it is missing or is another kind of artifact.
    async fn open(
        &self,
        digest: Digest,
        references: BTreeSet<String>,
        bytes_read: &Cell<usize>,
    ) -> Result<Option<BaseCandidate>, Error> {
        let place = self.request.base;
        let Some(manifest) = place.document(&digest.to_string(), self.reader).await? else { return Ok(None) };
        bytes_read.set(bytes_read.get() + manifest.bytes.len());
        if bytes_read.get() > MOST_BYTES {
            let what = format!("list the images of `{}`", place.name_of("*"));
            let cause = format!("their manifests have more than {MOST_BYTES} bytes");
            return Err(registry::Error::Malformed { action: what, cause }.into());
        }

        // other artifacts may share the repository: they cannot be bases, and must not stop the search
        let media_type = manifest.descriptor.media_type().to_string();
        let Ok(document) = document::read(&manifest.bytes, Some(&media_type)) else { return Ok(None) };
        let Ok(json) = serde_json::from_slice::<Value>(&manifest.bytes) else { return Ok(None) };
        let (annotations, is_index) = (json["annotations"].clone(), !document.manifests.is_empty());
        Ok(Some(BaseCandidate { digest, references, annotations, is_index }))
    }

    /// Finds the current base of every platform of the application.
    ///
    /// # Errors
    /// [`Error::Refused`] with a reason for each platform whose base is not known.
    pub(crate) async fn current_bases(
        &self,
        candidates: &[BaseCandidate],
    ) -> Result<BTreeMap<String, CurrentBase>, Error> {
        let (likely, others): (Vec<&BaseCandidate>, Vec<&BaseCandidate>) =
            candidates.iter().partition(|candidate| self.is_likely(candidate));
        let mut matches = BaseMatches::default();
        for candidate in likely {
            self.compare(candidate, &mut matches).await;
        }

        // comparing costs requests for configurations: most searches end with the image that the application names
        if !self.is_settled(&matches) {
            for candidate in others {
                self.compare(candidate, &mut matches).await;
            }
        }

        let reasons = self.objections(&matches, candidates.len());
        if !reasons.is_empty() {
            return Err(self.request.refused(reasons));
        }
        Ok(matches.best.into_iter().map(|(platform, (_, base))| (platform, base)).collect())
    }

    /// Reads the new base: the one that was asked for, or else the newest of the current base's line.
    pub(crate) async fn successor(
        &self,
        current: &BTreeMap<String, CurrentBase>,
        candidates: &[BaseCandidate],
    ) -> Result<NewBase, Error> {
        let place = self.request.base;
        let (digest_or_tag, name) = match self.request.onto {
            // not limited to the candidates: an image of another line is read, too, and judged
            Some(reference) => (reference.to_owned(), reference.to_owned()),
            None => {
                // one index for all platforms: what comes after one platform's base comes after all
                let current = current.values().next().expect("an image has a platform");
                let newest = newest_in_line(current, self.trace, candidates).ok_or_else(|| {
                    let title = judge::annotation_or_label(&current.image, judge::TITLE).unwrap_or("unnamed");
                    let place = place.name_of("*");
                    let reason =
                        format!("no tag in `{place}` points to an image `{title}` with the parameters of its base");
                    self.request.refused(vec![reason])
                })?;
                (newest.digest.to_string(), newest.best_reference(&self.trace.names))
            }
        };

        let name = place.name_of(&name);
        match picture::read(place, &digest_or_tag, self.reader).await? {
            Some(image) => Ok(NewBase { image, name }),
            None => Err(Error::Missing { image: name }),
        }
    }

    /// Tells whether the application names an image, by digest or by its lock.
    fn is_likely(&self, candidate: &BaseCandidate) -> bool {
        self.trace.digests.contains(&candidate.digest)
            || candidate.annotation(judge::LOCK).is_some_and(|lock| self.trace.locks.contains(lock))
    }

    /// Compares every platform of the application with an image.
    async fn compare(&self, candidate: &BaseCandidate, matches: &mut BaseMatches) {
        let image = picture::read(self.request.base, &candidate.digest.to_string(), self.reader).await;
        // an artifact of another kind, or an image with missing parts, is not a base
        let Ok(Some(image)) = image else { return };

        for application in &self.request.application.platforms {
            let platform = &application.platform;
            for base in image.platforms.iter().filter(|base| base.platform == *platform) {
                let most_shared = matches.most_shared.entry(platform.clone()).or_default();
                *most_shared = application.shared_layers(base).max(*most_shared);

                let rank = self.rank(base, candidate, application);
                let is_better = matches.best.get(platform).is_none_or(|(best, _)| rank > *best);
                if application.is_built_on(base) && is_better {
                    let (index, found_as) = (image.index.clone(), candidate.digest);
                    matches.best.insert(platform.clone(), (rank, CurrentBase { image: base.clone(), index, found_as }));
                }
            }
        }
    }

    fn rank(&self, base: &PlatformImage, candidate: &BaseCandidate, application: &PlatformImage) -> BaseRank {
        let digests = &self.trace.digests;
        let lock = base.label(judge::LOCK);
        BaseRank {
            layers: base.layers.len(),
            is_named: digests.contains(&base.digest) || digests.contains(&candidate.digest),
            is_lock_inherited: lock.is_some() && lock == application.label(judge::LOCK),
            created: judge::created(base),
            tie_breaker: Reverse(base.digest),
        }
    }

    /// Tells whether no other image can be a better base of any platform.
    fn is_settled(&self, matches: &BaseMatches) -> bool {
        self.request.application.platforms.iter().all(|application| {
            let best = matches.best.get(&application.platform);
            // an inherited name and lock that are the base's own leave no room for an image in between
            best.is_some_and(|(_, base)| has_inherited_identity(&base.image, application))
        })
    }

    /// Returns a reason for each platform whose base is not known.
    fn objections(&self, matches: &BaseMatches, candidates: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        for application in &self.request.application.platforms {
            let platform = &application.platform;
            match matches.best.get(platform) {
                None => {
                    let place = self.request.base.name_of("*");
                    let shared = matches.most_shared.get(platform).copied().unwrap_or(0);
                    let layers = application.layers.len();
                    reasons.push(format!(
                        "{platform}: it is not built on any of the {candidates} image(s) in `{place}`: the closest one \
                         shares {shared} of its {layers} layers"
                    ));
                }
                Some((_, base)) if has_foreign_identity(&base.image, application) => {
                    let (base, lock) = (base.image.label(judge::TITLE).unwrap_or("its base"), judge::LOCK);
                    reasons.push(format!(
                        "{platform}: it is not built directly on `{base}`: it inherited its label `{lock}` from another \
                         image in between"
                    ));
                }
                Some(_) => {}
            }
        }
        reasons
    }
}

/// Tells whether an application has inherited the base's own name and lock.
fn has_inherited_identity(base: &PlatformImage, application: &PlatformImage) -> bool {
    [judge::TITLE, judge::LOCK]
        .iter()
        .all(|name| base.label(name).is_some() && base.label(name) == application.label(name))
}

/// Tells whether an application has inherited name and lock of an image other than its base. A Tomcat application that is
/// searched for in the repository of Java images is built on one of them, by way of Tomcat: it would get a new Java and
/// silently keep its old Tomcat.
fn has_foreign_identity(base: &PlatformImage, application: &PlatformImage) -> bool {
    [judge::TITLE, judge::LOCK]
        .iter()
        .all(|name| application.label(name).is_some_and(|label| base.label(name) != Some(label)))
}

/// Returns the newest released image of the current base's line.
fn newest_in_line<'a>(
    current: &CurrentBase,
    trace: &BaseHints,
    candidates: &'a [BaseCandidate],
) -> Option<&'a BaseCandidate> {
    let successors =
        candidates.iter().filter(|candidate| candidate.is_released() && candidate.is_in_line_with(&current.image));
    successors.max_by_key(|candidate| {
        let created = candidate.annotation(judge::CREATED).and_then(time::parse);
        // one build makes an index and the manifests in it, all with the same time: the index has every platform
        let is_named = candidate.references.iter().any(|reference| is_named(reference, &trace.names));
        // the current base wins among equals, so that nothing moves without a reason
        let is_current = candidate.digest == current.found_as || candidate.digest == current.image.digest;
        (created, candidate.is_index, is_named, is_current, Reverse(candidate.digest))
    })
}
