//! What happened, told to others: Git checkouts, webhooks, metrics.
//!
//! - **In**: what was published.
//! - **Out**: commits in checkouts that clusters follow, messages to receivers.
//! - **Invariants**: what was published stays published, whatever becomes of telling it; nothing is told twice as news.
//! - **Not here**: publishing itself (`publish`), deciding what is due (`due`).

pub mod metrics;
pub mod webhook;
pub mod writeback;
