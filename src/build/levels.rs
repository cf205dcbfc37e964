//! Levels to layers, each level once for all images that share it.

use crate::build::BuildOptions;
use crate::build::Error;
use crate::build::platforms;
use crate::build::record::SCANNER_FILES;
use crate::check;
use crate::check::CheckFinding;
use crate::check::CheckReport;
use crate::check::CheckSubject;
use crate::check::acceptance;
use crate::fetch;
use crate::fetch::WantedPackage;
use crate::image::ImageLayer;
use crate::layer;
use crate::layer::level;
use crate::layer::split;
use crate::layer::unpack;
use crate::layer::unpack::StoredDeb;
use crate::layer::unpack::UnpackedPackage;
use crate::layer::unpacking::BackgroundUnpacking;
use crate::layer::write;
use crate::lock::LockedImage;
use crate::lock::file::LockedLevel;
use crate::recipe::ImageDefinition;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::http::HttpClient;
use crate::tree::ContentReader;
use crate::tree::Tree;
use crate::tree::inventory;
use crate::values::Digest;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

/// The trees of one image for one platform.
#[derive(Default)]
struct Assembled {
    /// One tree a level, from the root up: what that level adds or replaces.
    levels: Vec<Tree>,
    /// All levels laid over each other.
    whole: Tree,
    /// Package trees by level.
    packages: Vec<BTreeMap<String, Arc<UnpackedPackage>>>,
}

/// The layers of one image for one platform.
pub(super) struct PlatformLayers {
    /// From the bottom up.
    pub(super) layers: Vec<ImageLayer>,
    /// How many of them existed before.
    pub(super) reused: usize,
    /// Which of [`SCANNER_FILES`] the image has.
    pub(super) scanner_files: Vec<String>,
    /// Digest and size of the inventory.
    pub(super) inventory: (Digest, u64),
    /// What its check says.
    pub(super) report: CheckReport,
}

/// Everything that building layers needs. Layers that exist already are found in the store.
pub(super) struct Levels<'a> {
    pub(super) store: &'a Store,
    pub(super) unpacking: BackgroundUnpacking<'a>,
    contents: &'a ContentReader<'a>,
    reporter: &'a dyn ProgressReporter,
    options: &'a BuildOptions,
}

impl<'a> Levels<'a> {
    /// Fetches all packages that these images need, in parallel; they are unpacked [`BackgroundUnpacking::during`]
    /// the work.
    pub(super) fn prepare(
        orders: &[&LockedImage<'_>],
        options: &'a BuildOptions,
        contents: &'a ContentReader<'a>,
        http: &HttpClient,
        reporter: &'a dyn ProgressReporter,
    ) -> Result<Self, Error> {
        let store = contents.store();

        // images share most packages of their lower levels: each is fetched and unpacked once
        let mut known: BTreeSet<Digest> = BTreeSet::new();
        let mut wanted: Vec<WantedPackage> = Vec::new();
        for order in orders {
            let mut all = fetch::wanted(order.definition, order.lock, &options.mirrors);
            for platform in platforms(order.definition, options) {
                let new = order.lock.packages(platform).filter(|package| known.insert(package.sha256));
                wanted.extend(new.filter_map(|package| all.remove(&package.sha256)));
            }
        }

        // a package that was unpacked before needs no .deb any more
        let to_fetch: Vec<WantedPackage> =
            wanted.iter().filter(|package| unpack::is_missing(&package.sha256, store)).cloned().collect();
        fetch::fetch(&to_fetch, store, http, reporter)?;

        let debs =
            wanted.into_iter().map(|WantedPackage { name, sha256, size, .. }| StoredDeb { name, digest: sha256, size });
        let unpacking = BackgroundUnpacking::new(debs.collect(), contents, options.threads, reporter);
        Ok(Self { store, unpacking, contents, reporter, options })
    }

    /// Returns the layers of an image for one platform.
    pub(super) fn layers(&self, order: &LockedImage<'_>, platform: Platform) -> Result<PlatformLayers, Error> {
        let debs: Vec<Digest> = order.lock.packages(platform).map(|package| package.sha256).collect();
        let unpacked =
            self.unpacking.wait(&debs).map_err(|cause| layer_error(order.definition, platform, cause.into()))?;
        let assembled = assemble(order, platform, &unpacked, self.contents)?;
        // before anything is compressed: an image that would not start needs no layers
        let report = self.check(order, platform, &assembled)?;

        let mut lower = Tree::default();
        let mut plans = Vec::new();
        for (number, (tree, locked)) in assembled.levels.iter().zip(&order.lock.levels).enumerate() {
            let sources = sources(locked, platform);
            // a layer holds only what its level adds, so upper layers keep their bytes when lower ones change
            plans.extend(split::split(&locked.recipe, tree, &lower, &locked.layers, &sources));
            // no level lies over the last one, so nobody would look at a tree that includes it
            if number + 1 < assembled.levels.len() {
                lower.extend(tree.iter().cloned());
            }
        }
        let layers = self.all(plans).map_err(|cause| layer_error(order.definition, platform, cause))?;

        let reused = layers.iter().filter(|(_, reused)| *reused).count();
        let scanner_files =
            SCANNER_FILES.into_iter().filter(|path| assembled.whole.get(path).is_some()).map(str::to_owned).collect();
        let inventory = inventory::write(assembled.whole.iter(), self.store)?;
        let layers = layers.into_iter().map(|(layer, _)| layer).collect();
        Ok(PlatformLayers { layers, reused, scanner_files, inventory, report })
    }

    /// Checks the finished tree.
    fn check(&self, order: &LockedImage<'_>, platform: Platform, image: &Assembled) -> Result<CheckReport, Error> {
        let LockedImage { definition, lock } = *order;
        let Assembled { levels, whole, packages } = image;
        let subject = CheckSubject { definition, lock, platform, levels, whole, packages, contents: self.contents };
        let report = check::check(subject)?;
        refuse_errors(definition, platform, &report.findings)?;
        Ok(report)
    }

    /// Writes layers, two at a time, and returns each with whether it existed before. One alone leaves processors idle
    /// at its beginning and end.
    fn all(&self, plans: Vec<split::LayerPlan>) -> Result<Vec<(ImageLayer, bool)>, layer::Error> {
        // each writer uses all threads for compression, so a third one would only cost memory
        let together = self.options.threads.min(2);
        let count = plans.len();
        let queue = Mutex::new(plans.into_iter().enumerate());
        let done = Mutex::new(Vec::with_capacity(count));
        thread::scope(|scope| {
            for _ in 0..together {
                scope.spawn(|| {
                    loop {
                        // a statement of its own: in a `while let` the queue would stay locked during the work
                        let next = queue.lock().expect("no thread panics while it holds this").next();
                        let Some((index, plan)) = next else { break };
                        let result = self.layer(plan);

                        let mut done = done.lock().expect("no thread panics while it holds this");
                        // the image has failed: nobody needs the layers that are not begun yet
                        if result.is_err() {
                            queue.lock().expect("no thread panics while it holds this").by_ref().for_each(drop);
                        }
                        done.push((index, result));
                    }
                });
            }
        });

        // threads finish in any order; layers stay as they were planned, since digests depend on it
        let mut done = done.into_inner().expect("no thread panicked while it held this");
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Finds or writes one layer; tells whether it was found.
    fn layer(&self, plan: split::LayerPlan) -> Result<(ImageLayer, bool), layer::Error> {
        let split::LayerPlan { title: what, chunks } = plan;
        let compression = self.options.compression;
        let key = write::key(&chunks, compression);
        if let Some(blob) = write::find(&key, self.store, self.options.layers.place()) {
            return Ok((ImageLayer { blob, what, key: Some(key) }, true));
        }

        // only layers that are written report progress: found ones cost no time
        let total = chunks.iter().map(layer::chunk::LayerChunk::length).sum();
        self.reporter.event(ProgressEvent::Started { stage: ProgressStage::Compress, total, what: what.clone() });
        let options = write::LayerWriteOptions { compression, threads: self.options.threads };
        let blob = write::write(&chunks, options, self.contents, self.store, self.reporter)?;
        self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Compress, what: what.clone() });
        Ok((ImageLayer { blob, what, key: Some(key) }, false))
    }
}

/// Refuses an image with findings that stop it and that no recipe accepts.
pub(super) fn refuse_errors(
    definition: &ImageDefinition,
    platform: Platform,
    findings: &[CheckFinding],
) -> Result<(), Error> {
    let errors = acceptance::judge(findings, definition.levels_for(platform), clock::now()).errors;
    if errors.is_empty() {
        return Ok(());
    }
    Err(Error::Findings { image: definition.image.clone(), platform, findings: errors })
}

/// Wraps the error of a layer with what was being built.
fn layer_error(definition: &ImageDefinition, platform: Platform, cause: layer::Error) -> Error {
    Error::Layer { image: definition.image.clone(), platform, cause: Box::new(cause) }
}

/// Assembles the trees of one image for one platform from unpacked packages.
///
/// # Errors
/// [`Error::StaleLock`] when lock and definition do not fit, [`Error::Layer`] when paths do not.
fn assemble(
    order: &LockedImage<'_>,
    platform: Platform,
    unpacked: &BTreeMap<Digest, Arc<UnpackedPackage>>,
    contents: &ContentReader<'_>,
) -> Result<Assembled, Error> {
    let LockedImage { definition, lock } = order;
    let levels = definition.levels_for(platform);
    if levels.len() != lock.levels.len() {
        let cause = format!("{} levels are defined, {} are locked", levels.len(), lock.levels.len());
        return Err(stale(definition, cause));
    }

    let mut assembled = Assembled::default();
    for (index, locked) in lock.levels.iter().enumerate() {
        let Some(packages) = locked.packages.get(&platform) else {
            let cause = format!("level `{}` is not locked for {platform}", locked.recipe);
            return Err(stale(definition, cause));
        };
        let mut trees = BTreeMap::new();
        for package in packages {
            if let Some(tree) = unpacked.get(&package.sha256) {
                trees.insert(package.name.clone(), Arc::clone(tree));
            }
        }
        assembled.packages.push(trees);

        // a level sees all levels below: dpkg's database and generated files depend on them
        let parts = level::LevelParts {
            levels: &levels[..=index],
            packages: &assembled.packages,
            lower: &assembled.whole,
            architecture: platform.architecture(),
            epoch: lock.epoch,
        };
        let tree = level::assemble(&parts, contents).map_err(|cause| layer_error(definition, platform, cause))?;

        assembled.whole.extend(tree.iter().cloned());
        assembled.levels.push(tree);
    }
    Ok(assembled)
}

/// Returns the error for a lock that does not fit its definition.
fn stale(definition: &ImageDefinition, cause: String) -> Error {
    Error::StaleLock { image: definition.image.clone(), cause }
}

/// Returns the source package of every binary package of a level: layers are planned by source packages.
fn sources(locked: &LockedLevel, platform: Platform) -> BTreeMap<String, String> {
    let packages = locked.packages.get(&platform).into_iter().flatten();
    packages.map(|package| (package.name.clone(), package.source.clone())).collect()
}
