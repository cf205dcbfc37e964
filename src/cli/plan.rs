//! `sockel plan`

use crate::build;
use crate::build::Built;
use crate::build::Options;
use crate::build::Order;
use crate::build::Whereabouts;
use crate::build::record;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Target;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::lock::file::Lock;
use crate::oci::registry::Registry;
use crate::plan;
use crate::plan::Candidate;
use crate::plan::Done;
use crate::plan::Plan;
use crate::plan::Surroundings;
use crate::recipe::Definition;
use crate::sys::fs;
use crate::tree::compress::Compression;
use crate::values::Digest;
use crate::values::shown::shown;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most images that the registry is asked about at one time.
const AT_ONCE: usize = 32;

/// What runs the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The graph itself
    Json,
    /// A GitLab child pipeline
    Gitlab,
    /// An Argo Workflow
    Argo,
    /// A Tekton PipelineRun
    Tekton,
}

/// Write what must be built now as a graph, or as a pipeline of the engine that runs it
///
/// Every image that is not built yet becomes a job, `sockel publish IMAGE`, behind the job of the image that it stands
/// on. Jobs hand each other nothing: results go through the registry. Images that are in the store already are skipped,
/// which is said; with `--published` those are skipped whose tags all stand for them in the registry, which is what an
/// empty runner wants. Locks are taken as they are.
///
/// Example: sockel plan --published --engine gitlab -o pipeline.yaml
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to plan, with those that they stand on; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// What runs the plan; a table for people when none is named
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// Write into this file instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Skip what stands in the registry, not what is in the store
    #[arg(long)]
    published: bool,
    /// Build every platform in a job of its own before the one that publishes. Helps where jobs share a store: runners on
    /// one machine, or `--store-claim`
    #[arg(long)]
    per_platform: bool,
    /// Image with sockel in which jobs run; Argo and Tekton need one, GitLab jobs run where their runner does without it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Git repository with recipes and locks, for Argo and Tekton; GitLab brings its own
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Commit, branch or tag of that repository
    #[arg(long, value_name = "REVISION", default_value = "main")]
    revision: String,
    /// Kubernetes secret of type `kubernetes.io/dockerconfigjson` with the registry's login, for Argo and Tekton
    #[arg(long, value_name = "NAME")]
    login_secret: Option<String>,
    /// `PersistentVolumeClaim` with the store that jobs share, for Argo and Tekton
    #[arg(long, value_name = "NAME")]
    store_claim: Option<String>,
    /// Where to publish: `https://HOST/PROJECT` or `oci:DIR`; instead of the target of the registry file
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let around = surroundings(args, context)?;
    let target = Target::open(args.to.as_deref(), args.registry.as_deref(), context)?;
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    let locks = workspace.fresh_locks(&definitions)?;
    let hands = Hands::new(context)?;
    let candidates = candidates(args, (&definitions, &locks), (&target, &hands), context)?;
    let plan = Plan::new(&candidates, args.per_platform);
    for skipped in &plan.skipped {
        context.printer.note(&format!("skipped {}: {}", skipped.image, skipped.reason.text()));
    }
    let text = match args.engine {
        Some(Engine::Gitlab) => plan::gitlab::pipeline(&plan, &around)?,
        Some(Engine::Argo) => plan::argo::workflow(&plan, &around)?,
        Some(Engine::Tekton) => plan::tekton::pipeline_run(&plan, &around)?,
        Some(Engine::Json) => json(&plan),
        None if context.printer.is_json() => json(&plan),
        None => table(&plan, context),
    };
    match &args.output {
        Some(path) => {
            fs::write_atomic(path, text.as_bytes())?;
            let (wide, deep) = plan.shape();
            let count = plan.jobs.len();
            let shown = path.display();
            context
                .printer
                .note(&format!("wrote {count} jobs to {shown}: at most {wide} at one time, {deep} in a row"));
        }
        None => context.printer.data(&text)?,
    }
    Ok(())
}

/// Returns how jobs call sockel; refuses what would do nothing.
fn surroundings(args: &Args, context: &Context) -> Result<Surroundings, Failure> {
    let on_kubernetes = matches!(args.engine, Some(Engine::Argo | Engine::Tekton));
    let only_there = [("--source", args.source.is_some()), ("--login-secret", args.login_secret.is_some())];
    let only_there = only_there.into_iter().chain([("--store-claim", args.store_claim.is_some())]);
    if let Some((flag, _)) = only_there.into_iter().find(|(_, given)| *given && !on_kubernetes) {
        let message = format!("cannot use `{flag}`: it means nothing without `--engine argo` or `--engine tekton`");
        return Err(Failure::new(Kind::Usage, message));
    }
    if args.per_platform && on_kubernetes && args.store_claim.is_none() {
        let message = "cannot build platforms in jobs of their own: the jobs share no store";
        return Err(Failure::new(Kind::Usage, message).hint("name a claim for it with `--store-claim`"));
    }
    let names = [("--login-secret", &args.login_secret), ("--store-claim", &args.store_claim)];
    for (flag, name) in names {
        if let Some(name) = name.as_ref().filter(|name| !plan::is_object_name(name)) {
            let message = format!("cannot use `{}` for `{flag}`: Kubernetes has no such names", shown(name));
            return Err(Failure::new(Kind::Usage, message));
        }
    }
    let words = [("--image", &args.image), ("--source", &args.source), ("--revision", &Some(args.revision.clone()))];
    for (flag, word) in words {
        let is_odd = |word: &&String| {
            word.is_empty() || word.starts_with('-') || word.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if let Some(word) = word.as_ref().filter(is_odd) {
            return Err(Failure::new(Kind::Usage, format!("cannot use `{}` for `{flag}`", shown(word))));
        }
    }
    let mut before = Vec::new();
    if context.settings.directory.as_os_str() != "." {
        before.extend(["-C".to_owned(), context.settings.directory.display().to_string()]);
    }
    let mut publish = Vec::new();
    if let Some(to) = &args.to {
        publish.extend(["--to".to_owned(), to.clone()]);
    }
    if let Some(registry) = &args.registry {
        publish.extend(["--registry".to_owned(), registry.display().to_string()]);
    }
    Ok(Surroundings {
        before,
        publish,
        image: args.image.clone(),
        source: args.source.clone().map(|source| (source, args.revision.clone())),
        login: args.login_secret.clone(),
        store: args.store_claim.clone(),
    })
}

/// Finds out what is done already.
fn candidates(
    args: &Args,
    (definitions, locks): (&[Definition], &BTreeMap<String, Lock>),
    (target, hands): (&Target, &Hands),
    context: &Context,
) -> Result<Vec<Candidate>, Failure> {
    let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
    // as `publish` builds
    let options = Options {
        compression: Compression::Gzip,
        threads: context.settings.threads,
        images: Vec::new(),
        platforms: Vec::new(),
        layers: if args.published { target.layers() } else { Whereabouts::Here },
        mirrors: hands.mirrors.clone(),
    };
    if args.published {
        target.take(&orders, &options, (hands, false), context)?;
    }
    let keys = build::keys(&orders, &options);
    let known: Vec<Option<Built>> = keys.iter().map(|key| record::find(key, options.layers, &hands.store)).collect();
    let done: Vec<Option<Done>> = match args.published {
        true => published(&orders, &known, (target, hands), context)?,
        false => known.iter().map(|built| built.as_ref().map(|_| Done::Built)).collect(),
    };
    let candidate = |((order, key), done): ((&Order<'_>, Digest), Option<Done>)| Candidate {
        image: order.definition.image.clone(),
        key,
        parent: order.definition.parent.clone(),
        platforms: build::platforms(order.definition, &options),
        tags: record::tags(order),
        done,
    };
    Ok(orders.iter().zip(keys).zip(done).map(candidate).collect())
}

/// Asks the registry for every image's tags. An image whose digest is not known here is recognised by the lock and the
/// base that the published one names.
fn published(
    orders: &[Order<'_>],
    known: &[Option<Built>],
    (target, hands): (&Target, &Hands),
    context: &Context,
) -> Result<Vec<Option<Done>>, Failure> {
    let Some((registry, prefix)) = target.released(context)? else {
        let message = "cannot ask what is published: images go to a folder";
        return Err(Failure::new(Kind::Usage, message).hint("name a registry with `--to https://HOST/PROJECT`"));
    };
    let mut digests: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut done = Vec::new();
    let all: Vec<(&Order<'_>, &Option<Built>)> = orders.iter().zip(known).collect();
    for some in all.chunks(AT_ONCE) {
        let looks = some.iter().map(|(order, built)| look(registry, &prefix, order, built.as_ref()));
        let found = hands.http.block_on(futures_util::future::join_all(looks))?;
        for ((order, _), found) in some.iter().zip(found) {
            let Definition { image, parent, .. } = order.definition;
            let stands = found?.filter(|found| {
                let below = parent.as_ref().map(|parent| digests.get(parent.as_str()).copied());
                // a parent that is built anew gives its children another base
                found.is_certain || below.is_none_or(|below| below.is_some() && below == found.base)
            });
            done.push(stands.as_ref().map(|_| Done::Published));
            digests.extend(stands.map(|found| (image.as_str(), found.digest)));
        }
    }
    Ok(done)
}

/// What stands in the registry under all tags of an image.
struct Found {
    digest: Digest,
    /// The image below, as it says.
    base: Option<Digest>,
    /// It is the image that is known here.
    is_certain: bool,
}

async fn look(
    registry: &Registry,
    prefix: &str,
    order: &Order<'_>,
    built: Option<&Built>,
) -> Result<Option<Found>, Failure> {
    let repository = match (prefix, &order.definition.publish.repository) {
        ("", repository) => repository.clone(),
        (prefix, repository) => format!("{prefix}/{repository}"),
    };
    let mut common: Option<Digest> = built.map(|built| built.index.0);
    for tag in record::tags(order) {
        let head = registry.head(&repository, &tag).await.map_err(crate::publish::Error::from)?;
        let digest = head.and_then(|head| head.digest().to_string().parse::<Digest>().ok());
        match (digest, common) {
            (None, _) => return Ok(None),
            (Some(digest), Some(common)) if digest != common => return Ok(None),
            (Some(digest), _) => common = Some(digest),
        }
    }
    let Some(digest) = common else { return Ok(None) };
    if built.is_some() {
        return Ok(Some(Found { digest, base: None, is_certain: true }));
    }
    let manifest = registry.manifest(&repository, &digest.to_string()).await.map_err(crate::publish::Error::from)?;
    Ok(said(&manifest.bytes, order).map(|base| Found { digest, base, is_certain: false }))
}

/// Returns the base that an index names, if it is of this lock.
fn said(bytes: &[u8], order: &Order<'_>) -> Option<Option<Digest>> {
    let index: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let annotation = |name: &str| index.get("annotations")?.get(name)?.as_str();
    let is_same = annotation("io.sockel.lock") == Some(order.lock.digest().to_string().as_str())
        && annotation("org.opencontainers.image.version") == Some(record::version(order).as_str());
    is_same.then(|| annotation("org.opencontainers.image.base.digest").and_then(|text| text.parse().ok()))
}

fn json(plan: &Plan) -> String {
    serde_json::to_string_pretty(plan).expect("texts and lists are JSON") + "\n"
}

fn table(plan: &Plan, context: &Context) -> String {
    let mut table = Table::new(&[
        ("JOB", Column::Text),
        ("NEEDS", Column::Text),
        ("PLATFORMS", Column::Text),
        ("KEY", Column::Digest),
    ]);
    for job in &plan.jobs {
        let platforms: Vec<String> = job.platforms.iter().map(ToString::to_string).collect();
        table.row([job.name.clone(), job.needs.join(" "), platforms.join(" "), job.key.to_string()]);
    }
    match plan.jobs.is_empty() {
        true => format!("nothing is to be done for {} images\n", plan.skipped.len()),
        false => table.render(context.printer.width()),
    }
}
