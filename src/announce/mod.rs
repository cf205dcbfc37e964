//! Announces what happened: in Git checkouts, to webhooks, as metrics.
//!
//! - **In**: what was published.
//! - **Out**: commits in checkouts that clusters follow, messages to receivers.
//! - **Invariants**: what was published stays published, even if an announcement fails; nothing is announced twice as news.
//! - **Not here**: publishing itself (`publish`), deciding what is due (`due`).

pub mod metrics;
pub mod webhook;
pub mod writeback;
