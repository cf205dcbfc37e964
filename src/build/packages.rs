//! Locked packages to what `fetch` wants: where each .deb may be found, in which order.

use crate::fetch::Wanted;
use crate::lock::file::Lock;
use crate::lock::file::LockedPackage;
use crate::recipe::ArchiveDefinition;
use crate::recipe::Definition;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Mirrors by official address, best first: given by flag or environment, then the host's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(pub BTreeMap<String, Vec<String>>);

impl Mirrors {
    /// Returns the mirrors of an official address, then the address itself, each once.
    #[must_use]
    pub fn of(&self, official: &str) -> Vec<String> {
        let official = official.trim_end_matches('/').to_owned();
        let mut all: Vec<String> = self.0.get(&official).cloned().unwrap_or_default();
        all.push(official);
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|uri| seen.insert(uri.clone()));
        all
    }
}

/// Returns every package of a lock by the digest of its .deb, ready to be fetched.
#[must_use]
pub fn wanted(definition: &Definition, lock: &Lock, mirrors: &Mirrors) -> BTreeMap<Digest, Wanted> {
    let packages = lock.levels.iter().flat_map(|level| level.packages.iter());
    let each = packages.flat_map(|(platform, packages)| packages.iter().map(move |package| (platform, package)));
    each.map(|(platform, package)| {
        let uris = addresses(definition, lock, package, platform.architecture().debian(), mirrors);
        let wanted = Wanted {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            path: package.path.clone(),
            size: package.size,
            sha256: package.sha256,
            sha512: Some(package.sha512.clone()),
            uris,
        };
        (package.sha256, wanted)
    })
    .collect()
}

/// Mirrors and official address of the pocket it was locked from, those of the archive, then the snapshot of that day.
fn addresses(
    definition: &Definition,
    lock: &Lock,
    package: &LockedPackage,
    architecture: &str,
    mirrors: &Mirrors,
) -> Vec<String> {
    let (name, pocket) = package.from.split_once('/').unwrap_or((&package.from, ""));
    let Some(archive) = definition.archives.iter().find(|archive| archive.name == name) else { return Vec::new() };
    let pocket_uri = archive.pockets.iter().find(|known| known.name == pocket).and_then(|pocket| pocket.uri.clone());
    let archive_uri = archive.uris.get(architecture).unwrap_or(&archive.uri);
    let mut uris: Vec<String> = pocket_uri.iter().chain([archive_uri]).flat_map(|uri| mirrors.of(uri)).collect();
    uris.extend(snapshot(archive, lock));
    uris
}

fn snapshot(archive: &ArchiveDefinition, lock: &Lock) -> Option<String> {
    let pattern = archive.snapshot.as_ref()?;
    Some(pattern.replace("{timestamp}", &lock.epoch.compact()).trim_end_matches('/').to_owned())
}
