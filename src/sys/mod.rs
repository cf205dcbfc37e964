//! The only doors to the machine: files, clock, environment, network and programs, and tar archives from strangers.
//! Every error names its path or address.

pub mod archive;
pub mod beneath;
pub mod clock;
pub mod env;
pub mod fs;
pub mod http;
pub mod own;
pub mod process;
