//! Writes a bundle whose files are in the store, into a layout folder or an archive file.

use crate::bundle::ARTIFACT;
use crate::bundle::BundleContents;
use crate::bundle::BundleLocation;
use crate::bundle::Error;
use crate::bundle::REFERENCE;
use crate::oci;
use crate::oci::archive;
use crate::oci::layout;
use crate::oci::layout::LayoutReference;
use crate::store::Store;
use crate::values::Digest;
use oci_spec::image::Descriptor;
use oci_spec::image::MediaType;
use std::collections::BTreeMap;

/// Media type of the manifest (image-spec manifest.md).
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An artifact whose blobs are all in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBundle {
    /// Its manifest.
    pub target: Descriptor,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Every blob with its size.
    pub blobs: BTreeMap<Digest, u64>,
}

/// Adds manifest and list of contents to the store.
///
/// # Errors
/// [`Error::Unsound`] when the list could not be read again.
pub fn store(contents: &BundleContents, store: &Store) -> Result<WrittenBundle, Error> {
    // a bundle that no build would accept must not leave this machine
    let (config, manifest) = (contents.to_json(), contents.manifest());
    BundleContents::parse(&config, &manifest).map_err(Error::Unsound)?;

    let mut blobs: BTreeMap<Digest, u64> = contents.files.iter().map(|file| (file.digest, file.size)).collect();
    for bytes in [&config, &manifest] {
        blobs.insert(store.add(bytes)?, bytes.len() as u64);
    }

    let digest = Digest::of(&manifest);
    let mut target = oci::descriptor(MANIFEST, &digest, manifest.len() as u64);
    target.set_artifact_type(Some(MediaType::from(ARTIFACT)));
    Ok(WrittenBundle { target, digest, blobs })
}

/// Writes a layout folder or an archive file. For a registry it writes nothing: that artifact is pushed from the store.
///
/// # Errors
/// When it cannot be written.
pub fn write(written: &WrittenBundle, place: &BundleLocation, store: &Store) -> Result<(), Error> {
    let references = [LayoutReference { name: REFERENCE.to_owned(), target: written.target.clone() }];
    match place {
        BundleLocation::Layout(folder) => Ok(layout::write(folder, &references, &written.blobs, store)?),
        BundleLocation::Archive(file) => Ok(archive::write_oci(file, &references, &written.blobs, store)?),
        BundleLocation::Registry { .. } => Ok(()),
    }
}
