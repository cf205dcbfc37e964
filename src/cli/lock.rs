//! `sockel lock`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Target;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Relock;
use crate::cli::workspace::Workspace;
use crate::lock::Outcome;
use crate::lock::diff::Difference;
use crate::values::shown::shown;
use serde::Serialize;
use std::path::PathBuf;

/// Choose the packages of images and write their lock files
///
/// Reads the signed archives that the recipes name, chooses the newest packages that fit together, and writes
/// `base-images/<image>.lock.yaml` where something changed. Images that others stand on are locked with them.
///
/// Example: sockel lock tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to lock; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Only tell whether the lock files answer the recipes, and prove them from the signed archives. Exits with 1 if they
    /// do not, and with 3 if that cannot be checked, as with `--offline` on a machine that never saw those archives
    #[arg(long, conflicts_with_all = ["dry_run", "pockets", "accept_older_archives"])]
    check: bool,
    /// Show what would change, write no lock file
    #[arg(long)]
    dry_run: bool,
    /// Show what these pockets of the archives alone would give, such as release,updates. Lock files name every pocket of
    /// their recipe: to do without one for good, take it out of the recipe
    #[arg(long, value_name = "POCKETS", value_delimiter = ',', requires = "dry_run")]
    pockets: Vec<String>,
    /// Take archives that are older than the lock files or this machine know, for this reason; without it they are refused,
    /// because somebody may be holding patches back
    #[arg(long, value_name = "REASON")]
    accept_older_archives: Option<String>,
}

/// What came of one image.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    image: &'a str,
    lock_file: PathBuf,
    status: &'static str,
    packages: usize,
    difference: Option<&'a Difference>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    if args.check {
        let mut locks = std::collections::BTreeMap::new();
        for definition in &definitions {
            locks.extend(workspace.lock(&definition.image)?.map(|lock| (definition.image.clone(), lock)));
        }
        let stale = workspace.stale(&definitions, &locks)?;
        if stale.is_empty() {
            let hands = Hands::new(context)?;
            Target::open(None, None, context)?.bring_states(locks.values(), &hands, context)?;
            workspace.prove(&definitions, &locks, &hands)?;
        }
        return checked(&stale, definitions.len(), context);
    }
    let previous = workspace.locks(&definitions)?;
    let pockets = args.pockets.iter().cloned().collect();
    if let Some(reason) = &args.accept_older_archives {
        context.printer.warn(&format!("archives that are older than known ones are accepted: {reason}"));
    }
    let accept_older = args.accept_older_archives.is_some();
    let how = Relock { locked_states: false, pockets: &pockets, accept_older };
    let outcomes = workspace.relock(&definitions, &previous, &how, &Hands::new(context)?)?;
    if !args.dry_run {
        for outcome in outcomes.iter().filter(|outcome| !outcome.is_unchanged()) {
            workspace.keep(&outcome.lock)?;
        }
    }
    show(&outcomes, &workspace, args, context)
}

fn show(outcomes: &[Outcome], workspace: &Workspace<'_>, args: &Args, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    let answers: Vec<Answer<'_>> = outcomes.iter().map(|outcome| answer(outcome, workspace)).collect();
    if printer.is_json() {
        return Ok(printer.json(&answers)?);
    }
    for answer in &answers {
        printer.data(&format!("{}: {}, {} packages\n", answer.image, answer.status, answer.packages))?;
        if let Some(difference) = answer.difference.filter(|difference| !difference.is_empty()) {
            for line in difference.to_string().lines() {
                printer.data(&format!("  {}\n", shown(line)))?;
            }
        }
    }
    let changed: Vec<&str> =
        answers.iter().filter(|answer| answer.status != "unchanged").map(|answer| answer.image).collect();
    match (changed.is_empty(), args.dry_run) {
        (true, _) => printer.note("nothing changed"),
        (false, true) => printer.notes(&["nothing was written".to_owned(), "next: sockel lock".to_owned()]),
        (false, false) => printer.note("next: review the lock files, then: sockel build"),
    }
    Ok(())
}

fn answer<'a>(outcome: &'a Outcome, workspace: &Workspace<'_>) -> Answer<'a> {
    let status = match &outcome.difference {
        None => "new",
        Some(_) if outcome.is_unchanged() => "unchanged",
        Some(_) => "changed",
    };
    let platforms = outcome.lock.levels.iter().flat_map(|level| &level.packages);
    Answer {
        image: &outcome.image,
        lock_file: workspace.lock_path(&outcome.image),
        status,
        packages: platforms.map(|(_, packages)| packages.len()).sum(),
        difference: outcome.difference.as_ref(),
    }
}

/// Tells which lock files do not answer their recipes.
pub(crate) fn checked(
    stale: &std::collections::BTreeMap<String, Vec<String>>,
    images: usize,
    context: &Context,
) -> Result<(), Failure> {
    if stale.is_empty() {
        if context.printer.is_json() {
            context.printer.json(&stale)?;
        }
        context.printer.note(&format!("{images} lock file(s) answer their recipes, and signed archives prove them"));
        return Ok(());
    }
    let names: Vec<&str> = stale.keys().map(String::as_str).collect();
    let message = format!("cannot use the lock files of {}: they do not answer the recipes", names.join(", "));
    let mut failure = Failure::new(Kind::Input, message).hint(format!("run `sockel lock {}`", names.join(" ")));
    let causes =
        stale.iter().flat_map(|(image, reasons)| reasons.iter().map(move |reason| format!("{image}: {reason}")));
    failure.causes = causes.collect();
    Err(failure)
}
