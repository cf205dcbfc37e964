//! `sockel diff`

use crate::cli::Context;
use crate::cli::connect::Connections;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::table::size;
use crate::cli::workspace::Hands;
use crate::cli::workspace::lock_path;
use crate::image::snapshot;
use crate::image::snapshot::Change;
use crate::image::snapshot::Difference;
use crate::image::snapshot::Snapshot;
use crate::lock;
use crate::lock::file::Lock;
use crate::oci::registry::address::Address;
use crate::recipe::RegistryFile;
use crate::sys::http;
use crate::values::Platform;
use crate::values::shown::shown;
use std::path::Path;
use std::path::PathBuf;

/// Show what changed between two images, or between two lock files
///
/// An image is written `NAME:TAG` and looked for in a layout, or `https://HOST/REPOSITORY:TAG` (or `@DIGEST`) and pulled
/// into the store: packages, files, settings, and the bytes that a consumer must pull again. A lock file is written as its path, or as the name of an image, which stands for its lock file in
/// the project.
///
/// Example: sockel diff java-25:25 tomcat-11:11
///
/// Example: git show HEAD~1:base-images/java-25.lock.yaml > /tmp/old.yaml; sockel diff /tmp/old.yaml java-25
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The side before
    #[arg(value_name = "A")]
    before: String,
    /// The side after
    #[arg(value_name = "B")]
    after: String,
    /// OCI layout that holds the images
    #[arg(long, value_name = "DIR", default_value = "out")]
    layout: PathBuf,
    /// OCI layout that holds image A, where it is another one
    #[arg(long, value_name = "DIR")]
    old_layout: Option<PathBuf>,
    /// Platform to compare; the first one of each image when none is named
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let is_image = |side: &str| side.contains(':');
    match (is_image(&args.before), is_image(&args.after)) {
        (true, true) => images(args, context),
        (false, false) => locks(args, context),
        _ => Err(Failure::new(Kind::Usage, "cannot compare an image with a lock file")
            .hint("write both as `NAME:TAG`, or both as names or paths of lock files")),
    }
}

fn images(args: &Args, context: &Context) -> Result<(), Failure> {
    let old_layout = args.old_layout.as_ref().unwrap_or(&args.layout);
    let read = |layout: &PathBuf, side: &str| {
        if side.starts_with("https://") || side.starts_with("http://") {
            pulled(side, args.platform, context)
        } else {
            Ok(Snapshot::read(layout, side, args.platform)?)
        }
    };
    let old = read(old_layout, &args.before)?;
    let new = read(&args.layout, &args.after)?;
    let difference = snapshot::compare(&old, &new);
    let printer = &context.printer;
    if printer.is_json() {
        return Ok(printer.json(&difference)?);
    }
    let Difference { settings, packages, files, pull_bytes, total_bytes } = &difference;
    for (title, changes, slash) in [("settings", settings, ""), ("packages", packages, ""), ("files", files, "/")] {
        if !changes.is_empty() {
            printer.data(&format!("{title}: {} changed\n", changes.len()))?;
        }
        for change in changes {
            let change = Change { name: format!("{slash}{}", change.name), ..change.clone() };
            printer.data(&format!("  {}\n", shown(&change.to_string())))?;
        }
    }
    Ok(printer.data(&format!("pull: {} of {}\n", size(*pull_bytes), size(*total_bytes)))?)
}

/// Reads an image of a registry; what the store has of it is not fetched.
fn pulled(side: &str, platform: Option<Platform>, context: &Context) -> Result<Snapshot, Failure> {
    let no_image = || {
        Failure::new(Kind::Usage, format!("cannot read image `{}`: it names no tag or digest", http::mask(side)))
            .hint("write it as `https://HOST/REPOSITORY:TAG` or `https://HOST/REPOSITORY@sha256:…`")
    };
    let name = side.rfind('/').map_or(0, |slash| slash + 1);
    let end = side[name..].find(['@', ':']).map(|end| name + end).ok_or_else(no_image)?;
    let (address, reference) = (&side[..end], &side[end + 1..]);
    let file = RegistryFile::of_project(&context.settings.directory)?.unwrap_or_default();
    let Address::Registry { url, prefix } = Address::parse(address, &file.insecure)? else { return Err(no_image()) };
    let hands = Hands::new(context)?;
    let connections = Connections::open(&url, false, &file, context)?;
    let registry = connections.registry();
    let pulled = hands.http.block_on(registry.pull(&prefix, reference, hands.store.folder(), &hands.progress));
    hands.progress.close();
    Ok(Snapshot::of(hands.store.folder(), side, &pulled??, platform)?)
}

fn locks(args: &Args, context: &Context) -> Result<(), Failure> {
    let difference = lock::diff::diff(&read(&args.before, context)?, &read(&args.after, context)?);
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

/// Reads one side: a name or a path.
fn read(side: &str, context: &Context) -> Result<Lock, Failure> {
    let is_path = side.contains('/') || side.ends_with(".yaml");
    let project = &context.settings.directory;
    let lock = if is_path { Lock::read(Path::new(side)) } else { Lock::of_project(project, side) };
    lock.map_err(|error| match error {
        lock::Error::File(error) if error.is_missing() && !is_path => {
            let path = lock_path(project, side);
            let message = format!("cannot compare `{side}`: there is no lock file `{}`", path.display());
            Failure::new(Kind::Input, message).hint("name a lock file, or an image that is locked")
        }
        error => error.into(),
    })
}
