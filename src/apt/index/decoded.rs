//! A read index as bytes, and back: so that a later run neither decompresses nor scans it again.
//!
//! ```text
//! arena                                  kept fields of all stanzas, see `Index`
//! 4 numbers a stanza, 3 a provided name  as in `Stanza` and `Provided`
//! 3 numbers                              bytes of the arena, stanzas, provided names
//! `MAGIC`                                also names the format
//! 64 hexadecimal digits                  what it was made from
//! 64 hexadecimal digits                  SHA-256 of everything before
//! ```
//! Numbers have 32 bits, lowest byte first. The arena comes first, so that the bytes read become the arena without a copy.
//!
//! The digest finds damage; it is no signature. Whoever can write the file can also make its digest, so no byte sequence
//! may do more than make a wrong index: every place is checked before it is used.

use crate::apt::index::Index;
use crate::apt::index::Provided;
use crate::apt::index::Stanza;
use crate::values::Digest;
use crate::values::Hasher;
use std::io;
use std::io::Write;

/// Ends the tables. Its last digits are the format: to be raised with every change of layout, of the kept fields, or of
/// how an index is read, because an index of another format is made again.
const MAGIC: &[u8; 16] = b"sockel index 001";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Bytes of the three numbers.
const COUNTS: usize = 12;

impl Index {
    /// Writes the index in its decoded form, with a digest of what it was made from.
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub fn encode(&self, made_from: &Digest, writer: impl Write) -> io::Result<()> {
        let mut writer = Hashed { writer, hasher: Hasher::default() };
        writer.write_all(self.arena.as_bytes())?;
        for Stanza { start, end, name, name_length } in &self.stanzas {
            write(&mut writer, [*start, *end, *name, *name_length])?;
        }
        for Provided { name, name_length, stanza } in &self.provides {
            write(&mut writer, [*name, *name_length, *stanza])?;
        }
        // the limits of `Index::read` keep all three far below 2^32
        write(&mut writer, [self.arena.len(), self.stanzas.len(), self.provides.len()].map(|count| count as u32))?;
        writer.write_all(MAGIC)?;
        writer.write_all(made_from.hex().as_bytes())?;
        let Hashed { mut writer, hasher } = writer;
        writer.write_all(hasher.finish().hex().as_bytes())?;
        writer.flush()
    }

    /// Makes the index of its decoded form; `None` when that is damaged, of another format, made from something else, or
    /// not sound in itself.
    #[must_use]
    pub fn decode(mut bytes: Vec<u8>, made_from: &Digest) -> Option<Self> {
        let rest = bytes.as_slice();
        let (rest, digest) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        let tables = rest.strip_suffix(made_from.hex().as_bytes())?.strip_suffix(MAGIC)?;
        if Digest::of(rest).hex().as_bytes() != digest {
            return None;
        }
        let (tables, counts) = tables.split_at_checked(tables.len().checked_sub(COUNTS)?)?;
        let [arena, stanzas, provides] = numbers(counts).next()?.map(|count| count as usize);
        let (_, tables) = tables.split_at_checked(arena)?;
        let (stanza_table, provided_table) = tables.split_at_checked(stanzas.checked_mul(size_of::<[u32; 4]>())?)?;
        if provided_table.len() != provides.checked_mul(size_of::<[u32; 3]>())? {
            return None;
        }
        let stanza = |[start, end, name, name_length]: [u32; 4]| Stanza { start, end, name, name_length };
        let stanzas: Vec<Stanza> = numbers(stanza_table).map(stanza).collect();
        let provided = |[name, name_length, stanza]: [u32; 3]| Provided { name, name_length, stanza };
        let provides: Vec<Provided> = numbers(provided_table).map(provided).collect();
        bytes.truncate(arena);
        let index = Self { arena: String::from_utf8(bytes).ok()?, stanzas, provides };
        index.is_sound().then_some(index)
    }

    /// Tells whether every place lies within the arena, between characters, and every number is that of a stanza. The order
    /// is not checked: searching in a wrong order finds the wrong thing, or nothing.
    fn is_sound(&self) -> bool {
        let holds = |start: u32, end: Option<u32>| {
            end.is_some_and(|end| self.arena.get(start as usize..end as usize).is_some())
        };
        let stanza = |stanza: &Stanza| {
            holds(stanza.start, Some(stanza.end)) && holds(stanza.name, stanza.name.checked_add(stanza.name_length))
        };
        let provided = |provided: &Provided| {
            (provided.stanza as usize) < self.stanzas.len()
                && holds(provided.name, provided.name.checked_add(provided.name_length))
        };
        self.stanzas.iter().all(stanza) && self.provides.iter().all(provided)
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
struct Hashed<W> {
    writer: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
