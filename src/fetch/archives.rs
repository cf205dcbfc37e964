//! Archives for `lock`: opens them over the network and reads the control data of packages.

use crate::apt::BinaryPackage;
use crate::apt::archive;
use crate::apt::archive::ComponentIndex;
use crate::apt::archive::OpenPocket;
use crate::apt::archive::Pocket;
use crate::apt::archive::PocketState;
use crate::apt::deb;
use crate::fault::AnyError;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::WantedPackage;
use crate::fetch::control;
use crate::fetch::states::StateReader;
use crate::lock;
use crate::lock::BrokenPocket;
use crate::lock::file::LockedPocket;
use crate::lock::images::ArchiveAccess;
use crate::lock::images::NeededPackage;
use crate::lock::images::OpenArchive;
use crate::lock::images::OpenIndex;
use crate::lock::images::PackageContent;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::http::HttpClient;
use crate::values::Architecture;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Archives and packages over the network, kept in the store.
pub struct OnlineArchives<'a> {
    /// HTTP client.
    pub http: &'a HttpClient,
    /// Store for downloads.
    pub store: &'a Store,
    /// Addresses of the archives.
    pub mirrors: &'a Mirrors,
    /// Pockets to read; empty means all of the recipe.
    pub pockets: &'a BTreeSet<String>,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
    /// Current time, to judge freshness.
    pub now: Epoch,
    /// Accept states older than those that locks or the store remember, because a person asked for it.
    pub accept_older: bool,
    /// Where a pocket cannot be read, and others can: take the state that the locks name.
    pub keep_broken: bool,
}

/// A fetched package is not what the index said.
#[derive(Debug, thiserror::Error)]
#[error("cannot use package `{package}`: {cause}")]
pub struct BadPackage {
    /// Name and version.
    pub package: String,
    /// What is wrong with it.
    pub cause: deb::Error,
}

impl Explain for BadPackage {
    fn turn(&self) -> Turn {
        Turn::Outside
    }

    fn hints(&self) -> Vec<String> {
        vec!["the archive or a mirror serves a damaged package: try another mirror".to_owned()]
    }
}

impl ArchiveAccess for OnlineArchives<'_> {
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
        locked: &[LockedPocket],
    ) -> Result<Vec<OpenArchive>, lock::Error> {
        let mut pockets: Vec<Pocket> = Vec::new();
        for archive in archives {
            for definition in archive.pockets.iter().filter(|definition| self.is_wanted(definition)) {
                pockets.push(self.pocket(archive, definition, architectures, locked));
            }
        }
        // all in one call, so that they are downloaded concurrently
        let folder = self.store.archives();
        let opened = if self.keep_broken {
            self.open_each(&pockets, archives, locked)?
        } else {
            let opened = archive::open(&pockets, self.http, &folder, self.now, self.reporter).map_err(outside)?;
            opened.into_iter().map(|pocket| (pocket, None)).collect()
        };
        let mut opened = opened.into_iter().peekable();

        // they come back in the order in which they were asked for, archive by archive
        let mut all = Vec::new();
        for archive in archives {
            let mut open = OpenArchive::default();
            while let Some((pocket, broken)) = opened.next_if(|(pocket, _)| pocket.facts.archive == archive.name) {
                take(pocket.facts, pocket.warnings, pocket.indexes, &mut open);
                open.broken.extend(broken);
            }
            all.push(open);
        }
        Ok(all)
    }

    fn past(
        &self,
        archive: &ArchiveDefinition,
        architectures: &BTreeSet<Architecture>,
        state: &LockedPocket,
    ) -> Result<Option<OpenArchive>, lock::Error> {
        self.states().past(archive, architectures, state).map_err(outside)
    }

    fn is_at_hand(&self, package: &BinaryPackage) -> bool {
        control::is_at_hand(package, self.store)
    }

    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, lock::Error> {
        // no snapshot service: today's archives list these packages, and one that they do not have is a fault to report
        control::read(needed, |needed| wanted(needed, self.mirrors, None), self.store, self.http, self.reporter)
            .map_err(Explain::still_listed)
    }
}

/// Returns what has to be fetched to read a package. With a `time`, the archive's snapshot service at that time is
/// one of the addresses.
pub(super) fn wanted(needed: &NeededPackage<'_>, mirrors: &Mirrors, time: Option<Epoch>) -> WantedPackage {
    let NeededPackage { archives, from, platform, package } = needed;
    let (mut uris, guessed) = fetch::addresses(archives, from, platform.architecture().debian(), mirrors);
    let archive = archives.iter().find(|archive| from.split('/').next() == Some(&archive.name));
    uris.extend(archive.zip(time).and_then(|(archive, time)| fetch::snapshot(archive, time)));

    WantedPackage {
        name: package.name.clone(),
        version: package.version.to_string(),
        architecture: package.architecture.clone(),
        path: package.filename.clone(),
        size: package.size,
        sha256: package.sha256,
        sha512: package.sha512.clone(),
        uris,
        guessed,
    }
}

impl OnlineArchives<'_> {
    fn states(&self) -> StateReader<'_> {
        let Self { http, store, mirrors, now, reporter, .. } = *self;
        StateReader { http, store, mirrors, now, reporter }
    }

    /// Opens pockets. Those that cannot be read stay in the state that the locks name, as long as another one can be
    /// read: then something is wrong with the pocket, and not with the network.
    fn open_each(
        &self,
        pockets: &[Pocket],
        archives: &[ArchiveDefinition],
        locked: &[LockedPocket],
    ) -> Result<Vec<(OpenPocket, Option<BrokenPocket>)>, lock::Error> {
        let folder = self.store.archives();
        let opened = archive::open_each(pockets, self.http, &folder, self.now, self.reporter).map_err(outside)?;
        let is_any = opened.iter().any(Result::is_ok);

        let mut all = Vec::new();
        for (pocket, opened) in pockets.iter().zip(opened) {
            let error = match opened {
                Ok(opened) => {
                    all.push((opened, None));
                    continue;
                }
                Err(error) => error,
            };
            // what people must mend in recipes or settings is not the archive's fault
            let state = locked.iter().find(|state| state.title() == pocket.title() && state.suite == pocket.suite);
            let archive = archives.iter().find(|archive| archive.name == pocket.archive);
            let (Some(state), Some(archive)) = (state, archive) else { return Err(outside(error)) };
            if !is_any || error.turn() != Turn::Outside {
                return Err(outside(error));
            }
            let Ok(Some(found)) = self.states().exact(pocket.clone(), archive, state) else {
                return Err(outside(error));
            };

            let (facts, warnings, indexes) = found.pocket.into_indexes();
            let broken = BrokenPocket {
                pocket: pocket.title(),
                state: facts.date,
                cause: error.to_string(),
                hints: error.hints(),
                turn: error.turn(),
            };
            all.push((OpenPocket { facts, warnings, indexes }, Some(broken)));
        }
        Ok(all)
    }

    /// Returns a pocket with what locks know about it.
    fn pocket(
        &self,
        archive: &ArchiveDefinition,
        definition: &PocketDefinition,
        architectures: &BTreeSet<Architecture>,
        locked: &[LockedPocket],
    ) -> Pocket {
        let mut pocket = pocket(archive, definition, architectures, self.mirrors);

        pocket.locked = locked_state(archive, &pocket, locked).map(|state| (state.date, state.inrelease));
        pocket.accept_older = self.accept_older;
        pocket
    }

    /// Tells whether a pocket is one of those to read.
    fn is_wanted(&self, pocket: &PocketDefinition) -> bool {
        self.pockets.is_empty() || self.pockets.contains(&pocket.name)
    }
}

/// Returns the state of a pocket that locks name.
///
/// Another suite is another line of states, with dates of its own. So is what a key signed that the recipe does not pin any
/// more: another archive has taken the place of that one.
pub(super) fn locked_state<'a>(
    archive: &ArchiveDefinition,
    pocket: &Pocket,
    locked: &'a [LockedPocket],
) -> Option<&'a LockedPocket> {
    let title = pocket.title();
    locked.iter().find(|state| state.title() == title && state.suite == pocket.suite && archive.pins(&state.signed_by))
}

/// Adds an opened pocket to its archive.
pub(super) fn take(facts: PocketState, warnings: Vec<String>, indexes: Vec<ComponentIndex>, open: &mut OpenArchive) {
    open.indexes.extend(indexes.into_iter().map(|index| OpenIndex {
        pocket: facts.pocket.clone(),
        component: index.component,
        architecture: index.architecture,
        index: index.index,
    }));

    let PocketState { archive, pocket, suite, codename, date, valid_until, inrelease, signed_by } = facts;
    open.pockets.push(LockedPocket { archive, pocket, suite, codename, date, valid_until, inrelease, signed_by });
    open.warnings.extend(warnings);
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
    let guessed = architectures.iter().flat_map(|arch| mirrors.guessed(archive, pocket, arch)).collect();

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
        official: pocket.uri.as_ref().unwrap_or(&archive.uri).trim_end_matches('/').to_owned(),
        guessed,
        keys: archive.keys.clone(),
        fingerprints: archive.fingerprints.clone(),
        frozen: pocket.frozen,
        locked: None,
        accept_older: false,
        warn_after: pocket.warn_after,
        max_age: pocket.max_age,
    }
}

/// Wraps an error for `lock`, which stands above and does not know its type.
fn outside(error: impl Explain + Send + Sync + 'static) -> lock::Error {
    lock::Error::Outside(AnyError::new(error))
}
