//! The signed states that locks name, wherever they still are: what proves a lock when the archive has moved on.
//!
//! An archive keeps one InRelease file a suite and replaces it several times a day, and a package is bound to it only
//! through the digest of a whole index. So every state that was read stays in the store, a registry's cache repository
//! can hold it for other machines (`shared`), and bundles carry it. A state is looked for in this order:
//!
//! 1. in the store, where the cache repository and bundles put it;
//! 2. at the mirrors, which serve it as long as it is the newest;
//! 3. at the distribution's snapshot service at its date, if the recipe names one;
//! 4. a later state of the pocket, from the mirrors or the store's memory.
//!
//! The archive's signature makes the place irrelevant: nobody on this list is trusted.
//!
//! The limit that remains: without cache repository, bundle or snapshot service, an empty machine can prove a lock only
//! until the first of its packages is superseded.

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

/// Finds states of the past.
#[derive(Clone, Copy)]
pub struct StateReader<'a> {
    /// Door to the archives.
    pub http: &'a HttpClient,
    /// Where states are kept.
    pub store: &'a Store,
    /// Where archives may be found.
    pub mirrors: &'a Mirrors,
    /// What time it is, to judge keys.
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

/// The files of a state that was read, for those who keep it for others.
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

    /// Returns what the store knows about the state of an InRelease file, if it has all of its files.
    #[must_use]
    pub fn of(inrelease: &Digest, store: &Store) -> Option<Self> {
        let files: Self = store.result(RECORD, inrelease)?;
        let folder = store.archives();
        let is_there = |(digest, size): (Digest, u64)| fs::size(&archive::kept(&folder, &digest)) == Some(size);
        let whole = files.all(inrelease).all(is_there);
        whole.then_some(files)
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

/// An InRelease file, and the archive root that it came from, unless it was in the store.
struct Anchor {
    bytes: Vec<u8>,
    base: Option<String>,
}

impl StateReader<'_> {
    /// Returns the very state that a lock names; none where nobody has all of it any more.
    ///
    /// # Errors
    /// When it is there and not to be trusted.
    pub fn exact(
        &self,
        mut pocket: Pocket,
        archive: &ArchiveDefinition,
        locked: &LockedPocket,
    ) -> Result<Option<FoundState>, Error> {
        let Some(Anchor { bytes, base }) = self.inrelease(&pocket, archive, locked)? else { return Ok(None) };
        // where the file was, its indexes are
        for uris in pocket.uris.values_mut() {
            uris.extend(base.clone().or_else(|| snapshots(archive, locked).into_iter().next()));
        }
        match self.reopen(&pocket, &bytes, locked.date)? {
            Ok(pocket) => Ok(Some(FoundState { bytes, pocket })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the newest state of a pocket, which must stand up to everything that `lock` demands of it; offline, the
    /// newest that the store remembers.
    ///
    /// # Errors
    /// When there is none, or it is not to be trusted.
    pub fn newest(&self, pocket: &Pocket) -> Result<FoundState, Error> {
        let folder = self.store.archives();
        let asked = std::slice::from_ref(pocket);
        let opened = archive::open(asked, self.http, &folder, self.now, self.reporter)?.swap_remove(0);
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
        // without the record nobody gets the state from here, which is no reason to stop
        let _ = self.store.keep(RECORD, &pocket.facts.inrelease, &files);
        Ok(found)
    }

    fn reopen(&self, pocket: &Pocket, bytes: &[u8], at: Epoch) -> Result<Result<PastPocket, Error>, Error> {
        let folder = self.store.archives();
        let past = PastContext { http: self.http, folder: &folder, at, now: self.now, reporter: self.reporter };
        self.http.block_on(archive::open_past(pocket, bytes, &past)).map_err(Error::Http)
    }

    /// Returns the InRelease file that a lock names, and where it was: in the store (nowhere), at a mirror, in a snapshot.
    fn inrelease(
        &self,
        pocket: &Pocket,
        archive: &ArchiveDefinition,
        locked: &LockedPocket,
    ) -> Result<Option<Anchor>, Error> {
        let is_it = |bytes: &Vec<u8>| Digest::of(bytes) == locked.inrelease;
        let kept = archive::kept(&self.store.archives(), &locked.inrelease);
        for path in [kept.clone(), self.store.blob(&locked.inrelease)] {
            if let Some(bytes) = fs::read(&path, release::SIZE_LIMIT).ok().filter(is_it) {
                return Ok(Some(Anchor { bytes, base: None }));
            }
        }
        if self.http.is_offline() {
            return Ok(None);
        }

        // architectures may live on different hosts; mirrors come before snapshots
        let (mut asked, mut silent) = (BTreeSet::new(), BTreeSet::new());
        for base in pocket.uris.values().flatten().cloned().chain(snapshots(archive, locked)) {
            let host = base.split('/').nth(2).unwrap_or_default().to_owned();
            if silent.contains(&host) || !asked.insert(base.clone()) {
                continue;
            }
            let url = format!("{}/dists/{}/InRelease", base.trim_end_matches('/'), pocket.suite);
            let answer = self.http.block_on(self.http.get(&url, release::SIZE_LIMIT)).map_err(Error::Http)?;
            match answer {
                Ok(bytes) if is_it(&bytes) => {
                    own::create_dir(kept.parent().unwrap_or(&kept))?;
                    fs::write_atomic(&kept, &bytes)?;
                    return Ok(Some(Anchor { bytes, base: Some(base) }));
                }
                // another state, or none
                Ok(_) => {}
                Err(error) if error.is_miss() => {}
                // what is not had there may be had elsewhere
                Err(_) => _ = silent.insert(host),
            }
        }
        Ok(None)
    }
}

/// Tells whether an index is nowhere to be had, so that another state may do.
fn is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::IndexGone { .. }
            | Error::Offline { .. }
            | Error::Unreachable { .. }
            // a mirror without by-hash serves a newer index in its place
            | Error::WrongDigest { .. }
    )
}

/// Returns addresses of the snapshot service that may show a state: a service shows what it had seen at a time, and sees a
/// state some hours after the `Date` that it carries.
fn snapshots(archive: &ArchiveDefinition, locked: &LockedPocket) -> Vec<String> {
    let hours = |count: i64| Epoch(locked.date.0.saturating_add(count * 3600));
    [hours(7), hours(1), hours(0)].into_iter().filter_map(|time| fetch::snapshot(archive, time)).collect()
}

/// The world as it was when a lock was made: to prove the lock, or to choose again because recipes changed.
pub struct LockedArchives<'a> {
    states: StateReader<'a>,
    /// Newest date of the states that were opened last: when a snapshot service has their packages.
    date: Cell<Epoch>,
}

impl<'a> LockedArchives<'a> {
    /// Takes the places where states are looked for.
    #[must_use]
    pub fn new(states: StateReader<'a>) -> Self {
        Self { states, date: Cell::new(states.now) }
    }

    /// Returns the state that a lock names, else a later one; the newest where no lock names one.
    fn find(
        &self,
        archive: &ArchiveDefinition,
        mut pocket: Pocket,
        locked: &[LockedPocket],
    ) -> Result<FoundState, Error> {
        let title = pocket.title();
        let Some(locked) = locked.iter().find(|state| state.title() == title) else {
            return self.states.newest(&pocket);
        };
        if let Some(found) = self.states.exact(pocket.clone(), archive, locked)? {
            return self.states.note(found);
        }
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
        self.date.set(locked.iter().map(|state| state.date).max().unwrap_or(states.now));
        let mut all = Vec::new();
        for archive in archives {
            let mut open = OpenArchive { pockets: Vec::new(), indexes: Vec::new(), warnings: Vec::new() };
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

    fn is_at_hand(&self, package: &BinaryPackage) -> bool {
        control::is_at_hand(package, self.states.store)
    }

    fn read(&self, needed: &[NeededPackage<'_>]) -> Result<BTreeMap<Digest, PackageContent>, lock::Error> {
        let StateReader { mirrors, store, http, reporter, .. } = self.states;
        let date = Some(self.date.get());
        control::read(needed, |needed| archives::wanted(needed, mirrors, date), store, http, reporter)
    }
}

fn outside(error: Error) -> lock::Error {
    lock::Error::Outside(AnyError::new(error))
}
