//! `sockel show`

mod text;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::show::text::ShowAnswer;
use crate::cli::show::text::print;
use crate::jobs;
use crate::jobs::show::ShowRequest;
use crate::values::Platform;

/// Show what an image consists of, and why
///
/// Packages come from the lock file. Layers and files come from the store, so build the image first.
///
/// Example: sockel show tomcat-11 --packages
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Platform [default: the first one of the image]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Show one path and the package, recipe or generator that it comes from
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Show the layers
    #[arg(long)]
    layers: bool,
    /// Show every package with its version, its source, and why it is needed
    #[arg(long)]
    packages: bool,
    /// Show the N largest files
    #[arg(long, value_name = "N")]
    largest: Option<usize>,
    /// Show what the check of the image found, and what recipes accept
    #[arg(long)]
    findings: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let request = ShowRequest {
        image: args.image,
        platform: args.platform,
        path: args.path,
        layers: args.layers,
        largest: args.largest,
        findings: args.findings,
    };
    let outcome = context.answer(jobs::show::run(&request, &context.session(None)?))?;
    print(&ShowAnswer::new(&outcome, args.packages), context)
}
