//! `sockel bundle`, and the `--bundle` of other commands

use crate::bundle;
use crate::bundle::Contents;
use crate::bundle::Gathering;
use crate::bundle::Kind;
use crate::bundle::Order;
use crate::bundle::Place;
use crate::bundle::Source;
use crate::bundle::Supplying;
use crate::bundle::Written;
use crate::cli::Context;
use crate::cli::connect::Connections;
use crate::cli::failure;
use crate::cli::failure::Failure;
use crate::cli::printer::Level;
use crate::cli::publish::Target;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::lock::file::Lock;
use crate::oci::registry::Push;
use crate::oci::registry::Pushed;
use crate::oci::registry::address::Address;
use crate::recipe::Definition;
use crate::recipe::RegistryFile;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::Http;
use crate::values::Digest;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;

/// Write everything that a build needs as one OCI artifact
///
/// A bundle holds the lock files, the InRelease files and Packages indexes that they name, the archives' keys, and all
/// packages. Archives drop old versions within days; `sockel build --bundle` and `sockel publish --bundle` need no archive
/// at all, and verify everything again: each package by the project's own lock, and by an index that the project's own
/// pinned keys signed. The same locks give the same digest.
///
/// Where nobody has the InRelease file of a lock any more, the current one is bundled, if its indexes prove every package;
/// this is said, and written in the bundle. `Valid-Until` is judged for the time of the lock.
///
/// Example: sockel bundle tomcat-11 -o oci-archive:tomcat-11.bundle.tar
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to bundle, with those that they stand on; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to write: oci:DIR, oci-archive:FILE or https://HOST/REPOSITORY:TAG
    #[arg(short, long, value_name = "OUTPUT", default_value = "oci:bundle")]
    output: Place,
    /// Bundle only what this platform needs, such as linux/amd64; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    bundle: String,
    digest: Digest,
    bytes: u64,
    contents: &'a Contents,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<Pushed>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    let locks = workspace.fresh_locks(&definitions)?;
    let hands = Hands::new(context)?;
    Target::open(None, None, context)?.bring_states(locks.values(), &hands, context)?;
    workspace.prove(&definitions, &locks, &hands)?;
    let gathering = Gathering {
        store: &hands.store,
        http: &hands.http,
        mirrors: &hands.mirrors,
        platforms: &args.platform,
        now: clock::now(),
        reporter: &hands.progress,
    };
    let gathered = bundle::gather(&orders((&definitions, &locks)), &gathering);
    hands.progress.close();
    let contents = gathered?;
    let written = bundle::store(&contents, &hands.store)?;
    let mut pushed = None;
    match &args.output {
        Place::Registry { address, reference } => {
            pushed = Some(push(&written, (address, reference), &hands, context)?);
        }
        place => bundle::write(&written, place, &hands.store)?,
    }
    let bytes = written.blobs.values().sum();
    let answer = Answer { bundle: args.output.to_string(), digest: written.digest, bytes, contents: &contents, pushed };
    print(&answer, context)
}

fn orders<'a>((definitions, locks): (&'a [Definition], &'a BTreeMap<String, Lock>)) -> Vec<Order<'a>> {
    let order = |definition: &'a Definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    definitions.iter().filter_map(order).collect()
}

/// Opens the registry that an address names, which is where the bundle goes or comes from; returns it with the repository.
fn connect(address: &str, is_output: bool, context: &Context) -> Result<(Connections, String), Failure> {
    let file = RegistryFile::of_project(&context.settings.directory)?.unwrap_or_default();
    match Address::parse(address, &file.insecure)? {
        Address::Registry { url, prefix } => Ok((Connections::open(&url, is_output, &file, context)?, prefix)),
        Address::Layout(_) => Err(Failure::new(failure::Kind::Usage, format!("`{address}` is no registry"))),
    }
}

fn push(
    written: &Written,
    (address, reference): (&str, &str),
    hands: &Hands,
    context: &Context,
) -> Result<Pushed, Failure> {
    if reference.parse::<Digest>().is_ok() {
        let message = format!("cannot write bundle `{address}@{reference}`: a digest cannot be chosen");
        return Err(Failure::new(failure::Kind::Usage, message).hint("name a tag: `https://HOST/REPOSITORY:TAG`"));
    }
    let (connections, repository) = connect(address, true, context)?;
    let push = Push {
        elsewhere: &[],
        layout: hands.store.folder(),
        target: &written.target,
        repository: &repository,
        tags: &[reference.to_owned()],
        mount_from: &[],
        chunk: None,
        is_new: false,
    };
    let pushed = hands.http.block_on(connections.registry().push(&push, &hands.progress));
    hands.progress.close();
    Ok(pushed??)
}

fn print(answer: &Answer<'_>, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    if printer.is_json() {
        printer.json(answer)?;
    } else {
        let mut table = Table::new(&[("what", Column::Text), ("files", Column::Number), ("size", Column::Number)]);
        let kinds = [
            ("lock files", Kind::Lock),
            ("signed releases", Kind::InRelease),
            ("indexes", Kind::Index),
            ("keys", Kind::Key),
            ("packages", Kind::Package),
        ];
        for (name, kind) in kinds {
            let files = || answer.contents.files.iter().filter(|file| file.kind == kind);
            let bytes = files().map(|file| file.size).sum();
            table.row([name.to_owned(), files().count().to_string(), size(bytes)]);
        }
        printer.data(&table.render(printer.width()))?;
    }
    let images: Vec<&str> = answer.contents.images.iter().map(|image| &*image.image).collect();
    printer.note(&format!("{}: {}, {}, for {}", answer.bundle, answer.digest, size(answer.bytes), images.join(", ")));
    if let Some(pushed) = &answer.pushed {
        let (sent, there) = (size(pushed.uploaded.bytes), size(pushed.skipped.bytes + pushed.mounted.bytes));
        printer.note(&format!("{sent} uploaded, {there} there already"));
    }
    printer.note(&format!("next: sockel build --bundle {}", answer.bundle));
    Ok(())
}

/// Brings the packages of these images from a bundle into the store, verified; returns a door to the network that is
/// shut, so that nothing else can be used.
pub(crate) fn supply(
    place: &Place,
    images: (&[Definition], &BTreeMap<String, Lock>),
    platforms: &[Platform],
    hands: &Hands,
    context: &Context,
) -> Result<Http, Failure> {
    let supplying = Supplying { store: &hands.store, platforms, now: clock::now(), reporter: &hands.progress };
    let work = |source: Source<'_>| {
        let bundle = bundle::open(source, &hands.store, &hands.progress)?;
        bundle::supply(&bundle, &orders(images), &supplying)
    };
    let supplied = match place {
        Place::Layout(folder) => work(Source::Layout(folder.clone())),
        Place::Archive(file) => work(Source::Archive(file.clone())),
        Place::Registry { address, reference } => {
            let (connections, repository) = connect(address, false, context)?;
            let (registry, reference) = (connections.registry(), reference.clone());
            work(Source::Registry { registry, repository, reference, http: &hands.http })
        }
    };
    hands.progress.close();
    let supplied = supplied?;
    let text = format!(
        "bundle {place} ({}): {} package(s) proven by {} signed pocket(s), {} brought into the store",
        supplied.digest, supplied.packages, supplied.pockets, supplied.brought
    );
    context.printer.talk(Level::Detail, &text);
    Ok(Http::new(http::Options::usual(true, None)))
}
