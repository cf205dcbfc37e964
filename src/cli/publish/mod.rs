//! `sockel publish`

mod answer;
mod receivers;
mod target;

pub(crate) use answer::Answer;
pub(crate) use receivers::Receivers;
pub(crate) use target::Delivery;
pub(crate) use target::Target;
pub(crate) use target::WriteBack;
pub(crate) use target::registry_file;

use crate::announce::webhook::Reason;
use crate::build;
use crate::build::Built;
use crate::build::Order;
use crate::bundle::Place as BundlePlace;
use crate::cli::Context;
use crate::cli::bundle;
use crate::cli::connect::Connections;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::lock::file::Lock;
use crate::oci::registry::address::Address;
use crate::publish;
use crate::publish::policy;
use crate::recipe::Definition;
use crate::recipe::RegistryFile;
use crate::tree::compress::Compression;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Publish images to a registry, past Harbor's scanner, or into an OCI layout folder
///
/// Builds what is not built, from the lock files as they are. With a Harbor, images are pushed by digest, scanned, judged
/// by the gate of `base-images/registry.yaml`, promoted to the release project, and get their tags last. With any other
/// registry there is no scan, which is said. What is there already is not sent again.
///
/// Example: sockel publish tomcat-11 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to publish; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to: `https://HOST/PROJECT` or `oci:DIR`; instead of the target and projects of the registry file
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Create Harbor's projects with their rules, quotas and robots instead of publishing; may be repeated. Needs an
    /// administrator's login, from the environment or Docker's configuration
    #[arg(long, conflicts_with_all = ["images", "to"])]
    setup: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Let tags go back to an older state, for this reason; without it an image whose tags stand for a newer state is left
    /// alone
    #[arg(long, value_name = "REASON", conflicts_with = "setup")]
    accept_older_release: Option<String>,
    /// Take all packages from this bundle, and nothing from archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<BundlePlace>,
    #[command(flatten)]
    write_back: WriteBack,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let target = Target::open(args.to.as_deref(), args.registry.as_deref(), context)?
        .accepting_older(args.accept_older_release.as_ref(), context);
    let workspace = Workspace::open(context)?;
    args.write_back.not_without(!args.setup)?;
    if args.setup {
        return setup(args, &target, &workspace, context);
    }
    args.write_back.check(&target)?;
    let receivers = Receivers::open(&target.file, context)?;
    let definitions = workspace.definitions(&args.images)?;
    let hands = Hands::new(context)?;
    let locks = workspace.fresh_locks(&definitions)?;
    let build = |take| built((args, &target, take), (&definitions, &locks), &workspace, &hands, context);
    let built = build(true)?;
    let again = || Ok(build(false)?.into_iter().map(|built| (built.image.clone(), built)).collect());
    let is_wanted = |built: &Built| args.images.is_empty() || args.images.contains(&built.image);
    let orders = definitions.iter().zip(&built).filter(|(_, built)| is_wanted(built));
    let orders: Vec<publish::Order<'_>> =
        orders.map(|(definition, built)| publish::Order { definition, built }).collect();
    let how = Delivery { hands: &hands, related: &workspace.related(), dry_run: args.dry_run, again: &again };
    let answer = target.deliver(&orders, &how, context)?;
    target.leave_states(locks.values(), &answer, &hands, context)?;
    let answer = args.write_back.after(answer, args.dry_run);
    receivers.tell(answer, &|_| Reason::default(), (&hands, args.dry_run))?.print(&context.printer)
}

/// Builds the images from their locks as they are; what is there is found, and with `take` what the shared cache has.
fn built(
    (args, target, take): (&Args, &Target, bool),
    (definitions, locks): (&[Definition], &BTreeMap<String, Lock>),
    workspace: &Workspace<'_>,
    hands: &Hands,
    context: &Context,
) -> Result<Vec<Built>, Failure> {
    let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
    let options = build::Options {
        compression: Compression::Gzip,
        threads: context.settings.threads,
        images: args.images.clone(),
        platforms: Vec::new(),
        layers: target.layers(),
        mirrors: hands.mirrors.clone(),
    };
    if take {
        target.take(&orders, &options, (hands, false), context)?;
    }
    let offline = match &args.bundle {
        Some(place) => Some(bundle::supply(place, (definitions, locks), &[], hands, context)?),
        None => None,
    };
    let http = offline.as_ref().unwrap_or(&hands.http);
    let built = build::build(&orders, &options, hands.equipment(http, workspace.ledger()?));
    hands.progress.close();
    Ok(built.map_err(|error| workspace.explained(error, definitions, locks, hands))?)
}

fn setup(
    args: &Args,
    Target { address, file, .. }: &Target,
    workspace: &Workspace<'_>,
    context: &Context,
) -> Result<(), Failure> {
    let (Address::Registry { url, .. }, Some(projects)) = (address, &file.projects) else {
        let message = "cannot set up projects: the registry file names none";
        return Err(Failure::new(Kind::Input, message).hint(
            "give `target: https://HOST` and `projects: { staging: NAME, release: NAME }` in the registry file",
        ));
    };
    let wanted = policy::wanted(projects, file, &workspace.definitions(&[])?);
    let hands = Hands::new(context)?;
    // the robots that the file names may not create projects, and do not exist before the first time
    let file = RegistryFile { credentials: None, release_credentials: None, ..file.clone() };
    let connections = Connections::open(url, false, &file, context)?;
    let work = async {
        let (harbor, without) = connections.harbor().await?;
        let Some(harbor) = harbor else {
            return Err(Failure::new(Kind::Input, format!("cannot set up projects: {without}")));
        };
        let steps = if args.dry_run { harbor.plan(&wanted).await } else { harbor.apply(&wanted).await };
        Ok(steps.map_err(publish::Error::from)?)
    };
    answer::setup(&hands.http.block_on(work)??, &context.printer)
}
