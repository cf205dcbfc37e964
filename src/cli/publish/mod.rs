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

/// Publish images to a registry, past Harbor's scanner, or into an OCI layout folder
///
/// Builds what is not built, from the lock files as they are. With a Harbor, images are pushed by digest, scanned, judged
/// by the gate of `base-images/registry.yaml`, promoted to the release project, and get their tags last. With any other
/// registry there is no scan, which is said. What is there already is not sent again.
///
/// Example: sockel publish tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to publish; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to: `https://HOST/PROJECT` or `oci:DIR`; instead of the target and projects of the registry file
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Create Harbor's projects with their rules, quotas and robots instead of publishing; may be repeated. Needs an
    /// administrator's login, from the environment or Docker's configuration
    #[arg(long, conflicts_with_all = ["images", "to"])]
    setup: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Let tags go back to an older state, for this reason; without it an image whose tags stand for a newer state is left
    /// alone
    #[arg(long, value_name = "REASON", conflicts_with = "setup")]
    accept_older_release: Option<String>,
    /// Take all packages from this bundle, and nothing from archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<BundleLocation>,
    #[command(flatten)]
    write_back: WriteBackArgs,
}

/// Which Git checkout is told about published images.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WriteBackArgs {
    /// Put the digests of the published images into the Kustomize files, Helm values and manifests of this folder of a
    /// Git checkout, and commit them; references under other tags are left alone
    #[arg(long, value_name = "DIR")]
    write_back: Option<PathBuf>,
    /// Author of that commit, `NAME <MAIL>` [default: Git's own configuration]
    #[arg(long, value_name = "AUTHOR", requires = "write_back")]
    write_back_author: Option<String>,
    /// Push that commit with the checkout's own remote and branch
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
