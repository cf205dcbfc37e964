//! The package database names exactly the packages of the image: scanners know nothing else.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::TreeEntry;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const MISSING: CheckKind = error("record-missing", "A package of the image is not in its package database.");
const FOREIGN: CheckKind =
    error("record-without-package", "The package database names a package that is not in the image.");
const VERSION: CheckKind =
    error("record-differs", "The package database has another version of a package than the lock.");

pub(super) const KINDS: &[&CheckKind] = &[&MISSING, &FOREIGN, &VERSION];

/// One file a package, and dpkg's single file.
const FOLDER: &str = "var/lib/dpkg/status.d";
const STATUS: &str = "var/lib/dpkg/status";

/// Largest file of the database that is read: a full desktop has some 5 MiB.
const LIMIT: u64 = 64 << 20;

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let recorded = recorded(image)?;
    let packages = image.subject.lock.packages(image.subject.platform);
    let locked: BTreeMap<&str, &str> = packages.map(|package| (&*package.name, &*package.version)).collect();

    for (name, version) in &locked {
        match recorded.get(*name) {
            None => {
                let cause = format!("package {name} {version} is not in it");
                let remedy = "do not exclude or replace the files of the package database".to_owned();
                let path = "/var/lib/dpkg".to_owned();
                findings.add(&MISSING, FindingDetails { path, origin: None, cause, remedy });
            }
            Some(record) if !record.versions.contains(*version) => {
                let found: Vec<&str> = record.versions.iter().map(String::as_str).collect();
                let cause = format!("it has {name} {}, the lock has {version}", found.join(", "));
                findings.at(record.entry, &VERSION, cause, "do not replace the files of the package database");
            }
            Some(_) => {}
        }
    }
    for (name, record) in recorded.iter().filter(|(name, _)| !locked.contains_key(name.as_str())) {
        let cause = format!("it names package `{name}`, which is not in the image");
        findings.at(record.entry, &FOREIGN, cause, "leave the package database to the packages of the lock");
    }
    Ok(())
}

/// What the database says about a package.
struct PackageRecord<'a> {
    versions: BTreeSet<String>,
    entry: &'a TreeEntry,
}

/// Reads both forms of the database: an image may have one above the other.
fn recorded<'a>(image: &ImageView<'a>) -> Result<BTreeMap<String, PackageRecord<'a>>, Error> {
    let mut records: BTreeMap<String, PackageRecord<'a>> = BTreeMap::new();
    let whole = image.subject.whole;
    let files = whole.below(FOLDER).filter(|entry| !entry.path.ends_with(".md5sums")).chain(whole.get(STATUS));

    for entry in files {
        let Some(content) = entry.content() else { continue };
        let bytes = image.subject.contents.read(content, LIMIT)?;
        let mut name = None;
        for line in String::from_utf8_lossy(&bytes).lines() {
            match line.split_once(':') {
                Some(("Package", value)) => name = Some(value.trim().to_owned()),
                Some(("Version", value)) => {
                    let Some(name) = &name else { continue };
                    let record = records.entry(name.clone());
                    let record = record.or_insert_with(|| PackageRecord { versions: BTreeSet::new(), entry });
                    record.versions.insert(value.trim().to_owned());
                }
                _ => {}
            }
        }
    }
    Ok(records)
}
