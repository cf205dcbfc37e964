//! The job `build`: images from their locks, into layouts and archives.

use crate::build;
use crate::build::BuildEnvironment;
use crate::build::BuiltImage;
use crate::build::LayerLocation;
use crate::build::output;
use crate::build::output::Output;
use crate::bundle::BundleLocation;
use crate::check::CheckFinding;
use crate::fault::Explain;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::bundle;
use crate::jobs::findings;
use crate::jobs::findings::ImageFindings;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Relock;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::report::ProgressEvent;
use crate::tree::compress::Compression;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

/// Where images go when the request does not say it.
const USUAL_OUTPUT: &str = "out";

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Images to build; all when none is named. Their parents are built as well.
    pub images: Vec<String>,
    /// Where to write; the layout `out` when nothing is named.
    pub outputs: Vec<Output>,
    /// Platforms to build; all of each image when none is named.
    pub platforms: Vec<Platform>,
    /// What to do about locks that do not fit.
    pub locks: LockUse,
    /// Take all packages from this bundle, and nothing from archives.
    pub bundle: Option<BundleLocation>,
    /// Format of the layers.
    pub compression: Compression,
}

/// What a build does about its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockUse {
    /// Refuse to build when one is missing or does not answer its recipes.
    AsTheyAre,
    /// Lock these images first, and write the lock files.
    RenewStale,
    /// As [`Self::RenewStale`], and lock anew what the archives have dropped.
    Refresh,
}

impl Default for BuildRequest {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            outputs: Vec::new(),
            platforms: Vec::new(),
            locks: LockUse::RenewStale,
            bundle: None,
            compression: Compression::Gzip,
        }
    }
}

/// What was built.
#[derive(Debug)]
pub struct BuildOutcome {
    /// The images with their parents, parents first.
    pub images: Vec<BuiltImage>,
    /// Where they were written.
    pub outputs: Vec<Output>,
    /// What their checks say.
    pub findings: Vec<ImageFindings>,
    /// Lines of recipes that have no effect in any image, and do not stop a build.
    pub without_effect: Vec<CheckFinding>,
}

/// Builds images and writes them.
///
/// # Errors
/// The first thing that cannot be done. What was finished before stays in the store, and the next run finds it.
pub fn run(request: &BuildRequest, session: &Session) -> Result<BuildOutcome, Error> {
    let outputs = outputs(request)?;
    let workspace = Workspace::open(session)?;
    let definitions = with_platforms(workspace.definitions(&request.images)?, request)?;
    check_archives(request, &outputs, &definitions)?;
    let mut locks = locks(request, &workspace, &definitions)?;

    let options = build::BuildOptions {
        compression: request.compression,
        platforms: request.platforms.clone(),
        ..session.build_options(LayerLocation::Here)
    };
    // with a bundle, a network that refuses everything
    let offline = match &request.bundle {
        Some(bundle) => {
            Some(bundle::supply(bundle, &locked_images(&definitions, &locks), &request.platforms, session)?)
        }
        None => {
            let target = PublishTarget::open(None, session)?;
            target.take_from_cache(&locked_images(&definitions, &locks), &options, true)?;
            None
        }
    };
    let http = offline.as_ref().unwrap_or(session.http());
    let equipment = session.equipment(http, workspace.ledger()?)?;
    let building = BuildAttempt { definitions: &definitions, options, equipment };

    let built = match building.build(&locks) {
        Err(error) if request.locks == LockUse::Refresh && error.asks_for_new_lock() => {
            error.to_string().lines().for_each(|line| session.warn(line.trim()));
            session.warn("locking anew");
            let how = Relock { locked_states: false, pockets: &BTreeSet::new(), accept_older: false };
            workspace.renew(&definitions, &mut locks, &how)?;
            // these locks were chosen from an index that was read just now
            building.build(&locks).map_err(Explain::still_listed)?
        }
        built => built.map_err(|error| workspace.explained(error, &definitions, &locks))?,
    };

    let without_effect = if request.images.is_empty() && request.platforms.is_empty() {
        findings::in_vain(&definitions, built.clone())
    } else if built.iter().any(|image| image.new) {
        // only a change can make a line useless, and whether other images use it costs a look at all of them
        findings::without_effect(&workspace, &building.options, building.equipment.store)
    } else {
        Vec::new()
    };

    for output in &outputs {
        building.write(output, &built, &locks)?;
    }
    let findings = ImageFindings::of_all(&definitions, &built);
    Ok(BuildOutcome { images: built, outputs, findings, without_effect })
}

/// Returns where to write. A checkout must not choose another folder by a link named `out`.
fn outputs(request: &BuildRequest) -> Result<Vec<Output>, Error> {
    if !request.outputs.is_empty() {
        return Ok(request.outputs.clone());
    }
    output::check_unnamed(Path::new(USUAL_OUTPUT))?;
    Ok(vec![Output::Layout(USUAL_OUTPUT.into())])
}

/// Leaves out the images that have none of the platforms asked for.
///
/// # Errors
/// When an image that was named is left out, or none stays.
fn with_platforms(definitions: Vec<ImageDefinition>, request: &BuildRequest) -> Result<Vec<ImageDefinition>, Error> {
    let (kept, left): (Vec<ImageDefinition>, Vec<ImageDefinition>) =
        definitions.into_iter().partition(|definition| !definition.platforms_among(&request.platforms).is_empty());
    let refused = left.iter().find(|definition| kept.is_empty() || request.images.contains(&definition.image));
    let Some(definition) = refused else { return Ok(kept) };

    let words = |platforms: &[Platform]| platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let message =
        format!("cannot build `{}` for {}: it has no such platform", definition.image, words(&request.platforms));
    Err(Error::input(message).hint(format!("`{}` is for {}", definition.image, words(&definition.platforms))))
}

/// Refuses to write several images into an archive, which holds one.
fn check_archives(request: &BuildRequest, outputs: &[Output], definitions: &[ImageDefinition]) -> Result<(), Error> {
    let wanted = if request.images.is_empty() { definitions.len() } else { request.images.len() };
    if wanted == 1 || outputs.iter().all(|output| matches!(output, Output::Layout(_))) {
        return Ok(());
    }
    Err(Error::usage("cannot write several images into an archive: it holds one")
        .hint("name one image, or write a layout with `-o oci:DIR`"))
}

/// Returns a lock for every definition, made anew where needed and allowed.
fn locks(
    request: &BuildRequest,
    workspace: &Workspace<'_>,
    definitions: &[ImageDefinition],
) -> Result<BTreeMap<String, Lock>, Error> {
    if request.locks == LockUse::AsTheyAre || request.bundle.is_some() {
        return workspace.fresh_locks(definitions);
    }

    let mut locks = workspace.locks(definitions)?;
    // a parent's new lock may make its children stale, so look again after each round: at most one for each image
    for _ in 0..=definitions.len() {
        let stale = workspace.stale(definitions, &locks)?;
        if stale.is_empty() {
            break;
        }
        let wanted: Vec<ImageDefinition> =
            definitions.iter().filter(|definition| stale.contains_key(&definition.image)).cloned().collect();
        workspace.report_stale(&stale);
        let how = Relock { locked_states: true, pockets: &BTreeSet::new(), accept_older: false };
        workspace.renew(&wanted, &mut locks, &how)?;
    }
    Ok(locks)
}

/// A build that may have to be repeated: with new locks, or because something in the store was damaged.
struct BuildAttempt<'a> {
    definitions: &'a [ImageDefinition],
    options: build::BuildOptions,
    equipment: BuildEnvironment<'a>,
}

impl BuildAttempt<'_> {
    fn build(&self, locks: &BTreeMap<String, Lock>) -> Result<Vec<BuiltImage>, build::Error> {
        build::build(&locked_images(self.definitions, locks), &self.options, self.equipment)
    }

    fn write(&self, output: &Output, built: &[BuiltImage], locks: &BTreeMap<String, Lock>) -> Result<(), Error> {
        let BuildEnvironment { store, reporter, .. } = self.equipment;
        match output::write(output, built, store) {
            // the damaged part was taken out of the store, so another build makes it again
            Err(error) if error.is_damage() => {
                reporter.event(ProgressEvent::Warning(format!("{error}: making it again")));
                self.build(locks)?;
                Ok(output::write(output, built, store)?)
            }
            written => Ok(written?),
        }
    }
}
