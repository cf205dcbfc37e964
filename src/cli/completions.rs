//! `sockel completions`

use crate::cli::Cli;
use crate::cli::Context;
use crate::cli::failure::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print completions for a shell
///
/// Example: sockel completions bash > ~/.local/share/bash-completion/completions/sockel
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sockel", &mut script);
    Ok(context.printer.data(&String::from_utf8_lossy(&script))?)
}
