//! Finds the signed states that locks name, wherever they still are: they prove a lock after the archive has moved on.
//!
//! An archive keeps one InRelease file for each suite and replaces it several times a day, and a package is bound to it
//! only through the digest of a whole index. So every state that was read stays in the store, a registry's cache
//! repository can hold it for other machines (`shared`), and bundles carry it. A state is looked for in this order:
//!
//! 1. in the store, where the cache repository and bundles put it;
//! 2. at the mirrors, which serve it as long as it is the newest;
//! 3. at the distribution's snapshot service at its date, if the recipe names one;
//! 4. a later state of the pocket, from the mirrors or the store's memory.
//!
//! None of these places is trusted: the archive's signature is verified wherever a state comes from.
//!
//! A limit remains: without a cache repository, bundle or snapshot service, a machine with an empty store can prove a
//! lock only until the first of its packages is superseded.

use crate::apt::BinaryPackage;
use crate::apt::archive;
use crate::apt::archive::Error;
use crate::apt::archive::PastContext;
use crate::apt::archive::PastPocket;
use crate::apt::archive::Pocket;
use crate::apt::release;
use crate::fault::AnyError;
use crate::fetch;
use crate::fetch::Mirrors;
use crate::fetch::archives;
use crate::fetch::control;
use crate::lock;
use crate::lock::file::Lock;
use crate::lock::file::LockedPocket;
use crate::lock::images::ArchiveAccess;
use crate::lock::images::NeededPackage;
use crate::lock::images::OpenArchive;
use crate::lock::images::PackageContent;
use crate::recipe::ArchiveDefinition;
use crate::recipe::PocketDefinition;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::HttpClient;
use crate::sys::own;
use crate::values::Architecture;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Finds earlier states of archives.
#[derive(Clone, Copy)]
pub struct StateReader<'a> {
    /// HTTP client for the archives.
    pub http: &'a HttpClient,
    /// Store that keeps states.
    pub store: &'a Store,
    /// Addresses of the archives.
    pub mirrors: &'a Mirrors,
    /// Current time, to judge keys.
    pub now: Epoch,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
}

/// A state that was found.
pub struct FoundState {
    /// The InRelease file.
    pub bytes: Vec<u8>,
    /// The pocket, verified, with its indexes.
    pub pocket: PastPocket,
}

/// Kind of the store's records about states.
const RECORD: &str = "state";

/// The files of a state that was read, for the cache repository and bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateFiles {
    /// The pocket's name, for people.
    title: String,
    /// Bytes of the InRelease file.
    inrelease_size: u64,
    /// Digest and size of every index, as it is kept.
    indexes: Vec<(Digest, u64)>,
}

impl StateFiles {
    /// Describes a state.
    #[must_use]
    pub fn new(title: &str, inrelease_size: u64, indexes: Vec<(Digest, u64)>) -> Self {
        Self { title: title.to_owned(), inrelease_size, indexes }
    }

    /// Returns the files of the state of an InRelease file, if the store has all of them.
    #[must_use]
    pub fn of(inrelease: &Digest, store: &Store) -> Option<Self> {
        let files: Self = store.result(RECORD, inrelease)?;
        let folder = store.archives();

        // part of a state proves nothing; its files may have been pruned one by one
        let is_complete =
            files.all(inrelease).all(|(digest, size)| fs::size(&archive::kept(&folder, &digest)) == Some(size));
        is_complete.then_some(files)
    }

    /// Returns every InRelease file and index that a lock names and the store knows.
    #[must_use]
    pub fn of_lock(lock: &Lock, store: &Store) -> Vec<Digest> {
        let mut digests = Vec::new();
        for state in &lock.archives {
            digests.push(state.inrelease);
            let files = Self::of(&state.inrelease, store);
            digests.extend(files.iter().flat_map(|files| &files.indexes).map(|(digest, _)| *digest));
        }
        digests
    }

    /// Returns all files: the InRelease file, then the indexes.
    pub fn all(&self, inrelease: &Digest) -> impl Iterator<Item = (Digest, u64)> {
        std::iter::once((*inrelease, self.inrelease_size)).chain(self.indexes.iter().copied())
    }

    /// Returns the pocket's name.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }
}

/// An InRelease file, the anchor of a state.
struct Anchor {
    bytes: Vec<u8>,
    /// The archive root that served it; none where it was in the store.
    base: Option<String>,
}

impl StateReader<'_> {
    /// Returns the exact state that a lock names, or none if no place has all of it any more.
    ///
    /// # Errors
    /// When the state exists and cannot be trusted.
    pub fn exact(
        &self,
        mut pocket: Pocket,
        archive: &ArchiveDefinition,
        locked: &LockedPocket,
    ) -> Result<Option<FoundState>, Error> {
        let Some(Anchor { bytes, base }) = self.inrelease(&pocket, archive, locked)? else { return Ok(None) };

        // an archive serves the indexes beside the InRelease file; one from the store may need them from a snapshot
        for uris in pocket.uris.values_mut() {
            uris.extend(base.clone().or_else(|| snapshots(archive, locked).into_iter().next()));
        }

        // at the date of the lock: `Valid-Until` of an old state has passed, and that is no reason to refuse it
        match self.reopen(&pocket, &bytes, locked.date)? {
            Ok(pocket) => Ok(Some(FoundState { bytes, pocket })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the exact state of a pocket that a lock names, alone; none if no place has it any more.
    ///
    /// # Errors
    /// When the state exists and cannot be trusted.
    pub fn past(
        &self,
        archive: &ArchiveDefinition,
        architectures: &BTreeSet<Architecture>,
        state: &LockedPocket,
    ) -> Result<Option<OpenArchive>, Error> {
        let named = |pocket: &&PocketDefinition| pocket.name == state.pocket && pocket.suite == state.suite;
        let Some(definition) = archive.pockets.iter().find(named) else { return Ok(None) };
        let pocket = archives::pocket(archive, definition, architectures, self.mirrors);
        let Some(found) = self.exact(pocket, archive, state)? else { return Ok(None) };

        let (facts, warnings, indexes) = self.note(found)?.pocket.into_indexes();
        let mut open = OpenArchive::default();
        archives::take(facts, warnings, indexes, &mut open);
        Ok(Some(open))
    }

    /// Returns the newest state of a pocket, verified as strictly as for a new lock; offline, the newest that the store
    /// remembers.
    ///
    /// # Errors
    /// When there is none, or it is not to be trusted.
    pub fn newest(&self, pocket: &Pocket) -> Result<FoundState, Error> {
        let folder = self.store.archives();
        let asked = std::slice::from_ref(pocket);
        let opened = archive::open(asked, self.http, &folder, self.now, self.reporter)?.swap_remove(0);

        // opened again from its kept files, so that both ways lead to the same type
        let bytes = fs::read(&archive::kept(&folder, &opened.facts.inrelease), release::SIZE_LIMIT)?;
        let pocket = self.reopen(pocket, &bytes, self.now)??;
        Ok(FoundState { bytes, pocket })
    }

    /// Remembers which files a state has.
    fn note(&self, found: FoundState) -> Result<FoundState, Error> {
        let FoundState { bytes, pocket } = &found;
        let indexes = pocket.files.iter().map(|file| (file.sha256, file.size)).collect();
        let title = format!("{}/{}", pocket.facts.archive, pocket.facts.pocket);
        let files = StateFiles::new(&title, bytes.len() as u64, indexes);

        // without the record the state is not shared with other machines, which is no reason to stop
        let _ = self.store.keep(RECORD, &pocket.facts.inrelease, &files);
        Ok(found)
    }

    /// Verifies a state again as of a time and reads its indexes. The outer error is the HTTP client's.
    fn reopen(&self, pocket: &Pocket, bytes: &[u8], at: Epoch) -> Result<Result<PastPocket, Error>, Error> {
        let folder = self.store.archives();
        let past = PastContext { http: self.http, folder: &folder, at, now: self.now, reporter: self.reporter };
        self.http.block_on(archive::open_past(pocket, bytes, &past)).map_err(Error::Http)
    }

    /// Returns the InRelease file that a lock names, from the store, a mirror or a snapshot service.
    fn inrelease(
        &self,
        pocket: &Pocket,
        archive: &ArchiveDefinition,
        locked: &LockedPocket,
    ) -> Result<Option<Anchor>, Error> {
        // a bundle leaves the file among the blobs, an earlier run among the archives
        let kept = archive::kept(&self.store.archives(), &locked.inrelease);
        for path in [kept.clone(), self.store.blob(&locked.inrelease)] {
            match fs::read(&path, release::SIZE_LIMIT) {
                Ok(bytes) if Digest::of(&bytes) == locked.inrelease => return Ok(Some(Anchor { bytes, base: None })),
                // absent or damaged: somebody else may have it
                _ => {}
            }
        }
        if self.http.is_offline() {
            return Ok(None);
        }

        // architectures may live on different hosts; mirrors come before snapshots
        let (mut asked, mut silent) = (BTreeSet::new(), BTreeSet::new());
        for base in pocket.uris.values().flatten().cloned().chain(snapshots(archive, locked)) {
            // a host that does not answer costs minutes: each is waited for once
            let host = base.split('/').nth(2).unwrap_or_default().to_owned();
            if silent.contains(&host) || !asked.insert(base.clone()) {
                continue;
            }

            let asked = archive::release_at(self.http, &base, &pocket.suite);
            let answer = self.http.block_on(asked).map_err(Error::Http)?;
            match answer {
                Ok(bytes) if Digest::of(&bytes) == locked.inrelease => {
                    own::create_dir(kept.parent().unwrap_or(&kept))?;
                    fs::write_atomic(&kept, &bytes)?;
                    return Ok(Some(Anchor { bytes, base: Some(base) }));
                }
                // another state, or none
                Ok(_) => {}
                Err(error) if error.is_miss() => {}
                // another host may have it
                Err(_) => _ = silent.insert(host),
            }
        }
        Ok(None)
    }
}

/// Tells whether no place has an index any more, so that another state must be tried.
fn is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::IndexGone { .. }
            | Error::Offline { .. }
            | Error::Unreachable { .. }
            | Error::NoRelease { .. }
            // a mirror without by-hash serves a newer index in its place
            | Error::WrongDigest { .. }
    )
}

/// Returns addresses of the snapshot service that may have a state. A service serves what it had seen at a time, and it
/// sees a state some hours after the state's `Date`.
fn snapshots(archive: &ArchiveDefinition, locked: &LockedPocket) -> Vec<String> {
    // Debian's snapshot service imports four times a day, so after seven hours it has the state; a service that
    // imports more often may have a later one by then
    let hours = [7, 1, 0];
    let times = hours.map(|hours| Epoch(locked.date.0.saturating_add(hours * 3600)));
    times.into_iter().filter_map(|time| fetch::snapshot(archive, time)).collect()
}

/// The archives as they were when a lock was made: to prove the lock, or to choose again because recipes changed.
pub struct LockedArchives<'a> {
    states: StateReader<'a>,
    /// Newest date of the states that were opened last: the time at which a snapshot service has their packages.
    date: Cell<Epoch>,
}

impl<'a> LockedArchives<'a> {
    /// Reads states with this reader.
    #[must_use]
    pub fn new(states: StateReader<'a>) -> Self {
        Self { states, date: Cell::new(states.now) }
    }

    /// Returns the state that a lock names, else a later one; the newest if no lock names one.
    fn find(
        &self,
        archive: &ArchiveDefinition,
        mut pocket: Pocket,
        locked: &[LockedPocket],
    ) -> Result<FoundState, Error> {
        let Some(locked) = archives::locked_state(archive, &pocket, locked) else {
            return self.states.newest(&pocket);
        };
        if let Some(found) = self.states.exact(pocket.clone(), archive, locked)? {
            return self.states.note(found);
        }

        // from here on, a state older than the locked one is an attack
        pocket.locked = Some((locked.date, locked.inrelease));
        self.states.newest(&pocket)
    }
}

impl ArchiveAccess for LockedArchives<'_> {
    fn open(
        &self,
        archives: &[ArchiveDefinition],
        architectures: &BTreeSet<Architecture>,
        locked: &[LockedPocket],
    ) -> Result<Vec<OpenArchive>, lock::Error> {
        let states = &self.states;
        // `read` comes later and is not told which states the packages are from
        self.date.set(locked.iter().map(|state| state.date).max().unwrap_or(states.now));

        let mut all = Vec::new();
        for archive in archives {
            let mut open = OpenArchive::default();
            for definition in &archive.pockets {
                let pocket = archives::pocket(archive, definition, architectures, states.mirrors);
                let found = self.find(archive, pocket, locked).map_err(outside)?;
                let (facts, warnings, indexes) = found.pocket.into_indexes();
                archives::take(facts, warnings, indexes, &mut open);
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
        self.states.past(archive, architectures, state).map_err(outside)
    }

    fn is_at_hand(&self, package: &BinaryPackage) -> bool {
        control::is_at_hand(package, self.states.store)
    }

    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, lock::Error> {
        let StateReader { mirrors, store, http, reporter, .. } = self.states;
        let date = Some(self.date.get());
        control::read(needed, |needed| archives::wanted(needed, mirrors, date), store, http, reporter)
    }
}

/// Wraps an error of an archive for `lock`, which stands above and does not know its type.
fn outside(error: Error) -> lock::Error {
    lock::Error::Outside(AnyError::new(error))
}
