//! Writes new digests into the files of a Git checkout that clusters follow (GitOps), as one commit.
//!
//! It changes references to a published repository under one of the image's tags, in the forms that people use:
//!
//! ```yaml
//! image: registry.example.org/base/java:25@sha256:…     # Kubernetes manifests, values files
//! images: [ { name: registry.example.org/base/java, newTag: "25", digest: sha256:… } ]     # Kustomize
//! image: { registry: registry.example.org, repository: base/java, tag: "25", digest: sha256:… }   # Helm values
//! ```
//! A digest is replaced, or added if there is none. References with another tag are left alone, because that tag is
//! somebody's decision; so are references without a tag, in anchors and aliases, with templates (`{{ }}`), or written in a way
//! that cannot be changed safely. Each of them is reported. Every other byte of a file stays the same.
//!
//! - **Invariants**: all files or none; only files that Git tracks and that nobody else is changing; no commit without a
//!   change. A run that was killed between writing and committing is completed by the next one.

mod document;
mod edit;
mod error;
mod find;
mod git;
pub mod guard;
mod run;

pub use edit::EditedFile;
pub use edit::edit;
pub use error::Error;
pub use find::DigestEdit;
pub use find::ExpectedNode;
pub use find::UnchangedReference;
pub use run::DigestChange;
pub use run::SkippedReference;
pub use run::WriteBackOptions;
pub use run::WriteBackResult;
pub use run::check;
pub use run::write_back;

use crate::publish::PublishState;
use crate::publish::Published;
use crate::values::Digest;

/// A published image, as files refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteBackImage {
    /// Image name.
    pub image: String,
    /// `host/repository`
    pub repository: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The digest that its tags point to.
    pub digest: Digest,
}

impl WriteBackImage {
    /// Returns how files refer to a published image; `None` for an image that is not published.
    #[must_use]
    pub fn of(published: &Published) -> Option<Self> {
        if published.state == PublishState::Failed {
            return None;
        }
        let Published { image, repository, tags, digest, .. } = published;
        Some(Self { image: image.clone(), repository: repository.clone(), tags: tags.clone(), digest: *digest })
    }
}
