//! The job `plan`: which images must be built now, as a graph that a pipeline engine can run.

use crate::build;
use crate::build::BuiltImage;
use crate::build::LayerLocation;
use crate::build::record;
use crate::image::BASE_DIGEST;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::lock::LockedImage;
use crate::oci::registry::RegistryClient;
use crate::plan::BuildPlan;
use crate::plan::PlanCandidate;
use crate::plan::SkipReason;
use crate::publish;
use crate::recipe::ImageDefinition;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Most images that the registry is asked about at one time: enough to hide its latency, few enough to be polite.
const AT_ONCE: usize = 32;

/// What to plan.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// Images to plan with their parents; all when none is named.
    pub images: Vec<String>,
    /// Skip images that are published, not those that the store has.
    pub published: bool,
    /// Build every platform in a job of its own before the job that publishes.
    pub per_platform: bool,
    /// `https://HOST/PROJECT` or `oci:DIR`, instead of the target of the registry file.
    pub to: Option<String>,
}

/// Finds out what is done already, and plans the rest.
///
/// # Errors
/// When a lock is missing or stale, or the registry cannot be asked.
pub fn run(request: &PlanRequest, session: &Session) -> Result<BuildPlan, Error> {
    let target = PublishTarget::open(request.to.as_deref(), session)?;
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&request.images)?;
    let locks = workspace.fresh_locks(&definitions)?;

    // keys are those of `publish`, whose jobs these will be
    let orders = locked_images(&definitions, &locks);
    let options = session.build_options(if request.published { target.layers() } else { LayerLocation::Here });
    if request.published {
        target.take_from_cache(&orders, &options, false)?;
    }
    let store = session.store()?;
    let keys = build::keys(&orders, &options);
    let known: Vec<Option<BuiltImage>> = keys.iter().map(|key| record::find(key, options.layers, store)).collect();
    let done: Vec<Option<SkipReason>> = if request.published {
        published(&orders, &known, &target, session)?
    } else {
        known.iter().map(|built| built.as_ref().map(|_| SkipReason::Built)).collect()
    };

    let mut candidates = Vec::new();
    for ((order, key), done) in orders.iter().zip(keys).zip(done) {
        candidates.push(PlanCandidate {
            image: order.definition.image.clone(),
            key,
            parent: order.definition.parent.clone(),
            platforms: build::platforms(order.definition, &options),
            tags: record::tags(order),
            done,
        });
    }
    Ok(BuildPlan::new(&candidates, request.per_platform))
}

/// Asks the registry for every image's tags. An image whose digest is not known here is recognised by the lock and the
/// base image that the published one names.
fn published(
    orders: &[LockedImage<'_>],
    known: &[Option<BuiltImage>],
    target: &PublishTarget<'_>,
    session: &Session,
) -> Result<Vec<Option<SkipReason>>, Error> {
    let Some((registry, prefix)) = target.released()? else {
        return Err(Error::usage("cannot ask what is published: images go to a folder")
            .hint("name a registry with `--to https://HOST/PROJECT`"));
    };

    let mut digests: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut done = Vec::new();
    let all: Vec<(&LockedImage<'_>, &Option<BuiltImage>)> = orders.iter().zip(known).collect();
    for chunk in all.chunks(AT_ONCE) {
        let lookups = chunk.iter().map(|(order, built)| look_up(registry, &prefix, order, built.as_ref()));
        let found = session.http().block_on(futures_util::future::join_all(lookups))?;
        for ((order, _), found) in chunk.iter().zip(found) {
            let ImageDefinition { image, parent, .. } = order.definition;
            // a parent that is built anew gives its children another base image
            let current = found?.filter(|found| {
                found.is_certain
                    || parent.as_ref().is_none_or(|parent| {
                        let base = digests.get(parent.as_str());
                        base.is_some() && base == found.base.as_ref()
                    })
            });
            done.push(current.as_ref().map(|_| SkipReason::Published));
            digests.extend(current.map(|found| (image.as_str(), found.digest)));
        }
    }
    Ok(done)
}

/// What the registry has under all tags of an image.
struct PublishedImage {
    digest: Digest,
    /// Its base image, as its annotations name it.
    base: Option<Digest>,
    /// It is the image that is known here.
    is_certain: bool,
}

async fn look_up(
    registry: &RegistryClient,
    prefix: &str,
    order: &LockedImage<'_>,
    built: Option<&BuiltImage>,
) -> Result<Option<PublishedImage>, Error> {
    let repository = publish::within(prefix, &order.definition.publish.repository);

    // all tags must name one digest
    let mut common: Option<Digest> = built.map(|built| built.index.0);
    for tag in record::tags(order) {
        let head = registry.head(&repository, &tag).await.map_err(publish::Error::from)?;
        let digest = head.and_then(|head| head.digest().to_string().parse::<Digest>().ok());
        match (digest, common) {
            (None, _) => return Ok(None),
            (Some(digest), Some(common)) if digest != common => return Ok(None),
            (Some(digest), _) => common = Some(digest),
        }
    }
    let Some(digest) = common else { return Ok(None) };
    if built.is_some() {
        return Ok(Some(PublishedImage { digest, base: None, is_certain: true }));
    }

    let manifest = registry.manifest(&repository, &digest.to_string()).await.map_err(publish::Error::from)?;
    let base = base_if_same(&manifest.bytes, order);
    Ok(base.map(|base| PublishedImage { digest, base, is_certain: false }))
}

/// Returns the base image that an index names, if the index is of this lock and version.
fn base_if_same(index: &[u8], order: &LockedImage<'_>) -> Option<Option<Digest>> {
    let index: serde_json::Value = serde_json::from_slice(index).ok()?;
    let is_same = annotation(&index, "io.sockel.lock") == Some(order.lock.digest().to_string().as_str())
        && annotation(&index, "org.opencontainers.image.version") == Some(record::version(order).as_str());
    is_same.then(|| annotation(&index, BASE_DIGEST).and_then(|text| text.parse().ok()))
}

fn annotation<'a>(index: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    index.get("annotations")?.get(name)?.as_str()
}
