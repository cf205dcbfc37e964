//! The change log of a package: read once from its data member, then kept in the store.

use crate::advisory::Error;
use crate::advisory::PackageUpgrade;
use crate::apt::changelog;
use crate::apt::changelog::ChangelogEntry;
use crate::apt::deb::DebPackage;
use crate::store::Store;
use crate::sys::archive;
use crate::sys::archive::ArchiveLimits;
use crate::sys::archive::VisitControl;
use crate::sys::fs;
use crate::values::Digest;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::Serialize;
use std::io::Read;

/// Kind of the records in the store; with another number all logs are read again.
const KIND: &str = "changelog-1";

/// Most unpacked bytes of a package that are searched.
const LIMIT: u64 = 4 << 30;

/// Most paths of a package, and most bytes of all its paths: generous, because none of them is kept.
const MOST_PATHS: u64 = 1_000_000;
const MOST_NAMES: u64 = 1 << 30;

/// Most entries of a log that are kept: years of a package's life.
const MOST_ENTRIES: usize = 400;

/// The change log of a package, as its documentation folder has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackageChangelog {
    /// The package has a log of its own.
    Entries(Vec<ChangelogEntry>),
    /// The package shares the documentation of another package.
    SameAs(String),
    /// The package has no log.
    Missing,
}

/// Returns the log of a source package: that of its first binary package that has one.
pub(super) fn of(upgrades: &[&PackageUpgrade], store: &Store) -> Result<Option<Vec<ChangelogEntry>>, Error> {
    for upgrade in upgrades {
        if let PackageChangelog::Entries(entries) = log(&upgrade.package, &upgrade.deb, store)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

/// Returns the log of the package with this digest. One that is not in the store, or cannot be read, has none.
fn log(package: &str, deb: &Digest, store: &Store) -> Result<PackageChangelog, Error> {
    if let Some(known) = store.result::<PackageChangelog>(KIND, deb) {
        return Ok(known);
    }

    // not kept as missing: the package may be fetched later
    let Ok(file) = fs::open(&store.blob(deb)) else { return Ok(PackageChangelog::Missing) };
    // a damaged package is refused where it is unpacked; here it only leaves a gap in the explanation
    let log = read(package, file).unwrap_or(PackageChangelog::Missing);
    store.keep(KIND, deb, &log)?;
    Ok(log)
}

/// Searches a package for `changelog.Debian.gz`, or `changelog.gz` in packages that Debian itself writes (Debian Policy
/// 12.7).
fn read(package: &str, file: impl Read) -> Option<PackageChangelog> {
    let folder = format!("usr/share/doc/{package}");
    let debian = format!("{folder}/changelog.Debian.gz");
    let native = format!("{folder}/changelog.gz");

    let mut data = DebPackage::open(file).ok()?.data(1, LIMIT).ok()?;
    let mut limits = ArchiveLimits::new(MOST_PATHS, MOST_NAMES, LIMIT);
    let mut log = Some(PackageChangelog::Missing);
    let searched = archive::each(&mut data, &mut limits, |member| {
        let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let target = link_target(member);

        // the whole folder may be a link to that of another package of the same source (Debian Policy 12.5)
        if path == folder
            && let Some(target) = target
        {
            log = target.rsplit('/').next().map(|name| PackageChangelog::SameAs(name.to_owned()));
            return Ok(VisitControl::Stop);
        }
        if path != debian && path != native {
            return Ok(VisitControl::Go);
        }

        log = match target {
            // the log alone may be a link: `../libc6/changelog.Debian.gz`
            Some(target) => target.rsplit('/').nth(1).map(|name| PackageChangelog::SameAs(name.to_owned())),
            None => Some(PackageChangelog::Entries(entries(member))),
        };
        // beside `changelog.Debian.gz`, `changelog.gz` is that of the program's authors, so the search continues
        Ok(if path == debian || log.is_none() { VisitControl::Stop } else { VisitControl::Go })
    });
    searched.ok()?;
    log
}

/// Returns the target of a symbolic link.
fn link_target<R: Read>(member: &tar::Entry<'_, R>) -> Option<String> {
    if !member.header().entry_type().is_symlink() {
        return None;
    }
    member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned())
}

fn entries(file: &mut impl Read) -> Vec<ChangelogEntry> {
    let mut bytes = Vec::new();
    // what was read before a fault counts: the newest entries come first
    let _ = MultiGzDecoder::new(file).take(changelog::MOST_BYTES as u64).read_to_end(&mut bytes);

    let mut entries = changelog::parse(&String::from_utf8_lossy(&bytes));
    entries.truncate(MOST_ENTRIES);
    entries
}

/// Returns the entries of a package's own log, newest first, or `None` when it has no log of its own.
///
/// # Errors
/// When the store cannot be written.
pub fn own(package: &str, deb: &Digest, store: &Store) -> Result<Option<Vec<ChangelogEntry>>, Error> {
    match log(package, deb, store)? {
        PackageChangelog::Entries(entries) => Ok(Some(entries)),
        PackageChangelog::SameAs(_) | PackageChangelog::Missing => Ok(None),
    }
}
