//! The job `status`: which images are due, from lock files and from what earlier runs with this store saw.

use crate::build;
use crate::build::LayerLocation;
use crate::build::record;
use crate::due;
use crate::due::Due;
use crate::due::ImageHistory;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::is_asked_for;
use crate::jobs::workspace::locked_images;
use crate::lock::LockedImage;
use crate::sys::clock;
use crate::sys::fs;
use crate::update::memory::RememberedBlock;
use crate::update::memory::RememberedUpdate;
use crate::update::memory::UpdateMemory;
use crate::values::Epoch;
use serde::Serialize;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct StatusRequest {
    /// Images to look at; all when none is named.
    pub images: Vec<String>,
    /// Mark images whose lock is older than this many days.
    pub older_than: Option<u32>,
}

/// What is due.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatusOutcome {
    /// When this was found out.
    pub time: Epoch,
    /// Version of Debian's distro-info-data that knows the ends of life.
    pub distro_info_data: &'static str,
    /// One entry for each image.
    pub images: Vec<ImageStatus>,
}

/// What is due for one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageStatus {
    /// What is due, and until when.
    #[serde(flatten)]
    pub due: Due,
    /// The store has it, built from this lock.
    pub built: bool,
    /// Updates that the last `sockel update` with this store could not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<RememberedBlock>,
}

/// Looks at all images that are asked for; needs no network.
///
/// # Errors
/// When a lock is missing or does not answer its recipes.
pub fn run(request: &StatusRequest, session: &Session) -> Result<StatusOutcome, Error> {
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&request.images)?;
    let locks = workspace.fresh_locks(&definitions)?;

    let store = session.store()?;
    let project = fs::absolute(&session.options().directory)?;
    let memory = UpdateMemory { store, project: &project };
    let orders = locked_images(&definitions, &locks);
    let keys = build::keys(&orders, &session.build_options(LayerLocation::Here));

    let time = clock::now();
    let limit = request.older_than.map(|days| i64::from(days) * 86_400);
    let mut images = Vec::new();
    for (order, key) in orders.iter().zip(keys) {
        if is_asked_for(&request.images, &order.definition.image) {
            let seen = memory.seen(&order.definition.image);
            images.push(ImageStatus {
                due: due::judge(order.definition, past(order, &seen), time, limit),
                built: record::find(&key, LayerLocation::Here, store).is_some(),
                blocked: seen.blocked,
            });
        }
    }
    Ok(StatusOutcome { time, distro_info_data: due::release::DATA, images })
}

fn past(order: &LockedImage<'_>, seen: &RememberedUpdate) -> ImageHistory {
    ImageHistory { locked: order.lock.epoch, looked: seen.looked, urgent_since: seen.urgent_since }
}
