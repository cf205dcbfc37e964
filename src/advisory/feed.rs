//! Feeds of OSV records: a file, a folder, or the `all.zip` that OSV publishes for each ecosystem.

use crate::advisory::Error;
use crate::advisory::osv;
use crate::advisory::osv::OsvAdvisory;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::store::Store;
use crate::sys::fs;
use crate::sys::http::CacheValidators;
use crate::sys::http::ConditionalResponse;
use crate::sys::http::HttpClient;
use crate::values::Digest;
use crate::values::cover;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// Largest record, and largest file of records that is not a ZIP archive.
const MOST_BYTES: u64 = 16 << 20;

/// Most records of a feed.
const MOST_RECORDS: usize = 5_000_000;

/// Largest feed that is fetched.
const MOST_FETCHED: u64 = 512 << 20;

/// Kind of the records in the store that hold the validators of a fetched feed.
const VALIDATORS: &str = "advisories";

/// A feed of OSV records on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisoryFeed {
    /// The configured path or address, for messages.
    pub name: String,
    /// File or folder with the records.
    pub path: PathBuf,
}

/// Fetches the configured feeds. A path is used as it is; the feed at an address is kept in the store and fetched again
/// when it has changed. Offline, the kept one is used.
///
/// # Errors
/// When an address cannot be fetched, or was never fetched and the run is offline.
pub fn fetch(names: &[String], store: &Store, http: &HttpClient) -> Result<Vec<AdvisoryFeed>, Error> {
    names.iter().map(|name| fetch_one(name, store, http)).collect()
}

fn fetch_one(name: &str, store: &Store, http: &HttpClient) -> Result<AdvisoryFeed, Error> {
    if !is_address(name) {
        return Ok(AdvisoryFeed { name: name.to_owned(), path: PathBuf::from(name) });
    }

    let key = Digest::of(name.as_bytes());
    let path = store.folder().join("archives/advisories").join(key.hex());
    // the address may hold a login, which no message shows
    let feed = AdvisoryFeed { name: cover(name), path };
    let has_file = fs::size(&feed.path).is_some();
    if http.is_offline() && has_file {
        return Ok(feed);
    }

    // validators without their file would make the server answer that nothing has changed
    let known: CacheValidators = store.result(VALIDATORS, &key).filter(|_| has_file).unwrap_or_default();
    let answer = http.block_on(http.get_if_changed(name, MOST_FETCHED, &known));
    let answer = match answer.flatten() {
        Ok(answer) => answer,
        // a fault of this machine, which every other feed would meet as well
        Err(error) if error.turn() == Turn::Input => return Err(error.into()),
        Err(error) => return Err(feed.error(error.to_string())),
    };
    if let ConditionalResponse::Changed { bytes, validators } = answer {
        fs::create_dir(feed.path.parent().expect("it is in the store"))?;
        fs::write_atomic(&feed.path, &bytes)?;
        // after the file: a run that is killed in between fetches it once more
        store.keep(VALIDATORS, &key, &validators)?;
    }
    Ok(feed)
}

/// Tells whether a feed is at an address, and not on this machine.
pub(super) fn is_address(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Reads the advisories of the feeds about the `wanted` source packages.
pub(super) fn read_all(feeds: &[AdvisoryFeed], wanted: &BTreeSet<&str>) -> Result<Vec<OsvAdvisory>, Error> {
    let mut advisories = Vec::new();
    // a large feed takes seconds to read, and a run without upgrades needs none of it
    if wanted.is_empty() {
        return Ok(advisories);
    }

    for feed in feeds {
        FeedReader { feed, wanted, advisories: &mut advisories }.read()?;
    }
    Ok(advisories)
}

impl AdvisoryFeed {
    fn error(&self, cause: String) -> Error {
        Error::Feed { feed: self.name.clone(), cause }
    }
}

/// Collects the advisories of one feed.
struct FeedReader<'a> {
    feed: &'a AdvisoryFeed,
    wanted: &'a BTreeSet<&'a str>,
    advisories: &'a mut Vec<OsvAdvisory>,
}

impl FeedReader<'_> {
    fn read(&mut self) -> Result<(), Error> {
        let path = &self.feed.path;
        if fs::is_dir(path) {
            return self.read_folder();
        }

        let mut start = [0; 2];
        let length = fs::open(path)?.read(&mut start).map_err(|cause| self.feed.error(cause.to_string()))?;
        // PK: a ZIP archive (APPNOTE 4.3.7), whatever its name
        if length == 2 && start == *b"PK" { self.read_zip() } else { self.read_document(&fs::read(path, MOST_BYTES)?) }
    }

    fn read_folder(&mut self) -> Result<(), Error> {
        for file in fs::walk(&self.feed.path)?.iter().filter(|file| is_record(&file.path)) {
            self.read_record(&file.path.display().to_string(), &fs::read(&file.path, MOST_BYTES)?)?;
        }
        Ok(())
    }

    fn read_zip(&mut self) -> Result<(), Error> {
        let feed = self.feed;
        let file = fs::open(&feed.path)?;
        let mut archive = zip::ZipArchive::new(file).map_err(|cause| feed.error(cause.to_string()))?;
        if archive.len() > MOST_RECORDS {
            return Err(feed.error(format!("it has {} records, more than {MOST_RECORDS}", archive.len())));
        }

        // one buffer for all: a feed has a record for every vulnerability of a distribution
        let mut bytes = Vec::new();
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|cause| feed.error(cause.to_string()))?;
            let name = entry.name().map_err(|cause| feed.error(cause.to_string()))?.into_owned();
            if !is_record(Path::new(&name)) {
                continue;
            }

            bytes.clear();
            // the sizes that the archive states may be wrong: one byte more shows a larger record
            let read = entry.take(MOST_BYTES + 1).read_to_end(&mut bytes);
            read.map_err(|cause| feed.error(format!("`{name}`: {cause}")))?;
            if bytes.len() as u64 > MOST_BYTES {
                return Err(feed.error(format!("`{name}`: the record is larger than {MOST_BYTES} bytes")));
            }
            self.read_record(&name, &bytes)?;
        }
        Ok(())
    }

    /// Reads a file with one record or a list of records.
    fn read_document(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let feed = self.feed;
        if bytes.trim_ascii_start().first() != Some(&b'[') {
            return self.read_record(&feed.name, bytes);
        }

        // the records stay text here, because most of them are not parsed at all
        let records: Vec<Box<RawValue>> =
            serde_json::from_slice(bytes).map_err(|cause| feed.error(cause.to_string()))?;
        for record in records {
            self.read_record(&feed.name, record.get().as_bytes())?;
        }
        Ok(())
    }

    fn read_record(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let read = osv::read(bytes, self.wanted);
        self.advisories.extend(read.map_err(|cause| self.feed.error(format!("`{name}`: {cause}")))?);
        Ok(())
    }
}

fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}
