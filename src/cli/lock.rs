//! `sockel lock`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
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
    /// Only tell whether the lock files still answer the recipes; needs no network, exits with 1 if not
    #[arg(long, conflicts_with_all = ["dry_run", "pockets"])]
    check: bool,
    /// Show what would change, write no lock file
    #[arg(long)]
    dry_run: bool,
    /// Read only these pockets of the archives, such as release,updates,security
    #[arg(long, value_name = "POCKETS", value_delimiter = ',')]
    pockets: Vec<String>,
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
        return checked(&Workspace::stale(&definitions, &locks), definitions.len(), context);
    }
    let previous = workspace.locks(&definitions)?;
    let pockets = args.pockets.iter().cloned().collect();
    let how = Relock { keep: false, pockets: &pockets };
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
        context.printer.note(&format!("{images} lock file(s) answer their recipes"));
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
