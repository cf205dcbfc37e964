//! Promotion: copies the digest that was judged in staging into the release project, and tags it there.
//!
//! Harbor's copy (`CopyArtifact`) copies **all tags** of the source as well, including those of an index's images, and
//! replaces tags of the same name. It copies accessories (signatures, SBOMs) **only the first time**
//! (goharbor/harbor#16675; `src/controller/artifact/controller.go`, `copyDeeply`). Hence this order:
//!
//! 1. In staging an image has at most one throw-away tag ([`Promotion::throwaway`]), which only protects it from
//!    Harbor's garbage collection; signatures and attestations are attached there.
//! 2. Every release tag is looked up **before** anything is changed: a fixed tag that names another digest is an error.
//! 3. The throw-away tag is removed from the staging image. Any other tag that is not a release tag of this promotion
//!    is an error, and so is any tag of an index's images: the copy would include it.
//! 4. The digest is copied. If it is in the release project already, nothing is copied, and accessories that are
//!    missing there are reported: they have to be pushed.
//! 5. Labels are set, then tags: an image is never found by a tag before it is complete. The API sets new tags. Tags
//!    that have to *move* are reported ([`Promoted::to_move`]): only `PUT` of the manifest moves a tag without a moment
//!    in which it is missing, and that is part of the registry's API.
//!
//! Each step looks first and may be repeated, so an interrupted promotion is simply started again.

use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::Repository;
use crate::harbor::artifact::ArtifactDetails;
use crate::harbor::artifact::HarborArtifact;
use crate::harbor::artifact::Label;
use crate::sys::http::Method;
use crate::values::Digest;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a copy is tried that collides with another one.
const TRIES: u32 = 4;

/// Pause after the first collision; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// Most images of an index that are looked at.
const CHILDREN: usize = 64;

/// The image to release, and its tags.
#[derive(Debug, Clone)]
pub struct Promotion<'a> {
    /// The staging repository, where it was judged.
    pub from: &'a Repository,
    /// The release repository.
    pub to: &'a Repository,
    /// Digest of the index or image.
    pub digest: Digest,
    /// Tags that never move, such as `11.0.2-20261123`.
    pub fixed: &'a [String],
    /// Tags that follow the newest release, such as `11` and `latest`.
    pub moving: &'a [String],
    /// The tag that keeps it alive in staging.
    pub throwaway: Option<&'a str>,
    /// Labels to set; they exist in the release project.
    pub labels: &'a [String],
}

/// What a promotion has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promoted {
    /// The image was copied; otherwise the release project had it already.
    pub copied: bool,
    /// Tags that were set.
    pub set: Vec<String>,
    /// Tags that were right already.
    pub kept: Vec<String>,
    /// Tags of another digest that still have to be moved by `PUT` of the manifest.
    pub to_move: Vec<String>,
    /// Accessories of the staging image that the release project lacks: they have to be pushed.
    pub missing: Vec<Digest>,
    /// Labels that were added.
    pub labels: Vec<String>,
}

/// The image that a tag names in the release project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TagOwner {
    Nobody,
    This,
    Other,
}

impl Promotion<'_> {
    /// Returns the image in staging, for messages.
    fn image(&self) -> String {
        format!("`{}@{}`", self.from, self.digest)
    }

    /// Returns the source's tags that a copy would bring into the release project although they do not belong there.
    fn unexpected(&self, source: &HarborArtifact) -> Vec<String> {
        let names = source.tags.iter().map(|tag| &tag.name);
        names.filter(|name| !self.expects(name)).cloned().collect()
    }

    /// Tells whether a tag is one of this promotion.
    fn expects(&self, tag: &str) -> bool {
        self.fixed.iter().chain(self.moving).any(|name| name == tag) || self.throwaway == Some(tag)
    }
}

impl Harbor<'_> {
    /// Releases an image.
    ///
    /// # Errors
    /// [`Error::UnexpectedTags`], [`Error::TagTaken`], [`Error::WrongCopy`], and those of every call. No tag of the
    /// release project is set before the image, its accessories and its labels are there, unless the staging image has
    /// that tag itself.
    pub async fn promote(&self, promotion: &Promotion<'_>) -> Result<Promoted, Error> {
        let reference = promotion.digest.to_string();
        let source = self.artifact(promotion.from, &reference, ArtifactDetails::Details).await?;
        let present = self.artifact(promotion.to, &reference, ArtifactDetails::Details).await?;
        let owners = self.owners(promotion).await?;

        // an image that is in the release project already may be gone from staging: retention deletes there
        let mut done = Promoted::default();
        let target = match (present, &source) {
            (Some(target), _) => target,
            (None, Some(source)) => {
                self.clear(promotion, source).await?;
                let (target, copied) = self.copy(promotion).await?;
                done.copied = copied;
                target
            }
            (None, None) => {
                let action = format!("release {}", promotion.image());
                return Err(Error::NotFound { action, message: "it is not in the staging project".to_owned() });
            }
        };

        if let Some(source) = &source {
            done.missing = self.missing(promotion, source, &target).await?;
        }
        done.labels = self.label(promotion, &target).await?;

        for (tag, owner) in owners {
            // the copy includes release tags that the staging image has
            let owner = if target.tag(&tag).is_some() { TagOwner::This } else { owner };
            match owner {
                TagOwner::This => done.kept.push(tag),
                TagOwner::Other => done.to_move.push(tag),
                TagOwner::Nobody => self.tag(promotion, tag, &mut done).await?,
            }
        }
        Ok(done)
    }

    /// Returns the accessories of the staging image, and of its images if it is an index, that were not copied along.
    async fn missing(
        &self,
        promotion: &Promotion<'_>,
        source: &HarborArtifact,
        target: &HarborArtifact,
    ) -> Result<Vec<Digest>, Error> {
        let mut missing = lacking(source, target);

        // each image of an index may be signed on its own
        for child in source.references.iter().take(CHILDREN) {
            let reference = child.child_digest.to_string();
            let original = self.artifact(promotion.from, &reference, ArtifactDetails::Details).await?;
            let Some(original) = original.filter(|image| !image.accessories.is_empty()) else { continue };
            if let Some(copy) = self.artifact(promotion.to, &reference, ArtifactDetails::Details).await? {
                missing.extend(lacking(&original, &copy));
            }
        }
        Ok(missing)
    }

    /// Looks up whose the release tags are, fixed ones first.
    async fn owners(&self, promotion: &Promotion<'_>) -> Result<Vec<(String, TagOwner)>, Error> {
        // fixed tags first: a taken one is the error that matters most
        let mut owners = Vec::new();
        let fixed = promotion.fixed.iter().map(|tag| (tag, false));
        for (tag, moves) in fixed.chain(promotion.moving.iter().map(|tag| (tag, true))) {
            let owner = self.owner(promotion, tag, moves).await?;
            owners.push((tag.clone(), owner));
        }
        Ok(owners)
    }

    /// Looks up whose a release tag is.
    ///
    /// # Errors
    /// [`Error::TagTaken`] for a tag of another image that must not move.
    async fn owner(&self, promotion: &Promotion<'_>, tag: &str, moves: bool) -> Result<TagOwner, Error> {
        let Some(holder) = self.artifact(promotion.to, tag, ArtifactDetails::Details).await? else {
            return Ok(TagOwner::Nobody);
        };
        if holder.digest == promotion.digest {
            return Ok(TagOwner::This);
        }

        // the project's rules may forbid what the recipe allows
        let immutable = holder.tag(tag).is_some_and(|tag| tag.immutable);
        if moves && !immutable {
            return Ok(TagOwner::Other);
        }
        Err(Error::TagTaken { image: promotion.image(), tag: tag.to_owned(), digest: holder.digest, immutable })
    }

    /// Leaves the staging image only with tags that may be copied.
    async fn clear(&self, promotion: &Promotion<'_>, source: &HarborArtifact) -> Result<(), Error> {
        let mut tags = promotion.unexpected(source);

        // images of an index are never released under a tag of their own
        for child in source.references.iter().take(CHILDREN) {
            let reference = child.child_digest.to_string();
            let child = self.artifact(promotion.from, &reference, ArtifactDetails::Details).await?;
            tags.extend(child.iter().flat_map(|child| &child.tags).map(|tag| format!("{} of {reference}", tag.name)));
        }
        if !tags.is_empty() {
            return Err(Error::UnexpectedTags { image: promotion.image(), tags });
        }

        let Some(tag) = promotion.throwaway.filter(|tag| source.tag(tag).is_some()) else { return Ok(()) };
        self.remove_tag(promotion.from, &promotion.digest, tag).await
    }

    /// Removes a tag; a missing one is no error.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn remove_tag(&self, repository: &Repository, digest: &Digest, tag: &str) -> Result<(), Error> {
        let (name, reference) = (repository.encoded(), digest.to_string());
        let path = ["projects", repository.project(), "repositories", &name, "artifacts", &reference, "tags", tag];
        // the digest is part of the address: a tag that somebody moved in the meantime is not removed
        let action = format!("remove tag `{tag}` of `{repository}@{digest}`");
        match self.call(HarborRequest::new(Method::DELETE, action, path)).await {
            // another run was faster
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Copies the digest; returns the image in the release project, and whether this copy brought it there.
    async fn copy(&self, promotion: &Promotion<'_>) -> Result<(HarborArtifact, bool), Error> {
        let image = promotion.image();
        let name = promotion.to.encoded();
        let path = ["projects", promotion.to.project(), "repositories", &name, "artifacts"];
        let from = format!("{}@{}", promotion.from, promotion.digest);
        let reference = promotion.digest.to_string();

        // a conflict means that another copy of the image is under way, which is as good as this one
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            let request =
                HarborRequest::post(format!("release {image} as `{}`", promotion.to), path).query("from", &from);
            let outcome = self.call(request).await;
            let copied = outcome.is_ok();
            match outcome {
                Ok(_) | Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(self.explain(promotion, error).await),
            }

            // success alone proves nothing: what arrived is looked at
            match self.artifact(promotion.to, &reference, ArtifactDetails::Details).await? {
                Some(target) => {
                    check_tags(promotion, &target)?;
                    return Ok((target, copied));
                }
                None if copied => return Err(Error::WrongCopy { image, found: "nothing".to_owned() }),
                None if attempt < TRIES => tokio::time::sleep(pause).await,
                None => {}
            }
            pause *= 2;
        }

        let message = "another copy of it has not finished".to_owned();
        Err(Error::Conflict { action: format!("release {image}"), message })
    }

    /// Names the tag that a refused copy would have moved: Harbor only says that there is a rule.
    async fn explain(&self, promotion: &Promotion<'_>, error: Error) -> Error {
        if matches!(error, Error::Rule { .. }) {
            for tag in promotion.fixed.iter().chain(promotion.moving) {
                if let Err(taken @ Error::TagTaken { .. }) = self.owner(promotion, tag, false).await {
                    return taken;
                }
            }
        }
        error
    }

    /// Sets a new tag in the release project.
    async fn tag(&self, promotion: &Promotion<'_>, tag: String, done: &mut Promoted) -> Result<(), Error> {
        let (name, reference) = (promotion.to.encoded(), promotion.digest.to_string());
        let project = promotion.to.project();
        let path = ["projects", project, "repositories", &name, "artifacts", &reference, "tags"];
        let request =
            HarborRequest::post(format!("set tag `{tag}` of `{}`", promotion.to), path).body(json!({"name": tag}));
        match self.call(request).await {
            Ok(_) => done.set.push(tag),
            // Harbor refuses a tag that exists even if it names this very image (goharbor/harbor#20382)
            Err(Error::Conflict { .. } | Error::Rule { .. }) => {
                let moves = promotion.moving.contains(&tag);
                match self.owner(promotion, &tag, moves).await? {
                    TagOwner::This => done.kept.push(tag),
                    TagOwner::Other => done.to_move.push(tag),
                    TagOwner::Nobody => {
                        let action = format!("set tag `{tag}` of `{}`", promotion.to);
                        return Err(Error::Conflict { action, message: "though no image has it".to_owned() });
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sets the labels that the image does not have yet; returns their names.
    async fn label(&self, promotion: &Promotion<'_>, target: &HarborArtifact) -> Result<Vec<String>, Error> {
        let present: BTreeSet<&str> = target.labels.iter().map(|label| label.name.as_str()).collect();
        let wanted: Vec<&String> = promotion.labels.iter().filter(|name| !present.contains(name.as_str())).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }

        // Harbor's API takes labels by number
        let project = promotion.to.project();
        let labels: Vec<Label> = self.project_labels(project).await?;
        let (name, reference) = (promotion.to.encoded(), promotion.digest.to_string());
        let mut added = Vec::new();
        for wanted in wanted {
            let action = format!("label `{}` as `{wanted}`", promotion.to);
            let Some(label) = labels.iter().find(|label| label.name == *wanted) else {
                return Err(Error::NotFound { action, message: "the project has no such label".to_owned() });
            };
            let path = ["projects", project, "repositories", &name, "artifacts", &reference, "labels"];
            match self.call(HarborRequest::post(action, path).body(json!({"id": label.id}))).await {
                Ok(_) => added.push(wanted.clone()),
                // another run was faster
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(added)
    }
}

/// Returns the accessories of the source that the target lacks.
fn lacking(source: &HarborArtifact, target: &HarborArtifact) -> Vec<Digest> {
    let copied: BTreeSet<Digest> = target.accessories.iter().map(|accessory| accessory.digest).collect();
    let original = source.accessories.iter().map(|accessory| accessory.digest);
    original.filter(|digest| !copied.contains(digest)).collect()
}

/// Checks that a copy brought no unexpected tags: somebody may have tagged the source in between.
fn check_tags(promotion: &Promotion<'_>, target: &HarborArtifact) -> Result<(), Error> {
    let allowed = Promotion { throwaway: None, ..promotion.clone() };
    let tags = allowed.unexpected(target);
    if tags.is_empty() {
        return Ok(());
    }
    Err(Error::WrongCopy { image: promotion.image(), found: format!("unexpected tags: {}", tags.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_unexpected_tags() {
        let repository = Repository::parse("a/b").unwrap();
        let tags: Vec<_> = ["candidate-1", "11", "11.0.1", "old"].map(|name| json!({"name": name})).to_vec();
        let source: HarborArtifact =
            serde_json::from_value(json!({"digest": Digest::of(b"").to_string(), "tags": tags})).unwrap();
        let (fixed, moving) = (["11.0.1".to_owned()], ["11".to_owned()]);
        let mut promotion = Promotion {
            from: &repository,
            to: &repository,
            digest: Digest::of(b""),
            fixed: &fixed,
            moving: &moving,
            throwaway: Some("candidate-1"),
            labels: &[],
        };
        assert_eq!(promotion.unexpected(&source), ["old"]);
        assert!(
            check_tags(&promotion, &source).unwrap_err().to_string().ends_with("unexpected tags: candidate-1, old")
        );
        promotion.throwaway = None;
        promotion.moving = &[];
        assert_eq!(promotion.unexpected(&source), ["candidate-1", "11", "old"]);
    }
}
