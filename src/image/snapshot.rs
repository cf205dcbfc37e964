//! An image as it lies in an OCI layout, whoever built it: settings, packages, files, layers.

use crate::apt::control;
use crate::oci;
use crate::oci::Error;
use crate::oci::layout;
use crate::sys::archive;
use crate::sys::archive::Limits;
use crate::sys::archive::Next;
use crate::sys::fs;
use crate::values::Hasher;
use crate::values::Platform;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageManifest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;
use std::path::Path;

/// Most bytes that all layers together may unpack to.
const SIZE_LIMIT: u64 = 64 << 30;

/// Most paths of all layers together, and their bytes: two images are compared in less than 256 MiB of memory, and large
/// application images have some 100,000 paths of 80 bytes. A layer that is named twice counts twice.
const PATHS_LIMIT: u64 = 300_000;
const NAMES_LIMIT: u64 = 32 << 20;

/// Largest configuration: registries refuse larger ones, and one in memory takes up to sixteen times its size.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Largest package record; a whole distribution's `status` has some 10 MB.
const RECORD_LIMIT: u64 = 16 << 20;

/// Most bytes of the package records of all layers together, and most packages: each of a hundred layers may have the
/// records of 10,000 packages.
const RECORDS_LIMIT: u64 = 1 << 30;
const PACKAGES_LIMIT: usize = 50_000;

/// What may still be read of an image.
struct Budget {
    members: Limits,
    records: u64,
}

/// What an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Run-time settings, one text a setting: `Env PATH`, `User`, `Label …`.
    pub settings: BTreeMap<String, String>,
    /// Debian packages: name to version.
    pub packages: BTreeMap<String, String>,
    /// Paths with their attributes and content, as one text each.
    pub files: BTreeMap<String, String>,
    /// Compressed layers: digest to size.
    pub layers: BTreeMap<String, u64>,
}

impl Snapshot {
    /// Reads an image from a layout folder; of an index, the manifest for `platform`, or its first.
    ///
    /// # Errors
    /// When the reference is not there, or a blob is missing or malformed.
    pub fn read(folder: &Path, reference: &str, platform: Option<Platform>) -> Result<Self, Error> {
        let damaged = |cause: String| Error::Damaged { path: folder.to_owned(), cause };
        let target =
            layout::find(folder, reference)?.ok_or_else(|| damaged(format!("it has no image `{reference}`")))?;
        Self::of(folder, reference, &target, platform)
    }

    /// Reads an image whose blobs are in a folder, such as the store; `name` is for messages.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn of(folder: &Path, name: &str, target: &Descriptor, platform: Option<Platform>) -> Result<Self, Error> {
        let damaged = |cause: String| Error::Damaged { path: folder.to_owned(), cause };
        let manifests = layout::manifests(folder, target)?;
        let fits = |found: &&(Descriptor, ImageManifest)| match (platform, found.0.platform()) {
            (Some(wanted), Some(found)) => found.architecture().to_string() == wanted.architecture().debian(),
            _ => true,
        };
        let found = manifests.iter().find(fits);
        let (_, manifest) = found.ok_or_else(|| damaged(format!("`{name}` has no image for this platform")))?;
        let mut snapshot = Self { settings: settings(folder, manifest)?, ..Self::default() };
        let members = Limits::new(PATHS_LIMIT, NAMES_LIMIT, SIZE_LIMIT);
        let mut budget = Budget { members, records: RECORDS_LIMIT };
        for layer in manifest.layers() {
            snapshot.layers.insert(layer.digest().to_string(), layer.size());
            let path = layout::verified(folder, layer)?;
            let stream = oci::decompressed(layer.media_type().as_ref(), fs::open(&path)?)?;
            snapshot.layer(stream, &mut budget).map_err(|cause| fs::Error::new("read", &path, cause))?;
        }
        Ok(snapshot)
    }

    /// Lays one layer over those before it.
    fn layer(&mut self, stream: impl Read, budget: &mut Budget) -> io::Result<()> {
        let records = &mut budget.records;
        archive::each(stream, &mut budget.members, |member| {
            let path = String::from_utf8_lossy(&member.path_bytes()).trim_matches('/').to_owned();
            let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            // image-spec layer.md, "Whiteouts"
            if let Some((folder, name)) = path.rsplit_once('/').or(Some(("", &path)))
                && let Some(hidden) = name.strip_prefix(".wh.")
            {
                let hidden = match (hidden, folder) {
                    (".wh..opq", folder) => folder.to_owned(),
                    (hidden, "") => hidden.to_owned(),
                    (hidden, folder) => format!("{folder}/{hidden}"),
                };
                self.hide(&hidden);
            } else {
                let text = self.member(&path, member, records)?;
                self.files.insert(path, text);
            }
            Ok(Next::Go)
        })
    }

    /// Takes away a path and what is below it, without a look at all others: a layer may name many.
    fn hide(&mut self, path: &str) {
        self.files.remove(path);
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let gone = self.files.range(below.clone()..).take_while(|(known, _)| known.starts_with(&below));
        let gone: Vec<String> = gone.map(|(known, _)| known.clone()).collect();
        for known in gone {
            self.files.remove(&known);
        }
    }

    /// Returns the text for one member, and takes packages from the records that it may be.
    fn member<R: Read>(&mut self, path: &str, member: &mut tar::Entry<'_, R>, records: &mut u64) -> io::Result<String> {
        let header = member.header().clone();
        let attributes = format!("{:04o} {}:{}", header.mode()?, header.uid()?, header.gid()?);
        let link = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
        Ok(match header.entry_type() {
            tar::EntryType::Directory => format!("folder {attributes}"),
            tar::EntryType::Symlink => format!("link to {link}"),
            tar::EntryType::Link => format!("same as /{link}"),
            kind if kind.is_file() => {
                let mut hasher = Hasher::default();
                if is_package_record(path) {
                    let left = records.checked_sub(member.size()).filter(|_| member.size() <= RECORD_LIMIT);
                    *records = left.ok_or_else(|| io::Error::other("its package records are too large"))?;
                    let mut bytes = Vec::new();
                    member.read_to_end(&mut bytes)?;
                    hasher.update(&bytes);
                    self.take_packages(&String::from_utf8_lossy(&bytes))?;
                } else {
                    io::copy(member, &mut hasher)?;
                }
                format!("file {attributes} {} {}", hasher.length(), hasher.finish().short())
            }
            other => format!("{other:?} {attributes}"),
        })
    }

    fn take_packages(&mut self, text: &str) -> io::Result<()> {
        for paragraph in control::paragraphs(text).filter_map(Result::ok) {
            let Some(name) = paragraph.get("Package") else { continue };
            self.packages.insert(name.to_owned(), paragraph.get("Version").unwrap_or_default().to_owned());
            if self.packages.len() > PACKAGES_LIMIT {
                return Err(io::Error::other(format!("it has more than {PACKAGES_LIMIT} packages")));
            }
        }
        Ok(())
    }
}

fn is_package_record(path: &str) -> bool {
    path == "var/lib/dpkg/status" || (path.starts_with("var/lib/dpkg/status.d/") && !path.ends_with(".md5sums"))
}

/// Flattens the configuration: lists of `NAME=value` and maps get one line an entry.
fn settings(folder: &Path, manifest: &ImageManifest) -> Result<BTreeMap<String, String>, Error> {
    let damaged = |cause: String| Error::Damaged { path: folder.to_owned(), cause };
    let bytes = layout::blob(folder, manifest.config(), DOCUMENT_LIMIT)?;
    let config: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut settings = BTreeMap::new();
    for (name, value) in config["config"].as_object().into_iter().flatten() {
        match value {
            Value::Object(map) => {
                settings.extend(map.iter().map(|(key, value)| (format!("{name} {key}"), plain(value))));
            }
            Value::Array(list) if name == "Env" => {
                let pairs = list.iter().filter_map(|entry| entry.as_str()?.split_once('='));
                settings.extend(pairs.map(|(key, value)| (format!("{name} {key}"), value.to_owned())));
            }
            other => drop(settings.insert(name.clone(), plain(other))),
        }
    }
    Ok(settings)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What differs between two images.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Run-time settings.
    pub settings: Vec<Change>,
    /// Debian packages.
    pub packages: Vec<Change>,
    /// Paths.
    pub files: Vec<Change>,
    /// Bytes that a consumer of the old image must pull for the new one.
    pub pull_bytes: u64,
    /// Size of all layers of the new image.
    pub total_bytes: u64,
}

/// One thing that came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Setting, package or path.
    pub name: String,
    /// Before; none when it came.
    pub old: Option<String>,
    /// Now; none when it went.
    pub new: Option<String>,
}

/// Compares two images.
#[must_use]
pub fn compare(old: &Snapshot, new: &Snapshot) -> Difference {
    let fresh = new.layers.iter().filter(|(digest, _)| !old.layers.contains_key(*digest));
    Difference {
        settings: changes(&old.settings, &new.settings),
        packages: changes(&old.packages, &new.packages),
        files: changes(&old.files, &new.files),
        pull_bytes: fresh.map(|(_, size)| size).sum(),
        total_bytes: new.layers.values().sum(),
    }
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change =
        |name: &String| Change { name: name.clone(), old: old.get(name).cloned(), new: new.get(name).cloned() };
    names.into_iter().map(change).filter(|change| change.old != change.new).collect()
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ {} {new}", self.name),
            (Some(old), None) => write!(f, "- {} {old}", self.name),
            (Some(old), Some(new)) => write!(f, "~ {} {old} -> {new}", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_came_went_and_changed() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let old = Snapshot {
            packages: map(&[("a", "1"), ("b", "1")]),
            layers: [("x".to_owned(), 10), ("y".to_owned(), 5)].into(),
            ..Snapshot::default()
        };
        let new = Snapshot {
            packages: map(&[("b", "2"), ("c", "1")]),
            layers: [("x".to_owned(), 10), ("z".to_owned(), 7)].into(),
            ..Snapshot::default()
        };
        let difference = compare(&old, &new);
        let shown: Vec<String> = difference.packages.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["- a 1", "~ b 1 -> 2", "+ c 1"]);
        assert_eq!((difference.pull_bytes, difference.total_bytes), (7, 17));
    }

    #[test]
    fn upper_layers_hide_what_whiteouts_name() {
        let layer = |paths: &[&str]| {
            let mut builder = tar::Builder::new(Vec::new());
            for path in paths {
                let mut header = tar::Header::new_ustar();
                header.set_size(1);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                builder.append_data(&mut header, path, &b"x"[..]).unwrap();
            }
            builder.into_inner().unwrap()
        };
        let mut snapshot = Snapshot::default();
        let mut budget = Budget { members: Limits::new(10, 1000, 1 << 20), records: 1 << 20 };
        snapshot.layer(&layer(&["etc/a", "etc/b", "opt/c"])[..], &mut budget).unwrap();
        snapshot.layer(&layer(&["etc/.wh.a", "opt/.wh..wh..opq", "opt/d"])[..], &mut budget).unwrap();
        assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["etc/b", "opt/d"]);
    }
}
