//! The addresses of an archive, in this order: flag, environment, `registry.yaml`, the host's own APT configuration,
//! the official address.

use crate::apt::host;
use crate::apt::host::AptSource;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use std::collections::BTreeMap;

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
        // an address for one architecture holds for all pockets: that mirror carries them together
        let own = pocket.uri.as_ref().filter(|_| !archive.uris.contains_key(architecture)).unwrap_or(official);
        let given = self.given.get(&archive.name).into_iter().flatten().cloned();
        let host = host::mirrors_for(own, &self.host);

        // the official addresses stay last: a mirror that lags behind must not stop a build
        let mut all: Vec<String> = Vec::new();
        for uri in given.chain(host).chain([own.clone(), official.clone()]) {
            let uri = uri.trim_end_matches('/').to_owned();
            if !all.contains(&uri) {
                all.push(uri);
            }
        }
        all
    }
}
