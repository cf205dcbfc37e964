//! The edge: commands and their flags, terminal, exit codes. Nothing here knows how an image is made.

mod blocked;
mod build;
mod bundle;
mod cache;
mod completions;
mod diff;
mod failure;
mod lock;
mod plan;
mod printer;
mod progress;
mod publish;
mod rebase;
mod reference;
mod schema;
mod settings;
mod show;
mod status;
mod summary;
mod table;
mod update;

use crate::cli::failure::Failure;
use crate::cli::failure::exit_code;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
#[cfg(feature = "otel")]
use crate::cli::progress::otel::CommandTrace;
use crate::cli::settings::Format;
use crate::cli::settings::GlobalArgs;
use crate::cli::settings::ProcessEnvironment;
use crate::cli::settings::Settings;
use crate::fault::Turn;
use crate::jobs;
use crate::jobs::Session;
use crate::jobs::SessionOptions;
use crate::report::ProgressReporter;
use crate::sys::env::EnvironmentVariable;
use crate::values::cover;
use clap::CommandFactory;
use clap::Parser;
use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Builds hardened, reproducible container base images from signed APT archives: no daemon, no root
///
/// A recipe (`recipes/*.yaml`) describes what one level adds to its parent. A base image (`base-images/*.yaml`) turns a
/// recipe into a published image. A lock file (`base-images/*.lock.yaml`) lists exactly which packages are in it.
///
/// Exit codes: 0 success; 1 the input must change; 2 usage error; 3 network, archive, registry or disk failed, a retry may
/// help; 4 refused by policy; 70 internal error.
#[derive(Debug, Parser)]
#[command(name = "sockel", version, max_term_width = 120, arg_required_else_help = true, verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Lock(lock::Args),
    Build(build::Args),
    Bundle(bundle::Args),
    Publish(publish::Args),
    Rebase(rebase::Args),
    Update(update::Args),
    Status(status::Args),
    Plan(plan::Args),
    Show(show::Args),
    Diff(diff::Args),
    Cache(cache::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

/// What every command works with.
struct Context {
    settings: Settings,
    printer: Arc<Printer>,
    progress: Arc<Progress>,
}

impl Context {
    /// Opens the session of a job, with the registry file that a flag names.
    fn session(&self, registry_file: Option<&Path>) -> Result<Session, Failure> {
        let settings = &self.settings;
        let options = SessionOptions {
            directory: settings.directory.clone(),
            store: settings.store.clone(),
            registry_file: registry_file.map(Path::to_owned),
            offline: settings.offline,
            threads: settings.threads,
            mirrors: settings.mirrors.clone(),
            ca_file: settings.ca_file.clone(),
            plain_http: settings.plain_http,
        };
        let reporter: Arc<dyn ProgressReporter> = Arc::<Progress>::clone(&self.progress);
        Ok(Session::open(options, reporter)?)
    }

    /// Returns what a job answered, with its progress off the terminal, so that the answer can be printed.
    fn answer<T>(&self, result: Result<T, jobs::Error>) -> Result<T, Failure> {
        self.progress.close();
        Ok(result?)
    }
}

#[cfg(feature = "otel")]
impl Command {
    /// Returns the command's name as it is typed.
    fn name(&self) -> &'static str {
        match self {
            Self::Lock(_) => "lock",
            Self::Build(_) => "build",
            Self::Bundle(_) => "bundle",
            Self::Publish(_) => "publish",
            Self::Rebase(_) => "rebase",
            Self::Update(_) => "update",
            Self::Status(_) => "status",
            Self::Plan(_) => "plan",
            Self::Show(_) => "show",
            Self::Diff(_) => "diff",
            Self::Cache(_) => "cache",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let around = ProcessEnvironment::look();
    let color = around.stderr_is_terminal && !around.variables.contains_key(EnvironmentVariable::NoColor.name());
    failure::install_panic_hook(color);
    let run = AssertUnwindSafe(|| run(std::env::args_os(), &around));
    // the hook has said it already
    ExitCode::from(std::panic::catch_unwind(run).unwrap_or(exit_code(Turn::Internal)))
}

/// Returns the reference of all commands and flags as Markdown, for `docs/cli.md`.
#[must_use]
pub fn reference() -> String {
    reference::markdown(Cli::command())
}

fn run(arguments: impl Iterator<Item = OsString>, around: &ProcessEnvironment) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, around),
    };
    let settings = match Settings::new(&cli.global, around) {
        Ok(settings) => settings,
        Err(error) => {
            let failure = Failure::from(error);
            failure.print(&Printer::plain(around.stderr_is_terminal));
            return exit_code(failure.kind);
        }
    };
    let printer = Arc::new(Printer::new(&settings));
    #[cfg(feature = "otel")]
    let trace = CommandTrace::begin(cli.command.name(), around, &settings, &printer);
    #[cfg(feature = "otel")]
    let listener = trace.clone().map(|trace| -> Arc<dyn ProgressReporter> { trace });
    #[cfg(not(feature = "otel"))]
    let listener = None;
    let progress = Arc::new(Progress::new(settings.progress, &printer, listener));
    let context = Context { settings, printer: Arc::clone(&printer), progress };
    if context.settings.format == Format::Md && !matches!(cli.command, Command::Update(_)) {
        let failure = Failure::new(Turn::Usage, "cannot answer as Markdown: only `update` does");
        failure.print(&printer);
        return exit_code(failure.kind);
    }
    let outcome = dispatch(cli.command, &context);
    if let Err(failure) = &outcome {
        failure.print(&printer);
    }
    #[cfg(feature = "otel")]
    if let Some(trace) = trace {
        trace.end(outcome.as_ref().err());
    }
    outcome.map_or_else(|failure| exit_code(failure.kind), |()| 0)
}

fn dispatch(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Lock(args) => lock::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Bundle(args) => bundle::run(args, context),
        Command::Publish(args) => publish::run(args, context),
        Command::Rebase(args) => rebase::run(args, context),
        Command::Update(args) => update::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Plan(args) => plan::run(&args, context),
        Command::Show(args) => show::run(args, context),
        Command::Diff(args) => diff::run(&args, context),
        Command::Cache(args) => cache::run(&args, context),
        Command::Schema(args) => schema::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}

/// Help and version are data; everything else is a usage error.
fn not_understood(error: &clap::Error, around: &ProcessEnvironment) -> u8 {
    let text = error.render();
    // it repeats what was given, and that may be an address with a password
    let (plain, coloured) = (cover(&text.to_string()), cover(&text.ansi().to_string()));
    let color = !around.variables.contains_key(EnvironmentVariable::NoColor.name());
    let printer = Printer::plain(color && around.stderr_is_terminal);
    if error.use_stderr() {
        printer.painted(plain.trim_end(), || coloured.trim_end().to_owned());
        return exit_code(Turn::Usage);
    }
    let is_coloured = color && around.stdout_is_terminal;
    match printer.help(&plain, is_coloured.then_some(&coloured)) {
        Ok(()) => 0,
        Err(error) => exit_code(Failure::from(error).kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_exit_with_2() {
        let around = ProcessEnvironment {
            variables: [("HOME", OsString::from("/nonexistent"))].into(),
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            width: None,
            processors: 1,
        };
        let code = |line: &str| run(line.split(' ').map(OsString::from), &around);
        for line in [
            "sockel",
            "sockel unknown",
            "sockel build --locked --refresh",
            "sockel lock --check --dry-run",
            "sockel build -o tape:0",
            "sockel build --platform linux/mips",
            "sockel build -q -v",
            "sockel build --threads 0",
            "sockel build --mirror ubuntu",
            "sockel build --bundle tape:0",
            "sockel bundle -o docker-archive:x",
        ] {
            assert_eq!(code(line), 2, "{line}");
        }
        assert_eq!(code("sockel --version"), 0);
        assert_eq!(code("sockel -C /nonexistent lock --check"), 1);
    }
}
