//! `sockel publish`

mod answer;

pub(crate) use answer::Answer;

use crate::build;
use crate::build::Built;
use crate::build::Order;
use crate::build::output;
use crate::build::output::Output;
use crate::bundle::Place as BundlePlace;
use crate::cli::Context;
use crate::cli::bundle;
use crate::cli::connect::Connections;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::cli::writeback::WriteBack;
use crate::lock::file::Lock;
use crate::oci::registry::address::Address;
use crate::publish;
use crate::publish::Place;
use crate::publish::Published;
use crate::publish::Release;
use crate::publish::policy;
use crate::recipe::Definition;
use crate::recipe::REGISTRY_FILE;
use crate::recipe::RegistryFile;
use crate::tree::compress::Compression;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

/// Where images go when nobody says so.
const USUAL_TARGET: &str = "oci:out";

/// Most repositories that blobs are looked for in.
const RELATED: usize = 8;

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
    #[arg(long, conflicts_with_all = ["images", "to", "write_back", "bundle"])]
    setup: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Take all packages from this bundle, and nothing from archives: oci:DIR, oci-archive:FILE or
    /// https://HOST/REPOSITORY:TAG
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<BundlePlace>,
    #[command(flatten)]
    write_back: WriteBack,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let target = Target::open(args.to.as_deref(), args.registry.as_deref(), context)?;
    let workspace = Workspace::open(context)?;
    if args.setup {
        return setup(args, &target, &workspace, context);
    }
    args.write_back.check(Some(target.address()))?;
    let definitions = workspace.definitions(&args.images)?;
    let hands = Hands::new(context)?;
    let built = built(args.bundle.as_ref(), &definitions, &workspace, &hands, context)?;
    let is_wanted = |built: &Built| args.images.is_empty() || args.images.contains(&built.image);
    let orders = definitions.iter().zip(&built).filter(|(_, built)| is_wanted(built));
    let orders: Vec<publish::Order<'_>> =
        orders.map(|(definition, built)| publish::Order { definition, built }).collect();
    let all = workspace.definitions(&[]).unwrap_or_default();
    let answer = target.deliver(&orders, &all, (&hands, args.dry_run), context)?;
    let written = args.write_back.run(answer.published(), args.dry_run);
    answer.with_written_back(written).print(&context.printer)
}

/// Where images are to go.
pub(crate) struct Target {
    text: String,
    address: Address,
    file: RegistryFile,
}

impl Target {
    /// Reads the registry file; an address that was given stands instead of its target and projects.
    pub(crate) fn open(to: Option<&str>, registry: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let mut file = registry_file(registry, context)?;
        if let Some(to) = to {
            file.target = Some(to.to_owned());
            file.projects = None;
        }
        let text = file.target.clone().unwrap_or_else(|| USUAL_TARGET.to_owned());
        Ok(Self { address: Address::parse(&text, &file.insecure)?, text, file })
    }

    /// Returns the address that images are pushed to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Publishes built images; `all` are the project's definitions, to find images that share layers.
    pub(crate) fn deliver(
        &self,
        orders: &[publish::Order<'_>],
        all: &[Definition],
        (hands, dry_run): (&Hands, bool),
        context: &Context,
    ) -> Result<Answer, Failure> {
        match &self.address {
            Address::Layout(folder) => {
                let output = Output::Layout(folder.clone());
                let wanted: Vec<Built> = orders.iter().map(|order| order.built.clone()).collect();
                if !dry_run {
                    output::write(&output, &wanted, &hands.store)?;
                }
                Ok(Answer::layout(&wanted, &output, dry_run, context.printer.elapsed()))
            }
            Address::Registry { url, prefix } => {
                let connections = Connections::open(url, &self.file, context)?;
                let place = (prefix.as_str(), &self.file);
                let published = to_registry(orders, &related(all), place, &connections, (dry_run, hands))?;
                Ok(Answer::new(published, &self.text, context.printer.elapsed()))
            }
        }
    }
}

/// Reads the registry file; one that is not there is empty, unless it was named.
pub(crate) fn registry_file(given: Option<&Path>, context: &Context) -> Result<RegistryFile, Failure> {
    let (path, shown) = match given {
        Some(path) => (path.to_owned(), path.display().to_string()),
        None => (context.settings.directory.join(REGISTRY_FILE), REGISTRY_FILE.to_owned()),
    };
    match RegistryFile::read(&path, &shown)? {
        Some(file) => Ok(file),
        None if given.is_some() => {
            Err(Failure::new(Kind::Input, format!("cannot read `{shown}`: there is no such file")))
        }
        None => Ok(RegistryFile::default()),
    }
}

/// Builds the images from their locks as they are; what is there is found.
fn built(
    from: Option<&BundlePlace>,
    definitions: &[Definition],
    workspace: &Workspace<'_>,
    hands: &Hands,
    context: &Context,
) -> Result<Vec<Built>, Failure> {
    let locks: BTreeMap<String, Lock> = workspace.fresh_locks(definitions)?;
    let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
    let options = build::Options {
        compression: Compression::Gzip,
        threads: context.settings.threads,
        platforms: Vec::new(),
        mirrors: hands.mirrors.clone(),
    };
    let offline = match from {
        Some(place) => Some(bundle::supply(place, (definitions, &locks), &[], hands, context)?),
        None => None,
    };
    let http = offline.as_ref().unwrap_or(&hands.http);
    let built = build::build(&orders, &options, &hands.store, http, &hands.progress);
    hands.progress.close();
    Ok(built?)
}

/// Returns for every image the repositories that may have some of its layers: those of images with the same root.
fn related(all: &[Definition]) -> BTreeMap<String, Vec<String>> {
    let root = |definition: &Definition| {
        let levels = definition.levels.values().next()?;
        levels
            .first()
            .map(|level| (level.recipe.clone(), definition.archives.first().map(|archive| archive.uri.clone())))
    };
    let mut repositories = BTreeMap::new();
    for definition in all {
        let same = all.iter().filter(|other| root(other) == root(definition));
        let mut names: Vec<String> = Vec::new();
        for other in same {
            let name = &other.publish.repository;
            if *name != definition.publish.repository && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names.truncate(RELATED);
        repositories.insert(definition.image.clone(), names);
    }
    repositories
}

fn to_registry(
    orders: &[publish::Order<'_>],
    related: &BTreeMap<String, Vec<String>>,
    (prefix, file): (&str, &RegistryFile),
    connections: &Connections,
    (dry_run, hands): (bool, &Hands),
) -> Result<Vec<Published>, Failure> {
    let (policy, patience) = (policy::policy(&file.gate), policy::patience(&file.gate));
    if let Some(problem) = policy.problems().first() {
        return Err(Failure::new(Kind::Input, problem.to_string()).hint("change `gate` in the registry file"));
    }
    let work = async {
        let (harbor, without) = connections.harbor().await?;
        let release_harbor = connections.release_harbor(harbor.is_some());
        let prefix = file.projects.as_ref().map_or(prefix, |projects| &projects.staging);
        let release = file.projects.as_ref().map(|projects| Release {
            project: &projects.release,
            registry: connections.release(),
            harbor: release_harbor.as_ref().or(harbor.as_ref()),
            labels: &file.setup.labels,
        });
        let place = Place {
            store: &hands.store,
            registry: connections.registry(),
            harbor: harbor.as_ref(),
            without,
            prefix,
            release,
            related,
            policy: &policy,
            patience: &patience,
            chunk: file.chunk,
            dry_run,
            reporter: &hands.progress,
        };
        Ok::<_, Failure>(publish::publish(orders, &place).await)
    };
    let published = hands.http.block_on(work);
    hands.progress.close();
    published?
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
    let connections = Connections::open(url, &file, context)?;
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
