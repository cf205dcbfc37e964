//! Deletes old entries of the cache repository that no lock of the project refers to.

use crate::lock::file::Lock;
use crate::oci;
use crate::shared::Error;
use crate::shared::SharedCache;
use crate::shared::states;
use crate::shared::tag;
use crate::values::Digest;
use crate::values::Epoch;
use oci_spec::image::ImageManifest;
use serde::Serialize;
use std::collections::BTreeSet;

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PrunedEntries {
    /// Number of entries that stay.
    pub kept: usize,
    /// Tags of entries that were deleted.
    pub removed: Vec<String>,
}

impl SharedCache<'_> {
    /// Deletes the entries made before `limit` that belong to none of these keys, and the states of archives that
    /// none of these locks names. The registry's next garbage collection removes their blobs.
    ///
    /// # Errors
    /// When the registry refuses; what was deleted before stays deleted.
    pub async fn prune(&self, keys: &[Digest], locks: &[&Lock], limit: Epoch) -> Result<PrunedEntries, Error> {
        let mut wanted: BTreeSet<String> = keys.iter().map(tag).collect();
        wanted.extend(states::tags(locks));

        let mut pruned = PrunedEntries::default();
        for tag in self.registry.tags(self.repository).await? {
            // other tags are not counted as kept: `latest-<image>` goes with the entry that it names
            if !is_entry(&tag) || wanted.contains(&tag) {
                pruned.kept += usize::from(is_entry(&tag));
                continue;
            }

            // an entry without a date is none of ours, so it is not ours to delete
            let manifest = self.registry.manifest(self.repository, &tag).await?;
            if made(&manifest.bytes).is_none_or(|made| made >= limit) {
                pruned.kept += 1;
                continue;
            }

            let digest = oci::digest_of(&manifest.descriptor).expect("of our making");
            self.registry.delete(self.repository, &digest).await?;
            pruned.removed.push(tag);
        }
        Ok(pruned)
    }
}

/// Tells whether a tag is one of an entry. `latest-<image>` is not: it is a second name of an entry.
fn is_entry(tag: &str) -> bool {
    tag.starts_with("image-") || tag.starts_with("state-")
}

/// Returns when an entry was made, if it is an entry of ours.
fn made(bytes: &[u8]) -> Option<Epoch> {
    let manifest: ImageManifest = serde_json::from_slice(bytes).ok()?;
    manifest.annotations().as_ref()?.get(crate::shared::entry::CREATED)?.parse().ok()
}
