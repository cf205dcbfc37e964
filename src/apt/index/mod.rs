//! Packages indexes (Debian repository format): from a byte stream to candidates.
//!
//! Of each stanza only the fields in `field::KEPT` stay in memory, as text in one arena; a [`Package`] is made when
//! somebody asks for it. An archive of 70,000 packages takes some 45 MB.

mod decoded;
mod field;
mod read;
#[cfg(test)]
mod tests;

pub use field::check_path;

use crate::apt::Package;
use crate::apt::relation::InvalidRelation;
use crate::apt::version;
use std::cmp::Ordering;
use std::io;
use std::io::Read;
use std::ops::Range;

/// What an index may cost; everything beyond is an error.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the decompressed index.
    pub bytes: u64,
    /// Stanzas.
    pub stanzas: usize,
    /// Bytes in one line.
    pub line: usize,
    /// Bytes kept in memory, below 4 GiB.
    pub memory: usize,
    /// Provided names in all stanzas together.
    pub provides: usize,
}

impl Limits {
    /// Room for several times the largest archive of today (Debian unstable: 56 MB, 69,000 stanzas).
    pub const ARCHIVE: Self =
        Self { bytes: 400 << 20, stanzas: 1_000_000, line: 4 << 20, memory: 400 << 20, provides: 4_000_000 };
}

/// A Packages index cannot be read, or one of its packages cannot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not come.
    #[error("cannot read package index: {0}")]
    Read(io::Error),
    /// A limit is passed.
    #[error("cannot read package index: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A line is neither `Name: value` nor a continuation.
    #[error("cannot read package index: line {line} is no field: `{}`", text.escape_debug())]
    NoField {
        /// Its number, from 1.
        line: u64,
        /// Its beginning.
        text: String,
    },
    /// A stanza has no `Package` field.
    #[error("cannot read package index: the stanza that ends before line {line} names no package")]
    Nameless {
        /// Number of the line after the stanza, from 1.
        line: u64,
    },
    /// One field twice in a stanza.
    #[error("cannot read package index: field `{field}` is repeated in line {line}")]
    Repeated {
        /// Number of the second occurrence's line, from 1.
        line: u64,
        /// The field.
        field: &'static str,
    },
    /// The same version twice, with different content.
    #[error("cannot read package index: `{name}` {version} ({architecture}) is listed with two different contents")]
    Conflicting {
        /// Package name.
        name: String,
        /// Its version.
        version: String,
        /// Its architecture.
        architecture: String,
    },
    /// A package lacks a field.
    #[error("cannot read package `{package}`: field `{field}` is missing")]
    Missing {
        /// Package name.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// A package has a field that cannot be true.
    #[error("cannot read package `{package}`: field `{field}` is `{}`: {problem}", value.escape_debug())]
    Invalid {
        /// Package name.
        package: String,
        /// The field.
        field: &'static str,
        /// The beginning of its value.
        value: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A package has a relation field that breaks the syntax.
    #[error("cannot read package `{package}`: field `{field}`: {cause}")]
    Relation {
        /// Package name.
        package: String,
        /// The field.
        field: &'static str,
        /// Where and why.
        cause: InvalidRelation,
    },
}

/// All packages of one Packages file, sorted by name, newest version first.
#[derive(Debug)]
pub struct Index {
    /// Kept fields of all stanzas: a tag byte, the value, a line feed, and so on.
    arena: String,
    stanzas: Vec<Stanza>,
    provides: Vec<Provided>,
}

/// Where a stanza is in the arena.
#[derive(Debug, Clone, Copy)]
struct Stanza {
    start: u32,
    end: u32,
    /// Start of the package name.
    name: u32,
    name_length: u32,
}

/// A name in a `Provides` field.
#[derive(Debug, Clone, Copy)]
struct Provided {
    /// Start of the name in the arena.
    name: u32,
    name_length: u32,
    /// Number of the stanza, in sorted order.
    stanza: u32,
}

impl Stanza {
    fn name<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.name, self.name_length)
    }

    fn record<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.start, self.end - self.start)
    }
}

fn slice(arena: &str, start: u32, length: u32) -> &str {
    let start = start as usize;
    &arena[start..start + length as usize]
}

impl Index {
    /// Reads a decompressed Packages file.
    ///
    /// # Errors
    /// [`Error`] when the bytes do not come, a limit is passed, the text breaks the syntax, or one version is listed with
    /// two contents. Fields are judged later, when a package is asked for.
    pub fn read(reader: impl Read, limits: &Limits) -> Result<Self, Error> {
        let (arena, mut stanzas) = read::read(reader, limits)?;
        // many stanzas share a name only in archives that keep old versions, so versions are compared rarely
        stanzas.sort_by(|left, right| {
            left.name(&arena).cmp(right.name(&arena)).then_with(|| compare(left.record(&arena), right.record(&arena)))
        });
        refuse_conflicts(&arena, &stanzas)?;
        stanzas.dedup_by(|right, left| same_version(&arena, left, right));
        let provides = provided_names(&arena, &stanzas, limits)?;
        Ok(Self { arena, stanzas, provides })
    }

    /// Returns the number of packages, every version counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stanzas.len()
    }

    /// Tells whether there is no package.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stanzas.is_empty()
    }

    /// Returns the distinct package names in byte order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stanzas
            .chunk_by(|left, right| left.name(&self.arena) == right.name(&self.arena))
            .map(|group| group.first().map_or("", |stanza| stanza.name(&self.arena)))
    }

    /// Returns the packages of a name, newest version first.
    pub fn by_name(&self, name: &str) -> impl Iterator<Item = Result<Package, Error>> {
        let range = equal_range(&self.stanzas, |stanza| stanza.name(&self.arena).cmp(name));
        self.stanzas[range].iter().map(|stanza| self.package(stanza))
    }

    /// Returns the packages that list a name in `Provides`, sorted by their own name, newest version first; each once.
    pub fn providers(&self, virtual_name: &str) -> impl Iterator<Item = Result<Package, Error>> {
        let range = equal_range(&self.provides, |provided| {
            slice(&self.arena, provided.name, provided.name_length).cmp(virtual_name)
        });
        self.provides[range]
            .chunk_by(|left, right| left.stanza == right.stanza)
            .filter_map(|group| group.first())
            .map(|provided| self.package(&self.stanzas[provided.stanza as usize]))
    }

    /// Returns all packages, sorted by name, newest version first.
    pub fn packages(&self) -> impl Iterator<Item = Result<Package, Error>> {
        self.stanzas.iter().map(|stanza| self.package(stanza))
    }

    fn package(&self, stanza: &Stanza) -> Result<Package, Error> {
        field::package(stanza.record(&self.arena), stanza.name(&self.arena))
    }
}

/// Finds the items of a sorted slice for which the comparison says equal.
fn equal_range<T>(items: &[T], compare: impl Fn(&T) -> Ordering) -> Range<usize> {
    let start = items.partition_point(|item| compare(item).is_lt());
    let length = items[start..].partition_point(|item| compare(item).is_eq());
    start..start + length
}

/// Orders two records of one name: newest version first, then architecture, then content.
fn compare(left: &str, right: &str) -> Ordering {
    let value = |record, tag| field::value(record, tag).unwrap_or("");
    version::compare(value(right, field::VERSION), value(left, field::VERSION))
        .then_with(|| value(left, field::ARCHITECTURE).cmp(value(right, field::ARCHITECTURE)))
        .then_with(|| left.cmp(right))
}

/// Tells whether two stanzas speak of the same package in the same version and architecture.
fn same_version(arena: &str, left: &Stanza, right: &Stanza) -> bool {
    let value = |stanza: &Stanza, tag| field::value(stanza.record(arena), tag).unwrap_or("");
    left.name(arena) == right.name(arena)
        && value(left, field::ARCHITECTURE) == value(right, field::ARCHITECTURE)
        && version::compare(value(left, field::VERSION), value(right, field::VERSION)).is_eq()
}

/// Checks that what is listed twice has one content, for else the order of the index would choose.
fn refuse_conflicts(arena: &str, stanzas: &[Stanza]) -> Result<(), Error> {
    for pair in stanzas.windows(2) {
        let value = |stanza: &Stanza, tag| field::value(stanza.record(arena), tag).unwrap_or("").to_owned();
        if same_version(arena, &pair[0], &pair[1]) && value(&pair[0], field::SHA256) != value(&pair[1], field::SHA256) {
            return Err(Error::Conflicting {
                name: pair[0].name(arena).to_owned(),
                version: value(&pair[0], field::VERSION),
                architecture: value(&pair[0], field::ARCHITECTURE),
            });
        }
    }
    Ok(())
}

/// Collects the names in all `Provides` fields, sorted.
fn provided_names(arena: &str, stanzas: &[Stanza], limits: &Limits) -> Result<Vec<Provided>, Error> {
    let mut provides = Vec::new();
    for (number, stanza) in (0_u32..).zip(stanzas) {
        let record = stanza.record(arena);
        let Some(field) = field::value(record, field::PROVIDES) else { continue };
        for item in field.split(',') {
            let name = field::leading_name(item);
            if name.is_empty() {
                continue;
            }
            if provides.len() == limits.provides {
                return Err(Error::TooLarge { what: "provided names", limit: limits.provides as u64 });
            }
            // positions fit: the arena is smaller than 4 GiB, see `read`
            let offset = stanza.start as usize + (name.as_ptr() as usize - record.as_ptr() as usize);
            provides.push(Provided { name: offset as u32, name_length: name.len() as u32, stanza: number });
        }
    }
    let key = |provided: &Provided| (slice(arena, provided.name, provided.name_length), provided.stanza);
    provides.sort_unstable_by(|left, right| key(left).cmp(&key(right)));
    provides.shrink_to_fit();
    Ok(provides)
}
