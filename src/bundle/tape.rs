//! Reads files of an OCI archive without unpacking it, by where each begins (POSIX.1-1988 ustar headers).

use crate::sys::fs;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

/// Size of a header in bytes; the content of each file is padded to a multiple of it.
const BLOCK: u64 = 512;

/// Most entries.
const MOST: usize = 100_000;

/// Offset and size of each file, by name.
type Places = BTreeMap<String, (u64, u64)>;

/// An archive file, with the places of its files.
#[derive(Debug)]
pub(super) struct ArchiveReader {
    path: PathBuf,
    places: Places,
}

impl ArchiveReader {
    /// Reads all headers.
    ///
    /// # Errors
    /// The outer error when the file cannot be read; the inner one, for people, when it is no sound archive.
    pub(super) fn open(path: &Path) -> Result<Result<Self, String>, fs::Error> {
        let file = fs::open(path)?;
        let length = fs::size(path).unwrap_or(0);
        let mut reader = io::BufReader::new(file);
        let places = scan(&mut reader, length).map_err(|cause| fs::Error::new("read", path, cause))?;
        Ok(places.map(|places| Self { path: path.to_owned(), places }))
    }

    /// Returns the size of a file in the archive.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.places.get(name).map(|(_, size)| *size)
    }

    /// Returns a file of the archive as a stream; `None` when there is no file of this name.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub(super) fn file(&self, name: &str) -> Result<Option<io::Take<File>>, fs::Error> {
        let Some((start, size)) = self.places.get(name) else { return Ok(None) };
        // opened anew each time: two streams must not share a position
        let mut file = fs::open(&self.path)?;
        file.seek(SeekFrom::Start(*start)).map_err(|cause| fs::Error::new("read", &self.path, cause))?;
        Ok(Some(file.take(*size)))
    }
}

/// Reads all headers, and skips the contents.
fn scan(reader: &mut (impl Read + Seek), length: u64) -> io::Result<Result<Places, String>> {
    let mut places = BTreeMap::new();
    let mut position = 0_u64;
    for _ in 0..=MOST {
        // the end of the file is checked first: a seek beyond it would succeed
        if length.saturating_sub(position) < BLOCK {
            return Ok(Err("the archive is cut off".to_owned()));
        }

        reader.seek(SeekFrom::Start(position))?;
        let mut header = [0_u8; BLOCK as usize];
        reader.read_exact(&mut header)?;
        position += BLOCK;
        // a block of zeros ends the archive
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Ok(places));
        }

        let entry = match ArchiveMember::parse(&header) {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem.to_owned())),
        };
        if entry.size > length - position {
            return Ok(Err("the archive is cut off".to_owned()));
        }
        // with two files of a name, tools would disagree about which one counts
        if entry.is_file && places.insert(entry.name.clone(), (position, entry.size)).is_some() {
            return Ok(Err(format!("two files have the name `{}`", entry.name.escape_debug())));
        }
        position = position.saturating_add(entry.size.next_multiple_of(BLOCK));
    }
    Ok(Err(format!("the archive has more than {MOST} files")))
}

/// The header of a file.
struct ArchiveMember {
    name: String,
    size: u64,
    is_file: bool,
}

impl ArchiveMember {
    /// Reads a header; offsets are those of POSIX.1-1988.
    fn parse(header: &[u8; BLOCK as usize]) -> Result<Self, &'static str> {
        // the checksum counts itself as spaces
        let expected = sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..]);
        if octal(&header[148..156]) != Some(expected) {
            return Err("the file is no archive, or a damaged one");
        }

        // ustar splits a long name into prefix and name
        let mut name = text(&header[..100])?;
        let prefix = if &header[257..262] == b"ustar" { text(&header[345..500])? } else { String::new() };
        // GNU headers keep times where ustar has the prefix
        if !prefix.is_empty() && &header[257..265] == b"ustar\x0000" {
            name = format!("{prefix}/{name}");
        }
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();

        let size = octal(&header[124..136]).ok_or("a size in the archive is not a number")?;
        // everything else (folders, links, extended headers) is skipped
        Ok(Self { name, size, is_file: matches!(header[156], b'0' | 0) })
    }
}

/// Adds up bytes, for the checksum.
fn sum(range: &[u8]) -> u64 {
    range.iter().map(|byte| u64::from(*byte)).sum()
}

/// Reads a text that ends with a zero byte or with its field.
fn text(range: &[u8]) -> Result<String, &'static str> {
    let end = range.iter().position(|byte| *byte == 0).unwrap_or(range.len());
    String::from_utf8(range[..end].to_vec()).map_err(|_| "a name in the archive is not UTF-8")
}

/// Reads digits that end with a space or zero byte; binary sizes (GNU) are only for files above 8 GiB.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Places, String> {
        scan(&mut Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn finds_every_file() {
        let bytes = archive(&[("blobs/sha256/a", b"hello"), ("index.json", b"{}"), ("empty", b"")]);
        let places = read(&bytes).unwrap();
        let content = |name: &str| {
            let (start, size) = places[name];
            &bytes[usize::try_from(start).unwrap()..][..usize::try_from(size).unwrap()]
        };
        assert_eq!(
            (content("blobs/sha256/a"), content("index.json"), content("empty")),
            (&b"hello"[..], &b"{}"[..], &b""[..])
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let good = archive(&[("a", &[1; 2000])]);
        for cut in [0, 100, 512, 1000, 2400, good.len() - 1024] {
            assert_eq!(read(&good[..cut]), Err("the archive is cut off".to_owned()), "{cut}");
        }
        let mut damaged = good.clone();
        damaged[0] ^= 1;
        assert_eq!(read(&damaged), Err("the file is no archive, or a damaged one".to_owned()));
        assert_eq!(read(&archive(&[("a", b"1"), ("a", b"2")])), Err("two files have the name `a`".to_owned()));
        let mut huge = tar::Header::new_ustar();
        huge.set_path("a").unwrap();
        huge.set_size(u64::from(u32::MAX));
        huge.set_cksum();
        assert_eq!(read(huge.as_bytes()), Err("the archive is cut off".to_owned()));
        assert!(read(&[0x1f; 4096]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), at in 0_usize..1536, to in any::<u8>()) {
            let _any = read(&bytes);
            let mut good = archive(&[("a", &[1; 20])]);
            good[at] = to;
            let _any = read(&good);
        }
    }
}
