//! Owns the reading of shared libraries: whether the loader could use one, and its soname.
//!
//! Source: System V ABI, chapters 4 and 5 (ELF header, program header, dynamic section), 64-bit little-endian form.

use crate::store::Error;
use crate::tree::ContentReader;
use crate::tree::FileContent;
use crate::values::Architecture;

/// Most program headers that are read; libraries have about ten.
const SEGMENT_LIMIT: u16 = 256;

/// Largest dynamic section that is read.
const DYNAMIC_LIMIT: u64 = 64 << 10;

/// Longest soname that is read.
const NAME_LIMIT: u64 = 256;

/// Size of a program header of the 64-bit form.
const PROGRAM_HEADER: usize = 56;

const TYPE_SHARED: u16 = 3;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const TAG_STRING_TABLE: u64 = 5;
const TAG_SONAME: u64 = 14;

/// A shared library of the image's architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLibrary {
    /// The name that programs ask for; absent in plugins.
    pub soname: Option<String>,
}

/// Returns the library, or `None` when the file is something else or damaged: the loader would skip it, too.
///
/// # Errors
/// When the file cannot be read.
pub fn read(
    content: &FileContent,
    contents: &ContentReader<'_>,
    architecture: Architecture,
) -> Result<Option<SharedLibrary>, Error> {
    ElfFile { content, contents }.library(architecture)
}

struct ElfFile<'a> {
    content: &'a FileContent,
    contents: &'a ContentReader<'a>,
}

impl ElfFile<'_> {
    /// Reads a part that the file's own headers point to; `None` when it lies beyond the end of the file.
    fn part(&self, offset: u64, size: u64) -> Result<Option<Vec<u8>>, Error> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.content.size);
        let Some(size) = usize::try_from(size).ok().filter(|_| fits) else { return Ok(None) };
        let mut bytes = vec![0; size];
        self.contents.read_at(self.content, offset, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn library(&self, architecture: Architecture) -> Result<Option<SharedLibrary>, Error> {
        let Some(table) = self.program_headers(architecture)? else { return Ok(None) };
        let segments: Vec<&[u8]> = table.chunks_exact(PROGRAM_HEADER).collect();

        // p_offset and p_filesz of the dynamic section; a program without one is static
        let dynamic = segments.iter().find(|segment| word(segment, 0) == SEGMENT_DYNAMIC);
        let Some(dynamic) = dynamic.filter(|segment| long(segment, 32) <= DYNAMIC_LIMIT) else { return Ok(None) };
        let Some(dynamic) = self.part(long(dynamic, 8), long(dynamic, 32))? else { return Ok(None) };

        let (Some(strings), Some(name)) =
            (dynamic_value(&dynamic, TAG_STRING_TABLE), dynamic_value(&dynamic, TAG_SONAME))
        else {
            return Ok(Some(SharedLibrary { soname: None }));
        };

        // the string table is given by its address in memory, the soname by its place in that table
        let address = strings.checked_add(name);
        let Some(offset) = address.and_then(|address| file_offset(&segments, address)) else { return Ok(None) };
        let size = NAME_LIMIT.min(self.content.size.saturating_sub(offset));
        let Some(bytes) = self.part(offset, size)? else { return Ok(None) };
        let soname = bytes.split(|byte| *byte == 0).next().and_then(|name| str::from_utf8(name).ok());
        Ok(soname.map(|name| SharedLibrary { soname: Some(name.to_owned()) }))
    }

    /// Returns the table of program headers, if this is a shared library of the architecture.
    fn program_headers(&self, architecture: Architecture) -> Result<Option<Vec<u8>>, Error> {
        let Some(header) = self.part(0, 64)? else { return Ok(None) };
        // e_machine: EM_X86_64, EM_AARCH64
        let machine = match architecture {
            Architecture::Amd64 => 62,
            Architecture::Arm64 => 183,
        };
        let is_ours =
            header.starts_with(b"\x7fELF\x02\x01") && half(&header, 16) == TYPE_SHARED && half(&header, 18) == machine;

        // e_phentsize and e_phnum
        let (entry_size, count) = (half(&header, 54), half(&header, 56));
        if !is_ours || usize::from(entry_size) != PROGRAM_HEADER || count > SEGMENT_LIMIT {
            return Ok(None);
        }
        self.part(long(&header, 32), u64::from(count) * PROGRAM_HEADER as u64)
    }
}

/// Returns the value of the first entry with this tag in a dynamic section.
fn dynamic_value(dynamic: &[u8], tag: u64) -> Option<u64> {
    dynamic.chunks_exact(16).find(|row| long(row, 0) == tag).map(|row| long(row, 8))
}

/// Returns where in the file an address of memory comes from.
fn file_offset(segments: &[&[u8]], address: u64) -> Option<u64> {
    let loads = segments.iter().filter(|segment| word(segment, 0) == SEGMENT_LOAD);
    let mut offsets = loads.filter_map(|segment| {
        // p_vaddr, p_filesz, p_offset: what lies behind the file's bytes is zero memory, not in the file
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
