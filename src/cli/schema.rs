//! `sockel schema`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::recipe::SchemaKind;
use crate::recipe::json_schema;
use clap::ValueEnum;

/// Print the JSON Schema of a kind of file, for editors
///
/// Example: sockel schema recipe > docs/schema/recipe.json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kind of file
    #[arg(value_enum)]
    kind: KindOfFile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindOfFile {
    /// recipes/NAME.yaml
    Recipe,
    /// base-images/NAME.yaml
    BaseImage,
    /// recipes/scripts.yaml
    Scripts,
    /// base-images/registry.yaml
    Registry,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let kind = match args.kind {
        KindOfFile::Recipe => SchemaKind::Recipe,
        KindOfFile::BaseImage => SchemaKind::BaseImage,
        KindOfFile::Scripts => SchemaKind::Ledger,
        KindOfFile::Registry => SchemaKind::Registry,
    };
    Ok(context.printer.data(&json_schema(kind))?)
}
