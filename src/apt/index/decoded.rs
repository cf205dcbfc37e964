//! An index as bytes and back, so that a later run need neither decompress nor scan it again.
//!
//! ```text
//! arena                                  kept fields of all stanzas, see `Index`
//! 4 numbers a stanza, 3 a provided name  as in `Stanza` and `Provided`
//! 3 numbers                              bytes of the arena, stanzas, provided names
//! `MAGIC`                                also names the format
//! 64 hexadecimal digits                  digest of what it was made from
//! 64 hexadecimal digits                  SHA-256 of everything before
//! ```
//! Numbers have 32 bits, lowest byte first. The arena comes first, so that the bytes read become the arena
//! without a copy.
//!
//! The SHA-256 finds damage; it is not a signature. Whoever can write the file can also compute it, so no
//! sequence of bytes may do more harm than a wrong index: every position is checked before it is used.

use crate::apt::index::Index;
use crate::apt::index::Provided;
use crate::apt::index::Stanza;
use crate::values::Digest;
use crate::values::Hasher;
use std::io;
use std::io::Write;

/// Ends the tables. The last digits are the format. Raise them with every change of the layout, of the kept
/// fields, or of the way an index is read: an index of another format is decoded again.
const MAGIC: &[u8; 16] = b"sockel index 001";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Bytes of the three numbers behind the tables.
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
            write_row(&mut writer, [*start, *end, *name, *name_length])?;
        }
        for Provided { name, name_length, stanza } in &self.provides {
            write_row(&mut writer, [*name, *name_length, *stanza])?;
        }

        // the limits of `Index::read` keep all three far below 2^32
        let counts = [self.arena.len(), self.stanzas.len(), self.provides.len()];
        write_row(&mut writer, counts.map(|count| count as u32))?;
        writer.write_all(MAGIC)?;
        writer.write_all(made_from.hex().as_bytes())?;

        let Hashed { mut writer, hasher } = writer;
        writer.write_all(hasher.finish().hex().as_bytes())?;
        writer.flush()
    }

    /// Reads an index in its decoded form. Returns `None` if it is damaged, has another format, was made from something
    /// else, or contradicts itself.
    #[must_use]
    pub fn decode(mut bytes: Vec<u8>, made_from: &Digest) -> Option<Self> {
        // from the end to the beginning: the counts say where the tables begin
        let rest = bytes.as_slice();
        let (rest, digest) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        let tables = rest.strip_suffix(made_from.hex().as_bytes())?.strip_suffix(MAGIC)?;
        if Digest::of(rest).hex().as_bytes() != digest {
            return None;
        }

        let (tables, counts) = tables.split_at_checked(tables.len().checked_sub(COUNTS)?)?;
        let [arena, stanzas, provides] = rows(counts).next()?.map(|count| count as usize);
        let (_, tables) = tables.split_at_checked(arena)?;
        let (stanza_table, provided_table) = tables.split_at_checked(stanzas.checked_mul(size_of::<[u32; 4]>())?)?;
        if provided_table.len() != provides.checked_mul(size_of::<[u32; 3]>())? {
            return None;
        }

        let stanzas: Vec<Stanza> = rows(stanza_table)
            .map(|[start, end, name, name_length]| Stanza { start, end, name, name_length })
            .collect();
        let provides: Vec<Provided> =
            rows(provided_table).map(|[name, name_length, stanza]| Provided { name, name_length, stanza }).collect();

        bytes.truncate(arena);
        let index = Self { arena: String::from_utf8(bytes).ok()?, stanzas, provides };
        index.is_sound().then_some(index)
    }

    /// Tells whether every position lies within the arena, between characters, and every number is that of a
    /// stanza. The order is not checked: a search in a wrong order finds the wrong package or none, but does
    /// not panic.
    fn is_sound(&self) -> bool {
        let stanzas_are_sound = self.stanzas.iter().all(|stanza| {
            self.contains(stanza.start, Some(stanza.end)) && self.contains_name(stanza.name, stanza.name_length)
        });
        let provides_are_sound = self.provides.iter().all(|provided| {
            (provided.stanza as usize) < self.stanzas.len() && self.contains_name(provided.name, provided.name_length)
        });
        stanzas_are_sound && provides_are_sound
    }

    fn contains_name(&self, start: u32, length: u32) -> bool {
        self.contains(start, start.checked_add(length))
    }

    /// Tells whether a range is a slice of the arena; its end is `None` if it does not fit 32 bits.
    fn contains(&self, start: u32, end: Option<u32>) -> bool {
        end.is_some_and(|end| self.arena.get(start as usize..end as usize).is_some())
    }
}

fn write_row<const N: usize>(writer: &mut impl Write, numbers: [u32; N]) -> io::Result<()> {
    for number in numbers {
        writer.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

/// Reads a table of rows of numbers; bytes at the end that do not fill a row are ignored.
fn rows<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u32; N]> {
    bytes.chunks_exact(N * 4).map(|row| {
        let mut numbers =
            row.chunks_exact(4).map(|number| u32::from_le_bytes([number[0], number[1], number[2], number[3]]));
        // a row has exactly N numbers
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    })
}

/// Hashes the bytes written.
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
