//! The job `show`: what an image consists of, from its lock and from what the store has.

use crate::build;
use crate::build::BuiltPlatform;
use crate::build::LayerLocation;
use crate::build::record;
use crate::image::ImageLayer;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::findings::ImageFindings;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::lock::LockedImage;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::store::Store;
use crate::tree::compress::Compression;
use crate::tree::inventory;
use crate::tree::inventory::InventoryEntry;
use crate::values::Platform;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What to show of an image.
#[derive(Debug, Clone, Default)]
pub struct ShowRequest {
    /// The image.
    pub image: String,
    /// The platform; the first one of the image when none is named.
    pub platform: Option<Platform>,
    /// Look for this path.
    pub path: Option<String>,
    /// Look for the layers.
    pub layers: bool,
    /// Look for this many of the largest files.
    pub largest: Option<usize>,
    /// Look for what its check found.
    pub findings: bool,
}

/// What an image consists of.
#[derive(Debug)]
pub struct ShowOutcome {
    /// What the recipes say.
    pub definition: ImageDefinition,
    /// What was locked.
    pub lock: Lock,
    /// The platform that is shown.
    pub platform: Platform,
    /// The layers from the bottom up, where they were asked for.
    pub layers: Option<Vec<ImageLayer>>,
    /// The path that was asked for.
    pub path: Option<InventoryEntry>,
    /// The largest files, where they were asked for.
    pub largest: Option<Vec<InventoryEntry>>,
    /// What its check found, where it was asked for.
    pub findings: Option<ImageFindings>,
}

/// Looks an image up. Layers and files come from the store, so the image has to be built first.
///
/// # Errors
/// When the image has no lock, or the store does not have what was asked for.
pub fn run(request: &ShowRequest, session: &Session) -> Result<ShowOutcome, Error> {
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(std::slice::from_ref(&request.image))?;
    let locks = locks(&workspace, &definitions)?;

    let orders = locked_images(&definitions, &locks);
    let order = orders.iter().find(|order| order.definition.image == request.image);
    let order = order.expect("definitions contain the image that was asked for, and every one has a lock");
    let platform = platform(request, order.definition)?;

    let mut outcome = ShowOutcome {
        definition: order.definition.clone(),
        lock: order.lock.clone(),
        platform,
        layers: None,
        path: None,
        largest: None,
        findings: None,
    };
    if request.layers || request.path.is_some() || request.largest.is_some() || request.findings {
        let built = built(&orders, order, platform, session)?;
        if let Some(path) = &request.path {
            outcome.path = Some(find(path, &built, session.store()?)?);
        }
        if let Some(number) = request.largest {
            outcome.largest = Some(largest(number, &built, session.store()?)?);
        }
        outcome.findings = request.findings.then(|| ImageFindings::of(order.definition, &built));
        outcome.layers = request.layers.then_some(built.layers);
    }
    Ok(outcome)
}

fn locks(workspace: &Workspace<'_>, definitions: &[ImageDefinition]) -> Result<BTreeMap<String, Lock>, Error> {
    let mut locks = BTreeMap::new();
    for ImageDefinition { image, .. } in definitions {
        let Some(lock) = workspace.lock(image)? else {
            let message = format!("cannot show `{image}`: it has no lock file");
            return Err(Error::input(message).hint(format!("run `sockel lock {image}`")));
        };
        locks.insert(image.clone(), lock);
    }
    Ok(locks)
}

fn platform(request: &ShowRequest, definition: &ImageDefinition) -> Result<Platform, Error> {
    let known = &definition.platforms;
    let wanted = request.platform.or_else(|| known.first().copied());
    wanted.filter(|platform| known.contains(platform)).ok_or_else(|| {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let message = format!("cannot show `{}`: it is not built for this platform", definition.image);
        Error::input(message).hint(format!("there are {}", names.join(", ")))
    })
}

fn not_built(image: &str) -> Error {
    let message = format!("cannot show `{image}`: the store does not have all of it");
    Error::input(message).hint(format!("run `sockel build {image}`"))
}

/// Returns what was built last with this lock.
fn built(
    orders: &[LockedImage<'_>],
    wanted: &LockedImage<'_>,
    platform: Platform,
    session: &Session,
) -> Result<BuiltPlatform, Error> {
    let store = session.store()?;
    let anywhere = PublishTarget::open(None, session)?.layers();

    // nobody remembers how the image was built: look under every key that a build can have
    for compression in [Compression::Gzip, Compression::Zstd] {
        for platforms in [Vec::new(), vec![platform]] {
            let options = build::BuildOptions { compression, platforms, ..session.build_options(LayerLocation::Here) };
            let keys = build::keys(orders, &options);
            let key = orders.iter().zip(keys).find(|(order, _)| order.definition.image == wanted.definition.image);
            let built = key.and_then(|(_, key)| record::find(&key, anywhere, store));
            let found = built.and_then(|built| built.platforms.into_iter().find(|built| built.platform == platform));
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }
    Err(not_built(&wanted.definition.image))
}

/// Returns what the image has at a path.
fn find(path: &str, built: &BuiltPlatform, store: &Store) -> Result<InventoryEntry, Error> {
    let wanted = path.trim_matches('/');
    let mut found = None;
    inventory::read(&built.inventory.0, store, |entry| {
        if entry.path == wanted {
            found = Some(entry);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    found.ok_or_else(|| Error::input(format!("cannot show `/{wanted}`: the image has no such path")))
}

/// Returns the largest files, the largest first.
fn largest(number: usize, built: &BuiltPlatform, store: &Store) -> Result<Vec<InventoryEntry>, Error> {
    let mut largest: Vec<InventoryEntry> = Vec::new();
    inventory::read(&built.inventory.0, store, |entry| {
        let place = largest
            .partition_point(|other| (Reverse(other.size()), &other.path) < (Reverse(entry.size()), &entry.path));
        // only as many are in memory as were asked for
        if place < number {
            largest.insert(place, entry);
            largest.truncate(number);
        }
        ControlFlow::Continue(())
    })?;
    Ok(largest)
}
