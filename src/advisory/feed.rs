//! Feeds of OSV records: a file, a folder, or the `all.zip` that OSV publishes for an ecosystem.

use crate::advisory::Error;
use crate::advisory::osv;
use crate::advisory::osv::Advisory;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::Conditional;
use crate::sys::http::Http;
use crate::sys::http::Validators;
use crate::values::Digest;
use crate::values::cover;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// Largest record that is read.
const MOST_BYTES: u64 = 16 << 20;

/// Most records of a feed.
const MOST_RECORDS: usize = 5_000_000;

/// Where records are, on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// What people call it: the path or address that was configured.
    pub name: String,
    /// File or folder.
    pub path: PathBuf,
}

/// Most bytes of a feed that is fetched.
const MOST_FETCHED: u64 = 512 << 20;

/// Brings configured feeds onto this machine: paths stay what they are, addresses are asked whether there is something
/// new and kept in the store. Offline, what was fetched last time is used.
///
/// # Errors
/// When an address cannot be read, or offline was never read.
pub fn fetch(names: &[String], store: &Store, http: &Http) -> Result<Vec<Feed>, Error> {
    let one = |name: &String| {
        if !is_address(name) {
            return Ok(Feed { name: name.clone(), path: PathBuf::from(name) });
        }
        let wrong = |cause: String| Error::Feed { feed: cover(name), cause };
        let key = Digest::of(name.as_bytes());
        let path = store.folder().join("archives/advisories").join(key.hex());
        let has_file = fs::size(&path).is_some();
        let known: Validators = store.result("advisories", &key).filter(|_| has_file).unwrap_or_default();
        if !(http.is_offline() && has_file) {
            let answer = http.block_on(http.get_if_changed(name, MOST_FETCHED, &known));
            match answer.and_then(|answer| answer) {
                // no other feed will do better
                Err(error) if error.is_input() => return Err(error.into()),
                Err(error) => return Err(wrong(error.to_string())),
                Ok(Conditional::Unchanged) => (),
                Ok(Conditional::Changed { bytes, validators }) => {
                    fs::create_dir(path.parent().expect("it is in the store"))?;
                    fs::write_atomic(&path, &bytes)?;
                    store.keep("advisories", &key, &validators)?;
                }
            }
        }
        Ok(Feed { name: cover(name), path })
    };
    names.iter().map(one).collect()
}

/// Reads what the feeds say about these source packages.
pub(super) fn read_all(feeds: &[Feed], asked: &BTreeSet<&str>) -> Result<Vec<Advisory>, Error> {
    let mut all = Vec::new();
    if asked.is_empty() {
        return Ok(all);
    }
    for feed in feeds {
        let wrong = |cause: String| Error::Feed { feed: feed.name.clone(), cause };
        let mut take = |name: &str, bytes: &[u8]| {
            all.extend(osv::read(bytes, asked).map_err(|cause| wrong(format!("`{name}`: {cause}")))?);
            Ok(())
        };
        if fs::is_dir(&feed.path) {
            for found in fs::walk(&feed.path)?.into_iter().filter(|found| is_record(&found.path)) {
                take(&found.path.display().to_string(), &fs::read(&found.path, MOST_BYTES)?)?;
            }
            continue;
        }
        let mut file = fs::open(&feed.path)?;
        let mut start = [0; 2];
        let read = file.read(&mut start).map_err(|cause| wrong(cause.to_string()))?;
        // PK: a ZIP archive (APPNOTE 4.3.7), whatever it is called
        if read == 2 && start == *b"PK" {
            zip(fs::open(&feed.path)?, &wrong, &mut take)?;
        } else {
            document(&fs::read(&feed.path, MOST_BYTES)?, &feed.name, &wrong, &mut take)?;
        }
    }
    Ok(all)
}

/// Tells whether a feed is somewhere else.
pub(super) fn is_address(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

type Take<'a> = dyn FnMut(&str, &[u8]) -> Result<(), Error> + 'a;

fn zip(file: std::fs::File, wrong: &dyn Fn(String) -> Error, take: &mut Take<'_>) -> Result<(), Error> {
    let mut archive = zip::ZipArchive::new(file).map_err(|cause| wrong(cause.to_string()))?;
    if archive.len() > MOST_RECORDS {
        return Err(wrong(format!("{} records are more than {MOST_RECORDS}", archive.len())));
    }
    let mut bytes = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|cause| wrong(cause.to_string()))?;
        let name = entry.name().map_err(|cause| wrong(cause.to_string()))?.into_owned();
        if !is_record(Path::new(&name)) {
            continue;
        }
        bytes.clear();
        entry.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| wrong(format!("`{name}`: {cause}")))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong(format!("`{name}`: the record is larger than {MOST_BYTES} bytes")));
        }
        take(&name, &bytes)?;
    }
    Ok(())
}

/// A file holds one record or a list of them.
fn document(bytes: &[u8], name: &str, wrong: &dyn Fn(String) -> Error, take: &mut Take<'_>) -> Result<(), Error> {
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return take(name, bytes);
    }
    let records: Vec<Box<serde_json::value::RawValue>> =
        serde_json::from_slice(bytes).map_err(|cause| wrong(cause.to_string()))?;
    records.iter().try_for_each(|record| take(name, record.get().as_bytes()))
}
