//! One test binary for all stages; every file here is listed here.

mod announce;
mod archive;
mod build;
mod bundle;
mod bundle_edits;
mod cli;
mod conditions;
mod crash;
mod double;
mod fetch;
mod fleet;
mod harbor;
mod hostile;
mod input;
mod jobs;
mod keys;
mod links;
mod lock;
mod network;
#[cfg(feature = "otel")]
mod otel;
mod own_images;
mod plan;
mod proof;
mod publish;
mod rebase;
mod recipe;
mod registry;
mod reproducible;
mod scripts;
mod shared;
mod store;
mod support;
mod tags;
mod update;
mod writeback;
