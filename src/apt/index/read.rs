//! Scans a Packages stream: finds stanzas and copies the kept fields into the arena.

use crate::apt::index::Error;
use crate::apt::index::Limits;
use crate::apt::index::Stanza;
use crate::apt::index::field;
use std::io;
use std::io::Read;

/// Most bytes asked for at a time, unless a line is longer.
const BLOCK: usize = 256 << 10;

/// Reads the whole stream. Returns the arena, and the positions of the stanzas in the order of the stream.
pub(super) fn read(mut reader: impl Read, limits: &Limits) -> Result<(String, Vec<Stanza>), Error> {
    let mut scanner = Scanner::new(limits);
    let mut buffer = vec![0; BLOCK];
    let mut filled = 0;
    let mut total = 0_u64;
    loop {
        // complete lines were removed from a full buffer, so it holds the beginning of one long line
        if filled == buffer.len() {
            if filled >= limits.line {
                return Err(Error::TooLarge { unit: "bytes in a line", limit: limits.line as u64 });
            }
            buffer.resize(filled * 2, 0);
        }

        let count = match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Read(error)),
        };
        total += count as u64;
        if total > limits.bytes {
            return Err(Error::TooLarge { unit: "bytes", limit: limits.bytes });
        }

        // the incomplete line at the end moves to the beginning of the buffer
        filled += count;
        let used = scanner.lines(&buffer[..filled])?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }

    // the last line may lack its line feed
    if filled > 0 {
        scanner.line(&buffer[..filled])?;
    }
    scanner.finish()
}

/// The fields kept so far, and the state of the stanza that is being read.
struct Scanner<'a> {
    limits: &'a Limits,
    arena: Vec<u8>,
    stanzas: Vec<Stanza>,
    /// Number of the current line, from 1.
    number: u64,
    /// Start of the current stanza in the arena.
    start: usize,
    /// Position and length of the package name of the current stanza.
    name: Option<(usize, usize)>,
    /// Kept fields that the current stanza already has: a bit for each position in `field::KEPT`.
    seen: u32,
    /// Kind of the field before the current line.
    last: Last,
}

/// The field to which a continuation line belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// None: between stanzas.
    None,
    /// A field that is not kept.
    Other,
    /// The last field in the arena.
    Kept,
}

impl<'a> Scanner<'a> {
    fn new(limits: &'a Limits) -> Self {
        let (arena, stanzas) = (Vec::new(), Vec::new());
        Self { limits, arena, stanzas, number: 0, start: 0, name: None, seen: 0, last: Last::None }
    }

    /// Reads all complete lines. Returns their length in bytes.
    fn lines(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.line(&bytes[start..end])?;
            start = end + 1;
        }
        Ok(start)
    }

    /// Reads a line without its line feed.
    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        self.number += 1;
        match line.first() {
            None => self.end_stanza(),
            Some(b' ' | b'\t') => self.continuation(line),
            Some(_) => self.field(line),
        }
    }

    /// Reads a line `Name: value`.
    fn field(&mut self, line: &[u8]) -> Result<(), Error> {
        let colon = memchr::memchr(b':', line).filter(|&at| at > 0).ok_or_else(|| self.no_field(line))?;

        // set first: continuation lines of a field that is not kept are skipped, too
        self.last = Last::Other;
        let Some(tag) = field::tag(&line[..colon]) else { return Ok(()) };

        // of two values some tools take the first, others the last
        let position = field::position(tag);
        if self.seen & (1 << position) != 0 {
            return Err(Error::Repeated { line: self.number, field: field::KEPT[position] });
        }
        self.seen |= 1 << position;
        self.last = Last::Kept;

        let value = line[colon + 1..].trim_ascii();
        self.reserve(value.len() + 2)?;
        self.arena.push(tag);
        if tag == field::PACKAGE {
            self.name = Some((self.arena.len(), value.len()));
        }
        self.arena.extend_from_slice(value);
        self.arena.push(b'\n');
        Ok(())
    }

    /// Reads a line that begins with a blank. Folded fields become one line: all kept fields are single words
    /// or lists in which white space means nothing.
    fn continuation(&mut self, line: &[u8]) -> Result<(), Error> {
        let text = line.trim_ascii();
        match self.last {
            // a line of blanks separates stanzas as an empty one does (deb822(5))
            _ if text.is_empty() => self.end_stanza(),
            Last::None => Err(self.no_field(line)),
            Last::Other => Ok(()),
            Last::Kept => {
                self.reserve(text.len() + 1)?;
                // the line feed after the value becomes a blank
                self.arena.pop();
                self.arena.push(b' ');
                self.arena.extend_from_slice(text);
                self.arena.push(b'\n');
                Ok(())
            }
        }
    }

    /// Ends the current stanza, if there is one: several empty lines separate stanzas like one.
    fn end_stanza(&mut self) -> Result<(), Error> {
        if self.last == Last::None {
            return Ok(());
        }

        let Some((name, name_length)) = self.name.take() else { return Err(Error::Nameless { line: self.number }) };
        if self.stanzas.len() == self.limits.stanzas {
            return Err(Error::TooLarge { unit: "stanzas", limit: self.limits.stanzas as u64 });
        }

        // all positions are below the memory limit, which `reserve` keeps below 4 GiB
        let [start, end, name, name_length] =
            [self.start, self.arena.len(), name, name_length].map(|position| position as u32);
        self.stanzas.push(Stanza { start, end, name, name_length });

        self.start = self.arena.len();
        self.seen = 0;
        self.last = Last::None;
        Ok(())
    }

    /// Checks that the arena may grow, within the memory limit and 32-bit positions.
    fn reserve(&self, more: usize) -> Result<(), Error> {
        let limit = self.limits.memory.min(u32::MAX as usize);
        if self.arena.len() + more > limit {
            return Err(Error::TooLarge { unit: "bytes in kept fields", limit: limit as u64 });
        }
        Ok(())
    }

    fn no_field(&self, line: &[u8]) -> Error {
        Error::NoField { line: self.number, text: String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned() }
    }

    /// Ends the last stanza.
    fn finish(mut self) -> Result<(String, Vec<Stanza>), Error> {
        self.number += 1;
        self.end_stanza()?;

        // the capacity may be twice the length, for as long as the index lives
        self.arena.shrink_to_fit();
        self.stanzas.shrink_to_fit();

        // once for the whole arena: fields that are not kept may have any encoding
        let arena = String::from_utf8(self.arena)
            .map_err(|error| not_utf8(error.as_bytes(), error.utf8_error().valid_up_to(), &self.stanzas))?;
        Ok((arena, self.stanzas))
    }
}

/// Names the package and field in which the arena is not UTF-8.
fn not_utf8(arena: &[u8], at: usize, stanzas: &[Stanza]) -> Error {
    let stanza = stanzas.iter().find(|stanza| stanza.end as usize > at);
    let package = stanza.map_or(&[][..], |s| &arena[s.name as usize..(s.name + s.name_length) as usize]);

    // a field begins with its tag, after the line feed of the one before
    let start = arena[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |line_feed| line_feed + 1);
    let field = arena.get(start).and_then(|&tag| field::KEPT.get(field::position(tag)));
    Error::Invalid {
        package: String::from_utf8_lossy(package).into_owned(),
        field: field.unwrap_or(&"Package"),
        value: String::from_utf8_lossy(&arena[start + 1..at.max(start + 1)]).into_owned(),
        problem: "it is not UTF-8",
    }
}
