//! From locked packages to the packages that `fetch` wants, with the addresses of each .deb in order.

use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::WantedPackage;
use crate::lock::file::Lock;
use crate::recipe::ArchiveDefinition;
use crate::recipe::ImageDefinition;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// Returns every package of a lock by the digest of its .deb, ready to be fetched: from mirrors and archives, else from
/// the distribution's snapshot service at the lock's time.
#[must_use]
pub fn wanted(definition: &ImageDefinition, lock: &Lock, mirrors: &Mirrors) -> BTreeMap<Digest, WantedPackage> {
    let mut all = BTreeMap::new();
    for (platform, packages) in lock.levels.iter().flat_map(|level| level.packages.iter()) {
        let architecture = platform.architecture().debian();
        for package in packages {
            let (mut uris, guessed) = fetch::addresses(&definition.archives, &package.from, architecture, mirrors);
            let name = package.from.split_once('/').map_or(&*package.from, |(archive, _)| archive);
            let archive = definition.archives.iter().find(|archive| archive.name == name);
            // last: it is slow, and needed only for versions that the archive has replaced
            uris.extend(archive.and_then(|archive| snapshot(archive, lock.epoch)));

            let wanted = WantedPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.architecture.clone(),
                path: package.path.clone(),
                size: package.size,
                sha256: package.sha256,
                sha512: Some(package.sha512.clone()),
                uris,
                guessed,
            };
            all.insert(package.sha256, wanted);
        }
    }
    all
}

/// Returns the address of an archive's snapshot service at a time, where it has one.
#[must_use]
pub fn snapshot(archive: &ArchiveDefinition, time: Epoch) -> Option<String> {
    let pattern = archive.snapshot.as_ref()?;
    Some(pattern.replace("{timestamp}", &time.compact()).trim_end_matches('/').to_owned())
}
