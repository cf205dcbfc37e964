//! A read index as bytes, and back: so that a later run neither decompresses nor scans it again.
//!
//! ```text
//! records                                kept fields of all stanzas, see `Index`
//! names                                  of packages and provided ones
//! 4 numbers a stanza, 3 a provided name  as in `Stanza` and `Provided`
//! 4 numbers                              bytes of records and names, stanzas, provided names
//! `MAGIC`                                also names the format
//! 64 hexadecimal digits                  what it was made from
//! 64 hexadecimal digits                  SHA-256 of everything before
//! ```
//! Numbers have 32 bits, lowest byte first. The records come first, so that the bytes read become them without a copy.
//! They are nine tenths of the file, and few of them are ever asked for: [`PackageIndex::open`] leaves them where they are.
//!
//! The digest finds damage; it is no signature. Whoever can write the file can also make its digest, so no byte sequence
//! may do more than make a wrong index: every place is checked before it is used.

use crate::apt::index::PackageIndex;
use crate::apt::index::ProvidedName;
use crate::apt::index::Records;
use crate::apt::index::StanzaSpan;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::DigestHasher;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::io::Write;

/// Ends the tables. Its last digits are the format: to be raised with every change of layout, of the kept fields, or of
/// how an index is read, because an index of another format is made again.
const MAGIC: &[u8; 16] = b"sockel index 003";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Bytes of the numbers that say how much there is of everything.
const COUNTS: usize = size_of::<[u32; 4]>();

/// Bytes of what comes after the tables.
const TRAILER: usize = COUNTS + MAGIC.len() + 2 * DIGITS;

impl PackageIndex {
    /// Writes the index in its decoded form, with a digest of what it was made from.
    ///
    /// # Errors
    /// When the bytes cannot be written, or its records not be read.
    pub fn encode(&self, made_from: &Digest, writer: impl Write) -> io::Result<()> {
        let mut writer = HashingWriter { writer, hasher: DigestHasher::default() };
        let records = match &self.records {
            Records::Arena(arena) => Cow::Borrowed(arena.as_bytes()),
            Records::File(file) => {
                let end = self.stanzas.iter().map(|stanza| stanza.end).max().unwrap_or_default();
                Cow::Owned(fs::read_at(file, 0, end as usize)?)
            }
        };
        writer.write_all(&records)?;
        writer.write_all(self.names.as_bytes())?;
        for StanzaSpan { start, end, name, name_length } in &self.stanzas {
            write(&mut writer, [*start, *end, *name, *name_length])?;
        }
        for ProvidedName { name, name_length, stanza } in &self.provides {
            write(&mut writer, [*name, *name_length, *stanza])?;
        }

        // the limits of `Index::read` keep all of them far below 2^32
        let counts = [records.len(), self.names.len(), self.stanzas.len(), self.provides.len()];
        write(&mut writer, counts.map(|count| count as u32))?;
        writer.write_all(MAGIC)?;
        writer.write_all(made_from.hex().as_bytes())?;
        let HashingWriter { mut writer, hasher } = writer;
        writer.write_all(hasher.finish().hex().as_bytes())?;
        writer.flush()
    }

    /// Makes the index of its decoded form; `None` when that is damaged, of another format, made from something else, or
    /// not sound in itself.
    #[must_use]
    pub fn decode(mut bytes: Vec<u8>, made_from: &Digest) -> Option<Self> {
        let (sealed, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGITS)?)?;
        if Digest::of(sealed).hex().as_bytes() != digest {
            return None;
        }
        let (body, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER)?)?;
        let counts = Counts::read(trailer, made_from)?;
        let (_, tables) = body.split_at_checked(counts.records)?;
        let tables = counts.tables(tables)?;

        bytes.truncate(counts.records);
        let index = tables.index(Records::Arena(String::from_utf8(bytes).ok()?));
        let is_text = |stanza: &StanzaSpan| match &index.records {
            Records::Arena(arena) => arena.get(stanza.start as usize..stanza.end as usize).is_some(),
            Records::File(_) => true,
        };
        index.stanzas.iter().all(is_text).then_some(index)
    }

    /// Makes the index of a file with its decoded form, whose bytes were seen to have their digest before; its records
    /// stay in the file. `None` as [`PackageIndex::decode`].
    #[must_use]
    pub fn open(file: File, made_from: &Digest) -> Option<Self> {
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let end = size.checked_sub(TRAILER)?;
        let trailer = fs::read_at(&file, end as u64, TRAILER).ok()?;
        let counts = Counts::read(&trailer, made_from)?;
        let tables = fs::read_at(&file, counts.records as u64, end.checked_sub(counts.records)?).ok()?;
        let tables = counts.tables(&tables)?;
        Some(tables.index(Records::File(file)))
    }
}

/// How much there is of everything.
struct Counts {
    records: usize,
    names: usize,
    stanzas: usize,
    provides: usize,
}

/// What is read of a decoded form in any case, sound in itself.
struct Tables {
    names: String,
    stanzas: Vec<StanzaSpan>,
    provides: Vec<ProvidedName>,
}

impl Counts {
    /// Reads the trailer; `None` when it is of another format, or of an index that was made from something else.
    fn read(trailer: &[u8], made_from: &Digest) -> Option<Self> {
        let (counts, rest) = trailer.split_at_checked(COUNTS)?;
        rest.strip_prefix(MAGIC)?.strip_prefix(made_from.hex().as_bytes())?;
        let [records, names, stanzas, provides] = numbers(counts).next()?.map(|count| count as usize);
        Some(Self { records, names, stanzas, provides })
    }

    /// Reads what comes between records and trailer; `None` unless every place lies within the records or names, the
    /// latter between characters, and every number is that of a stanza. The order is not checked: searching in a wrong
    /// order finds the wrong thing, or nothing.
    fn tables(&self, bytes: &[u8]) -> Option<Tables> {
        let (names, tables) = bytes.split_at_checked(self.names)?;
        let (stanzas, provides) = tables.split_at_checked(self.stanzas.checked_mul(size_of::<[u32; 4]>())?)?;
        if provides.len() != self.provides.checked_mul(size_of::<[u32; 3]>())? {
            return None;
        }

        let names = str::from_utf8(names).ok()?;
        let holds = |name: u32, length: u32| {
            let end = name.checked_add(length);
            end.is_some_and(|end| names.get(name as usize..end as usize).is_some())
        };
        let mut all = Tables { names: names.to_owned(), stanzas: Vec::new(), provides: Vec::new() };
        all.stanzas.reserve_exact(self.stanzas);
        for [start, end, name, name_length] in numbers(stanzas) {
            if start > end || end as usize > self.records || !holds(name, name_length) {
                return None;
            }
            all.stanzas.push(StanzaSpan { start, end, name, name_length });
        }
        all.provides.reserve_exact(self.provides);
        for [name, name_length, stanza] in numbers(provides) {
            if stanza as usize >= self.stanzas || !holds(name, name_length) {
                return None;
            }
            all.provides.push(ProvidedName { name, name_length, stanza });
        }
        Some(all)
    }
}

impl Tables {
    fn index(self, records: Records) -> PackageIndex {
        let Self { names, stanzas, provides } = self;
        PackageIndex { records, names, stanzas, provides }
    }
}

fn write<const N: usize>(writer: &mut impl Write, numbers: [u32; N]) -> io::Result<()> {
    numbers.into_iter().try_for_each(|number| writer.write_all(&number.to_le_bytes()))
}

/// Reads a table of rows of numbers; what is left over at its end is no row.
fn numbers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u32; N]> {
    bytes.chunks_exact(N * 4).map(|row| {
        let mut numbers =
            row.chunks_exact(4).map(|number| u32::from_le_bytes([number[0], number[1], number[2], number[3]]));
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    })
}

/// Hashes what is written.
struct HashingWriter<W> {
    writer: W,
    hasher: DigestHasher,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
