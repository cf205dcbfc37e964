//! One test binary for all stages; every file here is listed here.

mod lock;
mod recipe;
