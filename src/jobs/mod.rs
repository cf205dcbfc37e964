//! The jobs: what a person asks sockel to do, each told from beginning to end.
//!
//! - **In**: a `Request`, and a [`Session`] that reaches the project, the store, the network and a reporter.
//! - **Out**: an `Outcome`; warnings and progress go to the [`Reporter`](crate::report::ProgressReporter) as they happen.
//! - **Invariants**: jobs are the only conductors: stages hand each other values and never call a job. No job prints,
//!   parses flags or reads environment variables; logins and proxies of the environment are found where they are used
//!   ([`crate::oci::registry::credentials`], [`crate::sys::http`]).
//! - **Not here**: flags, tables, exit codes (`cli`).
//!
//! Each job calls the stages in the order of the map in the crate's documentation, and no stage calls back up:
//!
//! ```text
//! build    workspace ─► lock (where stale) ─► cache, bundle ─► build ─► output
//! publish  workspace ─► cache, bundle ─► build ─► publish ─► write-back, receivers
//! update   workspace ─► lock ─► advisory ─► (cache ─► build ─► publish) for each part ─► write-back, receivers, metrics
//! rebase   registry ─► rebase
//! ```

pub mod build;
pub mod bundle;
pub mod cache;
pub mod diff;
pub mod findings;
pub mod lock;
pub mod plan;
pub mod publish;
pub mod rebase;
pub mod setup;
pub mod show;
pub mod status;
pub mod update;

mod connections;
mod error;
mod session;
mod target;
mod workspace;

pub use error::Error;
pub use session::Session;
pub use session::SessionOptions;
