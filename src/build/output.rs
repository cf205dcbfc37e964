//! Writes finished images out: OCI layout folder, OCI archive, Docker archive.

use crate::build::BuiltImage;
use crate::build::BuiltPlatform;
use crate::build::Error;
use crate::image;
use crate::oci;
use crate::oci::archive;
use crate::oci::archive::DockerArchiveLayer;
use crate::oci::layout;
use crate::oci::layout::LayoutReference;
use crate::store::Store;
use crate::sys::beneath::ConfinedFolder;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::ImageManifest;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

/// Annotation with the name of an image (containerd, `images/annotations.go`); BuildKit writes it as well.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Where images go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `oci:DIR`
    Layout(PathBuf),
    /// `oci-archive:FILE`
    OciArchive(PathBuf),
    /// `docker-archive:FILE`
    DockerArchive(PathBuf),
}

/// A text that is not an output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an output (oci:DIR, oci-archive:FILE, docker-archive:FILE)")]
pub struct UnknownOutput(pub String);

impl FromStr for Output {
    type Err = UnknownOutput;

    fn from_str(text: &str) -> Result<Self, UnknownOutput> {
        match text.split_once(':') {
            Some(("oci", path)) if !path.is_empty() => Ok(Self::Layout(path.into())),
            Some(("oci-archive", path)) if !path.is_empty() => Ok(Self::OciArchive(path.into())),
            Some(("docker-archive", path)) if !path.is_empty() => Ok(Self::DockerArchive(path.into())),
            _ => Err(UnknownOutput(text.to_owned())),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::OciArchive(path) => write!(f, "oci-archive:{}", path.display()),
            Self::DockerArchive(path) => write!(f, "docker-archive:{}", path.display()),
        }
    }
}

/// Refuses a layout folder that leads through a symbolic link unless the operator named it on the command line: a
/// checkout must not decide to write elsewhere. An absolute path, or one that leaves the working folder by `..`, is
/// taken as it is.
///
/// # Errors
/// When the path leads through a link.
pub fn check_unnamed(folder: &Path) -> Result<(), fs::Error> {
    let mut parts = Vec::new();
    for part in folder.components() {
        match part {
            Component::CurDir => (),
            Component::Normal(name) => parts.push(name.to_string_lossy()),
            // visible in the configuration itself, unlike a link
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Ok(()),
        }
    }
    ConfinedFolder::new(Path::new("")).check(&parts.join("/"))
}

/// Writes images out. An archive holds only the last image; the others are its ancestors.
///
/// # Errors
/// When the output cannot be written, or cannot hold the image.
pub fn write(output: &Output, images: &[BuiltImage], store: &Store) -> Result<(), Error> {
    let Some(last) = images.last() else { return Ok(()) };
    match output {
        Output::Layout(folder) => {
            // images of one project share blobs, which a layout has once
            let references: Vec<LayoutReference> = images.iter().flat_map(references).collect();
            let blobs: BTreeMap<Digest, u64> = images.iter().flat_map(BuiltImage::blobs).collect();
            Ok(layout::write(folder, &references, &blobs, store)?)
        }
        // one entry: consumers of archives refuse to choose
        Output::OciArchive(file) => {
            let mut references = references(last);
            references.truncate(1);
            references.iter_mut().for_each(name_for_containerd);
            Ok(archive::write_oci(file, &references, &last.blobs(), store)?)
        }
        Output::DockerArchive(file) => docker(file, last, store),
    }
}

/// Returns the references of an image: every tag points to the index, and `<tag>-<architecture>` points to the
/// manifest of one platform, for consumers that cannot choose from an index.
fn references(built: &BuiltImage) -> Vec<LayoutReference> {
    let mut references = Vec::new();
    for tag in &built.tags {
        let target = oci::descriptor("application/vnd.oci.image.index.v1+json", &built.index.0, built.index.1);
        references.push(LayoutReference { name: format!("{}:{tag}", built.image), target });

        for BuiltPlatform { platform, manifest, .. } in &built.platforms {
            // a tag must not contain the `/` of a platform
            let name = format!("{}:{tag}-{}", built.image, platform.architecture().debian());
            references
                .push(LayoutReference { name, target: image::platform_descriptor(&manifest.0, manifest.1, *platform) });
        }
    }
    references
}

/// Adds the name under which containerd imports an image. It is the one that the image of a Docker archive gets: containerd's
/// clients, such as the kubelet, look for names with a host, and complete `java-25:25` to this one.
fn name_for_containerd(reference: &mut LayoutReference) {
    let mut annotations = reference.target.annotations().clone().unwrap_or_default();
    annotations.insert(CONTAINERD_NAME.to_owned(), format!("docker.io/library/{}", reference.name));
    reference.target.set_annotations(Some(annotations));
}

/// Writes a Docker archive, which holds one platform.
fn docker(file: &Path, built: &BuiltImage, store: &Store) -> Result<(), Error> {
    let [platform] = &built.platforms[..] else {
        let cause =
            format!("it holds one platform, but the image has {}; choose with `--platform`", built.platforms.len());
        return Err(unfit(file, cause).into());
    };

    // blobs may have lain in the store for long: what leaves is read again
    let path = store.blob(&platform.manifest.0);
    let bytes = fs::read(&path, platform.manifest.1).map_err(oci::Error::from)?;
    if Digest::of(&bytes) != platform.manifest.0 {
        return Err(store.damaged(&platform.manifest.0).into());
    }
    let manifest: ImageManifest = serde_json::from_slice(&bytes).map_err(|error| unfit(file, error.to_string()))?;

    let layers: Vec<DockerArchiveLayer> = platform
        .layers
        .iter()
        .map(|layer| DockerArchiveLayer { diff_id: layer.blob.diff_id, uncompressed: layer.blob.uncompressed })
        .collect();
    let tags: Vec<String> = built.tags.iter().map(|tag| format!("{}:{tag}", built.image)).collect();
    Ok(archive::write_docker(file, &tags, &manifest, &layers, store)?)
}

/// Returns the error for an image that a Docker archive cannot hold.
fn unfit(file: &Path, cause: String) -> oci::Error {
    oci::Error::Unfit { format: "docker-archive", path: file.to_owned(), cause }
}
