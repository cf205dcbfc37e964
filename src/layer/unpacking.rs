//! Unpacks packages in the background while the layers of lower levels are written already.
//!
//! The largest package comes first, since it decides when all are done; the others follow in the order in which images
//! need them, so that the lowest level's layers can start early.

use crate::layer::unpack;
use crate::layer::unpack::Error;
use crate::layer::unpack::StoredDeb;
use crate::layer::unpack::UnpackedPackage;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::tree::ContentReader;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;

/// Package trees that are ready, or will be.
pub struct BackgroundUnpacking<'a> {
    contents: &'a ContentReader<'a>,
    threads: usize,
    reporter: &'a dyn ProgressReporter,
    state: Mutex<UnpackingState>,
    /// Wakes whoever waits for a package tree.
    changed: Condvar,
}

struct UnpackingState {
    /// Packages that no thread has taken yet.
    queue: VecDeque<StoredDeb>,
    /// The next package is the first, and the largest.
    is_first: bool,
    /// How many packages are not finished: whoever finishes the last one reports the end.
    unfinished: usize,
    /// Title of the whole work in reports.
    title: String,
    /// Trees by the digests of their .debs; images share them.
    done: BTreeMap<Digest, Arc<UnpackedPackage>>,
    /// The first error, until somebody waits.
    error: Option<Error>,
}

impl<'a> BackgroundUnpacking<'a> {
    /// Takes packages in the order in which they are needed; those whose trees the store has are ready.
    #[must_use]
    pub fn new(
        debs: Vec<StoredDeb>,
        contents: &'a ContentReader<'a>,
        threads: usize,
        reporter: &'a dyn ProgressReporter,
    ) -> Self {
        let mut done = BTreeMap::new();
        let mut queue = VecDeque::new();
        for deb in debs {
            match unpack::find(&deb.digest, contents.store()) {
                Some(unpacked) => drop(done.insert(deb.digest, Arc::new(unpacked))),
                None => queue.push_back(deb),
            }
        }

        if let Some(largest) = (0..queue.len()).max_by_key(|index| queue[*index].size)
            && let Some(deb) = queue.remove(largest)
        {
            queue.push_front(deb);
        }

        let unfinished = queue.len();
        let title = format!("{unfinished} packages");
        if unfinished > 0 {
            let total = queue.iter().map(|deb| deb.size).sum();
            reporter.event(ProgressEvent::Started { stage: ProgressStage::Unpack, total, what: title.clone() });
        }

        let state = Mutex::new(UnpackingState { queue, is_first: true, unfinished, title, done, error: None });
        Self { contents, threads, reporter, state, changed: Condvar::new() }
    }

    /// Unpacks on threads of its own until `work` returns.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let workers = self.state().queue.len().min(self.threads.max(1));

        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.unpack_all());
            }
            let result = work();

            // what `work` has not waited for is not needed: after an error it ends early
            self.state().queue.clear();
            result
        })
    }

    /// Waits for package trees; returns them by the digests of their .debs. To be called within [`BackgroundUnpacking::during`].
    ///
    /// # Errors
    /// The first [`Error`] of any package; trees that were finished stay in the store.
    ///
    /// # Panics
    /// When called again after an error, or for a package that [`BackgroundUnpacking::new`] did not get.
    pub fn wait(&self, debs: &[Digest]) -> Result<BTreeMap<Digest, Arc<UnpackedPackage>>, Error> {
        let mut state = self.state();
        loop {
            if let Some(error) = state.error.take() {
                return Err(error);
            }

            let ready = debs.iter().map(|deb| Some((*deb, Arc::clone(state.done.get(deb)?))));
            if let Some(all) = ready.collect() {
                return Ok(all);
            }

            // else nobody would ever wake this thread
            assert!(state.unfinished > 0, "only ordered packages are waited for");
            state = self.changed.wait(state).expect("no thread panics while it holds this");
        }
    }

    fn unpack_all(&self) {
        while let Some((deb, threads)) = self.next() {
            // without the lock: this is the work that threads share
            let result = unpack::unpack(&deb, threads, self.contents.store());
            self.reporter.event(ProgressEvent::Advanced { stage: ProgressStage::Unpack, by: deb.size });

            let mut state = self.state();
            match result {
                Ok(unpacked) => {
                    self.contents.note_fresh(unpack::key(&deb.digest));
                    state.done.insert(deb.digest, Arc::new(unpacked));
                    state.unfinished -= 1;
                }
                Err(error) => {
                    // the others need not be begun: the whole build fails
                    state.error.get_or_insert(error);
                    state.queue.clear();
                }
            }
            if state.unfinished == 0 {
                self.reporter
                    .event(ProgressEvent::Finished { stage: ProgressStage::Unpack, what: state.title.clone() });
            }
            self.changed.notify_all();
        }
    }

    /// Takes the next package off the queue, with the number of threads that decompress it. The largest decides when all are
    /// done, and gets all threads; of the others several are unpacked at a time, and each thread needs the memory of a
    /// block. A function of its own, so that the lock is not held while a package is unpacked.
    fn next(&self) -> Option<(StoredDeb, usize)> {
        let mut state = self.state();
        let threads = if std::mem::take(&mut state.is_first) { self.threads } else { 1 };
        state.queue.pop_front().map(|deb| (deb, threads))
    }

    fn state(&self) -> MutexGuard<'_, UnpackingState> {
        self.state.lock().expect("no thread panics while it holds this")
    }
}
