//! Levels to layers, each level once for all images that share it.

use crate::build::Error;
use crate::build::Options;
use crate::build::Order;
use crate::build::platforms;
use crate::build::record::SCANNER_FILES;
use crate::fetch;
use crate::fetch::Wanted;
use crate::image::Layer;
use crate::layer;
use crate::layer::level;
use crate::layer::split;
use crate::layer::unpack;
use crate::layer::unpack::Deb;
use crate::layer::unpack::Unpacked;
use crate::layer::unpacking::Unpacking;
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
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

/// The trees of one image for one platform.
#[derive(Debug, Clone, Default)]
pub struct Assembled {
    /// One tree a level, from the root up: what that level adds or replaces.
    pub levels: Vec<Tree>,
    /// All levels laid over each other.
    pub whole: Tree,
    /// Package trees by level.
    packages: Vec<BTreeMap<String, Arc<Unpacked>>>,
}

/// The layers of one image for one platform.
pub(super) struct Layers {
    /// From the bottom up.
    pub(super) layers: Vec<Layer>,
    /// How many of them were there already.
    pub(super) reused: usize,
    /// Which of [`SCANNER_FILES`] the image has.
    pub(super) scanner_files: Vec<String>,
}

/// Everything that building layers needs; what was made already is found in the store.
pub(super) struct Levels<'a> {
    pub(super) store: &'a Store,
    pub(super) unpacking: Unpacking<'a>,
    contents: &'a Contents<'a>,
    reporter: &'a dyn Reporter,
    options: &'a Options,
}

impl<'a> Levels<'a> {
    /// Fetches all packages that these images need, in parallel; they are unpacked [`Unpacking::during`] the work.
    pub(super) fn prepare(
        orders: &[&Order<'_>],
        options: &'a Options,
        contents: &'a Contents<'a>,
        http: &Http,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let store = contents.store();
        let mut known: BTreeSet<Digest> = BTreeSet::new();
        let mut wanted: Vec<Wanted> = Vec::new();
        for order in orders {
            let mut all = fetch::wanted(order.definition, order.lock, &options.mirrors);
            for platform in platforms(order.definition, options) {
                let new = order.lock.packages(platform).filter(|package| known.insert(package.sha256));
                wanted.extend(new.filter_map(|package| all.remove(&package.sha256)));
            }
        }
        let missing = |wanted: &&Wanted| unpack::is_missing(&wanted.sha256, store);
        let to_fetch: Vec<Wanted> = wanted.iter().filter(missing).cloned().collect();
        fetch::fetch(&to_fetch, store, http, reporter)?;
        let debs = wanted.into_iter().map(|Wanted { name, sha256, size, .. }| Deb { name, digest: sha256, size });
        let unpacking = Unpacking::new(debs.collect(), contents, options.threads, reporter);
        Ok(Self { store, unpacking, contents, reporter, options })
    }

    /// Returns the layers of an image for one platform.
    pub(super) fn layers(&self, order: &Order<'_>, platform: Platform) -> Result<Layers, Error> {
        let image = || order.definition.image.clone();
        let wrap = |cause| Error::Layer { image: image(), platform, cause: Box::new(cause) };
        let debs: Vec<Digest> = order.lock.packages(platform).map(|package| package.sha256).collect();
        let unpacked = self.unpacking.wait(&debs).map_err(|cause| wrap(cause.into()))?;
        let assembled = assemble(order, platform, &unpacked, self.contents)?;
        let mut lower = Tree::default();
        let mut plans = Vec::new();
        for (number, (tree, locked)) in assembled.levels.iter().zip(&order.lock.levels).enumerate() {
            let sources = sources(locked, platform);
            plans.extend(split::split(&locked.recipe, tree, &lower, &locked.layers, &sources));
            // nothing lies over the last one
            if number + 1 < assembled.levels.len() {
                lower.extend(tree.iter().cloned());
            }
        }
        let layers = self.all(plans).map_err(wrap)?;
        let reused = layers.iter().filter(|(_, reused)| *reused).count();
        let is_there = |path: &&str| assembled.whole.get(path).is_some();
        let scanner_files = SCANNER_FILES.into_iter().filter(is_there).map(str::to_owned).collect();
        Ok(Layers { layers: layers.into_iter().map(|(layer, _)| layer).collect(), reused, scanner_files })
    }

    /// Writes layers, two at a time: one alone leaves processors idle where it begins and ends.
    fn all(&self, plans: Vec<split::Plan>) -> Result<Vec<(Layer, bool)>, layer::Error> {
        let together = self.options.threads.min(2);
        let count = plans.len();
        let queue = Mutex::new(plans.into_iter().enumerate());
        let done = Mutex::new(Vec::with_capacity(count));
        thread::scope(|scope| {
            for _ in 0..together {
                scope.spawn(|| {
                    let next = || queue.lock().expect("no thread panics while it holds this").next();
                    while let Some((index, plan)) = next() {
                        let result = self.layer(plan);
                        let mut done = done.lock().expect("no thread panics while it holds this");
                        if result.is_err() {
                            queue.lock().expect("no thread panics while it holds this").by_ref().for_each(drop);
                        }
                        done.push((index, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("no thread panicked while it held this");
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    fn layer(&self, plan: split::Plan) -> Result<(Layer, bool), layer::Error> {
        let split::Plan { title: what, chunks } = plan;
        let compression = self.options.compression;
        let key = write::key(&chunks, compression);
        if let Some(blob) = write::find(&key, self.store, self.options.layers.place()) {
            return Ok((Layer { blob, what, key: Some(key) }, true));
        }
        let total = chunks.iter().map(layer::chunk::Chunk::length).sum();
        self.reporter.event(Event::Started { stage: Stage::Compress, total, what: what.clone() });
        let options = write::Options { compression, threads: self.options.threads };
        let blob = write::write(&chunks, options, self.contents, self.store, self.reporter)?;
        self.reporter.event(Event::Finished { stage: Stage::Compress, what: what.clone() });
        Ok((Layer { blob, what, key: Some(key) }, false))
    }
}

/// Assembles the trees of one image for one platform from unpacked packages.
///
/// # Errors
/// [`Error::StaleLock`] when lock and definition do not fit, [`Error::Layer`] when paths do not.
pub fn assemble(
    order: &Order<'_>,
    platform: Platform,
    unpacked: &BTreeMap<Digest, Arc<Unpacked>>,
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
        let tree = |package: &LockedPackage| Some((package.name.clone(), Arc::clone(unpacked.get(&package.sha256)?)));
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
        assembled.whole.extend(tree.iter().cloned());
        assembled.levels.push(tree);
    }
    Ok(assembled)
}

fn sources(locked: &LockedLevel, platform: Platform) -> BTreeMap<String, String> {
    let packages = locked.packages.get(&platform).into_iter().flatten();
    packages.map(|package| (package.name.clone(), package.source.clone())).collect()
}
