//! `sockel cache`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Side;
use crate::cli::table::human_size;
use crate::cli::table::table;
use crate::store::Store;

/// Shows, cleans and verifies the store
///
/// Example: sockel cache prune --unused-for 14
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what the store holds
    Info,
    /// Remove what was not used for a while; waits until no other command uses the store
    Prune {
        /// Days without use; 0 removes everything except the memory of archives
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        unused_for: u64,
    },
    /// Read every file and remove those whose bytes are not what their name says
    Verify,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let store = Store::open(&context.settings.store)?;
    match &args.command {
        Command::Info => {
            let usage = store.usage()?;
            let text = || {
                let row =
                    |part: &str, files: u64, bytes: u64| vec![part.to_owned(), files.to_string(), human_size(bytes)];
                let mut rows = vec![["part", "files", "size"].map(str::to_owned).to_vec()];
                rows.extend(usage.iter().map(|part| row(part.part, part.files, part.bytes)));
                let sum = |of: fn(&crate::store::Usage) -> u64| usage.iter().map(of).sum::<u64>();
                rows.push(row("all", sum(|part| part.files), sum(|part| part.bytes)));
                let table = table(&[Side::Left, Side::Right, Side::Right], &rows);
                format!("{}\n{table}", store.folder().display())
            };
            context.printer.data(&usage, text);
        }
        Command::Prune { unused_for } => {
            let pruned = store.prune(unused_for.saturating_mul(86_400))?;
            context.printer.data(&pruned, || format!("removed {} files, {}\n", pruned.files, human_size(pruned.bytes)));
        }
        Command::Verify => {
            let verified = store.verify()?;
            let text = || {
                let removed: String =
                    verified.removed.iter().map(|name| format!("removed {name}: damaged\n")).collect();
                format!("{removed}{} files checked, {} damaged\n", verified.checked, verified.removed.len())
            };
            context.printer.data(&verified, text);
        }
    }
    Ok(())
}
