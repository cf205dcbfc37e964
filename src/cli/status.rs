//! `sockel status`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::due::Due;
use crate::due::release::SupportState;
use crate::fault::Turn;
use crate::jobs;
use crate::jobs::status::ImageStatus;
use crate::jobs::status::StatusOutcome;
use crate::jobs::status::StatusRequest;
use crate::update::memory::RememberedBlock;
use crate::values::Epoch;
use clap::ValueEnum;
use std::collections::BTreeSet;

/// Show which images need a rebuild, and when their release reaches end of life
///
/// Uses the lock files, the times at which `sockel update` last ran with this store and first saw an urgent update, what it
/// could not take, and release dates that come with sockel (Debian's distro-info-data). Needs no network. `sockel update` shows what is new.
///
/// Example: sockel status --older-than 30 --fail-on overdue
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to check [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Mark images whose lock is older than this many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Exit with 4 if an image is overdue, older than `--older-than`, its release is no longer supported, or its updates are
    /// blocked
    #[arg(long, value_name = "WHAT")]
    fail_on: Vec<DueReason>,
}

/// What can be found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DueReason {
    /// Not checked for updates within `rebuild.every`, or an urgent update not applied within `rebuild.urgent-within`
    Overdue,
    /// Older than `--older-than`
    Old,
    /// End of life of the distribution's release
    Eol,
    /// The last update could not take everything
    Blocked,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let request = StatusRequest { images: args.images, older_than: args.older_than };
    let status = context.answer(jobs::status::run(&request, &context.session(None)?))?;

    let printer = &context.printer;
    if printer.is_json() {
        printer.json(&status)?;
    } else {
        printer.data(&table(&status).render(printer.width()))?;
    }
    judge(&status, &args.fail_on)
}

fn table(status: &StatusOutcome) -> Table {
    let mut table = Table::new(&[
        ("image", Column::Text),
        ("locked", Column::Text),
        ("age", Column::Number),
        ("update by", Column::Text),
        ("release", Column::Text),
        ("supported until", Column::Text),
        ("built", Column::Text),
        ("blocked", Column::Text),
    ]);
    for ImageStatus { due, built, blocked } in &status.images {
        let old = if due.old { " (old)" } else { "" };
        let (release, until) = support(due);
        table.row([
            due.image.clone(),
            day(due.locked),
            format!("{} d{old}", due.age / 86_400),
            update_by(due),
            release,
            until,
            if *built { "yes" } else { "no" }.to_owned(),
            blocked.as_ref().map_or_else(|| "-".to_owned(), self::blocked),
        ]);
    }
    table
}

fn day(time: Epoch) -> String {
    time.to_string()[..10].to_owned()
}

/// Returns when the image must be updated at the latest, and whether that has passed.
fn update_by(due: &Due) -> String {
    let by = [due.rebuild_by, due.urgent_by].into_iter().flatten().min();
    let by = by.map_or_else(|| "-".to_owned(), |by| by.to_string()[..16].replace('T', " "));
    let urgent = if due.urgent_by.is_some() { " (urgent)" } else { "" };
    if due.overdue { format!("{by} OVERDUE{urgent}") } else { by + urgent }
}

/// Returns how many updates are blocked, what they would fix, and since when.
fn blocked(block: &RememberedBlock) -> String {
    let since = day(block.since);
    match block.cves.len() {
        0 => format!("{} since {since}", block.what.len()),
        cves => format!("{} with {cves} CVE since {since}", block.what.len()),
    }
}

/// Returns the distribution's release, and until when it is supported.
fn support(due: &Due) -> (String, String) {
    let Some(support) = &due.support else { return ("unknown".to_owned(), "-".to_owned()) };
    let until = match (support.state, support.extended) {
        (SupportState::Supported, _) => day(support.until),
        (SupportState::Extended, Some(until)) => format!("LTS only, {}", day(until)),
        _ => format!("ENDED {}", day(support.until)),
    };
    (support.series.clone(), until)
}

/// Fails when an image is due for one of these reasons.
fn judge(status: &StatusOutcome, reasons: &[DueReason]) -> Result<(), Failure> {
    let bad = status.images.iter().filter(|image| reasons.iter().any(|reason| is_due(image, *reason)));
    let names: BTreeSet<&str> = bad.map(|image| image.due.image.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.into_iter().collect();
    let mut failure = Failure::new(Turn::Policy, format!("images are due: {}", names.join(", ")))
        .hint("run `sockel update --publish`, which says what blocks an update; a release that has ended needs another recipe");
    failure.is_answered = true;
    Err(failure)
}

fn is_due(ImageStatus { due, blocked, .. }: &ImageStatus, reason: DueReason) -> bool {
    match reason {
        DueReason::Blocked => blocked.is_some(),
        DueReason::Overdue => due.overdue,
        DueReason::Old => due.old,
        DueReason::Eol => due.support.as_ref().is_none_or(|support| support.state == SupportState::Ended),
    }
}
