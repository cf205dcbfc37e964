//! From the OCI layout to a registry, past the gate.

pub mod gate;
pub mod harbor;
