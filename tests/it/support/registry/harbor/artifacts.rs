//! Artifacts as Harbor shows them, with tags, labels and accessories.

use crate::support::registry::contents::Manifest;
use crate::support::registry::contents::Repository;
use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::invalid_body;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use sockel::values::Digest;

const IMAGE_CONFIGS: &[&str] =
    &["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Returns repository and digest of the artifact a path names.
pub(crate) fn find(state: &State, call: &Call) -> Result<(String, String), Response> {
    let (name, reference) = (call.repository(), call.part("reference"));
    let contents = state.heart.contents.lock().unwrap();
    let digest = contents.repositories.get(&name).and_then(|repository| repository.resolve(reference));
    let mark = if reference.contains(':') { '@' } else { ':' };
    digest.map(|digest| (name.clone(), digest)).ok_or_else(|| not_found(&format!("artifact {name}{mark}{reference}")))
}

/// Returns the digest a tag of the legacy signature scheme (`sha256-<hex>.sig`) is about.
fn signed_by_tag(tag: &str) -> Option<String> {
    Some(format!("sha256:{}", tag.strip_prefix("sha256-")?.strip_suffix(".sig")?))
}

/// Returns what a manifest is an accessory of.
pub(crate) fn subject(repository: &Repository, digest: &str) -> Option<String> {
    let by_tag = || repository.tags_of(digest).iter().find_map(|tag| signed_by_tag(tag));
    repository.manifests.get(digest)?.subject().or_else(by_tag)
}

/// Returns the digests of an artifact's accessories.
pub(crate) fn accessories(repository: &Repository, digest: &str) -> Vec<String> {
    let belongs = |one: &&String| subject(repository, one).as_deref() == Some(digest);
    repository.manifests.keys().filter(belongs).cloned().collect()
}

/// Returns a list as Go writes it: an empty one is `null`.
fn or_null(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

/// Returns a number for an artifact that is the same every time.
fn number(repository: &str, digest: &str) -> i64 {
    let hex = Digest::of(format!("{repository}@{digest}").as_bytes()).hex();
    i64::from_str_radix(&hex[..7], 16).expect("hexadecimal digits")
}

/// Tells whether a manifest is a container image; `artifactType` makes it something else.
fn is_image(manifest: &Manifest) -> bool {
    let document = manifest.json();
    let config = document["config"]["mediaType"].as_str().unwrap_or_default();
    let is_index = !manifest.children().is_empty();
    document["artifactType"].is_null() && (is_index || IMAGE_CONFIGS.contains(&config))
}

impl State {
    pub(crate) fn is_image(&self, repository: &str, digest: &str) -> bool {
        let contents = self.heart.contents.lock().unwrap();
        contents.repositories.get(repository).and_then(|one| one.manifests.get(digest)).is_some_and(is_image)
    }

    /// Returns Harbor's word for the kind of an accessory: bundles are signatures since 2.15.
    pub(crate) fn accessory_kind(&self, manifest: &Manifest) -> &'static str {
        let is_new = self.version.trim_start_matches('v').split('.').nth(1).and_then(|minor| minor.parse().ok());
        match manifest.artifact_type().as_str() {
            "application/vnd.goharbor.harbor.sbom.v1" => "sbom.harbor",
            "application/vnd.cncf.notary.signature" => "signature.notation",
            "application/vnd.dev.cosign.artifact.sig.v1+json" => "signature.cosign",
            BUNDLE if is_new >= Some(15) => "signature.cosign",
            // the legacy scheme has an image's config and no subject
            _ if manifest.subject().is_none() => "signature.cosign",
            _ => "subject.accessory",
        }
    }

    fn show_accessories(&self, name: &str, repository: &Repository, digest: &str) -> Vec<Value> {
        let show = |one: &String| {
            let manifest = &repository.manifests[one];
            json!({
                "id": number(name, one), "artifact_id": number(name, one), "subject_artifact_id": number(name, digest),
                "subject_artifact_digest": digest, "subject_artifact_repo": name, "digest": one,
                "type": self.accessory_kind(manifest), "size": manifest.size(),
                "creation_time": manifest.pushed.to_string(),
            })
        };
        accessories(repository, digest).iter().map(show).collect()
    }

    fn show_tags(&self, name: &str, repository: &Repository, digest: &str) -> Vec<Value> {
        let pushed = repository.manifests[digest].pushed.to_string();
        let show = |tag: &String| {
            json!({
                "id": number(name, tag), "name": tag, "artifact_id": number(name, digest), "push_time": pushed,
                "pull_time": "0001-01-01T00:00:00.000Z", "immutable": self.heart.is_immutable(name, tag),
            })
        };
        repository.tags_of(digest).iter().map(show).collect()
    }

    /// Returns an artifact as the query wants it.
    fn show(&mut self, name: &str, digest: &str, call: &Call) -> Value {
        let wants = |what: &str| call.request.query(what).map_or(what == "with_tag", |value| value == "true");
        let overview = wants("with_scan_overview").then(|| self.scans.overview(digest, call)).flatten();
        let contents = self.heart.contents.lock().unwrap();
        let repository = &contents.repositories[name];
        let manifest = &repository.manifests[digest];
        let document = manifest.json();
        let kind = if is_image(manifest) { "IMAGE" } else { "UNKNOWN" };
        let config = document["config"]["digest"].as_str().and_then(|digest| contents.blobs.get(digest));
        let config: Value = config.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let (pushed, id) = (manifest.pushed.to_string(), number(name, digest));
        // an index has no config: its own type stands for the one of that, and attributes are left out, as annotations are
        let media_type = document["config"]["mediaType"].as_str().unwrap_or(&manifest.media_type);
        let entries = document["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reference = |entry: &Value| {
            let platform = json!({
                "OsFeatures": null, "architecture": entry["platform"]["architecture"].as_str().unwrap_or_default(),
                "os": entry["platform"]["os"].as_str().unwrap_or_default(),
            });
            let child = entry["digest"].as_str().unwrap_or_default();
            json!({
                "parent_id": id, "child_id": number(name, child), "child_digest": child, "platform": platform, "urls": null,
            })
        };
        let references: Vec<Value> = entries.iter().map(reference).collect();
        let references = if references.is_empty() { Value::Null } else { references.into() };
        let below = manifest.children();
        let size = below.iter().filter_map(|child| repository.manifests.get(child)).map(Manifest::size).sum::<u64>();
        let size = manifest.size() + size;
        let mut shown = json!({
            "id": id, "type": kind, "digest": digest, "repository_name": name, "size": size,
            "media_type": media_type, "manifest_media_type": manifest.media_type,
            "artifact_type": manifest.artifact_type(), "push_time": pushed, "pull_time": "0001-01-01T00:00:00.000Z",
            "project_id": self.project_number(call.part("project_name")), "repository_id": number(name, ""),
            "references": references, "tags": null, "labels": null, "accessories": null,
        });
        if document["annotations"].is_object() {
            shown["annotations"] = document["annotations"].clone();
        }
        for attribute in ["architecture", "os", "created"].into_iter().filter(|one| config[one].is_string()) {
            shown["extra_attrs"][attribute] = config[attribute].clone();
        }
        if wants("with_tag") {
            shown["tags"] = or_null(self.show_tags(name, repository, digest));
        }
        if wants("with_accessory") {
            shown["accessories"] = or_null(self.show_accessories(name, repository, digest));
        }
        if wants("with_label") {
            let numbers = self.attached.get(&(name.to_owned(), digest.to_owned()));
            let labels = numbers.into_iter().flatten().filter_map(|one| self.labels.get(one)).cloned();
            shown["labels"] = or_null(labels.collect());
        }
        if let Some(overview) = overview {
            shown["scan_overview"] = overview;
        }
        shown
    }
}

pub(crate) fn get(state: &mut State, call: &Call) -> Response {
    find(state, call)
        .map_or_else(|error| error, |(name, digest)| Response::json(200, &state.show(&name, &digest, call)))
}

/// Lists what stands for itself: no accessories, no children of an index without a tag.
pub(crate) fn list(state: &mut State, call: &Call) -> Response {
    let name = call.repository();
    let contents = state.heart.contents.lock().unwrap();
    let Some(repository) = contents.repositories.get(&name) else {
        return not_found(&format!("repository {name}"));
    };
    let children: Vec<String> = repository.manifests.values().flat_map(Manifest::children).collect();
    let stands_alone = |digest: &&String| {
        let is_child = children.contains(digest) && repository.tags_of(digest).is_empty();
        !is_child && subject(repository, digest).is_none()
    };
    let digests: Vec<String> = repository.manifests.keys().filter(stands_alone).cloned().collect();
    drop(contents);
    let shown: Vec<Value> = digests.iter().map(|digest| state.show(&name, digest, call)).collect();
    call.page(&shown)
}

pub(crate) fn list_accessories(state: &mut State, call: &Call) -> Response {
    find(state, call).map_or_else(
        |error| error,
        |(name, digest)| {
            let contents = state.heart.contents.lock().unwrap();
            call.page(&state.show_accessories(&name, &contents.repositories[&name], &digest))
        },
    )
}

pub(crate) fn list_tags(state: &mut State, call: &Call) -> Response {
    find(state, call).map_or_else(
        |error| error,
        |(name, digest)| {
            let contents = state.heart.contents.lock().unwrap();
            call.page(&state.show_tags(&name, &contents.repositories[&name], &digest))
        },
    )
}

/// Adds a tag; one that exists is a conflict, even on the same artifact.
pub(crate) fn create_tag(state: &mut State, call: &Call) -> Response {
    let wanted = call.request.json();
    let Some(tag) = wanted["name"].as_str().filter(|tag| !tag.is_empty()) else {
        return invalid_body("name in body is required");
    };
    if !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return bad_request(&format!("bad request: invalid tag name: {tag}"));
    }
    let (name, digest) = match find(state, call) {
        Ok(found) => found,
        Err(error) => return error,
    };
    let mut contents = state.heart.contents.lock().unwrap();
    if contents.repository(&name).tags.contains_key(tag) {
        return conflict(&format!("tag {tag} already exists under the repository {}", number(&name, "")));
    }
    contents.repository(&name).tags.insert(tag.to_owned(), digest);
    Response::new(201)
}

pub(crate) fn delete_tag(state: &mut State, call: &Call) -> Response {
    let (name, digest) = match find(state, call) {
        Ok(found) => found,
        Err(error) => return error,
    };
    let tag = call.part("tag_name");
    let mut contents = state.heart.contents.lock().unwrap();
    let tags = &mut contents.repository(&name).tags;
    if tags.get(tag) != Some(&digest) {
        return not_found(&format!("tag {tag} attached to artifact {}", number(&name, &digest)));
    }
    if state.heart.is_immutable(&name, tag) {
        let words = format!("the tag {tag} configured as immutable, cannot be deleted");
        return Response::error(412, "PRECONDITION", &words);
    }
    tags.remove(tag);
    Response::new(200)
}

/// Deletes an artifact with its tags, unless one of them never moves.
pub(crate) fn delete(state: &mut State, call: &Call) -> Response {
    let (name, digest) = match find(state, call) {
        Ok(found) => found,
        Err(error) => return error,
    };
    let mut contents = state.heart.contents.lock().unwrap();
    let tags = contents.repository(&name).tags_of(&digest);
    if let Some(tag) = tags.iter().find(|tag| state.heart.is_immutable(&name, tag)) {
        let words = format!("the tag {tag} configured as immutable, cannot be deleted");
        return Response::error(412, "PRECONDITION", &words);
    }
    let repository = contents.repository(&name);
    repository.manifests.remove(&digest);
    repository.tags.retain(|_, at| *at != digest);
    Response::new(200)
}

pub(crate) fn add_label(state: &mut State, call: &Call) -> Response {
    let label = call.request.json()["id"].as_i64().unwrap_or(0);
    let place = match find(state, call) {
        Ok(place) => place,
        Err(error) => return error,
    };
    let project = state.project_number(call.part("project_name")).unwrap_or(0);
    match state.labels.get(&label).map(|label| label["project_id"].as_i64().unwrap_or(0)) {
        None => return not_found(&format!("label {label}")),
        Some(owner) if owner != 0 && owner != project => {
            return not_found(&format!("project id {project}, label {label}"));
        }
        Some(_) => {}
    }
    match state.attached.entry(place).or_default().insert(label) {
        true => Response::new(200),
        false => conflict(&format!("label {label} is already added to the artifact {label}")),
    }
}

pub(crate) fn remove_label(state: &mut State, call: &Call) -> Response {
    let place = match find(state, call) {
        Ok(place) => place,
        Err(error) => return error,
    };
    let label = call.number("label_id");
    match state.attached.entry(place).or_default().remove(&label) {
        true => Response::new(200),
        false => not_found(&format!("reference with label {label} and artifact {label}")),
    }
}
