//! The job `diff`: what changed between two images, or between two lock files.

use crate::image::snapshot;
use crate::image::snapshot::ImageDifference;
use crate::image::snapshot::ImageSnapshot;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::workspace::lock_path;
use crate::lock;
use crate::lock::file::Lock;
use crate::oci::registry::address::ImageLocation;
use crate::sys::http;
use crate::values::Platform;
use std::path::Path;
use std::path::PathBuf;

/// Two images to compare.
#[derive(Debug, Clone)]
pub struct DiffRequest {
    /// The older image.
    pub before: ImageSource,
    /// The newer image.
    pub after: ImageSource,
    /// Platform to compare; the first one of each image when none is named.
    pub platform: Option<Platform>,
}

/// Where an image is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A layout folder, and the image's name in it: `java-25:25`.
    Layout {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@DIGEST`, with or without a scheme.
    Registry(String),
}

/// Compares two images: packages, files, settings, and what a consumer has to pull again.
///
/// # Errors
/// When one of them cannot be read.
pub fn images(request: &DiffRequest, session: &Session) -> Result<ImageDifference, Error> {
    let old = snapshot(&request.before, request.platform, session)?;
    let new = snapshot(&request.after, request.platform, session)?;
    Ok(snapshot::compare(&old, &new))
}

/// Compares two lock files. Each is named by its path, or by an image whose lock file in the project is meant.
///
/// # Errors
/// When one of them cannot be read.
pub fn locks(before: &str, after: &str, project: &Path) -> Result<lock::diff::LockDifference, Error> {
    Ok(lock::diff::diff(&lock_of(before, project)?, &lock_of(after, project)?))
}

fn snapshot(source: &ImageSource, platform: Option<Platform>, session: &Session) -> Result<ImageSnapshot, Error> {
    match source {
        ImageSource::Layout { folder, name } => Ok(ImageSnapshot::read(folder, name, platform)?),
        ImageSource::Registry(reference) => pulled(reference, platform, session),
    }
}

/// Reads an image of a registry; blobs that the store has are not fetched.
fn pulled(image: &str, platform: Option<Platform>, session: &Session) -> Result<ImageSnapshot, Error> {
    let file = session.registry_file();
    let Some((address, reference)) = split(image) else { return Err(no_reference(image)) };
    let ImageLocation::Registry { url, prefix } = file.location(address)? else {
        return Err(no_reference(image));
    };

    let connections = Connections::open(&url, &prefix, false, file, session)?;
    let folder = session.store()?.folder();
    let pulling = connections.registry().pull(&prefix, reference, folder, session.reporter());
    let pulled = session.http().block_on(pulling)??;
    Ok(ImageSnapshot::of(folder, image, &pulled, platform)?)
}

/// Splits `HOST/REPOSITORY` from the tag or digest behind it. A port is no tag: it comes before the last slash.
pub(crate) fn split(image: &str) -> Option<(&str, &str)> {
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    let end = name + image[name..].find(['@', ':'])?;
    Some((&image[..end], &image[end + 1..]))
}

fn no_reference(image: &str) -> Error {
    Error::usage(format!("cannot read image `{}`: it names no tag or digest", http::mask(image)))
        .hint("write it as `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@sha256:…`")
}

fn lock_of(name: &str, project: &Path) -> Result<Lock, Error> {
    let is_path = name.contains('/') || name.ends_with(".yaml");
    if is_path {
        return Ok(Lock::read(Path::new(name))?);
    }
    match Lock::of_project(project, name) {
        Err(lock::Error::File(error)) if error.is_missing() => {
            let path = lock_path(project, name);
            let message = format!("cannot compare `{name}`: there is no lock file `{}`", path.display());
            Err(Error::input(message).hint("name a lock file, or an image that is locked"))
        }
        lock => Ok(lock?),
    }
}
