//! Locked packages to what `fetch` wants: where each .deb may be found, in which order.

use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::Wanted;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Returns every package of a lock by the digest of its .deb, ready to be fetched: from mirrors and archives, else from
/// the distribution's snapshot service at the lock's time.
#[must_use]
pub fn wanted(definition: &Definition, lock: &Lock, mirrors: &Mirrors) -> BTreeMap<Digest, Wanted> {
    let mut all = BTreeMap::new();
    for (platform, packages) in lock.levels.iter().flat_map(|level| level.packages.iter()) {
        let architecture = platform.architecture().debian();
        for package in packages {
            let mut uris = fetch::addresses(&definition.archives, &package.from, architecture, mirrors);
            uris.extend(snapshot(definition, lock, &package.from));
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
            all.insert(package.sha256, wanted);
        }
    }
    all
}

fn snapshot(definition: &Definition, lock: &Lock, from: &str) -> Option<String> {
    let name = from.split_once('/').map_or(from, |(archive, _)| archive);
    let archive = definition.archives.iter().find(|archive| archive.name == name)?;
    let pattern = archive.snapshot.as_ref()?;
    Some(pattern.replace("{timestamp}", &lock.epoch.compact()).trim_end_matches('/').to_owned())
}
