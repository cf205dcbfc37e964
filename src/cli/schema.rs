//! `sockel schema` and `sockel completions`

use crate::cli::Arguments;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::recipe::SchemaKind;
use crate::recipe::json_schema;
use clap::CommandFactory;
use clap::ValueEnum;

/// Prints the JSON Schema of a file format, for editors
///
/// Example: sockel schema recipe > recipe.json
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which file
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum File {
    /// `recipes/*.yaml`
    Recipe,
    /// `base-images/*.yaml`
    BaseImage,
    /// `recipes/scripts.yaml`
    Scripts,
}

/// Prints the completion script of a shell
///
/// Example: sockel completions bash > /etc/bash_completion.d/sockel
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let kind = match args.file {
        File::Recipe => SchemaKind::Recipe,
        File::BaseImage => SchemaKind::BaseImage,
        File::Scripts => SchemaKind::Ledger,
    };
    printer.text(&json_schema(kind));
    Ok(())
}

pub(super) fn completions(args: &CompletionsArgs, printer: Printer) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "sockel", &mut script);
    printer.text(&String::from_utf8_lossy(&script));
    Ok(())
}
