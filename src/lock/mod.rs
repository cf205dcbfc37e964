//! Definition and archives to Lock.
pub mod file;
