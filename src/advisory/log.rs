//! The change log inside a package: found in its data member, read once, remembered in the store.

use crate::advisory::Error;
use crate::advisory::Upgrade;
use crate::apt::changelog;
use crate::apt::changelog::Entry;
use crate::apt::deb::Deb;
use crate::store::Store;
use crate::sys::archive;
use crate::sys::archive::Limits;
use crate::sys::archive::Next;
use crate::sys::fs;
use crate::values::Digest;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::Serialize;
use std::io::Read;

/// Kind of the records in the store; another number makes them anew.
const KIND: &str = "changelog-1";

/// Most bytes of a package that are looked through.
const LIMIT: u64 = 4 << 30;

/// Most paths of a package, and their bytes; nothing of them is kept.
const MOST_PATHS: u64 = 1_000_000;
const MOST_NAMES: u64 = 1 << 30;

/// Entries that are remembered of a log: years of a package's life.
const MOST_ENTRIES: usize = 400;

/// What a package says about its changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Log {
    /// Its own log.
    Entries(Vec<Entry>),
    /// Its documentation is that of another package.
    SameAs(String),
    /// It has none.
    Missing,
}

/// Returns the log of a source package from its binary packages; the first that has one counts.
pub(super) fn of(group: &[&Upgrade], store: &Store) -> Result<Option<Vec<Entry>>, Error> {
    for upgrade in group {
        if let Log::Entries(entries) = log(&upgrade.package, &upgrade.deb, store)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

/// Returns what the package of this digest says; one that is not in the store, or cannot be read, says nothing.
fn log(package: &str, deb: &Digest, store: &Store) -> Result<Log, Error> {
    if let Some(known) = store.result::<Log>(KIND, deb) {
        return Ok(known);
    }
    let Ok(file) = fs::open(&store.blob(deb)) else { return Ok(Log::Missing) };
    // a package that cannot be read is refused where it is unpacked
    let log = read(package, file).unwrap_or(Log::Missing);
    store.keep(KIND, deb, &log)?;
    Ok(log)
}

/// Looks through a package for `changelog.Debian.gz`, or `changelog.gz` in packages that Debian itself writes
/// (Debian Policy 12.7).
fn read(package: &str, file: impl Read) -> Option<Log> {
    let mut data = Deb::open(file).ok()?.data(1, LIMIT).ok()?;
    let folder = format!("usr/share/doc/{package}");
    let (debian, native) = (format!("{folder}/changelog.Debian.gz"), format!("{folder}/changelog.gz"));
    let mut found = Some(Log::Missing);
    let mut limits = Limits::new(MOST_PATHS, MOST_NAMES, LIMIT);
    let read = archive::each(&mut data, &mut limits, |member| {
        let path =
            String::from_utf8_lossy(&member.path_bytes()).trim_start_matches("./").trim_end_matches('/').to_owned();
        let target = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let target = target.filter(|_| member.header().entry_type().is_symlink());
        if path == folder && target.is_some() {
            found =
                target.as_deref().and_then(|target| target.rsplit('/').next()).map(|name| Log::SameAs(name.to_owned()));
            return Ok(Next::Stop);
        }
        if path != debian && path != native {
            return Ok(Next::Go);
        }
        found = match target {
            // ../libc6/changelog.Debian.gz
            Some(target) => target.rsplit('/').nth(1).map(|name| Log::SameAs(name.to_owned())),
            None => Some(Log::Entries(entries(member))),
        };
        Ok(if path == debian || found.is_none() { Next::Stop } else { Next::Go })
    });
    read.ok()?;
    found
}

fn entries(file: &mut impl Read) -> Vec<Entry> {
    let mut bytes = Vec::new();
    // what was read before a fault counts: the newest entries come first
    let _ = MultiGzDecoder::new(file).take(changelog::MOST_BYTES as u64).read_to_end(&mut bytes);
    let mut entries = changelog::parse(&String::from_utf8_lossy(&bytes));
    entries.truncate(MOST_ENTRIES);
    entries
}

/// Returns the entries of a package's own log, newest first; none when it has none of its own.
///
/// # Errors
/// When the store cannot be written.
pub fn own(package: &str, deb: &Digest, store: &Store) -> Result<Option<Vec<Entry>>, Error> {
    match log(package, deb, store)? {
        Log::Entries(entries) => Ok(Some(entries)),
        Log::SameAs(_) | Log::Missing => Ok(None),
    }
}
