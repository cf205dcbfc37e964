//! A configured archive pocket at one point in time: open it, verify it, read its indexes.
//!
//! - **In**: a [`Pocket`] as a recipe describes it, and the time.
//! - **Out**: [`OpenPocket`]: the facts that a lock file records, and the indexes.
//! - **Invariants**: nothing is read that does not chain to a pinned key. A state that is older than the remembered
//!   one, outdated, or of another suite is an error. After a wrong digest or signature no other mirror is asked, except
//!   where the address was only guessed to be a mirror: then it is none.
//! - **Not here**: choosing packages (`lock`), fetching them (`fetch`).

mod decoded;
mod error;
mod indexes;
mod judge;
mod memory;
mod mirrors;
mod past;
mod place;
mod reading;

pub use error::Error;
pub use mirrors::release_at;
pub use past::IndexFile;
pub use past::PastContext;
pub use past::PastPocket;
pub use past::kept;
pub use past::open_past;
pub use past::remember;
pub use place::FLAT_COMPONENT;
pub use place::file_address;
pub use place::is_flat;

use crate::apt::index::PackageIndex;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::sys::http;
use crate::sys::http::HttpClient;
use crate::sys::own;
use crate::values::Digest;
use crate::values::Epoch;
use futures_util::future;
use indexes::IndexFetcher;
use indexes::SelectedIndex;
use judge::AcceptedRelease;
use memory::PocketMemory;
use mirrors::ServedInRelease;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

/// One suite of an archive, with everything that the recipe requires of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pocket {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub name: String,
    /// Suite: the path below `dists/`; of a flat repository its path with a slash at the end.
    pub suite: String,
    /// Required `Suite` field, where it is not [`Self::suite`].
    pub expected_suite: Option<String>,
    /// Required `Codename` field; none means that there must be none. So do the next two.
    pub codename: Option<String>,
    /// Required `Origin` field.
    pub origin: Option<String>,
    /// Required `Label` field.
    pub label: Option<String>,
    /// Components to read; a flat repository has none.
    pub components: Vec<String>,
    /// Architectures to read.
    pub architectures: Vec<String>,
    /// Addresses without trailing slash by architecture, best first; `*` is for all other architectures.
    pub uris: BTreeMap<String, Vec<String>>,
    /// Official address, which the memory goes by.
    pub official: String,
    /// Those of the addresses that were only guessed to mirror the archive: what is wrong there is no reason to stop.
    pub guessed: BTreeSet<String>,
    /// OpenPGP certificates, armored or binary.
    pub keys: Vec<Vec<u8>>,
    /// Pinned primary-key fingerprints: one of them must have signed.
    pub fingerprints: Vec<String>,
    /// Never changes once published: its age does not count, and its state must be [`Self::locked`].
    pub frozen: bool,
    /// Date and InRelease file of the newest state that a lock names. It protects like the folder's memory, but
    /// on every machine.
    pub locked: Option<(Epoch, Digest)>,
    /// Accept a state that is older than those of lock and memory, and remember it instead.
    pub accept_older: bool,
    /// Age in seconds above which there is a warning.
    pub warn_after: Option<u64>,
    /// Age in seconds above which the pocket is refused.
    pub max_age: Option<u64>,
}

/// The anchor of the chain from signature to package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PocketState {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub pocket: String,
    /// Suite: the path below `dists/`.
    pub suite: String,
    /// `Codename` field, where there is one.
    pub codename: Option<String>,
    /// `Date` field.
    pub date: Epoch,
    /// `Valid-Until` field.
    pub valid_until: Option<Epoch>,
    /// SHA-256 of the InRelease file as served.
    pub inrelease: Digest,
    /// Fingerprint of the pinned primary key that signed it, upper-case hexadecimal.
    pub signed_by: String,
}

/// The packages of one component for one architecture.
#[derive(Debug)]
pub struct ComponentIndex {
    /// `main`, `universe`, …
    pub component: String,
    /// `amd64`, `arm64`; `all` for an index that holds for every architecture.
    pub architecture: String,
    /// The packages.
    pub index: PackageIndex,
}

/// A verified pocket.
#[derive(Debug)]
pub struct OpenPocket {
    /// The facts that a lock file records.
    pub facts: PocketState,
    /// What a person should look at, although it is still acceptable.
    pub warnings: Vec<String>,
    /// One index for each component and architecture: all architectures of the first component first. Those for `all`
    /// come last.
    pub indexes: Vec<ComponentIndex>,
}

impl Pocket {
    /// Returns the addresses for an architecture, best first.
    #[must_use]
    pub fn mirrors(&self, architecture: &str) -> &[String] {
        self.uris.get(architecture).or_else(|| self.uris.get("*")).map_or(&[], Vec::as_slice)
    }

    /// Returns all addresses that serve the InRelease file, each once, those of the first architecture first. One file
    /// covers all architectures, even where different hosts serve them (Ubuntu's `ports` for arm64).
    fn anchors(&self) -> Vec<&str> {
        let mut anchors: Vec<&str> = Vec::new();
        for uri in self.architectures.iter().flat_map(|architecture| self.mirrors(architecture)) {
            if !anchors.contains(&uri.as_str()) {
                anchors.push(uri);
            }
        }
        anchors
    }

    /// Returns the pocket's name for messages, `ubuntu/security`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.archive, self.name)
    }
}

/// Opens pockets: asks for all of them at once, fetches what changed, verifies everything, reads the indexes,
/// and remembers the states in `folder`. Pockets and warnings come in the order of `pockets`.
///
/// # Errors
/// [`Error`] of the first pocket in that order that fails. No state is remembered then.
pub fn open(
    pockets: &[Pocket],
    http: &HttpClient,
    folder: &Path,
    now: Epoch,
    reporter: &dyn ProgressReporter,
) -> Result<Vec<OpenPocket>, Error> {
    let read: Vec<ReadPocket> =
        read_each(pockets, http, folder, now, reporter)?.into_iter().collect::<Result<_, _>>()?;
    pockets.iter().zip(read).map(|(pocket, read)| read.remembered(pocket, folder, reporter)).collect()
}

/// Like [`open`], but one pocket's failure does not stop the others.
///
/// # Errors
/// When nothing can be opened at all: the folder, or the network of this machine.
pub fn open_each(
    pockets: &[Pocket],
    http: &HttpClient,
    folder: &Path,
    now: Epoch,
    reporter: &dyn ProgressReporter,
) -> Result<Vec<Result<OpenPocket, Error>>, Error> {
    let read = read_each(pockets, http, folder, now, reporter)?;
    let all = pockets.iter().zip(read);
    Ok(all.map(|(pocket, read)| read.and_then(|read| read.remembered(pocket, folder, reporter))).collect())
}

/// A verified state of a pocket with its indexes, not remembered yet.
struct ReadPocket {
    fetched: FetchedPocket,
    indexes: Vec<ComponentIndex>,
}

impl ReadPocket {
    /// Remembers the state. Only now: a state whose indexes cannot be read must not forbid an older one that works.
    fn remembered(self, pocket: &Pocket, folder: &Path, reporter: &dyn ProgressReporter) -> Result<OpenPocket, Error> {
        let Self { fetched, indexes } = self;
        let digests = fetched.choices.iter().map(|choice| choice.listed.sha256).collect();
        memory::keep(folder, pocket, &fetched.served, &fetched.judged.facts, digests)?;

        let AcceptedRelease { facts, warnings, .. } = fetched.judged;
        for warning in &warnings {
            reporter.event(ProgressEvent::Warning(warning.clone()));
        }
        Ok(OpenPocket { facts, warnings, indexes })
    }
}

/// Fetches and verifies all pockets at once, then reads the indexes of all together, so that all processors have work
/// until the end.
fn read_each(
    pockets: &[Pocket],
    http: &HttpClient,
    folder: &Path,
    now: Epoch,
    reporter: &dyn ProgressReporter,
) -> Result<Vec<Result<ReadPocket, Error>>, Error> {
    own::create_dir(&folder.join(memory::BY_HASH))?;
    let requests = pockets.iter().map(|pocket| fetch_newest(pocket, http, folder, now, reporter));
    let fetched = http.block_on(future::join_all(requests)).map_err(Error::Http)?;

    let mut jobs: Vec<(&Pocket, &SelectedIndex)> = Vec::new();
    for (pocket, fetched) in pockets.iter().zip(&fetched) {
        jobs.extend(fetched.iter().flat_map(|fetched| &fetched.choices).map(|choice| (pocket, choice)));
    }
    let mut results = reading::read(folder, &jobs).into_iter();

    let mut all = Vec::new();
    for fetched in fetched {
        all.push(fetched.and_then(|fetched| {
            // every index is taken out of the results, also behind one that cannot be read
            let own: Vec<Result<ComponentIndex, Error>> = results.by_ref().take(fetched.choices.len()).collect();
            Ok(ReadPocket { fetched, indexes: own.into_iter().collect::<Result<_, _>>()? })
        }));
    }
    Ok(all)
}

/// A verified state of a pocket, all files of which are in the folder.
struct FetchedPocket {
    served: ServedInRelease,
    judged: AcceptedRelease,
    choices: Vec<SelectedIndex>,
}

/// Fetches and verifies the newest state of a pocket.
async fn fetch_newest(
    pocket: &Pocket,
    http: &HttpClient,
    folder: &Path,
    now: Epoch,
    reporter: &dyn ProgressReporter,
) -> Result<FetchedPocket, Error> {
    let memory = PocketMemory::load(folder, pocket, reporter);
    let (mut is_second_try, mut refused) = (false, BTreeSet::new());
    loop {
        // the second time without validators: the remembered file has led to missing indexes
        let known = memory.as_ref().filter(|_| !is_second_try);
        let served = mirrors::inrelease(pocket, http, folder, known, &refused).await?;

        // rollback is judged both times
        let judged = match judge::judge(pocket, &served.bytes, memory.as_ref(), now) {
            Ok(judged) => judged,
            Err(error) if pocket.guessed.contains(&served.base) => {
                tell_of_no_mirror(pocket, &served, &error, reporter);
                refused.insert(served.base);
                continue;
            }
            Err(error) => return Err(error.at(&served.url)),
        };
        if !served.base.is_empty() {
            tell_of_choice(pocket, &served, reporter);
        }

        let stock = IndexFetcher { pocket, http, folder, release: &judged.release, reporter, refused: &refused };
        match stock.complete().await {
            // the archive changed between two requests, so by now its InRelease file has changed as well
            Err(Error::IndexGone { .. }) if !is_second_try && !http.is_offline() => is_second_try = true,
            Err(error) => return Err(error),
            Ok(choices) => return Ok(FetchedPocket { served, judged, choices }),
        }
    }
}

/// Says that a guessed address is no mirror, or one that lags behind.
fn tell_of_no_mirror(pocket: &Pocket, served: &ServedInRelease, error: &Error, reporter: &dyn ProgressReporter) {
    let text = format!(
        "pocket `{}`: `{}`, from this machine's APT sources, is not used: {}",
        pocket.title(),
        http::mask(&served.base),
        error.cause()
    );
    // a mirror that has the right key and is behind deserves a look; an archive of somebody else does not
    let event = if error.is_about_another_archive() { ProgressEvent::Detail } else { ProgressEvent::Warning };
    reporter.event(event(text));
}

/// Says which address is used, and why.
fn tell_of_choice(pocket: &Pocket, served: &ServedInRelease, reporter: &dyn ProgressReporter) {
    let why = if pocket.guessed.contains(&served.base) {
        "from this machine's APT sources; its signed files are those of the archive"
    } else if served.base == pocket.official {
        "the official address"
    } else {
        "as the recipe, a flag, the environment or the registry file says"
    };
    let text = format!("pocket `{}`: `{}` ({why})", pocket.title(), http::mask(&served.base));
    reporter.event(ProgressEvent::Detail(text));
}
