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
/// IMAGE is an image that was built `FROM` one of ours, by whatever builder: `https://HOST/REPOSITORY:TAG` (or `@DIGEST`),
/// or `oci:DIR:NAME`. Its layers must begin with exactly the layers of an image in the base's repository; it then gets the
/// newest image there that has the same name and the same parameters as base. Its own layers stay the same digests, and
/// settings that it inherited unchanged follow the new base. Where both live in one registry, no layer is sent.
///
/// The base's repository comes from the image's annotations, when it is in the same registry or that of the registry
/// file, else from the inherited label with the name of our image, else from `--base` or `--onto`. Everything that speaks
/// against the move is told at once (exit code 4).
///
/// Example: sockel rebase oci:shop:web:1.4 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new base, instead of the newest compatible one
    #[arg(long, value_name = "BASE-IMAGE")]
    onto: Option<String>,
    /// Where its bases are: https://HOST/REPOSITORY or oci:DIR
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "onto")]
    base: Option<String>,
    /// Tag for the result, instead of the image's own; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Allow the named base to be older than the one that the image stands on
    #[arg(long, requires = "onto")]
    older: bool,
    /// Read layers to find out whether the image replaces files that the base's patches change: `auto` does when at most
    /// 200 MB must be fetched, and says when it does not
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    check_files: CheckFiles,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Only say what would be done
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
