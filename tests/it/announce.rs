//! Who is told of published images, and what: webhooks and metrics, against a receiver on loopback.

use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use ring::signature;
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

/// A request as it arrived.
struct Message {
    /// `POST /path`
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Returns what is signed (Standard Webhooks, "Signature scheme"), and the signature.
    fn signed(&self, kind: &str) -> (Vec<u8>, Vec<u8>) {
        let mut content = format!("{}.{}.", self.headers["webhook-id"], self.headers["webhook-timestamp"]).into_bytes();
        content.extend_from_slice(&self.body);
        let signature = self.headers["webhook-signature"].strip_prefix(kind).expect("of this kind");
        (content, BASE64_STANDARD.decode(signature).expect("Base64"))
    }
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    /// Answers that come before 204.
    statuses: Vec<u16>,
}

/// Somebody who listens.
struct Receiver {
    state: Arc<Mutex<State>>,
    url: String,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                hear(connection, &shared);
            }
        });
        Self { state, url }
    }

    fn answer(&self, statuses: &[u16]) {
        self.state.lock().unwrap().statuses = statuses.to_vec();
    }

    fn heard(&self) -> Vec<Message> {
        std::mem::take(&mut self.state.lock().unwrap().messages)
    }
}

fn hear(mut connection: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let headers: BTreeMap<String, String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()))
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let status = {
        let mut state = state.lock().unwrap();
        let line = first.trim_end_matches(" HTTP/1.1").to_owned();
        state.messages.push(Message { line, headers, body });
        if state.statuses.is_empty() { 204 } else { state.statuses.remove(0) }
    };
    write!(connection, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
}

const SECRET: [u8; 32] = [7; 32];

/// A project whose receiver has a shared secret.
fn project(receivers: &[&Receiver]) -> Project {
    let project = Project::new();
    project.write("base-images/hook", &format!("whsec_{}\n", BASE64_STANDARD.encode(SECRET)));
    let entry = |receiver: &&Receiver| format!("  - {{ url: \"{}/hook\", secret: hook }}\n", receiver.url);
    let entries: String = receivers.iter().map(entry).collect();
    project.write("base-images/registry.yaml", &format!("announce:\n{entries}"));
    project
}

#[test]
fn a_receiver_hears_of_each_image_once() {
    let (receiver, registry) = (Receiver::start(), Registry::start());
    let mut project = project(&[&receiver]);
    let target = format!("{}/team", registry.url());
    let update = ["update", "--publish", "--to", &target];
    project.run(&update).good();
    let heard = receiver.heard();
    let names: Vec<Value> = heard.iter().map(|message| message.json()["subject"].clone()).collect();
    assert_eq!(names, ["base", "runtime", "app"]);
    let (message, json) = (&heard[2], heard[2].json());
    assert_eq!(message.line, "POST /hook");
    assert!(message.headers["content-type"].starts_with("application/cloudevents+json"));
    let (content, signature) = message.signed("v1,");
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), &content, &signature).expect("the right signature");
    let repository = format!("{}/team/app", registry.address());
    let digest = &registry.tags("team/app")["1"];
    assert_eq!(
        (&json["specversion"], &json["type"], &json["id"]),
        (&"1.0".into(), &"io.sockel.image.published.v1".into(), &Value::from(message.headers["webhook-id"].as_str()))
    );
    assert_eq!(json["source"], format!("https://{repository}"));
    assert_eq!(json["data"]["reference"], format!("{repository}@{digest}"));
    assert!(json["data"]["moved"].as_array().expect("a list").contains(&"1".into()), "{json}");
    // nothing new, nothing to tell; and looking tells nobody
    project.run(&update).good();
    project.run(&["publish", "--to", &target, "--dry-run"]).good();
    assert!(receiver.heard().is_empty());
    let mut patched = packages();
    patched.retain(|deb| deb.value("Package") != "libc");
    patched.push(library("2.1", 9));
    project.publish(&patched);
    project.run(&update).good();
    let news = receiver.heard();
    assert_eq!(news.len(), 3);
    assert_eq!(news[0].json()["data"]["urgency"], "security");
    assert_ne!(news[0].headers["webhook-id"], heard[0].headers["webhook-id"]);
}

#[test]
fn a_receiver_hears_once_of_an_update_that_cannot_be_taken() {
    let (receiver, registry) = (Receiver::start(), Registry::start());
    let mut project = project(&[&receiver]);
    let target = format!("{}/team", registry.url());
    let update = ["update", "--publish", "--to", &target];
    project.run(&update).good();
    receiver.heard();
    let with = |version: &str, fields: &str| {
        let kept = packages().into_iter().filter(|deb| deb.value("Package") != "app");
        kept.chain([Deb::new("app", version).depends(fields)]).collect::<Vec<_>>()
    };
    project.publish(&with("3.3", "runtime, nowhere"));
    // the message is refused, and sent again by the next run
    receiver.answer(&[400]);
    assert!(project.run(&update).fails(3).contains("status 400"));
    let first = receiver.heard();
    project.run(&update).fails(1);
    let heard = receiver.heard();
    assert_eq!((first.len(), heard.len()), (1, 1));
    assert_eq!(first[0].headers["webhook-id"], heard[0].headers["webhook-id"]);
    let json = heard[0].json();
    assert_eq!((json["type"].as_str(), json["subject"].as_str()), (Some("io.sockel.update.blocked.v1"), Some("app")));
    assert_eq!(json["source"], format!("https://{}/team/app", registry.address()));
    let expected = serde_json::json!({
        "image": "app", "repository": format!("{}/team/app", registry.address()), "urgency": "security", "held-back": [],
        "packages": [{
            "package": "app", "source": "app", "locked": "3.2-1", "newer": "3.3", "reason": "no choice of packages"
        }],
        "pockets": [],
    });
    assert_eq!(json["data"], expected);
    // the same block is no news; another one is, and so is the same one after its end
    project.run(&update).fails(1);
    assert!(receiver.heard().is_empty());
    project.publish(&with("3.4", "runtime, nowhere"));
    project.run(&update).fails(1);
    assert_eq!(receiver.heard()[0].json()["data"]["packages"][0]["newer"], "3.4");
    project.publish(&packages());
    project.run(&update).good();
    assert!(receiver.heard().is_empty());
    project.publish(&with("3.4", "runtime, nowhere"));
    project.run(&update).fails(1);
    assert_eq!(receiver.heard().len(), 1);
}

#[test]
fn what_was_not_delivered_is_delivered_later() {
    let (receiver, other, registry) = (Receiver::start(), Receiver::start(), Registry::start());
    let project = project(&[&receiver, &other]);
    project.run(&["lock"]).good();
    let target = format!("{}/team", registry.url());
    let publish = ["publish", "--to", &target, "--format", "json"];
    // busy for a moment, then not willing
    receiver.answer(&[503, 400]);
    let failed = project.run(&publish);
    let answer: Value = serde_json::from_str(&failed.stdout).expect("JSON");
    let error = failed.fails(3);
    assert!(error.contains("status 400") && error.contains("it is told when the image is published"), "{error}");
    assert_eq!(answer["images"][2]["state"], "published");
    assert_eq!(answer["announced"][1]["images"], serde_json::json!(["base", "runtime", "app"]));
    let first = receiver.heard();
    assert_eq!((first.len(), other.heard().len()), (2, 3));
    assert_eq!(first[0].headers["webhook-id"], first[1].headers["webhook-id"]);
    project.run(&publish).good();
    let later = receiver.heard();
    assert_eq!(later.iter().map(|m| m.json()["subject"].clone()).collect::<Vec<_>>(), ["base"]);
    assert_eq!(later[0].headers["webhook-id"], first[0].headers["webhook-id"]);
    assert!(other.heard().is_empty());
}

#[test]
fn keys_are_read_before_anything_is_published() {
    let (receiver, registry) = (Receiver::start(), Registry::start());
    let project = project(&[&receiver]);
    project.run(&["lock"]).good();
    let target = format!("{}/team", registry.url());
    let publish = ["publish", "base", "--to", &target];
    project.write("base-images/hook", "password\n");
    let error = project.run(&publish).fails(1);
    assert!(error.contains("cannot read key") && error.contains("hint:") && !error.contains("password"), "{error}");
    assert!(registry.tags("team/base").is_empty());
    // RFC 8410, 10.3: the key pair of its example
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = BASE64_STANDARD.decode("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").expect("Base64");
    project.write("base-images/hook", private);
    project.run(&publish).good();
    let (content, found) = receiver.heard()[0].signed("v1a,");
    let key = signature::UnparsedPublicKey::new(&signature::ED25519, public);
    key.verify(&content, &found).expect("the right signature");
}

#[test]
fn a_gateway_gets_the_figures() {
    let gateway = Receiver::start();
    let project = Project::new();
    let path = project.path("figures.prom");
    let update = ["update", "--write", "--push-gateway", &gateway.url, "--metrics", path.to_str().expect("UTF-8")];
    project.run(&update).good();
    let heard = gateway.heard();
    assert_eq!(heard[0].line, "PUT /metrics/job/sockel");
    let text = String::from_utf8(heard[0].body.clone()).expect("text");
    assert!(text.contains("sockel_last_run_success 1") && text.contains("image=\"app\""), "{text}");
    assert_eq!(text, project.text("figures.prom"));
    // a gateway that is not there is no failure
    gateway.answer(&[400]);
    let warned = project.run(&update);
    assert!(warned.stderr.contains("the gateway answers with status 400"), "{}", warned.stderr);
    warned.good();
}
