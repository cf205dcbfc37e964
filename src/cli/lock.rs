//! `sockel lock`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::fetch::archives::Online;
use crate::layer::ENGINE_FORMAT;
use crate::lock;
use crate::lock::file::Lock;
use crate::lock::images::Images;
use crate::lock::images::Outcome;
use crate::recipe::Definition;
use crate::recipe::Project;
use crate::report::Event;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Chooses packages from the signed archives and writes `base-images/<image>.lock.yaml`
///
/// Locks the named images and those that they stand on; without names, all. The locks are to be reviewed and committed.
///
/// Example: sockel lock tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image names [default: all]
    images: Vec<String>,
    /// Only check, offline, whether the locks still fit the recipes; exit code 1 when one does not
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Show what would change, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Use these pockets of the archives only
    #[arg(long, value_name = "POCKET", value_delimiter = ',')]
    pockets: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let folder = &context.settings.folder;
    let project = Project::open(folder)?;
    let names: Vec<&str> = args.images.iter().map(String::as_str).collect();
    let definitions = with_parents(&project, &names)?;
    context.printer.warnings(&project.warnings());
    if args.check {
        return check(&definitions, context);
    }
    let store = Store::open(&context.settings.store)?;
    let outcomes = relock(&project, &definitions, &args.pockets, context, &store)?;
    if !args.dry_run {
        write(&outcomes, folder)?;
    }
    let document: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            json!({ "image": outcome.image, "changed": !outcome.is_unchanged(), "new": outcome.difference.is_none(),
                    "difference": outcome.difference })
        })
        .collect();
    context.printer.data(&document, || outcomes.iter().map(describe).collect());
    if outcomes.iter().any(|outcome| !outcome.is_unchanged()) && !args.dry_run {
        let images = args.images.join(" ");
        context.printer.next(&format!("git diff base-images; sockel build {images}"));
    }
    Ok(())
}

fn describe(outcome: &Outcome) -> String {
    match &outcome.difference {
        None => {
            let packages: BTreeSet<&str> = outcome
                .lock
                .levels
                .iter()
                .flat_map(|level| level.packages.values())
                .flatten()
                .map(|p| p.name.as_str())
                .collect();
            format!("{}: locked, {} packages\n", outcome.image, packages.len())
        }
        Some(difference) if difference.is_empty() => format!("{}: unchanged\n", outcome.image),
        Some(difference) => format!("{}: changed\n{difference}", outcome.image),
    }
}

/// Returns the definitions of the named images and of all that they stand on, parents first.
///
/// # Errors
/// When a recipe is wrong or a name is unknown.
pub(super) fn with_parents(project: &Project, names: &[&str]) -> Result<Vec<Definition>, Failure> {
    let mut wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
    loop {
        let list: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let definitions = project.definitions(&list)?;
        let missing = definitions.iter().filter_map(|definition| definition.parent.clone());
        let missing: BTreeSet<String> =
            missing.filter(|parent| !definitions.iter().any(|known| known.image == *parent)).collect();
        if missing.is_empty() {
            return Ok(definitions);
        }
        wanted.extend(missing);
    }
}

/// Locks images anew from the archives.
///
/// # Errors
/// When an archive is not to be trusted, there is no choice of packages, or scripts are undecided.
pub(super) fn relock(
    project: &Project,
    definitions: &[Definition],
    pockets: &[String],
    context: &Context<'_>,
    store: &Store,
) -> Result<Vec<Outcome>, Failure> {
    let ledger = project.ledger()?;
    let folder = &context.settings.folder;
    let mut previous = BTreeMap::new();
    for definition in definitions {
        if let Some(lock) = read_if_there(folder, &definition.image)? {
            previous.insert(definition.image.clone(), lock);
        }
    }
    let pockets: BTreeSet<String> = pockets.iter().cloned().collect();
    known_pockets(definitions, &pockets)?;
    let outside = Online {
        http: &context.settings.http,
        store,
        mirrors: &context.settings.mirrors,
        pockets: &pockets,
        reporter: context.reporter,
        now: clock::now(),
    };
    let images = Images { definitions, previous: &previous, ledger: &ledger, engine: ENGINE_FORMAT, keep: false };
    let (outcomes, warnings) = lock::lock(images, &outside)?;
    for warning in warnings {
        context.reporter.event(Event::Warning(warning));
    }
    Ok(outcomes)
}

fn known_pockets(definitions: &[Definition], asked: &BTreeSet<String>) -> Result<(), Failure> {
    let archives = definitions.iter().flat_map(|definition| &definition.archives);
    let known: BTreeSet<&str> =
        archives.flat_map(|archive| &archive.pockets).map(|pocket| pocket.name.as_str()).collect();
    match asked.iter().find(|pocket| !known.contains(pocket.as_str())) {
        Some(pocket) => {
            let known: Vec<&str> = known.into_iter().collect();
            Err(Failure::usage(format!("cannot use pocket `{pocket}`: no archive has it"))
                .hint(format!("there are {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// Writes the locks that changed.
///
/// # Errors
/// When a file cannot be written; those before it are written.
pub(super) fn write(outcomes: &[Outcome], folder: &Path) -> Result<(), Failure> {
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_unchanged()) {
        fs::write_atomic(&path(folder, &outcome.image), outcome.lock.to_yaml().as_bytes())?;
    }
    Ok(())
}

fn check(definitions: &[Definition], context: &Context<'_>) -> Result<(), Failure> {
    let stale = stale(definitions, &context.settings.folder)?;
    context.printer.data(&stale, || match stale.is_empty() {
        true => format!("{} lock(s) fit their recipes\n", definitions.len()),
        false => String::new(),
    });
    if stale.is_empty() { Ok(()) } else { Err(stale_failure(&stale)) }
}

/// Returns what is wrong with locks, by image; nothing when all fit.
///
/// # Errors
/// When a lock file cannot be read.
pub(super) fn stale(definitions: &[Definition], folder: &Path) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut stale = BTreeMap::new();
    let mut locks: BTreeMap<&str, Lock> = BTreeMap::new();
    for definition in definitions {
        let reasons = match read_if_there(folder, &definition.image)? {
            None => vec!["there is no lock yet".to_owned()],
            Some(lock) => {
                let parent = definition.parent.as_deref().and_then(|parent| locks.get(parent));
                let reasons = lock::verify::verify(&lock, definition, ENGINE_FORMAT, parent);
                locks.insert(&definition.image, lock);
                reasons
            }
        };
        if !reasons.is_empty() {
            stale.insert(definition.image.clone(), reasons);
        }
    }
    Ok(stale)
}

/// Returns the failure for stale locks.
pub(super) fn stale_failure(stale: &BTreeMap<String, Vec<String>>) -> Failure {
    let lines =
        stale.iter().flat_map(|(image, reasons)| reasons.iter().map(move |reason| format!("\n  {image}: {reason}")));
    let images: Vec<&str> = stale.keys().map(String::as_str).collect();
    Failure::user(format!(
        "cannot use {} lock(s): they do not fit the recipes any more{}",
        stale.len(),
        lines.collect::<String>()
    ))
    .hint(format!("lock again with `sockel lock {}` and review the difference", images.join(" ")))
}

/// Returns where an image's lock is.
pub(super) fn path(folder: &Path, image: &str) -> PathBuf {
    folder.join("base-images").join(format!("{image}.lock.yaml"))
}

/// Reads an image's lock, if it has one.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn read_if_there(folder: &Path, image: &str) -> Result<Option<Lock>, Failure> {
    let path = path(folder, image);
    if fs::size(&path).is_none() {
        return Ok(None);
    }
    let named = |error| {
        let mut failure = Failure::from(error);
        failure.message = format!("`{}`: {}", path.display(), failure.message);
        failure
    };
    Lock::read(&path).map(Some).map_err(named)
}
