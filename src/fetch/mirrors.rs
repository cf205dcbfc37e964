//! The addresses of an archive, in this order: flag, environment, `registry.yaml`, the host's own APT configuration,
//! the official address.

use crate::apt::host;
use crate::apt::host::AptSource;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Mirrors, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// Addresses by the recipe's archive name, from flag, environment or `registry.yaml`.
    pub given: BTreeMap<String, Vec<String>>,
    /// Sources in the host's own APT configuration.
    pub host: Vec<AptSource>,
}

impl Mirrors {
    /// Returns the addresses of one pocket for one architecture, best first, each once.
    #[must_use]
    pub fn of(&self, archive: &ArchiveDefinition, pocket: &PocketDefinition, architecture: &str) -> Vec<String> {
        let official = archive.uris.get(architecture).unwrap_or(&archive.uri);
        let own = official_of(archive, pocket, architecture);
        let given = self.given.get(&archive.name).into_iter().flatten().cloned();
        let host = host::mirrors_for(own, &pocket.suite, &archive.components, &self.host);

        // the official addresses stay last: a mirror that lags behind must not stop a build
        let mut all: Vec<String> = Vec::new();
        for uri in given.chain(host).chain([own.to_owned(), official.clone()]) {
            let uri = uri.trim_end_matches('/').to_owned();
            if !all.contains(&uri) {
                all.push(uri);
            }
        }
        all
    }
    /// Returns those addresses of a pocket that only this machine's APT configuration suggests.
    #[must_use]
    pub fn guessed(
        &self,
        archive: &ArchiveDefinition,
        pocket: &PocketDefinition,
        architecture: &str,
    ) -> BTreeSet<String> {
        let own = official_of(archive, pocket, architecture);
        let mut guessed: BTreeSet<String> =
            host::mirrors_for(own, &pocket.suite, &archive.components, &self.host).into_iter().collect();

        // what a person names is no guess
        let official = archive.uris.get(architecture).unwrap_or(&archive.uri);
        for uri in self.given.get(&archive.name).into_iter().flatten().chain([&own.to_owned(), official]) {
            guessed.remove(uri.trim_end_matches('/'));
        }
        guessed
    }
}

/// Returns the official address of a pocket.
pub(super) fn official_of<'a>(
    archive: &'a ArchiveDefinition,
    pocket: &'a PocketDefinition,
    architecture: &str,
) -> &'a str {
    // an address for one architecture holds for all pockets: that mirror carries them together
    let of_architecture = archive.uris.get(architecture);
    of_architecture.or(pocket.uri.as_ref()).unwrap_or(&archive.uri)
}
