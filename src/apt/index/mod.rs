//! Packages indexes (Debian repository format): from a byte stream to candidates.
//!
//! Of each stanza only the fields in `field::KEPT` stay in memory, as text in one arena. A [`Package`] is made
//! when somebody asks for it. An archive of 70,000 packages takes about 45 MB.

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

/// Limits of an index; everything beyond is an error.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of the decompressed index.
    pub bytes: u64,
    /// Most stanzas.
    pub stanzas: usize,
    /// Most bytes in one line.
    pub line: usize,
    /// Most bytes kept in memory, below 4 GiB.
    pub memory: usize,
    /// Most provided names in all stanzas together.
    pub provides: usize,
}

impl Limits {
    /// Several times the largest archive of today (Debian unstable: 56 MB, 69,000 stanzas).
    pub const ARCHIVE: Self =
        Self { bytes: 400 << 20, stanzas: 1_000_000, line: 4 << 20, memory: 400 << 20, provides: 4_000_000 };
}

/// A Packages index, or one of its packages, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream cannot be read.
    #[error("cannot read package index: {0}")]
    Read(io::Error),
    /// A limit is exceeded.
    #[error("cannot read package index: more than {limit} {unit}")]
    TooLarge {
        /// The unit of the limit.
        unit: &'static str,
        /// The largest allowed number.
        limit: u64,
    },
    /// A line is neither `Name: value` nor a continuation.
    #[error("cannot read package index: line {line} is not a field: `{}`", text.escape_debug())]
    NoField {
        /// Number of the line, from 1.
        line: u64,
        /// Beginning of the line.
        text: String,
    },
    /// A stanza has no `Package` field.
    #[error("cannot read package index: the stanza before line {line} has no `Package` field")]
    Nameless {
        /// Number of the line after the stanza, from 1.
        line: u64,
    },
    /// One field twice in a stanza.
    #[error("cannot read package index: field `{field}` is repeated in line {line}")]
    Repeated {
        /// Number of the second occurrence's line, from 1.
        line: u64,
        /// Name of the field.
        field: &'static str,
    },
    /// The same version twice, with different content.
    #[error("cannot read package index: `{name}` {version} ({architecture}) is listed with two different contents")]
    Conflicting {
        /// Package name.
        name: String,
        /// Version of the package.
        version: String,
        /// Architecture of the package.
        architecture: String,
    },
    /// A package lacks a field.
    #[error("cannot read package `{package}`: field `{field}` is missing")]
    Missing {
        /// Package name.
        package: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A package has a field with an invalid value.
    #[error("cannot read package `{package}`: field `{field}` is `{}`: {problem}", value.escape_debug())]
    Invalid {
        /// Package name.
        package: String,
        /// Name of the field.
        field: &'static str,
        /// Beginning of the field's value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A package has a relation field that breaks the syntax.
    #[error("cannot read package `{package}`: field `{field}`: {cause}")]
    Relation {
        /// Package name.
        package: String,
        /// Name of the field.
        field: &'static str,
        /// The offending relation.
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

/// Position of a stanza in the arena.
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
    /// Returns the value of `Package`.
    fn name<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.name, self.name_length)
    }

    /// Returns all kept fields.
    fn record<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.start, self.end - self.start)
    }
}

impl Provided {
    fn name<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.name, self.name_length)
    }

    /// Returns the sort key: the name, then the package in the order of the index.
    fn key<'a>(&self, arena: &'a str) -> (&'a str, u32) {
        (self.name(arena), self.stanza)
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
    /// [`Error`] when the stream cannot be read, a limit is exceeded, the text breaks the syntax, or one
    /// version is listed with two contents. Fields are checked later, when a package is asked for.
    pub fn read(reader: impl Read, limits: &Limits) -> Result<Self, Error> {
        let (arena, mut stanzas) = read::read(reader, limits)?;

        // only archives that keep old versions have many stanzas of one name, so versions are rarely compared
        stanzas.sort_by(|left, right| {
            left.name(&arena).cmp(right.name(&arena)).then_with(|| compare(left.record(&arena), right.record(&arena)))
        });

        // neighbours by now; of two with the same content one is dropped
        refuse_conflicts(&arena, &stanzas)?;
        stanzas.dedup_by(|right, left| same_version(&arena, left, right));

        let provides = provided_names(&arena, &stanzas, limits)?;
        Ok(Self { arena, stanzas, provides })
    }

    /// Returns the number of packages; every version counts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stanzas.len()
    }

    /// Tells whether there are no packages.
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

    /// Returns the packages that list a name in `Provides`, each once, sorted by their own name, newest version first.
    pub fn providers(&self, virtual_name: &str) -> impl Iterator<Item = Result<Package, Error>> {
        let range = equal_range(&self.provides, |provided| provided.name(&self.arena).cmp(virtual_name));
        self.provides[range]
            // a package may provide one name in several versions
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

/// Returns the range of the items in a sorted slice that compare as equal.
fn equal_range<T>(items: &[T], compare: impl Fn(&T) -> Ordering) -> Range<usize> {
    let start = items.partition_point(|item| compare(item).is_lt());
    let length = items[start..].partition_point(|item| compare(item).is_eq());
    start..start + length
}

/// Returns the value with a tag in a record, empty if there is none.
fn value_or_empty(record: &str, tag: u8) -> &str {
    field::value(record, tag).unwrap_or("")
}

/// Orders two records of one name: newest version first, then by architecture, then by content.
fn compare(left: &str, right: &str) -> Ordering {
    version::compare(value_or_empty(right, field::VERSION), value_or_empty(left, field::VERSION))
        .then_with(|| value_or_empty(left, field::ARCHITECTURE).cmp(value_or_empty(right, field::ARCHITECTURE)))
        // so that the order of the stream never decides
        .then_with(|| left.cmp(right))
}

/// Tells whether two stanzas describe the same package in the same version and architecture.
fn same_version(arena: &str, left: &Stanza, right: &Stanza) -> bool {
    let (left_record, right_record) = (left.record(arena), right.record(arena));
    left.name(arena) == right.name(arena)
        && value_or_empty(left_record, field::ARCHITECTURE) == value_or_empty(right_record, field::ARCHITECTURE)
        // `1.0` and `0:1.0` are the same version to dpkg
        && version::compare(
            value_or_empty(left_record, field::VERSION),
            value_or_empty(right_record, field::VERSION),
        )
        .is_eq()
}

/// Checks that versions listed twice have the same content: otherwise the order of the index would choose one.
fn refuse_conflicts(arena: &str, stanzas: &[Stanza]) -> Result<(), Error> {
    for pair in stanzas.windows(2) {
        let [first, second] = pair else { continue };
        if !same_version(arena, first, second) {
            continue;
        }

        let (first_record, second_record) = (first.record(arena), second.record(arena));
        if value_or_empty(first_record, field::SHA256) != value_or_empty(second_record, field::SHA256) {
            return Err(Error::Conflicting {
                name: first.name(arena).to_owned(),
                version: value_or_empty(first_record, field::VERSION).to_owned(),
                architecture: value_or_empty(first_record, field::ARCHITECTURE).to_owned(),
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

        // names alone: whether an item is valid is checked when its package is asked for
        for item in field.split(',') {
            let name = field::leading_name(item);
            if name.is_empty() {
                continue;
            }
            if provides.len() == limits.provides {
                return Err(Error::TooLarge { unit: "provided names", limit: limits.provides as u64 });
            }

            // positions fit 32 bits: the arena is smaller than 4 GiB, see `read`
            let offset = stanza.start as usize + (name.as_ptr() as usize - record.as_ptr() as usize);
            provides.push(Provided { name: offset as u32, name_length: name.len() as u32, stanza: number });
        }
    }

    provides.sort_unstable_by(|left, right| left.key(arena).cmp(&right.key(arena)));
    provides.shrink_to_fit();
    Ok(provides)
}
