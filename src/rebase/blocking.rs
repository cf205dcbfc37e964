//! Work that keeps a processor or a disk busy, away from the threads that run futures.
//!
//! A future that hashes a layer of a gigabyte holds its thread until it is done: meanwhile, answers of registries wait and
//! requests reach their time limits.

use std::panic::resume_unwind;
use tokio::task;

/// Runs blocking work on the runtime's pool of threads for it and waits for the result.
pub(crate) async fn on_pool<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // the task is never cancelled, so that the only failure to pass on is a panic
    task::spawn_blocking(work).await.unwrap_or_else(|failure| resume_unwind(failure.into_panic()))
}
