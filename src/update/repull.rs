//! How many bytes consumers pull again: the layers that are not what they were.
//!
//! Before an image is built this is an estimate from the locks' layer plans: a layer is pulled again when one of its
//! packages changed. Its size is that of the layer that was built from the old lock, where the store knows it, else the
//! sum of its packages, which are compressed harder and hold documentation: then the estimate is a rough one.

use crate::build::BuiltImage;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::layers::REST;
use crate::values::Digest;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What consumers of one platform pull again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repull {
    /// Which.
    pub platform: Platform,
    /// Compressed bytes of the layers that change.
    pub bytes: u64,
    /// Compressed bytes of all layers.
    pub whole: u64,
    /// Layers that change.
    pub layers: usize,
    /// Compared after building, not estimated.
    pub exact: bool,
}

impl Repull {
    /// Returns the share of the image in per cent, rounded up.
    #[must_use]
    pub fn percent(&self) -> u64 {
        (self.bytes * 100).div_ceil(self.whole.max(1))
    }
}

/// Compressed sizes of the layers of an image by platform and what they hold.
pub type Sizes = BTreeMap<(Platform, String), u64>;

/// Returns what the layers of a built image weigh.
#[must_use]
pub fn sizes(built: &BuiltImage) -> Sizes {
    let layers = built.platforms.iter().flat_map(|one| one.layers.iter().map(|layer| (one.platform, layer)));
    layers.map(|(platform, layer)| ((platform, layer.what.clone()), layer.blob.size)).collect()
}

/// Compares two built images.
#[must_use]
pub fn measure(old: &BuiltImage, new: &BuiltImage) -> Vec<Repull> {
    let there: BTreeSet<Digest> = old.blobs().into_keys().collect();
    let one = |platform: &crate::build::BuiltPlatform| {
        let changed = platform.layers.iter().filter(|layer| !there.contains(&layer.blob.digest));
        let sizes: Vec<u64> = changed.map(|layer| layer.blob.size).collect();
        let (bytes, layers) = (sizes.iter().sum(), sizes.len());
        Repull { platform: platform.platform, bytes, whole: platform.size(), layers, exact: true }
    };
    new.platforms.iter().map(one).collect()
}

/// Estimates from two locks what changes for one platform.
#[must_use]
pub fn estimate(old: &Lock, new: &Lock, sizes: Option<&Sizes>, platform: Platform) -> Repull {
    let mut repull = Repull { platform, bytes: 0, whole: 0, layers: 0, exact: false };
    let all = old.engine != new.engine || old.parameters != new.parameters;
    for level in &new.levels {
        let before = old.levels.iter().find(|before| before.recipe == level.recipe);
        let part = format!("level {}", level.recipe);
        let edited = old.definition.get(&part) != new.definition.get(&part);
        for (number, group) in level.layers.iter().enumerate() {
            let is = contents(level, number, platform);
            let was = before.and_then(|before| {
                let same = before.layers.iter().position(|other| other == group)?;
                Some(contents(before, same, platform))
            });
            let is_rest = group.iter().any(|name| name == REST);
            if is.is_empty() && !is_rest {
                continue;
            }
            let known = sizes.and_then(|sizes| size_of(sizes, platform, &level.recipe, group));
            let size = known.unwrap_or_else(|| is.values().sum());
            repull.whole += size;
            if all || edited && is_rest || was.as_ref() != Some(&is) {
                repull.bytes += size;
                repull.layers += 1;
            }
        }
    }
    repull
}

/// Returns the packages of a layer with their sizes.
fn contents(level: &LockedLevel, number: usize, platform: Platform) -> BTreeMap<Digest, u64> {
    let rest = level.layers.iter().position(|group| group.iter().any(|name| name == REST));
    let packages = level.packages.get(&platform).into_iter().flatten();
    let layer_of = |source: &String| level.layers.iter().position(|group| group.contains(source)).or(rest);
    packages
        .filter(|package| layer_of(&package.source) == Some(number))
        .map(|package| (package.sha256, package.size))
        .collect()
}

/// The layer is known under the words that [`crate::layer::split`] gives it.
fn size_of(sizes: &Sizes, platform: Platform, recipe: &str, group: &[String]) -> Option<u64> {
    let what = crate::layer::split::title(recipe, group);
    sizes.get(&(platform, what)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::file::LockedPackage;
    use crate::values::Epoch;

    fn package(name: &str, version: &str, size: u64) -> LockedPackage {
        LockedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: name.to_owned(),
            source_version: None,
            from: "a/release".to_owned(),
            component: "main".to_owned(),
            path: String::new(),
            size,
            sha256: Digest::of(format!("{name} {version}").as_bytes()),
            sha512: String::new(),
            why: String::new(),
            phased: None,
            state: None,
        }
    }

    fn lock(packages: &[(&str, &str, u64)]) -> Lock {
        let packages = packages.iter().map(|(name, version, size)| package(name, version, *size)).collect();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let level = LockedLevel {
            recipe: "r".to_owned(),
            layers: vec![names(&["big"]), names(&["*"])],
            packages: [(platform(), packages)].into(),
            excluded: Vec::new(),
            scripts: Vec::new(),
            reader: None,
            kept_back: Vec::new(),
            effects: Vec::new(),
        };
        Lock {
            format: 2,
            engine: 1,
            revision: 1,
            image: "i".to_owned(),
            epoch: Epoch(0),
            parameters: BTreeMap::new(),
            definition: BTreeMap::new(),
            files: None,
            archives: Vec::new(),
            levels: vec![level],
        }
    }

    fn platform() -> Platform {
        "linux/amd64".parse().unwrap()
    }

    #[test]
    fn counts_layers_whose_packages_changed() {
        let old = lock(&[("big", "1", 100), ("a", "1", 10), ("b", "1", 5)]);
        type Case<'a> = (&'a [(&'a str, &'a str, u64)], (u64, u64, usize));
        let table: [Case<'_>; 5] = [
            (&[("big", "1", 100), ("a", "1", 10), ("b", "1", 5)], (0, 115, 0)),
            (&[("big", "1", 100), ("a", "2", 11), ("b", "1", 5)], (16, 116, 1)),
            (&[("big", "2", 90), ("a", "1", 10), ("b", "1", 5)], (90, 105, 1)),
            (&[("big", "2", 90), ("a", "2", 10)], (100, 100, 2)),
            (&[("a", "1", 10), ("b", "1", 5)], (0, 15, 0)),
        ];
        for (packages, expected) in table {
            let found = estimate(&old, &lock(packages), None, platform());
            assert_eq!((found.bytes, found.whole, found.layers), expected, "{packages:?}");
        }
        let sizes: Sizes = [((platform(), "r: big".to_owned()), 70)].into();
        let found = estimate(&old, &lock(&[("big", "2", 90), ("a", "1", 10), ("b", "1", 5)]), Some(&sizes), platform());
        assert_eq!((found.bytes, found.whole, found.percent()), (70, 85, 83));
        let mut edited = old.clone();
        edited.definition.insert("level r".to_owned(), Digest::of(b"x"));
        assert_eq!(estimate(&old, &edited, None, platform()).bytes, 15);
    }
}
