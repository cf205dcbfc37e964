//! What was said on Harbor's API, line by line in a file that is named from outside, for a judge who has its definition.

use crate::support::registry::faults::Trouble;
use crate::support::registry::log::Entry;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

const VARIABLE: &str = "SOCKEL_HARBOR_RECORD";
const API: &str = "/api/";

/// Appends a request and its answer, without secrets in headers; nothing where no file is named. An answer that a test
/// made up is none of the double's: it is left out.
#[expect(clippy::disallowed_methods, reason = "the variable is for this record only")]
pub(crate) fn record(request: &Request, response: &Response) {
    if !request.path.starts_with(API) {
        return;
    }
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let line = line(request, response).to_string() + "\n";
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    // one write, so that tests at the same time do not mix
    file.write_all(line.as_bytes()).unwrap();
}

fn line(request: &Request, response: &Response) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_own = matches!(
        request.trouble,
        None | Some(Trouble::Late(_) | Trouble::SlowAnswer { .. } | Trouble::SlowRequest(_) | Trouble::NoMount)
    );
    let answer = json!({ "status": response.status, "headers": response.headers(), "body": text(&response.body) });
    json!({
        "method": request.method, "target": request.target(), "headers": Entry::of(request, Duration::ZERO).headers,
        "body": text(&request.body), "answer": is_own.then_some(answer),
    })
}

#[test]
fn made_up_answers_are_left_out() {
    let mut request = Request::read(&mut &b"GET /api/v2.0/ping?a=b HTTP/1.1\r\nauthorization: Basic YTpi\r\n\r\n"[..]);
    let request = request.as_mut().unwrap().as_mut().unwrap();
    let own = line(request, &Response::new(200).with("x-total-count", "1").body(b"Pong".to_vec()));
    assert_eq!((&own["target"], &own["headers"]["authorization"]), (&json!("/api/v2.0/ping?a=b"), &json!("Basic")));
    assert_eq!(own["answer"], json!({ "status": 200, "headers": [["x-total-count", "1"]], "body": "Pong" }));
    request.trouble = Some(Trouble::status(500));
    assert_eq!(line(request, &Response::new(500))["answer"], Value::Null);
}
