//! Unpacks packages in the background while the layers of lower levels are written already.
//!
//! The largest package is begun first, since it decides when all are done; the others follow in the order in which
//! images need them, so that the lowest level's layers find work at once.

use crate::layer::unpack;
use crate::layer::unpack::Deb;
use crate::layer::unpack::Error;
use crate::layer::unpack::Unpacked;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::tree::Contents;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;

/// Package trees that are there, or on their way.
pub struct Unpacking<'a> {
    contents: &'a Contents<'a>,
    threads: usize,
    reporter: &'a dyn Reporter,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    todo: VecDeque<Deb>,
    /// How many are not finished, for the last one to say so.
    left: usize,
    what: String,
    done: BTreeMap<Digest, Arc<Unpacked>>,
    error: Option<Error>,
}

impl<'a> Unpacking<'a> {
    /// Takes packages in the order in which they are needed; those whose trees the store has are ready.
    #[must_use]
    pub fn new(debs: Vec<Deb>, contents: &'a Contents<'a>, threads: usize, reporter: &'a dyn Reporter) -> Self {
        let mut done = BTreeMap::new();
        let mut todo = VecDeque::new();
        for deb in debs {
            match unpack::find(&deb.digest, contents.store()) {
                Some(unpacked) => drop(done.insert(deb.digest, Arc::new(unpacked))),
                None => todo.push_back(deb),
            }
        }
        if let Some(largest) = (0..todo.len()).max_by_key(|index| todo[*index].size)
            && let Some(deb) = todo.remove(largest)
        {
            todo.push_front(deb);
        }
        let left = todo.len();
        let what = format!("{left} packages");
        if left > 0 {
            let total = todo.iter().map(|deb| deb.size).sum();
            reporter.event(Event::Started { stage: Stage::Unpack, total, what: what.clone() });
        }
        let state = Mutex::new(State { todo, left, what, done, error: None });
        Self { contents, threads, reporter, state, changed: Condvar::new() }
    }

    /// Unpacks on threads of its own for as long as `work` goes on.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let workers = self.state().todo.len().min(self.threads.max(1));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.unpack_all());
            }
            let result = work();
            // what work did not wait for it does not need
            self.state().todo.clear();
            result
        })
    }

    /// Waits for package trees; returns them by the digests of their .debs. To be called within [`Unpacking::during`].
    ///
    /// # Errors
    /// The first [`Error`] met with any package; trees that were finished stay in the store.
    ///
    /// # Panics
    /// When asked again after an error, or for a package that was not ordered.
    pub fn wait(&self, debs: &[Digest]) -> Result<BTreeMap<Digest, Arc<Unpacked>>, Error> {
        let mut state = self.state();
        loop {
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if let Some(all) = debs.iter().map(|deb| Some((*deb, Arc::clone(state.done.get(deb)?)))).collect() {
                return Ok(all);
            }
            assert!(state.left > 0, "only ordered packages are waited for");
            state = self.changed.wait(state).expect("no thread panics while it holds this");
        }
    }

    fn unpack_all(&self) {
        let next = || self.state().todo.pop_front();
        while let Some(deb) = next() {
            let result = unpack::unpack(&deb, self.threads, self.contents.store());
            self.reporter.event(Event::Advanced { stage: Stage::Unpack, by: deb.size });
            let mut state = self.state();
            match result {
                Ok(unpacked) => {
                    self.contents.note_fresh(unpack::key(&deb.digest));
                    state.done.insert(deb.digest, Arc::new(unpacked));
                    state.left -= 1;
                }
                Err(error) => {
                    state.error.get_or_insert(error);
                    state.todo.clear();
                }
            }
            if state.left == 0 {
                self.reporter.event(Event::Finished { stage: Stage::Unpack, what: state.what.clone() });
            }
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }
}
