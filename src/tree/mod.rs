//! A root file system as a value; no root rights needed.
mod entry;
pub use entry::Content;
pub use entry::Entry;
pub use entry::Kind;
pub use entry::Origin;
pub use entry::Source;
