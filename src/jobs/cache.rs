//! The jobs around the store and the shared cache: how large they are, what can go, what is damaged.

use crate::build;
use crate::build::LayerLocation;
use crate::fetch::states::StateFiles;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::layer;
use crate::lock::file::Lock;
use crate::shared;
use crate::store::PrunedFiles;
use crate::store::StoreUsage;
use crate::store::StoreVerification;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Epoch;
use std::path::Path;

/// Seconds of a day.
const DAY: u32 = 86_400;

/// Returns how large the parts of the store are.
///
/// # Errors
/// When the store cannot be read.
pub fn usage(session: &Session) -> Result<Vec<StoreUsage>, Error> {
    Ok(session.store()?.usage()?)
}

/// Removes from the store what was not used for some days, but for the signed states that lock files of the project
/// name. Waits until no other command uses the store.
///
/// # Errors
/// When the store cannot be changed.
pub fn prune(days: u32, session: Session) -> Result<PrunedFiles, Error> {
    let locks = locks_of(&session.options().directory);
    let store = session.into_store()?;
    let named = locks.iter().flat_map(|lock| StateFiles::of_lock(lock, &store)).collect();
    Ok(store.prune(u64::from(days) * u64::from(DAY), &named)?)
}

/// Removes from the shared cache the entries that no lock file of the project asks for and that are older than some
/// days.
///
/// # Errors
/// When there is no shared cache, or its registry refuses.
pub fn prune_shared(days: u32, session: &Session) -> Result<shared::PrunedEntries, Error> {
    let target = PublishTarget::open(None, session)?;
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&[])?;
    let locks = workspace.fresh_locks(&definitions)?;

    let Some(cache) = target.cache()? else {
        return Err(Error::input("cannot prune the shared cache: the registry file names none")
            .hint("give `cache: { repository: NAME }` and a `target` that is a registry"));
    };
    let keys = build::keys(&locked_images(&definitions, &locks), &session.build_options(LayerLocation::Here));
    let locks: Vec<&Lock> = locks.values().collect();
    let limit = Epoch(clock::now().0 - i64::from(days) * i64::from(DAY));
    Ok(session.http().block_on(cache.prune(&keys, &locks, limit))??)
}

/// Reads everything in the store and removes what is damaged.
///
/// # Errors
/// When the store cannot be read.
pub fn verify(session: &Session) -> Result<StoreVerification, Error> {
    let store = session.store()?;
    let mut verified = store.verify()?;
    let packages = layer::verify::verify(store, session.options().threads)?;
    verified.checked += packages.checked;
    verified.removed.extend(packages.removed);
    Ok(verified)
}

/// Returns the locks of a project folder, if it is one.
fn locks_of(project: &Path) -> Vec<Lock> {
    let folder = project.join("base-images");
    let names = fs::list(&folder).unwrap_or_default();
    let locks = names.iter().filter(|name| name.ends_with(".lock.yaml"));
    locks.filter_map(|name| Lock::read(&folder.join(name)).ok()).collect()
}
