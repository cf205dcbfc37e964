//! What a registry answers: OCI distribution over [`Contents`], with the quirks of Harbor's generation (2.8).

use crate::support::registry::contents::Contents;
use crate::support::registry::contents::Manifest;
use crate::support::registry::faults::Trouble;
use crate::support::registry::immutable::Immutable;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use crate::support::registry::server::Service;
use crate::support::registry::token::Door;
use crate::support::registry::token::Need;
use crate::support::registry::uploads;
use crate::support::registry::uploads::Location;
use serde_json::json;
use sockel::values::Digest;
use std::sync::Arc;
use std::sync::Mutex;

/// Larger manifests are refused, as Harbor's are.
const MOST_MANIFEST_BYTES: usize = 4 << 20;

/// What a registry is like.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) location: Location,
    /// Has `/v2/…/referrers/`, as Harbor since 2.8; Debian's registry has not.
    pub(crate) has_referrers: bool,
    pub(crate) immutable: Vec<Immutable>,
}

/// The service, shared with a Harbor around it.
#[derive(Debug, Default)]
pub(crate) struct Heart {
    pub(crate) contents: Mutex<Contents>,
    pub(crate) door: Mutex<Door>,
    pub(crate) behaviour: Mutex<Behaviour>,
}

/// The backend of a registry: blobs for everybody, and uploads that were begun at the front.
pub(crate) struct Storage(pub(crate) Arc<Heart>);

impl Service for Storage {
    fn answer(&self, request: &Request) -> Response {
        match place(&request.path) {
            Some((name, Place::Blob(digest))) => self.0.blob(request, &name, &digest),
            Some((name, Place::Upload(id))) => {
                let location = self.0.behaviour.lock().unwrap().location.clone();
                uploads::answer(&mut self.0.contents.lock().unwrap(), request, &name, &id, &location)
            }
            _ => no_page(),
        }
    }
}

/// What a path below `/v2/` names.
enum Place {
    Uploads,
    Upload(String),
    Blob(String),
    Manifest(String),
    Tags,
    Referrers(String),
}

/// Returns repository and place of a path.
fn place(path: &str) -> Option<(String, Place)> {
    let rest = path.strip_prefix("/v2/")?;
    let cut = |mark: &str| rest.rsplit_once(mark).map(|(name, tail)| (name.to_owned(), tail.to_owned()));
    if let Some((name, id)) = cut("/blobs/uploads/") {
        return Some((name, if id.is_empty() { Place::Uploads } else { Place::Upload(id) }));
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads") {
        return Some((name.to_owned(), Place::Uploads));
    }
    let named = |mark: &str, kind: fn(String) -> Place| cut(mark).map(|(name, tail)| (name, kind(tail)));
    let tags = || rest.strip_suffix("/tags/list").map(|name| (name.to_owned(), Place::Tags));
    named("/blobs/", Place::Blob)
        .or_else(|| named("/manifests/", Place::Manifest))
        .or_else(|| named("/referrers/", Place::Referrers))
        .or_else(tags)
}

/// Where there is nothing at all, the answer is no JSON.
fn no_page() -> Response {
    Response::new(404).with("content-type", "text/plain; charset=utf-8").body(b"404 page not found\n".to_vec())
}

impl Service for Heart {
    fn answer(&self, request: &Request) -> Response {
        if request.path == "/service/token" {
            return self.door.lock().unwrap().token(request);
        }
        self.v2(request).unwrap_or_else(|refused| refused).with("docker-distribution-api-version", "registry/2.0")
    }

    fn broken(&self, request: &Request) {
        if let Some((_, Place::Upload(id))) = place(&request.path) {
            uploads::broke(&mut self.contents.lock().unwrap(), &id);
        }
    }
}

impl Heart {
    /// Answers a request below `/v2/`.
    fn v2(&self, request: &Request) -> Result<Response, Response> {
        let enter = |needs: &[Need]| self.door.lock().unwrap().enter(request, needs);
        if matches!(request.path.as_str(), "/v2" | "/v2/") {
            return enter(&[]).map(|()| Response::json(200, &json!({})));
        }
        let Some((name, place)) = place(&request.path) else {
            return Err(no_page());
        };
        let is_reading = matches!(request.method.as_str(), "GET" | "HEAD") && !matches!(place, Place::Upload(_));
        let source = request.query("from").filter(|_| request.query("mount").is_some());
        let main = match request.method.as_str() {
            _ if is_reading => Need::Pull(&name),
            "DELETE" => Need::Delete(&name),
            _ => Need::Push(&name),
        };
        enter(&[Some(main), source.as_deref().map(Need::Pull)].into_iter().flatten().collect::<Vec<_>>())?;
        let location = self.behaviour.lock().unwrap().location.clone();
        Ok(match (request.method.as_str(), place) {
            ("POST", Place::Uploads) => self.begin(request, &name, source.as_deref()),
            (_, Place::Upload(id)) => {
                uploads::answer(&mut self.contents.lock().unwrap(), request, &name, &id, &location)
            }
            ("GET" | "HEAD", Place::Blob(digest)) => self.blob(request, &name, &digest),
            ("GET" | "HEAD", Place::Manifest(reference)) => self.manifest(request, &name, &reference),
            ("PUT", Place::Manifest(reference)) => self.put_manifest(request, &name, &reference),
            ("DELETE", Place::Manifest(digest)) => self.delete_manifest(&name, &digest),
            ("GET", Place::Tags) => self.list_tags(request, &name),
            ("GET", Place::Referrers(digest)) => self.list_referrers(request, &name, &digest),
            _ => Response::error(405, "UNSUPPORTED", "the operation is unsupported"),
        })
    }

    /// Deletes a manifest and its tags; only by digest, as distribution 2.8 does.
    fn delete_manifest(&self, name: &str, digest: &str) -> Response {
        let mut contents = self.contents.lock().unwrap();
        let repository = contents.repository(name);
        if repository.manifests.remove(digest).is_none() {
            return Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        }
        repository.tags.retain(|_, at| at != digest);
        Response::new(202)
    }

    /// Mounts a blob or begins an upload.
    fn begin(&self, request: &Request, name: &str, source: Option<&str>) -> Response {
        // measured with 2.8.2: nobody reads a blob that comes with the POST; a large one breaks the connection
        if request.body.len() > 256 << 10 {
            return Response::none();
        }
        let mut contents = self.contents.lock().unwrap();
        let wanted = request.query("mount").filter(|_| !matches!(request.trouble, Some(Trouble::NoMount)));
        if let (Some(digest), Some(source)) = (wanted, source)
            && contents.blob(source, &digest).is_some()
        {
            contents.repository(name).blobs.insert(digest.clone());
            return uploads::created(request, name, &digest);
        }
        uploads::begin(&mut contents, request, name, &self.behaviour.lock().unwrap().location)
    }

    /// Answers GET and HEAD of a blob, ranges included.
    fn blob(&self, request: &Request, name: &str, digest: &str) -> Response {
        let Some(bytes) = self.contents.lock().unwrap().blob(name, digest) else {
            return Response::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let length = bytes.len();
        let answer = |status| {
            let answer = Response::new(status).with("docker-content-digest", digest).with("accept-ranges", "bytes");
            answer.with("content-type", "application/octet-stream").with("etag", &format!("\"{digest}\""))
        };
        let Some(range) = request.header("range").and_then(|range| range.strip_prefix("bytes=")) else {
            return answer(200).body(bytes.to_vec());
        };
        let (first, last) = range.split_once('-').unwrap_or((range, ""));
        let (first, last) = (first.parse().unwrap_or(0), last.parse().unwrap_or(usize::MAX).min(length.max(1) - 1));
        if first >= length || last < first {
            // measured with 2.8.2: it announces a body that does not come
            let answer = Response::new(416).with("content-range", &format!("bytes */{length}"));
            let answer = answer.with("docker-content-digest", digest).with("content-type", "text/plain; charset=utf-8");
            return answer.with("content-length", &length.to_string()).closing();
        }
        let range = format!("bytes {first}-{last}/{length}");
        answer(206).with("content-range", &range).body(bytes[first..=last].to_vec())
    }

    /// Answers GET and HEAD of a manifest.
    fn manifest(&self, request: &Request, name: &str, reference: &str) -> Response {
        let contents = self.contents.lock().unwrap();
        let repository = contents.repositories.get(name);
        let Some(digest) = repository.and_then(|repository| repository.resolve(reference)) else {
            return Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let manifest = &contents.repositories[name].manifests[&digest];
        // 2.8 gives OCI documents only to those who name their type
        let is_accepted = request.header("accept").is_some_and(|accept| accept.contains(&manifest.media_type));
        if manifest.media_type.starts_with("application/vnd.oci.") && !is_accepted {
            let words = if manifest.children().is_empty() {
                "OCI manifest found, but accept header does not support OCI manifests"
            } else {
                "OCI index found, but accept header does not support OCI indexes"
            };
            return Response::error(404, "MANIFEST_UNKNOWN", words);
        }
        let answer = Response::new(200).with("content-type", &manifest.media_type);
        answer.with("docker-content-digest", &digest).body(manifest.bytes.to_vec())
    }

    /// Tells whether a tag, once there, must not move.
    pub(crate) fn is_immutable(&self, name: &str, tag: &str) -> bool {
        self.behaviour.lock().unwrap().immutable.iter().any(|rule| rule.holds(name, tag))
    }

    /// Answers PUT of a manifest: everything it names must be here, immutable tags stay.
    fn put_manifest(&self, request: &Request, name: &str, reference: &str) -> Response {
        let invalid = |words: &str| Response::error(400, "MANIFEST_INVALID", words);
        if request.body.len() > MOST_MANIFEST_BYTES {
            return Response::error(413, "REQUEST_ENTITY_TOO_LARGE", "manifest too large");
        }
        let media_type = request.header("content-type").unwrap_or_default();
        let document = request.json();
        if !document.is_object() || document["mediaType"].as_str().is_some_and(|own| own != media_type) {
            return invalid("manifest invalid");
        }
        let digest = Digest::of(&request.body).to_string();
        let is_tag = !reference.contains(':');
        if !is_tag && reference != digest {
            return Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        let mut contents = self.contents.lock().unwrap();
        let repository = contents.repository(name);
        // even for the same digest, as Harbor does
        if is_tag && self.is_immutable(name, reference) && repository.tags.contains_key(reference) {
            let short = name.split_once('/').map_or(name, |(_, repository)| repository);
            let words = format!("Failed to process request due to '{short}:{reference}' configured as immutable.");
            return Response::error(412, "PRECONDITION", &words);
        }
        let manifest = Manifest::new(media_type, request.body.clone());
        if let Some(missing) = repository.missing(&manifest).first() {
            let mut body =
                json!({ "errors": [{ "code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry" }] });
            body["errors"][0]["detail"] = missing.as_str().into();
            return Response::json(400, &body);
        }
        let subject = manifest.subject().filter(|_| self.behaviour.lock().unwrap().has_referrers);
        repository.manifests.insert(digest.clone(), manifest);
        if is_tag {
            repository.tags.insert(reference.to_owned(), digest.clone());
        }
        let host = request.header("host").unwrap_or_default();
        let location = format!("http://{host}/v2/{name}/manifests/{digest}");
        let answer = Response::new(201).with("location", &location).with("docker-content-digest", &digest);
        subject.into_iter().fold(answer, |answer, subject| answer.with("oci-subject", &subject))
    }

    /// Lists tags in their order, `n` after `last`.
    fn list_tags(&self, request: &Request, name: &str) -> Response {
        let contents = self.contents.lock().unwrap();
        let Some(repository) = contents.repositories.get(name) else {
            return Response::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let last = request.query("last").unwrap_or_default();
        let count = request.query("n").and_then(|count| count.parse().ok()).unwrap_or(usize::MAX);
        let rest: Vec<&String> = repository.tags.keys().filter(|tag| **tag > last).collect();
        let page = &rest[..count.min(rest.len())];
        let answer = Response::json(200, &json!({ "name": name, "tags": page }));
        match page.last().filter(|_| page.len() < rest.len()) {
            Some(last) => answer.with("link", &format!("</v2/{name}/tags/list?last={last}&n={count}>; rel=\"next\"")),
            None => answer,
        }
    }

    /// Lists what refers to a manifest, of one kind where `artifactType` asks for it.
    fn list_referrers(&self, request: &Request, name: &str, digest: &str) -> Response {
        if !self.behaviour.lock().unwrap().has_referrers {
            return no_page();
        }
        let mut contents = self.contents.lock().unwrap();
        let repository = contents.repository(name);
        let wanted = request.query("artifactType");
        let describe = |digest: &String| {
            let manifest = &repository.manifests[digest];
            let (kind, size) = (manifest.artifact_type(), manifest.bytes.len());
            json!({ "mediaType": manifest.media_type, "digest": digest, "size": size, "artifactType": kind })
        };
        let all = repository.referrers(digest);
        let fits = |one: &serde_json::Value| wanted.as_ref().is_none_or(|kind| one["artifactType"] == kind.as_str());
        let manifests: Vec<_> = all.iter().map(describe).filter(fits).collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        let answer = Response::new(200).with("content-type", media_type).body(index.to_string().into_bytes());
        if wanted.is_some() { answer.with("oci-filters-applied", "artifactType") } else { answer }
    }
}
