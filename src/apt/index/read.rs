//! Scanning of a Packages stream: finds stanzas and copies the kept fields into the arena.

use crate::apt::index::Error;
use crate::apt::index::PackageIndexLimits;
use crate::apt::index::field;
use crate::apt::index::slice;
use std::io;
use std::io::Read;

/// Bytes asked for at a time.
const BLOCK: usize = 256 << 10;

/// Where a stanza is in the arena.
pub(super) struct ScannedStanza {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Start of the package name.
    name: u32,
    name_length: u32,
}

impl ScannedStanza {
    /// Returns the package name.
    pub(super) fn name<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.name, self.name_length)
    }

    /// Returns the kept fields.
    pub(super) fn record<'a>(&self, arena: &'a str) -> &'a str {
        slice(arena, self.start, self.end - self.start)
    }
}

/// Reads the whole stream into an arena and the places of its stanzas, in the order of the stream.
pub(super) fn read(mut reader: impl Read, limits: &PackageIndexLimits) -> Result<(String, Vec<ScannedStanza>), Error> {
    let mut scanner = PackagesScanner::new(limits);
    let mut buffer = vec![0; BLOCK];
    let (mut filled, mut total) = (0, 0_u64);
    loop {
        if filled == buffer.len() {
            if filled >= limits.line {
                return Err(Error::TooLarge { what: "bytes in a line", limit: limits.line as u64 });
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
            return Err(Error::TooLarge { what: "bytes", limit: limits.bytes });
        }
        filled += count;
        let used = scanner.lines(&buffer[..filled])?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
    if filled > 0 {
        scanner.line(&buffer[..filled])?;
    }
    scanner.finish()
}

/// What is kept so far, and the stanza that is being read.
struct PackagesScanner<'a> {
    limits: &'a PackageIndexLimits,
    arena: Vec<u8>,
    stanzas: Vec<ScannedStanza>,
    number: u64,
    /// Start of the current stanza in the arena.
    start: usize,
    /// Place and length of the package name of the current stanza.
    name: Option<(usize, usize)>,
    /// Bits of the kept fields that the current stanza already had.
    seen: u32,
    /// What is wrong with the current stanza; the first thing counts.
    problem: Option<String>,
    last: PrecedingField,
}

/// The field to which a continuation line belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrecedingField {
    /// None: between stanzas.
    None,
    /// One that is not kept.
    Other,
    /// The last one in the arena.
    Kept,
}

impl<'a> PackagesScanner<'a> {
    fn new(limits: &'a PackageIndexLimits) -> Self {
        let (arena, stanzas) = (Vec::new(), Vec::new());
        let (last, problem) = (PrecedingField::None, None);
        Self { limits, arena, stanzas, number: 0, start: 0, name: None, seen: 0, problem, last }
    }

    /// Takes all complete lines; returns how many bytes these are.
    fn lines(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.line(&bytes[start..end])?;
            start = end + 1;
        }
        Ok(start)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        self.number += 1;
        match line.first() {
            None => self.end_stanza(),
            Some(b' ' | b'\t') => self.continuation(line),
            Some(_) => self.field(line),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Error> {
        self.last = PrecedingField::Other;
        let Some(colon) = memchr::memchr(b':', line).filter(|&at| at > 0) else {
            self.note_no_field(line);
            return Ok(());
        };
        let Some(tag) = field::tag(&line[..colon]) else { return Ok(()) };
        let position = field::position(tag);
        if self.seen & (1 << position) != 0 {
            // of two values some tools take the first, others the last
            self.note(format!("field `{}` is repeated in line {}", field::KEPT[position], self.number));
            return Ok(());
        }
        self.seen |= 1 << position;
        self.last = PrecedingField::Kept;
        let value = line[colon + 1..].trim_ascii();
        self.reserve(value.len() + 2)?;
        self.arena.push(tag);
        if tag == field::PACKAGE {
            self.name = Some((self.arena.len(), value.len()));
        }
        self.keep_text(value, field::KEPT[position]);
        self.arena.push(b'\n');
        Ok(())
    }

    /// Keeps text, which must be UTF-8: no kept field is free text.
    fn keep_text(&mut self, text: &[u8], field: &'static str) {
        if std::str::from_utf8(text).is_ok() {
            self.arena.extend_from_slice(text);
            return;
        }
        self.note(format!("field `{field}` in line {} is not UTF-8", self.number));
        self.arena.extend(text.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }));
    }

    /// Notes that the current stanza cannot be relied on.
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    fn note_no_field(&mut self, line: &[u8]) {
        let text: String = String::from_utf8_lossy(&line[..line.len().min(80)]).escape_debug().collect();
        self.note(format!("line {} is not a field: `{text}`", self.number));
    }

    /// Folded fields become one line: all kept fields are lists in which white space means nothing.
    fn continuation(&mut self, line: &[u8]) -> Result<(), Error> {
        let text = line.trim_ascii();
        match self.last {
            // a line of blanks separates stanzas as an empty one does (deb822(5))
            _ if text.is_empty() => self.end_stanza(),
            PrecedingField::None => {
                self.last = PrecedingField::Other;
                self.note_no_field(line);
                Ok(())
            }
            PrecedingField::Other => Ok(()),
            PrecedingField::Kept => {
                self.reserve(text.len() + 1)?;
                self.arena.pop();
                self.arena.push(b' ');
                self.keep_text(text, "of several lines");
                self.arena.push(b'\n');
                Ok(())
            }
        }
    }

    fn end_stanza(&mut self) -> Result<(), Error> {
        if self.last == PrecedingField::None {
            return Ok(());
        }
        let problem = self.problem.take();
        self.seen = 0;
        self.last = PrecedingField::None;
        // nobody can ask for a stanza without a name
        let Some((name, name_length)) = self.name.take() else {
            self.arena.truncate(self.start);
            return Ok(());
        };
        if let Some(problem) = problem {
            let mark = field::marked("", &problem);
            self.reserve(mark.len())?;
            self.arena.extend_from_slice(mark.as_bytes());
        }
        if self.stanzas.len() == self.limits.stanzas {
            return Err(Error::TooLarge { what: "stanzas", limit: self.limits.stanzas as u64 });
        }
        // all positions are below the memory limit, which `reserve` keeps below 4 GiB
        let [start, end, name, name_length] =
            [self.start, self.arena.len(), name, name_length].map(|position| position as u32);
        self.stanzas.push(ScannedStanza { start, end, name, name_length });
        self.start = self.arena.len();
        Ok(())
    }

    /// Checks that the arena may grow.
    fn reserve(&self, more: usize) -> Result<(), Error> {
        let limit = self.limits.memory.min(u32::MAX as usize);
        if self.arena.len() + more > limit {
            return Err(Error::TooLarge { what: "bytes in kept fields", limit: limit as u64 });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(String, Vec<ScannedStanza>), Error> {
        self.number += 1;
        self.end_stanza()?;
        self.arena.shrink_to_fit();
        self.stanzas.shrink_to_fit();
        // `keep_text` has seen to it
        let arena = String::from_utf8(self.arena).map_err(|_| Error::Read(io::Error::other("it is not UTF-8")))?;
        Ok((arena, self.stanzas))
    }
}
