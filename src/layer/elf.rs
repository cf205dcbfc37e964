//! Owns the reading of programs and shared libraries: what the loader would look at.
//!
//! Source: System V ABI, chapters 4 and 5 (ELF header, program header, dynamic section), in the form of the architecture; read by crate
//! `object`. Everything in a file is a claim of its package, so every length has a limit before it is read.

use crate::store::Error;
use crate::tree::ContentReader;
use crate::tree::FileContent;
use crate::values::Architecture;
use crate::values::ElfClass;
use object::Endian;
use object::Endianness;
use object::elf;
use object::read::ReadCache;
use object::read::ReadRef;
use object::read::elf::Dyn;
use object::read::elf::FileHeader;
use object::read::elf::ProgramHeader;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;

/// First bytes of every ELF file.
pub const MAGIC: &[u8] = b"\x7fELF";

/// Most program headers that are read; libraries have about ten.
const SEGMENT_LIMIT: u16 = 256;

/// Largest dynamic section that is read.
const DYNAMIC_LIMIT: u64 = 64 << 10;

/// Longest name that is read. Paths of loaders and search paths are names, too.
const NAME_LIMIT: u64 = 4096;

/// A program or shared library of the image's architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfFile {
    /// The name that programs ask for; absent in programs and plugins.
    pub soname: Option<String>,
    /// Names of the libraries that it needs, in order.
    pub needed: Vec<String>,
    /// Folders of its own where the loader looks, as written: `DT_RUNPATH`, or `DT_RPATH` where there is no other.
    pub search: Vec<String>,
    /// Path of the loader that the kernel starts: only programs have one.
    pub interpreter: Option<String>,
    /// It has a dynamic section: the loader can use it. A static program has none.
    pub is_dynamic: bool,
    /// It is of type `ET_DYN`, as all libraries and most programs are.
    pub is_shared: bool,
}

/// Returns what a file is to the loader, or `None` when it is something else, for another processor, or damaged: the
/// loader would skip it, too.
///
/// # Errors
/// When the file cannot be read.
pub fn read(
    content: &FileContent,
    contents: &ContentReader<'_>,
    architecture: Architecture,
) -> Result<Option<ElfFile>, Error> {
    // most files are no ELF files, and four bytes tell
    let mut magic = [0; MAGIC.len()];
    if content.size < magic.len() as u64 {
        return Ok(None);
    }
    contents.read_at(content, 0, &mut magic)?;
    if magic != MAGIC {
        return Ok(None);
    }

    let cache = ReadCache::new(ContentCursor { content, contents, position: 0, failure: None });
    let file = parse(&cache, architecture);
    // the cache knows only that reading failed, not why
    match cache.into_inner().failure {
        Some(error) => Err(error),
        None => Ok(file),
    }
}

/// Reads the headers; `None` for what the loader would refuse.
fn parse<'a>(data: impl ReadRef<'a>, architecture: Architecture) -> Option<ElfFile> {
    match architecture.elf().is_64 {
        true => parse_as::<elf::FileHeader64<Endianness>>(data, architecture),
        false => parse_as::<elf::FileHeader32<Endianness>>(data, architecture),
    }
}

/// Reads the headers of files with one size of words.
fn parse_as<'a, H: FileHeader<Endian = Endianness>>(
    data: impl ReadRef<'a>,
    architecture: Architecture,
) -> Option<ElfFile> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let ElfClass { machine, is_big_endian, .. } = architecture.elf();
    let kind = header.e_type(endian);
    let is_machine = header.e_machine(endian).0 == machine && endian.is_big_endian() == is_big_endian;
    let is_ours = is_machine && (kind == elf::ET_DYN || kind == elf::ET_EXEC);
    if !is_ours || header.e_phnum(endian) > SEGMENT_LIMIT {
        return None;
    }

    let segments = header.program_headers(endian, data).ok()?;
    let mut file = ElfFile { is_shared: kind == elf::ET_DYN, ..ElfFile::default() };
    for segment in segments {
        let length = segment.p_filesz(endian).into();
        if segment.p_type(endian) == elf::PT_INTERP && length <= NAME_LIMIT {
            let path = segment.interpreter(endian, data).ok().flatten();
            file.interpreter = path.and_then(|path| String::from_utf8(path.to_vec()).ok());
        }
        if segment.p_type(endian) == elf::PT_DYNAMIC {
            let rows =
                if length <= DYNAMIC_LIMIT { segment.dynamic(endian, data).ok().flatten()? } else { return None };
            DynamicSection::<H, _> { data, endian, segments, rows }.fill(&mut file)?;
        }
    }
    Some(file)
}

/// The dynamic section with what is needed to follow its addresses.
struct DynamicSection<'a, H: FileHeader<Endian = Endianness>, R> {
    data: R,
    endian: Endianness,
    segments: &'a [H::ProgramHeader],
    rows: &'a [H::Dyn],
}

impl<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>> DynamicSection<'a, H, R> {
    fn fill(&self, file: &mut ElfFile) -> Option<()> {
        file.is_dynamic = true;
        let strings = self.values(elf::DT_STRTAB).next();
        let name = |offset: u64| self.name(strings?.checked_add(offset)?);

        if let Some(soname) = self.values(elf::DT_SONAME).next() {
            file.soname = Some(name(soname)?);
        }
        file.needed = self.values(elf::DT_NEEDED).map(name).collect::<Option<_>>()?;

        // ld.so(8): DT_RPATH counts only where there is no DT_RUNPATH
        let search = self.values(elf::DT_RUNPATH).next().or_else(|| self.values(elf::DT_RPATH).next());
        if let Some(search) = search {
            file.search = name(search)?.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned).collect();
        }
        Some(())
    }

    /// Returns the values of all rows with this tag; the first empty row ends the section.
    fn values(&self, tag: elf::DynamicTag) -> impl Iterator<Item = u64> {
        let rows = self.rows.iter().take_while(|row| row.d_tag(self.endian) != elf::DT_NULL);
        rows.filter(move |row| row.d_tag(self.endian) == tag).map(|row| row.d_val(self.endian).into())
    }

    /// Reads the text at an address of memory.
    fn name(&self, address: u64) -> Option<String> {
        let endian = self.endian;
        let loads = self.segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
        let mut offsets = loads.filter_map(|segment| {
            // what lies behind the file's bytes is zero memory, not in the file
            let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
            let inside = Some(inside).filter(|inside| *inside < segment.p_filesz(endian).into())?;
            segment.p_offset(endian).into().checked_add(inside)
        });
        let offset = offsets.next()?;

        let end = offset.checked_add(NAME_LIMIT)?.min(self.data.len().ok()?);
        let bytes = self.data.read_bytes_at_until(offset..end, 0).ok()?;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// The content of a file as a stream.
struct ContentCursor<'a> {
    content: &'a FileContent,
    contents: &'a ContentReader<'a>,
    position: u64,
    /// Why the last read failed.
    failure: Option<Error>,
}

impl Read for ContentCursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.content.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        if let Err(error) = self.contents.read_at(self.content, self.position, &mut buffer[..count]) {
            self.failure = Some(error);
            return Err(io::Error::other("the store failed"));
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ContentCursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.content.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
