//! What a stage reports while it works. How that is shown is the caller's business.

use crate::values::diagnostic::Diagnostic;
use std::sync::Mutex;

/// A part of the work that shows its own progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProgressStage {
    /// Reading archive indexes; counts bytes.
    Index,
    /// Fetching packages, and blobs from a registry; counts bytes.
    Download,
    /// Reading packages into package trees; counts bytes of .deb files.
    Unpack,
    /// Writing layers; counts uncompressed bytes.
    Compress,
    /// Pushing blobs to a registry; counts bytes.
    Upload,
}

/// Why a transfer is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferSaving {
    /// The destination has the bytes already.
    There,
    /// The transfer was announced, and then the registry mounted the blob from another repository.
    Mounted,
}

/// One event of a running stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressEvent {
    /// Work of this size is ahead. A stage may announce more work while it runs; the totals add up.
    Started {
        /// The stage that has the work ahead.
        stage: ProgressStage,
        /// Bytes of work.
        total: u64,
        /// The package, index or layer in question, as text for people.
        what: String,
    },
    /// More bytes are done.
    Advanced {
        /// The stage that made progress.
        stage: ProgressStage,
        /// Bytes done since the last event.
        by: u64,
    },
    /// An item announced by `Started` is complete.
    Finished {
        /// The stage that completed it.
        stage: ProgressStage,
        /// The same text as in `Started`.
        what: String,
    },
    /// A transfer is not needed. Only a [`TransferSaving::Mounted`] one was announced before.
    Saved {
        /// The stage that would have made the transfer.
        stage: ProgressStage,
        /// Bytes that are not transferred.
        by: u64,
        /// The reason.
        how: TransferSaving,
    },
    /// Something that helps to find a problem.
    Detail(String),
    /// Something that people may want to know.
    Info(String),
    /// Something that people should look at, although the work continues.
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
pub trait ProgressReporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: ProgressEvent);
}

/// Keeps all events, for callers that look at them afterwards.
#[derive(Default)]
pub struct EventRecorder(Mutex<Vec<ProgressEvent>>);

impl EventRecorder {
    /// Returns the events so far.
    ///
    /// # Panics
    /// Never in practice: a thread would have to panic while pushing to a vector.
    #[must_use]
    pub fn events(&self) -> Vec<ProgressEvent> {
        self.0.lock().expect("no thread panics while it holds this").clone()
    }
}

impl ProgressReporter for EventRecorder {
    fn event(&self, event: ProgressEvent) {
        self.0.lock().expect("no thread panics while it holds this").push(event);
    }
}
