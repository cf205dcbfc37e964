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
/// Fetches what the store does not have, makes the layers, and writes the images. Without a change nothing is done.
/// Images without a lock file, or with one that does not answer the recipes any more, are locked first.
///
/// Example: sockel build tomcat-11 --locked -o oci:out
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to build; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to write: oci:DIR, oci-archive:FILE or docker-archive:FILE; may be repeated [default: oci:out]
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<Output>,
    /// Build only this platform, such as linux/amd64; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
    /// Refuse to build when a lock file is missing or does not answer the recipes
    #[arg(long, conflicts_with = "refresh")]
    locked: bool,
    /// When archives have dropped packages that are locked, lock these images anew and build them with what there is
    #[arg(long)]
    refresh: bool,
    /// Take all packages from this bundle, and nothing from archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG. The locks must answer the recipes
    #[arg(long, value_name = "BUNDLE", conflicts_with = "refresh")]
    bundle: Option<BundleLocation>,
    /// Format of the layers: gzip (read by every consumer) or zstd (smaller and faster)
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
    BuildAnswer::new(&built.images, outputs, context.printer.elapsed()).print(&context.printer)
}
