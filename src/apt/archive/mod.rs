//! A configured archive pocket at one point in time: open it, verify it, read its indexes.
//!
//! - **In**: a [`Pocket`] as a recipe describes it, and the time.
//! - **Out**: [`OpenPocket`]: the facts a lock file records, and the indexes.
//! - **Invariants**: nothing is read that does not chain to a pinned key; an older state than the remembered one, a state
//!   of another suite and an outdated state are errors; a wrong digest or signature is never tried again elsewhere.
//! - **Not here**: choosing packages (`lock`), fetching them (`fetch`).

mod decoded;
mod error;
mod indexes;
mod judge;
mod memory;
mod mirrors;
mod past;
mod reading;

pub use error::Error;
pub use past::IndexFile;
pub use past::Past;
pub use past::PastPocket;
pub use past::kept;
pub use past::open_past;
pub use past::remember;

use crate::apt::index::Index;
use crate::report::Event;
use crate::report::Reporter;
use crate::sys::http::Http;
use crate::sys::own;
use crate::values::Digest;
use crate::values::Epoch;
use futures_util::future;
use indexes::Choice;
use indexes::Stock;
use judge::Judged;
use memory::Memory;
use mirrors::Served;
use std::collections::BTreeMap;
use std::path::Path;

/// One suite of an archive with everything that is required of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pocket {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub name: String,
    /// Suite: the path below `dists/`.
    pub suite: String,
    /// Required `Suite` field, where it is not [`Self::suite`].
    pub expected_suite: Option<String>,
    /// Required `Codename` field.
    pub codename: String,
    /// Required `Origin` field.
    pub origin: String,
    /// Required `Label` field.
    pub label: String,
    /// Components to read.
    pub components: Vec<String>,
    /// Architectures to read.
    pub architectures: Vec<String>,
    /// Addresses without trailing slash, best first, by architecture or `*` for all others.
    pub uris: BTreeMap<String, Vec<String>>,
    /// OpenPGP certificates, armored or binary.
    pub keys: Vec<Vec<u8>>,
    /// Pinned primary-key fingerprints: one of them must have signed.
    pub fingerprints: Vec<String>,
    /// Never changes once published: age does not count, and its state is the one that is [`Self::locked`].
    pub frozen: bool,
    /// Date and InRelease file of the newest state that a lock names: as the folder's own memory, but on every machine.
    pub locked: Option<(Epoch, Digest)>,
    /// Take a state that is older than what a lock or the memory knows, and forget the memory.
    pub accept_older: bool,
    /// Age in seconds from which a warning is due.
    pub warn_after: Option<u64>,
    /// Age in seconds from which the pocket is refused.
    pub max_age: Option<u64>,
}

/// The anchor of the chain from signature to package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub pocket: String,
    /// Suite: the path below `dists/`.
    pub suite: String,
    /// `Codename` field.
    pub codename: String,
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
    /// `amd64`, `arm64`
    pub architecture: String,
    /// The packages.
    pub index: Index,
}

/// A verified pocket.
#[derive(Debug)]
pub struct OpenPocket {
    /// What the lock file records about it.
    pub facts: Facts,
    /// What a person should look at, though it is acceptable now.
    pub warnings: Vec<String>,
    /// One for each component and architecture, components first, in the pocket's order.
    pub indexes: Vec<ComponentIndex>,
}

impl Pocket {
    /// Returns the addresses for an architecture, best first.
    #[must_use]
    pub fn mirrors(&self, architecture: &str) -> &[String] {
        self.uris.get(architecture).or_else(|| self.uris.get("*")).map_or(&[], Vec::as_slice)
    }

    /// Returns all addresses that serve the InRelease file: those of the first architecture first, each once. One file
    /// anchors all architectures, also where they live on different hosts.
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

/// Opens pockets: asks for all of them at once, fetches what changed, verifies all of it, reads the indexes, and remembers
/// the states in `folder`. Pockets and warnings come in the order that was asked for.
///
/// # Errors
/// [`Error`] of the first pocket in that order that has one: what is wrong with it, or that no mirror answered. None is
/// remembered then.
pub fn open(
    pockets: &[Pocket],
    http: &Http,
    folder: &Path,
    now: Epoch,
    reporter: &dyn Reporter,
) -> Result<Vec<OpenPocket>, Error> {
    own::create_dir(&folder.join(memory::BY_HASH))?;
    let requests = pockets.iter().map(|pocket| ask(pocket, http, folder, now, reporter));
    let asked = http.block_on(future::join_all(requests)).map_err(Error::Http)?;
    let asked = asked.into_iter().collect::<Result<Vec<Asked>, Error>>()?;
    let each = || pockets.iter().zip(&asked);
    let jobs: Vec<(&Pocket, &Choice)> =
        each().flat_map(|(pocket, asked)| asked.choices.iter().map(move |choice| (pocket, choice))).collect();
    let mut read = reading::read(folder, &jobs).into_iter();
    let mut indexes = Vec::new();
    for (_, asked) in each() {
        indexes.push(read.by_ref().take(asked.choices.len()).collect::<Result<Vec<_>, Error>>()?);
    }
    for (pocket, asked) in each() {
        let digests = asked.choices.iter().map(|choice| choice.listed.sha256).collect();
        memory::keep(folder, pocket, &asked.served, &asked.judged.facts, digests)?;
    }
    let opened = asked.into_iter().zip(indexes).map(|(asked, indexes)| {
        let Judged { facts, warnings, .. } = asked.judged;
        warnings.iter().for_each(|warning| reporter.event(Event::Warning(warning.clone())));
        OpenPocket { facts, warnings, indexes }
    });
    Ok(opened.collect())
}

/// A verified state of a pocket, all files of which are in the folder.
struct Asked {
    served: Served,
    judged: Judged,
    choices: Vec<Choice>,
}

async fn ask(pocket: &Pocket, http: &Http, folder: &Path, now: Epoch, reporter: &dyn Reporter) -> Result<Asked, Error> {
    let memory = Memory::load(folder, pocket, reporter);
    let mut asked_again = false;
    loop {
        // a file that was fetched again must not come from the memory: that one led nowhere
        let known = memory.as_ref().filter(|_| !asked_again);
        let served = mirrors::inrelease(pocket, http, folder, known).await?;
        let judged = judge::judge(pocket, &served.bytes, memory.as_ref(), now)?;
        let stock = Stock { pocket, http, folder, release: &judged.release, reporter };
        match stock.complete().await {
            // the archive moved on between two requests; its InRelease has, too
            Err(Error::IndexGone { .. }) if !asked_again && !http.is_offline() => asked_again = true,
            Err(error) => return Err(error),
            Ok(choices) => return Ok(Asked { served, judged, choices }),
        }
    }
}
