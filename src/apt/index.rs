//! Packages indexes (Debian repository format, "Packages Indices"): from a byte stream to candidates.
//!
//! Indexes are large (70,000 paragraphs) and most packages are never looked at. So one pass keeps the needed fields of
//! every paragraph in one buffer, and [`Package`]s are made only for names that are asked for.

use crate::apt::MultiArch;
use crate::apt::Package;
use crate::apt::Priority;
use crate::apt::relation;
use crate::apt::version::Version;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::io;
use std::io::Read;

/// Most bytes that an index may have after decompression.
pub const SIZE_LIMIT: u64 = 1 << 30;

/// Longest paragraph that is read.
const PARAGRAPH_LIMIT: usize = 4 << 20;

/// Fields that are kept.
const FIELDS: [&str; 21] = [
    "Package",
    "Version",
    "Architecture",
    "Source",
    "Priority",
    "Essential",
    "Multi-Arch",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Conflicts",
    "Breaks",
    "Provides",
    "Replaces",
    "Filename",
    "Size",
    "Installed-Size",
    "SHA256",
    "SHA512",
    "Phased-Update-Percentage",
    "Section",
];

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke off or did not decompress.
    #[error("cannot read package index: {0}")]
    Stream(#[from] io::Error),
    /// It is larger than any real index.
    #[error("cannot read package index: it has more than {0} bytes")]
    TooLarge(u64),
    /// A paragraph does not describe a package that could be fetched.
    #[error("cannot read package index: package `{package}`: {cause}")]
    Package {
        /// Name, as far as it is known.
        package: String,
        /// What is wrong.
        cause: String,
    },
}

/// One Packages file.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// The kept fields of all paragraphs, each `<field number><value>\n`.
    text: Vec<u8>,
    /// Start and end of each paragraph in `text`, sorted by package name.
    paragraphs: Vec<(u32, u32)>,
    /// Provided names to paragraph numbers.
    provided: BTreeMap<Box<str>, Vec<u32>>,
}

impl Index {
    /// Reads a decompressed index to its end.
    ///
    /// # Errors
    /// When the stream fails, is too large, or a paragraph has no name.
    pub fn read(mut stream: impl Read) -> Result<Self, Error> {
        let mut index = Self::default();
        let mut buffer = vec![0; 1 << 20];
        let (mut filled, mut total) = (0, 0_u64);
        loop {
            let count = stream.read(&mut buffer[filled..])?;
            filled += count;
            total += count as u64;
            if total > SIZE_LIMIT {
                return Err(Error::TooLarge(SIZE_LIMIT));
            }
            let mut start = 0;
            let mut searched = 0;
            while let Some(end) = memchr::memmem::find(&buffer[start + searched..filled], b"\n\n") {
                index.add(&buffer[start..=start + searched + end])?;
                start += searched + end + 2;
                searched = 0;
            }
            if count == 0 {
                index.add(&buffer[start..filled])?;
                break;
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
            if filled == buffer.len() {
                if filled >= PARAGRAPH_LIMIT {
                    return Err(Error::TooLarge(PARAGRAPH_LIMIT as u64));
                }
                buffer.resize(filled * 2, 0);
            }
        }
        index.sort()?;
        Ok(index)
    }

    /// Keeps the needed fields of one paragraph.
    fn add(&mut self, paragraph: &[u8]) -> Result<(), Error> {
        let start = self.text.len();
        let mut keep = false;
        for line in paragraph.split(|byte| *byte == b'\n') {
            if let [b' ' | b'\t', ..] = line {
                // needed fields may be folded: the line break becomes a space
                if keep {
                    self.text.pop();
                    self.text.push(b' ');
                    self.text.extend_from_slice(line.trim_ascii());
                    self.text.push(b'\n');
                }
                continue;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                keep = false;
                continue;
            };
            let number = field_number(&line[..colon]);
            keep = number.is_some();
            if let Some(number) = number {
                self.text.push(number);
                self.text.extend_from_slice(line[colon + 1..].trim_ascii());
                self.text.push(b'\n');
            }
        }
        if self.text.len() == start {
            return Ok(());
        }
        let place = |at: usize| u32::try_from(at).map_err(|_| Error::TooLarge(u32::MAX.into()));
        let place = (place(start)?, place(self.text.len())?);
        if self.name(place).is_empty() {
            return Err(Error::Package { package: String::new(), cause: "the paragraph has no name".to_owned() });
        }
        self.paragraphs.push(place);
        Ok(())
    }

    /// Sorts by name and finds out who provides what.
    fn sort(&mut self) -> Result<(), Error> {
        let mut paragraphs = std::mem::take(&mut self.paragraphs);
        paragraphs.sort_by(|a, b| self.name(*a).cmp(self.name(*b)));
        self.paragraphs = paragraphs;
        self.text.shrink_to_fit();
        let mut provided: BTreeMap<Box<str>, Vec<u32>> = BTreeMap::new();
        for (number, place) in self.paragraphs.iter().enumerate() {
            let Some(text) = self.field(*place, "Provides") else { continue };
            let wrong = |cause: relation::Error| self.wrong(*place, cause.to_string());
            for provide in relation::provides(text).map_err(wrong)? {
                let numbers = provided.entry(provide.name.into()).or_default();
                numbers.push(u32::try_from(number).expect("as many as fit into 32-bit places"));
            }
        }
        self.provided = provided;
        Ok(())
    }

    /// Returns how many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paragraphs.len()
    }

    /// Tells whether there is no package.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paragraphs.is_empty()
    }

    /// Returns all packages of a name: usually one, in the order of the index.
    pub fn by_name(&self, name: &str) -> impl Iterator<Item = Result<Package, Error>> {
        let start = self.paragraphs.partition_point(|place| self.name(*place) < name.as_bytes());
        let end = self.paragraphs.partition_point(|place| self.name(*place) <= name.as_bytes());
        self.paragraphs[start..end].iter().map(|place| self.package(*place))
    }

    /// Returns all packages that provide a name, in byte order of their own names.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = Result<Package, Error>> {
        let numbers = self.provided.get(name).map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|number| self.package(self.paragraphs[*number as usize]))
    }

    /// Returns the names of all packages in byte order, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut last: &[u8] = b"";
        self.paragraphs.iter().filter_map(move |place| {
            let name = self.name(*place);
            let is_new = name != last;
            last = name;
            is_new.then(|| std::str::from_utf8(name).ok()).flatten()
        })
    }

    /// Returns all packages.
    pub fn packages(&self) -> impl Iterator<Item = Result<Package, Error>> {
        self.paragraphs.iter().map(|place| self.package(*place))
    }

    fn name(&self, place: (u32, u32)) -> &[u8] {
        self.raw(place, "Package").unwrap_or_default()
    }

    fn raw(&self, (start, end): (u32, u32), field: &str) -> Option<&[u8]> {
        let number = field_number(field.as_bytes())?;
        let lines = self.text[start as usize..end as usize].split(|byte| *byte == b'\n');
        lines.filter_map(|line| line.split_first()).find(|(found, _)| **found == number).map(|(_, value)| value)
    }

    fn field(&self, place: (u32, u32), field: &str) -> Option<&str> {
        self.raw(place, field).and_then(|value| std::str::from_utf8(value).ok()).filter(|value| !value.is_empty())
    }

    fn wrong(&self, place: (u32, u32), cause: String) -> Error {
        Error::Package { package: String::from_utf8_lossy(self.name(place)).into_owned(), cause }
    }

    fn package(&self, place: (u32, u32)) -> Result<Package, Error> {
        let wrong = |cause: String| self.wrong(place, cause);
        let needed = |field: &str| self.field(place, field).ok_or_else(|| wrong(format!("`{field}` is missing")));
        let number =
            |field: &str| needed(field)?.parse::<u64>().map_err(|_| wrong(format!("`{field}` is not a number")));
        let groups = |field: &str| {
            relation::groups(self.field(place, field).unwrap_or_default()).map_err(|error| wrong(error.to_string()))
        };
        let list = |field: &str| {
            relation::list(self.field(place, field).unwrap_or_default()).map_err(|error| wrong(error.to_string()))
        };
        let name = needed("Package")?;
        if !relation::is_package_name(name) {
            return Err(wrong("the name is not a package name".to_owned()));
        }
        let version = Version::new(needed("Version")?);
        let (source, source_version) = source(self.field(place, "Source"), name, &version);
        let filename = needed("Filename")?;
        if !is_safe_path(filename) {
            return Err(wrong(format!("`Filename: {filename}` leaves the archive")));
        }
        let sha512 = self.field(place, "SHA512").map(str::to_owned);
        if sha512.as_ref().is_some_and(|hex| hex.len() != 128 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            return Err(wrong("`SHA512` is malformed".to_owned()));
        }
        let mut depends = groups("Pre-Depends")?;
        depends.extend(groups("Depends")?);
        let mut conflicts = list("Conflicts")?;
        conflicts.extend(list("Breaks")?);
        Ok(Package {
            name: name.to_owned(),
            architecture: needed("Architecture")?.to_owned(),
            source,
            source_version,
            priority: priority(self.field(place, "Priority")),
            essential: self.field(place, "Essential") == Some("yes"),
            multi_arch: multi_arch(self.field(place, "Multi-Arch")),
            depends,
            recommends: groups("Recommends")?,
            conflicts,
            provides: relation::provides(self.field(place, "Provides").unwrap_or_default())
                .map_err(|error| wrong(error.to_string()))?,
            replaces: list("Replaces")?,
            filename: filename.to_owned(),
            size: number("Size")?,
            installed_kib: self.field(place, "Installed-Size").and_then(|size| size.parse().ok()).unwrap_or(0),
            sha256: Digest::from_hex(needed("SHA256")?).map_err(|error| wrong(error.to_string()))?,
            sha512,
            phased: self.field(place, "Phased-Update-Percentage").and_then(|percentage| percentage.parse().ok()),
            version,
        })
    }
}

/// Field names match in any case (deb822(5)); numbers start at 1 and never equal a line break.
fn field_number(name: &[u8]) -> Option<u8> {
    let found = FIELDS.iter().position(|field| field.as_bytes().eq_ignore_ascii_case(name))?;
    Some(u8::try_from(found).expect("there are 21 fields") + b'A')
}

fn source(field: Option<&str>, name: &str, version: &Version) -> (String, Version) {
    let Some(field) = field else { return (name.to_owned(), version.clone()) };
    match field.split_once(' ') {
        Some((source, rest)) => {
            let rest = rest.trim().trim_start_matches('(').trim_end_matches(')');
            (source.to_owned(), Version::new(rest))
        }
        None => (field.to_owned(), version.clone()),
    }
}

fn priority(field: Option<&str>) -> Priority {
    match field {
        Some("required") => Priority::Required,
        Some("important") => Priority::Important,
        Some("standard") => Priority::Standard,
        Some("optional") => Priority::Optional,
        _ => Priority::Extra,
    }
}

fn multi_arch(field: Option<&str>) -> MultiArch {
    match field {
        Some("same") => MultiArch::Same,
        Some("foreign") => MultiArch::Foreign,
        Some("allowed") => MultiArch::Allowed,
        _ => MultiArch::No,
    }
}

/// Refuses paths that would leave the archive or mean something to a URL parser.
#[must_use]
pub fn is_safe_path(path: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/+-._~:%@=,".contains(c);
    let part_is_good = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= 1024 && path.chars().all(allowed) && path.split('/').all(part_is_good)
}

#[cfg(test)]
mod tests;
