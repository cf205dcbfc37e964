//! Traces as a collector on loopback gets them: names, parents, times, failures; and collectors that do not work.

use crate::support::project::Answer;
use crate::support::project::Project;
use crate::support::project::answer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Headers and body of a request; the first line is the header of an empty name.
type Received = (BTreeMap<String, String>, Vec<u8>);

/// Keeps what it is sent.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    /// Answers every request with this status, or never.
    fn start(status: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for mut connection in listener.incoming().flatten() {
                let Some(request) = receive(&connection) else { continue };
                kept.lock().unwrap().push(request);
                match status {
                    Some(status) => {
                        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                        let _client_may_be_gone = connection.write_all(head.as_bytes());
                    }
                    None => silent.push(connection),
                }
            }
        });
        Self { url, received }
    }

    /// Returns the spans of the only request so far, and forgets it.
    #[track_caller]
    fn spans(&self) -> Vec<Value> {
        let (headers, body) = self.received.lock().unwrap().pop().expect("sent");
        assert!(self.received.lock().unwrap().is_empty(), "one request a command");
        assert_eq!(headers[""], "POST /v1/traces HTTP/1.1");
        assert_eq!(headers["content-type"], "application/json");
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    }
}

fn receive(connection: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(connection);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => {
                let (name, value) = line.split_once(": ").unwrap_or(("", line));
                headers.insert(name.to_lowercase(), value.to_owned());
            }
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

fn run(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
    answer(project.command(arguments).envs(variables.iter().copied()))
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let attributes = span["attributes"].as_array().unwrap();
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    value.as_object()?.values().next()
}

fn times(span: &Value) -> (u64, u64) {
    let time = |key: &str| span[key].as_str().unwrap().parse().unwrap();
    (time("startTimeUnixNano"), time("endTimeUnixNano"))
}

/// Returns how many spans there are of each name, with the name of the parent.
fn shape(spans: &[Value]) -> BTreeMap<String, usize> {
    let mut shape = BTreeMap::new();
    for span in spans {
        let parent = spans.iter().find(|other| other["spanId"] == span["parentSpanId"]);
        let parent = parent.map_or("-", |parent| parent["name"].as_str().unwrap());
        *shape.entry(format!("{} < {parent}", span["name"].as_str().unwrap())).or_default() += 1;
    }
    shape
}

#[test]
fn a_build_is_one_trace() {
    let (project, collector) = (Project::new(), Collector::start(Some(200)));
    let (before, parent) = (now(), format!("00-{TRACE}-{PARENT}-01"));
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=s%20ecret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "ci.job=7"),
        ("TRACEPARENT", parent.as_str()),
    ];
    let said = run(&project, &["build"], &variables);
    assert!(!said.stderr.contains("trace"), "{}", said.stderr);
    let after = now();
    {
        let received = collector.received.lock().unwrap();
        let (headers, body) = &received[0];
        assert_eq!(headers["x-token"], "s ecret");
        let body: Value = serde_json::from_slice(body).unwrap();
        let resource = &body["resourceSpans"][0]["resource"];
        assert_eq!(attribute(resource, "service.name").unwrap(), "sockel");
        assert_eq!(attribute(resource, "ci.job").unwrap(), "7");
        assert!(!body.to_string().contains("ecret"));
    }
    let spans = collector.spans();
    let root = &spans[0];
    assert_eq!((root["name"].as_str(), root["parentSpanId"].as_str()), (Some("sockel build"), Some(PARENT)));
    assert_eq!((attribute(root, "process.exit.code").unwrap(), &root["status"]), (&Value::from("0"), &Value::Null));
    let shape = shape(&spans);
    for (line, most) in [
        ("sockel build < -", 1),
        ("index < sockel build", 1),
        ("download < sockel build", 1),
        ("unpack < sockel build", 1),
        ("compress < sockel build", 1),
        ("download file < download", 5),
    ] {
        assert_eq!(shape.get(line), Some(&most), "{line} in {shape:?}");
    }
    for line in ["read index < index", "unpack packages < unpack", "write layer < compress"] {
        assert!(shape.contains_key(line), "{line} in {shape:?}");
    }
    let files: Vec<&str> = spans
        .iter()
        .filter(|span| span["name"] == "download file")
        .map(|span| attribute(span, "sockel.what").unwrap().as_str().unwrap())
        .collect();
    assert!(files.contains(&"libc 2.0 amd64"), "{files:?}");
    let mut ids: Vec<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    for span in &spans {
        assert_eq!(span["traceId"], TRACE);
        let (begun, ended) = times(span);
        assert!(before <= begun && begun <= ended && ended <= after, "{span}");
        if let Some(parent) = spans.iter().find(|other| other["spanId"] == span["parentSpanId"]) {
            let (outer, end) = times(parent);
            assert!(outer <= begun && ended <= end, "{span} in {parent}");
        }
    }
    // nothing is left to do: the command alone
    run(&project, &["build"], &variables[..1]).good();
    let again = collector.spans();
    assert_eq!(again.iter().filter(|span| span["name"] == "download").count(), 0);
    assert!(again[0]["traceId"] != TRACE && again[0].get("parentSpanId").is_none());
}

#[test]
fn a_failure_is_a_failed_trace() {
    let (project, collector) = (Project::new(), Collector::start(Some(200)));
    // locking has read all packages into the usual store
    let store = project.path("empty");
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("SOCKEL_STORE", store.to_str().unwrap())];
    run(&project, &["lock"], &[]).good();
    project.server.put("/sockel-test-archive/pool/libc_2.0.deb", b"other bytes");
    let said = run(&project, &["build"], &variables);
    assert_ne!(said.code, Some(0));
    let spans = collector.spans();
    let code = said.code.unwrap().to_string();
    assert_eq!(spans[0]["status"]["code"], 2);
    assert_eq!(attribute(&spans[0], "process.exit.code").unwrap(), &Value::from(code));
    assert!(attribute(&spans[0], "error.type").is_some());
    let bad = |span: &&Value| span["status"]["code"] == 2 && span["name"] == "download file";
    let bad: Vec<_> = spans.iter().filter(bad).filter_map(|span| attribute(span, "sockel.what")).collect();
    assert!(bad.iter().any(|what| **what == "libc 2.0 amd64"), "{bad:?}");
    assert!(bad.len() < 5, "the others were done: {bad:?}");
}

#[test]
fn a_collector_never_fails_the_command() {
    let project = Project::new();
    run(&project, &["build"], &[]).good();
    let (refuses, silent) = (Collector::start(Some(403)), Collector::start(None));
    let table = [
        (refuses.url.as_str(), "status 403"),
        (silent.url.as_str(), "cannot send the trace"),
        ("http://user:secret@127.0.0.1:1", "cannot send the trace"),
        ("tape:0", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ];
    for (url, expected) in table {
        let begun = Instant::now();
        let said = run(&project, &["build"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]);
        assert_eq!(said.code, Some(0), "{url}: {}", said.stderr);
        assert!(said.stderr.contains(expected) && !said.stderr.contains("secret"), "{url}: {}", said.stderr);
        assert!(begun.elapsed() < Duration::from_secs(9), "{url}: {:?}", begun.elapsed());
    }
    let off = Collector::start(Some(200));
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", off.url.as_str());
    run(&project, &["build"], &[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).good();
    run(&project, &["build", "--offline"], &[endpoint]).good();
    assert!(off.received.lock().unwrap().is_empty());
}

fn now() -> u64 {
    sockel::sys::clock::exact().as_nanos().try_into().unwrap()
}
