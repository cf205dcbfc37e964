//! A bundle that was opened: its list of contents, checked against its manifest.

use crate::bundle::ARTIFACT;
use crate::bundle::BundleContents;
use crate::bundle::BundleSource;
use crate::bundle::BundledFile;
use crate::bundle::BundledFileKind;
use crate::bundle::Error;
use crate::bundle::contents::LARGEST;
use crate::bundle::contents::is_known;
use crate::bundle::contents::shown;
use crate::bundle::source::OpenedSource;
use crate::oci;
use crate::report::ProgressReporter;
use crate::store::Store;
use crate::sys::fs;
use crate::values::Digest;
use oci_spec::image::ImageManifest;

/// A bundle whose list of contents is sound. Its files are not verified yet.
pub struct Bundle<'a> {
    pub(super) opened: OpenedSource<'a>,
    /// Where it is, for messages.
    pub place: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// What it says it holds.
    pub contents: BundleContents,
}

/// Opens a bundle: reads its manifest and its list of contents, and nothing else.
///
/// # Errors
/// [`Error::Damaged`] with all that is wrong.
pub fn open<'a>(source: BundleSource<'a>, store: &Store, reporter: &dyn ProgressReporter) -> Result<Bundle<'a>, Error> {
    let found = source.find()?;
    let place = found.place;
    let damaged = |problems: Vec<String>| Error::Damaged { place: place.clone(), problems };
    let manifest = &found.manifest;
    let (digest, size) = config(manifest).map_err(damaged)?;
    let title = "list of contents".to_owned();
    let file = BundledFile { title: title.clone(), digest, size, kind: BundledFileKind::Lock };
    let missing = found.opened.bring(&[&file], &place, store, reporter)?;
    if !missing.is_empty() {
        return Err(damaged(vec![format!("its {title} is missing")]));
    }
    let bytes = fs::read(&store.blob(&digest), LARGEST)?;
    if Digest::of(&bytes) != digest {
        // the store's own copy: the next run fetches it again
        fs::remove(&store.blob(&digest))?;
        return Err(damaged(vec![format!("its {title} is damaged in the store")]));
    }
    let contents = BundleContents::parse(&bytes, manifest).map_err(damaged)?;
    Ok(Bundle { opened: found.opened, place, digest: Digest::of(manifest), contents })
}

/// Returns digest and size of the list of contents, when the manifest is that of a bundle.
fn config(manifest: &[u8]) -> Result<(Digest, u64), Vec<String>> {
    let one = |problem: String| vec![problem];
    let manifest: ImageManifest =
        serde_json::from_slice(manifest).map_err(|error| one(format!("its manifest cannot be read: {error}")))?;
    let config = manifest.config();
    let found = config.media_type().to_string();
    if found != ARTIFACT {
        return Err(one(format!("it is no bundle, but `{}`", shown(&found))));
    }
    if config.size() > LARGEST {
        return Err(one(format!("its list of contents has {} bytes, {LARGEST} at most", config.size())));
    }
    let layers = manifest.layers().iter().map(|layer| layer.media_type().to_string());
    let unknown: Vec<String> = layers.filter(|media_type| !is_known(media_type)).collect();
    if let Some(media_type) = unknown.first() {
        return Err(one(format!("it has a layer of unknown kind, `{}`", shown(media_type))));
    }
    let digest = oci::digest_of(config).ok_or_else(|| one("its list of contents has no SHA-256 digest".to_owned()))?;
    Ok((digest, config.size()))
}
