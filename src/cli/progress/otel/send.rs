//! Sends a trace to its collector within a bounded time.

use crate::cli::progress::otel::options::TraceOptions;
use crate::sys::http;
use crate::sys::http::HostOptions;
use crate::sys::http::HttpClient;
use crate::sys::http::HttpHost;
use crate::sys::http::HttpRequest;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest time that a command waits for its collector.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Sends the body.
///
/// # Errors
/// Why the collector does not have it.
pub(super) fn send(options: &TraceOptions, body: Vec<u8>) -> Result<(), String> {
    let mut request = HttpRequest::new(Method::POST, options.endpoint.clone(), RequestBody::Bytes(body.into()));
    request.headers = options.headers.clone();
    request.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    let host = HttpHost::new(HostOptions {
        extra_ca: options.ca_file.clone(),
        connect_timeout: LIMIT,
        idle_timeout: LIMIT,
        attempts: 2,
        ..HostOptions::usual(false)
    });
    let (tell, hear) = mpsc::channel();
    // looking up a name cannot be given up, so a thread does it that ends with the process at the latest
    thread::spawn(move || {
        let http = HttpClient::new(http::HttpOptions::usual(false, None));
        let sent = http.block_on(async { host.send(&request).await.map(|answer| answer.status()) });
        let _nobody_waits = tell.send(sent.and_then(|sent| sent).map_err(|error| error.to_string()));
    });
    match hear.recv_timeout(LIMIT) {
        Ok(Ok(200..=299)) => Ok(()),
        Ok(Ok(status)) => Err(format!("the collector answered with status {status}")),
        Ok(Err(cause)) => Err(cause),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}
