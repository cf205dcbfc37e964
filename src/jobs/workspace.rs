//! The project folder of a job: its definitions and its locks.

use crate::build;
use crate::fault::Explain;
use crate::fetch::archives::OnlineArchives;
use crate::fetch::proof::Prover;
use crate::fetch::states::LockedArchives;
use crate::fetch::states::StateReader;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::layer::ENGINE_FORMAT;
use crate::lock;
use crate::lock::LockInput;
use crate::lock::LockOutcome;
use crate::lock::LockedImage;
use crate::lock::file::Lock;
use crate::lock::file::file_of;
use crate::lock::verify::verify;
use crate::recipe::ImageDefinition;
use crate::recipe::RecipeProject;
use crate::recipe::ScriptLedger;
use crate::report::ProgressEvent;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::shown::shown;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Most repositories that a registry is asked to mount an image's layers from. Each costs a request where it has none
/// of them, and images that share layers are few: a parent, its children, and their siblings.
const RELATED: usize = 8;

/// The project folder, opened.
pub(crate) struct Workspace<'a> {
    session: &'a Session,
    project: RecipeProject,
    ledger: OnceCell<ScriptLedger>,
}

/// How to choose packages anew.
pub(crate) struct Relock<'a> {
    /// Choose from the states that the locks name, as far as they can be had: only what the recipes changed changes.
    pub(crate) locked_states: bool,
    /// Only these pockets; none means all.
    pub(crate) pockets: &'a BTreeSet<String>,
    /// Take archives that are older than the locks know.
    pub(crate) accept_older: bool,
}

impl<'a> Workspace<'a> {
    /// Opens the project folder and reports its warnings.
    pub(crate) fn open(session: &'a Session) -> Result<Self, Error> {
        let project = RecipeProject::open(&session.options().directory)?;
        for warning in project.warnings() {
            session.reporter().event(ProgressEvent::Problem(warning));
        }
        check_mirrors(session, &project)?;
        Ok(Self { session, project, ledger: OnceCell::new() })
    }

    fn directory(&self) -> &Path {
        &self.session.options().directory
    }

    /// Returns the definitions of these images (all when none is named) and of their parents, parents first.
    pub(crate) fn definitions(&self, names: &[String]) -> Result<Vec<ImageDefinition>, Error> {
        let mut names: Vec<String> = names.to_vec();
        // every round adds an image, so there are not more rounds than images
        loop {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            let definitions = self.project.definitions(&wanted)?;

            let known: BTreeSet<&String> = definitions.iter().map(|definition| &definition.image).collect();
            let parents = definitions.iter().filter_map(|definition| definition.parent.as_ref());
            let missing: BTreeSet<String> = parents.filter(|parent| !known.contains(parent)).cloned().collect();
            if definitions.is_empty() {
                return Err(Error::input("cannot find any image: there is no file `base-images/*.yaml`").hint(
                    "a file there names a recipe and its values, see the README; `-C DIR` names another project",
                ));
            }
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

    /// Returns an image's lock; none where there is no file.
    pub(crate) fn lock(&self, image: &str) -> Result<Option<Lock>, Error> {
        match Lock::of_project(self.directory(), image) {
            Ok(lock) => Ok(Some(lock)),
            Err(lock::Error::File(error)) if error.is_missing() => Ok(None),
            Err(cause) => Err(Error::LockFile { path: lock_path(self.directory(), image), cause }),
        }
    }

    /// Returns the locks of all these images that have a file. A file that cannot be understood counts as missing, with
    /// a warning, because it is about to be written anew.
    pub(crate) fn locks(&self, definitions: &[ImageDefinition]) -> Result<BTreeMap<String, Lock>, Error> {
        let mut locks = BTreeMap::new();
        for ImageDefinition { image, .. } in definitions {
            match self.lock(image) {
                Ok(lock) => locks.extend(lock.map(|lock| (image.clone(), lock))),
                Err(
                    error @ Error::LockFile { cause: lock::Error::Syntax { .. } | lock::Error::Invalid { .. }, .. },
                ) => self.session.warn(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(locks)
    }

    /// Returns the locks of all these images as they are.
    ///
    /// # Errors
    /// When one is missing or does not answer the recipes.
    pub(crate) fn fresh_locks(&self, definitions: &[ImageDefinition]) -> Result<BTreeMap<String, Lock>, Error> {
        let mut locks = BTreeMap::new();
        for ImageDefinition { image, .. } in definitions {
            locks.extend(self.lock(image)?.map(|lock| (image.clone(), lock)));
        }
        let stale = self.stale(definitions, &locks)?;
        if stale.is_empty() { Ok(locks) } else { Err(Error::StaleLocks(stale)) }
    }

    /// Writes a lock file.
    pub(crate) fn keep(&self, lock: &Lock) -> Result<(), Error> {
        Ok(fs::write_atomic(&lock_path(self.directory(), &lock.image), lock.to_yaml().as_bytes())?)
    }

    /// Returns for every definition why its lock does not answer it; those that do are left out.
    pub(crate) fn stale(
        &self,
        definitions: &[ImageDefinition],
        locks: &BTreeMap<String, Lock>,
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let ledger = self.ledger()?;
        let mut stale = BTreeMap::new();
        for definition in definitions {
            let parent = definition.parent.as_ref().and_then(|parent| locks.get(parent));
            let reasons = match locks.get(&definition.image) {
                None => vec!["there is no lock file".to_owned()],
                Some(lock) => verify(lock, definition, ENGINE_FORMAT, parent, ledger),
            };
            if !reasons.is_empty() {
                stale.insert(definition.image.clone(), reasons);
            }
        }
        Ok(stale)
    }

    /// Reports why these images are locked anew.
    pub(crate) fn report_stale(&self, stale: &BTreeMap<String, Vec<String>>) {
        for (image, reasons) in stale {
            self.session.warn(format!("locking {image} anew: {}", reasons.join("; ")));
        }
    }

    /// Proves these locks from the signed states of the archives.
    ///
    /// # Errors
    /// When one is not proven, or that cannot be checked here.
    pub(crate) fn prove(&self, definitions: &[ImageDefinition], locks: &BTreeMap<String, Lock>) -> Result<(), Error> {
        let prover = Prover {
            http: self.session.http(),
            store: self.session.store()?,
            mirrors: self.session.mirrors(),
            ledger: self.ledger()?,
            engine: ENGINE_FORMAT,
            now: clock::now(),
            reporter: self.session.reporter(),
        };
        prover.prove(&locked_images(definitions, locks))?;
        Ok(())
    }

    /// Returns the decisions about maintainer scripts.
    pub(crate) fn ledger(&self) -> Result<&ScriptLedger, Error> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger);
        }
        let ledger = self.project.ledger()?;
        Ok(self.ledger.get_or_init(|| ledger))
    }

    /// Finds out why packages are gone. Where a choice from the newest states is the same, the archive is not complete,
    /// and choosing again would lead in a circle.
    pub(crate) fn explained(
        &self,
        error: build::Error,
        definitions: &[ImageDefinition],
        locks: &BTreeMap<String, Lock>,
    ) -> build::Error {
        if !error.asks_for_new_lock() || self.session.options().offline {
            return error;
        }
        let how = Relock { locked_states: false, pockets: &BTreeSet::new(), accept_older: false };
        match self.relock(definitions, locks, &how) {
            // what stays behind may be gone, although nothing changes
            Ok(outcomes) if outcomes.iter().all(|outcome| outcome.is_unchanged() && outcome.blocked.is_empty()) => {
                error.still_listed()
            }
            _ => error,
        }
    }

    /// Chooses packages for these images anew; nothing is written to the project.
    pub(crate) fn relock(
        &self,
        definitions: &[ImageDefinition],
        previous: &BTreeMap<String, Lock>,
        how: &Relock<'_>,
    ) -> Result<Vec<LockOutcome>, Error> {
        check_pockets(how.pockets, definitions)?;
        let images = LockInput { definitions, previous, ledger: self.ledger()?, engine: ENGINE_FORMAT };
        let (outcomes, warnings) = if how.locked_states {
            lock::lock(images, &LockedArchives::new(self.states()?))?
        } else {
            lock::lock(images, &self.online(how, false)?)?
        };
        warnings.into_iter().for_each(|warning| self.session.warn(warning));
        Ok(outcomes)
    }

    /// Chooses packages anew for every image by itself: one image's failure does not stop the others.
    pub(crate) fn relock_each(
        &self,
        definitions: &[ImageDefinition],
        previous: &BTreeMap<String, Lock>,
        how: &Relock<'_>,
    ) -> Result<lock::Results, Error> {
        check_pockets(how.pockets, definitions)?;
        let images = LockInput { definitions, previous, ledger: self.ledger()?, engine: ENGINE_FORMAT };
        let each = lock::lock_each(images, &self.online(how, true)?);
        each.warnings.into_iter().for_each(|warning| self.session.warn(warning));
        Ok(each.images)
    }

    /// Locks images anew, writes the lock files, and reports what changed: nobody has reviewed it yet.
    pub(crate) fn renew(
        &self,
        definitions: &[ImageDefinition],
        locks: &mut BTreeMap<String, Lock>,
        how: &Relock<'_>,
    ) -> Result<(), Error> {
        for outcome in self.relock(definitions, locks, how)? {
            if !outcome.is_unchanged() {
                self.keep(&outcome.lock)?;
                let text = outcome.difference.as_ref().map(ToString::to_string).unwrap_or_default();
                let changes = text.lines().map(shown).collect();
                self.session.reporter().event(ProgressEvent::LockWritten { image: outcome.image.clone(), changes });
            }
            for blocked in &outcome.blocked {
                self.session.warn(format!("{}: {blocked}", outcome.image));
            }
            locks.insert(outcome.image, outcome.lock);
        }
        Ok(())
    }

    fn online<'o>(&'o self, how: &'o Relock<'_>, keep_broken: bool) -> Result<OnlineArchives<'o>, Error> {
        Ok(OnlineArchives {
            http: self.session.http(),
            store: self.session.store()?,
            mirrors: self.session.mirrors(),
            pockets: how.pockets,
            reporter: self.session.reporter(),
            now: clock::now(),
            accept_older: how.accept_older,
            keep_broken,
        })
    }

    fn states(&self) -> Result<StateReader<'_>, Error> {
        Ok(StateReader {
            http: self.session.http(),
            store: self.session.store()?,
            mirrors: self.session.mirrors(),
            now: clock::now(),
            reporter: self.session.reporter(),
        })
    }
}

/// Refuses mirrors of archives that no recipe has: they would never be asked.
fn check_mirrors(session: &Session, project: &RecipeProject) -> Result<(), Error> {
    let known = project.archives();
    // files with errors define nothing, and are reported later
    let unknown = session.mirrors().given.keys().find(|name| !known.contains(name.as_str()) && !known.is_empty());
    match unknown {
        None => Ok(()),
        Some(name) => {
            let message = format!("cannot use a mirror of archive `{}`: no recipe has this archive", shown(name));
            let known: Vec<&str> = known.into_iter().collect();
            Err(Error::input(message).hint(format!("the archives are {}", known.join(", "))))
        }
    }
}

/// Refuses pockets that no archive of these images has: nothing would be chosen from them.
fn check_pockets(pockets: &BTreeSet<String>, definitions: &[ImageDefinition]) -> Result<(), Error> {
    let archives = definitions.iter().flat_map(|definition| &definition.archives);
    let known: BTreeSet<&str> =
        archives.flat_map(|archive| &archive.pockets).map(|pocket| pocket.name.as_str()).collect();
    match pockets.iter().find(|pocket| !known.contains(pocket.as_str())) {
        None => Ok(()),
        Some(pocket) => {
            let message =
                format!("cannot choose packages from pocket `{}`: no archive of these images has it", shown(pocket));
            let known: Vec<&str> = known.into_iter().collect();
            Err(Error::input(message).hint(format!("the pockets are {}", known.join(", "))))
        }
    }
}

/// Returns where an image's lock file is, or would be.
pub(crate) fn lock_path(directory: &Path, image: &str) -> PathBuf {
    directory.join(file_of(image))
}

/// Puts each definition together with its lock; those without one are left out.
pub(crate) fn locked_images<'a>(
    definitions: impl IntoIterator<Item = &'a ImageDefinition>,
    locks: &'a BTreeMap<String, Lock>,
) -> Vec<LockedImage<'a>> {
    let pair = |definition: &'a ImageDefinition| Some(LockedImage { definition, lock: locks.get(&definition.image)? });
    definitions.into_iter().filter_map(pair).collect()
}

/// Tells whether an image is among those asked for; none named means all.
pub(crate) fn is_asked_for(images: &[String], image: &str) -> bool {
    images.is_empty() || images.iter().any(|name| name == image)
}
