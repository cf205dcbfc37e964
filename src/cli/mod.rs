//! The edge: flags, terminal, exit codes. No decision about images is made here.

mod build;
mod cache;
pub mod failure;
mod lock;
mod printer;
mod progress;
mod schema;
mod settings;
mod table;

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::report::Reporter;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Builds hardened, reproducible container base images from signed APT archives: no daemon, no root.
///
/// Reads `recipes/` and `base-images/`, locks packages, and writes OCI images.
///
/// Exit codes: 0 done, 1 the input must change, 2 usage, 3 outside failed (a retry may help), 4 policy said no,
/// 70 internal error.
#[derive(Debug, Parser)]
#[command(name = "sockel", version, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Folder with `recipes/` and `base-images/`
    #[arg(short = 'C', long, global = true, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Folder of the store [default: $SOCKEL_STORE, else `sockel` in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Form of data on stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Form of progress on stderr
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Refuse every network access
    #[arg(long, global = true)]
    offline: bool,
    /// Look for an archive there first (repeatable; $SOCKEL_MIRRORS takes several)
    #[arg(long, global = true, value_name = "ARCHIVE=URL")]
    mirror: Vec<String>,
    /// PEM file with further certificate authorities for HTTPS
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Number of worker threads [default: number of processors]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Colours in messages
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For machines
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless $NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lock(lock::Args),
    Build(build::Args),
    Cache(cache::Args),
    Schema(schema::Args),
    Completions(schema::CompletionsArgs),
}

/// What every command gets.
struct Context<'a> {
    settings: &'a Settings,
    printer: Printer,
    reporter: &'a dyn Reporter,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(printer::panic));
    let arguments = Arguments::parse();
    let printer = Printer::new(&arguments.global);
    match run(&arguments, printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => printer.failure(&failure),
    }
}

fn run(arguments: &Arguments, printer: Printer) -> Result<(), Failure> {
    let settings = Settings::new(&arguments.global)?;
    let reporter = progress::reporter(&arguments.global);
    let context = Context { settings: &settings, printer, reporter: &*reporter };
    match &arguments.command {
        Command::Lock(args) => lock::run(args, &context),
        Command::Build(args) => build::run(args, &context),
        Command::Cache(args) => cache::run(args, &context),
        Command::Schema(args) => schema::run(args, printer),
        Command::Completions(args) => schema::completions(args, printer),
    }
}
