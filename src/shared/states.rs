//! Signed states of archives in the cache repository, so that machines with an empty store can prove older locks.
//!
//! A state is an OCI image manifest tagged `state-<InRelease digest>`, with the InRelease file as its first layer and
//! the indexes that were read as the others. It needs no signature of ours: the archive itself signed the InRelease
//! file, and whoever pulls a state verifies it from the pinned key down again.

use crate::apt::archive;
use crate::apt::release;
use crate::fetch::states::StateFiles;
use crate::lock::file::Lock;
use crate::oci;
use crate::oci::registry::PushRequest;
use crate::oci::registry::error;
use crate::report::ProgressEvent;
use crate::shared::Error;
use crate::shared::SharedCache;
use crate::shared::entry::CREATED;
use crate::sys::clock;
use crate::sys::fs;
use crate::sys::own;
use crate::values::Digest;
use crate::values::Epoch;
use oci_spec::image::ImageManifest;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// `artifactType` of a state.
const ARTIFACT_TYPE: &str = "application/vnd.sockel.cache.state.v1+json";

/// Media types of the manifest, its files, and the empty configuration (image-spec 1.1, manifest.md).
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IN_RELEASE: &str = "application/vnd.sockel.bundle.in-release.v1";
const INDEX: &str = "application/vnd.sockel.bundle.index.v1";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Largest index, as for archives.
const LARGEST_INDEX: u64 = 512 << 20;

/// Most files of a state: components times architectures, with room.
const MOST_FILES: usize = 256;

/// Kind of the store's records of states that were pushed.
const GIVEN: &str = "state-given";

/// Returns the tags of the states that these locks name.
pub(super) fn tags(locks: &[&Lock]) -> impl Iterator<Item = String> {
    locks.iter().flat_map(|lock| &lock.archives).map(|state| tag(&state.inrelease))
}

/// Returns the tag of a state.
fn tag(inrelease: &Digest) -> String {
    format!("state-{}", inrelease.hex())
}

impl SharedCache<'_> {
    /// Pulls the states that these locks name and the store does not have. Missing ones are looked for elsewhere later.
    pub async fn take_states(&self, locks: &[&Lock]) {
        for inrelease in states(locks) {
            if fs::size(&archive::kept(&self.store.archives(), &inrelease)).is_some() {
                continue;
            }
            // mirrors and snapshot services may have it, too
            if let Err(error) = self.take_state(&inrelease).await {
                self.reporter.event(ProgressEvent::Warning(format!("{error}: the state is looked for elsewhere")));
            }
        }
    }

    /// Pulls one state, if the repository has it.
    async fn take_state(&self, inrelease: &Digest) -> Result<(), Error> {
        let tag = tag(inrelease);
        let manifest = match self.registry.manifest(self.repository, &tag).await {
            Err(error::Error::Missing { .. }) => return Ok(()),
            other => other?,
        };
        let files = files(&manifest.bytes, inrelease).map_err(|cause| Error::Entry { tag, cause })?;

        let folder = self.store.archives();
        // the InRelease file comes last: once it is kept, the state counts as complete
        for file in files.iter().rev() {
            self.registry.pull_blob(self.repository, *file, self.store.folder(), self.reporter).await?;
            let kept = archive::kept(&folder, &file.0);
            own::create_dir(kept.parent().unwrap_or(&folder))?;
            fs::copy(&self.store.blob(&file.0), &kept)?;
        }
        Ok(())
    }

    /// Pushes the states that these locks name and the store has, unless the repository has them already.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn give_states(&self, locks: &[&Lock]) -> Result<(), Error> {
        // states need no signature, but only machines that may write entries have a key
        if self.signer.is_none() {
            return Ok(());
        }
        for inrelease in states(locks) {
            // a note in the store saves a request for each state in every run
            let place = format!("{} {} {inrelease}", self.registry.url(), self.repository);
            let memory = Digest::of(place.as_bytes());
            if self.store.result::<String>(GIVEN, &memory).is_some() {
                continue;
            }

            // a state that is not complete here is of no use to others
            let Some(files) = StateFiles::of(&inrelease, self.store) else { continue };
            if self.registry.head(self.repository, &tag(&inrelease)).await?.is_none() {
                self.give_state(&inrelease, &files).await?;
            }
            self.store.keep(GIVEN, &memory, &place)?;
        }
        Ok(())
    }

    /// Pushes one state.
    async fn give_state(&self, inrelease: &Digest, files: &StateFiles) -> Result<(), Error> {
        // a push takes its blobs from the store, where archives are kept in a folder of their own
        let folder = self.store.archives();
        for (digest, size) in files.all(inrelease) {
            if !self.store.has_blob(&digest, size) {
                fs::copy(&archive::kept(&folder, &digest), &self.store.blob(&digest))?;
            }
        }

        let manifest = manifest(inrelease, files, clock::now());
        self.store.add(b"{}")?;
        let digest = self.store.add(&manifest)?;

        let target = oci::descriptor(MANIFEST, &digest, manifest.len() as u64);
        let push = PushRequest {
            layout: self.store.folder(),
            target: &target,
            repository: self.repository,
            tags: &[tag(inrelease)],
            mount_from: &[],
            elsewhere: &[],
            chunk: None,
            is_new: true,
        };
        self.registry.push(&push, self.reporter).await?;
        Ok(())
    }
}

/// Returns the states that locks name, each once: the newest ones, and those of packages that stay behind.
fn states(locks: &[&Lock]) -> BTreeSet<Digest> {
    locks.iter().flat_map(|lock| &lock.archives).map(|state| state.inrelease).collect()
}

/// Returns the manifest of a state.
fn manifest(inrelease: &Digest, files: &StateFiles, made: Epoch) -> Vec<u8> {
    let mut layers: Vec<Value> = Vec::new();
    for (digest, size) in files.all(inrelease) {
        let media_type = if layers.is_empty() { IN_RELEASE } else { INDEX };
        layers.push(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size }));
    }

    oci::canonical(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": { "mediaType": EMPTY, "digest": Digest::of(b"{}").to_string(), "size": 2 },
        "layers": layers,
        "annotations": { CREATED: made.to_string(), "org.opencontainers.image.title": files.title() },
    }))
}

/// Reads which files a state has; the first is the InRelease file that was asked for.
///
/// # Errors
/// What is wrong, for people.
pub fn files(manifest: &[u8], inrelease: &Digest) -> Result<Vec<(Digest, u64)>, String> {
    let manifest: ImageManifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    if manifest.artifact_type().as_ref().map(ToString::to_string).as_deref() != Some(ARTIFACT_TYPE) {
        return Err("it is no state of an archive".to_owned());
    }
    if manifest.layers().len() > MOST_FILES {
        return Err(format!("it has more than {MOST_FILES} files"));
    }

    // nobody signed the sizes: they are limits for the download, so they must be bounded before it
    let mut files = Vec::new();
    for layer in manifest.layers() {
        // the first file is the small one that says what the others are
        let digest = oci::digest_of(layer).ok_or("a digest is not SHA-256")?;
        let largest = if files.is_empty() { release::SIZE_LIMIT } else { LARGEST_INDEX };
        if layer.size() > largest {
            return Err(format!("a file has {} bytes, {largest} at most", layer.size()));
        }
        files.push((digest, layer.size()));
    }

    match files.first() {
        Some((first, _)) if first == inrelease => Ok(files),
        _ => Err("it has another InRelease file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_that_was_asked_for_is_read() {
        let (inrelease, index) = (Digest::of(b"inrelease"), Digest::of(b"index"));
        let files_of = StateFiles::new("ubuntu/security", 9, vec![(index, 5)]);
        let good = String::from_utf8(manifest(&inrelease, &files_of, Epoch(0))).unwrap();
        assert_eq!(files(good.as_bytes(), &inrelease).unwrap(), [(inrelease, 9), (index, 5)]);
        let table = [
            (good.replace("cache.state", "other"), "it is no state"),
            (good.replace("\"size\":9", "\"size\":999999999999"), "a file has 999999999999 bytes"),
            (good.replace(&inrelease.to_string(), &index.to_string()), "it has another InRelease file"),
            ("{}".to_owned(), ""),
        ];
        for (text, expected) in table {
            let error = files(text.as_bytes(), &inrelease).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
