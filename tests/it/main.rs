//! One test binary for all stages; every file here is listed here.

mod cli;
mod lock;
mod recipe;
