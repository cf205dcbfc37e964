//! Uploads as Harbor's generation of the registry (distribution 2.8) does them.

use crate::support::registry::contents::Contents;
use crate::support::registry::contents::Upload;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use sockel::values::Digest;

/// How the addresses of uploads look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Location {
    /// `http://host/v2/…/ID?_state=…`, as distribution writes them; the state is checked.
    #[default]
    State,
    /// `http://host/v2/…/ID`.
    Absolute,
    /// `/v2/…/ID`.
    Relative,
    /// `BASE/v2/…/ID`: another host takes the bytes.
    At(String),
}

fn unknown() -> Response {
    Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn invalid() -> Response {
    Response::error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
}

fn bad_digest() -> Response {
    Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
}

/// Begins an upload: `POST …/blobs/uploads/`.
pub(crate) fn begin(contents: &mut Contents, request: &Request, repository: &str, style: &Location) -> Response {
    contents.uploads_begun += 1;
    let id = format!("00000000-0000-4000-8000-{:012}", contents.uploads_begun);
    let upload = Upload { repository: repository.to_owned(), ..Upload::default() };
    let answer = located(Response::new(202), request, &id, &upload, style);
    contents.uploads.insert(id, upload);
    answer
}

/// Answers a request for an upload that was begun.
pub(crate) fn answer(
    contents: &mut Contents,
    request: &Request,
    repository: &str,
    id: &str,
    style: &Location,
) -> Response {
    let Some(upload) = contents.uploads.get_mut(id).filter(|upload| upload.repository == repository) else {
        return unknown();
    };
    // the state holds the offset the registry gave last; 2.8 wants it to be the file's size
    let is_stale = *style == Location::State && request.query("_state") != Some(state(upload));
    if upload.is_dead || is_stale {
        return invalid();
    }
    match request.method.as_str() {
        "GET" => located(Response::new(204), request, id, upload, style),
        "PATCH" => {
            // 2.8 does not look at Content-Range: what comes is appended
            upload.bytes.extend_from_slice(&request.body);
            located(Response::new(202), request, id, upload, style)
        }
        "PUT" => finish(contents, request, repository, id),
        "DELETE" => {
            contents.uploads.remove(id);
            Response::new(204).with("docker-upload-uuid", id)
        }
        _ => Response::error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

/// A body broke off: nothing can be done with this upload any more.
pub(crate) fn broke(contents: &mut Contents, id: &str) {
    if let Some(upload) = contents.uploads.get_mut(id) {
        upload.is_dead = true;
    }
}

fn finish(contents: &mut Contents, request: &Request, repository: &str, id: &str) -> Response {
    let Some(wanted) = request.query("digest") else { return bad_digest() };
    let Some(upload) = contents.uploads.get_mut(id) else { return unknown() };
    upload.bytes.extend_from_slice(&request.body);
    if Digest::of(&upload.bytes).to_string() != wanted {
        // measured with 2.8.2: the upload stays as it is now
        return bad_digest();
    }
    let bytes = std::mem::take(&mut upload.bytes);
    contents.uploads.remove(id);
    contents.add_blob(repository, bytes);
    created(request, repository, &wanted)
}

/// The answer to an upload or mount that made a blob available.
pub(crate) fn created(request: &Request, repository: &str, digest: &str) -> Response {
    let host = request.header("host").unwrap_or_default();
    let location = format!("http://{host}/v2/{repository}/blobs/{digest}");
    Response::new(201).with("location", &location).with("docker-content-digest", digest)
}

/// Returns the opaque text distribution carries from answer to request.
fn state(upload: &Upload) -> String {
    use base64::Engine as _;
    let text = format!(r#"{{"Name":"{}","Offset":{}}}"#, upload.repository, upload.bytes.len());
    base64::engine::general_purpose::URL_SAFE.encode(text)
}

fn located(answer: Response, request: &Request, id: &str, upload: &Upload, style: &Location) -> Response {
    let path = format!("/v2/{}/blobs/uploads/{id}", upload.repository);
    let host = request.header("host").unwrap_or_default();
    let location = match style {
        Location::Relative => path,
        Location::Absolute => format!("http://{host}{path}"),
        Location::At(base) => format!("{base}{path}"),
        Location::State => {
            let state: String = url::form_urlencoded::byte_serialize(state(upload).as_bytes()).collect();
            format!("http://{host}{path}?_state={state}")
        }
    };
    let end = upload.bytes.len().saturating_sub(1);
    answer.with("location", &location).with("docker-upload-uuid", id).with("range", &format!("0-{end}"))
}
