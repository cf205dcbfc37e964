//! `sockel build`

use crate::build;
use crate::build::Order;
use crate::build::output;
use crate::build::output::Output;
use crate::bundle::Place;
use crate::cli::Context;
use crate::cli::bundle;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Target;
use crate::cli::summary::Summary;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Relock;
use crate::cli::workspace::Workspace;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use crate::tree::compress::Compression;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

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
    bundle: Option<Place>,
    /// Format of the layers: gzip (read by every consumer) or zstd (smaller and faster)
    #[arg(long, value_name = "FORMAT", default_value = "gzip", value_parser = ["gzip", "zstd"])]
    compression: String,
}

/// Where images go when nobody says so.
const USUAL_OUTPUT: &str = "out";

impl Args {
    /// Returns where to write.
    fn outputs(&self) -> Result<Vec<Output>, Failure> {
        if !self.output.is_empty() {
            return Ok(self.output.clone());
        }
        output::check_unnamed(Path::new(USUAL_OUTPUT))?;
        Ok(vec![Output::Layout(USUAL_OUTPUT.into())])
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let outputs = args.outputs()?;
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    let wanted = if args.images.is_empty() { definitions.len() } else { args.images.len() };
    if wanted != 1 && outputs.iter().any(|output| !matches!(output, Output::Layout(_))) {
        return Err(Failure::new(Kind::Usage, "cannot write several images into an archive: it holds one")
            .hint("name one image, or write a layout with `-o oci:DIR`"));
    }
    let hands = Hands::new(context)?;
    let mut locks = locks(args, &workspace, &definitions, &hands, context)?;
    let options = build::Options {
        compression: if args.compression == "zstd" { Compression::Zstd } else { Compression::Gzip },
        threads: context.settings.threads,
        images: Vec::new(),
        platforms: args.platform.clone(),
        layers: build::Whereabouts::Here,
        mirrors: hands.mirrors.clone(),
    };
    let offline = match &args.bundle {
        Some(place) => Some(bundle::supply(place, (&definitions, &locks), &args.platform, &hands, context)?),
        None => None,
    };
    let http = offline.as_ref().unwrap_or(&hands.http);
    if args.bundle.is_none() {
        let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
        let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
        Target::open(None, None, context)?.take(&orders, &options, (&hands, true), context)?;
    }
    let ledger = workspace.ledger()?;
    let once = |locks: &BTreeMap<String, Lock>| {
        let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
        let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
        let built = build::build(&orders, &options, hands.equipment(http, ledger));
        hands.progress.close();
        built
    };
    let built = match once(&locks) {
        Err(error) if args.refresh && asks_for_new_locks(&error) => {
            error.to_string().lines().for_each(|line| context.printer.warn(line.trim()));
            context.printer.warn("locking anew");
            let how = Relock { locked_states: false, pockets: &BTreeSet::new(), accept_older: false };
            workspace.renew(&definitions, &mut locks, &how, &hands)?;
            once(&locks).map_err(build::Error::just_listed)
        }
        other => other.map_err(|error| workspace.explained(error, &definitions, &locks, &hands)),
    }?;
    for output in &outputs {
        match output::write(output, &built, &hands.store) {
            // the damaged part was taken out of the store
            Err(error) if error.is_damage() => {
                context.printer.warn(&format!("{error}: making it again"));
                once(&locks)?;
                output::write(output, &built, &hands.store)?;
            }
            other => other?,
        }
    }
    let outputs = outputs.iter().map(ToString::to_string).collect();
    Summary::new(&built, outputs, context.printer.elapsed()).print(&context.printer)
}

/// Tells whether the archives have dropped or superseded what is locked, so that another choice may do.
fn asks_for_new_locks(error: &build::Error) -> bool {
    match error {
        build::Error::Fetch(error) => !error.gone().is_empty(),
        build::Error::Proof(error) => error.asks_for_new_locks(),
        _ => false,
    }
}

/// Returns a lock for every definition, made anew where needed and allowed.
fn locks(
    args: &Args,
    workspace: &Workspace<'_>,
    definitions: &[Definition],
    hands: &Hands,
    context: &Context,
) -> Result<BTreeMap<String, Lock>, Failure> {
    if args.locked || args.bundle.is_some() {
        return workspace.fresh_locks(definitions);
    }
    let mut locks = workspace.locks(definitions)?;
    // a parent's new lock may make its children stale, so look again after each round; they are as many as images
    for _ in 0..=definitions.len() {
        let stale = workspace.stale(definitions, &locks)?;
        let wanted = definitions.iter().filter(|definition| stale.contains_key(&definition.image));
        let wanted: Vec<Definition> = wanted.cloned().collect();
        if wanted.is_empty() {
            break;
        }
        for (image, reasons) in stale {
            context.printer.warn(&format!("locking {image} anew: {}", reasons.join("; ")));
        }
        let how = Relock { locked_states: true, pockets: &BTreeSet::new(), accept_older: false };
        workspace.renew(&wanted, &mut locks, &how, hands)?;
    }
    Ok(locks)
}
