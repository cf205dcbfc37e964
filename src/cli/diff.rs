//! `sockel diff`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::table::printable;
use crate::cli::workspace::lock_path;
use crate::lock;
use crate::lock::file::Lock;
use std::path::PathBuf;

/// Show what changed between two lock files
///
/// Each side is the path of a lock file, or the name of an image, which stands for its lock file in the project.
///
/// Example: git show HEAD~1:base-images/java.lock.yaml > /tmp/old.yaml; sockel diff /tmp/old.yaml java
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The side before
    #[arg(value_name = "A")]
    before: String,
    /// The side after
    #[arg(value_name = "B")]
    after: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let difference = lock::diff::diff(&read(&args.before, context)?, &read(&args.after, context)?);
    let printer = &context.printer;
    if printer.is_json() {
        return Ok(printer.json(&difference)?);
    }
    for line in difference.to_string().lines() {
        printer.data(&(printable(line) + "\n"))?;
    }
    if difference.is_empty() {
        printer.note("no difference that matters");
    }
    Ok(())
}

/// Reads one side: `NAME`, `NAME@lock` or a path.
fn read(side: &str, context: &Context) -> Result<Lock, Failure> {
    let name = side.strip_suffix("@lock");
    let is_path = name.is_none() && (side.contains('/') || side.ends_with(".yaml"));
    let path = if is_path { PathBuf::from(side) } else { lock_path(&context.settings.directory, name.unwrap_or(side)) };
    Lock::read(&path).map_err(|error| match error {
        lock::Error::File(error) if error.is_missing() && !is_path => {
            let message = format!("cannot compare `{side}`: there is no lock file `{}`", path.display());
            Failure::new(Kind::Input, message).hint("name a lock file, or an image that is locked")
        }
        error => error.into(),
    })
}
