//! The real world for `lock`: opens archives over the network and reads the control data of packages.

use crate::apt::archive;
use crate::apt::archive::OpenPocket;
use crate::apt::archive::Pocket;
use crate::apt::deb;
use crate::apt::deb::Deb;
use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::Wanted;
use crate::lock;
use crate::lock::file::LockedPocket;
use crate::lock::images::Content;
use crate::lock::images::Needed;
use crate::lock::images::Open;
use crate::lock::images::OpenIndex;
use crate::lock::images::Outside;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use crate::report::Reporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::Http;
use crate::values::Architecture;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;

/// Archives and packages over the network, kept in the store.
pub struct Online<'a> {
    /// Door to the network.
    pub http: &'a Http,
    /// Where downloads go.
    pub store: &'a Store,
    /// Where archives may be found.
    pub mirrors: &'a Mirrors,
    /// Only these pockets; empty means all of the recipe.
    pub pockets: &'a BTreeSet<String>,
    /// Hears about progress.
    pub reporter: &'a dyn Reporter,
    /// What time it is, to judge freshness.
    pub now: Epoch,
}

/// A fetched package is not what the index said.
#[derive(Debug, thiserror::Error)]
#[error("cannot use package `{package}`: {cause}")]
pub struct BadPackage {
    /// Name and version.
    pub package: String,
    /// Why.
    pub cause: deb::Error,
}

impl Outside for Online<'_> {
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
    ) -> Result<Vec<Open>, lock::Error> {
        let pockets_of = |archive: &ArchiveDefinition| -> Vec<Pocket> {
            let wanted = archive.pockets.iter().filter(|definition| self.is_wanted(definition));
            wanted.map(|definition| pocket(archive, definition, architectures, self.mirrors)).collect()
        };
        let pockets: Vec<Pocket> = archives.iter().flat_map(pockets_of).collect();
        let opened = archive::open(&pockets, self.http, &self.store.archives(), self.now, self.reporter);
        let mut opened = opened.map_err(outside)?.into_iter().peekable();
        let of_archive = |archive: &ArchiveDefinition| {
            let mut open = Open { pockets: Vec::new(), indexes: Vec::new(), warnings: Vec::new() };
            while let Some(pocket) = opened.next_if(|pocket| pocket.facts.archive == archive.name) {
                take(pocket, &mut open);
            }
            open
        };
        Ok(archives.iter().map(of_archive).collect())
    }

    fn read(&self, needed: &[Needed<'_>]) -> Result<BTreeMap<Digest, Content>, lock::Error> {
        let wanted: Vec<Wanted> = needed.iter().map(|needed| self.wanted(needed)).collect();
        let fetched = fetch::fetch(&wanted, self.store, self.http, self.reporter).map_err(outside)?;
        let mut contents = BTreeMap::new();
        for Needed { package, .. } in needed {
            let file = fs::open(&self.store.blob(&package.sha256)).map_err(outside)?;
            let bad = |cause| outside(BadPackage { package: format!("{} {}", package.name, package.version), cause });
            let deb = Deb::open(io::BufReader::new(file)).map_err(bad)?;
            deb.control().matches(package).map_err(bad)?;
            let sha512 = fetched.sha512.get(&package.sha256).or(package.sha512.as_ref()).cloned();
            let content = Content { sha512: sha512.unwrap_or_default(), members: deb.control().clone() };
            contents.insert(package.sha256, content);
        }
        Ok(contents)
    }
}

impl Online<'_> {
    fn is_wanted(&self, pocket: &PocketDefinition) -> bool {
        self.pockets.is_empty() || self.pockets.contains(&pocket.name)
    }

    fn wanted(&self, needed: &Needed<'_>) -> Wanted {
        let Needed { archives, from, platform, package } = needed;
        Wanted {
            name: package.name.clone(),
            version: package.version.to_string(),
            architecture: package.architecture.clone(),
            path: package.filename.clone(),
            size: package.size,
            sha256: package.sha256,
            sha512: package.sha512.clone(),
            uris: fetch::addresses(archives, from, platform.architecture().debian(), self.mirrors),
        }
    }
}

/// Adds a pocket to its archive.
fn take(opened: OpenPocket, open: &mut Open) {
    let archive::Facts { archive, pocket, suite, codename, date, valid_until, inrelease, signed_by } = opened.facts;
    open.indexes.extend(opened.indexes.into_iter().map(|index| OpenIndex {
        pocket: pocket.clone(),
        component: index.component,
        architecture: index.architecture,
        index: index.index,
    }));
    open.pockets.push(LockedPocket { archive, pocket, suite, codename, date, valid_until, inrelease, signed_by });
    open.warnings.extend(opened.warnings);
}

/// Returns a pocket as [`archive::open`] wants it.
#[must_use]
pub fn pocket(
    archive: &ArchiveDefinition,
    pocket: &PocketDefinition,
    architectures: &BTreeSet<Architecture>,
    mirrors: &Mirrors,
) -> Pocket {
    let architectures: Vec<String> = architectures.iter().map(|arch| arch.debian().to_owned()).collect();
    let uris = architectures.iter().map(|arch| (arch.clone(), mirrors.of(archive, pocket, arch))).collect();
    Pocket {
        archive: archive.name.clone(),
        name: pocket.name.clone(),
        suite: pocket.suite.clone(),
        expected_suite: pocket.expected_suite.clone(),
        codename: pocket.codename.clone(),
        origin: archive.origin.clone(),
        label: archive.label.clone(),
        components: archive.components.clone(),
        architectures,
        uris,
        keys: archive.keys.clone(),
        fingerprints: archive.fingerprints.clone(),
        frozen: pocket.frozen,
        // the store's own memory is what pins a frozen pocket
        pinned: None,
        warn_after: pocket.warn_after,
        max_age: pocket.max_age,
    }
}

fn outside(error: impl std::error::Error + Send + Sync + 'static) -> lock::Error {
    lock::Error::Outside(Box::new(error))
}
