//! Proves locks against the archives, and remembers the proofs.
//!
//! The store keeps a proof as a few bytes under a key of everything that decides it: the lock, what its recipes
//! resolve to (with keys and fingerprints), the script ledger, and the engine. So a lock is proven once, and a change
//! to any of these requires a new proof.

use crate::fault;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::fetch::Mirrors;
use crate::fetch::states::LockedArchives;
use crate::fetch::states::StateReader;
use crate::lock;
use crate::lock::LockedImage;
use crate::lock::proof;
use crate::lock::proof::LockProof;
use crate::lock::proof::ProofDoubt;
use crate::recipe::ScriptLedger;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::scripts::READER;
use crate::store;
use crate::store::Store;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use crate::values::Epoch;
use std::collections::BTreeMap;

/// Version of the rules by which locks are proven. A new number invalidates every kept proof.
const RULES: u32 = 1;

/// Kind of the store's records.
const RECORD: &str = "proof";

/// Everything that proving a lock needs.
#[derive(Clone, Copy)]
pub struct Prover<'a> {
    /// HTTP client for the archives.
    pub http: &'a HttpClient,
    /// Store that keeps states, packages and proofs.
    pub store: &'a Store,
    /// Addresses of the archives.
    pub mirrors: &'a Mirrors,
    /// Decisions about maintainer scripts.
    pub ledger: &'a ScriptLedger,
    /// Engine format version.
    pub engine: u32,
    /// Current time, to judge keys.
    pub now: Epoch,
    /// Hears about progress.
    pub reporter: &'a dyn ProgressReporter,
}

/// A lock that is not proven.
#[derive(Debug)]
pub struct Unproven {
    /// Image of the lock.
    pub image: String,
    /// Reason why it is not proven.
    pub doubt: ProofDoubt,
}

/// Why locks cannot be proven.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These locks are not proven, each for its own reason.
    #[error("cannot prove the lock{} of {}:{}", if .0.len() == 1 { "" } else { "s" }, images(.0), reasons(.0))]
    Unproven(Vec<Unproven>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Prover<'_> {
    /// Proves locks, parents before their children, and returns the proof of each.
    ///
    /// # Errors
    /// [`Error::Unproven`] with every lock that is not proven.
    pub fn prove(&self, claims: &[LockedImage<'_>]) -> Result<Vec<LockProof>, Error> {
        let keys: Vec<Digest> = keys(claims, self.ledger, self.engine);
        // all or none: a child is judged together with its parents
        let known: Vec<Option<LockProof>> = keys.iter().map(|key| self.store.result(RECORD, key)).collect();
        if let Some(known) = known.iter().cloned().collect::<Option<Vec<LockProof>>>() {
            return Ok(known);
        }

        let Self { http, store, mirrors, now, reporter, .. } = *self;
        let states = StateReader { http, store, mirrors, now, reporter };
        let outside = LockedArchives::new(states);
        let results = proof::prove(claims, self.ledger, self.engine, &outside);

        let (mut proofs, mut unproven) = (Vec::new(), Vec::new());
        for ((claim, key), result) in claims.iter().zip(keys).zip(results) {
            match result {
                Ok(proof) => {
                    // a failed write costs only time: the next run proves the lock again
                    let _not_kept = self.store.keep(RECORD, &key, &proof);
                    self.tell(claim, &proof);
                    proofs.push(proof);
                }
                Err(doubt) => unproven.push(Unproven { image: claim.definition.image.clone(), doubt }),
            }
        }
        if unproven.is_empty() { Ok(proofs) } else { Err(Error::Unproven(unproven)) }
    }

    /// Reports a lock whose own states nobody has any more.
    fn tell(&self, claim: &LockedImage<'_>, proof: &LockProof) {
        if !proof.later.is_empty() {
            let (image, pockets) = (&claim.definition.image, proof.later.join(", "));
            let text =
                format!("the lock of {image} is proven by later states of {pockets}: nobody has the locked ones");
            self.reporter.event(ProgressEvent::Info(text));
        }
    }
}

/// Returns the keys under which proofs are remembered. A child's depends on those of its parents.
fn keys(claims: &[LockedImage<'_>], ledger: &ScriptLedger, engine: u32) -> Vec<Digest> {
    let ledger = ledger.identity();

    // parents come first, so that a child finds the key of its parent
    let mut keys: BTreeMap<&String, Digest> = BTreeMap::new();
    let mut all = Vec::new();
    for LockedImage { definition, lock } in claims {
        let parent = definition.parent.as_ref().and_then(|parent| keys.get(parent));
        let text = format!(
            "proof {RULES} {engine} {READER} {ledger}\n{}\n{}\n{}",
            lock.digest(),
            parent.map(ToString::to_string).unwrap_or_default(),
            definition.identity_text(),
        );

        let key = Digest::of(text.as_bytes());
        keys.insert(&definition.image, key);
        all.push(key);
    }
    all
}

impl Explain for Error {
    /// The lock must change, unless only archives or the network are to blame.
    fn turn(&self) -> Turn {
        match self {
            Self::Store(error) => error.turn(),
            Self::Unproven(all) if all.iter().any(|unproven| unproven.doubt.turn() == Turn::Input) => Turn::Input,
            Self::Unproven(_) => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        let all = match self {
            Self::Store(error) => return error.hints(),
            Self::Unproven(all) => all,
        };
        let mut hints = Vec::new();
        for unproven in all {
            hints.extend(unproven.hints());
        }

        // locks of one project often fail for the same reason
        hints.sort();
        hints.dedup();
        hints
    }

    fn lists_reasons(&self) -> bool {
        true
    }

    fn asks_for_new_lock(&self) -> bool {
        let Self::Unproven(all) = self else { return false };
        // one cause that a new lock cannot cure is enough: the run would fail again after it
        all.iter().all(|unproven| match &unproven.doubt {
            ProofDoubt::Differs { .. }
            // the reason is with another lock, which is asked as well
            | ProofDoubt::Below { .. }
            | ProofDoubt::Failed(lock::Error::Archives { .. }) => true,
            ProofDoubt::Failed(error) => error.asks_for_new_lock() || matches!(error, lock::Error::Unresolvable { .. }),
        })
    }

    fn note_still_listed(&mut self) {
        let Self::Unproven(all) = self else { return };
        for unproven in all {
            if let ProofDoubt::Failed(error) = &mut unproven.doubt {
                error.note_still_listed();
            }
        }
    }
}

impl Unproven {
    fn hints(&self) -> Vec<String> {
        let image = &self.image;
        match &self.doubt {
            ProofDoubt::Differs { later, .. } if later.is_empty() => vec![format!(
                "the lock was edited, or the signed states say something else: choose again with `sockel lock {image}` and compare"
            )],
            ProofDoubt::Differs { .. } => vec![
                format!("choose again with `sockel lock {image}`, or let `sockel build --refresh` do it"),
                "a cache repository, a bundle or a snapshot service keeps the states that old locks need".to_owned(),
            ],
            ProofDoubt::Below { .. } => Vec::new(),
            ProofDoubt::Failed(error) => error.hints(),
        }
    }
}

/// Names all images.
fn images(all: &[Unproven]) -> String {
    all.iter().map(|unproven| format!("`{}`", unproven.image)).collect::<Vec<_>>().join(", ")
}

/// Lists all reasons, one on each line.
fn reasons(all: &[Unproven]) -> String {
    let mut lines = Vec::new();
    for Unproven { image, doubt } in all {
        match doubt {
            ProofDoubt::Differs { differences, later } => {
                lines.extend(differences.iter().map(|difference| format!("{image}: {difference}")));
                if !later.is_empty() {
                    lines.push(format!("{image}: nobody has the locked state of {} any more", later.join(", ")));
                }
            }
            ProofDoubt::Below { parent } => lines.push(format!("{image}: its parent image `{parent}` is not proven")),
            ProofDoubt::Failed(error) => lines.push(format!("{image}: {error}")),
        }
    }
    fault::reasons(lines)
}
