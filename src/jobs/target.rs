//! Where images are published: an address with the settings of the registry file.

use crate::build;
use crate::build::BuiltImage;
use crate::build::LayerLocation;
use crate::build::docker;
use crate::build::output;
use crate::build::output::Output;
use crate::build::record;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::workspace::is_asked_for;
use crate::lock::LockedImage;
use crate::lock::file::Lock;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::ImageLocation;
use crate::publish;
use crate::publish::GateResult;
use crate::publish::PublishPlace;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::publish::ReleaseProject;
use crate::report::ProgressEvent;
use crate::settings::RegistryFile;
use crate::shared;
use crate::shared::SharedCache;
use crate::values::Digest;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

/// Where images go when neither the request nor the registry file says it.
const USUAL_TARGET: &str = "oci:out";

/// Where images are published.
pub(crate) struct PublishTarget<'a> {
    session: &'a Session,
    /// The address as it was written.
    text: String,
    /// The request names it, not the registry file.
    is_named: bool,
    address: ImageLocation,
    file: RegistryFile,
    accept_older: bool,
    connections: OnceCell<Connections<'a>>,
}

/// How images are delivered.
pub(crate) struct Delivery<'a> {
    /// By image, the repositories that may have some of its layers.
    pub(crate) related: &'a BTreeMap<String, Vec<String>>,
    /// Only find out what would be done.
    pub(crate) dry_run: bool,
    /// Builds the images again from what the store has by then, and returns them by name.
    pub(crate) rebuild: &'a dyn Fn() -> Result<BTreeMap<String, BuiltImage>, Error>,
}

impl<'a> PublishTarget<'a> {
    /// Reads an address; without one the registry file's target and projects count.
    pub(crate) fn open(to: Option<&str>, session: &'a Session) -> Result<Self, Error> {
        let mut file = session.registry_file().clone();
        // the file's projects belong to the file's own target
        if to.is_some() {
            file.projects = None;
        }
        let text = to.map(str::to_owned).or_else(|| file.target.clone()).unwrap_or_else(|| USUAL_TARGET.to_owned());
        let address = file.location(&text)?;
        let (is_named, connections) = (to.is_some(), OnceCell::new());
        Ok(Self { session, text, is_named, address, file, accept_older: false, connections })
    }

    /// Lets moving tags go back to an older state where a reason is given.
    pub(crate) fn accepting_older(self, reason: Option<&String>) -> Self {
        if let Some(reason) = reason {
            self.session.warn(format!("tags may go back to an older state: {reason}"));
        }
        Self { accept_older: reason.is_some(), ..self }
    }

    /// Returns the address as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the address.
    pub(crate) fn address(&self) -> &ImageLocation {
        &self.address
    }

    /// Returns the settings that hold for this target.
    pub(crate) fn file(&self) -> &RegistryFile {
        &self.file
    }

    /// Returns the registry; none for a folder.
    pub(crate) fn connections(&self) -> Result<Option<&Connections<'a>>, Error> {
        let ImageLocation::Registry { url, prefix } = &self.address else { return Ok(None) };
        if let Some(connections) = self.connections.get() {
            return Ok(Some(connections));
        }
        let connections = Connections::open(url, prefix, self.is_named, &self.file, self.session)?;
        Ok(Some(self.connections.get_or_init(|| connections)))
    }

    /// Refuses to divide work between machines that cannot see each other's results.
    pub(crate) fn check_can_divide(&self) -> Result<(), Error> {
        if self.file.cache.as_ref().is_some_and(|cache| cache.sign.is_some() && cache.verify.is_some()) {
            return Ok(());
        }
        Err(Error::input("cannot divide the work: machines see each other's results in the shared cache")
            .hint("give `cache: { repository: NAME, verify: KEY, sign: KEY }` in the registry file"))
    }

    /// Returns the registry that people pull from, and what its repositories begin with; none for a folder.
    pub(crate) fn released(&self) -> Result<Option<(&RegistryClient, String)>, Error> {
        let ImageLocation::Registry { prefix, .. } = &self.address else { return Ok(None) };
        let prefix = self.file.released_below(prefix);
        Ok(self.connections()?.map(|connections| (connections.release(), prefix.to_owned())))
    }

    /// Returns where the layers may be of images that are published here.
    pub(crate) fn layers(&self) -> LayerLocation {
        match (&self.address, &self.file.cache) {
            (ImageLocation::Registry { url, .. }, Some(cache)) => {
                LayerLocation::Anywhere(shared::place(url, &cache.repository))
            }
            _ => LayerLocation::Here,
        }
    }

    /// Returns the cache repository; none where the registry file names none.
    pub(crate) fn cache(&self) -> Result<Option<SharedCache<'_>>, Error> {
        let (store, reporter) = (self.session.store()?, self.session.reporter());
        Ok(self.connections()?.and_then(|connections| connections.cache(store, reporter)))
    }

    /// Returns the cache repository; none where nothing may be asked either.
    fn reachable_cache(&self) -> Result<Option<SharedCache<'_>>, Error> {
        if self.file.cache.is_none() || self.session.options().offline { Ok(None) } else { self.cache() }
    }

    /// Brings what other machines have built into the store: their records alone, or with the layers' bytes.
    pub(crate) fn take_from_cache(
        &self,
        orders: &[LockedImage<'_>],
        options: &build::BuildOptions,
        with_layers: bool,
    ) -> Result<(), Error> {
        let Some(cache) = self.reachable_cache()? else { return Ok(()) };
        let store = self.session.store()?;
        let layers = if with_layers { LayerLocation::Here } else { self.layers() };
        let mut unknown: Vec<(Digest, &str)> = build::keys(orders, options)
            .into_iter()
            .zip(orders.iter().map(|order| order.definition.image.as_str()))
            .filter(|(key, _)| record::find(key, layers, store).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }

        let found = self.session.http().block_on(cache.take(&unknown, with_layers))?;
        self.session.detail(format!("shared cache: {found} of {} images", unknown.len()));

        // what has to be built has to be proven first, from states that this machine may not have
        unknown
            .retain(|(key, image)| is_asked_for(&options.images, image) && record::find(key, layers, store).is_none());
        if !unknown.is_empty() {
            self.take_states(orders.iter().map(|order| order.lock))?;
        }
        Ok(())
    }

    /// Brings the signed states that these locks name from the cache repository into the store, where there is one.
    pub(crate) fn take_states<'l>(&self, locks: impl Iterator<Item = &'l Lock>) -> Result<bool, Error> {
        let Some(cache) = self.reachable_cache()? else { return Ok(false) };
        let locks: Vec<&Lock> = locks.collect();
        self.session.http().block_on(cache.take_states(&locks))?;
        Ok(true)
    }

    /// Leaves the signed states that these locks name for machines that have nothing, if anything new was published.
    pub(crate) fn leave_states<'l>(
        &self,
        locks: impl Iterator<Item = &'l Lock>,
        published: &[Published],
    ) -> Result<(), Error> {
        if !published.iter().any(|published| published.state == PublishState::Published) {
            return Ok(());
        }
        let Some(cache) = self.reachable_cache()? else { return Ok(()) };
        let locks: Vec<&Lock> = locks.collect();
        if let Err(error) = self.session.http().block_on(cache.give_states(&locks))? {
            self.session.warn(format!("no signed states were left for others: {error}"));
        }
        Ok(())
    }

    /// Publishes built images. Those that prove to be damaged or gone on the way are built again, and sent.
    pub(crate) fn deliver(
        &self,
        orders: &[publish::PublishOrder<'_>],
        how: &Delivery<'_>,
    ) -> Result<Vec<Published>, Error> {
        let (prefix, connections) = match (&self.address, self.connections()?) {
            (ImageLocation::Registry { prefix, .. }, Some(connections)) => (prefix, connections),
            (ImageLocation::Layout(folder), _) => return self.to_layout(folder, orders, how),
            (ImageLocation::Registry { .. }, None) => unreachable!("a registry has connections"),
        };

        let mut published = self.to_registry(orders, prefix, connections, how)?;
        let mut lost: Vec<String> = Vec::new();
        for published in &published {
            // parents come first, so a child that waits for a lost one finds it here
            let is_lost = match &published.failure {
                Some(publish::Error::Lost { .. }) => true,
                Some(publish::Error::Parent { parent, .. }) => lost.contains(parent),
                _ => false,
            };
            lost.extend(is_lost.then(|| published.image.clone()));
        }
        if lost.is_empty() {
            return Ok(published);
        }

        self.session.warn(format!("parts of {} are damaged or gone: building them again", lost.join(", ")));
        let built = (how.rebuild)()?;
        let orders: Vec<publish::PublishOrder<'_>> = orders
            .iter()
            .filter(|order| lost.contains(&order.built.image))
            .filter_map(|order| {
                let built = built.get(&order.built.image)?;
                Some(publish::PublishOrder { built, ..*order })
            })
            .collect();
        for again in self.to_registry(&orders, prefix, connections, how)? {
            published.retain(|old| old.image != again.image);
            published.push(again);
        }
        Ok(published)
    }

    fn to_registry(
        &self,
        orders: &[publish::PublishOrder<'_>],
        prefix: &str,
        connections: &Connections<'_>,
        how: &Delivery<'_>,
    ) -> Result<Vec<Published>, Error> {
        let file = &self.file;
        if let Some(problem) = file.gate.problems().first() {
            return Err(Error::input(problem.to_string()).hint("change `gate` in the registry file"));
        }
        let (store, reporter) = (self.session.store()?, self.session.reporter());
        let cache = connections.cache(store, reporter);

        let converted = self.converted(orders)?;
        let orders: Vec<publish::PublishOrder<'_>> = orders
            .iter()
            .zip(&converted)
            .map(|(order, built)| publish::PublishOrder { built: built.as_ref().unwrap_or(order.built), ..*order })
            .collect();

        let publishing = async {
            let (harbor, without) = connections.harbor().await?;
            let release_harbor = connections.release_harbor(harbor.is_some());
            let release = file.projects.as_ref().map(|projects| ReleaseProject {
                project: &projects.release,
                registry: connections.release(),
                harbor: release_harbor.as_ref().or(harbor.as_ref()),
                labels: &file.setup.labels,
            });
            let place = PublishPlace {
                store,
                registry: connections.registry(),
                harbor: harbor.as_ref(),
                without,
                prefix: file.projects.as_ref().map_or(prefix, |projects| &projects.staging),
                release,
                cache: cache.as_ref(),
                related: how.related,
                policy: &file.gate,
                patience: &file.patience,
                chunk: file.chunk,
                dry_run: how.dry_run,
                accept_older: self.accept_older,
                reporter,
            };
            Ok::<_, Error>(publish::publish(&orders, &place).await)
        };
        self.session.http().block_on(publishing)?
    }

    /// Returns the images with Docker's media types, where the registry file says so for its target.
    fn converted(&self, orders: &[publish::PublishOrder<'_>]) -> Result<Vec<Option<BuiltImage>>, Error> {
        if !self.file.docker_types {
            return Ok(vec![None; orders.len()]);
        }
        let store = self.session.store()?;
        let text = "images get Docker's media types in this registry, and so other digests than in a layout";
        self.session.reporter().event(ProgressEvent::Info(text.to_owned()));
        let images = orders.iter().map(|order| docker::with_docker_types(order.built, store).map(Some));
        Ok(images.collect::<Result<_, _>>()?)
    }

    /// Writes images into a layout folder, where nobody scans anything.
    fn to_layout(
        &self,
        folder: &Path,
        orders: &[publish::PublishOrder<'_>],
        how: &Delivery<'_>,
    ) -> Result<Vec<Published>, Error> {
        if !self.is_named {
            output::check_unnamed(folder)?;
        }
        let output = Output::Layout(folder.to_owned());
        let built: Vec<BuiltImage> = orders.iter().map(|order| order.built.clone()).collect();
        if !how.dry_run {
            let store = self.session.store()?;
            match output::write(&output, &built, store) {
                // the damaged part was taken out of the store, so it is made again
                Err(error) if error.is_damage() => {
                    (how.rebuild)()?;
                    output::write(&output, &built, store)?;
                }
                written => written?,
            }
        }
        Ok(built.iter().map(|built| in_layout(built, &output, how.dry_run)).collect())
    }
}

/// Returns what became of an image that was written to a layout folder.
fn in_layout(built: &BuiltImage, output: &Output, dry_run: bool) -> Published {
    Published {
        image: built.image.clone(),
        repository: output.to_string(),
        digest: built.index.0,
        pushed: None,
        gate: GateResult::NotAvailable { reason: "a layout folder has no scanner" },
        tags: built.tags.clone(),
        moved: Vec::new(),
        withheld: BTreeSet::new(),
        state: if dry_run { PublishState::WouldPublish } else { PublishState::Published },
        failure: None,
    }
}
