//! One .deb to one package tree in the store: read once, verified, normalised, never again.

use crate::tree::Content;
use crate::tree::Entry;
use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// A package as a tree of normalised entries, kept in the store as `tree.json` beside its `payload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Members of the control archive by name (`control`, `md5sums`, `conffiles`, `postinst`, …).
    pub control: BTreeMap<String, Content>,
    /// Everything the package brings, in byte order of paths.
    pub entries: Vec<Entry>,
}

/// Version of the rules below: a new number makes every package tree anew.
pub const NORMALISER: u32 = 1;

/// Returns the key under which the package tree of a .deb is kept.
#[must_use]
pub fn key(deb: &Digest) -> Digest {
    Digest::of(format!("package tree {NORMALISER} {deb}").as_bytes())
}
