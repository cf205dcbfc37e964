//! `sockel rebase`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::jobs;
use crate::jobs::rebase::RebaseRequest;
use crate::rebase::RebaseResult;
use crate::rebase::RebaseState;
use crate::rebase::files;
use crate::values::shown::shown;
use std::path::PathBuf;

/// Move an application image onto a patched base image without rebuilding it
///
/// IMAGE is an image that any builder built `FROM` one of our base images: `HOST/REPOSITORY:TAG` (or `@DIGEST`), or
/// `oci:DIR:NAME`. Its lowest layers must be exactly those of an image in the base image's repository. sockel replaces them
/// with the layers of the newest image there that has the same name and parameters. The application's own layers keep their
/// digests, and settings that it inherited unchanged follow the new base image. Within one registry, no layer is sent.
///
/// sockel finds the base image's repository from the image's annotations if they name the same registry or that of the
/// registry file, otherwise from the inherited label with the base image's name, otherwise from `--base` or `--onto`. All
/// objections are reported together (exit code 4).
///
/// Example: sockel rebase oci:shop:web:1.4 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// New base image [default: the newest compatible one]
    #[arg(long, value_name = "BASE-IMAGE")]
    onto: Option<String>,
    /// Repository of its base images: HOST/REPOSITORY or oci:DIR
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "onto")]
    base: Option<String>,
    /// Tag for the result; may be repeated [default: the image's own]
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Allow a base image that is older than the current one
    #[arg(long, requires = "onto")]
    older: bool,
    /// Read layers to find files that both the application and the base image's patches change. `auto` does so if at most
    /// 200 MB must be downloaded, and says if it does not
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    check_files: CheckFiles,
    /// Registry file [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Show what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// When layers are read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CheckFiles {
    Auto,
    Always,
    Never,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let request = RebaseRequest {
        image: args.image,
        onto: args.onto,
        base: args.base,
        tags: args.tags,
        older: args.older,
        check_files: match args.check_files {
            CheckFiles::Auto => files::FileCheckMode::Auto,
            CheckFiles::Always => files::FileCheckMode::Always,
            CheckFiles::Never => files::FileCheckMode::Never,
        },
        dry_run: args.dry_run,
    };
    let session = context.session(args.registry.as_deref())?;
    print(&context.answer(jobs::rebase::run(&request, &session))?, context)
}

fn print(rebased: &RebaseResult, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    for note in &rebased.notes {
        printer.warn(&shown(note));
    }
    if printer.is_json() {
        return Ok(printer.json(rebased)?);
    }
    let mut table = Table::new(&[
        ("platform", Column::Text),
        ("kept", Column::Number),
        ("replaced", Column::Number),
        ("to pull", Column::Number),
        ("of", Column::Number),
        ("old", Column::Digest),
        ("new", Column::Digest),
    ]);
    for platform in &rebased.platforms {
        table.row([
            platform.platform.clone(),
            platform.kept.to_string(),
            platform.replaced.to_string(),
            size(platform.pull_bytes),
            size(platform.total_bytes),
            platform.old.to_string(),
            platform.new.to_string(),
        ]);
    }
    printer.data(&table.render(printer.width()))?;
    printer.note(&shown(&closing(rebased)));
    Ok(())
}

fn closing(rebased: &RebaseResult) -> String {
    let RebaseResult { image, base, new, .. } = rebased;
    let mut text = match rebased.state {
        RebaseState::UpToDate => format!("{image} stands on {base} already"),
        RebaseState::Rebased => format!("{image} stands on {base} now: {new}"),
        RebaseState::WouldRebase => format!("{image} would stand on {base}: {new}"),
    };
    if let Some(transfer) = &rebased.transfer {
        text += &format!(
            "; blobs: {} mounted, {} there, {} sent",
            transfer.mounted.count, transfer.skipped.count, transfer.uploaded.count
        );
    }
    if !rebased.tags.is_empty() {
        let verb = if rebased.state == RebaseState::WouldRebase { "tags to move" } else { "tags moved" };
        text += &format!("; {verb}: {}", rebased.tags.join(", "));
    }
    text
}
