//! Parents before children: an image is not released before its parent, because whoever pulls it takes the parent's layers
//! for released ones, and because it would be stuck if the parent has to change.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::harbor::Repository;
use crate::image::BASE_DIGEST;
use crate::publish::Error;
use crate::publish::PublishOrder;
use crate::publish::PublishPlace;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::recipe::ImageDefinition;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::ImageIndex;

/// What the name of the tag begins with that keeps an image from garbage collection while it is judged.
pub(super) const CANDIDATE: &str = "candidate-";

/// Checks that the parent of an image is released, or still on its way in this run. Where nobody judges, nothing is released
/// and every image stands for itself.
///
/// # Errors
/// [`Error::Parent`], and those of every call.
pub(super) async fn check(
    order: &PublishOrder<'_>,
    earlier: &[Published],
    place: &PublishPlace<'_>,
) -> Result<(), Error> {
    let Some(parent) = order.parent else { return Ok(()) };
    let held = |turn| Error::Parent { image: order.built.image.clone(), parent: parent.image.clone(), turn };

    if let Some(parent) = earlier.iter().find(|published| published.image == parent.image) {
        match (parent.state, &parent.failure) {
            (_, Some(error)) => return Err(held(error.turn())),
            // the newer one is released, which says nothing about this one
            (PublishState::NewerPublished, _) => {}
            _ => return Ok(()),
        }
    }
    if is_released(order, parent, place).await? { Ok(()) } else { Err(held(Turn::Input)) }
}

/// Asks Harbor whether the very parent that an image was built on is released.
async fn is_released(
    order: &PublishOrder<'_>,
    parent: &ImageDefinition,
    place: &PublishPlace<'_>,
) -> Result<bool, Error> {
    let Some(harbor) = place.final_harbor() else { return Ok(true) };
    let (digest, size) = order.built.index;
    // an image that does not name its parent was built on none of ours
    let Some(base) = base(&fs::read(&place.store.blob(&digest), size)?) else { return Ok(true) };

    let repository = Repository::parse(&place.final_repository(parent))?;
    let tags = harbor.tags_of(&repository, &base).await?;
    Ok(tags.iter().any(|tag| !tag.starts_with(CANDIDATE)))
}

/// Reads the digest of the parent's index from an image's index.
fn base(index: &[u8]) -> Option<Digest> {
    let index: ImageIndex = serde_json::from_slice(index).ok()?;
    index.annotations().as_ref()?.get(BASE_DIGEST)?.parse().ok()
}
