//! sockel builds hardened container base images from signed APT archives, without a daemon and without root.

// GROUND
pub mod report;
pub mod sys;
pub mod values;
// LIBRARIES
pub mod apt;
pub mod oci;
pub mod store;
pub mod tree;
// STAGES
pub mod build;
pub mod fetch;
pub mod image;
pub mod layer;
pub mod lock;
pub mod recipe;
// EDGE
pub mod cli;
