//! Opens a bundle: reads its list of contents, and checks it against its manifest.

use crate::bundle::ARTIFACT;
use crate::bundle::BundleContents;
use crate::bundle::BundleSource;
use crate::bundle::BundledFile;
use crate::bundle::BundledFileKind;
use crate::bundle::Error;
use crate::bundle::contents::LARGEST;
use crate::bundle::contents::is_known;
use crate::bundle::contents::shown;
use crate::bundle::source::FoundBundle;
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
    /// Its list of contents.
    pub contents: BundleContents,
}

/// Opens a bundle: reads its manifest and its list of contents, and nothing else.
///
/// # Errors
/// [`Error::Damaged`] with all problems.
pub fn open<'a>(source: BundleSource<'a>, store: &Store, reporter: &dyn ProgressReporter) -> Result<Bundle<'a>, Error> {
    let FoundBundle { opened, place, manifest } = source.find()?;
    match contents(&opened, &place, &manifest, store, reporter)? {
        Ok(contents) => Ok(Bundle { opened, place, digest: Digest::of(&manifest), contents }),
        Err(problems) => Err(Error::Damaged { place, problems }),
    }
}

/// Brings the list of contents into the store and reads it; the inner error has all problems of the list.
fn contents(
    opened: &OpenedSource<'_>,
    place: &str,
    manifest: &[u8],
    store: &Store,
    reporter: &dyn ProgressReporter,
) -> Result<Result<BundleContents, Vec<String>>, Error> {
    let (digest, size) = match config(manifest) {
        Ok(config) => config,
        Err(problem) => return Ok(Err(vec![problem])),
    };

    // brought like any other file of the bundle, so that only the right bytes get into the store
    let title = "list of contents".to_owned();
    let file = BundledFile { title: title.clone(), digest, size, kind: BundledFileKind::Lock };
    let missing = opened.bring(&[&file], place, store, reporter)?;
    if !missing.is_empty() {
        return Ok(Err(vec![format!("its {title} is missing")]));
    }

    let bytes = fs::read(&store.blob(&digest), LARGEST)?;
    if Digest::of(&bytes) != digest {
        // the store's own copy: the next run fetches it again
        fs::remove(&store.blob(&digest))?;
        return Ok(Err(vec![format!("its {title} is damaged in the store")]));
    }
    Ok(BundleContents::parse(&bytes, manifest))
}

/// Returns digest and size of the list of contents, if the manifest is that of a bundle.
fn config(manifest: &[u8]) -> Result<(Digest, u64), String> {
    let manifest: ImageManifest =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;

    // the media type of the configuration tells what an artifact is, even after a tool dropped `artifactType`
    let config = manifest.config();
    let found = config.media_type().to_string();
    if found != ARTIFACT {
        return Err(format!("it is no bundle, but `{}`", shown(&found)));
    }
    // checked before it is fetched
    if config.size() > LARGEST {
        return Err(format!("its list of contents has {} bytes, {LARGEST} at most", config.size()));
    }

    // a later version of sockel may add kinds of files that a build has to understand
    let layers = manifest.layers().iter().map(|layer| layer.media_type().to_string());
    let unknown: Vec<String> = layers.filter(|media_type| !is_known(media_type)).collect();
    if let Some(media_type) = unknown.first() {
        return Err(format!("it has a layer of unknown kind, `{}`", shown(media_type)));
    }

    let digest = oci::digest_of(config).ok_or("its list of contents has no SHA-256 digest")?;
    Ok((digest, config.size()))
}
