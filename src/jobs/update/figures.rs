//! The figures of an update, left where they are watched: a file for node_exporter, a Pushgateway.

use crate::announce::metrics;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::update::UpdateOutcome;
use crate::jobs::update::UpdateRequest;
use crate::jobs::update::UpdatedImage;
use crate::lock::file::Lock;
use crate::publish::PublishState;
use crate::sys::fs;
use crate::sys::http::HostOptions;
use crate::sys::http::HttpHost;
use crate::update::UpdateState;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// When runs ended.
#[derive(Clone, Copy)]
pub(crate) struct RunTimes {
    /// This one.
    pub(crate) ended: Epoch,
    /// The last one without a failure.
    pub(crate) last_success: Option<Epoch>,
}

/// Leaves the figures. A gateway that does not take them is no failure of the update.
pub(crate) fn leave(
    request: &UpdateRequest,
    outcome: &UpdateOutcome,
    locks: &BTreeMap<String, Lock>,
    times: RunTimes,
    session: &Session,
) -> Result<(), Error> {
    let run = metrics::RunMetrics {
        ended: times.ended,
        last_success: times.last_success,
        seconds: session.elapsed().as_secs_f64(),
        success: !outcome.has_failed(),
        images: outcome.images.iter().map(|image| figures(image, outcome, locks)).collect(),
    };

    if let Some(path) = &request.metrics {
        fs::write_atomic(path, metrics::text(&run).as_bytes())?;
    }
    if let Some(gateway) = &request.push_gateway {
        let host = HttpHost::new(HostOptions::usual(session.options().offline));
        if let Err(error) = session.http().block_on(metrics::push(&host, gateway, metrics::text(&run)))? {
            session.warn(error.to_string());
        }
    }
    Ok(())
}

fn figures(image: &UpdatedImage, outcome: &UpdateOutcome, locks: &BTreeMap<String, Lock>) -> metrics::ImageMetrics {
    let update = &image.update;
    let published = outcome.published_image(&update.image);
    let failed = image.error.is_some() || published.is_some_and(|published| published.state == PublishState::Failed);
    let levels = update.difference.iter().flat_map(|difference| &difference.levels);
    let changed = levels.map(|level| level.packages.len()).sum();
    let pushed = published.and_then(|published| published.pushed.as_ref());
    let blocked = update.blocked.len() + update.broken_pockets.len();
    metrics::ImageMetrics {
        name: update.image.clone(),
        locked: locks.get(&update.image).map(|lock| lock.epoch),
        failed,
        changed,
        behind: update.blocked.len() + if outcome.wrote && !failed { 0 } else { changed },
        // where nothing at all can be locked, nothing is known about single packages
        blocked: blocked.max(usize::from(update.state == UpdateState::Failed)),
        held_back: update.held_back_cves().len(),
        held_back_urgency: update.held_back_urgency.map_or(0, |urgency| urgency as u8 + 1),
        layers: [image.layers_found, image.layers_made],
        fixed: update.cves().len(),
        bytes: pushed.map_or([0; 3], |pushed| [pushed.uploaded.bytes, pushed.mounted.bytes, pushed.skipped.bytes]),
    }
}
