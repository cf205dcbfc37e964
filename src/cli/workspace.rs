//! What commands have in hand: the project's definitions, its lock files, the store and the door to the network.

use crate::apt::host;
use crate::build;
use crate::build::Equipment;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::lock::checked;
use crate::cli::printer::Level;
use crate::cli::progress::Progress;
use crate::fetch::Mirrors;
use crate::fetch::archives::Online;
use crate::fetch::proof::Prover;
use crate::fetch::states::LockedArchives;
use crate::fetch::states::States;
use crate::layer::ENGINE_FORMAT;
use crate::lock;
use crate::lock::Images;
use crate::lock::Outcome;
use crate::lock::file::Lock;
use crate::lock::file::file_of;
use crate::lock::proof::Claim;
use crate::lock::verify::verify;
use crate::recipe::Definition;
use crate::recipe::Ledger;
use crate::recipe::Project;
use crate::recipe::RegistryFile;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Http;
use crate::values::shown::shown;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Most repositories that an image's layers are looked for in.
const RELATED: usize = 8;

/// The project folder, opened.
pub(crate) struct Workspace<'a> {
    context: &'a Context,
    project: Project,
    ledger: OnceCell<Ledger>,
}

/// How to lock anew.
pub(crate) struct Relock<'a> {
    /// Choose from the states that the locks name, as far as somebody has them: nothing but what the recipes changed.
    pub(crate) locked_states: bool,
    /// Only these pockets; none means all.
    pub(crate) pockets: &'a BTreeSet<String>,
    /// Take archives that are older than the locks know.
    pub(crate) accept_older: bool,
}

impl<'a> Workspace<'a> {
    /// Opens the project folder and says its warnings.
    pub(crate) fn open(context: &'a Context) -> Result<Self, Failure> {
        let project = Project::open(&context.settings.directory)?;
        for warning in project.warnings() {
            if context.printer.logs_json() {
                context.printer.object(&warning);
            } else {
                context.printer.diagnostic(&warning);
            }
        }
        Ok(Self { context, project, ledger: OnceCell::new() })
    }

    /// Returns the definitions of these images (none named: all) and of those that they stand on, parents first.
    pub(crate) fn definitions(&self, names: &[String]) -> Result<Vec<Definition>, Failure> {
        let mut names: Vec<String> = names.to_vec();
        loop {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            let definitions = self.project.definitions(&wanted)?;
            let known: BTreeSet<&String> = definitions.iter().map(|definition| &definition.image).collect();
            let parents = definitions.iter().filter_map(|definition| definition.parent.as_ref());
            let missing: BTreeSet<String> = parents.filter(|parent| !known.contains(parent)).cloned().collect();
            // every round adds an image, so there are not more rounds than images
            if missing.is_empty() {
                return Ok(definitions);
            }
            names.extend(missing);
        }
    }

    /// Returns for every image the repositories that may have some of its layers.
    pub(crate) fn related(&self) -> BTreeMap<String, Vec<String>> {
        self.project.related(RELATED)
    }

    /// Returns where an image's lock file is, or would be.
    pub(crate) fn lock_path(&self, image: &str) -> PathBuf {
        lock_path(&self.context.settings.directory, image)
    }

    /// Returns an image's lock; none where there is no file.
    pub(crate) fn lock(&self, image: &str) -> Result<Option<Lock>, Failure> {
        match Lock::of_project(&self.context.settings.directory, image) {
            Ok(lock) => Ok(Some(lock)),
            Err(lock::Error::File(error)) if error.is_missing() => Ok(None),
            Err(error) => {
                let mut failure = Failure::from(error);
                failure.message = format!("{} (`{}`)", failure.message, self.lock_path(image).display()).into();
                Err(failure)
            }
        }
    }

    /// Returns the locks of all these images that have a file; a file that cannot be read counts as missing, with a
    /// warning, because it is about to be written anew.
    pub(crate) fn locks(&self, definitions: &[Definition]) -> Result<BTreeMap<String, Lock>, Failure> {
        let mut locks = BTreeMap::new();
        for Definition { image, .. } in definitions {
            match Lock::of_project(&self.context.settings.directory, image) {
                Ok(lock) => drop(locks.insert(image.clone(), lock)),
                Err(lock::Error::File(error)) if error.is_missing() => (),
                Err(error @ (lock::Error::Syntax { .. } | lock::Error::Invalid { .. })) => {
                    self.context.printer.warn(&format!("{error} (`{}`)", self.lock_path(image).display()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(locks)
    }

    /// Returns the locks of all these images as they are.
    ///
    /// # Errors
    /// When one is missing or does not answer the recipes.
    pub(crate) fn fresh_locks(&self, definitions: &[Definition]) -> Result<BTreeMap<String, Lock>, Failure> {
        let mut locks = BTreeMap::new();
        for Definition { image, .. } in definitions {
            locks.extend(self.lock(image)?.map(|lock| (image.clone(), lock)));
        }
        let stale = self.stale(definitions, &locks)?;
        if stale.is_empty() { Ok(locks) } else { checked(&stale, 0, self.context).map(|()| locks) }
    }

    /// Writes a lock file.
    pub(crate) fn keep(&self, lock: &Lock) -> Result<(), Failure> {
        Ok(fs::write_atomic(&self.lock_path(&lock.image), lock.to_yaml().as_bytes())?)
    }

    /// Returns for every definition why its lock is not right; those that are right are left out.
    pub(crate) fn stale(
        &self,
        definitions: &[Definition],
        locks: &BTreeMap<String, Lock>,
    ) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let ledger = self.ledger()?;
        let reasons = |definition: &Definition| match locks.get(&definition.image) {
            None => vec!["there is no lock file".to_owned()],
            Some(lock) => {
                let parent = definition.parent.as_ref().and_then(|parent| locks.get(parent));
                verify(lock, definition, ENGINE_FORMAT, parent, ledger)
            }
        };
        let all = definitions.iter().map(|definition| (definition.image.clone(), reasons(definition)));
        Ok(all.filter(|(_, reasons)| !reasons.is_empty()).collect())
    }

    /// Proves these locks from the signed states of the archives.
    ///
    /// # Errors
    /// When one is not proven, or that cannot be checked here.
    pub(crate) fn prove(
        &self,
        definitions: &[Definition],
        locks: &BTreeMap<String, Lock>,
        hands: &Hands,
    ) -> Result<(), Failure> {
        let Hands { store, http, mirrors, progress } = hands;
        let (ledger, engine, now) = (self.ledger()?, ENGINE_FORMAT, clock::now());
        let prover = Prover { http, store, mirrors, ledger, engine, now, reporter: progress };
        let claim = |definition| Some(Claim { definition, lock: locks.get(&definition.image)? });
        let claims: Vec<Claim<'_>> = definitions.iter().filter_map(claim).collect();
        let proven = prover.prove(&claims);
        progress.close();
        Ok(proven.map(drop)?)
    }

    /// Returns the decisions about maintainer scripts.
    pub(crate) fn ledger(&self) -> Result<&Ledger, Failure> {
        if self.ledger.get().is_none() {
            // nobody else fills it: it is not shared between threads
            let _ = self.ledger.set(self.project.ledger()?);
        }
        Ok(self.ledger.get().expect("it was read above"))
    }

    /// Looks why packages are gone: where a choice from the newest states is the same, the archive is not complete, and
    /// choosing again would lead in a circle.
    pub(crate) fn explained(
        &self,
        error: build::Error,
        definitions: &[Definition],
        locks: &BTreeMap<String, Lock>,
        hands: &Hands,
    ) -> build::Error {
        if !error.has_gone() || hands.http.is_offline() {
            return error;
        }
        let how = Relock { locked_states: false, pockets: &BTreeSet::new(), accept_older: false };
        match self.relock(definitions, locks, &how, hands) {
            Ok(outcomes) if outcomes.iter().all(Outcome::is_unchanged) => error.just_listed(),
            _ => error,
        }
    }

    /// Chooses packages for these images anew; nothing is written to the project.
    pub(crate) fn relock(
        &self,
        definitions: &[Definition],
        previous: &BTreeMap<String, Lock>,
        how: &Relock<'_>,
        hands: &Hands,
    ) -> Result<Vec<Outcome>, Failure> {
        let images = Images { definitions, previous, ledger: self.ledger()?, engine: ENGINE_FORMAT };
        let result = match how.locked_states {
            true => lock::lock(images, &LockedArchives::new(states(hands))),
            false => lock::lock(images, &online(how, hands)),
        };
        hands.progress.close();
        let (outcomes, warnings) = result?;
        for warning in warnings {
            self.context.printer.warn(&warning);
        }
        Ok(outcomes)
    }

    /// Chooses packages anew for every image by itself.
    pub(crate) fn relock_each(
        &self,
        definitions: &[Definition],
        previous: &BTreeMap<String, Lock>,
        how: &Relock<'_>,
        hands: &Hands,
    ) -> Result<lock::Results, Failure> {
        let images = Images { definitions, previous, ledger: self.ledger()?, engine: ENGINE_FORMAT };
        let each = lock::lock_each(images, &online(how, hands));
        hands.progress.close();
        for warning in each.warnings {
            self.context.printer.warn(&warning);
        }
        Ok(each.images)
    }

    /// Locks images anew, writes the lock files, and says loudly what changed: nobody has reviewed it yet.
    pub(crate) fn renew(
        &self,
        definitions: &[Definition],
        locks: &mut BTreeMap<String, Lock>,
        how: &Relock<'_>,
        hands: &Hands,
    ) -> Result<(), Failure> {
        for outcome in self.relock(definitions, locks, how, hands)? {
            if !outcome.is_unchanged() {
                self.keep(&outcome.lock)?;
                let text = outcome.difference.as_ref().map(ToString::to_string).unwrap_or_default();
                let lines: Vec<String> = text.lines().map(shown).collect();
                let said = format!("wrote a new lock for {}, to be reviewed and committed", outcome.image);
                self.context.printer.talk_of(Level::Warning, &said, &lines);
            }
            locks.insert(outcome.image, outcome.lock);
        }
        Ok(())
    }
}

fn online<'a>(how: &'a Relock<'_>, hands: &'a Hands) -> Online<'a> {
    Online {
        http: &hands.http,
        store: &hands.store,
        mirrors: &hands.mirrors,
        pockets: how.pockets,
        reporter: &hands.progress,
        now: clock::now(),
        accept_older: how.accept_older,
    }
}

fn states(hands: &Hands) -> States<'_> {
    let Hands { store, http, mirrors, progress } = hands;
    States { http, store, mirrors, now: clock::now(), reporter: progress }
}

/// Returns where an image's lock file is, or would be.
pub(crate) fn lock_path(directory: &Path, image: &str) -> PathBuf {
    directory.join(file_of(image))
}

/// Store, network and progress of a command.
pub(crate) struct Hands {
    /// The store.
    pub(crate) store: Store,
    /// Door to the network; it opens with the first request.
    pub(crate) http: Http,
    /// Where archives may be found.
    pub(crate) mirrors: Mirrors,
    /// Shows progress.
    pub(crate) progress: Progress,
}

impl Hands {
    /// Returns what a build works with; `http` may be a door that is shut.
    pub(crate) fn equipment<'a>(&'a self, http: &'a Http, ledger: &'a Ledger) -> Equipment<'a> {
        Equipment { store: &self.store, http, ledger, reporter: &self.progress }
    }

    /// Opens the store and gets everything else ready.
    pub(crate) fn new(context: &Context) -> Result<Self, Failure> {
        let settings = &context.settings;
        let http = Http::new(http::Options::usual(settings.offline, settings.ca_file.clone()));
        let mut given = settings.mirrors.clone();
        let file = RegistryFile::of_project(&settings.directory)?.unwrap_or_default();
        for (archive, addresses) in file.mirrors {
            given.entry(archive).or_default().extend(addresses);
        }
        let mirrors = Mirrors { given, host: host::sources(Path::new("/")) };
        let progress = Progress::new(settings.progress, &context.printer, context.listener.clone());
        let store = Store::open(&settings.store)?;
        if let Some(warning) = store.warning() {
            context.printer.warn(warning);
        }
        let (folder, threads) = (store.folder().display(), settings.threads);
        context.printer.talk(Level::Detail, &format!("store {folder}, {threads} thread(s)"));
        Ok(Self { store, http, mirrors, progress })
    }
}
