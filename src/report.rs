//! What a stage tells its caller while it works; the terminal is somebody else's business.

use crate::values::diagnostic::Diagnostic;
use std::sync::Mutex;

/// A part of the work that shows its own progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reading archive indexes; counts bytes.
    Index,
    /// Fetching packages, and blobs from a registry; counts bytes.
    Download,
    /// Reading packages into package trees; counts bytes of .deb files.
    Unpack,
    /// Writing layers; counts uncompressed bytes.
    Compress,
    /// Sending blobs to a registry; counts bytes.
    Upload,
}

/// Why something need not be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saving {
    /// It is where it should be.
    There,
    /// It was announced, and then another repository of the registry had it.
    Mounted,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Work of this size is ahead; may be repeated with more work while the stage runs (totals add up).
    Started {
        /// Which stage.
        stage: Stage,
        /// Bytes of work.
        total: u64,
        /// What is worked on, for people: a package, an index, a layer.
        what: String,
    },
    /// So many more bytes are done.
    Advanced {
        /// Which stage.
        stage: Stage,
        /// Bytes done since the last event.
        by: u64,
    },
    /// A thing announced by `Started` is complete.
    Finished {
        /// Which stage.
        stage: Stage,
        /// The same text as in `Started`.
        what: String,
    },
    /// A thing need not be moved: one that was not announced is there already, an announced one was had otherwise.
    Saved {
        /// Which stage.
        stage: Stage,
        /// Its bytes.
        by: u64,
        /// How.
        how: Saving,
    },
    /// Something that helps to find a problem.
    Detail(String),
    /// Something a person may want to know.
    Info(String),
    /// Something a person should look at, though the work goes on.
    Warning(String),
    /// A recipe or base-image file has a place that somebody should look at.
    Problem(Diagnostic),
    /// A lock file was written on the way, which nobody has reviewed yet.
    LockWritten {
        /// Image name.
        image: String,
        /// What changed, a line each.
        changes: Vec<String>,
    },
}

/// Receives events, from several threads at once.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Keeps all events, for callers that want to look at them afterwards.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// Returns the events so far.
    ///
    /// # Panics
    /// Never in practice: a thread would have to panic while pushing to a vector.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no thread panics while it holds this").clone()
    }
}

impl Reporter for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().expect("no thread panics while it holds this").push(event);
    }
}
