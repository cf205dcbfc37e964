//! The list of contents of a bundle: what each file is, by digest. It is written in canonical order, and never trusted
//! when it is read.

use crate::apt::archive;
use crate::apt::release;
use crate::bundle::ARTIFACT;
use crate::bundle::title;
use crate::oci;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Version of the list's format.
const FORMAT: u32 = 1;

/// Largest list of contents.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Most files in one bundle: so many layers fit into a manifest of 4 MiB, which registries accept.
const MOST_FILES: usize = 12_000;

/// Longest title.
const LONGEST_TITLE: usize = 1024;

/// Annotation with a file's name (image-spec annotations.md).
pub(super) const TITLE: &str = "org.opencontainers.image.title";

/// The list of contents of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundleContents {
    /// Version of this format: 1.
    pub format: u32,
    /// Images that can be built from it.
    pub images: Vec<BundledImage>,
    /// Signed states of archives that prove the packages.
    pub pockets: Vec<BundledPocket>,
    /// Keys that signed those states, for information only: a build uses the project's own keys.
    pub keys: Vec<BundledKey>,
    /// The packages.
    pub packages: Vec<BundledPackage>,
    /// All files, sorted by title, in the order of the manifest's layers.
    pub files: Vec<BundledFile>,
}

/// An image that can be built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledImage {
    /// Its name.
    pub image: String,
    /// Digest of its lock file.
    pub lock: Digest,
    /// Digest of the lock's decisions, which does not depend on comments in recipes.
    pub decisions: Digest,
    /// Platforms whose packages the bundle has.
    pub platforms: Vec<Platform>,
}

/// The signed state of a pocket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledPocket {
    /// Archive name in the recipe.
    pub archive: String,
    /// Pocket name in the recipe.
    pub pocket: String,
    /// Suite: the path below `dists/`.
    pub suite: String,
    /// Digest of the InRelease file that locks name.
    pub locked: Digest,
    /// Digest of the InRelease file in the bundle.
    pub in_release: Digest,
    /// Whether the two are the same.
    pub proof: PackageProof,
    /// `Date` of the file in the bundle.
    pub date: Epoch,
    /// Fingerprint of the key that signed it.
    pub signed_by: String,
    /// Indexes that it lists.
    pub indexes: Vec<BundledIndex>,
}

/// Which InRelease file proves the packages of a pocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageProof {
    /// The file that the lock names.
    Locked,
    /// A later file, because the lock's was not available any more; its indexes list all locked packages.
    Later,
}

/// A Packages index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledIndex {
    /// `main`, `universe`, …
    pub component: String,
    /// `amd64`, `arm64`
    pub architecture: String,
    /// Path below the suite.
    pub path: String,
    /// Digest of the compressed file.
    pub digest: Digest,
}

/// An OpenPGP key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledKey {
    /// Archive name in the recipe.
    pub archive: String,
    /// Digest of the key file.
    pub digest: Digest,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledPackage {
    /// Package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Digest of the .deb file.
    pub digest: Digest,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BundledFile {
    /// Its name, a relative path.
    pub title: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its kind.
    pub kind: BundledFileKind,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundledFileKind {
    /// A lock file.
    Lock,
    /// An InRelease file.
    InRelease,
    /// A Packages index.
    Index,
    /// An OpenPGP key.
    Key,
    /// A package.
    Package,
}

impl BundledFileKind {
    const ALL: [Self; 5] = [Self::Lock, Self::InRelease, Self::Index, Self::Key, Self::Package];

    /// Returns the media type of such a layer.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        // the last two are registered with IANA (RFC 3156 and Debian's), the others are ours
        match self {
            Self::Lock => "application/vnd.sockel.lock.v1+yaml",
            Self::InRelease => "application/vnd.sockel.bundle.in-release.v1",
            Self::Index => "application/vnd.sockel.bundle.index.v1",
            Self::Key => "application/pgp-keys",
            Self::Package => "application/vnd.debian.binary-package",
        }
    }

    /// Returns the size above which such a file is refused, in bytes.
    #[must_use]
    pub fn largest(self) -> u64 {
        // generous, but finite: a hostile bundle must not fill the disk
        match self {
            Self::Lock => 16 << 20,
            Self::InRelease => release::SIZE_LIMIT,
            Self::Index => 512 << 20,
            Self::Key => 4 << 20,
            Self::Package => 8 << 30,
        }
    }
}

impl BundledFile {
    /// Returns the file's descriptor in the manifest.
    fn layer(&self) -> Value {
        let Self { title, digest, size, kind } = self;
        json!({ "mediaType": kind.media_type(), "digest": digest, "size": size, "annotations": { TITLE: title } })
    }

    /// Returns what is wrong with the file itself: its title and its size.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let shown = shown(&self.title);
        if let Err(problem) = check_title(&self.title) {
            problems.push(format!("the title `{shown}` {problem}"));
        }
        if self.size > self.kind.largest() {
            problems.push(format!("`{shown}` has {} bytes, {} at most", self.size, self.kind.largest()));
        }
        problems
    }
}

impl BundleContents {
    /// Sorts everything, so that the same contents have the same bytes.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.images.sort();
        // indexes before pockets: pockets are compared with their indexes
        self.pockets.iter_mut().for_each(|pocket| pocket.indexes.sort());
        self.pockets.sort();
        self.keys.sort();
        self.packages.sort();
        self.files.sort();
        self.format = FORMAT;
        self
    }

    /// Returns the bytes of the configuration.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        oci::canonical(self)
    }

    /// Returns the bytes of the manifest.
    #[must_use]
    pub fn manifest(&self) -> Vec<u8> {
        // the digest of the configuration ties list and manifest together
        let config = self.to_json();
        oci::canonical(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": ARTIFACT,
            "config": { "mediaType": ARTIFACT, "digest": Digest::of(&config), "size": config.len() },
            "layers": self.files.iter().map(BundledFile::layer).collect::<Vec<Value>>(),
        }))
    }

    /// Returns the file with a digest.
    #[must_use]
    pub fn file(&self, digest: &Digest) -> Option<&BundledFile> {
        self.files.iter().find(|file| file.digest == *digest)
    }

    /// Reads a list of contents and compares it with its manifest.
    ///
    /// # Errors
    /// All problems, for people.
    pub fn parse(config: &[u8], manifest: &[u8]) -> Result<Self, Vec<String>> {
        // before anything is parsed: the memory for that grows with the text
        if config.len() as u64 > LARGEST {
            return Err(vec![format!("its list of contents has more than {LARGEST} bytes")]);
        }

        // the version alone first: a newer format may well have other fields
        #[derive(Deserialize)]
        struct BundleVersion {
            format: u64,
        }
        let known: BundleVersion = serde_json::from_slice(config).map_err(|error| unreadable(&error))?;
        if known.format != u64::from(FORMAT) {
            return Err(vec![format!("it has format {}, this sockel knows {FORMAT}", known.format)]);
        }

        // list and manifest must be the very bytes that sockel writes: no reader can then see another bundle in them
        let contents: Self = serde_json::from_slice(config).map_err(|error| unreadable(&error))?;
        let mut problems = contents.problems();
        if problems.is_empty() && contents.manifest() != manifest {
            problems = layers(&contents, manifest);
            if problems.is_empty() {
                problems.push("its manifest is not written as sockel writes it".to_owned());
            }
        }
        if problems.is_empty() { Ok(contents) } else { Err(problems) }
    }

    /// Returns everything that is wrong with the list itself.
    fn problems(&self) -> Vec<String> {
        // a list of millions would cost memory for its problems alone
        if self.files.len() > MOST_FILES {
            return vec![format!("it lists {} files, {MOST_FILES} at most", self.files.len())];
        }

        let mut problems = self.problems_of_files();
        problems.extend(self.problems_of_uses());
        problems.extend(self.pockets.iter().flat_map(BundledPocket::problems));
        if *self != self.clone().sorted() || self.has_doubles() {
            problems.push("its list of contents is not in order".to_owned());
        }
        problems
    }

    /// Returns problems of single files, and files that are listed twice.
    fn problems_of_files(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (mut titles, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for file in &self.files {
            let shown = shown(&file.title);
            problems.extend(file.problems());
            if !titles.insert(&file.title) {
                problems.push(format!("two files have the title `{shown}`"));
            }
            if !digests.insert(file.digest) {
                problems.push(format!("`{shown}` is listed twice, as {}", file.digest));
            }
        }
        problems
    }

    /// Compares the files with their mentions: each is mentioned, by its kind and its title.
    fn problems_of_uses(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let files: BTreeMap<Digest, BundledFileKind> = self.files.iter().map(|file| (file.digest, file.kind)).collect();

        // a file may be mentioned several times: one key for two archives, one index for two pockets
        let mut titles_of: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for Use { digest, kind, whose, title } in self.uses() {
            match files.get(&digest) {
                Some(found) if *found == kind => titles_of.entry(digest).or_default().push(title),
                Some(_) => problems.push(format!("{} of {} is a file of another kind", digest, shown_text(&whose))),
                None => problems.push(format!("{} of {} is not among its files", digest, shown_text(&whose))),
            }
        }

        // a file without a mention could be anything, and no build would ever look at it
        for file in &self.files {
            let title = shown(&file.title);
            match titles_of.get(&file.digest) {
                None => problems.push(format!("nothing says what `{title}` is for")),
                Some(titles) if !titles.contains(&file.title) => {
                    problems.push(format!("the title `{title}` should be `{}`", shown(&titles[0])));
                }
                Some(_) => (),
            }
        }
        problems
    }

    /// Tells whether something is listed twice; files have problems of their own for that.
    fn has_doubles(&self) -> bool {
        let indexes = self.pockets.iter().any(|pocket| has_doubles(&pocket.indexes));
        // `sorted` leaves platforms alone, so their order is checked here
        let platforms = self.images.iter().any(|image| !image.platforms.is_sorted_by(|one, next| one < next));
        let lists = has_doubles(&self.images) || has_doubles(&self.pockets) || has_doubles(&self.keys);
        lists || indexes || platforms || has_doubles(&self.packages)
    }

    /// Returns every mention of a file.
    fn uses(&self) -> Vec<Use> {
        // titles are computed, never read: a list cannot choose the names of its files
        let mut uses = Vec::new();
        for image in &self.images {
            let (whose, title) = (format!("image `{}`", image.image), title::lock(&image.image));
            uses.push(Use { digest: image.lock, kind: BundledFileKind::Lock, whose, title });
        }
        for pocket in &self.pockets {
            let (whose, title) = (format!("pocket `{}`", pocket.title()), title::in_release(pocket));
            uses.push(Use { digest: pocket.in_release, kind: BundledFileKind::InRelease, whose, title });
            for index in &pocket.indexes {
                let (whose, title) = (format!("index `{}`", index.path), title::index(pocket, &index.path));
                uses.push(Use { digest: index.digest, kind: BundledFileKind::Index, whose, title });
            }
        }
        for key in &self.keys {
            let (whose, title) = (format!("archive `{}`", key.archive), title::key(key));
            uses.push(Use { digest: key.digest, kind: BundledFileKind::Key, whose, title });
        }
        for package in &self.packages {
            let (whose, title) = (format!("package `{} {}`", package.name, package.version), title::package(package));
            uses.push(Use { digest: package.digest, kind: BundledFileKind::Package, whose, title });
        }
        uses
    }
}

/// A mention of a file.
struct Use {
    /// Digest of the file.
    digest: Digest,
    /// The kind that the file must have.
    kind: BundledFileKind,
    /// The thing that mentions it, for messages.
    whose: String,
    /// The title that follows from the mention.
    title: String,
}

/// Returns the problem of a list that is not valid JSON, or lacks fields.
fn unreadable(error: &serde_json::Error) -> Vec<String> {
    vec![format!("its list of contents cannot be read: {error}")]
}

/// Tells whether a sorted list has an element twice.
fn has_doubles<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

impl BundledIndex {
    /// Tells whether the path is that of the index of this component and architecture, with any compression (Debian
    /// repository format, "Packages indices").
    fn is_where_it_belongs(&self) -> bool {
        let plain = match self.component.as_str() {
            archive::FLAT_COMPONENT => "Packages".to_owned(),
            component => format!("{component}/binary-{}/Packages", self.architecture),
        };
        self.path.strip_prefix(&plain).is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('.'))
    }
}

impl BundledPocket {
    /// Returns the pocket's name for messages, `ubuntu/security`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.archive, self.pocket)
    }

    /// Returns contradictions within the description of the pocket.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if (self.locked == self.in_release) != (self.proof == PackageProof::Locked) {
            problems.push(format!("pocket `{}` says a wrong proof", shown(&self.title())));
        }
        for index in self.indexes.iter().filter(|index| !index.is_where_it_belongs()) {
            problems.push(format!("index `{}` is at a wrong path", shown(&index.path)));
        }
        problems
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    artifact_type: Option<String>,
    layers: Vec<RawLayer>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct RawLayer {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Returns the differences between list and manifest, file by file.
fn layers(contents: &BundleContents, manifest: &[u8]) -> Vec<String> {
    let raw: RawManifest = match serde_json::from_slice(manifest) {
        Ok(raw) => raw,
        Err(error) => return vec![format!("its manifest cannot be read: {error}")],
    };
    let mut problems = Vec::new();
    if raw.artifact_type.as_deref() != Some(ARTIFACT) {
        problems.push(format!("its artifact type is not `{ARTIFACT}`"));
    }

    // what remains in the map has no layer
    let mut listed: BTreeMap<&str, &BundledFile> = contents.files.iter().map(|file| (&*file.title, file)).collect();
    for layer in &raw.layers {
        let title = layer.annotations.get(TITLE).map_or("", String::as_str);
        let Some(file) = listed.remove(title) else {
            problems.push(format!("its manifest has a layer `{}` that is not among its files", shown(title)));
            continue;
        };
        // compared as text: a digest of another algorithm is a difference like any other
        let same = layer.digest == file.digest.to_string()
            && layer.size == file.size
            && layer.media_type == file.kind.media_type();
        if !same {
            problems.push(format!("its manifest says something else about `{}`", shown(title)));
        }
    }
    problems.extend(listed.into_keys().map(|title| format!("its manifest has no layer `{}`", shown(title))));
    problems
}

/// Tells whether a media type is that of a bundle's layer.
pub(super) fn is_known(media_type: &str) -> bool {
    BundledFileKind::ALL.iter().any(|kind| kind.media_type() == media_type)
}

/// Refuses titles that would be dangerous as file names: other tools unpack artifacts by title.
fn check_title(title: &str) -> Result<(), &'static str> {
    if title.is_empty() || title.len() > LONGEST_TITLE {
        Err("is empty or too long")
    } else if !title.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.~:_/%".contains(&byte)) {
        Err("has characters that are not allowed")
    // 255 bytes is the longest name that most file systems take
    } else if title.split('/').any(|segment| matches!(segment, "" | "." | "..") || segment.len() > 255) {
        Err("is not a path below a folder")
    } else {
        Ok(())
    }
}

/// Returns the beginning of a text from outside, escaped, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(150).collect::<String>().escape_debug().to_string()
}

/// Returns the beginning of a text that quotes names from outside, without control characters, for a message.
fn shown_text(text: &str) -> String {
    text.chars().take(150).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(keys: &[&str]) -> BundleContents {
        let keys: Vec<BundledKey> =
            keys.iter().map(|key| BundledKey { archive: "a".to_owned(), digest: Digest::of(key.as_bytes()) }).collect();
        let file = |key: &BundledKey| BundledFile {
            title: title::key(key),
            digest: key.digest,
            size: 1,
            kind: BundledFileKind::Key,
        };
        let files = keys.iter().map(file).collect();
        let contents = BundleContents {
            format: FORMAT,
            images: Vec::new(),
            pockets: Vec::new(),
            keys,
            packages: Vec::new(),
            files,
        };
        contents.sorted()
    }

    #[test]
    fn order_does_not_matter() {
        let (one, other) = (contents(&["one", "two"]), contents(&["two", "one"]));
        assert_eq!((one.to_json(), one.manifest()), (other.to_json(), other.manifest()));
        assert_eq!(BundleContents::parse(&one.to_json(), &one.manifest()), Ok(one));
    }

    #[test]
    fn titles_are_paths_below_a_folder() {
        for title in ["a", "packages/0/a_1:2~3+4-5_all.deb", "a..b/.c"] {
            assert_eq!(check_title(title), Ok(()), "{title}");
        }
        for title in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a b", "ä", "a\0"] {
            assert!(check_title(title).is_err(), "{title:?}");
        }
    }

    #[test]
    fn all_problems_are_said_at_once() {
        let mut bad = contents(&["one", "two", "three"]);
        bad.files[0].title = "../c".to_owned();
        bad.files[2].title = bad.files[1].title.clone();
        bad.keys.retain(|key| key.digest != bad.files[1].digest);
        bad.keys.push(bad.keys[0].clone());
        let problems = BundleContents::parse(&bad.to_json(), &bad.manifest()).expect_err("it is bad");
        // no path, and not the right one; the same title twice, once wrong; nothing says what for; a key twice
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
        ) {
            let good = contents(&["one", "two"]);
            let _any = BundleContents::parse(&bytes, &bytes);
            let mut config = good.to_json();
            let place = at.index(config.len());
            let is_changed = config[place] != to;
            config[place] = to;
            // the digest in the manifest does not fit any more
            prop_assert!(!is_changed || BundleContents::parse(&config, &good.manifest()).is_err());
            let mut manifest = good.manifest();
            let place = at.index(manifest.len());
            let is_changed = manifest[place] != to;
            manifest[place] = to;
            prop_assert!(!is_changed || BundleContents::parse(&good.to_json(), &manifest).is_err());
        }
    }
}
