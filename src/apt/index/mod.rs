//! Packages indexes (Debian repository format): from a byte stream to candidates.
//!
//! Of each stanza only the fields in `field::KEPT` are kept, as one record of text; a [`BinaryPackage`] is made of it when
//! somebody asks for it. An archive of 70,000 packages takes some 45 MB, or 5 MB where its records stay in a file.

mod decoded;
mod field;
mod read;
#[cfg(test)]
mod tests;

pub use field::check_path;

use crate::apt::BinaryPackage;
use crate::apt::index::read::ScannedStanza;
use crate::apt::relation::InvalidRelation;
use crate::apt::version;
use crate::sys::fs;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::io::Read;
use std::ops::Range;

/// What an index may cost; everything beyond is an error.
#[derive(Debug, Clone, Copy)]
pub struct PackageIndexLimits {
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

impl PackageIndexLimits {
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
    /// A stanza that nobody can rely on; the others can be used.
    #[error("cannot read package `{package}`: {problem}")]
    Stanza {
        /// Package name.
        package: String,
        /// What is wrong, with its line where there is one.
        problem: String,
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

impl Error {
    /// Tells whether one package is to blame, so that the others can be used.
    #[must_use]
    pub fn is_of_one_package(&self) -> bool {
        match self {
            Self::Stanza { .. } | Self::Missing { .. } | Self::Invalid { .. } | Self::Relation { .. } => true,
            Self::Read(_) | Self::TooLarge { .. } => false,
        }
    }
}

/// All packages of one Packages file, sorted by name, newest version first.
#[derive(Debug)]
pub struct PackageIndex {
    records: Records,
    /// Names of packages and provided names, one after the other.
    names: String,
    stanzas: Vec<StanzaSpan>,
    provides: Vec<ProvidedName>,
}

/// The kept fields of all stanzas: a tag byte, the value, a line feed, and so on.
#[derive(Debug)]
enum Records {
    /// In memory.
    Arena(String),
    /// At the beginning of a file in decoded form.
    File(File),
}

impl Records {
    /// Returns the record of a stanza, whose place was checked.
    fn get(&self, stanza: &StanzaSpan) -> Result<Cow<'_, str>, Error> {
        let StanzaSpan { start, end, .. } = *stanza;
        match self {
            Self::Arena(arena) => Ok(Cow::Borrowed(slice(arena, start, end - start))),
            Self::File(file) => {
                let bytes = fs::read_at(file, u64::from(start), (end - start) as usize).map_err(Error::Read)?;
                let text = String::from_utf8(bytes);
                Ok(Cow::Owned(text.map_err(|_| Error::Read(io::Error::other("its decoded form is not UTF-8")))?))
            }
        }
    }
}

/// Where a stanza is.
#[derive(Debug, Clone, Copy)]
struct StanzaSpan {
    /// Start of its record.
    start: u32,
    end: u32,
    /// Start of the package name among the names.
    name: u32,
    name_length: u32,
}

/// A name in a `Provides` field.
#[derive(Debug, Clone, Copy)]
struct ProvidedName {
    /// Start of the name among the names.
    name: u32,
    name_length: u32,
    /// Number of the stanza, in sorted order.
    stanza: u32,
}

impl StanzaSpan {
    fn name<'a>(&self, names: &'a str) -> &'a str {
        slice(names, self.name, self.name_length)
    }
}

fn slice(text: &str, start: u32, length: u32) -> &str {
    let start = start as usize;
    &text[start..start + length as usize]
}

/// Gathers names that come in sorted order, each once.
#[derive(Default)]
struct Names {
    text: String,
    last: (u32, u32),
}

impl Names {
    /// Returns start and length of a name. Positions fit: the names are part of an arena smaller than 4 GiB, see `read`.
    fn add(&mut self, name: &str) -> (u32, u32) {
        if slice(&self.text, self.last.0, self.last.1) != name {
            self.last = (self.text.len() as u32, name.len() as u32);
            self.text.push_str(name);
        }
        self.last
    }
}

impl PackageIndex {
    /// Reads a decompressed Packages file.
    ///
    /// # Errors
    /// [`Error`] when the bytes do not come or a limit is passed. A stanza that breaks the syntax, or one version with two
    /// contents, is an error when that package is asked for, and so are its fields.
    pub fn read(reader: impl Read, limits: &PackageIndexLimits) -> Result<Self, Error> {
        let (mut arena, mut stanzas) = read::read(reader, limits)?;
        // many stanzas share a name only in archives that keep old versions, so versions are compared rarely
        stanzas.sort_by(|left, right| {
            left.name(&arena).cmp(right.name(&arena)).then_with(|| compare(left.record(&arena), right.record(&arena)))
        });
        mark_conflicts(&mut arena, &mut stanzas, limits)?;
        stanzas.dedup_by(|right, left| same_version(&arena, left, right));
        let provided = provided_names(&arena, &stanzas, limits)?;

        // searching looks at names alone, so these are kept apart from what is seldom read
        let mut names = Names::default();
        let stanzas = stanzas.iter().map(|scanned| {
            let (name, name_length) = names.add(scanned.name(&arena));
            StanzaSpan { start: scanned.start, end: scanned.end, name, name_length }
        });
        let stanzas = stanzas.collect();
        let provides = provided.into_iter().map(|(text, stanza)| {
            let (name, name_length) = names.add(text);
            ProvidedName { name, name_length, stanza }
        });
        let provides = provides.collect();
        Ok(Self { records: Records::Arena(arena), names: names.text, stanzas, provides })
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
            .chunk_by(|left, right| left.name(&self.names) == right.name(&self.names))
            .map(|group| group.first().map_or("", |stanza| stanza.name(&self.names)))
    }

    /// Returns the packages of a name, newest version first.
    pub fn by_name(&self, name: &str) -> impl Iterator<Item = Result<BinaryPackage, Error>> {
        let range = equal_range(&self.stanzas, |stanza| stanza.name(&self.names).cmp(name));
        self.stanzas[range].iter().map(|stanza| self.package(stanza))
    }

    /// Returns the packages that list a name in `Provides`, sorted by their own name, newest version first; each once.
    pub fn providers(&self, virtual_name: &str) -> impl Iterator<Item = Result<BinaryPackage, Error>> {
        let range = equal_range(&self.provides, |provided| {
            slice(&self.names, provided.name, provided.name_length).cmp(virtual_name)
        });
        self.provides[range]
            .chunk_by(|left, right| left.stanza == right.stanza)
            .filter_map(|group| group.first())
            .map(|provided| self.package(&self.stanzas[provided.stanza as usize]))
    }

    /// Returns all packages, sorted by name, newest version first.
    pub fn packages(&self) -> impl Iterator<Item = Result<BinaryPackage, Error>> {
        self.stanzas.iter().map(|stanza| self.package(stanza))
    }

    fn package(&self, stanza: &StanzaSpan) -> Result<BinaryPackage, Error> {
        field::package(&self.records.get(stanza)?, stanza.name(&self.names))
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
fn same_version(arena: &str, left: &ScannedStanza, right: &ScannedStanza) -> bool {
    let value = |stanza: &ScannedStanza, tag| field::value(stanza.record(arena), tag).unwrap_or("");
    left.name(arena) == right.name(arena)
        && value(left, field::ARCHITECTURE) == value(right, field::ARCHITECTURE)
        && version::compare(value(left, field::VERSION), value(right, field::VERSION)).is_eq()
}

/// Marks what is listed twice with two contents, for else the order of the index would choose.
fn mark_conflicts(arena: &mut String, stanzas: &mut [ScannedStanza], limits: &PackageIndexLimits) -> Result<(), Error> {
    let mut start = 0;
    while start < stanzas.len() {
        let alike = stanzas[start..].iter().take_while(|other| same_version(arena, &stanzas[start], other)).count();
        let group = start..start + alike.max(1);
        start = group.end;

        let value = |stanza: &ScannedStanza, tag| field::value(stanza.record(arena), tag);
        let first = &stanzas[group.start];
        let sha256 = value(first, field::SHA256);
        if stanzas[group.clone()].iter().all(|other| value(other, field::SHA256) == sha256) {
            continue;
        }

        let version = value(first, field::VERSION).unwrap_or("");
        let record = first.record(arena);
        let marked = field::marked(record, &format!("{version} is listed with two different contents"));
        if arena.len() + marked.len() > limits.memory.min(u32::MAX as usize) {
            return Err(Error::TooLarge { what: "bytes in kept fields", limit: limits.memory as u64 });
        }
        // the limit keeps positions below 4 GiB
        let (from, to) = (arena.len() as u32, (arena.len() + marked.len()) as u32);
        stanzas[group].iter_mut().for_each(|stanza| (stanza.start, stanza.end) = (from, to));
        arena.push_str(&marked);
    }
    Ok(())
}

/// Collects the names in all `Provides` fields, sorted, each with the number of its stanza.
fn provided_names<'a>(
    arena: &'a str,
    stanzas: &[ScannedStanza],
    limits: &PackageIndexLimits,
) -> Result<Vec<(&'a str, u32)>, Error> {
    let mut provides = Vec::new();
    for (number, stanza) in (0_u32..).zip(stanzas) {
        let Some(field) = field::value(stanza.record(arena), field::PROVIDES) else { continue };
        for name in field.split(',').map(field::leading_name).filter(|name| !name.is_empty()) {
            if provides.len() == limits.provides {
                return Err(Error::TooLarge { what: "provided names", limit: limits.provides as u64 });
            }
            provides.push((name, number));
        }
    }
    provides.sort_unstable();
    Ok(provides)
}
