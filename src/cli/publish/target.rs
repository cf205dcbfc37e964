//! Where images are to go: an address with the registry file's settings, and the Git checkout that is told.

use crate::announce::writeback;
use crate::announce::writeback::Image;
use crate::build;
use crate::build::Built;
use crate::build::Order;
use crate::build::Whereabouts;
use crate::build::output;
use crate::build::output::Output;
use crate::build::record;
use crate::cli::Context;
use crate::cli::connect::Connections;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::printer::Level;
use crate::cli::publish::Answer;
use crate::cli::workspace::Hands;
use crate::lock::file::Lock;
use crate::oci::registry::Registry;
use crate::oci::registry::address::Address;
use crate::publish;
use crate::publish::Place;
use crate::publish::Published;
use crate::publish::Release;
use crate::publish::State;
use crate::publish::policy;
use crate::recipe::RegistryFile;
use crate::shared;
use crate::shared::Cache;
use crate::values::Digest;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
/// Where images go when nobody says so.
const USUAL_TARGET: &str = "oci:out";

/// Where images are to go.
pub(crate) struct Target {
    text: String,
    /// The command line names it.
    is_named: bool,
    pub(super) address: Address,
    pub(super) file: RegistryFile,
    accept_older: bool,
    connections: OnceCell<Connections>,
}

impl Target {
    /// Reads the registry file; an address that was given stands instead of its target and projects.
    pub(crate) fn open(to: Option<&str>, registry: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let mut file = registry_file(registry, context)?;
        // its logins stay with its own target
        if to.is_some() {
            file.projects = None;
        }
        let text = to.map(str::to_owned).or_else(|| file.target.clone()).unwrap_or_else(|| USUAL_TARGET.to_owned());
        let address = Address::parse(&text, &file.insecure)?;
        let is_named = to.is_some();
        Ok(Self { address, is_named, text, file, accept_older: false, connections: OnceCell::new() })
    }

    /// Lets moving tags go back to an older state where a reason is given.
    pub(crate) fn accepting_older(self, reason: Option<&String>, context: &Context) -> Self {
        if let Some(reason) = reason {
            context.printer.warn(&format!("tags may go back to an older state: {reason}"));
        }
        Self { accept_older: reason.is_some(), ..self }
    }

    /// Returns what the registry file says.
    pub(crate) fn registry_file(&self) -> &RegistryFile {
        &self.file
    }

    /// Returns the registry; none for a folder.
    pub(crate) fn connections(&self, context: &Context) -> Result<Option<&Connections>, Failure> {
        let Address::Registry { url, .. } = &self.address else { return Ok(None) };
        if self.connections.get().is_none() {
            // nobody else fills it: it is not shared between threads
            let _ = self.connections.set(Connections::open(url, self.is_named, &self.file, context)?);
        }
        Ok(self.connections.get())
    }

    /// Refuses to divide work between machines that cannot see each other's results.
    pub(crate) fn can_divide(&self, divides: bool) -> Result<(), Failure> {
        if !divides || self.file.cache.as_ref().is_some_and(|cache| cache.sign.is_some() && cache.verify.is_some()) {
            return Ok(());
        }
        Err(Failure::new(Kind::Input, "cannot divide the work: machines see each other's results in the shared cache")
            .hint("give `cache: { repository: NAME, verify: KEY, sign: KEY }` in the registry file"))
    }

    /// Returns the registry that people pull from, and what its repositories begin with; none for a folder.
    pub(crate) fn released(&self, context: &Context) -> Result<Option<(&Registry, String)>, Failure> {
        let Address::Registry { prefix, .. } = &self.address else { return Ok(None) };
        let prefix = self.file.projects.as_ref().map_or(prefix, |projects| &projects.release);
        Ok(self.connections(context)?.map(|connections| (connections.release(), prefix.clone())))
    }

    /// Tells where layers of images may be that are published here.
    pub(crate) fn layers(&self) -> Whereabouts {
        match (&self.address, &self.file.cache) {
            (Address::Registry { url, .. }, Some(cache)) => {
                Whereabouts::Anywhere(shared::place(url, &cache.repository))
            }
            _ => Whereabouts::Here,
        }
    }

    /// Returns the cache repository; none where the registry file names none, or nothing may be asked.
    fn cache<'h>(&'h self, hands: &'h Hands, context: &Context) -> Result<Option<Cache<'h>>, Failure> {
        if self.file.cache.is_none() || context.settings.offline {
            return Ok(None);
        }
        Ok(self.connections(context)?.and_then(|connections| connections.cache(hands)))
    }

    /// Brings what other machines have built already into the store; `whole` with the layers' bytes.
    pub(crate) fn take(
        &self,
        orders: &[Order<'_>],
        options: &build::Options,
        (hands, whole): (&Hands, bool),
        context: &Context,
    ) -> Result<(), Failure> {
        let Some(cache) = self.cache(hands, context)? else { return Ok(()) };
        let layers = if whole { Whereabouts::Here } else { self.layers() };
        let names = orders.iter().map(|order| order.definition.image.as_str());
        let is_unknown = |(key, _): &(Digest, &str)| record::find(key, layers, &hands.store).is_none();
        let unknown: Vec<(Digest, &str)> =
            build::keys(orders, options).into_iter().zip(names).filter(is_unknown).collect();
        if !unknown.is_empty() {
            let found = hands.http.block_on(cache.take(&unknown, whole))?;
            let text = format!("shared cache: {found} of {} images", unknown.len());
            context.printer.talk(Level::Detail, &text);
            let is_wanted = |image: &str| options.images.is_empty() || options.images.iter().any(|name| name == image);
            if unknown.iter().any(|(key, image)| is_wanted(image) && is_unknown(&(*key, *image))) {
                // what has to be built has to be proven first
                let locks: Vec<&Lock> = orders.iter().map(|order| order.lock).collect();
                hands.http.block_on(cache.take_states(&locks))?;
            }
        }
        Ok(())
    }

    /// Brings the signed states that these locks name from the cache repository into the store, where there is one.
    pub(crate) fn bring_states<'l>(
        &self,
        locks: impl Iterator<Item = &'l Lock>,
        hands: &Hands,
        context: &Context,
    ) -> Result<(), Failure> {
        let Some(cache) = self.cache(hands, context)? else { return Ok(()) };
        let locks: Vec<&Lock> = locks.collect();
        Ok(hands.http.block_on(cache.take_states(&locks))?)
    }

    /// Leaves the signed states that these locks name for machines that have nothing.
    pub(crate) fn leave_states<'l>(
        &self,
        locks: impl Iterator<Item = &'l Lock>,
        answer: &Answer,
        hands: &Hands,
        context: &Context,
    ) -> Result<(), Failure> {
        let is_news = answer.published().any(|published| published.state == State::Published);
        if !is_news {
            return Ok(());
        }
        let Some(cache) = self.cache(hands, context)? else { return Ok(()) };
        let locks: Vec<&Lock> = locks.collect();
        if let Err(error) = hands.http.block_on(cache.give_states(&locks))? {
            context.printer.warn(&format!("no signed states were left for others: {error}"));
        }
        Ok(())
    }

    /// Publishes built images. What proves to be damaged or gone on the way is built again, and sent.
    pub(crate) fn deliver(
        &self,
        orders: &[publish::Order<'_>],
        how: &Delivery<'_>,
        context: &Context,
    ) -> Result<Answer, Failure> {
        match &self.address {
            Address::Layout(folder) => {
                if !self.is_named {
                    output::check_unnamed(folder)?;
                }
                let output = Output::Layout(folder.clone());
                let wanted: Vec<Built> = orders.iter().map(|order| order.built.clone()).collect();
                if !how.dry_run {
                    let written = output::write(&output, &wanted, &how.hands.store);
                    if written.as_ref().is_err_and(build::Error::is_damage) {
                        (how.again)()?;
                        output::write(&output, &wanted, &how.hands.store)?;
                    } else {
                        written?;
                    }
                }
                Ok(Answer::layout(&wanted, &output, how.dry_run, context.printer.elapsed()))
            }
            Address::Registry { prefix, .. } => {
                let connections = self.connections(context)?.expect("the address is that of a registry");
                let place = (prefix.as_str(), &self.file);
                let mut published = to_registry(orders, place, connections, (self.accept_older, how))?;
                let is_lost = |published: &&Published| matches!(published.failure, Some(publish::Error::Lost { .. }));
                let lost: Vec<String> = published.iter().filter(is_lost).map(|lost| lost.image.clone()).collect();
                if !lost.is_empty() {
                    let names = lost.join(", ");
                    context.printer.warn(&format!("parts of {names} are damaged or gone: building them again"));
                    let built = (how.again)()?;
                    let orders = orders.iter().filter(|order| lost.contains(&order.built.image));
                    let orders = orders.filter_map(|publish::Order { definition, built: old }| {
                        built.get(&old.image).map(|built| publish::Order { definition, built })
                    });
                    let orders: Vec<publish::Order<'_>> = orders.collect();
                    for again in to_registry(&orders, place, connections, (self.accept_older, how))? {
                        published.retain(|old| old.image != again.image);
                        published.push(again);
                    }
                }
                Ok(Answer::new(published, &self.text, context.printer.elapsed()))
            }
        }
    }
}

/// How images are delivered.
pub(crate) struct Delivery<'a> {
    pub(crate) hands: &'a Hands,
    /// By image, the repositories that may have some of its layers.
    pub(crate) related: &'a BTreeMap<String, Vec<String>>,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
    /// Builds the images again, of what the store has by then, and returns them by name.
    pub(crate) again: &'a dyn Fn() -> Result<BTreeMap<String, Built>, Failure>,
}

/// Which Git checkout is told about published images.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WriteBack {
    /// Put the digests of the published images into the Kustomize files, Helm values and manifests of this folder of a
    /// Git checkout, and commit them; references under other tags are left alone
    #[arg(long, value_name = "DIR")]
    write_back: Option<PathBuf>,
    /// Author of that commit, `NAME <MAIL>` [default: Git's own configuration]
    #[arg(long, value_name = "AUTHOR", requires = "write_back")]
    write_back_author: Option<String>,
    /// Push that commit with the checkout's own remote and branch
    #[arg(long, requires = "write_back")]
    write_back_push: bool,
}

impl WriteBack {
    /// Refuses flags that would do nothing, because nothing is published.
    pub(crate) fn not_without(&self, publishes: bool) -> Result<(), Failure> {
        if publishes || self.write_back.is_none() {
            return Ok(());
        }
        Err(Failure::new(Kind::Usage, "cannot write back digests: nothing is published"))
    }

    /// Says before anything is published what would stop the write-back in any case.
    pub(crate) fn check(&self, target: &Target) -> Result<(), Failure> {
        let Some(folder) = &self.write_back else { return Ok(()) };
        if let Address::Layout(_) = target.address {
            let message = "cannot write back digests of images in a layout folder: nothing pulls from it";
            return Err(Failure::new(Kind::Usage, message).hint("name a registry with `--to https://HOST/PROJECT`"));
        }
        Ok(writeback::check(folder, self.write_back_author.as_deref())?)
    }

    /// Tells the checkout; images that failed stay as they are there.
    pub(crate) fn after(&self, answer: Answer, dry_run: bool) -> Answer {
        let Some(folder) = &self.write_back else { return answer };
        let images: Vec<Image> = answer.published().filter_map(Image::of).collect();
        let author = self.write_back_author.as_deref();
        let options = writeback::Options { author, push: self.write_back_push, dry_run };
        let written = writeback::write_back(folder, &images, &options).map_err(Failure::from);
        answer.with_written_back(written)
    }
}

/// Reads the registry file; one that is not there is empty, unless it was named.
pub(crate) fn registry_file(given: Option<&Path>, context: &Context) -> Result<RegistryFile, Failure> {
    let Some(path) = given else {
        return Ok(RegistryFile::of_project(&context.settings.directory)?.unwrap_or_default());
    };
    let shown = path.display().to_string();
    let missing = || Failure::new(Kind::Input, format!("cannot read `{shown}`: there is no such file"));
    RegistryFile::read(path, &shown)?.ok_or_else(missing)
}

fn to_registry(
    orders: &[publish::Order<'_>],
    (prefix, file): (&str, &RegistryFile),
    connections: &Connections,
    (accept_older, how): (bool, &Delivery<'_>),
) -> Result<Vec<Published>, Failure> {
    let Delivery { hands, related, dry_run, .. } = *how;
    let (policy, patience) = (policy::policy(&file.gate), policy::patience(&file.gate));
    if let Some(problem) = policy.problems().first() {
        return Err(Failure::new(Kind::Input, problem.to_string()).hint("change `gate` in the registry file"));
    }
    let cache = connections.cache(hands);
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
            cache: cache.as_ref(),
            related,
            policy: &policy,
            patience: &patience,
            chunk: file.chunk,
            dry_run,
            accept_older,
            reporter: &hands.progress,
        };
        Ok::<_, Failure>(publish::publish(orders, &place).await)
    };
    let published = hands.http.block_on(work);
    hands.progress.close();
    published?
}
