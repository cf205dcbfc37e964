//! Updates that could not be taken, for those who want to hear of them: receivers of webhooks, `sockel status`.

use crate::announce::webhook::BlockedPackageNews;
use crate::announce::webhook::BlockedUpdate;
use crate::jobs::update::UpdateOutcome;
use crate::lock::BlockedPackage;
use crate::publish::Published;
use crate::recipe::ImageDefinition;
use crate::update::ImageUpdate;
use crate::update::memory::RememberedBlock;
use crate::values::Epoch;

/// Returns what receivers are told about each image; those without blocked updates as well, so that a later block is
/// news again.
pub(crate) fn updates(
    outcome: &UpdateOutcome,
    definitions: &[ImageDefinition],
    published: &[Published],
    target: &str,
) -> Vec<BlockedUpdate> {
    let mut all = Vec::new();
    for (definition, image) in definitions.iter().zip(&outcome.images) {
        let update = &image.update;
        let repository = published.iter().find(|published| published.image == update.image);
        let usual = || format!("{}/{}", target.trim_end_matches('/'), definition.publish.repository);
        let news = |blocked: &BlockedPackage| BlockedPackageNews {
            package: blocked.package.clone(),
            source: blocked.source.clone(),
            locked: blocked.locked.clone(),
            newer: blocked.newer.clone(),
            reason: blocked.reason.title(),
        };
        all.push(BlockedUpdate {
            image: update.image.clone(),
            repository: repository.map_or_else(usual, |published| published.repository.clone()),
            urgency: update.held_back_urgency,
            held_back: update.held_back_cves().into_iter().map(str::to_owned).collect(),
            packages: update.blocked.iter().map(news).collect(),
            pockets: update.broken_pockets.iter().map(|broken| broken.pocket.clone()).collect(),
        });
    }
    all
}

/// Returns what is remembered about an image with blocked updates.
pub(crate) fn remembered(update: &ImageUpdate, now: Epoch) -> Option<RememberedBlock> {
    if !update.is_blocked() {
        return None;
    }
    let mut what = Vec::new();
    for blocked in &update.blocked {
        let BlockedPackage { package, newer, .. } = blocked;
        what.push(match &blocked.locked {
            Some(locked) => format!("{package} {locked} -> {newer}"),
            None => format!("{package} {newer}"),
        });
    }
    what.extend(update.broken_pockets.iter().map(|broken| format!("pocket {}", broken.pocket)));
    let cves = update.held_back_cves().into_iter().map(str::to_owned).collect();
    Some(RememberedBlock { what, cves, since: now })
}
