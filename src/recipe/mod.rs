//! YAML to Definition.
mod definition;
pub use definition::*;
