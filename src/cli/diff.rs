//! `sockel diff`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::size;
use crate::fault::Turn;
use crate::image::snapshot::ImageChange;
use crate::image::snapshot::ImageDifference;
use crate::jobs;
use crate::jobs::diff::DiffRequest;
use crate::jobs::diff::ImageSource;
use crate::values::Platform;
use crate::values::shown::shown;
use std::path::Path;
use std::path::PathBuf;

/// Show what changed between two images, or between two lock files
///
/// For images, shows changed packages, files and settings, and how many bytes a consumer must pull again. An image is
/// `NAME:TAG` in a layout, or `HOST/REPOSITORY:TAG` (or `@DIGEST`), which is pulled into the store. A lock file is a
/// path, or the name of an image in the project.
///
/// Example: sockel diff java-25:25 tomcat-11:11
///
/// Example: git show HEAD~1:base-images/java-25.lock.yaml > /tmp/old.yaml; sockel diff /tmp/old.yaml java-25
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The older image or lock file
    #[arg(value_name = "A")]
    before: String,
    /// The newer image or lock file
    #[arg(value_name = "B")]
    after: String,
    /// OCI layout with the images
    #[arg(long, value_name = "DIR", default_value = "out")]
    layout: PathBuf,
    /// OCI layout with image A, if it is a different one
    #[arg(long, value_name = "DIR")]
    old_layout: Option<PathBuf>,
    /// Platform to compare [default: the first one of each image]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match (is_image(&args.before), is_image(&args.after)) {
        (true, true) => images(args, context),
        (false, false) => locks(args, context),
        _ => Err(Failure::new(Turn::Usage, "cannot compare an image with a lock file")
            .hint("write both as `NAME:TAG`, or both as names or paths of lock files")),
    }
}

fn is_image(side: &str) -> bool {
    side.contains(':')
}

fn images(args: &Args, context: &Context) -> Result<(), Failure> {
    let old_layout = args.old_layout.as_ref().unwrap_or(&args.layout);
    let request = DiffRequest {
        before: source(&args.before, old_layout),
        after: source(&args.after, &args.layout),
        platform: args.platform,
    };
    let difference = context.answer(jobs::diff::images(&request, &context.session(None)?))?;

    let printer = &context.printer;
    if printer.is_json() {
        return Ok(printer.json(&difference)?);
    }
    let ImageDifference { settings, packages, files, pull_bytes, total_bytes } = &difference;
    for (title, changes, slash) in [("settings", settings, ""), ("packages", packages, ""), ("files", files, "/")] {
        if !changes.is_empty() {
            printer.data(&format!("{title}: {} changed\n", changes.len()))?;
        }
        for change in changes {
            let change = ImageChange { name: format!("{slash}{}", change.name), ..change.clone() };
            printer.data(&format!("  {}\n", shown(&change.to_string())))?;
        }
    }
    Ok(printer.data(&format!("pull: {} of {}\n", size(*pull_bytes), size(*total_bytes)))?)
}

fn source(side: &str, layout: &Path) -> ImageSource {
    // names in a layout have no slash
    if side.contains('/') {
        ImageSource::Registry(side.to_owned())
    } else {
        ImageSource::Layout { folder: layout.to_owned(), name: side.to_owned() }
    }
}

fn locks(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = &context.settings.directory;
    let difference = context.answer(jobs::diff::locks(&args.before, &args.after, project))?;

    let printer = &context.printer;
    if printer.is_json() {
        return Ok(printer.json(&difference)?);
    }
    for line in difference.to_string().lines() {
        printer.data(&(shown(line) + "\n"))?;
    }
    if difference.is_empty() {
        printer.note("no difference that matters");
    }
    Ok(())
}
