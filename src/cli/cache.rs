//! `sockel cache`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::jobs;

/// Inspect and clean the store
///
/// The store keeps downloads, unpacked packages and finished layers. You can delete it at any time: sockel downloads and
/// builds again what is missing.
///
/// Example: sockel cache prune --days 30
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Debug, clap::Subcommand)]
enum CacheAction {
    /// Show the size of each part of the store
    ///
    /// Example: sockel cache info
    Info,
    /// Remove what has not been used for some time
    ///
    /// Waits until no other command uses the store. With `--registry`, prunes the shared cache named in the registry file
    /// instead: entries not referenced by any lock file of this project. Signed archive states that a lock file names are
    /// always kept. The registry's own garbage collection frees the space.
    ///
    /// Example: sockel cache prune --days 7
    Prune {
        /// Keep what was used within this many days; 0 removes everything
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// Prune the shared cache in the registry instead of the store
        #[arg(long)]
        registry: bool,
    },
    /// Check every file and remove damaged ones
    ///
    /// Example: sockel cache verify
    Verify,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match args.action {
        CacheAction::Info => info(context),
        CacheAction::Prune { days, registry: true } => prune_registry(days, context),
        CacheAction::Prune { days, registry: false } => prune(days, context),
        CacheAction::Verify => verify(context),
    }
}

fn info(context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    let session = context.session(None)?;
    let usage = context.answer(jobs::cache::usage(&session))?;
    if printer.is_json() {
        return Ok(printer.json(&usage)?);
    }

    let mut table = Table::new(&[("part", Column::Text), ("files", Column::Number), ("size", Column::Number)]);
    for part in &usage {
        table.row([part.part.to_owned(), part.files.to_string(), size(part.bytes)]);
    }
    let (files, bytes) = (usage.iter().map(|part| part.files).sum::<u64>(), usage.iter().map(|part| part.bytes).sum());
    table.row(["all".to_owned(), files.to_string(), size(bytes)]);
    printer.note(&format!("store {}", session.store()?.folder().display()));
    Ok(printer.data(&table.render(printer.width()))?)
}

fn prune(days: u32, context: &Context) -> Result<(), Failure> {
    let pruned = context.answer(jobs::cache::prune(days, context.session(None)?))?;
    if context.printer.is_json() {
        return Ok(context.printer.json(&pruned)?);
    }
    Ok(context.printer.data(&format!("removed {} files, {}\n", pruned.files, size(pruned.bytes)))?)
}

fn prune_registry(days: u32, context: &Context) -> Result<(), Failure> {
    let pruned = context.answer(jobs::cache::prune_shared(days, &context.session(None)?))?;
    if context.printer.is_json() {
        return Ok(context.printer.json(&pruned)?);
    }
    Ok(context.printer.data(&format!("removed {} entries, kept {}\n", pruned.removed.len(), pruned.kept))?)
}

fn verify(context: &Context) -> Result<(), Failure> {
    let verified = context.answer(jobs::cache::verify(&context.session(None)?))?;
    if context.printer.is_json() {
        return Ok(context.printer.json(&verified)?);
    }

    for name in &verified.removed {
        context.printer.warn(&format!("removed damaged `{name}`"));
    }
    let (checked, removed) = (verified.checked, verified.removed.len());
    Ok(context.printer.data(&format!("checked {checked}, removed {removed} damaged\n"))?)
}
