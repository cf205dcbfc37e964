//! `sockel lock`

use crate::cli::Context;
use crate::cli::blocked;
use crate::cli::blocked::BlockedImage;
use crate::cli::failure::Failure;
use crate::jobs;
use crate::jobs::lock::LockRequest;
use crate::lock::BlockedPackage;
use crate::lock::LockOutcome;
use crate::lock::diff::LockDifference;
use crate::lock::file::file_of;
use crate::values::shown::shown;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Choose the packages of images and write their lock files
///
/// Reads the signed archives named in the recipes, chooses the newest packages that work together, and writes
/// `base-images/<image>.lock.yaml` if something changed. Parent images are locked too. A package whose newest version cannot
/// be taken stays as it is locked, if everything else fits to that; then the exit code is 1.
///
/// Example: sockel lock tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to lock [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Check that the lock files match the recipes and that the signed archives prove them; write nothing. Exits with 1 if
    /// they do not, and with 3 if that cannot be checked, such as with `--offline` on a new machine
    #[arg(long, conflicts_with_all = ["dry_run", "pockets", "accept_older_archives"])]
    check: bool,
    /// Show what would change; write no lock file
    #[arg(long)]
    dry_run: bool,
    /// Choose only from these pockets of the archives, such as release,updates. To drop a pocket for good, remove it from the
    /// recipe: lock files always name every pocket of their recipe
    #[arg(long, value_name = "POCKETS", value_delimiter = ',', requires = "dry_run")]
    pockets: Vec<String>,
    /// Accept archives older than the ones in the lock files or already seen, and state why. By default they are refused:
    /// somebody may be holding back patches
    #[arg(long, value_name = "REASON")]
    accept_older_archives: Option<String>,
}

/// What came of one image.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LockAnswer<'a> {
    image: &'a str,
    lock_file: PathBuf,
    status: &'static str,
    packages: usize,
    difference: Option<&'a LockDifference>,
    /// Updates that are not taken.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    blocked: &'a [BlockedPackage],
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if args.check {
        return check(&args.images, context);
    }
    let request = LockRequest {
        images: args.images,
        dry_run: args.dry_run,
        pockets: args.pockets.into_iter().collect(),
        accept_older_archives: args.accept_older_archives,
    };
    let outcomes = context.answer(jobs::lock::run(&request, &context.session(None)?))?;
    show(&outcomes, args.dry_run, context)
}

fn check(images: &[String], context: &Context) -> Result<(), Failure> {
    let checked = context.answer(jobs::lock::check(images, &context.session(None)?))?;
    if context.printer.is_json() {
        // images whose locks are not right, by name: there are none
        context.printer.json(&BTreeMap::<String, String>::new())?;
    }
    context.printer.note(&format!("{checked} lock file(s) answer their recipes, and signed archives prove them"));
    Ok(())
}

fn show(outcomes: &[LockOutcome], dry_run: bool, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    let answers: Vec<LockAnswer<'_>> = outcomes.iter().map(|outcome| answer(outcome, context)).collect();
    let images =
        answers.iter().map(|answer| BlockedImage { image: answer.image, packages: answer.blocked, pockets: &[] });
    let blocked = blocked::failure(&images.collect::<Vec<_>>()).map_or(Ok(()), Err);
    if printer.is_json() {
        printer.json(&answers)?;
        return blocked;
    }
    for answer in &answers {
        printer.data(&format!("{}: {}, {} packages\n", answer.image, answer.status, answer.packages))?;
        if let Some(difference) = answer.difference.filter(|difference| !difference.is_empty()) {
            for line in difference.to_string().lines() {
                printer.data(&format!("  {}\n", shown(line)))?;
            }
        }
        for blocked in answer.blocked {
            printer.data(&format!("  kept back: {}\n", shown(&blocked.to_string())))?;
        }
    }
    let changed: Vec<&str> =
        answers.iter().filter(|answer| answer.status != "unchanged").map(|answer| answer.image).collect();
    match (changed.is_empty(), dry_run) {
        (true, _) => printer.note("nothing changed"),
        (false, true) => printer.notes(&["nothing was written".to_owned(), "next: sockel lock".to_owned()]),
        (false, false) => printer.note("next: review the lock files, then: sockel build"),
    }
    blocked
}

fn answer<'a>(outcome: &'a LockOutcome, context: &Context) -> LockAnswer<'a> {
    let status = match &outcome.difference {
        None => "new",
        Some(_) if outcome.is_unchanged() => "unchanged",
        Some(_) => "changed",
    };
    let platforms = outcome.lock.levels.iter().flat_map(|level| &level.packages);
    LockAnswer {
        image: &outcome.image,
        lock_file: context.settings.directory.join(file_of(&outcome.image)),
        status,
        packages: platforms.map(|(_, packages)| packages.len()).sum(),
        difference: outcome.difference.as_ref(),
        blocked: &outcome.blocked,
    }
}
