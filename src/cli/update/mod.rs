//! `sockel update`: look for patches, say what they mean, and, where asked, build and publish the images that they reach.

mod answer;
mod builder;
mod markdown;
mod text;

use crate::advisory;
use crate::advisory::Explained;
use crate::advisory::Upgrade;
use crate::advisory::Urgency;
use crate::advisory::feed;
use crate::announce::metrics;
use crate::build::Whereabouts;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::publish;
use crate::cli::publish::Receivers;
use crate::cli::publish::Target;
use crate::cli::publish::WriteBack;
use crate::cli::settings::Format;
use crate::cli::update::answer::Answer;
use crate::cli::update::builder::Builder;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Relock;
use crate::cli::workspace::Workspace;
use crate::lock::file::Lock;
use crate::publish::Order;
use crate::recipe::Definition;
use crate::sys::clock;
use crate::sys::fs;
use crate::sys::http::Host;
use crate::sys::http::HostOptions;
use crate::update::State;
use crate::update::assess;
use crate::update::lease::Lease;
use crate::update::memory::Memory;
use crate::update::repull;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Look for patches in the archives; build and publish what they reach
///
/// Reads the archives' indexes, locks every image anew, and says per image what changed, which vulnerabilities that fixes,
/// who stands on it, and how much consumers will pull again. Nothing is written without `--write` or `--publish`. With `--publish` this is the whole
/// scheduled job: lock, build, publish; it may be repeated and killed at any time, and the next run goes on. One image's
/// failure does not stop the others. Exits with 4 when `--fail-on` says so.
///
/// Example: sockel update --publish --report update.json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to look at; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Write the new lock files
    #[arg(long, conflicts_with = "dry_run")]
    write: bool,
    /// Write the new lock files, build all images and publish them as `sockel publish` does
    #[arg(long)]
    publish: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Where to publish: `https://HOST/PROJECT` or `oci:DIR`; instead of the target of the registry file
    #[arg(long, value_name = "TARGET", requires = "publish")]
    to: Option<String>,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Show what these pockets of the archives alone would give, such as release,updates. Lock files name every pocket of
    /// their recipe
    #[arg(long, value_name = "POCKETS", value_delimiter = ',', conflicts_with_all = ["write", "publish"])]
    pockets: Vec<String>,
    /// Take archives that are older than the lock files or this machine know, for this reason; without it they are refused,
    /// because somebody may be holding patches back
    #[arg(long, value_name = "REASON")]
    accept_older_archives: Option<String>,
    /// This is one of several machines that do the same at the same time: which one, of how many. Each begins at another
    /// place and passes over what another one has published
    #[arg(long, value_name = "I/N", requires = "publish", value_parser = worker)]
    worker: Option<(usize, usize)>,
    #[command(flatten)]
    write_back: WriteBack,
    /// Exit with 4 when an update is at least so urgent: routine, security, or urgent
    #[arg(long, value_name = "URGENCY", value_parser = urgency)]
    fail_on: Option<Urgency>,
    /// Write figures in Prometheus' text format into this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Put the same figures into the Pushgateway at this address
    #[arg(long, value_name = "URL")]
    push_gateway: Option<url::Url>,
    /// Write the JSON answer into this file, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let target = match args.publish {
        true => Some(Target::open(args.to.as_deref(), args.registry.as_deref(), context)?),
        false => None,
    };
    args.write_back.not_without(args.publish)?;
    if let Some(target) = &target {
        args.write_back.check(target)?;
        target.can_divide(args.worker.is_some())?;
    }
    let receivers = match &target {
        Some(target) => Some(Receivers::open(target.registry_file(), context)?),
        None => None,
    };
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    let hands = Hands::new(context)?;
    let writes = !args.dry_run && (args.write || args.publish);
    let project = fs::absolute(&context.settings.directory)?;
    let _lease = if writes { Some(Lease::take(&hands.store, &project)?) } else { None };
    let previous = workspace.locks(&definitions)?;
    let pockets: BTreeSet<String> = args.pockets.iter().cloned().collect();
    if let Some(reason) = &args.accept_older_archives {
        context.printer.warn(&format!("archives that are older than known ones are accepted: {reason}"));
    }
    let accept_older = args.accept_older_archives.is_some();
    let how = Relock { locked_states: false, pockets: &pockets, accept_older };
    let results = workspace.relock_each(&definitions, &previous, &how, &hands)?;
    let layers = target.as_ref().map_or(Whereabouts::Here, Target::layers);
    let builder = Builder {
        definitions: definitions.clone(),
        images: Vec::new(),
        hands: &hands,
        layers,
        ledger: workspace.ledger()?,
        context,
    };
    let sizes = builder.known(&previous);
    let sizes = |definition: &Definition| sizes.get(&definition.image).map(repull::sizes);
    let (updates, locks) = assess(&definitions, &previous, results, &sizes);
    let feeds = publish::registry_file(args.registry.as_deref(), context)?.advisories;
    let mut answer = Answer::new(updates);
    explain(&mut answer, (&definitions, &previous, &locks), &feeds, &hands)?;
    if writes {
        for update in answer.updates().filter(|update| matches!(update.state, State::Changed | State::New)) {
            if let Some(lock) = locks.get(&update.image) {
                workspace.keep(lock)?;
            }
        }
    }
    if let Some(target) = &target {
        let before = builder.known(&previous);
        let related = workspace.related();
        let mut published = Vec::new();
        for part in builder.parts(args.worker) {
            target.take(&part.orders(&locks), &part.options(), (&hands, false), context)?;
            let (built, failed) = part.each(&locks);
            answer.built(&before, &built, failed);
            let order = |definition| Some(Order { definition, built: built.get(&definition.image)? });
            let orders: Vec<Order<'_>> = part.definitions.iter().filter_map(order).collect();
            let again = || Ok(part.each(&locks).0);
            let how = publish::Delivery { hands: &hands, related: &related, dry_run: args.dry_run, again: &again };
            published.push(target.deliver(&orders, &how, context)?);
        }
        if let Some(published) = publish::Answer::together(published) {
            target.leave_states(locks.values(), &published, &hands, context)?;
            let published = args.write_back.after(published, args.dry_run);
            let receivers = receivers.as_ref().expect("opened with the target");
            let published = receivers.tell(published, &|image| answer.reason(image), (&hands, args.dry_run))?;
            answer.published(published);
        }
    }
    let memory = Memory { store: &hands.store, project: &project };
    let now = clock::now();
    for (image, found) in answer.found(writes, target.is_some()) {
        memory.note(&image, found, now)?;
    }
    let last_success = memory.success(!answer.has_failed(), now)?;
    if let Some(path) = &args.report {
        fs::write_atomic(path, &answer.to_json())?;
    }
    let figures = metrics::Run {
        ended: now,
        last_success,
        seconds: context.printer.elapsed().as_secs_f64(),
        success: !answer.has_failed(),
        images: answer.metrics(&locks, writes),
    };
    watch(args, &figures, &hands, context)?;
    answer.print(context, writes, args.fail_on)
}

/// Leaves the figures where they are watched; a gateway that does not want them is no failure of the update.
fn watch(args: &Args, run: &metrics::Run, hands: &Hands, context: &Context) -> Result<(), Failure> {
    if let Some(path) = &args.metrics {
        fs::write_atomic(path, metrics::text(run).as_bytes())?;
    }
    if let Some(gateway) = &args.push_gateway {
        let host = Host::new(HostOptions::usual(context.settings.offline));
        if let Err(error) = hands.http.block_on(metrics::push(&host, gateway, metrics::text(run)))? {
            context.printer.warn(&error.to_string());
        }
    }
    Ok(())
}

/// Reads `2/4`.
fn worker(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    parts
        .filter(|(number, of)| (1..=*of).contains(number))
        .ok_or_else(|| "it is written 2/4: the second of four".to_owned())
}

fn urgency(text: &str) -> Result<Urgency, String> {
    match text {
        "routine" => Ok(Urgency::Routine),
        "security" => Ok(Urgency::Security),
        "urgent" => Ok(Urgency::Urgent),
        _ => Err("it is routine, security or urgent".to_owned()),
    }
}

/// Adds to every image what its upgrades fix.
fn explain(
    answer: &mut Answer,
    (definitions, previous, locks): (&[Definition], &BTreeMap<String, Lock>, &BTreeMap<String, Lock>),
    feeds: &[String],
    hands: &Hands,
) -> Result<(), Failure> {
    let mut upgrades: BTreeMap<String, Vec<Upgrade>> = BTreeMap::new();
    for (definition, update) in definitions.iter().zip(answer.updates()) {
        if let (Some(old), Some(new)) = (previous.get(&definition.image), locks.get(&definition.image)) {
            upgrades.insert(definition.image.clone(), update.upgrades(definition, old, new));
        }
    }
    upgrades.retain(|_, list| !list.is_empty());
    if upgrades.is_empty() {
        return Ok(());
    }
    let feeds = feed::fetch(feeds, &hands.store, &hands.http)?;
    // images share their upgrades: each is looked up once
    let mut known: BTreeMap<Vec<Digest>, Vec<Explained>> = BTreeMap::new();
    for (image, list) in upgrades {
        let key: Vec<Digest> = list.iter().map(|upgrade| upgrade.deb).collect();
        let fixes = match known.get(&key) {
            Some(fixes) => fixes.clone(),
            None => advisory::explain(&list, &feeds, &hands.store)?,
        };
        known.insert(key, fixes.clone());
        answer.explain(&image, fixes);
    }
    Ok(())
}

/// Tells whether the answer is to be Markdown.
fn is_markdown(context: &Context) -> bool {
    context.settings.format == Format::Md
}
