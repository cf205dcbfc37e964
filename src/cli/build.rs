//! `sockel build`

use crate::build::output::Output;
use crate::bundle::BundleLocation;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::summary::BuildAnswer;
use crate::jobs;
use crate::jobs::build::BuildRequest;
use crate::jobs::build::LockUse;
use crate::tree::compress::Compression;
use crate::values::Platform;

/// Build images from their lock files
///
/// Downloads missing packages, assembles the layers and writes the images. If nothing changed, there is nothing to do.
/// Images without a lock file, or with one that no longer matches the recipes, are locked first.
///
/// Example: sockel build tomcat-11 --locked -o oci:out
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to build [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Output: oci:DIR, oci-archive:FILE or docker-archive:FILE; may be repeated [default: oci:out]
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<Output>,
    /// Build this platform only, such as linux/amd64; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
    /// Fail if a lock file is missing or does not match the recipes
    #[arg(long, conflicts_with = "refresh")]
    locked: bool,
    /// If the archives have dropped or superseded locked packages, update the lock files and build with current packages
    #[arg(long)]
    refresh: bool,
    /// Take all packages from this bundle instead of the archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG. The lock files must match the recipes
    #[arg(long, value_name = "BUNDLE", conflicts_with = "refresh")]
    bundle: Option<BundleLocation>,
    /// Layer compression: gzip (supported everywhere) or zstd (smaller and faster)
    #[arg(long, value_name = "FORMAT", default_value = "gzip", value_parser = ["gzip", "zstd"])]
    compression: String,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let request = BuildRequest {
        images: args.images,
        outputs: args.output,
        platforms: args.platform,
        locks: match (args.locked, args.refresh) {
            (true, _) => LockUse::AsTheyAre,
            (false, true) => LockUse::Refresh,
            (false, false) => LockUse::RenewStale,
        },
        bundle: args.bundle,
        compression: if args.compression == "zstd" { Compression::Zstd } else { Compression::Gzip },
    };
    let built = context.answer(jobs::build::run(&request, &context.session(None)?))?;

    let outputs = built.outputs.iter().map(ToString::to_string).collect();
    BuildAnswer::new(&built, outputs, context.printer.elapsed()).print(&context.printer)
}
