//! The job `bundle`: everything that a build needs as one OCI artifact; and the way back, for jobs that build from one.

use crate::bundle;
use crate::bundle::BundleContents;
use crate::bundle::BundleGathering;
use crate::bundle::BundleLocation;
use crate::bundle::BundleSource;
use crate::bundle::BundleSupply;
use crate::bundle::BundleSupplying;
use crate::bundle::WrittenBundle;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::target::PublishTarget;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::lock::LockedImage;
use crate::oci::registry::PushOutcome;
use crate::oci::registry::PushRequest;
use crate::oci::registry::address::ImageLocation;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use crate::values::Platform;

/// What to bundle.
#[derive(Debug, Clone)]
pub struct BundleRequest {
    /// Images to bundle with their parents; all when none is named.
    pub images: Vec<String>,
    /// Where to write.
    pub output: BundleLocation,
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
    pub contents: BundleContents,
    /// What the upload cost, where it went to a registry.
    pub pushed: Option<PushOutcome>,
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
    let gathering = BundleGathering {
        store,
        http: session.http(),
        mirrors: session.mirrors(),
        platforms: &request.platforms,
        now: clock::now(),
        reporter: session.reporter(),
    };
    let contents = bundle::gather(&locked_images(&definitions, &locks), &gathering)?;

    let written = bundle::store(&contents, store)?;
    let pushed = match &request.output {
        BundleLocation::Registry { address, reference } => Some(push(&written, address, reference, session)?),
        BundleLocation::Layout(_) | BundleLocation::Archive(_) => {
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
    place: &BundleLocation,
    orders: &[LockedImage<'_>],
    platforms: &[Platform],
    session: &Session,
) -> Result<HttpClient, Error> {
    let supplied = match place {
        BundleLocation::Layout(folder) => take(BundleSource::Layout(folder.clone()), orders, platforms, session)?,
        BundleLocation::Archive(file) => take(BundleSource::Archive(file.clone()), orders, platforms, session)?,
        BundleLocation::Registry { address, reference } => {
            let (connections, repository) = connect(address, false, session)?;
            let (registry, reference) = (connections.registry(), reference.clone());
            let source = BundleSource::Registry { registry, repository, reference, http: session.http() };
            take(source, orders, platforms, session)?
        }
    };
    session.detail(format!(
        "bundle {place} ({}): {} package(s) proven by {} signed pocket(s), {} brought into the store",
        supplied.digest, supplied.packages, supplied.pockets, supplied.brought
    ));
    Ok(HttpClient::new(http::HttpOptions::usual(true, None)))
}

fn take(
    source: BundleSource<'_>,
    orders: &[LockedImage<'_>],
    platforms: &[Platform],
    session: &Session,
) -> Result<BundleSupply, Error> {
    let (store, reporter) = (session.store()?, session.reporter());
    let bundle = bundle::open(source, store, reporter)?;
    let supplying = BundleSupplying { store, platforms, now: clock::now(), reporter };
    Ok(bundle::supply(&bundle, orders, &supplying)?)
}

/// Opens the registry that an address names, as the place where the bundle goes or comes from; returns it with the
/// repository.
fn connect<'a>(address: &str, is_output: bool, session: &'a Session) -> Result<(Connections<'a>, String), Error> {
    let file = session.registry_file();
    match file.location(address)? {
        ImageLocation::Registry { url, prefix } => {
            Ok((Connections::open(&url, &prefix, is_output, file, session)?, prefix))
        }
        ImageLocation::Layout(_) => Err(Error::usage(format!("cannot use `{address}`: it is no registry"))),
    }
}

fn push(written: &WrittenBundle, address: &str, reference: &str, session: &Session) -> Result<PushOutcome, Error> {
    if reference.parse::<Digest>().is_ok() {
        let message = format!("cannot write bundle `{address}@{reference}`: a digest cannot be chosen");
        return Err(Error::usage(message).hint("name a tag: `https://HOST/REPOSITORY:TAG`"));
    }

    let (connections, repository) = connect(address, true, session)?;
    let push = PushRequest {
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
