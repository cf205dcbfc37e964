//! The job `bundle`: everything that a build needs as one OCI artifact; and the way back, for jobs that build from one.

use crate::build;
use crate::bundle;
use crate::bundle::Contents;
use crate::bundle::Gathering;
use crate::bundle::Order;
use crate::bundle::Place;
use crate::bundle::Source;
use crate::bundle::Supplied;
use crate::bundle::Supplying;
use crate::bundle::Written;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::pinned;
use crate::oci::registry::Push;
use crate::oci::registry::Pushed;
use crate::oci::registry::address::Address;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::Http;
use crate::values::Digest;
use crate::values::Platform;

/// What to bundle.
#[derive(Debug, Clone)]
pub struct BundleRequest {
    /// Images to bundle with their parents; all when none is named.
    pub images: Vec<String>,
    /// Where to write.
    pub output: Place,
    /// Platforms to bundle packages for; all when none is named.
    pub platforms: Vec<Platform>,
}

/// A finished bundle.
#[derive(Debug)]
pub struct BundleOutcome {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of all its blobs.
    pub bytes: u64,
    /// What is in it.
    pub contents: Contents,
    /// What the upload cost, where it went to a registry.
    pub pushed: Option<Pushed>,
}

/// Proves the locks, gathers what they name, and writes it.
///
/// # Errors
/// When a lock is not proven, something cannot be had any more, or the bundle cannot be written.
pub fn run(request: &BundleRequest, session: &Session) -> Result<BundleOutcome, Error> {
    let workspace = Workspace::open(session)?;
    let definitions = workspace.definitions(&request.images)?;
    let locks = workspace.fresh_locks(&definitions)?;
    PublishTarget::open(None, session)?.take_states(locks.values())?;
    workspace.prove(&definitions, &locks)?;

    let store = session.store()?;
    let gathering = Gathering {
        store,
        http: session.http(),
        mirrors: session.mirrors(),
        platforms: &request.platforms,
        now: clock::now(),
        reporter: session.reporter(),
    };
    let contents = bundle::gather(&bundled(&pinned(&definitions, &locks)), &gathering)?;

    let written = bundle::store(&contents, store)?;
    let pushed = match &request.output {
        Place::Registry { address, reference } => Some(push(&written, address, reference, session)?),
        Place::Layout(_) | Place::Archive(_) => {
            bundle::write(&written, &request.output, store)?;
            None
        }
    };
    let bytes = written.blobs.values().sum();
    Ok(BundleOutcome { digest: written.digest, bytes, contents, pushed })
}

/// Brings the packages of these images from a bundle into the store, verified. Returns a network that refuses
/// everything, so that nothing else can be used.
pub(crate) fn supply(
    place: &Place,
    orders: &[build::Order<'_>],
    platforms: &[Platform],
    session: &Session,
) -> Result<Http, Error> {
    let supplied = match place {
        Place::Layout(folder) => take(Source::Layout(folder.clone()), orders, platforms, session)?,
        Place::Archive(file) => take(Source::Archive(file.clone()), orders, platforms, session)?,
        Place::Registry { address, reference } => {
            let (connections, repository) = connect(address, false, session)?;
            let (registry, reference) = (connections.registry(), reference.clone());
            let source = Source::Registry { registry, repository, reference, http: session.http() };
            take(source, orders, platforms, session)?
        }
    };
    session.detail(format!(
        "bundle {place} ({}): {} package(s) proven by {} signed pocket(s), {} brought into the store",
        supplied.digest, supplied.packages, supplied.pockets, supplied.brought
    ));
    Ok(Http::new(http::Options::usual(true, None)))
}

fn take(
    source: Source<'_>,
    orders: &[build::Order<'_>],
    platforms: &[Platform],
    session: &Session,
) -> Result<Supplied, Error> {
    let (store, reporter) = (session.store()?, session.reporter());
    let bundle = bundle::open(source, store, reporter)?;
    let supplying = Supplying { store, platforms, now: clock::now(), reporter };
    Ok(bundle::supply(&bundle, &bundled(orders), &supplying)?)
}

fn bundled<'a>(orders: &[build::Order<'a>]) -> Vec<Order<'a>> {
    orders.iter().map(|order| Order { definition: order.definition, lock: order.lock }).collect()
}

/// Opens the registry that an address names, as the place where the bundle goes or comes from; returns it with the
/// repository.
fn connect<'a>(address: &str, is_output: bool, session: &'a Session) -> Result<(Connections<'a>, String), Error> {
    let file = session.registry_file();
    match Address::parse(address, &file.insecure)? {
        Address::Registry { url, prefix } => Ok((Connections::open(&url, is_output, file, session)?, prefix)),
        Address::Layout(_) => Err(Error::usage(format!("cannot use `{address}`: it is no registry"))),
    }
}

fn push(written: &Written, address: &str, reference: &str, session: &Session) -> Result<Pushed, Error> {
    if reference.parse::<Digest>().is_ok() {
        let message = format!("cannot write bundle `{address}@{reference}`: a digest cannot be chosen");
        return Err(Error::usage(message).hint("name a tag: `https://HOST/REPOSITORY:TAG`"));
    }

    let (connections, repository) = connect(address, true, session)?;
    let push = Push {
        elsewhere: &[],
        layout: session.store()?.folder(),
        target: &written.target,
        repository: &repository,
        tags: &[reference.to_owned()],
        mount_from: &[],
        chunk: None,
        is_new: false,
    };
    Ok(session.http().block_on(connections.registry().push(&push, session.reporter()))??)
}
