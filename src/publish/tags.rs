//! The tags of an image where people pull it: what they name now, and whether they may be moved.
//!
//! Both questions are answered before anything is sent, on every kind of registry.
//! - A **fixed** tag names one state and never moves: if it names another image, that is an error.
//! - A **moving** tag follows the newest state: it does not go back to an older one unless a person asks for that. The
//!   time of the archives decides which of two states is newer, then the revision of the lock; both are annotations of
//!   the image. Images of others have neither, and are replaced.

use crate::harbor::Repository;
use crate::image::REVISION;
use crate::oci;
use crate::oci::registry;
use crate::publish::Error;
use crate::publish::PublishOrder;
use crate::publish::PublishPlace;
use crate::recipe::is_moving;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Epoch;
use oci_spec::image::ImageIndex;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Annotation with the time of an image's archives (image-spec annotations.md).
const CREATED: &str = "org.opencontainers.image.created";

/// The tags of an image, by what may happen to them later.
pub(super) struct KindsOfTags {
    /// Tags that never move.
    pub(super) fixed: Vec<String>,
    /// Tags that follow the newest release.
    pub(super) moving: Vec<String>,
}

/// What publishing would do to the tags of an image.
pub(super) struct TagPlan {
    /// Tags that do not name the image yet.
    pub(super) to_move: Vec<String>,
    /// A moving tag that names a newer state, and that state's digest.
    pub(super) newer: Option<(String, Digest)>,
}

/// Time and revision of a state: later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseAge {
    created: Epoch,
    revision: u32,
}

/// Looks at all tags of an image.
///
/// # Errors
/// [`Error::FixedTag`], or when the registry does not answer.
pub(super) async fn look(order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Result<TagPlan, Error> {
    let (repository, own) = (place.final_repository(order.definition), order.built.index.0);
    let (mut to_move, mut replaced) = (Vec::new(), BTreeMap::new());

    // one after the other: the first answer tells how to log in, so the others need not find out as well
    for tag in &order.built.tags {
        let found = match place.final_harbor() {
            // the registry's own API refuses images that are withheld or not signed, Harbor's does not
            Some(harbor) => harbor.tagged(&Repository::parse(&repository)?, tag).await?,
            None => place.final_registry().head(&repository, tag).await?.and_then(|found| oci::digest_of(&found)),
        };
        if found == Some(own) {
            continue;
        }

        to_move.push(tag.clone());
        if let Some(digest) = found {
            replaced.insert(tag.clone(), digest);
        }
    }

    // a fixed tag is an error even for those who accept older images: somebody may have pulled it
    let KindsOfTags { fixed, .. } = kinds(order);
    if let Some((tag, found)) = fixed.iter().find_map(|tag| Some((tag, replaced.get(tag)?))) {
        let (image, tag, found) = (order.built.image.clone(), tag.clone(), *found);
        return Err(Error::FixedTag { image, tag, found, own });
    }

    let newer = if place.accept_older { None } else { newer(order, place, &repository, &replaced).await? };
    Ok(TagPlan { to_move, newer })
}

/// Sorts the tags of an image by the patterns that they were made from.
pub(super) fn kinds(order: &PublishOrder<'_>) -> KindsOfTags {
    let patterns = order.definition.publish.tags.iter().map(String::as_str);
    // without any pattern an image has its fixed version as its only tag
    let patterns = patterns.chain(std::iter::repeat("{fixed}"));

    let mut kinds = KindsOfTags { fixed: Vec::new(), moving: Vec::new() };
    for (tag, pattern) in order.built.tags.iter().zip(patterns) {
        let kind = if is_moving(pattern) { &mut kinds.moving } else { &mut kinds.fixed };
        kind.push(tag.clone());
    }
    kinds
}

/// Returns a tag that names a newer state than the image.
async fn newer(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    repository: &str,
    replaced: &BTreeMap<String, Digest>,
) -> Result<Option<(String, Digest)>, Error> {
    let (own, size) = order.built.index;
    let own = age(&fs::read(&place.store.blob(&own), size)?);

    let mut asked = BTreeSet::new();
    for (tag, digest) in replaced {
        // several tags mostly name one image
        if !asked.insert(digest) {
            continue;
        }

        let manifest = match place.final_registry().manifest(repository, &digest.to_string()).await {
            // what is withheld from consumers is no release that a patch could fall behind
            Err(registry::Error::Known { .. }) => continue,
            other => other?,
        };
        // an image without an age is not ours, so no order between the two is known
        if let (Some(own), Some(theirs)) = (own, age(&manifest.bytes))
            && theirs > own
        {
            return Ok(Some((tag.clone(), *digest)));
        }
    }
    Ok(None)
}

/// Reads the age of an image from its index; `None` for one that is not ours.
#[must_use]
pub fn age(index: &[u8]) -> Option<ReleaseAge> {
    let index: ImageIndex = serde_json::from_slice(index).ok()?;
    let annotations = index.annotations().as_ref()?;
    let created = annotations.get(CREATED)?.parse().ok()?;
    let revision = annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(ReleaseAge { created, revision })
}
