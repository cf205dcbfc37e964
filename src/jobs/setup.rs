//! The job `publish --setup`: Harbor's projects with their rules, quotas and robots, as the registry file wants them.

use crate::harbor::setup::SetupStep;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::oci::registry::address::ImageLocation;
use crate::publish;
use crate::settings::RegistryFile;

/// Creates what is missing and changes what differs, or with `dry_run` only says what would be done. Needs an
/// administrator's login.
///
/// # Errors
/// When the registry file names no projects, or the registry is no Harbor. What single steps could not do is in them.
pub fn run(dry_run: bool, session: &Session) -> Result<Vec<SetupStep>, Error> {
    let target = PublishTarget::open(None, session)?;
    let file = target.file();
    let definitions = Workspace::open(session)?.definitions(&[])?;
    let (ImageLocation::Registry { url, .. }, Some(wanted)) = (target.address(), file.harbor_setup(&definitions))
    else {
        return Err(Error::input("cannot set up projects: the registry file names none").hint(
            "give `target: https://HOST` and `projects: { staging: NAME, release: NAME }` in the registry file",
        ));
    };

    // the robots that the file names may not create projects, and do not exist before the first time
    let file = RegistryFile { credentials: None, release_credentials: None, ..file.clone() };
    let connections = Connections::open(url, "", false, &file, session)?;
    let work = async {
        let (harbor, without) = connections.harbor().await?;
        let harbor = harbor.ok_or_else(|| Error::input(format!("cannot set up projects: {without}")))?;
        let steps = if dry_run { harbor.plan(&wanted).await } else { harbor.apply(&wanted).await };
        Ok(steps.map_err(publish::Error::from)?)
    };
    session.http().block_on(work)?
}
