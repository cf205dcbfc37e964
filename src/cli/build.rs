//! `sockel build`

use crate::build;
use crate::build::Built;
use crate::build::Order;
use crate::build::output;
use crate::build::output::Output;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::lock;
use crate::cli::table::Side;
use crate::cli::table::human_size;
use crate::cli::table::human_time;
use crate::cli::table::table;
use crate::fetch;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use crate::recipe::Project;
use crate::report::Event;
use crate::store::Store;
use crate::tree::compress::Compression;
use crate::values::Platform;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use std::time::Instant;

/// Builds images from their locks and writes them out
///
/// Builds the named images and those that they stand on; without names, all. A lock that is missing or does not fit its
/// recipe any more is made anew, unless `--locked` forbids it.
///
/// Example: sockel build tomcat-11 --refresh -o oci:out
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image names [default: all]
    images: Vec<String>,
    /// Where to: oci:DIR, oci-archive:FILE or docker-archive:FILE (archives hold one image)
    #[arg(short, long, value_name = "OUTPUT", default_value = "oci:out")]
    output: Output,
    /// Only these platforms (repeatable) [default: all of each image]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<Platform>,
    /// Fail when a lock is missing or does not fit its recipe
    #[arg(long, conflicts_with = "refresh")]
    locked: bool,
    /// When archives have dropped locked packages, lock these images anew and build with what there is now
    #[arg(long)]
    refresh: bool,
    /// Layer format: gzip (read by everything) or zstd (smaller, faster)
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    compression: Compression,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let start = Instant::now();
    let project = Project::open(&context.settings.folder)?;
    let names: Vec<&str> = args.images.iter().map(String::as_str).collect();
    let definitions = lock::with_parents(&project, &names)?;
    let store = Store::open(&context.settings.store)?;
    let stale = lock::stale(&definitions, &context.settings.folder)?;
    if args.locked && !stale.is_empty() {
        return Err(lock::stale_failure(&stale));
    }
    for (image, reasons) in &stale {
        context.reporter.event(Event::Warning(format!("locking `{image}` anew: {}", reasons.join("; "))));
    }
    if !stale.is_empty() {
        relock(&project, &definitions, context, &store)?;
    }
    let options = build::Options {
        compression: args.compression,
        threads: context.settings.threads,
        platforms: args.platform.clone(),
        mirrors: context.settings.mirrors.clone(),
    };
    check_platforms(&definitions, &options)?;
    let once = || -> Result<_, Failure> {
        let locks = read(&definitions, context)?;
        let orders: Vec<Order<'_>> =
            definitions.iter().zip(&locks).map(|(definition, lock)| Order { definition, lock }).collect();
        Ok(build::build(&orders, &options, &store, &context.settings.http, context.reporter))
    };
    let images = match once()? {
        Err(build::Error::Fetch(fetch::Error::Gone { packages })) if args.refresh => {
            let gone = packages.join(", ");
            context.reporter.event(Event::Warning(format!("no archive has {gone} any more: locking anew")));
            relock(&project, &definitions, context, &store)?;
            once()??
        }
        other => other?,
    };
    let wanted = |built: &&Built| names.is_empty() || names.contains(&built.image.as_str());
    match &args.output {
        Output::Layout(_) => output::write(&args.output, &images, &store)?,
        _ => output::write(&args.output, &images.iter().filter(wanted).cloned().collect::<Vec<_>>(), &store)?,
    }
    let elapsed = start.elapsed();
    context.printer.data(&document(&images, &args.output, elapsed), || summary(&images, elapsed));
    if let (false, Some(last), Output::Layout(_)) = (context.printer.is_json(), images.last(), &args.output) {
        context.printer.next(&format!("sockel show {} --largest 10", last.image));
    }
    Ok(())
}

fn check_platforms(definitions: &[Definition], options: &build::Options) -> Result<(), Failure> {
    let empty = definitions.iter().find(|definition| build::platforms(definition, options).is_empty());
    match empty {
        Some(definition) => {
            let known: Vec<String> = definition.platforms.iter().map(ToString::to_string).collect();
            let message =
                format!("cannot build image `{}`: it is not made for the platforms asked for", definition.image);
            Err(Failure::usage(message).hint(format!("it is made for {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// Locks anew, writes the locks, and says loudly what changed.
fn relock(project: &Project, definitions: &[Definition], context: &Context<'_>, store: &Store) -> Result<(), Failure> {
    let outcomes = lock::relock(project, definitions, &[], context, store)?;
    lock::write(&outcomes, &context.settings.folder)?;
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_unchanged()) {
        let difference = outcome.difference.as_ref().map(|difference| format!(":\n{difference}")).unwrap_or_default();
        context.reporter.event(Event::Warning(format!(
            "wrote a new lock for `{}`; review and commit it{}",
            outcome.image,
            difference.trim_end()
        )));
    }
    Ok(())
}

fn read(definitions: &[Definition], context: &Context<'_>) -> Result<Vec<Lock>, Failure> {
    let read = |definition: &Definition| {
        let lock = lock::read_if_there(&context.settings.folder, &definition.image)?;
        lock.ok_or_else(|| Failure::user(format!("cannot build image `{}`: it has no lock", definition.image)))
    };
    definitions.iter().map(read).collect()
}

fn summary(images: &[Built], elapsed: Duration) -> String {
    use Side::Left;
    use Side::Right;
    let heading = ["image", "platform", "digest", "size", "layers", "new", "packages"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for built in images {
        for platform in &built.platforms {
            let new = platform.layers.len() - platform.reused;
            rows.push(vec![
                built.name(),
                platform.platform.to_string(),
                platform.manifest.0.short(),
                human_size(platform.size()),
                platform.layers.len().to_string(),
                new.to_string(),
                platform.packages.to_string(),
            ]);
        }
    }
    let sides = [Left, Left, Left, Right, Right, Right, Right];
    format!("{}done in {}\n", table(&sides, &rows), human_time(elapsed))
}

fn document(images: &[Built], output: &Output, elapsed: Duration) -> Value {
    let layer = |layer: &crate::image::Layer| {
        json!({ "digest": layer.blob.digest, "diff-id": layer.blob.diff_id, "size": layer.blob.size,
                "uncompressed": layer.blob.uncompressed, "what": layer.what })
    };
    let platform = |platform: &build::BuiltPlatform| {
        json!({ "platform": platform.platform, "manifest": platform.manifest.0, "config": platform.config.0,
                "size": platform.size(), "packages": platform.packages, "layers-reused": platform.reused,
                "layers": platform.layers.iter().map(layer).collect::<Vec<_>>() })
    };
    let image = |built: &Built| {
        json!({ "image": built.image, "version": built.version, "tags": built.tags, "digest": built.index.0,
                "new": built.new, "platforms": built.platforms.iter().map(platform).collect::<Vec<_>>() })
    };
    json!({ "images": images.iter().map(image).collect::<Vec<_>>(), "output": output.to_string(),
            "milliseconds": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) })
}
