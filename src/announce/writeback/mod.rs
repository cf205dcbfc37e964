//! New digests into the files of a Git checkout that clusters follow (the pull principle), as one commit.
//!
//! Changed are references to a published repository under one of the image's tags, in the forms that people use:
//!
//! ```yaml
//! image: registry.example.org/base/java:25@sha256:…     # Kubernetes manifests, values files
//! images: [ { name: registry.example.org/base/java, newTag: "25", digest: sha256:… } ]     # Kustomize
//! image: { registry: registry.example.org, repository: base/java, tag: "25", digest: sha256:… }   # Helm values
//! ```
//! A digest is replaced, or added where there is none. Another tag is somebody's decision and stays; so do references
//! without a tag, behind anchors and aliases, with templates (`{{ }}`), or written in a way that cannot be changed safely.
//! Each of them is said. Every other byte of a file stays as it is.
//!
//! - **Invariants**: all files or none; only files that Git knows, and that nobody else is changing; nothing to change, no
//!   commit. A run that was killed between writing and committing is completed by the next one.

mod document;
mod edit;
mod error;
mod find;
mod git;
pub mod guard;
mod run;

pub use edit::Edited;
pub use edit::edit;
pub use error::Error;
pub use find::Edit;
pub use find::Expected;
pub use find::Left;
pub use run::Change;
pub use run::Note;
pub use run::Options;
pub use run::WrittenBack;
pub use run::check;
pub use run::write_back;

use crate::publish::Published;
use crate::publish::State;
use crate::values::Digest;

/// A published image, as files name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Image name.
    pub image: String,
    /// `host/repository`
    pub repository: String,
    /// Tags that stand for it.
    pub tags: Vec<String>,
    /// What they stand for.
    pub digest: Digest,
}

impl Image {
    /// Returns what can be referred to of a publication; `None` for an image that is not published.
    #[must_use]
    pub fn of(published: &Published) -> Option<Self> {
        let is_there = published.state != State::Failed;
        let Published { image, repository, tags, digest, .. } = published;
        let (image, repository, tags) = (image.clone(), repository.clone(), tags.clone());
        is_there.then_some(Self { image, repository, tags, digest: *digest })
    }
}
