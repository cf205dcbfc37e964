//! `sockel cache`

use crate::build;
use crate::build::Order;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Target;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::fetch::states::StateFiles;
use crate::layer;
use crate::lock::file::Lock;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::tree::compress::Compression;
use crate::values::Epoch;

/// Look after the store
///
/// The store keeps downloads, unpacked packages and finished layers. It may be deleted at any time: what is missing is
/// fetched and made anew.
///
/// Example: sockel cache prune --days 30
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how large the parts of the store are
    ///
    /// Example: sockel cache info
    Info,
    /// Remove what was not used for some time
    ///
    /// Waits until no other command uses the store. With `--registry`, the shared cache of the registry file is pruned
    /// instead: entries that no lock file here asks for. Signed states that lock files here name stay in both. The registry's garbage collection frees the space.
    ///
    /// Example: sockel cache prune --days 7
    Prune {
        /// Keep what was used within so many days; 0 removes everything
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// Prune the shared cache in the registry instead of the store
        #[arg(long)]
        registry: bool,
    },
    /// Read everything, and remove what is damaged
    ///
    /// Example: sockel cache verify
    Verify,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let store = open(context)?;
    match args.action {
        Action::Info => info(&store, context),
        Action::Prune { days, registry: true } => {
            // it is opened again with all else that is needed
            drop(store);
            prune_registry(days, context)
        }
        Action::Prune { days, registry: false } => prune(store, days, context),
        Action::Verify => verify(&store, context),
    }
}

/// Opens the store and says what is to be known about its place.
fn open(context: &Context) -> Result<Store, Failure> {
    let store = Store::open(&context.settings.store)?;
    if let Some(warning) = store.warning() {
        context.printer.warn(warning);
    }
    Ok(store)
}

fn info(store: &Store, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    let usage = store.usage()?;
    if printer.is_json() {
        return Ok(printer.json(&usage)?);
    }
    let mut table = Table::new(&[("part", Column::Text), ("files", Column::Number), ("size", Column::Number)]);
    for part in &usage {
        table.row([part.part.to_owned(), part.files.to_string(), size(part.bytes)]);
    }
    let (files, bytes) = (usage.iter().map(|part| part.files).sum::<u64>(), usage.iter().map(|part| part.bytes).sum());
    table.row(["all".to_owned(), files.to_string(), size(bytes)]);
    printer.note(&format!("store {}", store.folder().display()));
    Ok(printer.data(&table.render(printer.width()))?)
}

/// Returns the locks of the project that the command runs in, if it runs in one.
fn locks_here(context: &Context) -> Vec<Lock> {
    let folder = context.settings.directory.join("base-images");
    let names = fs::list(&folder).unwrap_or_default().into_iter().filter(|name| name.ends_with(".lock.yaml"));
    names.filter_map(|name| Lock::read(&folder.join(name)).ok()).collect()
}

fn prune(store: Store, days: u32, context: &Context) -> Result<(), Failure> {
    let named = locks_here(context).iter().flat_map(|lock| StateFiles::of_lock(lock, &store)).collect();
    let pruned = store.prune(u64::from(days) * 86_400, &named)?;
    if context.printer.is_json() {
        return Ok(context.printer.json(&pruned)?);
    }
    Ok(context.printer.data(&format!("removed {} files, {}\n", pruned.files, size(pruned.bytes)))?)
}

fn prune_registry(days: u32, context: &Context) -> Result<(), Failure> {
    let target = Target::open(None, None, context)?;
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&[])?;
    let locks = workspace.fresh_locks(&definitions)?;
    let hands = Hands::new(context)?;
    let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
    let options = build::Options {
        compression: Compression::Gzip,
        threads: context.settings.threads,
        images: Vec::new(),
        platforms: Vec::new(),
        layers: build::Whereabouts::Here,
        mirrors: hands.mirrors.clone(),
    };
    let Some(cache) = target.connections(context)?.and_then(|connections| connections.cache(&hands)) else {
        return Err(Failure::new(Kind::Input, "cannot prune the shared cache: the registry file names none")
            .hint("give `cache: { repository: NAME }` and a `target` that is a registry"));
    };
    let limit = Epoch(clock::now().0 - i64::from(days) * 86_400);
    let pruned = hands.http.block_on(cache.prune(
        &build::keys(&orders, &options),
        &locks.values().collect::<Vec<_>>(),
        limit,
    ))??;
    if context.printer.is_json() {
        return Ok(context.printer.json(&pruned)?);
    }
    Ok(context.printer.data(&format!("removed {} entries, kept {}\n", pruned.removed.len(), pruned.kept))?)
}

fn verify(store: &Store, context: &Context) -> Result<(), Failure> {
    let mut verified = store.verify()?;
    let packages = layer::verify::verify(store, context.settings.threads)?;
    verified.checked += packages.checked;
    verified.removed.extend(packages.removed);
    if context.printer.is_json() {
        return Ok(context.printer.json(&verified)?);
    }
    for name in &verified.removed {
        context.printer.warn(&format!("removed damaged `{name}`"));
    }
    let (checked, removed) = (verified.checked, verified.removed.len());
    Ok(context.printer.data(&format!("checked {checked}, removed {removed} damaged\n"))?)
}
