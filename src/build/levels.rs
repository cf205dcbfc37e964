//! Levels to layers, each level once for all images that share it.

use crate::build::Error;
use crate::build::Options;
use crate::build::Order;
use crate::build::packages;
use crate::build::platforms;
use crate::fetch;
use crate::fetch::Wanted;
use crate::image::Layer;
use crate::layer;
use crate::layer::level;
use crate::layer::split;
use crate::layer::unpack;
use crate::layer::unpack::Unpacked;
use crate::layer::write;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::store::Store;
use crate::sys::http::Http;
use crate::tree::Contents;
use crate::tree::Tree;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;

/// The trees of one image for one platform.
#[derive(Debug, Clone, Default)]
pub struct Assembled {
    /// One tree a level, from the root up: what that level adds or replaces.
    pub levels: Vec<Tree>,
    /// All levels laid over each other.
    pub whole: Tree,
    /// Package trees by level.
    packages: Vec<BTreeMap<String, Unpacked>>,
}

/// Everything that building layers needs; what was made already is found in the store.
pub(super) struct Levels<'a> {
    pub(super) store: &'a Store,
    contents: Contents<'a>,
    reporter: &'a dyn Reporter,
    options: &'a Options,
    unpacked: BTreeMap<Digest, Unpacked>,
}

impl<'a> Levels<'a> {
    /// Fetches and unpacks all packages that these images need, in parallel.
    pub(super) fn prepare(
        orders: &[&Order<'_>],
        options: &'a Options,
        store: &'a Store,
        http: &Http,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let mut wanted: BTreeMap<Digest, Wanted> = BTreeMap::new();
        for Order { definition, lock } in orders {
            let built = platforms(definition, options);
            let mut all = packages::wanted(definition, lock, &options.mirrors);
            for level in &lock.levels {
                for package in
                    level.packages.iter().filter(|(platform, _)| built.contains(platform)).flat_map(|(_, p)| p)
                {
                    wanted.extend(all.remove_entry(&package.sha256));
                }
            }
        }
        let missing = |wanted: &&Wanted| store.package_is_missing(&unpack::key(&wanted.sha256));
        let to_fetch: Vec<Wanted> = wanted.values().filter(missing).cloned().collect();
        fetch::fetch(&to_fetch, store, http, reporter)?;
        let debs: Vec<unpack::Deb> = wanted
            .values()
            .map(|wanted| unpack::Deb { name: wanted.name.clone(), digest: wanted.sha256, size: wanted.size })
            .collect();
        let unpacked =
            unpack::all(&debs, store, options.threads, reporter).map_err(|cause| in_general(orders, cause))?;
        let contents = Contents::new(store);
        Ok(Self { store, contents, reporter, options, unpacked })
    }

    /// Returns the layers of an image for one platform, and how many were there already.
    pub(super) fn layers(&self, order: &Order<'_>, platform: Platform) -> Result<(Vec<Layer>, usize), Error> {
        let image = || order.definition.image.clone();
        let wrap = |cause| Error::Layer { image: image(), platform, cause: Box::new(cause) };
        let assembled = assemble(order, platform, &self.unpacked, &self.contents)?;
        let mut lower = Tree::default();
        let mut layers = Vec::new();
        let mut reused = 0;
        for (tree, locked) in assembled.levels.iter().zip(&order.lock.levels) {
            let sources = sources(locked, platform);
            for plan in split::split(&locked.recipe, tree, &lower, &locked.layers, &sources) {
                let (layer, found) = self.layer(plan).map_err(wrap)?;
                layers.push(layer);
                reused += usize::from(found);
            }
            lower = overlay(&lower, tree);
        }
        Ok((layers, reused))
    }

    fn layer(&self, plan: split::Plan) -> Result<(Layer, bool), layer::Error> {
        let split::Plan { what, chunks } = plan;
        let compression = self.options.compression;
        let key = write::key(&chunks, compression);
        if let Some(blob) = write::find(&key, self.store) {
            return Ok((Layer { blob, what }, true));
        }
        let total = chunks.iter().map(layer::chunk::Chunk::length).sum();
        self.reporter.event(Event::Started { stage: Stage::Compress, total, what: what.clone() });
        let options = write::Options { compression, threads: self.options.threads };
        let blob = write::write(&chunks, options, &self.contents, self.store, self.reporter)?;
        self.reporter.event(Event::Finished { stage: Stage::Compress, what: what.clone() });
        Ok((Layer { blob, what }, false))
    }
}

fn in_general(orders: &[&Order<'_>], cause: unpack::Error) -> Error {
    let image = orders.last().map(|order| order.definition.image.clone()).unwrap_or_default();
    let platform = orders.last().and_then(|order| order.definition.platforms.first().copied());
    let platform = platform.unwrap_or(Platform(crate::values::Architecture::Amd64));
    Error::Layer { image, platform, cause: Box::new(cause.into()) }
}

/// Assembles the trees of one image for one platform from unpacked packages.
///
/// # Errors
/// [`Error::StaleLock`] when lock and definition do not fit, [`Error::Layer`] when paths do not.
pub fn assemble(
    order: &Order<'_>,
    platform: Platform,
    unpacked: &BTreeMap<Digest, Unpacked>,
    contents: &Contents<'_>,
) -> Result<Assembled, Error> {
    let Order { definition, lock } = order;
    let image = || definition.image.clone();
    let levels = definition.levels_for(platform);
    let stale = |cause: String| Error::StaleLock { image: image(), cause };
    if levels.len() != lock.levels.len() {
        return Err(stale(format!("{} levels are defined, {} are locked", levels.len(), lock.levels.len())));
    }
    let mut assembled = Assembled::default();
    for (index, locked) in lock.levels.iter().enumerate() {
        let missing = || stale(format!("level `{}` is not locked for {platform}", locked.recipe));
        let packages = locked.packages.get(&platform).ok_or_else(missing)?;
        let tree = |package: &LockedPackage| Some((package.name.clone(), unpacked.get(&package.sha256)?.clone()));
        assembled.packages.push(packages.iter().filter_map(tree).collect());
        let parts = level::Parts {
            levels: &levels[..=index],
            packages: &assembled.packages,
            lower: &assembled.whole,
            architecture: platform.architecture(),
            epoch: lock.epoch,
        };
        let tree = level::assemble(&parts, contents).map_err(|cause| Error::Layer {
            image: image(),
            platform,
            cause: Box::new(cause),
        })?;
        assembled.whole = overlay(&assembled.whole, &tree);
        assembled.levels.push(tree);
    }
    Ok(assembled)
}

/// Lays a level over those below.
fn overlay(lower: &Tree, upper: &Tree) -> Tree {
    lower.iter().chain(upper.iter()).cloned().collect()
}

fn sources(locked: &LockedLevel, platform: Platform) -> BTreeMap<String, String> {
    let packages = locked.packages.get(&platform).into_iter().flatten();
    packages.map(|package| (package.name.clone(), package.source.clone())).collect()
}
