//! `sockel cache`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::jobs;

/// Look after the store
///
/// The store keeps downloads, unpacked packages and finished layers. It may be deleted at any time: what is missing is
/// fetched and made anew.
///
/// Example: sockel cache prune --days 30
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Debug, clap::Subcommand)]
enum CacheAction {
    /// Show how large the parts of the store are
    ///
    /// Example: sockel cache info
    Info,
    /// Remove what was not used for some time
    ///
    /// Waits until no other command uses the store. With `--registry`, the shared cache of the registry file is pruned
    /// instead: entries that no lock file here asks for. Signed states that lock files here name stay in both. The registry's garbage collection frees the space.
    ///
    /// Example: sockel cache prune --days 7
    Prune {
        /// Keep what was used within so many days; 0 removes everything
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// Prune the shared cache in the registry instead of the store
        #[arg(long)]
        registry: bool,
    },
    /// Read everything, and remove what is damaged
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
