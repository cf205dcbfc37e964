//! The fields of an index stanza that are kept, and the package made from them.

use crate::apt::BinaryPackage;
use crate::apt::MultiArch;
use crate::apt::Priority;
use crate::apt::index::Error;
use crate::apt::relation;
use crate::apt::relation::InvalidRelation;
use crate::apt::relation::Provide;
use crate::apt::relation::Relation;
use crate::apt::version::DebianVersion;
use crate::values::Digest;

/// Largest plausible .deb, in bytes; deb(5) cannot hold members of 10 GB.
const SIZE_LIMIT: u64 = 20 << 30;

/// Largest plausible `Installed-Size`, in KiB; keeps sums over packages far from overflow.
const INSTALLED_LIMIT: u64 = 1 << 32;

/// Names of the kept fields; a field's tag in the arena is `A` for the first, `B` for the second and so on.
pub(super) const KEPT: [&str; 20] = [
    "Package",
    "Version",
    "Architecture",
    "SHA256",
    "Provides",
    "Source",
    "Priority",
    "Essential",
    "Multi-Arch",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Filename",
    "Size",
    "Installed-Size",
    "SHA512",
    "Phased-Update-Percentage",
];

/// Tag of `Package`.
pub(super) const PACKAGE: u8 = b'A';
/// Tag of `Version`.
pub(super) const VERSION: u8 = b'B';
/// Tag of `Architecture`.
pub(super) const ARCHITECTURE: u8 = b'C';
/// Tag of `SHA256`.
pub(super) const SHA256: u8 = b'D';
/// Tag of `Provides`.
pub(super) const PROVIDES: u8 = b'E';

/// Tag of what is wrong with a stanza, which no field has.
pub(super) const PROBLEM: u8 = b'!';

/// Returns a record with a problem in front of it.
pub(super) fn marked(record: &str, problem: &str) -> String {
    // one line: a line feed would begin the next field
    let line: String = problem.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    format!("{}{line}\n{record}", char::from(PROBLEM))
}

/// Returns the tag of a kept field. Case does not count in its name (deb822(5)).
pub(super) fn tag(name: &[u8]) -> Option<u8> {
    // most lines end here: their names differ in length or in the first letter
    let (tag, _) = (b'A'..).zip(KEPT).find(|(_, kept)| kept.as_bytes().eq_ignore_ascii_case(name))?;
    Some(tag)
}

/// Returns the position of a tag in [`KEPT`]; for other bytes a position beyond its end.
pub(super) fn position(tag: u8) -> usize {
    usize::from(tag.wrapping_sub(b'A'))
}

/// Returns the value with a tag in a record of the arena.
pub(super) fn value(record: &str, tag: u8) -> Option<&str> {
    values(record).find(|&(found, _)| found == tag).map(|(_, value)| value)
}

/// Splits a record of the arena into tags and values.
fn values(record: &str) -> impl Iterator<Item = (u8, &str)> {
    let mut rest = record;
    std::iter::from_fn(move || {
        let tag = *rest.as_bytes().first()?;
        let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let value = rest.get(1..end)?;
        rest = rest.get(end + 1..).unwrap_or("");
        Some((tag, value))
    })
}

/// Returns the package name that an item of a relation field starts with.
pub(super) fn leading_name(item: &str) -> &str {
    let item = item.trim_start_matches([' ', '\t', '\r']);
    &item[..item.find([' ', '\t', '\r', '(', ':', '[', '<', '|']).unwrap_or(item.len())]
}

/// Makes the package from a record of the arena.
pub(super) fn package(record: &str, name: &str) -> Result<BinaryPackage, Error> {
    let mut values_by_tag = [None; KEPT.len()];
    for (tag, value) in values(record) {
        if tag == PROBLEM {
            let package = name.chars().take(120).collect();
            return Err(Error::Stanza { package, problem: value.chars().take(300).collect() });
        }
        // a decoded index from a damaged store may have any tag
        if let Some(slot) = values_by_tag.get_mut(position(tag)) {
            *slot = Some(value);
        }
    }
    StanzaFields { package: name, values: values_by_tag }.package()
}

/// The fields of one stanza, and the name of its package.
struct StanzaFields<'a> {
    package: &'a str,
    values: [Option<&'a str>; KEPT.len()],
}

impl<'a> StanzaFields<'a> {
    fn package(&self) -> Result<BinaryPackage, Error> {
        if !relation::is_package_name(self.package) {
            return Err(self.invalid("Package", "this is not a package name"));
        }

        let version = self.version("Version", self.required("Version")?)?;
        let (source, source_version) = self.source(&version)?;

        // for choosing packages, the order of unpacking and configuring does not count, so both fields are one list
        let mut depends = self.relations("Pre-Depends", Relation::parse_groups)?;
        depends.extend(self.relations("Depends", Relation::parse_groups)?);

        // an image has no moment between unpacking and configuring, so `Breaks` forbids as much as `Conflicts`
        let mut conflicts = self.relations("Conflicts", Relation::parse_list)?;
        conflicts.extend(self.relations("Breaks", Relation::parse_list)?);

        Ok(BinaryPackage {
            name: self.package.to_owned(),
            architecture: self.architecture()?,
            source,
            source_version,
            priority: self.priority(),
            essential: self.get("Essential").is_some_and(|word| word.eq_ignore_ascii_case("yes")),
            multi_arch: self.multi_arch(),
            depends,
            recommends: self.relations("Recommends", Relation::parse_groups)?,
            conflicts,
            provides: self.relations("Provides", Provide::parse_list)?,
            replaces: self.relations("Replaces", Relation::parse_list)?,
            filename: self.filename()?,
            size: self.number("Size", 1, SIZE_LIMIT)?.ok_or_else(|| self.missing("Size"))?,
            // only said to people, so what nobody can read is no reason to refuse the package
            installed_kib: self.number("Installed-Size", 0, INSTALLED_LIMIT).ok().flatten().unwrap_or(0),
            sha256: self.sha256()?,
            sha512: self.sha512()?,
            phased: self.phased()?,
            version,
        })
    }

    fn get(&self, field: &'static str) -> Option<&'a str> {
        let tag = KEPT.iter().position(|kept| *kept == field)?;
        self.values[tag]
    }

    fn required(&self, field: &'static str) -> Result<&'a str, Error> {
        self.get(field).ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: &'static str) -> Error {
        Error::Missing { package: self.package.to_owned(), field }
    }

    fn invalid(&self, field: &'static str, problem: &'static str) -> Error {
        // values come from outside and may have megabytes: the beginning is enough for a message
        let value = self.get(field).unwrap_or("").chars().take(120).collect();
        Error::Invalid { package: self.package.chars().take(120).collect(), field, value, problem }
    }

    fn version(&self, field: &'static str, text: &str) -> Result<DebianVersion, Error> {
        DebianVersion::parse(text).map_err(|cause| self.invalid(field, cause.problem))
    }

    /// `Source: name (version)`. Archives leave out the parts that are equal to the package's (deb-control(5)).
    fn source(&self, version: &DebianVersion) -> Result<(String, DebianVersion), Error> {
        let Some(field) = self.get("Source") else { return Ok((self.package.to_owned(), version.clone())) };
        let (name, source_version) = match field.split_once('(') {
            Some((name, rest)) => {
                let text = rest.strip_suffix(')').ok_or_else(|| self.invalid("Source", "a `)` is missing"))?;
                (name.trim_end(), self.version("Source", text.trim())?)
            }
            None => (field, version.clone()),
        };

        // advisories and change logs are found by this name
        if !relation::is_package_name(name) {
            return Err(self.invalid("Source", "this is not a package name"));
        }
        Ok((name.to_owned(), source_version))
    }

    fn architecture(&self) -> Result<String, Error> {
        let text = self.required("Architecture")?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if text.is_empty() || text.len() > 64 || !is_plain {
            return Err(self.invalid("Architecture", "this is not an architecture"));
        }
        Ok(text.to_owned())
    }

    fn priority(&self) -> Priority {
        match self.get("Priority") {
            Some("required") => Priority::Required,
            Some("important") => Priority::Important,
            Some("standard") => Priority::Standard,
            Some("optional") => Priority::Optional,
            // some archives leave it out or write other words; it only orders choices, so the least important
            // one is safe
            _ => Priority::Extra,
        }
    }

    fn multi_arch(&self) -> MultiArch {
        match self.get("Multi-Arch") {
            Some(word) if word.eq_ignore_ascii_case("same") => MultiArch::Same,
            Some(word) if word.eq_ignore_ascii_case("foreign") => MultiArch::Foreign,
            Some(word) if word.eq_ignore_ascii_case("allowed") => MultiArch::Allowed,
            // as in apt, an unknown word is no promise
            _ => MultiArch::No,
        }
    }

    fn relations<T>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<Vec<T>, InvalidRelation>,
    ) -> Result<Vec<T>, Error> {
        parse(self.get(field).unwrap_or("")).map_err(|cause| Error::Relation {
            package: self.package.to_owned(),
            field,
            cause,
        })
    }

    /// `Filename`: a path that stays below the archive root, in an address as well as in a folder.
    fn filename(&self) -> Result<String, Error> {
        let field = self.required("Filename")?;
        // some tools write `./name.deb` or `pool//name.deb`; parts that mean nothing are left out
        let parts: Vec<&str> = field.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let path = parts.join("/");
        check_path(&path).map_err(|problem| self.invalid("Filename", problem))?;
        Ok(path)
    }

    fn number(&self, field: &'static str, least: u64, most: u64) -> Result<Option<u64>, Error> {
        let Some(text) = self.get(field) else { return Ok(None) };
        // `parse` alone would take a plus sign
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_number && (least..=most).contains(&number) => Ok(Some(number)),
            Ok(_) if is_number => Err(self.invalid(field, "the number is not plausible")),
            _ => Err(self.invalid(field, "this is not a number")),
        }
    }

    fn sha256(&self) -> Result<Digest, Error> {
        Digest::from_hex(&self.required("SHA256")?.to_ascii_lowercase())
            .map_err(|_| self.invalid("SHA256", "it is not 64 hexadecimal digits"))
    }

    fn sha512(&self) -> Result<Option<String>, Error> {
        let Some(text) = self.get("SHA512") else { return Ok(None) };
        if text.len() != 128 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.invalid("SHA512", "it is not 128 hexadecimal digits"));
        }
        Ok(Some(text.to_ascii_lowercase()))
    }

    fn phased(&self) -> Result<Option<u8>, Error> {
        let percentage = self.number("Phased-Update-Percentage", 0, 100)?;
        Ok(percentage.and_then(|number| u8::try_from(number).ok()))
    }
}

/// Checks that a path does not leave its archive. Characters with a meaning in addresses are escaped when it becomes part of
/// one.
///
/// # Errors
/// The problem in words.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > 1024 {
        Err("it is too long")
    } else if path.starts_with('/') {
        Err("it is absolute")
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err("it has a part that is empty, `.` or `..`")
    } else if path.chars().any(|sign| sign.is_control() || sign == '\\') {
        Err("it has a character that is not allowed in archive paths")
    } else {
        Ok(())
    }
}
