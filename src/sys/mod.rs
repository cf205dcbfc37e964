//! The only doors to the machine: files, clock, environment, network, programs. Every error names its path or address.

pub mod beneath;
pub mod clock;
pub mod env;
pub mod fs;
pub mod http;
pub mod process;
