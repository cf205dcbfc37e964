//! Copies of artifacts between projects, with all that surprises: every tag, and accessories only the first time.

use crate::support::registry::contents::Contents;
use crate::support::registry::contents::Manifest;
use crate::support::registry::contents::Repository;
use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::forbidden;
use crate::support::registry::harbor::artifacts::accessories;
use crate::support::registry::harbor::artifacts::subject;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use sockel::sys::clock;
use sockel::values::Digest;
use std::collections::BTreeMap;

/// The quota middleware looks first (`src/server/middleware/quota/copy_artifact.go`), so this is no 404.
fn absent(from: &str) -> Response {
    bad_request(&format!("artifact {from} not found"))
}

/// Answers `POST …/artifacts?from=project/repository@digest`.
pub(crate) fn copy(state: &mut State, call: &Call) -> Response {
    let from = call.request.query("from").unwrap_or_default();
    let Some((source, reference)) = from.split_once('@').or_else(|| from.rsplit_once(':')) else {
        return absent(&from);
    };
    let project = source.split('/').next().unwrap_or_default();
    if !call.may(project, "artifact", "read") {
        return forbidden();
    }
    let target = call.repository();
    let adding = size(state, source, reference, &target);
    if let Some(refused) = state.over_quota(call.part("project_name"), adding) {
        return refused;
    }
    let mut contents = state.heart.contents.lock().unwrap();
    let Some(old) = contents.repositories.get(source).cloned() else { return absent(&from) };
    let Some(digest) = old.resolve(reference) else { return absent(&from) };
    if subject(&old, &digest).is_some() {
        return Response::error(403, "DENIED", "the operation isn't supported for an artifact accessory");
    }
    let tags = old.tags_of(&digest);
    let moves = |tag: &&String| {
        let there = contents.repositories.get(&target).and_then(|repository| repository.tags.get(*tag));
        there.is_some_and(|there| *there != digest) && state.heart.is_immutable(&target, tag)
    };
    // one transaction: nothing of the copy is seen where one tag fails
    if let Some(tag) = tags.iter().find(moves) {
        let words = format!("the tag {tag} configured as immutable, cannot be updated");
        return Response::error(412, "PRECONDITION", &words);
    }
    bring(&mut contents, &old, &target, &digest);
    let repository = contents.repository(&target);
    repository.tags.extend(tags.into_iter().map(|tag| (tag, digest.clone())));
    Response::new(201).with("location", &format!("{}/{digest}", call.request.path))
}

/// Returns how many bytes a copy adds: those of blobs and manifests that the project does not have in any repository.
fn size(state: &State, source: &str, reference: &str, target: &str) -> u64 {
    let contents = state.heart.contents.lock().unwrap();
    let old = contents.repositories.get(source);
    let Some((old, digest)) = old.and_then(|old| Some((old, old.resolve(reference)?))) else { return 0 };
    let project = format!("{}/", target.split('/').next().unwrap_or_default());
    let there: Vec<&Repository> =
        contents.repositories.iter().filter(|(name, _)| name.starts_with(&project)).map(|(_, one)| one).collect();

    let mut sizes = BTreeMap::new();
    let below = old.manifests[&digest].children();
    for manifest in below.iter().chain([&digest]).filter_map(|one| old.manifests.get(one)) {
        sizes.insert(Digest::of(&manifest.bytes).to_string(), manifest.bytes.len());
        for blob in manifest.blobs() {
            let size = contents.blobs.get(&blob).map_or(0, |bytes| bytes.len());
            sizes.insert(blob, size);
        }
    }
    let is_new =
        |digest: &String| !there.iter().any(|one| one.blobs.contains(digest) || one.manifests.contains_key(digest));
    sizes.iter().filter(|(digest, _)| is_new(digest)).map(|(_, size)| *size as u64).sum()
}

/// Copies a manifest with everything below it and everything that belongs to it; ends because nothing is copied twice.
fn bring(contents: &mut Contents, old: &Repository, target: &str, digest: &str) {
    if contents.repository(target).manifests.contains_key(digest) {
        return;
    }
    let manifest = &old.manifests[digest];
    let repository = contents.repository(target);
    repository.blobs.extend(manifest.blobs());
    repository.manifests.insert(digest.to_owned(), Manifest { pushed: clock::now(), ..manifest.clone() });
    for child in manifest.children().iter().filter(|child| old.manifests.contains_key(*child)) {
        bring(contents, old, target, child);
    }
    for accessory in accessories(old, digest) {
        // the legacy scheme finds its signatures by tag
        let tags = old.tags_of(&accessory);
        contents.repository(target).tags.extend(tags.into_iter().map(|tag| (tag, accessory.clone())));
        bring(contents, old, target, &accessory);
    }
}
