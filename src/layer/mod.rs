//! Packages to Tree to layers.

pub mod unpack;

/// Engine format version: a new number says that images may get other bytes from the same lock.
pub const ENGINE_FORMAT: u32 = 1;
