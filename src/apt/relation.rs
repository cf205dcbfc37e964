//! Relations between packages: Depends, Conflicts, Provides and the like (Debian policy 7.1, deb-control(5)).

use crate::apt::version::Version;

/// How a version is compared in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// One package name with an optional version bound, `libc6 (>= 2.38)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Package or virtual package.
    pub name: String,
    /// Architecture qualifier after the colon (`any`, `native`, `amd64`).
    pub qualifier: Option<String>,
    /// Bound.
    pub bound: Option<(Operator, Version)>,
}

/// A virtual package, `Provides: mail-transport-agent, libfoo (= 1.2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provide {
    /// Virtual package name.
    pub name: String,
    /// Version, when one is given.
    pub version: Option<Version>,
}
