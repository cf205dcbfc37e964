//! `sockel show`

use crate::build;
use crate::build::Order;
use crate::build::record;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Target;
use crate::cli::show::text::print;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::image::Layer;
use crate::layer::unpack;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use crate::store::Store;
use crate::tree::Contents;
use crate::tree::Entry;
use crate::tree::compress::Compression;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::sync::Arc;

mod text;

/// Show what an image consists of, and why
///
/// Packages come from the lock file; layers and files from the store, so build the image first.
///
/// Example: sockel show tomcat-11 --packages
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The platform; the first one of the image when none is named
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Show one path: what it is, and which package, recipe or generator it comes from
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Show the layers
    #[arg(long)]
    layers: bool,
    /// Show every package with its version, where it comes from, and why it is there
    #[arg(long)]
    packages: bool,
    /// Show the N largest files
    #[arg(long, value_name = "N")]
    largest: Option<usize>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(std::slice::from_ref(&args.image))?;
    let mut locks = BTreeMap::new();
    for definition in &definitions {
        let name = &definition.image;
        let missing = || {
            Failure::new(Kind::Input, format!("cannot show `{name}`: it has no lock file"))
                .hint(format!("run `sockel lock {name}`"))
        };
        locks.insert(name.clone(), workspace.lock(name)?.ok_or_else(missing)?);
    }
    let orders: Vec<Order<'_>> =
        definitions.iter().map(|definition| Order { definition, lock: &locks[&definition.image] }).collect();
    let order = orders.iter().find(|order| order.definition.image == args.image);
    let order =
        order.ok_or_else(|| Failure::new(Kind::Internal, "the image asked for is not among the definitions"))?;
    let platform = platform(args, order.definition)?;
    let mut answer = text::Answer::new(order, platform, args.packages);
    if args.layers {
        answer.layers = Some(layers(&orders, order, platform, context)?);
    }
    if args.path.is_some() || args.largest.is_some() {
        let entries = entries(order, platform, context)?;
        let wanted = |path: &String| path.trim_matches('/').to_owned();
        if let Some(path) = args.path.as_ref().map(wanted) {
            let found = entries.iter().find(|entry| entry.path == path);
            let failure = || Failure::new(Kind::Input, format!("cannot show `/{path}`: the image has no such path"));
            answer.path = Some(found.cloned().ok_or_else(failure)?);
        }
        if let Some(number) = args.largest {
            answer.largest = Some(largest(entries, number));
        }
    }
    print(&answer, context)
}

fn platform(args: &Args, definition: &Definition) -> Result<Platform, Failure> {
    let known = &definition.platforms;
    match args.platform.or_else(|| known.first().copied()).filter(|platform| known.contains(platform)) {
        Some(platform) => Ok(platform),
        None => {
            let names: Vec<String> = known.iter().map(ToString::to_string).collect();
            let message = format!("cannot show `{}`: it is not built for this platform", definition.image);
            Err(Failure::new(Kind::Input, message).hint(format!("there are {}", names.join(", "))))
        }
    }
}

fn not_built(image: &str) -> Failure {
    let message = format!("cannot show `{image}`: the store does not have all of it");
    Failure::new(Kind::Input, message).hint(format!("run `sockel build {image}`"))
}

/// Returns the layers from the bottom up, as they were built last with this lock.
fn layers(
    orders: &[Order<'_>],
    wanted: &Order<'_>,
    platform: Platform,
    context: &Context,
) -> Result<Vec<Layer>, Failure> {
    let hands = Hands::new(context)?;
    let anywhere = Target::open(None, None, context)?.layers();
    for compression in [Compression::Gzip, Compression::Zstd] {
        for platforms in [Vec::new(), vec![platform]] {
            let mirrors = hands.mirrors.clone();
            let options = build::Options {
                compression,
                threads: 1,
                images: Vec::new(),
                platforms,
                layers: build::Whereabouts::Here,
                mirrors,
            };
            let keys = orders.iter().zip(build::keys(orders, &options));
            let key = keys.into_iter().find(|(order, _)| order.definition.image == wanted.definition.image);
            let built = key.and_then(|(_, key)| record::find(&key, anywhere, &hands.store));
            let found = built.and_then(|built| built.platforms.into_iter().find(|built| built.platform == platform));
            if let Some(found) = found {
                return Ok(found.layers);
            }
        }
    }
    Err(not_built(&wanted.definition.image))
}

/// Returns every path of the image.
fn entries(order: &Order<'_>, platform: Platform, context: &Context) -> Result<Vec<Entry>, Failure> {
    let store = Store::open(&context.settings.store)?;
    let Order { definition, lock } = order;
    let unpacked = unpacked(lock, platform, &store).ok_or_else(|| not_built(&definition.image))?;
    let contents = Contents::new(&store);
    Ok(build::assemble(order, platform, &unpacked, &contents)?.whole.iter().cloned().collect())
}

fn unpacked(lock: &Lock, platform: Platform, store: &Store) -> Option<BTreeMap<Digest, Arc<unpack::Unpacked>>> {
    let found = |digest: Digest| Some((digest, Arc::new(unpack::find(&digest, store)?)));
    lock.packages(platform).map(|package| found(package.sha256)).collect()
}

fn largest(mut entries: Vec<Entry>, number: usize) -> Vec<Entry> {
    let size = |entry: &Entry| entry.content().map_or(0, |content| content.size);
    entries.sort_by_key(|entry| (std::cmp::Reverse(size(entry)), entry.path.clone()));
    entries.truncate(number);
    entries
}
