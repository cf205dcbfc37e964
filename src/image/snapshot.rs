//! What an image in an OCI layout consists of, whoever built it: settings, packages, files, layers.

use crate::apt::control;
use crate::oci;
use crate::oci::Error;
use crate::oci::layout;
use crate::sys::archive::ArchiveLimits;
use crate::sys::fs;
use crate::tree::layers;
use crate::values::DigestHasher;
use crate::values::Platform;
use oci_spec::image::Descriptor;
use oci_spec::image::ImageManifest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;
use std::path::Path;
use tar::EntryType;

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

/// What an image consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSnapshot {
    /// Run-time settings, one text per setting: `Env PATH`, `User`, `Label …`.
    pub settings: BTreeMap<String, String>,
    /// Debian packages: name to version.
    pub packages: BTreeMap<String, String>,
    /// Paths, each with its attributes and content as one text.
    pub files: BTreeMap<String, String>,
    /// Compressed layers: digest to size.
    pub layers: BTreeMap<String, u64>,
}

impl ImageSnapshot {
    /// Reads an image from a layout folder; of an index, the manifest for `platform`, or its first.
    ///
    /// # Errors
    /// When the layout has no such reference, or a blob is missing or malformed.
    pub fn read(folder: &Path, reference: &str, platform: Option<Platform>) -> Result<Self, Error> {
        let found = layout::find(folder, reference)?;
        let target = found.ok_or_else(|| damaged(folder, format!("it has no image `{reference}`")))?;
        Self::of(folder, reference, &target, platform)
    }

    /// Reads an image whose blobs are in a folder, such as the store; `name` is for messages.
    ///
    /// # Errors
    /// As [`ImageSnapshot::read`].
    pub fn of(folder: &Path, name: &str, target: &Descriptor, platform: Option<Platform>) -> Result<Self, Error> {
        let manifests = layout::manifests(folder, target)?;
        let found = manifests.iter().find(|(descriptor, _)| fits(descriptor, platform));
        let (_, manifest) = found.ok_or_else(|| damaged(folder, format!("`{name}` has no image for this platform")))?;

        let mut files = SnapshotFiles::new();
        let mut sizes = BTreeMap::new();
        for layer in manifest.layers() {
            sizes.insert(layer.digest().to_string(), layer.size());
            // a layout is a folder that anybody may have written: nothing is read of a blob with another digest
            let path = layout::verified(folder, layer)?;
            let stream = oci::decompressed(layer.media_type().as_ref(), fs::open(&path)?)?;
            files.apply(stream).map_err(|cause| fs::Error::new("read", &path, cause))?;
        }

        // only now is it known which package records the upper layers left
        let packages = files.packages();
        Ok(Self { settings: settings(folder, manifest)?, packages, files: files.texts, layers: sizes })
    }
}

fn damaged(folder: &Path, cause: String) -> Error {
    Error::Damaged { path: folder.to_owned(), cause }
}

/// Tells whether a manifest is for the platform; one that names none fits all.
fn fits(descriptor: &Descriptor, wanted: Option<Platform>) -> bool {
    match (wanted, descriptor.platform()) {
        (Some(wanted), Some(found)) => found.architecture().to_string() == wanted.architecture().oci(),
        _ => true,
    }
}

/// The files of an image while its layers are applied.
struct SnapshotFiles {
    /// Paths, each with its attributes and content as one text.
    texts: BTreeMap<String, String>,
    records: PackageRecords,
    limits: ArchiveLimits,
}

impl SnapshotFiles {
    fn new() -> Self {
        let records = PackageRecords { by_path: BTreeMap::new(), count: 0, bytes_left: RECORDS_LIMIT };
        Self { texts: BTreeMap::new(), records, limits: ArchiveLimits::new(PATHS_LIMIT, NAMES_LIMIT, SIZE_LIMIT) }
    }

    /// Applies one layer to those below.
    fn apply(&mut self, stream: impl Read) -> io::Result<()> {
        let Self { texts, records, limits } = self;
        layers::apply(stream, limits, texts, |path, member| describe(path, member, records))?;
        Ok(())
    }

    /// Returns name and version of the packages whose records the image still has.
    fn packages(&self) -> BTreeMap<String, String> {
        let records = self.records.by_path.iter().filter(|(path, _)| self.texts.contains_key(*path));
        records.flat_map(|(_, packages)| packages).cloned().collect()
    }
}

/// Returns the text for one member of a layer, and reads its packages if it is a package record.
fn describe<R: Read>(path: &str, member: &mut tar::Entry<'_, R>, records: &mut PackageRecords) -> io::Result<String> {
    let header = member.header().clone();
    let attributes = format!("{:04o} {}:{}", header.mode()?, header.uid()?, header.gid()?);
    let link = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();

    // whatever a layer has at this path, the record of a lower layer is gone
    records.forget(path);
    Ok(match header.entry_type() {
        EntryType::Directory => format!("folder {attributes}"),
        EntryType::Symlink => format!("link to {link}"),
        // the target has its own line, with the bytes that both share
        EntryType::Link => format!("same as /{link}"),
        kind if kind.is_file() => {
            let mut hasher = DigestHasher::default();
            if is_package_record(path) {
                hasher.update(&records.read(path, member)?);
            } else {
                io::copy(member, &mut hasher)?;
            }
            format!("file {attributes} {} {}", hasher.length(), hasher.finish().short())
        }
        other => format!("{other:?} {attributes}"),
    })
}

/// The packages of an image: dpkg's status, or one file per package in `status.d`.
struct PackageRecords {
    /// Name and version of the packages in each record, by its path. Upper layers replace and delete whole records.
    by_path: BTreeMap<String, Vec<(String, String)>>,
    /// How many packages `by_path` has in all.
    count: usize,
    /// How many bytes of records may still be read.
    bytes_left: u64,
}

impl PackageRecords {
    fn forget(&mut self, path: &str) {
        self.count -= self.by_path.remove(path).map_or(0, |packages| packages.len());
    }

    /// Reads a record; returns its bytes.
    fn read<R: Read>(&mut self, path: &str, member: &mut tar::Entry<'_, R>) -> io::Result<Vec<u8>> {
        // records are read whole, so a hostile image must not choose how much memory they take
        let left = self.bytes_left.checked_sub(member.size()).filter(|_| member.size() <= RECORD_LIMIT);
        self.bytes_left = left.ok_or_else(|| io::Error::other("its package records are too large"))?;
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;

        // foreign images may have malformed paragraphs, which scanners pass over, too
        let mut packages = Vec::new();
        for paragraph in control::paragraphs(&String::from_utf8_lossy(&bytes)).filter_map(Result::ok) {
            let Some(name) = paragraph.get("Package") else { continue };
            packages.push((name.to_owned(), paragraph.get("Version").unwrap_or_default().to_owned()));
            self.count += 1;
            if self.count > PACKAGES_LIMIT {
                return Err(io::Error::other(format!("it has more than {PACKAGES_LIMIT} packages")));
            }
        }
        self.by_path.insert(path.to_owned(), packages);
        Ok(bytes)
    }
}

fn is_package_record(path: &str) -> bool {
    path == "var/lib/dpkg/status" || (path.starts_with("var/lib/dpkg/status.d/") && !path.ends_with(".md5sums"))
}

/// Flattens the configuration: `Env` and maps get one line per entry.
fn settings(folder: &Path, manifest: &ImageManifest) -> Result<BTreeMap<String, String>, Error> {
    let bytes = layout::blob(folder, manifest.config(), DOCUMENT_LIMIT)?;
    let config: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(folder, error.to_string()))?;

    let mut settings = BTreeMap::new();
    for (name, value) in config["config"].as_object().into_iter().flatten() {
        match value {
            Value::Object(map) => {
                settings.extend(map.iter().map(|(key, value)| (format!("{name} {key}"), plain(value))));
            }
            // other lists, such as `Cmd`, stay whole: their order is what they mean
            Value::Array(list) if name == "Env" => {
                let pairs = list.iter().filter_map(|entry| entry.as_str()?.split_once('='));
                settings.extend(pairs.map(|(key, value)| (format!("{name} {key}"), value.to_owned())));
            }
            other => drop(settings.insert(name.clone(), plain(other))),
        }
    }
    Ok(settings)
}

/// Returns a JSON text without its quotes, and any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What differs between two images.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageDifference {
    /// Run-time settings.
    pub settings: Vec<ImageChange>,
    /// Debian packages.
    pub packages: Vec<ImageChange>,
    /// Paths.
    pub files: Vec<ImageChange>,
    /// Bytes that a consumer of the old image must pull for the new one.
    pub pull_bytes: u64,
    /// Size of all layers of the new image.
    pub total_bytes: u64,
}

/// A setting, package or path that was added, removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImageChange {
    /// Name of the setting or package, or the path.
    pub name: String,
    /// Value in the old image, unless it was added.
    pub old: Option<String>,
    /// Value in the new image, unless it was removed.
    pub new: Option<String>,
}

/// Compares two images.
#[must_use]
pub fn compare(old: &ImageSnapshot, new: &ImageSnapshot) -> ImageDifference {
    // consumers have the old image's layers already, and pull by digest
    let to_pull = new.layers.iter().filter(|(digest, _)| !old.layers.contains_key(*digest));

    ImageDifference {
        settings: changes(&old.settings, &new.settings),
        packages: changes(&old.packages, &new.packages),
        files: changes(&old.files, &new.files),
        pull_bytes: to_pull.map(|(_, size)| size).sum(),
        total_bytes: new.layers.values().sum(),
    }
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<ImageChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (old.get(name).cloned(), new.get(name).cloned());
        if before != after {
            changes.push(ImageChange { name: name.clone(), old: before, new: after });
        }
    }
    changes
}

impl std::fmt::Display for ImageChange {
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
        let old = ImageSnapshot {
            packages: map(&[("a", "1"), ("b", "1")]),
            layers: [("x".to_owned(), 10), ("y".to_owned(), 5)].into(),
            ..ImageSnapshot::default()
        };
        let new = ImageSnapshot {
            packages: map(&[("b", "2"), ("c", "1")]),
            layers: [("x".to_owned(), 10), ("z".to_owned(), 7)].into(),
            ..ImageSnapshot::default()
        };
        let difference = compare(&old, &new);
        let shown: Vec<String> = difference.packages.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["- a 1", "~ b 1 -> 2", "+ c 1"]);
        assert_eq!((difference.pull_bytes, difference.total_bytes), (7, 17));
    }

    /// Makes a layer of files.
    fn layer(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn upper_layers_hide_what_whiteouts_name() {
        let mut files = SnapshotFiles::new();
        files.apply(&layer(&[("a", ""), ("etc/a", ""), ("etc/b", ""), ("opt/c", "")])[..]).unwrap();
        files.apply(&layer(&[(".wh.a", ""), ("etc/.wh.a", ""), ("opt/d", ""), ("opt/.wh..wh..opq", "")])[..]).unwrap();
        assert_eq!(files.texts.keys().collect::<Vec<_>>(), ["etc/b", "opt/d"]);
    }

    #[test]
    fn packages_are_those_of_the_records_that_are_left() {
        let lower = [
            ("var/lib/dpkg/status", "Package: a\nVersion: 1\n\nPackage: removed\nVersion: 1\n"),
            ("var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n"),
            ("var/lib/dpkg/status.d/hidden", "Package: hidden\nVersion: 1\n"),
        ];
        let upper = [("var/lib/dpkg/status", "Package: a\nVersion: 2\n"), ("var/lib/dpkg/status.d/.wh.hidden", "")];
        let mut files = SnapshotFiles::new();
        files.apply(&layer(&lower)[..]).unwrap();
        files.apply(&layer(&upper)[..]).unwrap();
        let packages: Vec<String> =
            files.packages().into_iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(packages, ["a 2", "b 1"]);
        assert_eq!(files.records.count, 3);
    }
}
