//! Owns what we read of shared libraries: whether the loader could use one, and its soname.
//!
//! Source: System V ABI, chapters 4 and 5 (ELF header, program header, dynamic section), 64-bit little-endian form.

use crate::store::Error;
use crate::tree::Content;
use crate::tree::Contents;
use crate::values::Architecture;

/// Most program headers that are looked at; libraries have about ten.
const SEGMENT_LIMIT: u16 = 256;

/// Largest dynamic section that is read.
const DYNAMIC_LIMIT: u64 = 64 << 10;

/// Longest soname that is read.
const NAME_LIMIT: u64 = 256;

const TYPE_SHARED: u16 = 3;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const TAG_STRING_TABLE: u64 = 5;
const TAG_SONAME: u64 = 14;

/// A shared library of the image's architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The name that programs ask for; absent in plugins.
    pub soname: Option<String>,
}

/// Returns the library, or `None` when the file is something else or damaged: the loader would skip it, too.
///
/// # Errors
/// When the file cannot be read.
pub fn read(content: &Content, contents: &Contents<'_>, architecture: Architecture) -> Result<Option<Library>, Error> {
    File { content, contents }.library(architecture)
}

struct File<'a> {
    content: &'a Content,
    contents: &'a Contents<'a>,
}

impl File<'_> {
    /// Reads a part that the file says it has; `None` when it lies beyond its end.
    fn part(&self, offset: u64, size: u64) -> Result<Option<Vec<u8>>, Error> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.content.size);
        let Some(size) = usize::try_from(size).ok().filter(|_| fits) else { return Ok(None) };
        let mut bytes = vec![0; size];
        self.contents.read_at(self.content, offset, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn library(&self, architecture: Architecture) -> Result<Option<Library>, Error> {
        let Some(header) = self.part(0, 64)? else { return Ok(None) };
        let machine = match architecture {
            Architecture::Amd64 => 62,
            Architecture::Arm64 => 183,
        };
        let is_ours =
            header.starts_with(b"\x7fELF\x02\x01") && half(&header, 16) == TYPE_SHARED && half(&header, 18) == machine;
        let count = half(&header, 56);
        if !is_ours || half(&header, 54) != 56 || count > SEGMENT_LIMIT {
            return Ok(None);
        }
        let Some(table) = self.part(long(&header, 32), u64::from(count) * 56)? else { return Ok(None) };
        let segments: Vec<&[u8]> = table.chunks_exact(56).collect();
        let Some(dynamic) = segments.iter().find(|segment| word(segment, 0) == SEGMENT_DYNAMIC) else {
            return Ok(None);
        };
        let size = long(dynamic, 32);
        if size > DYNAMIC_LIMIT {
            return Ok(None);
        }
        let Some(dynamic) = self.part(long(dynamic, 8), size)? else { return Ok(None) };
        let tag = |tag: u64| dynamic.chunks_exact(16).find(|row| long(row, 0) == tag).map(|row| long(row, 8));
        let (Some(strings), Some(name)) = (tag(TAG_STRING_TABLE), tag(TAG_SONAME)) else {
            return Ok(Some(Library { soname: None }));
        };
        let Some(offset) = strings.checked_add(name).and_then(|address| file_offset(&segments, address)) else {
            return Ok(None);
        };
        let size = NAME_LIMIT.min(self.content.size.saturating_sub(offset));
        let Some(bytes) = self.part(offset, size)? else { return Ok(None) };
        let soname = bytes.split(|byte| *byte == 0).next().and_then(|name| str::from_utf8(name).ok());
        Ok(soname.map(|name| Library { soname: Some(name.to_owned()) }))
    }
}

/// Returns where in the file an address of memory comes from.
fn file_offset(segments: &[&[u8]], address: u64) -> Option<u64> {
    let loads = segments.iter().filter(|segment| word(segment, 0) == SEGMENT_LOAD);
    let mut offsets = loads.filter_map(|segment| {
        let inside = address.checked_sub(long(segment, 16)).filter(|inside| *inside < long(segment, 32))?;
        long(segment, 8).checked_add(inside)
    });
    offsets.next()
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes were sliced"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}
