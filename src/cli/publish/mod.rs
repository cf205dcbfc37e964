//! `sockel publish`

mod answer;

pub(crate) use answer::PublishAnswer;

use crate::bundle::BundleLocation;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::fault::Turn;
use crate::jobs;
use crate::jobs::publish::PublishRequest;
use crate::jobs::publish::WriteBackRequest;
use std::path::PathBuf;

/// Publish images to a registry, with Harbor's scan and a gate, or to an OCI layout folder
///
/// Builds images that are not built yet, from the lock files as they are. With Harbor, sockel pushes each image by digest,
/// scans it, applies the gate of `base-images/registry.yaml`, promotes it to the release project, and sets its tags last.
/// Other registries have no scanner; sockel warns that nothing was scanned. Existing blobs are not sent again.
///
/// Example: sockel publish tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to publish [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Publish to `https://HOST/PROJECT` or `oci:DIR` instead of the target and projects in the registry file
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Registry file [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Instead of publishing, set up Harbor's projects with rules, quotas and robot accounts; safe to repeat. Needs an
    /// administrator's login, from the environment or Docker's configuration
    #[arg(long, conflicts_with_all = ["images", "to"])]
    setup: bool,
    /// Show what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Allow tags to move back to an older state, and state why. By default images with newer published tags are left
    /// unchanged
    #[arg(long, value_name = "REASON", conflicts_with = "setup")]
    accept_older_release: Option<String>,
    /// Take all packages from this bundle instead of the archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<BundleLocation>,
    #[command(flatten)]
    write_back: WriteBackArgs,
}

/// Which Git checkout is told about published images.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WriteBackArgs {
    /// Write the digests of published images into the Kustomize files, Helm values and manifests below this folder of a Git
    /// checkout, and commit them. References with other tags stay unchanged
    #[arg(long, value_name = "DIR")]
    write_back: Option<PathBuf>,
    /// Author of that commit, `NAME <MAIL>` [default: from Git's configuration]
    #[arg(long, value_name = "AUTHOR", requires = "write_back")]
    write_back_author: Option<String>,
    /// Push that commit to the remote and branch of the checkout
    #[arg(long, requires = "write_back")]
    write_back_push: bool,
}

impl WriteBackArgs {
    /// Returns what these flags ask for.
    pub(crate) fn request(self) -> Option<WriteBackRequest> {
        let folder = self.write_back?;
        Some(WriteBackRequest { folder, author: self.write_back_author, push: self.write_back_push })
    }
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let session = context.session(args.registry.as_deref())?;
    let write_back = args.write_back.request();
    if args.setup {
        if write_back.is_some() {
            return Err(Failure::new(Turn::Usage, "cannot write back digests: nothing is published"));
        }
        let steps = context.answer(jobs::setup::run(args.dry_run, &session))?;
        return answer::setup(&steps, &context.printer);
    }

    let request = PublishRequest {
        images: args.images,
        to: args.to,
        dry_run: args.dry_run,
        accept_older_release: args.accept_older_release,
        bundle: args.bundle,
        write_back,
    };
    let outcome = context.answer(jobs::publish::run(&request, &session))?;
    PublishAnswer::new(outcome, context.printer.elapsed()).print(&context.printer)
}
