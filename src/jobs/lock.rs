//! The job `lock`: choose packages and write lock files, or check those that are there.

use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Relock;
use crate::jobs::workspace::Workspace;
use crate::lock::LockOutcome;
use std::collections::BTreeSet;

/// What to lock.
#[derive(Debug, Clone, Default)]
pub struct LockRequest {
    /// Images to lock; all when none is named. Their parents are locked as well.
    pub images: Vec<String>,
    /// Only find out what would change.
    pub dry_run: bool,
    /// Choose from these pockets of the archives alone; all when none is named. For a dry run.
    pub pockets: BTreeSet<String>,
    /// Why archives are accepted that are older than the lock files or this machine know.
    pub accept_older_archives: Option<String>,
}

/// Chooses the newest packages that fit together, and writes the lock files that change.
///
/// # Errors
/// When an archive is not to be trusted, there is no choice of packages, or maintainer scripts are undecided.
pub fn run(request: &LockRequest, session: &Session) -> Result<Vec<LockOutcome>, Error> {
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&request.images)?;
    let previous = workspace.locks(&definitions)?;

    let accept_older = accepts_older(request.accept_older_archives.as_ref(), session);
    let how = Relock { locked_states: false, pockets: &request.pockets, accept_older };
    let outcomes = workspace.relock(&definitions, &previous, &how)?;

    if !request.dry_run {
        for outcome in outcomes.iter().filter(|outcome| !outcome.is_unchanged()) {
            workspace.keep(&outcome.lock)?;
        }
    }
    Ok(outcomes)
}

/// Checks that the lock files of these images (all when none is named) answer their recipes, and proves them from the
/// signed archives. Returns how many there are.
///
/// # Errors
/// When one does not answer its recipes, is not proven, or cannot be checked here.
pub fn check(images: &[String], session: &Session) -> Result<usize, Error> {
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(images)?;
    let locks = workspace.fresh_locks(&definitions)?;

    PublishTarget::open(None, session)?.take_states(locks.values())?;
    workspace.prove(&definitions, &locks)?;
    Ok(definitions.len())
}

/// Tells whether older archives are accepted, and reports why.
pub(crate) fn accepts_older(reason: Option<&String>, session: &Session) -> bool {
    if let Some(reason) = reason {
        session.warn(format!("archives that are older than known ones are accepted: {reason}"));
    }
    reason.is_some()
}
